// SPDX-License-Identifier: GPL-2.0
/*
 * Reading records.
 */
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
 * stream_say() - say what is wrong with a stream
 * @s: the stream
 * @event: STREAM_FAULT, or STREAM_BROKEN if it can't be read on
 * @offset: where that is
 * @format: as for printf()
 *
 * Return: @event, or STREAM_BROKEN if the file can't be read.
 */
enum stream_event stream_say(struct stream *s, enum stream_event event,
			     u64 offset, const char *format, ...)
{
	va_list args;

	s->offset = offset;
	if (s->src->error) {
		snprintf(s->error, sizeof(s->error), "can't be read: %s",
			 source_error(s->src));
		return STREAM_BROKEN;
	}
	va_start(args, format);
	vsnprintf(s->error, sizeof(s->error), format, args);
	va_end(args);
	return event;
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

/* A record that is in the look ahead is not copied */
static inline bool record_in_place(struct stream *s, bool big_endian)
{
	struct kvm_get_htab_header hdr;
	const void *from = source_look(s->src, sizeof(hdr));
	size_t bytes;

	if (!from)
		return false;
	memcpy(&hdr, from, sizeof(hdr));
	header_to_host(&hdr, big_endian);
	bytes = hpt_record_bytes(&hdr);
	if (!source_look(s->src, bytes))
		return false;
	s->range = hpt_decode(&hdr, bytes, s->nr_hptes, &s->rec);
	s->rec.hpte = (void *)(from + sizeof(hdr));
	s->records++;
	s->offset = s->src->pos;
	source_step(s->src, bytes);
	return true;
}

static enum stream_event read_on(struct stream *s)
{
	switch (s->format) {
	case FORMAT_QEMU:
		return qemu_next(s);
	case FORMAT_DEBUGFS:
		return debugfs_next(s);
	default:
		if (record_in_place(s, s->format == FORMAT_BE))
			return STREAM_RECORD;
		return stream_record(s, s->format == FORMAT_BE);
	}
}

/*
 * A stream that is as it was read doesn't say how large the HPT is. Its first
 * pass tells, if that goes to the end: it is that of an HPT then.
 */
static void deduce_order(struct stream *s)
{
	unsigned int order = MIN_ORDER;

	if (s->order || (s->format != FORMAT_LE && s->format != FORMAT_BE))
		return;
	while (order_hptes(order) < s->max_end &&
	       order_hptes(order) < MAX_HPTES)
		order++;
	if (order_hptes(order) != s->max_end)
		return;
	s->deduced = true;
	stream_set_order(s, order);
}

static bool beyond(const struct stream *s)
{
	return s->rec.index >= s->nr_hptes ||
	       s->rec.n_valid + s->rec.n_invalid > s->nr_hptes - s->rec.index;
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

	if (event == STREAM_END)
		deduce_order(s);
	if (event != STREAM_RECORD)
		return event;
	if (s->rec.index < s->next || !s->pass) {
		s->pass++;
		deduce_order(s);
		s->range = beyond(s) ? -EINVAL : 0;
	}
	if (s->pass == 1 && s->rec.index != s->next)
		s->whole = false;
	s->next = s->rec.index + s->rec.n_valid + s->rec.n_invalid;
	if (s->next > s->max_end)
		s->max_end = s->next;
	return event;
}

/**
 * stream_no_hpt() - does the stream say that the guest has no HPT?
 * @s: the stream, at its end
 */
bool stream_no_hpt(const struct stream *s)
{
	return s->format == FORMAT_QEMU && s->qemu.radix;
}

/**
 * stream_find_order() - find out the order before anything else
 * @s: the stream, at its beginning
 *
 * Of what can't be read twice it stays unknown.
 *
 * Return: 0, or -1 if it can't be read again, with a message printed.
 */
int stream_find_order(struct stream *s)
{
	enum stream_event event;

	if (s->order || !s->src->seekable ||
	    (s->format != FORMAT_LE && s->format != FORMAT_BE))
		return 0;
	do {
		event = stream_next(s);
	} while (event != STREAM_END && event != STREAM_BROKEN);
	s->records = 0;
	s->pass = 0;
	s->whole = true;
	s->next = 0;
	s->max_end = 0;
	if (!source_rewind(s->src))
		return 0;
	msg("can't read %s twice: %s", s->src->name, strerror(errno));
	return -1;
}

/**
 * stream_restart() - read a stream from its beginning again
 * @s: the stream, of a source that is seekable
 * @opts: what the command line says of it
 *
 * Return: 0, or -1 if it can't be read again, with a message printed.
 */
int stream_restart(struct stream *s, const struct stream_options *opts)
{
	qemu_free(&s->qemu);
	*s = (struct stream) {
		.src = s->src,
		.format = s->format,
		.buf = s->buf,
		.whole = true,
	};
	stream_set_order(s, opts->order);
	if (!source_rewind(s->src))
		return 0;
	msg("can't read %s twice: %s", s->src->name, strerror(errno));
	return -1;
}

static int start(struct stream *s, const struct stream_options *opts)
{
	const unsigned char *data;
	const char *what;
	size_t len;

	s->buf = malloc(HPT_RECORD_MAX);
	if (!s->buf) {
		msg("%s", strerror(ENOMEM));
		return -1;
	}
	len = source_peek(s->src, &data);
	if (!s->src->error) {
		s->format = detect(data, len, len < SOURCE_PEEK, opts->endian,
				   &what);
		if (s->format == FORMAT_NONE && s->src->inside)
			msg("%s is %s, but what is in there is %s", s->src->name,
			    s->src->inside, what);
		else if (s->format == FORMAT_NONE)
			msg("%s is no stream: it is %s", s->src->name, what);
	} else if (!s->src->inside) {
		msg("can't read %s: %s", s->src->name,
		    source_error(s->src));
	} else {
		msg("can't read what is in %s, %s: %s", s->src->name,
		    s->src->inside, source_error(s->src));
	}
	if (s->format == FORMAT_NONE)
		return -1;
	stream_set_order(s, opts->order);
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
	*s = (struct stream) {
		.src = source_open(path, &opts->source),
		.whole = true,
	};
	if (s->src && !start(s, opts))
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
	qemu_free(&s->qemu);
	free(s->buf);
}
