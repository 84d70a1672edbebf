// SPDX-License-Identifier: GPL-2.0
/*
 * The HPT file for 32-bit user space on a 64-bit kernel: the ioctls, a write, a
 * read and poll().  Numbers and layouts are the same for both, so it can be
 * built for 64 bits as well, to test the test.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"

#define ORDER	18
#define NR	(1u << (ORDER - 4))
#define INDEX	1234u

/* Valid, for an address without memory: emulated MMIO */
#define DWORD_0	0x0001234567890001ull
#define DWORD_1	0x0000010000000192ull

struct record {
	struct kvm_get_htab_header header;
	__u64 hpte[2];
};

FIXTURE(compat)
{
	int vm;
};

FIXTURE_SETUP(compat)
{
	__u32 order = ORDER;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, kvm);
	self->vm = ioctl(kvm, KVM_CREATE_VM, KVM_VM_PPC_HV);
	ASSERT_LE(0, self->vm);
	close(kvm);
	ASSERT_EQ(0, ioctl(self->vm, KVM_PPC_ALLOCATE_HTAB, &order));
	ASSERT_EQ(ORDER, order);
}

FIXTURE_TEARDOWN(compat)
{
	close(self->vm);
}

static int open_file(int vm, __u64 flags, __u64 start_index)
{
	struct kvm_get_htab_fd args = {
		.flags = flags,
		.start_index = start_index,
	};

	return ioctl(vm, KVM_PPC_GET_HTAB_FD, &args);
}

static int progress(int fd, __u32 flags, struct kvm_ppc_htab_progress *p)
{
	memset(p, 0, sizeof(*p));
	p->argsz = sizeof(*p);
	p->flags = flags;
	return ioctl(fd, KVM_PPC_HTAB_PROGRESS, p);
}

static ssize_t write_record(int vm)
{
	struct record rec = {
		.header = { .index = INDEX, .n_valid = 1 },
		.hpte = { htobe64(DWORD_0), htobe64(DWORD_1) },
	};
	ssize_t n;
	int fd;

	fd = open_file(vm, KVM_GET_HTAB_WRITE, 0);
	n = write(fd, &rec, sizeof(rec));
	close(fd);
	return n;
}

/* All 64 bits of the arguments arrive */
TEST_F(compat, open)
{
	EXPECT_EQ(2, ioctl(self->vm, KVM_CHECK_EXTENSION, KVM_CAP_PPC_HTAB_FD));
	EXPECT_EQ(-1, open_file(self->vm, 1ull << 63, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, open_file(self->vm, 0, 1ull << 32));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_LE(0, open_file(self->vm, 0, NR - 1));
}

TEST_F(compat, write_and_read)
{
	unsigned char buf[4096];
	struct record *rec = (void *)buf;
	struct pollfd p = { .events = POLLIN };

	ASSERT_EQ(24, sizeof(*rec));
	ASSERT_EQ(24, write_record(self->vm));
	p.fd = open_file(self->vm, 0, INDEX);
	ASSERT_LE(0, p.fd);
	EXPECT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(24, read(p.fd, buf, sizeof(buf)));
	EXPECT_EQ(INDEX, rec->header.index);
	EXPECT_EQ(1, rec->header.n_valid);
	EXPECT_EQ(NR - INDEX - 1, rec->header.n_invalid);
	EXPECT_EQ(DWORD_0, be64toh(rec->hpte[0]));
	EXPECT_EQ(DWORD_1, be64toh(rec->hpte[1]));
	while (read(p.fd, buf, sizeof(buf)) > 0)
		;
	EXPECT_EQ(0, poll(&p, 1, 0));
}

TEST_F(compat, progress)
{
	unsigned char buf[4096];
	struct kvm_ppc_htab_progress p;
	int fd = open_file(self->vm, 0, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(24, write_record(self->vm));
	ASSERT_EQ(0, progress(fd, KVM_PPC_HTAB_PROGRESS_COUNT, &p));
	EXPECT_EQ(sizeof(p), p.argsz);
	EXPECT_EQ(KVM_PPC_HTAB_STATE_CURRENT, p.state);
	EXPECT_EQ(ORDER, p.order);
	EXPECT_EQ(NR, p.hptes);
	EXPECT_EQ(1, p.generation);
	EXPECT_EQ(1, p.first_hptes);
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	ASSERT_EQ(24, write_record(self->vm));
	ASSERT_EQ(0, progress(fd, 0, &p));
	EXPECT_EQ(0, p.first_hptes);
	EXPECT_EQ(1, p.changed_hptes);
	EXPECT_EQ(24, p.changed_bytes);

	EXPECT_EQ(-1, progress(fd, KVM_PPC_HTAB_PROGRESS_COUNT << 1, &p));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS + 1, &p));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_HTAB_PROGRESS, NULL));
	EXPECT_EQ(EFAULT, errno);
}

TEST_HARNESS_MAIN
