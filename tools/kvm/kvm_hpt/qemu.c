// SPDX-License-Identifier: GPL-2.0
/*
 * The sections of the HPT ("spapr/htab") in QEMU's migration stream, or in a VM
 * state that QEMU has saved: see docs/devel/migration in QEMU.
 *
 * Sections do not contain their length. RAM is followed page by page; for other
 * sections, the end is searched for. Few and short sections come before the end
 * of the HPT.
 */
#include <ctype.h>
#include <endian.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define STREAM_VERSION		3
#define HTAB_VERSION		1

#define NOWHERE			(~0ULL)

/* HPTEs in the buffer of 2 KiB that QEMU reads from KVM */
#define BUFFER_HPTES		127

/* Characters in names of machine types */
#define NAME_CHARACTERS		"abcdefghijklmnopqrstuvwxyz" \
				"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_+"

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

#define FOOTER_BYTES		5
#define RAM_WORD_BYTES		8

/* Places from which on to search for another stream */
enum {
	MARK_STREAM,	/* the stream begins */
	MARK_EXACT,	/* a section begins, the last one that was followed exactly */
	MARK_SECTION,	/* the section that is being read begins */
};

/* This command is followed by a stream with the state of devices */
#define COMMAND_PACKAGED	7

/* Of a file that is zero from some byte on */
#define NOT_WRITTEN	"zeroes from here on: the stream was not written to its end"

/* Instead of an order: the guest has a radix MMU, or no OS yet */
#define NO_HPT			0xffffffffU

/**
 * qemu_get() - read a number
 * @s: the stream
 * @bytes: its length
 * @number: the result
 *
 * Numbers are big-endian.
 *
 * Return: false at the end of the file.
 */
bool qemu_get(struct stream *s, unsigned int bytes, u64 *number)
{
	u8 buf[8];
	unsigned int i;

	if (source_read(s->src, buf, bytes) < bytes)
		return false;
	for (i = 0, *number = 0; i < bytes; i++)
		*number = *number << 8 | buf[i];
	return true;
}

/**
 * qemu_skip_string() - skip a string, which follows its length
 * @s: the stream
 *
 * Return: false at the end of the file.
 */
bool qemu_skip_string(struct stream *s)
{
	u64 len;

	return qemu_get(s, 1, &len) && source_skip(s->src, len);
}

/* Read a string, or as much of it as the buffer has room for */
static bool get_string(struct stream *s, u64 len, char *to, size_t size)
{
	size_t n = len < size ? len : size - 1;

	if (source_read(s->src, to, n) < n)
		return false;
	to[n] = 0;
	return source_skip(s->src, len - n);
}

static enum stream_event cut_short(struct stream *s)
{
	return stream_broken(s, s->src->pos, "QEMU's stream ends too early");
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

static void make_footer(u8 *footer, u32 id)
{
	footer[0] = SECTION_FOOTER;
	footer[1] = id >> 24;
	footer[2] = id >> 16;
	footer[3] = id >> 8;
	footer[4] = id;
}

/* The number of zeroes at the end of the data */
static size_t zeroes_at_end(const unsigned char *data, size_t len)
{
	size_t i = len;

	if (all_zeroes(data, len))
		return len;
	while (i && !data[i - 1])
		i--;
	return len - i;
}

/* Search for the footer of a section, and for where zeroes begin before the end */
static bool find_footer(struct stream *s, u32 id)
{
	u64 zeroes = s->src->pos;
	const unsigned char *data, *at;
	u8 footer[FOOTER_BYTES];
	size_t len, used, end;

	make_footer(footer, id);
	for (;;) {
		len = source_peek(s->src, &data);
		if (len <= sizeof(footer))
			break;
		/* The byte after a footer is checked as well */
		at = find_bytes(data, len - 1, footer, sizeof(footer));
		used = at ? (size_t)(at - data) : len - sizeof(footer);
		end = at ? 0 : zeroes_at_end(data, len);
		if (end < len)
			zeroes = s->src->pos + len - end;
		source_read(s->src, NULL, used);
		if (at && begins_section(at[sizeof(footer)]))
			return true;
		if (at)
			source_read(s->src, NULL, 1);
		else if (len < SOURCE_PEEK)
			break;
	}
	if (s->src->pos >= zeroes + SOURCE_PEEK)
		s->qemu.zeroes = zeroes;
	return false;
}

static enum stream_event tell_another(struct stream *s, u64 offset)
{
	return stream_broken(s, offset,
			     "another QEMU stream begins here: the previous one was cancelled or cut off");
}

static bool skip_capabilities(struct stream *s)
{
	char name[256], *names = NULL;
	size_t size;
	u64 count, len;
	FILE *f;

	if (!qemu_get(s, 4, &count))
		return false;
	f = open_memstream(&names, &size);
	if (!f)
		return false;
	while (count && qemu_get(s, 1, &len) &&
	       get_string(s, len, name, sizeof(name))) {
		fprintf(f, " %s", name);
		count--;
	}
	fclose(f);
	free(s->qemu.capabilities);
	s->qemu.capabilities = size ? names : NULL;
	if (!size)
		free(names);
	return !count;
}

static enum stream_event read_subsection(struct stream *s)
{
	u64 offset = s->src->pos, len;
	char name[256];
	bool whole;

