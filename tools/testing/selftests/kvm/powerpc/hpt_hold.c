// SPDX-License-Identifier: GPL-2.0
/*
 * How long the HPT file and related ioctls delay other tasks: the longest time
 * of each operation, for tables with the most expensive contents.
 *
 *	hpt_hold [-v] ORDER...
 *
 * measures at each of these HPT orders. With -v it measures only a vcpu's first
 * run, which needs no full tables. It is meant for an emulated host in which
 * every instruction takes a nanosecond (qemu -icount shift=0, one CPU). Times
 * are then in instructions, including those of the host's kernel.
 *
 * Each line of the output is
 *
 *	operation TAB table TAB order TAB readers TAB hold TAB stretch TAB kill
 *
 * with three times in instructions, the longest of each:
 *
 * hold     how long a real-time thread waited for mmu_setup_lock. The thread
 *          takes it by KVM_PPC_RESIZE_HPT_PREPARE with a shift of 0, or while
 *          the HPT is resized, by reading the fdinfo of a reader.
 * stretch  how late that thread woke up: no other task could run meanwhile.
 * kill     how long the process that does the operation took to die after
 *          SIGKILL; "-" if that is not measured.
 *
 * The thread wakes up every PERIOD instructions, so the true values of the
 * first two may be larger by that much.
 *
 * Only the last SPAN entries of a table are filled, many times more than one
 * hold of the lock covers; before these, one entry in SPARSE is valid. Filling
 * a large table completely for each row would take hours. It is full only for
 * the operations that clear, free or resize it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "hpt_guest.h"
#include "hpt_vm.h"

#define PERIOD		100000L

/* Real-time priorities */
#define PRIO_PROBE	20
#define PRIO_KILLER	30

#define GROUP		8UL
#define SPAN		0x100000UL
#define SPARSE		0x10000UL
#define MANY_READERS	64
#define BIG_SLOT	(64UL << 30)
/* An operation is killed this often, at different times */
#define KILLS		4

struct hold {
	struct vm vm;
	unsigned int order;
	unsigned long npte;
	unsigned int n_readers;
	int readers[MANY_READERS];	/* the first is used for operations */
	struct stream s;		/* as much as a write may carry */
	struct edge edge;		/* room for a read that faults */
	size_t read_size;
	char *buf;
	unsigned int new_order;
	bool refill;			/* before the operation is killed */
	int pid;			/* of the VM's process */
	struct guest guest;
	char *vrma;			/* RAM with a page for each group */
	size_t vrma_size;
};

static struct {
	struct hold *h;
	pthread_t thread;
	atomic_bool end;
	atomic_bool counts;
	atomic_int fdinfo;	/* of a reader, to take the lock by, or -1 */
	atomic_ulong late;
	atomic_ulong waited;
} probe;

