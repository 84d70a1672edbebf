// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest, or a process that may open /dev/kvm, must not be able to make
 * the MMU code of Book3S HV do: write to memory that its owner may only read,
 * map more than a memslot contains, use a page table that was freed, confuse
 * addresses, or print a warning.
 *
 * Tests that need large pages, 16M on a hash host or 2M on a radix host, are
 * skipped on hosts without them.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"
#include "hpt_guest_code.h"
#include "hpt_ticker.h"

#define N		NPTE(MIN_ORDER)
#define MEM		PAGE_16M
#define SLOT		1
#define PAGE_2M		0x200000UL

/* After slot 0 */
#define GPA		(16 * PAGE_16M)

#define H_PARAMETER	(-4)
#define H_PAGE_INIT	0x2c
#define H_ZERO_PAGE	0x8000UL
#define H_COPY_PAGE	0x4000UL

/* A segment with a base page size of 16M */
#define EA_16M		0x200000000000UL
#define VSID_16M	0x654321UL
#define SLB_16M		(VSID_16M << 12 | 0x100UL)
#define SLB_V		0x8000000UL

/* The range that the page table of a radix guest maps */
#define RADIX_RANGE	(1UL << 52)

#define MSR_PR_IR_DR	0x4030UL
#define LPCR_TC		0x200UL

#define SECONDS		5
#define TIMEOUT		60

/* @n huge pages of @size, or NULL if the host does not have them */
static char *large_pages(unsigned long size, unsigned int n)
{
	char path[96];
	FILE *file;
	void *map;

	snprintf(path, sizeof(path),
		 "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages",
		 size >> 10);
	file = fopen(path, "w");
	if (!file)
		return NULL;
	fprintf(file, "%u", n);
	fclose(file);
	map = mmap(NULL, n * size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		   __builtin_ctzl(size) << MAP_HUGE_SHIFT, -1, 0);
	return map == MAP_FAILED ? NULL : map;
}

static char *anonymous(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

/* Make the host have a PTE for the page, without writing to it */
static char peek(const char *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static bool all_are(const char *p, char c, size_t n)
{
	return *p == c && !memcmp(p, p + 1, n - 1);
}

static long page_init(struct guest *g, unsigned long flags,
		      unsigned long dest, unsigned long src)
{
	unsigned long args[] = { flags, dest, src };

	return guest_hcall(g, H_PAGE_INIT, args, 3);
}

static int enable_page_init(struct vm *vm)
{
	return vm_enable_cap(vm, KVM_CAP_PPC_ENABLE_HCALL, H_PAGE_INIT, 1);
}

/* A guest with an HPT; page 1 of its memory is filled with 'g' */
FIXTURE(hash)
{
	struct vm vm;
	struct guest guest;
};

FIXTURE_SETUP(hash)
{
	ASSERT_EQ(0, vm_init(&self->vm, MIN_ORDER, MEM));
	ASSERT_EQ(0, guest_init(&self->guest, &self->vm, true));
	ASSERT_EQ(0, enable_page_init(&self->vm));
	memset(self->vm.mem + PAGE_64K, 'g', PAGE_64K);
}

FIXTURE_TEARDOWN(hash)
{
	guest_free(&self->guest);
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* H_PAGE_INIT does not write to a file that is mapped read-only */
TEST_F(hash, page_init_of_read_only_file)
{
	int fd = memfd_create("read-only", 0);
	char buf[PAGE_4K];
	char *map;

	ASSERT_LE(0, fd);
	memset(buf, 'f', sizeof(buf));
	ASSERT_EQ(0, ftruncate(fd, PAGE_64K));
	ASSERT_EQ((ssize_t)sizeof(buf), pwrite(fd, buf, sizeof(buf), 0));
	map = mmap(NULL, PAGE_64K, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ('f', peek(map));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map, PAGE_64K, 0));

	EXPECT_EQ(H_PARAMETER, page_init(&self->guest, H_ZERO_PAGE, GPA, 0));
	EXPECT_TRUE(all_are(map, 'f', PAGE_4K));
	EXPECT_EQ(H_PARAMETER, page_init(&self->guest, H_COPY_PAGE, GPA,
					 PAGE_64K));
	EXPECT_TRUE(all_are(map, 'f', PAGE_4K));

	/* But it can read the file */
	EXPECT_EQ(H_SUCCESS, page_init(&self->guest, H_COPY_PAGE, PAGE_64K,
				       GPA));
	EXPECT_TRUE(all_are(self->vm.mem + PAGE_64K, 'f', PAGE_4K));
}

/* A shared page is copied before a write: here, the zero page */
TEST_F(hash, page_init_copies_on_write)
{
	char *own = anonymous(PAGE_64K), *other = anonymous(PAGE_64K);
	bool zero;

	ASSERT_TRUE(!!own && !!other);
	ASSERT_EQ(0, peek(own));
	ASSERT_EQ(0, peek(other));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, own, PAGE_64K, 0));

	EXPECT_EQ(H_SUCCESS, page_init(&self->guest, H_COPY_PAGE, GPA,
				       PAGE_64K));
	zero = all_are(other, 0, PAGE_4K);
	/* If the zero page was written, repair it for all other tasks */
	if (!zero)
		page_init(&self->guest, H_ZERO_PAGE, GPA, 0);
	else
		EXPECT_TRUE(all_are(own, 'g', PAGE_4K));
	EXPECT_TRUE(zero);
}

/* H_PAGE_INIT does not access memory that its owner may not access */
TEST_F(hash, page_init_without_access)
{
	char *map = anonymous(PAGE_64K);

	ASSERT_NE(NULL, map);
	memset(map, 'n', PAGE_64K);
	ASSERT_EQ(0, mprotect(map, PAGE_64K, PROT_NONE));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map, PAGE_64K, 0));

	EXPECT_EQ(H_PARAMETER, page_init(&self->guest, H_ZERO_PAGE, GPA, 0));
	EXPECT_EQ(H_PARAMETER, page_init(&self->guest, H_COPY_PAGE, PAGE_64K,
					 GPA));
	EXPECT_TRUE(all_are(self->vm.mem + PAGE_64K, 'g', PAGE_64K));
	ASSERT_EQ(0, mprotect(map, PAGE_64K, PROT_READ));
	EXPECT_TRUE(all_are(map, 'n', PAGE_64K));
}

