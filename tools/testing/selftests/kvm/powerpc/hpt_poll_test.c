// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks that wait for the HPT file: epoll, level and edge triggered, several
 * of them with one file, and io_uring, one-shot and multishot.  A change that
 * comes after a read wakes up each of them.
 *
 * Guests cannot wake up anybody, so the kernel looks for changes now and then.
 * These tests fail with a kernel that does so only once for each poll().
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include <linux/stddef.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "hpt_vm.h"

#define ORDER		MIN_ORDER
#define N		NPTE(ORDER)

/* How many changes are made, one after the other */
#define CHANGES		4

/* Milliseconds after which nobody comes any more; and those to be sure of it */
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

FIXTURE_SETUP(poll)
{
	ASSERT_EQ(0, vm_init(&self->vm, ORDER, 0));
	self->fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, drain(self->fd, self->buf, sizeof(self->buf)));
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
		/* Again and again, until it is read */
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
		/* Once for all that is there */
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

/* An exclusive waiter of one reader does not keep those of others asleep */
TEST_F(poll, exclusive)
{
	struct poller p[2];
	int other, i;

	other = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, drain(other, self->buf, sizeof(self->buf)));
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

/* All who sleep with one file are woken by one change */
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

/* Two readers, of which one has read a change and the other has not */
TEST_F(poll, another_reader_first)
{
	int other = vm_htab_fd(&self->vm, 0, 0), ep, i;

	ASSERT_LE(0, other);
	ASSERT_EQ(0, drain(other, self->buf, sizeof(self->buf)));
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

/* io_uring, by its system calls */
struct ring {
	int fd;
	unsigned char *map;
	struct io_uring_sqe *sqe;
	struct io_uring_params p;
	unsigned int seen;		/* completions that were taken */
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

static int ring_poll(struct ring *r, int fd, bool multi)
{
	unsigned int *tail = ring_word(r, r->p.sq_off.tail);
	unsigned int at = *tail & (r->p.sq_entries - 1);

	memset(&r->sqe[at], 0, sizeof(*r->sqe));
	r->sqe[at].opcode = IORING_OP_POLL_ADD;
	r->sqe[at].fd = fd;
	r->sqe[at].len = multi ? IORING_POLL_ADD_MULTI : 0;
	r->sqe[at].poll32_events = POLLIN;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	/* Its halves are in the order of little-endian machines */
	r->sqe[at].poll32_events = POLLIN << 16;
#endif
	ring_word(r, r->p.sq_off.array)[at] = at;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1 ?
		0 : -errno;
}

/* The next completion: its result, or -ETIME if there is none in @ms */
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
	int err, i;

	err = ring_init(&r);
	if (err)
		SKIP(return, "io_uring_setup: %s", strerror(-err));
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
	int err, i;

	err = ring_init(&r);
	if (err)
		SKIP(return, "io_uring_setup: %s", strerror(-err));
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

TEST_HARNESS_MAIN
