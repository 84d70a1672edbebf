// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt check: is a stream well-formed, and could its HPTEs be those of a
 * guest?
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "digest.h"
#include "faults.h"
#include "table.h"

/*
 * What is known of an HPTE in the table, instead of its two dwords. One for the
 * same page has the same of dword 0 and the same base page size. Where it was
 * in the stream is the position and the lowest bits of the record's number;
 * the others are known from the position.
 */
#define KEY_V		(HPTE_V_B | HPTE_V_AVPN | HPTE_V_SECONDARY)
#define KEY_SHIFT	1
#define KEY_BASE	(0x3fULL << KEY_SHIFT & ~HPTE_V_SECONDARY)
#define KEY_WRONG	0x1ULL
#define PLACE_RECORD	15

/**
 * struct check - the state of a check
 * @opts: the command line
 * @s: the stream
 * @t: what has been in it until now
 * @digest: of which only digests are kept: enough for a stream without a fault
 * @suspect: of these, two may translate the same page
 * @f: the faults found
 * @valid: number of valid HPTEs
 * @invalid: number of invalid HPTEs
 * @places: where each record is that has a round number
 * @nr_places: how many there are
 * @unlike: bits in which a group is not what an HPTE hashes to, before @hashed
 * @hashed: the hash of what is in @t was verified
 * @first_pass: the first pass has not reached the end yet
 * @sparse: it leaves out invalid HPTEs, as QEMU's own HPTs do
 * @expected: the index it goes on with
 */
struct check {
	struct options *opts;
	struct stream s;
	struct table t;
	bool digest;
	bool suspect;
	struct faults f;
	u64 valid;
	u64 invalid;
	u64 *places;
	u64 nr_places;
	u64 unlike;
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

/*
 * Most HPTEs have a page of 4K or 64K and nothing unusual. The rules above have
 * nothing to say of these: this is the short way to see that.
 *
 * Return: log2 of their base page size, 0 of all others.
 */
static inline unsigned int plain_shift(struct hpte hpte)
{
	if ((hpte.v & (HPTE_V_VALID | HPTE_V_HOST)) != HPTE_V_VALID ||
	    hpte.v >> (HPTE_V_B_SHIFT + 1) ||
	    hpte.r & (HPTE_R_PP0 | HPTE_R_MARK | HPTE_R_W))
		return 0;
	if (!(hpte.v & HPTE_V_LARGE))
		return 12;
	return (hpte.r & 0xf000) == 0x1000 ? 16 : 0;
}

/* hpte_unlike() for such HPTEs */
static inline u64 plain_unlike(struct hpte hpte, unsigned int base_shift, u64 index)
{
	u64 avpn = (hpte.v & HPTE_V_AVPN) >> HPTE_V_AVPN_SHIFT;
	unsigned int seg = hpte.v >> HPTE_V_B_SHIFT ? 40 - AVPN_LOW :
						      28 - AVPN_LOW;
	u64 hash = avpn >> seg, group = index >> GROUP_SHIFT;

	if (seg == 40 - AVPN_LOW)
		hash ^= hash << 25;
	hash ^= (avpn & (BIT_ULL(seg) - 1)) << (AVPN_LOW - base_shift);
	if (hpte.v & HPTE_V_SECONDARY)
		group = ~group;
	return (hash ^ group) & (~0ULL << (AVPN_LOW - base_shift));
}

/* Return: what to keep of the HPTE */
static u64 check_valid(struct check *c, u64 byte, u64 index, struct hpte hpte)
{
	unsigned int shift = plain_shift(hpte);
	struct hpte_page page;
	u64 key, unlike;
	const char *why;

	if (shift) {
		unlike = plain_unlike(hpte, shift, index);
		if (!c->hashed)
			c->unlike |= unlike;
		if (!c->hashed || !(unlike & (order_groups(c->s.order) - 1)))
			return (hpte.v & KEY_V) | shift << KEY_SHIFT;
	}
	hpte_page(hpte, &page);
	key = (hpte.v & KEY_V) | page.base_shift << KEY_SHIFT;
	why = wrong_bits(hpte);
	if (why && !of_another(c))
		fault(c, byte, index, "%s", why);
	why = wrong_page(hpte, &page);
	if (why && !of_another(c))
		fault(c, byte, index, "%s", why);
	if (why)
		return key | KEY_WRONG;
	unlike = hpte_unlike(hpte, &page, index);
	if (!c->hashed)
		c->unlike |= unlike;
	else if (unlike & (order_groups(c->s.order) - 1) &&
		 !c->opts->no_hash && index < c->s.nr_hptes)
		check_hash(c, (struct place) { byte, c->s.records, index },
			   hpte, &page);
	return key;
}

/* As much of an HPTE as its key has */
static struct hpte key_hpte(u64 key)
{
	struct hpte hpte = { .v = (key & KEY_V) | HPTE_V_VALID };
	unsigned int base = (key & KEY_BASE) >> KEY_SHIFT;

