// SPDX-License-Identifier: GPL-2.0
/*
 * Resource use that an attacker could try: thousands of readers of one VM, a
 * thousand VMs, a large HPT, user memory that is never provided, a file system
 * that does not answer.  All memory is freed afterwards, and other users go on
 * meanwhile.
 *
 * Variables in the environment, or on the kernel's command line, set the
 * numbers:
 *
 *	READERS	of one VM (default: 10000)
 *	VMS	with one reader each (default: 1000; POWER8 has partition IDs
 *		for 1022)
 *	ORDER	of the large HPT (default: 27); 34 needs a host of 40 GiB with
 *		kvm_cma_resv_ratio=45
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "hpt_fuse.h"
#include "hpt_guest.h"

#define USERFAULTFD	"/proc/sys/vm/unprivileged_userfaultfd"

#define N		NPTE(MIN_ORDER)
/* Far enough apart that each takes a separate node of a reader's set */
#define CHANGES		16

#define TIMEOUT		(15 * 60)

/* Memory in KiB that the kernel may keep in its caches */
#define TOLERANCE	(32L << 10)

/*
 * How often an HPT is replaced by a larger one and back. They have bitmaps of 16
 * and 32 KiB: if a third of them stays, it is more than LEAK in KiB.
 */
#define REPLACEMENTS	150
#define REPLACED_ORDER	23
#define LEAK		(2L << 10)

static unsigned long setting(const char *name, unsigned long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
}

/* Kernel memory, without the page cache */
static long kernel_memory(void)
{
	return host_kib("Slab") + host_kib("VmallocUsed") +
	       host_kib("Percpu") + host_kib("KernelStack");
}

FIXTURE(limits)
{
	struct vm vm;
	long before;
	struct rlimit files;
	unsigned char *buf;
};

