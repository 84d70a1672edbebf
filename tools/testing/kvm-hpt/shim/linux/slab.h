/* SPDX-License-Identifier: GPL-2.0-only */
/* Allocation that can be made to fail */
#ifndef SHIM_SLAB_H
#define SHIM_SLAB_H

#include <linux/gfp.h>
#include <linux/overflow.h>
#include_next <linux/slab.h>

/*
 * The allocation to fail, counting from 1, and how many in a row from there
 * on. None if 0.
 */
extern unsigned int shim_fail_alloc_at;
extern unsigned int shim_fail_allocs;

/* Allocations since the last call, and those that were not freed so far */
unsigned int shim_allocs(void);
long shim_live_allocs(void);

#define kvmalloc(size, gfp)	kmalloc(size, gfp)
#define kvzalloc(size, gfp)	kzalloc(size, gfp)
#define kvfree(p)		kfree((void *)(p))

#endif
