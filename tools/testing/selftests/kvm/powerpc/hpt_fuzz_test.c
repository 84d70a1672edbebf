// SPDX-License-Identifier: GPL-2.0
/*
 * A fuzzer for the system calls that involve the HPT.  Threads make them on a
 * few VMs, with good and bad arguments: ioctls of VMs, vcpus and HPT files, all
 * kinds of reads and writes, with good, damaged and random streams, poll(),
 * fdinfo.  Meanwhile guest memory is mapped and unmapped, descriptors are
 * closed, duplicated and inherited, and signals arrive.
 *
 * Calls may fail, but only with documented errors.  A read or write returns no
 * more bytes than requested, all data read is a well-formed stream, the kernel
 * logs nothing, and in the end a dump of each HPT agrees with debugfs.
 *
 * What each thread does follows from a seed; how the threads interleave does
 * not.  Variables in the environment, or on the kernel's command line, select
 * what to run:
 *
 *	SEED	the first seed (default: 1)
 *	SECONDS	start another seed until these are over (default:
 *		DEFAULT_SECONDS)
 *	RADIX_RUNS	1: also run the vcpus of VMs that become radix.  One in
 *		some hundred seeds then triggers a WARN in kvmppc_create_pte(),
 *		which is unrelated to HPTs (default: 0)
 *
 * It was seen to fail on the stock kernel (user space triggers a WARN), with an
 * HPT that is freed twice, and with a message that user space can trigger.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/compiler.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"
#include "hpt_guest_code.h"

#define DEFAULT_SECONDS	15
#define NO_TIMEOUT	(24 * 60 * 60)

#define VMS		3
#define VCPUS		3
#define THREADS		6
#define OPS		300	/* of each thread, with each seed */

/*
 * HPT files have fixed descriptors and are replaced by dup2(), so no other file
 * is ever opened at one of these.
 */
#define FILES		10
#define FIRST_FILE	500
#define FIRST_VCPU	700

/* Also the order that KVM chooses by itself after radix */
#define MAX_ORDER	24
#define BUFFER		(256UL << 10)

struct fuzz;

struct thread {
	struct fuzz *f;
	pthread_t thread;
	unsigned int rnd;
	bool done;
	struct edge edge;	/* the memory after it is inaccessible */
	int pipe[2];
	int socket[2];
	struct stream s;
};

struct fuzz {
	unsigned int seed;
	struct vm vm[VMS];
	char *mem;		/* PAGE_16M for each VM, page 0 stays mapped */
	unsigned char *moving;	/* BUFFER bytes, unmapped now and then */
	struct thread thread[THREADS];
	unsigned int wrong;
	bool radix_runs;
};

/* Without RADIX_RUNS, only this VM becomes radix, and its vcpus do not run */
#define RADIX_VM	(VMS - 1)

enum call {
	OPEN, CLOSE, DUP, READ, WRITE, READV, WRITEV, SPLICE_OUT, SPLICE_IN,
	SENDFILE, POLL, FDINFO, PROGRESS, ALLOC, PREPARE, COMMIT, RADIX, SLOT,
	DIRTY_LOG, VCPU, RUN, UNMAP, PROTECT, FORK, SIGNAL, DEBUGFS, N_OPS
};

static const char * const op_names[N_OPS] = {
	"open", "close", "dup", "read", "write", "readv", "writev",
	"splice out", "splice in", "sendfile", "poll", "fdinfo", "progress",
	"KVM_PPC_ALLOCATE_HTAB", "KVM_PPC_RESIZE_HPT_PREPARE",
	"KVM_PPC_RESIZE_HPT_COMMIT", "KVM_PPC_CONFIGURE_V3_MMU",
	"KVM_SET_USER_MEMORY_REGION", "KVM_GET_DIRTY_LOG", "KVM_CREATE_VCPU",
	"KVM_RUN", "munmap", "mprotect", "fork", "signal", "debugfs",
};

/* So many calls of one kind do not all fail by chance */
#define MANY_CALLS	100

/* How often each call has succeeded and failed, over all seeds */
static unsigned long good[N_OPS], bad[N_OPS];

static unsigned int rnd(struct thread *t, unsigned int n)
{
	return rand_r(&t->rnd) % n;
}

