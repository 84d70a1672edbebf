// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts of the HPT file one by one, at their boundaries, and what can fail
 * failing at each place where it can.
 */

#include "unit.h"

/* A reader's set */

FIXTURE(set) {
	struct xarray set;
};

FIXTURE_SETUP(set)
{
	hpt_set_init(&self->set);
}

FIXTURE_TEARDOWN(set)
{
	hpt_set_clear(&self->set);
	EXPECT_EQ(0, shim_live_allocs());
}

TEST_F(set, out_of_memory_changes_nothing)
{
	unsigned int at, failures = 0;
	int err = -ENOMEM;

	ASSERT_EQ(0, hpt_set_add(&self->set, 1, 1));
	for (at = 1; err; at++) {
		ASSERT_GT(20, at);
		shim_allocs();
		shim_fail_alloc_at = at;
		shim_fail_allocs = -1u;
		err = hpt_set_add(&self->set, 1000000, 2);
		shim_fail_alloc_at = 0;
		if (err) {
			failures++;
			ASSERT_EQ(-ENOMEM, err);
			ASSERT_EQ(HPT_SET_END, hpt_set_next(&self->set, 2));
		}
	}
	EXPECT_LT(0, failures);
	EXPECT_EQ(1000000, hpt_set_next(&self->set, 2));
	EXPECT_EQ(1, hpt_set_take(&self->set, 1));
	EXPECT_EQ(2, hpt_set_take(&self->set, 1000000));
}

/* An add that fails may leave nodes without entries, which are found by nothing */
static void set_fails_and_is_cleared(struct __test_metadata *_metadata,
				     struct xarray *set, unsigned long first)
{
	unsigned int at;
	int err = -ENOMEM;

	for (at = 1; err; at++) {
		ASSERT_GT(20, at);
		if (first != HPT_SET_END)
			ASSERT_EQ(0, hpt_set_add(set, first, 1));
		shim_allocs();
		shim_fail_alloc_at = at;
		shim_fail_allocs = -1u;
		err = hpt_set_add(set, 1000000, 2);
		shim_fail_alloc_at = 0;
		/* A bounded number of times, unlike hpt_set_clear() */
		hpt_set_clear_some(set, 64);
		ASSERT_TRUE(hpt_set_clear_some(set, 64));
		ASSERT_EQ(HPT_SET_END, hpt_set_next(set, 0));
		ASSERT_EQ(0, shim_live_allocs());
	}
	ASSERT_LT(2, at);
}

TEST_F(set, out_of_memory_in_an_empty_set)
{
	set_fails_and_is_cleared(_metadata, &self->set, HPT_SET_END);
}

TEST_F(set, out_of_memory_far_from_the_first)
{
	set_fails_and_is_cleared(_metadata, &self->set, 3000000);
}

/* Taking a part of an entry out works when there is no memory at all */
TEST_F(set, take_needs_no_memory)
{
	unsigned long group;

	for (group = 0; group < 600; group++)
		ASSERT_EQ(0, hpt_set_add(&self->set, group, 0x55));
	shim_fail_alloc_at = 1;
	shim_fail_allocs = -1u;
	for (group = 0; group < 600; group++)
		ASSERT_EQ(0x55, hpt_set_take(&self->set, group));
	shim_fail_alloc_at = 0;
	EXPECT_EQ(HPT_SET_END, hpt_set_next(&self->set, 0));
}

/* Group bitmaps, in a table of two chunks */

#define BIG_ORDER	27
#define BIG_GROUPS	(1ul << (BIG_ORDER - 7))

FIXTURE(groups) {
	struct kvm *kvm;
	struct kvm_hpt_info *info;
};

FIXTURE_SETUP(groups)
{
	self->kvm = fake_vm();
	self->info = &self->kvm->arch.hpt;
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, BIG_ORDER));
}

FIXTURE_TEARDOWN(groups)
{
	fake_vm_free(self->kvm);
	EXPECT_EQ(0, shim_live_allocs());
}

static const unsigned long edges[] = {
	0, 1, 62, 63, 64, 65, 127, 128, 255, 256, 257, 319, 320,
	HPT_CHUNK_GROUPS - 321, HPT_CHUNK_GROUPS - 65, HPT_CHUNK_GROUPS - 64,
	HPT_CHUNK_GROUPS - 1, HPT_CHUNK_GROUPS, HPT_CHUNK_GROUPS + 1,
	HPT_CHUNK_GROUPS + 63, HPT_CHUNK_GROUPS + 64,
	BIG_GROUPS - 257, BIG_GROUPS - 64, BIG_GROUPS - 2, BIG_GROUPS - 1,
};

TEST_F(groups, zero_clears_what_was_used)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(edges); i++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, edges[i] * 8 + i % 8, V,
					  R(i + 1)));
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, BIG_ORDER));
	EXPECT_EQ(BIG_GROUPS, kvm_hpt_next_used(self->info, 0, BIG_GROUPS));
	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		EXPECT_EQ(0, *kvm_hpte_at(self->info, edges[i] * 8 + i % 8));
		EXPECT_EQ(0, self->info->rev[edges[i] * 8 + i % 8].guest_rpte);
	}
}

TEST_F(groups, out_of_memory)
{
	unsigned int at;
	int err = -ENOMEM;

	for (at = 1; err; at++) {
		ASSERT_GT(20, at);
		shim_allocs();
		shim_fail_alloc_at = at;
		shim_fail_allocs = 1;
		err = fake_allocate_hpt(self->kvm, BIG_ORDER + 1 + at % 2);
		shim_fail_alloc_at = 0;
		if (err) {
			ASSERT_EQ(-ENOMEM, err);
			ASSERT_EQ(NULL, self->info->groups);
			ASSERT_EQ(0, shim_live_allocs());
		}
	}
	/* One for all, and two for each chunk: at least 4 */
	EXPECT_LE(2 + 4, at);
}

TEST_F(groups, out_of_memory_leaves_nothing)
{
	struct kvm_hpt_info info = { .order = BIG_ORDER };
	long live = shim_live_allocs();
	unsigned int at;

	/* One for all, and two for each chunk */
	for (at = 1; at <= 5; at++) {
		shim_allocs();
		shim_fail_alloc_at = at;
		shim_fail_allocs = 1;
		ASSERT_EQ(-ENOMEM, kvmppc_hpt_alloc_groups(&info));
		shim_fail_alloc_at = 0;
		ASSERT_EQ(NULL, info.groups);
		ASSERT_EQ(live, shim_live_allocs());
	}
	ASSERT_EQ(0, kvmppc_hpt_alloc_groups(&info));
	kvmppc_hpt_free_groups(&info);
	ASSERT_EQ(live, shim_live_allocs());
}

TEST_F(file, bad_arguments)
{
	EXPECT_EQ(-EINVAL, fake_open(self->kvm, 4, 0));
	EXPECT_EQ(-EINVAL, fake_open(self->kvm, ~0ul, 0));
	EXPECT_EQ(-EINVAL, fake_open(self->kvm, 0, NR));
	EXPECT_EQ(-EINVAL, fake_open(self->kvm, 0, ~0ull));
}

TEST_F(file, start_index_at_the_end)
{
	int fd = fake_open(self->kvm, 0, NR - 1);

	ASSERT_LE(0, fd);
	ASSERT_EQ(HDR, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), NR - 1, 0, 1));
	EXPECT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	shim_close(fd);
}

TEST_F(file, open_for_one_direction)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);

	EXPECT_EQ(O_RDONLY, shim_file(self->fd)->flags);
	EXPECT_EQ(O_WRONLY, shim_file(fd)->flags);
	shim_close(fd);
}

TEST_F(file, open_fails_at_each_place)
{
	int fd, first = fake_open(self->kvm, 0, 0);
	unsigned int at, kind, failures;
	u64 flags;

	shim_close(first);
	for (kind = 0; kind < 6; kind++) {
		flags = kind % 2 ? KVM_GET_HTAB_WRITE : 0;
		failures = 0;
		for (at = 1; ; at++) {
			ASSERT_GT(20, at);
			shim_allocs();
			shim_fail_allocs = 1;
			shim_fail_alloc_at = kind / 2 == 0 ? at : 0;
			shim_fail_file_at = kind / 2 == 1 ? at : 0;
			shim_kill_at = kind / 2 == 2 ? at : 0;
			fd = fake_open(self->kvm, flags, 0);
			shim_fail_alloc_at = 0;
			shim_fail_file_at = 0;
			shim_kill_at = 0;
			if (fd >= 0)
				break;
			failures++;
			ASSERT_TRUE(fd == -ENOMEM || fd == -EMFILE ||
				    fd == -ENFILE || fd == -EINTR);
			ASSERT_EQ(1, self->kvm->arch.hpt_nr_readers);
			ASSERT_EQ(2, atomic_read(&self->kvm->refs));
		}
		EXPECT_EQ(kind / 2 < 2 ? 2 : kind % 2 ? 0 : 1, failures);
		EXPECT_EQ(first, fd);
		shim_close(fd);
		ASSERT_EQ(1, self->kvm->arch.hpt_nr_readers);
		ASSERT_EQ(2, atomic_read(&self->kvm->refs));
	}
}

TEST_F(file, every_small_buffer)
{
	size_t size;

	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, 0, 0));
	for (size = 1; size < HPT_RECORD_MIN; size++)
		ASSERT_EQ(-EINVAL, fake_read(self->fd, self->buf, size, size));
	ASSERT_EQ(HDR, fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 0, 0, 9));
	ASSERT_EQ(HPT_RECORD_MIN,
		  fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 9, 1, NR - 10));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
}

/* As many shapes of groups as there are: full, begun, holes, other ends */
static void fill(struct kvm *kvm, unsigned long groups)
{
	unsigned long group, slot;

	for (group = 0; group < groups; group++)
		for (slot = 0; slot < 8; slot++)
			if (group >> slot & 1)
				fake_h_enter(kvm, group * 8 + slot, V,
					     R(group + 1) + slot);
}

/* One at the front of each group, up to an index; false if one is refused */
static bool enter_in_each_group(struct kvm *kvm, unsigned long end, u64 r)
{
	unsigned long index;

	for (index = 0; index < end; index += 8)
		if (fake_h_enter(kvm, index, V, r))
			return false;
	return true;
}

/* The first pass, with every size of buffer there is sense in */
TEST_F(file, first_pass_of_each_shape)
{
	unsigned long index;
	size_t size;
	int fd;

	fill(self->kvm, 256);
	for (size = HPT_RECORD_MIN; size < 600; size++) {
		fd = fake_open(self->kvm, 0, 0);
		memset(self->v, 0xee, sizeof(self->v));
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, size));
		shim_close(fd);
		for (index = 0; index < NR; index++) {
			u64 there = index < 2048 && index / 8 >> index % 8 & 1;

			ASSERT_FALSE(differ(self->v, self->r, index,
					    there ? V : 0,
					    R(index / 8 + 1) + index % 8)) {
				TH_LOG("HPTE %lu, buffer %zu", index, size);
			}
		}
	}
}

