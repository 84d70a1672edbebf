/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SCHED_H
#define SHIM_SCHED_H

struct pipe_inode_info;

struct task_struct {
	struct pipe_inode_info *splice_pipe;
};

extern struct task_struct shim_task;

#define current		(&shim_task)

/* cond_resched() may not be called with a spin lock or an HPTE lock held */
void cond_resched(void);

/* Number of calls of cond_resched() since the last call of this */
unsigned long shim_rescheds(void);

/*
 * The most work, since the last call, between two calls of cond_resched() or
 * allocations that may sleep
 */
unsigned long shim_longest_stretch(void);

/* The most calls of kfree() between two of cond_resched() */
unsigned long shim_freed(void);

#endif
