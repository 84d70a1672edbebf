// SPDX-License-Identifier: GPL-2.0
/*
 * How a VMM migrates an HPT: a guest works on its HPT while it is migrated to
 * another VM.  Documentation/virt/kvm/ppc-hpt-vmm.rst quotes the functions that
 * do this.
 *
 * stock.expected lists the tests that fail on the stock kernel, and what was
 * broken to see each of the others fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"

/* The stream has no end marker, so it is sent to the destination in frames */
enum {
	HTAB_BEGIN,	/* value: order of the HPT, which is empty */
	HTAB_RECORDS,	/* value: number of bytes of records that follow */
	HTAB_END,	/* value: 0 */
};

struct htab_frame {
	uint32_t type;
	uint32_t value;
};

/* The largest result of a read(); no record is longer than that */
#define HTAB_CHUNK	(64 << 10)

static int send_all(int out, const void *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(out, buf, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		buf += n;
		len -= n;
	}
	return 0;
}

static int recv_all(int in, void *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = read(in, buf, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EPIPE;
		buf += n;
		len -= n;
	}
	return 0;
}

static int send_frame(int out, uint32_t type, uint32_t value)
{
	struct htab_frame frame = { .type = type, .value = value };

	return send_all(out, &frame, sizeof(frame));
}

struct htab_source {
	int vm;			/* from KVM_CREATE_VM */
	unsigned int order;	/* of the HPT that is sent */
	bool old;		/* KVM_CAP_PPC_HTAB_FD is 1 */
	int out;		/* to the destination */
	int htab;		/* the reader, -1 at first */
	uint64_t begun;		/* number of readers opened so far */
	size_t len;		/* bytes that the last read returned */
	char buf[HTAB_CHUNK];
};

static bool htab_is_old(int vm)
{
	return ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_PPC_HTAB_FD) < 2;
}

static void htab_close(struct htab_source *s)
{
	if (s->htab >= 0)
		close(s->htab);
	s->htab = -1;
}

static int htab_progress(struct htab_source *s, struct kvm_ppc_htab_progress *p)
{
	memset(p, 0, sizeof(*p));
	p->argsz = sizeof(*p);
	return ioctl(s->htab, KVM_PPC_HTAB_PROGRESS, p) ? -errno : 0;
}

static int htab_begin(struct htab_source *s)
{
	struct kvm_get_htab_fd args = { .flags = 0 };
	struct kvm_ppc_htab_progress p;
	int err;

	htab_close(s);
	s->htab = ioctl(s->vm, KVM_PPC_GET_HTAB_FD, &args);
	if (s->htab < 0)
		return -errno;
	s->begun++;
	/* If the HPT is replaced from here on, reads fail with ESTALE */
	if (!s->old) {
		err = htab_progress(s, &p);
		if (err)
			return err;
		if (p.state == KVM_PPC_HTAB_STATE_CURRENT)
			s->order = p.order;
	}
	return send_frame(s->out, HTAB_BEGIN, s->order);
}

/* Send the result of one read.  Returns 1, 0 if it was empty, or an error. */
static int htab_send(struct htab_source *s)
{
	ssize_t len = read(s->htab, s->buf, sizeof(s->buf));
	int err;

	s->len = len > 0 ? len : 0;
	if (len < 0 && errno == ESTALE) {
		/* The guest has another HPT: begin again */
		err = htab_begin(s);
		return err ? err : 1;
	}
	if (len <= 0)
		return len ? -errno : 0;

	err = send_frame(s->out, HTAB_RECORDS, len);
	if (!err)
		err = send_all(s->out, s->buf, len);
	/* The records that were not sent are lost: the reader is of no use */
	if (err)
		htab_close(s);
	return err ? err : 1;
}

/* The length of the record at @buf, or 0 if it is incomplete */
static size_t htab_record(const char *buf, size_t len)
{
	struct kvm_get_htab_header header;
	size_t size;

	if (len < sizeof(header))
		return 0;
	memcpy(&header, buf, sizeof(header));
	size = sizeof(header) + header.n_valid * 2 * sizeof(uint64_t);
	return size <= len ? size : 0;
}

