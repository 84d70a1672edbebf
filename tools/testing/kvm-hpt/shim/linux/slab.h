/* SPDX-License-Identifier: GPL-2.0-only */
/* Allocations, which can be made to fail and have to be charged to a cgroup */
#ifndef SHIM_SLAB_H
#define SHIM_SLAB_H

#include <linux/gfp.h>
#include <linux/overflow.h>
#include_next <linux/slab.h>

/*
 * The first allocation to fail, counted from 1, or 0 for none, and how many
 * fail in a row
 */
extern unsigned int shim_fail_alloc_at;
extern unsigned int shim_fail_allocs;

/* Allocations that are charged to a memory cgroup fail */
extern bool shim_at_cgroup_limit;

/* Larger allocations fail, unless it is 0 */
extern size_t shim_largest_alloc;

/* Allocations since the last call; allocations that were not freed */
unsigned int shim_allocs(void);
long shim_live_allocs(void);

void *krealloc_array(void *p, size_t n, size_t size, gfp_t gfp);

#define kvmalloc(size, gfp)	kmalloc(size, gfp)
#define kvzalloc(size, gfp)	kzalloc(size, gfp)
#define kvfree(p)		kfree((void *)(p))

#endif
