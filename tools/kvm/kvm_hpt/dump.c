// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt dump shows the HPT at the end of a stream, kvm-hpt decode the stream
 * record by record.
 */
#include "cmd.h"
#include "table.h"

static bool in_range(struct range range, u64 first, u64 last)
{
	return first <= range.last && last >= range.first;
}

/* Does a filter depend on the HPTE, so that invalid ones are not shown? */
static bool filters_hptes(const struct filter *filter)
{
	return filter->by_vsid || filter->bolted || filter->real.first ||
	       ~filter->real.last;
}

/* Without a filter, a stream without HPTEs has all that was asked for */
static bool filters(const struct filter *filter)
{
	return filters_hptes(filter) || filter->index.first || ~filter->index.last;
}

static bool shown(const struct filter *filter, struct hpte hpte, u64 index)
{
	struct hpte_page page;
	u64 last;

	hpte_page(hpte, &page);
	last = page.real + (page.shift ? BIT_ULL(page.shift) - 1 : 0);
	return in_range(filter->index, index, index) &&
	       (!filter->by_vsid || filter->vsid == page.vsid) &&
	       (!filter->bolted || hpte_bolted(hpte)) &&
	       in_range(filter->real, page.real, last);
}

static void show(struct options *opts, struct hpte hpte, u64 index,
		 unsigned int order, const char *indent)
{
	if (opts->out.json) {
		out_item(&opts->out, indent);
		out_hpte_json(&opts->out, hpte, index, order);
		return;
	}
	out_hpte(&opts->out, hpte, index, order);
	if (opts->raw || opts->v3)
		out_hpte_raw(&opts->out, hpte, opts->v3);
	fputc('\n', opts->out.file);
}

static void begin(struct options *opts, unsigned int order, const char *list)
{
	FILE *f = opts->out.file;

	if (!opts->out.json) {
		fputs(HPTE_HEADING, f);
		return;
	}
	fputs("{\"file\": ", f);
	out_string(&opts->out, opts->args[0]);
	fputs(", ", f);
	out_order(&opts->out, "order", order);
	fprintf(f, ", \"%s\": [", list);
	opts->out.items = 0;
}

/* Without the order of the HPT, some values cannot be shown */
static void order_unknown(const char *name)
{
	msg("%s does not contain the order of the HPT: offsets lack their lowest bits, use --order",
	    name);
}

