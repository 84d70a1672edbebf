// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmark of KVM_PPC_GET_HTAB_FD, and of hypercalls with and without the
 * tracking of changes for it.
 *
 *	hpt_bench [-r ROW] ORDER...
 *
 * measures at each of these HPT orders.  With -r it measures only this row, which
 * may not be a row of hypercalls.  The rows before it run once, to fill the HPT.
 *
 * It is meant for an emulated host in which every instruction takes a nanosecond
 * (qemu -icount shift=0, one CPU).  The timebase then counts instructions,
 * including those of the host's kernel.
 *
 * Each line of the output is
 *
 *	row TAB order TAB units TAB least TAB most
 *
 * where units is the number of HPTEs or calls in a run, and least and most are
 * the instructions per unit in the cheapest and the most expensive run.  If the
 * kernel cannot do what the row measures, the line is
 *
 *	row TAB order TAB - TAB - TAB why
 *
 * The timer interrupts the runs, so use the cheapest one.  Lines that begin
 * with # report progress.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/platform/ppc.h>

#include "hpt_guest.h"
#include "hpt_guest_code.h"
#include "hpt_vm.h"
#include "hpt_bench_guest.h"

/* Size of QEMU's reads */
#define QEMU_READ	2048
/* And of one that is not measured */
#define A_FEW		256

/* Longer than a grace period */
#define GRACE_US	200000

/* Only the last HPTEs of a large table are filled, to save time */
#define SPAN		0x40000UL

/* One HPTE in this many changes between two passes */
#define CHANGE_EVERY	8192

/*
 * A table that is migrated has one HPTE in this many, as one of order 30 with a
 * million.  Before each pass that follows the first, one in a hundred changes.
 */
#define MIGRATE_EVERY	64
#define MIGRATE_PASSES	5

/* Readers of one VM are measured at this order only, to save time */
#define READERS_ORDER	24
#define MAX_READERS	1024U

/* HPTEs in the longest record that is written */
#define LONG_RECORD	512U

#define GROUP		8UL
#define VALID		3

/* A row is repeated this often, or for this many instructions */
#define RUNS		20
#define ENOUGH		200e6

/* For tables from this order on, only later passes are measured */
#define ORDER_BIG	30

/* Hypercalls of each kind in a run, which is shorter than a timer tick */
#define HCALLS		256
#define HCALL_ORDER	24
#define HCALL_RUNS	20

/* Guest real address of the page that is mapped */
#define GUEST_PAGE	(16 * PAGE_64K)

struct bench {
	struct vm vm;
	unsigned int order;
	unsigned long npte;
	unsigned long span;	/* HPTEs at the end that are used */
	const char *only;	/* row to measure, or NULL for all */
	bool chosen;		/* this row is measured */
	bool timing;		/* the current step is timed */
	unsigned long ticks;	/* timed since the run began */
	bool absent;		/* HPTEs are for addresses without memory */
	int reader;
	int readers[MAX_READERS];
	unsigned int nr_readers;
	unsigned int timed;	/* the first or the last one */
	unsigned int record;	/* HPTEs in a record */
	char why[128];		/* reason for a failure */
	unsigned char buf[65536];
};

static double instructions(unsigned long ticks)
{
	return ticks * 1e9 / __ppc_get_timebase_freq();
}

static int fails(struct bench *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->why, sizeof(b->why), fmt, ap);
	va_end(ap);
	return -1;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "hpt_bench: %s: %s\n", what, strerror(err));
	exit(1);
}

static void say(unsigned int order, const char *what)
{
	printf("# order %u: %s\n", order, what);
	fflush(stdout);
}

static void report(const char *row, unsigned int order, unsigned long units,
		   double least, double most)
{
	/* Enough digits to compute the total from the quotient and the units */
	printf("%s\t%u\t%lu\t%.12g\t%.12g\n", row, order, units, least, most);
	fflush(stdout);
}

static void set_timing(struct bench *b, bool timing)
{
	b->timing = timing && b->chosen;
}

/*
 * What is measured is between two instructions that do nothing:
 * scripts/bench/where counts the instructions between them.
 */
