/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_PREEMPT_H
#define SHIM_PREEMPT_H

#include <linux/sched.h>

extern __thread int preempt_count;

#define preempt_disable()	(preempt_count++)
#define preempt_enable()	(preempt_count--)

#endif
