// SPDX-License-Identifier: GPL-2.0
/*
 * A radix tree of groups. Its memory is proportional to the size of the stream,
 * for any indexes.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "faults.h"
#include "msg.h"
#include "table.h"

/*
 * Groups and nodes are allocated in slabs; the size doubles each time, up to a
 * limit
 */
#define SLAB_MIN	(64UL << 10)
#define SLAB_MAX	(16UL << 20)

/* One HPTE of so many may be damaged. If more are in a wrong group, the order is. */
#define OFTEN		8

/* What follows in a slab has members of 64 bits, also where pointers have 32 */
struct table_slab {
	struct table_slab *next;
	size_t bytes;
} __attribute__((aligned(8)));

/**
 * table_new_slab() - allocate memory for groups and nodes
 * @t: the table
 *
 * Return: false if there is none.
 */
bool table_new_slab(struct table *t)
{
	size_t bytes = t->slabs ? 2 * t->slabs->bytes : SLAB_MIN;
	struct table_slab *slab;

	if (bytes > SLAB_MAX)
		bytes = SLAB_MAX;
	slab = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (slab == MAP_FAILED)
		return false;
	/* Otherwise page faults take most of the time */
	if (bytes == SLAB_MAX)
		madvise(slab, bytes, MADV_HUGEPAGE);
	slab->next = t->slabs;
	slab->bytes = bytes;
	t->slabs = slab;
	t->free = slab + 1;
	t->free_bytes = bytes - sizeof(*slab);
	return true;
}

static unsigned int slot_of(u64 group, unsigned int level)
{
	return group >> level * TABLE_NODE_SHIFT & (TABLE_NODE_SLOTS - 1);
}

/**
 * table_group() - find a group
 * @t: the table
 * @group: its number
 *
 * Return: the group, or NULL if it has never been used.
 */
struct table_group *table_group(const struct table *t, u64 group)
{
	unsigned int level = TABLE_LEVELS;
	void *node = t->root;

	while (node && level--)
		node = ((void **)node)[slot_of(group, level)];
	return node;
}

/**
 * table_make_leaf() - find the node of a group, or create it
 * @t: the table, whose node used last becomes this one
 * @group: the group's number
 *
 * Return: false if there is no memory.
 */
bool table_make_leaf(struct table *t, u64 group)
{
	unsigned int level = TABLE_LEVELS;
	void **at = &t->root;

	for (;;) {
		if (!*at)
			*at = table_get(t, TABLE_NODE_SLOTS * sizeof(void *));
		if (!*at)
			return false;
		if (!--level)
			break;
		at = (void **)*at + slot_of(group, level);
	}
	t->leaf = *at;
	t->leaf_number = group >> TABLE_NODE_SHIFT;
	if (group >= t->end)
		t->end = (t->leaf_number + 1) << TABLE_NODE_SHIFT;
	return true;
}

/* Go to the next node of groups, from @group on */
static bool next_leaf(struct table *t, u64 *group)
{
	unsigned int level;
	void *node;

	while (*group < t->end) {
		node = t->root;
		for (level = TABLE_LEVELS; node && level > 1; level--)
			node = ((void **)node)[slot_of(*group, level - 1)];
		if (node) {
			t->leaf = node;
			t->leaf_number = *group >> TABLE_NODE_SHIFT;
			return true;
		}
		/* Skip the groups of the missing node */
		*group = ((*group >> level * TABLE_NODE_SHIFT) + 1) <<
			 level * TABLE_NODE_SHIFT;
	}
	return false;
}

/**
 * table_next() - find the next group that holds HPTEs
 * @t: the table
 * @group: where to begin; set to the number of the group found
 *
 * Return: the group, or NULL if there are no more.
 */
struct table_group *table_next(struct table *t, u64 *group)
{
	struct table_group *found;

	while (*group < t->end && (table_in_leaf(t, *group) || next_leaf(t, group)))
		do {
			found = t->leaf[table_leaf_slot(*group)];
			if (found && found->used)
				return found;
		} while (++*group & (TABLE_NODE_SLOTS - 1));
	return NULL;
}

/**
 * table_clear_slow() - table_clear() for HPTEs of several groups
 * @t: the table
 * @index: index of the first
 * @end: index after the last
 */
