// SPDX-License-Identifier: GPL-2.0-only
/*
 * The progress of a reader: the ioctl, fdinfo and poll().
 */

#include "fixture.h"

#include <linux/tracepoint.h>

/* Count what is left by reading it */
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
			/* The kernel fills in only the fields that it knows */
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
	/* An argument of more than a page is refused without reading it */
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
	/* The size in the ioctl number is that of user space's structure */
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
	/* Killed as it waits for the lock, and after a hold */
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

/* The upper bound holds if every other HPTE is valid, and is near if all are */
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

/* What the bound is: used groups, or all that is left, and headers */
TEST_F(file, progress_bounds_exactly)
{
	struct kvm_ppc_htab_progress p;
	unsigned long index, used, cursor = 13, nr = 1 << 17;
	int fd;

	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(0, p.first_hptes);
	EXPECT_EQ(2 * HDR, p.first_bytes);
	for (used = 1; used <= NR / 8; used += NR / 8 - 1) {
		for (index = 0; index < used * 8; index += 8)
			fake_h_enter(self->kvm, index + 4, V, R(1));
		fd = fake_open(self->kvm, 0, cursor);
		/* Of the group in which the pass begins, and those after it */
		ASSERT_EQ(0, fake_progress(fd, 0, &p));
		index = used == 1 ? 0 : NR - 8;
		EXPECT_EQ(min(index, NR - cursor), p.first_hptes);
		EXPECT_EQ(p.first_hptes * HPT_STREAM_HPTE +
			  (index / 2 + 2) * HDR, p.first_bytes);
		shim_close(fd);
	}
	fd = fake_open(self->kvm, 0, NR - 3);
	ASSERT_EQ(0, fake_progress(fd, 0, &p));
	EXPECT_EQ(3, p.first_hptes);
	shim_close(fd);
	/* A record has no more than 65535 HPTEs of a kind */
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	fd = fake_open(self->kvm, 0, nr - 2 * 65535);
	ASSERT_EQ(0, fake_progress(fd, 0, &p));
	EXPECT_EQ((2 + 2) * HDR, p.first_bytes);
	shim_close(fd);
}

/* In several holds: used groups, and changes behind the cursor */
TEST_F(file, progress_in_several_holds)
{
	struct kvm_ppc_htab_progress p;
	unsigned long nr = 1 << 17;
	unsigned int count;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 34));
	fd = fake_open(self->kvm, 0, 0);
	ASSERT_EQ(0, fake_h_enter(self->kvm, (1ul << 30) - 1, V, R(1)));
	ASSERT_EQ(0, fake_progress(fd, 0, &p));
	EXPECT_EQ(8, p.first_hptes);
	ASSERT_EQ(0, fake_progress(fd, 1, &p));
	EXPECT_EQ(1, p.first_hptes);
	shim_close(fd);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	fd = fake_open(self->kvm, 0, nr - 8);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1)));
	for (count = 0; count < 2; count++) {
		ASSERT_EQ(0, fake_progress(fd, count, &p));
		EXPECT_EQ(nr / 8 - 1, p.changed_hptes);
		EXPECT_EQ(count ? 1 : 8, p.first_hptes);
	}
	shim_close(fd);
}

/* Changes are counted wherever they are recorded */
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
		/* Another reader has harvested them */
		if (kind & 8)
			ASSERT_TRUE(drain(fd, self->v, self->r, self->buf,
					  BUF));
		/* A part of a group has been reported */
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

/* Changes before the cursor, on both sides of it in its group, and after it */
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

/* A table that takes several holds to count; and a reset between two of them */
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

/* Changes before the index at which the first pass began are counted as well */
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

/* Hardware has set C, then the page became read-only, before any harvest */
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
	/* If a copy fails, the whole records before that count */
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

