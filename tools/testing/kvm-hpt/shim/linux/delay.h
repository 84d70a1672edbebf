/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_DELAY_H
#define SHIM_DELAY_H

#include <linux/sched.h>

/* Called while a task sleeps for a moment */
extern void (*shim_sleep)(void);

static inline void usleep_range(unsigned long min, unsigned long max)
{
	if (shim_sleep)
		shim_sleep();
	cond_resched();
}

static inline void udelay(unsigned long us)
{
}

static inline void schedule_timeout_killable(long timeout)
{
	usleep_range(1, 2);
}

#endif
