// SPDX-License-Identifier: GPL-2.0
/*
 * What KVM itself does to an HPT beside the file for it: the chains of its
 * reverse map are walked by the host while the HPT is reset, replaced or gone,
 * and may be as long as the HPT is large.
 *
 * What most of these tests look for is that the host survives, so they are
 * worth most with a kernel that checks itself (KASAN, lockdep).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"
#include "hpt_ticker.h"

#define ORDER		MIN_ORDER
#define MAX_ORDER	21
#define MEM		PAGE_16M
#define PAGES		(MEM / PAGE_64K)

/* How many times a test tries */
#define ROUNDS		20

/* HPTEs that are in chains then; each is a tlbie for who walks them */
#define CHAINED		(8 * PAGES)

/* VMs that are closed while a resize is prepared, and the order of that */
#define VMS		40
#define RESIZE_ORDER	22

/* HPTs of which all HPTEs are of one page; they are invalidated, or looked at */
#define LONG_ORDER	18
#define AGED_ORDER	22

/* One that takes a while to clear */
#define LARGE_ORDER	27

/* Seconds that may be needed in an emulator on a busy machine */
#define BUSY_TIMEOUT	300

struct chain {
	struct vm vm;
	struct stream s;
	pthread_t thread;
	bool stop;
	unsigned long done;
	unsigned char bitmap[MEM / PAGE_4K / 8];
};

FIXTURE(chain)
{
	struct chain c;
};

