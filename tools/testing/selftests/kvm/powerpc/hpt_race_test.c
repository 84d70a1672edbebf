// SPDX-License-Identifier: GPL-2.0
/*
 * Readers and writers of the HPT race with everything that can happen at the
 * same time: the HPT is replaced, reset, resized, removed by a switch to radix,
 * or changed by a guest; descriptors and the VM are closed; a reader is killed.
 *
 * Most of these tests check that the host survives, so they are most useful on
 * a kernel with KASAN and lockdep.  Each also checks the result in the end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"
#include "hpt_ticker.h"

#define ORDER		MIN_ORDER
#define MAX_ORDER	22

/* How long each test runs */
#define SECONDS		2

/* The minimum number of times that the HPT is replaced */
#define REPLACES	4

/* As many as a VM may have on a kernel with NR_CPUS=32 */
#define VCPUS		32

/* How often a VM switches its MMU while vcpus run, and the number of VMs */
#define SWITCHES	40
#define RADIX_VMS	10

/* Seconds that a test may need in an emulator on a busy machine */
#define BUSY_TIMEOUT	300

/* Threads that read, write and so on while the test does something else */
#define THREADS		3

struct worker {
	pthread_t thread;
	struct vm *vm;
	unsigned int seed;
	unsigned long done;
	unsigned long wrong;	/* errors that must not occur */
};

FIXTURE(race)
{
	struct vm vm;
	struct worker worker[THREADS];
	struct timespec end;
	int old_fd;		/* opened before anything happens */
};

static bool stop;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

FIXTURE_SETUP(race)
{
	unsigned int i;

	ASSERT_EQ(0, vm_init(&self->vm, ORDER, PAGE_16M));
	for (i = 0; i < THREADS; i++) {
		self->worker[i].vm = &self->vm;
		self->worker[i].seed = i + 1;
	}
	self->old_fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, self->old_fd);
	clock_gettime(CLOCK_MONOTONIC, &self->end);
	self->end.tv_sec += SECONDS;
}

FIXTURE_TEARDOWN(race)
{
	EXPECT_EQ(0, vm_free(&self->vm));
}

static bool time_is_up(struct timespec *end)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > end->tv_sec || (now.tv_sec == end->tv_sec &&
					    now.tv_nsec >= end->tv_nsec);
}

static int start(struct worker *w, unsigned int n, void *(*fn)(void *))
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < n && !err; i++)
		err = pthread_create(&w[i].thread, NULL, fn, &w[i]);
	return err;
}

/*
 * The same, and wait until each has done something: they may get a CPU late. For
 * readers, there have to be HPTEs.
 */
static int begin(struct worker *w, unsigned int n, void *(*fn)(void *))
{
	int err = start(w, n, fn);
	unsigned int i;

	for (i = 0; i < n && !err; i++)
		while (!__atomic_load_n(&w[i].done, __ATOMIC_RELAXED) &&
		       !__atomic_load_n(&w[i].wrong, __ATOMIC_RELAXED))
			usleep(1000);
	return err;
}

static void finish(struct worker *w, unsigned int n)
{
	unsigned int i;

	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < n; i++)
		pthread_join(w[i].thread, NULL);
}

/* Even a worker that gets a CPU late does something before it stops */
static bool goes_on(struct worker *w)
{
	return !stopped() || !w->done;
}

/* All workers have done something, and none had an unexpected error */
static bool worked(struct worker *w, unsigned int n)
{
	bool ok = true;
	unsigned int i;

	for (i = 0; i < n; i++)
		ok = ok && w[i].done && !w[i].wrong;
	return ok;
}

/* Open, read for a while, close, and repeat */
static void *read_on(void *arg)
{
	struct worker *w = arg;
	struct table t;
	ssize_t n;
	int fd, i;

	if (table_init(&t, NPTE(MAX_ORDER))) {
		w->wrong++;
		return NULL;
	}
	while (goes_on(w)) {
		fd = vm_htab_fd(w->vm, rand_r(&w->seed) % 2,
				rand_r(&w->seed) % 3 ? 0 :
				rand_r(&w->seed) % NPTE(ORDER));
		if (fd < 0) {
			w->wrong++;
			break;
		}
		for (i = rand_r(&w->seed) % 50; i >= 0; i--) {
			n = table_read(&t, fd, MIN_READ + 1 +
				       (rand_r(&w->seed) >>
					rand_r(&w->seed) % 24) % 0x100000);
			if (n < 0 && n != -ESTALE) {
				fprintf(stderr, "# read: %s\n", strerror(-n));
				w->wrong++;
			}
			if (n <= 0)
				break;
			w->done++;
		}
		close(fd);
	}
	table_free(&t);
	return NULL;
}

static void *write_on(void *arg)
{
	struct worker *w = arg;
	struct stream s;
	unsigned int i;
	ssize_t n;
	int fd;

	if (stream_init(&s, 1 << 16)) {
		w->wrong++;
		return NULL;
	}
	while (goes_on(w)) {
		fd = vm_htab_fd(w->vm, KVM_GET_HTAB_WRITE, 0);
		if (fd < 0) {
			w->wrong++;
			break;
		}
		s.len = 0;
		for (i = 0; i < 50; i++)
			stream_run(&s, rand_r(&w->seed) % (NPTE(ORDER) - 64),
				   i % 32, i % 17);
		/* EINVAL: no HPT at the moment */
		n = stream_write(fd, s.buf, s.len);
		if (n < 0 && n != -EINVAL) {
			fprintf(stderr, "# write: %s\n", strerror(-n));
			w->wrong++;
		}
		w->done += n == (ssize_t)s.len;
		close(fd);
	}
	stream_free(&s);
	return NULL;
}

