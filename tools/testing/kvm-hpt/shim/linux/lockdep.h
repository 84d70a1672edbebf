/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_LOCKDEP_H
#define SHIM_LOCKDEP_H

#include <linux/mutex.h>
#include <linux/spinlock.h>

#define lockdep_is_held(lock)		1
#define lockdep_assert_held(lock)	BUG_ON(!mutex_is_mine(lock))

#endif
