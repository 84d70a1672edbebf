/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A sparse set of HPTEs, whose memory is in proportion to its contents.
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

static inline bool hpt_set_empty(const struct xarray *set)
{
	return xa_empty(set);
}

void hpt_set_init(struct xarray *set);
bool hpt_set_clear_some(struct xarray *set, unsigned int nodes);
void hpt_set_clear(struct xarray *set);
int hpt_set_add(struct xarray *set, unsigned long group, u8 hptes);
u8 hpt_set_get(struct xarray *set, unsigned long group);
u8 hpt_set_take(struct xarray *set, unsigned long group);
unsigned long hpt_set_next(struct xarray *set, unsigned long group);

#endif /* __POWERPC_KVM_HPT_SET_H__ */