static unsigned long start(const struct bench *b)
{
	if (b->timing)
		asm volatile("and 11,11,11");
	return __ppc_get_timebase();
}

static void stop(struct bench *b, unsigned long begin)
{
	unsigned long ticks = __ppc_get_timebase() - begin;

	if (!b->timing)
		return;
	asm volatile("and 12,12,12");
	b->ticks += ticks;
}

/* @run adds the time it measures to b->ticks; returns its units, or -1 */
static void row(struct bench *b, const char *name, long (*run)(struct bench *b))
{
	double cost, least = 0, most = 0, sum = 0;
	long units = 0;
	int i, runs;

	b->chosen = !b->only || !strcmp(b->only, name);
	runs = b->chosen ? RUNS : 1;
	say(b->order, name);
	for (i = 0; i < runs && sum < ENOUGH; i++) {
		b->ticks = 0;
		set_timing(b, true);
		units = run(b);
		set_timing(b, false);
		if (units < 0) {
			printf("%s\t%u\t-\t-\t%s\n", name, b->order, b->why);
			fflush(stdout);
			return;
		}
		cost = instructions(b->ticks);
		sum += cost;
		cost /= units;
		if (!i || cost < least)
			least = cost;
		if (cost > most)
			most = cost;
	}
	if (!b->chosen)
		return;
	report(name, b->order, units, least, most);
	if (b->only) {
		printf("# %d runs\n", i);
		exit(0);
	}
}

static ssize_t timed_read(struct bench *b, int fd, size_t size)
{
	unsigned long begin = start(b);
	ssize_t n = read(fd, b->buf, size);

	stop(b, begin);
	return n;
}

static ssize_t timed_write(struct bench *b, int fd, const void *buf, size_t len)
{
	unsigned long begin = start(b);
	ssize_t n = write(fd, buf, len);

	stop(b, begin);
	return n;
}

static int open_htab(struct bench *b, unsigned long flags, unsigned long index)
{
	int fd = vm_htab_fd(&b->vm, flags, index);

	if (fd < 0)
		die("KVM_PPC_GET_HTAB_FD", -fd);
	return fd;
}

/* The VM has memory that HPTEs can map */
static void make_vm(struct vm *vm, unsigned int order)
{
	int err = vm_init(vm, order, PAGE_16M);

	if (err)
		die("a VM with such an HPT", -err);
	memset(vm->mem, 0, vm->mem_size);
}

static void empty_table(struct bench *b)
{
	int err = vm_alloc_hpt(&b->vm, b->order);

	if (err)
		die("KVM_PPC_ALLOCATE_HTAB", -err);
}

/* An HPTE with R and C for a page of guest memory, unless b->absent */
static struct hpte make_hpte(struct bench *b, unsigned long index)
{
	if (b->absent)
		return hpte_at(index);
	return mem_hpte(index, index * PAGE_64K % PAGE_16M);
}

static void add_run(struct bench *b, struct stream *s, unsigned long index,
		    unsigned int n_valid, unsigned int n_invalid)
{
	unsigned int i;

	stream_header(s, index, n_valid, n_invalid);
	for (i = 0; i < n_valid; i++)
		stream_hpte(s, make_hpte(b, index + i));
}

/* Write a single record, which works on all kernels */
static void write_run(struct bench *b, unsigned long index,
		      unsigned int n_valid, unsigned int n_invalid)
{
	static struct stream s;
	ssize_t n;

	if (!s.buf && stream_init(&s, REC_BYTES + 65535 * HPTE_BYTES))
		die("a buffer", ENOMEM);
	s.len = 0;
	add_run(b, &s, index, n_valid, n_invalid);
	if (b->vm.wfd < 0)
		b->vm.wfd = open_htab(b, KVM_GET_HTAB_WRITE, 0);
	n = timed_write(b, b->vm.wfd, s.buf, s.len);
	if (n != (ssize_t)s.len)
		die("write", n < 0 ? errno : EIO);
}

/* The index of one HPTE in each @every, not always in the same slot */
static unsigned long spread(unsigned long nr, unsigned long every)
{
	return nr * every + nr * 1357 % every;
}

