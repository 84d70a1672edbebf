/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As in tools/, but a lock that is released must be held.
 */
#ifndef SHIM_SPINLOCK_H
#define SHIM_SPINLOCK_H

#include <errno.h>

#include_next <linux/spinlock.h>

static inline void shim_spin_unlock(spinlock_t *lock)
{
	if (pthread_mutex_trylock(lock) != EBUSY)
		__builtin_trap();
	pthread_mutex_unlock(lock);
}

#undef spin_unlock
#undef spin_unlock_irqrestore
#define spin_unlock(lock)			shim_spin_unlock(lock)
#define spin_unlock_irqrestore(lock, flags) do {	\
	(void)(flags);					\
	shim_spin_unlock(lock);				\
} while (0)

#endif
