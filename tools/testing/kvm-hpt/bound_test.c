// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lock hold times, and the time without rescheduling, are bounded, however much
 * work there is.
 */

#include <linux/delay.h>

#include "fixture.h"

/* Read a first pass in buffers of this size. Returns the work that it takes. */
static unsigned long work_of_pass_in(int fd, void *buf, size_t size)
{
	struct kvm_hpt_fd *file = shim_file(fd)->private_data;
	unsigned long begin = shim_work;

	while (file->reader.first_pass)
		fake_read(fd, buf, size, size);
	return shim_work - begin;
}

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

/* Nor do those of a reset, which looks at 4096 groups in each, or scans for them */
TEST_F(file, reset_does_not_lengthen_the_hold)
{
	static const struct {
		unsigned int order, used, holds;
	} kind[] = {
		{ 18, 1 << 11, 1 }, { 20, 1 << 13, 2 }, { 24, 1 << 17, 32 },
		{ 34, 0, 8 }, { 34, 1 << 13, 10 },
	};
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	const unsigned long bound = 600000;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kind); i++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, kind[i].order));
		ASSERT_TRUE(enter_in_each_group(self->kvm, kind[i].used * 8,
						R(1)));
		shim_holds(lock);
		shim_longest_hold(lock);
		shim_longest_stretch();
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, kind[i].order));
		/* And one before each step without it */
		EXPECT_EQ(2 + kind[i].holds, shim_holds(lock)) {
			TH_LOG("kind %u", i);
		}
		EXPECT_GT(bound, shim_longest_hold(lock));
		EXPECT_GT(bound, shim_longest_stretch());
	}
	/* A replacement frees and allocates without it */
	shim_holds(lock);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
	EXPECT_EQ(4, shim_holds(lock));
}

static unsigned long count_there(struct kvm *kvm, unsigned long nr)
{
	unsigned long index, n = 0;

	for (index = 0; index < nr; index++)
		n += *kvm_hpte_at(&kvm->arch.hpt, index) != 0;
	return n;
}

/* Whoever is next to change the table finishes a reset, or is killed as well */
static bool finish_reset(struct kvm *kvm, unsigned int how, int fd, void *buf)
{
	unsigned int resets = fake_rmaps_emptied, waits = shim_grace_periods;
	bool emptied = !(kvm->arch.hpt_todo & KVM_HPT_EMPTY_CHAINS);
	bool awaited = !(kvm->arch.hpt_todo & KVM_HPT_AWAIT_WALKERS);
	unsigned int kill = 0, most = 100;
	size_t len = record(buf, 0, how == 2 ? 5000 : 1, 0);
	long err;

	do {
		shim_kill_at = ++kill;
		err = how ? fake_write(fd, buf, len, len) : kvmppc_hpt_lock(kvm);
		if (mutex_is_locked(&kvm->arch.hpt_write_lock))
			return false;
	} while (err == -EINTR && kill < most);
	shim_kill_at = 0;
	/* No step is done twice */
	resets = fake_rmaps_emptied - resets;
	waits = shim_grace_periods - waits;
	if (emptied == !!resets || awaited == !!waits)
		return false;
	if (how)
		return err == (long)len;
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	return !err;
}

/* A reset of a large table is one to its readers, unless they read meanwhile */
TEST_F(file, reset_in_many_holds_is_one_to_readers)
{
	unsigned long nr = 1 << 20;
	struct kvm_ppc_htab_progress before, after;
	unsigned int i;
	int fd[2];

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 24));
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1)));
	fd[0] = fake_open(self->kvm, 0, 0);
	fd[1] = fake_open(self->kvm, 0, nr / 2);
	work_of_pass(fd[0], self->buf);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, fake_progress(fd[i], 0, &before));
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 24));
		ASSERT_EQ(0, fake_progress(fd[i], 0, &after));
		EXPECT_EQ(before.generation + 1, after.generation);
		EXPECT_EQ(0, after.position);
		EXPECT_EQ(1, after.pass);
	}
	shim_close(fd[1]);
	shim_close(fd[0]);
}

/*
 * A reset that is killed keeps no lock, loses nothing that a reader has to know,
 * and leaves no HPTE that a vcpu could use.
 */