static void fill_table(struct bench *b, unsigned int valid)
{
	unsigned long index = b->npte - b->span;
	unsigned int n;

	empty_table(b);
	for (; index < b->npte; index += n) {
		n = valid < GROUP ? GROUP : 4096;
		write_run(b, index, valid < GROUP ? valid : n,
			  valid < GROUP ? GROUP - valid : 0);
	}
}

/* The index after the last record in b->buf; adds its HPTEs to @valid */
static unsigned long records_end(struct bench *b, ssize_t len,
				 unsigned long *valid)
{
	struct kvm_get_htab_header h = { };
	ssize_t at;

	for (at = 0; at < len; at += sizeof(h) + h.n_valid * HPTE_BYTES) {
		memcpy(&h, b->buf + at, sizeof(h));
		*valid += h.n_valid;
	}
	return (unsigned long)h.index + h.n_valid + h.n_invalid;
}

/* Read the rest of the first pass; returns the number of valid HPTEs */
static long first_pass(struct bench *b, int fd, size_t size)
{
	unsigned long valid = 0;
	ssize_t n;

	do {
		n = timed_read(b, fd, size);
		if (n <= 0)
			return fails(b, "read: %s", n ? strerror(errno) :
				     "0 in the first pass");
	} while (records_end(b, n, &valid) < b->npte);
	return valid;
}

/* Read until 0 is returned; returns the number of valid HPTEs */
static long drain(struct bench *b, int fd, size_t size)
{
	unsigned long valid = 0;
	ssize_t n;

	while ((n = timed_read(b, fd, size)) > 0)
		records_end(b, n, &valid);
	if (n < 0)
		return fails(b, "read: %s", strerror(errno));
	return valid;
}

static long first_empty(struct bench *b)
{
	int fd = open_htab(b, 0, 0);
	long n = first_pass(b, fd, QEMU_READ);

	close(fd);
	if (n > 0)
		return fails(b, "%ld HPTEs in an empty table", n);
	return n < 0 ? n : (long)b->npte;
}

/*
 * Begin a first pass.  A new reader locks each HPTE until a grace period has
 * ended, which takes about as long in this host as the pass: wait for that.
 * Returns the number of valid HPTEs that were read.
 */
static long begin(struct bench *b, int fd)
{
	unsigned long valid = 0;
	ssize_t n = read(fd, b->buf, A_FEW);

	if (n <= 0)
		return fails(b, "read: %s", n ? strerror(errno) :
			     "0 at the beginning");
	records_end(b, n, &valid);
	usleep(GRACE_US);
	return valid;
}

static long first_span(struct bench *b, unsigned long valid, size_t size)
{
	int fd = open_htab(b, 0, b->npte - b->span);
	long begun = begin(b, fd);
	long n = begun < 0 ? begun : first_pass(b, fd, size);

	if (n >= 0)
		n += begun;
	close(fd);
	if (n >= 0 && n != (long)valid)
		return fails(b, "%ld HPTEs where there are %lu", n, valid);
	return n;
}

static long first_full(struct bench *b)
{
	return first_span(b, b->span, QEMU_READ);
}

static long first_full_64k(struct bench *b)
{
	return first_span(b, b->span, sizeof(b->buf));
}

static long first_mixed(struct bench *b)
{
	return first_span(b, b->span / GROUP * VALID, QEMU_READ);
}

static long first_mixed_64k(struct bench *b)
{
	return first_span(b, b->span / GROUP * VALID, sizeof(b->buf));
}

/* b->reader has been read to 0 */
static long later_idle(struct bench *b)
{
	long n = drain(b, b->reader, QEMU_READ);

	if (n > 0)
		return fails(b, "%ld HPTEs where none changed", n);
	return n < 0 ? n : (long)b->npte;
}

/*
 * All readers have been read to 0, and are read in turn.  If the last one is
 * measured, only the first one is read before it, to save time.
 */
