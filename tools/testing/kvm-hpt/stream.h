/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Decode records of the stream, as a VMM does. This shares no code with the
 * kernel's encoder and decoder, so that it can check them.
 */
#ifndef KVM_HPT_STREAM_H
#define KVM_HPT_STREAM_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <linux/kvm.h>
#include <linux/types.h>

#include <asm/byteorder.h>

/**
 * struct stream_record - a record
 * @index: index of its first HPTE
 * @valid: number of valid HPTEs, which the stream contains
 * @hptes: number of all HPTEs, including the invalid ones
 * @bytes: length of the record
 * @dwords: the valid HPTEs, not aligned
 */
struct stream_record {
	uint64_t index;
	unsigned int valid;
	unsigned int hptes;
	size_t bytes;
	const unsigned char *dwords;
};

/*
 * Decode the record at the beginning of @len bytes, for an HPT of @nr HPTEs.
 * Returns 0, -EINVAL if the record is not within the HPT, or -ENODATA if it is
 * incomplete.
 */
static inline int stream_record(const void *stream, size_t len, uint64_t nr,
				struct stream_record *rec)
{
	struct kvm_get_htab_header hdr;

	if (len < sizeof(hdr))
		return -ENODATA;
	memcpy(&hdr, stream, sizeof(hdr));
	rec->index = hdr.index;
	rec->valid = hdr.n_valid;
	rec->hptes = hdr.n_valid + hdr.n_invalid;
	rec->bytes = sizeof(hdr) + 16 * hdr.n_valid;
	rec->dwords = (const unsigned char *)stream + sizeof(hdr);
	if (rec->index >= nr || rec->index + rec->hptes > nr)
		return -EINVAL;
	return len < rec->bytes ? -ENODATA : 0;
}

/* Get the i-th HPTE of a record. If it is invalid, set @v to 0 and leave @r. */
static inline void stream_hpte(const struct stream_record *rec, unsigned int i,
			       uint64_t *v, uint64_t *r)
{
	__be64 hpte[2];

	*v = 0;
	if (i >= rec->valid)
		return;
	memcpy(hpte, rec->dwords + 16 * i, sizeof(hpte));
	*v = be64_to_cpu(hpte[0]);
	*r = be64_to_cpu(hpte[1]);
}

#endif