/* From each index on, in a group with holes */
TEST_F(file, first_pass_from_each_index)
{
	unsigned long start, index;
	int fd;

	fill(self->kvm, 32);
	for (start = 0; start < 300; start++) {
		fd = fake_open(self->kvm, 0, start);
		memset(self->v, 0xee, sizeof(self->v));
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, 512));
		shim_close(fd);
		for (index = 0; index < NR; index++) {
			u64 there = index < 256 && index / 8 >> index % 8 & 1;

			ASSERT_EQ(index < start ? 0xeeeeeeeeeeeeeeee :
				  there ? V : 0, self->v[index]);
		}
	}
}

/*
 * Hardware sets R and C in any slot, with the pass begun at any index of its
 * group or of one beside it, and at any time after the open: each is reported.
 */
TEST_F(file, hardware_sets_rc_around_the_start)
{
	unsigned long groups[] = { 1, 2, NR / 8 - 1 }, base, start, slot;
	unsigned int g, when, others;
	ssize_t len;
	size_t first;
	u64 v, r;
	int fd;

	shim_close(self->fd);
	self->fd = -1;
	for (g = 0; g < ARRAY_SIZE(groups) * 2 * 3; g++) {
		base = groups[g % 3] * 8;
		others = g / 3 % 2;
		when = g / 6;
		for (start = base; start < base + 8; start++) {
			for (slot = base - 8; slot < base + 8; slot++) {
				ASSERT_EQ(0, fake_allocate_hpt(self->kvm,
							       ORDER));
				for (v = base - 8; others && v < base + 8; v++)
					if (v != slot)
						fake_h_enter(self->kvm, v, V,
							     R(1));
				r = R(2) & ~(HPTE_R_R | HPTE_R_C);
				fake_h_enter(self->kvm, slot, V, r);
				fd = fake_open(self->kvm, 0, start);
				self->v[slot] = V;
				self->r[slot] = r;
				if (when == 0)
					fake_hw_access(self->kvm, slot, true);
				first = when == 1 ? HPT_RECORD_MIN : BUF;
				len = fake_read(fd, self->buf, first, BUF);
				ASSERT_LE(0, len);
				ASSERT_TRUE(apply(self->v, self->r, self->buf,
						  len));
				if (when)
					fake_hw_access(self->kvm, slot, true);
				ASSERT_TRUE(drain(fd, self->v, self->r,
						  self->buf, BUF));
				shim_close(fd);
				model_look(self->kvm, slot, &v, &r);
				ASSERT_FALSE(differ(self->v, self->r, slot, v,
						    r)) {
					TH_LOG("HPTE %lu, from %lu, %u, %u",
					       slot, start, others, when);
				}
			}
		}
	}
}

TEST_F(file, bolted_only)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	unsigned long index;

	for (index = 0; index < 64; index++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, index % 3 ?
					  V : V | HPTE_V_BOLTED, R(index)));
	memset(self->v, 0xee, sizeof(self->v));
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, 512));
	for (index = 0; index < NR; index++)
		ASSERT_EQ(index < 64 && !(index % 3) ? V | HPTE_V_BOLTED : 0,
			  self->v[index]);
	shim_close(fd);
}

/* A table of more groups than are looked at in one go, more than one buffer */
TEST_F(file, long_first_pass)
{
	static u64 big_v[1 << 17];
	unsigned long index, nr = 1 << 17;
	struct hpt_record rec;
	ssize_t len;
	size_t pos;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	for (index = 0; index < nr; index += 8)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index + index / 8 % 7, V,
					  R(index % 512)));
	fd = fake_open(self->kvm, 0, 0);
	for (;;) {
		len = fake_read(fd, self->buf, BUF, BUF);
		ASSERT_LE(0, len);
		if (!len)
			break;
		for (pos = 0; pos < len; pos += rec.bytes) {
			ASSERT_EQ(0, hpt_decode(self->buf + pos, len - pos, nr,
						&rec));
			for (index = 0; index < rec.n_valid; index++)
				big_v[rec.index + index] =
					be64_to_cpu(rec.hpte[index][0]);
		}
	}
	for (index = 0; index < nr; index++)
		ASSERT_EQ(index / 8 % 7 == index % 8 ? V : 0, big_v[index]);
	/* A later pass with as many to look at, and nothing to report */
	for (index = 0; index < nr; index += 8)
		fake_h_protect(self->kvm, index + index / 8 % 7, HPTE_R_N);
	len = 0;
	do {
		pos = fake_read(fd, self->buf, 4096, 4096);
		len += pos / HPT_RECORD_MIN;
	} while (pos);
	EXPECT_EQ(nr / 8, len);
	shim_close(fd);
}

/* As many to look at, with little or nothing to say of each */
TEST_F(file, long_passes_of_few_records)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	unsigned long nr = 1 << 17;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	shim_close(fd);
	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	/* All are invalid to this one: three records, nothing later */
	ASSERT_EQ(3 * HDR, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 2 * HDR), 131070, 0, 2));
	ASSERT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	/* A change at the end, found from the middle, and at the front then */
	fake_h_enter(self->kvm, nr - 1, V | HPTE_V_BOLTED, R(1));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), nr - 1, 1, 0));
	shim_kill_at = 4;
	EXPECT_EQ(-EINTR, fake_read(fd, self->buf, BUF, BUF));
	fake_h_enter(self->kvm, 1, V | HPTE_V_BOLTED, R(1));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 1, 1, 0));
	EXPECT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	shim_close(fd);
}

/* Killed in the middle of a later pass, the next read goes all the way round */
TEST_F(file, later_pass_wraps_to_where_it_began)
{
	unsigned long index;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	/* One more than are looked at before it is killed */
	ASSERT_TRUE(enter_in_each_group(self->kvm, 4096 * 8 + 1,
					R(1) & ~HPTE_R_R));
	ASSERT_EQ(3 * HDR, fake_read(fd, self->buf, BUF, BUF));
	shim_kill_at = 4;
	ASSERT_EQ(-EINTR, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	shim_kill_at = 4;
	ASSERT_EQ(-EINTR, fake_read(fd, self->buf, BUF, BUF));
	index = 4095 * 8 + 1;
	ASSERT_EQ(0, fake_h_enter(self->kvm, index, V | HPTE_V_BOLTED, R(1)));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), index, 1, 0));
	EXPECT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	shim_close(fd);
}

/* A read ends where a pass does, if it has something by then */
TEST_F(file, later_pass_ends_a_read)
{
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1000, V, R(1)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1002, V, R(1)));
	ASSERT_EQ(HPT_RECORD_MIN,
		  fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 8, V, R(1)));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 1002, 1, 0));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 8, 1, 0));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
}

/* An HPTE in each of the first groups, all changed since the last call */
static void change_each(struct kvm *kvm, unsigned long groups)
{
	static u64 flags;
	unsigned long index;

	flags ^= HPTE_R_N;
	for (index = 0; index < groups * 8; index += 8)
		fake_h_protect(kvm, index, flags);
}

/* Read until there is no more. Return the work it took, of this thread. */
static unsigned long work_of_pass(int fd, void *buf)
{
	unsigned long begin = shim_work;

	while (fake_read(fd, buf, 2048, 2048) > 0)
		;
	return shim_work - begin;
}

/*
 * A change that another reader has harvested costs little more than one that
 * has to be harvested, however many there are and however large the table is.
 */
TEST_F(file, later_readers_pay_no_more)
{
	unsigned long work[16], nr_groups;
	unsigned int order, i;
	int fd[16];

	for (order = 18; order <= 22; order += 4) {
		nr_groups = 1ul << (order - 7);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, order));
		ASSERT_TRUE(enter_in_each_group(self->kvm, nr_groups * 8, R(1)));
		for (i = 0; i < 16; i++) {
			fd[i] = fake_open(self->kvm, 0, 0);
			work_of_pass(fd[i], self->buf);
		}
		change_each(self->kvm, nr_groups);
		for (i = 0; i < 16; i++) {
			work[i] = work_of_pass(fd[i], self->buf);
			EXPECT_LT(work[i], work[0] * 13 / 10) {
				TH_LOG("order %u, reader %u", order, i);
			}
			shim_close(fd[i]);
		}
	}
}

/*
 * Each change has to be handed to all readers: the more there are, the sooner
 * the lock is given up
 */
TEST_F(file, many_readers_shorten_the_hold)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	unsigned long one, many, nr_groups = 1 << 13;
	unsigned int i;
	int fd[100];

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr_groups * 8, R(1)));
	shim_close(self->fd);
	self->fd = fake_open(self->kvm, 0, 0);
	work_of_pass(self->fd, self->buf);
	change_each(self->kvm, nr_groups);
	shim_longest_hold(lock);
	ASSERT_LT(0, fake_read(self->fd, self->buf, BUF, BUF));
	one = shim_longest_hold(lock);
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = fake_open(self->kvm, 0, 0);
		work_of_pass(fd[i], self->buf);
	}
	work_of_pass(self->fd, self->buf);
	change_each(self->kvm, nr_groups);
	shim_longest_hold(lock);
	ASSERT_LT(0, fake_read(self->fd, self->buf, BUF, BUF));
	many = shim_longest_hold(lock);
	EXPECT_LT(many, one * 3);
	while (i)
		shim_close(fd[--i]);
}

/*
 * The work in one hold of the lock has a bound that is the same for tables of
 * each size. This one has 2^27 groups.
 */