static long later_changed(struct bench *b)
{
	unsigned long i, units = b->npte / CHANGE_EVERY;
	unsigned int step = b->timed ? b->timed : 1;
	long n;

	set_timing(b, false);
	for (i = 0; i < units; i++)
		write_run(b, spread(i, CHANGE_EVERY), 1, 0);
	for (i = 0; i < b->nr_readers; i += step) {
		set_timing(b, i == b->timed);
		n = drain(b, b->readers[i], QEMU_READ);
		if (n < 0)
			return n;
		if (n != (long)units)
			return fails(b, "%ld HPTEs where %lu changed", n,
				     units);
	}
	return units;
}

/* Write the records in b->buf to @to, one by one as QEMU does */
static void load(struct bench *b, struct vm *to, ssize_t len)
{
	struct kvm_get_htab_header h;
	ssize_t at, size, n;

	for (at = 0; at < len; at += size) {
		memcpy(&h, b->buf + at, sizeof(h));
		size = sizeof(h) + h.n_valid * HPTE_BYTES;
		n = timed_write(b, to->wfd, b->buf + at, size);
		if (n != size)
			die("write", n < 0 ? errno : EIO);
	}
}

/* Read to 0, load what was read; returns the number of valid HPTEs */
static long transfer(struct bench *b, int fd, struct vm *to)
{
	unsigned long valid = 0;
	ssize_t n;

	while ((n = timed_read(b, fd, QEMU_READ)) > 0) {
		records_end(b, n, &valid);
		load(b, to, n);
	}
	if (n < 0)
		return fails(b, "read: %s", strerror(errno));
	return valid;
}

/* Enter each @step'th HPTE of the table that is migrated; returns how many */
static long enter_some(struct bench *b, unsigned long first, unsigned long step)
{
	unsigned long i;
	long n = 0;

	set_timing(b, false);
	for (i = first; i < b->npte / MIGRATE_EVERY; i += step, n++)
		write_run(b, spread(i, MIGRATE_EVERY), 1, 0);
	set_timing(b, true);
	return n;
}

/* From one VM to another: a first pass, later ones, and one without changes */
static long migrate(struct bench *b)
{
	long n, units = b->npte / MIGRATE_EVERY, want = units, sum = 0;
	struct vm to;
	int fd, pass;

	make_vm(&to, b->order);
	to.wfd = vm_htab_fd(&to, KVM_GET_HTAB_WRITE, 0);
	if (to.wfd < 0)
		die("KVM_PPC_GET_HTAB_FD", -to.wfd);
	/* Another reader waits for the grace period */
	b->reader = open_htab(b, 0, 0);
	n = begin(b, b->reader);
	fd = open_htab(b, 0, 0);
	close(b->reader);

	for (pass = 0; n >= 0 && pass <= MIGRATE_PASSES + 1; pass++) {
		if (pass && pass <= MIGRATE_PASSES)
			want += enter_some(b, pass, 100);
		n = transfer(b, fd, &to);
		sum += n;
	}
	close(fd);
	vm_free(&to);
	if (n >= 0 && sum != want)
		return fails(b, "%ld HPTEs where there are %ld", sum, want);
	return n < 0 ? n : units;
}

static long write_qemu(struct bench *b)
{
	unsigned long index;

	empty_table(b);
	for (index = b->npte - b->span; index < b->npte; index += GROUP)
		write_run(b, index, VALID, GROUP - VALID);
	return b->span / GROUP * VALID;
}

static long write_records(struct bench *b)
{
	unsigned long index;

	empty_table(b);
	for (index = b->npte - b->span; index < b->npte; index += b->record)
		write_run(b, index, b->record, 0);
	return b->span;
}

static long write_bulk(struct bench *b)
{
	unsigned long index = b->npte - b->span;
	struct stream s;
	ssize_t n = 0;

	if (stream_init(&s, sizeof(b->buf)))
		die("a buffer", ENOMEM);
	empty_table(b);
	while (index < b->npte) {
		s.len = 0;
		while (index < b->npte &&
		       s.len + REC_BYTES + GROUP * HPTE_BYTES <= s.size) {
			add_run(b, &s, index, GROUP, 0);
			index += GROUP;
		}
		n = timed_write(b, b->vm.wfd, s.buf, s.len);
		if (n != (ssize_t)s.len)
			break;
	}
	stream_free(&s);
	if (n < 0)
		return fails(b, "write: %s", strerror(errno));
	if (n != (ssize_t)s.len)
		return fails(b, "%zd returned for a write of %zu", n, s.len);
	return b->span;
}