struct htab_pass {
	uint64_t next;		/* index after the last record */
	uint64_t bytes;		/* in this pass so far */
	uint64_t last;		/* bytes in the previous pass */
	uint64_t nr;		/* number of passes that are over */
};

static void htab_pass_over(struct htab_pass *p)
{
	p->last = p->bytes;
	p->bytes = 0;
	p->next = 0;
	p->nr++;
}

/* A pass is over when a read returns 0, or the index gets smaller */
static void htab_count(struct htab_source *s, struct htab_pass *p)
{
	struct kvm_get_htab_header header;
	size_t at, size;

	for (at = 0; at < s->len; at += size) {
		size = htab_record(s->buf + at, s->len - at);
		memcpy(&header, s->buf + at, sizeof(header));
		if (header.index < p->next)
			htab_pass_over(p);
		p->next = (uint64_t)header.index + header.n_valid +
			  header.n_invalid;
		p->bytes += size;
	}
	if (!s->len)
		htab_pass_over(p);
}

/*
 * Precopy without KVM_PPC_HTAB_PROGRESS: until a pass had no more than
 * @max_left bytes, so the next one is not expected to have many more.
 */
static int htab_precopy_old(struct htab_source *s, uint64_t max_left,
			    uint64_t max_passes)
{
	struct htab_pass p = { .last = UINT64_MAX };
	int ret;

	do {
		ret = htab_send(s);
		if (ret < 0)
			return ret;
		/* Send some RAM here */
		htab_count(s, &p);
	} while (p.last > max_left && p.nr < max_passes);
	return 0;
}

/*
 * Precopy, while the guest runs: until no more than @max_left bytes are left.
 * Gives up after @max_passes, if the guest is too busy, or replaces or resets
 * its HPT again and again.
 */
static int htab_precopy(struct htab_source *s, uint64_t max_left,
			uint64_t max_passes)
{
	uint64_t begun = s->begun, generation = 0, pass = 0, earlier = 0;
	struct kvm_ppc_htab_progress p;
	int ret;

	if (s->old)
		return htab_precopy_old(s, max_left, max_passes);
	do {
		ret = htab_send(s);
		if (ret < 0)
			return ret;
		/* Send some RAM here */
		ret = htab_progress(s, &p);
		if (ret)
			return ret;
		/* A radix guest, or one that has not started */
		if (p.state == KVM_PPC_HTAB_STATE_NONE)
			return 0;
		/* What was sent is void, and the reader has begun again */
		if (p.generation != generation || s->begun != begun)
			earlier += pass;
		generation = p.generation;
		begun = s->begun;
		pass = p.pass;
		/* If the reader is stale, htab_send() opens another one */
	} while ((p.state == KVM_PPC_HTAB_STATE_STALE ||
		  p.first_bytes + p.changed_bytes > max_left) &&
		 earlier + pass <= max_passes);
	return 0;
}

/* Send all that is left, after all vcpus have stopped */
static int htab_drain(struct htab_source *s)
{
	/* If old, the first 0 may come with changes left behind the cursor */
	int zeros = s->old ? 2 : 1, left = zeros, ret;

	do {
		ret = htab_send(s);
		left = ret ? zeros : left - 1;
	} while (ret >= 0 && left);
	if (!ret)
		ret = send_frame(s->out, HTAB_END, 0);
	htab_close(s);
	return ret;
}

/* The guest's HPTE at @index in CPU byte order, or 0 if there is none */
static int htab_lookup(int vm, uint64_t index, uint64_t hpte[2])
{
	struct kvm_get_htab_fd args = { .start_index = index };
	struct {
		struct kvm_get_htab_header header;
		uint64_t hpte[8][2];
	} buf;
	ssize_t len;
	int fd;

	fd = ioctl(vm, KVM_PPC_GET_HTAB_FD, &args);
	if (fd < 0)
		return -errno;
	len = read(fd, &buf, sizeof(buf));
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return len;

	hpte[0] = 0;
	hpte[1] = 0;
	/* A first pass begins with that HPTE.  If len is 0, there is no HPT. */
	if (len && buf.header.n_valid) {
		hpte[0] = be64toh(buf.hpte[0][0]);
		hpte[1] = be64toh(buf.hpte[0][1]);
	}
	return 0;
}