static unsigned long rnd_long(struct thread *t)
{
	unsigned long x = (unsigned long)rand_r(&t->rnd) << 33 ^
			  (unsigned long)rand_r(&t->rnd) << 11 ^
			  rand_r(&t->rnd);

	return x >> rnd(t, 64);
}

static void __printf(2, 3)
wrong(struct fuzz *f, const char *fmt, ...)
{
	va_list args;

	if (__atomic_fetch_add(&f->wrong, 1, __ATOMIC_RELAXED) > 5)
		return;
	fprintf(stderr, "# seed %u: ", f->seed);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
}

/* @ret is no error, or errno is in @errors, a list that ends with 0 */
static bool check(struct thread *t, enum call op, long ret, const int *errors)
{
	int err = errno;

	if (ret >= 0) {
		__atomic_fetch_add(&good[op], 1, __ATOMIC_RELAXED);
		return true;
	}
	__atomic_fetch_add(&bad[op], 1, __ATOMIC_RELAXED);
	/* Descriptors may be closed at any time, and memory may run out */
	if (err == EBADF || err == ENOMEM)
		return false;
	for (; *errors; errors++)
		if (*errors == err)
			return false;
	wrong(t->f, "%s: %s", op_names[op], strerror(err));
	return false;
}

#define CHECK(t, op, ret, ...)						\
	check(t, op, ret, (const int []){ __VA_ARGS__, 0 })

static int any_file(struct thread *t)
{
	return FIRST_FILE + rnd(t, FILES);
}

static struct vm *any_vm(struct thread *t)
{
	return &t->f->vm[rnd(t, VMS)];
}

static unsigned int any_order(struct thread *t)
{
	unsigned int order;

	switch (rnd(t, 16)) {
	case 0:
		return 0;
	case 1:
		/* Any value but a valid order that takes much memory */
		order = rnd_long(t);
		return order > MAX_ORDER && order < 47 ? ~order : order;
	default:
		return MIN_ORDER - 1 + rnd(t, MAX_ORDER - MIN_ORDER + 2);
	}
}

/*
 * A buffer of @size bytes, all accessible if *@is_good.  Other buffers end too
 * soon, may be unmapped at any time, or have an invalid address.
 */
static unsigned char *any_buffer(struct thread *t, size_t size, bool *is_good)
{
	unsigned int what = rnd(t, 10);
	size_t n = size ? rnd_long(t) % size : 0;
	unsigned long addr = rnd_long(t);

	*is_good = what > 3;
	switch (what) {
	case 0:
		return edge_at(&t->edge, n);
	case 1:
	case 2:
		return t->f->moving + rnd(t, 100);
	case 3:
		return (void *)(addr | 1UL << 63);
	default:
		return edge_at(&t->edge, size);
	}
}

static size_t any_size(struct thread *t)
{
	size_t n = rnd_long(t) % BUFFER;

	return rnd(t, 4) ? MIN_READ + n % (BUFFER - MIN_READ) : rnd(t, 64);
}

static void open_file(struct thread *t)
{
	struct vm *vm = any_vm(t);
	struct kvm_get_htab_fd ghf = {
		.flags = rnd(t, 10) ? rnd(t, 4) : rnd_long(t),
		.start_index = rnd(t, 2) ? 0 : rnd_long(t),
	};
	void *arg = rnd(t, 20) ? &ghf : (void *)8;
	int to = any_file(t), fd;

	fd = ioctl(vm->fd, KVM_PPC_GET_HTAB_FD, arg);
	if (!CHECK(t, OPEN, fd, EINVAL, EFAULT))
		return;
	if (ghf.flags & ~3UL)
		wrong(t->f, "flags %llx are taken",
		      (unsigned long long)ghf.flags);
	dup2(fd, to);
	close(fd);
}

/* What was read consists of whole records of an HPT of a valid order */
static void check_stream(struct thread *t, const unsigned char *p, size_t len)
{
	struct kvm_get_htab_header h;
	size_t size;

	while (len) {
		if (len < sizeof(h))
			break;
		memcpy(&h, p, sizeof(h));
		size = sizeof(h) + h.n_valid * HPTE_BYTES;
		if (size > len || (!h.n_valid && !h.n_invalid) ||
		    (unsigned long)h.index + h.n_valid + h.n_invalid >
		    NPTE(MAX_ORDER))
			break;
		p += size;
		len -= size;
	}
	if (len)
		wrong(t->f, "not a stream, %zu bytes before the end", len);
}