TEST_F(file, no_hold_grows_with_the_table)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	const unsigned long bound = 600000;
	struct kvm_ppc_htab_progress p;
	unsigned long last;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 34));
	last = (1ul << 30) - 1;
	fd = fake_open(self->kvm, 0, 0);
	shim_longest_hold(lock);
	/* Nothing is used */
	work_of_pass(fd, self->buf);
	EXPECT_GT(bound, shim_longest_hold(lock));
	EXPECT_EQ(0, fake_progress(fd, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_GT(bound, shim_longest_hold(lock));
	/* Some of it is, and has changed: the last of all in a second read */
	ASSERT_TRUE(enter_in_each_group(self->kvm, 1 << 19, R(1)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, last, V, R(1)));
	EXPECT_EQ(0, fake_progress(fd, 0, &p));
	EXPECT_EQ((1 << 16) + 1, p.changed_hptes);
	EXPECT_GT(bound, shim_longest_hold(lock));
	work_of_pass(fd, self->buf);
	EXPECT_GT(bound, shim_longest_hold(lock));
	/* A reader that begins behind what is used, and its second pass */
	shim_close(fd);
	fd = fake_open(self->kvm, 0, last - 100);
	shim_longest_hold(lock);
	work_of_pass(fd, self->buf);
	EXPECT_GT(bound, shim_longest_hold(lock));
	EXPECT_EQ(0, fake_progress(fd, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_GT(bound, shim_longest_hold(lock));
	shim_close(fd);
}

/*
 * A set that another reader has filled with changes of the whole table is freed
 * in pieces: when its reader has to begin again, becomes stale, or is closed.
 */
TEST_F(file, large_set_does_not_lengthen_the_hold)
{
	unsigned long index, nr_groups = 1 << 16, freed;
	struct kvm_ppc_htab_progress p;
	unsigned int how;
	int fd[2], i;
	long live;

	for (how = 0; how < 3; how++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 23 + how));
		for (i = 0; i < 2; i++) {
			fd[i] = fake_open(self->kvm, 0, 0);
			work_of_pass(fd[i], self->buf);
		}
		for (index = 0; index < nr_groups * 8; index += 8)
			ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
		live = shim_live_allocs();
		work_of_pass(fd[0], self->buf);
		ASSERT_LE(live + nr_groups / 256, shim_live_allocs());
		shim_nodes_freed();
		if (how < 2) {
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 23 + 2 * how));
			ASSERT_EQ(0, fake_progress(fd[1], 0, &p));
			EXPECT_EQ(how ? KVM_PPC_HTAB_STATE_STALE :
				  KVM_PPC_HTAB_STATE_CURRENT, p.state);
			if (!how)
				EXPECT_EQ(0, p.changed_hptes);
			EXPECT_EQ(0, shim_nodes_freed());
			ASSERT_EQ(how ? -ESTALE : 24,
				  fake_read(fd[1], self->buf, 24, 24));
			/* All of it, but some in each hold */
			ASSERT_GE(live, shim_live_allocs());
		}
		shim_close(fd[1]);
		freed = shim_nodes_freed();
		EXPECT_LE(64, freed);
		EXPECT_GE(70, freed);
		shim_close(fd[0]);
	}
}

/* Groups that were used and are empty go into one record, but take their time */
TEST_F(file, empty_groups_do_not_lengthen_the_hold)
{
	unsigned long index, nr = 1 << 17;
	int fd;

	shim_close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	for (index = 0; index < nr; index += 8) {
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
		ASSERT_EQ(0, fake_h_remove(self->kvm, index));
	}
	fd = fake_open(self->kvm, 0, 0);
	/* The lock of the file, four holds of the other one, and between them */
	shim_kill_at = 1000;
	ASSERT_EQ(3 * HDR, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_LE(9, 1000 - shim_kill_at);
	shim_kill_at = 0;
	shim_close(fd);
}

/*
 * A table with a group for each state that an HPTE can be in, each slot it can
 * be in and each number of plain ones beside it. Is it bit 0: referenced, 1:
 * changed as the guest knows it, 2, 3: as hardware does, 4: read-only, 5:
 * absent, 6: bolted, 7: marked.
 */
TEST_F(file, each_state_of_an_hpte)
{
	unsigned long state, slot, n, group = 0, index, nr = 1 << 17, i;
	struct kvm_hpt_info *info = &self->kvm->arch.hpt;
	static u64 seen_v[1 << 17], seen_r[1 << 17];
	int bolted, pass, fd;
	u64 gr, v, r;

	for (bolted = 0; bolted < 2; bolted++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, bolted ? 21 : 22));
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
		for (group = 0; group < nr / 8; group++) {
			state = group % 256;
			slot = group / 256 % 8;
			n = group / 2048 % 8;
			for (i = 0; i < n; i++)
				fake_h_enter(self->kvm, group * 8 + i,
					     V | HPTE_V_BOLTED, R(1));
			index = group * 8 + slot;
			fake_h_remove(self->kvm, index);
			gr = R(2) & ~(HPTE_R_R | HPTE_R_C);
			gr |= (state & 1 ? HPTE_R_R : 0) |
			      (state & 2 ? HPTE_R_C : 0) |
			      (state & 16 ? PP_RXRX : PP_RWRW);
			fake_h_enter(self->kvm, index,
				     V | (state & 64 ? HPTE_V_BOLTED : 0), gr);
			kvm_hpte_at(info, index)[1] |=
				cpu_to_be64((state & 4 ? HPTE_R_R : 0) |
					    (state & 8 ? HPTE_R_C : 0));
			if (state & 32)
				fake_unmap(self->kvm, index);
			/* As if nobody had read so far */
			for (i = 0; i < 8; i++)
				info->rev[group * 8 + i].guest_rpte &=
					~HPTE_GR_MODIFIED;
			clear_bit(group, info->groups->chunk[0].visit);
			if (state & 128)
				kvmppc_hpt_mark(self->kvm, &info->rev[index],
						index);
		}
		fd = fake_open(self->kvm, bolted, 0);
		memset(seen_v, 0xee, sizeof(seen_v));
		for (pass = 0; pass < 2; pass++) {
			ASSERT_TRUE(drain_table(fd, seen_v, seen_r, self->buf,
						BUF, nr));
			for (index = 0; index < nr; index++) {
				model_look(self->kvm, index, &v, &r);
				if (bolted && !(v & HPTE_V_BOLTED))
					v = 0;
				ASSERT_FALSE(differ(seen_v, seen_r, index, v,
						    r)) {
					TH_LOG("HPTE %lu, state %lx, pass %d",
					       index, index / 8 % 256, pass);
				}
				/* For the later pass */
				if (!pass)
					fake_hw_access(self->kvm, index,
						       index & 8);
			}
		}
		shim_close(fd);
	}
}

/*
 * Things happen while a file is read: what is to be done, and before which
 * lock or copy.
 */
static struct {
	struct kvm *kvm;
	int at;
	void (*what)(struct kvm *kvm);
} within;

static void happen(void)
{
	if (within.at--)
		return;
	shim_interleave = NULL;
	within.what(within.kvm);
}

static void let_happen(struct kvm *kvm, int at, void (*what)(struct kvm *kvm))
{
	within.kvm = kvm;
	within.at = at;
	within.what = what;
	shim_interleave = happen;
}

static void reset(struct kvm *kvm)
{
	fake_allocate_hpt(kvm, kvm->arch.hpt.order);
}

static void reset_and_enter(struct kvm *kvm)
{
	unsigned long index;

	reset(kvm);
	for (index = 2400; index < 4000; index += 8)
		fake_h_enter(kvm, index, V | HPTE_V_BOLTED, R(2));
}

/* With records in the buffer already, before the buffer is full */
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
	/* The file's lock, a look, another one */
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

/* The same with no record yet */
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

/* A copy that fails, the HPT is gone, and no memory for what was not copied */
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

/* A copy that fails, and before that the HPT is reset: it begins again at 0 */
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
		/* The file's lock, a look, the copy */
		let_happen(self->kvm, 2, reset);
		ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, 100, 7));
		ASSERT_TRUE(!shim_interleave);
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 100));
		for (index = 0; index < NR; index++)
			ASSERT_EQ(0, self->v[index]);
	}
}

/* A copy that fails, and no memory to note it: it begins again at 0 */
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
 * Memory runs out once as changes are handed back: the reader begins again, and
 * what was not handed back by then is not reported a second time after that.
 */
TEST_F(file, too_little_memory_after_a_copy_that_fails)
{
	struct kvm_ppc_htab_progress p;
	unsigned int at, restarts = 0;
	unsigned long index;

	for (at = 1; at <= 12; at++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (index = 0; index < NR; index += 8)
			ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		for (index = 0; index < NR; index += 8)
			ASSERT_EQ(0, fake_h_protect(self->kvm, index,
						    HPTE_R_N));
		shim_allocs();
		shim_fail_alloc_at = at;
		/* An XArray tries twice */
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

/* No memory to note a change in the part of a group that was read before */
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
	/* It has begun again */
	EXPECT_EQ(0, header(self->buf, 0)->index);
	ASSERT_TRUE(apply(self->v, self->r, self->buf, len));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, size));
	for (index = 0; index < NR; index++) {
		model_look(self->kvm, index, &v, &r);
		ASSERT_FALSE(differ(self->v, self->r, index, v, r));
	}
}

/* The end of a first pass that was not copied is still one */
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
 * What was not copied is handed back in holds that are no longer than those in
 * which it was gathered, and with less work. If the reader is killed meanwhile
 * it begins again.
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
	begin = shim_work;
	/* What is read from here on is in one buffer */
	ASSERT_EQ(-EFAULT, fake_read(fd, self->buf, BUF, 7));
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
	/* The holds in which it is gathered, and two in which it is not */
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

/* User memory that ends after each byte of what is read: nothing is lost */
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

/* No memory at each allocation of a read with another reader beside it */
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
		/* One takes all of them, the other finds them in its set */
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

/* It can be killed between two buffers, by the read and by the lock */
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

/*
 * A vcpu has an HPTE locked when the reader comes to it; what it has made of
 * it so far is not for the reader. It goes on when the reader waits.
 */
static struct {
	struct kvm *kvm;
	unsigned long index, other;
	u64 v;
} locked;

static void unlock_and_enter(void)
{
	unsigned int was = preempt_count;

	shim_spin = NULL;
	preempt_count = 0;
	unlock_hpte(kvm_hpte_at(&locked.kvm->arch.hpt, locked.index), locked.v);
	if (locked.other)
		fake_h_enter(locked.kvm, locked.other, V, R(5));
	preempt_count = was;
}

/* Lock it, and with @away make it invalid, as a tlbie needs it */
static void leave_locked(struct kvm *kvm, unsigned long index, bool away,
			 unsigned long other)
{
	__be64 *hptep = kvm_hpte_at(&kvm->arch.hpt, index);
	u64 v;

	try_lock_hpte(hptep, HPTE_V_HVLOCK);
	v = be64_to_cpu(*hptep) & ~HPTE_V_HVLOCK;
	if (away)
		*hptep &= ~cpu_to_be64(HPTE_V_VALID);
	locked.kvm = kvm;
	locked.index = index;
	locked.other = other;
	locked.v = v;
	shim_spin = unlock_and_enter;
}

/* In each slot, so also behind the last of a group; alone and with others */
TEST_F(file, locked_hpte_is_waited_for)
{
	unsigned int slot, away, others, i;
	int fd;

	for (i = 0; i < 32; i++) {
		slot = i % 8;
		away = i / 8 % 2;
		others = i / 16 * slot;
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		while (others)
			ASSERT_EQ(0, fake_h_enter(self->kvm, --others, V, R(1)));
		ASSERT_EQ(0, fake_h_enter(self->kvm, slot, V, R(2)));
		/* Takes the marks off, so only the lock tells */
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		leave_locked(self->kvm, slot, away, 0);
		fd = fake_open(self->kvm, 0, 0);
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
		shim_close(fd);
		ASSERT_TRUE(!shim_spin);
		ASSERT_FALSE(differ(self->v, self->r, slot, V, R(2))) {
			TH_LOG("slot %u, away %u", slot, away);
		}
	}
}

