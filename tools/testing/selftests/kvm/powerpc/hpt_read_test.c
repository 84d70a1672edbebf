// SPDX-License-Identifier: GPL-2.0
/*
 * Reading the HPT of a guest: passes, changes, several readers, good and bad
 * buffers of any size, and what happens when the HPT goes away.  No vcpu runs
 * here; all changes are made by a writer.
 */
#include <errno.h>
#include <pthread.h>

#include "kselftest_harness.h"
#include "hpt_vm.h"

#define ORDER	MIN_ORDER
#define N	NPTE(ORDER)

#define BIG	0x100000UL

FIXTURE(read)
{
	struct vm vm;
	struct table want;
	struct table got;
};

FIXTURE_SETUP(read)
{
	ASSERT_EQ(0, vm_init(&self->vm, ORDER, 0));
	ASSERT_EQ(0, table_init(&self->want, N));
	ASSERT_EQ(0, table_init(&self->got, N));
}

FIXTURE_TEARDOWN(read)
{
	EXPECT_EQ(0, vm_free(&self->vm));
}

static int drop(struct vm *vm, struct table *want, unsigned long index,
		unsigned int n)
{
	memset(&want->hpte[index], 0, n * sizeof(struct hpte));
	return vm_invalidate(vm, index, n);
}

static int change(struct vm *vm, struct table *want, unsigned long index,
		  unsigned int n, bool valid)
{
	return valid ? vm_enter(vm, want, index, n) : drop(vm, want, index, n);
}

/* Enter runs of different lengths all over the table, and its two ends */
static int populate(struct vm *vm, struct table *want)
{
	unsigned long i;
	int err;

	err = vm_enter(vm, want, 0, 1);
	for (i = 7; !err && i < N - 200; i += 611)
		err = vm_enter(vm, want, i, 1 + i % 19);
	if (!err)
		err = vm_enter(vm, want, N - 1, 1);
	return err;
}

/* The first pass reports every HPTE once, valid or not */
TEST_F(read, first_pass_is_complete)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(N, table_seen_once(&self->got));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* The first pass goes from start_index to the end, without what is before */
TEST_F(read, first_pass_from_start_index)
{
	unsigned long start;
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	for (start = 0; start < N; start = start * 3 + 1) {
		table_unsee(&self->got);
		fd = vm_htab_fd(&self->vm, 0, start);
		ASSERT_LE(0, fd);
		EXPECT_EQ((long)(N - start), table_drain(&self->got, fd, 4096));
		EXPECT_EQ(0, table_seen(&self->got, 0, start));
		EXPECT_EQ(N - start, table_seen(&self->got, start, N));
		close(fd);
	}
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* With BOLTED_ONLY, HPTEs that are not bolted are reported as invalid */
TEST_F(read, first_pass_bolted_only)
{
	unsigned long i;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	for (i = 0; i < N; i++)
		if (!(self->want.hpte[i].v & HPTE_V_BOLTED))
			table_set(&self->want, i, (struct hpte){ 0 });
	EXPECT_EQ((long)N, table_dump(&self->got, &self->vm,
				      KVM_GET_HTAB_BOLTED_ONLY));
	EXPECT_EQ(N, table_seen(&self->got, 0, N));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A read that reaches the end of the table does not go on from the beginning */
TEST_F(read, pass_ends_a_read)
{
	int fd;

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	/* Leaves the cursor at the end of the first run */
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 100, 4));
	EXPECT_LT(0, table_read(&self->got, fd, REC_BYTES + 3 * HPTE_BYTES));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 0, 4));
	table_unsee(&self->got);
	EXPECT_LT(0, table_read(&self->got, fd, BIG));
	EXPECT_EQ(1, self->got.seen[N - 1]);
	EXPECT_EQ(0, table_seen(&self->got, 0, 4));
	/* These come in the next pass */
	EXPECT_LT(0, table_drain(&self->got, fd, BIG));
	EXPECT_EQ(4, table_seen(&self->got, 0, 4));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* After the first pass, changes are reported, and nothing else */