FIXTURE_SETUP(limits)
{
	struct rlimit files = { 1 << 17, 1 << 17 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	self->before = kernel_memory();
	ASSERT_EQ(0, vm_init(&self->vm, MIN_ORDER, PAGE_16M));
	self->buf = malloc(1 << 20);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(limits)
{
	EXPECT_EQ(0, vm_free(&self->vm));
}

/*
 * Kernel memory is at most so many KiB above what it was before; wait for RCU to
 * free it
 */
static bool given_back(struct __test_metadata *_metadata, long before,
		       long tolerance)
{
	long now;
	int i;

	for (i = 0; i < 100; i++) {
		now = kernel_memory();
		if (now < before + tolerance)
			break;
		usleep(100000);
	}
	TH_LOG("kernel memory: %ld KiB, before %ld KiB", now, before);
	return i < 100;
}

/* In reads of QEMU's size, since a file keeps a buffer of that size */
static ssize_t drain(int fd, void *buf)
{
	ssize_t n, sum = 0;

	do {
		n = read(fd, buf, 2048);
		if (n > 0)
			sum += n;
	} while (n > 0);
	return n < 0 ? -errno : sum;
}

/*
 * Each of thousands of readers reports each change, even if another reader has
 * harvested it.
 */
TEST_F_TIMEOUT(limits, readers_of_one_vm, TIMEOUT)
{
	unsigned int n = setting("READERS", 10000), told = 0, i;
	int *fd = calloc(n, sizeof(*fd));
	long peak;

	ASSERT_NE(NULL, fd);
	for (i = 0; i < n; i++) {
		fd[i] = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd[i]);
		ASSERT_LT(0, drain(fd[i], self->buf));
	}
	for (i = 0; i < N; i += N / CHANGES)
		ASSERT_EQ(0, vm_write_run(&self->vm, i, 1, 0));
	for (i = 0; i < n; i++)
		told += drain(fd[i], self->buf) ==
			CHANGES * (REC_BYTES + HPTE_BYTES);
	EXPECT_EQ(n, told);
	for (i = 0; i < N; i += N / CHANGES)
		ASSERT_EQ(0, vm_invalidate(&self->vm, i, 1));
	/* Now the changes are in the sets of all readers but one */
	ASSERT_LT(0, drain(fd[0], self->buf));
	peak = kernel_memory() - self->before;
	TH_LOG("%u readers take %ld KiB", n, peak);
	/* KiB of a reader: a node for each change, the file and its buffer */
	EXPECT_GT(n * (CHANGES + 16L), peak);
	for (i = 0; i < n; i++)
		ASSERT_EQ(0, close(fd[i]));
	EXPECT_TRUE(given_back(_metadata, self->before, TOLERANCE));
	free(fd);
}

TEST_F_TIMEOUT(limits, vms, TIMEOUT)
{
	unsigned int n = setting("VMS", 1000), i;
	struct vm *vm = calloc(n, sizeof(*vm));
	int *fd = calloc(n, sizeof(*fd));

	ASSERT_NE(NULL, vm);
	ASSERT_NE(NULL, fd);
	for (i = 0; i < n; i++) {
		ASSERT_EQ(0, vm_init(&vm[i], MIN_ORDER, 0));
		ASSERT_EQ(0, vm_write_run(&vm[i], i, 1, 0));
		fd[i] = vm_htab_fd(&vm[i], 0, 0);
		ASSERT_LE(0, fd[i]);
	}
	TH_LOG("%u VMs take %ld KiB", n, kernel_memory() - self->before);
	for (i = 0; i < n; i++)
		ASSERT_LT(0, drain(fd[i], self->buf));
	for (i = 0; i < n; i++) {
		vm_free(&vm[i]);
		ASSERT_EQ(0, close(fd[i]));
	}
	EXPECT_TRUE(given_back(_metadata, self->before, TOLERANCE));
	free(vm);
	free(fd);
}

/* A large HPT, used all over, is counted, read and reset */
TEST_F_TIMEOUT(limits, large_hpt, TIMEOUT)
{
	unsigned int order = setting("ORDER", 27);
	struct kvm_ppc_htab_progress p = {
		.argsz = sizeof(p),
		.flags = KVM_PPC_HTAB_PROGRESS_COUNT,
	};
	unsigned long i, npte = NPTE(order), n = 0;
	int err, fd;

	err = vm_alloc_hpt(&self->vm, order);
	if (err == -ENOMEM)
		SKIP(return, "no memory for an HPT of order %u", order);
	ASSERT_EQ(0, err);
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	/* Use one group in 512, so that every part of the HPT takes work */
	for (i = 0; i < npte; i += 4096, n++)
		ASSERT_EQ(0, vm_write_run(&self->vm, i, 1, 0));
	ASSERT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
	EXPECT_EQ(n, p.first_hptes);
	EXPECT_LT((ssize_t)(n * MIN_READ) - 1, drain(fd, self->buf));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, order));
	EXPECT_LT(0, drain(fd, self->buf));
	ASSERT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
	EXPECT_EQ(0, p.changed_hptes);
	TH_LOG("order %u: %lu of %lu HPTEs", order, n, npte);
	close(fd);
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, MIN_ORDER));
	EXPECT_TRUE(given_back(_metadata, self->before, TOLERANCE));
}

/* Replace the HPT by a larger one and back, so many times */
static int replace_hpt(struct vm *vm, unsigned int times)
{
	int err = 0;

	while (times-- && !err)
		err = vm_alloc_hpt(vm, REPLACED_ORDER + 1) ?:
		      vm_alloc_hpt(vm, REPLACED_ORDER);
	return err;
}

/* All memory of an HPT that is replaced is freed */
TEST_F_TIMEOUT(limits, replaced_is_freed, TIMEOUT)
{
	long before;

	/* Once before, for what the kernel keeps in its caches */
	if (replace_hpt(&self->vm, 1) == -ENOMEM)
		SKIP(return, "no memory for HPTs of order %u", REPLACED_ORDER + 1);
	before = kernel_memory();
	ASSERT_EQ(0, replace_hpt(&self->vm, REPLACEMENTS));
	EXPECT_TRUE(given_back(_metadata, before, LEAK));
}

/*
 * Memory that the test provides when it wants: by userfaultfd or, with @file, as
 * a private mapping of a file of a FUSE server
 */
struct slow {
	struct slow_file *file;
	int fd;
	unsigned char *mem;
	size_t size;
};