static int cmd_dump(struct options *opts)
{
	struct table_group *group;
	u64 number, index, items = 0;
	struct table t;
	unsigned int i;
	bool empty;
	int ret;

	if (table_load(&t, opts->args[0], &opts->stream))
		return EXIT_FILE;
	if (!t.order)
		order_unknown(t.name);
	begin(opts, t.order, "hptes");
	for (number = 0; (group = table_next(&t, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++) {
			index = (number << GROUP_SHIFT) + i;
			if (!(group->used & 1 << i) ||
			    !shown(&opts->filter, group->hpte[i], index))
				continue;
			show(opts, group->hpte[i], index, t.order, "  ");
			items++;
		}
	if (opts->out.json)
		fputs("\n]}\n", opts->out.file);
	number = 0;
	empty = !table_next(&t, &number);
	table_free(&t);
	ret = out_done(&opts->out);
	if (ret)
		return ret;
	return items || (empty && !filters(&opts->filter)) ? EXIT_GOOD : EXIT_FOUND;
}

const struct command dump_command = {
	.name = "dump",
	.run = cmd_dump,
	.min_args = 1,
	.max_args = 1,
	.args = "FILE",
	.options = HPTE_OPTIONS,
	.text = "show the HPT at the end of a stream",
};

static bool record_shown(const struct options *opts, const struct stream *s)
{
	unsigned int i;

	for (i = 0; i < s->rec.n_valid; i++)
		if (shown(&opts->filter, stream_hpte(s, i), s->rec.index + i))
			return true;
	/* A record without any HPTEs is a fault, which is always shown */
	if (filters_hptes(&opts->filter))
		return false;
	return !s->rec.n_valid && !s->rec.n_invalid ? true :
	       s->rec.n_invalid &&
	       in_range(opts->filter.index, s->rec.index + s->rec.n_valid,
			s->next - 1);
}

static void record_head(struct options *opts, const struct stream *s)
{
	FILE *f = opts->out.file;

	if (!opts->out.json) {
		fprintf(f, "byte %llu, record %llu, pass %llu: ", s->offset,
			s->records, s->pass);
		fprintf(f, "index %llx, %lu valid, %lu invalid\n",
			s->rec.index, s->rec.n_valid, s->rec.n_invalid);
		return;
	}
	out_item(&opts->out, "  ");
	fprintf(f, "{\"byte\": %llu, \"record\": %llu, \"pass\": %llu, ",
		s->offset, s->records, s->pass);
	fprintf(f, "\"index\": %llu, \"valid\": %lu, \"invalid\": %lu, ",
		s->rec.index, s->rec.n_valid, s->rec.n_invalid);
	fputs("\"hptes\": [", f);
}

/* Returns whether the record is shown */
static bool decode_record(struct options *opts, const struct stream *s)
{
	u64 items;
	unsigned int i;

	if (!record_shown(opts, s))
		return false;
	record_head(opts, s);
	items = opts->out.items;
	opts->out.items = 0;
	for (i = 0; i < s->rec.n_valid; i++)
		if (shown(&opts->filter, stream_hpte(s, i), s->rec.index + i))
			show(opts, stream_hpte(s, i), s->rec.index + i,
			     s->order, "    ");
	if (opts->out.json)
		fputs("]}", opts->out.file);
	opts->out.items = items;
	return true;
}

/* Between two records, the HPT was replaced by an empty one */
static void decode_replaced(struct options *opts, const struct stream *s)
{
	char text[REPLACED_TEXT];

	if (!opts->out.json && stream_replaced(s, text, sizeof(text)))
		fprintf(opts->out.file, "%s\n", text);
}

static int decode_end(struct options *opts, const struct stream *s, bool broken,
		      bool some)
{
	FILE *f = opts->out.file;
	int err;

	if (opts->out.json) {
		fputs("\n]", f);
		out_replaced(&opts->out, s->replaced, s->replaced_at);
		if (s->replaced) {
			fputs(", ", f);
			out_order(&opts->out, "order_at_end", s->order);
		}
		if (broken) {
			fputs(", \"error\": ", f);
			out_string(&opts->out, s->error);
		}
		fputs("}\n", f);
	}
	err = out_done(&opts->out);
	if (!broken) {
		if (err)
			return err;
		return some || (!s->records && !filters(&opts->filter)) ?
		       EXIT_GOOD : EXIT_FOUND;
	}
	msg("%s: byte %llu: %s", s->src->name, s->offset, s->error);
	return EXIT_FILE;
}

static int cmd_decode(struct options *opts)
{
	enum stream_event event;
	bool some = false;
	struct stream s;
	int ret;

	if (stream_open(&s, opts->args[0], &opts->stream))
		return EXIT_FILE;
	if (stream_look_through(&s)) {
		stream_close(&s);
		return EXIT_FILE;
	}
	/* These events contain the order of QEMU's stream */
	do {
		event = stream_next(&s);
	} while (event == STREAM_HPT || event == STREAM_RADIX);
	if (!s.order && event == STREAM_RECORD)
		order_unknown(s.src->name);
	begin(opts, s.order, "records");
	decode_replaced(opts, &s);
	while (event != STREAM_END && event != STREAM_BROKEN) {
		if (event == STREAM_RECORD)
			some |= decode_record(opts, &s);
		if (event == STREAM_FAULT)
			msg("%s: byte %llu: %s", s.src->name, s.offset, s.error);
		if (event == STREAM_HPT)
			decode_replaced(opts, &s);
		event = stream_next(&s);
	}
	ret = decode_end(opts, &s, event == STREAM_BROKEN, some);
	if (ret == EXIT_GOOD && stream_no_hpt(&s)) {
		msg("%s: the guest has no HPT", s.src->name);
		ret = EXIT_FILE;
	}
	stream_close(&s);
	return ret;
}

const struct command decode_command = {
	.name = "decode",
	.run = cmd_decode,
	.min_args = 1,
	.max_args = 1,
	.args = "FILE",
	.options = HPTE_OPTIONS,
	.text = "show a stream record by record",
};
