// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every copy from or to user space by the HPT file fails
 * once.  Each test repeats its operation: the first time, the first allocation
 * or copy fails, then the second, until none is left.  The errors must be those
 * of the ABI, no HPTE is lost, and nothing is logged.
 *
 * Needs CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and
 * CONFIG_FAULT_INJECTION_USERCOPY.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "hpt_fault.h"
#include "hpt_vm.h"

#define ORDER	MIN_ORDER
#define N	NPTE(ORDER)

/* More failures than any of the operations can have */
#define MANY	3000

FIXTURE(fail)
{
	struct vm vm;
	struct table want;
	struct table got;
	int nth;
};

FIXTURE_SETUP(fail)
{
	unsigned long i;

	/* Each test skips itself: older harnesses run it after a SKIP() here */
	self->nth = fault_open();
	if (self->nth < 0)
		return;
	ASSERT_EQ(0, fault_prepare());
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

/* read() until it returns 0; returns an error on the way to that, or 0 */
static long drain_failing(struct table *t, int fd, size_t size, int nth, int n)
{
	long ret, err = 0;

	fault_arm(nth, n);
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
		fault_arm(self->nth, n);
		fd = vm_htab_fd(&self->vm, n % 2 ? KVM_GET_HTAB_WRITE : 0, 0);
		if (!fault_disarm(self->nth) && n % 2)
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
		fired = fault_disarm(self->nth);
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

/*
 * One reader harvests for both.  If there is no memory to record a change for
 * the other, that one starts a new first pass.
 */
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
		/* Many enough that the list of the other reader grows */
		for (i = 0; i < 24; i++) {
			at = (n * 37 + i * 2011) % (N - 8);
			ASSERT_EQ(0, vm_enter(&self->vm, &self->want, at,
					      1 + n % 4));
		}
		err = drain_failing(&self->got, fd, 100, self->nth, n);
		fired = fault_disarm(self->nth);
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
			fault_arm(self->nth, n);
			ret = stream_write(fd, s.buf + done, s.len - done);
			if (!fault_disarm(self->nth))
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

/* No memory for another HPT, or for its bitmaps */
TEST_F(fail, another_hpt)
{
	int n, err, failed = 0;
	bool fired = true;

	if (self->nth < 0)
		SKIP(return, NO_FAULTS);
	for (n = 1; fired && n < MANY; n++) {
		fault_arm(self->nth, n);
		err = vm_alloc_hpt(&self->vm, ORDER + 1 + n % 2);
		fired = fault_disarm(self->nth);
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

/* No memory for the chain heads of a memslot, or another part of it */
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
		fault_arm(self->nth, n);
		err = vm_memslot(&self->vm, 1, 0, mem, PAGE_16M, 0);
		fired = fault_disarm(self->nth);
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
