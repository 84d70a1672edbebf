// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest.h"
#include "hpt.h"

#define VRMA_VSID	0x1ffffffUL

/* More reads than any test needs for one pass */
#define MAX_READS	(4UL << 20)

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

void vm_free(struct vm *vm)
{
	if (vm->wfd >= 0)
		close(vm->wfd);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	if (vm->kmsg >= 0)
		close(vm->kmsg);
	if (vm->map)
		munmap(vm->map, vm->map_size);
}

int vm_alloc_hpt(struct vm *vm, unsigned int order)
{
	__u32 arg = order;

	return ioctl(vm->fd, KVM_PPC_ALLOCATE_HTAB, &arg) ? -errno : 0;
}

int vm_set_radix(struct vm *vm, bool radix)
{
	struct kvm_ppc_mmuv3_cfg cfg = {
		.flags = radix ? KVM_PPC_MMUV3_RADIX : 0,
		/* The top bit says radix here too */
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

/* What the kernel says of a machine that is slow or has just been booted */
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
	return false;
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

unsigned int mem_shift(void)
{
	return sysconf(_SC_PAGESIZE) < (long)PAGE_64K ? 12 : 16;
}

struct hpte mem_sized(struct hpte e)
{
	if (mem_shift() == 16) {
		e.v |= HPTE_V_LARGE;
		e.r |= HPTE_R_LP_64K;
	}
	return e;
}

struct hpte mem_hpte(unsigned long index, unsigned long gpa)
{
	struct hpte e = hpte_at(index);

	e.v &= ~HPTE_V_LARGE;
	e.r = (e.r & ~HPTE_R_RPN) | gpa;
	return mem_sized(e);
}

bool in_dirty_log(const unsigned char *bitmap, unsigned long offset)
{
	unsigned long page = offset >> mem_shift();

	/* The bitmap is one of bytes */
	return bitmap[page / 8] & 1 << page % 8;
}

struct hpte vrma_hpte(unsigned long gpa, unsigned long rc)
{
	struct hpte e = {
		.v = HPTE_V_1TB | VRMA_VSID << 24 | (gpa >> 16 & ~0x7fUL) |
		     HPTE_V_BOLTED | HPTE_V_VALID,
		.r = gpa | HPTE_R_M | rc,
	};

	return mem_sized(e);
}

unsigned long vrma_index(unsigned long npte, unsigned long gpa)
{
	unsigned long hash = gpa >> mem_shift() ^ VRMA_VSID ^ (VRMA_VSID << 25);

	/* Guests use the first slot of a group, KVM the last for its own */
	return (hash & (npte / 8 - 1)) * 8 + 6;
}

unsigned int vrma_count(void)
{
	return PAGE_64K >> mem_shift();
}

void table_set_vrma(struct table *t, unsigned long npte, unsigned long gpa,
		    unsigned long rc)
{
	unsigned long end = gpa + PAGE_64K;

	for (; gpa < end; gpa += 1UL << mem_shift())
		table_set(t, vrma_index(npte, gpa), vrma_hpte(gpa, rc));
}

void stream_vrma(struct stream *s, unsigned long npte, unsigned long gpa,
		 unsigned long rc)
{
	unsigned long end = gpa + PAGE_64K;

	for (; gpa < end; gpa += 1UL << mem_shift()) {
		stream_header(s, vrma_index(npte, gpa), 1, 0);
		stream_hpte(s, vrma_hpte(gpa, rc));
	}
}

int vm_write_vrma(struct vm *vm, unsigned long npte, unsigned long gpa,
		  unsigned long rc)
{
	unsigned char buf[PAGE_64K / PAGE_4K * (REC_BYTES + HPTE_BYTES)];
	struct stream s = { .buf = buf, .size = sizeof(buf) };

	stream_vrma(&s, npte, gpa, rc);
	return vm_write(vm, &s);
}

struct hpte hpte_at(unsigned long index)
{
	unsigned long mix = (index + 1) * 0x9e3779b97f4a7c15UL;
	struct hpte e = {
		/* ISA v3.0 has fewer bits for the AVPN, stay inside those */
		.v = (mix & 0x0007fffffffff000UL) | HPTE_V_VALID,
		.r = GPA_MMIO | (mix >> 44) << 16 | HPTE_R_M | HPTE_R_RC | 2,
	};

	if (index % 3 == 0)
		e.v |= HPTE_V_BOLTED;
	if (index % 2) {
		e.v |= HPTE_V_LARGE;
		e.r |= HPTE_R_LP_64K;
	}
	return e;
}

int stream_init(struct stream *s, size_t size)
{
	s->buf = malloc(size);
	s->len = 0;
	s->size = size;
	return s->buf ? 0 : -ENOMEM;
}

void stream_free(struct stream *s)
{
	free(s->buf);
	s->buf = NULL;
}

static void stream_add(struct stream *s, const void *p, size_t len)
{
	if (s->len + len > s->size) {
		fprintf(stderr, "# stream of %zu bytes is too small\n",
			s->size);
		abort();
	}
	memcpy(s->buf + s->len, p, len);
	s->len += len;
}

void stream_header(struct stream *s, unsigned int index,
		   unsigned int n_valid, unsigned int n_invalid)
{
	struct kvm_get_htab_header h = {
		.index = index,
		.n_valid = n_valid,
		.n_invalid = n_invalid,
	};

	stream_add(s, &h, sizeof(h));
}

void stream_hpte(struct stream *s, struct hpte e)
{
	__u64 words[2] = { htobe64(e.v), htobe64(e.r) };

	stream_add(s, words, sizeof(words));
}

void stream_run(struct stream *s, unsigned int index, unsigned int n_valid,
		unsigned int n_invalid)
{
	unsigned int i;

	stream_header(s, index, n_valid, n_invalid);
	for (i = 0; i < n_valid; i++)
		stream_hpte(s, hpte_at(index + i));
}

ssize_t stream_write(int fd, const void *buf, size_t len)
{
	ssize_t n = write(fd, buf, len);

	return n < 0 ? -errno : n;
}

static size_t page_up(size_t n)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (n + page - 1) & ~(page - 1);
}

int edge_init(struct edge *e, size_t good, size_t bad, int prot)
{
	e->good = page_up(good);
	e->bad = page_up(bad);
	e->map = mmap(NULL, e->good + e->bad, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e->map == MAP_FAILED)
		return fail("mmap");
	if (mprotect(e->map + e->good, e->bad, prot))
		return fail("mprotect");
	return 0;
}

void edge_free(struct edge *e)
{
	munmap(e->map, e->good + e->bad);
}

unsigned char *edge_at(struct edge *e, size_t n)
{
	return e->map + e->good - n;
}

int table_init(struct table *t, unsigned long npte)
{
	memset(t, 0, sizeof(*t));
	t->npte = npte;
	t->hpte = calloc(npte, sizeof(*t->hpte));
	t->seen = calloc(npte, sizeof(*t->seen));
	return t->hpte && t->seen ? 0 : -ENOMEM;
}

void table_free(struct table *t)
{
	free(t->hpte);
	free(t->seen);
	memset(t, 0, sizeof(*t));
}

void table_unsee(struct table *t)
{
	memset(t->seen, 0, t->npte * sizeof(*t->seen));
	t->n_valid = 0;
	t->n_invalid = 0;
}

void table_set(struct table *t, unsigned long index, struct hpte e)
{
	t->hpte[index] = e;
}

void table_set_run(struct table *t, unsigned long index, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		table_set(t, index + i, hpte_at(index + i));
}

int vm_enter(struct vm *vm, struct table *want, unsigned long index,
	     unsigned int n)
{
	table_set_run(want, index, n);
	return vm_write_run(vm, index, n, 0);
}

unsigned long table_seen(struct table *t, unsigned long from, unsigned long to)
{
	unsigned long i, n = 0;

	for (i = from; i < to; i++)
		n += !!t->seen[i];
	return n;
}

unsigned long table_seen_once(struct table *t)
{
	unsigned long i, n = 0;

	for (i = 0; i < t->npte; i++)
		n += t->seen[i] == 1;
	return n;
}

static long bad_record(const char *what, size_t at,
		       const struct kvm_get_htab_header *h)
{
	fprintf(stderr, "# record at byte %zu: %s (index %u, %u + %u)\n",
		at, what, h->index, h->n_valid, h->n_invalid);
	return -EBADMSG;
}

static bool take_hpte(struct hpte *e, const unsigned char *p, bool *soft)
{
	__u64 words[2];
	struct hpte got;

	memcpy(words, p, sizeof(words));
	got.v = be64toh(words[0]);
	got.r = be64toh(words[1]);
	*soft = (got.v & HPTE_V_SOFT) || (got.r & HPTE_R_SOFT);
	e->v = got.v & ~HPTE_V_SOFT;
	e->r = got.r & ~HPTE_R_SOFT;
	return got.v & HPTE_V_VALID;
}

long table_apply(struct table *t, const void *buf, size_t len)
{
	struct kvm_get_htab_header h;
	const unsigned char *p = buf;
	size_t at = 0, size;
	unsigned int i;
	long n = 0;
	bool soft;

	while (at < len) {
		memset(&h, 0, sizeof(h));
		if (len - at < sizeof(h))
			return bad_record("header cut off", at, &h);
		memcpy(&h, p + at, sizeof(h));
		size = sizeof(h) + h.n_valid * HPTE_BYTES;
		if (len - at < size)
			return bad_record("HPTEs cut off", at, &h);
		if (!h.n_valid && !h.n_invalid)
			return bad_record("says nothing", at, &h);
		if ((unsigned long)h.index + h.n_valid + h.n_invalid > t->npte)
			return bad_record("past the end", at, &h);
		if (!at)
			t->first_index = h.index;

		for (i = 0; i < h.n_valid; i++) {
			if (!take_hpte(&t->hpte[h.index + i],
				       p + at + sizeof(h) + i * HPTE_BYTES,
				       &soft))
				return bad_record("V is clear", at, &h);
			t->soft_bits += soft;
			t->seen[h.index + i]++;
		}
		for (; i < (unsigned int)h.n_valid + h.n_invalid; i++) {
			memset(&t->hpte[h.index + i], 0, sizeof(struct hpte));
			t->seen[h.index + i]++;
		}
		t->n_valid += h.n_valid;
		t->n_invalid += h.n_invalid;
		n += h.n_valid + h.n_invalid;
		at += size;
	}
	return n;
}

/* Both the buffer and its size are the caller's, the result is read()'s */
static ssize_t read_into(struct table *t, int fd, void *buf, size_t size,
			 long *told)
{
	ssize_t n = read(fd, buf, size);
	long ret;

	if (n < 0)
		return -errno;
	ret = table_apply(t, buf, n);
	if (ret < 0)
		return ret;
	*told += ret;
	return n;
}

ssize_t table_read(struct table *t, int fd, size_t size)
{
	void *buf = malloc(size);
	long told = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = read_into(t, fd, buf, size, &told);
	free(buf);
	return n;
}

long table_drain(struct table *t, int fd, size_t size)
{
	void *buf = malloc(size);
	unsigned long i;
	long told = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	for (i = 0; i < MAX_READS; i++) {
		n = read_into(t, fd, buf, size, &told);
		if (n <= 0)
			break;
	}
	free(buf);
	if (i == MAX_READS)
		return -ELOOP;
	return n < 0 ? n : told;
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

unsigned long table_diff(struct table *want, struct table *got)
{
	unsigned long i, n = 0;

	for (i = 0; i < want->npte; i++) {
		if (want->hpte[i].v == got->hpte[i].v &&
		    want->hpte[i].r == got->hpte[i].r)
			continue;
		if (n++ < 5)
			fprintf(stderr,
				"# HPTE %lx: expected %016lx %016lx, got %016lx %016lx\n",
				i, want->hpte[i].v, want->hpte[i].r,
				got->hpte[i].v, got->hpte[i].r);
	}
	return n;
}