/* Read a file of the VM in debugfs */
static void dump_on(struct worker *w, const char *file)
{
	char name[64], buf[4096];
	int fd;

	snprintf(name, sizeof(name), "/sys/kernel/debug/kvm/%d-%d/%s",
		 getpid(), w->vm->fd, file);
	while (goes_on(w)) {
		fd = open(name, O_RDONLY);
		if (fd < 0) {
			w->wrong++;
			break;
		}
		while (goes_on(w) && read(fd, buf, sizeof(buf)) > 0)
			w->done++;
		close(fd);
	}
}

/* Read the one that shows the HPT */
static void *debugfs_on(void *arg)
{
	dump_on(arg, "htab");
	return NULL;
}

/* Read the one that shows the radix tree */
static void *tree_on(void *arg)
{
	dump_on(arg, "radix");
	return NULL;
}

/* Enter enough HPTEs to keep readers busy */
static int fill(struct vm *vm)
{
	unsigned long i;
	int err = 0;

	for (i = 0; i < NPTE(ORDER) && !err; i += 1000)
		err = vm_write_run(vm, i, 300, 0);
	return err;
}

/* Replace the HPT again and again; ENOMEM may happen */
static void replace(struct vm *vm, struct timespec *end)
{
	unsigned int n = 0, order = ORDER;

	while (n < REPLACES || !time_is_up(end)) {
		order = order == MAX_ORDER ? ORDER : order + 1;
		if (vm_alloc_hpt(vm, order))
			continue;
		n++;
		fill(vm);
	}
	while (vm_alloc_hpt(vm, ORDER))
		usleep(1000);
}

/* Threads read while the HPT is replaced by one of another order */
TEST_F_TIMEOUT(race, read_vs_replace, BUSY_TIMEOUT)
{
	struct table t;

	ASSERT_EQ(0, fill(&self->vm));
	ASSERT_EQ(0, begin(self->worker, THREADS, read_on));
	replace(&self->vm, &self->end);
	finish(self->worker, THREADS);
	EXPECT_TRUE(worked(self->worker, THREADS));

	ASSERT_EQ(0, table_init(&t, NPTE(MAX_ORDER)));
	EXPECT_EQ(-ESTALE, table_read(&t, self->old_fd, 4096));
	table_unsee(&t);
	EXPECT_EQ((long)NPTE(ORDER), table_dump(&t, &self->vm, 0));
}

TEST_F_TIMEOUT(race, write_vs_replace, BUSY_TIMEOUT)
{
	struct table t;

	ASSERT_EQ(0, begin(self->worker, THREADS, write_on));
	replace(&self->vm, &self->end);
	finish(self->worker, THREADS);
	EXPECT_TRUE(worked(self->worker, THREADS));
	ASSERT_EQ(0, table_init(&t, NPTE(MAX_ORDER)));
	EXPECT_EQ(-ESTALE, table_read(&t, self->old_fd, 4096));
}

TEST_F_TIMEOUT(race, debugfs_vs_replace, BUSY_TIMEOUT)
{
	struct table t;

	if (access("/sys/kernel/debug/kvm", F_OK))
		SKIP(return, "debugfs is not mounted");
	ASSERT_EQ(0, fill(&self->vm));
	ASSERT_EQ(0, begin(self->worker, THREADS, debugfs_on));
	replace(&self->vm, &self->end);
	EXPECT_EQ(0, fill(&self->vm));
	finish(self->worker, THREADS);
	EXPECT_TRUE(worked(self->worker, THREADS));
	ASSERT_EQ(0, table_init(&t, NPTE(MAX_ORDER)));
	EXPECT_EQ(-ESTALE, table_read(&t, self->old_fd, 4096));
}

/* The VM switches to radix and back while its tree is read */
TEST_F_TIMEOUT(race, tree_in_debugfs_vs_hpt, BUSY_TIMEOUT)
{
	unsigned int n = 0;

	if (!self->vm.radix)
		SKIP(return, "the host has no radix MMU");
	if (access("/sys/kernel/debug/kvm", F_OK))
		SKIP(return, "debugfs is not mounted");
	ASSERT_EQ(0, start(self->worker, THREADS, tree_on));
	while (n < REPLACES || !time_is_up(&self->end))
		EXPECT_EQ(0, vm_set_radix(&self->vm, ++n % 2));
	EXPECT_EQ(0, vm_set_radix(&self->vm, true));
	finish(self->worker, THREADS);
	EXPECT_TRUE(worked(self->worker, THREADS));
}

/* A reader follows an HPT that is reset all the time */
TEST_F_TIMEOUT(race, read_vs_reset, BUSY_TIMEOUT)
{
	struct table want, got;
	unsigned int n = 0;

	ASSERT_EQ(0, table_init(&want, NPTE(ORDER)));
	ASSERT_EQ(0, table_init(&got, NPTE(ORDER)));
	ASSERT_EQ(0, fill(&self->vm));
	ASSERT_EQ(0, begin(self->worker, THREADS, read_on));
	while (n < REPLACES || !time_is_up(&self->end)) {
		EXPECT_EQ(0, fill(&self->vm));
		ASSERT_LE(0, table_read(&got, self->old_fd, 10000));
		EXPECT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
		ASSERT_LE(0, table_read(&got, self->old_fd, 1000));
		n++;
	}
	finish(self->worker, THREADS);
	EXPECT_TRUE(worked(self->worker, THREADS));

	ASSERT_LE(0, table_drain(&got, self->old_fd, 4096));
	EXPECT_EQ(0, table_diff(&want, &got));
}

