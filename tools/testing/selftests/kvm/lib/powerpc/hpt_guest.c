// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "hpt_guest.h"
#include "hpt_guest_code.h"

#define SLB_ESID_V	0x8000000UL
#define SLB_VSID_L	0x100UL
#define SLB_VSID_LP_64K	0x10UL
#define SLB_VSID_SHIFT	12

#define SEGMENT_SHIFT	28

static int fail(const char *what)
{
	int err = errno;

	fprintf(stderr, "# %s: %s\n", what, strerror(err));
	return -err;
}

/* All interrupts end in a hypercall; they are taken in big-endian mode */
static void set_vectors(char *mem)
{
	const __u32 code[] = {
		htobe32(0x38600000 | GUEST_TRAPPED),	/* li r3, ... */
		htobe32(0x44000022),			/* sc 1 */
		htobe32(0x48000000),			/* b . */
	};
	unsigned int vector;

	for (vector = 0x100; vector < GUEST_CODE; vector += 0x20)
		memcpy(mem + vector, code, sizeof(code));
}

static int set_slb(struct guest *g)
{
	struct kvm_sregs sregs;

	if (ioctl(g->fd, KVM_GET_SREGS, &sregs))
		return fail("KVM_GET_SREGS");
	sregs.u.s.ppc64.slb[0].slbe = GUEST_EA | SLB_ESID_V;
	sregs.u.s.ppc64.slb[0].slbv = GUEST_VSID << SLB_VSID_SHIFT;
	if (mem_shift() == 16)
		sregs.u.s.ppc64.slb[0].slbv |= SLB_VSID_L | SLB_VSID_LP_64K;
	if (ioctl(g->fd, KVM_SET_SREGS, &sregs))
		return fail("KVM_SET_SREGS");
	return 0;
}

static int enable_hcall(struct guest *g, unsigned long number)
{
	if (vm_enable_cap(g->vm, KVM_CAP_PPC_ENABLE_HCALL, number, 1))
		return fail("KVM_CAP_PPC_ENABLE_HCALL");
	return 0;
}

int guest_init_vcpu(struct guest *g, struct vm *vm, unsigned int id)
{
	struct kvm_enable_cap papr = { .cap = KVM_CAP_PPC_PAPR };

	memset(g, 0, sizeof(*g));
	g->vm = vm;
	g->fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);
	if (g->fd < 0)
		return fail("KVM_CREATE_VCPU");
	if (ioctl(g->fd, KVM_ENABLE_CAP, &papr))
		return fail("KVM_CAP_PPC_PAPR");
	g->run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	g->run = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      g->fd, 0);
	if (g->run == MAP_FAILED)
		return fail("mmap of a vcpu");
	return set_slb(g);
}

int guest_init(struct guest *g, struct vm *vm, bool own_vrma)
{
	set_vectors(vm->mem);
	memcpy(vm->mem + GUEST_CODE, guest_code, guest_code_end - guest_code);

	if (guest_init_vcpu(g, vm, 0) || enable_hcall(g, H_CLEAR_REF) ||
	    enable_hcall(g, H_CLEAR_MOD))
		return -EIO;
	return own_vrma ? vm_write_vrma(vm, NPTE(MIN_ORDER), 0, HPTE_R_RC) : 0;
}

void guest_free(struct guest *g)
{
	if (g->spinning)
		guest_spin_stop(g);
	if (g->fd > 0) {
		munmap(g->run, g->run_size);
		close(g->fd);
	}
}

char *guest_sparse_memory(struct vm *vm, size_t size)
{
	char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	memcpy(mem, vm->mem, PAGE_64K);
	if (vm_memslot(vm, 0, 0, vm->mem, 0, 0) ||
	    vm_memslot(vm, 0, 0, mem, size, 0)) {
		munmap(mem, size);
		return NULL;
	}
	return mem;
}

static int set_regs(struct guest *g, const char *code, const unsigned long *in,
		    unsigned int n, bool translate)
{
	struct kvm_regs regs = {
		.pc = GUEST_CODE + (code - guest_code),
		.msr = translate ? GUEST_MSR_DR : GUEST_MSR,
	};
	unsigned int i;

	for (i = 0; i < n; i++)
		regs.gpr[14 + i] = in[i];
	if (ioctl(g->fd, KVM_SET_REGS, &regs))
		return fail("KVM_SET_REGS");
	return 0;
}

static int trapped(struct guest *g, const char *what)
{
	struct kvm_regs regs = { 0 };

	ioctl(g->fd, KVM_GET_REGS, &regs);
	fprintf(stderr,
		"# %s: exit %u, hcall %#llx, pc %llx msr %llx srr0 %llx srr1 %llx\n",
		what, g->run->exit_reason,
		(unsigned long long)g->run->papr_hcall.nr,
		(unsigned long long)regs.pc, (unsigned long long)regs.msr,
		(unsigned long long)regs.srr0, (unsigned long long)regs.srr1);
	return -EIO;
}

