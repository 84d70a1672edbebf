/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A sparse set of HPTEs, whose memory is in proportion to what it has held.
 *
 * The caller serialises all calls on a set. hpt_set_add() may sleep, the
 * others do not.
 */
#ifndef __POWERPC_KVM_HPT_SET_H__
#define __POWERPC_KVM_HPT_SET_H__

#include <linux/limits.h>
#include <linux/types.h>
#include <linux/xarray.h>

/* hpt_set_next() found no group */
#define HPT_SET_END	ULONG_MAX

struct hpt_block;

/**
 * struct hpt_set - a set of HPTEs
 * @blocks: those that are not empty
 * @last: the one that was used last, or NULL
 * @last_key: its index in @blocks
 */
struct hpt_set {
	struct xarray blocks;
	struct hpt_block *last;
	unsigned long last_key;
};

static inline bool hpt_set_empty(const struct hpt_set *set)
{
	return xa_empty(&set->blocks);
}

void hpt_set_init(struct hpt_set *set);
bool hpt_set_clear_some(struct hpt_set *set, unsigned int blocks);
void hpt_set_clear(struct hpt_set *set);
int hpt_set_add(struct hpt_set *set, unsigned long group, u8 hptes);
u8 hpt_set_get(struct hpt_set *set, unsigned long group);
u8 __hpt_set_take(struct hpt_set *set, unsigned long group);
unsigned long __hpt_set_next(struct hpt_set *set, unsigned long group);

/**
 * hpt_set_take() - take the HPTEs of a group out
 * @set: the set
 * @group: index of the group
 *
 * Return: a bit for each HPTE of the group that was in the set.
 */
static inline u8 hpt_set_take(struct hpt_set *set, unsigned long group)
{
	return hpt_set_empty(set) ? 0 : __hpt_set_take(set, group);
}

/**
 * hpt_set_next() - find the next group with an HPTE in the set
 * @set: the set
 * @group: index of the first group to look at
 *
 * Return: its index, or HPT_SET_END.
 */
static inline unsigned long hpt_set_next(struct hpt_set *set,
					 unsigned long group)
{
	return hpt_set_empty(set) ? HPT_SET_END : __hpt_set_next(set, group);
}

#endif /* __POWERPC_KVM_HPT_SET_H__ */
