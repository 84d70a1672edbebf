/* SPDX-License-Identifier: GPL-2.0 */
/* The parts of the ABI that are needed; headers of other archs lack them */
#ifndef KVM_HPT_LINUX_KVM_H
#define KVM_HPT_LINUX_KVM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KVMIO	0xAE

struct kvm_get_htab_header {
	__u32	index;
	__u16	n_valid;
	__u16	n_invalid;
};

struct kvm_ppc_htab_progress {
	__u32	argsz;
	__u32	flags;
	__u32	state;
	__u32	order;
	__u64	generation;
	__u64	hptes;
	__u64	position;
	__u64	pass;
	__u64	first_hptes;
	__u64	first_bytes;
	__u64	changed_hptes;
	__u64	changed_bytes;
	__u64	reserved[4];
};

#define KVM_PPC_HTAB_STATE_CURRENT	1
#define KVM_PPC_HTAB_PROGRESS	_IOWR(KVMIO, 0xdf, struct kvm_ppc_htab_progress)

#endif
