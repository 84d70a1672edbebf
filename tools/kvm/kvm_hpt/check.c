// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt check: is a stream well-formed, and can its HPTEs be a guest's?
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
 * Instead of its two dwords, the table has a key and a place for each HPTE. The
 * key has the bits of dword 0 and the base page size that are equal for HPTEs
 * of the same page. The place is the position in the stream and the lowest bits
 * of the record's number; its other bits follow from the position.
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
 * @f: the faults found
 * @order: of the HPT, as far as the stream said when it began
 * @valid: number of valid HPTEs
 * @places: where each record is that has a round number
 * @nr_places: how many there are
 * @leaf: the node of groups of digests that was written last
 * @touched: a bit for each group of it that was written since then
 * @alike: two HPTEs may translate the same page
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
	struct faults f;
	unsigned int order;
	u64 valid;
	u64 *places;
	u64 nr_places;
	void **leaf;
	unsigned int touched;
	bool alike;
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

/* Faults in single bits, independent of the page */
static const char *wrong_bits(struct hpte hpte)
{
	unsigned int pp = hpte_pp(hpte);

	if (!(hpte.v & HPTE_V_VALID))
		return "V is 0 in an HPTE that is counted as valid";
	if (hpte.v & HPTE_V_HOST)
		return "KVM's internal bits are set in dword 0";
	if (hpte.r & HPTE_R_MARK)
		return "bit 1 of dword 1, KVM's mark, is set";
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

/* Data of another stream is reported after the record, not in it */
static bool of_another(struct check *c)
{
	return c->s.format == FORMAT_QEMU &&
	       (c->s.qemu.cut || qemu_record_cut(&c->s));
}

/* Is an HPTE in the right group? If not, it may be with another order. */
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

/* The bits that plain() looks at, and B of a segment of 1T */
#define PLAIN_V		(HPTE_V_B | HPTE_V_HOST | HPTE_V_LARGE | \
			 HPTE_V_SECONDARY | HPTE_V_VALID)
#define PLAIN_R		(HPTE_R_PP0 | HPTE_R_MARK | HPTE_R_W)
#define PLAIN_1T	(1ULL << HPTE_V_B_SHIFT)

/* plain() for a base page size and a segment size that the compiler knows */
static __always_inline bool plain_page(u64 v, __be64 r, unsigned int base_shift,
				       unsigned int segment_shift, u64 group,
				       u64 *key, u64 *unlike)
{
	/* Of LP, 64K has only the lowest four bits, and 4K none */
	u64 lp_mask = base_shift == 16 ? 0xf000 : 0;
	u64 lp = base_shift == 16 ? 0x1000 : 0;
	u64 page = HPTE_V_AVPN, hash;

	if ((r & htobe64(PLAIN_R | lp_mask)) != htobe64(lp))
		return false;
	hash = (v & HPTE_V_AVPN) >> (HPTE_V_AVPN_SHIFT + segment_shift - AVPN_LOW);
	if (segment_shift == 40)
		hash ^= hash << 25;
	page &= BIT_ULL(HPTE_V_AVPN_SHIFT + segment_shift - AVPN_LOW) - 1;
	page = (v & page) << (AVPN_LOW - base_shift - HPTE_V_AVPN_SHIFT);
	*unlike = (hash ^ page ^ group) & (~0ULL << (AVPN_LOW - base_shift));
	*key = (v & (HPTE_V_B | HPTE_V_AVPN)) | base_shift << KEY_SHIFT;
	return true;
}

/**
 * plain() - find quickly that an HPTE has no fault in itself
 * @v: dword 0
 * @r: dword 1 as in the stream
 * @group: number of its group
 * @key: set to its key
 * @unlike: set to the result of hpte_unlike()
 *
 * Most HPTEs have a page of 4K or 64K, the primary hash and nothing unusual. None
 * of the rules above applies to them.
 *
 * Return: false for all others.
 */
static __always_inline bool plain(u64 v, __be64 r, u64 group, u64 *key, u64 *unlike)
{
	u64 kind = v & PLAIN_V;

	if (kind == HPTE_V_VALID)
		return plain_page(v, r, 12, 28, group, key, unlike);
	if (kind == (HPTE_V_VALID | HPTE_V_LARGE))
		return plain_page(v, r, 16, 28, group, key, unlike);
	if (kind == (HPTE_V_VALID | HPTE_V_LARGE | PLAIN_1T))
		return plain_page(v, r, 16, 40, group, key, unlike);
	if (kind == (HPTE_V_VALID | PLAIN_1T))
		return plain_page(v, r, 12, 40, group, key, unlike);
	return false;
}

