/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_DELAY_H
#define SHIM_DELAY_H

#include <linux/sched.h>

static inline void usleep_range(unsigned long min, unsigned long max)
{
	cond_resched();
}

#endif