TEST_F(file, killed_reset_is_finished)
{
	const unsigned long nr = 1 << 17, groups = nr / 8;
	struct kvm_arch *arch = &self->kvm->arch;
	int wfd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	unsigned int kill, how, partly, begun;
	u64 *v = malloc(2 * nr * sizeof(*v)), *r = v + nr;
	char *buf = malloc(HPT_RECORD_MAX);
	unsigned long index, left;
	int fd, err;

	for (how = 0; how < 3; how++) {
		partly = 0;
		begun = 0;
		for (kill = 1, err = -EINTR; err; kill++) {
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
			ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1)));
			fd = fake_open(self->kvm, 0, 0);
			memset(v, 0, 2 * nr * sizeof(*v));
			ASSERT_TRUE(drain_table(fd, v, r, buf, BUF, nr));
			arch->mmu_ready = 0;
			shim_kill_at = kill;
			err = fake_allocate_hpt(self->kvm, 21);
			ASSERT_FALSE(mutex_is_locked(&arch->hpt_write_lock));
			ASSERT_FALSE(mutex_is_locked(&arch->mmu_setup_lock));
			ASSERT_TRUE(!err || (err == -EINTR && !shim_kill_at));
			shim_kill_at = 0;
			left = count_there(self->kvm, nr);
			begun += arch->hpt_todo != 0;
			/* HPTEs go last */
			if (arch->hpt_todo & KVM_HPT_AWAIT_WALKERS)
				ASSERT_EQ(groups, left);
			if (left < groups) {
				/* It begins again, so it reports what is left */
				partly += left != 0;
				memset(v, 0, 2 * nr * sizeof(*v));
				ASSERT_TRUE(drain_table(fd, v, r, buf, BUF, nr));
			}
			for (index = 0; index < nr; index += 8)
				ASSERT_EQ(*kvm_hpte_at(&arch->hpt, index) != 0,
					  v[index] != 0);
			if (arch->hpt_todo) {
				ASSERT_TRUE(finish_reset(self->kvm, how, wfd,
							 buf));
				ASSERT_EQ(!how ? 0 : how == 1 ? 1 : 5000,
					  count_there(self->kvm, nr));
				memset(v, 0, 2 * nr * sizeof(*v));
				ASSERT_TRUE(drain_table(fd, v, r, buf, BUF, nr));
				ASSERT_EQ(how != 0, v[0] != 0);
				ASSERT_EQ(how == 2, v[4999] != 0);
				ASSERT_EQ(0, v[nr - 8]);
			}
			ASSERT_EQ(0, arch->hpt_todo);
			shim_close(fd);
		}
		/* Four holds, three of which end in the middle */
		EXPECT_LE(6, partly);
		EXPECT_LT(partly, begun);
	}
	free(buf);
	free(v);
	shim_close(wfd);
}

/* A task stays in a read section of kvm->srcu: what waits for it can be killed */
static struct {
	struct kvm *kvm;
	char *buf;
	int fd;
	unsigned int sleeps;
} awaited;

/* Readers go on meanwhile, and a reader can be closed and opened */
static void read_while_waiting(void)
{
	if (awaited.sleeps++)
		return;
	BUG_ON(mutex_is_locked(&awaited.kvm->arch.mmu_setup_lock));
	BUG_ON(!mutex_is_locked(&awaited.kvm->arch.hpt_write_lock));
	BUG_ON(fake_read(awaited.fd, awaited.buf, 8, 8) == -EINTR);
	shim_close(awaited.fd);
	shim_kill_at = 200;
}

static int reset_of_20(struct kvm *kvm)
{
	return fake_allocate_hpt(kvm, 20);
}

static int replacement_of_20(struct kvm *kvm)
{
	return fake_allocate_hpt(kvm, 21);
}

static int switch_to_radix(struct kvm *kvm)
{
	return fake_configure_mmu(kvm, true);
}