	if (!source_skip(s->src, 1) || !qemu_get(s, 1, &len) ||
	    !get_string(s, len, name, sizeof(name)) || !source_skip(s->src, 4))
		return cut_short(s);
	if (!strcmp(name, "configuration/target-page-bits"))
		whole = source_skip(s->src, 4);
	else if (!strcmp(name, "configuration/capabilities"))
		whole = skip_capabilities(s);
	else if (!strcmp(name, "configuration/uuid"))
		whole = source_skip(s->src, 16);
	else
		return stream_broken(s, offset,
				     "the configuration has an unknown part '%s'",
				     name);
	return whole ? STREAM_END : cut_short(s);
}

static enum stream_event read_configuration(struct stream *s)
{
	enum stream_event event = STREAM_END;
	struct qemu_stream *q = &s->qemu;
	const unsigned char *data;
	u64 offset, len;
	size_t n;

	if (!qemu_get(s, 4, &len))
		return cut_short(s);
	offset = s->src->pos;
	/* No name is longer than the look ahead */
	n = source_peek(s->src, &data);
	free(q->machine);
	q->machine = strndup((const char *)data, n < len ? n : len);
	if (!source_skip(s->src, len))
		return cut_short(s);
	if (!q->machine)
		return stream_broken(s, offset, "out of memory");
	if (strlen(q->machine) != len ||
	    strspn(q->machine, NAME_CHARACTERS) != len)
		return stream_broken(s, offset,
				     "the machine type in QEMU's stream is not a name");
	if (strncmp(q->machine, "pseries", strlen("pseries"))) {
		/* Unless the name ends within another stream */
		q->foreign = source_find(s->src, MARK_STREAM, s->src->pos +
					 QEMU_BEGIN_BYTES) == NOWHERE;
		return stream_broken(s, offset,
				     "QEMU's stream is of a guest of machine type '%s', which has no HPT",
				     q->machine);
	}
	while (event == STREAM_END && source_peek(s->src, &data) > 1 &&
	       data[0] == SECTION_SUBSECTION)
		event = read_subsection(s);
	return event;
}

static int compare_sections(const void *a, const void *b)
{
	const struct qemu_section *one = a, *other = b;

	return one->id < other->id ? -1 : one->id > other->id;
}

static struct qemu_section *find_section(const struct qemu_stream *q, u32 id)
{
	struct qemu_section key = { .id = id }, **found;

	found = tfind(&key, &q->by_id, compare_sections);
	return found ? *found : NULL;
}

static struct qemu_section *new_section(u32 id, u32 version, const char *name)
{
	struct qemu_section *section;