static void check_read(struct thread *t, enum call op, ssize_t n, size_t size,
		       bool is_good)
{
	if (n > (ssize_t)size)
		wrong(t->f, "%s: %zd bytes for %zu", op_names[op], n, size);
	if (n < 0 && errno == EFAULT && is_good)
		wrong(t->f, "%s: EFAULT, but the buffer is good", op_names[op]);
	if (n < 0 && errno == EINVAL && size >= MIN_READ)
		wrong(t->f, "%s: EINVAL for %zu bytes", op_names[op], size);
	if (!n && size && size < MIN_READ)
		wrong(t->f, "%s: 0 for %zu bytes", op_names[op], size);
}

static void read_file(struct thread *t)
{
	size_t size = any_size(t);
	bool is_good;
	unsigned char *buf = any_buffer(t, size, &is_good);
	ssize_t n = read(any_file(t), buf, size);

	CHECK(t, READ, n, EINVAL, ESTALE, EFAULT);
	check_read(t, READ, n, size, is_good);
	if (n > 0 && n <= (ssize_t)size && is_good)
		check_stream(t, buf, n);
}

/* Read into two buffers: the first is good, the second may be bad */
static void read_file_v(struct thread *t)
{
	size_t size = any_size(t), first = rnd(t, size + 1);
	bool is_good;
	unsigned char *buf = any_buffer(t, size, &is_good);
	unsigned char *other = t->s.buf;
	struct iovec iov[2] = { { other, first }, { buf, size - first } };
	ssize_t n;

	/* The kernel checks for invalid addresses first */
	n = readv(any_file(t), iov, 2);
	CHECK(t, READV, n, EINVAL, ESTALE, EFAULT);
	check_read(t, READV, n, size, is_good);
	if (n > 0 && n <= (ssize_t)first)
		check_stream(t, other, n);
}

/* Good records, damaged ones, or random bytes */
static void make_stream(struct thread *t)
{
	unsigned int n = 1 + rnd(t, 20), i, what = rnd(t, 8);
	unsigned long npte = NPTE(MIN_ORDER + rnd(t, 3));

	t->s.len = 0;
	for (i = 0; i < n; i++)
		stream_run(&t->s, rnd(t, npte), rnd(t, 64), rnd(t, 300));
	if (rnd(t, 4) == 0)
		stream_vrma(&t->s, npte, 0, 0);
	for (i = 0; what < 3 && i < 1 + what * 10; i++)
		t->s.buf[rnd(t, t->s.len)] ^= 1 << rnd(t, 8);
	for (i = 0; what == 3 && i < t->s.len; i++)
		t->s.buf[i] = rnd(t, 256);
	if (what == 4)
		t->s.len -= rnd(t, t->s.len);
}

static void check_write(struct thread *t, enum call op, ssize_t n, size_t size)
{
	if (n > (ssize_t)size || (!n && size))
		wrong(t->f, "%s: %zd bytes for %zu", op_names[op], n, size);
}

static void write_file(struct thread *t)
{
	bool is_good;
	unsigned char *buf;
	ssize_t n;

	make_stream(t);
	buf = any_buffer(t, t->s.len, &is_good);
	if (is_good)
		memcpy(buf, t->s.buf, t->s.len);
	n = write(any_file(t), buf, t->s.len);
	CHECK(t, WRITE, n, EINVAL, EIO, EBUSY, EFAULT);
	check_write(t, WRITE, n, t->s.len);
	if (n < 0 && errno == EFAULT && is_good)
		wrong(t->f, "write: EFAULT, but the buffer is good");
}

static void write_file_v(struct thread *t)
{
	struct iovec iov[3];
	bool is_good;
	size_t first;
	ssize_t n;

	make_stream(t);
	first = rnd(t, t->s.len + 1);
	iov[0] = (struct iovec) { t->s.buf, first };
	iov[1] = (struct iovec) { any_buffer(t, 64, &is_good), rnd(t, 64) };
	iov[2] = (struct iovec) { t->s.buf + first, t->s.len - first };
	n = writev(any_file(t), iov, 3);
	CHECK(t, WRITEV, n, EINVAL, EIO, EBUSY, EFAULT);
	check_write(t, WRITEV, n, t->s.len + iov[1].iov_len);
}