TEST_F(file, wait_for_walkers_can_be_killed)
{
	static int (*const change[])(struct kvm *) = {
		reset_of_20, replacement_of_20, switch_to_radix,
	};
	struct kvm_arch *arch = &self->kvm->arch;
	unsigned int i, k;

	for (i = 0; i < 2 * ARRAY_SIZE(change); i++) {
		/* What was killed is done by the next change, or by another call */
		ASSERT_EQ(0, fake_configure_mmu(self->kvm, false));
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
		ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
		awaited.kvm = self->kvm;
		awaited.buf = self->buf;
		awaited.fd = fake_open(self->kvm, 0, 0);
		awaited.sleeps = 0;
		arch->mmu_ready = 1;
		shim_section_sleeps = true;
		shim_sleep = read_while_waiting;
		ASSERT_EQ(-EINTR, change[i / 2](self->kvm));
		EXPECT_EQ(0, arch->mmu_ready);
		EXPECT_TRUE(arch->hpt_todo & KVM_HPT_AWAIT_WALKERS);
		/* Whatever could let a vcpu run waits, too */
		for (k = 1; k < 4; k++) {
			shim_kill_at = 10 * k;
			ASSERT_EQ(-EINTR, kvmppc_hpt_lock(self->kvm));
			EXPECT_TRUE(arch->hpt_todo & KVM_HPT_AWAIT_WALKERS);
		}
		shim_sleep = NULL;
		shim_section_sleeps = false;
		shim_kill_at = 0;
		EXPECT_NE(0, *kvm_hpte_at(&arch->hpt, 9));
		if (i % 2) {
			ASSERT_EQ(0, kvmppc_hpt_lock(self->kvm));
			mutex_unlock(&arch->mmu_setup_lock);
			EXPECT_EQ(0, arch->hpt_todo);
			EXPECT_EQ(arch->radix, !arch->hpt.virt);
			EXPECT_EQ(arch->radix, !!arch->pgtable);
		}
	}
	/* The VM is destroyed with an HPT and a radix tree */
	ASSERT_EQ(0, fake_configure_mmu(self->kvm, false));
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
	shim_section_sleeps = true;
	shim_kill_at = 100;
	ASSERT_EQ(-EINTR, fake_configure_mmu(self->kvm, true));
	shim_section_sleeps = false;
	EXPECT_TRUE(arch->hpt.virt && arch->pgtable);
}

/* Readers come and go, and each begins a grace period */
static void begin_others(void)
{
	int fd;

	if (++awaited.sleeps == 30)
		shim_section_sleeps = false;
	/* They sleep, too */
	shim_sleep = NULL;
	fd = fake_open(awaited.kvm, 0, 0);
	BUG_ON(fake_read(fd, awaited.buf, 2048, 2048) < 0);
	shim_close(fd);
	shim_sleep = begin_others;
}

TEST_F(file, wait_for_walkers_ends)
{
	shim_close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	awaited.kvm = self->kvm;
	awaited.buf = self->buf;
	awaited.sleeps = 0;
	shim_ended = shim_grace_periods + 1;
	shim_section_sleeps = true;
	shim_sleep = begin_others;
	shim_kill_at = 2000;
	EXPECT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	EXPECT_LT(shim_ended + 10, shim_grace_periods);
	shim_kill_at = 0;
	shim_sleep = NULL;
	shim_ended = ULONG_MAX;
}

