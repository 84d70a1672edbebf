// SPDX-License-Identifier: GPL-2.0
/*
 * Chains of the reverse map: the host walks them while the HPT is reset,
 * replaced or freed, and a chain may contain all HPTEs of the HPT.
 *
 * Most of these tests check only that the host survives, so they are most
 * useful on a kernel with KASAN and lockdep.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

#define ROUNDS		20

/* HPTEs that are in chains then; walking the chains takes a tlbie for each */
#define CHAINED		(8 * PAGES)

/* VMs that are closed while a resize is prepared, and its order */
#define VMS		40
#define RESIZE_ORDER	22

/* Orders of HPTs whose HPTEs all map one page */
#define LONG_ORDER	18
#define AGED_ORDER	22
#define AGED_FEW	1024U
/* How often to measure the time that ageing this page takes */
#define AGE_TRIES	50

/* Order of an HPT that takes a while to clear */
#define LARGE_ORDER	27

/* Order of an HPT with so many groups that a while passes until each is used */
#define VRMA_ORDER	24

/* Seconds that a test may need in an emulator on a busy machine */
#define BUSY_TIMEOUT	300

struct chain {
	struct vm vm;
	struct stream s;
	pthread_t thread;
	bool stop;
	unsigned long done;
	unsigned long failed;	/* ioctls of the thread */
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

/* Start a thread that works while the HPT is replaced */
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

/* Wait until the thread has got further than @before */
static void wait_for_more(struct chain *c, unsigned long before)
{
	while (done(c) == before)
		usleep(100);
}

/* Write HPTEs for all of memory from @gpa on: several for each page */
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
		c->failed += !!get_dirty_log(c, 0);
	return NULL;
}

static void *flush_on(void *arg)
{
	struct chain *c = arg;

	while (goes_on(c)) {
		c->failed += !!vm_memslot(&c->vm, 1, MEM, c->vm.mem, MEM, 0);
		usleep(2000);
		c->failed += !!vm_memslot(&c->vm, 1, MEM, c->vm.mem, 0, 0);
	}
	return NULL;
}

/* Unmap all pages, one after the other, once */
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

/* Replace the HPT by one of another order, and fill that */
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
	EXPECT_EQ(0, self->c.failed);
}

TEST_F_TIMEOUT(chain, flush_vs_replace, BUSY_TIMEOUT)
{
	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	ASSERT_EQ(0, start(&self->c, flush_on));
	EXPECT_EQ(0, replace(&self->c, MEM));
	finish(&self->c);
	EXPECT_EQ(0, self->c.failed);
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

/* An HPT is empty after a reset, even if chains were walked meanwhile */
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
	EXPECT_EQ(0, self->c.failed);
	table_free(&t);
}

/* Prepare a resize, maybe cancel it, and close the VM */
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

/* A prepared HPT is freed, and no work item uses the VM afterwards */
TEST_F_TIMEOUT(chain, close_while_preparing, BUSY_TIMEOUT)
{
	const long hpt_kb = 1L << (RESIZE_ORDER - 10);
	unsigned int i;
	long before, lost;

	before = host_kib("CmaFree");
	if (before < 4 * hpt_kb)
		SKIP(return, "not enough CMA memory for HPTs");
	for (i = 0; i < VMS; i++)
		ASSERT_EQ(0, resize_and_close(i)) {
			TH_LOG("VM %u", i);
		}
	/* Wait for work items; other pages may be moved into the CMA region */
	for (i = 0; i < 100; i++) {
		lost = before - host_kib("CmaFree");
		if (lost < 2 * hpt_kb)
			break;
		usleep(50000);
	}
	EXPECT_GT(2 * hpt_kb, lost) {
		TH_LOG("%ld kB of CMA memory lost", lost);
	}
}

/*
 * The HPT of a cancelled resize has been freed when the ioctl returns: another one
 * as large can be had.  It is tried with larger and larger ones, up to one that
 * the host does not have memory for twice.
 */
TEST_F_TIMEOUT(chain, cancelled_hpt_is_free_at_once, BUSY_TIMEOUT)
{
	unsigned int order;
	struct vm vm;
	int err = 0;

	for (order = RESIZE_ORDER; !err; order++) {
		ASSERT_EQ(0, vm_init(&vm, 0, 0));
		if (vm.radix)
			ASSERT_EQ(0, vm_set_radix(&vm, false));
		err = vm_resize_ready(&vm, order);
		ASSERT_TRUE(!err || err == -ENOMEM);
		if (!err) {
			ASSERT_EQ(0, vm_resize_prepare(&vm, 0));
			ASSERT_EQ(0, vm_alloc_hpt(&vm, order)) {
				TH_LOG("order %u", order);
			}
			/* Nor does it keep another resize from beginning */
			ASSERT_EQ(0, vm_resize_ready(&vm, MIN_ORDER));
		}
		EXPECT_EQ(0, vm_free(&vm));
	}
	/* At least one was had twice */
	EXPECT_LT(RESIZE_ORDER + 1, order);
}