TEST_F(read, later_pass_tells_changes_only)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_read(&self->got, fd, 4096));

	table_unsee(&self->got);
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 5000, 1));
	EXPECT_EQ(1, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(1, self->got.seen[5000]);

	/* 7 is valid; 30 was invalid and stays so, which is no change */
	table_unsee(&self->got);
	ASSERT_EQ(0, drop(&self->vm, &self->want, 7, 1));
	ASSERT_EQ(0, drop(&self->vm, &self->want, 30, 1));
	EXPECT_EQ(1, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(1, self->got.seen[7]);

	/* Replace an HPTE by another one */
	table_unsee(&self->got);
	table_set(&self->want, 8, hpte_at(9000));
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 8, hpte_at(9000)));
	EXPECT_EQ(1, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(1, self->got.seen[8]);
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
	EXPECT_EQ(0, table_read(&self->got, fd, 4096));
}

/* HPTEs are entered and removed, or removed and entered, between two passes */
TEST_F(read, later_pass_tells_the_latest)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ((long)N, table_drain(&self->got, fd, 4096));

	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 300, 3));
	ASSERT_EQ(0, drop(&self->vm, &self->want, 300, 3));
	ASSERT_EQ(0, drop(&self->vm, &self->want, 7, 4));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 7, 4));
	ASSERT_LE(0, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A bolted HPTE that becomes unbolted is invalid under BOLTED_ONLY */
TEST_F(read, bolted_to_unbolted)
{
	struct hpte e = hpte_at(600);
	int fd;

	ASSERT_TRUE(e.v & HPTE_V_BOLTED);
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 600, 1));
	fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));

	e.v &= ~HPTE_V_BOLTED;
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 600, e));
	table_set(&self->want, 600, (struct hpte){ 0 });
	table_unsee(&self->got);
	EXPECT_EQ(1, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(1, self->got.seen[600]);
	EXPECT_EQ(0, table_diff(&self->want, &self->got));

	/* Bolted again */
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 600, 1));
	EXPECT_EQ(1, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* Later passes cover the whole table, wherever the first one started */
TEST_F(read, later_pass_goes_before_start_index)
{
	int fd;

	fd = vm_htab_fd(&self->vm, 0, 8000);
	ASSERT_LE(0, fd);
	ASSERT_LE((long)N - 8000, table_drain(&self->got, fd, 4096));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 64, 8));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 8064, 8));
	EXPECT_EQ(16, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* So does a change between the open and the first read */
TEST_F(read, changes_count_from_the_open)
{
	int fd;

	fd = vm_htab_fd(&self->vm, 0, 8000);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 64, 8));
	EXPECT_LE((long)N - 8000 + 8, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(8, table_seen(&self->got, 64, 72));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/*
 * 0 means that no change is left anywhere, even if the last ones are behind the
 * cursor.  A migration ends at this 0.
 */
TEST_F(read, zero_means_clean)
{
	unsigned long at;
	int fd;

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ((long)N, table_drain(&self->got, fd, 4096));
	for (at = 4096; at < N; at += 1500) {
		/* The buffer is full then, so the cursor stays after @at */
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, at, 1));
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, at + 8, 1));
		ASSERT_LT(0, table_read(&self->got, fd, MIN_READ + 8));
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, at - 4096, 1));
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, at - 1, 1));
		ASSERT_LT(0, table_drain(&self->got, fd, MIN_READ + 8));
		EXPECT_EQ(0, table_diff(&self->want, &self->got));
	}
}

/* Likewise, for changes during the first pass */
TEST_F(read, zero_means_clean_in_first_pass)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	while (!self->got.seen[N / 2]) {
		ASSERT_LT(0, table_read(&self->got, fd, 1024)) {
			TH_LOG("HPTE %lx was not reached", N / 2);
		}
	}
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 3, 1));
	ASSERT_EQ(0, drop(&self->vm, &self->want, 0, 1));
	ASSERT_EQ(0, drop(&self->vm, &self->want, N - 1, 1));
	ASSERT_LT(0, table_drain(&self->got, fd, 1024));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/*
 * The cursor of a first pass is in the middle of a group when HPTEs of the same
 * group change, before and after it.  Another reader may find the change first.
 */
