// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel reports about readers and writers of the HPT agrees with what
 * they transfer: KVM_PPC_HTAB_PROGRESS, fdinfo, poll(), the VM's statistics and
 * trace events.  Also other ways to read and write, by readv(), writev(),
 * splice() and sendfile(), and the reports of HPTs that cannot be allocated.
 *
 * All of these fail on the stock kernel except readv() and writev(), which were
 * seen to fail with a kernel that copies only to the first of the buffers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "hpt_fault.h"
#include "hpt_vm.h"

#define ORDER	MIN_ORDER
#define N	NPTE(ORDER)

/* Room for the whole table in one read */
#define ALL	(N * (HPTE_BYTES + REC_BYTES))

#define COUNT	KVM_PPC_HTAB_PROGRESS_COUNT

#define TRACING	"/sys/kernel/tracing"

FIXTURE(progress)
{
	struct vm vm;
	struct table want;
	struct table got;
	unsigned char *buf;
};

FIXTURE_SETUP(progress)
{
	ASSERT_EQ(0, vm_init(&self->vm, ORDER, 0));
	ASSERT_EQ(0, table_init(&self->want, N));
	ASSERT_EQ(0, table_init(&self->got, N));
	self->buf = malloc(ALL);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(progress)
{
	EXPECT_EQ(0, vm_free(&self->vm));
}

static int populate(struct vm *vm, struct table *want)
{
	unsigned long i;
	int err = 0;

	for (i = 5; !err && i < N - 200; i += 611)
		err = vm_enter(vm, want, i, 1 + i % 19);
	return err ?: vm_enter(vm, want, N - 3, 3);
}

static int progress(int fd, unsigned int flags, struct kvm_ppc_htab_progress *p)
{
	memset(p, 0, sizeof(*p));
	p->argsz = sizeof(*p);
	p->flags = flags;
	return ioctl(fd, KVM_PPC_HTAB_PROGRESS, p) ? -errno : 0;
}

/* A number in /proc/self/fdinfo/FD, or ~0 */
static unsigned long long shown(int fd, const char *name)
{
	unsigned long long value = ~0ull;
	char path[64], line[128];
	size_t len = strlen(name);
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file)
		return value;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, len) && line[len] == ':')
			value = strtoull(line + len + 1, NULL, 0);
	fclose(file);
	return value;
}

/* Does fdinfo contain the line @what? */
static bool fdinfo_says(int fd, const char *what)
{
	char path[64], line[128];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		found |= !strcmp(line, what);
	}
	fclose(file);
	return found;
}

/* The VM's statistic @name, or ~0 */
static unsigned long long stat_of(struct vm *vm, const char *name)
{
	unsigned long long value = ~0ull;
	struct kvm_stats_header hdr;
	struct kvm_stats_desc *desc;
	size_t size;
	unsigned int i;
	int fd;

	fd = ioctl(vm->fd, KVM_GET_STATS_FD, NULL);
	if (fd < 0 || pread(fd, &hdr, sizeof(hdr), 0) != sizeof(hdr))
		return value;
	size = sizeof(*desc) + hdr.name_size;
	desc = malloc(size);
	for (i = 0; desc && i < hdr.num_desc; i++) {
		if (pread(fd, desc, size, hdr.desc_offset + i * size) !=
		    (ssize_t)size)
			break;
		if (strcmp(desc->name, name))
			continue;
		if (pread(fd, &value, sizeof(value),
			  hdr.data_offset + desc->offset) != sizeof(value))
			value = ~0ull;
	}
	free(desc);
	close(fd);
	return value;
}

TEST_F(progress, capability_says_so)
{
	EXPECT_LE(2, ioctl(self->vm.fd, KVM_CHECK_EXTENSION,
			   KVM_CAP_PPC_HTAB_FD));
	EXPECT_LE(2, ioctl(self->vm.kvm, KVM_CHECK_EXTENSION,
			   KVM_CAP_PPC_HTAB_FD));
}

