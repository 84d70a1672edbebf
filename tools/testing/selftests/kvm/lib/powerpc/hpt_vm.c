// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest.h"
#include "hpt_vm.h"

/* Bytes */
#define VICTIM_STACK	(256 << 10)

static int fail(const char *what)
{
	int err = errno;

	fprintf(stderr, "# %s: %s\n", what, strerror(err));
	return -err;
}

int vm_memslot(struct vm *vm, unsigned int slot, unsigned long gpa,
	       void *host, size_t size, unsigned int flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (unsigned long)host,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return fail("KVM_SET_USER_MEMORY_REGION");
	return 0;
}

static int vm_add_memory(struct vm *vm, size_t size)
{
	size_t total = size + PAGE_16M;
	unsigned long addr;
	char *map;

	map = mmap(NULL, total, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return fail("mmap of guest memory");
	vm->map = map;
	vm->map_size = total;
	addr = ((unsigned long)map + PAGE_16M - 1) & ~(PAGE_16M - 1);
	vm->mem = (char *)addr;
	vm->mem_size = size;
	return vm_memslot(vm, 0, 0, vm->mem, size, 0);
}

int vm_init(struct vm *vm, unsigned int order, size_t mem_size)
{
	int err;

	memset(vm, 0, sizeof(*vm));
	vm->fd = -1;
	vm->wfd = -1;

	vm->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (vm->kmsg < 0)
		return fail("/dev/kmsg");
	lseek(vm->kmsg, 0, SEEK_END);

	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return fail("/dev/kvm");
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, KVM_VM_PPC_HV);
	if (vm->fd < 0)
		return fail("KVM_CREATE_VM");
	vm->radix = ioctl(vm->kvm, KVM_CHECK_EXTENSION,
			  KVM_CAP_PPC_MMU_RADIX) > 0;
	if (mem_size) {
		err = vm_add_memory(vm, mem_size);
		if (err)
			return err;
	}
	if (order) {
		err = vm_alloc_hpt(vm, order);
		if (err)
			return fail("KVM_PPC_ALLOCATE_HTAB");
	}
	return 0;
}

int vm_alloc_hpt(struct vm *vm, unsigned int order)
{
	__u32 arg = order;

	return ioctl(vm->fd, KVM_PPC_ALLOCATE_HTAB, &arg) ? -errno : 0;
}