/* The other HPTE was looked at before, or is behind, when it is entered */
TEST_F(file, entered_while_its_group_is_harvested)
{
	unsigned int slot, other;

	for (slot = 0; slot < 8; slot++) {
		for (other = 1; other < 8; other++) {
			if (slot == other)
				continue;
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
			ASSERT_TRUE(drain(self->fd, self->v, self->r,
					  self->buf, BUF));
			ASSERT_EQ(0, fake_h_enter(self->kvm, slot, V, R(2)));
			leave_locked(self->kvm, slot, false, other);
			ASSERT_TRUE(drain(self->fd, self->v, self->r,
					  self->buf, BUF));
			ASSERT_TRUE(!shim_spin);
			ASSERT_FALSE(differ(self->v, self->r, slot, V, R(2)));
			ASSERT_FALSE(differ(self->v, self->r, other, V, R(5)));
		}
	}
}

/*
 * A vcpu that tested for readers before there was one changes HPTEs without a
 * mark. It is in a read section until then, so it does so before a grace
 * period ends; and before a reader has had the lock of the HPTE.
 */
static struct kvm *late_kvm;

static const unsigned long late_at[] = { 3, 500, 5000, NR - 1 };

static void change_late(void)
{
	unsigned int readers = late_kvm->arch.hpt_nr_readers, i;

	shim_before_grace_period = NULL;
	late_kvm->arch.hpt_nr_readers = 0;
	for (i = 0; i < ARRAY_SIZE(late_at); i++)
		fake_h_protect(late_kvm, late_at[i], HPTE_R_N);
	late_kvm->arch.hpt_nr_readers = readers;
}

/* Nothing is read without a lock before that */
TEST_F(file, changes_without_a_mark_are_waited_for)
{
	static const size_t sizes[] = { HPT_GROUP_BYTES + 1, 2048, BUF };
	unsigned int i, j;
	u64 v, r;

	late_kvm = self->kvm;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* The first of them, and one after the last has closed */
		shim_close(self->fd);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (j = 0; j < ARRAY_SIZE(late_at); j++)
			ASSERT_EQ(0, fake_h_enter(self->kvm, late_at[j], V,
						  R(j + 1)));
		self->fd = fake_open(self->kvm, 0, 0);
		memset(self->v, 0xee, sizeof(self->v));
		shim_before_grace_period = change_late;
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf,
				  sizes[i]));
		ASSERT_TRUE(!shim_before_grace_period);
		for (j = 0; j < ARRAY_SIZE(late_at); j++) {
			model_look(self->kvm, late_at[j], &v, &r);
			ASSERT_FALSE(differ(self->v, self->r, late_at[j], v,
					    r)) {
				TH_LOG("HPTE %lu, buffer %zu", late_at[j],
				       sizes[i]);
			}
		}
	}
}

/*
 * Until a grace period has passed the lock tells such a vcpu that there is a
 * reader, so each HPTE is locked; after it none that is clean. A first pass in
 * reads of a group does not begin the grace period.
 */
TEST_F(file, locks_are_taken_until_the_grace_period)
{
	int fd;

	shim_close(self->fd);
	self->fd = -1;
	fill(self->kvm, 256);
	fd = fake_open(self->kvm, 0, 255 * 8);
	shim_hpte_locks = 0;
	ASSERT_EQ(HPT_GROUP_BYTES, fake_read(fd, self->buf, HPT_GROUP_BYTES,
					     HPT_GROUP_BYTES));
	EXPECT_EQ(8, shim_hpte_locks);
	EXPECT_EQ(HPT_MARKS_SOME, self->kvm->arch.hpt_marks);
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
	shim_hpte_locks = 0;
	self->fd = fake_open(self->kvm, 0, 0);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, shim_hpte_locks);
	shim_close(fd);
}

/*
 * A vcpu sleeps in a read section, for a page fault say: files go on, with
 * locks, wait but once and not for long, and see what there is.
 */
TEST_F(file, nobody_waits_for_a_section_that_sleeps)
{
	struct kvm_ppc_htab_progress p;
	unsigned long index;
	u64 v, r;
	int fd;

	shim_close(self->fd);
	fill(self->kvm, 256);
	shim_section_sleeps = true;
	self->fd = fake_open(self->kvm, 0, 0);
	shim_hpte_locks = 0;
	memset(self->v, 0xee, sizeof(self->v));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 2048));
	EXPECT_LE(255 * 8, shim_hpte_locks);
	shim_polls_in_vain = 0;
	for (index = 0; index < 2048; index += 7)
		fake_h_remove(self->kvm, index);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 8000, V, R(1)));
	fd = fake_open(self->kvm, 0, 0);
	ASSERT_EQ(0, fake_progress(fd, 1, &p));
	EXPECT_EQ(EPOLLIN | EPOLLRDNORM, fake_poll(fd));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 2048));
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, 2048));
	EXPECT_GT(200, shim_polls_in_vain);
	for (index = 0; index < NR; index++) {
		model_look(self->kvm, index, &v, &r);
		ASSERT_FALSE(differ(self->v, self->r, index, v, r));
	}
	shim_close(fd);
	shim_section_sleeps = false;
	ASSERT_EQ(0, fake_h_enter(self->kvm, 8001, V, R(1)));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 2048));
	EXPECT_EQ(HPT_MARKS_ALL, self->kvm->arch.hpt_marks);
}

/* Progress */

/* What is left, counted by reading it */
static bool read_the_rest(int fd, u64 *v, u64 *r, char *buf,
			  struct kvm_ppc_htab_progress *p)
{
	struct kvm_hpt_fd *file = shim_file(fd)->private_data;
	u64 valid, invalid;
	ssize_t len;
	bool first;

	*p = (struct kvm_ppc_htab_progress) { };
	do {
		first = file->reader.first_pass;
		valid = file->valid;
		invalid = file->invalid;
		len = fake_read(fd, buf, BUF, BUF);
		if (len < 0 || !apply(v, r, buf, len))
			return false;
		valid = file->valid - valid;
		invalid = file->invalid - invalid;
		if (first) {
			p->first_hptes += valid;
			p->first_bytes += len;
		} else {
			p->changed_hptes += valid + invalid;
			p->changed_bytes += len;
		}
	} while (len);
	return true;
}

static long raw_progress(struct file *file, unsigned int cmd,
			 struct kvm_ppc_htab_progress *p)
{
	return file->f_op->unlocked_ioctl(file, cmd, (unsigned long)p);
}

TEST_F(file, progress_arguments)
{
	struct kvm_ppc_htab_progress p[2], *large;
	struct file *file = shim_file(self->fd);
	unsigned int at, longer;

	for (at = 0; at < 2 * sizeof(p[0]); at++) {
		memset(p, 0, sizeof(p));
		p[0].argsz = at;
		p[0].hptes = 1;
		EXPECT_EQ(at < sizeof(p[0]) ? -EINVAL : 0,
			  raw_progress(file, KVM_PPC_HTAB_PROGRESS, p));
		EXPECT_EQ(at < sizeof(p[0]) ? at : sizeof(p[0]), p[0].argsz);
		EXPECT_EQ(at < sizeof(p[0]) ? 1 : NR, p[0].hptes);
		if (at > sizeof(p[0])) {
			/* Not more than the kernel knows is filled in */
			((char *)p)[at - 1] = 1;
			p[0].argsz = at;
			EXPECT_EQ(-E2BIG, raw_progress(file,
						       KVM_PPC_HTAB_PROGRESS,
						       p));
			p[0].argsz = at - 1;
			EXPECT_EQ(0, raw_progress(file, KVM_PPC_HTAB_PROGRESS,
						  p));
			EXPECT_EQ(1, ((char *)p)[at - 1]);
		}
	}
	/* A page is more than it will ever be: not even looked at */
	large = calloc(2, PAGE_SIZE);
	ASSERT_NE(NULL, large);
	large->argsz = PAGE_SIZE + 1;
	EXPECT_EQ(-E2BIG, raw_progress(file, KVM_PPC_HTAB_PROGRESS, large));
	large->argsz = PAGE_SIZE;
	EXPECT_EQ(0, raw_progress(file, KVM_PPC_HTAB_PROGRESS, large));
	free(large);
	for (at = 0; at < ARRAY_SIZE(p[0].reserved); at++) {
		p[0] = (struct kvm_ppc_htab_progress) {
			.argsz = sizeof(p[0]),
		};
		p[0].reserved[at] = 1ull << 63;
		EXPECT_EQ(-EINVAL, raw_progress(file, KVM_PPC_HTAB_PROGRESS, p));
	}
	/* The size in the number is the one that user space knows */
	p[0] = (struct kvm_ppc_htab_progress) { .argsz = sizeof(p[0]) };
	longer = _IOC(_IOC_READ | _IOC_WRITE, KVMIO,
		      _IOC_NR(KVM_PPC_HTAB_PROGRESS), sizeof(p));
	EXPECT_EQ(0, raw_progress(file, longer, p));
	for (at = 1; at < 32; at++)
		EXPECT_EQ(-EINVAL, fake_progress(self->fd, 1u << at, &p[0]));
	EXPECT_EQ(0, fake_progress(self->fd, KVM_PPC_HTAB_PROGRESS_COUNT,
				   &p[0]));
	EXPECT_EQ(KVM_PPC_HTAB_PROGRESS_COUNT, p[0].flags);
	EXPECT_EQ(-ENOTTY, raw_progress(file, KVM_PPC_HTAB_PROGRESS + 1, p));
	for (at = 1; at <= 3; at++) {
		shim_fault_at = at;
		EXPECT_EQ(-EFAULT, fake_progress(self->fd, 0, &p[0]));
		EXPECT_EQ(0, shim_fault_at);
	}
	/* Waiting for the lock, and after a look */
	for (at = 1; at <= 2; at++) {
		shim_kill_at = at;
		EXPECT_EQ(-EINTR, fake_progress(self->fd, 0, &p[0]));
		EXPECT_EQ(0, shim_kill_at);
	}
}