struct htab_sink {
	int vm;
	int in;			/* from the source */
	int htab;		/* the writer */
	bool one_by_one;	/* KVM_CAP_PPC_HTAB_FD is 1 */
	size_t len;		/* bytes in buf, which begins with a header */
	char buf[HTAB_CHUNK];
};

static int htab_open_sink(struct htab_sink *d)
{
	struct kvm_get_htab_fd args = { .flags = KVM_GET_HTAB_WRITE };

	d->one_by_one = htab_is_old(d->vm);
	d->len = 0;
	d->htab = ioctl(d->vm, KVM_PPC_GET_HTAB_FD, &args);
	return d->htab < 0 ? -errno : 0;
}

/* Write whole records, and keep a part of the last one in the buffer */
static int htab_apply(struct htab_sink *d)
{
	size_t done = 0, whole, size;
	ssize_t n;

	for (;;) {
		whole = 0;
		do {
			size = htab_record(d->buf + done + whole,
					   d->len - done - whole);
			whole += size;
		} while (size && !d->one_by_one);
		if (!whole)
			break;
		/* After a short write, the next one fails or goes on */
		n = write(d->htab, d->buf + done, whole);
		if (n < 0)
			return -errno;
		done += n;
	}
	d->len -= done;
	memmove(d->buf, d->buf + done, d->len);
	/* A full buffer: the record can never be completed */
	return d->len < sizeof(d->buf) ? 0 : -EMSGSIZE;
}

static int htab_records(struct htab_sink *d, size_t left)
{
	size_t n;
	int err;

	while (left) {
		n = sizeof(d->buf) - d->len;
		if (n > left)
			n = left;
		err = recv_all(d->in, d->buf + d->len, n);
		if (err)
			return err;
		d->len += n;
		left -= n;
		err = htab_apply(d);
		if (err)
			return err;
	}
	return 0;
}

/* Take all frames of the source. The memslots exist, and no vcpu runs. */
static int htab_receive(struct htab_sink *d)
{
	struct htab_frame frame;
	uint32_t order;
	int err;

	for (;;) {
		err = recv_all(d->in, &frame, sizeof(frame));
		if (err)
			return err;
		switch (frame.type) {
		case HTAB_BEGIN:
			/* Allocate another HPT, or empty the present one */
			order = frame.value;
			if (ioctl(d->vm, KVM_PPC_ALLOCATE_HTAB, &order))
				return -errno;
			d->len = 0;
			break;
		case HTAB_RECORDS:
			err = htab_records(d, frame.value);
			if (err)
				return err;
			break;
		case HTAB_END:
			return d->len ? -EPROTO : 0;
		default:
			return -EPROTO;
		}
	}
}

#define ORDER	MIN_ORDER
#define N	NPTE(ORDER)
#define MEM	PAGE_16M

/*
 * Pages that the guest maps and unmaps at GUEST_EA, and one that stays mapped.
 * Their HPTEs come after those of FILL.
 */
#define FIRST_PAGE	16UL
#define PAGES		32UL
#define KEPT_PAGE	8UL

/* The first HPTEs of the HPT, too many for one read */
#define FILL	8000UL

/* Number of HPTEs in a record that fills a read */
#define FULL_READ	((HTAB_CHUNK - REC_BYTES) / HPTE_BYTES)

/* Number of things that the guest does at least before it is stopped */
#define THINGS	300UL

/* Seconds that these may take with KASAN in an emulator */
#define BUSY_TIMEOUT	300

struct migration {
	struct vm vm[2];		/* source and destination */
	struct guest guest;
	struct htab_source source;
	struct htab_sink sink;
	int pipe[2];
	pthread_t worker, receiver;
	unsigned int seed;
	unsigned long things;
	bool stop, wrong;
	int received, replaced;
};

FIXTURE(vmm)
{
	struct migration m;
};

/* Connect the source to the destination */
static int make_way(struct migration *m)
{
	if (pipe(m->pipe))
		return -errno;
	m->source.out = m->pipe[1];
	m->sink.in = m->pipe[0];
	return 0;
}

