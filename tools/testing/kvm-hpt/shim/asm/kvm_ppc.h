/* SPDX-License-Identifier: GPL-2.0-only */
/* Functions of KVM that the HPT file calls; fake.c implements them */
#ifndef SHIM_KVM_PPC_H
#define SHIM_KVM_PPC_H

#include <linux/kvm_host.h>

long kvmppc_do_h_enter(struct kvm *kvm, unsigned long flags, long pte_index,
		       unsigned long pteh, unsigned long ptel, pgd_t *pgdir,
		       bool realmode, unsigned long *pte_idx_ret);
unsigned int kvmppc_enter_run(struct kvm *kvm, unsigned long index,
			      __be64 *hpte, unsigned int n);
long kvmppc_do_h_remove(struct kvm *kvm, unsigned long flags,
			unsigned long pte_index, unsigned long avpn,
			unsigned long *hpret);
int kvmppc_rmap_empty(struct kvm *kvm);
void kvmppc_free_hpt(struct kvm_hpt_info *info);
void kvmppc_free_radix(struct kvm *kvm);
void kvmhv_release_all_nested(struct kvm *kvm);
void kvmppc_setup_partition_table(struct kvm *kvm);
void kvmppc_update_lpcr(struct kvm *kvm, unsigned long lpcr,
			unsigned long mask);

#endif