TEST_F(read, changes_around_the_cursor)
{
	unsigned int i, other;
	unsigned long at;
	int fd[2];

	for (i = 0; i < 16; i++) {
		other = i / 8;
		at = 800 + i * 8;
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, at, 8));
		fd[0] = vm_htab_fd(&self->vm, 0, at);
		fd[1] = vm_htab_fd(&self->vm, 0, N - 1);
		ASSERT_LE(0, fd[0]);
		ASSERT_LE(0, fd[1]);
		ASSERT_LE(1, table_drain(&self->got, fd[1], 4096));
		table_unsee(&self->got);
		while (!self->got.seen[at + 3]) {
			ASSERT_LT(0, table_read(&self->got, fd[0],
						MIN_READ + 8)) {
				TH_LOG("HPTE %lx was not reached", at + 3);
			}
		}
		ASSERT_EQ(0, drop(&self->vm, &self->want, at + i % 8, 1));
		if (other)
			EXPECT_LE(1, table_read(&self->got, fd[1], 4096));
		memset(&self->got.hpte[at + i % 8], 0xff, sizeof(struct hpte));
		ASSERT_LT(0, table_drain(&self->got, fd[0], 4096));
		EXPECT_EQ(0, table_diff(&self->want, &self->got));
		close(fd[0]);
		close(fd[1]);
	}
}

/* Likewise, for random changes between reads of random size */
TEST_F(read, replica_is_equal_at_zero)
{
	unsigned int seed = 1, round, i, index;
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	for (round = 0; round < 100; round++) {
		for (i = 0; i <= round % 5; i++) {
			index = rand_r(&seed) % (N - 8);
			ASSERT_EQ(0, change(&self->vm, &self->want, index,
					    1 + i % 8, rand_r(&seed) % 2));
			ASSERT_LE(0, table_read(&self->got, fd,
						MIN_READ + 1 +
						rand_r(&seed) % 200));
		}
		ASSERT_LE(0, table_drain(&self->got, fd,
					 MIN_READ + 1 + rand_r(&seed) % 4000));
		ASSERT_EQ(0, table_diff(&self->want, &self->got)) {
			TH_LOG("in round %u", round);
		}
	}
}