/* H_PAGE_INIT accepts the last 4K of a memslot */
TEST_F(hash, page_init_at_the_end)
{
	char *map = anonymous(PAGE_64K);
	unsigned long last = PAGE_64K - PAGE_4K;

	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map, PAGE_64K, 0));
	EXPECT_EQ(H_SUCCESS, page_init(&self->guest, H_COPY_PAGE, GPA + last,
				       PAGE_64K));
	EXPECT_TRUE(all_are(map + last, 'g', PAGE_4K));
	EXPECT_EQ(H_SUCCESS, page_init(&self->guest, H_COPY_PAGE,
				       2 * PAGE_64K, GPA + last));
	EXPECT_TRUE(all_are(self->vm.mem + 2 * PAGE_64K, 'g', PAGE_4K));
}

/* An HPTE gives no access to memory that its owner may not access */
TEST_F(hash, hpte_without_access)
{
	unsigned long index = guest_index(N, 0);
	char *map = anonymous(PAGE_64K);

	ASSERT_NE(NULL, map);
	memset(map, 'n', PAGE_64K);
	ASSERT_EQ(0, mprotect(map, PAGE_64K, PROT_NONE));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map, PAGE_64K, 0));
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, index,
					 guest_hpte(0, GPA, HPTE_R_RC)));
	EXPECT_EQ(-EFAULT, guest_load(&self->guest, GUEST_EA, true));
	ASSERT_EQ(0, mprotect(map, PAGE_64K, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, guest_load(&self->guest, GUEST_EA, true));
}

/* The HPTE that maps EA_16M */
static struct hpte hpte_16m(unsigned long gpa)
{
	struct hpte e = {
		.v = VSID_16M << 12 | HPTE_V_LARGE | HPTE_V_VALID,
		.r = gpa | HPTE_R_M | HPTE_R_RC,
	};

	return e;
}

static unsigned long index_16m(void)
{
	return (VSID_16M & (N / 8 - 1)) * 8;
}

static int slb_16m(struct guest *g)
{
	struct kvm_sregs sregs;

	if (ioctl(g->fd, KVM_GET_SREGS, &sregs))
		return -errno;
	sregs.u.s.ppc64.slb[1].slbe = EA_16M | SLB_V | 1;
	sregs.u.s.ppc64.slb[1].slbv = SLB_16M;
	return ioctl(g->fd, KVM_SET_SREGS, &sregs) ? -errno : 0;
}

/* H_READ of a removed HPTE does not show host addresses */
TEST_F(hash, read_of_removed_hpte)
{
	struct hpte e = mem_hpte(8, PAGE_64K);
	unsigned long args[] = { H_READ_4, 8 }, i;
	struct guest *g = &self->guest;

	ASSERT_EQ('g', peek(self->vm.mem + PAGE_64K));
	for (i = 8; i < 12; i++)
		ASSERT_EQ(H_SUCCESS, guest_enter(g, i, e));
	for (i = 8; i < 12; i++)
		ASSERT_EQ(H_SUCCESS, guest_remove(g, i));
	ASSERT_EQ(H_SUCCESS, guest_hcall(g, H_READ, args, 2));
	for (i = 0; i < 8; i += 2) {
		EXPECT_EQ(0, g->ret[i] & HPTE_V_VALID);
		EXPECT_EQ(0, g->ret[i + 1]);
	}
	args[0] = 0;
	args[1] = 9;
	ASSERT_EQ(H_SUCCESS, guest_hcall(g, H_READ, args, 2));
	EXPECT_EQ(0, g->ret[1]);
}

/* An HPTE of 16M works if the memslot contains all of the page */
TEST_F(hash, hpte_16m)
{
	char *map = large_pages(PAGE_16M, 1);

	if (!map)
		SKIP(return, "the host has no pages of 16M");
	*map = 0;
	ASSERT_EQ(0, slb_16m(&self->guest));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map, PAGE_16M, 0));
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, index_16m(),
					 hpte_16m(GPA)));
	EXPECT_EQ(0, guest_store(&self->guest, EA_16M + PAGE_16M - 8, true));
	EXPECT_FALSE(all_are(map + PAGE_16M - 8, 0, 8));
}

/*
 * Enter an HPTE that is larger than the final memslot.  At that time, there is
 * a memslot into which the HPTE fits (@fitted), or none.
 */
static int enter_beyond_memslot(struct guest *g, char *map, bool fitted)
{
	struct vm *vm = g->vm;
	int err = slb_16m(g);

	if (!err && fitted)
		err = vm_memslot(vm, SLOT, GPA, map, PAGE_16M, 0);
	if (!err)
		err = guest_enter(g, index_16m(), hpte_16m(GPA));
	if (!err && fitted)
		err = vm_memslot(vm, SLOT, 0, NULL, 0, 0);
	return err ?: vm_memslot(vm, SLOT, GPA, map, PAGE_64K,
				 KVM_MEM_LOG_DIRTY_PAGES);
}

/* The HPTE gives no access to the process's memory after the memslot */
#define EXPECT_NO_ACCESS(map) do { \
	EXPECT_EQ(-EFAULT, guest_store(&self->guest, EA_16M, true)); \
	EXPECT_NE(0, guest_store(&self->guest, EA_16M + PAGE_64K, true)); \
	EXPECT_TRUE(all_are(map, 'b', PAGE_16M)); \
} while (0)

TEST_F(hash, hpte_beyond_new_memslot)
{
	char *map = large_pages(PAGE_16M, 1);

	if (!map)
		SKIP(return, "the host has no pages of 16M");
	memset(map, 'b', PAGE_16M);
	ASSERT_EQ(0, enter_beyond_memslot(&self->guest, map, false));
	EXPECT_NO_ACCESS(map);
}

