// SPDX-License-Identifier: GPL-2.0
/*
 * A resize replaces the HPT while vcpus run, or a reset between two runs: no
 * HPTE is lost, and none is used after it is gone.  Also H_READ while the host
 * moves C from the HPTE to the reverse map.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"
#include "hpt_guest_code.h"
#include "hpt_resize_guest.h"

#define ORDER		MIN_ORDER
#define LARGE_ORDER	20
#define MEM		PAGE_16M

/* How long vcpus run during resizes, and the minimum number of resizes */
#define SECONDS		3
#define RESIZES		60

/* Seconds that a test may need in an emulator on a busy machine */
#define BUSY_TIMEOUT	300

#define VCPUS		2

/* The page that a guest maps at GUEST_EA + GPA */
#define PAGE		3UL
#define GPA		(PAGE * PAGE_64K)

/* Why KVM_RUN returned */
enum left {
	LEFT_DONE,		/* the guest's code has ended */
	LEFT_TRAPPED,		/* an interrupt */
	LEFT_MMIO,
	LEFT_SIGNAL,
	LEFT_ERROR,
};

struct loop {
	struct guest guest;
	pthread_t thread;
	enum left left;
};

FIXTURE(resize)
{
	struct vm vm;
	struct loop loop[VCPUS];
	struct timespec end;
};

static void kick(int sig)
{
	(void)sig;
}

FIXTURE_SETUP(resize)
{
	struct sigaction sa = { .sa_handler = kick };
	unsigned int i;

	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(0, vm_init(&self->vm, ORDER, MEM));
	ASSERT_EQ(0, guest_init(&self->loop[0].guest, &self->vm, true));
	for (i = 1; i < VCPUS; i++)
		ASSERT_EQ(0, guest_init_vcpu(&self->loop[i].guest, &self->vm,
					     i));
	memcpy(self->vm.mem + RESIZE_CODE, resize_guest,
	       resize_guest_end - resize_guest);
	self->vm.mem[GPA] = 1;
	clock_gettime(CLOCK_MONOTONIC, &self->end);
	self->end.tv_sec += SECONDS;
}

FIXTURE_TEARDOWN(resize)
{
	unsigned int i;

	for (i = 0; i < VCPUS; i++)
		guest_free(&self->loop[i].guest);
	EXPECT_EQ(0, vm_free(&self->vm));
}

static enum left run_once(struct guest *g)
{
	if (ioctl(g->fd, KVM_RUN, 0))
		return errno == EINTR ? LEFT_SIGNAL : LEFT_ERROR;
	if (g->run->exit_reason == KVM_EXIT_MMIO)
		return LEFT_MMIO;
	if (g->run->exit_reason != KVM_EXIT_PAPR_HCALL)
		return LEFT_ERROR;
	return g->run->papr_hcall.nr == GUEST_LEAVE ? LEFT_DONE : LEFT_TRAPPED;
}

static void *run_loop(void *arg)
{
	struct loop *loop = arg;

	loop->left = run_once(&loop->guest);
	return NULL;
}

static int loop_start(struct loop *loop, const char *code,
		      struct kvm_regs *regs)
{
	regs->pc = RESIZE_CODE + (code - resize_guest);
	if (!regs->msr)
		regs->msr = GUEST_MSR;
	if (ioctl(loop->guest.fd, KVM_SET_REGS, regs))
		return -errno;
	return -pthread_create(&loop->thread, NULL, run_loop, loop);
}

/* Returns true if the loop was still running, so all results were right */
static bool loop_stop(struct loop *loop, struct kvm_regs *regs)
{
	loop->guest.run->immediate_exit = 1;
	pthread_kill(loop->thread, SIGUSR1);
	pthread_join(loop->thread, NULL);
	loop->guest.run->immediate_exit = 0;
	memset(regs, 0, sizeof(*regs));
	ioctl(loop->guest.fd, KVM_GET_REGS, regs);
	if (loop->left == LEFT_SIGNAL)
		return true;
	fprintf(stderr, "# vcpu: left %u, %lld turns, r18 %llx r19 %llx\n",
		loop->left, (long long)regs->gpr[20],
		(unsigned long long)regs->gpr[18],
		(unsigned long long)regs->gpr[19]);
	return false;
}

