// SPDX-License-Identifier: GPL-2.0
/*
 * A radix tree of groups. What it takes is within a small factor of what is
 * in the stream, whatever indexes there are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg.h"
#include "table.h"

/* MAX_HPTES have groups with numbers of 29 bits */
#define NODE_SHIFT	4
#define NODE_SLOTS	BIT_ULL(NODE_SHIFT)
#define LEVELS		8

/* Groups are allocated together */
#define SLAB_GROUPS	32

struct table_slab {
	struct table_slab *next;
	unsigned int used;
	struct table_group group[SLAB_GROUPS];
};

static struct table_group *new_group(struct table *t)
{
	struct table_slab *slab = t->slabs;

	if (!slab || slab->used == SLAB_GROUPS) {
		slab = calloc(1, sizeof(*slab));
		if (!slab)
			return NULL;
		slab->next = t->slabs;
		t->slabs = slab;
	}
	return &slab->group[slab->used++];
}

static unsigned int slot_of(u64 group, unsigned int level)
{
	return group >> level * NODE_SHIFT & (NODE_SLOTS - 1);
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
	unsigned int level = LEVELS;
	void *node = t->root;

	while (node && level--)
		node = ((void **)node)[slot_of(group, level)];
	return node;
}

/* The same, and make it if there is none */
static struct table_group *make_group(struct table *t, u64 group)
{
	unsigned int level = LEVELS;
	void **at = &t->root;

	if (t->last && t->last_number == group)
		return t->last;
	for (;;) {
		if (!*at)
			*at = level ? calloc(NODE_SLOTS, sizeof(void *)) :
				      new_group(t);
		if (!*at || !level)
			break;
		level--;
		at = (void **)*at + slot_of(group, level);
	}
	t->last = *at;
	t->last_number = group;
	if (group >= t->end)
		t->end = group + 1;
	return *at;
}

/**
 * table_next() - find the next group that holds HPTEs
 * @t: the table
 * @group: where to begin; becomes the number of the group found
 *
 * Return: the group, or NULL if there are no more.
 */
struct table_group *table_next(const struct table *t, u64 *group)
{
	struct table_group *found;
	unsigned int level;
	void *node;

	while (*group < t->end) {
		node = t->root;
		for (level = LEVELS; node && level; level--)
			node = ((void **)node)[slot_of(*group, level - 1)];
		found = node;
		if (found && found->used)
			return found;
		/* Go behind what the missing node, or the group, covers */
		*group = ((*group >> level * NODE_SHIFT) + 1) <<
			 level * NODE_SHIFT;
	}
	return NULL;
}

static void clear(struct table *t, u64 index, u64 end)
{
	u64 number = index >> GROUP_SHIFT;
	struct table_group *group;
	u64 first, i;

	while ((group = table_next(t, &number))) {
		first = number << GROUP_SHIFT;
		if (first >= end)
			break;
		for (i = 0; i < GROUP_HPTES; i++)
			if (first + i >= index && first + i < end)
				group->used &= ~(1 << i);
		number++;
	}
}

/**
 * table_apply() - do what the last record of a stream says
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
		group = make_group(t, index >> GROUP_SHIFT);
		if (!group)
			return -ENOMEM;
		slot = index & (GROUP_HPTES - 1);
		group->used |= 1 << slot;
		group->hpte[slot] = stream_hpte(s, i);
		group->offset[slot] = s->offset + sizeof(*s->buf) +
				      i * HPTE_BYTES;
		group->record[slot] = s->records;
	}
	clear(t, end, end + s->rec.n_invalid);
	return 0;
}

static void free_node(void *node, unsigned int level)
{
	unsigned int i;

	/* The lowest are groups, which are in slabs */
	if (!node || !level)
		return;
	for (i = 0; i < NODE_SLOTS; i++)
		free_node(((void **)node)[i], level - 1);
	free(node);
}

/**
 * table_free() - have an empty table
 * @t: the table
 */
void table_free(struct table *t)
{
	struct table_slab *slab;

	free_node(t->root, LEVELS);
	while ((slab = t->slabs)) {
		t->slabs = slab->next;
		free(slab);
	}
	*t = (struct table) { .order = t->order };
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

/* Does the stream tell of every HPTE, so that those it doesn't have are none? */
static bool tells_all(const struct stream *s)
{
	if (!s->order)
		return false;
	return s->format == FORMAT_QEMU || (s->whole && s->max_end == s->nr_hptes);
}

static int loaded(struct table *t, const struct stream *s)
{
	u64 group = 0;

	t->order = s->order;
	if (stream_no_hpt(s)) {
		msg("%s: the guest has no HPT", s->src->name);
		return -ENOENT;
	}
	if (table_next(t, &group) || tells_all(s))
		return 0;
	msg("%s has no HPTE, but doesn't tell of all of an HPT", s->src->name);
	return -ENOENT;
}

/**
 * table_load() - what an HPT is at the end of a stream
 * @t: where to put it; its order is 0 if that can't be known
 * @path: the file with the stream
 * @opts: what the command line says of it
 *
 * Return: 0, or -1 with a message printed.
 */
int table_load(struct table *t, const char *path,
	       const struct stream_options *opts)
{
	struct stream s;
	bool end = false;
	int err;

	*t = (struct table) {};
	if (stream_open(&s, path, opts))
		return -1;
	do {
		err = load_next(t, &s, &end);
	} while (!err && !end);
	if (err == -ENOMEM)
		msg("%s: %s", path, strerror(ENOMEM));
	if (!err)
		err = loaded(t, &s);
	stream_close(&s);
	if (!err)
		return 0;
	table_free(t);
	return -1;
}

/**
 * table_load_ordered() - the same, if its order is known
 * @t: where to put it
 * @path: the file with the stream
 * @opts: what the command line says of it
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
	msg("%s doesn't tell how large the HPT is: use --order", path);
	table_free(t);
	return -1;
}