/* Resizes are prepared, cancelled and committed */
TEST_F_TIMEOUT(race, read_vs_resize, BUSY_TIMEOUT)
{
	unsigned int n = 0, order = ORDER;
	struct table t;

	ASSERT_EQ(0, vm_write_vrma(&self->vm, NPTE(ORDER), 0, HPTE_R_RC));
	ASSERT_EQ(0, begin(self->worker, THREADS, read_on));
	while (n < REPLACES || !time_is_up(&self->end)) {
		EXPECT_LE(0, vm_resize_prepare(&self->vm, ORDER + 3));
		if (n % 3 == 0)
			EXPECT_EQ(0, vm_resize_prepare(&self->vm, 0));
		order = order == ORDER ? ORDER + 1 : ORDER;
		EXPECT_EQ(0, vm_resize(&self->vm, order));
		n++;
	}
	finish(self->worker, THREADS);
	EXPECT_TRUE(worked(self->worker, THREADS));

	ASSERT_EQ(0, table_init(&t, NPTE(MAX_ORDER)));
	EXPECT_EQ(-ESTALE, table_read(&t, self->old_fd, 4096));
	EXPECT_EQ((long)NPTE(order), table_dump(&t, &self->vm, 0));
	EXPECT_EQ(1, table_seen(&t, 0, 1));
}

/* The VM switches to radix and back */
TEST_F_TIMEOUT(race, read_vs_radix, BUSY_TIMEOUT)
{
	unsigned int n = 0;
	struct table t;

	if (!self->vm.radix)
		SKIP(return, "the host has no radix MMU");
	ASSERT_EQ(0, fill(&self->vm));
	ASSERT_EQ(0, begin(self->worker, THREADS - 1, read_on));
	ASSERT_EQ(0, begin(self->worker + THREADS - 1, 1, write_on));
	while (n < REPLACES || !time_is_up(&self->end)) {
		EXPECT_EQ(0, vm_set_radix(&self->vm, true));
		if (n % 2)
			EXPECT_EQ(0, vm_set_radix(&self->vm, false));
		EXPECT_EQ(0, vm_alloc_hpt(&self->vm, ORDER + n % 3));
		n++;
	}
	finish(self->worker, THREADS);
	EXPECT_TRUE(worked(self->worker, THREADS));

	ASSERT_EQ(0, table_init(&t, NPTE(MAX_ORDER)));
	EXPECT_EQ(-ESTALE, table_read(&t, self->old_fd, 4096));
}

/* run_on() adds a vcpu each time, until there are enough */
static bool vcpus_missing(struct worker *w)
{
	return __atomic_load_n(&w->done, __ATOMIC_RELAXED) < VCPUS;
}

/* Run one vcpu after the other; their loads succeed with either MMU */
static void *run_on(void *arg)
{
	struct worker *w = arg;
	struct guest g[VCPUS];
	unsigned int n = 0;
	int err;

	for (; goes_on(w); w->done++) {
		err = 0;
		if (n < VCPUS) {
			err = n ? guest_init_vcpu(&g[n], w->vm, n) :
				  guest_init(&g[n], w->vm, false);
			n++;
		}
		err = err ?: guest_load(&g[w->done % n], 0, false);
		if (err) {
			w->wrong++;
			break;
		}
	}
	while (n)
		guest_free(&g[--n]);
	return NULL;
}

/* VMs switch to radix and back just when a vcpu is about to run */
TEST_F_TIMEOUT(race, run_vs_radix, BUSY_TIMEOUT)
{
	struct worker *w = self->worker;
	unsigned int i, n;
	struct vm vm;
	bool radix;
	int err;

	if (!self->vm.radix)
		SKIP(return, "the host has no radix MMU");
	for (i = 0; i < RADIX_VMS; i++) {
		ASSERT_EQ(0, vm_init(&vm, ORDER, PAGE_16M));
		*w = (struct worker) { .vm = &vm };
		__atomic_store_n(&stop, false, __ATOMIC_RELAXED);
		ASSERT_EQ(0, start(w, 1, run_on));
		radix = false;
		n = 0;
		while ((n < SWITCHES || vcpus_missing(w)) && !w->wrong) {
			err = vm_set_radix(&vm, !radix);
			if (err == -EBUSY)
				continue;
			ASSERT_EQ(0, err);
			radix = !radix;
			n++;
		}
		finish(w, 1);
		EXPECT_TRUE(worked(w, 1));
		vm_free(&vm);
	}
}

/* Readers come and go during writes; another one misses nothing */
TEST_F_TIMEOUT(race, readers_come_and_go, BUSY_TIMEOUT)
{
	struct table got, dump;

	ASSERT_EQ(0, table_init(&got, NPTE(ORDER)));
	ASSERT_EQ(0, table_init(&dump, NPTE(ORDER)));
	ASSERT_EQ(0, fill(&self->vm));
	ASSERT_EQ(0, begin(self->worker, THREADS - 1, read_on));
	ASSERT_EQ(0, begin(self->worker + THREADS - 1, 1, write_on));
	while (!time_is_up(&self->end))
		ASSERT_LE(0, table_read(&got, self->old_fd, 2048));
	finish(self->worker, THREADS);
	EXPECT_TRUE(worked(self->worker, THREADS));

	ASSERT_LE(0, table_drain(&got, self->old_fd, 2048));
	ASSERT_EQ((long)NPTE(ORDER), table_dump(&dump, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&dump, &got));
}

