// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads during which something fails, or the HPT is reset or replaced, at each
 * place.
 */

#include "fixture.h"

static void reset_and_enter(struct kvm *kvm)
{
	unsigned long index;

	reset(kvm);
	for (index = 2400; index < 4000; index += 8)
		fake_h_enter(kvm, index, V | HPTE_V_BOLTED, R(2));
}

/* The buffer has records already, but is not full */
TEST_F(file, reset_between_two_looks)
{
	static u64 seen_v[1 << 17], seen_r[1 << 17];
	unsigned long index, nr = 1 << 17;
	ssize_t len;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	ASSERT_TRUE(drain_table(fd, seen_v, seen_r, self->buf, BUF, nr));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1, V | HPTE_V_BOLTED, R(1)));
	/* Before the third lock: the file's, a hold, the next hold */
	let_happen(self->kvm, 2, reset_and_enter);
	len = fake_read(fd, self->buf, 2 * HPT_RECORD_MIN - 1, BUF);
	ASSERT_TRUE(!shim_interleave);
	ASSERT_EQ(HPT_RECORD_MIN, len);
	ASSERT_TRUE(apply_table(seen_v, seen_r, self->buf, len, nr));
	EXPECT_EQ(V | HPTE_V_BOLTED, seen_v[1]);
	ASSERT_TRUE(drain_table(fd, seen_v, seen_r, self->buf, 2048, nr));
	for (index = 0; index < nr; index++)
		ASSERT_EQ(index >= 2400 && index < 4000 && !(index % 8) ?
			  V | HPTE_V_BOLTED : 0, seen_v[index]);
	shim_close(fd);
}

/* Likewise, without a record in the buffer */
TEST_F(file, reset_before_there_is_a_record)
{
	unsigned long nr = 1 << 17;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	ASSERT_EQ(3 * HDR, fake_read(fd, self->buf, BUF, BUF));
	ASSERT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	let_happen(self->kvm, 2, reset_and_enter);
	ASSERT_EQ(HDR, fake_read(fd, self->buf, HPT_RECORD_MIN, BUF));
	ASSERT_TRUE(!shim_interleave);
	EXPECT_TRUE(is(header(self->buf, 0), 0, 0, 2400));
	shim_close(fd);
}

/* A copy fails, the HPT is gone, and changes cannot be handed back */
TEST_F(file, stale_during_a_copy_that_fails)
{
	ASSERT_EQ(0, fake_h_enter(self->kvm, 5000, V, R(1)));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	fake_h_protect(self->kvm, 5000, HPTE_R_N);
	let_happen(self->kvm, 2, fake_switch_to_radix);
	shim_allocs();
	shim_fail_alloc_at = 1;
	shim_fail_allocs = -1u;
	ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, BUF, 7));
	shim_fail_alloc_at = 0;
	ASSERT_TRUE(!shim_interleave);
	ASSERT_EQ(-ESTALE, fake_read(self->fd, self->buf, BUF, BUF));
}

/* The HPT is reset and then a copy fails: the reader begins again at 0 */
TEST_F(file, reset_during_a_copy_that_fails)
{
	unsigned long index;
	ssize_t len;
	int later;

	for (later = 0; later < 2; later++) {
		fill(self->kvm, 24);
		memset(self->v, 0xee, sizeof(self->v));
		if (later) {
			ASSERT_TRUE(drain(self->fd, self->v, self->r,
					  self->buf, BUF));
			fake_h_protect(self->kvm, 9 * 8, HPTE_R_N);
			fake_h_protect(self->kvm, 11 * 8, HPTE_R_N);
		} else {
			len = fake_read(self->fd, self->buf, 200, 200);
			ASSERT_TRUE(len > 0 && apply(self->v, self->r,
						     self->buf, len));
		}
		/* The third is the copy, after the file's lock and a hold */
		let_happen(self->kvm, 2, reset);
		ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, 100, 7));
		ASSERT_TRUE(!shim_interleave);
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 100));
		for (index = 0; index < NR; index++)
			ASSERT_EQ(0, self->v[index]);
	}
}

