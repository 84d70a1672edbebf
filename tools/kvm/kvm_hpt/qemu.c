// SPDX-License-Identifier: GPL-2.0
/*
 * The sections with the HPT ("spapr/htab") in a migration stream of QEMU's,
 * or in the state of a VM that it saved: see docs/devel/migration in QEMU.
 *
 * Sections don't say how long they are. That of RAM is followed page by page;
 * of others only the end is looked for. Those that come before the HPT is
 * complete are few and short.
 */
#include <endian.h>
#include <string.h>

#include "stream.h"

#define STREAM_VERSION		3

enum {
	SECTION_EOF		= 0x00,
	SECTION_START		= 0x01,
	SECTION_PART		= 0x02,
	SECTION_END		= 0x03,
	SECTION_FULL		= 0x04,
	SECTION_SUBSECTION	= 0x05,
	SECTION_VMDESCRIPTION	= 0x06,
	SECTION_CONFIGURATION	= 0x07,
	SECTION_COMMAND		= 0x08,
	SECTION_FOOTER		= 0x7e,
};

/* In the low bits of the word before a page */
#define RAM_ZERO		0x002
#define RAM_MEM_SIZE		0x004
#define RAM_PAGE		0x008
#define RAM_EOS			0x010
#define RAM_CONTINUE		0x020
#define RAM_XBZRLE		0x040
#define RAM_COMPRESS		0x100
#define RAM_MULTIFD_FLUSH	0x200
#define RAM_FLAGS		0xfffULL
#define RAM_PAGE_BYTES		4096

/* The section has no HPT to tell of: its guest has a radix MMU, or no OS yet */
#define NO_HPT			0xffffffffU

enum kind { KIND_OTHER, KIND_RAM, KIND_HTAB };

/* Numbers are big-endian. False at the end of the file. */
static bool get(struct stream *s, unsigned int bytes, u64 *number)
{
	u8 buf[8];
	unsigned int i;

	if (source_read(s->src, buf, bytes) < bytes)
		return false;
	for (i = 0, *number = 0; i < bytes; i++)
		*number = *number << 8 | buf[i];
	return true;
}

static bool skip_string(struct stream *s)
{
	u64 len;

	return get(s, 1, &len) && source_skip(s->src, len);
}

static enum stream_event cut_short(struct stream *s)
{
	return stream_broken(s, s->src->pos, "QEMU's stream ends too early");
}

/* The name and page sizes of the blocks of RAM. Only the names are needed. */
static bool skip_blocks(struct stream *s, u64 total)
{
	u64 size;

	while (total) {
		if (!skip_string(s) || !get(s, 8, &size) || !size)
			return false;
		total -= size < total ? size : total;
	}
	return true;
}

static bool skip_page(struct stream *s, u64 word)
{
	u64 len;

	if (!(word & RAM_CONTINUE) && !skip_string(s))
		return false;
	if (word & RAM_ZERO)
		return source_skip(s->src, 1);
	if (word & RAM_PAGE)
		return source_skip(s->src, RAM_PAGE_BYTES);
	if (word & RAM_XBZRLE)
		return source_skip(s->src, 1) && get(s, 2, &len) &&
		       source_skip(s->src, len);
	return get(s, 4, &len) && source_skip(s->src, len);
}

/* Follow RAM to the end of the section; false if there is what we don't know */
static bool skip_ram(struct stream *s)
{
	u64 word;

	while (get(s, 8, &word)) {
		switch (word & RAM_FLAGS & ~RAM_CONTINUE) {
		case RAM_EOS:
			return true;
		case RAM_MEM_SIZE:
			if (!skip_blocks(s, word & ~RAM_FLAGS))
				return false;
			break;
		case RAM_ZERO:
		case RAM_PAGE:
		case RAM_XBZRLE:
		case RAM_COMPRESS:
			if (!skip_page(s, word))
				return false;
			break;
		case RAM_MULTIFD_FLUSH:
			break;
		default:
			return false;
		}
	}
	return false;
}

