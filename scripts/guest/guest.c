// SPDX-License-Identifier: GPL-2.0
/*
 * The only program of a guest that is to be migrated.
 *
 * A few processes work on their memory in all the ways that change a hash page
 * table: they map, touch, protect, unmap and fork, and repeatedly check that
 * memory contains what they wrote.  Every half second a line goes to the
 * console,
 *
 *	guest: 12 ok rounds 345 at 9.501 s
 *
 * numbered from 1 without a gap, so that a reader of first one machine's
 * console and then the other's can tell that the guest lived on.  After a wrong
 * value in memory, "GUEST FAIL" is printed, and all lines say BAD instead of
 * ok.
 *
 * An 'r' typed on the console resizes the hash page table, alternately up and
 * down.  A 'k' starts another kernel with kexec.  An 'l' loads a crash kernel, and
 * a 'p' makes this one panic.  In a crash kernel, "vmcore: 345 MiB" comes first,
 * the size of what the kernel that panicked has left.
 *
 * On the guest's command line: workers=N is the number of processes instead of
 * four, fill=N adds N HPTEs that stay, huge=N holds N huge pages.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define NR_WORKERS	4
#define MiB		(1024UL * 1024)

/* Held by each worker throughout, written to bit by bit. */
#define KEPT_BYTES	(8 * MiB)
/* Mapped, written and given back in each round. */
#define CHURN_BYTES	(2 * MiB)
/* Where these two are, for readers outside the guest. */
#define KEPT_AT		((void *)0x1000000000)
#define CHURN_AT	((void *)0x1001000000)
/* Only read: an HPTE for each page, all for the zero page. */
#define ZERO_BYTES	(128 * MiB)

#define HUGE_BYTES	(16 * MiB)

/* How long to wait from one line to the next. */
#define LINE_MS		500

#define HPT_ORDER	"/debug/powerpc/hpt_order"

/* Where a row of scripts/test/field.toml has put kexec and a kernel */
#define KEXEC_DIR	"/guest"

struct progress {
	atomic_ulong rounds;
	atomic_int bad;
};

static struct progress *progress;
static size_t page;

static void fail(const char *what, size_t where)
{
	atomic_store(&progress->bad, 1);
	printf("GUEST FAIL: %s at %zu in process %d\n", what, where, getpid());
	fflush(stdout);
}