static void die(const char *what)
{
	fprintf(stderr, "hpt_hold: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static void real_time(int priority)
{
	struct sched_param p = { .sched_priority = priority };
	int policy = priority ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER;

	if (sched_setscheduler(0, policy, &p))
		die("sched_setscheduler");
}

static void sleep_until(unsigned long when)
{
	struct timespec t = {
		.tv_sec = when / 1000000000,
		.tv_nsec = when % 1000000000,
	};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

/* Both do next to nothing else */
static void take_and_drop_lock(void)
{
	struct kvm_ppc_resize_hpt none = { };
	char text[512];

	if (probe.fdinfo < 0)
		ioctl(probe.h->vm.fd, KVM_PPC_RESIZE_HPT_PREPARE, &none);
	else if (pread(probe.fdinfo, text, sizeof(text), 0) <= 0)
		die("fdinfo of a reader");
}

static void *prober(void *arg)
{
	unsigned long next = now(), begin, end;

	real_time(PRIO_PROBE);
	while (!probe.end) {
		next += PERIOD;
		sleep_until(next);
		begin = now();
		take_and_drop_lock();
		end = now();
		if (probe.counts && begin - next > probe.late)
			probe.late = begin - next;
		if (probe.counts && end - begin > probe.waited)
			probe.waited = end - begin;
		next = end;
	}
	return NULL;
}

static int open_fdinfo(int of)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", of);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		die(path);
	return fd;
}

/* Operations. They return false if there is nothing more to do. */

static bool do_open(struct hold *h)
{
	int fd = vm_htab_fd(&h->vm, 0, 0);

	if (fd < 0)
		die("KVM_PPC_GET_HTAB_FD");
	close(fd);
	return false;
}

static bool do_read(struct hold *h)
{
	return read(h->readers[0], h->buf, h->read_size) > 0;
}

/* Only one record fits before the fault; the rest is handed back */
static bool do_faulting_read(struct hold *h)
{
	size_t good = MIN_READ;

	return read(h->readers[0], edge_at(&h->edge, good),
		    good + h->edge.bad) > 0;
}

static bool do_write(struct hold *h)
{
	if (write(h->vm.wfd, h->s.buf, h->s.len) != (ssize_t)h->s.len)
		die("write");
	return false;
}

static bool do_progress(struct hold *h)
{
	struct kvm_ppc_htab_progress p = {
		.argsz = sizeof(p),
		.flags = KVM_PPC_HTAB_PROGRESS_COUNT,
	};

	if (ioctl(h->readers[0], KVM_PPC_HTAB_PROGRESS, &p) && errno != EINTR)
		die("KVM_PPC_HTAB_PROGRESS");
	return false;
}

static bool do_fdinfo(struct hold *h)
{
	int fd = open_fdinfo(h->readers[0]);
	char text[4096];

	while (read(fd, text, sizeof(text)) > 0)
		;
	close(fd);
	return false;
}

static bool do_poll(struct hold *h)
{
	struct pollfd p = { .fd = h->readers[0], .events = POLLIN };

	/* Long enough for the work item to look a few times */
	poll(&p, 1, 500);
	return false;
}

static bool do_close(struct hold *h)
{
	close(h->readers[--h->n_readers]);
	return h->n_readers;
}

static bool do_reset(struct hold *h)
{
	if (vm_alloc_hpt(&h->vm, h->order))
		die("KVM_PPC_ALLOCATE_HTAB");
	return false;
}

static void probe_by(int fdinfo)
{
	probe.fdinfo = fdinfo;
	/* The thread may be about to use the former one */
	usleep(10 * PERIOD / 1000);
}

/* The vcpu's first run after a reset: KVM maps the VRMA */
static bool do_first_run(struct hold *h)
{
	static const unsigned long args[4];

	if (vm_alloc_hpt(&h->vm, h->order))
		die("KVM_PPC_ALLOCATE_HTAB");
	if (guest_hcall(&h->guest, H_READ, args, 2))
		die("H_READ");
	return false;
}

/* Run this while KVM_PPC_RESIZE_HPT_PREPARE would cancel a resize */
static int probed_by_fdinfo(struct hold *h, int (*run)(struct hold *h))
{
	int fd = vm_htab_fd(&h->vm, 0, 0), fdinfo = open_fdinfo(fd), err;

	probe_by(fdinfo);
	err = run(h);
	probe_by(-1);
	close(fdinfo);
	close(fd);
	return err;
}

static int resize(struct hold *h)
{
	return vm_resize(&h->vm, h->new_order);
}

static int prepare_and_cancel(struct hold *h)
{
	return vm_resize_ready(&h->vm, h->new_order) ?:
	       vm_resize_prepare(&h->vm, 0);
}

static bool do_resize(struct hold *h)
{
	int err = probed_by_fdinfo(h, resize);

	/* Bolted HPTEs of both halves may collide, which shows late */
	if (err && err != -ENOSPC)
		die("KVM_PPC_RESIZE_HPT_COMMIT");
	return false;
}

/* The HPT that was prepared for it is freed */
static bool do_cancel(struct hold *h)
{
	if (probed_by_fdinfo(h, prepare_and_cancel))
		die("KVM_PPC_RESIZE_HPT_PREPARE");
	return false;
}

static bool do_replace(struct hold *h)
{
	vm_alloc_hpt(&h->vm, h->new_order);
	return false;
}

static bool do_dump(struct hold *h)
{
	static char path[128];
	bool more;
	static int fd = -1;

	if (fd < 0) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/htab",
			 h->pid, h->vm.fd);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			die(path);
	}
	more = read(fd, h->buf, h->read_size) > 0;
	if (!more) {
		close(fd);
		fd = -1;
	}
	return more;
}

/* To radix and back, with nested guests enabled */
static bool do_switch(struct hold *h)
{
	if (vm_set_radix(&h->vm, true) || vm_set_radix(&h->vm, false))
		die("KVM_PPC_CONFIGURE_V3_MMU");
	return false;
}

struct op {
	const char *name;
	bool (*run)(struct hold *h);
};

static void run_op(struct hold *h, const struct op *op)
{
	while (op->run(h))
		;
}

struct op_of {
	struct hold *h;
	const struct op *op;
};

static void *run_for_good(void *arg)
{
	struct op_of *o = arg;

	for (;;)
		run_op(o->h, o->op);
	return NULL;
}

/*
 * Fill the table from @index on: @valid of each @of HPTEs are valid. With @gfn,
 * all of them map the same page of guest memory.
 */