TEST_F(file, fdinfo_of_a_writer)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 3, 5);

	len += record(self->buf + len, 40, 2, 0);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	show(fd);
	EXPECT_STREQ("write", text("htab-mode"));
	EXPECT_EQ(2, number("htab-file"));
	EXPECT_EQ(5, number("htab-written-valid"));
	EXPECT_EQ(5, number("htab-written-invalid"));
	EXPECT_EQ(len, number("htab-written-bytes"));
	EXPECT_EQ(0, number("htab-refused"));
	/* The second record is out of range */
	len = record(self->buf, 20, 3, 5);
	record(self->buf + len, NR + 7, 0, 1);
	ASSERT_EQ(len, fake_write(fd, self->buf, len + HDR, BUF));
	show(fd);
	EXPECT_EQ(8, number("htab-written-valid"));
	EXPECT_EQ(1, number("htab-refused"));
	EXPECT_EQ(NR + 7, number("htab-refused-index"));
	EXPECT_EQ(8, self->kvm->stat.hpt_write_valid);
	EXPECT_EQ(10, self->kvm->stat.hpt_write_invalid);

	/* EINVAL for a part of a record is no refusal; EBUSY is one */
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
	/* And one with a segment size that is reserved */
	len = record(self->buf, 60, 1, 0);
	*(u8 *)(self->buf + HDR) |= 0x80;
	ASSERT_EQ(-EIO, fake_write(fd, self->buf, len, len));
	show(fd);
	EXPECT_EQ(3, number("htab-refused"));
	EXPECT_EQ(60, number("htab-refused-index"));
	EXPECT_STREQ("current", text("htab-state"));
	fake_switch_to_radix(self->kvm);
	ASSERT_EQ(-EINVAL, fake_write(fd, self->buf, len, BUF));
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
	/* poll() does not attach the reader, so the HPT may be replaced */
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

	/* Hardware may set R and C in this HPTE, but has not */
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1000, V,
				  R(1) & ~(HPTE_R_R | HPTE_R_C)));
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(fd));
	fake_hw_access(self->kvm, 1000, false);
	EXPECT_EQ(NEWS, fake_poll(fd));
	/* The change is in a reader's set after another has harvested it */
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(self->fd));
	EXPECT_EQ(NEWS, fake_poll(fd));
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(fd));
	/* First a mark, then the rest of the group in the reader's set */
	ASSERT_EQ(0, fake_h_enter(self->kvm, 2000, V, R(1)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 2002, V, R(1)));
	EXPECT_EQ(NEWS, fake_poll(fd));
	ASSERT_LT(0, fake_read(fd, self->buf, HPT_RECORD_MIN, BUF));
	EXPECT_EQ(NEWS, fake_poll(fd));
	ASSERT_LT(0, fake_read(fd, self->buf, HPT_RECORD_MIN, BUF));
	EXPECT_EQ(0, fake_poll(fd));
	shim_close(fd);
	/* R that was set before start_index, before there was a reader */
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
	/* No change, and no task sleeps: the work item ends */
	arch->hpt_wait.woken = 0;
	poll_work(self->kvm);
	EXPECT_FALSE(arch->hpt_poll.pending);
	/* No change, but a task sleeps: it goes on */
	arch->hpt_wait.sleepers = true;
	poll_work(self->kvm);
	EXPECT_TRUE(arch->hpt_poll.pending);
	EXPECT_EQ(0, arch->hpt_wait.woken);
	/* A reader that is not polled has something to report */
	fd = fake_open(self->kvm, 0, 0);
	poll_work(self->kvm);
	EXPECT_EQ(0, arch->hpt_wait.woken);
	shim_close(fd);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1, V, R(1)));
	poll_work(self->kvm);
	EXPECT_EQ(1, arch->hpt_wait.woken);
	EXPECT_EQ(NEWS, arch->hpt_wait.events);
	EXPECT_FALSE(arch->hpt_poll.pending);
	EXPECT_EQ(NEWS, fake_poll(self->fd));
	/* A reset, and a switch to radix */
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	EXPECT_EQ(2, arch->hpt_wait.woken);
	EXPECT_EQ(NEWS, arch->hpt_wait.events);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, fake_poll(self->fd));
	fake_switch_to_radix(self->kvm);
	EXPECT_EQ(3, arch->hpt_wait.woken);
	/* A task that requests no event waits for EPOLLERR nevertheless */
	EXPECT_EQ(NEWS | EPOLLERR, arch->hpt_wait.events);
	poll_work(self->kvm);
	EXPECT_EQ(4, arch->hpt_wait.woken);
	EXPECT_EQ(NEWS | EPOLLERR, fake_poll(self->fd));
}

