/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/mutex.h>
#include <linux/sched.h>

#define current				NULL
#define fatal_signal_pending(task)	shim_killed()
