// SPDX-License-Identifier: GPL-2.0
/*
 * Reading records, and finding out what form a stream has.
 */
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "msg.h"
#include "stream.h"

/**
 * stream_set_order() - from here on the HPT has this size
 * @s: the stream
 * @order: log2 of it, 0 if it is not known
 */
void stream_set_order(struct stream *s, unsigned int order)
{
	s->order = order;
	s->nr_hptes = MAX_HPTES;
	if (order && order_hptes(order) < MAX_HPTES)
		s->nr_hptes = order_hptes(order);
}

/**
 * stream_broken() - say why a stream can't be read on
 * @s: the stream
 * @offset: where that is
 * @format: as for printf()
 *
 * Return: STREAM_BROKEN, for the caller to return.
 */
enum stream_event stream_broken(struct stream *s, u64 offset,
				const char *format, ...)
{
	va_list args;

	s->offset = offset;
	if (s->src->error) {
		snprintf(s->error, sizeof(s->error), "can't be read: %s",
			 strerror(s->src->error));
		return STREAM_BROKEN;
	}
	va_start(args, format);
	vsnprintf(s->error, sizeof(s->error), format, args);
	va_end(args);
	return STREAM_BROKEN;
}

static void header_to_host(struct kvm_get_htab_header *hdr, bool big_endian)
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

/**
 * stream_record() - read a record
 * @s: the stream
 * @big_endian: byte order of the header
 *
 * Return: STREAM_RECORD; STREAM_END at the end of the file; STREAM_BROKEN
 * if that is within a record.
 */
enum stream_event stream_record(struct stream *s, bool big_endian)
{
	u64 offset = s->src->pos;
	size_t got, bytes;

	got = source_read(s->src, s->buf, sizeof(*s->buf));
	if (!got && !s->src->error)
		return STREAM_END;
	s->records++;
	if (got < sizeof(*s->buf))
		return stream_broken(s, offset,
				     "ends after %zu of the 8 bytes of a header",
				     got);
	header_to_host(s->buf, big_endian);
	bytes = hpt_record_bytes(s->buf);
	got += source_read(s->src, s->buf + 1, bytes - got);
	s->range = hpt_decode(s->buf, got, s->nr_hptes, &s->rec);
	if (got < bytes)
		return stream_broken(s, offset,
				     "ends after %zu of the %zu bytes of a record",
				     got, bytes);
	s->offset = offset;
	return STREAM_RECORD;
}

static enum stream_event read_on(struct stream *s)
{
	switch (s->format) {
	case FORMAT_QEMU:
		return qemu_next(s);
	case FORMAT_DEBUGFS:
		return debugfs_next(s);
	default:
		return stream_record(s, s->format == FORMAT_BE);
	}
}

/**
 * stream_next() - read on
 * @s: the stream
 *
 * Return: what comes next. After STREAM_END and STREAM_BROKEN there is
 * nothing more.
 */
enum stream_event stream_next(struct stream *s)
{
	enum stream_event event = read_on(s);

	if (event == STREAM_RECORD) {
		if (s->rec.index < s->next || !s->pass)
			s->pass++;
		s->next = s->rec.index + s->rec.n_valid + s->rec.n_invalid;
	}
	return event;
}

/**
 * stream_hpte() - a valid HPTE of the last record
 * @s: the stream
 * @i: which, counted from 0
 */
struct hpte stream_hpte(const struct stream *s, unsigned int i)
{
	return (struct hpte) {
		.v = be64toh(s->rec.hpte[i][0]),
		.r = be64toh(s->rec.hpte[i][1]),
	};
}

/*
 * How far records make sense if their headers have this byte order: they are
 * in ascending order without being empty, and the HPTEs are valid.
 */
static size_t plausible(const unsigned char *data, size_t len, bool big_endian)
{
	struct kvm_get_htab_header hdr;
	size_t pos = 0, i;
	u64 next = 0;

	while (len - pos >= sizeof(hdr)) {
		memcpy(&hdr, data + pos, sizeof(hdr));
		header_to_host(&hdr, big_endian);
		if ((!hdr.n_valid && !hdr.n_invalid) || hdr.index < next)
			break;
		next = (u64)hdr.index + hdr.n_valid + hdr.n_invalid;
		pos += sizeof(hdr);
		for (i = 0; i < hdr.n_valid; i++) {
			if (len - pos < HPTE_BYTES)
				return len;
			if (!(data[pos + 7] & HPTE_V_VALID))
				return pos;
			pos += HPTE_BYTES;
		}
	}
	return pos;
}

/* A line of debugfs: numbers in hexadecimal, the first one indented */
static bool is_text(const unsigned char *data, size_t len)
{
	size_t i;

	if (len > 32)
		len = 32;
	for (i = 0; i < len; i++)
		if (!isxdigit(data[i]) && data[i] != ' ' && data[i] != '\n')
			return false;
	return len;
}

static enum stream_format find_format(struct source *src, char endian)
{
	const unsigned char *data;
	size_t len = source_peek(src, &data);

	if (len >= 4 && !memcmp(data, QEMU_MAGIC, 4))
		return FORMAT_QEMU;
	if (is_text(data, len))
		return FORMAT_DEBUGFS;
	if (endian)
		return endian == 'b' ? FORMAT_BE : FORMAT_LE;
	return plausible(data, len, true) > plausible(data, len, false) ?
	       FORMAT_BE : FORMAT_LE;
}

/*
 * A stream that is as it was read doesn't say how large the HPT is. Its first
 * pass tells, as that goes to the end.
 */
static int find_order(struct stream *s)
{
	unsigned int order = MIN_ORDER;
	enum stream_event event;
	u64 end = 0;

	do {
		event = stream_next(s);
		if (event == STREAM_RECORD && s->next > end)
			end = s->next;
	} while (event == STREAM_RECORD);
	while (order_hptes(order) < end && order_hptes(order) < MAX_HPTES)
		order++;
	stream_set_order(s, order);
	s->records = 0;
	s->pass = 0;
	s->next = 0;
	return source_rewind(s->src);
}

static int start(struct stream *s, const struct stream_options *opts)
{
	if (!s->src)
		return -1;
	s->buf = malloc(HPT_RECORD_MAX);
	if (!s->buf) {
		msg("%s", strerror(ENOMEM));
		return -1;
	}
	s->format = find_format(s->src, opts->endian);
	stream_set_order(s, opts->order);
	if (!opts->order && s->format != FORMAT_QEMU)
		return find_order(s);
	return 0;
}

/**
 * stream_open() - open a stream
 * @s: the stream
 * @path: its file, "-" is the standard input
 * @opts: what the command line says of it
 *
 * Return: 0, or -1 with a message printed.
 */
int stream_open(struct stream *s, const char *path,
		const struct stream_options *opts)
{
	*s = (struct stream) { .src = source_open(path, opts->snapshot) };
	if (!start(s, opts))
		return 0;
	stream_close(s);
	return -1;
}

/**
 * stream_close() - be done with a stream
 * @s: the stream
 */
void stream_close(struct stream *s)
{
	if (s->src)
		source_close(s->src);
	free(s->buf);
}