TEST_F(hash, hpte_beyond_smaller_memslot)
{
	char *map = large_pages(PAGE_16M, 1);

	if (!map)
		SKIP(return, "the host has no pages of 16M");
	memset(map, 'b', PAGE_16M);
	ASSERT_EQ(0, enter_beyond_memslot(&self->guest, map, true));
	EXPECT_NO_ACCESS(map);
}

/*
 * If the host addresses of a memslot are not aligned like its guest addresses,
 * a large page of the host is not mapped as a large page of the guest.
 */
TEST_F(hash, hpte_of_unaligned_memslot)
{
	char *map = large_pages(PAGE_16M, 2);

	if (!map)
		SKIP(return, "the host has no pages of 16M");
	memset(map, 'u', 2 * PAGE_16M);
	ASSERT_EQ(0, slb_16m(&self->guest));

	/* An HPTE entered before the memslot exists, and one after that */
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, index_16m(),
					 hpte_16m(GPA)));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map + PAGE_64K, PAGE_16M,
				0));
	EXPECT_EQ(H_PARAMETER, guest_enter(&self->guest, index_16m() + 1,
					   hpte_16m(GPA)));
	EXPECT_EQ(-EFAULT, guest_store(&self->guest, EA_16M, true));
	EXPECT_TRUE(all_are(map, 'u', 2 * PAGE_16M));
}

static void kick(int sig)
{
	(void)sig;
}

/* Run until a signal arrives */
static void *run_on(void *arg)
{
	struct guest *g = arg;

	g->spin_result = ioctl(g->fd, KVM_RUN, 0) ? -errno : 0;
	return NULL;
}

static bool before(const struct timespec *end)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec < end->tv_sec ||
	       (now.tv_sec == end->tv_sec && now.tv_nsec < end->tv_nsec);
}

static struct timespec in_seconds(unsigned int n)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += n;
	return end;
}

/* Handler of the decrementer interrupt, which comes in user mode at once */
static void start_decrementer_anew(char *mem)
{
	const __u32 code[] = {
		htobe32(0x3c607fff),	/* lis r3, 0x7fff */
		htobe32(0x7c7603a6),	/* mtdec r3 */
		htobe32(0x4c000024),	/* rfid */
	};

	memcpy(mem + 0x900, code, sizeof(code));
}

/* KVM does not read exit_reason in kvm_run, which user space may overwrite */
TEST_F_TIMEOUT(hash, exit_reason_is_not_read, TIMEOUT)
{
	struct guest *g = &self->guest;
	struct sigaction sa = { .sa_handler = kick };
	unsigned long ea = GUEST_EA + GUEST_CODE;
	struct timespec end;
	struct kvm_regs regs = {
		.pc = ea + (guest_code_spin - guest_code),
		.msr = GUEST_MSR | MSR_PR_IR_DR,
	};

	regs.gpr[14] = 1;
	regs.gpr[15] = GUEST_EA + GUEST_FLAG;
	ASSERT_EQ(H_SUCCESS, guest_enter(g, guest_index(N, 0),
					 guest_hpte(0, 0, HPTE_R_RC)));
	start_decrementer_anew(self->vm.mem);
	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(0, ioctl(g->fd, KVM_SET_REGS, &regs));
	ASSERT_EQ(0, pthread_create(&g->spinner, NULL, run_on, g));
	g->spinning = true;
	end = in_seconds(SECONDS);
	while (before(&end)) {
		unsigned int i;

		for (i = 0; i < 100000; i++)
			__atomic_store_n(&g->run->exit_reason,
					 KVM_EXIT_PAPR_HCALL, __ATOMIC_RELAXED);
	}
	EXPECT_EQ(0, guest_spin_stop(g));
	EXPECT_FALSE(all_are(self->vm.mem + GUEST_FLAG, 0, 8));
}

/* A radix guest in real mode, so its addresses are guest real addresses */
FIXTURE(radix)
{
	struct vm vm;
	struct guest guest;
};

FIXTURE_SETUP(radix)
{
	ASSERT_EQ(0, vm_init(&self->vm, 0, MEM));
	if (!self->vm.radix)
		SKIP(return, "the host has no radix MMU");
	ASSERT_EQ(0, vm_set_radix(&self->vm, true));
	ASSERT_EQ(0, guest_init(&self->guest, &self->vm, false));
}

FIXTURE_TEARDOWN(radix)
{
	guest_free(&self->guest);
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* Guest memory can be accessed up to its last byte */
TEST_F(radix, load_and_store)
{
	EXPECT_EQ(0, guest_store(&self->guest, MEM - 8, false));
	EXPECT_FALSE(all_are(self->vm.mem + MEM - 8, 0, 8));
	EXPECT_EQ(0, guest_load(&self->guest, MEM - 8, false));
}

#define BIG_SLOT	(4UL << 30)

struct switcher {
	struct vm *vm;
	bool stop;
	int wrong;
};

/* Switch the VM between HPT and radix */
static void *switch_on(void *arg)
{
	struct switcher *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED) && !s->wrong)
		s->wrong = vm_set_radix(s->vm, false) ?:
			   vm_set_radix(s->vm, true);
	return NULL;
}

static char *big_slot(struct vm *vm, unsigned long size)
{
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED ||
	    vm_memslot(vm, SLOT, GPA, map, size, KVM_MEM_LOG_DIRTY_PAGES))
		return NULL;
	return map;
}

/* A radix guest's page table is freed while the dirty log is collected */
TEST_F_TIMEOUT(radix, dirty_log_vs_hpt, TIMEOUT)
{
	struct switcher s = { .vm = &self->vm };
	struct kvm_dirty_log log = { .slot = SLOT };
	struct timespec end = in_seconds(SECONDS);
	pthread_t thread;

	ASSERT_NE(NULL, big_slot(&self->vm, BIG_SLOT));
	log.dirty_bitmap = malloc(BIG_SLOT / PAGE_4K / 8);
	ASSERT_NE(NULL, log.dirty_bitmap);
	ASSERT_EQ(0, pthread_create(&thread, NULL, switch_on, &s));
	while (before(&end))
		ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
	s.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, s.wrong);
}