FIXTURE_SETUP(vmm)
{
	unsigned long i;

	signal(SIGPIPE, SIG_IGN);
	ASSERT_EQ(0, make_way(&self->m));
	ASSERT_EQ(0, vm_init(&self->m.vm[0], ORDER, MEM));
	ASSERT_EQ(0, vm_init(&self->m.vm[1], 0, MEM));
	ASSERT_EQ(0, guest_init(&self->m.guest, &self->m.vm[0], true));
	ASSERT_EQ(0, vm_write_hpte(&self->m.vm[0], guest_index(N, KEPT_PAGE),
				   guest_hpte(KEPT_PAGE, KEPT_PAGE * PAGE_64K,
					      HPTE_R_RC)));
	for (i = 0; i < FILL; i += 100)
		ASSERT_EQ(0, vm_write_run(&self->m.vm[0], i, 75, 0));
	self->m.seed = 1;
	self->m.source.vm = self->m.vm[0].fd;
	self->m.source.order = ORDER;
	self->m.source.old = htab_is_old(self->m.vm[0].fd);
	self->m.source.htab = -1;
	self->m.sink.vm = self->m.vm[1].fd;
	ASSERT_EQ(0, htab_open_sink(&self->m.sink));
}

FIXTURE_TEARDOWN(vmm)
{
	guest_free(&self->m.guest);
	close(self->m.sink.htab);
	vm_free(&self->m.vm[1]);
	EXPECT_EQ(0, vm_free(&self->m.vm[0]));
}

/* Do something with the HPTE of a random page, whether it exists or not */
static long one_thing(struct migration *m)
{
	unsigned long page = FIRST_PAGE + rand_r(&m->seed) % PAGES;
	unsigned long index = guest_index(N, page);
	unsigned long addr = GUEST_EA + page * PAGE_64K;
	struct guest *g = &m->guest;

	switch (rand_r(&m->seed) % 4) {
	case 0:
		return guest_remove(g, index);
	case 1:
		return guest_protect(g, index, 2);
	case 2:
		if (guest_clear_ref(g, index) == H_SUCCESS)
			return guest_load(g, addr, true);
		return H_SUCCESS;
	default:
		return guest_enter(g, index,
				   guest_hpte(page, page * PAGE_64K, 0));
	}
}

static void *work(void *arg)
{
	struct migration *m = arg;
	long ret;

	while (!__atomic_load_n(&m->stop, __ATOMIC_RELAXED)) {
		ret = one_thing(m);
		m->wrong |= ret && ret != H_NOT_FOUND && ret != H_PTEG_FULL;
		__atomic_add_fetch(&m->things, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void guest_starts(struct migration *m)
{
	m->stop = false;
	pthread_create(&m->worker, NULL, work, m);
}

/* Stop the guest after it has done enough.  Were all results right? */
static bool guest_stops(struct migration *m)
{
	while (__atomic_load_n(&m->things, __ATOMIC_RELAXED) < THINGS)
		usleep(1000);
	__atomic_store_n(&m->stop, true, __ATOMIC_RELAXED);
	pthread_join(m->worker, NULL);
	return !m->wrong;
}

static void *receive(void *arg)
{
	struct migration *m = arg;

	m->received = htab_receive(&m->sink);
	/* Make the source's next write fail */
	close(m->sink.in);
	return NULL;
}

static void receiver_starts(struct migration *m)
{
	pthread_create(&m->receiver, NULL, receive, m);
}

/* Close the connection, and return the destination's result */
static int receiver_ends(struct migration *m)
{
	close(m->source.out);
	pthread_join(m->receiver, NULL);
	return m->received;
}

/* The number of HPTEs that differ, or ~0 if the HPTs cannot be read */
static unsigned long difference(struct migration *m, unsigned long npte)
{
	struct table a, b;
	unsigned long n = ~0UL;

	if (!table_init(&a, npte) && !table_init(&b, npte) &&
	    table_dump(&a, &m->vm[0], 0) == (long)npte &&
	    table_dump(&b, &m->vm[1], 0) == (long)npte && a.n_valid > 1)
		n = table_diff(&a, &b);
	table_free(&a);
	table_free(&b);
	return n;
}

/* Migrate a guest that works all the time; precopy has a limit of passes */
static void migrate_busy_guest(struct __test_metadata *_metadata,
			       struct migration *m, uint64_t max_passes)
{
	receiver_starts(m);
	guest_starts(m);
	ASSERT_EQ(0, htab_begin(&m->source));
	ASSERT_EQ(0, htab_precopy(&m->source, 0, max_passes));
	ASSERT_TRUE(guest_stops(m));
	ASSERT_EQ(0, htab_drain(&m->source));
	ASSERT_EQ(0, receiver_ends(m));
	EXPECT_EQ(0, difference(m, N));
}

/* A guest that works all the time is migrated, and goes on */
TEST_F_TIMEOUT(vmm, busy_guest, BUSY_TIMEOUT)
{
	struct guest there;

	migrate_busy_guest(_metadata, &self->m, 20);

	memcpy(self->m.vm[1].mem, self->m.vm[0].mem, MEM);
	ASSERT_EQ(0, guest_init(&there, &self->m.vm[1], false));
	EXPECT_EQ(0, guest_load(&there, GUEST_EA + KEPT_PAGE * PAGE_64K, true));
	EXPECT_EQ(H_SUCCESS, guest_remove(&there, guest_index(N, KEPT_PAGE)));
	guest_free(&there);
}

/* Precopy with max_left of 0 sends everything if no vcpu runs */
TEST_F(vmm, precopy_ends)
{
	struct kvm_ppc_htab_progress p;

	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(&self->m.source));
	ASSERT_EQ(0, htab_precopy(&self->m.source, 0, 1000));
	ASSERT_EQ(0, htab_progress(&self->m.source, &p));
	EXPECT_EQ(0, p.first_bytes + p.changed_bytes);
	EXPECT_EQ(0, htab_send(&self->m.source));

	/* Too many for one read */
	ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 9500, FILL * 3 / 4, 0));
	ASSERT_EQ(0, htab_precopy(&self->m.source, 0, 1000));
	EXPECT_EQ(0, htab_send(&self->m.source));
	ASSERT_EQ(0, htab_drain(&self->m.source));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, N));
}

