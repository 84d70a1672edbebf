// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt map: statistics and a picture of an HPT.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "picture.h"
#include "table.h"

static enum look look_of(struct hpte hpte)
{
	if (hpte_bolted(hpte))
		return hpte_secondary(hpte) ? KERNEL_SECONDARY : KERNEL;
	return hpte_secondary(hpte) ? USER_SECONDARY : USER;
}

/* The look of an HPTE. @was and @is are NULL if it was or is not valid. */
static enum look look_since(const struct hpte *was, const struct hpte *is)
{
	if (!was)
		return NEW;
	if (!is)
		return GONE;
	if (was->v != is->v || (was->r ^ is->r) & ~HPTE_R_RC)
		return CHANGED;
	return was->r == is->r ? look_of(*is) : CHANGED_RC;
}

static const struct hpte *valid(const struct table_group *group, unsigned int i)
{
	return group && group->used & 1 << i ? &group->hpte[i] : NULL;
}

static void add(struct map *m, u64 number, enum look look)
{
	m->count[number >> m->fold][look]++;
	m->total[look]++;
}

/* Count the HPTEs in the table or, with @before, the changes since that */
static void count(struct map *m, struct table *t, struct table *before)
{
	const struct hpte *was, *is;
	struct table_group *group;
	unsigned int i;
	u64 number;

	for (number = 0; (group = table_next(t, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++) {
			is = valid(group, i);
			if (!is)
				continue;
			was = before ? valid(table_group(before, number), i) :
				       is;
			add(m, number, look_since(was, is));
		}
	if (!before)
		return;
	for (number = 0; (group = table_next(before, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++)
			if (valid(group, i) && !valid(table_group(t, number), i))
				add(m, number, GONE);
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && !strcmp(text + len - end_len, end);
}

static void print_legend(const struct map *m, const struct options *opts)
{
	FILE *f = opts->out.file;
	unsigned int look;

	fprintf(f, "\n%s\n", opts->output);
	for (look = 0; look < NR_LOOKS; look++)
		if (look < NEW || opts->before)
			fprintf(f, "  %-8s%-34s%10llu\n", looks[look].name,
				looks[look].text, m->total[look]);
	fputs("  dark    empty\n", f);
	fprintf(f, "  a square is %llu group%s of 8 HPTEs, a line %llu\n",
		BIT_ULL(m->fold), m->fold ? "s" : "", (u64)m->columns << m->fold);
}

/* The defined page sizes: base and actual */
static const unsigned int sizes[][2] = {
	{ 12, 12 }, { 12, 16 }, { 12, 24 }, { 16, 16 }, { 16, 24 }, { 24, 24 },
	{ 34, 34 }, { 0, 0 },
};

#define NR_SIZES	ARRAY_SIZE(sizes)

/**
 * struct stats - statistics of an HPT
 * @used: HPTEs in use
 * @bolted: of these, bolted
 * @secondary: of these, entered with the secondary hash
 * @large_segment: of these, in segments of 1T
 * @groups: number of groups with n HPTEs
 * @size: number of HPTEs of each page size
 * @run: length of the longest run of empty HPTEs
 * @run_at: index at which that begins
 */
struct stats {
	u64 used;
	u64 bolted;
	u64 secondary;
	u64 large_segment;
	u64 groups[GROUP_HPTES + 1];
	u64 size[NR_SIZES];
	u64 run;
	u64 run_at;
};

static void add_hpte(struct stats *st, struct hpte hpte)
{
	struct hpte_page page;
	unsigned int i = 0;

	hpte_page(hpte, &page);
	st->used++;
	st->bolted += hpte_bolted(hpte);
	st->secondary += hpte_secondary(hpte);
	st->large_segment += page.segment_shift == 40;
	while (i < NR_SIZES - 1 && (sizes[i][0] != page.base_shift ||
				    sizes[i][1] != page.shift))
		i++;
	st->size[i]++;
}

static void end_run(struct stats *st, u64 begin, u64 end)
{
	if (end - begin <= st->run)
		return;
	st->run = end - begin;
	st->run_at = begin;
}

static void get_stats(struct stats *st, struct table *t)
{
	u64 number, groups = order_groups(t->order), empty = 0, index;
	struct table_group *group;
	unsigned int i;

	*st = (struct stats) { .groups[0] = groups };
	for (number = 0; (group = table_next(t, &number)); number++) {
		st->groups[0]--;
		st->groups[__builtin_popcount(group->used)]++;
		for (i = 0; i < GROUP_HPTES; i++) {
			if (!(group->used & 1 << i))
				continue;
			index = (number << GROUP_SHIFT) + i;
			end_run(st, empty, index);
			empty = index + 1;
			add_hpte(st, group->hpte[i]);
		}
	}
	end_run(st, empty, order_hptes(t->order));
}

/* Numbers of changes to print */
static const struct {
	enum look look;
	const char *name;
} changes[] = {
	{ NEW, "new" },
	{ GONE, "gone" },
	{ CHANGED, "changed" },
	{ CHANGED_RC, "changed_rc" },
};

static void print_changes(const struct map *m, const struct options *opts)
{
	FILE *f = opts->out.file;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(changes); i++)
		fprintf(f, "%-34s%10llu\n", looks[changes[i].look].text,
			m->total[changes[i].look]);
}

static void json_changes(const struct map *m, const struct options *opts)
{
	FILE *f = opts->out.file;
	unsigned int i;

	fputs(",\n \"before\": ", f);
	out_string(&opts->out, opts->before);
	for (i = 0; i < ARRAY_SIZE(changes); i++)
		fprintf(f, ", \"%s\": %llu", changes[i].name,
			m->total[changes[i].look]);
}

static void print_stats(const struct stats *st, const struct options *opts,
			unsigned int order)
{
	u64 groups = order_groups(order);
	FILE *f = opts->out.file;
	unsigned int i, bar;

	fprintf(f, "%-24s%10u\n", "order", order);
	fprintf(f, "%-24s%10llu\n", "groups", groups);
	fprintf(f, "%-24s%10llu\n", "HPTEs", order_hptes(order));
	fprintf(f, "%-24s%10llu  %5.1f %%\n", "in use", st->used,
		100.0 * st->used / order_hptes(order));
	fprintf(f, "%-24s%10llu\n", "  bolted", st->bolted);
	fprintf(f, "%-24s%10llu\n", "  primary hash", st->used - st->secondary);
	fprintf(f, "%-24s%10llu\n", "  secondary hash", st->secondary);
	fprintf(f, "%-24s%10llu\n", "  in segments of 256M",
		st->used - st->large_segment);
	fprintf(f, "%-24s%10llu\n", "  in segments of 1T", st->large_segment);
	for (i = 0; i < NR_SIZES; i++)
		if (st->size[i])
			fprintf(f, "  %-4s page in %-4s %10s%10llu\n",
				size_name(sizes[i][1]), size_name(sizes[i][0]),
				"", st->size[i]);
	fprintf(f, "%-24s%10llu  from index 0x%llx\n", "longest empty run",
		st->run, st->run_at);
	fputs("groups with\n", f);
	for (i = 0; i <= GROUP_HPTES; i++) {
		fprintf(f, "  %u HPTE%-16s%10llu", i, i == 1 ? "" : "s",
			st->groups[i]);
		bar = (st->groups[i] * 40 + groups - 1) / groups;
		fputs(bar ? "  " : "", f);
		while (bar--)
			fputc('#', f);
		fputc('\n', f);
	}
}

static void json_stats(const struct stats *st, const struct map *m,
		       const struct options *opts, unsigned int order)
{
	FILE *f = opts->out.file;
	unsigned int i;

	fputs("{\"file\": ", f);
	out_string(&opts->out, opts->args[0]);
	fprintf(f, ", \"order\": %u, \"groups\": %llu, \"hptes\": %llu,\n",
		order, order_groups(order), order_hptes(order));
	fprintf(f, " \"used\": %llu, \"bolted\": %llu, \"secondary\": %llu, ",
		st->used, st->bolted, st->secondary);
	fprintf(f, "\"segments_1t\": %llu,\n", st->large_segment);
	fprintf(f, " \"longest_empty_run\": %llu, \"longest_empty_run_index\": %llu,\n",
		st->run, st->run_at);
	fputs(" \"groups_with\": [", f);
	for (i = 0; i <= GROUP_HPTES; i++)
		fprintf(f, "%s%llu", i ? ", " : "", st->groups[i]);
	fputs("],\n \"page_sizes\": [", f);
	for (i = 0; i < NR_SIZES; i++)
		fprintf(f, "%s{\"base\": %llu, \"actual\": %llu, \"hptes\": %llu}",
			i ? ", " : "",
			sizes[i][0] ? BIT_ULL(sizes[i][0]) : 0,
			sizes[i][1] ? BIT_ULL(sizes[i][1]) : 0, st->size[i]);
	fputc(']', f);
	if (opts->before)
		json_changes(m, opts);
	fputs("}\n", f);
}

static int load_before(struct table *before, const struct table *t,
		       const struct options *opts)
{
	if (!opts->before)
		return 0;
	if (table_load_ordered(before, opts->before, &opts->stream))
		return -1;
	if (before->order == t->order)
		return 0;
	msg("%s has an HPT of order %u, %s one of order %u", before->name,
	    before->order, t->name, t->order);
	return -1;
}

static int show_map(struct table *t, struct table *before,
		    const struct options *opts)
{
	int ret = EXIT_GOOD;
	struct map m = {};
	struct stats st;

	map_lay_out(&m, t->order);
	m.count = calloc((size_t)m.columns * m.rows, sizeof(*m.count));
	if (!m.count) {
		msg("%s", strerror(ENOMEM));
		return EXIT_FILE;
	}
	count(&m, t, before);
	get_stats(&st, t);
	if (opts->out.json)
		json_stats(&st, &m, opts, t->order);
	else
		print_stats(&st, opts, t->order);
	if (opts->output)
		ret = map_draw(&m, opts, t->order);
	if (opts->output && ret == EXIT_GOOD && !opts->out.json)
		print_legend(&m, opts);
	else if (!opts->output && before && !opts->out.json)
		print_changes(&m, opts);
	free(m.count);
	return ret;
}

static int cmd_map(struct options *opts)
{
	struct table t, before = {};
	int ret = EXIT_FILE, err;

	if (opts->output && !ends_with(opts->output, ".png") &&
	    !ends_with(opts->output, ".svg")) {
		msg("%s is neither .png nor .svg", opts->output);
		return EXIT_USAGE;
	}
	if (table_load_ordered(&t, opts->args[0], &opts->stream))
		return EXIT_FILE;
	if (!load_before(&before, &t, opts))
		ret = show_map(&t, opts->before ? &before : NULL, opts);
	table_free(&t);
	table_free(&before);
	err = out_done(&opts->out);
	return ret ?: err;
}

const struct command map_command = {
	.name = "map",
	.run = cmd_map,
	.min_args = 1,
	.max_args = 1,
	.args = "FILE",
	.options = STREAM_OPTIONS "o:B:",
	.text = "print statistics of the HPT and draw it",
};