/* The page table is freed while memslots are flushed */
TEST_F_TIMEOUT(radix, memslot_vs_hpt, TIMEOUT)
{
	struct switcher s = { .vm = &self->vm };
	struct timespec end = in_seconds(SECONDS);
	pthread_t thread;
	unsigned int i;
	char *map;

	map = big_slot(&self->vm, BIG_SLOT);
	ASSERT_NE(NULL, map);
	ASSERT_EQ(0, pthread_create(&thread, NULL, switch_on, &s));
	for (i = 0; before(&end); i++)
		ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map, BIG_SLOT,
					i % 2 ? KVM_MEM_LOG_DIRTY_PAGES : 0));
	s.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, s.wrong);
}

/* Memory that the guest does not use; a loop over its pages takes long */
#define HUGE_SLOT	(64UL << 30)

TEST_F_TIMEOUT(radix, dirty_log_lets_others_run, TIMEOUT)
{
	struct kvm_dirty_log log = { .slot = SLOT };
	bool good = false;
	struct ticker t;
	int i;

	ASSERT_NE(NULL, big_slot(&self->vm, HUGE_SLOT));
	log.dirty_bitmap = malloc(HUGE_SLOT / PAGE_4K / 8);
	ASSERT_NE(NULL, log.dirty_bitmap);
	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		ticker_begin(&t);
		ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
		good = ticker_ends(&t);
	}
	EXPECT_TRUE(good);
	ticker_free(&t);
}

/* The reverse map of nested guests is freed, even if there are none */
TEST_F_TIMEOUT(radix, switch_lets_others_run, TIMEOUT)
{
	bool good = false;
	struct ticker t;
	int i;

	ASSERT_EQ(0, vm_enable_cap(&self->vm, KVM_CAP_PPC_NESTED_HV, 1, 0));
	ASSERT_NE(NULL, big_slot(&self->vm, HUGE_SLOT));
	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		ASSERT_EQ(0, vm_set_radix(&self->vm, true));
		ticker_begin(&t);
		ASSERT_EQ(0, vm_set_radix(&self->vm, false));
		good = ticker_ends(&t);
	}
	EXPECT_TRUE(good);
	ticker_free(&t);
}

/* A switch to radix clears LPCR bits that only HPT guests may have */
TEST_F(radix, lpcr_is_filtered)
{
	__u64 value;

	ASSERT_EQ(0, vm_set_radix(&self->vm, false));
	ASSERT_EQ(0, guest_get_reg(&self->guest, KVM_REG_PPC_LPCR_64, &value));
	value |= LPCR_TC;
	ASSERT_EQ(0, guest_set_reg(&self->guest, KVM_REG_PPC_LPCR_64, &value));
	ASSERT_EQ(0, guest_get_reg(&self->guest, KVM_REG_PPC_LPCR_64, &value));
	EXPECT_TRUE(value & LPCR_TC);
	ASSERT_EQ(0, vm_set_radix(&self->vm, true));
	ASSERT_EQ(0, guest_get_reg(&self->guest, KVM_REG_PPC_LPCR_64, &value));
	EXPECT_FALSE(value & LPCR_TC);
	EXPECT_EQ(0, guest_load(&self->guest, 0, false));
}

static int try_memslot(struct vm *vm, unsigned long gpa, void *host, size_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = SLOT,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (unsigned long)host,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

/* No memslots at addresses beyond the range of a radix guest's page table */
TEST_F(radix, memslot_beyond_the_tree)
{
	char *map = anonymous(2 * PAGE_64K);
	struct vm *vm = &self->vm;

	ASSERT_NE(NULL, map);
	EXPECT_EQ(-EINVAL, try_memslot(vm, RADIX_RANGE, map, PAGE_64K));
	EXPECT_EQ(-EINVAL, try_memslot(vm, RADIX_RANGE + MEM, map, PAGE_64K));
	EXPECT_EQ(-EINVAL, try_memslot(vm, RADIX_RANGE - PAGE_64K, map,
				       2 * PAGE_64K));
	EXPECT_EQ(0, try_memslot(vm, RADIX_RANGE - PAGE_64K, map, PAGE_64K));
	/* Nor can a memslot be moved there */
	EXPECT_EQ(-EINVAL, try_memslot(vm, RADIX_RANGE, map, PAGE_64K));
	EXPECT_EQ(0, guest_store(&self->guest, RADIX_RANGE - 8, false));
	EXPECT_FALSE(all_are(map + PAGE_64K - 8, 0, 8));
	EXPECT_EQ(0, try_memslot(vm, RADIX_RANGE - PAGE_64K, map, 0));

	/* Nor in an HPT guest, which may become a radix guest */
	ASSERT_EQ(0, vm_set_radix(vm, false));
	EXPECT_EQ(-EINVAL, try_memslot(vm, RADIX_RANGE, map, PAGE_64K));
}

/* Software bits of a host PTE may change at any time */
TEST_F(radix, soft_dirty)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);
	char *map = anonymous(PAGE_64K);

	ASSERT_LE(0, fd);
	ASSERT_NE(NULL, map);
	*map = 's';
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map, PAGE_64K, 0));
	ASSERT_EQ(1, write(fd, "4", 1));
	close(fd);
	EXPECT_EQ(0, guest_load(&self->guest, GPA, false));
	EXPECT_EQ(0, guest_store(&self->guest, GPA, false));
	EXPECT_FALSE(all_are(map, 0, 8));
}

/* The guest reads a 2M page that the host has not allocated, then writes */
TEST_F(radix, read_then_written_2m)
{
	char *map = large_pages(PAGE_2M, 1);

	if (!map)
		SKIP(return, "the host has no pages of 2M");
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA, map, PAGE_2M, 0));
	EXPECT_EQ(0, guest_load(&self->guest, GPA, false));
	EXPECT_EQ(0, guest_store(&self->guest, GPA, false));
	EXPECT_FALSE(all_are(map, 0, 8));
}

