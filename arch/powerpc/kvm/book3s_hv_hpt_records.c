// SPDX-License-Identifier: GPL-2.0-only
/*
 * Encoder and decoder for the stream of the HPT file.
 */

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/minmax.h>

#include "book3s_hv_hpt_records.h"

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

/* Begin a record, for which there is room */
static void open_record(struct hpt_encoder *enc, u64 index)
{
	enc->hdr = enc->buf + enc->used;
	*enc->hdr = (struct kvm_get_htab_header) { .index = index };
	enc->used += sizeof(*enc->hdr);
	enc->next = index;
	enc->room = min_t(size_t, HPT_RECORD_HPTES,
			  (enc->size - enc->used) / HPT_STREAM_HPTE);
}

/**
 * hpt_encode_open() - begin a record for a valid HPTE
 * @enc: the encoder
 * @index: index of the HPTE
 *
 * Return: false if there is no room for it; nothing was changed then.
 */
bool hpt_encode_open(struct hpt_encoder *enc, u64 index)
{
	if (enc->size - enc->used < HPT_RECORD_MIN)
		return false;
	open_record(enc, index);
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
	u64 left = count;
	unsigned int n;

	while (left) {
		if (!enc->hdr || enc->next != index ||
		    enc->hdr->n_invalid == HPT_RECORD_HPTES) {
			if (enc->size - enc->used < sizeof(*enc->hdr))
				break;
			open_record(enc, index);
		}
		n = min_t(u64, left, HPT_RECORD_HPTES - enc->hdr->n_invalid);
		enc->hdr->n_invalid += n;
		enc->next += n;
		enc->room = 0;
		index += n;
		left -= n;
	}
	return count - left;
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
		.bytes = hpt_record_bytes(hdr),
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
		bytes = hpt_record_bytes(buf + pos);
		if (bytes > len - pos)
			break;
		pos += bytes;
	}
	return pos;
}