/* No memory to hand back what was not copied: the reader begins again at 0 */
TEST_F(file, no_memory_after_a_copy_that_fails)
{
	unsigned long index;

	fill(self->kvm, 256);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	for (index = 0; index < 2048; index += 40)
		fake_h_protect(self->kvm, index, HPTE_R_N);
	memset(self->v, 0xee, sizeof(self->v));
	shim_allocs();
	shim_fail_alloc_at = 1;
	shim_fail_allocs = -1u;
	ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, 2000, 7));
	shim_fail_alloc_at = 0;
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 2000));
	for (index = 0; index < NR; index++)
		ASSERT_EQ(index < 2048 && index / 8 >> index % 8 & 1 ? V : 0,
			  self->v[index]);
}

/*
 * Memory runs out once while changes are handed back: the reader begins again,
 * and does not report the remaining changes again after that first pass.
 */
TEST_F(file, too_little_memory_after_a_copy_that_fails)
{
	struct kvm_ppc_htab_progress p;
	unsigned int at, restarts = 0;
	unsigned long index, first;

	for (at = 1; at <= 12; at++) {
		/* An XArray needs no memory to store an entry at 0 */
		first = at % 2 * 64;
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (index = first; index < NR; index += 8)
			ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		for (index = first; index < NR; index += 8)
			ASSERT_EQ(0, fake_h_protect(self->kvm, index,
						    HPTE_R_N));
		shim_allocs();
		shim_fail_alloc_at = at;
		/* An XArray tries each allocation twice */
		shim_fail_allocs = 2;
		ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, BUF, 7));
		shim_fail_alloc_at = 0;
		ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
		restarts += p.pass == 1;
		if (p.pass != 1)
			continue;
		do {
			ASSERT_LT(0, fake_read(self->fd, self->buf, BUF, BUF));
			ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
		} while (p.pass == 1);
		EXPECT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
	}
	EXPECT_LE(8, restarts);
}

/* No memory to record a change of an HPTE before the cursor in its group */
TEST_F(file, no_memory_in_the_middle_of_a_group)
{
	size_t size = HDR + 84 * HPT_STREAM_HPTE;
	unsigned long index;
	ssize_t len;
	u64 v, r;

	for (index = 0; index < 128; index++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(index)));
	memset(self->v, 0xee, sizeof(self->v));
	ASSERT_EQ(size, fake_read(self->fd, self->buf, size, BUF));
	ASSERT_TRUE(apply(self->v, self->r, self->buf, size));
	fake_h_protect(self->kvm, 81, HPTE_R_N);
	fake_h_protect(self->kvm, 85, HPTE_R_N);
	shim_allocs();
	shim_fail_alloc_at = 1;
	shim_fail_allocs = -1u;
	len = fake_read(self->fd, self->buf, size, BUF);
	shim_fail_alloc_at = 0;
	ASSERT_LT(0, len);
	/* The reader has begun again */
	EXPECT_EQ(0, header(self->buf, 0)->index);
	ASSERT_TRUE(apply(self->v, self->r, self->buf, len));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, size));
	for (index = 0; index < NR; index++) {
		model_look(self->kvm, index, &v, &r);
		ASSERT_FALSE(differ(self->v, self->r, index, v, r));
	}
}