/* The VM's descriptor is closed before those of the HPT */
TEST_F_TIMEOUT(race, close_while_reading, BUSY_TIMEOUT)
{
	pid_t child[2];
	int i, status, fd, end[2];
	struct table t;
	char c;

	ASSERT_EQ(0, fill(&self->vm));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pipe(end));
		fd = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd);
		child[i] = fork();
		if (!child[i]) {
			close(end[1]);
			vm_free(&self->vm);
			close(self->old_fd);
			/* Read until the parent closes its end, and on */
			fcntl(end[0], F_SETFL, O_NONBLOCK);
			status = table_init(&t, NPTE(ORDER));
			while (!status && read(end[0], &c, 1) < 0)
				status = table_read(&t, fd, 3000) < 0;
			while (!status && i++ < 20)
				status = table_read(&t, fd, 3000) < 0;
			_exit(!!status);
		}
		close(end[0]);
		close(fd);
		ASSERT_LT(0, child[i]);
		usleep(100000);
		/* The first child ends with the VM open here, the second not */
		if (i == 1) {
			close(self->vm.wfd);
			close(self->vm.fd);
			close(self->vm.kvm);
			close(self->old_fd);
			self->vm.wfd = -1;
			self->vm.fd = -1;
			self->vm.kvm = -1;
		}
		close(end[1]);
		ASSERT_EQ(child[i], waitpid(child[i], &status, 0));
		EXPECT_EQ(0, status);
	}
}

/*
 * A guest enters, changes, removes and uses HPTEs at random, while two readers
 * with different habits keep replicas.  In the end, what the guest has done,
 * both replicas and a dump by a new reader agree.
 */
struct churn {
	struct worker *w;
	struct guest guest;
	struct table want;
};

#define CHURN_PAGES	64UL
#define CHURN_THINGS	3000UL

static int churn_once(struct churn *c)
{
	struct guest *g = &c->guest;
	unsigned int *seed = &c->w->seed, what = rand_r(seed) % 10;
	unsigned long page = 16 + rand_r(seed) % CHURN_PAGES;
	unsigned long index = guest_index(NPTE(ORDER), page);
	unsigned long addr = GUEST_EA + page * PAGE_64K;
	struct hpte *e = &c->want.hpte[index];
	unsigned long pp = rand_r(seed) % 3;

	if (!e->v) {
		*e = guest_hpte(page, page * PAGE_64K,
				rand_r(seed) % 2 ? HPTE_R_RC : 0);
		return guest_enter(g, index, *e) != H_SUCCESS;
	}
	switch (what) {
	case 0:
		memset(e, 0, sizeof(*e));
		return guest_remove(g, index) != H_SUCCESS;
	case 1:
		e->r = (e->r & ~HPTE_R_PP) | pp;
		return guest_protect(g, index, pp) != H_SUCCESS;
	case 2:
		e->r &= ~HPTE_R_R;
		return guest_clear_ref(g, index) != H_SUCCESS;
	case 3:
		e->r &= ~HPTE_R_C;
		return guest_clear_mod(g, index) != H_SUCCESS;
	case 4:
		return madvise(g->vm->mem + page * PAGE_64K, PAGE_64K,
			       MADV_DONTNEED);
	case 5:
	case 6:
		e->r |= HPTE_R_R;
		return guest_load(g, addr, true);
	default:
		e->r |= HPTE_R_RC;
		return guest_store(g, addr, true);
	}
}

