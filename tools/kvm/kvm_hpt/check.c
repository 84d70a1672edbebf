// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt check: is a stream well-formed, and could its HPTEs be those of a
 * guest?
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cmd.h"
#include "table.h"

/**
 * struct check - the state of a check
 * @opts: the command line
 * @s: the stream
 * @t: what has been in it until now
 * @faults: number of faults found
 * @valid: number of valid HPTEs
 * @invalid: number of invalid HPTEs
 * @first_pass: the first pass has not reached the end yet
 * @sparse: it leaves out invalid HPTEs, as QEMU's own HPTs do
 * @expected: the index it goes on with
 */
struct check {
	struct options *opts;
	struct stream s;
	struct table t;
	u64 faults;
	u64 valid;
	u64 invalid;
	bool first_pass;
	bool sparse;
	u64 expected;
};

#define NO_INDEX	(~0ULL)

static void fault_json(struct check *c, u64 byte, u64 index, const char *text)
{
	struct out *out = &c->opts->out;

	out_item(out, "  ");
	fprintf(out->file, "{\"byte\": %llu, \"record\": %llu, ", byte,
		c->s.records);
	if (index != NO_INDEX)
		fprintf(out->file, "\"index\": %llu, ", index);
	fputs("\"fault\": ", out->file);
	out_string(out, text);
	fputc('}', out->file);
}

static void __printf(4, 5)
fault(struct check *c, u64 byte, u64 index, const char *format, ...)
{
	struct out *out = &c->opts->out;
	char text[200];
	va_list args;

	if (c->faults++ >= c->opts->max && c->opts->max)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (out->json) {
		fault_json(c, byte, index, text);
		return;
	}
	fprintf(out->file, "byte %llu, record %llu", byte, c->s.records);
	if (index != NO_INDEX)
		fprintf(out->file, ", index 0x%llx", index);
	fputs(": ", out->file);
	out_color(out, RED);
	fputs(text, out->file);
	out_color(out, PLAIN);
	fputc('\n', out->file);
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

static void check_valid(struct check *c, u64 byte, u64 index, struct hpte hpte)
{
	struct hpte_page page;
	const char *why;

	hpte_page(hpte, &page);
	why = wrong_bits(hpte);
	if (why)
		fault(c, byte, index, "%s", why);
	why = wrong_page(hpte, &page);
	if (why) {
		fault(c, byte, index, "%s", why);
		return;
	}
	if (c->opts->no_hash || index >= c->s.nr_hptes)
		return;
	switch (hpte_hash(hpte, index, c->s.order)) {
	case HASH_RIGHT:
		break;
	case HASH_OTHER:
		fault(c, byte, index, "in the group of the %s hash, but H is %u",
		      hpte_secondary(hpte) ? "primary" : "secondary",
		      hpte_secondary(hpte));
		break;
	case HASH_WRONG:
		fault(c, byte, index, "in a group that its address doesn't hash to");
		break;
	}
}

/* The first pass has every HPTE, in order, and no other way to tell its end */
static void check_first_pass(struct check *c)
{
	u64 index = c->s.rec.index, byte = c->s.offset;

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

static int check_record(struct check *c)
{
	u64 index = c->s.rec.index, byte = c->s.offset;
	unsigned int i;

	c->valid += c->s.rec.n_valid;
	c->invalid += c->s.rec.n_invalid;
	if (c->s.range)
		fault(c, byte, index, index >= c->s.nr_hptes ?
		      "begins behind the end of the HPT at 0x%llx" :
		      "reaches beyond the end of the HPT at 0x%llx",
		      c->s.nr_hptes);
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
			fault(c, group->offset[k],
			      (number << GROUP_SHIFT) + k,
			      "translates the same page as index 0x%llx",
			      (number << GROUP_SHIFT) + i);
	other = table_group(&c->t, ~number & mask);
	if (!other || !hpte_secondary(group->hpte[i]))
		return;
	for (k = 0; k < GROUP_HPTES; k++)
		if (other->used & 1 << k && !hpte_secondary(other->hpte[k]) &&
		    same_page(group->hpte[i], other->hpte[k]))
			fault(c, group->offset[i],
			      (number << GROUP_SHIFT) + i,
			      "translates the same page as index 0x%llx",
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

static void check_end(struct check *c)
{
	if (!c->s.order)
		return;
	if (!c->s.records)
		fault(c, c->s.src->pos, NO_INDEX, "there are no records");
	else if (c->first_pass && !c->sparse)
		fault(c, c->s.src->pos, c->expected,
		      "ends before the first pass is at the end of the HPT at 0x%llx",
		      c->s.nr_hptes);
	if (!c->opts->no_hash)
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
			table_free(&c->t);
			break;
		case STREAM_RADIX:
			break;
		case STREAM_BROKEN:
			fault(c, c->s.offset, NO_INDEX, "%s", c->s.error);
			return c->s.src->error ? -EIO : 0;
		case STREAM_END:
			check_end(c);
			return 0;
		}
	}
	return err;
}

static void summary(struct check *c)
{
	struct out *out = &c->opts->out;
	bool deduced = !c->opts->stream.order && c->s.format != FORMAT_QEMU;
	u64 more = 0;

	if (c->opts->max && c->faults > c->opts->max)
		more = c->faults - c->opts->max;
	if (out->json) {
		fputs("\n], \"file\": ", out->file);
		out_string(out, c->opts->args[0]);
		fprintf(out->file, ", \"order\": %u, \"order_deduced\": %s, ",
			c->s.order, deduced ? "true" : "false");
		fprintf(out->file, "\"records\": %llu, \"passes\": %llu, ",
			c->s.records, c->s.pass);
		fprintf(out->file, "\"valid\": %llu, \"invalid\": %llu, ",
			c->valid, c->invalid);
		fprintf(out->file, "\"count\": %llu}\n", c->faults);
		return;
	}
	if (more)
		fprintf(out->file, "and %llu more\n", more);
	if (!c->s.order)
		fputs("no HPT\n", out->file);
	else
		fprintf(out->file, "order %u%s, %llu records, %llu pass%s\n",
			c->s.order, deduced ? " (deduced)" : "", c->s.records,
			c->s.pass, c->s.pass == 1 ? "" : "es");
	if (c->s.order)
		fprintf(out->file, "%llu valid and %llu invalid HPTEs\n",
			c->valid, c->invalid);
	out_color(out, c->faults ? RED : GREEN);
	if (c->faults)
		fprintf(out->file, "%llu fault%s", c->faults,
			c->faults == 1 ? "" : "s");
	else
		fputs("well-formed", out->file);
	out_color(out, PLAIN);
	fputc('\n', out->file);
}

/**
 * cmd_check() - find what is wrong in a stream
 * @opts: the command line
 *
 * Return: the exit code.
 */
int cmd_check(struct options *opts)
{
	struct check c = { .opts = opts, .expected = opts->start };
	int err, ret;

	if (stream_open(&c.s, opts->args[0], &opts->stream))
		return EXIT_FILE;
	c.first_pass = !opts->later && c.s.format != FORMAT_DEBUGFS;
	if (opts->out.json)
		fputs("{\"faults\": [", opts->out.file);
	err = check_stream(&c);
	summary(&c);
	ret = out_done(&opts->out);
	if (err) {
		msg("%s: %s", c.s.src->name,
		    strerror(err == -EIO ? c.s.src->error : -err));
		ret = EXIT_FILE;
	}
	table_free(&c.t);
	stream_close(&c.s);
	if (ret)
		return ret;
	return c.faults ? EXIT_FOUND : EXIT_GOOD;
}
