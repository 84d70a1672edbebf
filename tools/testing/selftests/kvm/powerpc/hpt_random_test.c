// SPDX-License-Identifier: GPL-2.0
/*
 * A guest of one to four vcpus makes hypercalls on its HPT and accesses its
 * pages at random, while one to three readers with different habits keep
 * replicas.  After the vcpus have stopped, five views of the HPT have to agree:
 * H_READ by the guest, the replicas, a dump by a new reader, and debugfs.
 *
 * Random choices follow from a seed; how the threads interleave does not.
 * Variables in the environment, or on the kernel's command line, select the
 * seeds:
 *
 *	SEED	the first one (default: 1)
 *	SEEDS	how many (default: DEFAULT_SEEDS)
 *	REPEAT	how often to run each (default: 1)
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <linux/compiler.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"
#include "hpt_guest_code.h"
#include "hpt_random_guest.h"

#define ORDER		MIN_ORDER
#define MAX_ORDER	20

#define MAX_VCPUS	4
#define MAX_READERS	3
#define DEFAULT_SEEDS	20

/* The guest's code is in slot 0; only the memory of slot 1 is disturbed */
#define MEM		PAGE_16M
#define SLOT_1		(RANDOM_PAGE * PAGE_64K)
#define MAX_PAGES	64UL

#define MAX_BUFFER	(1UL << 20)

#define DEBUGFS		"/sys/kernel/debug/kvm"

/* Many seeds take long; the caller has to end a test that hangs */
#define NO_TIMEOUT	(24 * 60 * 60)

/* Disturbances while vcpus and readers run */
#define MEMORY		1	/* the host unmaps, logs, deletes slot 1 */
#define CHANGES		2	/* the HPT is reset, resized, replaced */

/* Parameters of the guest's code in hpt_random_guest.S */
struct shared {
	unsigned long stop;
	unsigned long pages;
	unsigned long groups;
	unsigned long vsid;
	unsigned long v;
	unsigned long r;
	unsigned long other_v;
	unsigned long other_r;
	unsigned long per_64k;		/* log2 of the pages in 64K */
};

struct world;

struct vcpu {
	struct guest guest;
	struct world *w;
	pthread_t thread;
	bool done;
};

struct reader {
	struct world *w;
	pthread_t thread;
	int fd;
	unsigned long flags;
	unsigned int habit;
	unsigned int rnd;
	struct edge edge;
	struct table got;
	/* Attempts to replace the HPT: ended before the open, begun after it */
	unsigned int before, after;
};

struct world {
	struct vm vm;
	unsigned int rnd;
	unsigned int n_vcpus;
	unsigned int n_readers;
	struct vcpu vcpu[MAX_VCPUS];
	struct reader reader[MAX_READERS];
	unsigned int running;	/* vcpus that are not done */
	bool stop_readers;
	unsigned int order;
	/* Attempts to replace the HPT, and the number of the last success */
	unsigned int begun, over, replaced;
	bool own_vrma;		/* else KVM maps it when a vcpu runs */
	unsigned long n_pages;
	unsigned int log;	/* flags of slot 1 */
	unsigned int wrong;
};

/* Totals over all seeds */
static struct {
	unsigned long hypercalls, accesses, faults, told, changes;
} sum;

static unsigned int rnd(struct world *w, unsigned int n)
{
	return rand_r(&w->rnd) % n;
}