	section = calloc(1, sizeof(*section) + strlen(name) + 1);
	if (!section)
		return NULL;
	section->id = id;
	section->version = version;
	memcpy(section->name, name, strlen(name));
	if (!strcmp(name, "ram"))
		section->kind = KIND_RAM;
	else if (!strcmp(name, "spapr/htab"))
		section->kind = KIND_HTAB;
	return section;
}

static bool add_section(struct qemu_stream *q, struct qemu_section *section)
{
	struct qemu_section **more = q->section;

	/* Room for a power of two of them */
	if (!(q->nr & (q->nr - 1)))
		more = realloc(more, (q->nr ? 2UL * q->nr : 1) * sizeof(*more));
	if (!more)
		return false;
	q->section = more;
	if (!tsearch(section, &q->by_id, compare_sections))
		return false;
	more[q->nr++] = section;
	return true;
}

/**
 * qemu_free() - free the sections
 * @q: state of reading QEMU's stream
 */
void qemu_free(struct qemu_stream *q)
{
	unsigned int i;

	for (i = 0; i < q->nr; i++) {
		tdelete(q->section[i], &q->by_id, compare_sections);
		free(q->section[i]);
	}
	free(q->section);
	free(q->machine);
	free(q->capabilities);
	*q = (struct qemu_stream) {};
}

/* The head of a section with several parts, or of a complete one */
static enum stream_event read_head(struct stream *s, u32 id)
{
	struct qemu_section *section;
	char name[256];
	u64 len, version;

	if (!qemu_get(s, 1, &len) ||
	    !get_string(s, len, name, sizeof(name)) ||
	    !source_skip(s->src, 4) || !qemu_get(s, 4, &version))
		return cut_short(s);
	s->qemu.current = find_section(&s->qemu, id);
	if (s->qemu.current && !strcmp(s->qemu.current->name, name))
		return STREAM_END;
	if (s->qemu.current)
		return stream_broken(s, s->qemu.begin,
				     "section %u is '%s' and '%s'", id,
				     s->qemu.current->name, name);
	section = new_section(id, version, name);
	if (section && add_section(&s->qemu, section)) {
		s->qemu.current = section;
		return STREAM_END;
	}
	free(section);
	return stream_broken(s, s->qemu.begin, "out of memory");
}

/*
 * A section of the HPT begins with the order, or with 0 if records follow.
 * Returns STREAM_END if there is no event.
 */
static enum stream_event begin_htab(struct stream *s, u8 type)
{
	u64 offset = s->src->pos, order;
	struct qemu_stream *q = &s->qemu;

	if (!qemu_get(s, 4, &order))
		return cut_short(s);
	if (q->current->version != HTAB_VERSION)
		return stream_broken(s, q->begin,
				     "section 'spapr/htab' is of version %u, not %u",
				     q->current->version, HTAB_VERSION);
	if (type == SECTION_END)
		q->finished = true;
	if (order) {
		q->little_pass = 0;
		q->little_next = 0;
		q->little_known = 0;
		q->little_invalid = 0;
	}
	if (order == NO_HPT) {
		q->radix = true;
		stream_new_hpt(s, 0);
		return STREAM_RADIX;
	}
	if (!order && q->radix)
		return stream_broken(s, offset,
				     "HPT data without an order: the guest had no HPT before, it has rebooted meanwhile");
	if (!order && !q->started)
		return stream_broken(s, offset, "HPT data before its order");
	if (!order) {
		q->in_htab = true;
		q->htab_begins = true;
		return STREAM_END;
	}
	if (order < MIN_ORDER || order > MAX_ORDER)
		return stream_broken(s, offset, "an HPT of order %llu", order);
	if (s->asked && s->asked != order)
		return stream_broken(s, offset,
				     "an HPT of order %llu, but --order is %u",
				     order, s->asked);
	if (q->started) {
		s->replaced++;
		s->replaced_at = offset;
	}
	q->started = true;
	q->radix = false;
	stream_new_hpt(s, order);
	return STREAM_HPT;
}

/* The footer may belong to another stream that begins before it */
static enum stream_event footer_found(struct stream *s)
{
	u64 offset = source_find(s->src, MARK_SECTION, s->src->pos);