/* Enter HPTEs from index @i up to @end that all map the page at @gpa */
static int add_chain(struct chain *c, unsigned long i, unsigned long end,
		     unsigned long gpa)
{
	struct stream *s = &c->s;
	unsigned long stop;
	ssize_t n;

	while (i < end) {
		stop = end - i < NPTE(ORDER) ? end : i + NPTE(ORDER);
		s->len = 0;
		stream_header(s, i, stop - i, 0);
		for (; i < stop; i++)
			stream_hpte(s, mem_hpte(i, gpa));
		n = stream_write(c->vm.wfd, s->buf, s->len);
		if (n < 0)
			return n;
	}
	return 0;
}

/* Fill a large HPT with HPTEs that all map the page at @gpa */
static int one_chain(struct chain *c, unsigned int order,
		     unsigned long gpa)
{
	return vm_alloc_hpt(&c->vm, order) ?:
		add_chain(c, 0, NPTE(order), gpa);
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

/* Allocating a large HPT includes clearing it */
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

/* KVM maps the VRMA when the vcpu runs for the first time after a reset */
static long first_run(struct guest *g)
{
	static const unsigned long args[4];

	return guest_hcall(g, H_READ, args, 2);
}

TEST_F_TIMEOUT(chain, vrma_lets_others_run, BUSY_TIMEOUT)
{
	size_t size = NPTE(VRMA_ORDER) / 8 * PAGE_64K;
	bool good = false;
	struct ticker t;
	struct guest g;
	char *mem;
	int i, err;

	ASSERT_EQ(0, guest_init(&g, &self->c.vm, false));
	mem = guest_sparse_memory(&self->c.vm, size);
	ASSERT_NE(NULL, mem);
	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		err = vm_alloc_hpt(&self->c.vm, VRMA_ORDER);
		if (err == -ENOMEM)
			break;
		ASSERT_EQ(0, err);
		ticker_begin(&t);
		ASSERT_EQ(H_SUCCESS, first_run(&g));
		good = ticker_ends(&t);
	}
	ticker_free(&t);
	guest_free(&g);
	munmap(mem, size);
	if (err == -ENOMEM)
		SKIP(return, "not enough CMA memory for an HPT");
	EXPECT_TRUE(good);
}

/* A thread that does no more than take mmu_setup_lock of a VM */
struct taker {
	pthread_t thread;
	struct vm *vm;
	long longest;		/* wait for the lock, in microseconds */
	unsigned long taken;
	bool stop;
};

static void *take(void *arg)
{
	struct kvm_ppc_resize_hpt none = { };
	struct timespec then, now;
	struct taker *t = arg;
	long us;

	/* If there is another one, so that it waits only for the lock */
	use_processor(1);
	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		clock_gettime(CLOCK_MONOTONIC, &then);
		ioctl(t->vm->fd, KVM_PPC_RESIZE_HPT_PREPARE, &none);
		clock_gettime(CLOCK_MONOTONIC, &now);
		us = us_between(&then, &now);
		if (us > t->longest)
			t->longest = us;
		__atomic_fetch_add(&t->taken, 1, __ATOMIC_RELEASE);
		usleep(100);
	}
	return NULL;
}

static int taker_start(struct taker *t, struct vm *vm)
{
	int err;

	*t = (struct taker) { .vm = vm };
	err = pthread_create(&t->thread, NULL, take, t);
	while (!err && !__atomic_load_n(&t->taken, __ATOMIC_ACQUIRE))
		usleep(100);
	return -err;
}

/* Returns the longest wait */
static long taker_end(struct taker *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	pthread_join(t->thread, NULL);
	return t->longest;
}