/* Return: the key of the HPTE */
static u64 check_valid(struct check *c, u64 byte, u64 index, struct hpte hpte)
{
	struct hpte_page page;
	u64 key, unlike;
	const char *why;

	if (plain(hpte.v, htobe64(hpte.r), index >> GROUP_SHIFT, &key, &unlike)) {
		if (!c->hashed)
			c->unlike |= unlike;
		if (!c->hashed || !(unlike & (order_groups(c->s.order) - 1)))
			return key;
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

/* An HPTE with the fields that its key has */
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

	/* Double the size each time */
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

/* The place in the stream of an HPTE in the table */
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

/* Now that the order is known, check the HPTEs before that */
static int check_hashes(struct check *c)
{
	struct table_group *group;
	struct hpte_page page;
	struct hpte hpte;
	unsigned int i;
	u64 number;

	c->hashed = true;
	c->order = c->s.order;
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

/* The first pass has every HPTE, in order; only this shows its end */
static void check_first_pass(struct check *c)
{
	u64 index = c->s.rec.index, byte = c->s.offset;
	bool first = stream_hpt_records(&c->s) == 1;

	/* The order may have become known with this record */
	if (c->expected >= c->s.nr_hptes) {
		c->first_pass = false;
		return;
	}
	if (c->s.format == FORMAT_QEMU && first)
		c->sparse = !c->s.full;
	if (c->sparse && index != c->expected) {
		/* Its end shows only when the next pass begins */
		c->first_pass = index > c->expected;
	} else if (first && index != c->expected) {
		fault(c, byte, index, "the first pass doesn't begin at index 0x%llx",
		      c->expected);
	} else if (index > c->expected) {
		fault(c, byte, index, "the first pass leaves out HPTEs from 0x%llx",
		      c->expected);
	} else if (index && index < c->expected) {
		fault(c, byte, index, "the first pass goes back from 0x%llx",
		      c->expected);
	}
	if (c->s.full)
		c->sparse = false;
	/* At index 0 it begins again: the HPT was reset */
	c->expected = c->s.next;
	if (c->expected >= c->s.nr_hptes)
		c->first_pass = false;
}

/* The orders with which a record is within the HPT */
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
		   "begins past the end of the HPT at 0x%llx" :
		   "reaches beyond the end of the HPT at 0x%llx",
		   c->s.nr_hptes);
}

/* Put an HPTE that was read into its group, which use() makes valid */
static __always_inline void put(void *group, unsigned int slot, struct place at,
				u64 key, const bool digest)
{
	struct table_group *full = group;

	if (digest) {
		digest_put(group, slot, key);
		return;
	}
	full->hpte[slot].v = key;
	full->hpte[slot].r = at.byte << PLACE_RECORD |
			     (at.record & (BIT_ULL(PLACE_RECORD) - 1));
}

/* Make HPTEs of a group valid. Those of @secondary are there by that hash. */
static __always_inline void use(void *group, unsigned int hptes,
				unsigned int secondary, const bool digest)
{
	struct table_group *full = group;

	if (digest)
		digest_use(group, hptes, secondary);
	else
		full->used |= hptes;
}

/* Note whether digests are equal in groups of the node that is left */
static void leave(struct check *c)
{
	c->alike |= digest_alike(c->leaf, c->touched);
	c->touched = 0;
}

/* Find or create the group of the next HPTEs */
static __always_inline void *enter(struct check *c, u64 number, const bool digest)
{
	void *group = table_make(&c->t, number);

	if (!digest || !group)
		return group;
	if (c->leaf != c->t.leaf) {
		leave(c);
		c->leaf = c->t.leaf;
	}
	c->touched |= 1U << table_leaf_slot(number);
	return group;
}

/* Put an HPTE into the table */
static inline int keep(struct check *c, struct place at, u64 key)
{
	void *group = enter(c, at.index >> GROUP_SHIFT, c->digest);
	unsigned int slot = at.index & (GROUP_HPTES - 1), bit = 1U << slot;

	if (!group)
		return -ENOMEM;
	put(group, slot, at, key, c->digest);
	use(group, bit, key & HPTE_V_SECONDARY ? bit : 0, c->digest);
	c->alike |= !!(key & HPTE_V_SECONDARY);
	return 0;
}

/* The bits of a group's number that the hash of its HPTEs has to have */
static u64 hash_mask(const struct check *c)
{
	return c->hashed && !c->opts->no_hash ? order_groups(c->s.order) - 1 : 0;
}

/*
 * Take HPTEs of a record, as long as all of a group are plain, and hash to it. @from
 * becomes where the others begin. False if there are others, or no memory.
 */
static __always_inline bool take_plain(struct check *c, const void **from,
				       unsigned int n, struct place at, u64 mask,
				       const bool digest)
{
	const void *hptes = *from, *end = hptes + n * HPTE_BYTES, *stop;
	unsigned int first = at.index & (GROUP_HPTES - 1), slot;
	u64 number = at.index >> GROUP_SHIFT, unlike = 0, one, key;
	__be64 dword[2];
	void *group;

	for (; hptes < end; first = 0, number++, *from = hptes) {
		group = enter(c, number, digest);
		if (!group)
			return false;
		stop = hptes + (GROUP_HPTES - first) * HPTE_BYTES;
		if (stop > end)
			stop = end;
		for (slot = first; hptes < stop; slot++, hptes += HPTE_BYTES) {
			memcpy(dword, hptes, sizeof(dword));
			if (!plain(be64toh(dword[0]), dword[1], number, &key,
				   &one))
				return false;
			unlike |= one;
			put(group, slot, at, key, digest);
			at.byte += HPTE_BYTES;
		}
		if (unlike & mask)
			return false;
		c->unlike |= unlike;
		use(group, (1U << slot) - (1U << first), 0, digest);
	}
	return true;
}

/* Take HPTEs of the last record, from number @i on. Return: how many are taken. */
static unsigned int take_hptes(struct check *c, unsigned int i)
{
	const void *begin = (void *)c->s.rec.hpte + i * HPTE_BYTES, *from = begin;
	unsigned int n = c->s.rec.n_valid - i;
	struct place at = {
		.byte = c->s.offset + sizeof(*c->s.buf) + i * HPTE_BYTES,
		.record = c->s.records,
		.index = c->s.rec.index + i,
	};

	if (c->digest)
		take_plain(c, &from, n, at, hash_mask(c), true);
	else
		take_plain(c, &from, n, at, hash_mask(c), false);
	return (from - begin) / HPTE_BYTES;
}

static int check_record(struct check *c)
{
	u64 index = c->s.rec.index, byte = c->s.offset, end, key;
	struct place place;
	unsigned int i;
	int err;

	if (!c->digest && c->nr_places <= c->s.records >> PLACE_RECORD &&
	    add_place(c))
		return -ENOMEM;
	if (!c->hashed && c->s.order) {
		err = check_hashes(c);
		if (err)
			return err;
	}
	c->valid += c->s.rec.n_valid;
	if (c->s.range)
		check_range(c);
	if (!c->s.rec.n_valid && !c->s.rec.n_invalid)
		fault(c, byte, index, "a record without HPTEs");
	if (c->first_pass)
		check_first_pass(c);
	byte += sizeof(*c->s.buf);
	end = index + c->s.rec.n_valid;
	for (i = 0; i < c->s.rec.n_valid; i++) {
		if (!c->s.range && (!i || !((index + i) & (GROUP_HPTES - 1))))
			i += take_hptes(c, i);
		if (i == c->s.rec.n_valid)
			break;
		place = (struct place) { byte + i * HPTE_BYTES, c->s.records,
					 index + i };
		key = check_valid(c, place.byte, index + i, stream_hpte(&c->s, i));
		if (!c->s.range && keep(c, place, key))
			return -ENOMEM;
	}
	if (!c->s.range)
		table_clear(&c->t, end, end + c->s.rec.n_invalid);
	return 0;
}

/* Do two HPTEs of the same pair of groups translate the same page? */
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

/* Look for another HPTE of the same page, after it or in the other group */
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

/* No two have the same page, and none may have that of one in another group */
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
 * No page has two HPTEs at the end of a stream. Before that it may seem to,
 * since an HPTE that moves may be reported in both places.
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

/* A first pass ends at the end of the HPT, so at that of some order */
static void check_first_end(struct check *c)
{
	struct place place = { c->s.src->pos, c->s.records, c->expected };

	if (!c->s.order) {
		fault(c, place.byte, place.index,
		      "ends before the first pass reaches the end of an HPT");
		return;
	}
	if (c->expected >= c->s.nr_hptes)
		return;
	c->f.first_end = hptes_order(c->expected);
	faults_add(&c->f, place, c->f.first_end ? BIT_ULL(c->f.first_end) : 0,
		   "ends before the first pass reaches the end of the HPT at 0x%llx",
		   c->s.nr_hptes);
}

/* The HPT may be empty with a QEMU without KVM */
static int check_end(struct check *c)
{
	int err;

	if (stream_no_hpt(&c->s) ||
	    (!stream_hpt_records(&c->s) && c->s.format == FORMAT_QEMU))
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
	if (c->digest) {
		leave(c);
		return c->alike && digest_twice(&c->t, c->s.order) ? -EAGAIN : 0;
	}
	if (!faults_order(&c->f, c->s.order, c->valid))
		check_table(c);
	return 0;
}

/*
 * Take records of the usual kind: in the look-ahead buffer, after the previous
 * record in the same pass, and with plain HPTEs. stream_next() and check_record()
 * take all others.
 */
static __always_inline void take_records(struct check *c, const bool digest,
					 const bool big_endian)
{
	const void *begin = c->s.src->buf + c->s.src->start, *at = begin, *from;
	const void *limit = c->s.src->buf + c->s.src->end;
	/* The end of the first pass is left to check_record() */
	const bool in_order = c->first_pass || c->s.pass == 1;
	const u64 most = c->s.nr_hptes - in_order, most_gap = in_order ? 0 : most;
	/* Within a pass, indexes grow: in the first one nothing is there before */
	const bool clear = c->s.pass > 1;
	const u64 mask = hash_mask(c);
	u64 next = c->s.next, valid, records = 0, gap, gaps = 0, invalid, end;
	struct kvm_get_htab_header hdr;
	struct place place;

	for (; limit - at >= sizeof(hdr); at = from, next = end, records++) {
		memcpy(&hdr, at, sizeof(hdr));
		header_to_host(&hdr, big_endian);
		gap = hdr.index - next;
		invalid = (u64)hdr.index + hdr.n_valid;
		end = invalid + hdr.n_invalid;
		place.byte = c->s.src->pos + (at - begin) + sizeof(hdr);
		place.record = c->s.records + records + 1;
		place.index = hdr.index;
		if (gap > most_gap || end == hdr.index || end > most ||
		    limit - at < hpt_record_bytes(&hdr) ||
		    (!digest && c->nr_places <= place.record >> PLACE_RECORD))
			break;
		from = at + sizeof(hdr);
		if (!take_plain(c, &from, hdr.n_valid, place, mask, digest))
			break;
		if (clear)
			table_clear(&c->t, invalid, end);
		gaps += gap;
	}
	valid = (at - begin - records * sizeof(hdr)) / HPTE_BYTES;
	c->valid += valid;
	c->s.invalid += next - c->s.next - gaps - valid;
	source_step(c->s.src, at - begin);
	c->s.records += records;
	c->s.next = next;
	c->s.dense &= !gaps;
	if (next > c->s.max_end)
		c->s.max_end = next;
	if (c->first_pass)
		c->expected = next;
}

/* Can most records be taken in the short way? */
static bool short_way(const struct check *c)
{
	const struct qemu_stream *q = &c->s.qemu;

	if (!c->s.pass || (!c->hashed && c->s.order))
		return false;
	/* Invalid HPTEs show that a first pass is KVM's: stream_next() notes these */
	if (c->s.format == FORMAT_QEMU)
		return q->in_htab && !q->cut && !(c->first_pass && c->sparse);
	return c->s.format == FORMAT_LE || c->s.format == FORMAT_BE;
}

/* Each kind of headers and of tables has a loop of its own */
static void take_any(struct check *c)
{
	bool big_endian = c->s.format == FORMAT_QEMU ? !c->s.qemu.little :
						       c->s.format == FORMAT_BE;

	if (c->digest && big_endian)
		take_records(c, true, true);
	else if (c->digest)
		take_records(c, true, false);
	else if (big_endian)
		take_records(c, false, true);
	else
		take_records(c, false, false);
}

/* At the beginning of a stream, and when the HPT is replaced */
static void begin_hpt(struct check *c)
{
	table_free(&c->t);
	c->valid = 0;
	c->touched = 0;
	c->alike = false;
	c->unlike = 0;
	c->hashed = c->s.order;
	c->first_pass = !c->opts->later && c->s.format != FORMAT_DEBUGFS;
	c->sparse = false;
	c->expected = c->opts->start;
	c->order = c->s.order;
}

/*
 * Read the whole stream. Return: 0 at its end, -EAGAIN if digests are not
 * enough to report a fault.
 */
static int check_stream(struct check *c)
{
	int err = 0;

	while (!err) {
		if (short_way(c))
			take_any(c);
		if (c->digest && c->f.count)
			return -EAGAIN;
		switch (stream_next(&c->s)) {
		case STREAM_RECORD:
			err = check_record(c);
			break;
		case STREAM_HPT:
		case STREAM_RADIX:
			faults_settle(&c->f, &c->s, c->order, c->valid);
			begin_hpt(c);
			break;
		case STREAM_FAULT:
			fault(c, c->s.offset, NO_INDEX, "%s", c->s.error);
			break;
		case STREAM_BROKEN:
			if (c->s.src->error)
				return -EIO;
			if (c->s.qemu.foreign)
				return -EINVAL;
			if (!c->s.other || !c->s.order ||
			    faults_order(&c->f, c->s.order, c->valid) != c->s.other)
				fault(c, c->s.offset, NO_INDEX, "%s", c->s.error);
			return !c->hashed && c->s.order ? check_hashes(c) : 0;
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
		stream_hpt_records(&c->s), c->s.pass);
	fprintf(out->file, "\"valid\": %llu, \"invalid\": %llu, ", c->valid,
		c->s.invalid);
	fprintf(out->file, "\"count\": %llu", c->f.count);
	out_replaced(out, c->s.replaced, c->s.replaced_at);
	if (failed) {
		fputs(", \"error\": ", out->file);
		out_string(out, c->s.error);
	}
	fputs("}\n", out->file);
}

static void summary(struct check *c)
{
	u64 records = stream_hpt_records(&c->s);
	FILE *f = c->opts->out.file;
	char text[REPLACED_TEXT];

	if (c->opts->max && c->f.count > c->opts->max)
		fprintf(f, "and %llu more\n", c->f.count - c->opts->max);
	if (stream_replaced(&c->s, text, sizeof(text)))
		fprintf(f, "%s\n", text);
	if (stream_no_hpt(&c->s)) {
		fputs("no HPT\n", f);
	} else {
		if (c->s.order)
			fprintf(f, "order %u%s, ", c->s.order,
				c->s.deduced ? " (deduced)" : "");
		else
			fputs("order unknown, ", f);
		fprintf(f, "%llu record%s, %llu pass%s\n", records,
			records == 1 ? "" : "s", c->s.pass,
			c->s.pass == 1 ? "" : "es");
		fprintf(f, "%llu valid and %llu invalid HPTEs\n", c->valid,
			c->s.invalid);
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

/* A file that cannot be read, or is not a stream of an HPT, has no summary */
static int failed(struct check *c, int err)
{
	if (err == -ENOMEM)
		msg("%s: %s", c->s.src->name, strerror(ENOMEM));
	else
		msg("%s: byte %llu: %s", c->s.src->name, c->s.offset,
		    c->s.error);
	return EXIT_FILE;
}

static void begin(struct check *c, bool digest)
{
	c->digest = digest;
	c->t.group_bytes = digest ? sizeof(struct digest_group) :
				    sizeof(struct table_group);
	begin_hpt(c);
	faults_init(&c->f, &c->opts->out, c->opts->max);
}

static void end(struct check *c)
{
	faults_drop(&c->f);
	table_free(&c->t);
	free(c->places);
}

/*
 * A stream without a fault needs no more than digests of its HPTEs. To say
 * where a fault is takes a table four times as large: that is for the second
 * time.
 */
static bool good_by_digests(struct check *c)
{
	begin(c, true);
	return !check_stream(c) && !c->f.count;
}

/*
 * Go back to the beginning, and find where HPTs are replaced. If none is, the order
 * is not known in advance, as in a pipe.
 */
static int find_replaced(struct check *c)
{
	if (stream_restart(&c->s) || stream_look_through(&c->s))
		return -1;
	return c->s.nr_hpts ? 0 : stream_restart(&c->s);
}

static int check_all(struct check *c)
{
	if (c->opts->max && c->s.src->seekable) {
		if (good_by_digests(c))
			return 0;
		end(c);
		*c = (struct check) { .opts = c->opts, .s = c->s };
	}
	if (c->s.src->seekable && find_replaced(c))
		return -EIO;
	begin(c, false);
	return check_stream(c);
}

static int cmd_check(struct options *opts)
{
	struct check c = { .opts = opts };
	int err, ret;

	if (opts->later && opts->given['s']) {
		msg("--start has no effect with --later");
		return EXIT_USAGE;
	}
	if (stream_open(&c.s, opts->args[0], &opts->stream))
		return EXIT_FILE;
	if (opts->start && c.s.format != FORMAT_LE && c.s.format != FORMAT_BE) {
		msg("--start is only for a stream as read from the HPT file, which %s is not",
		    c.s.src->name);
		stream_close(&c.s);
		return EXIT_USAGE;
	}
	if (opts->out.json)
		fputs("{\"faults\": [", opts->out.file);
	err = check_all(&c);
	faults_settle(&c.f, &c.s, c.s.order, c.valid);
	faults_print(&c.f);
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