/* Each of two readers reports each change */
TEST_F(read, readers_are_independent)
{
	struct table other;
	int fd[2];

	ASSERT_EQ(0, table_init(&other, N));
	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd[0] = vm_htab_fd(&self->vm, 0, 0);
	fd[1] = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd[0]);
	ASSERT_LE(0, fd[1]);
	ASSERT_EQ((long)N, table_drain(&self->got, fd[0], 4096));
	ASSERT_EQ((long)N, table_drain(&other, fd[1], 4096));

	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 5000, 5));
	ASSERT_EQ(0, drop(&self->vm, &self->want, N - 1, 1));
	EXPECT_EQ(6, table_drain(&other, fd[1], 4096));
	EXPECT_EQ(6, table_drain(&self->got, fd[0], 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
	EXPECT_EQ(0, table_diff(&self->want, &other));
}

/* Many readers with different speeds, starts and passes */
TEST_F(read, many_readers)
{
	enum { READERS = 16 };
	struct table got[READERS];
	unsigned int seed = 2, round, i, index;
	int fd[READERS];

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	for (i = 0; i < READERS; i++) {
		ASSERT_EQ(0, table_init(&got[i], N));
		/* Those with a start_index have the rest from elsewhere */
		if (i % 4 == 3)
			memcpy(got[i].hpte, self->want.hpte,
			       N * sizeof(struct hpte));
		fd[i] = vm_htab_fd(&self->vm, 0, i % 4 == 3 ? i * 1000 : 0);
		ASSERT_LE(0, fd[i]);
	}
	for (round = 0; round < 200; round++) {
		index = rand_r(&seed) % (N - 8);
		ASSERT_EQ(0, change(&self->vm, &self->want, index,
				    1 + round % 8, round % 3));
		i = rand_r(&seed) % READERS;
		ASSERT_LE(0, table_read(&got[i], fd[i], 64 << i / 2));
	}
	for (i = 0; i < READERS; i++) {
		ASSERT_LE(0, table_drain(&got[i], fd[i], 64 << i / 2));
		ASSERT_EQ(0, table_diff(&self->want, &got[i])) {
			TH_LOG("reader %u", i);
		}
	}
}

/*
 * Readers that look up one guest address: open at a group, read it, close.  The
 * reader of a migration loses nothing by that.
 */
TEST_F(read, one_group_readers_in_between)
{
	struct table group;
	unsigned long at;
	int fd, one;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	ASSERT_EQ(0, table_init(&group, N));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	for (at = 0; at < N; at += 504) {
		ASSERT_LE(0, table_read(&self->got, fd, 300));
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, at, 8));
		one = vm_htab_fd(&self->vm, 0, at);
		ASSERT_LE(0, one);
		table_unsee(&group);
		ASSERT_LT(0, table_read(&group, one,
					REC_BYTES + 8 * HPTE_BYTES + 1));
		EXPECT_EQ(at, group.first_index);
		EXPECT_EQ(8, table_seen(&group, at, at + 8));
		EXPECT_EQ(0, memcmp(&self->want.hpte[at], &group.hpte[at],
				    8 * sizeof(struct hpte)));
		close(one);
	}
	ASSERT_LE(0, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* Reads of 24 bytes, room for one HPTE, make progress */
TEST_F(read, smallest_buffer)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ((long)N, table_drain(&self->got, fd, MIN_READ));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));

	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 5000, 3));
	ASSERT_EQ(0, drop(&self->vm, &self->want, 7, 1));
	EXPECT_EQ(4, table_drain(&self->got, fd, MIN_READ));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A buffer that the records fit into exactly is filled */
TEST_F(read, exact_fit)
{
	unsigned int n;
	int fd;

	for (n = 1; n <= 200; n = n * 3 + 2) {
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 512, n + 1));
		fd = vm_htab_fd(&self->vm, 0, 512);
		ASSERT_LE(0, fd);
		EXPECT_EQ((ssize_t)(REC_BYTES + n * HPTE_BYTES),
			  table_read(&self->got, fd,
				     REC_BYTES + n * HPTE_BYTES));
		/* The end of the run, and the rest of the table */
		EXPECT_EQ((ssize_t)MIN_READ,
			  table_read(&self->got, fd, MIN_READ));
		EXPECT_EQ(0, table_read(&self->got, fd, MIN_READ));
		close(fd);
	}
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* EINVAL if the buffer cannot hold an HPTE, but a read of 0 bytes returns 0 */
TEST_F(read, too_small)
{
	size_t size;
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	for (size = 1; size < MIN_READ; size++)
		EXPECT_EQ(-EINVAL, table_read(&self->got, fd, size));
	EXPECT_EQ(0, table_read(&self->got, fd, 0));
	EXPECT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
	for (size = 1; size < MIN_READ; size++)
		EXPECT_EQ(-EINVAL, table_read(&self->got, fd, size));
	EXPECT_EQ(0, table_read(&self->got, fd, MIN_READ));
}

/* Reads of any size return whole records, and all of them */
TEST_F(read, any_size)
{
	struct table got;
	size_t size;
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	for (size = MIN_READ; size < 120; size++) {
		ASSERT_EQ(0, table_init(&got, N));
		fd = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd);
		ASSERT_EQ((long)N, table_drain(&got, fd, size)) {
			TH_LOG("with %zu bytes", size);
		}
		ASSERT_EQ(0, table_diff(&self->want, &got));
		close(fd);
		table_free(&got);
	}
}

/*
 * Read into memory that faults after @good bytes.  Later reads return what this
 * one did not deliver.
 */