TEST_F(progress, bad_arguments)
{
	struct kvm_ppc_htab_progress p = { .argsz = sizeof(p) };
	struct {
		struct kvm_ppc_htab_progress p;
		uint64_t unknown;
	} more;
	struct edge edge;
	unsigned int i;
	int fd;

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
	EXPECT_EQ(sizeof(p), p.argsz);

	p.argsz = sizeof(p) - 1;
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-EINVAL, progress(fd, COUNT << 1, &p));
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS + 1, &p));
	EXPECT_EQ(ENOTTY, errno);

	/* A larger argument is accepted if the rest is 0, which is kept */
	memset(&more, 0, sizeof(more));
	more.p.argsz = sizeof(more);
	EXPECT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &more));
	EXPECT_EQ(sizeof(p), more.p.argsz);
	more.p.argsz = sizeof(more);
	more.unknown = 1;
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &more));
	EXPECT_EQ(E2BIG, errno);
	EXPECT_EQ(1, more.unknown);
	more.p.argsz = UINT32_MAX;
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &more));
	EXPECT_EQ(E2BIG, errno);
	/* The ioctl number may contain the size of a later, larger structure */
	more.p.argsz = sizeof(more.p);
	EXPECT_EQ(0, ioctl(fd, _IOWR(KVMIO, _IOC_NR(KVM_PPC_HTAB_PROGRESS),
				     typeof(more)), &more));
	for (i = 0; i < 4; i++) {
		memset(&p, 0, sizeof(p));
		p.argsz = sizeof(p);
		p.reserved[i] = 1;
		EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
		EXPECT_EQ(EINVAL, errno);
	}
	p.reserved[3] = 0;

	ASSERT_EQ(0, edge_init(&edge, sizeof(p), sizeof(p), PROT_NONE));
	p.argsz = sizeof(p);
	memcpy(edge_at(&edge, sizeof(p)), &p, sizeof(p));
	EXPECT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS,
			   edge_at(&edge, sizeof(p))));
	memcpy(edge_at(&edge, 16), &p, 16);
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS, edge_at(&edge, 16)));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS, edge_at(&edge, 0)));
	EXPECT_EQ(EFAULT, errno);
	edge_free(&edge);
	close(fd);

	fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENOTTY, progress(fd, 0, &p));
	close(fd);
}

/* At each step of a first pass, the reported rest is what is read then */
TEST_F(progress, first_pass)
{
	unsigned long flags[] = { 0, KVM_GET_HTAB_BOLTED_ONLY }, valid;
	struct kvm_ppc_htab_progress p, bound;
	unsigned int i, steps;
	ssize_t n;
	int fd, rest;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	for (i = 0; i < 2; i++) {
		for (steps = 0; steps < 12; steps += 3) {
			fd = vm_htab_fd(&self->vm, flags[i], 0);
			ASSERT_LE(0, fd);
			/* Let reads end within records and between them */
			for (rest = steps; rest; rest--)
				ASSERT_LT(0, table_read(&self->got, fd,
							100 + 8 * rest));
			ASSERT_EQ(0, progress(fd, 0, &bound));
			ASSERT_EQ(0, progress(fd, COUNT, &p));
			EXPECT_EQ(KVM_PPC_HTAB_STATE_CURRENT, p.state);
			EXPECT_EQ(N, p.hptes);
			EXPECT_EQ(1, p.pass);
			EXPECT_EQ(0, p.changed_hptes);
			EXPECT_EQ(0, p.changed_bytes);
			EXPECT_LE(p.first_hptes, bound.first_hptes);
			EXPECT_LE(p.first_bytes, bound.first_bytes);
			EXPECT_EQ(p.position, shown(fd, "htab-position"));
			EXPECT_EQ(p.order, shown(fd, "htab-order"));

			valid = self->got.n_valid;
			n = read(fd, self->buf, ALL);
			ASSERT_LT(0, n);
			ASSERT_LT(0, table_apply(&self->got, self->buf, n));
			EXPECT_EQ(p.position, self->got.first_index);
			EXPECT_EQ(p.first_bytes, n);
			EXPECT_EQ(p.first_hptes, self->got.n_valid - valid);

			ASSERT_EQ(0, progress(fd, COUNT, &p));
			EXPECT_EQ(2, p.pass);
			EXPECT_EQ(0, p.position);
			EXPECT_EQ(0, p.first_hptes);
			EXPECT_EQ(0, p.first_bytes);
			close(fd);
		}
	}
}

/* Changes are counted in all places where they may be recorded */
TEST_F(progress, changes)
{
	struct kvm_ppc_htab_progress p;
	unsigned long i;
	long told;
	ssize_t n;
	int fd, other;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	other = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	ASSERT_LT(0, table_drain(&self->got, fd, ALL));
	ASSERT_LT(0, table_drain(&self->got, other, ALL));
	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(0, p.changed_hptes);

	/* Marked, and not harvested */
	for (i = 3; i < N - 100; i += 1009)
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, i, 1 + i % 21));
	ASSERT_EQ(0, vm_invalidate(&self->vm, 5, 9));
	memset(&self->want.hpte[5], 0, 9 * sizeof(struct hpte));
	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_LT(N / 1009, p.changed_hptes);

	/* Some are still marked, some were handed over by another reader */
	ASSERT_LT(0, table_read(&self->got, other, 600));
	i = p.changed_hptes;
	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(i, p.changed_hptes);

	/* The reader's own buffer has been filled with some of them */
	table_unsee(&self->got);
	ASSERT_LT(0, table_read(&self->got, fd, 200));
	told = table_seen(&self->got, 0, N);
	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(i - told, p.changed_hptes);
	n = read(fd, self->buf, ALL);
	ASSERT_LT(0, n);
	EXPECT_EQ(p.changed_bytes, n);
	EXPECT_EQ((long)p.changed_hptes,
		  table_apply(&self->got, self->buf, n));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));

	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(0, p.changed_hptes);
	EXPECT_EQ(0, p.changed_bytes);
}

