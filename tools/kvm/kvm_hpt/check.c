// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt check: is a stream well-formed, and could its HPTEs be those of a
 * guest?
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cmd.h"
#include "faults.h"
#include "table.h"

/**
 * struct check - the state of a check
 * @opts: the command line
 * @s: the stream
 * @t: what has been in it until now
 * @f: the faults found
 * @valid: number of valid HPTEs
 * @invalid: number of invalid HPTEs
 * @hashed: the hash of what is in @t was verified
 * @first_pass: the first pass has not reached the end yet
 * @sparse: it leaves out invalid HPTEs, as QEMU's own HPTs do
 * @expected: the index it goes on with
 */
struct check {
	struct options *opts;
	struct stream s;
	struct table t;
	struct faults f;
	u64 valid;
	u64 invalid;
	bool hashed;
	bool first_pass;
	bool sparse;
	u64 expected;
};

static void __printf(4, 5)
fault(struct check *c, u64 byte, u64 index, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	faults_vadd(&c->f, (struct place) { byte, c->s.records, index }, 0,
		    format, args);
	va_end(args);
}

/* Real addresses are those of the page's first byte */
static bool misaligned(struct hpte hpte, const struct hpte_page *page)
{
	u64 lp = hpte.v & HPTE_V_LARGE ? 0xff000 : 0;

	return (hpte.r & HPTE_R_RPN & ~lp) & (BIT_ULL(page->shift) - 1);
}

static bool wimg_reserved(struct hpte hpte)
{
	u64 wimg = hpte.r & HPTE_R_WIMG;

	/* Write through and not cached: all but strong access order */
	return wimg & HPTE_R_W && wimg & HPTE_R_I &&
	       wimg != (HPTE_R_W | HPTE_R_I | HPTE_R_M);
}

/* Bits that can't be like that, whatever the others say */
static const char *wrong_bits(struct hpte hpte)
{
	unsigned int pp = hpte_pp(hpte);

	if (!(hpte.v & HPTE_V_VALID))
		return "V is 0 in an HPTE that is said to be valid";
	if (hpte.v & HPTE_V_HOST)
		return "bits of dword 0 that are KVM's own are set";
	if (hpte.r & HPTE_R_MARK)
		return "bit 1 of dword 1 is set, KVM's own mark";
	if (pp == 4 || pp == 5 || pp == 7)
		return "the protection is reserved";
	if (wimg_reserved(hpte))
		return "the cache attributes (WIMG) are reserved";
	return NULL;
}

static const char *wrong_page(struct hpte hpte, const struct hpte_page *page)
{
	if (!page->segment_shift)
		return "the segment size (B) is reserved";
	if (!page->base_shift)
		return "the page size (LP) is reserved";
	if (page->shift > page->segment_shift)
		return "the page is larger than its segment";
	if (page->offset & (BIT_ULL(page->base_shift) - 1))
		return "the virtual address (AVPN) is in the middle of a page";
	if (misaligned(hpte, page))
		return "the real address is in the middle of a page";
	return NULL;
}

/* What is not of this stream is told of behind the record, not in it */
static bool of_another(struct check *c)
{
	return c->s.format == FORMAT_QEMU &&
	       (c->s.qemu.cut || qemu_record_cut(&c->s));
}

/* Is an HPTE in the right group? If its order is another one, it may be. */
static void check_hash(struct check *c, struct place at, struct hpte hpte,
		       const struct hpte_page *page)
{
	enum hash_verdict verdict;
	u64 orders;

	verdict = hpte_hash(hpte, page, at.index, c->s.order);
	if (verdict == HASH_RIGHT)
		return;
	if (of_another(c))
		return;
	orders = hpte_orders(hpte, at.index);
	if (orders && at.index > c->f.last_index)
		c->f.last_index = at.index;
	if (verdict == HASH_OTHER)
		faults_add(&c->f, at, orders,
			   "in the group of the %s hash, but H is %u",
			   hpte_secondary(hpte) ? "primary" : "secondary",
			   hpte_secondary(hpte));
	else
		faults_add(&c->f, at, orders,
			   "in a group that its address doesn't hash to");
}

