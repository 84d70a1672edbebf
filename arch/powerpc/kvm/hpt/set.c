// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sparse set of HPTEs: an XArray of value entries, each with the eight bits
 * of four groups, so that a lone change needs no allocation but the XArray's
 * node.
 */

#include <kunit/visibility.h>

#include <linux/bits.h>
#include <linux/export.h>
#include <linux/sched.h>
#include <linux/xarray.h>

#include "set.h"

#define GROUPS_PER_ENTRY	4

/* Nodes to free between two chances for the scheduler */
#define CLEAR_NODES		64

static unsigned int hpt_set_entry_shift(unsigned long group)
{
	return group % GROUPS_PER_ENTRY * BITS_PER_BYTE;
}

static unsigned long hpt_set_entry_bits(void *entry)
{
	return entry ? xa_to_value(entry) : 0;
}

/**
 * hpt_set_init() - make an empty set
 * @set: the set
 */
void hpt_set_init(struct xarray *set)
{
	xa_init_flags(set, XA_FLAGS_ACCOUNT);
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_init);

/* Remove all entries of the leaf node that holds @key */
static void hpt_set_clear_node(struct xarray *set, unsigned long key)
{
	XA_STATE_ORDER(xas, set, key, XA_CHUNK_SHIFT);

	xas_lock(&xas);
	xas_store(&xas, NULL);
	xas_unlock(&xas);
}

/**
 * hpt_set_clear_some() - remove some HPTEs and free their memory
 * @set: the set
 * @nodes: how many nodes of the XArray to free
 *
 * xa_destroy() frees all of them at once, with interrupts disabled.
 *
 * Return: whether the set is empty.
 */
bool hpt_set_clear_some(struct xarray *set, unsigned int nodes)
{
	unsigned long key = 0;

	for (; nodes; nodes--) {
		if (!xa_find(set, &key, ULONG_MAX, XA_PRESENT)) {
			/* Nodes that a failed hpt_set_add() left without entries */
			xa_destroy(set);
			return true;
		}
		hpt_set_clear_node(set, key);
	}
	return xa_empty(set);
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_clear_some);

/**
 * hpt_set_clear() - remove all HPTEs and free their memory
 * @set: the set
 *
 * Context: may sleep.
 */
void hpt_set_clear(struct xarray *set)
{
	while (!hpt_set_clear_some(set, CLEAR_NODES))
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
int hpt_set_add(struct xarray *set, unsigned long group, u8 hptes)
{
	unsigned long key = group / GROUPS_PER_ENTRY;
	unsigned long old = hpt_set_entry_bits(xa_load(set, key));
	unsigned long new = old | (unsigned long)hptes
					  << hpt_set_entry_shift(group);

	if (new == old)
		return 0;
	return xa_err(xa_store(set, key, xa_mk_value(new), GFP_KERNEL));
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_add);

/**
 * hpt_set_get() - look up the HPTEs of a group
 * @set: the set
 * @group: index of the group
 *
 * Return: a bit for each HPTE of the group that is in the set.
 */
u8 hpt_set_get(struct xarray *set, unsigned long group)
{
	void *entry = xa_load(set, group / GROUPS_PER_ENTRY);

	return hpt_set_entry_bits(entry) >> hpt_set_entry_shift(group);
}
EXPORT_SYMBOL_IF_KUNIT(hpt_set_get);

/* hpt_set_take() of a set that is not empty */
u8 __hpt_set_take(struct xarray *set, unsigned long group)
{
	unsigned long key = group / GROUPS_PER_ENTRY;
	unsigned long old, new;

	old = hpt_set_entry_bits(xa_load(set, key));
	new = old & ~(0xfful << hpt_set_entry_shift(group));
	if (!new)
		xa_erase(set, key);
	else if (new != old)
		/* An entry that is there is replaced in place: cannot fail */
		xa_store(set, key, xa_mk_value(new), GFP_NOWAIT);
	return old >> hpt_set_entry_shift(group);
}
EXPORT_SYMBOL_IF_KUNIT(__hpt_set_take);

/* hpt_set_next() in a set that is not empty */
unsigned long __hpt_set_next(struct xarray *set, unsigned long group)
{
	unsigned long key = group / GROUPS_PER_ENTRY;
	unsigned long bits;
	void *entry;

	entry = xa_load(set, key);
	bits = hpt_set_entry_bits(entry) >> hpt_set_entry_shift(group);
	if (bits)
		return group + __ffs(bits) / BITS_PER_BYTE;
	entry = xa_find_after(set, &key, ULONG_MAX, XA_PRESENT);
	if (!entry)
		return HPT_SET_END;
	return key * GROUPS_PER_ENTRY +
	       __ffs(hpt_set_entry_bits(entry)) / BITS_PER_BYTE;
}
EXPORT_SYMBOL_IF_KUNIT(__hpt_set_next);