/* Wherever a switch of the MMU is killed, it can be finished or undone */
TEST_F(file, killed_switch_is_finished)
{
	struct kvm_arch *arch = &self->kvm->arch;
	unsigned int i, kill, to, killed[2] = { };
	s64 mmio;
	int err;

	for (i = 0; i < 2; i++) {
		to = !i;
		for (kill = 1, err = -EINTR; err; kill++) {
			ASSERT_EQ(0, fake_configure_mmu(self->kvm, !to));
			if (to) {
				ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
				ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
			}
			arch->need_tlb_flush = false;
			mmio = atomic64_read(&arch->mmio_update);
			shim_kill_at = kill;
			err = fake_configure_mmu(self->kvm, to);
			ASSERT_TRUE(!err || err == -EINTR);
			shim_kill_at = 0;
			ASSERT_FALSE(mutex_is_locked(&arch->hpt_write_lock));
			ASSERT_FALSE(mutex_is_locked(&arch->mmu_setup_lock));
			killed[to] += err != 0;
			ASSERT_EQ(0, kvmppc_hpt_lock(self->kvm));
			mutex_unlock(&arch->mmu_setup_lock);
			ASSERT_EQ(0, arch->hpt_todo);
			ASSERT_EQ(arch->radix, !!arch->pgtable);
			ASSERT_FALSE(arch->radix && arch->hpt.virt);
			if (!err)
				ASSERT_EQ(to, arch->radix);
			if (to && !arch->radix && killed[1] > 2)
				/* Its chains are empty, or it was never begun */
				ASSERT_EQ(0, count_there(self->kvm, 16));
			if (!err || killed[to] > 2) {
				/* And what vcpus know of the old HPTEs is void */
				ASSERT_TRUE(arch->need_tlb_flush);
				ASSERT_LT(mmio, atomic64_read(&arch->mmio_update));
			}
		}
	}
	EXPECT_LE(5, killed[0]);
	EXPECT_LE(5, killed[1]);
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
	/* A hold for all lines up to a multiple of 4096 */
	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	shim_holds(lock);
	ASSERT_LT(BUF / 2, file->f_op->read(file, self->buf, BUF, NULL));
	EXPECT_EQ(NR / 4096, shim_holds(lock));
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
	unsigned long index, blocks = 128, freed;
	struct kvm_ppc_htab_progress p;
	unsigned int how;
	int fd[2], i;
	long live;

	for (how = 0; how < 3; how++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 27 + how));
		for (i = 0; i < 2; i++) {
			fd[i] = fake_open(self->kvm, 0, 0);
			work_of_pass(fd[i], self->buf);
		}
		for (index = 0; index < blocks << 16; index += 1 << 12)
			ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
		live = shim_live_allocs();
		work_of_pass(fd[0], self->buf);
		/* A block and its list for 8192 groups */
		ASSERT_LE(live + 2 * blocks, shim_live_allocs());
		shim_freed();
		if (how < 2) {
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 27 - how));
			ASSERT_EQ(0, fake_progress(fd[1], 0, &p));
			EXPECT_EQ(how ? KVM_PPC_HTAB_STATE_STALE :
				  KVM_PPC_HTAB_STATE_CURRENT, p.state);
			if (!how)
				EXPECT_EQ(0, p.changed_hptes);
			EXPECT_GT(16, shim_freed());
			/* Nor does it wait for anything else meanwhile */
			shim_section_sleeps = true;
			shim_polls_in_vain = 0;
			ASSERT_EQ(how ? -ESTALE : 24,
				  fake_read(fd[1], self->buf, 24, 24));
			EXPECT_EQ(0, shim_polls_in_vain);
			shim_section_sleeps = false;
			/* All of the set is freed, a part in each hold */
			ASSERT_GE(live, shim_live_allocs());
		}
		shim_close(fd[1]);
		freed = shim_freed();
		EXPECT_LE(2 * blocks / 2, freed);
		EXPECT_GE(2 * blocks / 2 + 16, freed);
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
	EXPECT_LE(8, shim_rescheds());
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	EXPECT_LE(chunks, shim_rescheds());
}

/*
 * How much is done in a hold, to the last group. The table has 2^20 groups; in
 * the last @n pairs of groups, the first one of each has an HPTE that is not
 * bolted.
 */
#define PAIRS_ORDER	27
#define PAIRS_NR	(1ul << (PAIRS_ORDER - 4))

static unsigned long first_pair(unsigned long n)
{
	return PAIRS_NR - 16 * n;
}

static int make_pairs(struct kvm *kvm, unsigned long n, u64 r, u64 flags)
{
	unsigned long index;

	fake_allocate_hpt(kvm, ORDER);
	fake_allocate_hpt(kvm, PAIRS_ORDER);
	for (index = first_pair(n); index < PAIRS_NR; index += 16)
		fake_h_enter(kvm, index, V, r);
	return fake_open(kvm, flags, 0);
}

static void change_pairs(struct kvm *kvm, unsigned long n)
{
	unsigned long index;

	for (index = first_pair(n); index < PAIRS_NR; index += 16)
		fake_h_protect(kvm, index, HPTE_R_N);
}

/*
 * To look at a group costs one of 4096, to hand its change on another one, and
 * to come to the first pair 254 or 255.
 */
TEST_F(file, hold_of_a_later_pass_does_all_it_may)
{
	static const struct {
		unsigned long most;
		bool other, open;
	} kind[] = {
		{ 4096 - 254, .open = true }, { 4096 - 254 },
		{ (4096 - 255) / 2 + 1, .other = true },
	};
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	struct kvm_ppc_htab_progress p;
	unsigned int i, more, n;
	int fd, other = -1;

	for (i = 0; i < 2 * ARRAY_SIZE(kind); i++) {
		more = i % 2;
		n = kind[i / 2].most + more;
		shim_close(self->fd);
		self->fd = -1;
		fd = make_pairs(self->kvm, n,
				R(1) & ~(kind[i / 2].open ? HPTE_R_R : 0),
				KVM_GET_HTAB_BOLTED_ONLY);
		work_of_pass(fd, self->buf);
		if (kind[i / 2].other) {
			other = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY,
					  0);
			work_of_pass(other, self->buf);
		}
		if (!kind[i / 2].open)
			change_pairs(self->kvm, n);
		if (!kind[i / 2].other) {
			shim_holds(lock);
			ASSERT_EQ(0, fake_progress(fd, 0, &p));
			EXPECT_EQ(1 + more, shim_holds(lock));
			EXPECT_EQ(kind[i / 2].open ? 0 : n, p.changed_hptes);
		}
		shim_holds(lock);
		ASSERT_EQ(kind[i / 2].open ? 0 : n * HDR,
			  fake_read(fd, self->buf, BUF, BUF));
		EXPECT_EQ(1 + more, shim_holds(lock)) {
			TH_LOG("kind %u", i);
		}
		if (kind[i / 2].other)
			shim_close(other);
		shim_close(fd);
		self->fd = fake_open(self->kvm, 0, 0);
	}
}

