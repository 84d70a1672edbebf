/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stream of the HPT file: records of a struct kvm_get_htab_header in host
 * byte order, n_valid HPTEs of two big-endian doublewords, and n_invalid
 * HPTEs that follow them in the table but are not in the stream.
 *
 * Nothing here knows of KVM, takes a lock, allocates or sleeps.
 */
#ifndef __POWERPC_BOOK3S_HV_HPT_RECORDS_H__
#define __POWERPC_BOOK3S_HV_HPT_RECORDS_H__

#include <linux/kvm.h>
#include <linux/types.h>

#include <asm/byteorder.h>

/* Bytes of an HPTE in the stream */
#define HPT_STREAM_HPTE		(2 * sizeof(__be64))

/* A reader's buffer has room for a record with an HPTE */
#define HPT_RECORD_MIN		(sizeof(struct kvm_get_htab_header) + \
				 HPT_STREAM_HPTE)

/* HPTEs of a kind in a record */
#define HPT_RECORD_HPTES	U16_MAX

/* Bytes of the longest record */
#define HPT_RECORD_MAX		(sizeof(struct kvm_get_htab_header) + \
				 HPT_RECORD_HPTES * HPT_STREAM_HPTE)

/* Length of a record in the stream */
static inline size_t hpt_record_bytes(const struct kvm_get_htab_header *hdr)
{
	return sizeof(*hdr) + hdr->n_valid * HPT_STREAM_HPTE;
}

/**
 * struct hpt_encoder - a buffer that is being filled with records
 * @buf: the buffer, aligned to 8 bytes
 * @size: its size in bytes
 * @used: bytes that hold whole records
 * @hdr: header of the last record, NULL if there is none
 * @next: index of the HPTE that would continue it
 * @room: number of valid HPTEs that can still be appended to it
 */
struct hpt_encoder {
	void *buf;
	size_t size;
	size_t used;
	struct kvm_get_htab_header *hdr;
	u64 next;
	unsigned int room;
};

void hpt_encoder_init(struct hpt_encoder *enc, void *buf, size_t size);
bool hpt_encode_open(struct hpt_encoder *enc, u64 index);
u64 hpt_encode_invalid(struct hpt_encoder *enc, u64 index, u64 count);

/**
 * hpt_encode_valid() - append a valid HPTE
 * @enc: the encoder
 * @index: its index in the HPT
 * @v: dword 0
 * @r: dword 1
 *
 * Return: false if there is no room for it; nothing was changed then.
 */
static inline bool hpt_encode_valid(struct hpt_encoder *enc, u64 index, u64 v,
				    u64 r)
{
	__be64 *hpte;

	if (!enc->room || enc->next != index) {
		if (!hpt_encode_open(enc, index))
			return false;
	}
	hpte = enc->buf + enc->used;
	hpte[0] = cpu_to_be64(v);
	hpte[1] = cpu_to_be64(r);
	enc->used += HPT_STREAM_HPTE;
	enc->hdr->n_valid++;
	enc->next++;
	enc->room--;
	return true;
}

/**
 * hpt_encode_reserve() - have room for a run of valid HPTEs
 * @enc: the encoder
 * @index: index of the first in the HPT
 * @count: how many
 *
 * Return: where to put them, before a call of hpt_encode_reserved(), or NULL
 * if they do not all fit into a record.
 */
static inline void *hpt_encode_reserve(struct hpt_encoder *enc, u64 index,
				       unsigned int count)
{
	size_t hdr = enc->room && enc->next == index ? 0 : sizeof(*enc->hdr);

	if (hdr ? enc->size - enc->used < hdr + count * HPT_STREAM_HPTE :
		  enc->room < count)
		return NULL;
	return enc->buf + enc->used + hdr;
}

/**
 * hpt_encode_reserved() - the HPTEs for which there is room are in place
 * @enc: the encoder
 * @index: index of the first, as with hpt_encode_reserve()
 * @count: how many, not more than were asked for
 */
static inline void hpt_encode_reserved(struct hpt_encoder *enc, u64 index,
				       unsigned int count)
{
	if (!enc->room || enc->next != index)
		hpt_encode_open(enc, index);
	enc->used += count * HPT_STREAM_HPTE;
	enc->hdr->n_valid += count;
	enc->next += count;
	enc->room -= count;
}

/**
 * struct hpt_record - a decoded record
 * @index: index of the first HPTE
 * @n_valid: number of HPTEs in @hpte
 * @n_invalid: number of invalid HPTEs behind these
 * @bytes: length in the stream
 * @hpte: the HPTEs, in the buffer they were decoded from
 */
struct hpt_record {
	u64 index;
	unsigned int n_valid;
	unsigned int n_invalid;
	size_t bytes;
	__be64 (*hpte)[2];
};

int hpt_decode(void *buf, size_t len, u64 nr_hptes, struct hpt_record *rec);
size_t hpt_whole_records(const void *buf, size_t len);

#endif /* __POWERPC_BOOK3S_HV_HPT_RECORDS_H__ */
