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
 * stream_set_order() - set the order of the HPT from here on
 * @s: the stream
 * @order: log2 of its size, 0 if unknown
 */
void stream_set_order(struct stream *s, unsigned int order)
{
	s->order = order;
	s->nr_hptes = MAX_HPTES;
	if (order && order_hptes(order) < MAX_HPTES)
		s->nr_hptes = order_hptes(order);
}

/**
 * stream_new_hpt() - continue with another HPT, which is empty
 * @s: the stream
 * @order: log2 of its size, 0 if there is no HPT
 */
void stream_new_hpt(struct stream *s, unsigned int order)
{
	stream_set_order(s, order);
	s->void_records = s->records;
	s->invalid = 0;
	s->pass = 0;
	s->next = 0;
	s->max_end = 0;
	s->known = 0;
	s->sparse = false;
	s->full = false;
}

/**
 * stream_say() - describe a fault of a stream
 * @s: the stream
 * @event: STREAM_FAULT, or STREAM_BROKEN if the rest cannot be read
 * @offset: where the fault is
 * @format: as for printf()
 *
 * If reading the file has failed, that is the reason for STREAM_BROKEN.
 *
 * Return: @event.
 */
enum stream_event stream_say(struct stream *s, enum stream_event event,
			     u64 offset, const char *format, ...)
{
	va_list args;

	s->offset = offset;
	/* An error in data that is not needed does not matter */
	if (s->src->error && event == STREAM_BROKEN) {
		snprintf(s->error, sizeof(s->error), "can't be read: %s",
			 source_error(s->src));
		return STREAM_BROKEN;
	}
	va_start(args, format);
	vsnprintf(s->error, sizeof(s->error), format, args);
	va_end(args);
	make_printable(s->error);
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

/* If the file is longer than its stream, is the rest only zeroes? */
static bool zeroes_follow(struct stream *s)
{
	const unsigned char *data = source_look(s->src, 2 * sizeof(*s->buf));

	/* A record has an index that is not 0, or HPTEs */
	return data && all_zeroes(data, sizeof(*s->buf)) && source_zeroes(s->src);
}

/* It may have been appended to the same file */
static bool qemu_follows(struct stream *s)
{
	const void *data = source_look(s->src, QEMU_BEGIN_BYTES);

	return data && !memcmp(data, QEMU_BEGIN, QEMU_BEGIN_BYTES);
}

/* A record in the look-ahead buffer need not be copied */
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
		if (zeroes_follow(s))
			return stream_broken(s, s->src->pos,
					     "zeroes from here on instead of records");
		if (qemu_follows(s))
			return stream_broken(s, s->src->pos,
					     "a stream of QEMU's begins here instead of a record");
		if (record_in_place(s, s->format == FORMAT_BE))
			return STREAM_RECORD;
		return stream_record(s, s->format == FORMAT_BE);
	}
}

static bool is_raw(const struct stream *s)
{
	return s->format == FORMAT_LE || s->format == FORMAT_BE;
}

/*
 * A stream as it was read does not contain the order. It follows from the first
 * pass if that ends at an index at which an HPT of some order ends.
 */
static void deduce_order(struct stream *s)
{
	unsigned int order = MIN_ORDER;

	if (s->order || !is_raw(s))
		return;
	while (order_hptes(order) < s->max_end &&
	       order_hptes(order) < MAX_HPTES)
		order++;
	if (order_hptes(order) != s->max_end)
		return;
	s->deduced = true;
	stream_set_order(s, order);
}

/*
 * If a later pass is the first one of an HPT of another order, return that order. It
 * reports every HPTE up to where such an HPT ends.
 */
static unsigned int other_order(const struct stream *s)
{
	unsigned int order = hptes_order(s->next);

	if (s->pass < 2 || !s->dense || !is_raw(s) || !order)
		return 0;
	if (s->order)
		return order == s->order ? 0 : order;
	return s->max_end > s->next ? order : 0;
}

/* Continue with the HPT of the pass that ends, when the stream is read again */
static bool add_hpt(struct stream *s, unsigned int order)
{
	struct stream_hpt *more = realloc(s->hpt, (s->nr_hpts + 1) * sizeof(*more));

	if (!more)
		return false;
	s->hpt = more;
	more[s->nr_hpts++] = (struct stream_hpt) { s->pass_at, order };
	stream_set_order(s, order);
	s->max_end = s->next;
	return true;
}