static void empty(int fd)
{
	char buf[4096];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}

static void splice_out(struct thread *t)
{
	size_t size = any_size(t);
	ssize_t n = splice(any_file(t), NULL, t->pipe[1], NULL, size,
			   SPLICE_F_NONBLOCK);

	CHECK(t, SPLICE_OUT, n, EINVAL, ESTALE, EAGAIN, EFAULT);
	if (n > (ssize_t)size)
		wrong(t->f, "splice: %zd bytes for %zu", n, size);
	empty(t->pipe[0]);
}

static void splice_in(struct thread *t)
{
	ssize_t n, size;

	make_stream(t);
	size = write(t->pipe[1], t->s.buf, t->s.len);
	n = splice(t->pipe[0], NULL, any_file(t), NULL, size,
		   SPLICE_F_NONBLOCK);
	CHECK(t, SPLICE_IN, n, EINVAL, EIO, EBUSY, EAGAIN, EINTR);
	if (n > size)
		wrong(t->f, "splice: %zd bytes for %zd", n, size);
	empty(t->pipe[0]);
}

static void sendfile_out(struct thread *t)
{
	size_t size = any_size(t);
	ssize_t n = sendfile(t->socket[1], any_file(t), NULL, size);

	CHECK(t, SENDFILE, n, EINVAL, ESTALE, EAGAIN, EFAULT, EINTR);
	if (n > (ssize_t)size)
		wrong(t->f, "sendfile: %zd bytes for %zu", n, size);
	empty(t->socket[0]);
}

static void poll_files(struct thread *t)
{
	struct pollfd p[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		p[i] = (struct pollfd) { any_file(t), POLLIN | POLLOUT, 0 };
	CHECK(t, POLL, poll(p, 1 + rnd(t, 3), rnd(t, 20)), EINTR);
}

static void show_file(struct thread *t)
{
	char name[64], buf[4096];
	int fd;

	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", any_file(t));
	fd = open(name, O_RDONLY | O_CLOEXEC);
	CHECK(t, FDINFO, fd, ENOENT);
	if (fd < 0)
		return;
	while (read(fd, buf, 1 + rnd(t, sizeof(buf))) > 0)
		;
	close(fd);
}

static void get_progress(struct thread *t)
{
	struct kvm_ppc_htab_progress p = {
		.argsz = rnd(t, 8) ? sizeof(p) : rnd_long(t),
		.flags = rnd(t, 8) ? rnd(t, 2) : rnd_long(t),
	};
	bool is_good = rnd(t, 8);
	unsigned long addr = rnd_long(t) | 1UL << 62;
	int ret = ioctl(any_file(t), KVM_PPC_HTAB_PROGRESS,
			is_good ? &p : (void *)addr);

	/* With a larger argsz, the argument includes other data of the stack */
	CHECK(t, PROGRESS, ret, EINVAL, EFAULT, E2BIG, ENOTTY);
	if (ret < 0 && is_good && p.argsz <= sizeof(p) && errno == EFAULT)
		wrong(t->f, "progress: EFAULT, but the argument is good");
}

static void change_hpt(struct thread *t, enum call op)
{
	struct vm *vm = any_vm(t);
	struct kvm_ppc_resize_hpt resize = {
		.flags = rnd(t, 16) ? 0 : rnd_long(t),
		.shift = any_order(t),
	};
	struct kvm_ppc_mmuv3_cfg cfg = {
		.flags = rnd(t, 16) ? rnd(t, 4) : rnd_long(t),
		.process_table = rnd(t, 16) ?
				 (cfg.flags & 1 ? 1UL << 63 : 0) :
				 rnd_long(t),
	};
	__u32 order = resize.shift;
	void *bogus = NULL;
	int ret;

	/* Half of the commits follow a matching prepare, so they may succeed */
	if (!rnd(t, 20))
		bogus = (void *)16;
	else if (op == COMMIT && rnd(t, 2))
		bogus = &resize;

	if (op == RADIX && !t->f->radix_runs)
		vm = &t->f->vm[RADIX_VM];
	switch (op) {
	case ALLOC:
		ret = ioctl(vm->fd, KVM_PPC_ALLOCATE_HTAB, bogus ?: &order);
		CHECK(t, op, ret, EINVAL, EBUSY, EFAULT);
		break;
	case PREPARE:
		ret = ioctl(vm->fd, KVM_PPC_RESIZE_HPT_PREPARE,
			    bogus ?: &resize);
		CHECK(t, op, ret, EINVAL, EBUSY, EFAULT, ENODEV);
		break;
	case COMMIT:
		if (!bogus) {
			ret = vm_resize(vm, resize.shift);
			errno = -ret;
		} else {
			ret = ioctl(vm->fd, KVM_PPC_RESIZE_HPT_COMMIT, bogus);
		}
		CHECK(t, op, ret, EINVAL, EBUSY, EFAULT, ENODEV, ENXIO, EIO,
		      ENOSPC, ETIMEDOUT);
		break;
	default:
		ret = ioctl(vm->fd, KVM_PPC_CONFIGURE_V3_MMU, bogus ?: &cfg);
		CHECK(t, op, ret, EINVAL, EBUSY, EFAULT, ENODEV, ENOTTY, EPERM);
		break;
	}
}

static void set_slot(struct thread *t)
{
	struct vm *vm = any_vm(t);
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.flags = rnd(t, 8) ? rnd(t, 2) : rnd_long(t),
		.guest_phys_addr = PAGE_16M +
				   (rnd(t, 8) ? 0 : rnd_long(t) & ~0xffffUL),
		.memory_size = rnd(t, 3) ? 4 << 20 : rnd(t, 2) << 16,
		.userspace_addr = (unsigned long)vm->mem + PAGE_64K,
	};

	CHECK(t, SLOT, ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region),
	      EINVAL, EEXIST);
}

