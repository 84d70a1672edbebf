// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening files for reading and writing, and reading the debugfs file.
 */

#include "fixture.h"

#include <pthread.h>

#include <linux/dcache.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched.h>

TEST_F(file, bad_arguments)
{
	EXPECT_EQ(-EINVAL, fake_open(self->kvm, 4, 0));
	EXPECT_EQ(-EINVAL, fake_open(self->kvm, ~0ul, 0));
	EXPECT_EQ(-EINVAL, fake_open(self->kvm, 0, NR));
	EXPECT_EQ(-EINVAL, fake_open(self->kvm, 0, ~0ull));
}

/* By a writer all but KVM_GET_HTAB_WRITE, by a reader the reserved words */
TEST_F(file, ignored_arguments)
{
	struct kvm_get_htab_fd args = {
		.flags = KVM_GET_HTAB_WRITE | KVM_GET_HTAB_BOLTED_ONLY,
		.start_index = ~0ull,
		.reserved = { 1, ~0ull },
	};
	size_t len = record(self->buf, 20, 1, 0);
	int fd = kvm_vm_ioctl_get_htab_fd(self->kvm, &args);

	/* This one is not bolted */
	ASSERT_LE(0, fd);
	EXPECT_EQ(len, fake_write(fd, self->buf, len, len));
	shim_close(fd);
	args.flags = 0;
	args.start_index = 20;
	fd = kvm_vm_ioctl_get_htab_fd(self->kvm, &args);
	ASSERT_LE(0, fd);
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 20, 1, NR - 21));
	shim_close(fd);
}

/* With a radix MMU, and without an HPT; then the VM gets an HPT */
TEST_F(file, opened_without_an_hpt)
{
	unsigned int i;
	int fd[2];

	fake_switch_to_radix(self->kvm);
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		fd[i] = fake_open(self->kvm, 0, 7);
		ASSERT_LE(0, fd[i]);
		EXPECT_EQ(0, fake_read(fd[0], self->buf, BUF, BUF));
		EXPECT_EQ(0, fake_read(fd[i], self->buf, BUF, BUF));
		fake_switch_to_hash(self->kvm);
	}
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	for (i = 0; i < ARRAY_SIZE(fd); i++) {
		ASSERT_EQ(HDR, fake_read(fd[i], self->buf, BUF, BUF));
		EXPECT_TRUE(is(header(self->buf, 0), 0, 0, NR));
		shim_close(fd[i]);
	}
}

/* The stream read from one VM recreates its HPT in another one */
TEST_F(file, moved_to_another_vm)
{
	struct kvm *to = fake_vm();
	unsigned long index;
	int rd, wr;
	ssize_t len;
	u64 v, r;

	fill(self->kvm, 256);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 3000, V | HPTE_V_BOLTED,
				  R(1) & ~(HPTE_R_R | HPTE_R_C)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 3001, V, R(1) & ~HPTE_R_C));
	fake_unmap(self->kvm, 3001);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 4000, V | HPTE_V_BOLTED, R(1)));
	ASSERT_EQ(0, fake_allocate_hpt(to, ORDER));
	wr = fake_open(to, KVM_GET_HTAB_WRITE, 0);
	while ((len = fake_read(self->fd, self->buf, 4096, 4096)))
		ASSERT_EQ(len, fake_write(wr, self->buf, len, len));
	rd = fake_open(to, 0, 0);
	ASSERT_TRUE(drain(rd, self->v, self->r, self->buf, BUF));
	for (index = 0; index < NR; index++) {
		model_look(self->kvm, index, &v, &r);
		ASSERT_FALSE(differ(self->v, self->r, index, v, r));
	}
	shim_close(rd);
	shim_close(wr);
	fake_vm_free(to);
}