/* A large page gives no access to the process's memory beside the memslot */
TEST_F(radix, page_2m_beyond_memslot)
{
	char *map = large_pages(PAGE_2M, 1), *slot = map + PAGE_64K;

	if (!map)
		SKIP(return, "the host has no pages of 2M");
	memset(map, 'b', PAGE_2M);
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, GPA + PAGE_64K, slot,
				PAGE_64K, 0));
	ASSERT_EQ(0, guest_store(&self->guest, GPA + PAGE_64K, false));
	EXPECT_FALSE(all_are(slot, 'b', 8));
	EXPECT_NE(0, guest_store(&self->guest, GPA, false));
	EXPECT_NE(0, guest_store(&self->guest, GPA + 2 * PAGE_64K, false));
	EXPECT_TRUE(all_are(map, 'b', PAGE_64K));
	EXPECT_TRUE(all_are(slot + PAGE_64K, 'b', PAGE_2M - 2 * PAGE_64K));
	EXPECT_EQ(0, vm_memslot(&self->vm, SLOT, 0, NULL, 0, 0));
}

/* Allocate memory whose first access waits for give_page() */
static int slow_page(char **map)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);

	*map = anonymous(PAGE_64K);
	if (fd < 0 || !*map || ioctl(fd, UFFDIO_API, &api))
		return -1;
	reg.range.start = (unsigned long)*map;
	reg.range.len = PAGE_64K;
	return ioctl(fd, UFFDIO_REGISTER, &reg) ? -1 : fd;
}

static int give_page(int fd, char *map)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (unsigned long)map, .len = PAGE_64K },
	};

	return ioctl(fd, UFFDIO_ZEROPAGE, &zero) ? -errno : 0;
}

static unsigned long real_address(const void *p)
{
	unsigned long size = sysconf(_SC_PAGESIZE);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	__u64 entry = 0;

	if (fd < 0 || pread(fd, &entry, sizeof(entry),
			    (unsigned long)p / size * sizeof(entry)) < 0)
		return 0;
	close(fd);
	return (entry & ((1UL << 55) - 1)) * size;
}

/* A page of 2M at real address @real or above; few pages are below that */
static char *page_2m_from(unsigned long real)
{
	unsigned int i, n = real / PAGE_2M + 1;
	char *map = large_pages(PAGE_2M, n);

	for (i = 0; map && i < n; i++, map += PAGE_2M) {
		memset(map, 0, PAGE_2M);
		if (real_address(map) >= real)
			return map;
	}
	return NULL;
}

/* Guest real address that no host real address can have */
#define FAR	(1UL << 45)

struct logging {
	struct vm *vm;
	char *map;
	bool done;
	int err;
};