static bool time_is_up(struct timespec *end)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > end->tv_sec || (now.tv_sec == end->tv_sec &&
					    now.tv_nsec >= end->tv_nsec);
}

/* Alternate between two orders; end with the first one */
static int resize_on(struct vm *vm, struct timespec *end)
{
	unsigned int n, order = ORDER;
	int err;

	for (n = 0; n < RESIZES || n % 2 || !time_is_up(end); n++) {
		order = order == ORDER ? LARGE_ORDER : ORDER;
		err = vm_resize(vm, order);
		if (err) {
			fprintf(stderr, "# resize %u to order %u: %s\n", n,
				order, strerror(-err));
			return err;
		}
	}
	fprintf(stderr, "# %u resizes\n", n);
	return 0;
}

/*
 * A bolted HPTE of VSID 0 and offset 0.  It belongs to group 0 of any HPT,
 * which a resize copies first.
 */
static struct hpte first_hpte(void)
{
	struct hpte e = {
		.v = HPTE_V_BOLTED | HPTE_V_VALID,
		.r = GPA_MMIO | HPTE_R_M | HPTE_R_RC | 2,
	};

	return e;
}

/*
 * H_ENTER of a bolted HPTE and H_REMOVE take effect either before a resize or
 * after it: an entered HPTE can be removed, and a removed one entered again.
 */
TEST_F_TIMEOUT(resize, vs_enter_and_remove, BUSY_TIMEOUT)
{
	struct hpte e = first_hpte();
	struct kvm_regs regs[VCPUS];
	unsigned int i;

	for (i = 0; i < VCPUS; i++) {
		regs[i] = (struct kvm_regs) { .gpr = {
			[14] = H_EXACT, [15] = i, [16] = e.v, [17] = e.r,
		} };
		ASSERT_EQ(0, loop_start(&self->loop[i], resize_guest_churn,
					&regs[i]));
	}
	EXPECT_EQ(0, resize_on(&self->vm, &self->end));
	for (i = 0; i < VCPUS; i++) {
		EXPECT_TRUE(loop_stop(&self->loop[i], &regs[i]));
		EXPECT_LT(0, regs[i].gpr[20]);
	}
}

/* H_READ of an HPTE that only the larger HPT has: empty or H_PARAMETER */
TEST_F_TIMEOUT(resize, vs_read_beyond, BUSY_TIMEOUT)
{
	struct kvm_regs regs[VCPUS];
	unsigned int i;

	for (i = 0; i < VCPUS; i++) {
		regs[i] = (struct kvm_regs) { .gpr = {
			[15] = NPTE(LARGE_ORDER) - 8 - i, [16] = ~0UL,
			[23] = GUEST_FLAG + 8 * i,
		} };
		ASSERT_EQ(0, loop_start(&self->loop[i], resize_guest_read,
					&regs[i]));
	}
	EXPECT_EQ(0, resize_on(&self->vm, &self->end));
	for (i = 0; i < VCPUS; i++) {
		EXPECT_TRUE(loop_stop(&self->loop[i], &regs[i]));
		EXPECT_LT(0, regs[i].gpr[20]);
	}
}

struct unmapper {
	pthread_t thread;
	struct vm *vm;
	bool stop;
	unsigned long done;
};

static void *unmap_on(void *arg)
{
	struct unmapper *u = arg;

	while (!__atomic_load_n(&u->stop, __ATOMIC_RELAXED)) {
		madvise(u->vm->mem + GPA, PAGE_64K, MADV_DONTNEED);
		u->done++;
	}
	return NULL;
}

/*
 * Page faults during resizes.  In the larger HPT, the HPTE has an index that
 * the smaller one lacks.  It is bolted, so resizes keep it; it is absent after
 * each time that the host has unmapped the page.
 */
