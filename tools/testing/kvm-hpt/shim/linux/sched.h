/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SCHED_H
#define SHIM_SCHED_H

/* cond_resched() may not be called with a spin lock or an HPTE lock held */
void cond_resched(void);

/* Most work between two of these calls since this was asked last */
unsigned long shim_longest_stretch(void);

/* Most nodes of XArrays that were freed between two calls of cond_resched() */
unsigned long shim_nodes_freed(void);

#endif
