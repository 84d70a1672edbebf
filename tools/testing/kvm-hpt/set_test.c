// SPDX-License-Identifier: GPL-2.0-only
/*
 * A reader's set of changes, and the group bitmaps of an HPT.
 */

#include "unit.h"

/* A reader's set */

FIXTURE(set) {
	struct hpt_set set;
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

/* A failed add may leave nodes without entries, which no search finds */
static void set_fails_and_is_cleared(struct __test_metadata *_metadata,
				     struct hpt_set *set, unsigned long first)
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
		/* Two calls have to be enough, unlike with hpt_set_clear() */
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

/* Adding a group fails if the list has no room for it and no memory to grow */
TEST_F(set, out_of_memory_for_one_more)
{
	static const unsigned int sizes[] = { 8, 16, 256, 512 };
	unsigned long group = 0;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (; group < sizes[i]; group++)
			ASSERT_EQ(0, hpt_set_add(&self->set, group,
						 group % 127 + 1));
		shim_allocs();
		shim_fail_alloc_at = 1;
		shim_fail_allocs = -1u;
		ASSERT_EQ(-ENOMEM, hpt_set_add(&self->set, group, 1));
		ASSERT_EQ(-ENOMEM, hpt_set_add(&self->set, 8191, 1));
		/* More HPTEs of a group that is there need no room */
		ASSERT_EQ(0, hpt_set_add(&self->set, 0, 0x80));
		ASSERT_EQ(0, hpt_set_add(&self->set, group - 1, 0x80));
		shim_fail_alloc_at = 0;
		ASSERT_EQ(0, hpt_set_get(&self->set, group));
		ASSERT_EQ(HPT_SET_END, hpt_set_next(&self->set, group));
		for (j = 1; j < group - 1; j++)
			ASSERT_EQ(j % 127 + 1,
				  hpt_set_get(&self->set, j) & 0x7f);
	}
	ASSERT_EQ(0, hpt_set_add(&self->set, 8191, 1));
	for (j = 0; j < group; j++)
		ASSERT_EQ(j % 127 + 1, hpt_set_take(&self->set, j) & 0x7f);
	/* The teardown frees the bitmap */
	ASSERT_EQ(1, hpt_set_get(&self->set, 8191));
}

/* The list of what one reader takes as another one adds does not grow */
TEST_F(set, memory_is_in_proportion)
{
	unsigned long group;
	long live = 0;

	for (group = 0; group < 8192; group++) {
		ASSERT_EQ(0, hpt_set_add(&self->set, group, 1));
		if (group >= 4)
			ASSERT_EQ(1, hpt_set_take(&self->set, group - 4));
		if (!group) {
			live = shim_live_allocs();
			shim_largest_alloc = 32;
		}
		ASSERT_EQ(live, shim_live_allocs());
	}
	/* A list of all groups would need 32 KiB */
	shim_largest_alloc = 8192;
	for (group = 0; group < 8192; group++)
		ASSERT_EQ(0, hpt_set_add(&self->set, group, 1));
	shim_largest_alloc = 0;
}

/* A search does not look again and again at what is empty */
TEST_F(set, search_of_what_is_left)
{
	unsigned long group, begin;

	for (group = 0; group < 600; group++)
		ASSERT_EQ(0, hpt_set_add(&self->set, group, 1));
	ASSERT_EQ(0, hpt_set_add(&self->set, 8191, 1));
	for (group = 0; group < 600; group++)
		ASSERT_EQ(1, hpt_set_take(&self->set, group));
	begin = shim_work;
	for (group = 600; group < 8192; group++)
		ASSERT_EQ(8191, hpt_set_next(&self->set, group));
	/* One for each call, and one for each word of the bitmap */
	EXPECT_GE(8192 - 600 + 1024, shim_work - begin);

	/* What is added there is found, and what was before it */
	ASSERT_EQ(0, hpt_set_add(&self->set, 4000, 2));
	ASSERT_EQ(4000, hpt_set_next(&self->set, 3000));
	ASSERT_EQ(8191, hpt_set_next(&self->set, 4001));
	ASSERT_EQ(4000, hpt_set_next(&self->set, 0));
	ASSERT_EQ(2, hpt_set_take(&self->set, 4000));
	ASSERT_EQ(8191, hpt_set_next(&self->set, 0));
	ASSERT_EQ(1, hpt_set_take(&self->set, 8191));
	ASSERT_EQ(HPT_SET_END, hpt_set_next(&self->set, 0));
}

/* Taking entries out needs no memory */
TEST_F(set, take_needs_no_memory)
{
	unsigned long group;

	for (group = 0; group < 600; group++) {
		ASSERT_EQ(0, hpt_set_add(&self->set, group, 0x55));
		ASSERT_EQ(0, hpt_set_add(&self->set, 10000 + 100 * group, 0x55));
	}
	shim_fail_alloc_at = 1;
	shim_fail_allocs = -1u;
	for (group = 0; group < 600; group++) {
		ASSERT_EQ(0x55, hpt_set_take(&self->set, group));
		ASSERT_EQ(0x55, hpt_set_take(&self->set, 10000 + 100 * group));
	}
	shim_fail_alloc_at = 0;
	EXPECT_EQ(HPT_SET_END, hpt_set_next(&self->set, 0));
}