/* A first pass whose end was not copied is not over */
TEST_F(file, fault_at_the_end_of_a_first_pass)
{
	struct kvm_ppc_htab_progress p;

	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, BUF, 7));
	ASSERT_EQ(0, fake_progress(self->fd, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_EQ(1, p.pass);
	EXPECT_EQ(0, p.position);
	EXPECT_EQ(1, p.first_hptes);
	ASSERT_LT(0, fake_read(self->fd, self->buf, BUF, BUF));
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(2, p.pass);
}

/*
 * To hand back what was not copied takes no longer holds, and less work, than
 * to gather it. If the caller is killed meanwhile, the reader begins again.
 */
TEST_F(file, changes_that_were_not_copied_take_no_longer)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	unsigned long nr = 1 << 18, index, gather, begin, work;
	struct kvm_ppc_htab_progress p;
	unsigned int kill;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	fd = fake_open(self->kvm, 0, 0);
	for (index = 0; index < nr; index++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
	work_of_pass(fd, self->buf);
	for (index = 0; index < nr; index++)
		ASSERT_EQ(0, fake_h_remove(self->kvm, index));
	shim_longest_hold(lock);
	shim_holds(lock);
	begin = shim_work;
	/* This read gathers all changes in one buffer */
	ASSERT_EQ(-EFAULT, fake_read(fd, self->buf, BUF, 7));
	/* 32,768 groups in one direction, then in the other, 4096 in a hold */
	EXPECT_GE(30, shim_holds(lock));
	gather = shim_longest_hold(lock);
	EXPECT_GT(160000, gather);
	work = shim_work - begin;
	ASSERT_EQ(0, fake_progress(fd, 0, &p));
	EXPECT_EQ(nr, p.changed_hptes);
	EXPECT_EQ(1, shim_longest_hold(lock) > 0);
	begin = shim_work;
	ASSERT_EQ(5 * HDR, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_GT(2 * (shim_work - begin), work);
	ASSERT_EQ(0, fake_read(fd, self->buf, BUF, BUF));

	for (index = 0; index < nr; index++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
	work_of_pass(fd, self->buf);
	for (index = 0; index < nr; index++)
		ASSERT_EQ(0, fake_h_remove(self->kvm, index));
	/* In the holds that gather, or in the two that hand back */
	for (kill = 1; kill < 100; kill++) {
		shim_kill_at = kill;
		fake_read(fd, self->buf, BUF, 7);
		ASSERT_EQ(0, shim_kill_at);
		ASSERT_EQ(0, fake_progress(fd, 0, &p));
		if (p.pass == 1)
			break;
		ASSERT_EQ(nr, p.changed_hptes);
	}
	ASSERT_GT(100, kill);
	ASSERT_EQ(5 * HDR, fake_read(fd, self->buf, BUF, BUF));
	shim_close(fd);
}

/* User memory that ends after any byte of a read: nothing is lost */
TEST_F(file, fault_at_each_byte)
{
	unsigned long index;
	ssize_t len, full;
	size_t at;
	int later, fd;

	fill(self->kvm, 24);
	for (later = 0; later < 2; later++) {
		full = -1;
		for (at = 0; full < 0 || at <= full; at++) {
			fd = fake_open(self->kvm, 0, 0);
			memset(self->v, 0xee, sizeof(self->v));
			if (later) {
				ASSERT_TRUE(drain(fd, self->v, self->r,
						  self->buf, BUF));
				for (index = 0; index < 192; index += 3)
					fake_h_protect(self->kvm, index,
						       at << 9 & HPTE_R_KEY_LO);
				memset(self->v, 0xee, sizeof(self->v));
			}
			memset(self->buf, 0x55, 8192);
			len = fake_read(fd, self->buf, 4096, at);
			if (at >= 4096 || (len > 0 && len < at))
				full = len;
			if (len <= 0) {
				ASSERT_EQ(-EFAULT, len);
			} else {
				ASSERT_TRUE(len <= at && apply(self->v, self->r,
							       self->buf, len));
			}
			ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, 200));
			for (index = 0; index < (later ? 192 : NR); index++) {
				u64 there = index < 192 &&
					    index / 8 >> index % 8 & 1;

				if (later && (index % 3 || !there))
					continue;
				ASSERT_EQ(there ? V : 0, self->v[index]) {
					TH_LOG("HPTE %lu, %s pass, fault at %zu",
					       index, later ? "later" : "first",
					       at);
				}
			}
			shim_close(fd);
			if (at > 4096)
				break;
		}
	}
}

/* Each allocation of a read fails, while there is another reader */
TEST_F(file, out_of_memory_at_each_allocation)
{
	unsigned long index;
	unsigned int at, n, failures = 0;
	ssize_t len;
	int fd[2];

	for (at = 1; ; at++) {
		ASSERT_GT(100, at);
		fd[0] = fake_open(self->kvm, 0, 0);
		fd[1] = fake_open(self->kvm, 0, 0);
		ASSERT_TRUE(drain(fd[0], self->v, self->r, self->buf, 4096));
		memset(self->v, 0xee, sizeof(self->v));
		ASSERT_TRUE(drain(fd[1], self->v, self->r, self->buf, 4096));
		for (index = 0; index < NR; index += 511)
			ASSERT_EQ(0, at % 2 ?
				  fake_h_enter(self->kvm, index, V, R(7)) :
				  fake_h_remove(self->kvm, index));
		/* One reader harvests all; the other finds them in its set */
		shim_allocs();
		shim_fail_alloc_at = at;
		shim_fail_allocs = -1u;
		do {
			len = fake_read(fd[0], self->buf, BUF / 2, BUF);
		} while (len > 0);
		n = shim_allocs();
		shim_fail_alloc_at = 0;
		if (len < 0) {
			ASSERT_EQ(-ENOMEM, len);
			ASSERT_TRUE(drain(fd[0], self->v, self->r, self->buf,
					  4096));
			memset(self->v, 0xee, sizeof(self->v));
		}
		failures += n >= at;
		ASSERT_TRUE(drain(fd[1], self->v, self->r, self->buf, 4096));
		for (index = 0; index < NR; index++)
			if (!(index % 511))
				ASSERT_EQ(at % 2 ? V : 0, self->v[index]);
		shim_close(fd[0]);
		shim_close(fd[1]);
		if (n < at)
			break;
	}
	EXPECT_LT(5, failures);
}

/* What was not copied is reported again, and nothing else is */
TEST_F(file, what_was_not_copied_and_no_more)
{
	static const struct { unsigned long first, n; } runs[] = {
		{ 8, 8 }, { 9, 7 }, { 8, 7 }, { 13, 1 }, { 15, 1 }, { 12, 8 },
		{ 8, 16 }, { 3, 40 },
	};
	struct kvm_ppc_htab_progress p;
	unsigned long index, end, i;
	size_t len, at;
	bool valid;

	for (i = 0; i < 2 * ARRAY_SIZE(runs); i++) {
		valid = i % 2;
		end = runs[i / 2].first + runs[i / 2].n;
		len = HDR + (valid ? runs[i / 2].n * HPT_STREAM_HPTE : 0);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (index = 0; index < 128; index++)
			fake_h_enter(self->kvm, index, V, R(1));
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		for (index = runs[i / 2].first; index < end; index++) {
			if (valid)
				fake_h_protect(self->kvm, index, HPTE_R_N);
			else
				fake_h_remove(self->kvm, index);
		}
		/* In a buffer that this fills, and in one it does not fill */
		for (at = 0; at < 2; at++) {
			ASSERT_EQ(-EFAULT,
				  fake_read(self->fd, self->buf,
					    at ? BUF : max(len, HPT_RECORD_MIN),
					    7));
			ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
			ASSERT_EQ(runs[i / 2].n, p.changed_hptes) {
				TH_LOG("run %lu", i);
			}
		}
		ASSERT_EQ(len, fake_read(self->fd, self->buf, BUF, BUF));
		ASSERT_TRUE(is(header(self->buf, 0), runs[i / 2].first,
			       valid ? runs[i / 2].n : 0,
			       valid ? 0 : runs[i / 2].n));
		ASSERT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
		EXPECT_EQ(0, fake_poll(self->fd));
	}
}

/* A hold to gather a change, and one to begin again instead of handing it back */
TEST_F(file, killed_after_a_copy_that_fails)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	struct kvm_ppc_htab_progress p;

	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	shim_holds(lock);
	/* Checks: the file's lock, the hold, and before it is handed back */
	shim_kill_at = 3;
	ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, BUF, 7));
	EXPECT_EQ(0, shim_kill_at);
	EXPECT_EQ(2, shim_holds(lock));
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(1, p.pass);
	ASSERT_EQ(HPT_RECORD_MIN + HDR,
		  fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, HDR), 9, 1, NR - 10));
}