/* Take away existing memory */
static int slow_take(struct slow *s, void *mem, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.mode = UFFDIO_REGISTER_MODE_MISSING,
		.range.start = (unsigned long)mem,
		.range.len = size,
	};

	s->mem = mem;
	s->size = size;
	if (s->file)
		return mmap(mem, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_FIXED, s->file->cached,
			    0) == MAP_FAILED ? -errno : 0;
	s->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0)
		return -errno;
	if (madvise(mem, size, MADV_DONTNEED) ||
	    ioctl(s->fd, UFFDIO_API, &api) ||
	    ioctl(s->fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return 0;
}

static int slow_init(struct slow *s, size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mem == MAP_FAILED ? -errno : slow_take(s, mem, size);
}

/* Wait until a thread sleeps in a fault on the memory */
static int slow_wait(struct slow *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	if (s->file)
		return slow_file_wait(s->file);
	return poll(&p, 1, 30000) == 1 && p.revents == POLLIN ? 0 : -ETIMEDOUT;
}

static int slow_let_go(struct slow *s, const void *src)
{
	struct uffdio_copy copy = {
		.dst = (unsigned long)s->mem,
		.src = (unsigned long)src,
		.len = s->size,
	};

	if (s->file)
		return slow_file_let_go(s->file);
	return ioctl(s->fd, UFFDIO_COPY, &copy) ? -errno : 0;
}

static void slow_free(struct slow *s)
{
	munmap(s->mem, s->size);
	close(s->fd);
}

struct copy {
	pthread_t thread;
	struct slow slow;
	int fd;
	size_t size;
	bool write;
	ssize_t result;
};

static void *do_copy(void *arg)
{
	struct copy *c = arg;

	c->result = c->write ? write(c->fd, c->slow.mem, c->size) :
			       read(c->fd, c->slow.mem, c->size);
	return NULL;
}

/* Start a read or write, and wait until its copy sleeps */
static int copy_starts(struct copy *c, struct vm *vm)
{
	int err = slow_init(&c->slow, PAGE_64K);

	if (err)
		return err;
	c->fd = vm_htab_fd(vm, c->write ? KVM_GET_HTAB_WRITE : 0, 0);
	if (c->fd < 0)
		return c->fd;
	err = -pthread_create(&c->thread, NULL, do_copy, c);
	return err ?: slow_wait(&c->slow);
}

static ssize_t copy_ends(struct copy *c, const void *src)
{
	int err = slow_let_go(&c->slow, src);

	if (err)
		return err;
	pthread_join(c->thread, NULL);
	slow_free(&c->slow);
	return c->result;
}

/* Other operations on the VM succeed while a copy sleeps */
static void others_go_on(struct __test_metadata *_metadata, struct vm *vm,
			 struct guest *g, void *buf)
{
	struct hpte e = hpte_at(1000);
	int fd = vm_htab_fd(vm, 0, 0);

	ASSERT_LE(0, fd);
	ASSERT_LT(0, drain(fd, buf));
	ASSERT_EQ(H_SUCCESS, guest_enter(g, 1000, e));
	ASSERT_EQ(MIN_READ, drain(fd, buf));
	ASSERT_EQ(H_SUCCESS, guest_remove(g, 1000));
	ASSERT_EQ(0, vm_write_run(vm, 2002, 2, 0));
	ASSERT_EQ(0, vm_resize(vm, MIN_ORDER + 1));
	ASSERT_EQ(-ESTALE, drain(fd, buf));
	ASSERT_EQ(0, vm_alloc_hpt(vm, MIN_ORDER + 1));
	ASSERT_EQ(0, vm_alloc_hpt(vm, MIN_ORDER));
	close(fd);
}

/*
 * While the copy of a read sleeps, vcpus, readers, writers, resizes and resets
 * go on, and the reader's progress can be queried.  Hangs if the copy is made
 * with mmu_setup_lock held.
 */
TEST_F_TIMEOUT(limits, read_that_sleeps, 120)
{
	struct kvm_ppc_htab_progress p = { .argsz = sizeof(p) };
	struct copy c = { .size = PAGE_64K };
	struct guest g;

	if (access(USERFAULTFD, F_OK))
		SKIP(return, "the kernel has no userfaultfd");
	ASSERT_EQ(0, guest_init(&g, &self->vm, true));
	ASSERT_EQ(0, copy_starts(&c, &self->vm));
	ASSERT_EQ(0, ioctl(c.fd, KVM_PPC_HTAB_PROGRESS, &p));
	EXPECT_EQ(N, p.hptes);
	others_go_on(_metadata, &self->vm, &g, self->buf);
	memset(self->buf, 0, PAGE_64K);
	EXPECT_LT(0, copy_ends(&c, self->buf));
	EXPECT_EQ(-1, read(c.fd, self->buf, PAGE_64K));
	EXPECT_EQ(ESTALE, errno);
	close(c.fd);
	guest_free(&g);
}

/* The same for a write; fails (EBUSY) if vcpus are kept out before the copy */
static void write_sleeps(struct __test_metadata *_metadata,
			 struct vm *vm, void *buf, unsigned int hptes)
{
	struct copy c = { .write = true };
	struct stream s;
	struct guest g;

	ASSERT_EQ(0, guest_init(&g, vm, true));
	ASSERT_EQ(0, stream_init(&s, PAGE_64K));
	stream_run(&s, 3000, hptes, 0);
	c.size = s.len;
	ASSERT_EQ(0, copy_starts(&c, vm));
	others_go_on(_metadata, vm, &g, buf);
	EXPECT_EQ((ssize_t)s.len, copy_ends(&c, s.buf));
	close(c.fd);
	guest_free(&g);
	stream_free(&s);
}

TEST_F_TIMEOUT(limits, write_that_sleeps, 120)
{
	if (access(USERFAULTFD, F_OK))
		SKIP(return, "the kernel has no userfaultfd");
	write_sleeps(_metadata, &self->vm, self->buf, 50);
}

TEST_F_TIMEOUT(limits, short_write_that_sleeps, 120)
{
	if (access(USERFAULTFD, F_OK))
		SKIP(return, "the kernel has no userfaultfd");
	write_sleeps(_metadata, &self->vm, self->buf, 5);
}

/* The page of guest memory that is missing */
#define PAGE		3UL
#define GPA		(PAGE * PAGE_64K)

/* Its HPTE has an index past the end of the smaller HPT */
#define LARGE_ORDER	22

/* Server 0, priority 6 */
#define QUEUE		6

/* How often to try a resize that cannot begin yet, with pauses */
#define TRIES		10
#define PAUSE_US	50000

/* A vcpu that sleeps in its page fault */
struct sleeper {
	struct guest g;
	struct slow slow;
	pthread_t vcpu;
	int loaded;
};

static void *do_load(void *arg)
{
	struct sleeper *s = arg;

	s->loaded = guest_load(&s->g, GUEST_EA + GPA, true);
	return NULL;
}

static int sleeper_prepares(struct sleeper *s, struct vm *vm)
{
	struct hpte e = guest_hpte(PAGE, GPA, HPTE_R_RC);

	e.v |= HPTE_V_BOLTED;
	return guest_init(&s->g, vm, true) ?:
	       slow_take(&s->slow, vm->mem + GPA, PAGE_64K) ?:
	       guest_load(&s->g, 0, false) ?:
	       vm_resize(vm, LARGE_ORDER) ?:
	       /* The next resize cannot begin before the first HPT is freed */
	       vm_resize_ready(vm, MIN_ORDER) ?:
	       guest_enter(&s->g, guest_index(NPTE(LARGE_ORDER), PAGE), e);
}

static int sleeper_starts(struct sleeper *s)
{
	return -pthread_create(&s->vcpu, NULL, do_load, s) ?:
	       slow_wait(&s->slow);
}

/*
 * A resize is committed while a vcpu sleeps in a page fault.  Everything that
 * does not need the vcpu out of KVM_RUN goes on, so the thread that provides
 * the page may do it as well.  Hangs if the resize waits for the vcpu.  The
 * next resize has to wait until the old HPT is freed, so a guest cannot
 * accumulate old HPTs.  The vcpu then maps the page in the new HPT, not in the
 * old one.
 */
static void fault_sleeps(struct __test_metadata *_metadata, struct vm *vm,
			 void *buf, struct slow_file *file)
{
	struct kvm_ppc_htab_progress p = { .argsz = sizeof(p) };
	struct sleeper s = { .slow.file = file };
	struct pollfd poll_old = { .events = POLLIN };
	int fd, old, i;

	ASSERT_LT(N, guest_index(NPTE(LARGE_ORDER), PAGE));
	ASSERT_EQ(0, sleeper_prepares(&s, vm));
	old = vm_htab_fd(vm, 0, 0);
	ASSERT_LE(0, old);
	ASSERT_LT(0, drain(old, buf));
	ASSERT_EQ(0, sleeper_starts(&s));
	ASSERT_EQ(0, vm_resize(vm, MIN_ORDER));

	ASSERT_EQ(0, ioctl(old, KVM_PPC_HTAB_PROGRESS, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_STALE, p.state);
	EXPECT_EQ(-ESTALE, drain(old, buf));
	poll_old.fd = old;
	EXPECT_EQ(1, poll(&poll_old, 1, 0));
	EXPECT_EQ(0, close(old));

	fd = vm_htab_fd(vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_LT(0, drain(fd, buf));
	ASSERT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
	EXPECT_EQ(N, p.hptes);
	EXPECT_EQ(0, close(fd));
	EXPECT_LT(0, ioctl(vm->fd, KVM_CREATE_VCPU, 1));
	EXPECT_LE(0, vm_resize_prepare(vm, 0));
	for (i = 0; i < TRIES; i++) {
		EXPECT_LT(0, vm_resize_prepare(vm, LARGE_ORDER));
		usleep(PAUSE_US);
	}
	EXPECT_EQ(-ENXIO, vm_resize_commit(vm, LARGE_ORDER));
	EXPECT_EQ(-EBUSY, vm_alloc_hpt(vm, MIN_ORDER));
	EXPECT_EQ(-EBUSY, vm_write_run(vm, 0, 1, 0));

	ASSERT_EQ(0, slow_let_go(&s.slow, buf));
	pthread_join(s.vcpu, NULL);
	/* From here on the kernel provides the page */
	if (!file)
		close(s.slow.fd);
	EXPECT_EQ(0, s.loaded);
	/* The host unmaps the page through its chain in the reverse map */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, madvise(s.slow.mem, s.slow.size, MADV_DONTNEED));
		ASSERT_EQ(0, guest_load(&s.g, GUEST_EA + GPA, true));
	}
	guest_free(&s.g);
}

TEST_F_TIMEOUT(limits, fault_that_sleeps, 60)
{
	if (access(USERFAULTFD, F_OK))
		SKIP(return, "the kernel has no userfaultfd");
	fault_sleeps(_metadata, &self->vm, self->buf, NULL);
}

/* The same if the page belongs to a file, whose server does not answer */
TEST_F_TIMEOUT(limits, slow_file_system, 60)
{
	struct slow_file file;
	int err = slow_file_init(&file);

	if (err == -ENODEV)
		SKIP(return, NO_FUSE);
	ASSERT_EQ(0, err);
	fault_sleeps(_metadata, &self->vm, self->buf, &file);
	slow_file_free(&file);
}

/* A thread created in advance, since creating one takes mmap_lock */
struct starter {
	void (*fn)(void *arg);
	void *arg;
	pthread_t thread;
	pid_t tid;
	bool begin;
};

static void *starter_main(void *arg)
{
	struct starter *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&s->begin, __ATOMIC_ACQUIRE))
		usleep(1000);
	s->fn(s->arg);
	return NULL;
}