static void *stop_logging(void *arg)
{
	struct logging *l = arg;

	l->err = vm_memslot(l->vm, SLOT, FAR, l->map, PAGE_2M, 0);
	__atomic_store_n(&l->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void *load_slow_page(void *arg)
{
	return (void *)(long)guest_load(arg, FAR + PAGE_2M, false);
}

/*
 * Dirty logging of a memslot is switched off.  A vcpu in a page fault delays
 * that half-way, when other vcpus already map pages of 2M over existing ones of
 * 64K.  KVM then has to unmap the 64K pages at their guest addresses.  It must
 * not unmap the pages of a memslot whose guest addresses are equal to the host
 * real addresses of these pages.
 */
TEST_F_TIMEOUT(radix, tables_replaced_2m, TIMEOUT)
{
	struct logging l = { .vm = &self->vm };
	struct kvm_dirty_log log = { .slot = SLOT + 1 };
	char *map = page_2m_from(MEM), *slow;
	unsigned long bitmap[2] = { 0 }, real;
	pthread_t logger, loader;
	struct uffd_msg msg;
	struct guest other;
	void *loaded;
	int fd;

	if (!map)
		SKIP(return, "the host has no pages of 2M");
	real = real_address(map);
	fd = slow_page(&slow);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, guest_init_vcpu(&other, &self->vm, 1));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT, FAR, map, PAGE_2M,
				KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT + 1, real, anonymous(PAGE_64K),
				PAGE_64K, KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(0, vm_memslot(&self->vm, SLOT + 2, FAR + PAGE_2M, slow,
				PAGE_64K, 0));
	ASSERT_EQ(0, guest_store(&self->guest, FAR, false));

	ASSERT_EQ(0, pthread_create(&loader, NULL, load_slow_page, &other));
	ASSERT_EQ((ssize_t)sizeof(msg), read(fd, &msg, sizeof(msg)));
	l.map = map;
	ASSERT_EQ(0, pthread_create(&logger, NULL, stop_logging, &l));
	usleep(500000);
	ASSERT_EQ(0, guest_store(&self->guest, FAR + PAGE_64K, false));
	ASSERT_FALSE(__atomic_load_n(&l.done, __ATOMIC_ACQUIRE));
	ASSERT_EQ(0, give_page(fd, slow));
	pthread_join(loader, &loaded);
	pthread_join(logger, NULL);
	EXPECT_EQ(NULL, loaded);
	EXPECT_EQ(0, l.err);

	log.dirty_bitmap = bitmap;
	ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(0, bitmap[0]);
	guest_free(&other);
	close(fd);
}

/* A nested guest: L1 is the VM's guest, whose memory holds all state of L2 */
#define H_SET_PARTITION_TABLE	0xf800
#define H_ENTER_NESTED		0xf804
#define H_TLB_INVALIDATE	0xf808
#define LPID			1UL
#define SYSTEM_CALL		0xc00

/*
 * In L1's memory: its partition table, L2's page table, the state of L2's vcpu
 * that each of L1's vcpus runs
 */
#define PARTITION_TABLE		(1 * PAGE_64K)
#define ROOT			(2 * PAGE_64K)
#define LEVEL(n)		((3 + (n)) * PAGE_64K)
#define STATE			(7 * PAGE_64K)
#define STATE_OF(vcpu)		(STATE + 2 * (vcpu) * PAGE_4K)
#define REGS_OF(vcpu)		(STATE_OF(vcpu) + PAGE_4K)
#define REGS			REGS_OF(0)
/* The first free page */
#define FREE			8

/* Page tables for 52 bits: levels of 13, 9, 9 and 5 bits, pages of 64K */
#define TREE_52			(2UL << 61 | 5UL << 5)
#define TREE_VALID		(1UL << 63)
#define PTE_LEAF		(3UL << 62)
#define PTE_RC			0x180UL
#define PTE_R			0x4UL
#define PTE_W			0x2UL
#define PTE_X			0x1UL

/* L2's state as in arch/powerpc/include/asm/hvcall.h */
struct nested_state {
	__u64 version;
	__u32 lpid;
	__u32 vcpu_token;
	__u64 lpcr;
	__u64 pcr;
	__u64 amor;
	__u64 dpdes;
	__u64 hfscr;
	__u64 tb_offset;
	__u64 dawr0;
	__u64 dawrx0;
	__u64 ciabr;
	__u64 hdec_expiry;
	__u64 rest[18];
};

static void set_entry(struct vm *vm, unsigned long table, unsigned int index,
		      __u64 value)
{
	__be64 *entry = (void *)(vm->mem + table);

	__atomic_store_n(&entry[index], htobe64(value), __ATOMIC_RELAXED);
}

/* Map L1's page at @gpa to L2's address @addr */
static void map_nested(struct vm *vm, unsigned long addr, unsigned long gpa,
		       __u64 access)
{
	set_entry(vm, LEVEL(2), addr / PAGE_64K,
		  PTE_LEAF | gpa | PTE_RC | access);
}

/* Let a nested guest use the page table, or no longer */
static void set_nested(struct vm *vm, unsigned long lpid, bool on)
{
	set_entry(vm, PARTITION_TABLE, 2 * lpid,
		  on ? TREE_VALID | TREE_52 | ROOT | 13 : 0);
}

static int init_nested(struct guest *g)
{
	unsigned long table = PARTITION_TABLE;
	struct vm *vm = g->vm;
	int err = vm_enable_cap(vm, KVM_CAP_PPC_NESTED_HV, 1, 0);

	if (err)
		return err;
	set_nested(vm, LPID, true);
	set_entry(vm, ROOT, 0, TREE_VALID | LEVEL(0) | 9);
	set_entry(vm, LEVEL(0), 0, TREE_VALID | LEVEL(1) | 9);
	set_entry(vm, LEVEL(1), 0, TREE_VALID | LEVEL(2) | 5);
	map_nested(vm, 0, 0, PTE_R | PTE_W | PTE_X);
	return guest_hcall(g, H_SET_PARTITION_TABLE, &table, 1);
}

/*
 * Let a vcpu of L1 run the nested guest @lpid, with @code, which ends with a system
 * call, @value and @addr
 */
static long run_lpid(struct guest *g, unsigned int vcpu, unsigned long lpid,
		     const char *code, unsigned long value, unsigned long addr)
{
	unsigned long args[] = { STATE_OF(vcpu), REGS_OF(vcpu) };
	unsigned long *regs = (void *)(g->vm->mem + REGS_OF(vcpu));
	struct nested_state *state = (void *)(g->vm->mem + STATE_OF(vcpu));

	memset(state, 0, sizeof(*state));
	state->version = 1;
	state->lpid = lpid;
	state->hdec_expiry = ~0UL >> 1;
	memset(regs, 0, PAGE_4K);
	regs[14] = value;
	regs[15] = addr;
	regs[32] = GUEST_CODE + (code - guest_code);
	regs[33] = GUEST_MSR;
	return guest_hcall(g, H_ENTER_NESTED, args, 2);
}

/* The same for vcpu 0 and the nested guest that most tests have */
static long run_nested(struct guest *g, const char *code, unsigned long value,
		       unsigned long addr)
{
	return run_lpid(g, 0, LPID, code, value, addr);
}

/* Two pages whose real addresses, combined by OR, are that of a third page */
static bool find_pages(struct vm *vm, unsigned long *a, unsigned long *b,
		       unsigned long *c)
{
	unsigned long n = MEM / PAGE_64K, real[MEM / PAGE_64K], i, j, k;

	for (i = FREE; i < n; i++)
		real[i] = real_address(vm->mem + i * PAGE_64K);
	for (i = FREE; i < n; i++)
		for (j = i + 1; j < n; j++)
			for (k = FREE; k < n; k++)
				if (k != i && k != j &&
				    (real[i] | real[j]) == real[k]) {
					*a = i * PAGE_64K;
					*b = j * PAGE_64K;
					*c = k * PAGE_64K;
					return true;
				}
	return false;
}

/*
 * L1 maps another page at an address that L2 has read from, without telling
 * KVM.  L2 then accesses the new page or the previous one, but no third page.
 */
TEST_F(radix, nested_page_replaced)
{
	unsigned long first, second, neither;
	struct guest *g = &self->guest;
	struct vm *vm = &self->vm;
	char *mem = vm->mem;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_64K)
		SKIP(return, "L2's page table here has pages of 64K");
	memset(mem + FREE * PAGE_64K, 'n', MEM - FREE * PAGE_64K);
	ASSERT_TRUE(find_pages(vm, &first, &second, &neither));
	ASSERT_EQ(H_SUCCESS, init_nested(g));

	map_nested(vm, PAGE_64K, first, PTE_R);
	ASSERT_EQ(SYSTEM_CALL, run_nested(g, guest_code_load, 0, PAGE_64K));
	map_nested(vm, PAGE_64K, second, PTE_R | PTE_W);
	ASSERT_EQ(SYSTEM_CALL, run_nested(g, guest_code_store, 1, PAGE_64K));
	EXPECT_TRUE(all_are(mem + first, 'n', PAGE_64K));
	EXPECT_FALSE(all_are(mem + second, 'n', PAGE_64K));
	EXPECT_TRUE(all_are(mem + neither, 'n', PAGE_64K));
}