static long open_close(struct bench *b)
{
	unsigned long begin;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		begin = start(b);
		close(open_htab(b, 0, 0));
		stop(b, begin);
	}
	return i;
}

/* As QEMU reads an HPTE for its monitor */
static long one_group(struct bench *b)
{
	unsigned long begin, index;
	unsigned int i;
	ssize_t n;
	int fd;

	for (i = 0; i < 16; i++) {
		index = b->npte - (i + 1) * 16 * GROUP;
		begin = start(b);
		fd = open_htab(b, 0, index);
		n = read(fd, b->buf, REC_BYTES + GROUP * HPTE_BYTES);
		close(fd);
		stop(b, begin);
		if (n <= 0)
			return fails(b, "read of a group: %zd", n);
	}
	return i;
}

static void tables(struct bench *b)
{
	char name[64];

	row(b, "first-empty", first_empty);
	row(b, "write-one", write_qemu);
	row(b, "first-mixed", first_mixed);
	row(b, "first-mixed-64k", first_mixed_64k);

	row(b, "open-close", open_close);
	row(b, "one-group", one_group);
	b->reader = open_htab(b, 0, b->npte - b->span);
	if (read(b->reader, b->buf, sizeof(b->buf)) <= 0)
		die("read", errno);
	row(b, "one-group-beside", one_group);
	close(b->reader);

	row(b, "write-bulk", write_bulk);
	fill_table(b, GROUP);
	row(b, "first-full", first_full);
	row(b, "first-full-64k", first_full_64k);

	b->absent = true;
	row(b, "write-one-absent", write_qemu);
	row(b, "first-mixed-absent", first_mixed);
	row(b, "write-bulk-absent", write_bulk);
	for (b->record = 1; b->record <= LONG_RECORD; b->record *= 8) {
		snprintf(name, sizeof(name), "record-%u-absent", b->record);
		row(b, name, write_records);
	}
	fill_table(b, GROUP);
	row(b, "first-full-absent", first_full);
	b->absent = false;
}

static void later_passes(struct bench *b)
{
	fill_table(b, VALID);
	b->reader = open_htab(b, 0, b->npte - b->span);
	if (drain(b, b->reader, sizeof(b->buf)) < 0)
		die(b->why, 0);
	row(b, "later-idle", later_idle);
	b->readers[0] = b->reader;
	b->nr_readers = 1;
	b->timed = 0;
	row(b, "later-changed", later_changed);
	close(b->reader);
}

static void reader_rows(struct bench *b)
{
	static const unsigned int readers[] = { 2, 16, 256, MAX_READERS };
	struct rlimit files = { 2 * MAX_READERS, 2 * MAX_READERS };
	unsigned int i, k, n;
	char name[64];

	if (setrlimit(RLIMIT_NOFILE, &files))
		die("RLIMIT_NOFILE", errno);
	for (k = 0; k < sizeof(readers) / sizeof(*readers); k++) {
		n = readers[k];
		for (i = 0; i < n; i++) {
			b->readers[i] = open_htab(b, 0, b->npte - GROUP);
			if (first_pass(b, b->readers[i], QEMU_READ) < 0)
				die(b->why, 0);
		}
		b->nr_readers = n;
		b->timed = 0;
		snprintf(name, sizeof(name), "later-changed-%u", n);
		row(b, name, later_changed);
		b->timed = n - 1;
		snprintf(name, sizeof(name), "later-changed-%u-last", n);
		row(b, name, later_changed);
		for (i = 0; i < n; i++)
			close(b->readers[i]);
	}
}

static void migration(struct bench *b)
{
	empty_table(b);
	enter_some(b, 0, 1);
	row(b, "migrate", migrate);
}

static const char * const hcall_names[] = { "enter", "protect", "remove" };

#define NR_HCALLS	(sizeof(hcall_names) / sizeof(*hcall_names))