/* Changes behind the cursor of a first pass count, those ahead do not */
TEST_F(progress, changes_behind_a_first_pass)
{
	struct kvm_ppc_htab_progress p;
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_LT(0, table_read(&self->got, fd, 2048));
	ASSERT_EQ(0, progress(fd, 0, &p));
	ASSERT_LT(20, p.position);
	ASSERT_GT(N - 100, p.position);
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, p.position - 2, 7));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, N - 50, 7));
	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(2, p.changed_hptes);
	EXPECT_EQ(REC_BYTES + 2 * HPTE_BYTES, p.changed_bytes);
}

TEST_F(progress, states)
{
	struct kvm_ppc_htab_progress p;
	struct vm none;
	int fd, of_none;

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, populate(&self->vm, &self->want));
	ASSERT_LT(0, table_drain(&self->got, fd, ALL));
	ASSERT_EQ(0, progress(fd, COUNT, &p));
	EXPECT_EQ(1, p.generation);
	EXPECT_EQ(ORDER, p.order);
	EXPECT_TRUE(fdinfo_says(fd, "htab-mode:\tread"));
	EXPECT_TRUE(fdinfo_says(fd, "htab-state:\tcurrent"));
	EXPECT_LT(1, shown(fd, "htab-pass"));

	/* A reset: the reader begins again */
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	ASSERT_EQ(0, progress(fd, COUNT, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_CURRENT, p.state);
	EXPECT_EQ(2, p.generation);
	EXPECT_EQ(2, shown(fd, "htab-generation"));
	EXPECT_EQ(1, p.pass);
	EXPECT_EQ(0, p.position);
	EXPECT_EQ(0, p.first_hptes);
	EXPECT_EQ(REC_BYTES, p.first_bytes);

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER + 1));
	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_STALE, p.state);
	EXPECT_EQ(3, p.generation);
	EXPECT_EQ(0, p.hptes);
	/* Unlike 0, this cannot be mistaken for "nothing is left" */
	EXPECT_EQ(UINT64_MAX, p.first_hptes & p.first_bytes &
		  p.changed_hptes & p.changed_bytes);
	EXPECT_TRUE(fdinfo_says(fd, "htab-state:\tstale"));

	ASSERT_EQ(0, vm_init(&none, 0, 0));
	of_none = vm_htab_fd(&none, 0, 0);
	ASSERT_LE(0, of_none);
	ASSERT_EQ(0, progress(of_none, COUNT, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_NONE, p.state);
	EXPECT_EQ(0, p.generation);
	EXPECT_EQ(UINT64_MAX, p.first_hptes & p.first_bytes &
		  p.changed_hptes & p.changed_bytes);
	EXPECT_TRUE(fdinfo_says(of_none, "htab-state:\tnone"));
	vm_free(&none);
}