/* A task that polls before there is an HPT is woken up once there is one */
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

	/* The contents of the HPT do not matter, so they are not scanned */
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
 * Waiters that stay on the wait queue without another poll(), as with epoll and
 * io_uring, are woken up once for each change after a read.
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
	/* Without changes, the delay grows, but only up to a limit */
	for (i = 1; i < 10; i++) {
		poll_work(self->kvm);
		ASSERT_TRUE(arch->hpt_poll.pending);
		ASSERT_EQ(min(i, 3u) * HZ / 10, arch->hpt_poll.delay);
	}
	ASSERT_EQ(3, arch->hpt_wait.woken);
	/* After a change it does not */
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	poll_work(self->kvm);
	ASSERT_EQ(4, arch->hpt_wait.woken);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	poll_work(self->kvm);
	ASSERT_EQ(HZ / 10, arch->hpt_poll.delay);
	/* The work item does not wait for the lock */
	ASSERT_TRUE(mutex_trylock(&arch->mmu_setup_lock));
	poll_work(self->kvm);
	mutex_unlock(&arch->mmu_setup_lock);
	EXPECT_TRUE(arch->hpt_poll.pending);
	EXPECT_EQ(2 * HZ / 10, arch->hpt_poll.delay);
}

/* A task that was woken up and has not read is not woken up again */
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
	/* This reader has reported the change */
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

/* The work item scans a table that hardware may change all over in parts */
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
	/* A change before the position of the work item */
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

/*
 * A task polls again and again and has nothing to read. Groups that hardware may
 * change are visited for less and less of the time; to scan the bitmap of a
 * large table takes no longer.
 */
TEST_F(file, poll_work_takes_its_time)
{
	struct kvm_arch *arch = &self->kvm->arch;
	unsigned int i, round, looks, idle;

	for (i = 0; i < 2; i++) {
		shim_close(self->fd);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, i ? 34 : 22));
		self->fd = fake_open(self->kvm, 0, 0);
		ASSERT_TRUE(enter_in_each_group(self->kvm, i ? 8 : 1 << 18,
						R(1) & ~HPTE_R_R));
		work_of_pass(self->fd, self->buf);
		arch->hpt_wait.sleepers = true;
		for (round = 0; round < 5; round++) {
			EXPECT_EQ(0, fake_poll(self->fd));
			idle = min(round, 2u) * HZ / 10;
			poll_work(self->kvm);
			for (looks = 1; arch->hpt_poll_pos; looks++) {
				ASSERT_EQ(HZ / 100 + (i ? 0 : idle),
					  arch->hpt_poll.delay);
				poll_work(self->kvm);
			}
			EXPECT_LE(4, looks);
			ASSERT_EQ(HZ / 10 + idle, arch->hpt_poll.delay);
		}
		arch->hpt_wait.sleepers = false;
		poll_work(self->kvm);
	}
}

/* How far a look comes, and when the next one is, to the last group */
TEST_F(file, poll_work_does_all_it_may)
{
	struct kvm_arch *arch = &self->kvm->arch;
	unsigned long index, first, pairs = 8192, nr = 1ul << 23;
	unsigned int open;

	shim_close(self->fd);
	arch->hpt_wait.sleepers = true;
	/* Each other group, at the end: to come there costs 252 of 8192 */
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 27));
	self->fd = fake_open(self->kvm, 0, 0);
	first = nr / 8 - 2 * pairs;
	for (index = first; index < nr / 8; index += 2)
		fake_h_enter(self->kvm, index * 8, V, R(1) & ~HPTE_R_R);
	work_of_pass(self->fd, self->buf);
	poll_work(self->kvm);
	EXPECT_EQ(first + 2 * (8192 - 252 - 1) + 1, arch->hpt_poll_pos);
	/* All groups of a table: the next look begins at the front */
	shim_close(self->fd);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 20));
	EXPECT_EQ(0, arch->hpt_poll_pos);
	self->fd = fake_open(self->kvm, 0, 0);
	ASSERT_TRUE(enter_in_each_group(self->kvm, 1 << 16, R(1) & ~HPTE_R_R));
	work_of_pass(self->fd, self->buf);
	arch->hpt_poll_idle = 0;
	EXPECT_EQ(0, fake_poll(self->fd));
	poll_work(self->kvm);
	EXPECT_EQ(0, arch->hpt_poll_pos);
	EXPECT_EQ(HZ / 10, arch->hpt_poll.delay);
	/* The pause grows with the groups that were visited, by a tick from 410 */
	for (open = 408; open <= 409; open++) {
		shim_close(self->fd);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 34));
		self->fd = fake_open(self->kvm, 0, 0);
		ASSERT_TRUE(enter_in_each_group(self->kvm, open * 8,
						R(1) & ~HPTE_R_R));
		work_of_pass(self->fd, self->buf);
		arch->hpt_poll_idle = HZ / 5;
		EXPECT_EQ(0, fake_poll(self->fd));
		poll_work(self->kvm);
		EXPECT_LT(0, arch->hpt_poll_pos);
		EXPECT_EQ(HZ / 100 + (open == 409), arch->hpt_poll.delay);
	}
	/* A position in the HPT that is gone means nothing */
	fake_switch_to_radix(self->kvm);
	EXPECT_EQ(0, arch->hpt_poll_pos);
}

