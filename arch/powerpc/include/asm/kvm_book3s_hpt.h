/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Change tracking and lifetime of the hash page table (HPT) of a Book3S HV
 * guest: the functions that the rest of KVM calls on behalf of the HPT file
 * (KVM_PPC_GET_HTAB_FD).
 *
 * Data flow of a change to user space:
 *
 *	mark -> harvest -> records -> copy
 *
 * mark     kvmppc_hpt_mark(), below. Code that changes the guest's view of an
 *          HPTE sets HPTE_GR_MODIFIED in its reverse map word, then the bit
 *          of its group (HPTEG) in the "visit" bitmap of the HPT.
 * harvest  hpt/harvest.c. A reader clears the group's bit, looks at
 *          the eight HPTEs, clears HPTE_GR_MODIFIED under the HPTE lock and
 *          hands the changes to every other reader.
 * records  hpt/records.c encodes and decodes the stream.
 *          hpt/pass.c decides what a pass puts into it.
 * copy     hpt/read.c, with only the file's own lock held.
 *
 * Locks, in the order of Documentation/virt/kvm/locking.rst:
 *
 *	kvm_hpt_fd.lock			one call on a file at a time
 *	kvm->arch.hpt_write_lock	a long record is being applied, the HPT
 *					reset, replaced or resized, the MMU
 *					switched, or the VRMA mapped: see
 *					kvmppc_hpt_lock()
 *	kvm->arch.mmu_setup_lock	the HPT cannot be replaced or reset; not
 *					to be taken in a read section of kvm->srcu
 *	kvm->srcu (read)		memslots and reverse map chains
 *	kvm->mmu_lock			MM notifiers
 *	HPTE_V_HVLOCK			one HPTE, with preemption disabled
 *	KVMPPC_RMAP_LOCK_BIT		one chain of the reverse map
 *
 * Code reaches the HPT, its reverse map and its groups through kvmppc_hpt().
 * One of these keeps them from being replaced, zeroed or freed:
 *
 * - mmu_setup_lock. Code that replaces or zeroes an HPT holds it, and so does code
 *   that makes the VM radix. The HPT that is gone then is freed without it.
 * - A vcpu in the host has preemption disabled, and kvmppc_hpt_stays() has
 *   returned true since. While there are vcpus in kvmppc_vcpu_run_hv(), which
 *   are counted in vcpus_running, only the commit of a resize replaces the HPT,
 *   and it waits for these vcpus before it begins.
 * - A chain of the reverse map leads to them, with its lock held, in a read
 *   section of kvm->srcu. The chains are emptied, and a grace period passes,
 *   before an HPT is zeroed or freed.
 * - On POWER8, a vcpu that handles a hypercall in real mode is in the guest's
 *   context. The commit of a resize gets all vcpus out of there before it
 *   begins.
 */
#ifndef __ASM_KVM_BOOK3S_HPT_H__
#define __ASM_KVM_BOOK3S_HPT_H__

#include <linux/bitops.h>
#include <linux/delay.h>
#include <linux/kvm_host.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/srcu.h>
#include <asm/barrier.h>

/*
 * Software bit in kvm->arch.hpt.rev[].guest_rpte: the guest's view of the
 * HPTE has changed and no reader has harvested the change yet. Set and cleared
 * under the HPTE lock only. While it is set, the group's bit in the visit
 * bitmap is set too, or a harvest of the group is under way.
 */
#define HPTE_GR_MODIFIED	BIT(62)

/* Bits of guest_rpte that are not the guest's */
#define HPTE_GR_RESERVED	HPTE_GR_MODIFIED

/* An HPTEG has eight HPTEs: Power ISA Book III, "Page Table" */
#define HPT_GROUP_SHIFT		3

/*
 * The bitmaps have one bit for each group and are cut into chunks of 64 KiB,
 * so that each is in the linear mapping and can be reached in real mode.
 */
#define HPT_CHUNK_SHIFT		19
#define HPT_CHUNK_GROUPS	BIT(HPT_CHUNK_SHIFT)

/**
 * kvmppc_hpt() - get the HPT of a VM, with its reverse map and its groups
 * @kvm: the VM
 *
 * With lockdep, warns if the caller has none of the above. In real mode nothing
 * can be checked.
 *
 * Return: the HPT. Its members are zero if there is none.
 */