/* fdinfo of both ends and the VM's statistics count what was streamed */
TEST_F(progress, totals)
{
	struct stream s;
	unsigned long sizes[] = { 24, 100, 2048, ALL }, bytes = 0;
	ssize_t n;
	unsigned int i = 0;
	int fd, wfd;

	wfd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LE(0, wfd);
	ASSERT_EQ(0, stream_init(&s, 65536));
	stream_run(&s, 8, 3, 5);
	stream_run(&s, 800, 8, 0);
	n = s.len;
	stream_run(&s, N - 1, 1, 1);
	EXPECT_EQ(n, write(wfd, s.buf, s.len));
	EXPECT_TRUE(fdinfo_says(wfd, "htab-mode:\twrite"));
	EXPECT_EQ(11, shown(wfd, "htab-written-valid"));
	EXPECT_EQ(5, shown(wfd, "htab-written-invalid"));
	EXPECT_EQ(n, shown(wfd, "htab-written-bytes"));
	EXPECT_EQ(1, shown(wfd, "htab-refused"));
	EXPECT_EQ(N - 1, shown(wfd, "htab-refused-index"));
	EXPECT_EQ(11, stat_of(&self->vm, "hpt_write_valid"));
	EXPECT_EQ(5, stat_of(&self->vm, "hpt_write_invalid"));
	EXPECT_EQ(n, stat_of(&self->vm, "hpt_write_bytes"));
	EXPECT_TRUE(fdinfo_says(wfd, "htab-state:\tcurrent"));
	EXPECT_EQ(1, stat_of(&self->vm, "hpt_write_refused"));
	stream_free(&s);

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	do {
		n = read(fd, self->buf, sizes[i++ % 4]);
		ASSERT_LE(0, n);
		bytes += n;
		ASSERT_LE(0, table_apply(&self->got, self->buf, n));
	} while (n);
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 17, 2));
	n = read(fd, self->buf, ALL);
	ASSERT_EQ(REC_BYTES + 2 * HPTE_BYTES, n);
	ASSERT_EQ(2, table_apply(&self->got, self->buf, n));
	bytes += n;

	EXPECT_EQ(bytes, shown(fd, "htab-read-bytes"));
	EXPECT_EQ(self->got.n_valid, shown(fd, "htab-read-valid"));
	EXPECT_EQ(self->got.n_invalid, shown(fd, "htab-read-invalid"));
	EXPECT_EQ(bytes, stat_of(&self->vm, "hpt_read_bytes"));
	EXPECT_EQ(self->got.n_valid, stat_of(&self->vm, "hpt_read_valid"));
	EXPECT_EQ(self->got.n_invalid, stat_of(&self->vm, "hpt_read_invalid"));
	EXPECT_EQ(2, stat_of(&self->vm, "hpt_changes"));
	EXPECT_EQ(shown(fd, "htab-pass") - 1,
		  stat_of(&self->vm, "hpt_passes"));
}

static short polled(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout) < 0 ? -1 : p.revents;
}

/* poll() reports POLLERR even if no event is requested */
static short polled_for_errors(int fd, int timeout)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, timeout) < 0 ? -1 : p.revents;
}

static void *alloc_soon(void *vm)
{
	usleep(50000);
	return (void *)(long)vm_alloc_hpt(vm, ORDER);
}

static void *write_soon(void *vm)
{
	usleep(50000);
	return (void *)(long)vm_write_run(vm, 300, 1, 0);
}

static void *replace_soon(void *vm)
{
	usleep(50000);
	return (void *)(long)vm_alloc_hpt(vm, ORDER + 1);
}

TEST_F(progress, poll)
{
	struct epoll_event ev = { .events = EPOLLIN };
	pthread_t thread;
	int fd, ep;

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(POLLIN, polled(fd, 0));
	ASSERT_LT(0, table_drain(&self->got, fd, ALL));
	EXPECT_EQ(0, polled(fd, 0));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 100, 1));
	EXPECT_EQ(POLLIN, polled(fd, 0));
	EXPECT_EQ(POLLIN, polled(fd, 0));
	ASSERT_LT(0, table_drain(&self->got, fd, ALL));
	EXPECT_EQ(0, polled(fd, 0));

	/* A change wakes up a sleeping task */
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_soon, &self->vm));
	EXPECT_EQ(POLLIN, polled(fd, -1));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(1, table_drain(&self->got, fd, ALL));

	ep = epoll_create1(0);
	ASSERT_LE(0, ep);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	EXPECT_EQ(0, epoll_wait(ep, &ev, 1, 0));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 500, 1));
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, -1));
	close(ep);
	ASSERT_EQ(1, table_drain(&self->got, fd, ALL));

	/* So does the end of the HPT */
	ASSERT_EQ(0, pthread_create(&thread, NULL, replace_soon, &self->vm));
	EXPECT_EQ(POLLIN | POLLERR, polled(fd, -1));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-1, read(fd, self->buf, ALL));
	EXPECT_EQ(ESTALE, errno);
}

/* Fails if the end of the HPT wakes up only tasks that poll for EPOLLIN */
TEST_F(progress, poll_for_errors)
{
	pthread_t thread;
	int fd;

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, polled_for_errors(fd, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, replace_soon, &self->vm));
	EXPECT_EQ(POLLERR, polled_for_errors(fd, -1));
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

/* Fails if poll() attaches the reader to an HPT, or does not notice the HPT */
TEST_F(progress, poll_without_an_hpt)
{
	struct kvm_ppc_htab_progress p;
	pthread_t thread;
	struct vm none;
	int fd;

	ASSERT_EQ(0, vm_init(&none, 0, 0));
	fd = vm_htab_fd(&none, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, polled(fd, 0));
	EXPECT_EQ(0, read(fd, self->buf, ALL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, alloc_soon, &none));
	EXPECT_EQ(POLLIN, polled(fd, -1));
	ASSERT_EQ(0, pthread_join(thread, NULL));

	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_NONE, p.state);
	EXPECT_EQ(0, p.generation);
	/* Not attached to this HPT, so the reader does not become stale */
	ASSERT_EQ(0, vm_alloc_hpt(&none, ORDER + 1));
	EXPECT_EQ(POLLIN, polled(fd, 0));
	ASSERT_LT(0, read(fd, self->buf, ALL));
	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_CURRENT, p.state);
	EXPECT_EQ(ORDER + 1, p.order);
	EXPECT_EQ(1, p.generation);
	close(fd);
	vm_free(&none);
}

