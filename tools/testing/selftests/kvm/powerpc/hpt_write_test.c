// SPDX-License-Identifier: GPL-2.0
/*
 * Writing HPTEs: any number of records at once, which records are refused and
 * how, and that nothing of a refused record is applied or logged.  The VMs here
 * have no vcpus.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "hpt_vm.h"

#define ORDER	MIN_ORDER
#define N	NPTE(ORDER)

FIXTURE(write)
{
	struct vm vm;
	struct table want;
	struct table got;
	struct stream s;
	int fd;
};

FIXTURE_SETUP(write)
{
	ASSERT_EQ(0, vm_init(&self->vm, ORDER, PAGE_16M));
	ASSERT_EQ(0, table_init(&self->want, N));
	ASSERT_EQ(0, table_init(&self->got, N));
	ASSERT_EQ(0, stream_init(&self->s, 4 << 20));
	self->fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LE(0, self->fd);
	/* Allocate guest page 0, so that its HPTEs are present at once */
	self->vm.mem[0] = 1;
}

FIXTURE_TEARDOWN(write)
{
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* Add a record to the stream, and its effect to the expected table */
static void add(struct stream *s, struct table *want, unsigned long index,
		unsigned int n_valid, unsigned int n_invalid)
{
	stream_run(s, index, n_valid, n_invalid);
	table_set_run(want, index, n_valid);
	memset(&want->hpte[index + n_valid], 0,
	       n_invalid * sizeof(struct hpte));
}

/* The number of HPTEs that differ from the expected table */
static unsigned long differs(struct vm *vm, struct table *want)
{
	struct table got;
	unsigned long n;

	if (table_init(&got, want->npte) || table_dump(&got, vm, 0) < 0)
		return ~0UL;
	n = table_diff(want, &got);
	table_free(&got);
	return n;
}

/* An HPTE for a page of 64K or 16M */
static struct hpte mapping(unsigned long index, unsigned long gpa,
			   unsigned long page_size)
{
	struct hpte e = hpte_at(index);

	e.v |= HPTE_V_LARGE;
	e.r &= ~(HPTE_R_RPN | HPTE_R_LP_64K);
	e.r |= gpa;
	if (page_size == PAGE_64K)
		e.r |= HPTE_R_LP_64K;
	return e;
}

/* One write, any number of records */
TEST_F(write, many_records)
{
	unsigned int i;

	for (i = 0; i < 500; i++)
		add(&self->s, &self->want, i * 32, i % 17, 1 + i % 7);
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

/* HPTEs for pages of all sizes */
TEST_F(write, page_sizes)
{
	struct hpte e[] = {
		mem_hpte(64, 0),
		mem_hpte(65, PAGE_64K),
		mapping(66, GPA_MMIO, PAGE_64K),
		mapping(67, GPA_MMIO, PAGE_16M),
		/* 4K, 64K in a segment of 4K, 16M in 4K, 16M in 64K, 16G */
		{ hpte_at(68).v & ~HPTE_V_LARGE, 0x3000 | HPTE_R_M },
		{ hpte_at(69).v | HPTE_V_LARGE, GPA_MMIO | 0x7000 },
		{ hpte_at(70).v | HPTE_V_LARGE, GPA_MMIO | 0x38000 },
		{ hpte_at(71).v | HPTE_V_LARGE, GPA_MMIO | 0x8000 },
		{ hpte_at(72).v | HPTE_V_LARGE, GPA_MMIO | 0x3000 },
	};
	unsigned int i, n = ARRAY_SIZE(e);

	stream_header(&self->s, 64, n, 0);
	for (i = 0; i < n; i++) {
		stream_hpte(&self->s, e[i]);
		table_set(&self->want, 64 + i, e[i]);
	}
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

/* Existing HPTEs are replaced; those counted as invalid are removed */
TEST_F(write, replaces_and_removes)
{
	unsigned int i;

	add(&self->s, &self->want, 100, 40, 0);
	ASSERT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));

	self->s.len = 0;
	stream_header(&self->s, 110, 5, 10);
	for (i = 0; i < 5; i++) {
		stream_hpte(&self->s, mem_hpte(i, i * PAGE_64K));
		table_set(&self->want, 110 + i, mem_hpte(i, i * PAGE_64K));
	}
	memset(&self->want.hpte[115], 0, 10 * sizeof(struct hpte));
	add(&self->s, &self->want, 130, 0, 20);
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &self->want));

	/* Writing the same again changes nothing */
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