static void faulting_read(struct __test_metadata *const _metadata,
			  struct table *want, int fd, struct edge *e,
			  size_t good)
{
	struct table got;
	ssize_t n;

	ASSERT_EQ(0, table_init(&got, N));
	n = read(fd, edge_at(e, good), 4096);
	if (n < 0) {
		ASSERT_EQ(EFAULT, errno);
	} else {
		ASSERT_LE(n, (ssize_t)good);
		ASSERT_LE(0, table_apply(&got, edge_at(e, good), n));
	}
	ASSERT_LE(0, table_drain(&got, fd, 4096));
	ASSERT_EQ(0, table_diff(want, &got)) {
		TH_LOG("with %zu good bytes", good);
	}
	table_free(&got);
}

TEST_F(read, fault_loses_nothing_of_first_pass)
{
	size_t good, total = 3 * REC_BYTES + 7 * HPTE_BYTES;
	struct edge none, ro;
	int fd;

	ASSERT_EQ(0, edge_init(&none, 4096, 4096, PROT_NONE));
	ASSERT_EQ(0, edge_init(&ro, 4096, 4096, PROT_READ));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 0, 3));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 5, 3));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 5000, 1));
	for (good = 0; good <= total; good++) {
		fd = vm_htab_fd(&self->vm, 0, 0);
		ASSERT_LE(0, fd);
		faulting_read(_metadata, &self->want, fd,
			      good % 2 ? &ro : &none, good);
		close(fd);
	}
}

TEST_F(read, fault_loses_nothing_of_later_pass)
{
	size_t good, total = 3 * REC_BYTES + 7 * HPTE_BYTES;
	struct edge none, ro;
	int fd;

	ASSERT_EQ(0, edge_init(&none, 4096, 4096, PROT_NONE));
	ASSERT_EQ(0, edge_init(&ro, 4096, 4096, PROT_READ));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_LT(0, table_drain(&self->got, fd, 4096));
	for (good = 0; good <= total; good++) {
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 0, 3));
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 5, 3));
		ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 5000, 1));
		faulting_read(_metadata, &self->want, fd,
			      good % 2 ? &none : &ro, good);
	}
}

/* A buffer whose first byte is inaccessible: EFAULT */
TEST_F(read, fault_at_once)
{
	struct edge e;
	int fd;

	ASSERT_EQ(0, edge_init(&e, 4096, 4096, PROT_NONE));
	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, read(fd, edge_at(&e, 0), 4096));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, read(fd, (void *)(1UL << 62), 4096));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A reset with the same order starts a new first pass at index 0 */
TEST_F(read, reset_starts_over)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	memset(self->want.hpte, 0, N * sizeof(struct hpte));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 9000, 2));
	table_unsee(&self->got);
	EXPECT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(N, table_seen_once(&self->got));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* Likewise, in the middle of a pass, and with a start_index */
TEST_F(read, reset_starts_over_at_zero)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 4000);
	ASSERT_LE(0, fd);
	ASSERT_LT(0, table_read(&self->got, fd, 256));
	ASSERT_LT(3999, self->got.first_index);

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	memset(self->want.hpte, 0, N * sizeof(struct hpte));
	table_unsee(&self->got);
	ASSERT_LT(0, table_read(&self->got, fd, 256));
	EXPECT_EQ(0, self->got.first_index);
	ASSERT_LE(0, table_drain(&self->got, fd, 256));
	EXPECT_EQ(N, table_seen(&self->got, 0, N));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* Once the HPT has been replaced, all reads fail with ESTALE */
TEST_F(read, replaced_is_stale)
{
	struct table big;
	int fd, fresh, i;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	fresh = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_LE(0, fresh);
	ASSERT_EQ((long)N, table_drain(&self->got, fd, 4096));

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER + 1));
	EXPECT_EQ(-ESTALE, table_read(&self->got, fd, 4096));
	EXPECT_EQ(-ESTALE, table_read(&self->got, fresh, 4096));

	/* Even if the next HPT has the original order */
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-ESTALE, table_read(&self->got, fd, 4096));
		EXPECT_EQ(-ESTALE, table_read(&self->got, fresh, 4096));
	}

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER + 1));
	ASSERT_EQ(0, table_init(&big, 2 * N));
	EXPECT_EQ((long)(2 * N), table_dump(&big, &self->vm, 0));
}