TEST_F_TIMEOUT(chain, vrma_in_many_holds, BUSY_TIMEOUT)
{
	size_t size = NPTE(VRMA_ORDER) / 8 * PAGE_64K;
	struct timespec then, now;
	long us, longest;
	bool good = false;
	struct taker t;
	struct guest g;
	char *mem;
	int i, err;

	ASSERT_EQ(0, guest_init(&g, &self->c.vm, false));
	mem = guest_sparse_memory(&self->c.vm, size);
	ASSERT_NE(NULL, mem);
	ASSERT_EQ(0, use_processor(0));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		err = vm_alloc_hpt(&self->c.vm, VRMA_ORDER);
		if (err == -ENOMEM)
			break;
		ASSERT_EQ(0, err);
		ASSERT_EQ(0, taker_start(&t, &self->c.vm));
		clock_gettime(CLOCK_MONOTONIC, &then);
		ASSERT_EQ(H_SUCCESS, first_run(&g));
		clock_gettime(CLOCK_MONOTONIC, &now);
		longest = taker_end(&t);
		us = us_between(&then, &now);
		printf("# took %ld us, longest wait %ld us\n", us, longest);
		good = longest < us / 2;
	}
	guest_free(&g);
	munmap(mem, size);
	if (err == -ENOMEM)
		SKIP(return, "not enough CMA memory for an HPT");
	EXPECT_TRUE(good);
}

/* No room in the CMA for another HPT: ENOMEM, and nothing in the log */
TEST_F_TIMEOUT(chain, no_room_is_not_logged, BUSY_TIMEOUT)
{
	long size = 1L << (LARGE_ORDER - 10), free = host_kib("CmaFree");
	struct vm vm[8] = { };
	unsigned int i, n;
	int err = 0;

	if (free < size || free >= (long)ARRAY_SIZE(vm) * size)
		SKIP(return, "needs room for some HPTs of order %u", LARGE_ORDER);
	for (n = 0; n < ARRAY_SIZE(vm) && !err; n++) {
		ASSERT_EQ(0, vm_init(&vm[n], 0, 0));
		err = vm_alloc_hpt(&vm[n], LARGE_ORDER);
	}
	EXPECT_EQ(-ENOMEM, err);
	for (i = 0; i < n; i++)
		EXPECT_EQ(0, vm_free(&vm[i]));
}

/* How long the host takes to age @page, in microseconds */
static long age(const char *page)
{
	struct timespec then, now;
	uint64_t frame, word;
	int idle, map, err = 0;

	idle = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR);
	if (idle < 0)
		return -errno;
	map = open("/proc/self/pagemap", O_RDONLY);
	if (map < 0 || pread(map, &frame, 8, (unsigned long)page /
			     getpagesize() * 8) != 8)
		err = -EIO;
	frame &= (1ULL << 55) - 1;
	word = 1ULL << (frame % 64);
	clock_gettime(CLOCK_MONOTONIC, &then);
	if (!err && pwrite(idle, &word, 8, frame / 64 * 8) != 8)
		err = -EIO;
	clock_gettime(CLOCK_MONOTONIC, &now);
	close(map);
	close(idle);
	return err ?: us_between(&then, &now);
}

/*
 * Ageing holds locks of the host's MM, so its time must be bounded.  The machine
 * may be busy: take the shortest of many tries, those of both pages in turn.
 */
TEST_F_TIMEOUT(chain, ageing_has_a_limit, BUSY_TIMEOUT)
{
	const unsigned long gpa[] = { PAGE_64K, 2 * PAGE_64K };
	long us, least[] = { LONG_MAX, LONG_MAX };
	unsigned int i;

	if (age(self->c.vm.mem + gpa[0]) < 0)
		SKIP(return, "the kernel has no CONFIG_IDLE_PAGE_TRACKING");
	ASSERT_EQ(0, vm_invalidate(&self->c.vm, 0, 1));
	memset(self->c.vm.mem, 1, MEM);
	ASSERT_EQ(0, vm_alloc_hpt(&self->c.vm, AGED_ORDER));
	ASSERT_EQ(0, add_chain(&self->c, 0, AGED_FEW, gpa[0]));
	ASSERT_EQ(0, add_chain(&self->c, AGED_FEW, NPTE(AGED_ORDER), gpa[1]));
	for (i = 0; i < 2 * AGE_TRIES; i++) {
		us = age(self->c.vm.mem + gpa[i % 2]);
		ASSERT_LE(0, us);
		if (us < least[i % 2])
			least[i % 2] = us;
	}
	TH_LOG("%u HPTEs %ld us, %lu %ld us", AGED_FEW, least[0],
	       NPTE(AGED_ORDER) - AGED_FEW, least[1]);
	/* Both times, KVM looks at some hundred HPTEs, of 256 times as many */
	EXPECT_GT(8 * least[0] + 300, least[1]);
}

/* A request for an invalid order changes neither the HPT nor the MMU */
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
	/* Still radix, since only a hash VM can resize its HPT */
	EXPECT_EQ(-EINVAL, vm_resize_prepare(&self->c.vm, ORDER));
}

TEST_HARNESS_MAIN