static int starter_init(struct starter *s)
{
	int err = -pthread_create(&s->thread, NULL, starter_main, s);

	while (!err && !__atomic_load_n(&s->tid, __ATOMIC_ACQUIRE))
		usleep(1000);
	return err;
}

/* The start of a file in procfs; allocates no memory */
static int proc_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	close(fd);
	if (n <= 0)
		return -EIO;
	text[n] = 0;
	return 0;
}

/* Returns when the thread is in state D: at most a fatal signal wakes it up */
static int starter_begin(struct starter *s)
{
	char path[64], text[512], *name_end;
	int i, err;

	__atomic_store_n(&s->begin, true, __ATOMIC_RELEASE);
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", s->tid);
	for (i = 0; i < 5000; i++) {
		err = proc_read(path, text, sizeof(text));
		if (err)
			return err;
		name_end = strrchr(text, ')');
		if (name_end && !strncmp(name_end, ") D", 3))
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

struct mapping {
	struct slow_file file;
	void *mem;
};

static void do_map(void *arg)
{
	struct mapping *m = arg;

	m->mem = mmap(NULL, SLOW_FILE_SIZE, PROT_READ, MAP_PRIVATE,
		      m->file.direct, 0);
}

struct first_run {
	struct guest g;
	int result;
};

static void do_first_run(void *arg)
{
	struct first_run *r = arg;

	r->result = guest_load(&r->g, 0, false);
}

/* None of this may need mmap_lock, not even by a page fault */
static void others_ignore_mmap_lock(struct __test_metadata *_metadata,
				    struct vm *vm, int fd, int old, void *buf)
{
	struct kvm_ppc_htab_progress p = { .argsz = sizeof(p) };
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char path[64], text[512];
	int new;

	/* Other kernels do not have it */
	EXPECT_TRUE(!ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p) || errno == ENOTTY);
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	EXPECT_LT(0, drain(fd, buf));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	EXPECT_EQ(0, proc_read(path, text, sizeof(text)));
	EXPECT_EQ(0, close(old));
	new = vm_htab_fd(vm, 0, 0);
	EXPECT_LE(0, new);
	EXPECT_EQ(0, close(new));
	EXPECT_EQ(0, vm_write_hpte(vm, 2002, hpte_at(2002)));
	EXPECT_LE(0, vm_resize_prepare(vm, 0));
	new = ioctl(vm->fd, KVM_CREATE_VCPU, 1);
	EXPECT_LE(0, new);
	EXPECT_EQ(0, close(new));
	EXPECT_EQ(0, vm_memslot(vm, 1, PAGE_16M, vm->mem, PAGE_64K, 0));
	EXPECT_EQ(0, vm_memslot(vm, 1, PAGE_16M, vm->mem, 0, 0));
}

/*
 * A vcpu that runs for the first time waits for mmap_lock, which a thread in
 * mmap() holds for as long as a FUSE server likes: the mmap() of a file opened
 * with FOPEN_DIRECT_IO waits for a page that is being read.  Everything else
 * goes on.  Fails if the vcpu holds mmu_setup_lock or is in a read section of
 * kvm->srcu meanwhile: then the server has to answer first.
 */
TEST_F_TIMEOUT(limits, mmap_that_sleeps, 60)
{
	struct mapping m = { .mem = MAP_FAILED };
	struct first_run run = { .result = -EIO };
	struct starter mapper = { .fn = do_map, .arg = &m };
	struct starter vcpu = { .fn = do_first_run, .arg = &run };
	int fd, old, err;

	err = slow_file_init(&m.file);
	if (err == -ENODEV)
		SKIP(return, NO_FUSE);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, guest_init(&run.g, &self->vm, false));
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 1001, hpte_at(1001)));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	old = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, old);
	ASSERT_LT(0, drain(old, self->buf));
	ASSERT_EQ(0, starter_init(&mapper));
	ASSERT_EQ(0, starter_init(&vcpu));

	/* From here on the process has no page faults */
	ASSERT_EQ(0, mlockall(MCL_CURRENT));
	ASSERT_EQ(0, readahead(m.file.cached, 0, SLOW_FILE_SIZE));
	ASSERT_EQ(0, slow_file_wait(&m.file));
	ASSERT_EQ(0, starter_begin(&mapper));
	ASSERT_EQ(0, starter_begin(&vcpu));
	others_ignore_mmap_lock(_metadata, &self->vm, fd, old, self->buf);
	EXPECT_EQ(0, slow_file_let_go(&m.file));
	pthread_join(mapper.thread, NULL);
	pthread_join(vcpu.thread, NULL);
	munlockall();

	EXPECT_EQ(0, run.result);
	EXPECT_NE(MAP_FAILED, m.mem);
	munmap(m.mem, SLOW_FILE_SIZE);
	close(fd);
	guest_free(&run.g);
	slow_file_free(&m.file);
}