/* After the HPT is replaced, precopy sends all of the new one */
TEST_F(vmm, precopy_sends_a_new_hpt)
{
	struct htab_source *s = &self->m.source;
	struct kvm_ppc_htab_progress p;

	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(s));
	ASSERT_EQ(0, htab_precopy(s, 0, 1000));
	ASSERT_EQ(0, vm_alloc_hpt(&self->m.vm[0], ++s->order));
	ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 9500, FILL * 3 / 4, 0));
	ASSERT_EQ(0, htab_precopy(s, 0, 1000));
	ASSERT_EQ(0, htab_progress(s, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_CURRENT, p.state);
	EXPECT_EQ(s->order, p.order);
	EXPECT_LT(1, p.pass);
	EXPECT_EQ(0, p.first_bytes + p.changed_bytes);
	ASSERT_EQ(0, htab_drain(s));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, 2 * N));
}

static void *replace_for_ever(void *arg)
{
	struct migration *m = arg;
	unsigned int i;

	for (i = 0; !__atomic_load_n(&m->stop, __ATOMIC_RELAXED); i++) {
		/* If the order is the same, this is a reset */
		m->replaced = vm_alloc_hpt(&m->vm[0], ORDER + i / 2 % 2);
		if (!m->replaced)
			m->replaced = vm_write_run(&m->vm[0], 9500, FILL / 2, 0);
		if (m->replaced)
			break;
	}
	return NULL;
}

/* A guest that reboots again and again cannot delay the migration for ever */
TEST_F(vmm, precopy_of_a_guest_that_resets)
{
	struct htab_source *s = &self->m.source;

	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(s));
	self->m.stop = false;
	pthread_create(&self->m.worker, NULL, replace_for_ever, &self->m);
	EXPECT_EQ(0, htab_precopy(s, 0, 20));
	__atomic_store_n(&self->m.stop, true, __ATOMIC_RELAXED);
	pthread_join(self->m.worker, NULL);
	ASSERT_EQ(0, self->m.replaced);
	ASSERT_EQ(0, htab_drain(s));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, NPTE(s->order)));
}