TEST_F_TIMEOUT(resize, vs_page_fault, BUSY_TIMEOUT)
{
	unsigned long large = guest_index(NPTE(LARGE_ORDER), PAGE);
	struct hpte e = guest_hpte(PAGE, GPA, HPTE_R_RC);
	struct unmapper u = { .vm = &self->vm };
	struct kvm_regs regs = {
		.msr = GUEST_MSR_DR,
		.gpr[15] = GUEST_EA + GPA,
	};

	ASSERT_LT(NPTE(ORDER), large);
	e.v |= HPTE_V_BOLTED;
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->loop[0].guest,
					 guest_index(NPTE(ORDER), PAGE), e));
	ASSERT_EQ(0, pthread_create(&u.thread, NULL, unmap_on, &u));
	ASSERT_EQ(0, loop_start(&self->loop[0], resize_guest_load, &regs));
	EXPECT_EQ(0, resize_on(&self->vm, &self->end));
	EXPECT_TRUE(loop_stop(&self->loop[0], &regs));
	EXPECT_LT(0, regs.gpr[20]);
	__atomic_store_n(&u.stop, true, __ATOMIC_RELAXED);
	pthread_join(u.thread, NULL);
	EXPECT_LT(0, u.done);
}

/* A resize keeps R and C that hardware has set */
TEST_F(resize, keeps_rc)
{
	struct guest *g = &self->loop[0].guest;
	struct hpte e = guest_hpte(PAGE, GPA, 0);
	unsigned long index;
	unsigned int order;
	struct table t;

	e.v |= HPTE_V_BOLTED;
	ASSERT_EQ(H_SUCCESS, guest_enter(g, guest_index(NPTE(ORDER), PAGE), e));
	ASSERT_EQ(0, guest_store(g, GUEST_EA + GPA, true));
	e.r |= HPTE_R_RC;
	for (order = ORDER + 1; order <= ORDER + 2; order++) {
		ASSERT_EQ(0, vm_resize(&self->vm, order));
		ASSERT_EQ(0, table_init(&t, NPTE(order)));
		ASSERT_LT(0, table_dump(&t, &self->vm, 0));
		index = guest_index(NPTE(order), PAGE);
		EXPECT_EQ(e.v, t.hpte[index].v);
		EXPECT_EQ(e.r, t.hpte[index].r);
		table_free(&t);
		ASSERT_EQ(0, guest_load(g, GUEST_EA + GPA, true));
	}
}

/* A load with translation; emulated MMIO reads as zero */
static enum left load(struct guest *g, unsigned long addr)
{
	struct kvm_regs regs = {
		.pc = GUEST_CODE + (guest_code_load - guest_code),
		.msr = GUEST_MSR_DR,
		.gpr[15] = addr,
	};
	enum left left;

	if (ioctl(g->fd, KVM_SET_REGS, &regs))
		return LEFT_ERROR;
	left = run_once(g);
	if (left == LEFT_MMIO) {
		memset(g->run->mmio.data, 0, sizeof(g->run->mmio.data));
		if (run_once(g) != LEFT_DONE)
			return LEFT_ERROR;
	}
	return left;
}

/* KVM caches each vcpu's HPTEs for emulated MMIO; a resize empties the cache */
TEST_F(resize, forgets_mmio)
{
	struct guest *g = &self->loop[0].guest;
	struct hpte e = guest_hpte(PAGE, GPA_MMIO, HPTE_R_RC);

	ASSERT_EQ(H_SUCCESS, guest_enter(g, guest_index(NPTE(ORDER), PAGE), e));
	ASSERT_EQ(LEFT_MMIO, load(g, GUEST_EA + GPA));
	ASSERT_EQ(LEFT_MMIO, load(g, GUEST_EA + GPA));
	ASSERT_EQ(0, vm_resize(&self->vm, ORDER));
	EXPECT_EQ(LEFT_TRAPPED, load(g, GUEST_EA + GPA));
}

