/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SRCU_H
#define SHIM_SRCU_H

#include <linux/compiler.h>
#include <linux/kernel.h>
#include <pthread.h>

/* A read section keeps the grace period waiting, in the simplest of ways */
struct srcu_struct {
	pthread_rwlock_t lock;
};

static inline int srcu_read_lock(struct srcu_struct *srcu)
{
	pthread_rwlock_rdlock(&srcu->lock);
	shim_race();
	return 0;
}

static inline void srcu_read_unlock(struct srcu_struct *srcu, int idx)
{
	pthread_rwlock_unlock(&srcu->lock);
}

/* What is done in a read section that a grace period has to wait for */
extern void (*shim_before_grace_period)(void);

static inline void synchronize_srcu_expedited(struct srcu_struct *srcu)
{
	if (shim_before_grace_period)
		shim_before_grace_period();
	pthread_rwlock_wrlock(&srcu->lock);
	pthread_rwlock_unlock(&srcu->lock);
}

#endif