/* poll() finds a change anywhere, puts the task on the queue, can be killed */
TEST_F(file, poll_itself)
{
	unsigned long nr = 1 << 18, at[] = { 0, nr - 8 }, i;

	shim_close(self->fd);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	self->fd = fake_open(self->kvm, 0, 0);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	work_of_pass(self->fd, self->buf);
	self->kvm->arch.hpt_wait.polled = 0;
	EXPECT_EQ(0, fake_poll(self->fd));
	EXPECT_EQ(1, self->kvm->arch.hpt_wait.polled);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		fake_hw_access(self->kvm, at[i], false);
		EXPECT_EQ(NEWS, fake_poll(self->fd));
		shim_kill_at = 1;
		EXPECT_EQ(0, fake_poll(self->fd));
		EXPECT_EQ(0, shim_kill_at);
		work_of_pass(self->fd, self->buf);
		EXPECT_EQ(0, fake_poll(self->fd));
	}
	/* A reader that began in the last group has seen all after its passes */
	shim_close(self->fd);
	self->fd = fake_open(self->kvm, 0, nr - 1);
	work_of_pass(self->fd, self->buf);
	EXPECT_EQ(0, fake_poll(self->fd));
}

/* The VM's counters in /sys/kernel/debug/kvm and the binary statistics */
TEST_F(file, statistics)
{
	struct kvm_vm_stat *stat = &self->kvm->stat;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 3, 5), bytes;

	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(6, stat->hpt_write_valid);
	EXPECT_EQ(10, stat->hpt_write_invalid);
	EXPECT_EQ(2 * len, stat->hpt_write_bytes);
	EXPECT_EQ(0, stat->hpt_write_refused.counter);
	header(self->buf, 0)->index = NR;
	ASSERT_EQ(-EINVAL, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(1, stat->hpt_write_refused.counter);
	EXPECT_EQ(2 * len, stat->hpt_write_bytes);
	shim_close(fd);

	bytes = fake_read(self->fd, self->buf, BUF, BUF);
	EXPECT_EQ(3, stat->hpt_read_valid.counter);
	EXPECT_EQ(NR - 3, stat->hpt_read_invalid.counter);
	EXPECT_EQ(bytes, stat->hpt_read_bytes.counter);
	EXPECT_EQ(1, stat->hpt_passes.counter);
	EXPECT_EQ(3, stat->hpt_changes.counter);
	fake_h_protect(self->kvm, 20, HPTE_R_N);
	fake_h_protect(self->kvm, 22, HPTE_R_N);
	fake_h_remove(self->kvm, 100);
	bytes += fake_read(self->fd, self->buf, BUF, BUF);
	EXPECT_EQ(5, stat->hpt_read_valid.counter);
	EXPECT_EQ(bytes, stat->hpt_read_bytes.counter);
	EXPECT_EQ(2, stat->hpt_passes.counter);
	EXPECT_EQ(5, stat->hpt_changes.counter);
	fake_h_protect(self->kvm, 20, 0);
	ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, BUF, 7));
	EXPECT_EQ(bytes, stat->hpt_read_bytes.counter);
	EXPECT_EQ(5, stat->hpt_read_valid.counter);
}

