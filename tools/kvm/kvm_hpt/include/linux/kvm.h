/* SPDX-License-Identifier: GPL-2.0 */
/* The one part of the ABI that is needed; other architectures don't have it. */
#ifndef KVM_HPT_LINUX_KVM_H
#define KVM_HPT_LINUX_KVM_H

#include <linux/types.h>

struct kvm_get_htab_header {
	__u32	index;
	__u16	n_valid;
	__u16	n_invalid;
};

#endif