/*
 * A device of the VM that sleeps in an access to guest memory, in a read section
 * of kvm->srcu: no vcpu runs meanwhile
 */
struct device {
	struct vm *vm;
	struct slow slow;
	pthread_t sleeper;
	pthread_t waiter;
	struct victim victim;
	int fd;
	bool radix;
	int configured;
	int result;
};

static void *do_set_queue(void *arg)
{
	struct device *d = arg;
	struct kvm_ppc_xive_eq eq = {
		.flags = KVM_XIVE_EQ_ALWAYS_NOTIFY,
		.qshift = __builtin_ctz(getpagesize()),
		.qaddr = GPA,
		.qtoggle = 1,
	};
	struct kvm_device_attr attr = {
		.group = KVM_DEV_XIVE_GRP_EQ_CONFIG,
		.attr = QUEUE,
		.addr = (unsigned long)&eq,
	};

	d->configured = ioctl(d->fd, KVM_SET_DEVICE_ATTR, &attr) ? -errno : 0;
	return NULL;
}

/* Wait for the device, in a reset of the HPT or in a switch to radix */
static void *do_change(void *arg)
{
	struct device *d = arg;

	d->result = d->radix ? vm_set_radix(d->vm, true) :
			       vm_alloc_hpt(d->vm, MIN_ORDER);
	return NULL;
}