/* A new HPT is empty, even if it takes the memory of the previous one */
TEST_F(read, replaced_is_empty)
{
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 0, N));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER + 1));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	ASSERT_EQ(0, vm_enter(&self->vm, &self->want, 0, N));
	EXPECT_EQ((long)N, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A resize replaces the HPT, and moves bolted HPTEs */
TEST_F(read, resized_is_stale)
{
	struct table big;
	int fd;

	/* This makes the MMU ready, which a commit needs */
	ASSERT_EQ(0, vm_write_vrma(&self->vm, N, 0, HPTE_R_RC));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(vrma_count(), self->got.n_valid);

	ASSERT_EQ(0, vm_resize(&self->vm, ORDER + 1));
	EXPECT_EQ(-ESTALE, table_read(&self->got, fd, 4096));
	EXPECT_EQ(-ESTALE, table_read(&self->got, fd, 4096));

	ASSERT_EQ(0, table_init(&big, 2 * N));
	EXPECT_EQ((long)(2 * N), table_dump(&big, &self->vm, 0));
	EXPECT_EQ(vrma_count(), big.n_valid);
}

/* A resize that is only prepared, or refused, changes nothing */
TEST_F(read, resize_not_committed)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_LT(0, table_read(&self->got, fd, 512));
	ASSERT_LE(0, vm_resize_prepare(&self->vm, ORDER + 1));
	ASSERT_LT(0, table_read(&self->got, fd, 512));
	ASSERT_EQ(0, vm_resize_prepare(&self->vm, 0));
	ASSERT_LT(0, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A commit fails if the MMU is not ready, without a warning */
TEST_F(read, resize_commit_not_ready)
{
	int fd;

	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_LT(0, table_read(&self->got, fd, 512));
	EXPECT_GT(0, vm_resize_commit(&self->vm, ORDER + 1));
	EXPECT_GT(0, vm_resize(&self->vm, ORDER + 1));
	EXPECT_EQ(0, vm_kernel_log(&self->vm));
	ASSERT_LT(0, table_drain(&self->got, fd, 512));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A switch to radix removes the HPT */
TEST_F(read, radix_is_stale)
{
	int fd;

	if (!self->vm.radix)
		SKIP(return, "the host has no radix MMU");
	ASSERT_EQ(0, populate(&self->vm, &self->want));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_LT(0, table_read(&self->got, fd, 4096));

	ASSERT_EQ(0, vm_set_radix(&self->vm, true));
	EXPECT_EQ(-ESTALE, table_read(&self->got, fd, 4096));
	ASSERT_EQ(0, vm_set_radix(&self->vm, false));
	EXPECT_EQ(-ESTALE, table_read(&self->got, fd, 4096));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	EXPECT_EQ(-ESTALE, table_read(&self->got, fd, 4096));
	EXPECT_EQ((long)N, table_dump(&self->got, &self->vm, 0));
}

/* Two threads that read from one fd share one pass */
struct along {
	pthread_barrier_t *start;
	int fd;
	struct table t;
};

static void *read_along(void *arg)
{
	struct along *a = arg;

	pthread_barrier_wait(a->start);
	return (void *)table_drain(&a->t, a->fd, 100000);
}

TEST_F(read, reads_are_serialised)
{
	pthread_barrier_t start;
	struct along a[2];
	pthread_t thread;
	unsigned long i;
	long mine;
	void *ret;
	int fd;

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER + 3));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, vm_write_run(&self->vm, i * N, N, 0)) {
			TH_LOG("at %lx", i * N);
		}
	}
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pthread_barrier_init(&start, NULL, 2));
	for (i = 0; i < 2; i++) {
		a[i].start = &start;
		a[i].fd = fd;
		ASSERT_EQ(0, table_init(&a[i].t, 8 * N)) {
			TH_LOG("out of memory");
		}
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_along, &a[1]));
	mine = (long)read_along(&a[0]);
	pthread_join(thread, &ret);

	EXPECT_LE(0, mine);
	EXPECT_LE(0, (long)ret);
	EXPECT_EQ((long)(8 * N), mine + (long)ret);
	for (i = 0; i < 8 * N; i++)
		a[0].t.seen[i] += a[1].t.seen[i];
	EXPECT_EQ(8 * N, table_seen_once(&a[0].t));
}