FIXTURE_SETUP(chain)
{
	ASSERT_EQ(0, vm_init(&self->c.vm, ORDER, MEM));
	ASSERT_EQ(0, vm_memslot(&self->c.vm, 0, 0, self->c.vm.mem, MEM,
				KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(0, stream_init(&self->c.s, REC_BYTES + NPTE(ORDER) * HPTE_BYTES));
	memset(self->c.vm.mem, 1, MEM);
}

FIXTURE_TEARDOWN(chain)
{
	stream_free(&self->c.s);
	EXPECT_EQ(0, vm_free(&self->c.vm));
}

/* Something that goes on while the HPT is replaced */
static int start(struct chain *c, void *(*fn)(void *))
{
	return pthread_create(&c->thread, NULL, fn, c);
}

static void finish(struct chain *c)
{
	__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
	pthread_join(c->thread, NULL);
}

static bool goes_on(struct chain *c)
{
	__atomic_add_fetch(&c->done, 1, __ATOMIC_RELAXED);
	return !__atomic_load_n(&c->stop, __ATOMIC_RELAXED);
}

static unsigned long done(struct chain *c)
{
	return __atomic_load_n(&c->done, __ATOMIC_RELAXED);
}

/* Let it get to another place than where it was at @before */
static void wait_for_more(struct chain *c, unsigned long before)
{
	while (done(c) == before)
		usleep(100);
}

/* HPTEs for all of memory at @gpa: each page has a chain of some */
static int fill(struct chain *c, unsigned long gpa)
{
	struct stream *s = &c->s;
	unsigned long i;
	ssize_t n;

	s->len = 0;
	stream_header(s, 0, CHAINED, 0);
	for (i = 0; i < CHAINED; i++)
		stream_hpte(s, mem_hpte(i, gpa + i % PAGES * PAGE_64K));
	n = stream_write(c->vm.wfd, s->buf, s->len);
	return n < 0 ? n : 0;
}

static int get_dirty_log(struct chain *c, unsigned int slot)
{
	struct kvm_dirty_log log = {
		.slot = slot,
		.dirty_bitmap = c->bitmap,
	};

	return ioctl(c->vm.fd, KVM_GET_DIRTY_LOG, &log) ? -errno : 0;
}

static void *log_on(void *arg)
{
	struct chain *c = arg;

	while (goes_on(c))
		get_dirty_log(c, 0);
	return NULL;
}

static void *flush_on(void *arg)
{
	struct chain *c = arg;

	while (goes_on(c)) {
		vm_memslot(&c->vm, 1, MEM, c->vm.mem, MEM, 0);
		usleep(2000);
		vm_memslot(&c->vm, 1, MEM, c->vm.mem, 0, 0);
	}
	return NULL;
}

/* Page after page, once */
static void *unmap_pages(void *arg)
{
	struct chain *c = arg;
	unsigned long i;

	for (i = 0; i < PAGES; i++) {
		madvise(c->vm.mem + i * PAGE_64K, PAGE_64K, MADV_DONTNEED);
		goes_on(c);
	}
	return NULL;
}

/* The HPT is replaced by one of another size, and filled again */
static int replace(struct chain *c, unsigned long gpa)
{
	unsigned int i, order = ORDER;
	int err = 0;

	for (i = 0; i < ROUNDS && !err; i++) {
		order = order == MAX_ORDER ? ORDER : order + 1;
		while ((err = vm_alloc_hpt(&c->vm, order)) == -ENOMEM)
			usleep(1000);
		err = err ?: fill(c, gpa);
	}
	return err;
}

TEST_F_TIMEOUT(chain, dirty_log_vs_replace, BUSY_TIMEOUT)
{
	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	ASSERT_EQ(0, start(&self->c, log_on));
	EXPECT_EQ(0, replace(&self->c, 0));
	finish(&self->c);
}

TEST_F_TIMEOUT(chain, flush_vs_replace, BUSY_TIMEOUT)
{
	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	ASSERT_EQ(0, start(&self->c, flush_on));
	EXPECT_EQ(0, replace(&self->c, MEM));
	finish(&self->c);
}

TEST_F_TIMEOUT(chain, unmap_vs_replace, BUSY_TIMEOUT)
{
	unsigned long before;
	unsigned int i;

	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	for (i = 0; i < ROUNDS; i++) {
		memset(self->c.vm.mem, 1, MEM);
		ASSERT_EQ(0, fill(&self->c, 0));
		before = done(&self->c);
		ASSERT_EQ(0, start(&self->c, unmap_pages));
		wait_for_more(&self->c, before);
		ASSERT_EQ(0, vm_alloc_hpt(&self->c.vm, ORDER + 1 - i % 2));
		finish(&self->c);
	}
}

/* An HPT that was reset is empty, whoever walks its chains */
TEST_F_TIMEOUT(chain, dirty_log_vs_reset, BUSY_TIMEOUT)
{
	unsigned int i;
	struct table t;

	ASSERT_EQ(0, table_init(&t, NPTE(ORDER)));
	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	ASSERT_EQ(0, start(&self->c, log_on));
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, fill(&self->c, 0));
		wait_for_more(&self->c, done(&self->c));
		ASSERT_EQ(0, vm_alloc_hpt(&self->c.vm, ORDER));
		table_unsee(&t);
		t.n_valid = 0;
		ASSERT_EQ((long)NPTE(ORDER), table_dump(&t, &self->c.vm, 0));
		EXPECT_EQ(0, t.n_valid) {
			TH_LOG("round %u", i);
			break;
		}
	}
	finish(&self->c);
	table_free(&t);
}

/* Resizes that are prepared, cancelled and given up by closing the VM */
static int resize_and_close(unsigned int how)
{
	struct vm vm;
	int err;

	err = vm_init(&vm, ORDER, 0);
	if (err)
		return err;
	err = vm_resize_prepare(&vm, RESIZE_ORDER);
	if (err > 0 && how % 4 == 1)
		err = vm_resize_prepare(&vm, RESIZE_ORDER + 1);
	else if (err > 0 && how % 4 == 2)
		err = vm_resize_prepare(&vm, 0);
	else if (err > 0 && how % 4 == 3)
		err = vm_resize_ready(&vm, RESIZE_ORDER);
	vm_free(&vm);
	return err > 0 || err == -ENOMEM ? 0 : err;
}

