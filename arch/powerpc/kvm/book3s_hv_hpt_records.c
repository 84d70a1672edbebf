// SPDX-License-Identifier: GPL-2.0-only
/*
 * Encoder and decoder for the stream of the HPT file.
 */

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/minmax.h>

#include <asm/byteorder.h>

#include "book3s_hv_hpt_records.h"

static size_t record_bytes(const struct kvm_get_htab_header *hdr)
{
	return sizeof(*hdr) + hdr->n_valid * HPT_STREAM_HPTE;
}

/**
 * hpt_encoder_init() - start with an empty buffer
 * @enc: the encoder
 * @buf: the buffer, aligned to 8 bytes
 * @size: its size in bytes
 */
void hpt_encoder_init(struct hpt_encoder *enc, void *buf, size_t size)
{
	*enc = (struct hpt_encoder) { .buf = buf, .size = size };
}

static void open_record(struct hpt_encoder *enc, u64 index)
{
	enc->hdr = enc->buf + enc->used;
	*enc->hdr = (struct kvm_get_htab_header) { .index = index };
	enc->used += sizeof(*enc->hdr);
	enc->next = index;
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
bool hpt_encode_valid(struct hpt_encoder *enc, u64 index, u64 v, u64 r)
{
	bool open = enc->hdr && enc->next == index && !enc->hdr->n_invalid &&
		    enc->hdr->n_valid < HPT_RECORD_HPTES;
	__be64 *hpte;

	if (enc->size - enc->used < (open ? HPT_STREAM_HPTE : HPT_RECORD_MIN))
		return false;
	if (!open)
		open_record(enc, index);
	hpte = enc->buf + enc->used;
	hpte[0] = cpu_to_be64(v);
	hpte[1] = cpu_to_be64(r);
	enc->used += HPT_STREAM_HPTE;
	enc->hdr->n_valid++;
	enc->next++;
	return true;
}

/**
 * hpt_encode_invalid() - append a run of invalid HPTEs
 * @enc: the encoder
 * @index: index in the HPT of the first
 * @count: how many
 *
 * Return: how many of them there was room for.
 */
u64 hpt_encode_invalid(struct hpt_encoder *enc, u64 index, u64 count)
{
	u64 end = index + count;
	unsigned int n;

	if (!enc->hdr || enc->next != index)
		enc->hdr = NULL;
	while (index < end) {
		if (!enc->hdr || enc->hdr->n_invalid == HPT_RECORD_HPTES) {
			if (enc->size - enc->used < sizeof(*enc->hdr))
				break;
			open_record(enc, index);
		}
		n = min_t(u64, end - index,
			  HPT_RECORD_HPTES - enc->hdr->n_invalid);
		enc->hdr->n_invalid += n;
		enc->next += n;
		index += n;
	}
	return count - (end - index);
}

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
int hpt_decode(void *buf, size_t len, u64 nr_hptes, struct hpt_record *rec)
{
	struct kvm_get_htab_header *hdr = buf;

	if (len < sizeof(*hdr))
		return -ENODATA;
	*rec = (struct hpt_record) {
		.index = hdr->index,
		.n_valid = hdr->n_valid,
		.n_invalid = hdr->n_invalid,
		.bytes = record_bytes(hdr),
		.hpte = buf + sizeof(*hdr),
	};
	if (rec->index >= nr_hptes ||
	    rec->n_valid + rec->n_invalid > nr_hptes - rec->index)
		return -EINVAL;
	return rec->bytes <= len ? 0 : -ENODATA;
}

/**
 * hpt_whole_records() - how much of a buffer is whole records
 * @buf: records, as the encoder made them
 * @len: number of bytes, not more than it made
 *
 * Return: bytes of the whole records within the first @len bytes.
 */
size_t hpt_whole_records(const void *buf, size_t len)
{
	size_t pos = 0, bytes;

	while (len - pos >= sizeof(struct kvm_get_htab_header)) {
		bytes = record_bytes(buf + pos);
		if (bytes > len - pos)
			break;
		pos += bytes;
	}
	return pos;
}