/* A switch to HPT and back drops the mappings of L2's memory */
TEST_F(radix, nested_forgotten_by_hpt)
{
	struct guest *g = &self->guest;
	struct vm *vm = &self->vm;
	char *page = vm->mem + FREE * PAGE_64K;
	unsigned long *regs = (void *)(vm->mem + REGS);

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_64K)
		SKIP(return, "L2's page table here has pages of 64K");
	memset(page, 'n', PAGE_64K);
	ASSERT_EQ(H_SUCCESS, init_nested(g));
	map_nested(vm, PAGE_64K, FREE * PAGE_64K, PTE_R | PTE_W);
	ASSERT_EQ(SYSTEM_CALL, run_nested(g, guest_code_load, 0, PAGE_64K));
	ASSERT_EQ(0x6e6e6e6e6e6e6e6e, regs[14]);

	ASSERT_EQ(0, vm_set_radix(vm, false));
	ASSERT_EQ(0, madvise(page, PAGE_64K, MADV_DONTNEED));
	ASSERT_EQ(0, vm_set_radix(vm, true));
	ASSERT_EQ(SYSTEM_CALL, run_nested(g, guest_code_load, 1, PAGE_64K));
	EXPECT_EQ(0, regs[14]);
}

/* L2 maps this many pages of L1, each this often, at addresses from 2M on */
#define NESTED_PAGES		8
#define NESTED_TIMES		16
#define NESTED_ROUNDS		30

/* In L1's memory: the last levels of L2's page table, and these pages */
#define TABLE(n)		(FREE * PAGE_64K + 256UL * (n))
#define PAGE(n)			((FREE + 1 + (n)) * PAGE_64K)

static void map_nested_often(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < NESTED_PAGES * NESTED_TIMES; i++) {
		set_entry(vm, LEVEL(1), 1 + i / 32,
			  TREE_VALID | TABLE(i / 32) | 5);
		set_entry(vm, TABLE(i / 32), i % 32, PTE_LEAF | PTE_RC | PTE_R |
			  PTE_W | PAGE(i % NESTED_PAGES));
	}
}

static bool store_nested_often(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < NESTED_PAGES * NESTED_TIMES; i++)
		if (run_nested(g, guest_code_store, 1,
			       PAGE_2M + i * PAGE_64K) != SYSTEM_CALL)
			return false;
	return true;
}

static bool has_bit(const unsigned char *bitmap, unsigned int bit)
{
	return bitmap[bit / 8] & 1 << bit % 8;
}

struct log_reader {
	struct vm *vm;
	pthread_barrier_t round;
	int wrong;
};

/* In the first half of the rounds the reader starts late, then the switch */
static void wait_a_bit(int rounds)
{
	if (rounds > 0)
		usleep(rounds * 20);
}

static void *read_log(void *arg)
{
	unsigned char bitmap[MEM / PAGE_4K / 8];
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };
	struct log_reader *r = arg;
	int round;

	for (round = 0; round < NESTED_ROUNDS; round++) {
		pthread_barrier_wait(&r->round);
		wait_a_bit(NESTED_ROUNDS / 2 - round);
		if (ioctl(r->vm->fd, KVM_GET_DIRTY_LOG, &log))
			r->wrong = errno;
		pthread_barrier_wait(&r->round);
	}
	return NULL;
}

/* The reverse map of nested guests is freed while the dirty log is collected */
TEST_F_TIMEOUT(radix, dirty_log_vs_nested, 3 * TIMEOUT)
{
	struct log_reader r = { .vm = &self->vm };
	unsigned char bitmap[MEM / PAGE_4K / 8] = { };
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };
	struct guest *g = &self->guest;
	struct vm *vm = &self->vm;
	pthread_t thread;
	int i;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_64K)
		SKIP(return, "L2's page table here has pages of 64K");
	ASSERT_EQ(0, vm_memslot(vm, 0, 0, vm->mem, MEM,
				KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(H_SUCCESS, init_nested(g));
	map_nested_often(vm);
	ASSERT_TRUE(store_nested_often(g));
	ASSERT_EQ(0, ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log));
	for (i = 0; i < NESTED_PAGES; i++)
		ASSERT_TRUE(has_bit(bitmap, PAGE(i) / PAGE_64K));
	pthread_barrier_init(&r.round, NULL, 2);
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_log, &r));
	for (i = 0; i < NESTED_ROUNDS; i++) {
		EXPECT_TRUE(store_nested_often(g));
		pthread_barrier_wait(&r.round);
		wait_a_bit(i - NESTED_ROUNDS / 2);
		EXPECT_EQ(0, vm_set_radix(vm, false));
		pthread_barrier_wait(&r.round);
		EXPECT_EQ(0, vm_set_radix(vm, true));
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(0, r.wrong);
}

/* The fields of tlbie: in the instruction, and in register RB */
#define TLBIE_R			(1UL << 16)
#define TLBIE_RIC_ALL		(2UL << 18)
#define TLBIE_IS_LPID		(2UL << 10)
#define TLBIE_AP_4K		(0UL << 5)
#define TLBIE_AP_64K		(5UL << 5)

/* Invalidate the page at 64K, of this size */
static long tlbie_page(struct guest *g, unsigned long ap)
{
	unsigned long args[] = { TLBIE_R, LPID, PAGE_64K | ap };

	return guest_hcall(g, H_TLB_INVALIDATE, args, 3);
}

/* Invalidate everything, with the entry of the partition table */
static long tlbie_lpid(struct guest *g)
{
	unsigned long args[] = { TLBIE_R | TLBIE_RIC_ALL, LPID, TLBIE_IS_LPID };

	return guest_hcall(g, H_TLB_INVALIDATE, args, 3);
}

/* L1 may have pages that are smaller than the host's */
TEST_F(radix, nested_tlbie_of_small_page)
{
	struct guest *g = &self->guest;
	struct vm *vm = &self->vm;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_64K)
		SKIP(return, "L2's page table here has pages of 64K");
	ASSERT_EQ(H_SUCCESS, init_nested(g));
	map_nested(vm, PAGE_64K, FREE * PAGE_64K, PTE_R | PTE_W);
	ASSERT_EQ(SYSTEM_CALL, run_nested(g, guest_code_load, 0, PAGE_64K));
	EXPECT_EQ(H_SUCCESS, tlbie_page(g, TLBIE_AP_64K));
	EXPECT_EQ(H_SUCCESS, tlbie_page(g, TLBIE_AP_4K));
	EXPECT_EQ(SYSTEM_CALL, run_nested(g, guest_code_load, 0, PAGE_64K));
}

/* Vcpus of L1, and how many nested guests they begin to run */
#define NESTED_VCPUS		3
#define NESTED_GUESTS		120