/* Group bitmaps of a table with two chunks */

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
	for (i = 0; i < ARRAY_SIZE(edges); i++)
		kvmppc_hpt_visit(self->info, edges[i] * 8);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, BIG_ORDER));
	EXPECT_EQ(BIG_GROUPS, kvm_hpt_next_used(self->info, 0, BIG_GROUPS));
	EXPECT_EQ(BIG_GROUPS, kvm_hpt_next_visit(self->info, 0, BIG_GROUPS));
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
	/* One allocation for all, and two for each chunk */
	EXPECT_LE(2 + 4, at);
}

TEST_F(groups, out_of_memory_leaves_nothing)
{
	struct kvm_hpt_info info = { .order = BIG_ORDER };
	long live = shim_live_allocs();
	unsigned int at;

	/* One allocation for all, and two for each chunk */
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

/* The missing part if all allocations from the @at-th on fail */
static enum kvm_hpt_part missing(unsigned int at)
{
	struct kvm_hpt_info info = { .order = BIG_ORDER };
	int err;

	shim_allocs();
	shim_fail_alloc_at = at;
	shim_fail_allocs = -1u;
	err = kvmppc_hpt_alloc_groups(&info);
	shim_fail_alloc_at = 0;
	return err == -ENOMEM && !info.groups ? info.part : -1;
}

TEST_F(groups, part_that_is_missing)
{
	long live = shim_live_allocs();
	unsigned int at;

	for (at = 1; at <= 5; at++)
		ASSERT_EQ(KVM_HPT_PART_BITMAPS, missing(at));
	shim_at_cgroup_limit = true;
	EXPECT_EQ(KVM_HPT_PART_CGROUP, missing(0));
	EXPECT_EQ(KVM_HPT_PART_BITMAPS, missing(1));
	shim_no_cgroups = true;
	EXPECT_EQ(KVM_HPT_PART_BITMAPS, missing(0));
	shim_no_cgroups = false;
	shim_at_cgroup_limit = false;
	EXPECT_EQ(live, shim_live_allocs());
}

/* Of a small table, only a small bitmap is missing */
TEST_F(groups, part_that_is_missing_is_small)
{
	struct kvm_hpt_info info = { .order = ORDER };

	shim_at_cgroup_limit = true;
	shim_largest_alloc = NR / 8 / 8;
	EXPECT_EQ(-ENOMEM, kvmppc_hpt_alloc_groups(&info));
	EXPECT_EQ(KVM_HPT_PART_CGROUP, info.part);
	shim_largest_alloc--;
	EXPECT_EQ(-ENOMEM, kvmppc_hpt_alloc_groups(&info));
	EXPECT_EQ(KVM_HPT_PART_BITMAPS, info.part);
	shim_largest_alloc = 0;
	shim_at_cgroup_limit = false;
}

/* To count a chunk costs its size, and 1; it begins only if there is time */
TEST_F(groups, count_keeps_to_its_budget)
{
	struct kvm_hpt_info small = { .order = ORDER };
	const int chunk = 1 + (HPT_CHUNK_GROUPS >> HPT_SCAN_SHIFT);
	unsigned long group;
	int budget;

	budget = chunk;
	group = 0;
	EXPECT_EQ(0, kvm_hpt_nr_used(self->info, &group, &budget));
	EXPECT_EQ(0, budget);
	EXPECT_EQ(HPT_CHUNK_GROUPS, group);
	budget = chunk + 1;
	group = 0;
	EXPECT_EQ(0, kvm_hpt_nr_used(self->info, &group, &budget));
	EXPECT_EQ(1 - chunk, budget);
	EXPECT_EQ(BIG_GROUPS, group);
	ASSERT_EQ(0, kvmppc_hpt_alloc_groups(&small));
	budget = 1;
	group = 7;
	EXPECT_EQ(0, kvm_hpt_nr_used(&small, &group, &budget));
	EXPECT_EQ(0, budget);
	EXPECT_EQ(NR / 8, group);
	kvmppc_hpt_free_groups(&small);
}

/* The guest's bits of the word are kept, the mark is not */
TEST_F(groups, rehashed_hpte_has_its_word)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		kvmppc_hpt_rehashed(self->info, edges[i] * 8 + i % 8,
				    R(i + 1) | HPTE_GR_MODIFIED);
		EXPECT_EQ(R(i + 1),
			  self->info->rev[edges[i] * 8 + i % 8].guest_rpte);
		EXPECT_TRUE(kvm_hpt_group_used(self->info, edges[i]));
		EXPECT_FALSE(kvm_hpt_group_to_visit(self->info, edges[i]));
	}
}

TEST_F(groups, no_memory_is_counted)
{
	kvmppc_hpt_no_memory(self->kvm, 36, KVM_HPT_PART_TABLE);
	kvmppc_hpt_no_memory(self->kvm, 18, KVM_HPT_PART_CGROUP);
	EXPECT_EQ(2, self->kvm->stat.hpt_no_memory.counter);
}

TEST_HARNESS_MAIN