TEST_F(file, progress_of_each_state)
{
	struct kvm_ppc_htab_progress p;
	unsigned int i;
	int fd;

	fill(self->kvm, 8);
	ASSERT_LT(0, fake_read(self->fd, self->buf, 100, 100));
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_CURRENT, p.state);
	EXPECT_EQ(NR, p.hptes);
	EXPECT_EQ(self->kvm->arch.hpt.order, p.order);
	EXPECT_EQ(1, p.generation);
	EXPECT_EQ(1, p.pass);
	EXPECT_LT(0, p.position);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(3, p.pass);
	EXPECT_EQ(0, p.position);

	fake_switch_to_radix(self->kvm);
	fd = fake_open(self->kvm, 0, 100);
	ASSERT_EQ(0, fake_progress(fd, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_NONE, p.state);
	EXPECT_EQ(0, p.order + p.hptes + p.position + p.pass + p.generation);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(ULONG_MAX, (&p.first_hptes)[i]);
	ASSERT_EQ(0, fake_progress(self->fd, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_STALE, p.state);
	EXPECT_EQ(3, p.pass);
	EXPECT_EQ(2, p.generation);
	EXPECT_EQ(0, p.order + p.hptes + p.position);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(ULONG_MAX, (&p.first_hptes)[i]);
	shim_close(fd);
}

/* After each read of a first pass, and from each index on */
TEST_F(file, progress_of_first_pass)
{
	struct kvm_ppc_htab_progress p, bound, is;
	unsigned long start;
	size_t size;
	ssize_t len;
	int fd;

	fill(self->kvm, 64);
	for (start = 0; start < 130; start++) {
		fd = fake_open(self->kvm, 0, start * 5);
		for (size = 0; size < start % 5; size++) {
			len = fake_read(fd, self->buf, 30 + start, 4096);
			ASSERT_LE(0, len);
		}
		ASSERT_EQ(0, fake_progress(fd, 0, &bound));
		ASSERT_EQ(0, fake_progress(fd, 1, &p));
		ASSERT_TRUE(read_the_rest(fd, self->v, self->r, self->buf,
					  &is));
		EXPECT_EQ(is.first_hptes, p.first_hptes);
		EXPECT_EQ(is.first_bytes, p.first_bytes);
		EXPECT_EQ(is.changed_hptes, p.changed_hptes);
		EXPECT_EQ(is.changed_bytes, p.changed_bytes);
		EXPECT_LE(is.first_hptes, bound.first_hptes);
		EXPECT_LE(is.first_bytes, bound.first_bytes);
		EXPECT_EQ(is.changed_hptes, bound.changed_hptes);
		shim_close(fd);
	}
}

/* A bound that holds if every other HPTE is there, and is near if all are */
TEST_F(file, progress_bounds)
{
	struct kvm_ppc_htab_progress p, count;
	unsigned long index;

	for (index = 0; index < NR; index += 2)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
	ASSERT_EQ(0, fake_progress(self->fd, 1, &count));
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(NR / 2, count.first_hptes);
	EXPECT_EQ(NR / 2 * HPT_RECORD_MIN, count.first_bytes);
	EXPECT_LE(count.first_bytes, p.first_bytes);
	EXPECT_EQ(NR, p.first_hptes);
	for (index = 1; index < NR; index += 2)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
	ASSERT_EQ(0, fake_progress(self->fd, 1, &count));
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(NR, count.first_hptes);
	EXPECT_EQ(HDR + NR * HPT_STREAM_HPTE, count.first_bytes);
	EXPECT_EQ(NR, p.first_hptes);
	EXPECT_LE(count.first_bytes, p.first_bytes);
	EXPECT_GT(NR * HPT_RECORD_MIN, p.first_bytes);
}

/* Each way in which a reader can have a change to report */
TEST_F(file, progress_of_changes)
{
	struct kvm_ppc_htab_progress p, is;
	unsigned int kind;
	int fd;

	fd = fake_open(self->kvm, 0, 0);
	for (kind = 0; kind < 32; kind++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		fill(self->kvm, 64);
		ASSERT_EQ(0, fake_h_enter(self->kvm, 1000, V,
					  R(1) & ~(HPTE_R_R | HPTE_R_C)));
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
		if (kind & 1)
			fake_hw_access(self->kvm, 1000, kind & 2);
		if (kind & 2)
			ASSERT_EQ(0, fake_h_remove(self->kvm, 248));
		if (kind & 4) {
			ASSERT_EQ(0, fake_h_enter(self->kvm, 2000, V, R(1)));
			ASSERT_EQ(0, fake_h_enter(self->kvm, 2001, V, R(1)));
			ASSERT_EQ(0, fake_h_enter(self->kvm, 2003, V, R(1)));
		}
		/* Another has harvested them */
		if (kind & 8)
			ASSERT_TRUE(drain(fd, self->v, self->r, self->buf,
					  BUF));
		/* Some of a group were reported */
		if (kind & 16)
			ASSERT_LE(0, fake_read(self->fd, self->buf, 30, BUF));
		ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
		ASSERT_TRUE(read_the_rest(self->fd, self->v, self->r,
					  self->buf, &is));
		EXPECT_EQ(is.changed_hptes, p.changed_hptes) {
			TH_LOG("changes %x", kind);
		}
		EXPECT_EQ(is.changed_bytes, p.changed_bytes);
		EXPECT_EQ(0, p.first_hptes + p.first_bytes);
		ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
		EXPECT_EQ(0, p.changed_hptes + p.changed_bytes);
	}
	shim_close(fd);
}

/* Behind the cursor of a first pass, on both sides of it in its group, ahead */
TEST_F(file, progress_of_changes_in_a_first_pass)
{
	struct kvm_ppc_htab_progress p, is;
	unsigned long index, other;
	int fd = fake_open(self->kvm, 0, 0);

	for (other = 0; other < 2; other++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (index = 0; index < 64; index++)
			ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
		/* Up to HPTE 20 */
		ASSERT_EQ(HDR + 20 * HPT_STREAM_HPTE,
			  fake_read(self->fd, self->buf,
				    HDR + 20 * HPT_STREAM_HPTE, BUF));
		fake_h_protect(self->kvm, 3, HPTE_R_N);
		fake_h_protect(self->kvm, 17, HPTE_R_N);
		fake_h_remove(self->kvm, 21);
		fake_h_protect(self->kvm, 40, HPTE_R_N);
		if (other)
			ASSERT_TRUE(drain(fd, self->v, self->r, self->buf,
					  BUF));
		ASSERT_EQ(0, fake_progress(self->fd, 1, &p));
		EXPECT_EQ(20, p.position);
		EXPECT_EQ(43, p.first_hptes);
		EXPECT_EQ(2, p.changed_hptes);
		EXPECT_EQ(2 * HPT_RECORD_MIN, p.changed_bytes);
		ASSERT_TRUE(read_the_rest(self->fd, self->v, self->r,
					  self->buf, &is));
		EXPECT_EQ(is.first_hptes, p.first_hptes);
		EXPECT_EQ(is.first_bytes, p.first_bytes);
		EXPECT_EQ(is.changed_hptes, p.changed_hptes);
		EXPECT_EQ(is.changed_bytes, p.changed_bytes);
	}
	shim_close(fd);
}

static void reset_and_enter_one(struct kvm *kvm)
{
	reset(kvm);
	fake_h_enter(kvm, 77, V, R(1));
}

/* More groups than are looked at in one go; and a reset between two looks */
TEST_F(file, progress_in_several_looks)
{
	struct kvm_ppc_htab_progress p;
	unsigned long index, nr = 1 << 17;
	unsigned int at;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1)));
	fd = fake_open(self->kvm, 0, 0);
	ASSERT_EQ(0, fake_progress(fd, 1, &p));
	EXPECT_EQ(nr / 8, p.first_hptes);
	EXPECT_EQ(nr / 8 * HPT_RECORD_MIN, p.first_bytes);
	do {
		at = fake_read(fd, self->buf, BUF, BUF);
	} while (at);
	for (index = 8; index < nr; index += 8)
		fake_h_protect(self->kvm, index, HPTE_R_N);
	ASSERT_EQ(0, fake_progress(fd, 0, &p));
	EXPECT_EQ(nr / 8 - 1, p.changed_hptes);
	EXPECT_EQ((nr / 8 - 1) * HPT_RECORD_MIN, p.changed_bytes);
	for (at = 1; at <= 8; at++) {
		shim_kill_at = at;
		EXPECT_EQ(-EINTR, fake_progress(fd, 0, &p));
	}
	let_happen(self->kvm, 2, reset_and_enter_one);
	ASSERT_EQ(0, fake_progress(fd, 1, &p));
	ASSERT_TRUE(!shim_interleave);
	EXPECT_EQ(1, p.first_hptes);
	EXPECT_EQ(0, p.changed_hptes);
	EXPECT_EQ(0, p.changed_bytes);
	shim_close(fd);
}

/* Behind an index at which the pass began, too */
TEST_F(file, progress_of_what_was_not_looked_at)
{
	struct kvm_ppc_htab_progress p, is;
	int fd;

	shim_close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V,
				  R(1) & ~(HPTE_R_R | HPTE_R_C)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 10, V, R(1)));
	fd = fake_open(self->kvm, 0, 100);
	fake_hw_access(self->kvm, 9, false);
	ASSERT_EQ(0, fake_progress(fd, 1, &p));
	EXPECT_EQ(1, p.changed_hptes);
	ASSERT_TRUE(read_the_rest(fd, self->v, self->r, self->buf, &is));
	EXPECT_EQ(1, is.changed_hptes);
	shim_close(fd);
}

/* Hardware has set C; it could not any more, and nobody has looked since */
TEST_F(file, progress_of_what_became_read_only)
{
	struct kvm_ppc_htab_progress p;

	shim_close(self->fd);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1) & ~HPTE_R_C));
	fake_hw_access(self->kvm, 9, true);
	fake_h_protect(self->kvm, 9, PP_RXRX);
	self->fd = fake_open(self->kvm, 0, 100);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(R(1) | PP_RXRX, self->r[9]);
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(0, p.changed_hptes);
}

/* fdinfo */

static struct seq_file fdinfo;

static void show(int fd)
{
	struct file *file = shim_file(fd);

	fdinfo.len = 0;
	file->f_op->show_fdinfo(&fdinfo, file);
}

static const char *text(const char *name)
{
	static char value[32];
	char *line = strstr(fdinfo.buf, name);

	if (!line || sscanf(line + strlen(name), ":\t%31s", value) != 1)
		value[0] = 0;
	return value;
}

static long number(const char *name)
{
	const char *value = text(name);

	return *value ? strtol(value, NULL, 0) : -1;
}

TEST_F(file, fdinfo_of_a_reader)
{
	struct kvm_ppc_htab_progress p;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);

	fill(self->kvm, 8);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 2, V | HPTE_V_BOLTED, R(1)));
	ASSERT_EQ(HDR, fake_read(fd, self->buf, HPT_RECORD_MIN, BUF));
	ASSERT_EQ(0, fake_progress(fd, 0, &p));
	show(fd);
	EXPECT_STREQ("read", text("htab-mode"));
	EXPECT_STREQ("current", text("htab-state"));
	EXPECT_EQ(1, number("htab-flags"));
	EXPECT_EQ(NR, number("htab-hptes"));
	EXPECT_EQ(1, number("htab-pass"));
	EXPECT_EQ(2, number("htab-position"));
	EXPECT_EQ(2, number("htab-file"));
	EXPECT_EQ(p.order, number("htab-order"));
	EXPECT_EQ(1, number("htab-generation"));
	EXPECT_EQ(0, number("htab-read-valid"));
	EXPECT_EQ(2, number("htab-read-invalid"));
	EXPECT_EQ(HDR, number("htab-read-bytes"));

	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
	fake_h_protect(self->kvm, 2, HPTE_R_N);
	show(fd);
	EXPECT_EQ(1, number("htab-read-valid"));
	EXPECT_EQ(NR - 1, number("htab-read-invalid"));
	EXPECT_EQ(HDR + HPT_RECORD_MIN, number("htab-read-bytes"));
	/* Of a copy that fails the whole records count */
	ASSERT_EQ(-EFAULT, fake_read(fd, self->buf, 100, 20));
	show(fd);
	EXPECT_EQ(1, number("htab-read-valid"));
	EXPECT_EQ(HDR + HPT_RECORD_MIN, number("htab-read-bytes"));
	shim_close(fd);

	shim_kill_at = 1;
	show(self->fd);
	EXPECT_STREQ("read", text("htab-mode"));
	EXPECT_STREQ("", text("htab-state"));
	show(self->fd);
	EXPECT_EQ(0, number("htab-flags"));
	fake_switch_to_radix(self->kvm);
	show(self->fd);
	EXPECT_STREQ("stale", text("htab-state"));
	fd = fake_open(self->kvm, 0, 0);
	show(fd);
	EXPECT_STREQ("none", text("htab-state"));
	shim_close(fd);
}

