// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks that wait for the HPT file: with level- and edge-triggered epoll, with
 * several waiters on one file, and with one-shot and multishot io_uring.  A
 * change after a read wakes up each of them.  And reads that must not wait.
 *
 * Guests cannot wake up tasks, so the kernel looks for changes at intervals.
 * These tests fail with a kernel that does so only once for each poll().
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include <linux/stddef.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "hpt_vm.h"

#define ORDER		MIN_ORDER
#define N		NPTE(ORDER)

/* Number of changes, made one after the other */
#define CHANGES		4

/* Milliseconds: timeout of a wait that must end, length of one that must not */
#define LATE		20000
#define QUIET		700

#define POLLERS		8

FIXTURE(poll)
{
	struct vm vm;
	int fd;
	unsigned int n;			/* changes so far */
	unsigned char buf[65536];
};

static int drain(int fd, void *buf, size_t size)
{
	ssize_t n;

	do {
		n = read(fd, buf, size);
	} while (n > 0);
	return n < 0 ? -errno : 0;
}

/* Open a reader that has reported everything */
static int open_drained(struct vm *vm, void *buf, size_t size)
{
	int fd = vm_htab_fd(vm, 0, 0), err;

	if (fd < 0)
		return fd;
	err = drain(fd, buf, size);
	if (err)
		close(fd);
	return err ?: fd;
}

FIXTURE_SETUP(poll)
{
	ASSERT_EQ(0, vm_init(&self->vm, ORDER, 0));
	self->fd = open_drained(&self->vm, self->buf, sizeof(self->buf));
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(poll)
{
	close(self->fd);
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* Each is in another part of the table */
static int change(struct vm *vm, unsigned int n)
{
	return vm_write_run(vm, n * (N / 64), 1, 0);
}

static int epoll_of(int fd, unsigned int events)
{
	struct epoll_event ev = { .events = events };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	return ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) ? -errno : ep;
}

static int epoll_waits(int ep, int ms)
{
	struct epoll_event ev;

	return epoll_wait(ep, &ev, 1, ms);
}

TEST_F(poll, level_triggered)
{
	int ep = epoll_of(self->fd, EPOLLIN), i;

	ASSERT_LE(0, ep);
	for (i = 0; i < CHANGES; i++) {
		EXPECT_EQ(0, epoll_waits(ep, 0));
		ASSERT_EQ(0, change(&self->vm, i));
		EXPECT_EQ(1, epoll_waits(ep, LATE));
		/* Reported again until the change is read */
		EXPECT_EQ(1, epoll_waits(ep, LATE));
		EXPECT_EQ(1, epoll_waits(ep, 0));
		ASSERT_EQ(0, drain(self->fd, self->buf, sizeof(self->buf)));
	}
	close(ep);
}

TEST_F(poll, edge_triggered)
{
	int ep = epoll_of(self->fd, EPOLLIN | EPOLLET), i;

	ASSERT_LE(0, ep);
	for (i = 0; i < CHANGES; i++) {
		ASSERT_EQ(0, change(&self->vm, i));
		EXPECT_EQ(1, epoll_waits(ep, LATE));
		/* Reported once */
		EXPECT_EQ(0, epoll_waits(ep, QUIET));
		ASSERT_EQ(0, drain(self->fd, self->buf, sizeof(self->buf)));
	}
	close(ep);
}

struct poller {
	pthread_t thread;
	int fd;
	int got;
};

static void *wait_in_poll(void *arg)
{
	struct poller *p = arg;
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };

	p->got = poll(&pfd, 1, LATE);
	return NULL;
}

static void *wait_in_epoll(void *arg)
{
	struct poller *p = arg;

	p->got = epoll_waits(p->fd, LATE);
	return NULL;
}

/* An exclusive waiter of one reader does not keep another reader's asleep */
TEST_F(poll, exclusive)
{
	struct poller p[2];
	int other, i;

	other = open_drained(&self->vm, self->buf, sizeof(self->buf));
	ASSERT_LE(0, other);
	for (i = 0; i < 2; i++) {
		p[i].fd = epoll_of(i ? other : self->fd,
				   EPOLLIN | EPOLLEXCLUSIVE);
		ASSERT_LE(0, p[i].fd);
		ASSERT_EQ(0, pthread_create(&p[i].thread, NULL, wait_in_epoll,
					    &p[i]));
	}
	usleep(QUIET * 1000);
	ASSERT_EQ(0, change(&self->vm, 1));
	for (i = 0; i < 2; i++) {
		pthread_join(p[i].thread, NULL);
		EXPECT_EQ(1, p[i].got) {
			TH_LOG("reader %d", i);
		}
		close(p[i].fd);
	}
	close(other);
}