/* So does a reset, or an HPT of another order */
TEST_F(resize, reset_forgets_mmio)
{
	struct guest *g = &self->loop[0].guest;
	struct hpte e = guest_hpte(PAGE, GPA_MMIO, HPTE_R_RC);
	unsigned int order;

	for (order = ORDER; order <= ORDER + 1; order++) {
		ASSERT_EQ(0, vm_write_hpte(&self->vm,
					   guest_index(NPTE(ORDER), PAGE), e));
		ASSERT_EQ(LEFT_MMIO, load(g, GUEST_EA + GPA));
		ASSERT_EQ(LEFT_MMIO, load(g, GUEST_EA + GPA));
		ASSERT_EQ(0, vm_alloc_hpt(&self->vm, order));
		ASSERT_EQ(0, vm_write_vrma(&self->vm, NPTE(order), 0,
					   HPTE_R_RC));
		EXPECT_EQ(LEFT_TRAPPED, load(g, GUEST_EA + GPA));
	}
}

#define SWITCHES	5

struct committer {
	pthread_t thread;
	struct vm *vm;
	int result;
};

static void *commit(void *arg)
{
	struct committer *c = arg;

	c->result = vm_resize_commit(c->vm, ORDER);
	return NULL;
}

/*
 * A commit of a resize races with a switch to radix.  The commit always fails:
 * it comes too early, before a vcpu has made the MMU ready, or too late.
 */
TEST_F_TIMEOUT(resize, vs_radix, BUSY_TIMEOUT)
{
	struct guest *g = &self->loop[0].guest;
	struct committer c = { .vm = &self->vm };
	int i;

	if (!self->vm.radix)
		SKIP(return, "the host has no radix MMU");
	for (i = 0; i < SWITCHES; i++) {
		ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
		ASSERT_EQ(0, vm_resize_ready(&self->vm, ORDER));
		ASSERT_EQ(0, pthread_create(&c.thread, NULL, commit, &c));
		usleep(i * 1000);
		ASSERT_EQ(0, vm_set_radix(&self->vm, true));
		EXPECT_EQ(0, guest_load(g, 0, false));
		pthread_join(c.thread, NULL);
		EXPECT_TRUE(c.result == -EIO || c.result == -EINVAL) {
			TH_LOG("committed: %d", c.result);
		}
		EXPECT_EQ(-EINVAL, vm_resize_prepare(&self->vm, ORDER));
		EXPECT_EQ(-EINVAL, vm_resize_commit(&self->vm, ORDER));
	}
}

/* KVM_GET_DIRTY_LOG clears C in the HPTE, but H_READ always shows it */
#define LOGS		200

TEST_F_TIMEOUT(resize, read_keeps_c_from_dirty_log, BUSY_TIMEOUT)
{
	unsigned char bitmap[MEM / PAGE_4K / 8] = { 0 };
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
	unsigned long index = guest_index(NPTE(ORDER), PAGE);
	struct hpte e = guest_hpte(PAGE, GPA, HPTE_R_R);
	struct guest *g = &self->loop[0].guest;
	unsigned long *reads = (void *)(self->vm.mem + GUEST_FLAG);
	struct kvm_regs regs;
	bool kept = true;
	int i;

	ASSERT_EQ(0, vm_memslot(&self->vm, 0, 0, self->vm.mem, MEM,
				KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(H_SUCCESS, guest_enter(g, index, e));
	for (i = 0; i < LOGS && kept; i++) {
		ASSERT_EQ(H_SUCCESS, guest_clear_mod(g, index));
		ASSERT_EQ(0, guest_store(g, GUEST_EA + GPA, true));
		regs = (struct kvm_regs) { .gpr = {
			[15] = index, [21] = HPTE_R_C, [22] = HPTE_R_C,
			[23] = GUEST_FLAG,
		} };
		*reads = 0;
		ASSERT_EQ(0, loop_start(&self->loop[1], resize_guest_read,
					&regs));
		while (!__atomic_load_n(reads, __ATOMIC_RELAXED))
			usleep(1000);
		ASSERT_EQ(0, ioctl(self->vm.fd, KVM_GET_DIRTY_LOG, &log));
		kept = loop_stop(&self->loop[1], &regs);
	}
	EXPECT_TRUE(kept) {
		TH_LOG("lost in log %d", i);
	}
	EXPECT_TRUE(in_dirty_log(bitmap, GPA));
}

TEST_HARNESS_MAIN