void table_clear_slow(struct table *t, u64 index, u64 end)
{
	u64 number = index >> GROUP_SHIFT, first;
	struct table_group *group;
	unsigned int keep;

	while ((group = table_next(t, &number))) {
		first = number << GROUP_SHIFT;
		if (first >= end)
			break;
		keep = 0;
		if (index > first)
			keep |= (1U << (index - first)) - 1;
		if (end < first + GROUP_HPTES)
			keep |= ~0U << (end - first);
		group->used &= keep;
		number++;
	}
}

/**
 * table_apply() - apply the last record of a stream
 * @t: the table
 * @s: the stream
 *
 * Return: 0 or -ENOMEM.
 */
int table_apply(struct table *t, const struct stream *s)
{
	u64 index = s->rec.index, end = index + s->rec.n_valid, slot;
	struct table_group *group;
	unsigned int i;

	for (i = 0; i < s->rec.n_valid; i++, index++) {
		group = table_make(t, index >> GROUP_SHIFT);
		if (!group)
			return -ENOMEM;
		slot = index & (GROUP_HPTES - 1);
		group->used |= 1 << slot;
		group->hpte[slot] = stream_hpte(s, i);
	}
	table_clear(t, end, end + s->rec.n_invalid);
	return 0;
}

/**
 * table_free() - empty a table
 * @t: the table
 */
void table_free(struct table *t)
{
	struct table_slab *slab;

	while ((slab = t->slabs)) {
		t->slabs = slab->next;
		munmap(slab, slab->bytes);
	}
	*t = (struct table) {
		.name = t->name,
		.order = t->order,
		.group_bytes = t->group_bytes,
	};
}

static int load_next(struct table *t, struct stream *s, bool *end)
{
	switch (stream_next(s)) {
	case STREAM_END:
		*end = true;
		return 0;
	case STREAM_RECORD:
		if (!s->range)
			return table_apply(t, s);
		msg("%s: byte %llu: a record beyond the end of the HPT of order %u: "
		    OTHER_HPT, s->src->name, s->offset, s->order);
		return -EINVAL;
	case STREAM_HPT:
	case STREAM_RADIX:
		table_free(t);
		return 0;
	case STREAM_FAULT:
		msg("%s: byte %llu: %s", s->src->name, s->offset, s->error);
		return 0;
	default:
		msg("%s: byte %llu: %s", s->src->name, s->offset, s->error);
		return -EINVAL;
	}
}

/* Does the stream report every HPTE, so that all others are invalid? */
static bool tells_all(const struct stream *s)
{
	if (!s->order)
		return false;
	if (s->format == FORMAT_QEMU && !s->full)
		return true;
	return s->known == s->nr_hptes;
}

/* Does a stream as read report every HPTE from its first record on? */
static bool begins_later(const struct stream *s)
{
	return s->format != FORMAT_QEMU && s->first && s->reach == s->nr_hptes;
}

/*
 * Does KVM's first pass end too early, or leave something out? Nothing is known of
 * these HPTEs. A stream as read that doesn't begin with many in a row may consist of
 * later passes, and text of debugfs has only valid ones.
 */
static bool lacks_hptes(const struct stream *s)
{
	if (!s->order || s->known >= s->nr_hptes)
		return false;
	if (s->format == FORMAT_QEMU)
		return s->full;
	return s->known >= MANY_HPTES;
}