/* poll() */

static void poll_work(struct kvm *kvm)
{
	kvm->arch.hpt_poll.pending = false;
	kvm->arch.hpt_poll.work.function(&kvm->arch.hpt_poll.work);
}

#define NEWS	(EPOLLIN | EPOLLRDNORM)

TEST_F(file, poll_in_each_state)
{
	struct kvm_ppc_htab_progress p;
	int fd;

	fake_switch_to_radix(self->kvm);
	EXPECT_EQ(NEWS | EPOLLERR, fake_poll(self->fd));
	fd = fake_open(self->kvm, 0, 0);
	EXPECT_EQ(0, fake_poll(fd));
	fake_switch_to_hash(self->kvm);
	EXPECT_EQ(0, fake_poll(fd));
	EXPECT_TRUE(self->kvm->arch.hpt_poll.pending);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	EXPECT_EQ(NEWS, fake_poll(fd));
	EXPECT_EQ(NEWS, fake_poll(fd));
	/* Only a read lets the reader meet it: it may be replaced before */
	ASSERT_EQ(0, fake_progress(fd, 0, &p));
	EXPECT_EQ(KVM_PPC_HTAB_STATE_NONE, p.state);
	EXPECT_EQ(0, p.generation);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER + 1));
	EXPECT_EQ(NEWS, fake_poll(fd));
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(fd));
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	EXPECT_EQ(NEWS, fake_poll(fd));
	shim_close(fd);
}

TEST_F(file, poll_sees_each_change)
{
	int fd = fake_open(self->kvm, 0, 0);

	/* Hardware has something to set in this one, but has not */
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1000, V,
				  R(1) & ~(HPTE_R_R | HPTE_R_C)));
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(fd));
	fake_hw_access(self->kvm, 1000, false);
	EXPECT_EQ(NEWS, fake_poll(fd));
	/* In the set of a reader, when another has harvested it */
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(self->fd));
	EXPECT_EQ(NEWS, fake_poll(fd));
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(fd));
	/* A mark; and the rest of a group */
	ASSERT_EQ(0, fake_h_enter(self->kvm, 2000, V, R(1)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 2002, V, R(1)));
	EXPECT_EQ(NEWS, fake_poll(fd));
	ASSERT_LT(0, fake_read(fd, self->buf, HPT_RECORD_MIN, BUF));
	EXPECT_EQ(NEWS, fake_poll(fd));
	ASSERT_LT(0, fake_read(fd, self->buf, HPT_RECORD_MIN, BUF));
	EXPECT_EQ(0, fake_poll(fd));
	shim_close(fd);
	/* R that was set behind where the pass began, before there was one */
	shim_close(self->fd);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1) & ~HPTE_R_R));
	fake_hw_access(self->kvm, 9, false);
	self->fd = fake_open(self->kvm, 0, 100);
	ASSERT_LT(0, fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_EQ(NEWS, fake_poll(self->fd));
	EXPECT_EQ(HPT_RECORD_MIN, fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_EQ(0, fake_poll(self->fd));
}

TEST_F(file, poll_work_wakes_those_who_sleep)
{
	struct kvm_arch *arch = &self->kvm->arch;
	int fd;

	EXPECT_EQ(NEWS, fake_poll(self->fd));
	EXPECT_FALSE(arch->hpt_poll.pending);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(self->fd));
	EXPECT_TRUE(arch->hpt_poll.pending);
	/* Nobody sleeps, nothing is new: no more work */
	arch->hpt_wait.woken = 0;
	poll_work(self->kvm);
	EXPECT_FALSE(arch->hpt_poll.pending);
	/* Nothing is new, somebody sleeps */
	arch->hpt_wait.sleepers = true;
	poll_work(self->kvm);
	EXPECT_TRUE(arch->hpt_poll.pending);
	EXPECT_EQ(0, arch->hpt_wait.woken);
	/* Another reader, who does not poll, has something */
	fd = fake_open(self->kvm, 0, 0);
	poll_work(self->kvm);
	EXPECT_EQ(0, arch->hpt_wait.woken);
	shim_close(fd);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1, V, R(1)));
	poll_work(self->kvm);
	EXPECT_EQ(1, arch->hpt_wait.woken);
	EXPECT_FALSE(arch->hpt_poll.pending);
	EXPECT_EQ(NEWS, fake_poll(self->fd));
	/* A reset, and an HPT that goes away */
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	EXPECT_EQ(2, arch->hpt_wait.woken);
	EXPECT_EQ(NEWS, arch->hpt_wait.events);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(self->fd));
	fake_switch_to_radix(self->kvm);
	EXPECT_EQ(3, arch->hpt_wait.woken);
	/* A task that polls for nothing waits for EPOLLERR all the same */
	EXPECT_EQ(NEWS | EPOLLERR, arch->hpt_wait.events);
	poll_work(self->kvm);
	EXPECT_EQ(4, arch->hpt_wait.woken);
	EXPECT_EQ(NEWS | EPOLLERR, fake_poll(self->fd));
}

/* A task that polls before there is an HPT is woken up when there is one */
TEST_F(file, poll_work_for_a_reader_without_an_hpt)
{
	struct kvm_arch *arch = &self->kvm->arch;
	struct mutex *lock = &arch->mmu_setup_lock;
	unsigned long nr = 1 << 18;

	shim_close(self->fd);
	fake_switch_to_radix(self->kvm);
	self->fd = fake_open(self->kvm, 0, 0);
	EXPECT_EQ(0, fake_poll(self->fd));
	arch->hpt_wait.woken = 0;
	arch->hpt_wait.sleepers = true;
	poll_work(self->kvm);
	EXPECT_EQ(0, arch->hpt_wait.woken);
	EXPECT_TRUE(arch->hpt_poll.pending);

	/* What is in the HPT does not matter, so it is not looked at */
	fake_switch_to_hash(self->kvm);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	arch->hpt_wait.woken = 0;
	shim_longest_hold(lock);
	poll_work(self->kvm);
	EXPECT_EQ(1, arch->hpt_wait.woken);
	EXPECT_FALSE(arch->hpt_poll.pending);
	EXPECT_EQ(NEWS, fake_poll(self->fd));
	EXPECT_GT(1000, shim_longest_hold(lock));
	EXPECT_EQ(0, arch->hpt_poll_pos);
}

/*
 * Those who stay on the wait queue, with epoll or io_uring, and do not call
 * poll() again are woken for each change that comes after a read, and once.
 */
TEST_F(file, poll_work_wakes_for_each_change)
{
	struct kvm_arch *arch = &self->kvm->arch;
	unsigned int i;

	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(self->fd));
	arch->hpt_wait.woken = 0;
	arch->hpt_wait.sleepers = true;
	for (i = 1; i <= 3; i++) {
		ASSERT_TRUE(arch->hpt_poll.pending);
		ASSERT_EQ(0, fake_h_enter(self->kvm, i, V, R(1)));
		poll_work(self->kvm);
		ASSERT_EQ(i, arch->hpt_wait.woken);
		ASSERT_FALSE(arch->hpt_poll.pending);
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	}
	/* If nothing happens it takes its time, but not too much */
	for (i = 1; i < 10; i++) {
		poll_work(self->kvm);
		ASSERT_TRUE(arch->hpt_poll.pending);
		ASSERT_EQ(min(i, 3u) * HZ / 10, arch->hpt_poll.delay);
	}
	ASSERT_EQ(3, arch->hpt_wait.woken);
	/* While somebody has the lock it is not waited for */
	ASSERT_TRUE(mutex_trylock(&arch->mmu_setup_lock));
	poll_work(self->kvm);
	mutex_unlock(&arch->mmu_setup_lock);
	EXPECT_TRUE(arch->hpt_poll.pending);
}

