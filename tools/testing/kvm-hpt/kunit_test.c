// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's KUnit suites of the HPT file as a program that prints TAP.
 * With one or several -r SUITE.CASE, only these cases run.
 *
 * Each case runs in its own process, so that a crash fails only this case.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kunit/test.h>

/* Allocations by the tests themselves need not be charged */
#undef kvzalloc
#define kvzalloc(size, gfp)	kzalloc(size, (gfp) | __GFP_ACCOUNT)

#include "hpt_kunit.c"

struct shim_kunit_alloc {
	struct shim_kunit_alloc *next;
	void *memory;
};

static struct kunit_suite *running;

void *kunit_kzalloc(struct kunit *test, size_t size, gfp_t gfp)
{
	struct shim_kunit_alloc *alloc;

	alloc = kzalloc(sizeof(*alloc), gfp | __GFP_ACCOUNT);
	alloc->memory = kzalloc(size, gfp | __GFP_ACCOUNT);
	alloc->next = test->allocs;
	test->allocs = alloc;
	return alloc->memory;
}

static void free_allocs(struct kunit *test)
{
	struct shim_kunit_alloc *alloc;

	while ((alloc = test->allocs)) {
		test->allocs = alloc->next;
		kfree(alloc->memory);
		kfree(alloc);
	}
}

/* End the process of a case */
static void end(struct kunit *test)
{
	if (running->exit)
		running->exit(test);
	free_allocs(test);
	if (shim_live_allocs()) {
		printf("# %ld allocations not freed\n", shim_live_allocs());
		test->failed = true;
	}
	fflush(stdout);
	_exit(test->failed);
}

void shim_kunit_fail(struct kunit *test, bool asserted, const char *file,
		     int line, const char *what, long long left,
		     long long right, const char *format, ...)
{
	va_list args;

	printf("# %s:%d: %s: %lld (0x%llx), %lld (0x%llx) ", file, line, what,
	       left, left, right, right);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	test->failed = true;
	if (asserted)
		end(test);
}

static bool passes(struct kunit_case *which)
{
	struct kunit test = { };
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child) {
		if (running->init && running->init(&test)) {
			printf("# init of the suite failed\n");
			test.failed = true;
		} else {
			which->run_case(&test);
		}
		end(&test);
	}
	return child > 0 && waitpid(child, &status, 0) == child && !status;
}

static bool chosen(const char *name, char **args)
{
	if (!*args)
		return true;
	for (; args[0] && args[1]; args += 2)
		if (!strcmp(args[0], "-r") && !strcmp(args[1], name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct kunit_suite *const *suite;
	struct kunit_case *which;
	unsigned int n = 0, failed = 0;
	char name[256];
	bool passed;

	printf("TAP version 13\n");
	for (suite = shim_kunit_suites; *suite; suite++) {
		running = *suite;
		for (which = running->test_cases; which->run_case; which++) {
			snprintf(name, sizeof(name), "%s.%s", running->name,
				 which->name);
			if (!chosen(name, argv + 1))
				continue;
			passed = passes(which);
			failed += !passed;
			printf("%sok %u %s\n", passed ? "" : "not ", ++n, name);
		}
	}
	printf("1..%u\n", n);
	return failed || !n;
}
