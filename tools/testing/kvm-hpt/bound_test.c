// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lock hold times, and the time without rescheduling, are bounded, however much
 * work there is.
 */

#include "unit.h"

/* Change the first HPTE of each of these groups */
static void change_each(struct kvm *kvm, unsigned long groups)
{
	static u64 flags;
	unsigned long index;

	flags ^= HPTE_R_N;
	for (index = 0; index < groups * 8; index += 8)
		fake_h_protect(kvm, index, flags);
}

/*
 * To report a change that another reader has harvested costs little more than
 * to harvest it, for any number of changes and any size of the table.
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

/* With more readers to hand changes to, a hold harvests fewer changes */
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
 * The bound of the work in one hold of the lock does not depend on the size of
 * the table. This one has 2^27 groups.
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
	/* No group is used */
	work_of_pass(fd, self->buf);
	EXPECT_GT(bound, shim_longest_hold(lock));
	EXPECT_EQ(0, fake_progress(fd, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_GT(bound, shim_longest_hold(lock));
	/* 2^16 groups are used and have changed, and the very last one */
	ASSERT_TRUE(enter_in_each_group(self->kvm, 1 << 19, R(1)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, last, V, R(1)));
	EXPECT_EQ(0, fake_progress(fd, 0, &p));
	EXPECT_EQ((1 << 16) + 1, p.changed_hptes);
	EXPECT_GT(bound, shim_longest_hold(lock));
	work_of_pass(fd, self->buf);
	EXPECT_GT(bound, shim_longest_hold(lock));
	/* A reader that begins near the end, and its second pass */
	shim_close(fd);
	fd = fake_open(self->kvm, 0, last - 100);
	shim_longest_hold(lock);
	work_of_pass(fd, self->buf);
	EXPECT_GT(bound, shim_longest_hold(lock));
	EXPECT_EQ(0, fake_progress(fd, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_GT(bound, shim_longest_hold(lock));
	shim_close(fd);
}

/* The dump gives the lock up while it finds nothing, and can be killed then */
TEST_F(file, dump_of_removed_hptes_does_not_lengthen_the_hold)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	struct file *file = &shim_debugfs_file;
	unsigned long index, nr = 1 << 19;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 23));
	kvmppc_mmu_debugfs_init(self->kvm);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1)));
	for (index = 0; index < nr; index += 8)
		fake_h_remove(self->kvm, index);
	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	shim_longest_hold(lock);
	EXPECT_EQ(0, file->f_op->read(file, self->buf, 150, NULL));
	EXPECT_GT(nr / 4, shim_longest_hold(lock));
	file->f_op->release(&file->inode, file);

	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	shim_kill_at = 3;
	EXPECT_EQ(-EINTR, file->f_op->read(file, self->buf, 150, NULL));
	EXPECT_EQ(0, file->f_op->read(file, self->buf, 150, NULL));
	file->f_op->release(&file->inode, file);
}

/* Nor does the dump keep the lock while a seek skips many lines */
TEST_F(file, dump_of_many_hptes_does_not_lengthen_the_hold)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	struct file *file = &shim_debugfs_file;
	unsigned long some, index;

	kvmppc_mmu_debugfs_init(self->kvm);
	for (index = 0; index < NR; index++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	shim_longest_hold(lock);
	/* The harness reads in one go what the kernel does only for a seek */
	ASSERT_LT(0, file->f_op->read(file, self->buf, BUF / 16, NULL));
	some = shim_longest_hold(lock);
	ASSERT_LT(BUF / 2, file->f_op->read(file, self->buf, BUF, NULL));
	EXPECT_GT(6 * some, shim_longest_hold(lock));
	file->f_op->release(&file->inode, file);

	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	shim_kill_at = 3;
	EXPECT_EQ(-EINTR, file->f_op->read(file, self->buf, BUF, NULL));
	file->f_op->release(&file->inode, file);
}

/*
 * A set that another reader has filled with changes all over the table is freed
 * in pieces when its reader begins again, becomes stale, or is closed.
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
			/* All of the set is freed, a part in each hold */
			ASSERT_GE(live, shim_live_allocs());
		}
		shim_close(fd[1]);
		freed = shim_nodes_freed();
		EXPECT_LE(64, freed);
		EXPECT_GE(70, freed);
		shim_close(fd[0]);
	}
}

/* Empty groups that were used share a record, but each takes time to visit */
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
	/* Checks: the file's lock, four of mmu_setup_lock, and between these */
	shim_kill_at = 1000;
	ASSERT_EQ(3 * HDR, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_LE(9, 1000 - shim_kill_at);
	shim_kill_at = 0;
	shim_close(fd);
}

