/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ThreadSanitizer ignores reads that the kernel marks as intentional races, by
 * READ_ONCE() or data_race(), as KCSAN does. It checks all other accesses.
 */
#ifndef SHIM_COMPILER_H
#define SHIM_COMPILER_H

#include_next <linux/compiler.h>

#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
#else
#define AnnotateIgnoreReadsBegin(file, line)	do { } while (0)
#define AnnotateIgnoreReadsEnd(file, line)	do { } while (0)
#endif

/*
 * Called where threads may race: wastes time now and then so that they do race,
 * or counts the calls, as a measure of work that is the same in each run. A
 * test can do what others would do there, and check what barriers order.
 */
enum shim_point { SHIM_ACCESS, SHIM_MB, SHIM_WMB, SHIM_RMB, SHIM_RELEASE };

#if defined(SHIM_RACE) || defined(SHIM_COUNT)
extern __thread void (*shim_at)(enum shim_point point);

#define shim_point(point)	(shim_at ? shim_at(point) : (void)0)
#else
#define shim_point(point)	((void)0)
#endif

#ifdef SHIM_RACE
void shim_take_time(void);
#define shim_race()	(shim_point(SHIM_ACCESS), shim_take_time())
#elif defined(SHIM_COUNT)
extern __thread unsigned long shim_work;
#define shim_race()	(shim_point(SHIM_ACCESS), (void)shim_work++)
#else
#define shim_race()	((void)0)
#endif

#define data_race(expr)						\
({								\
	shim_race();						\
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);		\
	__auto_type __value = (expr);				\
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);		\
	__value;						\
})

#undef READ_ONCE
#define READ_ONCE(x) data_race(*(const volatile typeof(x) *)&(x))

#undef WRITE_ONCE
#define WRITE_ONCE(x, value)						\
do {									\
	shim_point(SHIM_ACCESS);					\
	__atomic_store_n(&(x), (typeof(x))(value), __ATOMIC_RELAXED);	\
} while (0)

#endif
