// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt diff: how the HPTs at the end of two streams differ.
 */
#include "cmd.h"
#include "table.h"

/* Kinds of differences, the most important first */
enum difference { ONLY_A, ONLY_B, PAGE, REAL, ACCESS, FLAGS, RC, NR_KINDS };

static const char * const kind_names[] = {
	[ONLY_A]	= "only_a",
	[ONLY_B]	= "only_b",
	[PAGE]		= "page",
	[REAL]		= "real",
	[ACCESS]	= "access",
	[FLAGS]		= "flags",
	[RC]		= "rc",
};

static const char * const kind_texts[] = {
	[ONLY_A]	= "only in A (-)",
	[ONLY_B]	= "only in B (+)",
	[PAGE]		= "another virtual page",
	[REAL]		= "another real address or page size",
	[ACCESS]	= "another protection, key or cache attribute",
	[FLAGS]		= "bolted or software bit",
	[RC]		= "only R or C",
};

/**
 * struct diff - the state of a comparison
 * @opts: the command line
 * @order: of the HPTs
 * @same: number of HPTEs that are the same
 * @differ: number of differences of each kind
 */
struct diff {
	struct options *opts;
	unsigned int order[2];
	u64 same;
	u64 differ[NR_KINDS];
};

static struct hpte hpte_of(const struct table_group *group, unsigned int i)
{
	if (!group || !(group->used & 1 << i))
		return (struct hpte) {};
	return group->hpte[i];
}

static bool is_valid(const struct table_group *group, unsigned int i)
{
	return group && group->used & 1 << i;
}

/* How two different valid HPTEs differ */
static enum difference compare(struct hpte a, struct hpte b)
{
	u64 v = a.v ^ b.v, r = a.r ^ b.r;

	if (v & (HPTE_V_B | HPTE_V_AVPN | HPTE_V_SECONDARY))
		return PAGE;
	if (v & HPTE_V_LARGE || r & HPTE_R_RPN)
		return REAL;
	if (r & ~HPTE_R_RC)
		return ACCESS;
	return v ? FLAGS : RC;
}

static void side(struct diff *d, char sign, struct hpte hpte, u64 index,
		 unsigned int order)
{
	struct out *out = &d->opts->out;

	out_color(out, sign == '-' ? RED : GREEN);
	fprintf(out->file, "%c ", sign);
	out_color(out, PLAIN);
	out_hpte(out, hpte, index, order);
	if (d->opts->raw || d->opts->v3)
		out_hpte_raw(out, hpte, d->opts->v3);
	fputc('\n', out->file);
}

static void side_json(struct diff *d, const char *name, struct hpte hpte,
		      u64 index, unsigned int order)
{
	fprintf(d->opts->out.file, ", \"%s\": ", name);
	out_hpte_json(&d->opts->out, hpte, index, order);
}

static void show(struct diff *d, enum difference kind, u64 index,
		 struct hpte a, struct hpte b)
{
	struct out *out = &d->opts->out;

	if (out->json) {
		out_item(out, "  ");
		fprintf(out->file, "{\"index\": %llu, \"kind\": \"%s\"", index,
			kind_names[kind]);
		if (kind != ONLY_B)
			side_json(d, "a", a, index, d->order[0]);
		if (kind != ONLY_A)
			side_json(d, "b", b, index, d->order[1]);
		fputc('}', out->file);
		return;
	}
	if (!out->items++)
		fputs("  " HPTE_HEADING, out->file);
	if (kind != ONLY_B)
		side(d, '-', a, index, d->order[0]);
	if (kind != ONLY_A)
		side(d, '+', b, index, d->order[1]);
}