/* At the end of a pass: STREAM_BROKEN if it is the first one of another HPT */
static enum stream_event end_pass(struct stream *s)
{
	unsigned int order = other_order(s);

	if (!order)
		return STREAM_END;
	if (s->asked)
		return stream_broken(s, s->pass_at,
				     "an HPT of order %u, but --order is %u",
				     order, s->asked);
	if (s->looking && add_hpt(s, order))
		return STREAM_END;
	s->other = order;
	return stream_broken(s, s->pass_at,
			     "the HPT was replaced here by one of order %u: a pipe can't be read again from here",
			     order);
}

/*
 * The last event: STREAM_BROKEN if the HPT was reset, or replaced, and the stream
 * ends in the first pass after that. A few HPTEs from the first one on may also have
 * changed.
 */
static enum stream_event end_stream(struct stream *s)
{
	enum stream_event event = end_pass(s);

	if (event == STREAM_BROKEN || s->pass < 2 || !s->dense || !is_raw(s) ||
	    s->next < MANY_HPTES || s->next >= s->nr_hptes || !s->order)
		return event;
	return stream_broken(s, s->pass_at,
			     "another first pass begins here, but ends before index 0x%llx of 0x%llx",
			     s->next, s->nr_hptes);
}

/* Does the record go on beyond the end of the HPT, in a pass from its beginning? */
static bool outgrown(const struct stream *s)
{
	return s->pass > 1 && s->dense && s->deduced && s->range && !s->looking;
}

/* Does an HPT begin here that replaces the previous one? */
static bool hpt_begins(struct stream *s)
{
	if (s->looking || s->hpt_now == s->nr_hpts ||
	    s->src->pos != s->hpt[s->hpt_now].at)
		return false;
	s->replaced++;
	s->replaced_at = s->src->pos;
	s->deduced = true;
	stream_new_hpt(s, s->hpt[s->hpt_now++].order);
	return true;
}

static bool beyond(const struct stream *s)
{
	return s->rec.index >= s->nr_hptes ||
	       s->rec.n_valid + s->rec.n_invalid > s->nr_hptes - s->rec.index;
}

/* Does the first pass have invalid HPTEs? Later ones of QEMU's own HPTs do, too. */
static void tell_kind(struct stream *s)
{
	if (!s->full && s->rec.index != s->next && !s->rec.n_invalid)
		s->sparse = true;
	if (!s->sparse && s->rec.n_invalid)
		s->full = true;
}

/**
 * stream_next() - read the next event
 * @s: the stream
 *
 * Return: the event. STREAM_END and STREAM_BROKEN are the last one.
 */
enum stream_event stream_next(struct stream *s)
{
	enum stream_event event;

	if (hpt_begins(s))
		return STREAM_HPT;
	event = read_on(s);
	if (event == STREAM_END) {
		event = end_stream(s);
		deduce_order(s);
	} else if (event == STREAM_BROKEN) {
		deduce_order(s);
	}
	if (event != STREAM_RECORD)
		return event;
	if (s->rec.index < s->next || !s->pass) {
		if (end_pass(s) == STREAM_BROKEN)
			return STREAM_BROKEN;
		if (!s->pass++) {
			s->first = s->rec.index;
			s->reach = s->first;
		}
		s->pass_at = s->offset;
		s->dense = !s->rec.index;
		deduce_order(s);
		s->range = beyond(s) ? -EINVAL : 0;
	} else if (s->rec.index != s->next) {
		s->dense = false;
	}
	if (s->pass == 1)
		tell_kind(s);
	if (outgrown(s))
		return stream_broken(s, s->pass_at,
				     "the HPT of order %u was replaced here by a larger one%s",
				     s->order, s->src->seekable ?
				     ", whose first pass is not complete" :
				     ": a pipe can't be read again from here");
	s->invalid += s->rec.n_invalid;
	s->next = s->rec.index + s->rec.n_valid + s->rec.n_invalid;
	if (s->next > s->max_end)
		s->max_end = s->next;
	if (s->rec.index <= s->known && s->next > s->known)
		s->known = s->next;
	if (s->rec.index <= s->reach && s->next > s->reach)
		s->reach = s->next;
	return event;
}

/**
 * stream_no_hpt() - according to the stream, has the guest no HPT?
 * @s: the stream, at its end
 */
