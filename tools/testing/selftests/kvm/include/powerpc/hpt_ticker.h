/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Check that a long operation lets other tasks run.  A thread on the caller's
 * CPU wakes up every millisecond and records how long it had to wait.
 */
#ifndef SELFTEST_KVM_POWERPC_HPT_TICKER_H
#define SELFTEST_KVM_POWERPC_HPT_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* One good try of this many is enough, as other programs run as well */
#define TICKER_TRIES	5

struct ticker {
	pthread_t thread;
	long longest;		/* wait, in microseconds */
	bool stop;
	struct timespec begin;
};

long us_between(struct timespec *then, struct timespec *now);
/* Bind the caller, and threads that it starts later, to this CPU, or to any one */
int use_processor(int cpu);
int one_processor(void);

int ticker_init(struct ticker *t);
void ticker_free(struct ticker *t);
void ticker_begin(struct ticker *t);
/*
 * Returns true if each wait since ticker_begin() took less than half of the
 * time since then, or was too short to matter.
 */
bool ticker_ends(struct ticker *t);

#endif