/* Give the VM an interrupt controller. Returns -ENODEV if it cannot have one. */
static int device_init(struct device *d, struct vm *vm)
{
	struct kvm_create_device dev = { .type = KVM_DEV_TYPE_XIVE };
	struct kvm_enable_cap papr = { .cap = KVM_CAP_PPC_PAPR };
	struct kvm_enable_cap xive = { .cap = KVM_CAP_PPC_IRQ_XIVE };
	int vcpu, err;

	d->vm = vm;
	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &dev))
		return -ENODEV;
	d->fd = dev.fd;
	vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return -errno;
	xive.args[0] = d->fd;
	err = ioctl(vcpu, KVM_ENABLE_CAP, &papr) ||
	      ioctl(vcpu, KVM_ENABLE_CAP, &xive) ? -errno : 0;
	close(vcpu);
	return err;
}

/* Returns when the device sleeps and a process waits for it */
static int device_sleeps(struct device *d)
{
	return slow_take(&d->slow, d->vm->mem + GPA, PAGE_64K) ?:
	       -pthread_create(&d->sleeper, NULL, do_set_queue, d) ?:
	       slow_wait(&d->slow) ?:
	       victim_start(&d->victim, do_change, d) ?:
	       usleep(PAUSE_US);
}

/* Kill that process; a thread goes on in its place */
static int kill_and_go_on(struct device *d)
{
	return victim_kill(&d->victim) ?:
	       -pthread_create(&d->waiter, NULL, do_change, d) ?:
	       usleep(PAUSE_US);
}