static void get_dirty_log(struct thread *t)
{
	unsigned long bitmap[64];
	struct kvm_dirty_log log = {
		.slot = rnd(t, 3),
		.dirty_bitmap = rnd(t, 8) ? bitmap : (void *)24,
	};

	CHECK(t, DIRTY_LOG, ioctl(any_vm(t)->fd, KVM_GET_DIRTY_LOG, &log),
	      EINVAL, ENOENT, EFAULT);
}

static int vcpu_fd(unsigned int vm, unsigned int id)
{
	return FIRST_VCPU + vm * VCPUS + id;
}

/* Fails most of the time, as all vcpus but the last of each VM exist */
static void create_vcpu(struct thread *t)
{
	unsigned int vm = rnd(t, VMS), id = rnd(t, VCPUS);
	struct kvm_enable_cap papr = { .cap = KVM_CAP_PPC_PAPR };
	int fd = ioctl(t->f->vm[vm].fd, KVM_CREATE_VCPU,
		       rnd(t, 16) ? id : rnd_long(t));

	if (!CHECK(t, VCPU, fd, EINVAL, EEXIST))
		return;
	ioctl(fd, KVM_ENABLE_CAP, &papr);
	dup2(fd, vcpu_fd(vm, id));
	close(fd);
}

/*
 * Run a hypercall, a load, or a loop until a signal arrives.  The guest's VRMA
 * HPTEs may be gone or wrong, so KVM_RUN may return for any reason.
 */
static void run_vcpu(struct thread *t)
{
	static const unsigned int hcalls[] = {
		H_REMOVE, H_ENTER, H_READ, H_CLEAR_MOD, H_CLEAR_REF, H_PROTECT,
		H_BULK_REMOVE,
	};
	unsigned int vm = rnd(t, t->f->radix_runs ? VMS : RADIX_VM), i;
	unsigned int fd = vcpu_fd(vm, rnd(t, VCPUS));
	unsigned long index = rnd(t, NPTE(MIN_ORDER));
	const char *code = guest_code_hcall;
	struct hpte e = hpte_at(index);
	struct kvm_regs regs = {
		.msr = rnd(t, 4) ? GUEST_MSR : GUEST_MSR_DR,
		.gpr[14] = hcalls[rnd(t, ARRAY_SIZE(hcalls))],
		.gpr[15] = rnd(t, 2) ? 0 : H_EXACT,
		.gpr[16] = index,
		.gpr[17] = e.v,
		.gpr[18] = rnd(t, 2) ? e.r :
			   guest_hpte(0, (rnd(t, 20) + 256) * PAGE_64K, 0).r,
	};

	switch (rnd(t, 8)) {
	case 0:
		code = guest_code_spin;
		break;
	case 1:
		code = guest_code_load;
		regs.gpr[15] = rnd(t, 24) * PAGE_64K;
		break;
	case 2:
		for (i = 15; i < 24; i++)
			regs.gpr[i] = rnd_long(t);
		break;
	}
	regs.pc = GUEST_CODE + (code - guest_code);
	ioctl(fd, KVM_SET_REGS, &regs);
	CHECK(t, RUN, ioctl(fd, KVM_RUN, 0), EINTR, EFAULT, EINVAL, EBUSY, EIO,
	      ENOEXEC);
}

