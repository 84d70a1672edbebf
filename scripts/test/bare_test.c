// SPDX-License-Identifier: GPL-2.0
/*
 * The base with its own implementation removed and without ours has no HPT
 * file, and KVM reports that.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"

TEST(no_htab_fd)
{
	struct kvm_get_htab_fd arg = {};
	int kvm, vm;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, kvm);
	vm = ioctl(kvm, KVM_CREATE_VM, KVM_VM_PPC_HV);
	ASSERT_LE(0, vm);

	EXPECT_EQ(0, ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_PPC_HTAB_FD));
	EXPECT_EQ(0, ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_PPC_HTAB_FD));
	EXPECT_EQ(-1, ioctl(vm, KVM_PPC_GET_HTAB_FD, &arg));
	EXPECT_EQ(ENOTTY, errno);
}

TEST_HARNESS_MAIN
