// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sparse set of HPTEs: an XArray with a block for each 8192 groups of which it
 * has HPTEs.
 *
 * A block has a sorted list of these groups. Readers walk the HPT in its order,
 * so that mostly a group is appended to a list and taken from its front. In the
 * place of a long list there is a bitmap, until the block is empty.
 */

#include <kunit/visibility.h>

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/export.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "set.h"

#define BLOCK_SHIFT	13
#define BLOCK_GROUPS	BIT(BLOCK_SHIFT)
#define BLOCK_HPTES	(BLOCK_GROUPS * BITS_PER_BYTE)

/* Groups for which a new list and the longest one have room, powers of two */
#define LIST_MIN	8
#define LIST_MAX	512

/* Blocks to free between two chances for the scheduler */
#define CLEAR_BLOCKS	64

/**
 * struct hpt_block - the HPTEs of some groups
 * @list: the groups from @first to before @end are in use: a group's number in
 *	  the block, and below that its HPTEs, a byte
 * @first: where the list begins; or a group from which on to before @end there
 *	   are no HPTEs in @bitmap
 * @end: where it ends; likewise
 * @size: number of groups for which it has room
 * @nr_groups: number of groups with HPTEs in @bitmap
 * @bitmap: all HPTEs of the block, or NULL if there is a list
 */
struct hpt_block {
	u32 *list;
	unsigned int first;
	unsigned int end;
	unsigned int size;
	unsigned int nr_groups;
	unsigned long *bitmap;
};

static unsigned int hpt_list_group(u32 item)
{
	return item >> BITS_PER_BYTE;
}

/* The bitmap has the HPTEs of eight groups in a word */
static unsigned int hpt_bitmap_shift(unsigned long group)
{
	return group % sizeof(long) * BITS_PER_BYTE;
}

static u8 hpt_bitmap_get(const unsigned long *bitmap, unsigned long group)
{
	return bitmap[group / sizeof(long)] >> hpt_bitmap_shift(group);
}

static void hpt_bitmap_add(unsigned long *bitmap, unsigned long group, u8 hptes)
{
	bitmap[group / sizeof(long)] |= (unsigned long)hptes
					<< hpt_bitmap_shift(group);
}

static void hpt_bitmap_clear(unsigned long *bitmap, unsigned long group)
{
	bitmap[group / sizeof(long)] &= ~(0xfful << hpt_bitmap_shift(group));
}

/*
 * The first group from @group on in the bitmap, or BLOCK_GROUPS. What is found
 * to be empty is not looked at again, since a pass asks once for each of its
 * groups.
 */
static unsigned long hpt_bitmap_next(struct hpt_block *block,
				     unsigned long group)
{
	if (group < block->first || group > block->end) {
		block->first = group;
		block->end = group;
	}
	block->end = find_next_bit(block->bitmap, BLOCK_HPTES,
				   block->end * BITS_PER_BYTE) / BITS_PER_BYTE;
	return block->end;
}

