/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_WAIT_H
#define SHIM_WAIT_H

#include <linux/kernel.h>
#include <linux/types.h>

typedef unsigned int __poll_t;

#define EPOLLIN		0x1
#define EPOLLERR	0x8
#define EPOLLRDNORM	0x40

/*
 * How often tasks that poll were woken up, the events of the last time, and how
 * often a task was put on the queue
 */
typedef struct {
	bool ready;
	unsigned int woken;
	__poll_t events;
	unsigned int polled;
	bool sleepers;
} wait_queue_head_t;

#define init_waitqueue_head(wait) \
	(*(wait) = (wait_queue_head_t) { .ready = true })

static inline bool wq_has_sleeper(const wait_queue_head_t *wait)
{
	BUG_ON(!wait->ready);
	return wait->sleepers;
}

#define TASK_INTERRUPTIBLE		0x1
#define poll_to_key(mask)		(mask)
/* Wakes up all tasks, as the kernel does if @nr is 0 */
#define __wake_up(wait, state, nr, key) do {				\
	BUG_ON(!(wait)->ready);						\
	__atomic_store_n(&(wait)->events, key, __ATOMIC_RELAXED);	\
	__atomic_fetch_add(&(wait)->woken, 1, __ATOMIC_RELAXED);	\
} while (0)

#endif