/* A task that was woken and has not read is left alone, also if others wait */
TEST_F(file, poll_work_wakes_once)
{
	struct kvm_arch *arch = &self->kvm->arch;
	int other = fake_open(self->kvm, 0, 0);
	unsigned int i;

	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	ASSERT_TRUE(drain(other, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(self->fd));
	EXPECT_EQ(0, fake_poll(other));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	/* For this one it is no news then */
	ASSERT_TRUE(drain(other, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(other));
	arch->hpt_wait.woken = 0;
	arch->hpt_wait.sleepers = true;
	for (i = 0; i < 3; i++) {
		poll_work(self->kvm);
		EXPECT_TRUE(arch->hpt_poll.pending);
		EXPECT_EQ(1, arch->hpt_wait.woken);
	}
	shim_close(other);
}

/* The look at a table that hardware may change all over is cut in pieces */
TEST_F(file, poll_work_is_bounded)
{
	struct kvm_arch *arch = &self->kvm->arch;
	struct mutex *lock = &arch->mmu_setup_lock;
	unsigned long nr = 1 << 18;
	unsigned int looks;

	shim_close(self->fd);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	self->fd = fake_open(self->kvm, 0, 0);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	work_of_pass(self->fd, self->buf);
	shim_longest_hold(lock);
	EXPECT_EQ(0, fake_poll(self->fd));
	EXPECT_GT(300000, shim_longest_hold(lock));
	arch->hpt_wait.woken = 0;
	arch->hpt_wait.sleepers = true;
	poll_work(self->kvm);
	EXPECT_GT(300000, shim_longest_hold(lock));
	EXPECT_EQ(HZ / 100, arch->hpt_poll.delay);
	/* In front of where it is, and behind */
	fake_hw_access(self->kvm, 0, false);
	for (looks = 1; !arch->hpt_wait.woken && looks < 100; looks++)
		poll_work(self->kvm);
	EXPECT_EQ(nr / 8 / 8192 + 1, looks);
	shim_kill_at = 2;
	work_of_pass(self->fd, self->buf);
	shim_kill_at = 2;
	EXPECT_EQ(0, fake_poll(self->fd));
	EXPECT_EQ(0, shim_kill_at);
}

/* debugfs */

TEST_F(file, debugfs_dump)
{
	static const unsigned long at[] = { 0, 7, 8, 500, 501, NR - 1 };
	unsigned long index, v, r, gr;
	struct file *file = &shim_debugfs_file;
	unsigned int i, lines;
	ssize_t len, all;
	int n;

	kvmppc_mmu_debugfs_init(self->kvm);
	/* One that is marked, one that hardware has written to, one absent */
	for (i = 0; i < ARRAY_SIZE(at); i++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, at[i], V,
					  R(i + 1) & ~HPTE_R_C));
	fake_hw_access(self->kvm, 500, true);
	fake_unmap(self->kvm, 501);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	ASSERT_EQ(0, fake_h_remove(self->kvm, 9));

	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	for (all = 0, lines = 0; ; all += len) {
		len = file->f_op->read(file, self->buf + all, 150, NULL);
		ASSERT_LE(0, len);
		if (!len)
			break;
	}
	self->buf[all] = 0;
	for (all = 0; sscanf(self->buf + all, "%lx %lx %lx %lx\n%n", &index,
			     &v, &r, &gr, &n) == 4; all += n) {
		ASSERT_GT(ARRAY_SIZE(at), lines);
		ASSERT_EQ(at[lines], index);
		EXPECT_EQ(index == 501 ? HPTE_V_ABSENT : HPTE_V_VALID,
			  v & (HPTE_V_ABSENT | HPTE_V_VALID | HPTE_V_HVLOCK));
		EXPECT_EQ(R(lines + 1) & ~HPTE_R_C, gr);
		EXPECT_EQ(index == 500 ? HPTE_R_R | HPTE_R_C : 0,
			  r & (HPTE_R_R | HPTE_R_C));
		lines++;
	}
	EXPECT_EQ(0, self->buf[all]);
	EXPECT_EQ(ARRAY_SIZE(at), lines);
	file->f_op->release(&file->inode, file);

	shim_kill_at = 1;
	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	EXPECT_EQ(-EINTR, file->f_op->read(file, self->buf, 150, NULL));
	EXPECT_LT(0, file->f_op->read(file, self->buf, 150, NULL));
	fake_switch_to_radix(self->kvm);
	EXPECT_EQ(0, file->f_op->read(file, self->buf, 150, NULL));
	file->f_op->release(&file->inode, file);

	shim_allocs();
	shim_fail_alloc_at = 1;
	shim_fail_allocs = 1;
	EXPECT_EQ(-ENOMEM, file->f_op->open(&file->inode, file));
	shim_fail_alloc_at = 0;
	EXPECT_EQ(2, atomic_read(&self->kvm->refs));
	atomic_set(&self->kvm->refs, 0);
	EXPECT_EQ(-ENOENT, file->f_op->open(&file->inode, file));
	atomic_set(&self->kvm->refs, 2);
}

/* Writing */

static size_t record(void *buf, u32 index, unsigned int valid,
		     unsigned int invalid)
{
	struct kvm_get_htab_header *hdr = buf;
	__be64 *hpte = (__be64 *)(hdr + 1);
	unsigned int i;

	*hdr = (struct kvm_get_htab_header) { index, valid, invalid };
	for (i = 0; i < valid; i++) {
		hpte[2 * i] = cpu_to_be64(V);
		hpte[2 * i + 1] = cpu_to_be64(R(index + i));
	}
	return hpt_record_bytes(hdr);
}

/*
 * Three records, cut off at each byte or not accessible from there on: those
 * that are whole are applied and counted.
 */
TEST_F(file, write_cut_at_each_byte)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t ends[4] = { }, at;
	unsigned int i, whole, fault;
	unsigned long index;

	for (i = 0; i < 3; i++)
		ends[i + 1] = ends[i] + record(self->buf + ends[i], 100 * i, i,
					       8 - i);
	for (fault = 0; fault < 2; fault++) {
		for (at = 1; at <= ends[3]; at++) {
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
			for (whole = 0; whole < 3 && ends[whole + 1] <= at;)
				whole++;
			ASSERT_EQ(whole ? ends[whole] : fault ? -EFAULT :
				  -EINVAL,
				  fake_write(fd, self->buf, fault ? ends[3] : at,
					     at));
			ASSERT_TRUE(drain(self->fd, self->v, self->r,
					  self->buf + 4096, 4096));
			for (index = 0; index < NR; index++)
				ASSERT_EQ(index / 100 < whole &&
					  index % 100 < index / 100 ? V : 0,
					  self->v[index]);
		}
	}
	ASSERT_EQ(-EFAULT, fake_write(fd, self->buf, ends[3], 0));
	ASSERT_EQ(0, fake_write(fd, self->buf, 0, 0));
	shim_close(fd);
}

static bool there(struct kvm *kvm, unsigned long index)
{
	return *kvm_hpte_at(&kvm->arch.hpt, index);
}

/* The longest record, and ones beside it that do not fit with it */
TEST_F(file, write_longest_records)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = 0, size = 3 * HPT_RECORD_MAX;
	char *buf = malloc(size);
	unsigned long index;
	unsigned int checks;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	len += record(buf, 1, 1, 65535);
	len += record(buf + len, 65537, 65535, 65535);
	len += record(buf + len, 196608, 65535, 0);
	ASSERT_GT(size, len);
	ASSERT_EQ(len, fake_write(fd, buf, len, len));
	for (index = 65530; index < 65540; index++)
		ASSERT_EQ(index >= 65537, there(self->kvm, index));
	ASSERT_TRUE(there(self->kvm, 131071));
	ASSERT_FALSE(there(self->kvm, 131072));
	ASSERT_TRUE(there(self->kvm, 262142));
	ASSERT_FALSE(there(self->kvm, 262143));
	/* One byte short of the longest */
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	len = record(buf, 0, 65535, 0);
	ASSERT_EQ(-EINVAL, fake_write(fd, buf, len - 1, len));
	ASSERT_EQ(-EFAULT, fake_write(fd, buf, len, len - 1));
	ASSERT_FALSE(there(self->kvm, 0));
	ASSERT_EQ(len, fake_write(fd, buf, len, len));
	ASSERT_TRUE(there(self->kvm, 65534));
	/* Each of them fills the buffer: between two it can be killed */
	for (index = 0; index < 3; index++)
		record(buf + index * len, 0, 65535, 0);
	shim_signal_checks = 0;
	ASSERT_EQ(len, fake_write(fd, buf, len, len));
	checks = shim_signal_checks;
	ASSERT_EQ(3 * len, fake_write(fd, buf, 3 * len, 3 * len));
	ASSERT_EQ(checks + 3 * checks + 2, shim_signal_checks);
	/* Rows of the longest runs of invalid ones */
	for (index = 0; index < 40; index++)
		record(buf + index * HDR, index % 4 * 65535, 0, 65535);
	ASSERT_EQ(40 * HDR, fake_write(fd, buf, 40 * HDR, BUF));
	ASSERT_FALSE(there(self->kvm, 65534));
	/* One of them at a time; before the next it can be killed, three times */
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	for (index = 4; index < 10; index++) {
		shim_kill_at = index;
		ASSERT_EQ((index - 1) / 3 * HDR,
			  fake_write(fd, buf, 40 * HDR, BUF));
		ASSERT_EQ(0, shim_kill_at);
	}
	free(buf);
	shim_close(fd);
}

/* Records that are as long as can be, in a table with so many HPTEs */
#define LONG		65535
#define LONG_ORDER	21

/* Fill a table, and make a record that replaces @valid of its HPTEs */
static size_t long_record(struct kvm *kvm, void *buf, unsigned int valid)
{
	unsigned long index;

	if (fake_allocate_hpt(kvm, LONG_ORDER))
		return 0;
	for (index = 0; index < LONG; index++)
		if (fake_h_enter(kvm, index, V | HPTE_V_BOLTED, R(1)))
			return 0;
	return record(buf, 0, valid, LONG - valid);
}

/* How many HPTEs are as a record of so many valid ones has them, or as before */
static unsigned long count_long(struct kvm *kvm, unsigned int valid,
				unsigned long *before)
{
	unsigned long index, after = 0;
	u64 v, r;

	*before = 0;
	for (index = 0; index < LONG; index++) {
		model_look(kvm, index, &v, &r);
		if (v == (V | HPTE_V_BOLTED) && r == R(1))
			++*before;
		else
			after += index < valid ? v == V && r == R(index) : !v;
	}
	return after;
}

/*
 * However long a record is, and whether it is applied or put back, others get
 * the lock, and the writer can be killed, before much is done.
 */
TEST_F(file, long_record_does_not_lengthen_the_hold)
{
	static const struct {
		unsigned int valid;
		bool large, refused;
	} kind[] = {
		{ LONG }, { 0 }, { LONG, .large = true },
		{ LONG, .refused = true },
	};
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX);
	__be64 *hpte = (__be64 *)(buf + HDR);
	unsigned long i, before;
	size_t len;

	for (i = 0; i < ARRAY_SIZE(kind); i++) {
		unsigned int valid = kind[i].valid, n;
		bool refused = kind[i].refused;

		len = long_record(self->kvm, buf, valid);
		ASSERT_LT(0, len);
		for (n = 0; n < valid && kind[i].large; n++) {
			hpte[2 * n] |= cpu_to_be64(HPTE_V_LARGE);
			hpte[2 * n + 1] = cpu_to_be64(FAKE_HUGE | HPTE_R_M);
		}
		if (refused)
			hpte[2 * valid - 1] = cpu_to_be64(R(1) | HPTE_R_W);
		shim_longest_hold(lock);
		shim_longest_stretch();
		shim_signal_checks = 0;
		ASSERT_EQ(refused ? -EIO : (ssize_t)len,
			  fake_write(fd, buf, len, len));
		EXPECT_GT(150000, shim_longest_hold(lock)) {
			TH_LOG("record %lu", i);
		}
		/* 64 HPTEs, and as many that are put back */
		EXPECT_GT(2000, shim_longest_stretch());
		/* To check HPTEs with large pages takes time, too */
		EXPECT_LE((1 + kind[i].large) * (LONG / 4096),
			  shim_signal_checks);
		if (kind[i].large)
			continue;
		EXPECT_EQ(refused ? 0 : LONG,
			  count_long(self->kvm, valid, &before));
		EXPECT_EQ(refused ? LONG : 0, before);
	}
	free(buf);
	shim_close(fd);
}

TEST_F(file, long_record_behind_a_short_one)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX + BUF);
	size_t len = record(buf, LONG + 1, 1, 0);

	/* Together they fit into the buffer of the file */
	len += long_record(self->kvm, buf + len, LONG - 100);
	shim_longest_hold(lock);
	ASSERT_EQ(len, fake_write(fd, buf, len, len));
	EXPECT_GT(150000, shim_longest_hold(lock));
	free(buf);
	shim_close(fd);
}