	if (base != 12)
		hpte.v |= HPTE_V_LARGE;
	if (base == 16)
		hpte.r = 0x1000;
	if (base == 34)
		hpte.r = 0x3000;
	return hpte;
}

static int add_place(struct check *c)
{
	u64 *places;

	/* Each time there are twice as many */
	if (!(c->nr_places & (c->nr_places - 1))) {
		places = realloc(c->places, (2 * c->nr_places + 1) *
					    sizeof(*places));
		if (!places)
			return -ENOMEM;
		c->places = places;
	}
	c->places[c->nr_places++] = c->s.offset;
	return 0;
}

/* Where in the stream an HPTE in the table was */
static struct place find_place(const struct check *c, u64 kept, u64 index)
{
	u64 low = 0, high = c->nr_places, middle;
	struct place place = { .byte = kept >> PLACE_RECORD, .index = index };

	while (high - low > 1) {
		middle = (low + high) / 2;
		if (c->places[middle] <= place.byte)
			low = middle;
		else
			high = middle;
	}
	place.record = low << PLACE_RECORD | (kept & (BIT_ULL(PLACE_RECORD) - 1));
	return place;
}

/* The order is known only now: look at the HPTEs that there were before */
static int check_hashes(struct check *c)
{
	struct table_group *group;
	struct hpte_page page;
	struct hpte hpte;
	unsigned int i;
	u64 number;

	c->hashed = true;
	if (c->opts->no_hash || !(c->unlike & (order_groups(c->s.order) - 1)))
		return 0;
	if (c->digest)
		return -EAGAIN;
	for (number = 0; (group = table_next(&c->t, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++) {
			if (!(group->used & 1 << i) ||
			    group->hpte[i].v & KEY_WRONG)
				continue;
			hpte = key_hpte(group->hpte[i].v);
			hpte_page(hpte, &page);
			check_hash(c, find_place(c, group->hpte[i].r,
						 (number << GROUP_SHIFT) + i),
				   hpte, &page);
		}
	return 0;
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

static inline void put(struct check *c, struct table_group *group, u64 slot,
		       struct place at, u64 key)
{
	if (c->digest) {
		c->suspect |= digest_put((struct digest_group *)group, slot, key);
		return;
	}
	group->used |= 1 << slot;
	group->hpte[slot].v = key;
	group->hpte[slot].r = at.byte << PLACE_RECORD |
			      (at.record & (BIT_ULL(PLACE_RECORD) - 1));
}

/* Take an HPTE that was read into the table */
static inline int keep(struct check *c, struct place at, u64 key)
{
	struct table_group *group = table_make(&c->t, at.index >> GROUP_SHIFT);
	u64 slot = at.index & (GROUP_HPTES - 1);

	if (!group)
		return -ENOMEM;
	put(c, group, slot, at, key);
	return 0;
}

static int check_record(struct check *c)
{
	u64 index = c->s.rec.index, byte = c->s.offset, end, key;
	struct place place;
	unsigned int i;
	int err;

	if (c->nr_places <= c->s.records >> PLACE_RECORD && add_place(c))
		return -ENOMEM;
	if (!c->hashed && c->s.order) {
		err = check_hashes(c);
		if (err)
			return err;
	}
	c->valid += c->s.rec.n_valid;
	c->invalid += c->s.rec.n_invalid;
	if (c->s.range)
		check_range(c);
	if (!c->s.rec.n_valid && !c->s.rec.n_invalid)
		fault(c, byte, index, "a record of no HPTEs");
	if (c->first_pass)
		check_first_pass(c);
	byte += sizeof(*c->s.buf);
	end = index + c->s.rec.n_valid;
	for (i = 0; i < c->s.rec.n_valid; i++, byte += HPTE_BYTES) {
		place = (struct place) { byte, c->s.records, index + i };
		key = check_valid(c, byte, index + i, stream_hpte(&c->s, i));
		if (!c->s.range && keep(c, place, key))
			return -ENOMEM;
	}
	if (!c->s.range)
		table_clear(&c->t, end, end + c->s.rec.n_invalid);
	return 0;
}

/* Do two HPTEs of the same pair of groups translate the same? */
static bool same_page(u64 a, u64 b)
{
	return !((a ^ b) & (HPTE_V_B | HPTE_V_AVPN | KEY_BASE));
}

static void twice(struct check *c, const struct table_group *group, u64 number,
		  unsigned int i, u64 like)
{
	struct place place = find_place(c, group->hpte[i].r,
					(number << GROUP_SHIFT) + i);

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
		    same_page(group->hpte[i].v, group->hpte[k].v))
			twice(c, group, number, k, (number << GROUP_SHIFT) + i);
	other = group->hpte[i].v & HPTE_V_SECONDARY ?
		table_group(&c->t, ~number & mask) : NULL;
	if (!other)
		return;
	for (k = 0; k < GROUP_HPTES; k++)
		if (other->used & 1 << k && !(other->hpte[k].v & HPTE_V_SECONDARY) &&
		    same_page(group->hpte[i].v, other->hpte[k].v))
			twice(c, group, number, i,
			      ((~number & mask) << GROUP_SHIFT) + k);
}

/* No two are alike, and none may be like one in another group */
static bool all_differ(const struct table_group *group)
{
	unsigned int i, k, nr = 0, alike = 0, used = group->used;
	u64 key[GROUP_HPTES];

	for (; used; used &= used - 1)
		key[nr++] = group->hpte[__builtin_ctz(used)].v;
	for (i = 0; i < nr; i++) {
		alike |= key[i] & HPTE_V_SECONDARY;
		for (k = 0; k < i; k++)
			alike |= same_page(key[i], key[k]);
	}
	return !alike;
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

	for (number = 0; (group = table_next(&c->t, &number)); number++) {
		if (all_differ(group))
			continue;
		for (i = 0; i < GROUP_HPTES; i++)
			if (group->used & 1 << i)
				check_twice(c, group, number, i);
	}
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
static int check_end(struct check *c)
{
	int err;

	if (stream_no_hpt(&c->s) ||
	    (!c->s.records && c->s.format == FORMAT_QEMU))
		return 0;
	if (!c->hashed && c->s.order) {
		err = check_hashes(c);
		if (err)
			return err;
	}
	if (c->first_pass && !c->sparse)
		check_first_end(c);
	if (!c->s.order || c->opts->no_hash)
		return 0;
	if (c->digest)
		return c->suspect && digest_twice(&c->t, c->s.order) ?
		       -EAGAIN : 0;
	if (!faults_order(&c->f, c->s.order))
		check_table(c);
	return 0;
}

/*
 * Take HPTEs of which all are plain and in a group that @mask lets them be in.
 * The first that is not ends it: what was taken may be taken again.
 *
 * Return: 1 if all were taken, 0 if not, -ENOMEM.
 */
static inline int take_plain(struct check *c, const unsigned char *at,
			     unsigned int nr, struct place place, u64 mask)
{
	u64 unlike = 0, change, slot;
	struct table_group *group;
	unsigned int shift;
	__be64 dword[2];
	struct hpte hpte;

	while (nr) {
		group = table_make(&c->t, place.index >> GROUP_SHIFT);
		if (!group)
			return -ENOMEM;
		slot = place.index & (GROUP_HPTES - 1);
		for (; nr && slot < GROUP_HPTES; nr--, slot++) {
			memcpy(dword, at, sizeof(dword));
			hpte.v = be64toh(dword[0]);
			hpte.r = be64toh(dword[1]);
			shift = plain_shift(hpte);
			if (!shift)
				return 0;
			change = plain_unlike(hpte, shift, place.index);
			if (change & mask)
				return 0;
			unlike |= change;
			put(c, group, slot, place,
			    (hpte.v & KEY_V) | shift << KEY_SHIFT);
			at += HPTE_BYTES;
			place.byte += HPTE_BYTES;
			place.index++;
		}
	}
	c->unlike |= unlike;
	return 1;
}

/*
 * Take the records that are as most are: of a stream as it was read, in the look
 * ahead, behind the record before in the same pass, with plain HPTEs. This is
 * the short way of stream_next() and check_record(), which take all others.
 */
static int take_records(struct check *c)
{
	const unsigned char *at = c->s.src->buf + c->s.src->start;
	const unsigned char *limit = c->s.src->buf + c->s.src->end;
	bool in_order = c->first_pass || c->s.pass == 1;
	struct place place = { c->s.src->pos, c->s.records, 0 };
	u64 next = c->s.next, mask = 0, end;
	struct kvm_get_htab_header hdr;
	int ret = 0;

	if ((c->s.format != FORMAT_LE && c->s.format != FORMAT_BE) ||
	    !c->s.pass || (!c->hashed && c->s.order))
		return 0;
	if (c->hashed && !c->opts->no_hash)
		mask = order_groups(c->s.order) - 1;
	while (limit - at >= sizeof(hdr)) {
		memcpy(&hdr, at, sizeof(hdr));
		header_to_host(&hdr, c->s.format == FORMAT_BE);
		end = (u64)hdr.index + hdr.n_valid + hdr.n_invalid;
		/* The end of the first pass is looked at as well */
		if (hdr.index < next || (in_order && hdr.index != next) ||
		    end == hdr.index || end + in_order > c->s.nr_hptes ||
		    limit - at < hpt_record_bytes(&hdr) ||
		    c->nr_places <= (place.record + 1) >> PLACE_RECORD)
			break;
		place.record++;
		place.index = hdr.index;
		place.byte += sizeof(hdr);
		ret = take_plain(c, at + sizeof(hdr), hdr.n_valid, place, mask);
		if (ret != 1)
			break;
		table_clear(&c->t, hdr.index + hdr.n_valid, end);
		place.byte += hdr.n_valid * HPTE_BYTES;
		at += hpt_record_bytes(&hdr);
		next = end;
		c->s.records++;
		c->valid += hdr.n_valid;
		c->invalid += hdr.n_invalid;
	}
	source_step(c->s.src, at - (c->s.src->buf + c->s.src->start));
	c->s.next = next;
	if (next > c->s.max_end)
		c->s.max_end = next;
	if (c->first_pass)
		c->expected = next;
	return ret < 0 ? ret : 0;
}

/*
 * Go through the stream. 0 at its end, -EAGAIN if there is something that takes
 * more than digests.
 */
static int check_stream(struct check *c)
{
	int err = 0;

	while (!err) {
		err = take_records(c);
		if (!err && c->digest && c->f.count)
			err = -EAGAIN;
		if (err)
			break;
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
			return check_end(c);
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

static void begin(struct check *c)
{
	c->expected = c->opts->start;
	c->first_pass = !c->opts->later && c->s.format != FORMAT_DEBUGFS;
	c->hashed = c->s.order;
	faults_init(&c->f, &c->opts->out, c->opts->max);
}

static void end(struct check *c)
{
	faults_drop(&c->f);
	table_free(&c->t);
	free(c->places);
}

/*
 * A stream without a fault needs no more than digests of its HPTEs. To say where
 * a fault is takes a table four times as large: that is for the second time.
 */
static bool good_by_digests(struct check *c)
{
	begin(c);
	c->digest = true;
	c->t.group_bytes = sizeof(struct digest_group);
	return !check_stream(c) && !c->f.count;
}

static int check_all(struct check *c)
{
	if (c->opts->max && c->s.src->seekable) {
		if (good_by_digests(c))
			return 0;
		end(c);
		*c = (struct check) { .opts = c->opts, .s = c->s };
		if (stream_restart(&c->s, &c->opts->stream))
			return -EIO;
	}
	begin(c);
	return check_stream(c);
}

static int cmd_check(struct options *opts)
{
	struct check c = { .opts = opts };
	unsigned int order;
	int err, ret;

	if (stream_open(&c.s, opts->args[0], &opts->stream))
		return EXIT_FILE;
	if (opts->out.json)
		fputs("{\"faults\": [", opts->out.file);
	err = check_all(&c);
	order = faults_order(&c.f, c.s.order);
	faults_print(&c.f, &c.s, order);
	if (opts->out.json)
		summary_json(&c, err);
	else if (!err)
		summary(&c);
	ret = out_done(&opts->out);
	if (err)
		ret = failed(&c, err);
	end(&c);
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
