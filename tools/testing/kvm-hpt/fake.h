/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM with an HPT for the HPT file to work on: hypercalls as PAPR defines
 * them, hardware that sets R and C, and a host that unmaps pages.
 *
 * Changes are marked here wherever the kernel marks them. Several threads may
 * call the functions with an index argument at once.
 */
#ifndef KVM_HPT_FAKE_H
#define KVM_HPT_FAKE_H

#include <linux/kvm_host.h>
#include <asm/kvm_book3s_64.h>
#include <asm/kvm_book3s_hpt.h>
#include <asm/hvcall.h>

/*
 * Guest memory: one slot of small pages, one of huge pages, and one that is not
 * aligned for huge pages. All other addresses are emulated MMIO.
 */
#define FAKE_RAM		0x0ul
#define FAKE_RAM_SIZE		(64ul << 20)
#define FAKE_HUGE		0x10000000ul
#define FAKE_HUGE_SIZE		(64ul << 20)
#define FAKE_HUGE_SHIFT		24
#define FAKE_ODD		0x20010000ul
#define FAKE_ODD_SIZE		(64ul << 20)
#define FAKE_MMIO		0x40000000ul

struct kvm *fake_vm(void);
void fake_vm_free(struct kvm *kvm);

/* KVM_PPC_ALLOCATE_HTAB, KVM_PPC_RESIZE_HPT_COMMIT, KVM_PPC_CONFIGURE_V3_MMU */
int fake_allocate_hpt(struct kvm *kvm, u32 order);
int fake_resize_hpt(struct kvm *kvm, u32 order);
int fake_configure_mmu(struct kvm *kvm, bool radix);
void fake_switch_to_radix(struct kvm *kvm);
void fake_switch_to_hash(struct kvm *kvm);

/* Hypercalls of the guest */
long fake_h_protect(struct kvm *kvm, unsigned long index, unsigned long flags);
long fake_h_clear_ref(struct kvm *kvm, unsigned long index);
long fake_h_clear_mod(struct kvm *kvm, unsigned long index);

/* Hardware sets R, and C if @write. Returns the bits that are set then. */
u64 fake_hw_access(struct kvm *kvm, unsigned long index, bool write);

/* Operations of the host: page fault, unmapping, collecting R and C */
void fake_map(struct kvm *kvm, unsigned long index);
void fake_unmap(struct kvm *kvm, unsigned long index);
void fake_age(struct kvm *kvm, unsigned long index);
void fake_clean(struct kvm *kvm, unsigned long index);

/* Add or remove a page of the host, for HPTEs that are entered later */
void fake_host_page(gpa_t gpa, bool there);

/* How often the chains of the reverse map were emptied */
extern unsigned int fake_rmaps_emptied;

/* The VM's process exits, files of the VM stay open elsewhere */
void fake_exit_mm(struct kvm *kvm);

/* Begin or cancel the deletion of the memslot at this address */
void fake_delete_slot(gpa_t gpa, bool deleted);

/* System calls of user space */
int fake_open(struct kvm *kvm, u64 flags, u64 start_index);
ssize_t fake_read(int fd, void *buf, size_t size, size_t accessible);
ssize_t fake_write(int fd, void *buf, size_t size, size_t accessible);
int fake_progress(int fd, u32 flags, struct kvm_ppc_htab_progress *p);
__poll_t fake_poll(int fd);

/* Enter or remove an HPTE as a vcpu does */
long fake_h_enter(struct kvm *kvm, unsigned long index, u64 v, u64 r);
long fake_h_remove(struct kvm *kvm, unsigned long index);

/* Is the HPTE present, that is, valid to hardware? */
bool fake_mapped(struct kvm *kvm, unsigned long index);

#endif