static void __printf(2, 3)
wrong(struct world *w, const char *fmt, ...)
{
	va_list args;

	if (__atomic_fetch_add(&w->wrong, 1, __ATOMIC_RELAXED) > 5)
		return;
	fprintf(stderr, "# ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
}

static struct shared *shared(struct world *w)
{
	return (struct shared *)(w->vm.mem + RANDOM_SHARED);
}

static int set_slot_1(struct world *w, bool there)
{
	return vm_memslot(&w->vm, 1, SLOT_1, w->vm.mem + SLOT_1,
			  there ? MEM - SLOT_1 : 0, there ? w->log : 0);
}

/* Make a VM with two memslots, and its vcpus; the registers are set later */
static int make_vm(struct world *w)
{
	struct vm *vm = &w->vm;
	unsigned int i;

	if (vm_init(vm, ORDER, MEM) || vm_memslot(vm, 0, 0, NULL, 0, 0) ||
	    vm_memslot(vm, 0, 0, vm->mem, SLOT_1, 0) || set_slot_1(w, true))
		return -EIO;
	w->order = ORDER;
	for (i = 0; i < w->n_vcpus; i++) {
		w->vcpu[i].w = w;
		if (i == 0 ? guest_init(&w->vcpu[i].guest, vm, false) :
			     guest_init_vcpu(&w->vcpu[i].guest, vm, i))
			return -EIO;
	}
	return 0;
}

static void free_vm(struct world *w)
{
	unsigned int i;

	for (i = 0; i < w->n_vcpus; i++)
		guest_free(&w->vcpu[i].guest);
	if (vm_free(&w->vm))
		wrong(w, "the kernel logged messages");
}

static void load_code(struct world *w)
{
	/* mtsrr0 r29, mtsrr1 r23, rfid: go to random_guest_fault */
	const __u32 fault[] = {
		htobe32(0x7fba03a6), htobe32(0x7efb03a6), htobe32(0x4c000024),
	};
	struct hpte e = guest_hpte(RANDOM_PAGE, 0, 0);

	memcpy(w->vm.mem + 0x300, fault, sizeof(fault));
	memcpy(w->vm.mem + RANDOM_CODE, random_guest,
	       random_guest_end - random_guest);
	*shared(w) = (struct shared) {
		.pages = w->n_pages - 1,
		.groups = NPTE(w->order) / 8 - 1,
		.vsid = GUEST_VSID,
		.v = e.v,
		.r = e.r,
		.other_v = 1UL << 42,
		.other_r = GPA_MMIO,
		.per_64k = 16 - mem_shift(),
	};
}

static int set_regs(struct vcpu *c, unsigned long things)
{
	struct kvm_regs regs = {
		.pc = RANDOM_CODE,
		.msr = GUEST_MSR,
		.gpr[13] = RANDOM_SHARED,
		.gpr[14] = 1UL + rnd(c->w, RAND_MAX),
		.gpr[15] = things,
		.gpr[16] = RANDOM_CODE,
		.gpr[22] = GUEST_MSR_DR,
		.gpr[23] = GUEST_MSR,
		.gpr[24] = GUEST_EA,
		.gpr[28] = H_EXACT,
		.gpr[29] = RANDOM_CODE + (random_guest_fault - random_guest),
	};

	c->done = false;
	return ioctl(c->guest.fd, KVM_SET_REGS, &regs);
}

/* Run until the guest's code ends or stop_vcpus() is called */
static void *run_vcpu(void *arg)
{
	struct vcpu *c = arg;
	struct kvm_run *run = c->guest.run;

	for (;;) {
		if (ioctl(c->guest.fd, KVM_RUN, 0)) {
			/* EFAULT: the page is not mapped at the moment */
			if (errno == EFAULT)
				continue;
			if (errno == EINTR && run->immediate_exit)
				break;
			if (errno == EINTR)
				continue;
			wrong(c->w, "KVM_RUN: %s", strerror(errno));
			break;
		}
		/* An access while slot 1 is deleted */
		if (run->exit_reason == KVM_EXIT_MMIO) {
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
			continue;
		}
		if (run->exit_reason != KVM_EXIT_PAPR_HCALL ||
		    run->papr_hcall.nr != GUEST_LEAVE)
			wrong(c->w, "guest: exit %u, hypercall %llx",
			      run->exit_reason,
			      (unsigned long long)run->papr_hcall.nr);
		c->done = true;
		break;
	}
	__atomic_sub_fetch(&c->w->running, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void start_vcpus(struct world *w)
{
	unsigned int i;

	__atomic_store_n(&w->running, w->n_vcpus, __ATOMIC_RELAXED);
	for (i = 0; i < w->n_vcpus; i++) {
		w->vcpu[i].guest.run->immediate_exit = w->vcpu[i].done;
		pthread_create(&w->vcpu[i].thread, NULL, run_vcpu, &w->vcpu[i]);
	}
}

/* start_vcpus() makes them continue where they stopped */
static void stop_vcpus(struct world *w, bool now)
{
	unsigned int i;

	for (i = 0; i < w->n_vcpus && now; i++) {
		w->vcpu[i].guest.run->immediate_exit = 1;
		pthread_kill(w->vcpu[i].thread, SIGUSR1);
	}
	for (i = 0; i < w->n_vcpus; i++) {
		pthread_join(w->vcpu[i].thread, NULL);
		w->vcpu[i].guest.run->immediate_exit = 0;
	}
}

static bool vcpus_run(struct world *w)
{
	return __atomic_load_n(&w->running, __ATOMIC_RELAXED);
}

/* Add up the guest's counters */
static void take_counts(struct world *w)
{
	struct kvm_regs regs;
	unsigned int i;

	for (i = 0; i < w->n_vcpus; i++) {
		ioctl(w->vcpu[i].guest.fd, KVM_GET_REGS, &regs);
		sum.hypercalls += regs.gpr[21];
		sum.accesses += regs.gpr[25];
		sum.faults += regs.gpr[26];
		if (regs.gpr[27])
			wrong(w, "vcpu %u loaded from the wrong page", i);
	}
}

static int open_reader(struct reader *r, unsigned long start_index)
{
	r->before = __atomic_load_n(&r->w->over, __ATOMIC_SEQ_CST);
	r->fd = vm_htab_fd(&r->w->vm, r->flags, start_index);
	if (r->fd < 0)
		return r->fd;
	r->after = __atomic_load_n(&r->w->begun, __ATOMIC_SEQ_CST);
	return table_init(&r->got, NPTE(MAX_ORDER));
}

static void close_reader(struct reader *r)
{
	if (r->fd >= 0)
		close(r->fd);
	table_free(&r->got);
}

static size_t buffer_size(struct reader *r)
{
	switch (r->habit) {
	case 0:
		return MIN_READ;
	case 1:
		return MIN_READ + rand_r(&r->rnd) % 300;
	case 2:
		return 2048;	/* QEMU's */
	case 3:
		return MAX_BUFFER;
	default:
		return MIN_READ + (rand_r(&r->rnd) >>
				   rand_r(&r->rnd) % 24) % (MAX_BUFFER - 24);
	}
}

/*
 * One read, sometimes into a buffer that ends too soon.  A reader that is stale
 * is opened again for the new HPT.
 */
static ssize_t read_some(struct reader *r, bool may_fault)
{
	size_t size = buffer_size(r), good = size;
	unsigned char *buf;
	ssize_t n;
	long told;

	if (may_fault && rand_r(&r->rnd) % 8 == 0)
		good = rand_r(&r->rnd) % size;
	buf = edge_at(&r->edge, good);
	n = read(r->fd, buf, size);
	if (n >= 0) {
		told = table_apply(&r->got, buf, n);
		if (told < 0)
			wrong(r->w, "the data read is not a stream");
		__atomic_add_fetch(&sum.told, told, __ATOMIC_RELAXED);
		return n;
	}
	if (errno == EFAULT && good < size)
		return 1;
	if (errno == ESTALE) {
		if (r->before == __atomic_load_n(&r->w->begun,
						 __ATOMIC_SEQ_CST))
			wrong(r->w, "stale, but the HPT was not replaced");
		close_reader(r);
		if (!open_reader(r, 0))
			return 1;
	}
	wrong(r->w, "read: %s", strerror(errno));
	return -1;
}

static void *run_reader(void *arg)
{
	struct reader *r = arg;
	ssize_t n;

	while (!__atomic_load_n(&r->w->stop_readers, __ATOMIC_RELAXED)) {
		n = read_some(r, true);
		if (n < 0)
			break;
		if (!n || r->habit == 3)
			usleep(rand_r(&r->rnd) % 1000);
	}
	return NULL;
}

/* Some readers report only bolted HPTEs, or begin in the middle of the HPT */
static int make_reader(struct world *w, struct reader *r)
{
	unsigned long start = 0, gpa, vrma;

	r->w = w;
	r->habit = rnd(w, 6);
	r->rnd = rnd(w, RAND_MAX);
	r->flags = r != w->reader && rnd(w, 3) == 0 ?
		   KVM_GET_HTAB_BOLTED_ONLY : 0;
	if (rnd(w, 4) == 0)
		start = rnd(w, NPTE(ORDER));
	if (open_reader(r, start))
		return -EIO;
	/* These, still without R and C, are the only HPTEs so far */
	for (gpa = 0; gpa < PAGE_64K; gpa += 1UL << mem_shift()) {
		vrma = vrma_index(NPTE(ORDER), gpa);
		if (start > vrma)
			table_set(&r->got, vrma, vrma_hpte(gpa, 0));
	}
	return 0;
}

static void start_readers(struct world *w)
{
	unsigned int i;

	w->stop_readers = false;
	for (i = 0; i < w->n_readers; i++)
		pthread_create(&w->reader[i].thread, NULL, run_reader,
			       &w->reader[i]);
}

static void stop_readers(struct world *w)
{
	unsigned int i;

	__atomic_store_n(&w->stop_readers, true, __ATOMIC_RELAXED);
	for (i = 0; i < w->n_readers; i++)
		pthread_join(w->reader[i].thread, NULL);
}

/* Open, read one group and close, as a debugger does */
static void peek(struct world *w)
{
	char buf[8 * HPTE_BYTES + 2 * REC_BYTES];
	int fd = vm_htab_fd(&w->vm, 0, rnd(w, NPTE(ORDER)) & ~7UL);

	if (fd < 0) {
		wrong(w, "open: %s", strerror(-fd));
		return;
	}
	if (read(fd, buf, sizeof(buf)) < 0 && errno != ESTALE)
		wrong(w, "read of a group: %s", strerror(errno));
	close(fd);
}

static void age_pages(void)
{
	int fd = open("/sys/kernel/mm/page_idle/bitmap", O_WRONLY);
	unsigned long all[64];

	if (fd < 0)
		return;
	memset(all, 0xff, sizeof(all));
	while (write(fd, all, sizeof(all)) == sizeof(all))
		;
	close(fd);
}

static void get_dirty_log(struct world *w, unsigned char *bitmap)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	if (ioctl(w->vm.fd, KVM_GET_DIRTY_LOG, &log))
		wrong(w, "KVM_GET_DIRTY_LOG: %s", strerror(errno));
}

/* Do what may happen to guest memory while the guest uses it */
static void do_to_memory(struct world *w)
{
	unsigned long page = RANDOM_PAGE + rnd(w, w->n_pages);
	size_t len = (1 + rnd(w, 8)) * PAGE_64K;
	unsigned char bitmap[MEM / PAGE_4K / 8];
	char *at = w->vm.mem + page * PAGE_64K;
	pid_t child;

	switch (rnd(w, 8)) {
	case 0:
		madvise(at, len, MADV_DONTNEED);
		break;
	case 1:
		munmap(at, len);
		usleep(rnd(w, 500));
		mmap(at, len, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		break;
	case 2:
		mprotect(at, len, PROT_READ);
		usleep(rnd(w, 500));
		mprotect(at, len, PROT_READ | PROT_WRITE);
		break;
	case 3:
		/* For a moment, all memory is copy-on-write */
		child = fork();
		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
		break;
	case 4:
		age_pages();
		break;
	case 5:
		w->log ^= KVM_MEM_LOG_DIRTY_PAGES;
		if (set_slot_1(w, true))
			wrong(w, "dirty logging cannot be switched");
		break;
	case 6:
		if (w->log)
			get_dirty_log(w, bitmap);
		break;
	case 7:
		if (set_slot_1(w, false))
			wrong(w, "slot 1 cannot be deleted");
		usleep(rnd(w, 500));
		if (set_slot_1(w, true))
			wrong(w, "slot 1 cannot be created again");
		break;
	}
}

static void new_order(struct world *w, unsigned int order)
{
	w->order = order;
	__atomic_store_n(&shared(w)->groups, NPTE(order) / 8 - 1,
			 __ATOMIC_RELAXED);
}

/* In a new or reset HPT, user space or KVM enters an HPTE for the code */
static void new_vrma(struct world *w)
{
	w->own_vrma = rnd(w, 2);
	if (!w->own_vrma)
		return;
	if (vm_write_vrma(&w->vm, NPTE(w->order), 0, 0))
		wrong(w, "write of a VRMA HPTE");
}

static void begin_attempt(struct world *w)
{
	__atomic_add_fetch(&w->begun, 1, __ATOMIC_SEQ_CST);
}

static void end_attempt(struct world *w)
{
	__atomic_add_fetch(&w->over, 1, __ATOMIC_SEQ_CST);
}

static void resize(struct world *w, unsigned int order)
{
	int err;

	begin_attempt(w);
	err = vm_resize(&w->vm, order);
	end_attempt(w);
	if (!err) {
		w->replaced = w->begun;
		new_order(w, order);
		return;
	}
	/* Two bolted HPTEs collide in the smaller HPT */
	if (err == -ENOSPC && order < w->order)
		return;
	/* KVM has not mapped the VRMA yet */
	if (err == -EIO && !w->own_vrma)
		return;
	wrong(w, "the HPT cannot be resized: %s", strerror(-err));
}

/* Resize, reset or replace the HPT */
static void change_hpt(struct world *w)
{
	unsigned int what = rnd(w, w->vm.radix ? 5 : 4);
	unsigned int order = ORDER + rnd(w, MAX_ORDER - ORDER + 1);

	sum.changes++;
	if (what == 0) {
		if (vm_resize_prepare(&w->vm, order) < 0 ||
		    vm_resize_prepare(&w->vm, 0) < 0)
			wrong(w, "cancelled resize: %s", strerror(errno));
		return;
	}
	if (what == 1) {
		resize(w, order);
		return;
	}

	/* The other changes are possible only with all vcpus stopped */
	stop_vcpus(w, true);
	if (what == 2)
		order = w->order;
	begin_attempt(w);
	if (what == 4 || order != w->order)
		w->replaced = w->begun;
	if (what == 4 && (vm_set_radix(&w->vm, true) ||
			  (rnd(w, 2) && vm_set_radix(&w->vm, false))))
		wrong(w, "switch to radix");
	if (vm_alloc_hpt(&w->vm, order))
		wrong(w, "KVM_PPC_ALLOCATE_HTAB: %s", strerror(errno));
	end_attempt(w);
	new_order(w, order);
	new_vrma(w);
	start_vcpus(w);
}

/* Until the vcpus are done, or if @turns is not 0, for @turns turns at most */
static void disturb(struct world *w, unsigned int what, unsigned int turns)
{
	unsigned int n = 0;

	while (vcpus_run(w) && !w->wrong && (!turns || n++ < turns)) {
		usleep(rnd(w, 2000));
		if (rnd(w, 4) == 0)
			peek(w);
		if (what & MEMORY)
			do_to_memory(w);
		if (what & CHANGES && rnd(w, 4) == 0)
			change_hpt(w);
	}
}

/* Read four HPTEs with H_READ */
static int read_four(struct guest *g, struct table *t, unsigned long index)
{
	unsigned long args[2] = { H_READ_4, index }, i;

	if (guest_hcall(g, H_READ, args, 2) != H_SUCCESS)
		return -EIO;
	for (i = 0; i < 4; i++) {
		t->seen[index + i]++;
		if (g->ret[2 * i] & HPTE_V_VALID)
			table_set(t, index + i, (struct hpte) {
				.v = g->ret[2 * i] & ~HPTE_V_SOFT,
				.r = g->ret[2 * i + 1] & ~HPTE_R_SOFT,
			});
	}
	return 0;
}

/* Read all groups in which the guest may have entered HPTEs */
static void read_by_guest(struct world *w, struct table *t)
{
	unsigned long npte = NPTE(w->order), page, index;
	struct guest *g = &w->vcpu[0].guest;
	struct kvm_regs regs;
	int err = 0;

	ioctl(g->fd, KVM_GET_REGS, &regs);
	for (page = 0; page < w->n_pages && !err; page++) {
		/* The primary group and the secondary one */
		index = guest_index(npte, RANDOM_PAGE + page);
		err = read_four(g, t, index) || read_four(g, t, index + 4);
		index ^= npte - 8;
		err |= read_four(g, t, index) || read_four(g, t, index + 4);
	}
	if (err)
		wrong(w, "H_READ failed");
	ioctl(g->fd, KVM_SET_REGS, &regs);
}

/*
 * debugfs and a dump agree, except for R and C in absent HPTEs: these are left
 * over in the real HPTE and do not count.
 */
static void check_debugfs(struct world *w, struct table *dump)
{
	unsigned long index, v, host_r, r, rc, n = 0, i;
	struct hpte *e;
	char name[64];
	FILE *f;

	snprintf(name, sizeof(name), DEBUGFS "/%d-%d/htab", getpid(),
		 w->vm.fd);
	f = fopen(name, "r");
	if (!f) {
		wrong(w, "%s: %s", name, strerror(errno));
		return;
	}
	while (fscanf(f, "%lx %lx %lx %lx\n", &index, &v, &host_r, &r) == 4) {
		e = &dump->hpte[index];
		rc = v & HPTE_V_VALID ? host_r & HPTE_R_RC : 0;
		/* Compare the bits that both formats of an HPTE have */
		if (!e->v || ((v ^ e->v) & 0x000fffffffffff9eUL) ||
		    e->r != ((r & ~HPTE_R_SOFT) | rc))
			wrong(w, "debugfs: %lx %016lx %016lx %016lx, dump: %016lx %016lx",
			      index, v, host_r, r, e->v, e->r);
		n++;
	}
	fclose(f);
	for (i = 0; i < dump->npte; i++)
		n -= !!dump->hpte[i].v;
	if (n)
		wrong(w, "debugfs has %ld more HPTEs than the dump", n);
}

static void drain(struct reader *r, struct table *dump)
{
	struct world *w = r->w;
	ssize_t n;

	do {
		n = read_some(r, false);
	} while (n > 0);
	if (r->after < w->replaced)
		wrong(w, "not stale, but the HPT was replaced");
	if (table_dump(dump, &w->vm, r->flags) != (long)dump->npte)
		wrong(w, "a dump is incomplete");
	r->got.npte = dump->npte;
	if (table_diff(dump, &r->got))
		wrong(w, "reader %zu (habit %u, flags %lx) differs from a dump",
		      r - w->reader, r->habit, r->flags);
	r->got.npte = NPTE(MAX_ORDER);
}

/* All views agree while the vcpus are stopped */
static void compare(struct world *w)
{
	unsigned long npte = NPTE(w->order), i;
	struct table view, dump;

	if (table_init(&view, npte) || table_init(&dump, npte)) {
		wrong(w, "out of memory");
		return;
	}
	read_by_guest(w, &view);
	for (i = 0; i < w->n_readers; i++)
		drain(&w->reader[i], &dump);
	table_dump(&dump, &w->vm, 0);
	check_debugfs(w, &dump);

	for (i = 0; i < npte; i++)
		if (!view.seen[i])
			view.hpte[i] = dump.hpte[i];
	if (table_diff(&view, &dump))
		wrong(w, "a dump differs from what the guest reads");
	table_free(&view);
	table_free(&dump);
}

static void free_world(struct world *w)
{
	unsigned int i;

	for (i = 0; i < w->n_readers; i++)
		close_reader(&w->reader[i]);
	free_vm(w);
}

static int make_world(struct world *w)
{
	unsigned int i;

	w->n_vcpus = 1 + rnd(w, MAX_VCPUS);
	w->n_readers = 1 + rnd(w, MAX_READERS);
	w->n_pages = MAX_PAGES >> rnd(w, 4);
	if (make_vm(w) || vm_write_vrma(&w->vm, NPTE(ORDER), 0, 0))
		return -EIO;
	w->own_vrma = true;
	load_code(w);
	for (i = 0; i < w->n_vcpus; i++)
		if (set_regs(&w->vcpu[i], 100 + rnd(w, 1000)))
			return -EIO;
	for (i = 0; i < w->n_readers; i++)
		if (make_reader(w, &w->reader[i]))
			return -EIO;
	return 0;
}

static void replicas(struct world *w, unsigned int what)
{
	start_readers(w);
	start_vcpus(w);
	disturb(w, what, 0);
	stop_vcpus(w, w->wrong);
	stop_readers(w);
	if (w->wrong)
		return;
	take_counts(w);
	compare(w);
}

/* Turn the HPTEs of @t into records of random length */
static void make_stream(struct world *w, struct stream *s, struct table *t)
{
	unsigned long i = 0, valid, invalid, k;
	unsigned int max;

	while (i < t->npte) {
		max = 1 + rnd(w, 1 + rnd(w, 5000));
		for (valid = 0; valid < max && i + valid < t->npte &&
		     t->hpte[i + valid].v; valid++)
			;
		max = rnd(w, 1 + rnd(w, 5000));
		for (invalid = 0; invalid < max &&
		     i + valid + invalid < t->npte &&
		     !t->hpte[i + valid + invalid].v; invalid++)
			;
		stream_header(s, i, valid, invalid);
		for (k = 0; k < valid; k++)
			stream_hpte(s, t->hpte[i + k]);
		i += valid + invalid;
	}
}

/* Writes end anywhere in a record; the next one begins with what is left */
static void write_stream(struct world *w, struct vm *vm, struct stream *s)
{
	int fd = vm_htab_fd(vm, KVM_GET_HTAB_WRITE, 0);
	size_t at = 0, len;
	ssize_t n;

	while (at < s->len) {
		len = 1 + rnd(w, 1 + rnd(w, s->len));
		if (len > s->len - at)
			len = s->len - at;
		n = stream_write(fd, s->buf + at, len);
		if (n > (ssize_t)len || !n ||
		    (n < 0 && (n != -EINVAL || len == s->len - at))) {
			wrong(w, "a write of %zu of %zu bytes: %zd", len,
			      s->len - at, n);
			break;
		}
		if (n > 0)
			at += n;
	}
	close(fd);
}

/*
 * Copy memory as a VMM does: once while the guest runs, then the pages that
 * were dirtied since, according to the log.
 */
static void copy_memory(struct world *from, struct world *to, bool all)
{
	unsigned char bitmap[MEM / PAGE_4K / 8] = { 0 };
	unsigned long page;

	get_dirty_log(from, bitmap);
	if (all)
		memset(bitmap, 0xff, sizeof(bitmap));
	for (page = 0; page < from->n_pages; page++)
		if (in_dirty_log(bitmap, page * PAGE_64K))
			memcpy(to->vm.mem + SLOT_1 + page * PAGE_64K,
			       from->vm.mem + SLOT_1 + page * PAGE_64K,
			       PAGE_64K);
}

static void copy_vcpu(struct world *w, struct vcpu *from, struct vcpu *to)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (ioctl(from->guest.fd, KVM_GET_SREGS, &sregs) ||
	    ioctl(from->guest.fd, KVM_GET_REGS, &regs) ||
	    ioctl(to->guest.fd, KVM_SET_SREGS, &sregs) ||
	    ioctl(to->guest.fd, KVM_SET_REGS, &regs))
		wrong(w, "a vcpu cannot be copied: %s", strerror(errno));
	to->done = from->done;
}

/* The destination of a migration: @to takes over from the stopped @w */
static void move_on(struct world *w, struct world *to)
{
	struct table *replica = &w->reader[0].got, dump;
	struct stream s;
	unsigned int i;

	replica->npte = NPTE(ORDER);
	if (stream_init(&s, NPTE(ORDER) * 32) ||
	    table_init(&dump, NPTE(ORDER))) {
		wrong(w, "out of memory");
		return;
	}
	make_stream(w, &s, replica);
	write_stream(w, &to->vm, &s);
	if (table_dump(&dump, &to->vm, 0) < 0 || table_diff(replica, &dump))
		wrong(w, "the HPT differs after the move");
	replica->npte = NPTE(MAX_ORDER);

	memcpy(to->vm.mem, w->vm.mem, PAGE_64K);
	copy_memory(w, to, false);
	if (memcmp(to->vm.mem + SLOT_1, w->vm.mem + SLOT_1,
		   w->n_pages * PAGE_64K))
		wrong(w, "memory differs after the move");
	for (i = 0; i < w->n_vcpus; i++)
		copy_vcpu(w, &w->vcpu[i], &to->vcpu[i]);
	stream_free(&s);
	table_free(&dump);
}

/* Move a busy guest to another VM, and let it go on there */
static void move(struct world *w, unsigned int what)
{
	static struct world to;
	unsigned int i;

	memset(&to, 0, sizeof(to));
	to.rnd = rnd(w, RAND_MAX);
	to.n_vcpus = w->n_vcpus;
	to.n_readers = w->n_readers;
	to.n_pages = w->n_pages;
	to.own_vrma = true;
	if (make_vm(&to)) {
		wrong(w, "cannot create a second VM");
		return;
	}

	w->log = KVM_MEM_LOG_DIRTY_PAGES;
	set_slot_1(w, true);
	start_readers(w);
	start_vcpus(w);
	disturb(w, 0, 1 + rnd(w, 10));
	copy_memory(w, &to, true);
	disturb(w, 0, 1 + rnd(w, 10));
	stop_vcpus(w, true);
	stop_readers(w);
	if (!w->wrong)
		compare(w);
	if (!w->wrong)
		move_on(w, &to);

	for (i = 0; i < to.n_readers && !w->wrong; i++) {
		to.reader[i].edge = w->reader[i].edge;
		if (make_reader(&to, &to.reader[i]))
			wrong(w, "cannot open a reader");
		/* The reader may begin in the middle: get all from a dump */
		to.reader[i].got.npte = NPTE(ORDER);
		table_dump(&to.reader[i].got, &to.vm, to.reader[i].flags);
		to.reader[i].got.npte = NPTE(MAX_ORDER);
	}
	if (!w->wrong)
		replicas(&to, what);
	w->wrong += to.wrong;
	free_world(&to);
}

struct run {
	struct world w;
	struct edge edge[MAX_READERS];
	unsigned int first, seeds, repeat;
};

FIXTURE(random)
{
	struct run run;
};

static void kick(int sig)
{
	(void)sig;
}

static unsigned int setting(const char *name, unsigned int otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
}

FIXTURE_SETUP(random)
{
	struct sigaction sa = { .sa_handler = kick };
	unsigned int i;

	if (access(DEBUGFS, F_OK))
		SKIP(return, "debugfs is not mounted");
	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	for (i = 0; i < MAX_READERS; i++)
		ASSERT_EQ(0, edge_init(&self->run.edge[i], MAX_BUFFER,
				       MAX_BUFFER, PROT_NONE));
	self->run.first = setting("SEED", 1);
	self->run.seeds = setting("SEEDS", DEFAULT_SEEDS);
	self->run.repeat = setting("REPEAT", 1);
}

FIXTURE_TEARDOWN(random)
{
	unsigned int i;

	for (i = 0; i < MAX_READERS; i++)
		edge_free(&self->run.edge[i]);
}

/* Returns the number of failed seeds */
static unsigned int run_seeds(struct run *run, const char *test,
			      void (*fn)(struct world *w, unsigned int what),
			      unsigned int what)
{
	unsigned int i, k, seed, failed = 0;
	struct world *w = &run->w;

	for (i = 0; i < run->seeds * run->repeat; i++) {
		seed = run->first + i / run->repeat;
		fprintf(stderr, "# %s: seed %u\n", test, seed);
		memset(w, 0, sizeof(*w));
		w->rnd = seed;
		for (k = 0; k < MAX_READERS; k++) {
			w->reader[k].fd = -1;
			w->reader[k].edge = run->edge[k];
		}
		if (make_world(w))
			wrong(w, "cannot create a VM");
		else
			fn(w, what);
		free_world(w);
		if (!w->wrong)
			continue;
		if (failed++ < 5)
			fprintf(stderr,
				"# seed %u failed; again: SEED=%u SEEDS=1 REPEAT=100 hpt_random_test -r random.%s\n",
				seed, seed, test);
	}
	fprintf(stderr,
		"# %s: %u of %u seeds from %u failed; %lu hypercalls, %lu accesses and %lu faults, %lu HPTEs reported, %lu changes\n",
		test, failed, i, run->first, sum.hypercalls, sum.accesses,
		sum.faults, sum.told, sum.changes);
	/* Or did nothing happen that could fail? */
	if (i && (!sum.hypercalls || !sum.accesses || !sum.told ||
		  (what & CHANGES && i >= DEFAULT_SEEDS && !sum.changes)))
		failed++;
	return failed;
}

/* Only vcpus and readers */
TEST_F_TIMEOUT(random, replicas, NO_TIMEOUT)
{
	EXPECT_EQ(0, run_seeds(&self->run, "replicas", replicas, 0));
}

/* The host unmaps, ages, write-protects and logs the guest's pages */
TEST_F_TIMEOUT(random, replicas_with_memory_in_motion, NO_TIMEOUT)
{
	EXPECT_EQ(0, run_seeds(&self->run, "replicas_with_memory_in_motion",
			       replicas, MEMORY));
}

/* The HPT is reset, resized, replaced, or removed for a while */
TEST_F_TIMEOUT(random, replicas_with_changes_of_the_hpt, NO_TIMEOUT)
{
	EXPECT_EQ(0, run_seeds(&self->run, "replicas_with_changes_of_the_hpt",
			       replicas, MEMORY | CHANGES));
}

/* The guest moves to a second VM, in records and writes of random length */
TEST_F_TIMEOUT(random, move, NO_TIMEOUT)
{
	EXPECT_EQ(0, run_seeds(&self->run, "move", move, MEMORY));
}

TEST_HARNESS_MAIN
