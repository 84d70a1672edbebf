// SPDX-License-Identifier: GPL-2.0
/* See hpt_ticker.h */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "hpt_ticker.h"

/* A wait of less than this many microseconds is never a failure */
#define TICKER_FLOOR	5000

long us_between(struct timespec *then, struct timespec *now)
{
	return (now->tv_sec - then->tv_sec) * 1000000 +
	       (now->tv_nsec - then->tv_nsec) / 1000;
}

int use_processor(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) ? -errno : 0;
}

int one_processor(void)
{
	cpu_set_t all;
	int i;

	if (sched_getaffinity(0, sizeof(all), &all))
		return -errno;
	for (i = 0; !CPU_ISSET(i, &all); i++)
		;
	return use_processor(i);
}

static void *tick(void *arg)
{
	struct timespec ms = { .tv_nsec = 1000000 }, last, now;
	struct ticker *t = arg;
	long us;

	clock_gettime(CLOCK_MONOTONIC, &last);
	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		nanosleep(&ms, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
		us = us_between(&last, &now);
		if (us > __atomic_load_n(&t->longest, __ATOMIC_RELAXED))
			__atomic_store_n(&t->longest, us, __ATOMIC_RELAXED);
		last = now;
	}
	return NULL;
}

int ticker_init(struct ticker *t)
{
	t->longest = 0;
	t->stop = false;
	return one_processor() ?: -pthread_create(&t->thread, NULL, tick, t);
}

void ticker_free(struct ticker *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	pthread_join(t->thread, NULL);
}

void ticker_begin(struct ticker *t)
{
	usleep(10000);
	__atomic_store_n(&t->longest, 0, __ATOMIC_RELAXED);
	clock_gettime(CLOCK_MONOTONIC, &t->begin);
}

bool ticker_ends(struct ticker *t)
{
	struct timespec end;
	long us, longest;

	clock_gettime(CLOCK_MONOTONIC, &end);
	usleep(10000);
	us = us_between(&t->begin, &end);
	longest = __atomic_load_n(&t->longest, __ATOMIC_RELAXED);
	printf("# took %ld us, longest wait %ld us\n", us, longest);
	return longest < us / 2 || longest < TICKER_FLOOR;
}