static inline struct kvm_hpt_info *kvmppc_hpt(struct kvm *kvm)
{
#ifdef CONFIG_LOCKDEP
	if (mfmsr() & MSR_DR)
		lockdep_assert_once(lockdep_is_held(&kvm->arch.mmu_setup_lock) ||
				    srcu_read_lock_held(&kvm->srcu) ||
				    (!preemptible() &&
				     atomic_read(&kvm->arch.vcpus_running)));
#endif
	return &kvm->arch.hpt;
}

/**
 * enum kvm_hpt_part - what an HPT is allocated of
 * @KVM_HPT_PART_TABLE: the HPT itself, 2^order bytes in one piece, from CMA or
 *			the page allocator
 * @KVM_HPT_PART_REVMAP: the reverse map, as much once more, by vmalloc
 * @KVM_HPT_PART_BITMAPS: struct kvm_hpt_groups and the bitmaps, 1/512 of that
 * @KVM_HPT_PART_CGROUP: the same, where there is memory for the bitmaps, but a
 *			 memory cgroup cannot be charged for them
 */
enum kvm_hpt_part {
	KVM_HPT_PART_TABLE,
	KVM_HPT_PART_REVMAP,
	KVM_HPT_PART_BITMAPS,
	KVM_HPT_PART_CGROUP,
};

/**
 * enum kvm_hpt_todo - steps of a reset or replacement of the HPT, or of a switch of
 *		       the MMU, in their order
 * @KVM_HPT_FREE_NESTED: free the nested guests of a radix VM, with their entries in
 *			 the reverse map
 * @KVM_HPT_EMPTY_CHAINS: empty the chains of the reverse map. The HPTEs stay valid,
 *			  and nothing removes them any more if the host unmaps
 *			  their pages: the next three follow.
 * @KVM_HPT_AWAIT_WALKERS: wait for code that has come to an HPTE by a chain, or
 *			   that walks the radix tree of a VM that was radix
 * @KVM_HPT_REMOVE_HPTES: remove all HPTEs, unless the HPT is replaced or freed
 * @KVM_HPT_FREE_OLD: free the HPT of a VM that has become radix, or the radix tree
 *		      of one that has become an HPT guest
 * @KVM_HPT_RESET: the steps of a reset
 * @KVM_HPT_ALL: all steps
 */
enum kvm_hpt_todo {
	KVM_HPT_FREE_NESTED	= BIT(0),
	KVM_HPT_EMPTY_CHAINS	= BIT(1),
	KVM_HPT_AWAIT_WALKERS	= BIT(2),
	KVM_HPT_REMOVE_HPTES	= BIT(3),
	KVM_HPT_FREE_OLD	= BIT(4),
	KVM_HPT_RESET		= KVM_HPT_EMPTY_CHAINS | KVM_HPT_AWAIT_WALKERS |
				  KVM_HPT_REMOVE_HPTES,
	KVM_HPT_ALL		= KVM_HPT_FREE_NESTED | KVM_HPT_RESET |
				  KVM_HPT_FREE_OLD,
};

/**
 * struct kvm_hpt_group_chunk - bitmaps for HPT_CHUNK_GROUPS groups
 * @used: the group has held an HPTE since the HPT was allocated or zeroed.
 *	  A group without this bit is all zeroes.
 * @visit: the next pass has to visit the group: an HPTE in it is marked, or
 *	   hardware may set R or C in one, which it does not report.
 */
struct kvm_hpt_group_chunk {
	unsigned long *used;
	unsigned long *visit;
};

/**
 * struct kvm_hpt_groups - bitmaps of all groups of an HPT
 * @nr: number of groups
 * @chunk: the bitmaps
 */
struct kvm_hpt_groups {
	unsigned long nr;
	struct kvm_hpt_group_chunk chunk[];
};

/**
 * kvmppc_hpt_use() - note that a group is about to hold an HPTE
 * @info: the HPT
 * @index: index of the HPTE
 *
 * Context: any, real mode included. The caller holds the HPTE lock or
 * mmu_setup_lock, or the HPT is not in use yet.
 */
static inline void kvmppc_hpt_use(struct kvm_hpt_info *info,
				  unsigned long index)
{
	unsigned long group = index >> HPT_GROUP_SHIFT;
	unsigned long *used = info->groups->chunk[group >> HPT_CHUNK_SHIFT].used;

	group &= HPT_CHUNK_GROUPS - 1;
	if (!test_bit(group, used))
		set_bit(group, used);
}