/*
 * The same for a first pass, over the last groups of a table: all used; all
 * marked, with another reader; or every other one used. The fast path ends
 * before a group that was not used or has to be harvested.
 */
TEST_F(file, hold_of_a_first_pass_does_all_it_may)
{
	enum what { OPEN, MARKED, EMPTY, PAIRS, MIXED };
	static const struct { enum what what; unsigned long most; } kind[] = {
		{ OPEN, 4096 }, { MARKED, 2048 }, { EMPTY, 4095 },
		{ PAIRS, 4096 }, { MIXED, 2731 },
	};
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	unsigned int i, more;
	unsigned long start, index, n;
	enum what what;
	int fd, other;

	for (i = 0; i < 2 * ARRAY_SIZE(kind); i++) {
		more = i % 2;
		what = kind[i / 2].what;
		n = kind[i / 2].most + more;
		start = PAIRS_NR - 8 * n;
		shim_close(self->fd);
		fake_allocate_hpt(self->kvm, ORDER);
		fake_allocate_hpt(self->kvm, PAIRS_ORDER);
		other = fake_open(self->kvm, 0, 0);
		for (index = start; index < PAIRS_NR; index += 8) {
			if (what == PAIRS && index & 8)
				continue;
			fake_h_enter(self->kvm, index, V, R(1) &
				     ~(what == EMPTY || what == MARKED ||
				       (what == MIXED && index & 8) ? 0 :
				       HPTE_R_R));
			if (what == EMPTY || (what == MIXED && index & 8))
				fake_h_remove(self->kvm, index);
		}
		work_of_pass(other, self->buf);
		for (index = start; what == MARKED && index < PAIRS_NR;
		     index += 8)
			fake_h_protect(self->kvm, index, HPTE_R_N);
		/* Only HPTEs that are not bolted, so one record of invalid ones */
		fd = fake_open(self->kvm, what == EMPTY || what == MIXED ? 0 :
			       KVM_GET_HTAB_BOLTED_ONLY, start);
		shim_holds(lock);
		shim_signal_checks = 0;
		ASSERT_LT(0, fake_read(fd, self->buf, BUF, BUF));
		EXPECT_EQ(1 + more, shim_holds(lock)) {
			TH_LOG("kind %u", i);
		}
		EXPECT_EQ(1 + more, shim_signal_checks);
		shim_close(fd);
		shim_close(other);
		self->fd = fake_open(self->kvm, 0, 0);
	}
}