	return offset != NOWHERE ? tell_another(s, offset) : STREAM_END;
}

/* Skip a section that is neither the HPT nor RAM in a known form */
static enum stream_event skip_unknown(struct stream *s)
{
	struct qemu_stream *q = &s->qemu;

	if (q->footers_known && !q->footers)
		return stream_broken(s, s->src->pos,
				     "QEMU's stream has no footers: the end of section '%s' is unknown",
				     q->current->name);
	/* No page has flags of 0: this is not data in another form */
	if (q->zero_word && source_zeroes(s->src))
		q->zeroes = s->src->pos - RAM_WORD_BYTES;
	if (!q->zeroes && find_footer(s, q->current->id))
		return footer_found(s);
	if (q->zeroes)
		return stream_broken(s, q->zeroes,
				     "zeroes from here on, in section '%s': the stream was not written to its end",
				     q->current->name);
	return cut_short(s);
}

/* Data up to where the section begins cannot be another stream */
static void followed(struct stream *s)
{
	s->src->mark[MARK_EXACT] = s->src->mark[MARK_SECTION];
}

static enum stream_event begin_section(struct stream *s, u8 type)
{
	struct qemu_stream *q = &s->qemu;
	enum stream_event event = STREAM_END;
	u64 id;

	if (!qemu_get(s, 4, &id))
		return cut_short(s);
	q->searched = false;
	q->zero_word = false;
	if (type == SECTION_START || type == SECTION_FULL)
		event = read_head(s, id);
	else
		q->current = find_section(q, id);
	if (event != STREAM_END)
		return event;
	if (!q->current)
		return stream_broken(s, q->begin,
				     "section %llu continues, but never began",
				     id);
	q->in_section = true;
	q->current->parts++;
	if (type == SECTION_FULL)
		q->devices = true;
	if (q->current->kind == KIND_RAM && type == SECTION_END)
		q->ram_ended = true;
	if (q->current->kind == KIND_HTAB) {
		followed(s);
		return begin_htab(s, type);
	}
	if (q->current->kind == KIND_RAM && qemu_skip_ram(s)) {
		followed(s);
		return STREAM_END;
	}
	return skip_unknown(s);
}

/* Machine types before 2.4 have no footers, so the next section begins here */
static enum stream_event end_section(struct stream *s)
{
	struct qemu_stream *q = &s->qemu;
	u8 footer[FOOTER_BYTES];
	const unsigned char *data;
	size_t len = source_peek(s->src, &data);

	make_footer(footer, q->current->id);
	q->in_section = false;
	q->current->bytes += s->src->pos - q->begin;
	if (len >= sizeof(footer) && !memcmp(data, footer, sizeof(footer)) &&
	    (q->footers || !q->footers_known)) {
		source_read(s->src, NULL, sizeof(footer));
		q->footers = true;
		q->footers_known = true;
		return STREAM_END;
	}
	if (len < sizeof(footer) && !(len && q->footers_known && !q->footers))
		return cut_short(s);
	if (q->footers && source_zeroes(s->src))
		return stream_broken(s, s->src->pos, NOT_WRITTEN);
	if (q->footers || !begins_section(*data))
		return stream_broken(s, s->src->pos,
				     "section %u doesn't end where it should",
				     q->current->id);
	q->footers_known = true;
	return STREAM_END;
}

static enum stream_event no_more_sections(struct stream *s)
{
	struct qemu_stream *q = &s->qemu;

	/*
	 * A background snapshot has the state of devices from its beginning,
	 * and no last section of RAM or the HPT.
	 */
	if ((q->started || q->radix) && q->devices && !q->ram_ended &&
	    !source_zeroes(s->src)) {
		q->finished = true;
		return STREAM_END;
	}
	if (!q->started && !q->radix)
		return stream_broken(s, q->begin, "QEMU's stream has no HPT in it");
	return stream_broken(s, q->begin, source_zeroes(s->src) ? NOT_WRITTEN :
			     "ends before the HPT is complete");
}

static enum stream_event skip_command(struct stream *s)
{
	u64 command, len, more;