static void *churn_on(void *arg)
{
	struct churn *c = arg;

	while (!stopped()) {
		if (churn_once(c)) {
			__atomic_add_fetch(&c->w->wrong, 1, __ATOMIC_RELAXED);
			break;
		}
		__atomic_add_fetch(&c->w->done, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST_F_TIMEOUT(race, replicas_of_a_busy_guest, BUSY_TIMEOUT)
{
	struct churn c = { .w = &self->worker[0] };
	struct table got[2], dump;
	unsigned int seed = 9;
	int fd[2], i;

	ASSERT_EQ(0, guest_init(&c.guest, &self->vm, true));
	ASSERT_EQ(0, table_init(&c.want, NPTE(ORDER)));
	ASSERT_EQ(0, table_init(&dump, NPTE(ORDER)));
	ASSERT_EQ(0, table_init(&got[0], NPTE(ORDER)));
	ASSERT_EQ(0, table_init(&got[1], NPTE(ORDER)));
	table_set_vrma(&c.want, NPTE(ORDER), 0, HPTE_R_RC);
	fd[0] = self->old_fd;
	fd[1] = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd[1]);

	/* Stop by count, as an emulated clock may be wrong while vcpus run */
	ASSERT_EQ(0, pthread_create(&c.w->thread, NULL, churn_on, &c));
	while (__atomic_load_n(&c.w->done, __ATOMIC_RELAXED) < CHURN_THINGS &&
	       !__atomic_load_n(&c.w->wrong, __ATOMIC_RELAXED)) {
		i = rand_r(&seed) % 4 == 0;
		ASSERT_LE(0, table_read(&got[i], fd[i],
					MIN_READ + 1 + rand_r(&seed) % 1000));
	}
	finish(c.w, 1);
	EXPECT_TRUE(worked(c.w, 1));

	for (i = 0; i < 2; i++) {
		EXPECT_LE(0, table_drain(&got[i], fd[i], 1000));
		EXPECT_EQ(0, table_diff(&c.want, &got[i])) {
			TH_LOG("reader %u", i);
		}
	}
	EXPECT_LT(0, table_dump(&dump, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&c.want, &dump));
	guest_free(&c.guest);
}

/* Are there two CPUs, for a reader and a task that watches it? */
static bool two_cpus(void)
{
	cpu_set_t set;

	return !sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1;
}

/* Make all HPTEs valid, so that reading the HPT takes a while */
static int fill_all(struct vm *vm, unsigned int order)
{
	unsigned long i;
	int err;

	err = vm_alloc_hpt(vm, order);
	for (i = 0; i < NPTE(order) && !err; i += 0x8000)
		err = vm_write_run(vm, i, 0x8000, 0);
	return err;
}

/* A reader can be killed in the middle of a read */
TEST_F_TIMEOUT(race, reader_is_killed, BUSY_TIMEOUT)
{
	size_t size = NPTE(MAX_ORDER) * HPTE_BYTES * 2;
	struct kvm_get_htab_header *buf;
	unsigned long *first;
	struct table t;
	int fd, status;
	pid_t child;

	if (!two_cpus())
		SKIP(return, "needs two processors");
	ASSERT_EQ(0, fill_all(&self->vm, MAX_ORDER));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, buf);
	first = (unsigned long *)(buf + 1);

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		read(fd, buf, size);
		for (;;)
			pause();
	}
	/* Wait until the read has begun; there is a lot left to read */
	while (!__atomic_load_n(first, __ATOMIC_RELAXED))
		;
	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));

	/* The rest can still be read */
	ASSERT_EQ(0, table_init(&t, NPTE(MAX_ORDER)));
	EXPECT_LT(0, table_read(&t, fd, 4096));
	TH_LOG("killed at %lx of %lx", t.first_index, t.npte);
	EXPECT_LT(0, t.first_index);
}

/* Writers of long records and a reset wait for each other: all or nothing */
#define LONG		USHRT_MAX
#define LONG_ROUNDS	20
/* Each fills the HPT, which takes long with KASAN */
#define RESET_ROUNDS	8

struct long_write {
	pthread_t thread;
	int fd;
	struct stream s;
	ssize_t ret;
};

static int long_write_init(struct long_write *w, struct vm *vm,
			   unsigned int n_valid, unsigned int n_invalid)
{
	int err = stream_init(&w->s, 2 * HPTE_BYTES * LONG);

	if (err)
		return err;
	stream_run(&w->s, 0, n_valid, n_invalid);
	w->fd = vm_htab_fd(vm, KVM_GET_HTAB_WRITE, 0);
	return w->fd < 0 ? w->fd : 0;
}

static void long_write_free(struct long_write *w)
{
	close(w->fd);
	stream_free(&w->s);
}

static void *write_long(void *arg)
{
	struct long_write *w = arg;

	w->ret = stream_write(w->fd, w->s.buf, w->s.len);
	return NULL;
}

static int long_write_begins(struct long_write *w)
{
	return -pthread_create(&w->thread, NULL, write_long, w);
}

/* 0: all of it was written */
static int long_write_ends(struct long_write *w)
{
	pthread_join(w->thread, NULL);
	if (w->ret < 0)
		return w->ret;
	return w->ret == (ssize_t)w->s.len ? 0 : -EIO;
}

TEST_F_TIMEOUT(race, long_record_vs_others, BUSY_TIMEOUT)
{
	struct long_write w[2] = { };
	unsigned int i, round, seed = 1;
	unsigned int none = 0, all = 0;
	struct table t;
	long n;

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, MAX_ORDER));
	ASSERT_EQ(0, long_write_init(&w[0], &self->vm, LONG, 0));
	ASSERT_EQ(0, long_write_init(&w[1], &self->vm, 0, LONG));
	for (round = 0; round < LONG_ROUNDS; round++) {
		for (i = 0; i < ARRAY_SIZE(w); i++)
			ASSERT_EQ(0, long_write_begins(&w[i]));
		usleep(rand_r(&seed) % 20000);
		EXPECT_EQ(0, vm_alloc_hpt(&self->vm, MAX_ORDER));
		for (i = 0; i < ARRAY_SIZE(w); i++)
			EXPECT_EQ(0, long_write_ends(&w[i]));
		ASSERT_EQ(0, table_init(&t, NPTE(MAX_ORDER)));
		ASSERT_LE(0, table_dump(&t, &self->vm, 0));
		n = t.n_valid;
		table_free(&t);
		ASSERT_TRUE(n == 0 || n == LONG) {
			TH_LOG("%ld HPTEs after round %u", n, round);
		}
		*(n ? &all : &none) += 1;
	}
	TH_LOG("%u times all, %u times none", all, none);
	EXPECT_LT(0, none);
	for (i = 0; i < ARRAY_SIZE(w); i++)
		long_write_free(&w[i]);
}