/* All ways to read give the same bytes, and all ways to write accept them */
TEST_F(progress, other_ways)
{
	unsigned char *other = malloc(ALL);
	struct iovec iov[3];
	int fd, wfd, pipefd[2], file;
	ssize_t n, len;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_LE(0, fcntl(pipefd[0], F_SETPIPE_SZ, 1 << 20));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	len = read(fd, self->buf, ALL);
	ASSERT_LT(0, len);
	close(fd);

	fd = vm_htab_fd(&self->vm, 0, 0);
	iov[0] = (struct iovec){ other, 7 };
	iov[1] = (struct iovec){ other + 7, 1001 };
	iov[2] = (struct iovec){ other + 1008, ALL - 1008 };
	EXPECT_EQ(len, readv(fd, iov, 3));
	EXPECT_EQ(0, memcmp(self->buf, other, len));
	close(fd);

	memset(other, 0, len);
	fd = vm_htab_fd(&self->vm, 0, 0);
	n = splice(fd, NULL, pipefd[1], NULL, ALL, 0);
	EXPECT_EQ(len, n);
	EXPECT_EQ(len, read(pipefd[0], other, ALL));
	EXPECT_EQ(0, memcmp(self->buf, other, len));
	close(fd);

	memset(other, 0, len);
	fd = vm_htab_fd(&self->vm, 0, 0);
	file = open("/tmp", O_RDWR | O_TMPFILE, 0600);
	if (file < 0)
		file = memfd_create("stream", 0);
	ASSERT_LE(0, file);
	EXPECT_EQ(len, sendfile(file, fd, NULL, ALL));
	EXPECT_EQ(len, pread(file, other, ALL, 0));
	EXPECT_EQ(0, memcmp(self->buf, other, len));
	close(fd);

	/* Write to an empty HPT */
	wfd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LE(0, wfd);
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	iov[0] = (struct iovec){ self->buf, 7 };
	iov[1] = (struct iovec){ self->buf + 7, 1001 };
	iov[2] = (struct iovec){ self->buf + 1008, len - 1008 };
	EXPECT_EQ(len, writev(wfd, iov, 3));
	EXPECT_LT(0, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	ASSERT_EQ(len, write(pipefd[1], self->buf, len));
	EXPECT_EQ(len, splice(pipefd[0], NULL, wfd, NULL, len, 0));
	EXPECT_LT(0, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
	free(other);
}

/*
 * A socket that does not block takes only the beginning of what sendfile() has
 * read for it.  The gap is reported.
 */
TEST_F(progress, sendfile_that_loses)
{
	struct kvm_ppc_htab_progress p = { .argsz = sizeof(p) };
	int fd, small = 4096, large = 16 * ALL, s[2];
	struct pollfd poll_fd;
	ssize_t n;

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	ASSERT_EQ(0, vm_write_run(&self->vm, 0, N, 0));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));

	/* With a large buffer the socket takes everything */
	ASSERT_EQ(0, setsockopt(s[0], SOL_SOCKET, SO_SNDBUFFORCE, &large,
				sizeof(large)));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_LE((ssize_t)(N * HPTE_BYTES), sendfile(s[0], fd, NULL, ALL));
	EXPECT_EQ(0, read(fd, self->buf, ALL));

	while (recv(s[1], self->buf, ALL, 0) > 0)
		;
	ASSERT_EQ(0, setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &small,
				sizeof(small)));
	/* Now it is full */
	while (send(s[0], self->buf, 1024, 0) > 0)
		;
	ASSERT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, vm_write_run(&self->vm, 0, N, 0));
	n = sendfile(s[0], fd, NULL, ALL);
	EXPECT_LT(n, (ssize_t)(N * HPTE_BYTES));
	EXPECT_EQ(-1, read(fd, self->buf, ALL));
	EXPECT_EQ(ESTALE, errno);
	poll_fd = (struct pollfd){ .fd = fd, .events = POLLIN };
	EXPECT_EQ(1, poll(&poll_fd, 1, 0));
	EXPECT_EQ(POLLIN | POLLERR, poll_fd.revents);
	EXPECT_EQ(0, ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_STALE, p.state);
	close(fd);
	close(s[0]);
	close(s[1]);
}