/* A read can be killed between two buffers, and as it waits for the lock */
TEST_F(file, killed_between_two_buffers)
{
	size_t buffer = HDR + 4095 * HPT_STREAM_HPTE;
	unsigned int at;
	int fd;

	for (at = 0; at < NR; at++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, at, V, R(1)));
	for (at = 3; at < 7; at++) {
		fd = fake_open(self->kvm, 0, 0);
		shim_kill_at = at;
		ASSERT_EQ((at - 1) / 2 * buffer,
			  fake_read(fd, self->buf, BUF, BUF));
		ASSERT_EQ(0, shim_kill_at);
		shim_close(fd);
	}
}

/*
 * Killed between two holds of a read, with a record in the buffer whose copy
 * may also fail: what did not reach user space is reported again.
 */
TEST_F(file, killed_between_two_looks)
{
	static const size_t accessible[] = { BUF, HPT_RECORD_MIN, 7 };
	static u64 seen_v[1 << 16], seen_r[1 << 16];
	unsigned long nr = 1 << 16, at[] = { 1, nr - 1 }, n;
	unsigned int kind, kill, later, flags = 0;
	bool killed;
	ssize_t len;
	u64 v, r;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
	/* All have to be visited, but few are bolted: that takes two holds */
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	for (n = 0; n < ARRAY_SIZE(at); n++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, at[n], V | HPTE_V_BOLTED,
					  R(1)));
	for (kind = 0; kind < 2 * ARRAY_SIZE(accessible); kind++) {
		later = kind / ARRAY_SIZE(accessible);
		for (kill = 1, killed = true; killed; kill++) {
			fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
			if (later)
				work_of_pass(fd, self->buf);
			flags ^= HPTE_R_N;
			for (n = 0; n < ARRAY_SIZE(at); n++) {
				fake_h_protect(self->kvm, at[n], flags);
				seen_v[at[n]] = 0;
			}
			shim_kill_at = kill;
			len = fake_read(fd, self->buf, BUF,
					accessible[kind % ARRAY_SIZE(accessible)]);
			killed = !shim_kill_at;
			shim_kill_at = 0;
			ASSERT_TRUE(len == -EINTR || len == -EFAULT ||
				    apply_table(seen_v, seen_r, self->buf, len,
						nr));
			ASSERT_TRUE(drain_table(fd, seen_v, seen_r, self->buf,
						BUF, nr));
			for (n = 0; n < ARRAY_SIZE(at); n++) {
				model_look(self->kvm, at[n], &v, &r);
				EXPECT_FALSE(differ(seen_v, seen_r, at[n], v,
						    r)) {
					TH_LOG("HPTE %lu, kind %u, kill %u",
					       at[n], kind, kill);
				}
			}
			shim_close(fd);
		}
		/* Checks: the file's lock, two holds, and between these */
		EXPECT_LT(4, kill);
	}
}

TEST_F(file, killed_at_each_place)
{
	unsigned int at, failures = 0;
	unsigned long index;
	ssize_t len;
	int fd;

	fill(self->kvm, 255);
	for (at = 1; ; at++) {
		fd = fake_open(self->kvm, 0, 0);
		memset(self->v, 0xee, sizeof(self->v));
		shim_kill_at = at;
		do {
			len = fake_read(fd, self->buf, 1024, 1024);
			if (len > 0)
				ASSERT_TRUE(apply(self->v, self->r, self->buf,
						  len));
		} while (len > 0);
		if (!shim_kill_at)
			failures++;
		shim_kill_at = 0;
		if (len)
			ASSERT_EQ(-EINTR, len);
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, 1024));
		for (index = 0; index < NR; index++)
			ASSERT_EQ(index < 2040 && index / 8 >> index % 8 & 1 ?
				  V : 0, self->v[index]);
		shim_close(fd);
		if (at > failures)
			break;
	}
	EXPECT_LT(10, failures);
}

TEST_HARNESS_MAIN