static int map_anew(void *at, size_t len, int prot)
{
	return mmap(at, len, prot, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS |
		    MAP_NORESERVE, -1, 0) == MAP_FAILED ? -1 : 0;
}

/* Unmap guest pages or the buffer of other threads for a moment */
static void move_memory(struct thread *t, bool protect)
{
	unsigned long page = 1 + rnd(t, 64), n = 1 + rnd(t, 8);
	unsigned int us = rnd(t, 300);
	char *at = any_vm(t)->mem + page * PAGE_64K;
	size_t len = n * PAGE_64K;

	if (rnd(t, 2)) {
		at = (char *)t->f->moving;
		len = BUFFER;
	}
	if (protect) {
		CHECK(t, PROTECT,
		      mprotect(at, len, rnd(t, 2) ? PROT_NONE : PROT_READ), 0);
		usleep(us);
		mprotect(at, len, PROT_READ | PROT_WRITE);
		return;
	}
	/* Leave no hole, which another thread's mmap() could fill */
	CHECK(t, UNMAP, map_anew(at, len, PROT_NONE), 0);
	usleep(us);
	map_anew(at, len, PROT_READ | PROT_WRITE);
}

/* A child inherits the files, and exits or is killed while it reads */
static void fork_child(struct thread *t)
{
	int fd = any_file(t), other = any_file(t);
	size_t size = any_size(t);
	bool do_kill = rnd(t, 2);
	unsigned int us = rnd(t, 2000);
	pid_t child = fork();

	if (!child) {
		read(fd, edge_at(&t->edge, size), size);
		close(other);
		_exit(0);
	}
	CHECK(t, FORK, child, EAGAIN);
	if (child < 0)
		return;
	if (do_kill) {
		usleep(us);
		kill(child, SIGKILL);
	}
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

static void send_signal(struct thread *t)
{
	struct thread *to = &t->f->thread[rnd(t, THREADS)];

	if (!__atomic_load_n(&to->done, __ATOMIC_ACQUIRE))
		CHECK(t, SIGNAL, -pthread_kill(to->thread, SIGUSR1), 0);
}

static void debugfs_name(struct vm *vm, char *name, size_t size)
{
	snprintf(name, size, "/sys/kernel/debug/kvm/%d-%d/htab", getpid(),
		 vm->fd);
}

static void read_debugfs(struct thread *t)
{
	char name[64], buf[4096];
	int fd, i;

	debugfs_name(any_vm(t), name, sizeof(name));
	fd = open(name, O_RDONLY | O_CLOEXEC);
	CHECK(t, DEBUGFS, fd, ENOENT);
	for (i = rnd(t, 20); i && fd >= 0; i--)
		read(fd, buf, 1 + rnd(t, sizeof(buf)));
	if (fd >= 0)
		close(fd);
}

static void do_something(struct thread *t)
{
	/* Percentage of each call, in the order of the enum */
	static const unsigned char percent[N_OPS] = {
		12, 1, 2, 18, 15, 3, 3, 3, 3, 2, 3, 3, 4, 2, 2, 2, 1, 2, 2, 1,
		10, 2, 1, 1, 1, 1,
	};
	unsigned int what = rnd(t, 100);
	enum call op = 0;

	while (op < N_OPS - 1 && what >= percent[op])
		what -= percent[op++];
	switch (op) {
	case OPEN:
		open_file(t);
		break;
	case CLOSE:
		CHECK(t, op, close(any_file(t)), 0);
		break;
	case DUP:
		what = any_file(t);
		CHECK(t, op, dup2(what, any_file(t)), EBUSY);
		break;
	case READ:
		read_file(t);
		break;
	case WRITE:
		write_file(t);
		break;
	case READV:
		read_file_v(t);
		break;
	case WRITEV:
		write_file_v(t);
		break;
	case SPLICE_OUT:
		splice_out(t);
		break;
	case SPLICE_IN:
		splice_in(t);
		break;
	case SENDFILE:
		sendfile_out(t);
		break;
	case POLL:
		poll_files(t);
		break;
	case FDINFO:
		show_file(t);
		break;
	case PROGRESS:
		get_progress(t);
		break;
	case ALLOC:
	case PREPARE:
	case COMMIT:
	case RADIX:
		change_hpt(t, op);
		break;
	case SLOT:
		set_slot(t);
		break;
	case DIRTY_LOG:
		get_dirty_log(t);
		break;
	case VCPU:
		create_vcpu(t);
		break;
	case RUN:
		run_vcpu(t);
		break;
	case UNMAP:
	case PROTECT:
		move_memory(t, op == PROTECT);
		break;
	case FORK:
		fork_child(t);
		break;
	case SIGNAL:
		send_signal(t);
		break;
	default:
		read_debugfs(t);
		break;
	}
}

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	unsigned int i;

	for (i = 0; i < OPS && !t->f->wrong; i++)
		do_something(t);
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * VMs get new descriptors each time, since their names in debugfs include the
 * descriptor, and a file that is not yet closed keeps an old VM alive.
 */
static int make_vms(struct fuzz *f)
{
	struct kvm_enable_cap papr = { .cap = KVM_CAP_PPC_PAPR };
	unsigned int i, k;
	struct vm *vm;
	int fd;

	for (i = 0; i < VMS; i++) {
		vm = &f->vm[i];
		if (vm_init(vm, MIN_ORDER, 0))
			return -EIO;
		vm->mem = f->mem + i * PAGE_16M;
		if (vm_memslot(vm, 0, 0, vm->mem, PAGE_16M, 0))
			return -EIO;
		if (i != VMS - 1 && vm_write_vrma(vm, NPTE(MIN_ORDER), 0, 0))
			return -EIO;
		for (k = 0; k < VCPUS - 1; k++) {
			fd = ioctl(vm->fd, KVM_CREATE_VCPU, k);
			if (fd < 0 || ioctl(fd, KVM_ENABLE_CAP, &papr))
				return -EIO;
			dup2(fd, vcpu_fd(i, k));
			close(fd);
		}
	}
	return 0;
}

/* The first VM is freed last, since its log includes that of all others */
static void free_vms(struct fuzz *f)
{
	unsigned int i;
	int lines = 0;

	for (i = 0; i < VMS * VCPUS; i++)
		close(FIRST_VCPU + i);
	for (i = VMS; i--;)
		lines = vm_free(&f->vm[i]);
	if (lines)
		wrong(f, "the kernel logged %d lines", lines);
}

/* Signal threads that sleep or are in KVM_RUN until all are done */
static void wait_for_threads(struct fuzz *f)
{
	unsigned int i, left;

	do {
		usleep(3000);
		left = 0;
		for (i = 0; i < THREADS; i++) {
			if (__atomic_load_n(&f->thread[i].done,
					    __ATOMIC_ACQUIRE))
				continue;
			left++;
			pthread_kill(f->thread[i].thread, SIGUSR1);
		}
	} while (left);
	for (i = 0; i < THREADS; i++)
		pthread_join(f->thread[i].thread, NULL);
}

/* The HPTEs of a dump and those in debugfs are the same */
static void compare(struct fuzz *f, struct vm *vm)
{
	unsigned long index, v, host_r, r, n = 0, i;
	struct table dump;
	struct hpte *e;
	char name[64];
	FILE *file;
	long told;

	debugfs_name(vm, name, sizeof(name));
	file = fopen(name, "r");
	if (!file || table_init(&dump, NPTE(MAX_ORDER))) {
		wrong(f, "%s: %s", name, strerror(errno));
		return;
	}
	told = table_dump(&dump, vm, 0);
	if (told < 0)
		wrong(f, "the last dump: %s", strerror(-told));
	while (fscanf(file, "%lx %lx %lx %lx\n", &index, &v, &host_r, &r) == 4) {
		e = &dump.hpte[index];
		if (v & HPTE_V_VALID)
			r |= host_r & HPTE_R_RC;
		/* Compare the bits that both formats of an HPTE have */
		if (!e->v || ((v ^ e->v) & 0x000fffffffffff9eUL) ||
		    e->r != (r & ~HPTE_R_SOFT))
			wrong(f, "debugfs: %lx %016lx %016lx %016lx, dump: %016lx %016lx",
			      index, v, host_r, r, e->v, e->r);
		n++;
	}
	fclose(file);
	for (i = 0; i < dump.npte; i++)
		n -= !!dump.hpte[i].v;
	if (n)
		wrong(f, "debugfs has %ld more HPTEs than the dump", n);
	table_free(&dump);
}

static void run_seed(struct fuzz *f, unsigned int seed)
{
	unsigned int i;

	f->seed = seed;
	if (make_vms(f)) {
		wrong(f, "cannot create the VMs");
		return;
	}
	for (i = 0; i < THREADS; i++) {
		f->thread[i].rnd = seed * THREADS + i;
		f->thread[i].done = false;
		if (pthread_create(&f->thread[i].thread, NULL, run_thread,
				   &f->thread[i])) {
			wrong(f, "cannot create a thread");
			exit(KSFT_FAIL);
		}
	}
	wait_for_threads(f);
	for (i = 0; i < VMS && !f->wrong; i++)
		compare(f, &f->vm[i]);
	for (i = 0; i < FILES; i++)
		close(FIRST_FILE + i);
	free_vms(f);
}

static unsigned int setting(const char *name, unsigned int otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 0) : otherwise;
}