static void diff_hpte(struct diff *d, u64 index, const struct table_group *a,
		      const struct table_group *b)
{
	unsigned int i = index & (GROUP_HPTES - 1);
	struct hpte hpte_a = hpte_of(a, i), hpte_b = hpte_of(b, i);
	enum difference kind;

	if (!is_valid(a, i) && !is_valid(b, i))
		return;
	if (!is_valid(b, i))
		kind = ONLY_A;
	else if (!is_valid(a, i))
		kind = ONLY_B;
	else if (hpte_a.v == hpte_b.v && hpte_a.r == hpte_b.r)
		kind = NR_KINDS;
	else
		kind = compare(hpte_a, hpte_b);
	if (kind == NR_KINDS || (kind == RC && d->opts->ignore_rc)) {
		d->same++;
		return;
	}
	d->differ[kind]++;
	show(d, kind, index, hpte_a, hpte_b);
}

static void diff_tables(struct diff *d, struct table *a, struct table *b)
{
	u64 number_a, number_b, number;
	const void *in_a, *in_b;
	unsigned int i;

	for (number = 0;; number++) {
		number_a = number;
		number_b = number;
		in_a = table_next(a, &number_a);
		in_b = table_next(b, &number_b);
		if (!in_a && !in_b)
			break;
		number = number_a < number_b ? number_a : number_b;
		for (i = 0; i < GROUP_HPTES; i++)
			diff_hpte(d, (number << GROUP_SHIFT) + i,
				  table_group(a, number),
				  table_group(b, number));
	}
}

static void summary_begin(struct diff *d)
{
	struct out *out = &d->opts->out;

	fputs("\n], ", out->file);
	out_order(out, "order_a", d->order[0]);
	fputs(", ", out->file);
	out_order(out, "order_b", d->order[1]);
	fprintf(out->file, ", \"same\": %llu", d->same);
}

static u64 summary(struct diff *d)
{
	struct out *out = &d->opts->out;
	unsigned int kind;
	u64 sum = 0;

	if (out->json)
		summary_begin(d);
	for (kind = 0; kind < NR_KINDS; kind++) {
		sum += d->differ[kind];
		if (out->json)
			fprintf(out->file, ", \"%s\": %llu", kind_names[kind],
				d->differ[kind]);
		else if (d->differ[kind])
			fprintf(out->file, "%10llu %s\n", d->differ[kind],
				kind_texts[kind]);
	}
	if (out->json)
		fputs("}\n", out->file);
	else
		fprintf(out->file, "%10llu the same\n", d->same);
	return sum;
}

static const char *order_name(unsigned int order, char *buf, size_t size)
{
	if (!order)
		return "unknown";
	snprintf(buf, size, "%u", order);
	return buf;
}

static void show_orders(const struct diff *d)
{
	char a[16], b[16];

	fprintf(d->opts->out.file, "A is of order %s, B of order %s\n",
		order_name(d->order[0], a, sizeof(a)),
		order_name(d->order[1], b, sizeof(b)));
}

static int cmd_diff(struct options *opts)
{
	struct diff d = { .opts = opts };
	struct table a, b;
	bool other_order;
	u64 differences;
	int ret;

	if (table_load(&a, opts->args[0], &opts->stream))
		return EXIT_FILE;
	if (table_load(&b, opts->args[1], &opts->stream)) {
		table_free(&a);
		return EXIT_FILE;
	}
	d.order[0] = a.order;
	d.order[1] = b.order;
	other_order = a.order && b.order && a.order != b.order;
	if (other_order && !opts->out.json)
		show_orders(&d);
	if (opts->out.json)
		fputs("{\"differences\": [", opts->out.file);
	diff_tables(&d, &a, &b);
	differences = summary(&d);
	table_free(&a);
	table_free(&b);
	ret = out_done(&opts->out);
	if (ret)
		return ret;
	return differences || other_order ? EXIT_FOUND : EXIT_GOOD;
}

const struct command diff_command = {
	.name = "diff",
	.run = cmd_diff,
	.min_args = 2,
	.max_args = 2,
	.args = "A B",
	.options = STREAM_OPTIONS "Rx3",
	.text = "show how two HPTs differ",
};