/* For a guest without an HPT, nothing is sent */
TEST_F(vmm, precopy_of_no_hpt)
{
	struct htab_source *s = &self->m.source;
	struct vm none;

	ASSERT_EQ(0, vm_init(&none, 0, 0));
	s->vm = none.fd;
	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(s));
	EXPECT_EQ(0, htab_precopy(s, 0, UINT64_MAX));
	htab_close(s);
	receiver_ends(&self->m);
	vm_free(&none);
}

/* Treat the kernel like one with the existing implementation */
TEST_F_TIMEOUT(vmm, old_kernel, BUSY_TIMEOUT)
{
	self->m.source.old = true;
	self->m.sink.one_by_one = true;
	migrate_busy_guest(_metadata, &self->m, 20);
}

/* There, precopy ends after a pass of at most max_left bytes, or max_passes */
TEST_F(vmm, old_precopy_ends)
{
	struct htab_source *s = &self->m.source;
	unsigned int i;

	s->old = true;
	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(s));
	ASSERT_EQ(0, htab_precopy(s, 0, UINT64_MAX));
	EXPECT_EQ(0, s->len);
	EXPECT_EQ(0, htab_send(s));

	for (i = 0; i < 2; i++) {
		/* Leave a long rest of this pass, and less for the next one */
		ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 9000, FULL_READ + 99,
					  0));
		ASSERT_EQ(1, htab_send(s));
		ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 100, 1, 0));
		ASSERT_EQ(0, htab_precopy(s, 1000, i ? 1 : UINT64_MAX));
		EXPECT_EQ(i, !!s->len);
	}
	ASSERT_EQ(0, htab_drain(s));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, N));
}

/* The bytes of a pass are counted right if it ends within a read, too */
TEST(old_pass)
{
	struct htab_pass p = { .last = UINT64_MAX };
	struct kvm_get_htab_header header[] = {
		{ 0, 0, 50 }, { 50, 0, 65535 }, { 65585, 0, 1 }, { 7, 0, 9 },
	};
	static struct htab_source s;

	memcpy(s.buf, header, sizeof(header));
	s.len = 3 * sizeof(*header);
	htab_count(&s, &p);
	EXPECT_EQ(0, p.nr);
	EXPECT_EQ(65586, p.next);
	EXPECT_EQ(s.len, p.bytes);

	memcpy(s.buf, header + 2, 2 * sizeof(*header));
	s.len = 2 * sizeof(*header);
	p.next--;
	htab_count(&s, &p);
	EXPECT_EQ(1, p.nr);
	EXPECT_EQ(16, p.next);
	EXPECT_EQ(4 * sizeof(*header), p.last);
	EXPECT_EQ(sizeof(*header), p.bytes);

	s.len = 0;
	htab_count(&s, &p);
	EXPECT_EQ(2, p.nr);
	EXPECT_EQ(0, p.next);
	EXPECT_EQ(sizeof(*header), p.last);
	EXPECT_EQ(0, p.bytes);
}

/*
 * A change behind the cursor after a read that was filled by the last change:
 * the existing implementation then returns 0
 */
TEST_F(vmm, change_behind_the_reader)
{
	struct htab_source *s = &self->m.source;

	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(s));
	ASSERT_EQ(0, htab_precopy(s, 0, 1000));
	ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 9000, FULL_READ, 0));
	ASSERT_EQ(1, htab_send(s));
	ASSERT_EQ(REC_BYTES + FULL_READ * HPTE_BYTES, s->len);
	ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 80, 1, 0));
	ASSERT_EQ(0, htab_drain(s));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, N));
}

/* A stopped guest is saved, without precopy */
TEST_F(vmm, saved)
{
	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(&self->m.source));
	ASSERT_EQ(0, htab_drain(&self->m.source));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, N));
}

/* The guest resizes its HPT: ESTALE, and the VMM begins again */
TEST_F_TIMEOUT(vmm, resized, BUSY_TIMEOUT)
{
	receiver_starts(&self->m);
	guest_starts(&self->m);
	ASSERT_EQ(0, htab_begin(&self->m.source));
	ASSERT_EQ(0, htab_precopy(&self->m.source, 0, 3));
	ASSERT_TRUE(guest_stops(&self->m));

	ASSERT_EQ(0, vm_resize(&self->m.vm[0], ORDER + 1));
	self->m.source.order = ORDER + 1;
	ASSERT_EQ(0, vm_write_run(&self->m.vm[0], N + 5, 3, 0));
	ASSERT_EQ(0, htab_precopy(&self->m.source, 0, 3));
	ASSERT_EQ(0, htab_drain(&self->m.source));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, 2 * N));
}