static int tracing_set(const char *file, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "/%s", file);
	return host_set(path, value);
}

/* Count the trace lines of @event with @what; copy the last one to @line */
static unsigned int traced(const char *event, const char *what, char line[512])
{
	FILE *file = fopen(TRACING "/trace", "r");
	char buf[512];
	unsigned int n = 0;

	if (!file)
		return 0;
	while (fgets(buf, sizeof(buf), file)) {
		if (strstr(buf, event) && strstr(buf, what)) {
			memcpy(line, buf, sizeof(buf));
			n++;
		}
	}
	fclose(file);
	return n;
}

TEST_F(progress, trace_events)
{
	char line[512] = "", want[128];
	struct stream s;
	ssize_t n;
	int fd, wfd;

	mount("none", TRACING, "tracefs", 0, NULL);
	if (access(TRACING "/trace", R_OK))
		SKIP(return, "no tracefs");
	ASSERT_EQ(0, tracing_set("events/kvm_hpt/enable", "1"));
	ASSERT_EQ(0, tracing_set("trace", ""));

	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 16, 4));
	fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_BOLTED_ONLY, 8);
	ASSERT_LE(0, fd);
	n = read(fd, self->buf, ALL);
	ASSERT_LT(0, n);
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 25, 2));
	ASSERT_LT(0, read(fd, self->buf, ALL));
	wfd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
	ASSERT_EQ(0, stream_init(&s, 4096));
	stream_run(&s, N, 1, 0);
	EXPECT_EQ(-EINVAL, stream_write(wfd, s.buf, s.len));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER + 1));
	snprintf(want, sizeof(want), "vm=%d-%d file=%llu n_valid=0 n_invalid=0",
		 getpid(), self->vm.fd, shown(wfd, "htab-file"));
	close(wfd);
	ASSERT_EQ(0, tracing_set("events/kvm_hpt/enable", "0"));

	EXPECT_EQ(1, traced("kvm_hpt_close:", want, line));
	snprintf(want, sizeof(want),
		 "vm=%d-%d file=%llu flags=0x1 start_index=8", getpid(),
		 self->vm.fd, shown(fd, "htab-file"));
	EXPECT_EQ(1, traced("kvm_hpt_open:", want, line));
	snprintf(want, sizeof(want), "ret=%zd\n", n);
	EXPECT_EQ(1, traced("kvm_hpt_read:", want, line));
	EXPECT_EQ(1, traced("kvm_hpt_pass_end:", "pass=1", line));
	EXPECT_EQ(1, traced("kvm_hpt_harvest:", "group=3 changed=0x6", line));
	EXPECT_EQ(1, traced("kvm_hpt_write:",
			    "index=25 n_valid=2 n_invalid=0 err=0", line));
	snprintf(want, sizeof(want), "index=%lu n_valid=1 n_invalid=0 err=%d",
		 N, -EINVAL);
	EXPECT_EQ(1, traced("kvm_hpt_write:", want, line));
	EXPECT_EQ(1, traced("kvm_hpt_invalidate:", "stale=0", line));
	EXPECT_EQ(1, traced("kvm_hpt_invalidate:", "stale=1", line));
	stream_free(&s);
}

/* The largest order of an HPT, and the KiB of CMA that it takes */
#define TOO_LARGE	36
#define ENOUGH_CMA	(1L << (TOO_LARGE - 10))

/* Start tracing failed allocations.  Returns false without tracefs. */
static bool no_memory_traced(struct __test_metadata *_metadata)
{
	mount("none", TRACING, "tracefs", 0, NULL);
	if (access(TRACING "/trace", R_OK))
		return false;
	EXPECT_EQ(0, tracing_set("events/kvm_hpt/kvm_hpt_no_memory/enable",
				 "1"));
	EXPECT_EQ(0, tracing_set("trace", ""));
	return true;
}

/*
 * How often, since no_memory_traced(), there was no memory for this part of an
 * HPT of this VM
 */
static unsigned int no_memory(struct vm *vm, unsigned int order,
			      const char *part, char line[512])
{
	char want[128];

	snprintf(want, sizeof(want), "vm=%d-%d order=%u part=%s cma_free=",
		 getpid(), vm->fd, order, part);
	return traced("kvm_hpt_no_memory:", want, line);
}

/* Prepare a resize that fails, and get the error from the commit */
static int commit_fails(struct vm *vm, unsigned int order)
{
	int i, ret = -EBUSY;

	for (i = 0; i < 100 && ret == -EBUSY; i++) {
		ret = vm_resize_prepare(vm, order);
		if (ret <= 0)
			return -EPROTO;
		usleep(20000);
		ret = vm_resize_commit(vm, order);
	}
	return ret;
}