/* A table that takes eight holds of the lock, or more */
TEST_F(file, others_run_between_two_looks)
{
	unsigned long nr = 1 << 18, looks = nr / 8 / 4096, index;
	struct kvm_ppc_htab_progress p;
	int fd, bolted;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	fd = fake_open(self->kvm, 0, 0);
	bolted = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	shim_rescheds();
	ASSERT_EQ(0, fake_progress(bolted, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_LE(looks, shim_rescheds());
	ASSERT_LT(0, fake_read(bolted, self->buf, BUF, BUF));
	EXPECT_LE(looks, shim_rescheds());
	ASSERT_EQ(0, fake_read(bolted, self->buf, BUF, BUF));
	EXPECT_LE(looks, shim_rescheds());
	ASSERT_EQ(0, fake_progress(bolted, 0, &p));
	EXPECT_LE(looks, shim_rescheds());
	/* poll() looks at twice as much in each hold */
	EXPECT_EQ(0, fake_poll(bolted));
	EXPECT_LE(looks / 2, shim_rescheds());
	/*
	 * There is no other reader now. A buffer has room for the records of a
	 * little more than two holds, which take two holds to be handed back.
	 */
	shim_close(bolted);
	shim_close(self->fd);
	self->fd = -1;
	work_of_pass(fd, self->buf);
	for (index = 0; index < nr; index += 8)
		fake_h_remove(self->kvm, index);
	shim_rescheds();
	ASSERT_EQ(-EFAULT, fake_read(fd, self->buf, BUF, 7));
	EXPECT_LE(3 + 2, shim_rescheds());
	shim_close(fd);
}

/* poll() checks all readers, and a read hands a change to all of them */
TEST_F(file, others_run_between_two_readers)
{
	struct kvm_arch *arch = &self->kvm->arch;
	int fd[100];
	unsigned int i;

	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = fake_open(self->kvm, 0, 0);
		ASSERT_TRUE(drain(fd[i], self->v, self->r, self->buf, BUF));
		ASSERT_EQ(0, fake_poll(fd[i]));
	}
	arch->hpt_wait.sleepers = true;
	arch->hpt_poll.pending = false;
	shim_rescheds();
	arch->hpt_poll.work.function(&arch->hpt_poll.work);
	EXPECT_LE(ARRAY_SIZE(fd), shim_rescheds());
	ASSERT_EQ(0, fake_h_protect(self->kvm, 9, HPTE_R_N));
	shim_rescheds();
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd[0], self->buf, BUF, BUF));
	EXPECT_LE(ARRAY_SIZE(fd), shim_rescheds());
	while (i)
		shim_close(fd[--i]);
}

/* Clearing groups, or finding them empty, reschedules within a hold */
TEST_F(file, others_run_between_two_groups)
{
	struct file *file = &shim_debugfs_file;
	unsigned long index, nr = 1 << 17;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	kvmppc_mmu_debugfs_init(self->kvm);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1)));
	for (index = 0; index < nr; index += 8)
		fake_h_remove(self->kvm, index);
	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	shim_rescheds();
	EXPECT_EQ(0, file->f_op->read(file, self->buf, 150, NULL));
	EXPECT_LE(nr / 8, shim_rescheds());
	file->f_op->release(&file->inode, file);
	shim_rescheds();
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	EXPECT_LE(nr / 8, shim_rescheds());
}

/* Bitmaps of 16 MiB: allocated, counted, searched, cleared and freed in parts */
TEST_F(file, others_run_between_two_chunks)
{
	unsigned long chunks = 1ul << (34 - 7 - HPT_CHUNK_SHIFT);
	struct file *file = &shim_debugfs_file;
	struct kvm_ppc_htab_progress p;

	shim_close(self->fd);
	shim_rescheds();
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 34));
	EXPECT_LE(chunks, shim_rescheds());
	self->fd = fake_open(self->kvm, 0, 0);
	shim_rescheds();
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_LE(chunks, shim_rescheds());
	kvmppc_mmu_debugfs_init(self->kvm);
	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	shim_rescheds();
	EXPECT_EQ(0, file->f_op->read(file, self->buf, 150, NULL));
	EXPECT_LE(8, shim_rescheds());
	file->f_op->release(&file->inode, file);
	shim_rescheds();
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 34));
	EXPECT_LE(chunks, shim_rescheds());
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	EXPECT_LE(chunks, shim_rescheds());
}

TEST_HARNESS_MAIN