/* Is the event before the last @back ones this one? */
static bool traced(unsigned int back, const char *name, const long long *args,
		   size_t size)
{
	const struct shim_event *event;

	event = &shim_events[(shim_traced - 1 - back) % SHIM_EVENTS];
	return event->name && !strcmp(event->name, name) &&
	       !memcmp(event->args, args, size);
}

#define TRACED(back, name, ...)						\
	EXPECT_TRUE(traced(back, "kvm_hpt_" #name,			\
			   (const long long[]){ __VA_ARGS__ },		\
			   sizeof((const long long[]){ __VA_ARGS__ })))

/* After the VM, each trace event has these arguments */
TEST_F(file, arguments_of_trace_events)
{
	int fd, wr;
	size_t len;

	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 8);
	TRACED(0, open, 2, KVM_GET_HTAB_BOLTED_ONLY, 8);
	wr = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 7);
	TRACED(0, open, 3, KVM_GET_HTAB_WRITE, 7);

	len = record(self->buf, 20, 3, 5);
	len += record(self->buf + len, 40, 1, 2);
	ASSERT_EQ(len, fake_write(wr, self->buf, len, len));
	TRACED(1, write, 3, 20, 3, 5, 0);
	TRACED(0, write, 3, 40, 1, 2, 0);
	record(self->buf, NR, 2, 1);
	ASSERT_EQ(-EINVAL, fake_write(wr, self->buf, BUF, BUF));
	TRACED(0, write, 3, NR, 2, 1, -EINVAL);

	/* Up to the second HPTE; the rest; then a change, and two that fault */
	ASSERT_EQ(HDR + HPT_RECORD_MIN + HPT_STREAM_HPTE,
		  fake_read(self->fd, self->buf,
			    HDR + HPT_RECORD_MIN + HPT_STREAM_HPTE, BUF));
	TRACED(1, harvest, 1, 2, 0x70);
	TRACED(0, read, 1, 1, 22, 2, 20, HDR + HPT_RECORD_MIN + HPT_STREAM_HPTE);
	ASSERT_EQ(2 * HPT_RECORD_MIN, fake_read(self->fd, self->buf, BUF, BUF));
	TRACED(2, harvest, 1, 5, 1);
	TRACED(1, pass_end, 1, 1);
	TRACED(0, read, 1, 2, 0, 2, NR - 24, 2 * HPT_RECORD_MIN);
	fake_h_protect(self->kvm, 21, HPTE_R_N);
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(self->fd, self->buf, BUF, BUF));
	TRACED(2, harvest, 1, 2, 0x20);
	TRACED(1, pass_end, 1, 2);
	TRACED(0, read, 1, 3, 0, 1, 0, HPT_RECORD_MIN);
	fake_h_remove(self->kvm, 20);
	fake_h_remove(self->kvm, 22);
	ASSERT_EQ(-EFAULT, fake_read(self->fd, self->buf, HPT_RECORD_MIN, 7));
	TRACED(0, read, 1, 4, 0, 0, 0, -EFAULT);
	ASSERT_EQ(HDR, fake_read(self->fd, self->buf, BUF, HDR + 1));
	TRACED(0, read, 1, 5, 0, 0, 1, HDR);

	/* A reset of all readers, one of which then goes on; then stale ones */
	ASSERT_LT(0, fake_read(fd, self->buf, BUF, BUF));
	reset(self->kvm);
	TRACED(1, invalidate, 1, 5, 0, false);
	TRACED(0, invalidate, 2, 2, 0, false);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	ASSERT_EQ(HDR, fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	reset(self->kvm);
	TRACED(1, invalidate, 1, 1, 9, false);
	TRACED(0, invalidate, 2, 1, 0, false);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	ASSERT_EQ(HDR, fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	fake_switch_to_radix(self->kvm);
	TRACED(1, invalidate, 1, 1, 9, true);
	TRACED(0, invalidate, 2, 1, 0, true);

	shim_close(wr);
	TRACED(0, close, 3, 4, 7, len);
	shim_close(fd);
	kvmppc_hpt_no_memory(self->kvm, 36, KVM_HPT_PART_CGROUP);
	TRACED(0, no_memory, 36, KVM_HPT_PART_CGROUP);
}

TEST_HARNESS_MAIN
