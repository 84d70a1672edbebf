// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every copy of user memory on the way of the HPT file
 * fails once: the first in a run of each test, then the second, until none is
 * left.  Errors are those of the ABI, nothing is lost, nothing is logged.
 *
 * Needs a kernel with CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and
 * CONFIG_FAULT_INJECTION_USERCOPY.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "hpt_vm.h"

#define ORDER	MIN_ORDER
#define N	NPTE(ORDER)

/* More failures than there are on any way */
#define MANY	3000

#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define DEBUGFS		"/sys/kernel/debug/"
#define NO_FAULTS	"the kernel has no fault injection"

static const char * const knobs[] = {
	"failslab/ignore-gfp-wait", "failslab/verbose",
	"fail_page_alloc/ignore-gfp-wait", "fail_page_alloc/verbose",
	"fail_page_alloc/min-order", "fail_usercopy/verbose",
};

FIXTURE(fail)
{
	struct vm vm;
	struct table want;
	struct table got;
	int nth;
};

static int turn_down(const char *knob)
{
	char path[128];
	int fd, ret;

	snprintf(path, sizeof(path), DEBUGFS "%s", knob);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	ret = write(fd, "0", 1) == 1 ? 0 : -errno;
	close(fd);
	return ret;
}

FIXTURE_SETUP(fail)
{
	unsigned long i;

	/* If not each test skips: older harnesses run it after a SKIP() here */
	self->nth = open(FAIL_NTH, O_RDWR);
	if (self->nth < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(knobs); i++) {
		ASSERT_EQ(0, turn_down(knobs[i])) {
			TH_LOG("%s", knobs[i]);
		}
	}
	ASSERT_EQ(0, vm_init(&self->vm, ORDER, 0));
	ASSERT_EQ(0, table_init(&self->want, N));
	ASSERT_EQ(0, table_init(&self->got, N));
	for (i = 0; i < N - 100; i += 500)
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, i, 5));
}