bool stream_no_hpt(const struct stream *s)
{
	return s->format == FORMAT_QEMU && s->qemu.radix;
}

/**
 * stream_hpt_records() - the number of records of the present HPT
 * @s: the stream
 */
u64 stream_hpt_records(const struct stream *s)
{
	return s->records - s->void_records;
}

/**
 * stream_replaced() - describe where the HPT was replaced
 * @s: the stream
 * @text: buffer for the description
 * @size: size of the buffer
 *
 * Return: false if it was not replaced.
 */
bool stream_replaced(const struct stream *s, char *text, size_t size)
{
	char times[48] = "";

	if (!s->replaced || stream_no_hpt(s))
		return false;
	if (s->replaced > 1)
		snprintf(times, sizeof(times), ", as %llu time%s before",
			 s->replaced - 1, s->replaced > 2 ? "s" : "");
	snprintf(text, size,
		 "byte %llu: the HPT was replaced here%s: order %u, what came before is dropped",
		 s->replaced_at, times, s->order);
	return true;
}

/* Go back to the beginning, with what was found when it was read before */
static int go_back(struct stream *s, unsigned int order)
{
	qemu_free(&s->qemu);
	*s = (struct stream) {
		.src = s->src,
		.format = s->format,
		.asked = s->asked,
		.deduced = order && !s->asked,
		.buf = s->buf,
		.hpt = s->hpt,
		.nr_hpts = s->nr_hpts,
	};
	stream_set_order(s, order);
	if (!source_rewind(s->src))
		return 0;
	msg("can't read %s twice: %s", s->src->name, strerror(errno));
	return -1;
}

/**
 * stream_look_through() - deduce orders in advance
 * @s: the stream, at its beginning
 *
 * Find the order of the HPT, and where others replace it, if the stream does not
 * contain that. If the source cannot be read twice, the order stays unknown.
 *
 * Return: 0, or -1 if it can't be read again, with a message printed.
 */
int stream_look_through(struct stream *s)
{
	unsigned int order = s->order;
	enum stream_event event;

	if (!s->src->seekable || !is_raw(s))
		return 0;
	s->looking = true;
	do {
		event = stream_next(s);
		if (!s->nr_hpts)
			order = s->order;
	} while (event != STREAM_END && event != STREAM_BROKEN);
	return go_back(s, order);
}

/**
 * stream_restart() - go back to the beginning of a stream
 * @s: the stream, with a seekable source
 *
 * Return: 0, or -1 if it can't be read again, with a message printed.
 */
int stream_restart(struct stream *s)
{
	return go_back(s, s->asked);
}

/* Print why a file cannot be read as a stream */
static void refuse(const struct stream *s, const char *what)
{
	const struct source *src = s->src;

	if (src->error && src->inside)
		msg("can't read the contents of %s, %s: %s", src->name, src->inside,
		    source_error(src));
	else if (src->error)
		msg("can't read %s: %s", src->name, source_error(src));
	else if (src->inside)
		msg("%s is %s, but its contents are %s", src->name,
		    src->inside, what);
	else
		msg("%s is not a stream: it is %s", src->name, what);
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
	len = source_peek_all(s->src, &data);
	s->format = detect(data, len, s->src->eof, opts->endian,
			   source_offset(s->src), &what);
	if (s->format == FORMAT_NONE) {
		refuse(s, what);
		source_refused(s->src, &opts->source, what);
		return -1;
	}
	if (s->src->unfinished)
		msg("%s is %s", s->src->name, s->src->inside);
	stream_set_order(s, opts->order);
	return 0;
}

/**
 * stream_open() - open a stream
 * @s: the stream
 * @path: its file, "-" is the standard input
 * @opts: options
 *
 * Return: 0, or -1 with a message printed.
 */
int stream_open(struct stream *s, const char *path,
		const struct stream_options *opts)
{
	*s = (struct stream) {
		.src = source_open(path, &opts->source),
		.asked = opts->order,
	};
	if (s->src && !start(s, opts))
		return 0;
	stream_close(s);
	return -1;
}

/**
 * stream_close() - close a stream
 * @s: the stream
 */
void stream_close(struct stream *s)
{
	if (s->qemu.another)
		msg("%s: another QEMU stream, which begins at byte %llu, is not read",
		    s->src->name, s->qemu.another);
	if (s->src)
		source_close(s->src);
	qemu_free(&s->qemu);
	free(s->hpt);
	free(s->buf);
}
