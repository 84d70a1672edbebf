/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SRCU_H
#define SHIM_SRCU_H

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/types.h>
#include <pthread.h>

/* A grace period waits for read sections by taking a read-write lock */
struct srcu_struct {
	pthread_rwlock_t lock;
};

/* How many read sections this thread is in */
extern __thread unsigned int shim_sections;

static inline int srcu_read_lock(struct srcu_struct *srcu)
{
	pthread_rwlock_rdlock(&srcu->lock);
	shim_sections++;
	shim_race();
	return 0;
}

static inline void srcu_read_unlock(struct srcu_struct *srcu, int idx)
{
	BUG_ON(!shim_sections--);
	pthread_rwlock_unlock(&srcu->lock);
}

/* Called in a read section that a grace period waits for */
extern void (*shim_before_grace_period)(void);

/* A task is in a read section and does not leave it */
extern bool shim_section_sleeps;

/* Number of polls that found a grace period not yet over */
extern unsigned int shim_polls_in_vain;

/* Number of grace periods that were begun */
extern unsigned int shim_grace_periods;

static inline unsigned long start_poll_synchronize_srcu(struct srcu_struct *srcu)
{
	return ++shim_grace_periods;
}

/* The last one that has ended, if no task is in a read section */
extern unsigned long shim_ended;

static inline bool poll_state_synchronize_srcu(struct srcu_struct *srcu,
					       unsigned long cookie)
{
	BUG_ON(!cookie);
	if (shim_section_sleeps || cookie > shim_ended ||
	    pthread_rwlock_trywrlock(&srcu->lock)) {
		__atomic_fetch_add(&shim_polls_in_vain, 1, __ATOMIC_RELAXED);
		return false;
	}
	pthread_rwlock_unlock(&srcu->lock);
	if (shim_before_grace_period)
		shim_before_grace_period();
	return true;
}

static inline void synchronize_srcu_expedited(struct srcu_struct *srcu)
{
	BUG_ON(shim_section_sleeps);
	if (shim_before_grace_period)
		shim_before_grace_period();
	pthread_rwlock_wrlock(&srcu->lock);
	pthread_rwlock_unlock(&srcu->lock);
}

#endif
