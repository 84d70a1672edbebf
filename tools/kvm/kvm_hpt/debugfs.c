// SPDX-License-Identifier: GPL-2.0
/*
 * The HPT as KVM shows it in /sys/kernel/debug/kvm/PID-FD/htab: a line for
 * each HPTE with its index, both dwords of the hardware's, and dword 1 of the
 * guest's. It is read as if each line were a record.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define LINE_BYTES	128

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

/* The guest's view of an HPTE of the host's, in whatever form that has it */
static struct hpte guest_view(u64 v, u64 r, u64 guest)
{
	if (v & HPTE_V_VALID)
		guest |= r & HPTE_R_RC;
	/* A host before v3.0 has no real addresses that reach up to B there */
	v |= (r & HPTE_R_3_0_B) << (HPTE_V_B_SHIFT - HPTE_R_3_0_B_SHIFT);
	return (struct hpte) {
		.v = (v & ~HPTE_V_HOST) | HPTE_V_VALID,
		.r = guest & ~HPTE_R_MARK,
	};
}

/**
 * debugfs_next() - read on in the text of debugfs
 * @s: the stream
 *
 * Return: as stream_next().
 */
enum stream_event debugfs_next(struct stream *s)
{
	char line[LINE_BYTES], *at = line, *after;
	u64 offset = s->src->pos, number[4];
	const unsigned char *data;
	struct hpte hpte;
	unsigned int i;

	if (!source_peek(s->src, &data) && !s->src->error)
		return STREAM_END;
	s->records++;
	if (read_line(s->src, line) < 0)
		return stream_broken(s, offset, "has a line without an end");
	for (i = 0; i < 4; i++, at = after) {
		number[i] = strtoull(at, &after, 16);
		if (after == at || number[0] > MAX_HPTES - 1)
			return stream_broken(s, offset,
					     "has a line that is no HPTE");
	}
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