/* Each way to request an HPT that cannot be allocated */
TEST_F(progress, no_memory)
{
	long free, was;
	char line[512] = "", *at;
	struct vm vm;

	if (host_kib("CmaTotal") >= ENOUGH_CMA)
		SKIP(return, "the host may have an HPT of order %u", TOO_LARGE);
	if (!no_memory_traced(_metadata))
		SKIP(return, "no tracefs");
	ASSERT_EQ(0, vm_init(&vm, ORDER, PAGE_16M));
	ASSERT_EQ(0, vm_write_vrma(&vm, N, 0, HPTE_R_RC));
	EXPECT_EQ(0, stat_of(&vm, "hpt_no_memory"));
	EXPECT_EQ(-ENOMEM, vm_resize_ready(&vm, TOO_LARGE));
	EXPECT_EQ(1, stat_of(&vm, "hpt_no_memory"));
	EXPECT_EQ(1, no_memory(&vm, TOO_LARGE, "hpt", line));
	EXPECT_EQ(-ENOMEM, commit_fails(&vm, TOO_LARGE));
	EXPECT_EQ(2, stat_of(&vm, "hpt_no_memory"));
	EXPECT_EQ(2, no_memory(&vm, TOO_LARGE, "hpt", line));
	was = host_kib("CmaFree");
	EXPECT_EQ(-ENOMEM, vm_alloc_hpt(&vm, TOO_LARGE));
	EXPECT_EQ(3, stat_of(&vm, "hpt_no_memory"));
	EXPECT_EQ(3, no_memory(&vm, TOO_LARGE, "hpt", line));
	at = strstr(line, "cma_free=");
	ASSERT_NE(NULL, at);
	free = strtol(at + strlen("cma_free="), NULL, 10);
	/* Other users of the CMA may change its size a little */
	EXPECT_LT(was, free + (16 << 10));
	EXPECT_GT(was + (16 << 10), free);

	/* Neither invalid requests nor successful ones count */
	EXPECT_EQ(-EINVAL, vm_alloc_hpt(&vm, TOO_LARGE + 1));
	EXPECT_EQ(-EINVAL, vm_resize_ready(&vm, TOO_LARGE + 1));
	EXPECT_EQ(0, vm_alloc_hpt(&vm, ORDER));
	EXPECT_EQ(0, vm_resize_ready(&vm, ORDER + 1));
	EXPECT_EQ(3, stat_of(&vm, "hpt_no_memory"));
	EXPECT_EQ(0, stat_of(&self->vm, "hpt_no_memory"));
	EXPECT_EQ(0, tracing_set("events/kvm_hpt/kvm_hpt_no_memory/enable",
				 "0"));
	EXPECT_EQ(0, vm_free(&vm));
}

/* Each allocation for an HPT fails, and the trace names the part */
TEST_F(progress, no_memory_for_a_part)
{
	unsigned int n, refused = 0, revmap = 0, bitmaps = 0, order;
	int nth = fault_open(), err;
	char line[512] = "";
	bool failed = true;

	if (nth < 0)
		SKIP(return, NO_FAULTS);
	if (!no_memory_traced(_metadata))
		SKIP(return, "no tracefs");
	ASSERT_EQ(0, fault_prepare());
	for (n = 1; failed && n < 1000; n++) {
		failed = false;
		/* A page that one does not need shifts the numbers of the others */
		for (order = ORDER + 1; order <= ORDER + 2; order++) {
			fault_arm(nth, n);
			err = vm_alloc_hpt(&self->vm, order);
			failed |= fault_disarm(nth);
			refused += err == -ENOMEM;
			ASSERT_TRUE(!err || err == -ENOMEM || err == -EFAULT);
			ASSERT_EQ(refused,
				  stat_of(&self->vm, "hpt_no_memory"));
		}
	}
	EXPECT_FALSE(failed);
	for (order = ORDER + 1; order <= ORDER + 2; order++) {
		revmap += no_memory(&self->vm, order, "reverse_map", line);
		bitmaps += no_memory(&self->vm, order, "bitmaps", line);
		/* "cgroup": a retry without charging the memory succeeds */
		bitmaps += no_memory(&self->vm, order, "cgroup", line);
	}
	TH_LOG("%u allocations: %u times no reverse map, %u times no bitmaps",
	       n - 2, revmap, bitmaps);
	EXPECT_LT(0, revmap);
	EXPECT_LE(3, bitmaps);
	EXPECT_EQ(refused, revmap + bitmaps);
	EXPECT_EQ(0, tracing_set("events/kvm_hpt/kvm_hpt_no_memory/enable",
				 "0"));
	close(nth);
}

