// SPDX-License-Identifier: GPL-2.0
/*
 * The ioctl KVM_PPC_GET_HTAB_FD, the file descriptor that it returns, and the
 * format of the stream read from it.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "hpt_vm.h"

FIXTURE(fd)
{
	struct vm vm;
};

FIXTURE_SETUP(fd)
{
	ASSERT_EQ(0, vm_init(&self->vm, MIN_ORDER, 0));
}

FIXTURE_TEARDOWN(fd)
{
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* Numbers that existing binaries and streams depend on */
TEST_F(fd, numbers)
{
	EXPECT_EQ(0x8020aeaaUL, (unsigned long)KVM_PPC_GET_HTAB_FD);
	EXPECT_EQ(84, KVM_CAP_PPC_HTAB_FD);
	EXPECT_EQ(1UL, (unsigned long)KVM_GET_HTAB_BOLTED_ONLY);
	EXPECT_EQ(2UL, (unsigned long)KVM_GET_HTAB_WRITE);
	EXPECT_EQ(32UL, sizeof(struct kvm_get_htab_fd));
	EXPECT_EQ(8UL, offsetof(struct kvm_get_htab_fd, start_index));
	EXPECT_EQ(8UL, sizeof(struct kvm_get_htab_header));
	EXPECT_EQ(4UL, offsetof(struct kvm_get_htab_header, n_valid));
	EXPECT_EQ(6UL, offsetof(struct kvm_get_htab_header, n_invalid));
}

/* The capability is there exactly where the ioctl works */
TEST_F(fd, capability)
{
	EXPECT_LT(0, ioctl(self->vm.kvm, KVM_CHECK_EXTENSION,
			   KVM_CAP_PPC_HTAB_FD));
	EXPECT_LT(0, ioctl(self->vm.fd, KVM_CHECK_EXTENSION,
			   KVM_CAP_PPC_HTAB_FD));
	EXPECT_LE(0, vm_htab_fd(&self->vm, 0, 0));
}

/* A VM of Book3S PR has neither the capability nor the ioctl */
TEST_F(fd, capability_of_pr)
{
	struct kvm_get_htab_fd args = { };
	int fd = ioctl(self->vm.kvm, KVM_CREATE_VM, KVM_VM_PPC_PR);

	if (fd < 0)
		SKIP(return, "no Book3S PR");
	EXPECT_EQ(0, ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_PPC_HTAB_FD));
	EXPECT_EQ(-1, ioctl(fd, KVM_PPC_GET_HTAB_FD, &args));
	EXPECT_EQ(ENOTTY, errno);
	close(fd);
}

/* Undefined flags: EINVAL */
TEST_F(fd, unknown_flags)
{
	unsigned long known;
	int bit;

	for (known = 0; known < 4; known++)
		for (bit = 2; bit < 64; bit++)
			EXPECT_EQ(-EINVAL,
				  vm_htab_fd(&self->vm, known | 1UL << bit, 0));
	for (known = 0; known < 4; known++)
		EXPECT_LE(0, vm_htab_fd(&self->vm, known, 0));
}

/* An argument that cannot be read: EFAULT */
TEST_F(fd, argument_unreadable)
{
	struct edge e;
	size_t n;

	ASSERT_EQ(0, edge_init(&e, 4096, 4096, PROT_NONE));
	for (n = 0; n < sizeof(struct kvm_get_htab_fd); n++) {
		EXPECT_EQ(-1, ioctl(self->vm.fd, KVM_PPC_GET_HTAB_FD,
				    edge_at(&e, n)));
		EXPECT_EQ(EFAULT, errno);
	}
	EXPECT_LE(0, ioctl(self->vm.fd, KVM_PPC_GET_HTAB_FD, edge_at(&e, n)));
	edge_free(&e);
}

/* A reader's start_index at or past the end of the HPT: EINVAL */
TEST_F(fd, start_index_past_the_end)
{
	unsigned long npte = NPTE(MIN_ORDER);

	EXPECT_LE(0, vm_htab_fd(&self->vm, 0, npte - 1));
	EXPECT_EQ(-EINVAL, vm_htab_fd(&self->vm, 0, npte));
	EXPECT_EQ(-EINVAL, vm_htab_fd(&self->vm, 0, npte + 1));
	EXPECT_EQ(-EINVAL, vm_htab_fd(&self->vm, 0, npte | 1UL << 32));
	EXPECT_EQ(-EINVAL, vm_htab_fd(&self->vm, 0, 1UL << 60));
	EXPECT_EQ(-EINVAL, vm_htab_fd(&self->vm, 0, ~0UL));
	EXPECT_EQ(-EINVAL, vm_htab_fd(&self->vm, KVM_GET_HTAB_BOLTED_ONLY,
				      npte));
}

