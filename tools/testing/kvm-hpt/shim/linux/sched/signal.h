/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/mutex.h>
#include <linux/sched.h>

/* Number of checks for a fatal signal */
extern __thread unsigned int shim_signal_checks;
#define fatal_signal_pending(task)	(shim_signal_checks++, shim_killed())
