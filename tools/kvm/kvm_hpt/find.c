// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt find: find the HPTE of a virtual address, or why there is none.
 */
#include "cmd.h"
#include "table.h"

/* Base page sizes; an address hashes to other groups with each */
static const unsigned int base_shifts[] = { 12, 16, 24, 34 };

/**
 * struct search - what to look for
 * @opts: the command line
 * @t: the table
 * @segment_shift: log2 of the size of the segment
 * @offset: offset of the address in the segment
 * @base_shift: log2 of the base page size
 * @found: number of HPTEs that translate the address
 * @groups: number of groups searched
 */
struct search {
	struct options *opts;
	struct table t;
	unsigned int segment_shift;
	u64 offset;
	unsigned int base_shift;
	u64 found;
	u64 groups;
};

/* Why an HPTE does not translate the address; NULL if it does */
static const char *mismatch(const struct search *s, u64 index, struct hpte hpte,
			    bool secondary)
{
	struct hpte_page page;
	u64 mask = BIT_ULL(s->base_shift) - 1;

	hpte_page(hpte, &page);
	if (page.segment_shift != s->segment_shift)
		return "another segment size (B)";
	if (page.vsid != s->opts->filter.vsid)
		return "another segment";
	if (hpte_secondary(hpte) != secondary)
		return "H is of the other hash";
	if (page.base_shift != s->base_shift)
		return "another base page size";
	if ((hpte_offset(hpte, index, s->t.order) ^ s->offset) & ~mask)
		return "another page of the segment";
	return NULL;
}

static void show_text(struct search *s, u64 index, struct hpte hpte,
		      const char *why)
{
	struct out *out = &s->opts->out;

	out_hpte(out, hpte, index, s->t.order);
	if (s->opts->raw || s->opts->v3)
		out_hpte_raw(out, hpte, s->opts->v3);
	fprintf(out->file, "\n%12s%s\n", "", why ?: "matches");
}

static void show_json(struct search *s, u64 index, struct hpte hpte,
		      const char *why)
{
	struct out *out = &s->opts->out;

	out_item(out, "    ");
	fputs("{\"why_not\": ", out->file);
	if (why)
		out_string(out, why);
	else
		fputs("null", out->file);
	fputs(", \"hpte\": ", out->file);
	out_hpte_json(out, hpte, index, s->t.order);
	fputc('}', out->file);
}

static void begin_group(struct search *s, u64 number, bool secondary,
			unsigned int used)
{
	FILE *f = s->opts->out.file;
	const char *hash = secondary ? "secondary" : "primary";

	if (!s->opts->out.json) {
		fprintf(f, "%s group of base page %s: 0x%llx, ", hash,
			size_name(s->base_shift), number);
		fprintf(f, "index 0x%llx to 0x%llx, %u of 8 in use\n",
			number << GROUP_SHIFT,
			(number << GROUP_SHIFT) + GROUP_HPTES - 1, used);
		return;
	}
	fprintf(f, "%s\n  {\"base_page_size\": %llu, \"hash\": \"%s\", ",
		s->groups++ ? "," : "", BIT_ULL(s->base_shift), hash);
	fprintf(f, "\"group\": %llu, \"hptes\": [", number);
	s->opts->out.items = 0;
}

static void look_at(struct search *s, u64 number, bool secondary)
{
	const struct table_group *group = table_group(&s->t, number);
	unsigned int i, used = group ? group->used : 0;
	const char *why;
	u64 index;

	begin_group(s, number, secondary, __builtin_popcount(used));
	for (i = 0; i < GROUP_HPTES; i++) {
		if (!(used & 1 << i))
			continue;
		index = (number << GROUP_SHIFT) + i;
		why = mismatch(s, index, group->hpte[i], secondary);
		s->found += !why;
		if (s->opts->out.json)
			show_json(s, index, group->hpte[i], why);
		else
			show_text(s, index, group->hpte[i], why);
	}
	if (s->opts->out.json)
		fputs("]}", s->opts->out.file);
}

/* Does the segment have an HPTE with this base page size? */
static bool in_use(struct search *s, unsigned int base_shift)
{
	struct table_group *group;
	struct hpte_page page;
	unsigned int i;
	u64 number;

	for (number = 0; (group = table_next(&s->t, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++) {
			hpte_page(group->hpte[i], &page);
			if (group->used & 1 << i &&
			    page.vsid == s->opts->filter.vsid &&
			    page.segment_shift == s->segment_shift &&
			    page.base_shift == base_shift)
				return true;
		}
	return false;
}

static void look_for(struct search *s, unsigned int base_shift)
{
	u64 mask = order_groups(s->t.order) - 1, hash;

	s->base_shift = base_shift;
	hash = hpte_va_hash(s->opts->filter.vsid, s->offset, s->segment_shift,
			    base_shift);
	look_at(s, hash & mask, false);
	look_at(s, ~hash & mask, true);
}

static void search(struct search *s)
{
	FILE *f = s->opts->out.file;
	unsigned int i, sizes = 0;
	bool json = s->opts->out.json;

	if (json) {
		fputs("{\"file\": ", f);
		out_string(&s->opts->out, s->opts->args[0]);
		fputs(", ", f);
		out_order(&s->opts->out, "order", s->t.order);
		fputs(", \"groups\": [", f);
	}
	for (i = 0; i < ARRAY_SIZE(base_shifts); i++)
		if (base_shifts[i] <= s->segment_shift &&
		    in_use(s, base_shifts[i])) {
			look_for(s, base_shifts[i]);
			sizes++;
		}
	if (!sizes && !json)
		fprintf(f, "segment 0x%llx of %s has no HPTE; its groups would be:\n",
			s->opts->filter.vsid,
			s->segment_shift == 40 ? "1T" : "256M");
	for (i = 0; !sizes && i < ARRAY_SIZE(base_shifts); i++)
		if (base_shifts[i] <= s->segment_shift)
			look_for(s, base_shifts[i]);
	if (json)
		fprintf(f, "\n], \"found\": %llu}\n", s->found);
	else if (!s->found)
		fprintf(f, "no HPTE translates offset 0x%llx of segment 0x%llx\n",
			s->offset, s->opts->filter.vsid);
}

static int cmd_find(struct options *opts)
{
	struct search s = { .opts = opts };
	int ret;

	if (!opts->filter.by_vsid || !opts->by_ea) {
		msg("--vsid and --ea are required");
		return EXIT_USAGE;
	}
	s.segment_shift = opts->large_segment ? 40 : 28;
	s.offset = opts->ea & (BIT_ULL(s.segment_shift) - 1);
	if (opts->filter.vsid >> (78 - s.segment_shift)) {
		msg("segment 0x%llx is out of range",
		    opts->filter.vsid);
		return EXIT_USAGE;
	}
	if (table_load_ordered(&s.t, opts->args[0], &opts->stream))
		return EXIT_FILE;
	search(&s);
	table_free(&s.t);
	ret = out_done(&opts->out);
	if (ret)
		return ret;
	return s.found ? EXIT_GOOD : EXIT_FOUND;
}

const struct command find_command = {
	.name = "find",
	.run = cmd_find,
	.min_args = 1,
	.max_args = 1,
	.args = "FILE",
	.options = STREAM_OPTIONS "v:e:1x3",
	.text = "find the HPTE of an address, or show why there is none",
};