/* If a write contains an index twice, the last HPTE counts */
TEST_F(write, same_index_twice)
{
	add(&self->s, &self->want, 50, 8, 0);
	add(&self->s, &self->want, 50, 0, 4);
	add(&self->s, &self->want, 52, 1, 0);
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

/* The longest possible records */
TEST_F(write, record_of_65535)
{
	struct table want;

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, 22));
	ASSERT_EQ(0, table_init(&want, NPTE(22)));
	add(&self->s, &want, 1, 65535, 65535);
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &want));

	self->s.len = 0;
	add(&self->s, &want, 5, 0, 65535);
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &want));
}

/* The whole table, with its first and last HPTE */
TEST_F(write, whole_table)
{
	add(&self->s, &self->want, 0, N, 0);
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
	self->s.len = 0;
	add(&self->s, &self->want, 0, 0, N);
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

/* A write of a part of a record: EINVAL; of 0 bytes: 0; extra bytes are left */
TEST_F(write, counts_around_one_record)
{
	stream_run(&self->s, 77, 2, 0);
	EXPECT_EQ(0, stream_write(self->fd, self->s.buf, 0));

	/* A record with n_valid = 2 is longer than these */
	EXPECT_EQ(-EINVAL, stream_write(self->fd, self->s.buf, 1));
	EXPECT_EQ(-EINVAL, stream_write(self->fd, self->s.buf, 23));
	EXPECT_EQ(-EINVAL, stream_write(self->fd, self->s.buf, 24));
	EXPECT_EQ(-EINVAL, stream_write(self->fd, self->s.buf, 25));
	EXPECT_EQ(-EINVAL, stream_write(self->fd, self->s.buf, 32));
	EXPECT_EQ(-EINVAL, stream_write(self->fd, self->s.buf, 39));
	EXPECT_EQ(0, differs(&self->vm, &self->want));

	self->s.len = 0;
	add(&self->s, &self->want, 77, 1, 0);
	self->s.len++;
	EXPECT_EQ(-EINVAL, stream_write(self->fd, self->s.buf, 23));
	EXPECT_EQ(24, stream_write(self->fd, self->s.buf, 24));
	EXPECT_EQ(24, stream_write(self->fd, self->s.buf, 25));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

/*
 * Three records of 40, 24 and 56 bytes, of which a write gets the first @end
 * bytes.  Returns how many of these are applied, and adds their effect to
 * @want.
 */
static size_t three_records(struct stream *s, struct table *want, size_t end)
{
	size_t taken = 0;

	s->len = 0;
	stream_run(s, 200, 2, 1);
	if (s->len <= end) {
		table_set_run(want, 200, 2);
		taken = s->len;
	}
	stream_run(s, 300, 1, 0);
	if (s->len <= end) {
		table_set_run(want, 300, 1);
		taken = s->len;
	}
	stream_run(s, 400, 3, 0);
	if (s->len <= end) {
		table_set_run(want, 400, 3);
		taken = s->len;
	}
	return taken;
}

/* A stream that is cut off anywhere: its whole records are applied */
TEST_F(write, truncated_anywhere)
{
	size_t end, taken;

	for (end = 1; end <= 120; end++) {
		memset(self->want.hpte, 0, N * sizeof(struct hpte));
		taken = three_records(&self->s, &self->want, end);
		ASSERT_EQ(taken ? (ssize_t)taken : -EINVAL,
			  stream_write(self->fd, self->s.buf, end)) {
			TH_LOG("cut off at %zu", end);
		}
		ASSERT_EQ(0, differs(&self->vm, &self->want));
		ASSERT_EQ(0, vm_invalidate(&self->vm, 0, N));
	}
}

/* A stream that is unreadable from a byte on: EFAULT if in the first record */
TEST_F(write, unreadable_anywhere)
{
	size_t good, taken;
	struct edge e;

	ASSERT_EQ(0, edge_init(&e, 4096, 4096, PROT_NONE));
	for (good = 0; good <= 120; good++) {
		memset(self->want.hpte, 0, N * sizeof(struct hpte));
		taken = three_records(&self->s, &self->want, good);
		memcpy(edge_at(&e, good), self->s.buf, good);
		ASSERT_EQ(taken ? (ssize_t)taken : -EFAULT,
			  stream_write(self->fd, edge_at(&e, good),
				       self->s.len)) {
			TH_LOG("unreadable from %zu", good);
		}
		ASSERT_EQ(0, differs(&self->vm, &self->want));
		ASSERT_EQ(0, vm_invalidate(&self->vm, 0, N));
	}
	EXPECT_EQ(-EFAULT, stream_write(self->fd, (void *)(1UL << 62), 64));
}

/* A long record whose end is unreadable */
TEST_F(write, long_record_unreadable)
{
	struct edge e;
	size_t cut;

	ASSERT_EQ(0, edge_init(&e, 1 << 20, 4096, PROT_NONE));
	stream_run(&self->s, 0, 10000, 0);
	for (cut = 1; cut < self->s.len; cut = cut * 5 + 3) {
		memcpy(edge_at(&e, self->s.len - cut), self->s.buf,
		       self->s.len - cut);
		EXPECT_EQ(-EFAULT,
			  stream_write(self->fd, edge_at(&e, self->s.len - cut),
				       self->s.len));
	}
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

/*
 * Write a bad record over existing HPTEs, at the beginning of a write and after
 * good records, with the bad HPTE first and last.  Nothing of the record is
 * applied, and a reader has nothing to report.
 */
static void refused(struct __test_metadata *const _metadata, struct vm *vm,
		    struct stream *s, int fd, struct hpte bad, int err)
{
	unsigned int i, at;
	struct table want;
	size_t good;
	int rd;

	ASSERT_EQ(0, table_init(&want, N));
	ASSERT_EQ(0, vm_write_run(vm, 600, 8, 0));
	table_set_run(&want, 600, 8);
	rd = vm_htab_fd(vm, 0, 0);
	ASSERT_LE(0, rd);
	ASSERT_LT(0, table_drain(&want, rd, 4096));

	for (at = 0; at < 3; at += 2) {
		s->len = 0;
		stream_header(s, 603, 3, 4);
		for (i = 0; i < 3; i++)
			stream_hpte(s, i == at ? bad : hpte_at(9 + i));
		EXPECT_EQ(err, stream_write(fd, s->buf, s->len)) {
			TH_LOG("HPTE %016lx %016lx at %u", bad.v, bad.r, at);
		}
		EXPECT_EQ(0, table_read(&want, rd, 4096));
		EXPECT_EQ(0, differs(vm, &want));

		s->len = 0;
		add(s, &want, 1000, 2, 3);
		add(s, &want, 1010, 0, 1);
		good = s->len;
		stream_header(s, 603, 3, 4);
		for (i = 0; i < 3; i++)
			stream_hpte(s, i == at ? bad : hpte_at(9 + i));
		stream_run(s, 1020, 4, 0);
		EXPECT_EQ((ssize_t)good, stream_write(fd, s->buf, s->len));
		EXPECT_EQ(0, differs(vm, &want));
		ASSERT_LE(0, table_drain(&want, rd, 4096));
	}
	close(rd);
	table_free(&want);
}

/* V is clear: EINVAL */
TEST_F(write, v_clear)
{
	struct hpte e = hpte_at(3);

	e.v &= ~HPTE_V_VALID;
	refused(_metadata, &self->vm, &self->s, self->fd, e, -EINVAL);
	e.v = 0;
	e.r = 0;
	refused(_metadata, &self->vm, &self->s, self->fd, e, -EINVAL);
}

/* An undefined page size: EINVAL */
TEST_F(write, bad_page_size)
{
	/* Undefined encodings, in dword 1 from bit 12 on */
	unsigned int lp[] = { 0x10, 0x02, 0x04, 0x05, 0x06, 0x09, 0x0f, 0x13,
			      0x18, 0x28, 0x48, 0xff };
	struct hpte e = hpte_at(3);
	unsigned int i;

	e.v |= HPTE_V_LARGE;
	for (i = 0; i < ARRAY_SIZE(lp); i++) {
		e.r = GPA_MMIO | lp[i] << 12 | HPTE_R_M;
		refused(_metadata, &self->vm, &self->s, self->fd, e, -EINVAL);
	}
}

/* A reserved segment size: EIO */
TEST_F(write, reserved_segment_size)
{
	struct hpte e = hpte_at(3);

	e.v |= 1UL << 63;
	refused(_metadata, &self->vm, &self->s, self->fd, e, -EIO);
	e.v |= 1UL << 62;
	refused(_metadata, &self->vm, &self->s, self->fd, e, -EIO);
}

/* A page that is larger than the host's page behind it: EIO */
TEST_F(write, larger_than_host_page)
{
	/* Fails on a host without huge pages, where it is not needed */
	madvise(self->vm.mem, self->vm.mem_size, MADV_NOHUGEPAGE);
	/* Discard a huge page that is there already */
	ASSERT_EQ(0, madvise(self->vm.mem, self->vm.mem_size, MADV_DONTNEED));
	*self->vm.mem = 1;

	refused(_metadata, &self->vm, &self->s, self->fd,
		mapping(3, 0, PAGE_16M), -EIO);
	if (mem_shift() < 16)
		refused(_metadata, &self->vm, &self->s, self->fd,
			mapping(3, 0, PAGE_64K), -EIO);
}

/* A page that does not fit into the memslot: EIO */
TEST_F(write, larger_than_memslot)
{
	/* Instead of slot 0, there is 1M of memory at 16M */
	ASSERT_EQ(0, vm_memslot(&self->vm, 0, 0, NULL, 0, 0));
	ASSERT_EQ(0, vm_memslot(&self->vm, 1, PAGE_16M, self->vm.mem,
				16 * PAGE_64K, 0));
	refused(_metadata, &self->vm, &self->s, self->fd,
		mapping(3, PAGE_16M, PAGE_16M), -EIO);
}

/* Indexes past the end of the table: EINVAL */
TEST_F(write, bad_index)
{
	static const struct {
		unsigned int index, n_valid, n_invalid;
	} bad[] = {
		{ N, 1, 0 },
		{ N, 0, 1 },
		{ N + 1, 1, 0 },
		{ N - 1, 2, 0 },
		{ N - 1, 1, 1 },
		{ N - 1, 0, 2 },
		{ N - 8, 4, 5 },
		{ 0, 0, N + 1 },
		{ 0, 1, N },
		{ ~0U, 1, 0 },
		{ ~0U, 1, 65535 },
		{ ~0U - 1, 2, 2 },
		{ 1U << 31, 0, 1 },
	};
	unsigned int i;
	ssize_t good;

	add(&self->s, &self->want, 0, 4, 0);
	add(&self->s, &self->want, N - 4, 4, 0);
	good = self->s.len;
	ASSERT_EQ(good, stream_write(self->fd, self->s.buf, good));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		self->s.len = good;
		stream_run(&self->s, bad[i].index, bad[i].n_valid,
			   bad[i].n_invalid);
		EXPECT_EQ(-EINVAL, stream_write(self->fd, self->s.buf + good,
						self->s.len - good)) {
			TH_LOG("index %u, %u + %u", bad[i].index,
			       bad[i].n_valid, bad[i].n_invalid);
		}
		EXPECT_EQ(good, stream_write(self->fd, self->s.buf,
					     self->s.len));
	}
	EXPECT_EQ(0, differs(&self->vm, &self->want));

	/* The last valid indexes are accepted */
	self->s.len = 0;
	add(&self->s, &self->want, N - 3, 1, 2);
	EXPECT_EQ((ssize_t)self->s.len,
		  stream_write(self->fd, self->s.buf, self->s.len));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

/* A write never returns more than its size, whatever the records contain */
TEST_F(write, never_more_than_count)
{
	struct stream *s = &self->s;
	unsigned int i;
	ssize_t n;

	/* HPTEs that would be valid headers */
	stream_header(s, 500, 4, 0);
	for (i = 0; i < 4; i++)
		stream_header(s, 0x01000000, 0, 0x100);
	for (i = 0; i < 4; i++)
		stream_run(s, 600, 1, 0);
	for (i = 1; i <= s->len; i++) {
		n = stream_write(self->fd, s->buf, i);
		EXPECT_GE((ssize_t)i, n);
		EXPECT_NE(0, n);
	}
}

/* The number of bytes that splice() moves from a pipe, or a negative errno */
static ssize_t spliced(int from, int to)
{
	ssize_t n = splice(from, NULL, to, NULL, 1 << 20, SPLICE_F_NONBLOCK);

	return n < 0 ? -errno : n;
}

/* A part of a record stays in the pipe until the rest has arrived */
TEST_F(write, splice_of_a_part)
{
	size_t part = REC_BYTES + HPTE_BYTES + 3, first;
	struct stream *s = &self->s;
	int pipefd[2];

	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_LE(0, fcntl(pipefd[1], F_SETPIPE_SZ, PAGE_64K));
	add(s, &self->want, 8, 2, 0);
	first = s->len;
	add(s, &self->want, 16, 3, 0);
	ASSERT_EQ((ssize_t)(first + part),
		  write(pipefd[1], s->buf, first + part));
	EXPECT_EQ((ssize_t)first, spliced(pipefd[0], self->fd));
	EXPECT_EQ(-EINVAL, spliced(pipefd[0], self->fd));
	s->len -= first + part;
	ASSERT_EQ((ssize_t)s->len,
		  write(pipefd[1], s->buf + first + part, s->len));
	EXPECT_EQ((ssize_t)(part + s->len), spliced(pipefd[0], self->fd));
	EXPECT_EQ(0, differs(&self->vm, &self->want));

	/* A record that is longer than the pipe, until the pipe is enlarged */
	s->len = 0;
	add(s, &self->want, 32, 5000, 0);
	ASSERT_EQ((ssize_t)PAGE_64K, write(pipefd[1], s->buf, PAGE_64K));
	EXPECT_EQ(-EINVAL, spliced(pipefd[0], self->fd));
	ASSERT_LE(0, fcntl(pipefd[1], F_SETPIPE_SZ, 2 * PAGE_64K));
	ASSERT_EQ((ssize_t)(s->len - PAGE_64K),
		  write(pipefd[1], s->buf + PAGE_64K, s->len - PAGE_64K));
	EXPECT_EQ((ssize_t)s->len, spliced(pipefd[0], self->fd));
	EXPECT_EQ(0, differs(&self->vm, &self->want));
	close(pipefd[0]);
	close(pipefd[1]);
}

/* A writer's position and start_index do not matter, only the records do */
TEST_F(write, fresh_fd_each_time)
{
	unsigned int i;
	int fd;

	for (i = 0; i < 50; i++) {
		fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, i);
		ASSERT_LE(0, fd);
		self->s.len = 0;
		add(&self->s, &self->want, i * 20, 3, 5);
		EXPECT_EQ((ssize_t)self->s.len,
			  stream_write(fd, self->s.buf, self->s.len));
		close(fd);
	}
	EXPECT_EQ(0, differs(&self->vm, &self->want));
}

TEST_HARNESS_MAIN