/* As many as the shim has files */
TEST_F(file, any_number_of_readers)
{
	int fd[SHIM_FILES], i, n;

	for (n = 0; n < SHIM_FILES - 1; n++) {
		fd[n] = fake_open(self->kvm, 0, 0);
		ASSERT_LE(0, fd[n]);
		ASSERT_TRUE(drain(fd[n], self->v, self->r, self->buf, BUF));
	}
	EXPECT_EQ(-EMFILE, fake_open(self->kvm, 0, 0));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	for (i = 0; i < n; i++) {
		EXPECT_EQ(HPT_RECORD_MIN,
			  fake_read(fd[i], self->buf, BUF, BUF));
		shim_close(fd[i]);
	}
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

/* Another thread may guess the descriptor and close it immediately */
static struct kvm *open_kvm;
static int refs_then;

static void close_at_once(int fd)
{
	shim_installed = NULL;
	refs_then = atomic_read(&open_kvm->refs);
	shim_close(fd);
}

TEST_F(file, closed_before_open_returns)
{
	int fd, other;

	open_kvm = self->kvm;
	for (other = 0; other < 2; other++) {
		shim_installed = close_at_once;
		fd = fake_open(self->kvm, other ? KVM_GET_HTAB_WRITE : 0, 0);
		EXPECT_LT(self->fd, fd);
		EXPECT_EQ(3, refs_then);
		EXPECT_EQ(2, atomic_read(&self->kvm->refs));
		EXPECT_EQ(1, self->kvm->arch.hpt_nr_readers);
	}
}

/* File operations that nothing calls here, and the reference to the module */
TEST_F(file, operations_of_each_file)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	const struct file_operations *reader = shim_file(self->fd)->f_op;
	const struct file_operations *writer = shim_file(fd)->f_op;

	EXPECT_EQ(THIS_MODULE, reader->owner);
	EXPECT_EQ(noop_llseek, reader->llseek);
	EXPECT_EQ(compat_ptr_ioctl, reader->compat_ioctl);
	EXPECT_EQ(THIS_MODULE, writer->owner);
	EXPECT_EQ(noop_llseek, writer->llseek);
	EXPECT_EQ(NULL, writer->unlocked_ioctl);
	EXPECT_EQ(NULL, writer->compat_ioctl);
	EXPECT_EQ(iter_file_splice_write, writer->splice_write);
	kvmppc_mmu_debugfs_init(self->kvm);
	EXPECT_EQ(THIS_MODULE, shim_debugfs_file.f_op->owner);
	EXPECT_EQ(seq_lseek, shim_debugfs_file.f_op->llseek);
	/* The file contains host addresses of guest memory */
	EXPECT_EQ(0400, shim_debugfs_mode);
	shim_close(fd);
}

/* What the other file of sendfile() does not take is lost: the reader learns it */
TEST_F(file, sendfile_loses_nothing_unnoticed)
{
	const struct file_operations *f_op = shim_file(self->fd)->f_op;
	struct pipe_buffer bufs[2] = { };
	struct pipe_inode_info own = { .ring_size = 2, .bufs = bufs };
	struct pipe_inode_info other = own;
	struct file *file = shim_file(self->fd);
	struct pipe_buffer *buf = &bufs[1];

	current->splice_pipe = &own;
	own.head = 3;
	EXPECT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	EXPECT_LT(0, f_op->splice_read(file, NULL, &own, 4096, 0));
	ASSERT_EQ(4, own.head);
	ASSERT_NE(NULL, buf->ops);
	EXPECT_TRUE(buf->ops->try_steal == generic_pipe_buf_try_steal);
	EXPECT_TRUE(buf->ops->get == generic_pipe_buf_get);
	buf->len = 0;
	buf->ops->release(&own, buf);
	EXPECT_EQ(0, buf->private);
	EXPECT_EQ(0, fake_read(self->fd, self->buf, 4096, 4096));

	/* A pipe that user space has keeps what it gets */
	*buf = (struct pipe_buffer){ };
	EXPECT_EQ(0, fake_h_enter(self->kvm, 10, V, R(1)));
	other.head = 1;
	EXPECT_LT(0, f_op->splice_read(file, NULL, &other, 4096, 0));
	EXPECT_EQ(NULL, buf->ops);

	EXPECT_EQ(0, fake_h_enter(self->kvm, 11, V, R(1)));
	own.head = 1;
	EXPECT_LT(0, f_op->splice_read(file, NULL, &own, 4096, 0));
	ASSERT_NE(NULL, buf->ops);
	buf->ops->release(&own, buf);
	EXPECT_EQ(-ESTALE, fake_read(self->fd, self->buf, 4096, 4096));
	EXPECT_FALSE(mutex_is_locked(&self->kvm->arch.mmu_setup_lock));
	current->splice_pipe = NULL;
}

/* Trace events have it, but the file itself does not need it */
TEST_F(file, name_of_a_vm)
{
	struct dentry dir = { .d_name.name = "4711-12" };
	char name[KVM_HPT_VM_NAME];

	self->kvm->userspace_pid = 4711;
	kvm_hpt_vm_name(self->kvm, name);
	EXPECT_STREQ("4711", name);
	self->kvm->debugfs_dentry = ERR_PTR(-ENOENT);
	kvm_hpt_vm_name(self->kvm, name);
	EXPECT_STREQ("4711", name);
	self->kvm->debugfs_dentry = &dir;
	kvm_hpt_vm_name(self->kvm, name);
	EXPECT_STREQ("4711-12", name);
	self->kvm->debugfs_dentry = NULL;
}

TEST_F(file, lock_of_a_file_is_destroyed)
{
	long live = shim_live_mutexes();
	int fd, write;

	for (write = 0; write < 2; write++) {
		fd = fake_open(self->kvm, write ? KVM_GET_HTAB_WRITE : 0, 0);
		EXPECT_EQ(live + 1, shim_live_mutexes());
		shim_close(fd);
		EXPECT_EQ(live, shim_live_mutexes());
	}
}