FIXTURE_TEARDOWN(fail)
{
	if (self->nth < 0)
		return;
	close(self->nth);
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* From here on the @n-th thing that can fail does; this may be one too */
static void arm(int nth, int n)
{
	char text[16];
	size_t len = snprintf(text, sizeof(text), "%d", n);

	while (pwrite(nth, text, len, 0) < 0) {
		if (errno != EFAULT)
			abort();
	}
}

/* No more failures.  Has there been one before this call? */
static bool disarm(int nth)
{
	char text[16] = "";
	bool fired;

	/* It is this that fails if nothing has before */
	fired = pread(nth, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	arm(nth, 0);
	return fired;
}

/* read() until it says 0, with a failure on the way.  What fails, or 0. */
static long drain_failing(struct table *t, int fd, size_t size, int nth, int n)
{
	long ret, err = 0;

	arm(nth, n);
	do {
		ret = table_read(t, fd, size);
		if (ret < 0)
			err = ret;
	} while (ret > 0 || ret == -ENOMEM || ret == -EFAULT);
	return ret < 0 ? ret : err;
}

TEST_F(fail, open)
{
	int n, fd, failed = 0;

	if (self->nth < 0)
		SKIP(return, NO_FAULTS);
	for (n = 1; n < MANY; n++) {
		arm(self->nth, n);
		fd = vm_htab_fd(&self->vm, n % 2 ? KVM_GET_HTAB_WRITE : 0, 0);
		if (!disarm(self->nth) && n % 2)
			break;
		if (fd >= 0) {
			close(fd);
			continue;
		}
		failed++;
		ASSERT_TRUE(fd == -ENOMEM || fd == -EFAULT || fd == -ENFILE) {
			TH_LOG("failure %d: %d", n, fd);
		}
	}
	EXPECT_GT(n, 3);
	EXPECT_GT(failed, 1);
	EXPECT_LT(n, MANY);
	ASSERT_LT(0, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

TEST_F(fail, first_pass)
{
	bool fired;
	long err;
	int n, fd, failed = 0;

	if (self->nth < 0)
		SKIP(return, NO_FAULTS);
	for (n = 1; n < MANY; n++) {
		memset(self->got.hpte, 0, N * sizeof(struct hpte));
		fd = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd);
		err = drain_failing(&self->got, fd, 512, self->nth, n);
		fired = disarm(self->nth);
		ASSERT_TRUE(!err || err == -ENOMEM || err == -EFAULT) {
			TH_LOG("failure %d: %ld", n, err);
		}
		failed += !!err;
		ASSERT_LE(0, table_drain(&self->got, fd, 512));
		ASSERT_EQ(0, table_diff(&self->want, &self->got)) {
			TH_LOG("failure %d", n);
		}
		close(fd);
		if (!fired)
			break;
	}
	EXPECT_GT(failed, 1);
	EXPECT_LT(n, MANY);
}

/* One reader harvests for both: what it cannot remember makes the other scan */
TEST_F(fail, changes_for_two_readers)
{
	unsigned long i, at;
	struct table other;
	bool fired = true;
	int n, fd, fd2;
	long err;

	if (self->nth < 0)
		SKIP(return, NO_FAULTS);
	ASSERT_EQ(0, table_init(&other, N));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	fd2 = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd2);
	ASSERT_LT(0, table_drain(&self->got, fd, 4096));
	ASSERT_LT(0, table_drain(&other, fd2, 4096));

	for (n = 1; fired && n < MANY; n++) {
		for (i = 0; i < 8; i++) {
			at = (n * 37 + i * 2011) % (N - 8);
			ASSERT_EQ(0, vm_enter(&self->vm, &self->want, at,
					      1 + n % 4));
		}
		err = drain_failing(&self->got, fd, 100, self->nth, n);
		fired = disarm(self->nth);
		ASSERT_TRUE(!err || err == -ENOMEM || err == -EFAULT);
		ASSERT_LE(0, table_drain(&self->got, fd, 100));
		ASSERT_EQ(0, table_diff(&self->want, &self->got));
		ASSERT_LE(0, table_drain(&other, fd2, 4096));
		ASSERT_EQ(0, table_diff(&self->want, &other)) {
			TH_LOG("failure %d", n);
		}
	}
	EXPECT_GT(n, 10);
	EXPECT_LT(n, MANY);
}

TEST_F(fail, write)
{
	struct stream s;
	size_t done = 0;
	ssize_t ret;
	int n, fd, failed = 0;

	if (self->nth < 0)
		SKIP(return, NO_FAULTS);
	ASSERT_EQ(0, stream_init(&s, 1 << 16));
	for (n = 0; n < 20; n++) {
		stream_run(&s, n * 700 + 50, 1 + n * 3, n);
		table_set_run(&self->want, n * 700 + 50, 1 + n * 3);
		memset(&self->want.hpte[n * 700 + 51 + n * 3], 0,
		       n * sizeof(struct hpte));
	}
	for (n = 1; n < MANY; n++) {
		fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
		ASSERT_LE(0, fd);
		for (done = 0; done < s.len; done += ret) {
			arm(self->nth, n);
			ret = stream_write(fd, s.buf + done, s.len - done);
			if (!disarm(self->nth))
				break;
			if (ret >= 0)
				continue;
			failed++;
			ASSERT_TRUE(ret == -ENOMEM || ret == -EFAULT);
			ret = stream_write(fd, s.buf + done, s.len - done);
			ASSERT_LT(0, ret);
		}
		close(fd);
		ASSERT_LT(0, table_dump(&self->got, &self->vm, 0));
		ASSERT_EQ(0, table_diff(&self->want, &self->got));
		if (done < s.len)
			break;
	}
	EXPECT_GT(failed, 1);
	EXPECT_LT(n, MANY);
	stream_free(&s);
}

/* No memory for another HPT, or for what is known of its groups */
TEST_F(fail, another_hpt)
{
	int n, err, failed = 0;
	bool fired = true;

	if (self->nth < 0)
		SKIP(return, NO_FAULTS);
	for (n = 1; fired && n < MANY; n++) {
		arm(self->nth, n);
		err = vm_alloc_hpt(&self->vm, ORDER + 1 + n % 2);
		fired = disarm(self->nth);
		ASSERT_TRUE(!err || err == -ENOMEM || err == -EFAULT) {
			TH_LOG("failure %d: %d", n, err);
		}
		failed += !!err;
		if (err == -ENOMEM)
			ASSERT_EQ(0, vm_alloc_hpt(&self->vm,
						  ORDER + 1 + n % 2));
	}
	EXPECT_GT(failed, 2);
	EXPECT_LT(n, MANY);
}

/* No memory for the chain heads of a memslot, or for something else of it */
TEST_F(fail, memslot)
{
	void *mem = mmap(NULL, PAGE_16M, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int n, err, failed = 0;
	bool fired = true;

	if (self->nth < 0)
		SKIP(return, NO_FAULTS);
	ASSERT_NE(MAP_FAILED, mem);
	for (n = 1; fired && n < MANY; n++) {
		arm(self->nth, n);
		err = vm_memslot(&self->vm, 1, 0, mem, PAGE_16M, 0);
		fired = disarm(self->nth);
		ASSERT_TRUE(!err || err == -ENOMEM || err == -EFAULT) {
			TH_LOG("failure %d: %d", n, err);
		}
		failed += !!err;
		if (!err)
			ASSERT_EQ(0, vm_memslot(&self->vm, 1, 0, mem, 0, 0));
	}
	EXPECT_GT(failed, 2);
	EXPECT_LT(n, MANY);
	munmap(mem, PAGE_16M);
}

TEST_HARNESS_MAIN