/* The guest is reset: the reader itself begins a new first pass */
TEST_F(vmm, reset)
{
	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(&self->m.source));
	ASSERT_EQ(0, htab_precopy(&self->m.source, 0, 1000));
	ASSERT_EQ(0, vm_alloc_hpt(&self->m.vm[0], ORDER));
	ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 7000, 20, 0));
	ASSERT_EQ(0, htab_drain(&self->m.source));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, N));
}

/* The destination disappears: the guest goes on, and is migrated elsewhere */
TEST_F_TIMEOUT(vmm, destination_gone, BUSY_TIMEOUT)
{
	close(self->m.sink.in);
	ASSERT_EQ(-EPIPE, htab_begin(&self->m.source));
	htab_close(&self->m.source);
	close(self->m.source.out);

	/* This pipe has room for the records of a read, which nobody takes */
	ASSERT_EQ(0, make_way(&self->m));
	ASSERT_LE(0, fcntl(self->m.pipe[0], F_SETPIPE_SZ, 4 * HTAB_CHUNK));
	ASSERT_EQ(0, htab_begin(&self->m.source));
	ASSERT_EQ(1, htab_send(&self->m.source));
	ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 12000, 1, 0));
	close(self->m.sink.in);
	ASSERT_EQ(-EPIPE, htab_send(&self->m.source));
	EXPECT_EQ(-1, self->m.source.htab);
	close(self->m.source.out);

	ASSERT_EQ(0, make_way(&self->m));
	migrate_busy_guest(_metadata, &self->m, 3);
}

/* Frames may begin and end anywhere in a record */
TEST_F(vmm, frames_of_any_size)
{
	unsigned char buf[HTAB_CHUNK];
	unsigned int size = 1;
	ssize_t len, at;
	int fd;

	receiver_starts(&self->m);
	fd = vm_htab_fd(&self->m.vm[0], 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, send_frame(self->m.source.out, HTAB_BEGIN, ORDER));
	while ((len = read(fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < len; at += size) {
			size = 1 + size % 61;
			if (size > len - at)
				size = len - at;
			ASSERT_EQ(0, send_frame(self->m.source.out, HTAB_RECORDS,
						size));
			ASSERT_EQ(0, send_all(self->m.source.out, buf + at,
					      size));
		}
	}
	ASSERT_EQ(0, len);
	ASSERT_EQ(0, send_frame(self->m.source.out, HTAB_END, 0));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, N));
}

/* The destination's errors for streams that are truncated or bad */
TEST_F(vmm, bad_streams)
{
	struct {
		size_t len;
		uint32_t index;
		uint16_t n_valid;
		uint16_t n_invalid;
		uint64_t v;
		bool end;
		int result;
	} bad[] = {
		{ 24, 0, 1, 0, HPTE_V_VALID, true, 0 },
		{ 24, 0, 1, 0, HPTE_V_VALID, false, -EPIPE },
		{ 16, 0, 1, 0, HPTE_V_VALID, true, -EPROTO },
		{ 5, 0, 1, 0, HPTE_V_VALID, true, -EPROTO },
		{ 24, 0, 1, 0, 0, true, -EINVAL },
		{ 24, N, 1, 0, HPTE_V_VALID, true, -EINVAL },
		{ 8, N - 1, 0, 2, 0, true, -EINVAL },
		{ HTAB_CHUNK, 0, 65535, 0, HPTE_V_VALID, true, -EMSGSIZE },
	};
	static unsigned char buf[HTAB_CHUNK];
	struct kvm_get_htab_header header;
	uint64_t v;
	unsigned int i;

	close(self->m.pipe[0]);
	close(self->m.pipe[1]);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(0, make_way(&self->m));
		ASSERT_LE(4 * HTAB_CHUNK,
			  fcntl(self->m.pipe[0], F_SETPIPE_SZ, 4 * HTAB_CHUNK));
		header.index = bad[i].index;
		header.n_valid = bad[i].n_valid;
		header.n_invalid = bad[i].n_invalid;
		v = htobe64(bad[i].v);
		memset(buf, 0, sizeof(buf));
		memcpy(buf, &header, sizeof(header));
		memcpy(buf + sizeof(header), &v, sizeof(v));

		ASSERT_EQ(0, send_frame(self->m.source.out, HTAB_BEGIN, ORDER));
		ASSERT_EQ(0, send_frame(self->m.source.out, HTAB_RECORDS,
					bad[i].len));
		ASSERT_EQ(0, send_all(self->m.source.out, buf, bad[i].len));
		if (bad[i].end)
			ASSERT_EQ(0, send_frame(self->m.source.out, HTAB_END, 0));
		receiver_starts(&self->m);
		EXPECT_EQ(bad[i].result, receiver_ends(&self->m)) {
			TH_LOG("stream %u", i);
		}
	}
}