/* Wherever a write is killed, locks are free, and the next one goes through */
TEST_F(file, killed_in_a_long_record)
{
	static const struct { unsigned int valid; bool refused; } kind[] = {
		{ LONG }, { 0 }, { LONG, .refused = true },
	};
	struct kvm_arch *arch = &self->kvm->arch;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX);
	__be64 *last = (__be64 *)(buf + HDR) + 2 * LONG - 1;
	unsigned long i, kill, after, before, partly;
	size_t len;
	ssize_t ret;

	for (i = 0; i < ARRAY_SIZE(kind); i++) {
		partly = 0;
		for (kill = 1, ret = -EINTR; ret == -EINTR; kill++) {
			len = long_record(self->kvm, buf, kind[i].valid);
			ASSERT_LT(0, len);
			if (kind[i].refused)
				*last = cpu_to_be64(R(1) | HPTE_R_W);
			arch->mmu_ready = kill % 2;
			shim_kill_at = kill;
			ret = fake_write(fd, buf, len, len);
			ASSERT_EQ(kill % 2, arch->mmu_ready);
			ASSERT_FALSE(mutex_is_locked(&arch->hpt_write_lock));
			ASSERT_FALSE(mutex_is_locked(&arch->mmu_setup_lock));
			if (ret != -EINTR)
				break;
			ASSERT_EQ(0, shim_kill_at);
			after = count_long(self->kvm, kind[i].valid, &before);
			/* One may be on its way back from being refused */
			ASSERT_LE(LONG, after + before + kind[i].refused);
			partly += after && before;
		}
		shim_kill_at = 0;
		ASSERT_EQ(kind[i].refused ? -EIO : (ssize_t)len, ret);
		EXPECT_LE(LONG / 4096 - 1, partly);
	}
	free(buf);
	shim_close(fd);
}

/* Between two slices of a record others read, but nobody changes the table */
struct between {
	struct kvm *kvm;
	unsigned int at;	/* how many locks from now */
	int reader, other;
	char *buf;
	ssize_t (*change)(struct between *b);
	pthread_t thread;
	ssize_t ret;
	bool done, done_too_soon;
	ssize_t read;
	int ready;
};

static struct between between;

static ssize_t write_one(struct between *b)
{
	size_t len = record(b->buf, 7, 1, 0);

	return fake_write(b->other, b->buf, len, len) == len;
}

static ssize_t reset_between(struct between *b)
{
	return !fake_allocate_hpt(b->kvm, LONG_ORDER);
}

static ssize_t setup_mmu(struct between *b)
{
	if (kvmppc_hpt_lock(b->kvm))
		return 0;
	WRITE_ONCE(b->kvm->arch.mmu_ready, 1);
	mutex_unlock(&b->kvm->arch.mmu_setup_lock);
	return 1;
}

static void *change_between(void *arg)
{
	struct between *b = arg;

	b->ret = b->change(b);
	__atomic_store_n(&b->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void between_slices(void)
{
	struct between *b = &between;

	if (--b->at)
		return;
	shim_interleave = NULL;
	b->ready = b->kvm->arch.mmu_ready;
	b->read = fake_read(b->reader, b->buf + 4096, 4096, BUF);
	pthread_create(&b->thread, NULL, change_between, b);
	usleep(20000);
	b->done_too_soon = __atomic_load_n(&b->done, __ATOMIC_ACQUIRE);
}

TEST_F(file, nothing_changes_between_slices)
{
	static ssize_t (*const change[])(struct between *b) = {
		write_one, reset_between, setup_mmu,
	};
	struct kvm_arch *arch = &self->kvm->arch;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX);
	unsigned long i, before;
	size_t len;

	between.kvm = self->kvm;
	between.buf = self->buf;
	between.other = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	for (i = 0; i < ARRAY_SIZE(change); i++) {
		len = long_record(self->kvm, buf, LONG);
		ASSERT_LT(0, len);
		between.reader = fake_open(self->kvm, 0, 0);
		arch->mmu_ready = 1;
		between.change = change[i];
		between.done = false;
		/* The file's lock, a copy, two locks, and some slices */
		between.at = 8;
		shim_interleave = between_slices;
		ASSERT_EQ(len, fake_write(fd, buf, len, len));
		ASSERT_EQ(NULL, shim_interleave);
		pthread_join(between.thread, NULL);
		EXPECT_EQ(1, between.ret);
		EXPECT_FALSE(between.done_too_soon);
		EXPECT_EQ(0, between.ready);
		EXPECT_LT(0, between.read);
		EXPECT_EQ(change[i] == reset_between ? 0 : LONG,
			  count_long(self->kvm, LONG, &before));
		shim_close(between.reader);
	}
	free(buf);
	shim_close(between.other);
	shim_close(fd);
}

/*
 * Many short records in one large write: whatever they hold, others get a
 * chance, and the writer can be killed, before much is done.
 */
TEST_F(file, short_records_do_not_lengthen_the_hold)
{
	static const struct { unsigned int valid, invalid; } shape[] = {
		{ 0, 0 }, { 0, 1 }, { 1, 0 }, { 3, 5 },
	};
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t size = 8 << 20, len;
	char *buf = malloc(size);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(shape); i++) {
		for (len = 0; len + 64 < size;)
			len += record(buf + len, len % (NR - 8),
				      shape[i].valid, shape[i].invalid);
		shim_longest_hold(lock);
		shim_longest_stretch();
		shim_signal_checks = 0;
		ASSERT_EQ(len, fake_write(fd, buf, len, len));
		EXPECT_GT(150000, shim_longest_hold(lock));
		EXPECT_GT(1000, shim_longest_stretch());
		EXPECT_LE(8, shim_signal_checks) {
			TH_LOG("%u valid, %u invalid", shape[i].valid,
			       shape[i].invalid);
		}
	}
	free(buf);
	shim_close(fd);
}

/* A record that is refused at its n-th HPTE leaves what was there before it */
TEST_F(file, refused_record_is_put_back)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	unsigned int bad, i;
	__be64 *hpte;
	size_t len;

	for (bad = 0; bad < 12; bad++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (i = 0; i < 12; i += 2)
			ASSERT_EQ(0, fake_h_enter(self->kvm, 20 + i, V |
						  HPTE_V_BOLTED, R(300 + i)));
		len = record(self->buf, 20, 12, 5);
		hpte = (__be64 *)(self->buf + HDR) + 2 * bad;
		/* Only H_ENTER knows that it refuses this one */
		hpte[1] |= cpu_to_be64(HPTE_R_W);
		ASSERT_EQ(-EIO, fake_write(fd, self->buf, len, len));
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		for (i = 0; i < 12; i++)
			ASSERT_FALSE(differ(self->v, self->r, 20 + i, i % 2 ?
					    0 : V | HPTE_V_BOLTED, R(300 + i)));
	}
	shim_close(fd);
}

/* What can be seen to be wrong before is not tried: nothing changes */
TEST_F(file, record_is_checked_before_it_is_applied)
{
	static const u64 at[] = { (FAKE_ODD | 0xffffff) + 1, FAKE_RAM };
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len;
	__be64 *hpte = (__be64 *)(self->buf + HDR);
	unsigned int i;

	ASSERT_EQ(0, fake_h_enter(self->kvm, 20, V, R(7)));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf + 4096, 4096));
	/* A page of 16M that the slot, or the host, has no place for */
	fake_host_page(at[0], false);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		len = record(self->buf, 20, 2, 0);
		hpte[2] |= cpu_to_be64(HPTE_V_LARGE);
		hpte[3] = cpu_to_be64(at[i] | HPTE_R_M);
		ASSERT_EQ(-EIO, fake_write(fd, self->buf, len, len));
		EXPECT_EQ(0, fake_read(self->fd, self->buf + 4096, 4096,
				       4096));
	}
	shim_close(fd);
}

/* A page of 16M in a segment of 64K pages */
TEST_F(file, vrma_has_the_size_of_the_base_page)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 1, 0);
	__be64 *hpte = (__be64 *)(self->buf + HDR);

	hpte[0] = cpu_to_be64(HPTE_V_1TB_SEG | VRMA_VSID << 24 |
			      HPTE_V_BOLTED | HPTE_V_LARGE | HPTE_V_VALID);
	hpte[1] = cpu_to_be64(FAKE_HUGE | 8 << 12 | HPTE_R_M);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(0x4001ffffff000110, self->kvm->arch.vrma_slb_v);
	shim_close(fd);
}

TEST_F(file, write_of_vrma_makes_mmu_ready)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	u64 vrma = HPTE_V_1TB_SEG | VRMA_VSID << 24 | HPTE_V_BOLTED |
		   HPTE_V_LARGE | HPTE_V_VALID;
	size_t len = record(self->buf, 20, 1, 0);
	__be64 *hpte = (__be64 *)(self->buf + HDR);

	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(0, self->kvm->arch.mmu_ready);
	hpte[0] = cpu_to_be64(vrma);
	hpte[1] = cpu_to_be64(FAKE_HUGE | HPTE_R_M);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(1, self->kvm->arch.mmu_ready);
	EXPECT_EQ(0x4001ffffff000100, self->kvm->arch.vrma_slb_v);
	EXPECT_EQ(cpu_has_feature(CPU_FTR_ARCH_300) ? 1 : 0x10ul << 47,
		  self->kvm->arch.lpcr);
	atomic_set(&self->kvm->arch.vcpus_running, 1);
	EXPECT_EQ(-EBUSY, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(1, self->kvm->arch.mmu_ready);
	shim_close(fd);
}

TEST_F(file, fdinfo_of_a_writer)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 3, 5);

	len += record(self->buf + len, 40, 2, 0);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	show(fd);
	EXPECT_STREQ("write", text("htab-mode"));
	EXPECT_EQ(5, number("htab-written-valid"));
	EXPECT_EQ(5, number("htab-written-invalid"));
	EXPECT_EQ(len, number("htab-written-bytes"));
	EXPECT_EQ(0, number("htab-refused"));
	/* The second is out of range */
	record(self->buf, 20, 3, 5);
	len = hpt_record_bytes(header(self->buf, 0));
	record(self->buf + len, NR + 7, 0, 1);
	ASSERT_EQ(len, fake_write(fd, self->buf, len + HDR, BUF));
	show(fd);
	EXPECT_EQ(8, number("htab-written-valid"));
	EXPECT_EQ(1, number("htab-refused"));
	EXPECT_EQ(NR + 7, number("htab-refused-index"));
	EXPECT_EQ(8, self->kvm->stat.hpt_write_valid.counter);
	EXPECT_EQ(10, self->kvm->stat.hpt_write_invalid.counter);

	/* An incomplete record is not refused; one that comes too soon is */
	ASSERT_EQ(-EINVAL, fake_write(fd, self->buf, HDR - 1, BUF));
	show(fd);
	EXPECT_EQ(1, number("htab-refused"));
	atomic_inc(&self->kvm->arch.vcpus_running);
	self->kvm->arch.mmu_ready = 1;
	ASSERT_EQ(-EBUSY, fake_write(fd, self->buf, len, BUF));
	atomic_dec(&self->kvm->arch.vcpus_running);
	show(fd);
	EXPECT_EQ(2, number("htab-refused"));
	EXPECT_EQ(20, number("htab-refused-index"));
	EXPECT_STREQ("current", text("htab-state"));
	fake_switch_to_radix(self->kvm);
	ASSERT_EQ(-EINVAL, fake_write(fd, self->buf, len, BUF));
	show(fd);
	EXPECT_STREQ("none", text("htab-state"));
	shim_close(fd);
}

TEST_HARNESS_MAIN
