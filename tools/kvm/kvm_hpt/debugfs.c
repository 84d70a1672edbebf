// SPDX-License-Identifier: GPL-2.0
/*
 * The text in /sys/kernel/debug/kvm/PID-FD/htab: a line for each HPTE with its
 * index, both dwords of the real HPTE, and dword 1 of the guest's view. Each
 * line is read as a record.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define LINE_BYTES	128

/* What is in a line */
#define NR_NUMBERS	4
#define DWORD_DIGITS	16

/* Read a line into @line, without what ends it. Return its length or -1. */
static int read_line(struct source *src, char *line)
{
	const unsigned char *data, *end;
	size_t len = source_peek(src, &data);

	end = memchr(data, '\n', len);
	if (!end || end - data >= LINE_BYTES)
		return -1;
	source_read(src, line, end - data + 1);
	line[end - data] = 0;
	return end - data;
}

/* The guest's view of a real HPTE in either format */
static struct hpte guest_view(u64 v, u64 r, u64 guest)
{
	if (v & HPTE_V_VALID)
		guest |= r & HPTE_R_RC;
	/* Hosts before v3.0 have no real addresses that use the bits of B */
	v |= (r & HPTE_R_3_0_B) << (HPTE_V_B_SHIFT - HPTE_R_3_0_B_SHIFT);
	return (struct hpte) {
		.v = (v & ~HPTE_V_HOST) | HPTE_V_VALID,
		.r = guest & ~HPTE_R_MARK,
	};
}

/* An index, and dwords with all of their digits; "\r" may end the line */
static bool parse_line(char *line, u64 *number)
{
	char *at = line, *after;
	unsigned int i;

	for (i = 0; i < NR_NUMBERS; i++, at = after) {
		number[i] = strtoull(at, &after, 16);
		if (i ? *at != ' ' || after - at != 1 + DWORD_DIGITS :
			after == at)
			return false;
	}
	return (!*at || !strcmp(at, "\r")) && number[0] < MAX_HPTES;
}

/**
 * debugfs_next() - read on in the text of debugfs
 * @s: the stream
 *
 * Return: as stream_next().
 */
enum stream_event debugfs_next(struct stream *s)
{
	u64 offset = s->src->pos, number[NR_NUMBERS];
	const unsigned char *data;
	char line[LINE_BYTES];
	struct hpte hpte;

	if (!source_peek(s->src, &data) && !s->src->error)
		return STREAM_END;
	s->records++;
	if (read_line(s->src, line) < 0)
		return stream_broken(s, offset, "has a line without an end");
	if (!parse_line(line, number))
		return stream_broken(s, offset, "has a line that is not an HPTE");
	/* One HPT has each index once, in ascending order */
	if (number[0] < s->next)
		return stream_broken(s, offset,
				     "goes back to index 0x%llx: this is another HPT",
				     number[0]);
	hpte = guest_view(number[1], number[2], number[3]);
	*s->buf = (struct kvm_get_htab_header) {
		.index = number[0],
		.n_valid = 1,
	};
	((__be64 *)(s->buf + 1))[0] = htobe64(hpte.v);
	((__be64 *)(s->buf + 1))[1] = htobe64(hpte.r);
	s->range = hpt_decode(s->buf, HPT_RECORD_MIN, s->nr_hptes, &s->rec);
	s->offset = offset;
	return STREAM_RECORD;
}