static void fill_from(struct hold *h, unsigned long index, unsigned int valid,
		      unsigned int of, bool gfn)
{
	unsigned int i;

	while (index < h->npte) {
		h->s.len = 0;
		while (index < h->npte &&
		       h->s.len + REC_BYTES + valid * HPTE_BYTES <= h->s.size) {
			stream_header(&h->s, index, valid, of - valid);
			for (i = 0; i < valid; i++)
				stream_hpte(&h->s, gfn ? mem_hpte(index + i, 0) :
					    hpte_at(index + i));
			index += of;
		}
		if (write(h->vm.wfd, h->s.buf, h->s.len) != (ssize_t)h->s.len)
			die("write");
	}
}

static long longest_kill(struct hold *h, const struct op *op,
			 unsigned long usual)
{
	unsigned long begin, took, most = 0;
	struct op_of o = { h, op };
	struct victim v;
	int i;

	for (i = 0; i < KILLS; i++) {
		if (h->refill)
			fill_from(h, 0, GROUP, GROUP, false);
		real_time(PRIO_KILLER);
		if (victim_start(&v, run_for_good, &o))
			die("victim_start");
		begin = now();
		sleep_until(begin + PERIOD + usual * (2 * i + 1) / (2 * KILLS));
		begin = now();
		if (victim_kill(&v))
			die("victim_kill");
		took = now() - begin;
		if (took > most)
			most = took;
		real_time(0);
	}
	return most;
}

static void measure(struct hold *h, const char *name, const char *table,
		    bool (*run)(struct hold *h), bool killed)
{
	struct op op = { name, run };
	unsigned long begin;
	unsigned int readers = h->n_readers;
	char kill[32] = "-";

	probe.late = 0;
	probe.waited = 0;
	begin = now();
	probe.counts = true;
	run_op(h, &op);
	probe.counts = false;
	if (killed)
		snprintf(kill, sizeof(kill), "%ld",
			 longest_kill(h, &op, now() - begin));
	printf("%s\t%s\t%u\t%u\t%lu\t%lu\t%s\n", name, table, h->order, readers,
	       probe.waited, probe.late, kill);
	fflush(stdout);
}

static void open_readers(struct hold *h, unsigned int n)
{
	while (h->n_readers < n) {
		int fd = vm_htab_fd(&h->vm, 0, 0);

		if (fd < 0)
			die("KVM_PPC_GET_HTAB_FD");
		h->readers[h->n_readers++] = fd;
	}
}

static void close_readers(struct hold *h)
{
	while (h->n_readers)
		close(h->readers[--h->n_readers]);
}

static void drain(struct hold *h, unsigned int reader)
{
	while (read(h->readers[reader], h->buf, h->read_size) > 0)
		;
}

static void fill(struct hold *h, unsigned int valid, unsigned int of, bool gfn)
{
	unsigned long index, span = h->npte < SPAN ? h->npte : SPAN;

	for (index = 0; index < h->npte - span; index += SPARSE)
		if (vm_write_run(&h->vm, index, 1, 0))
			die("write");
	fill_from(h, h->npte - span, valid, of, gfn);
}

/* The longest possible record, all for RAM; replaces existing HPTEs */
static void longest_record(struct hold *h)
{
	unsigned int n = h->npte > USHRT_MAX ? USHRT_MAX : h->npte, i;

	h->s.len = 0;
	stream_header(&h->s, h->npte - n, n, 0);
	for (i = 0; i < n; i++)
		stream_hpte(&h->s, mem_hpte(i, 0));
}

static void all_operations(struct hold *h, const char *table)
{
	unsigned int n;

	measure(h, "open", table, do_open, false);
	for (n = 1; n <= MANY_READERS; n = n == 1 ? MANY_READERS : n + 1) {
		open_readers(h, n);
		measure(h, "first pass", table, do_read, true);
		drain(h, 0);
		measure(h, "later pass, nothing changed", table, do_read, true);
		measure(h, "poll", table, do_poll, false);
		close_readers(h);
	}
	open_readers(h, 1);
	measure(h, "progress of a first pass", table, do_progress, true);
	measure(h, "fdinfo in a first pass", table, do_fdinfo, true);
	measure(h, "read that faults", table, do_faulting_read, false);
	close_readers(h);
	measure(h, "debugfs", table, do_dump, true);
}

/* Every HPTE has changed since all readers have reported it */
static void changed(struct hold *h, const char *table, unsigned int valid,
		    unsigned int of, bool gfn)
{
	unsigned int n, i;

	for (n = 1; n <= MANY_READERS; n = n == 1 ? MANY_READERS : n + 1) {
		open_readers(h, n);
		for (i = 0; i < n; i++)
			drain(h, i);
		fill(h, valid, of, gfn);
		measure(h, "progress of changes", table, do_progress, true);
		measure(h, "poll", table, do_poll, false);
		/* This puts all changes into the sets of the other readers */
		measure(h, "later pass", table, do_read, n > 1);
		if (n > 1)
			measure(h, "close", table, do_close, false);
		close_readers(h);
	}
}

