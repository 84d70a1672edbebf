// SPDX-License-Identifier: GPL-2.0-only
/*
 * Encoder and decoder for the stream of the HPT file.
 */

#include <kunit/visibility.h>

#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/minmax.h>

#include "records.h"

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
EXPORT_SYMBOL_IF_KUNIT(hpt_encoder_init);

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
			hpt_encode_header(enc, index);
		}
		n = min_t(u64, left, HPT_RECORD_HPTES - enc->hdr->n_invalid);
		enc->hdr->n_invalid += n;
		enc->invalid += n;
		enc->next += n;
		enc->room = 0;
		index += n;
		left -= n;
	}
	return count - left;
}
EXPORT_SYMBOL_IF_KUNIT(hpt_encode_invalid);

/**
 * hpt_count() - count HPTEs as the encoder would take them
 * @count: the counter; all zero to begin with
 * @index: index of the first
 * @valid: are they valid?
 * @hptes: how many
 */
void hpt_count(struct hpt_counter *count, u64 index, bool valid, u64 hptes)
{
	unsigned int *run = valid ? &count->run_valid : &count->run_invalid;
	u64 n;

	if (valid)
		count->valid += hptes;
	else
		count->invalid += hptes;
	for (; hptes; hptes -= n, index += n) {
		if (!count->bytes || count->next != index ||
		    (valid && count->run_invalid) || *run == HPT_RECORD_HPTES) {
			count->bytes += sizeof(struct kvm_get_htab_header);
			count->run_valid = 0;
			count->run_invalid = 0;
		}
		n = min_t(u64, hptes, HPT_RECORD_HPTES - *run);
		*run += n;
		if (valid)
			count->bytes += n * HPT_STREAM_HPTE;
		count->next = index + n;
	}
}
EXPORT_SYMBOL_IF_KUNIT(hpt_count);

/**
 * hpt_whole_records() - how much of a buffer is whole records
 * @buf: records, as the encoder made them
 * @len: number of bytes, not more than it made
 * @valid: becomes the number of their valid HPTEs
 * @invalid: becomes that of their invalid ones
 *
 * Return: bytes of the whole records within the first @len bytes.
 */
size_t hpt_whole_records(const void *buf, size_t len, u64 *valid, u64 *invalid)
{
	const struct kvm_get_htab_header *hdr;
	size_t pos = 0, bytes;

	*valid = 0;
	*invalid = 0;
	while (len - pos >= sizeof(*hdr)) {
		hdr = buf + pos;
		bytes = hpt_record_bytes(hdr);
		if (bytes > len - pos)
			break;
		*valid += hdr->n_valid;
		*invalid += hdr->n_invalid;
		pos += bytes;
	}
	return pos;
}
EXPORT_SYMBOL_IF_KUNIT(hpt_whole_records);