/* The descriptor is closed on exec */
TEST_F(fd, close_on_exec)
{
	unsigned long flags;
	int fd;

	for (flags = 0; flags < 4; flags++) {
		fd = vm_htab_fd(&self->vm, flags, 0);
		ASSERT_LE(0, fd);
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	}
}

/* The descriptor is for reading or for writing, not for both */
TEST_F(fd, one_direction)
{
	unsigned char buf[64] = { 0 };
	unsigned long bolted;
	int rd, wr;

	for (bolted = 0; bolted <= KVM_GET_HTAB_BOLTED_ONLY; bolted++) {
		rd = vm_htab_fd(&self->vm, bolted, 0);
		wr = vm_htab_fd(&self->vm, bolted | KVM_GET_HTAB_WRITE, 0);
		ASSERT_LE(0, rd);
		ASSERT_LE(0, wr);
		EXPECT_EQ(O_RDONLY, fcntl(rd, F_GETFL) & O_ACCMODE);
		EXPECT_EQ(O_WRONLY, fcntl(wr, F_GETFL) & O_ACCMODE);
		EXPECT_EQ(-EBADF, stream_write(rd, buf, REC_BYTES));
		EXPECT_EQ(-1, read(wr, buf, sizeof(buf)));
		EXPECT_EQ(EBADF, errno);
	}
}

/* The descriptor keeps the VM alive when all others are closed */
TEST_F(fd, holds_the_vm)
{
	struct table want, got;
	struct stream s;
	int rd, wr;

	ASSERT_EQ(0, table_init(&want, NPTE(MIN_ORDER)));
	ASSERT_EQ(0, table_init(&got, NPTE(MIN_ORDER)));
	ASSERT_EQ(0, stream_init(&s, 4096));
	stream_run(&s, 40, 7, 1);
	table_set_run(&want, 40, 7);

	rd = vm_htab_fd(&self->vm, 0, 0);
	wr = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LE(0, rd);
	ASSERT_LE(0, wr);
	close(self->vm.fd);
	close(self->vm.kvm);
	self->vm.fd = -1;
	self->vm.kvm = -1;

	EXPECT_EQ((ssize_t)s.len, stream_write(wr, s.buf, s.len));
	EXPECT_EQ((long)want.npte, table_drain(&got, rd, 4096));
	EXPECT_EQ(0, table_diff(&want, &got));
	close(wr);
	EXPECT_EQ(0, table_read(&got, rd, 4096));
	close(rd);
}

/* The number of users of the module of Book3S HV, < 0 if it is no module */
static long module_users(void)
{
	FILE *f = fopen("/sys/module/kvm_hv/refcnt", "r");
	long n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

/* The module cannot be unloaded while a file is open */
TEST_F(fd, holds_the_module)
{
	long users = module_users();
	int rd, wr;

	if (users < 0)
		SKIP(return, "KVM is no module");
	rd = vm_htab_fd(&self->vm, 0, 0);
	wr = vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0);
	ASSERT_LE(0, rd);
	ASSERT_LE(0, wr);
	EXPECT_EQ(users + 2, module_users());
	close(self->vm.fd);
	close(self->vm.kvm);
	self->vm.fd = -1;
	self->vm.kvm = -1;
	EXPECT_EQ(users + 2, module_users());
	EXPECT_EQ(-1, syscall(SYS_delete_module, "kvm_hv", O_NONBLOCK));
	EXPECT_EQ(EWOULDBLOCK, errno);
	close(wr);
	EXPECT_EQ(users + 1, module_users());
	close(rd);
	EXPECT_EQ(users - 1, module_users());
}

/* Reserved words are ignored, and a writer's start_index and BOLTED_ONLY */
TEST_F(fd, ignored_arguments)
{
	struct kvm_get_htab_fd args = {
		.flags = KVM_GET_HTAB_WRITE | KVM_GET_HTAB_BOLTED_ONLY,
		.start_index = ~0ull,
		.reserved = { 1, ~0ull },
	};
	struct table want, got;
	struct stream s;
	int fd;

	ASSERT_EQ(0, table_init(&want, NPTE(MIN_ORDER)));
	ASSERT_EQ(0, table_init(&got, NPTE(MIN_ORDER)));
	ASSERT_EQ(0, stream_init(&s, 4096));
	/* Every third is bolted */
	stream_run(&s, 40, 7, 0);
	table_set_run(&want, 40, 7);

	fd = ioctl(self->vm.fd, KVM_PPC_GET_HTAB_FD, &args);
	ASSERT_LE(0, fd);
	EXPECT_EQ((ssize_t)s.len, stream_write(fd, s.buf, s.len));
	close(fd);

	args.flags = 0;
	args.start_index = 0;
	fd = ioctl(self->vm.fd, KVM_PPC_GET_HTAB_FD, &args);
	ASSERT_LE(0, fd);
	EXPECT_EQ((long)want.npte, table_drain(&got, fd, 4096));
	EXPECT_EQ(0, table_diff(&want, &got));
	close(fd);
	stream_free(&s);
}