static void run_hcalls(struct guest *g, unsigned long *ticks)
{
	struct hpte e = mem_sized((struct hpte) {
		.v = HPTE_V_VALID | 0x12345000,
		.r = GUEST_PAGE | HPTE_R_M | 2,
	});
	struct kvm_regs regs = {
		.pc = GUEST_LOOP,
		.msr = GUEST_MSR,
		.gpr[18] = H_EXACT,
		.gpr[20] = HCALLS,
		.gpr[21] = 2,
		.gpr[23] = e.v,
		.gpr[24] = e.r,
	};

	if (ioctl(g->fd, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS", errno);
	if (ioctl(g->fd, KVM_RUN, 0))
		die("KVM_RUN", errno);
	if (g->run->exit_reason != KVM_EXIT_PAPR_HCALL ||
	    g->run->papr_hcall.nr != GUEST_LEAVE) {
		fprintf(stderr, "hpt_bench: guest: exit %u\n",
			g->run->exit_reason);
		exit(1);
	}
	if (ioctl(g->fd, KVM_GET_REGS, &regs))
		die("KVM_GET_REGS", errno);
	if (regs.gpr[19]) {
		fprintf(stderr, "hpt_bench: guest: hypercalls gave %lx\n",
			(unsigned long)regs.gpr[19]);
		exit(1);
	}
	memcpy(ticks, &regs.gpr[25], NR_HCALLS * sizeof(*ticks));
}

static void hcall_rows(struct bench *b, struct guest *g, const char *suffix)
{
	double cost, least[NR_HCALLS], most[NR_HCALLS] = { };
	unsigned long ticks[NR_HCALLS];
	char name[64];
	unsigned int i, k;

	for (i = 0; i < HCALL_RUNS; i++) {
		if (b->reader >= 0 && drain(b, b->reader, sizeof(b->buf)) < 0)
			die(b->why, 0);
		run_hcalls(g, ticks);
		for (k = 0; k < NR_HCALLS; k++) {
			cost = instructions(ticks[k]) / HCALLS;
			if (!i || cost < least[k])
				least[k] = cost;
			if (cost > most[k])
				most[k] = cost;
		}
	}
	for (k = 0; k < NR_HCALLS; k++) {
		snprintf(name, sizeof(name), "h-%s%s", hcall_names[k], suffix);
		report(name, b->order, HCALLS, least[k], most[k]);
	}
}

static void guest_rows(struct bench *b)
{
	struct guest g;

	say(b->order, "hypercalls");
	if (guest_init(&g, &b->vm, false))
		exit(1);
	memcpy(b->vm.mem + GUEST_LOOP, guest_loop, guest_loop_end - guest_loop);

	b->reader = -1;
	hcall_rows(b, &g, "");
	b->reader = open_htab(b, 0, 0);
	hcall_rows(b, &g, "-reader");
	close(b->reader);
	guest_free(&g);
}

static void open_vm(struct bench *b, unsigned int order)
{
	say(order, "table");
	make_vm(&b->vm, order);
	b->order = order;
	b->npte = NPTE(order);
	b->span = b->npte < SPAN ? b->npte : SPAN;
}

int main(int argc, char **argv)
{
	static struct bench b;
	unsigned int order;
	int i = 1;

	if (argc > 3 && !strcmp(argv[1], "-r")) {
		b.only = argv[2];
		i = 3;
	}
	if (i >= argc || argv[i][0] == '-') {
		fprintf(stderr, "usage: %s [-r ROW] ORDER...\n", argv[0]);
		return 2;
	}
	for (; i < argc; i++) {
		order = atoi(argv[i]);
		open_vm(&b, order);
		if (order < ORDER_BIG)
			tables(&b);
		later_passes(&b);
		if (order == READERS_ORDER)
			reader_rows(&b);
		if (order < ORDER_BIG)
			migration(&b);
		vm_free(&b.vm);
	}
	if (b.only) {
		fprintf(stderr, "hpt_bench: no row %s\n", b.only);
		return 1;
	}
	open_vm(&b, HCALL_ORDER);
	guest_rows(&b);
	vm_free(&b.vm);
	return 0;
}