/* A full buffer takes one hold, and an idle pass from the middle one circle */
TEST_F(file, no_hold_is_for_nothing)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	struct kvm_hpt_info *info = &self->kvm->arch.hpt;
	unsigned long nr = 1 << 16, index, work;
	unsigned int i;
	int fd;

	shim_close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	fd = fake_open(self->kvm, 0, 0);
	for (i = 0; i < 10; i++) {
		shim_holds(lock);
		ASSERT_LT(0, fake_read(fd, self->buf, 2048, 2048));
		EXPECT_EQ(1, shim_holds(lock));
	}
	shim_close(fd);
	/* A short read of a first pass in several holds does not wait */
	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	shim_holds(lock);
	ASSERT_EQ(2 * HDR, fake_read(fd, self->buf, HPT_GROUP_BYTES,
				     HPT_GROUP_BYTES));
	EXPECT_EQ(2, shim_holds(lock));
	/* Nor does a later pass; each look asks whether all are marked */
	shim_section_sleeps = true;
	shim_polls_in_vain = 0;
	ASSERT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_EQ(2, shim_holds(lock));
	EXPECT_EQ(2, shim_polls_in_vain);
	shim_section_sleeps = false;
	/* Killed after the first half, so the next read begins there */
	shim_kill_at = 4;
	ASSERT_EQ(-EINTR, fake_read(fd, self->buf, BUF, BUF));
	shim_holds(lock);
	ASSERT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_EQ(2, shim_holds(lock));
	ASSERT_EQ(0, fake_h_enter(self->kvm, nr - 1, V | HPTE_V_BOLTED, R(1)));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd, self->buf, BUF, BUF));
	/* The same if few groups are left to visit, and one hold is enough */
	shim_kill_at = 4;
	ASSERT_EQ(-EINTR, fake_read(fd, self->buf, BUF, BUF));
	for (index = 0; index < nr; index += 8) {
		if (index % 4000 == 0)
			continue;
		info->rev[index].guest_rpte |= HPTE_R_R;
		clear_bit(index / 8, info->groups->chunk[0].visit);
	}
	shim_holds(lock);
	work = work_of_pass(fd, self->buf);
	EXPECT_EQ(1, shim_holds(lock));
	EXPECT_GT(work_of_pass(fd, self->buf) + 8, work);
	shim_close(fd);
}

/* KVM_PPC_HTAB_PROGRESS_COUNT, of a table of used groups, or every other one */
TEST_F(file, hold_of_a_count_does_all_it_may)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	struct kvm_ppc_htab_progress p;
	unsigned long index, nr = 1 << 15;
	unsigned int step, behind;
	int fd;

	for (step = 8; step <= 16; step += 8) {
		shim_close(self->fd);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 19));
		for (index = 0; index < nr; index += step)
			ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
		self->fd = fake_open(self->kvm, 0, 0);
		shim_holds(lock);
		ASSERT_EQ(0, fake_progress(self->fd, 1, &p));
		EXPECT_EQ(1, shim_holds(lock));
		EXPECT_EQ(nr / step, p.first_hptes);
	}
	/* To look for changes in the groups before these costs 2 */
	for (behind = 2; behind; behind--) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
		for (index = nr + 8 * behind; index < 2 * nr; index += 8)
			ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
		fd = fake_open(self->kvm, 0, nr + 8 * behind);
		shim_holds(lock);
		ASSERT_EQ(0, fake_progress(fd, 1, &p));
		EXPECT_EQ(behind == 2 ? 1 : 2, shim_holds(lock));
		EXPECT_EQ(nr / 8 - behind, p.first_hptes);
		shim_close(fd);
	}
}

/* The dump, up to its first HPTE, in a table with groups that were used */
TEST_F(file, hold_of_a_dump_does_all_it_may)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	struct file *file = &shim_debugfs_file;
	unsigned long index, step, nr = 1 << 16, at;
	struct seq_file *m;
	loff_t pos;

	kvmppc_mmu_debugfs_init(self->kvm);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
	for (step = 8; step <= 16; step += 8) {
		for (at = 4095 * 8; at <= 4096 * 8; at += 8) {
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
			for (index = 0; index < nr; index += step) {
				fake_h_enter(self->kvm, index, V, R(1));
				fake_h_remove(self->kvm, index);
			}
			ASSERT_EQ(0, fake_h_enter(self->kvm, at + 7, V, R(1)));
			ASSERT_EQ(0, file->f_op->open(&file->inode, file));
			m = file->private_data;
			pos = 0;
			shim_holds(lock);
			ASSERT_EQ(&pos, m->op->start(m, &pos));
			EXPECT_EQ(at / 8 / 4096, shim_holds(lock));
			EXPECT_EQ(at + 7, pos);
			m->op->stop(m, &pos);
			ASSERT_EQ(0, file->f_op->release(&file->inode, file));
		}
	}
}

/*
 * The work for a group in the fast path of a first pass is a few accesses, those
 * to its HPTEs and to the words of the valid ones.
 */