/* Each page of a memslot has a word in the reverse map */
static void *add_big_slot(struct hold *h)
{
	void *map = mmap(NULL, BIG_SLOT, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED ||
	    vm_memslot(&h->vm, 1, BIG_SLOT, map, BIG_SLOT, 0))
		die("large memslot");
	return map;
}

static void free_big_slot(struct hold *h, void *map)
{
	if (vm_memslot(&h->vm, 1, BIG_SLOT, map, 0, 0))
		die("large memslot");
	munmap(map, BIG_SLOT);
}

/* With a page for each group, which is as much as KVM maps */
static void add_vrma(struct hold *h)
{
	if (vm_alloc_hpt(&h->vm, h->order))
		die("KVM_PPC_ALLOCATE_HTAB");
	if (guest_init(&h->guest, &h->vm, false))
		die("guest");
	h->vrma_size = h->npte / GROUP * PAGE_64K;
	h->vrma = guest_sparse_memory(&h->vm, h->vrma_size);
	if (!h->vrma)
		die("memory for the VRMA");
}

static void free_vrma(struct hold *h)
{
	guest_free(&h->guest);
	munmap(h->vrma, h->vrma_size);
}

static void with_tables(struct hold *h)
{
	void *big;

	all_operations(h, "empty");

	fill(h, 1, 2, false);
	all_operations(h, "alternating");
	measure(h, "write of short records", "alternating", do_write, true);
	changed(h, "alternating", 1, 2, false);

	fill(h, GROUP, GROUP, true);
	all_operations(h, "full, one page");
	changed(h, "full, one page", GROUP, GROUP, true);
	measure(h, "write of groups", "full, one page", do_write, true);
	longest_record(h);
	measure(h, "write of the longest record", "full, one page", do_write,
		true);

	fill_from(h, 0, GROUP, GROUP, false);
	h->refill = true;
	measure(h, "reset", "full", do_reset, true);
	h->refill = false;
	fill_from(h, 0, GROUP, GROUP, false);
	if (vm_write_vrma(&h->vm, h->npte, 0, HPTE_R_RC))
		die("write of a VRMA HPTE");
	measure(h, "cancelled resize", "full", do_cancel, false);
	measure(h, "resize", "full", do_resize, false);
	if (vm_alloc_hpt(&h->vm, h->order))
		die("KVM_PPC_ALLOCATE_HTAB");
	fill_from(h, 0, GROUP, GROUP, false);
	open_readers(h, 1);
	measure(h, "replace", "full", do_replace, false);

	/* It fails on hosts whose guests cannot be radix */
	if (!vm_enable_cap(&h->vm, KVM_CAP_PPC_NESTED_HV, 1, 0)) {
		big = add_big_slot(h);
		measure(h, "switch to radix and back", "empty", do_switch, true);
		free_big_slot(h, big);
	}

	close_readers(h);
}

static void at_order(struct hold *h, unsigned int order, bool vrma_only)
{
	h->order = order;
	h->npte = NPTE(order);
	h->new_order = order - 1;
	h->pid = getpid();
	if (vm_init(&h->vm, order, PAGE_16M))
		die("VM with an HPT of this order");
	memset(h->vm.mem, 0, h->vm.mem_size);
	h->vm.wfd = vm_htab_fd(&h->vm, KVM_GET_HTAB_WRITE, 0);
	if (h->vm.wfd < 0)
		die("KVM_PPC_GET_HTAB_FD");

	probe.h = h;
	probe.fdinfo = -1;
	probe.end = false;
	if (pthread_create(&probe.thread, NULL, prober, NULL))
		die("pthread_create");

	if (!vrma_only)
		with_tables(h);
	add_vrma(h);
	measure(h, "first run after a reset", "VRMA", do_first_run, true);

	probe.end = true;
	pthread_join(probe.thread, NULL);
	vm_free(&h->vm);
	free_vrma(h);
}

int main(int argc, char **argv)
{
	static struct hold h = { .read_size = 1 << 20 };
	bool vrma_only = argc > 1 && !strcmp(argv[1], "-v");
	int i;

	if (argc < 2 + vrma_only) {
		fprintf(stderr, "usage: %s [-v] ORDER...\n", argv[0]);
		return 2;
	}
	h.buf = malloc(h.read_size);
	if (!h.buf || stream_init(&h.s, 16 << 20) ||
	    edge_init(&h.edge, PAGE_64K, h.read_size, PROT_NONE))
		die("buffers");
	for (i = 1 + vrma_only; i < argc; i++)
		at_order(&h, atoi(argv[i]), vrma_only);
	return 0;
}