/* The file in debugfs shows the same HPTEs in the host's view */
TEST_F(read, debugfs_agrees)
{
	unsigned long index, v, host_r, r, diff, n = 0;
	char name[64];
	FILE *f;

	snprintf(name, sizeof(name), "/sys/kernel/debug/kvm/%d-%d/htab",
		 getpid(), self->vm.fd);
	if (access("/sys/kernel/debug/kvm", F_OK))
		SKIP(return, "debugfs is not mounted");
	f = fopen(name, "r");
	ASSERT_NE(NULL, f);
	ASSERT_EQ(0, populate(&self->vm, &self->want));
	while (fscanf(f, "%lx %lx %lx %lx\n", &index, &v, &host_r, &r) == 4) {
		ASSERT_GT(N, index);
		/* Compare the bits that both formats of an HPTE have */
		diff = v ^ self->want.hpte[index].v;
		EXPECT_EQ(0, diff & 0x000fffffffffff9eUL);
		EXPECT_EQ(self->want.hpte[index].r, r & ~HPTE_R_SOFT);
		memset(&self->want.hpte[index], 0, sizeof(struct hpte));
		n++;
	}
	EXPECT_TRUE(feof(f));
	EXPECT_LT(0, n);
	/* No HPTE is missing in debugfs */
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
	fclose(f);
}

/* A VM that has no HPT yet; on a radix host it is radix until it gets one */
FIXTURE(no_hpt)
{
	struct vm vm;
	struct table got;
};

FIXTURE_SETUP(no_hpt)
{
	ASSERT_EQ(0, vm_init(&self->vm, 0, 0));
	ASSERT_EQ(0, table_init(&self->got, N));
}

FIXTURE_TEARDOWN(no_hpt)
{
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* Reads return 0, writes fail with EINVAL */
TEST_F(no_hpt, reads_nothing)
{
	int fd;

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, table_read(&self->got, fd, MIN_READ));
	EXPECT_EQ(0, table_read(&self->got, fd, 4096));
	EXPECT_EQ(-EINVAL, vm_write_run(&self->vm, 0, 1, 0));
	EXPECT_EQ(-EINVAL, vm_invalidate(&self->vm, 0, 1));
	EXPECT_EQ(0, table_read(&self->got, fd, 4096));
}

/* The first pass begins once there is an HPT */
TEST_F(no_hpt, first_pass_comes_later)
{
	struct table want;
	int fd;

	ASSERT_EQ(0, table_init(&want, N));
	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, table_read(&self->got, fd, 4096));
	if (self->vm.radix) {
		/* Neither radix nor an HPT */
		ASSERT_EQ(0, vm_set_radix(&self->vm, false));
		EXPECT_EQ(0, table_read(&self->got, fd, 4096));
		EXPECT_EQ(-EINVAL, vm_write_run(&self->vm, 0, 1, 0));
	}
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	ASSERT_EQ(0, populate(&self->vm, &want));
	EXPECT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(N, table_seen(&self->got, 0, N));
	EXPECT_EQ(0, table_diff(&want, &self->got));
}

/* Likewise, if there was an HPT before; nothing of it is reported */
TEST_F(no_hpt, after_radix)
{
	int fd;

	if (!self->vm.radix)
		SKIP(return, "the host has no radix MMU");
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	ASSERT_EQ(0, vm_write_run(&self->vm, 100, 8, 0));
	ASSERT_EQ(0, vm_set_radix(&self->vm, true));

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, table_read(&self->got, fd, 4096));
	EXPECT_EQ(-EINVAL, vm_write_run(&self->vm, 0, 1, 0));

	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	EXPECT_EQ((long)N, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, self->got.n_valid);
}

TEST_HARNESS_MAIN