/* Make the next pass look at the group of this HPTE */
static inline void kvmppc_hpt_visit(struct kvm_hpt_info *info,
				    unsigned long index)
{
	unsigned long group = index >> HPT_GROUP_SHIFT;

	set_bit(group & (HPT_CHUNK_GROUPS - 1),
		info->groups->chunk[group >> HPT_CHUNK_SHIFT].visit);
}

/**
 * kvmppc_hpt_mark() - mark an HPTE as changed in the guest's view
 * @kvm: the VM
 * @rev: reverse map entry of the HPTE, at an address that can be accessed in
 *	 the current mode
 * @index: index of the HPTE
 *
 * Call this after changing dword 0 or guest_rpte of an HPTE, before dropping the
 * HPTE lock. The harvest also sees what the caller changes between this call and
 * the unlock, since it takes the lock to clear HPTE_GR_MODIFIED.
 * kvmppc_hpt_take_rc() is for R and C that hardware has set.
 *
 * Most VMs have no reader, so usually this is a single test. A caller that
 * misses a reader which is just registering leaves out the mark. Callers are in
 * a read section of kvm->srcu or hold mmu_setup_lock, so after a grace period
 * none is left. Until then the reader locks each HPTE.
 *
 * Context: any, real mode included. The caller holds the HPTE lock.
 */
static inline void kvmppc_hpt_mark(struct kvm *kvm, struct revmap_entry *rev,
				   unsigned long index)
{
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);

	if (likely(!READ_ONCE(kvm->arch.hpt_nr_readers)))
		return;
	/* Not harvested since it was set, so the group's bit is set, too */
	if (rev->guest_rpte & HPTE_GR_MODIFIED)
		return;
	rev->guest_rpte |= HPTE_GR_MODIFIED;
	/*
	 * Pairs with smp_mb__after_atomic() in kvm_hpt_harvest(): a harvest
	 * that clears the visit bit sees the mark.
	 */
	smp_wmb();
	kvmppc_hpt_visit(info, index);
}

/*
 * Store a reverse map word, and the mark with it if there are readers. The
 * caller holds the HPTE lock.
 */
static inline void kvmppc_hpt_store(struct kvm *kvm, struct revmap_entry *rev,
				    unsigned long index, unsigned long word)
{
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long old;

	if (likely(!READ_ONCE(kvm->arch.hpt_nr_readers))) {
		rev->guest_rpte = word;
		return;
	}
	old = rev->guest_rpte;
	WRITE_ONCE(rev->guest_rpte, word | HPTE_GR_MODIFIED);
	/*
	 * Pairs with smp_rmb() in kvm_hpte_read(), kvm_hpt_read_clean() and
	 * kvm_hpt_any_rc(): a reader that sees anything of what the caller
	 * writes to the HPTE after this sees the mark. Pairs with smp_mb__after_atomic() in
	 * kvm_hpt_harvest() as in kvmppc_hpt_mark().
	 */
	smp_wmb();
	if (!(old & HPTE_GR_MODIFIED))
		kvmppc_hpt_visit(info, index);
}

/**
 * kvmppc_hpt_enter() - set the reverse map word of a new HPTE
 * @kvm: the VM
 * @rev: reverse map entry of the HPTE, at an address that can be accessed in
 *	 the current mode
 * @index: index of the HPTE
 * @guest_rpte: dword 1 as the guest has it
 *
 * Marks the HPTE as kvmppc_hpt_mark() does, with one store for the word and the
 * mark. A word without the mark still belongs to the previous HPTE.
 *
 * Context: any, real mode included. The caller holds the HPTE lock and has not
 * written the doublewords of the new HPTE yet.
 */
static inline void kvmppc_hpt_enter(struct kvm *kvm, struct revmap_entry *rev,
				    unsigned long index,
				    unsigned long guest_rpte)
{
	/* Only a slot that has never held an HPTE has a word of zero */
	if (!rev->guest_rpte) {
		kvmppc_hpt_use(kvmppc_hpt(kvm), index);
		/*
		 * Pairs with smp_mb() in kvm_hpt_reader_open(). Orders the
		 * store to the used bit before the load of hpt_nr_readers:
		 * either this CPU sees the reader, or the reader sees that the
		 * group is used.
		 */
		smp_mb();
	}
	kvmppc_hpt_store(kvm, rev, index, guest_rpte);
}