static bool begins_section(u8 type)
{
	switch (type) {
	case SECTION_EOF:
	case SECTION_START:
	case SECTION_PART:
	case SECTION_END:
	case SECTION_FULL:
	case SECTION_VMDESCRIPTION:
	case SECTION_COMMAND:
		return true;
	default:
		return false;
	}
}

/* Go to where the footer of a section seems to be */
static bool find_footer(struct stream *s, u32 id)
{
	const unsigned char *data, *at;
	u8 footer[5] = { SECTION_FOOTER, id >> 24, id >> 16, id >> 8, id };
	size_t len, used;

	for (;;) {
		len = source_peek(s->src, &data);
		if (len <= sizeof(footer))
			return false;
		/* The byte behind a footer is looked at as well */
		at = memmem(data, len - 1, footer, sizeof(footer));
		used = at ? (size_t)(at - data) : len - sizeof(footer);
		source_read(s->src, NULL, used);
		if (at && begins_section(at[sizeof(footer)]))
			return true;
		if (at)
			source_read(s->src, NULL, 1);
		else if (len < SOURCE_PEEK)
			return false;
	}
}

static bool skip_configuration(struct stream *s)
{
	const unsigned char *data;
	u64 len;

	if (!get(s, 4, &len) || !source_skip(s->src, len))
		return false;
	/* Subsections: target page bits, capabilities or the UUID */
	while (source_peek(s->src, &data) > 1 &&
	       data[0] == SECTION_SUBSECTION) {
		u64 count, i;
		char name[256];

		source_read(s->src, NULL, 1);
		if (!get(s, 1, &len) || source_read(s->src, name, len) < len ||
		    !source_skip(s->src, 4))
			return false;
		name[len] = 0;
		if (!strcmp(name, "configuration/target-page-bits")) {
			if (!source_skip(s->src, 4))
				return false;
		} else if (!strcmp(name, "configuration/capabilities")) {
			if (!get(s, 4, &count))
				return false;
			for (i = 0; i < count; i++)
				if (!skip_string(s))
					return false;
		} else if (!source_skip(s->src, 16)) {
			return false;
		}
	}
	return true;
}

static int find_section(const struct qemu_stream *q, u32 id)
{
	unsigned int i;

	for (i = 0; i < q->nr; i++)
		if (q->id[i] == id)
			return i;
	return -1;
}

/* The head of a section of which more is to come, or of a whole one */
static bool read_head(struct stream *s, u32 id, enum kind *kind)
{
	char name[256];
	u64 len;

	if (!get(s, 1, &len) || source_read(s->src, name, len) < len ||
	    !source_skip(s->src, 8))
		return false;
	name[len] = 0;
	*kind = KIND_OTHER;
	if (!strcmp(name, "ram"))
		*kind = KIND_RAM;
	else if (!strcmp(name, "spapr/htab"))
		*kind = KIND_HTAB;
	if (find_section(&s->qemu, id) < 0 && s->qemu.nr < QEMU_SECTIONS) {
		s->qemu.id[s->qemu.nr] = id;
		s->qemu.kind[s->qemu.nr++] = *kind;
	}
	return true;
}

/*
 * A section of the HPT: first its order, or 0 and records follow.
 * STREAM_END: nothing to tell of.
 */
static enum stream_event begin_htab(struct stream *s, u8 type)
{
	u64 offset = s->src->pos, order;

	if (!get(s, 4, &order))
		return cut_short(s);
	if (type == SECTION_END)
		s->qemu.finished = true;
	if (order == NO_HPT)
		return STREAM_RADIX;
	if (!order) {
		if (!s->qemu.started)
			return stream_broken(s, offset,
					     "HPT data before its order");
		s->qemu.in_htab = true;
		return STREAM_END;
	}
	if (order < MIN_ORDER || order > MAX_ORDER)
		return stream_broken(s, offset, "an HPT of order %llu",
				     (unsigned long long)order);
	if (s->qemu.started)
		return stream_broken(s, offset, "the HPT's order comes again");
	s->qemu.started = true;
	stream_set_order(s, order);
	return STREAM_HPT;
}