static int device_wakes_up(struct device *d, const void *src)
{
	int err = slow_let_go(&d->slow, src);

	if (err)
		return err;
	pthread_join(d->sleeper, NULL);
	pthread_join(d->waiter, NULL);
	close(d->slow.fd);
	return d->configured ?: d->result;
}

/*
 * A reset, and a switch of the MMU, wait for a device that sleeps, and can be
 * killed. All else goes on: the thread that is to provide the page may read the
 * HPT and close the file. Hangs if the wait is with mmu_setup_lock held, or
 * cannot be killed.
 */
TEST_F_TIMEOUT(limits, device_that_sleeps, 60)
{
	struct kvm_ppc_htab_progress p = { .argsz = sizeof(p) };
	struct device d = { };
	int fd, i, err;
	ssize_t n;

	if (access(USERFAULTFD, F_OK))
		SKIP(return, "the kernel has no userfaultfd");
	err = device_init(&d, &self->vm);
	if (err == -ENODEV)
		SKIP(return, "the host has no XIVE");
	ASSERT_EQ(0, err);
	for (i = 0; i < (self->vm.radix ? 2 : 1); i++) {
		d.radix = i;
		fd = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
		ASSERT_EQ(0, vm_write_run(&self->vm, 9, 1, 0));
		ASSERT_EQ(0, device_sleeps(&d));
		n = drain(fd, self->buf);
		EXPECT_TRUE(n > 0 || n == -ESTALE);
		/* The switch has come to its wait */
		while (d.radix && n != -ESTALE) {
			usleep(PAUSE_US);
			n = drain(fd, self->buf);
			ASSERT_TRUE(!n || n == -ESTALE);
		}
		ASSERT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
		EXPECT_EQ(0, close(fd));
		fd = ioctl(self->vm.fd, KVM_CREATE_VCPU, 1 + i);
		EXPECT_LE(0, fd);
		close(fd);
		ASSERT_EQ(0, kill_and_go_on(&d));
		EXPECT_EQ(EBUSY, pthread_tryjoin_np(d.waiter, NULL));
		ASSERT_EQ(0, device_wakes_up(&d, self->buf));
	}
	close(d.fd);
}

