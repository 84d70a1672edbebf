/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stream of the HPT file: records of a struct kvm_get_htab_header in host
 * byte order, n_valid HPTEs of two big-endian doublewords, and n_invalid
 * HPTEs that follow them in the table but are not in the stream.
 *
 * Nothing here knows of KVM, takes a lock, allocates or sleeps.
 */
#ifndef __POWERPC_KVM_HPT_RECORDS_H__
#define __POWERPC_KVM_HPT_RECORDS_H__

#include <linux/errno.h>
#include <linux/kvm.h>
#include <linux/limits.h>
#include <linux/minmax.h>
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
 * @valid: number of valid HPTEs in all records
 * @invalid: number of invalid ones
 */
struct hpt_encoder {
	void *buf;
	size_t size;
	size_t used;
	struct kvm_get_htab_header *hdr;
	u64 next;
	unsigned long room;
	u64 valid;
	u64 invalid;
};

void hpt_encoder_init(struct hpt_encoder *enc, void *buf, size_t size);
u64 hpt_encode_invalid(struct hpt_encoder *enc, u64 index, u64 count);

/* Begin a record, for which there is room */
static inline void hpt_encode_header(struct hpt_encoder *enc, u64 index)
{
	enc->hdr = enc->buf + enc->used;
	*enc->hdr = (struct kvm_get_htab_header) { .index = index };
	enc->used += sizeof(*enc->hdr);
	enc->next = index;
}

/**
 * hpt_encode_room() - how many valid HPTEs can be appended to one record?
 * @enc: the encoder
 * @index: index of the first in the HPT
 *
 * hpt_encode_tail() says where to put them, hpt_encode_run() appends them.
 *
 * Return: how many, 0 if there is no room.
 */
static inline unsigned long hpt_encode_room(const struct hpt_encoder *enc,
					    u64 index)
{
	if (enc->room && enc->next == index)
		return enc->room;
	if (enc->size - enc->used < HPT_RECORD_MIN)
		return 0;
	return min_t(size_t, HPT_RECORD_HPTES,
		     (enc->size - enc->used - sizeof(*enc->hdr)) /
		     HPT_STREAM_HPTE);
}

/**
 * hpt_encode_tail() - where do valid HPTEs go?
 * @enc: the encoder, with room for them
 * @index: index of the first in the HPT
 *
 * Return: where to put them.
 */
static inline void *hpt_encode_tail(const struct hpt_encoder *enc, u64 index)
{
	void *tail = enc->buf + enc->used;

	if (!enc->room || enc->next != index)
		tail += sizeof(*enc->hdr);
	return tail;
}

/**
 * hpt_encode_run() - append valid HPTEs that are in place, and invalid ones
 * @enc: the encoder, with room for them
 * @index: index of the first
 * @room: what hpt_encode_room() says
 * @n_valid: how many are valid, at least one and @room at most
 * @n_invalid: how many invalid ones follow, HPT_RECORD_HPTES at most
 */
static inline void hpt_encode_run(struct hpt_encoder *enc, u64 index,
				  unsigned long room, unsigned long n_valid,
				  unsigned long n_invalid)
{
	if (!enc->room || enc->next != index)
		hpt_encode_header(enc, index);
	enc->used += n_valid * HPT_STREAM_HPTE;
	enc->hdr->n_valid += n_valid;
	enc->valid += n_valid;
	enc->next += n_valid + n_invalid;
	enc->room = room - n_valid;
	if (n_invalid) {
		enc->invalid += n_invalid;
		enc->hdr->n_invalid = n_invalid;
		enc->room = 0;
	}
}

/**
 * hpt_encode_more_invalid() - append invalid HPTEs to the last record
 * @enc: the encoder
 * @index: index of the first
 * @count: how many
 *
 * The short way of hpt_encode_invalid().
 *
 * Return: false if they do not continue the record; nothing was changed then.
 */
static inline bool hpt_encode_more_invalid(struct hpt_encoder *enc, u64 index,
					   unsigned long count)
{
	if (!enc->hdr || enc->next != index ||
	    enc->hdr->n_invalid + count > HPT_RECORD_HPTES)
		return false;
	enc->hdr->n_invalid += count;
	enc->invalid += count;
	enc->next += count;
	enc->room = 0;
	return true;
}

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
	unsigned long room = hpt_encode_room(enc, index);
	__be64 *hpte;

	if (!room)
		return false;
	hpte = hpt_encode_tail(enc, index);
	hpt_encode_run(enc, index, room, 1, 0);
	hpte[0] = cpu_to_be64(v);
	hpte[1] = cpu_to_be64(r);
	return true;
}

/**
 * struct hpt_counter - what HPTEs come to when they are streamed
 * @valid: valid HPTEs
 * @invalid: invalid ones
 * @bytes: bytes of the records, if no buffer ends in one of them
 * @next: index of the HPTE that would continue the last record
 * @run_valid: valid HPTEs in the last record
 * @run_invalid: invalid ones
 */
struct hpt_counter {
	u64 valid;
	u64 invalid;
	u64 bytes;
	u64 next;
	unsigned int run_valid;
	unsigned int run_invalid;
};

void hpt_count(struct hpt_counter *count, u64 index, bool valid, u64 hptes);

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
	unsigned long n_valid;
	unsigned long n_invalid;
	size_t bytes;
	__be64 (*hpte)[2];
};

/**
 * hpt_decode() - decode a record and check its header
 * @buf: what there is of the stream, aligned to 8 bytes
 * @len: number of bytes
 * @nr_hptes: number of HPTEs in the HPT
 * @rec: where to put the record
 *
 * The HPTEs themselves are not looked at.
 *
 * Return:
 * * 0		- @rec is a whole record
 * * -ENODATA	- the record is longer than @len
 * * -EINVAL	- it reaches beyond the end of the HPT, or begins there
 */
static inline int hpt_decode(void *buf, size_t len, u64 nr_hptes,
			     struct hpt_record *rec)
{
	struct kvm_get_htab_header *hdr = buf;

	if (len < sizeof(*hdr))
		return -ENODATA;
	*rec = (struct hpt_record) {
		.index = hdr->index,
		.n_valid = hdr->n_valid,
		.n_invalid = hdr->n_invalid,
		.bytes = hpt_record_bytes(hdr),
		.hpte = buf + sizeof(*hdr),
	};
	if (rec->index >= nr_hptes ||
	    rec->n_valid + rec->n_invalid > nr_hptes - rec->index)
		return -EINVAL;
	return rec->bytes <= len ? 0 : -ENODATA;
}

size_t hpt_whole_records(const void *buf, size_t len, u64 *valid, u64 *invalid);

#endif /* __POWERPC_KVM_HPT_RECORDS_H__ */