	if (!qemu_get(s, 2, &command) || !qemu_get(s, 2, &len))
		return cut_short(s);
	if (command == COMMAND_PACKAGED && len == 4) {
		if (!qemu_get(s, 4, &more))
			return cut_short(s);
		len = more;
	}
	return source_skip(s->src, len) ? STREAM_END : cut_short(s);
}

static enum stream_event next_section(struct stream *s)
{
	struct qemu_stream *q = &s->qemu;
	u64 type;

	q->begin = s->src->pos;
	source_mark(s->src, MARK_SECTION);
	if (!qemu_get(s, 1, &type)) {
		q->devices = false;
		return no_more_sections(s);
	}
	switch (type) {
	case SECTION_EOF:
	case SECTION_VMDESCRIPTION:
		return no_more_sections(s);
	case SECTION_CONFIGURATION:
		return read_configuration(s);
	case SECTION_COMMAND:
		return skip_command(s);
	case SECTION_START:
	case SECTION_PART:
	case SECTION_END:
	case SECTION_FULL:
		return begin_section(s, type);
	default:
		return stream_broken(s, q->begin,
				     "no section begins with 0x%02x",
				     (unsigned int)type);
	}
}

/* Can these bytes be a record? If not, it is cut off, or has what no HPT has. */
static bool can_be_record(const struct stream *s, const unsigned char *data,
			  size_t len)
{
	struct kvm_get_htab_header hdr;
	unsigned int hptes, i;

	if (len < sizeof(hdr))
		return false;
	memcpy(&hdr, data, sizeof(hdr));
	header_to_host(&hdr, !s->qemu.little);
	hptes = hdr.n_valid + hdr.n_invalid;
	if (!hptes || hdr.index >= s->nr_hptes || hptes > s->nr_hptes - hdr.index)
		return false;
	if (len < SOURCE_PEEK && len < hpt_record_bytes(&hdr))
		return false;
	len -= sizeof(hdr);
	data += sizeof(hdr);
	for (i = 0; i < hdr.n_valid && (i + 1) * HPTE_BYTES <= len; i++)
		if (!(data[i * HPTE_BYTES + sizeof(u64) - 1] & HPTE_V_VALID))
			return false;
	return true;
}

/* Does a section begin here? */
static bool is_head(struct qemu_stream *q, const unsigned char *data, size_t len)
{
	u32 id = (u32)data[1] << 24 | data[2] << 16 | data[3] << 8 | data[4];
	size_t name = FOOTER_BYTES, i;

	if (*data == SECTION_PART || *data == SECTION_END)
		return find_section(q, id);
	if ((*data != SECTION_START && *data != SECTION_FULL) || len == name ||
	    !data[name] || len < name + 1 + data[name])
		return false;
	for (i = 1; i <= data[name]; i++)
		if (!isprint(data[name + i]))
			return false;
	return true;
}

/*
 * The end of the list of records is missing if the next "record" is the footer
 * of the section or, without footers, the head of another section.
 */
static bool end_is_missing(struct stream *s, u64 *index)
{
	struct qemu_stream *q = &s->qemu;
	u8 footer[FOOTER_BYTES];
	const unsigned char *data;
	size_t len = source_peek(s->src, &data);

	if (len < sizeof(footer))
		return false;
	make_footer(footer, q->current->id);
	if (q->footers ? memcmp(data, footer, sizeof(footer)) : !is_head(q, data, len))
		return false;
	*index = (u64)data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3];
	return !can_be_record(s, data, len);
}

/* Are headers little-endian? QEMU before 2.2 did not convert them. */
static bool looks_little(struct stream *s)
{
	struct qemu_stream *q = &s->qemu;
	const unsigned char *data;
	size_t len;
	char endian;

	if (q->endian_known)
		return false;
	len = source_peek(s->src, &data);
	endian = detect_endian(data, len, s->nr_hptes,
			       q->little_pass ? q->little_next : s->nr_hptes,
			       s->pass ? s->next : s->nr_hptes);
	q->little = endian == 'l';
	q->endian_known = endian;
	return q->little;
}