/* A seek does not move a reader */
TEST_F(fd, no_position)
{
	static const off_t to[] = { 0, 24, 4096, 1L << 40 };
	struct table want, got;
	unsigned int i;
	int fd;

	ASSERT_EQ(0, table_init(&want, NPTE(MIN_ORDER)));
	ASSERT_EQ(0, table_init(&got, NPTE(MIN_ORDER)));
	for (i = 0; i < 200; i += 9)
		ASSERT_EQ(0, vm_enter(&self->vm, &want, i, 4));

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	for (i = 0; i < 4; i++) {
		ASSERT_LE(0, lseek(fd, to[i], SEEK_SET));
		ASSERT_LT(0, table_read(&got, fd, 100));
	}
	ASSERT_LE(0, lseek(fd, 0, SEEK_SET));
	ASSERT_LT(0, table_drain(&got, fd, 4096));
	EXPECT_EQ(0, table_diff(&want, &got));
	EXPECT_EQ(want.npte, got.n_valid + got.n_invalid);
	close(fd);
}

static bool pass_files(int sock, int fd[2], bool receive)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (receive) {
		if (recvmsg(sock, &msg, 0) != 1 || !CMSG_FIRSTHDR(&msg))
			return false;
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), 2 * sizeof(int));
		return true;
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(c), fd, 2 * sizeof(int));
	return sendmsg(sock, &msg, 0) == 1;
}

/* Owns a VM with memory and HPTEs 40 to 46 until it is told to exit */
static int owner(int sock)
{
	struct table have;
	struct vm vm;
	char byte;
	int fd[2];

	if (vm_init(&vm, MIN_ORDER, PAGE_16M) ||
	    table_init(&have, NPTE(MIN_ORDER)) || vm_enter(&vm, &have, 40, 7))
		return 1;
	fd[0] = vm_htab_fd(&vm, 0, 0);
	fd[1] = vm_htab_fd(&vm, KVM_GET_HTAB_WRITE, 0);
	if (fd[0] < 0 || fd[1] < 0 || !pass_files(sock, fd, false))
		return 1;
	return read(sock, &byte, 1) != 1;
}

/* Use of HPT files by another process, while the VM's owner lives and later */
TEST_F(fd, another_process)
{
	struct table want, got;
	int sock[2], fd[2], status;
	struct stream s;
	pid_t child;

	ASSERT_EQ(0, table_init(&want, NPTE(MIN_ORDER)));
	ASSERT_EQ(0, table_init(&got, NPTE(MIN_ORDER)));
	ASSERT_EQ(0, stream_init(&s, 4096));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(owner(sock[1]));
	close(sock[1]);
	ASSERT_TRUE(pass_files(sock[0], fd, true));

	table_set_run(&want, 40, 7);
	EXPECT_EQ((long)want.npte, table_drain(&got, fd[0], 4096));
	EXPECT_EQ(0, table_diff(&want, &got));
	stream_run(&s, 80, 5, 0);
	table_set_run(&want, 80, 5);
	EXPECT_EQ((ssize_t)s.len, stream_write(fd[1], s.buf, s.len));
	EXPECT_EQ(5, table_drain(&got, fd[0], 4096));
	EXPECT_EQ(0, table_diff(&want, &got));

	ASSERT_EQ(1, write(sock[0], "", 1));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	/* Also an HPTE for memory that is gone: it is entered, as absent */
	s.len = 0;
	stream_run(&s, 120, 3, 0);
	table_set_run(&want, 120, 3);
	stream_header(&s, 160, 1, 0);
	stream_hpte(&s, mem_hpte(160, 0));
	table_set(&want, 160, mem_hpte(160, 0));
	EXPECT_EQ((ssize_t)s.len, stream_write(fd[1], s.buf, s.len));
	EXPECT_EQ(4, table_drain(&got, fd[0], 4096));
	EXPECT_EQ(0, table_diff(&want, &got));
	close(fd[0]);
	close(fd[1]);
	stream_free(&s);
}