static void check_valid(struct check *c, u64 byte, u64 index, struct hpte hpte)
{
	struct hpte_page page;
	const char *why;

	hpte_page(hpte, &page);
	why = wrong_bits(hpte);
	if (why && of_another(c))
		return;
	if (why)
		fault(c, byte, index, "%s", why);
	why = wrong_page(hpte, &page);
	if (why && of_another(c))
		return;
	if (why)
		fault(c, byte, index, "%s", why);
	else if (c->hashed && !c->opts->no_hash && index < c->s.nr_hptes)
		check_hash(c, (struct place) { byte, c->s.records, index },
			   hpte, &page);
}

/* The order is known only now: look at the HPTEs that there were before */
static void check_hashes(struct check *c)
{
	struct table_group *group;
	struct hpte_page page;
	struct place place;
	unsigned int i;
	u64 number;

	if (c->hashed || !c->s.order)
		return;
	c->hashed = true;
	if (c->opts->no_hash)
		return;
	for (number = 0; (group = table_next(&c->t, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++) {
			if (!(group->used & 1 << i))
				continue;
			hpte_page(group->hpte[i], &page);
			place.byte = group->offset[i];
			place.record = group->record[i];
			place.index = (number << GROUP_SHIFT) + i;
			if (!wrong_page(group->hpte[i], &page))
				check_hash(c, place, group->hpte[i], &page);
		}
}

/* The first pass has every HPTE, in order, and no other way to tell its end */
static void check_first_pass(struct check *c)
{
	u64 index = c->s.rec.index, byte = c->s.offset;

	/* The order may have become known with this record */
	if (c->expected >= c->s.nr_hptes) {
		c->first_pass = false;
		return;
	}
	if (c->s.format == FORMAT_QEMU && c->s.records == 1)
		c->sparse = true;
	if (c->sparse && index != c->expected) {
		/* That it has ended can only be seen when the next one begins */
		c->first_pass = index > c->expected;
	} else if (c->s.records == 1 && index != c->expected) {
		fault(c, byte, index, "the first pass doesn't begin at index 0x%llx",
		      c->expected);
	} else if (index > c->expected) {
		fault(c, byte, index, "the first pass leaves out HPTEs from 0x%llx",
		      c->expected);
	} else if (index && index < c->expected) {
		fault(c, byte, index, "the first pass goes back from 0x%llx",
		      c->expected);
	}
	if (c->s.rec.n_invalid)
		c->sparse = false;
	/* At index 0 it starts over: the HPT was reset */
	c->expected = c->s.next;
	if (c->expected >= c->s.nr_hptes)
		c->first_pass = false;
}

/* Orders with which a record would not reach beyond the end of the HPT */
static u64 record_orders(const struct check *c)
{
	u64 orders = 0, end = c->s.next;
	unsigned int order, i;

	for (order = MIN_ORDER; order <= MAX_ORDER; order++)
		if (end <= order_hptes(order))
			orders |= BIT_ULL(order);
	for (i = 0; i < c->s.rec.n_valid && !c->opts->no_hash; i++)
		orders &= hpte_orders(stream_hpte(&c->s, i),
				      c->s.rec.index + i);
	return orders;
}

static void check_range(struct check *c)
{
	struct place place = { c->s.offset, c->s.records, c->s.rec.index };
	u64 orders = record_orders(c);

	c->f.beyond += !!orders;
	if (orders && !c->opts->no_hash)
		c->f.beyond_hptes += c->s.rec.n_valid;
	if (orders && c->s.next - 1 > c->f.last_index)
		c->f.last_index = c->s.next - 1;
	faults_add(&c->f, place, orders, place.index >= c->s.nr_hptes ?
		   "begins behind the end of the HPT at 0x%llx" :
		   "reaches beyond the end of the HPT at 0x%llx",
		   c->s.nr_hptes);
}

static int check_record(struct check *c)
{
	u64 index = c->s.rec.index, byte = c->s.offset;
	unsigned int i;

	check_hashes(c);
	c->valid += c->s.rec.n_valid;
	c->invalid += c->s.rec.n_invalid;
	if (c->s.range)
		check_range(c);
	if (!c->s.rec.n_valid && !c->s.rec.n_invalid)
		fault(c, byte, index, "a record of no HPTEs");
	if (c->first_pass)
		check_first_pass(c);
	byte += sizeof(*c->s.buf);
	for (i = 0; i < c->s.rec.n_valid; i++)
		check_valid(c, byte + i * HPTE_BYTES, index + i,
			    stream_hpte(&c->s, i));
	return c->s.range ? 0 : table_apply(&c->t, &c->s);
}

/* Do two HPTEs of the same pair of groups translate the same? */
static bool same_page(struct hpte a, struct hpte b)
{
	struct hpte_page page_a, page_b;

	if ((a.v ^ b.v) & (HPTE_V_B | HPTE_V_AVPN))
		return false;
	hpte_page(a, &page_a);
	hpte_page(b, &page_b);
	return page_a.base_shift == page_b.base_shift;
}

static void twice(struct check *c, const struct table_group *group, u64 number,
		  unsigned int i, u64 like)
{
	struct place place = { group->offset[i], group->record[i],
			       (number << GROUP_SHIFT) + i };

	faults_add(&c->f, place, 0, "translates the same page as index 0x%llx",
		   like);
}

/* Look for another HPTE like one, behind it or in its secondary group */
static void check_twice(struct check *c, const struct table_group *group,
			u64 number, unsigned int i)
{
	u64 mask = order_groups(c->s.order) - 1;
	const struct table_group *other;
	unsigned int k;

	for (k = i + 1; k < GROUP_HPTES; k++)
		if (group->used & 1 << k &&
		    !((group->hpte[i].v ^ group->hpte[k].v) &
		      HPTE_V_SECONDARY) &&
		    same_page(group->hpte[i], group->hpte[k]))
			twice(c, group, number, k, (number << GROUP_SHIFT) + i);
	other = hpte_secondary(group->hpte[i]) ?
		table_group(&c->t, ~number & mask) : NULL;
	if (!other)
		return;
	for (k = 0; k < GROUP_HPTES; k++)
		if (other->used & 1 << k && !hpte_secondary(other->hpte[k]) &&
		    same_page(group->hpte[i], other->hpte[k]))
			twice(c, group, number, i,
			      ((~number & mask) << GROUP_SHIFT) + k);
}

/*
 * No page has two HPTEs. While the guest runs it may seem to, as an HPTE that
 * moves may be seen in both places; when all is reported that is over.
 */
static void check_table(struct check *c)
{
	const struct table_group *group;
	unsigned int i;
	u64 number;

	for (number = 0; (group = table_next(&c->t, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++)
			if (group->used & 1 << i)
				check_twice(c, group, number, i);
}

/* A first pass ends where the HPT does, which is that of some HPT */
static void check_first_end(struct check *c)
{
	struct place place = { c->s.src->pos, c->s.records, c->expected };
	unsigned int order;
	u64 orders = 0;

	if (!c->s.order) {
		fault(c, place.byte, place.index,
		      "ends before the first pass is at the end of an HPT");
		return;
	}
	if (c->expected >= c->s.nr_hptes)
		return;
	for (order = MIN_ORDER; order < c->s.order; order++)
		if (order_hptes(order) == c->expected)
			orders = BIT_ULL(order);
	faults_add(&c->f, place, orders,
		   "ends before the first pass is at the end of the HPT at 0x%llx",
		   c->s.nr_hptes);
}

/* The guest of a QEMU without KVM may have an HPT that is empty */
static void check_end(struct check *c)
{
	if (stream_no_hpt(&c->s) ||
	    (!c->s.records && c->s.format == FORMAT_QEMU))
		return;
	check_hashes(c);
	if (c->first_pass && !c->sparse)
		check_first_end(c);
	if (c->s.order && !c->opts->no_hash &&
	    !faults_order(&c->f, c->s.order))
		check_table(c);
}

/* Go through the stream. 0 at its end. */
static int check_stream(struct check *c)
{
	int err = 0;

	while (!err) {
		switch (stream_next(&c->s)) {
		case STREAM_RECORD:
			err = check_record(c);
			break;
		case STREAM_HPT:
			c->hashed = true;
			break;
		case STREAM_RADIX:
			table_free(&c->t);
			break;
		case STREAM_FAULT:
			fault(c, c->s.offset, NO_INDEX, "%s", c->s.error);
			break;
		case STREAM_BROKEN:
			if (c->s.src->error)
				return -EIO;
			if (c->s.qemu.foreign)
				return -EINVAL;
			fault(c, c->s.offset, NO_INDEX, "%s", c->s.error);
			return 0;
		case STREAM_END:
			check_end(c);
			return 0;
		}
	}
	return err;
}

static void summary_json(struct check *c, bool failed)
{
	struct out *out = &c->opts->out;

	fputs("\n], \"file\": ", out->file);
	out_string(out, c->opts->args[0]);
	fputs(", ", out->file);
	out_order(out, "order", c->s.order);
	fprintf(out->file, ", \"order_deduced\": %s, ",
		c->s.deduced ? "true" : "false");
	fprintf(out->file, "\"records\": %llu, \"passes\": %llu, ",
		c->s.records, c->s.pass);
	fprintf(out->file, "\"valid\": %llu, \"invalid\": %llu, ", c->valid,
		c->invalid);
	fprintf(out->file, "\"count\": %llu", c->f.count);
	if (failed) {
		fputs(", \"error\": ", out->file);
		out_string(out, c->s.error);
	}
	fputs("}\n", out->file);
}

static void summary(struct check *c)
{
	FILE *f = c->opts->out.file;

	if (c->opts->max && c->f.count > c->opts->max)
		fprintf(f, "and %llu more\n", c->f.count - c->opts->max);
	if (stream_no_hpt(&c->s)) {
		fputs("no HPT\n", f);
	} else {
		if (c->s.order)
			fprintf(f, "order %u%s, ", c->s.order,
				c->s.deduced ? " (deduced)" : "");
		else
			fputs("order unknown, ", f);
		fprintf(f, "%llu record%s, %llu pass%s\n", c->s.records,
			c->s.records == 1 ? "" : "s", c->s.pass,
			c->s.pass == 1 ? "" : "es");
		fprintf(f, "%llu valid and %llu invalid HPTEs\n", c->valid,
			c->invalid);
	}
	out_color(&c->opts->out, c->f.count ? RED : GREEN);
	if (c->f.count)
		fprintf(f, "%llu fault%s", c->f.count,
			c->f.count == 1 ? "" : "s");
	else
		fputs("well-formed", f);
	out_color(&c->opts->out, PLAIN);
	fputc('\n', f);
}

/* What can't be read or is no stream of an HPT has no summary */
static int failed(struct check *c, int err)
{
	if (err == -ENOMEM)
		msg("%s: %s", c->s.src->name, strerror(ENOMEM));
	else
		msg("%s: byte %llu: %s", c->s.src->name, c->s.offset,
		    c->s.error);
	return EXIT_FILE;
}

static int cmd_check(struct options *opts)
{
	struct check c = { .opts = opts, .expected = opts->start };
	unsigned int order;
	int err, ret;

	if (stream_open(&c.s, opts->args[0], &opts->stream))
		return EXIT_FILE;
	faults_init(&c.f, &opts->out, opts->max);
	c.first_pass = !opts->later && c.s.format != FORMAT_DEBUGFS;
	c.hashed = c.s.order;
	if (opts->out.json)
		fputs("{\"faults\": [", opts->out.file);
	err = check_stream(&c);
	order = faults_order(&c.f, c.s.order);
	faults_print(&c.f, &c.s, order);
	if (opts->out.json)
		summary_json(&c, err);
	else if (!err)
		summary(&c);
	ret = out_done(&opts->out);
	if (err)
		ret = failed(&c, err);
	table_free(&c.t);
	stream_close(&c.s);
	if (ret)
		return ret;
	return c.f.count ? EXIT_FOUND : EXIT_GOOD;
}

const struct command check_command = {
	.name = "check",
	.run = cmd_check,
	.min_args = 1,
	.max_args = 1,
	.args = "FILE",
	.options = STREAM_OPTIONS "s:lm:HP",
	.text = "find what is wrong in a stream",
};