struct nested_vcpu {
	struct guest *g;
	unsigned int id;
	pthread_t thread;
	pthread_barrier_t *round;
	unsigned int failed;
};

/* All run the same nested guest for the first time, or each another one */
static void *begin_nested(void *arg)
{
	struct nested_vcpu *v = arg;
	unsigned int first, lpid;

	for (first = 2; first < NESTED_GUESTS; first += NESTED_VCPUS) {
		lpid = first % 2 ? first : first + v->id;
		pthread_barrier_wait(v->round);
		v->failed += run_lpid(v->g, v->id, lpid, guest_code_load, 0,
				      PAGE_64K) != SYSTEM_CALL;
	}
	return NULL;
}

/* Several vcpus of L1 run nested guests that KVM does not know yet */
TEST_F_TIMEOUT(radix, nested_guests_begin_at_once, TIMEOUT)
{
	struct nested_vcpu v[NESTED_VCPUS];
	struct guest other[NESTED_VCPUS];
	pthread_barrier_t round;
	struct vm *vm = &self->vm;
	unsigned int i;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_64K)
		SKIP(return, "L2's page table here has pages of 64K");
	ASSERT_EQ(H_SUCCESS, init_nested(&self->guest));
	map_nested(vm, PAGE_64K, FREE * PAGE_64K, PTE_R | PTE_W);
	for (i = 2; i < NESTED_GUESTS + NESTED_VCPUS; i++)
		set_nested(vm, i, true);
	pthread_barrier_init(&round, NULL, NESTED_VCPUS);
	for (i = 0; i < NESTED_VCPUS; i++) {
		v[i] = (struct nested_vcpu) { &other[i], i, .round = &round };
		if (!i)
			v[i].g = &self->guest;
		else
			ASSERT_EQ(0, guest_init_vcpu(&other[i], vm, i));
	}
	for (i = 0; i < NESTED_VCPUS; i++)
		ASSERT_EQ(0, pthread_create(&v[i].thread, NULL, begin_nested, &v[i]));
	for (i = 0; i < NESTED_VCPUS; i++) {
		pthread_join(v[i].thread, NULL);
		EXPECT_EQ(0, v[i].failed) {
			TH_LOG("vcpu %u", i);
		}
		if (i)
			guest_free(&other[i]);
	}
}

/* How often L2 waits */
#define WAITS			20

struct waiting {
	struct nested_vcpu vcpu;
	bool stop;
};

/* As a hypervisor does, run L2 again if it is interrupted, from the beginning */
static void *wait_nested(void *arg)
{
	struct waiting *w = arg;
	struct nested_vcpu *v = &w->vcpu;

	use_processor(1);
	while (run_lpid(v->g, v->id, LPID, guest_code_wait, 0, PAGE_64K) !=
	       SYSTEM_CALL)
		v->failed++;
	return NULL;
}

/* Use the same CPU: half of the time L2 is in the middle of its run, but stopped */
static void *compete(void *arg)
{
	struct waiting *w = arg;

	use_processor(1);
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED))
		;
	return NULL;
}

static __u64 peek_word(const __u64 *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Does it change in time? */
static bool changes(const __u64 *word, __u64 value)
{
	unsigned int i;

	for (i = 0; i < 20000 && peek_word(word) == value; i++)
		usleep(1000);
	return peek_word(word) != value;
}

/*
 * L1 tells KVM to forget L2, which runs. The host then takes a page away that L2
 * reads: L2 must not read the old page any longer.
 */
TEST_F_TIMEOUT(radix, nested_guest_is_forgotten, 3 * TIMEOUT)
{
	struct waiting w = { .vcpu.id = 1 };
	struct vm *vm = &self->vm;
	char *page = vm->mem + FREE * PAGE_64K, *others = anonymous(MEM);
	__u64 *word = (void *)page, *seen;
	unsigned int i, interrupted, stopped = 0;
	pthread_t competitor;
	struct guest other;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_64K)
		SKIP(return, "L2's page table here has pages of 64K");
	ASSERT_EQ(H_SUCCESS, init_nested(&self->guest));
	ASSERT_EQ(0, guest_init_vcpu(&other, vm, 1));
	map_nested(vm, PAGE_64K, FREE * PAGE_64K, PTE_R | PTE_W);
	w.vcpu.g = &other;
	/* L2's register in which it gets a value */
	seen = (void *)(vm->mem + REGS_OF(1) + 16 * 8);
	ASSERT_NE(NULL, others);
	ASSERT_EQ(0, use_processor(0));
	ASSERT_EQ(0, pthread_create(&competitor, NULL, compete, &w));
	for (i = 0; i < WAITS; i++) {
		memset(page, 0, PAGE_64K);
		interrupted = w.vcpu.failed;
		ASSERT_EQ(0, pthread_create(&w.vcpu.thread, NULL, wait_nested, &w));
		ASSERT_TRUE(changes(word, 0));
		usleep(i * 1000);
		set_nested(vm, LPID, false);
		EXPECT_EQ(H_SUCCESS, tlbie_lpid(&self->guest));
		set_nested(vm, LPID, true);
		/* It maps the page again */
		ASSERT_TRUE(changes(word, peek_word(word)));

		ASSERT_EQ(0, madvise(page, PAGE_64K, MADV_DONTNEED));
		/* Somebody else gets the old page */
		memset(others, 0, MEM);
		__atomic_store_n(&word[1], 1, __ATOMIC_RELAXED);
		ASSERT_TRUE(changes(seen, 0)) {
			TH_LOG("L2 reads a page that is not its, in round %u", i);
		}
		pthread_join(w.vcpu.thread, NULL);
		stopped += w.vcpu.failed == interrupted;
		ASSERT_EQ(0, madvise(others, MEM, MADV_DONTNEED));
	}
	TH_LOG("L2 was stopped when forgotten in %u rounds", stopped);
	/* If it ran, it has begun to run again, as a new nested guest */
	EXPECT_LT(0, stopped);
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	pthread_join(competitor, NULL);
	guest_free(&other);
}

TEST_HARNESS_MAIN