/* One change wakes up all waiters of a file */
TEST_F(poll, several_at_once)
{
	struct poller p[POLLERS];
	int level = epoll_of(self->fd, EPOLLIN), i;
	int edge = epoll_of(self->fd, EPOLLIN | EPOLLET);

	ASSERT_LE(0, level);
	ASSERT_LE(0, edge);
	for (i = 0; i < POLLERS; i++) {
		p[i].fd = i == 0 ? level : i == 1 ? edge : self->fd;
		ASSERT_EQ(0, pthread_create(&p[i].thread, NULL, wait_in_poll,
					    &p[i]));
	}
	usleep(QUIET * 1000);
	ASSERT_EQ(0, change(&self->vm, 1));
	for (i = 0; i < POLLERS; i++) {
		pthread_join(p[i].thread, NULL);
		EXPECT_EQ(1, p[i].got);
	}
	close(level);
	close(edge);
}

/* A reader's waiters wake up even if another reader has read the change */
TEST_F(poll, another_reader_first)
{
	int other, ep, i;

	other = open_drained(&self->vm, self->buf, sizeof(self->buf));
	ASSERT_LE(0, other);
	ep = epoll_of(self->fd, EPOLLIN | EPOLLET);
	ASSERT_LE(0, ep);
	for (i = 0; i < CHANGES; i++) {
		ASSERT_EQ(0, change(&self->vm, i));
		ASSERT_EQ(0, drain(other, self->buf, sizeof(self->buf)));
		EXPECT_EQ(1, epoll_waits(ep, LATE));
		ASSERT_EQ(0, drain(self->fd, self->buf, sizeof(self->buf)));
	}
	close(ep);
	close(other);
}

/* io_uring without liburing */
struct ring {
	int fd;
	unsigned char *map;
	struct io_uring_sqe *sqe;
	struct io_uring_params p;
	unsigned int seen;		/* completions consumed */
};

static unsigned int *ring_word(struct ring *r, unsigned int offset)
{
	return (unsigned int *)(r->map + offset);
}

static int ring_init(struct ring *r)
{
	memset(r, 0, sizeof(*r));
	r->fd = syscall(SYS_io_uring_setup, 4, &r->p);
	if (r->fd < 0)
		return -errno;
	r->map = mmap(NULL, r->p.cq_off.cqes +
		      r->p.cq_entries * sizeof(struct io_uring_cqe),
		      PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		      IORING_OFF_SQ_RING);
	r->sqe = mmap(NULL, r->p.sq_entries * sizeof(*r->sqe),
		      PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
		      IORING_OFF_SQES);
	return r->map == MAP_FAILED || r->sqe == MAP_FAILED ? -errno : 0;
}

/* Returns false, and skips the test, if the kernel has no io_uring */
static bool ring_or_skip(struct __test_metadata *_metadata, struct ring *r)
{
	int err = ring_init(r);

	if (err)
		SKIP(return false, "io_uring_setup: %s", strerror(-err));
	return true;
}

static int ring_submit(struct ring *r, const struct io_uring_sqe *sqe)
{
	unsigned int *tail = ring_word(r, r->p.sq_off.tail);
	unsigned int at = *tail & (r->p.sq_entries - 1);

	r->sqe[at] = *sqe;
	ring_word(r, r->p.sq_off.array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1 ?
		0 : -errno;
}

static int ring_poll(struct ring *r, int fd, bool multi)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = fd,
		.len = multi ? IORING_POLL_ADD_MULTI : 0,
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		/* The kernel expects its halves in little-endian order */
		.poll32_events = POLLIN << 16,
#else
		.poll32_events = POLLIN,
#endif
	};

	return ring_submit(r, &sqe);
}