TEST_F(file, fast_path_is_fast)
{
	static const struct {
		unsigned int valid;
		bool protected, visit;
		unsigned int work;
	} kind[] = {
		{ 8, .work = 8 + 8 }, { 8, .visit = true, .work = 8 + 8 },
		{ 3, .work = 9 + 3 + 1 }, { 0, .work = 9 + 1 + 1 },
		{ 8, .protected = true, .work = 8 + 8 + 4 * 8 },
		{ 3, .protected = true, .work = 9 + 3 + 1 + 4 * 3 },
	};
	unsigned long index, work, bound;
	unsigned int i, size;
	u64 r;

	for (i = 0; i < 2 * ARRAY_SIZE(kind); i++) {
		shim_close(self->fd);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		r = R(1);
		if (kind[i / 2].protected)
			r = (r & ~HPTE_R_C) | PP_RXRX;
		for (index = 0; index < NR; index++) {
			fake_h_enter(self->kvm, index, V, r);
			if (index % 8 >= kind[i / 2].valid)
				fake_h_remove(self->kvm, index);
			if (kind[i / 2].visit)
				kvmppc_hpt_visit(&self->kvm->arch.hpt, index);
		}
		self->fd = fake_open(self->kvm, 0, 0);
		/* In reads of 64 KiB, and of one group and a half */
		size = i % 2 ? HDR + 12 * HPT_STREAM_HPTE : BUF;
		work = work_of_pass_in(self->fd, self->buf, size);
		/* The segment size is in the other doubleword */
		bound = kind[i / 2].work;
		if (cpu_has_feature(CPU_FTR_ARCH_300))
			bound += kind[i / 2].valid;
		/* A group is read again if only a part of it had room */
		if (i % 2 && kind[i / 2].valid)
			bound += 2 * bound / 3;
		/* Each of the four reads of 64 KiB may read its last group again */
		EXPECT_GT(bound * (NR / 8 + 4) + 64, work) {
			TH_LOG("kind %u: %lu for a group", i, work / (NR / 8));
		}
	}
}

/*
 * The work of a later pass with one change does not depend on the slot; other
 * HPTEs of the group that have not changed are not read.
 */
TEST_F(file, only_the_change_is_read)
{
	static const unsigned long first[] = { 800, 800, 0 };
	unsigned long slot, other, work[3][8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(first); i++) {
		for (slot = 0; slot < 8; slot++) {
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
			for (other = 0; other < 8; other++)
				if (i || other == slot)
					fake_h_enter(self->kvm,
						     first[i] + other, V, R(1));
			work_of_pass(self->fd, self->buf);
			fake_h_protect(self->kvm, first[i] + slot, HPTE_R_N);
			work[i][slot] = work_of_pass(self->fd, self->buf);
			EXPECT_EQ(work[i][0], work[i][slot]);
		}
	}
	/* An empty slot takes one access more, to see that it is empty */
	EXPECT_EQ(work[1][0] + 7, work[0][0]);
	/* To the first group of the table, the scan is a little shorter */
	EXPECT_GE(work[1][0], work[2][0]);
}

/* An idle pass reads each word of the bitmap, and little else */
TEST_F(file, idle_pass_reads_the_bitmap)
{
	const unsigned long bound = NR / 8 / 64 + 8;

	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_GT(bound, work_of_pass(self->fd, self->buf));
	/* After changes that did not fit into a buffer */
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1000, V, R(1)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1002, V, R(1)));
	ASSERT_LT(0, fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_GT(bound, work_of_pass(self->fd, self->buf));
	/* The second pass looks at the groups before the one it began at */
	shim_close(self->fd);
	self->fd = fake_open(self->kvm, 0, 1000);
	ASSERT_EQ(HDR + HPT_STREAM_HPTE + HPT_RECORD_MIN,
		  fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_GT(bound, work_of_pass(self->fd, self->buf));
	EXPECT_GT(bound, work_of_pass(self->fd, self->buf));
}

/* A reader that knows of changes scans up to these, in each part of a bitmap */
TEST_F(file, known_changes_bound_the_scan)
{
	unsigned long index, i, work[2];
	int fd[2];

	shim_close(self->fd);
	self->fd = -1;
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, PAIRS_ORDER));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, PAIRS_NR / 2 + i * 8000,
					  V, R(1)));
	for (i = 0; i < 2; i++) {
		fd[i] = fake_open(self->kvm, 0, 0);
		work_of_pass(fd[i], self->buf);
	}
	for (i = 0; i < 100; i++) {
		index = PAIRS_NR / 2 + i * 8000;
		ASSERT_EQ(0, fake_h_protect(self->kvm, index, HPTE_R_N));
	}
	for (i = 0; i < 2; i++) {
		work[i] = work_of_pass(fd[i], self->buf);
		shim_close(fd[i]);
	}
	EXPECT_LT(work[1], work[0] * 13 / 10);
}

TEST_HARNESS_MAIN