int vm_enable_cap(struct vm *vm, __u32 what, __u64 arg, __u64 arg2)
{
	struct kvm_enable_cap cap = {
		.cap = what,
		.args = { arg, arg2 },
	};

	return ioctl(vm->fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

int vm_set_radix(struct vm *vm, bool radix)
{
	struct kvm_ppc_mmuv3_cfg cfg = {
		.flags = radix ? KVM_PPC_MMUV3_RADIX : 0,
		/* The topmost bit also selects radix */
		.process_table = radix ? 1UL << 63 : 0,
	};

	return ioctl(vm->fd, KVM_PPC_CONFIGURE_V3_MMU, &cfg) ? -errno : 0;
}

static int vm_resize_ioctl(struct vm *vm, unsigned long what,
			   unsigned int order)
{
	struct kvm_ppc_resize_hpt resize = { .shift = order };
	int ret = ioctl(vm->fd, what, &resize);

	return ret < 0 ? -errno : ret;
}

/* > 0: milliseconds to wait before asking again */
int vm_resize_prepare(struct vm *vm, unsigned int order)
{
	return vm_resize_ioctl(vm, KVM_PPC_RESIZE_HPT_PREPARE, order);
}

int vm_resize_commit(struct vm *vm, unsigned int order)
{
	return vm_resize_ioctl(vm, KVM_PPC_RESIZE_HPT_COMMIT, order);
}

int vm_resize_ready(struct vm *vm, unsigned int order)
{
	int i, ret;

	for (i = 0; i < 1000; i++) {
		ret = vm_resize_prepare(vm, order);
		if (ret <= 0)
			return ret;
		usleep(5000);
	}
	return -ETIMEDOUT;
}

int vm_resize(struct vm *vm, unsigned int order)
{
	return vm_resize_ready(vm, order) ?: vm_resize_commit(vm, order);
}

int vm_htab_fd(struct vm *vm, unsigned long flags, unsigned long start_index)
{
	struct kvm_get_htab_fd ghf = {
		.flags = flags,
		.start_index = start_index,
	};
	int fd = ioctl(vm->fd, KVM_PPC_GET_HTAB_FD, &ghf);

	return fd < 0 ? -errno : fd;
}

/*
 * Messages that only show that the machine is slow or has just booted, and
 * those of CONFIG_DEBUG_STACK_USAGE about tasks that exit
 */
static bool is_about_machine(const char *text)
{
	static const char * const about[] = {
		"hrtimer: interrupt took", "clocksource: ", "workqueue: ",
		"sched: ", "perf: interrupt took", "random: ",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(about); i++)
		if (!strncmp(text, about[i], strlen(about[i])))
			return true;
	return strstr(text, " used greatest stack depth: ");
}

int vm_kernel_log(struct vm *vm)
{
	char line[8192], *text;
	int lines = 0;
	ssize_t n;

	for (;;) {
		n = read(vm->kmsg, line, sizeof(line) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return lines;
		line[n] = 0;
		text = strchr(line, ';');
		text = text ? text + 1 : line;
		if (is_about_machine(text))
			continue;
		if (lines++ < 3)
			fprintf(stderr, "# kernel log: %s", text);
	}
}

/* Read the log last, since freeing a VM may log messages */
int vm_free(struct vm *vm)
{
	int lines = 0;

	if (vm->wfd >= 0)
		close(vm->wfd);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	if (vm->kmsg >= 0) {
		lines = vm_kernel_log(vm);
		close(vm->kmsg);
	}
	if (vm->map)
		munmap(vm->map, vm->map_size);
	return lines;
}

static int vm_write(struct vm *vm, const struct stream *s)
{
	ssize_t n;

	if (vm->wfd < 0) {
		vm->wfd = vm_htab_fd(vm, KVM_GET_HTAB_WRITE, 0);
		if (vm->wfd < 0)
			return vm->wfd;
	}
	n = stream_write(vm->wfd, s->buf, s->len);
	if (n < 0)
		return n;
	return n == (ssize_t)s->len ? 0 : -EIO;
}

int vm_write_run(struct vm *vm, unsigned long index, unsigned int n_valid,
		 unsigned int n_invalid)
{
	struct stream s;
	int err;

	err = stream_init(&s, REC_BYTES + n_valid * HPTE_BYTES);
	if (err)
		return err;
	stream_run(&s, index, n_valid, n_invalid);
	err = vm_write(vm, &s);
	stream_free(&s);
	return err;
}

int vm_write_hpte(struct vm *vm, unsigned long index, struct hpte e)
{
	unsigned char buf[REC_BYTES + HPTE_BYTES];
	struct stream s = { .buf = buf, .size = sizeof(buf) };

	stream_header(&s, index, 1, 0);
	stream_hpte(&s, e);
	return vm_write(vm, &s);
}

int vm_invalidate(struct vm *vm, unsigned long index, unsigned int n)
{
	return vm_write_run(vm, index, 0, n);
}

bool in_dirty_log(const unsigned char *bitmap, unsigned long offset)
{
	unsigned long page = offset >> mem_shift();

	/* The bitmap is little-endian */
	return bitmap[page / 8] & 1 << page % 8;
}

int vm_write_vrma(struct vm *vm, unsigned long npte, unsigned long gpa,
		  unsigned long rc)
{
	unsigned char buf[PAGE_64K / PAGE_4K * (REC_BYTES + HPTE_BYTES)];
	struct stream s = { .buf = buf, .size = sizeof(buf) };

	stream_vrma(&s, npte, gpa, rc);
	return vm_write(vm, &s);
}

int vm_enter(struct vm *vm, struct table *want, unsigned long index,
	     unsigned int n)
{
	table_set_run(want, index, n);
	return vm_write_run(vm, index, n, 0);
}

long table_dump(struct table *t, struct vm *vm, unsigned long flags)
{
	int fd = vm_htab_fd(vm, flags, 0);
	long told;

	if (fd < 0)
		return fd;
	told = table_drain(t, fd, 1 << 16);
	close(fd);
	return told;
}

static int victim_main(void *arg)
{
	struct victim *v = arg;

	__atomic_store_n(&v->begun, true, __ATOMIC_RELEASE);
	v->fn(v->arg);
	for (;;)
		pause();
	return 0;
}

int victim_start(struct victim *v, void *(*fn)(void *arg), void *arg)
{
	*v = (struct victim) {
		.fn = fn,
		.arg = arg,
		.stack = malloc(VICTIM_STACK),
	};
	if (!v->stack)
		return -ENOMEM;
	v->pid = clone(victim_main, v->stack + VICTIM_STACK,
		       CLONE_VM | SIGCHLD, v);
	if (v->pid < 0)
		return -errno;
	while (!__atomic_load_n(&v->begun, __ATOMIC_ACQUIRE))
		usleep(100);
	return 0;
}

int victim_kill(struct victim *v)
{
	if (kill(v->pid, SIGKILL) || waitpid(v->pid, NULL, 0) != v->pid)
		return -errno;
	free(v->stack);
	return 0;
}

int host_set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_TRUNC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

long host_kib(const char *name)
{
	FILE *file = fopen("/proc/meminfo", "r");
	size_t len = strlen(name);
	char line[128];
	long kib = -1;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, len) && line[len] == ':')
			kib = strtol(line + len + 1, NULL, 0);
	if (file)
		fclose(file);
	return kib;
}