static long free_cma(void)
{
	char line[128];
	FILE *file = fopen("/proc/meminfo", "r");
	long kb = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "CmaFree: %ld kB", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

/* What was prepared is freed, and nobody uses the VM afterwards */
TEST_F_TIMEOUT(chain, close_while_preparing, BUSY_TIMEOUT)
{
	const long hpt_kb = 1L << (RESIZE_ORDER - 10);
	unsigned int i;
	long before, lost;

	before = free_cma();
	if (before < 4 * hpt_kb)
		SKIP(return, "not enough CMA memory for HPTs");
	for (i = 0; i < VMS; i++)
		ASSERT_EQ(0, resize_and_close(i)) {
			TH_LOG("VM %u", i);
		}
	/* What is still under way ends; other pages may come to the region */
	for (i = 0; i < 100; i++) {
		lost = before - free_cma();
		if (lost < 2 * hpt_kb)
			break;
		usleep(50000);
	}
	EXPECT_GT(2 * hpt_kb, lost) {
		TH_LOG("%ld kB of CMA memory lost", lost);
	}
}

/* All HPTEs of a large HPT are of the page at @gpa */
static int one_chain(struct chain *c, unsigned int order,
		     unsigned long gpa)
{
	struct stream *s = &c->s;
	unsigned long i, j;
	ssize_t n;
	int err;

	err = vm_alloc_hpt(&c->vm, order);
	for (i = 0; i < NPTE(order) && !err; i += NPTE(ORDER)) {
		s->len = 0;
		stream_header(s, i, NPTE(ORDER), 0);
		for (j = i; j < i + NPTE(ORDER); j++)
			stream_hpte(s, mem_hpte(j, gpa));
		n = stream_write(c->vm.wfd, s->buf, s->len);
		err = n < 0 ? n : 0;
	}
	return err;
}

TEST_F_TIMEOUT(chain, unmap_lets_others_run, BUSY_TIMEOUT)
{
	bool good = false;
	struct ticker t;
	int i;

	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		memset(self->c.vm.mem, 1, MEM);
		ASSERT_EQ(0, one_chain(&self->c, LONG_ORDER, PAGE_64K));
		ticker_begin(&t);
		ASSERT_EQ(0, madvise(self->c.vm.mem + PAGE_64K, PAGE_64K,
				     MADV_DONTNEED));
		good = ticker_ends(&t);
	}
	EXPECT_TRUE(good);
	ticker_free(&t);
}

TEST_F_TIMEOUT(chain, dirty_log_lets_others_run, BUSY_TIMEOUT)
{
	bool good = false;
	struct ticker t;
	int i;

	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	ASSERT_EQ(0, one_chain(&self->c, LONG_ORDER, PAGE_64K));
	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		ticker_begin(&t);
		ASSERT_EQ(0, get_dirty_log(&self->c, 0));
		good = ticker_ends(&t);
	}
	EXPECT_TRUE(good);
	ticker_free(&t);
}

TEST_F_TIMEOUT(chain, flush_lets_others_run, BUSY_TIMEOUT)
{
	bool good = false;
	struct ticker t;
	int i;

	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		ASSERT_EQ(0, vm_memslot(&self->c.vm, 1, MEM, self->c.vm.mem,
					PAGE_64K, 0));
		ASSERT_EQ(0, one_chain(&self->c, LONG_ORDER, MEM));
		ticker_begin(&t);
		ASSERT_EQ(0, vm_memslot(&self->c.vm, 1, MEM, self->c.vm.mem, 0,
					0));
		good = ticker_ends(&t);
	}
	EXPECT_TRUE(good);
	ticker_free(&t);
}