/* Opening without a free descriptor fails and leaves nothing behind */
TEST_F(fd, out_of_descriptors)
{
	struct rlimit old, none;
	int fd;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	fd = dup(0);
	ASSERT_LE(0, fd);
	none.rlim_cur = fd;
	close(fd);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, vm_htab_fd(&self->vm, 0, 0));
	EXPECT_EQ(-EMFILE, vm_htab_fd(&self->vm, KVM_GET_HTAB_WRITE, 0));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_LE(0, vm_htab_fd(&self->vm, 0, 0));
}

/*
 * The host has allocated page 0 of guest memory, but not page 1.  So there are
 * HPTEs that are present, absent, and for emulated MMIO.
 */
FIXTURE(stream)
{
	struct vm vm;
	struct table want;
	struct table got;
};

FIXTURE_SETUP(stream)
{
	struct hpte present = mem_hpte(3000, 0);
	struct hpte absent = mem_hpte(3001, PAGE_64K);

	ASSERT_EQ(0, vm_init(&self->vm, MIN_ORDER, PAGE_16M));
	self->vm.mem[0] = 1;

	ASSERT_EQ(0, table_init(&self->want, NPTE(MIN_ORDER)));
	ASSERT_EQ(0, table_init(&self->got, NPTE(MIN_ORDER)));
	table_set(&self->want, 3000, present);
	table_set(&self->want, 3001, absent);
	table_set(&self->want, 3002, hpte_at(3002));

	ASSERT_EQ(0, vm_write_hpte(&self->vm, 3000, present));
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 3001, absent));
	ASSERT_EQ(0, vm_write_run(&self->vm, 3002, 1, 0));
}

FIXTURE_TEARDOWN(stream)
{
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* Header in host byte order, HPTEs big-endian, invalid ones only counted */
TEST_F(stream, layout)
{
	struct {
		__u32 index;
		__u16 n_valid;
		__u16 n_invalid;
		__u64 hpte[3][2];
	} rec;
	unsigned char buf[sizeof(rec) + 1];
	int i, fd;

	fd = vm_htab_fd(&self->vm, 0, 3000);
	ASSERT_LE(0, fd);
	ASSERT_EQ(56UL, sizeof(rec));
	/* A byte more than needed, as not all kernels accept an exact fit */
	ASSERT_EQ((ssize_t)sizeof(rec), read(fd, buf, sizeof(buf)));
	memcpy(&rec, buf, sizeof(rec));
	EXPECT_EQ(3000, rec.index);
	EXPECT_EQ(3, rec.n_valid);
	EXPECT_EQ(NPTE(MIN_ORDER) - 3003, rec.n_invalid);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(self->want.hpte[3000 + i].v,
			  be64toh(rec.hpte[i][0]) & ~HPTE_V_SOFT);
		EXPECT_EQ(self->want.hpte[3000 + i].r, be64toh(rec.hpte[i][1]));
	}
}

/*
 * V is set for present and for absent HPTEs alike, and dword 1 is as the guest
 * entered it, not as the host has it in the real HPTE.
 */
TEST_F(stream, guest_view)
{
	ASSERT_LT(0, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* KVM's internal bits of an HPTE are not in the stream */
TEST_F(stream, software_bits_are_clear)
{
	int fd = vm_htab_fd(&self->vm, 0, 0);

	ASSERT_LE(0, fd);
	ASSERT_LT(0, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, self->got.soft_bits);

	/* The mark of a change is one of these bits */
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 3000, self->want.hpte[3000]));
	ASSERT_EQ(0, vm_write_run(&self->vm, 3002, 1, 0));
	ASSERT_LT(0, table_drain(&self->got, fd, 4096));
	EXPECT_EQ(0, self->got.soft_bits);
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A mark in the stream is not taken over by a write */
TEST_F(stream, software_bits_are_not_taken)
{
	struct hpte e = hpte_at(3002);

	e.v |= HPTE_V_SOFT;
	e.r |= HPTE_R_SOFT;
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 3002, e));
	ASSERT_LT(0, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, self->got.soft_bits);
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* Counts have 16 bits, so a long run takes several records */
TEST_F(stream, runs_over_65535)
{
	unsigned long npte = NPTE(22), half = npte / 2;
	struct table want, got;

	ASSERT_EQ(0, table_init(&want, npte));
	ASSERT_EQ(0, table_init(&got, npte));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, 22));
	ASSERT_EQ(0, vm_write_run(&self->vm, half, 35000, 0));
	ASSERT_EQ(0, vm_write_run(&self->vm, half + 35000, 35000, 0));
	table_set_run(&want, half, 70000);

	EXPECT_EQ((long)npte, table_dump(&got, &self->vm, 0));
	EXPECT_EQ(npte, table_seen(&got, 0, npte));
	EXPECT_EQ(0, table_diff(&want, &got));
}

TEST_HARNESS_MAIN