/* A commit waits for a long record, during which the MMU is not ready */
TEST_F_TIMEOUT(race, long_record_vs_commit, BUSY_TIMEOUT)
{
	struct long_write w = { };
	unsigned int round, seed = 1, committed = 0;
	int err;

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, MAX_ORDER));
	ASSERT_EQ(0, vm_write_vrma(&self->vm, NPTE(MAX_ORDER), 0, HPTE_R_RC));
	ASSERT_EQ(0, long_write_init(&w, &self->vm, LONG, 0));
	for (round = 0; round < LONG_ROUNDS; round++) {
		ASSERT_EQ(0, vm_resize_ready(&self->vm, MAX_ORDER));
		ASSERT_EQ(0, long_write_begins(&w));
		usleep(rand_r(&seed) % 20000);
		/* HPTEs in a group that is not that of their hash may collide */
		err = vm_resize_commit(&self->vm, MAX_ORDER);
		EXPECT_TRUE(!err || err == -ENOSPC) {
			TH_LOG("round %u: %d", round, err);
		}
		committed += !err;
		EXPECT_EQ(0, long_write_ends(&w));
	}
	TH_LOG("committed %u times", committed);
	EXPECT_LT(0, committed);
	long_write_free(&w);
}

/* A switch to radix frees the HPT before a long record or after it */
TEST_F_TIMEOUT(race, long_record_vs_radix, BUSY_TIMEOUT)
{
	struct long_write w = { };
	unsigned int round, seed = 1, written = 0;
	int err;

	if (!self->vm.radix)
		SKIP(return, "the host has no radix MMU");
	ASSERT_EQ(0, long_write_init(&w, &self->vm, LONG, 0));
	for (round = 0; round < LONG_ROUNDS; round++) {
		ASSERT_EQ(0, vm_alloc_hpt(&self->vm, MAX_ORDER));
		ASSERT_EQ(0, long_write_begins(&w));
		usleep(rand_r(&seed) % 20000);
		EXPECT_EQ(0, vm_set_radix(&self->vm, true));
		err = long_write_ends(&w);
		EXPECT_TRUE(!err || err == -EINVAL) {
			TH_LOG("round %u: %d", round, err);
		}
		written += !err;
	}
	TH_LOG("written %u times", written);
	EXPECT_LT(0, written);
	long_write_free(&w);
}

/* Is there an HPTE?  < 0 if the hypercall fails. */
static int guest_sees(struct guest *g, unsigned long index)
{
	unsigned long args[] = { 0, index };

	if (guest_hcall(g, H_READ, args, 2) != H_SUCCESS)
		return -EIO;
	return !!(g->ret[0] & HPTE_V_VALID);
}

/* A vcpu sees nothing of a long record, or all of it */
TEST_F_TIMEOUT(race, long_record_vs_run, BUSY_TIMEOUT)
{
	unsigned int round, seed = 1, written = 0, seen = 0;
	struct long_write w = { };
	int err, first, last;
	struct guest g;

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, MAX_ORDER));
	ASSERT_EQ(0, vm_write_vrma(&self->vm, NPTE(MAX_ORDER), 0, HPTE_R_RC));
	ASSERT_EQ(0, guest_init(&g, &self->vm, false));
	ASSERT_EQ(0, guest_load(&g, 0, false));
	ASSERT_EQ(0, long_write_init(&w, &self->vm, LONG, 0));
	for (round = 0; round < LONG_ROUNDS; round++) {
		ASSERT_EQ(0, vm_invalidate(&self->vm, 0, LONG));
		ASSERT_EQ(0, long_write_begins(&w));
		usleep(rand_r(&seed) % 20000);
		first = guest_sees(&g, 0);
		last = guest_sees(&g, LONG - 1);
		ASSERT_LE(0, first);
		EXPECT_LE(first, last) {
			TH_LOG("a part of it in round %u", round);
		}
		err = long_write_ends(&w);
		/* EBUSY if it begins while the vcpu runs */
		EXPECT_TRUE(!err || err == -EBUSY);
		written += !err;
		seen += first;
	}
	TH_LOG("written %u times, seen at once %u times", written, seen);
	EXPECT_LT(0, written);
	long_write_free(&w);
	guest_free(&g);
}

/* A killed writer leaves no lock held, wherever it is killed */
TEST_F_TIMEOUT(race, writer_of_a_long_record_is_killed, BUSY_TIMEOUT)
{
	unsigned int i, round, seed = 1;
	struct stream s;
	struct table t;
	pid_t child;
	int fd;

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, MAX_ORDER));
	ASSERT_EQ(0, stream_init(&s, 2 * HPTE_BYTES * LONG));
	stream_header(&s, 0, LONG, 0);
	for (i = 0; i < LONG; i++)
		stream_hpte(&s, mem_hpte(i, 0));
	fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LE(0, fd);
	for (round = 0; round < LONG_ROUNDS; round++) {
		child = fork();
		ASSERT_LE(0, child);
		while (!child)
			stream_write(fd, s.buf, s.len);
		usleep(rand_r(&seed) % 50000);
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, NULL, 0));
		ASSERT_EQ(0, vm_write_run(&self->vm, LONG, 1, 0));
	}
	ASSERT_EQ((ssize_t)s.len, stream_write(fd, s.buf, s.len));
	ASSERT_EQ(0, table_init(&t, NPTE(MAX_ORDER)));
	ASSERT_LE(0, table_dump(&t, &self->vm, 0));
	EXPECT_EQ(LONG + 1, t.n_valid);
	table_free(&t);
	stream_free(&s);
	close(fd);
}

static void *do_reset(void *vm)
{
	vm_alloc_hpt(vm, MAX_ORDER);
	return NULL;
}

static void *do_switch(void *vm)
{
	for (;;) {
		vm_set_radix(vm, true);
		vm_alloc_hpt(vm, MIN_ORDER);
	}
	return NULL;
}