/* A record without valid HPTEs may be little-endian: note what it is then */
static void count_little(struct stream *s)
{
	u64 index = __builtin_bswap32(s->rec.index);
	u64 hptes = __builtin_bswap16(s->rec.n_invalid);
	struct qemu_stream *q = &s->qemu;

	if (index < q->little_next || !q->little_pass)
		q->little_pass++;
	q->little_next = index + hptes;
	if (index <= q->little_known && q->little_next > q->little_known)
		q->little_known = q->little_next;
	q->little_invalid += hptes;
}

/* The records so far are little-endian */
static void take_little(struct stream *s)
{
	const struct qemu_stream *q = &s->qemu;

	s->pass = q->little_pass;
	s->next = q->little_next;
	s->known = q->little_known;
	s->max_end = s->next > s->known ? s->next : s->known;
	s->invalid = q->little_invalid;
}

/* Does the record have values that no HPT has? It may be another stream's. */
static bool is_strange(const struct stream *s)
{
	unsigned int i;

	if (s->range || (!s->rec.n_valid && !s->rec.n_invalid))
		return true;
	for (i = 0; i < s->rec.n_valid; i++)
		if (!(be64toh(s->rec.hpte[i][0]) & HPTE_V_VALID))
			return true;
	return false;
}

/* Is the file zero from within the last record on? Without footers, it may end so. */
static bool zeroes_begin(struct stream *s, u64 *offset)
{
	const unsigned char *hptes = (const unsigned char *)s->rec.hpte;
	size_t n = s->rec.n_valid * HPTE_BYTES;

	if (n ? hptes[n - 1] : s->rec.n_invalid)
		return false;
	if ((!s->qemu.footers && !is_strange(s)) || !source_zeroes(s->src))
		return false;
	while (n && !hptes[n - 1])
		n--;
	*offset = s->offset + (s->rec.n_valid ? sizeof(*s->buf) + n : 0);
	return true;
}

/* The header of the last record as in the stream */
static void put_header(const struct stream *s, u8 *to)
{
	to[0] = s->rec.index >> 24;
	to[1] = s->rec.index >> 16;
	to[2] = s->rec.index >> 8;
	to[3] = s->rec.index;
	to[4] = s->rec.n_valid >> 8;
	to[5] = s->rec.n_valid;
	to[6] = s->rec.n_invalid >> 8;
	to[7] = s->rec.n_invalid;
}

/**
 * qemu_record_cut() - does another stream begin within the last record?
 * @s: the stream
 *
 * If so, the next event reports that.
 */
bool qemu_record_cut(struct stream *s)
{
	size_t bytes = s->rec.n_valid * HPTE_BYTES, len;
	struct qemu_stream *q = &s->qemu;
	u8 seam[2 * QEMU_BEGIN_BYTES];
	const unsigned char *data;

	if (bytes < QEMU_BEGIN_BYTES || q->looked_at == s->records)
		return q->cut;
	q->looked_at = s->records;
	q->cut = memmem(s->rec.hpte, bytes, QEMU_BEGIN, QEMU_BEGIN_BYTES);
	/* In its header, which is big-endian */
	put_header(s, seam);
	memcpy(seam + QEMU_BEGIN_BYTES, s->rec.hpte, QEMU_BEGIN_BYTES);
	q->cut |= !!memmem(seam, sizeof(seam), QEMU_BEGIN,
			   QEMU_BEGIN_BYTES);
	/* Across its end */
	len = source_peek(s->src, &data);
	if (len > QEMU_BEGIN_BYTES)
		len = QEMU_BEGIN_BYTES;
	memcpy(seam, (char *)s->rec.hpte + bytes - QEMU_BEGIN_BYTES,
	       QEMU_BEGIN_BYTES);
	memcpy(seam + QEMU_BEGIN_BYTES, data, len);
	q->cut |= !!memmem(seam, QEMU_BEGIN_BYTES + len, QEMU_BEGIN,
			   QEMU_BEGIN_BYTES);
	return q->cut;
}

/*
 * KVM's first pass has invalid HPTEs before a list ends, unless the first ones fill
 * the buffer that QEMU reads them into. A guest that was radix then may get an HPT of
 * the same order later: that its first pass is cut short is not noticed.
 */