/* Find HPTEs in groups that they don't hash to. Return: the number of all. */
static u64 place_hptes(struct table *t, struct faults *f, u64 *wrong)
{
	u64 number, index, hptes = 0;
	struct table_group *group;
	struct hpte_page page;
	unsigned int i;

	for (number = 0; (group = table_next(t, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++) {
			hpte_page(group->hpte[i], &page);
			index = (number << GROUP_SHIFT) + i;
			hptes += group->used >> i & 1;
			if (group->used & 1 << i && page.segment_shift &&
			    page.base_shift &&
			    hpte_hash(group->hpte[i], &page, index, t->order)) {
				faults_place(f, index,
					     hpte_orders(group->hpte[i], index));
				++*wrong;
			}
		}
	return hptes;
}

/* What has stated the order, and why that may be wrong */
static const char *order_source(const struct stream *s)
{
	if (s->format == FORMAT_QEMU)
		return "its header says: " OTHER_HPT;
	return s->asked ? "--order says" : "the first pass says: " OTHER_HPT;
}

/* Is the order of the HPT another one than the stream says? */
static bool order_wrong(struct table *t, const struct stream *s)
{
	u64 hptes, wrong = 0;
	struct faults f = {};
	unsigned int order;

	hptes = place_hptes(t, &f, &wrong);
	if (lacks_hptes(s) && s->known == s->max_end)
		f.first_end = hptes_order(s->known);
	if (f.first_end)
		faults_place(&f, s->known - 1, BIT_ULL(f.first_end));
	order = faults_order(&f, t->order, hptes);
	if (order) {
		msg("%s: its %s an HPT of order %u, not %u as %s", s->src->name,
		    wrong ? "HPTEs are those of" : "first pass is that of", order,
		    t->order, order_source(s));
		return true;
	}
	/* Unless a first pass has shown the end of the HPT, HPTEs tell its order */
	if (wrong * OFTEN <= hptes || s->known >= s->nr_hptes)
		return false;
	msg("%s: %llu of %llu HPTEs are in wrong groups: damage, or its order is not %u as %s",
	    s->src->name, wrong, hptes, t->order, order_source(s));
	return true;
}

static int loaded(struct table *t, const struct stream *s)
{
	char text[REPLACED_TEXT];
	u64 group = 0;

	/* No order follows from the end of later passes */
	if (!s->deduced || s->known >= MANY_HPTES || begins_later(s))
		t->order = s->order;
	if (stream_no_hpt(s)) {
		msg("%s: the guest has no HPT", s->src->name);
		return -ENOENT;
	}
	if (stream_replaced(s, text, sizeof(text)))
		msg("%s: %s", s->src->name, text);
	if (t->order && order_wrong(t, s))
		return -EINVAL;
	if (!table_next(t, &group) && !tells_all(s)) {
		msg("%s has neither an HPTE nor a complete first pass",
		    s->src->name);
		return -ENOENT;
	}
	if (!lacks_hptes(s)) {
		if (t->order && s->known < s->nr_hptes && begins_later(s))
			msg("%s: nothing is known of HPTEs before index 0x%llx, where it begins",
			    s->src->name, s->first);
		return 0;
	}
	if (s->known < s->max_end)
		msg("%s: the first pass leaves out HPTEs from index 0x%llx",
		    s->src->name, s->known);
	else
		msg("%s: the first pass ends at index 0x%llx, before the end of the HPT at 0x%llx",
		    s->src->name, s->known, s->nr_hptes);
	return -EINVAL;
}

/**
 * table_load() - load the HPT at the end of a stream
 * @t: the table to load; its order is 0 if unknown
 * @path: the file with the stream
 * @opts: options
 *
 * Return: 0, or -1 with a message printed.
 */
int table_load(struct table *t, const char *path,
	       const struct stream_options *opts)
{
	struct stream s;
	bool end = false;
	int err;

	*t = (struct table) { .group_bytes = sizeof(struct table_group) };
	if (stream_open(&s, path, opts))
		return -1;
	t->name = s.src->name;
	if (stream_look_through(&s)) {
		stream_close(&s);
		return -1;
	}
	do {
		err = load_next(t, &s, &end);
	} while (!err && !end);
	if (err == -ENOMEM)
		msg("%s: %s", t->name, strerror(ENOMEM));
	if (!err)
		err = loaded(t, &s);
	stream_close(&s);
	if (!err)
		return 0;
	table_free(t);
	return -1;
}

/**
 * table_load_ordered() - load an HPT, whose order has to be known
 * @t: the table to load
 * @path: the file with the stream
 * @opts: options
 *
 * Return: 0, or -1 with a message printed.
 */
int table_load_ordered(struct table *t, const char *path,
		       const struct stream_options *opts)
{
	if (table_load(t, path, opts))
		return -1;
	if (t->order)
		return 0;
	msg("%s does not contain the order of the HPT: use --order", t->name);
	table_free(t);
	return -1;
}