/* Start @fn and kill it within @us microseconds */
static int start_and_kill(struct vm *vm, void *(*fn)(void *vm), unsigned int us)
{
	struct victim v;

	return victim_start(&v, fn, vm) ?: usleep(us) ?: victim_kill(&v);
}

/* How many HPTEs are there? */
static long count_valid(struct table *t, struct vm *vm)
{
	table_unsee(t);
	t->n_valid = 0;
	if (table_dump(t, vm, 0) < 0)
		return -EIO;
	return t->n_valid;
}

/*
 * Whoever is next to change the HPT finishes a reset that was killed: no HPTE of
 * before is left then.
 */
TEST_F_TIMEOUT(race, reset_is_killed, BUSY_TIMEOUT)
{
	unsigned int round, seed = 1, partly = 0;
	long before, after, all = NPTE(MAX_ORDER);
	struct table t;
	int err;

	ASSERT_EQ(0, table_init(&t, all));
	for (round = 0; round < RESET_ROUNDS ||
	     (!partly && round < 10 * RESET_ROUNDS); round++) {
		ASSERT_EQ(0, fill_all(&self->vm, MAX_ORDER));
		/* Earlier and earlier, as fast hosts are soon done */
		ASSERT_EQ(0, start_and_kill(&self->vm, do_reset, rand_r(&seed) %
					    (30000 >> round / RESET_ROUNDS)));
		before = count_valid(&t, &self->vm);
		ASSERT_LE(0, before);
		partly += before && before < all;
		/* There is nothing to commit, but it may change the HPT */
		err = round % 2 ? vm_write_run(&self->vm, 0, 1, 0) :
				  vm_resize_commit(&self->vm, MAX_ORDER);
		ASSERT_EQ(round % 2 ? 0 : -EIO, err);
		after = count_valid(&t, &self->vm);
		if (before < all || after < all)
			EXPECT_EQ(round % 2, after) {
				TH_LOG("%ld before, in round %u", before, round);
			}
	}
	TH_LOG("killed %u times in the middle", partly);
	EXPECT_LT(0, partly);
	table_free(&t);
}

/* Wherever a switch of the MMU is killed, it can be finished or undone */
TEST_F_TIMEOUT(race, switch_is_killed, BUSY_TIMEOUT)
{
	unsigned int round, seed = 1;
	struct table t;
	int fd;

	if (!self->vm.radix)
		SKIP(return, "the host cannot run radix guests");
	ASSERT_EQ(0, table_init(&t, NPTE(MIN_ORDER)));
	for (round = 0; round < RESET_ROUNDS; round++) {
		ASSERT_EQ(0, vm_alloc_hpt(&self->vm, MIN_ORDER));
		ASSERT_EQ(0, vm_write_run(&self->vm, 0, 1, 0));
		fd = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, start_and_kill(&self->vm, do_switch,
					    rand_r(&seed) % 50000));
		/* The last VM is freed as it is */
		if (round == RESET_ROUNDS - 1)
			break;
		close(fd);
		ASSERT_EQ(0, vm_set_radix(&self->vm, round % 2));
		ASSERT_EQ(0, vm_alloc_hpt(&self->vm, MIN_ORDER));
		ASSERT_EQ(0, count_valid(&t, &self->vm));
	}
	close(fd);
	table_free(&t);
}

TEST_F_TIMEOUT(race, reader_lets_others_run, BUSY_TIMEOUT)
{
	size_t size = NPTE(MAX_ORDER) * HPTE_BYTES * 2;
	bool good = false;
	struct ticker t;
	void *buf;
	int i, fd;

	ASSERT_EQ(0, fill_all(&self->vm, MAX_ORDER));
	buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, buf);
	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		fd = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd);
		ticker_begin(&t);
		ASSERT_LT((ssize_t)size / 2 - 4096, read(fd, buf, size));
		good = ticker_ends(&t);
		close(fd);
	}
	EXPECT_TRUE(good);
	ticker_free(&t);
}

TEST_F_TIMEOUT(race, resize_lets_others_run, BUSY_TIMEOUT)
{
	bool good = false;
	struct ticker t;
	int i;

	ASSERT_EQ(0, ticker_init(&t));
	for (i = 0; i < TICKER_TRIES && !good; i++) {
		/* Groups that have held no HPTE are skipped */
		ASSERT_EQ(0, fill_all(&self->vm, MAX_ORDER));
		ASSERT_EQ(0, vm_write_vrma(&self->vm, NPTE(MAX_ORDER), 0,
					   HPTE_R_RC));
		ASSERT_EQ(0, vm_resize_ready(&self->vm, MAX_ORDER + 1));
		ticker_begin(&t);
		ASSERT_EQ(0, vm_resize_commit(&self->vm, MAX_ORDER + 1));
		good = ticker_ends(&t);
	}
	EXPECT_TRUE(good);
	ticker_free(&t);
}

/*
 * The locks of an HPTE and of a page's chain in the reverse map are bits that
 * the scheduler does not know of, and a task that waits for one has preemption
 * disabled.  So the holder must not be preempted: a higher-priority task that
 * waits for the lock would never make progress.  In these tests, such a task
 * runs in the middle of code that takes each of these locks once.  They can
 * fail only on a preemptible kernel.
 */
struct intruder {
	pthread_t thread;
	pthread_barrier_t begin;
	struct vm *vm;
	int (*intrude)(struct vm *vm, unsigned int seed);
	long least;		/* shortest time of the operation, in us */
	int err;
};

#define INTRUSIONS	5

