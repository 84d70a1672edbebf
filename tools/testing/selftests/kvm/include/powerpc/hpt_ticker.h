/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Does something that takes long let others have the CPU?  A thread that wants
 * it for a moment each millisecond shares it with the caller, and notes how
 * long it had to wait.
 */
#ifndef SELFTEST_KVM_POWERPC_HPT_TICKER_H
#define SELFTEST_KVM_POWERPC_HPT_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* Others use the machine as well: one good try of so many is enough */
#define TICKER_TRIES	5

struct ticker {
	pthread_t thread;
	long longest;		/* wait, in microseconds */
	bool stop;
	struct timespec begin;
};

long us_between(struct timespec *then, struct timespec *now);
/* All threads the caller starts from here on share one CPU with it */
int one_processor(void);

int ticker_init(struct ticker *t);
void ticker_free(struct ticker *t);
void ticker_begin(struct ticker *t);
/*
 * true if no wait since ticker_begin() took half of the time since or more, or
 * none was worth mention
 */
bool ticker_ends(struct ticker *t);

#endif