static void kick(int sig)
{
	(void)sig;
}

FIXTURE(fuzz)
{
	struct fuzz f;
	unsigned int seed;
	struct timespec end;
};

FIXTURE_SETUP(fuzz)
{
	struct sigaction sa = { .sa_handler = kick };
	struct rlimit files = { 1024, 1024 };
	struct fuzz *f = &self->f;
	struct thread *t;
	char *map;
	int i;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	ASSERT_EQ(0, sigaction(SIGUSR1, &sa, NULL));
	map = mmap(NULL, (VMS + 1) * PAGE_16M, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	f->mem = (char *)(((unsigned long)map + PAGE_16M - 1) & -PAGE_16M);
	for (i = 0; i < VMS; i++)
		memcpy(f->mem + i * PAGE_16M + GUEST_CODE, guest_code,
		       guest_code_end - guest_code);
	f->moving = mmap(NULL, BUFFER + PAGE_64K, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, f->moving);
	for (i = 0; i < THREADS; i++) {
		t = &f->thread[i];
		t->f = f;
		ASSERT_EQ(0, edge_init(&t->edge, BUFFER, BUFFER, PROT_NONE));
		ASSERT_EQ(0, stream_init(&t->s, BUFFER));
		ASSERT_EQ(0, pipe2(t->pipe, O_NONBLOCK | O_CLOEXEC));
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK,
					0, t->socket));
	}
	f->radix_runs = setting("RADIX_RUNS", 0);
	self->seed = setting("SEED", 1);
	clock_gettime(CLOCK_MONOTONIC, &self->end);
	self->end.tv_sec += setting("SECONDS", DEFAULT_SECONDS);
}

FIXTURE_TEARDOWN(fuzz)
{
}

TEST_F_TIMEOUT(fuzz, system_calls, NO_TIMEOUT)
{
	unsigned int seed = self->seed, op;
	struct timespec now;

	do {
		fprintf(stderr, "# seed %u\n", seed);
		run_seed(&self->f, seed++);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!self->f.wrong && now.tv_sec < self->end.tv_sec);
	for (op = 0; op < N_OPS; op++) {
		TH_LOG("%s: %lu succeeded, %lu failed", op_names[op], good[op],
		       bad[op]);
		/* Calls that always fail test little */
		if (good[op] + bad[op] >= MANY_CALLS &&
		    (op != RADIX || self->f.vm[0].radix))
			EXPECT_LT(0, good[op]);
	}
	TH_LOG("%u seeds from %u", seed - self->seed, self->seed);
	EXPECT_EQ(0, self->f.wrong);
}

TEST_HARNESS_MAIN