static void *intrude(void *arg)
{
	struct sched_param fifo = { .sched_priority = 1 };
	struct intruder *in = arg;
	unsigned int seed = 1;
	int i;

	in->err = sched_setscheduler(0, SCHED_FIFO, &fifo) ? -errno : 0;
	for (i = 0; i < INTRUSIONS; i++) {
		pthread_barrier_wait(&in->begin);
		usleep(rand_r(&seed) % (in->least + 1));
		in->err = in->err ?: in->intrude(in->vm, rand_r(&seed));
		pthread_barrier_wait(&in->begin);
	}
	return NULL;
}

static int intruder_init(struct intruder *in, struct vm *vm,
			 int (*fn)(struct vm *vm, unsigned int seed))
{
	*in = (struct intruder) { .vm = vm, .intrude = fn };
	return one_processor() ?: -pthread_barrier_init(&in->begin, NULL, 2) ?:
		-pthread_create(&in->thread, NULL, intrude, in);
}

static void intruder_begins(struct intruder *in, struct timespec *now)
{
	clock_gettime(CLOCK_MONOTONIC, now);
	pthread_barrier_wait(&in->begin);
}

static void intruder_ends(struct intruder *in, struct timespec *then)
{
	struct timespec now;
	long us;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_barrier_wait(&in->begin);
	us = us_between(then, &now);
	if (!in->least || us < in->least)
		in->least = us;
}

/* Fill the HPT with HPTEs for the page at @gpa, which are all in its chain */
static int fill_page(struct vm *vm, struct stream *s, unsigned long gpa)
{
	unsigned long i;
	ssize_t n;

	s->len = 0;
	stream_header(s, 0, NPTE(ORDER), 0);
	for (i = 0; i < NPTE(ORDER); i++)
		stream_hpte(s, mem_hpte(i, gpa));
	n = stream_write(vm->wfd, s->buf, s->len);
	return n < 0 ? n : 0;
}

static int invalidate_one(struct vm *vm, unsigned int seed)
{
	return vm_invalidate(vm, seed % NPTE(ORDER), 1);
}

/* A memslot is deleted */
TEST_F_TIMEOUT(race, flush_is_not_preempted, BUSY_TIMEOUT)
{
	struct timespec now;
	struct intruder in;
	struct stream s;
	int i;

	memset(self->vm.mem, 1, PAGE_64K);
	ASSERT_EQ(0, stream_init(&s, NPTE(ORDER) * HPTE_BYTES + REC_BYTES));
	ASSERT_EQ(0, vm_invalidate(&self->vm, 0, 1));
	ASSERT_EQ(0, intruder_init(&in, &self->vm, invalidate_one));
	for (i = 0; i < INTRUSIONS; i++) {
		ASSERT_EQ(0, vm_memslot(&self->vm, 1, PAGE_16M, self->vm.mem,
					PAGE_64K, 0));
		ASSERT_EQ(0, fill_page(&self->vm, &s, PAGE_16M));
		intruder_begins(&in, &now);
		ASSERT_EQ(0, vm_memslot(&self->vm, 1, PAGE_16M, self->vm.mem,
					0, 0));
		intruder_ends(&in, &now);
	}
	pthread_join(in.thread, NULL);
	EXPECT_EQ(0, in.err);
	TH_LOG("took %ld us or more", in.least);
}

static int unmap_page(struct vm *vm, unsigned int seed)
{
	return madvise(vm->mem + PAGE_64K, PAGE_64K, MADV_DONTNEED) ?
		-errno : 0;
}

/* A resize is committed */
TEST_F_TIMEOUT(race, commit_is_not_preempted, BUSY_TIMEOUT)
{
	struct timespec now;
	struct intruder in;
	struct stream s;
	int i;

	ASSERT_EQ(0, stream_init(&s, NPTE(ORDER) * HPTE_BYTES + REC_BYTES));
	ASSERT_EQ(0, vm_invalidate(&self->vm, 0, 1));
	ASSERT_EQ(0, intruder_init(&in, &self->vm, unmap_page));
	for (i = 0; i < INTRUSIONS; i++) {
		/* This may move pages, which makes their HPTEs absent */
		ASSERT_EQ(0, vm_resize_ready(&self->vm, ORDER));
		memset(self->vm.mem, 1, 2 * PAGE_64K);
		ASSERT_EQ(0, fill_page(&self->vm, &s, PAGE_64K));
		ASSERT_EQ(0, vm_write_vrma(&self->vm, NPTE(ORDER), 0,
					   HPTE_R_RC));
		intruder_begins(&in, &now);
		ASSERT_EQ(0, vm_resize_commit(&self->vm, ORDER));
		intruder_ends(&in, &now);
	}
	pthread_join(in.thread, NULL);
	EXPECT_EQ(0, in.err);
	TH_LOG("took %ld us or more", in.least);
}

/*
 * A request for an HPT of an invalid order, in a VM without an HPT: EINVAL.
 * The stock kernel has order 0 recorded for such a VM, and clears an HPT at
 * address 0.
 */
TEST(no_order)
{
	static const unsigned int orders[] = { 0, 1, 17, 47, 64, 0x80000000 };
	unsigned int i;
	struct vm vm;

	ASSERT_EQ(0, vm_init(&vm, 0, 0));
	for (i = 0; i < ARRAY_SIZE(orders); i++)
		EXPECT_EQ(-EINVAL, vm_alloc_hpt(&vm, orders[i]));
	EXPECT_EQ(0, vm_free(&vm));
}

TEST_HARNESS_MAIN
