/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of struct kvm that the HPT file and the fake VM use */
#ifndef SHIM_KVM_HOST_H
#define SHIM_KVM_HOST_H

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/kvm.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <asm/barrier.h>
#include <asm/page.h>
#include <asm/byteorder.h>
#include <asm/cpu_has_feature.h>

#define KVM_MEMSLOT_INVALID	(1u << 16)

struct kvm_hpt_groups;

struct revmap_entry {
	unsigned long guest_rpte;
	unsigned int forw, back;
};

struct kvm_hpt_info {
	unsigned long virt;
	struct revmap_entry *rev;
	u32 order;
	int cma;
	u32 part;
	struct kvm_hpt_groups *groups;
};

/* A mask of all CPUs */
static inline void cpumask_setall(bool *mask)
{
	*mask = true;
}

struct kvm_arch {
	struct kvm_hpt_info hpt;
	int radix;
	void *pgtable;
	bool mm_exited;
	int mmu_ready;
	bool need_tlb_flush;
	atomic64_t mmio_update;
	atomic_t vcpus_running;
	unsigned int hpt_nr_readers;
	struct mutex mmu_setup_lock;
	struct mutex hpt_write_lock;
	struct list_head hpt_readers;
	wait_queue_head_t hpt_wait;
	struct delayed_work hpt_poll;
	unsigned long hpt_poll_pos;
	unsigned int hpt_poll_idle;
	u8 hpt_marks;
	u8 hpt_todo;
	bool hpt_gp_begun;
	unsigned long hpt_gp;
	atomic64_t hpt_files;
	u64 lpid;
	unsigned long vrma_slb_v;
	unsigned long lpcr;
	/* Used by the stock implementation in hpt_time */
	atomic_t hpte_mod_interest;
};

struct kvm_vm_stat {
	atomic64_t hpt_passes;
	atomic64_t hpt_read_valid;
	atomic64_t hpt_read_invalid;
	atomic64_t hpt_read_bytes;
	atomic64_t hpt_changes;
	u64 hpt_write_valid;
	u64 hpt_write_invalid;
	u64 hpt_write_bytes;
	atomic64_t hpt_write_refused;
	atomic64_t hpt_no_memory;
};

struct mm_struct {
	pgd_t *pgd;
};

struct kvm_memory_slot {
	gfn_t base_gfn;
	unsigned long npages;
	unsigned int flags;
	unsigned long userspace_addr;
};

struct kvm {
	struct kvm_arch arch;
	struct srcu_struct srcu;
	spinlock_t mmu_lock;
	unsigned long mmu_invalidate_seq;
	struct mm_struct *mm;
	struct dentry *debugfs_dentry;
	pid_t userspace_pid;
	atomic_t refs;
	struct kvm_vm_stat stat;
};

static inline bool mmu_invalidate_retry(struct kvm *kvm, unsigned long seq)
{
	return kvm->mmu_invalidate_seq != seq;
}

static inline void kvm_get_kvm(struct kvm *kvm)
{
	atomic_inc(&kvm->refs);
}

static inline bool kvm_get_kvm_safe(struct kvm *kvm)
{
	if (!atomic_read(&kvm->refs))
		return false;
	kvm_get_kvm(kvm);
	return true;
}

static inline void kvm_put_kvm(struct kvm *kvm)
{
	atomic_dec(&kvm->refs);
}

struct kvm_memory_slot *gfn_to_memslot(struct kvm *kvm, gfn_t gfn);

static inline hva_t gfn_to_hva_memslot(const struct kvm_memory_slot *slot,
				       gfn_t gfn)
{
	return slot->userspace_addr + (gfn - slot->base_gfn) * PAGE_SIZE;
}

#endif
