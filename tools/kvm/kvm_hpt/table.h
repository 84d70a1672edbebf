/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An HPT in which only groups with HPTEs take memory.
 */
#ifndef KVM_HPT_TABLE_H
#define KVM_HPT_TABLE_H

#include "stream.h"

/**
 * struct table_group - a group in use
 * @used: a bit for each HPTE that is valid
 * @hpte: the HPTEs
 */
struct table_group {
	u8 used;
	struct hpte hpte[GROUP_HPTES];
} __attribute__((aligned(8)));

/* Numbers of groups have up to 29 bits, which takes 8 levels of nodes */
#define TABLE_NODE_SHIFT	4
#define TABLE_NODE_SLOTS	BIT_ULL(TABLE_NODE_SHIFT)
#define TABLE_LEVELS		8

struct table_slab;

/**
 * struct table - an HPT
 * @order: log2 of its size in bytes, 0 if unknown
 * @root: radix tree of the groups
 * @end: number after the last group of the last node
 * @slabs: memory of the groups and nodes
 * @free: what is left of the last one
 * @free_bytes: size of that
 * @leaf: the node of groups that was used last
 * @leaf_number: its number
 * @group_bytes: size of a group, which is a struct table_group or begins like one
 * @name: of its file in messages
 */
struct table {
	unsigned int order;
	void *root;
	u64 end;
	struct table_slab *slabs;
	void *free;
	size_t free_bytes;
	void **leaf;
	u64 leaf_number;
	size_t group_bytes;
	const char *name;
};

bool table_make_leaf(struct table *t, u64 group);
bool table_new_slab(struct table *t);
void table_clear_slow(struct table *t, u64 index, u64 end);
int table_apply(struct table *t, const struct stream *s);
struct table_group *table_group(const struct table *t, u64 group);
struct table_group *table_next(struct table *t, u64 *group);
void table_free(struct table *t);

/**
 * table_in_leaf() - is a group, if there is one, in the node that was used last?
 * @t: the table
 * @group: its number
 */
static inline bool table_in_leaf(const struct table *t, u64 group)
{
	return t->leaf && group >> TABLE_NODE_SHIFT == t->leaf_number;
}

/* Where in its node a group is */
static inline unsigned int table_leaf_slot(u64 group)
{
	return group & (TABLE_NODE_SLOTS - 1);
}

/**
 * table_get() - get memory for a group or a node, which is zero
 * @t: the table
 * @bytes: how much, a multiple of 8
 *
 * Return: the memory, or NULL if there is none.
 */
static inline void *table_get(struct table *t, size_t bytes)
{
	void *got;

	if (t->free_bytes < bytes && !table_new_slab(t))
		return NULL;
	got = t->free;
	t->free += bytes;
	t->free_bytes -= bytes;
	return got;
}

/**
 * table_make() - find a group, or create it
 * @t: the table
 * @group: its number
 *
 * Return: the group, or NULL if there is no memory.
 */
static inline struct table_group *table_make(struct table *t, u64 group)
{
	void **at;

	if (!table_in_leaf(t, group) && !table_make_leaf(t, group))
		return NULL;
	at = t->leaf + table_leaf_slot(group);
	if (!*at)
		*at = table_get(t, t->group_bytes);
	return *at;
}

/**
 * table_clear() - make HPTEs invalid
 * @t: the table
 * @index: index of the first
 * @end: index after the last
 */
static inline void table_clear(struct table *t, u64 index, u64 end)
{
	u64 number = index >> GROUP_SHIFT;
	struct table_group *group;

	/* Usually they are in the group used last, or after all groups */
	if (index < end && table_in_leaf(t, number)) {
		group = t->leaf[table_leaf_slot(number)];
		if (group && end <= ((number + 1) << GROUP_SHIFT)) {
			group->used &= ~(((1U << (end - index)) - 1) <<
					 (index & (GROUP_HPTES - 1)));
			return;
		}
	}
	if (index < end && number < t->end)
		table_clear_slow(t, index, end);
}

int table_load(struct table *t, const char *path,
	       const struct stream_options *opts);
int table_load_ordered(struct table *t, const char *path,
		       const struct stream_options *opts);

#endif
