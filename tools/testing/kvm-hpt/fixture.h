/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM, its HPT and a reader. Each test runs with both formats of an HPTE.
 */
#ifndef KVM_HPT_FIXTURE_H
#define KVM_HPT_FIXTURE_H

#include "unit.h"

FIXTURE(file) {
	struct kvm *kvm;
	int fd;
	char *buf;
	u64 v[NR], r[NR];
};

FIXTURE_VARIANT(file) {
	unsigned long features;
};

FIXTURE_VARIANT_ADD(file, power8) { CPU_FTR_ARCH_206 };
FIXTURE_VARIANT_ADD(file, power9) { CPU_FTR_ARCH_206 | CPU_FTR_ARCH_300 };

FIXTURE_SETUP(file)
{
	cpu_features = variant->features;
	self->kvm = fake_vm();
	self->buf = malloc(BUF);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	self->fd = fake_open(self->kvm, 0, 0);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(file)
{
	if (self->fd >= 0)
		shim_close(self->fd);
	fake_vm_free(self->kvm);
	free(self->buf);
	EXPECT_EQ(0, shim_live_allocs());
}

#endif