static enum stream_event begin_section(struct stream *s, u8 type, u64 offset)
{
	enum kind kind;
	int known;
	u64 id;

	if (!get(s, 4, &id))
		return cut_short(s);
	s->qemu.in_section = true;
	s->qemu.footer = id;
	if (type == SECTION_START || type == SECTION_FULL) {
		if (!read_head(s, id, &kind))
			return cut_short(s);
	} else {
		known = find_section(&s->qemu, id);
		if (known < 0)
			return stream_broken(s, offset,
					     "section %llu goes on that never began",
					     (unsigned long long)id);
		kind = s->qemu.kind[known];
	}
	if (kind == KIND_HTAB)
		return begin_htab(s, type);
	if (kind == KIND_RAM && skip_ram(s))
		return STREAM_END;
	if (!find_footer(s, id))
		return cut_short(s);
	return STREAM_END;
}

static enum stream_event end_section(struct stream *s)
{
	u64 offset = s->src->pos, type, id;

	if (!get(s, 1, &type) || !get(s, 4, &id))
		return cut_short(s);
	if (type != SECTION_FOOTER || id != s->qemu.footer)
		return stream_broken(s, offset,
				     "section %u doesn't end where it should",
				     s->qemu.footer);
	s->qemu.in_section = false;
	return STREAM_END;
}

static enum stream_event no_more_sections(struct stream *s, u64 offset)
{
	return stream_broken(s, offset,
			     s->qemu.started ?
			     "ends before the HPT is complete" :
			     "QEMU's stream has no HPT in it");
}

static enum stream_event next_section(struct stream *s)
{
	u64 offset = s->src->pos, type, len, word;

	if (!get(s, 1, &type))
		return no_more_sections(s, offset);
	switch (type) {
	case SECTION_EOF:
	case SECTION_VMDESCRIPTION:
		return no_more_sections(s, offset);
	case SECTION_CONFIGURATION:
		return skip_configuration(s) ? STREAM_END : cut_short(s);
	case SECTION_COMMAND:
		if (!get(s, 2, &word) || !get(s, 2, &len) ||
		    !source_skip(s->src, len))
			return cut_short(s);
		return STREAM_END;
	case SECTION_START:
	case SECTION_PART:
	case SECTION_END:
	case SECTION_FULL:
		return begin_section(s, type, offset);
	default:
		return stream_broken(s, offset, "no section begins with 0x%02x",
				     (unsigned int)type);
	}
}

/* A record of zeroes says that the section has no more of them */
static enum stream_event next_record(struct stream *s)
{
	enum stream_event event = stream_record(s, true);

	if (event == STREAM_END)
		return cut_short(s);
	if (event == STREAM_RECORD && !s->rec.index && !s->rec.n_valid &&
	    !s->rec.n_invalid) {
		s->records--;
		s->qemu.in_htab = false;
		return STREAM_END;
	}
	return event;
}

static bool read_magic(struct stream *s)
{
	u64 magic, version;

	return get(s, 4, &magic) && get(s, 4, &version) &&
	       version == STREAM_VERSION;
}

/**
 * qemu_next() - read on in QEMU's stream
 * @s: the stream
 *
 * Return: as stream_next().
 */
enum stream_event qemu_next(struct stream *s)
{
	enum stream_event event = STREAM_END;

	if (!s->src->pos && !read_magic(s))
		return stream_broken(s, 4, "QEMU's stream is not of version 3");
	do {
		if (s->qemu.in_htab)
			event = next_record(s);
		else if (s->qemu.in_section)
			event = end_section(s);
		else if (!s->qemu.finished)
			event = next_section(s);
		else
			break;
	} while (event == STREAM_END);
	return event;
}