static int ring_read(struct ring *r, int fd, void *buf, size_t size, int flags)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_READ,
		.flags = flags,
		.fd = fd,
		.off = -1,
		.addr = (unsigned long)buf,
		.len = size,
	};

	return ring_submit(r, &sqe);
}

/* Returns the result of the next completion, or -ETIME after @ms */
static int ring_wait(struct ring *r, int ms, bool *more)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	struct io_uring_cqe *cqe;
	int waited;

	for (waited = 0;; waited += 100) {
		if (__atomic_load_n(ring_word(r, r->p.cq_off.tail),
				    __ATOMIC_ACQUIRE) != r->seen)
			break;
		if (waited > ms)
			return -ETIME;
		poll(&p, 1, 100);
	}
	cqe = (struct io_uring_cqe *)(r->map + r->p.cq_off.cqes) +
	      (r->seen++ & (r->p.cq_entries - 1));
	*more = cqe->flags & IORING_CQE_F_MORE;
	__atomic_store_n(ring_word(r, r->p.cq_off.head), r->seen,
			 __ATOMIC_RELEASE);
	return cqe->res;
}

static void ring_free(struct ring *r)
{
	munmap(r->map, r->p.cq_off.cqes +
	       r->p.cq_entries * sizeof(struct io_uring_cqe));
	munmap(r->sqe, r->p.sq_entries * sizeof(*r->sqe));
	close(r->fd);
}

TEST_F_TIMEOUT(poll, io_uring_one_shot, 120)
{
	struct ring r;
	bool more;
	int i;

	if (!ring_or_skip(_metadata, &r))
		return;
	for (i = 0; i < CHANGES; i++) {
		ASSERT_EQ(0, ring_poll(&r, self->fd, false));
		EXPECT_EQ(-ETIME, ring_wait(&r, 0, &more));
		ASSERT_EQ(0, change(&self->vm, i));
		EXPECT_EQ(POLLIN, ring_wait(&r, LATE, &more));
		EXPECT_FALSE(more);
		ASSERT_EQ(0, drain(self->fd, self->buf, sizeof(self->buf)));
	}
	ring_free(&r);
}

TEST_F_TIMEOUT(poll, io_uring_multishot, 120)
{
	struct ring r;
	bool more;
	int i;

	if (!ring_or_skip(_metadata, &r))
		return;
	ASSERT_EQ(0, ring_poll(&r, self->fd, true));
	for (i = 0; i < CHANGES; i++) {
		EXPECT_EQ(-ETIME, ring_wait(&r, QUIET, &more));
		ASSERT_EQ(0, change(&self->vm, i));
		EXPECT_EQ(POLLIN, ring_wait(&r, LATE, &more));
		EXPECT_TRUE(more);
		ASSERT_EQ(0, drain(self->fd, self->buf, sizeof(self->buf)));
	}
	ring_free(&r);
}

/* With io_uring a read waits for a change, but for a file with O_NONBLOCK */
TEST_F_TIMEOUT(poll, io_uring_read, 120)
{
	const size_t size = sizeof(self->buf);
	struct ring r;
	bool more;
	int i;

	if (!ring_or_skip(_metadata, &r))
		return;
	for (i = 0; i < CHANGES; i++) {
		ASSERT_EQ(0, ring_read(&r, self->fd, self->buf, size,
				       i % 2 ? IOSQE_ASYNC : 0));
		EXPECT_EQ(-ETIME, ring_wait(&r, QUIET, &more));
		ASSERT_EQ(0, change(&self->vm, i));
		EXPECT_EQ((int)MIN_READ, ring_wait(&r, LATE, &more));
	}
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, ring_read(&r, self->fd, self->buf, size, 0));
	EXPECT_EQ(0, ring_wait(&r, LATE, &more));
	ring_free(&r);
}

/* Whether a call would sleep is not known, so it can't be told not to */
TEST_F(poll, nonblocking)
{
	struct iovec iov = { self->buf, sizeof(self->buf) };
	int fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(0, read(self->fd, self->buf, sizeof(self->buf)));
	EXPECT_EQ(-1, preadv2(self->fd, &iov, 1, -1, RWF_NOWAIT));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, pwritev2(fd, &iov, 1, -1, RWF_NOWAIT));
	EXPECT_EQ(EOPNOTSUPP, errno);
	close(fd);
}

TEST_HARNESS_MAIN