/* Where in the list is the first group from @group on? */
static unsigned int hpt_list_find(const struct hpt_block *block,
				  unsigned long group)
{
	unsigned int from = block->first, to = block->end, mid;

	if (from == to || hpt_list_group(block->list[from]) >= group)
		return from;
	if (hpt_list_group(block->list[to - 1]) < group)
		return to;
	while (from < to) {
		mid = (from + to) / 2;
		if (hpt_list_group(block->list[mid]) < group)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static bool hpt_list_has(const struct hpt_block *block, unsigned int at,
			 unsigned long group)
{
	return at < block->end && hpt_list_group(block->list[at]) == group;
}

static int hpt_list_to_bitmap(struct hpt_block *block)
{
	unsigned int i;

	block->bitmap = kzalloc(BLOCK_HPTES / BITS_PER_BYTE, GFP_KERNEL_ACCOUNT);
	if (!block->bitmap)
		return -ENOMEM;
	for (i = block->first; i < block->end; i++)
		hpt_bitmap_add(block->bitmap, hpt_list_group(block->list[i]),
			       block->list[i]);
	block->nr_groups = block->end - block->first;
	block->first = 0;
	block->end = 0;
	kfree(block->list);
	block->list = NULL;
	return 0;
}

static int hpt_list_grow(struct hpt_block *block)
{
	unsigned int size = block->size ? 2 * block->size : LIST_MIN;
	u32 *list;

	list = krealloc_array(block->list, size, sizeof(*list),
			      GFP_KERNEL_ACCOUNT);
	if (!list)
		return -ENOMEM;
	block->list = list;
	block->size = size;
	return 0;
}

/* Make room at the end of the list, or replace it by a bitmap */
static int hpt_list_make_room(struct hpt_block *block)
{
	unsigned int nr = block->end - block->first;

	/* Not again before a quarter of the list has been appended */
	if (block->first > block->size / 4) {
		memmove(block->list, block->list + block->first,
			nr * sizeof(*block->list));
		block->first = 0;
		block->end = nr;
		return 0;
	}
	if (block->size == LIST_MAX)
		return hpt_list_to_bitmap(block);
	return hpt_list_grow(block);
}

static u8 hpt_block_get(const struct hpt_block *block, unsigned long group)
{
	unsigned int at;

	if (block->bitmap)
		return hpt_bitmap_get(block->bitmap, group);
	at = hpt_list_find(block, group);
	return hpt_list_has(block, at, group) ? block->list[at] : 0;
}

static int hpt_block_add(struct hpt_block *block, unsigned long group, u8 hptes)
{
	unsigned int at;
	u32 *item;

	if (!block->bitmap && block->end == block->size &&
	    !hpt_block_get(block, group) && hpt_list_make_room(block))
		return -ENOMEM;
	if (block->bitmap) {
		if (!hpt_bitmap_get(block->bitmap, group))
			block->nr_groups++;
		if (group >= block->first && group < block->end)
			block->end = group;
		hpt_bitmap_add(block->bitmap, group, hptes);
		return 0;
	}

	at = hpt_list_find(block, group);
	item = block->list + at;
	if (hpt_list_has(block, at, group)) {
		*item |= hptes;
		return 0;
	}
	memmove(item + 1, item, (block->end - at) * sizeof(*item));
	*item = group << BITS_PER_BYTE | hptes;
	block->end++;
	return 0;
}

static u8 hpt_block_take(struct hpt_block *block, unsigned long group)
{
	unsigned int at;
	u32 *item;
	u8 hptes;

	if (block->bitmap) {
		hptes = hpt_bitmap_get(block->bitmap, group);
		if (hptes)
			block->nr_groups--;
		hpt_bitmap_clear(block->bitmap, group);
		return hptes;
	}

	at = hpt_list_find(block, group);
	if (!hpt_list_has(block, at, group))
		return 0;
	item = block->list + at;
	hptes = *item;
	if (at == block->first) {
		block->first++;
		return hptes;
	}
	block->end--;
	memmove(item, item + 1, (block->end - at) * sizeof(*item));
	return hptes;
}

/* The first group from @group on, or BLOCK_GROUPS */
static unsigned long hpt_block_next(struct hpt_block *block,
				    unsigned long group)
{
	unsigned int at;

	if (block->bitmap)
		return hpt_bitmap_next(block, group);
	at = hpt_list_find(block, group);
	return at < block->end ? hpt_list_group(block->list[at]) : BLOCK_GROUPS;
}

static bool hpt_block_empty(const struct hpt_block *block)
{
	return block->bitmap ? !block->nr_groups : block->first == block->end;
}

static void hpt_block_free(struct hpt_block *block)
{
	kfree(block->list);
	kfree(block->bitmap);
	kfree(block);
}

/**
 * hpt_set_init() - make an empty set
 * @set: the set
 */
void hpt_set_init(struct hpt_set *set)
{
	xa_init_flags(&set->blocks, XA_FLAGS_ACCOUNT);
	set->last = NULL;
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_init);

static struct hpt_block *hpt_set_block(struct hpt_set *set, unsigned long key)
{
	struct hpt_block *block;

	if (set->last && set->last_key == key)
		return set->last;
	block = xa_load(&set->blocks, key);
	if (block) {
		set->last = block;
		set->last_key = key;
	}
	return block;
}

static void hpt_set_remove_block(struct hpt_set *set, unsigned long key,
				 struct hpt_block *block)
{
	if (set->last == block)
		set->last = NULL;
	xa_erase(&set->blocks, key);
	hpt_block_free(block);
}

/**
 * hpt_set_clear_some() - remove some HPTEs and free their memory
 * @set: the set
 * @blocks: how many blocks of 8192 groups to free
 *
 * Return: whether the set is empty.
 */
bool hpt_set_clear_some(struct hpt_set *set, unsigned int blocks)
{
	struct hpt_block *block;
	unsigned long key = 0;

	for (; blocks; blocks--) {
		block = xa_find(&set->blocks, &key, ULONG_MAX, XA_PRESENT);
		if (!block) {
			/* Nodes that a failed hpt_set_add() left without entries */
			xa_destroy(&set->blocks);
			return true;
		}
		hpt_set_remove_block(set, key, block);
	}
	return hpt_set_empty(set);
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_clear_some);

/**
 * hpt_set_clear() - remove all HPTEs and free their memory
 * @set: the set
 *
 * Context: may sleep.
 */
void hpt_set_clear(struct hpt_set *set)
{
	while (!hpt_set_clear_some(set, CLEAR_BLOCKS))
		cond_resched();
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_clear);

/**
 * hpt_set_add() - put HPTEs of a group in
 * @set: the set
 * @group: index of the group
 * @hptes: a bit for each HPTE of the group
 *
 * Context: may sleep.
 * Return: 0, or -ENOMEM: the same HPTEs as before are in the set, which may have
 * nodes without entries until it is cleared.
 */
int hpt_set_add(struct hpt_set *set, unsigned long group, u8 hptes)
{
	unsigned long key = group / BLOCK_GROUPS;
	struct hpt_block *block;
	int err;

	if (!hptes)
		return 0;
	block = hpt_set_block(set, key);
	if (block)
		return hpt_block_add(block, group % BLOCK_GROUPS, hptes);

	block = kzalloc(sizeof(*block), GFP_KERNEL_ACCOUNT);
	if (!block)
		return -ENOMEM;
	err = hpt_block_add(block, group % BLOCK_GROUPS, hptes);
	if (!err)
		err = xa_err(xa_store(&set->blocks, key, block, GFP_KERNEL));
	if (err)
		hpt_block_free(block);
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_add);

/**
 * hpt_set_get() - look up the HPTEs of a group
 * @set: the set
 * @group: index of the group
 *
 * Return: a bit for each HPTE of the group that is in the set.
 */
u8 hpt_set_get(struct hpt_set *set, unsigned long group)
{
	struct hpt_block *block = hpt_set_block(set, group / BLOCK_GROUPS);

	return block ? hpt_block_get(block, group % BLOCK_GROUPS) : 0;
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_get);

/* hpt_set_take() of a set that is not empty */
u8 __hpt_set_take(struct hpt_set *set, unsigned long group)
{
	unsigned long key = group / BLOCK_GROUPS;
	struct hpt_block *block = hpt_set_block(set, key);
	u8 hptes;

	if (!block)
		return 0;
	hptes = hpt_block_take(block, group % BLOCK_GROUPS);
	if (hpt_block_empty(block))
		hpt_set_remove_block(set, key, block);
	return hptes;
}
EXPORT_SYMBOL_IF_KUNIT(__hpt_set_take);

/* hpt_set_next() in a set that is not empty */
unsigned long __hpt_set_next(struct hpt_set *set, unsigned long group)
{
	unsigned long key = group / BLOCK_GROUPS, next;
	struct hpt_block *block;

	block = hpt_set_block(set, key);
	if (block) {
		next = hpt_block_next(block, group % BLOCK_GROUPS);
		if (next < BLOCK_GROUPS)
			return key * BLOCK_GROUPS + next;
	}
	block = xa_find_after(&set->blocks, &key, ULONG_MAX, XA_PRESENT);
	if (!block)
		return HPT_SET_END;
	return key * BLOCK_GROUPS + hpt_block_next(block, 0);
}
EXPORT_SYMBOL_IF_KUNIT(__hpt_set_next);
