/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mutexes. Before one is taken, and while user memory is copied, others may
 * run. shim_interleave is called there, so a test can do what others would do.
 */
#ifndef SHIM_MUTEX_H
#define SHIM_MUTEX_H

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/types.h>
#include <pthread.h>

struct mutex {
	struct mutex *magic;	/* itself, once it is initialised */
	pthread_mutex_t lock;
	pthread_t owner;
	bool held;
	unsigned long since;
	unsigned long longest;
	unsigned int holds;
};

extern void (*shim_interleave)(void);

/* Kill the caller at the n-th check for a signal from now on; never if 0 */
extern unsigned int shim_kill_at;
bool shim_killed(void);

void mutex_init(struct mutex *mutex);
void mutex_destroy(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
int mutex_lock_killable(struct mutex *mutex);
bool mutex_trylock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);
bool mutex_is_locked(struct mutex *mutex);
bool mutex_is_mine(struct mutex *mutex);

/* How many were initialised and not destroyed */
long shim_live_mutexes(void);

/* The most work in one hold since the last call, in units of shim_race() */
unsigned long shim_longest_hold(struct mutex *mutex);

/* How often it was taken and released since the last call */
unsigned int shim_holds(struct mutex *mutex);

#endif