/* A buffer is used again, also by a shorter call, and replaced by a longer one */
TEST_F(file, buffer_is_kept)
{
	static const struct { size_t size; unsigned int allocs; } calls[] = {
		{ 100, 1 }, { 100, 0 }, { 99, 0 }, { 101, 1 }, { 101, 0 },
	};
	unsigned int i;

	shim_allocs();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		ASSERT_LE(0, fake_read(self->fd, self->buf, calls[i].size,
				       BUF));
		EXPECT_EQ(calls[i].allocs, shim_allocs());
	}
}

/* After an allocation has failed there is no buffer, not one of a byte */
TEST_F(file, no_buffer_after_no_memory)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 3, 0), at;

	for (at = 0; at < 2; at++) {
		shim_allocs();
		shim_fail_alloc_at = 1;
		shim_fail_allocs = 1;
		EXPECT_EQ(-ENOMEM, fake_write(fd, self->buf, len, len));
		shim_fail_alloc_at = 0;
		EXPECT_EQ(-EINVAL, fake_write(fd, self->buf, 1, 1));
	}
	EXPECT_EQ(len, fake_write(fd, self->buf, len, len));
	shim_close(fd);
}

/* A grace period that a reader has started */
static unsigned int grace_periods;

static void count_grace_periods(void)
{
	grace_periods++;
}

static struct {
	struct kvm *kvm;
	pthread_barrier_t barrier;
	bool left;
} section;

static void *stay_in_section(void *unused)
{
	int idx = srcu_read_lock(&section.kvm->srcu);

	pthread_barrier_wait(&section.barrier);
	usleep(20000);
	__atomic_store_n(&section.left, true, __ATOMIC_RELEASE);
	srcu_read_unlock(&section.kvm->srcu, idx);
	return NULL;
}

/* The SRCU structure must be idle when it is cleaned up */
TEST_F(file, vm_waits_for_the_grace_period_of_a_reader)
{
	pthread_t thread;
	ssize_t len;

	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	shim_section_sleeps = true;
	len = fake_read(self->fd, self->buf, BUF, BUF);
	shim_section_sleeps = false;
	ASSERT_LT(0, len);
	EXPECT_EQ(HPT_MARKS_ASKED, self->kvm->arch.hpt_marks);
	shim_close(self->fd);
	self->fd = -1;
	/* It has not ended */
	section.kvm = self->kvm;
	pthread_barrier_init(&section.barrier, NULL, 2);
	pthread_create(&thread, NULL, stay_in_section, NULL);
	pthread_barrier_wait(&section.barrier);
	kvmppc_hpt_destroy_vm(self->kvm);
	EXPECT_TRUE(__atomic_load_n(&section.left, __ATOMIC_ACQUIRE));
	pthread_join(thread, NULL);
	/* It has, which one look shows */
	grace_periods = 0;
	shim_before_grace_period = count_grace_periods;
	kvmppc_hpt_destroy_vm(self->kvm);
	EXPECT_EQ(1, grace_periods);
	/* None was started */
	self->kvm->arch.hpt_gp_begun = false;
	kvmppc_hpt_destroy_vm(self->kvm);
	EXPECT_EQ(1, grace_periods);
	shim_before_grace_period = NULL;
}

TEST_F(file, debugfs_dump)
{
	static const unsigned long at[] = { 0, 7, 8, 500, 501, NR - 1 };
	unsigned long index, v, r, gr;
	struct file *file = &shim_debugfs_file;
	unsigned int i, lines;
	ssize_t len, all;
	int n;

	kvmppc_mmu_debugfs_init(self->kvm);
	/* Marked HPTEs; hardware sets R and C in one; another one is absent */
	for (i = 0; i < ARRAY_SIZE(at); i++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, at[i], V,
					  R(i + 1) & ~HPTE_R_C));
	fake_hw_access(self->kvm, 500, true);
	fake_unmap(self->kvm, 501);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	ASSERT_EQ(0, fake_h_remove(self->kvm, 9));

	ASSERT_EQ(0, file->f_op->open(&file->inode, file));
	shim_hpte_locks = 0;
	for (all = 0, lines = 0; ; all += len) {
		len = file->f_op->read(file, self->buf + all, 150, NULL);
		ASSERT_LE(0, len);
		if (!len)
			break;
	}
	/*
	 * Each line is made with the HPTE's lock held, twice if it does not fit
	 * into a buffer any more. Empty slots are not locked.
	 */
	EXPECT_LE(ARRAY_SIZE(at), shim_hpte_locks);
	EXPECT_GE(2 * ARRAY_SIZE(at), shim_hpte_locks);
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
	EXPECT_EQ(0, file->f_op->release(&file->inode, file));

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

TEST_HARNESS_MAIN
