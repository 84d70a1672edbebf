/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of KUnit that our suites use, as a user space program */
#ifndef SHIM_KUNIT_TEST_H
#define SHIM_KUNIT_TEST_H

#include <stdbool.h>

#include <linux/slab.h>
#include <linux/types.h>

struct kunit {
	void *priv;
	bool failed;
	struct shim_kunit_alloc *allocs;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(function)	{ .run_case = function, .name = #function }

extern struct kunit_suite *const shim_kunit_suites[];

#define kunit_test_suites(...) \
	struct kunit_suite *const shim_kunit_suites[] = { __VA_ARGS__, NULL }

/* Freed at the end of the case */
void *kunit_kzalloc(struct kunit *test, size_t size, gfp_t gfp);

/* Ends the case if an assertion has failed */
void shim_kunit_fail(struct kunit *test, bool asserted, const char *file,
		     int line, const char *what, long long left,
		     long long right, const char *format, ...)
	__attribute__((format(printf, 8, 9)));

#define SHIM_KUNIT_BINARY(test, asserted, left, op, right, ...)		\
do {									\
	const typeof(left) __left = (left);				\
	const typeof(right) __right = (right);				\
									\
	if (!(__left op __right))					\
		shim_kunit_fail(test, asserted, __FILE__, __LINE__,	\
				#left " " #op " " #right,		\
				(long long)__left, (long long)__right,	\
				__VA_ARGS__);				\
} while (0)

#define SHIM_KUNIT_BOOL(test, asserted, want, value, ...)		\
	SHIM_KUNIT_BINARY(test, asserted, want, ==, !!(value), __VA_ARGS__)

#define KUNIT_EXPECT_EQ(test, left, right) \
	SHIM_KUNIT_BINARY(test, false, left, ==, right, " ")
#define KUNIT_ASSERT_EQ(test, left, right) \
	SHIM_KUNIT_BINARY(test, true, left, ==, right, " ")
#define KUNIT_EXPECT_EQ_MSG(test, left, right, ...) \
	SHIM_KUNIT_BINARY(test, false, left, ==, right, __VA_ARGS__)
#define KUNIT_EXPECT_TRUE(test, value) \
	SHIM_KUNIT_BOOL(test, false, true, value, " ")
#define KUNIT_ASSERT_TRUE(test, value) \
	SHIM_KUNIT_BOOL(test, true, true, value, " ")
#define KUNIT_EXPECT_TRUE_MSG(test, value, ...) \
	SHIM_KUNIT_BOOL(test, false, true, value, __VA_ARGS__)
#define KUNIT_EXPECT_FALSE(test, value) \
	SHIM_KUNIT_BOOL(test, false, false, value, " ")
#define KUNIT_ASSERT_FALSE(test, value) \
	SHIM_KUNIT_BOOL(test, true, false, value, " ")
#define KUNIT_EXPECT_FALSE_MSG(test, value, ...) \
	SHIM_KUNIT_BOOL(test, false, false, value, __VA_ARGS__)

#endif