/**
 * kvmppc_hpt_take_rc() - take R and C of an HPTE over into the guest's view
 * @kvm: the VM
 * @rev: reverse map entry of the HPTE
 * @index: index of the HPTE
 * @rc: R and C that hardware has set in it, or may have
 *
 * What hardware has set before a read begins has to be in that read, also if
 * the host takes it over meanwhile. A reader that does not lock the HPTE sees R
 * and C there, or the word that has them: so that comes with its mark, in one
 * store, and the caller clears them in the HPTE after this.
 *
 * Context: the caller holds the HPTE lock.
 */
static inline void kvmppc_hpt_take_rc(struct kvm *kvm,
				      struct revmap_entry *rev,
				      unsigned long index, unsigned long rc)
{
	if (rc & ~rev->guest_rpte)
		kvmppc_hpt_store(kvm, rev, index, rev->guest_rpte | rc);
}

void kvmppc_hpt_init_vm(struct kvm *kvm);
void kvmppc_hpt_destroy_vm(struct kvm *kvm);

int kvmppc_hpt_alloc_groups(struct kvm_hpt_info *info);
void kvmppc_hpt_free_groups(struct kvm_hpt_info *info);
void kvmppc_hpt_no_memory(struct kvm *kvm, u32 order, enum kvm_hpt_part part);

int kvmppc_hpt_lock_long(struct kvm *kvm);
int kvmppc_hpt_finish(struct kvm *kvm, u8 steps);
int kvmppc_hpt_reset(struct kvm *kvm);
void kvmppc_hpt_retire(struct kvm *kvm);
unsigned long kvmppc_hpt_skip_unused(struct kvm *kvm, unsigned long index,
				     int *budget);
void kvmppc_hpt_rehashed(struct kvm_hpt_info *info, unsigned long index,
			 unsigned long guest_rpte);

int kvm_vm_ioctl_get_htab_fd(struct kvm *kvm, struct kvm_get_htab_fd *args);
void kvmppc_mmu_debugfs_init(struct kvm *kvm);

/**
 * kvmppc_hpt_unlock_briefly() - drop mmu_setup_lock, which is taken again at once
 * @kvm: the VM
 *
 * A task that waits for the lock on another CPU spins while the holder runs. It
 * seldom finds the lock free if the holder takes it again immediately, and could
 * wait for the end of the whole operation. So leave it free for a microsecond.
 *
 * Context: mmu_setup_lock held; drops it. May sleep.
 */
static inline void kvmppc_hpt_unlock_briefly(struct kvm *kvm)
{
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	cond_resched();
	udelay(1);
}

/**
 * kvmppc_hpt_lock() - take mmu_setup_lock, but not in the middle of a change
 * @kvm: the VM
 *
 * A write that applies a long record, a reset of the HPT, its replacement, the
 * commit of a resize, a switch of the MMU and a vcpu that runs for the first time
 * drop mmu_setup_lock now and then, with mmu_ready 0. They hold hpt_write_lock
 * until they have finished, and a write until it has restored mmu_ready. What
 * kvmppc_hpt_finish() has left, since it was killed, is done here.
 * All code that may set mmu_ready, change HPTEs on behalf of user space, or replace
 * the HPT takes mmu_setup_lock by this function or by kvmppc_hpt_lock_long().
 *
 * Context: may sleep, takes hpt_write_lock and mmu_setup_lock.
 * Return: 0, or -EINTR if killed: the lock is not held then.
 */
static inline int kvmppc_hpt_lock(struct kvm *kvm)
{
	struct kvm_arch *arch = &kvm->arch;
	int err;

	if (mutex_lock_killable(&arch->mmu_setup_lock))
		return -EINTR;
	if (likely(!mutex_is_locked(&arch->hpt_write_lock) &&
		   !arch->hpt_todo)) {
		/*
		 * Pairs with mutex_unlock() in kvm_hpt_let_vcpus_in(), which a
		 * writer that is killed calls without mmu_setup_lock: the load
		 * of mmu_ready comes after that of the lock.
		 */
		smp_acquire__after_ctrl_dep();
		return 0;
	}
	mutex_unlock(&arch->mmu_setup_lock);
	err = kvmppc_hpt_lock_long(kvm);
	if (!err)
		mutex_unlock(&arch->hpt_write_lock);
	return err;
}

#endif /* __ASM_KVM_BOOK3S_HPT_H__ */
