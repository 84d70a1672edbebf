/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Detect the format of a file by its first bytes.
 */
#ifndef KVM_HPT_DETECT_H
#define KVM_HPT_DETECT_H

#include <endian.h>
#include <stddef.h>

#include <linux/kvm.h>
#include <linux/types.h>

enum stream_format {
	FORMAT_NONE,	/* not a stream */
	FORMAT_LE,	/* as read, headers little-endian */
	FORMAT_BE,	/* as read, headers big-endian */
	FORMAT_QEMU,
	FORMAT_DEBUGFS,
};

#define QEMU_MAGIC	"QEVM"

/* The first bytes of QEMU's stream, including its version */
#define QEMU_BEGIN		"QEVM\0\0\0\3"
#define QEMU_BEGIN_BYTES	8

enum stream_format detect(const unsigned char *data, size_t len, bool all,
			  char endian, u64 offset, const char **what);
char detect_endian(const unsigned char *data, size_t len, u64 nr_hptes,
		   u64 next_little, u64 next_big);

/* Convert the header of a record from a file to host byte order */
static inline void header_to_host(struct kvm_get_htab_header *hdr,
				  bool big_endian)
{
	if (big_endian) {
		hdr->index = be32toh(hdr->index);
		hdr->n_valid = be16toh(hdr->n_valid);
		hdr->n_invalid = be16toh(hdr->n_invalid);
	} else {
		hdr->index = le32toh(hdr->index);
		hdr->n_valid = le16toh(hdr->n_valid);
		hdr->n_invalid = le16toh(hdr->n_invalid);
	}
}

#endif