static void *map(void *where, size_t bytes)
{
	void *p = mmap(where, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		printf("GUEST FAIL: mmap: %s\n", strerror(errno));
		exit(1);
	}
	/* Small pages need more HPTEs. */
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

/* A value that no other page, process or round has here. */
static unsigned long pattern(unsigned long seed, size_t where)
{
	unsigned long x = seed * 0x9e3779b97f4a7c15 + where;

	x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9;
	return x ^ x >> 29;
}

static void fill(unsigned long *mem, size_t bytes, unsigned long seed)
{
	size_t i;

	for (i = 0; i < bytes / sizeof(*mem); i += page / sizeof(*mem) / 8)
		mem[i] = pattern(seed, i);
}

static void check(const unsigned long *mem, size_t bytes, unsigned long seed,
		  const char *what)
{
	size_t i;

	for (i = 0; i < bytes / sizeof(*mem); i += page / sizeof(*mem) / 8)
		if (mem[i] != pattern(seed, i)) {
			fail(what, i);
			return;
		}
}

static void churn(unsigned long seed)
{
	unsigned long *mem = map(CHURN_AT, CHURN_BYTES);
	size_t half = CHURN_BYTES / 2;
	unsigned long *upper = mem + half / sizeof(*mem);
	pid_t pid;

	fill(mem, CHURN_BYTES, seed);
	mprotect(mem, half, PROT_READ);

	pid = fork();
	if (!pid) {
		check(mem, CHURN_BYTES, seed, "what a child inherited");
		fill(upper, half, seed + 1);
		check(upper, half, seed + 1, "what a child wrote");
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);

	check(mem, CHURN_BYTES, seed, "memory shared with a child");
	fill(upper, half, seed + 2);
	munmap(mem, half);
	check(upper, half, seed + 2, "the rest of a mapping");
	munmap(upper, half);
}

static void look_at_zeroes(void)
{
	const char *mem = map(NULL, ZERO_BYTES);
	size_t i;

	for (i = 0; i < ZERO_BYTES; i += page)
		if (mem[i]) {
			fail("memory never written", i);
			break;
		}
	munmap((void *)mem, ZERO_BYTES);
}

static void work(unsigned int worker)
{
	size_t pages = KEPT_BYTES / page, words = page / sizeof(long);
	unsigned long *kept = map(KEPT_AT, KEPT_BYTES);
	unsigned long *seeds = calloc(pages, sizeof(*seeds));
	unsigned long round;
	size_t i;

	for (i = 0; i < pages; i++)
		fill(kept + i * words, page, seeds[i] = worker);

	for (round = 1;; round++) {
		/* Write every 8th page, different ones each time. */
		for (i = round % 8; i < pages; i += 8)
			fill(kept + i * words, page,
			     seeds[i] = round * NR_WORKERS + worker);
		churn(round * NR_WORKERS + worker);
		if (round % 4 == worker)
			look_at_zeroes();
		for (i = 0; i < pages; i++)
			check(kept + i * words, page, seeds[i], "kept memory");
		atomic_fetch_add(&progress->rounds, 1);
	}
}

/* Map that many pages, all to the zero page: more than RAM is possible. */
static void fill_hpt(size_t pages)
{
	const char *mem;
	size_t i;

	if (!pages)
		return;
	mem = mmap(NULL, pages * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		printf("GUEST FAIL: mmap: %s\n", strerror(errno));
		exit(1);
	}
	for (i = 0; i < pages; i++)
		if (mem[i * page])
			fail("memory never written", i);
}

/* Huge pages that are held and checked, but not changed */
static unsigned long *map_huge(size_t pages)
{
	unsigned long *mem;

	if (!pages)
		return NULL;
	mem = mmap(NULL, pages * HUGE_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED) {
		printf("GUEST FAIL: huge pages: %s\n", strerror(errno));
		exit(1);
	}
	fill(mem, pages * HUGE_BYTES, pages);
	return mem;
}

/* The kernel puts parameters that it does not know into the environment. */
static unsigned long option(const char *name, unsigned long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
}

static void resize_hpt(void)
{
	unsigned int order = 0;
	FILE *f;

	f = fopen(HPT_ORDER, "r");
	if (f) {
		if (fscanf(f, "%u", &order) != 1)
			errno = EIO;
		fclose(f);
	}
	if (order)
		f = fopen(HPT_ORDER, "w");
	if (!order || !f) {
		printf("resize: " HPT_ORDER ": %s\n", strerror(errno));
		return;
	}
	order += order % 2 ? 1 : -1;
	fprintf(f, "%u", order);
	printf("resize: to order %u: %s\n", order,
	       fclose(f) ? strerror(errno) : "done");
}

/* Run kexec with this kernel's command line, and more. */
static bool run_kexec(const char *option, const char *more)
{
	char append[2048] = "--append=";
	size_t used = strlen(append);
	int status = -1;
	pid_t pid;
	FILE *f;

	f = fopen("/proc/cmdline", "r");
	if (f) {
		fgets(append + used, sizeof(append) - used, f);
		fclose(f);
	}
	used = strcspn(append, "\n");
	snprintf(append + used, sizeof(append) - used, "%s", more);
	pid = fork();
	if (!pid) {
		execl(KEXEC_DIR "/ld64.so.2", "ld64.so.2",
		      "--library-path", KEXEC_DIR, KEXEC_DIR "/kexec", option,
		      "--no-checks", "--initrd=/guest.cpio", append,
		      KEXEC_DIR "/vmlinux", NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	if (status)
		printf("GUEST FAIL: kexec: status %#x\n", status);
	return !status;
}

static void start_kernel(void)
{
	puts("kexec: --force");
	fflush(stdout);
	run_kexec("--force", "");
}

static void load_crash_kernel(void)
{
	if (run_kexec("--load-panic", " crashkernel=0 maxcpus=1 workers=1"))
		puts("crash kernel: loaded");
}

static void crash(void)
{
	FILE *f = fopen("/proc/sysrq-trigger", "w");

	puts("kexec: panic");
	fflush(stdout);
	if (!f || fputc('c', f) == EOF || fclose(f))
		printf("GUEST FAIL: panic: %s\n", strerror(errno));
}

static void tell_of_crash(void)
{
	struct stat vmcore;

	if (!stat("/proc/vmcore", &vmcore))
		printf("\nvmcore: %lu MiB\n", vmcore.st_size / MiB);
}

/* Do what was typed. */
static void obey(char typed)
{
	switch (typed) {
	case 'r':
		resize_hpt();
		break;
	case 'k':
		start_kernel();
		break;
	case 'l':
		load_crash_kernel();
		break;
	case 'p':
		crash();
		break;
	}
}

static void mount_at(const char *where, const char *type)
{
	mkdir(where, 0755);
	mount(type, where, type, 0, NULL);
}

/* A console that neither echoes nor waits for a whole line. */
static void set_up_console(void)
{
	struct termios tty;

	if (tcgetattr(STDIN_FILENO, &tty))
		return;
	tty.c_lflag &= ~(ECHO | ICANON);
	tcsetattr(STDIN_FILENO, TCSANOW, &tty);
}

int main(void)
{
	struct pollfd console = { .fd = STDIN_FILENO, .events = POLLIN };
	struct timespec now;
	unsigned int worker, workers;
	unsigned long line, *huge;
	size_t huge_pages;
	char typed;

	mount_at("/debug", "debugfs");
	mount_at("/proc", "proc");
	mount_at("/sys", "sysfs");
	set_up_console();
	tell_of_crash();

	page = sysconf(_SC_PAGESIZE);
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED) {
		printf("GUEST FAIL: mmap: %s\n", strerror(errno));
		return 1;
	}

	fill_hpt(option("fill", 0));
	huge_pages = option("huge", 0);
	huge = map_huge(huge_pages);
	workers = option("workers", NR_WORKERS);
	for (worker = 0; worker < workers; worker++)
		if (!fork()) {
			work(worker);
			return 0;
		}

	/* The firmware left the console in the middle of a line. */
	putchar('\n');
	for (line = 1;; line++) {
		if (poll(&console, 1, LINE_MS) > 0 &&
		    read(STDIN_FILENO, &typed, 1) == 1)
			obey(typed);
		check(huge, huge_pages * HUGE_BYTES, huge_pages, "huge pages");
		if (waitpid(-1, NULL, WNOHANG) > 0)
			fail("a worker is gone", 0);
		clock_gettime(CLOCK_MONOTONIC, &now);
		printf("guest: %lu %s rounds %lu at %ld.%03ld s\n", line,
		       atomic_load(&progress->bad) ? "BAD" : "ok",
		       atomic_load(&progress->rounds),
		       now.tv_sec, now.tv_nsec / 1000000);
		fflush(stdout);
	}
}