/* Make all slab allocations of processes with make-it-fail set fail */
static int fail_slabs(void)
{
	return host_set(FAULT_DIR "failslab/task-filter", "Y") ?:
	       host_set(FAULT_DIR "failslab/times", "-1") ?:
	       host_set(FAULT_DIR "failslab/ignore-gfp-wait", "0") ?:
	       host_set(FAULT_DIR "failslab/verbose", "0") ?:
	       host_set(FAULT_DIR "failslab/probability", "100");
}

/* The probability first: without the filter it applies to all processes */
static int fail_no_slabs(void)
{
	return host_set(FAULT_DIR "failslab/probability", "0") ?:
	       host_set(FAULT_DIR "failslab/times", "1") ?:
	       host_set(FAULT_DIR "failslab/task-filter", "N");
}

/* For a vcpu that runs without an HPT, the kernel tries to allocate one */
TEST_F(progress, no_memory_for_a_vcpu)
{
	struct kvm_enable_cap papr = { .cap = KVM_CAP_PPC_PAPR };
	int fail = open("/proc/self/make-it-fail", O_RDWR), vcpu, ret, err;
	char line[512] = "";

	if (fail < 0)
		SKIP(return, NO_FAULTS);
	if (!no_memory_traced(_metadata))
		SKIP(return, "no tracefs");
	vcpu = ioctl(self->vm.fd, KVM_CREATE_VCPU, 0);
	ASSERT_LE(0, vcpu);
	ASSERT_EQ(0, ioctl(vcpu, KVM_ENABLE_CAP, &papr));
	/* This frees the HPT */
	ASSERT_EQ(-ENOMEM, vm_alloc_hpt(&self->vm, TOO_LARGE));
	ASSERT_EQ(1, stat_of(&self->vm, "hpt_no_memory"));
	ASSERT_EQ(0, fail_slabs());
	ASSERT_EQ(1, pwrite(fail, "1", 1, 0));
	ret = ioctl(vcpu, KVM_RUN, NULL);
	err = errno;
	ASSERT_EQ(1, pwrite(fail, "0", 1, 0));
	ASSERT_EQ(0, fail_no_slabs());
	EXPECT_EQ(-1, ret);
	EXPECT_EQ(ENOMEM, err);
	EXPECT_EQ(2, stat_of(&self->vm, "hpt_no_memory"));
	EXPECT_EQ(1, no_memory(&self->vm, MIN_ORDER, "reverse_map", line));
	EXPECT_EQ(0, tracing_set("events/kvm_hpt/kvm_hpt_no_memory/enable",
				 "0"));
	close(vcpu);
	close(fail);
}

#define CGROUPS		"/tmp/hpt_progress_test"

static void cgroups_end(void)
{
	host_set(CGROUPS "/cgroup.procs", "0");
	rmdir(CGROUPS "/hpt");
	umount(CGROUPS);
	rmdir(CGROUPS);
}

/* Make a cgroup with a limit of @max.  Returns false without memory cgroups. */
static bool cgroups_begin(const char *max)
{
	mkdir("/tmp", 0777);
	if (mkdir(CGROUPS, 0700) ||
	    mount("none", CGROUPS, "cgroup2", 0, NULL) ||
	    host_set(CGROUPS "/cgroup.subtree_control", "+memory") ||
	    mkdir(CGROUPS "/hpt", 0700) ||
	    host_set(CGROUPS "/hpt/memory.max", max)) {
		cgroups_end();
		return false;
	}
	return true;
}

/* Takes four chunks of 64 KiB for bitmaps; the limit allows three at most */
#define CGROUP_ORDER	27
#define CGROUP_MAX	"196608"

TEST_F(progress, no_memory_in_a_cgroup)
{
	char line[512] = "";
	int err;

	if (!no_memory_traced(_metadata))
		SKIP(return, "no tracefs");
	if (!cgroups_begin(CGROUP_MAX))
		SKIP(return, "no memory cgroups");
	ASSERT_EQ(0, host_set(CGROUPS "/hpt/cgroup.procs", "0"));
	err = vm_alloc_hpt(&self->vm, CGROUP_ORDER);
	cgroups_end();
	EXPECT_EQ(-ENOMEM, err);
	EXPECT_EQ(1, stat_of(&self->vm, "hpt_no_memory"));
	if (no_memory(&self->vm, CGROUP_ORDER, "hpt", line))
		SKIP(return, "no memory for an HPT of order %u", CGROUP_ORDER);
	EXPECT_EQ(1, no_memory(&self->vm, CGROUP_ORDER, "cgroup", line));
	EXPECT_EQ(0, tracing_set("events/kvm_hpt/kvm_hpt_no_memory/enable",
				 "0"));
}

TEST_HARNESS_MAIN