/* A large HPT is allocated, which clears it */
TEST_F_TIMEOUT(chain, alloc_lets_others_run, BUSY_TIMEOUT)
{
	bool good = false;
	struct ticker t;
	int i, err;

	err = vm_alloc_hpt(&self->c.vm, LARGE_ORDER);
	if (err == -ENOMEM)
		SKIP(return, "not enough CMA memory for an HPT");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		ASSERT_EQ(0, vm_alloc_hpt(&self->c.vm, ORDER));
		ticker_begin(&t);
		ASSERT_EQ(0, vm_alloc_hpt(&self->c.vm, LARGE_ORDER));
		good = ticker_ends(&t);
	}
	EXPECT_TRUE(good);
	ticker_free(&t);
}

/* How long the host takes to look whether @page is in use, in microseconds */
static long age(const char *page)
{
	struct timespec then, now;
	uint64_t frame, word = ~0ULL;
	int idle, map, err = 0;

	idle = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR);
	if (idle < 0)
		return -errno;
	map = open("/proc/self/pagemap", O_RDONLY);
	if (map < 0 || pread(map, &frame, 8, (unsigned long)page /
			     getpagesize() * 8) != 8)
		err = -EIO;
	/* Once more for what has just got to where it can be aged */
	frame = (frame & ((1ULL << 55) - 1)) / 64 * 8;
	clock_gettime(CLOCK_MONOTONIC, &then);
	if (!err && pwrite(idle, &word, 8, frame) != 8)
		err = -EIO;
	clock_gettime(CLOCK_MONOTONIC, &now);
	close(map);
	close(idle);
	return err ?: us_between(&then, &now);
}

static long least_age(const char *page)
{
	long us, least = -1;
	int i;

	for (i = 0; i < TICKER_TRIES; i++) {
		us = age(page);
		if (us < 0)
			return us;
		if (least < 0 || us < least)
			least = us;
	}
	return least;
}

/* With locks that are not KVM's, so there is a limit to how long it takes */
TEST_F_TIMEOUT(chain, ageing_has_a_limit, BUSY_TIMEOUT)
{
	char *page = self->c.vm.mem + PAGE_64K;
	long alone, with_chain;

	alone = least_age(page);
	if (alone < 0)
		SKIP(return, "the kernel has no CONFIG_IDLE_PAGE_TRACKING");
	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	ASSERT_EQ(0, one_chain(&self->c, AGED_ORDER, PAGE_64K));
	with_chain = least_age(page);
	ASSERT_LE(0, with_chain);
	TH_LOG("%ld us, with HPTEs %ld us", alone, with_chain);
	/* 256 HPTEs are looked at, of 262144 */
	EXPECT_GT(20 * alone + 500, with_chain);
}

/* An order that an HPT cannot have changes nothing: not even the kind of MMU */
TEST_F_TIMEOUT(chain, order_that_cannot_be, BUSY_TIMEOUT)
{
	static const unsigned int orders[] = { 0, 1, 17, 37, 64, 0x80000000 };
	struct table want, got;
	unsigned int i;

	ASSERT_EQ(0, table_init(&want, NPTE(ORDER)));
	ASSERT_EQ(0, table_init(&got, NPTE(ORDER)));
	ASSERT_EQ(0, vm_enter(&self->c.vm, &want, 5, 100));
	for (i = 0; i < ARRAY_SIZE(orders); i++)
		EXPECT_EQ(-EINVAL, vm_alloc_hpt(&self->c.vm, orders[i]));
	EXPECT_EQ((long)NPTE(ORDER), table_dump(&got, &self->c.vm, 0));
	EXPECT_EQ(0, table_diff(&want, &got));
	table_free(&want);
	table_free(&got);

	if (!self->c.vm.radix)
		SKIP(return, "the host has no radix MMU");
	ASSERT_EQ(0, vm_set_radix(&self->c.vm, true));
	for (i = 0; i < ARRAY_SIZE(orders); i++)
		EXPECT_EQ(-EINVAL, vm_alloc_hpt(&self->c.vm, orders[i]));
	/* Only a VM that is not radix can resize its HPT */
	EXPECT_EQ(-EINVAL, vm_resize_prepare(&self->c.vm, ORDER));
}

TEST_HARNESS_MAIN