/* How often to commit a resize while it is killed, or another one prepared */
#define KILLS		40
/* HPTEs in a record */
#define FILL		0x8000UL
#define COMMITS		8

struct commit_task {
	struct vm *vm;
	bool begun;
	int ret;
};

static void *commit_task(void *arg)
{
	struct commit_task *c = arg;

	__atomic_store_n(&c->begun, true, __ATOMIC_RELEASE);
	c->ret = vm_resize_commit(c->vm, MIN_ORDER);
	return NULL;
}

/* The HPTEs are not bolted, so that none collide in the smaller HPT */
static int prepare_long_resize(struct vm *vm)
{
	struct stream s;
	unsigned long i;
	struct hpte e;
	ssize_t n = 0;
	int err;

	err = vm_alloc_hpt(vm, LARGE_ORDER) ?:
	      vm_write_vrma(vm, NPTE(LARGE_ORDER), 0, HPTE_R_RC) ?:
	      stream_init(&s, 2 * HPTE_BYTES * FILL);
	if (err)
		return err;
	for (i = 0; i < NPTE(LARGE_ORDER) && n >= 0; i++) {
		if (i % FILL == 0) {
			s.len = 0;
			stream_header(&s, i, FILL, 0);
		}
		e = hpte_at(i);
		e.v &= ~HPTE_V_BOLTED;
		stream_hpte(&s, e);
		if (i % FILL == FILL - 1)
			n = stream_write(vm->wfd, s.buf, s.len);
	}
	stream_free(&s);
	return n < 0 ? n : vm_resize_ready(vm, MIN_ORDER);
}

/*
 * A resize can be killed between two slices of the HPT, where it also drops
 * mmu_setup_lock.  A commit that was killed there has released the resize, so that
 * there is nothing to commit (ENXIO), and has not replaced the HPT.  A reader has
 * looked at the HPT before the kill.
 */
TEST_F_TIMEOUT(limits, resize_is_killed, TIMEOUT)
{
	struct kvm_ppc_htab_progress p = { .argsz = sizeof(p) };
	struct commit_task c = { &self->vm };
	unsigned int i, seed = 1, before;
	struct victim v;
	bool good = false;
	int fd, err;

	for (i = 0; i < KILLS && !good; i++) {
		ASSERT_EQ(0, prepare_long_resize(&self->vm));
		fd = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, victim_start(&v, commit_task, &c));
		usleep(rand_r(&seed) % 30000);
		ASSERT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
		before = p.state;
		ASSERT_EQ(0, victim_kill(&v));
		ASSERT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
		err = vm_resize_commit(&self->vm, MIN_ORDER);
		ASSERT_TRUE(!err || err == -ENXIO);
		good = err == -ENXIO &&
		       before == KVM_PPC_HTAB_STATE_CURRENT &&
		       p.state == KVM_PPC_HTAB_STATE_CURRENT;
		close(fd);
	}
	EXPECT_TRUE(good);
}

/* No other resize can begin meanwhile, or take away the one that is committed */
TEST_F_TIMEOUT(limits, prepare_vs_commit, TIMEOUT)
{
	struct commit_task c = { &self->vm };
	unsigned int i, done = 0;
	pthread_t thread;

	for (i = 0; i < COMMITS || !done; i++) {
		ASSERT_EQ(0, prepare_long_resize(&self->vm));
		c.begun = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, commit_task, &c));
		while (!__atomic_load_n(&c.begun, __ATOMIC_ACQUIRE))
			usleep(10);
		usleep(i % 4 * 1000);
		ASSERT_LE(0, vm_resize_prepare(&self->vm,
					       i % 2 ? 0 : LARGE_ORDER));
		pthread_join(thread, NULL);
		/* It may have been too late: the resize was cancelled */
		ASSERT_TRUE(!c.ret || c.ret == -ENXIO);
		done += !c.ret;
	}
}

TEST_HARNESS_MAIN