/* A bad record ends the stream; the records before it are applied */
TEST_F(vmm, refused_in_the_middle)
{
	struct stream s;
	uint64_t hpte[2];

	ASSERT_EQ(0, stream_init(&s, 1000));
	stream_run(&s, 10, 1, 0);
	stream_run(&s, N, 1, 0);
	stream_run(&s, 20, 1, 0);
	ASSERT_EQ(0, send_frame(self->m.source.out, HTAB_BEGIN, ORDER));
	ASSERT_EQ(0, send_frame(self->m.source.out, HTAB_RECORDS, s.len));
	ASSERT_EQ(0, send_all(self->m.source.out, s.buf, s.len));
	receiver_starts(&self->m);
	EXPECT_EQ(-EINVAL, receiver_ends(&self->m));
	ASSERT_EQ(0, htab_lookup(self->m.vm[1].fd, 10, hpte));
	EXPECT_EQ(hpte_at(10).v, hpte[0]);
	EXPECT_EQ(hpte_at(10).r, hpte[1]);
	ASSERT_EQ(0, htab_lookup(self->m.vm[1].fd, 20, hpte));
	EXPECT_EQ(0, hpte[0]);
}

/* Look up single HPTEs during a migration, which loses nothing by that */
TEST_F(vmm, lookup)
{
	unsigned long index = guest_index(N, KEPT_PAGE);
	struct hpte kept = guest_hpte(KEPT_PAGE, KEPT_PAGE * PAGE_64K,
				      HPTE_R_RC);
	uint64_t hpte[2];

	receiver_starts(&self->m);
	ASSERT_EQ(0, htab_begin(&self->m.source));
	ASSERT_EQ(0, htab_precopy(&self->m.source, 0, 1000));

	ASSERT_EQ(0, vm_write_run(&self->m.vm[0], 12000, 3, 0));
	ASSERT_EQ(0, vm_invalidate(&self->m.vm[0], 0, 1));
	ASSERT_EQ(0, htab_lookup(self->m.vm[0].fd, index, hpte));
	EXPECT_EQ(kept.v, hpte[0]);
	EXPECT_EQ(kept.r, hpte[1]);
	ASSERT_EQ(0, htab_lookup(self->m.vm[0].fd, 12002, hpte));
	EXPECT_EQ(hpte_at(12002).v, hpte[0]);
	EXPECT_EQ(hpte_at(12002).r, hpte[1]);
	ASSERT_EQ(0, htab_lookup(self->m.vm[0].fd, 12003, hpte));
	EXPECT_EQ(0, hpte[0]);
	ASSERT_EQ(0, htab_lookup(self->m.vm[0].fd, 0, hpte));
	EXPECT_EQ(0, hpte[0]);
	ASSERT_EQ(0, htab_lookup(self->m.vm[0].fd, N - 1, hpte));
	EXPECT_EQ(0, hpte[0]);
	EXPECT_EQ(-EINVAL, htab_lookup(self->m.vm[0].fd, N, hpte));

	ASSERT_EQ(0, htab_drain(&self->m.source));
	ASSERT_EQ(0, receiver_ends(&self->m));
	EXPECT_EQ(0, difference(&self->m, N));
}

TEST_HARNESS_MAIN