static void end_list(struct stream *s)
{
	s->qemu.in_htab = false;
	s->sparse |= !s->full && s->max_end < BUFFER_HPTES;
}

/* A record of zeroes ends the list of records */
static enum stream_event next_record(struct stream *s)
{
	struct qemu_stream *q = &s->qemu;
	enum stream_event event;
	u64 offset = s->src->pos, index;

	if (q->cut)
		return stream_broken(s, offset, "another stream follows");
	if (q->htab_begins && looks_little(s)) {
		take_little(s);
		return stream_fault(s, offset,
				    "record headers are little-endian, as written by QEMU before 2.2: later QEMUs refuse them");
	}
	q->htab_begins = false;
	if (end_is_missing(s, &index)) {
		end_list(s);
		/* A QEMU that does not write one never does */
		if (q->unmarked)
			return STREAM_END;
		q->unmarked = true;
		return stream_fault(s, offset,
				    "index %llu (0x%llx) is a section %s: the list of records has no end marker",
				    index, index, q->footers ? "footer" : "head");
	}
	event = stream_record(s, !q->little);
	if (event == STREAM_END)
		return cut_short(s);
	if (event != STREAM_RECORD)
		return event;
	if (!s->rec.index && !s->rec.n_valid && !s->rec.n_invalid) {
		s->records--;
		end_list(s);
		return STREAM_END;
	}
	if (!q->endian_known)
		count_little(s);
	if (zeroes_begin(s, &index)) {
		s->records--;
		return stream_broken(s, index,
				     "zeroes from here on instead of records");
	}
	if (!q->searched && is_strange(s)) {
		q->searched = true;
		index = source_find(s->src, MARK_SECTION, NOWHERE);
		if (index != NOWHERE) {
			s->records--;
			return tell_another(s, index);
		}
	}
	return STREAM_RECORD;
}

static enum stream_event read_magic(struct stream *s)
{
	u64 magic, version;

	s->qemu.begun = true;
	source_watch(s->src, QEMU_BEGIN, QEMU_BEGIN_BYTES);
	source_mark(s->src, MARK_STREAM);
	source_mark(s->src, MARK_EXACT);
	source_mark(s->src, MARK_SECTION);
	if (!qemu_get(s, 4, &magic) || !qemu_get(s, 4, &version))
		return cut_short(s);
	if (version == STREAM_VERSION)
		return STREAM_END;
	return stream_broken(s, s->src->begin + 4,
			     "QEMU's stream is not of version 3");
}

static enum stream_event read_on(struct stream *s)
{
	if (s->qemu.in_htab)
		return next_record(s);
	if (s->qemu.in_section)
		return end_section(s);
	return next_section(s);
}

/* Look for another stream in the data behind the HPT, which need not be read */
static void look_behind(struct stream *s)
{
	const unsigned char *data, *at;
	size_t len = source_peek(s->src, &data);

	if (len > SOURCE_PEEK)
		len = SOURCE_PEEK;
	at = memmem(data, len, QEMU_BEGIN, QEMU_BEGIN_BYTES);
	if (at)
		s->qemu.another = s->src->pos + (at - data);
}

/**
 * qemu_next() - read the next event of QEMU's stream
 * @s: the stream
 *
 * Return: as stream_next().
 */
enum stream_event qemu_next(struct stream *s)
{
	enum stream_event event = STREAM_END;
	struct qemu_stream *q = &s->qemu;
	u64 at;

	if (!q->begun)
		event = read_magic(s);
	while (event == STREAM_END &&
	       (!q->finished || q->in_section || q->in_htab))
		event = read_on(s);
	if (event == STREAM_END)
		look_behind(s);
	if (event != STREAM_BROKEN || s->src->error || q->foreign)
		return event;
	/* Data skipped since the order may belong to another stream as well */
	at = source_find(s->src, q->started && !q->in_htab ? MARK_STREAM : MARK_EXACT,
			 q->zeroes ?: NOWHERE);
	return at == NOWHERE ? event : tell_another(s, at);
}