/* Run @code once with the arguments in @regs, and store the results there */
static int run(struct guest *g, const char *code, unsigned long *regs,
	       unsigned int n, bool translate)
{
	struct kvm_regs out;
	unsigned int i;
	int err;

	err = set_regs(g, code, regs, n, translate);
	if (err)
		return err;
	do {
		err = ioctl(g->fd, KVM_RUN, 0);
	} while (err && errno == EINTR);
	if (err)
		return fail("KVM_RUN");
	if (g->run->exit_reason != KVM_EXIT_PAPR_HCALL ||
	    g->run->papr_hcall.nr != GUEST_LEAVE)
		return trapped(g, "guest");
	if (ioctl(g->fd, KVM_GET_REGS, &out))
		return fail("KVM_GET_REGS");
	for (i = 0; i < n; i++)
		regs[i] = out.gpr[14 + i];
	return 0;
}

int guest_get_reg(struct guest *g, unsigned long id, void *value)
{
	struct kvm_one_reg arg = { .id = id, .addr = (unsigned long)value };

	return ioctl(g->fd, KVM_GET_ONE_REG, &arg) ? -errno : 0;
}

int guest_set_reg(struct guest *g, unsigned long id, const void *value)
{
	struct kvm_one_reg arg = { .id = id, .addr = (unsigned long)value };

	return ioctl(g->fd, KVM_SET_ONE_REG, &arg) ? -errno : 0;
}

long guest_hcall(struct guest *g, unsigned long number,
		 const unsigned long *args, unsigned int n_args)
{
	unsigned long regs[10] = { number };
	int err;

	memcpy(regs + 1, args, n_args * sizeof(*args));
	err = run(g, guest_code_hcall, regs, 10, false);
	if (err)
		return -1000 + err;
	memcpy(g->ret, regs + 1, sizeof(g->ret));
	return regs[0];
}

long guest_enter(struct guest *g, unsigned long index, struct hpte e)
{
	unsigned long args[] = { H_EXACT, index, e.v, e.r };

	return guest_hcall(g, H_ENTER, args, 4);
}

long guest_remove(struct guest *g, unsigned long index)
{
	unsigned long args[] = { 0, index, 0 };

	return guest_hcall(g, H_REMOVE, args, 3);
}

long guest_protect(struct guest *g, unsigned long index, unsigned long pp)
{
	unsigned long args[] = { pp, index, 0 };

	return guest_hcall(g, H_PROTECT, args, 3);
}

long guest_clear_ref(struct guest *g, unsigned long index)
{
	unsigned long args[] = { 0, index };

	return guest_hcall(g, H_CLEAR_REF, args, 2);
}

long guest_clear_mod(struct guest *g, unsigned long index)
{
	unsigned long args[] = { 0, index };

	return guest_hcall(g, H_CLEAR_MOD, args, 2);
}

int guest_load(struct guest *g, unsigned long addr, bool translate)
{
	unsigned long regs[] = { 0, addr };

	return run(g, guest_code_load, regs, 2, translate);
}

int guest_store(struct guest *g, unsigned long addr, bool translate)
{
	unsigned long regs[] = { addr, addr };

	return run(g, guest_code_store, regs, 2, translate);
}

struct hpte guest_hpte(unsigned long page, unsigned long gpa, unsigned long rc)
{
	unsigned long offset = page * PAGE_64K;
	struct hpte e = {
		.v = GUEST_VSID << 12 | (offset >> 16 & ~0x7fUL) |
		     HPTE_V_VALID,
		.r = gpa | HPTE_R_M | rc,
	};

	return mem_sized(e);
}

unsigned long guest_index(unsigned long npte, unsigned long page)
{
	unsigned long hash = GUEST_VSID ^ page * PAGE_64K >> mem_shift();

	return (hash & (npte / 8 - 1)) * 8;
}

static void kick(int sig)
{
	(void)sig;
}

static void *spin(void *arg)
{
	struct guest *g = arg;

	g->spin_result = ioctl(g->fd, KVM_RUN, 0) ? -errno : 0;
	return NULL;
}

int guest_spin(struct guest *g)
{
	unsigned long *flag = (void *)(g->vm->mem + GUEST_FLAG);
	struct sigaction sa = { .sa_handler = kick };
	unsigned long regs[] = { 1, GUEST_FLAG };
	int i, err;

	sigaction(SIGUSR1, &sa, NULL);
	err = set_regs(g, guest_code_spin, regs, 2, false);
	if (err)
		return err;
	*flag = 0;
	err = pthread_create(&g->spinner, NULL, spin, g);
	if (err)
		return -err;
	g->spinning = true;
	for (i = 0; i < 5000; i++) {
		if (__atomic_load_n(flag, __ATOMIC_RELAXED))
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

int guest_spin_stop(struct guest *g)
{
	g->run->immediate_exit = 1;
	pthread_kill(g->spinner, SIGUSR1);
	pthread_join(g->spinner, NULL);
	g->spinning = false;
	g->run->immediate_exit = 0;
	return g->spin_result == -EINTR ? 0 : -EIO;
}
