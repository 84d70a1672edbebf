// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: from marks, and from R and C that hardware has set, to the
 * readers' sets.
 */

#include <linux/bitops.h>
#include <linux/kvm_host.h>
#include <linux/preempt.h>

#include "hpt.h"
#include "trace.h"

/* Put an HPTE into a view, in the pre-v3.0 format without software bits */
static void kvm_hpt_set_view(struct kvm_hpt_view *view, int i, u64 v, u64 r,
			     u64 gr)
{
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		v = hpte_new_to_old_v(v, r);
	view->v[i] = (v & ~HPTE_V_ABSENT) | HPTE_V_VALID;
	view->r[i] = gr & ~HPTE_GR_RESERVED;
}

/*
 * Read an HPTE with its lock held, fold new R and C into the guest's view and
 * clear the mark. Return whether hardware may change the guest's view of it.
 */
static noinline bool kvm_hpte_harvest(__be64 *hptep, struct revmap_entry *rev,
				      int i, struct kvm_hpt_view *view)
{
	u64 v, r, gr, new_rc;

	preempt_disable();
	kvm_hpte_lock(hptep);
	v = kvm_hpte_dword(hptep);
	/* Have the compiler swap the bytes when it loads them */
	OPTIMIZER_HIDE_VAR(v);
	v &= ~HPTE_V_HVLOCK;
	r = kvm_hpte_dword(hptep + 1);
	gr = rev->guest_rpte;
	new_rc = kvm_hpte_new_rc(v, r, gr);
	if (new_rc || (gr & HPTE_GR_MODIFIED)) {
		view->changed |= BIT(i);
		gr = (gr | new_rc) & ~HPTE_GR_MODIFIED;
		WRITE_ONCE(rev->guest_rpte, gr);
	}
	unlock_hpte(hptep, v);
	preempt_enable();

	if (!kvm_hpte_valid(v)) {
		view->v[i] = 0;
		return false;
	}
	kvm_hpt_set_view(view, i, v, r, gr);
	return kvm_hpte_rc_open(gr);
}

/*
 * Read an HPTE without its lock, if it is not locked or marked and has no new
 * R or C. Return as kvm_hpte_harvest().
 *
 * There is no other harvest meanwhile, so all changes since the last harvest
 * are marked. A reverse map word without a mark belongs to the doublewords that
 * were read before it; later changes are marked in time for a later harvest.
 */
static bool kvm_hpte_read(__be64 *hptep, struct revmap_entry *rev, int i,
			  struct kvm_hpt_view *view)
{
	u64 v, r, gr;

	v = kvm_hpte_dword(hptep);
	r = kvm_hpte_dword(hptep + 1);
	/* Pairs with smp_wmb() in kvmppc_hpt_enter() */
	smp_rmb();
	gr = READ_ONCE(rev->guest_rpte);
	if ((v & HPTE_V_HVLOCK) || (gr & HPTE_GR_MODIFIED) ||
	    kvm_hpte_new_rc(v, r, gr))
		return kvm_hpte_harvest(hptep, rev, i, view);
	if (!kvm_hpte_valid(v)) {
		view->v[i] = 0;
		return false;
	}
	kvm_hpt_set_view(view, i, v, r, gr);
	return kvm_hpte_rc_open(gr);
}

/*
 * Return a bit for each HPTE that is marked, or whose reverse map word lacks R or
 * C: hardware may set them, or may have done so before the guest revoked access.
 */
static u8 kvm_hpt_look_at_marks(const __be64 *hptep,
				const struct revmap_entry *rev)
{
	u64 bits = HPTE_GR_MODIFIED | HPTE_R_R | HPTE_R_C, gr;
	u8 look = 0;
	int i;

	/* Keep it in a register, or three instructions make it for each HPTE */
	OPTIMIZER_HIDE_VAR(bits);
#pragma GCC unroll 8
	for (i = 0; i < HPT_GROUP_HPTES; i++) {
		gr = READ_ONCE(rev[i].guest_rpte);
		if ((gr & bits) == (HPTE_R_R | HPTE_R_C))
			continue;
		if ((gr & HPTE_GR_MODIFIED) || READ_ONCE(hptep[2 * i]))
			look |= BIT(i);
	}
	return look;
}

/**
 * kvm_hpt_peek() - what would a harvest of a group find?
 * @info: the HPT
 * @group: index of the group
 *
 * Context: kvm->arch.mmu_setup_lock held and an HPT present; does not sleep.
 * Return: a bit for each HPTE that has changed since the last harvest.
 */
u8 kvm_hpt_peek(struct kvm_hpt_info *info, unsigned long group)
{
	unsigned long index = group << HPT_GROUP_SHIFT;
	const __be64 *hptep = kvm_hpte_at(info, index);
	u8 changed = 0;
	u64 v, r, gr;
	int i;

	for (i = 0; i < HPT_GROUP_HPTES; i++) {
		v = kvm_hpte_dword(&hptep[2 * i]);
		r = kvm_hpte_dword(&hptep[2 * i + 1]);
		gr = READ_ONCE(info->rev[index + i].guest_rpte);
		if ((gr & HPTE_GR_MODIFIED) || kvm_hpte_new_rc(v, r, gr))
			changed |= BIT(i);
	}
	return changed;
}

static noinline void kvm_hpt_spread_changes(struct kvm *kvm,
					    struct kvm_hpt_reader *self,
					    unsigned long group, u8 changed)
{
	struct kvm_hpt_reader *reader;
	unsigned long first = group << HPT_GROUP_SHIFT;
	u8 behind;

	list_for_each_entry(reader, &kvm->arch.hpt_readers, node) {
		if (reader == self || reader->state != HPT_READER_ATTACHED)
			continue;
		behind = changed;
		if (reader->first_pass) {
			if (reader->cursor <= first)
				continue;
			if (reader->cursor < first + HPT_GROUP_HPTES)
				behind &= BIT(HPT_SLOT(reader->cursor)) - 1;
		}
		kvm_hpt_reader_add(kvm, reader, group, behind);
		cond_resched();
	}
}

/**
 * kvm_hpt_harvest() - clear the marks of a group
 * @kvm: the VM
 * @self: the reader that harvests
 * @group: index of the group
 * @want: HPTEs to read in any case, a bit each
 * @view: becomes the guest's view of these HPTEs, and of those that have changed
 *	  since the last harvest
 *
 * Hands the changes to all other readers that are past the HPTE. The caller
 * deals with the changes for @self.
 *
 * Context: kvm->arch.mmu_setup_lock held and an HPT present; may sleep.
 */
void kvm_hpt_harvest(struct kvm *kvm, struct kvm_hpt_reader *self,
		     unsigned long group, u8 want, struct kvm_hpt_view *view)
{
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long *visit = info->groups->chunk[group >> HPT_CHUNK_SHIFT].visit;
	unsigned long bit = group & (HPT_CHUNK_GROUPS - 1);
	unsigned long index = group << HPT_GROUP_SHIFT;
	struct revmap_entry *rev = &info->rev[index];
	__be64 *hptep = kvm_hpte_at(info, index);
	bool locked = kvm->arch.hpt_marks != HPT_MARKS_ALL;
	bool rc_open = false;
	int i;

	if (test_bit(bit, visit)) {
		clear_bit(bit, visit);
		/*
		 * Pairs with smp_wmb() in kvmppc_hpt_mark(): if this clears
		 * the bit, the reads below see the mark that it was set for. A
		 * bit that is set from here on is for a later harvest.
		 */
		smp_mb__after_atomic();
		want |= kvm_hpt_look_at_marks(hptep, rev);
	}

	view->changed = 0;
	while (want) {
		i = __ffs(want);
		want &= want - 1;
		/* A mark needs the lock to be cleared */
		if (locked ||
		    (READ_ONCE(rev[i].guest_rpte) & HPTE_GR_MODIFIED))
			rc_open |= kvm_hpte_harvest(hptep + 2 * i, rev + i, i,
						    view);
		else
			rc_open |=
				kvm_hpte_read(hptep + 2 * i, rev + i, i, view);
	}
	if (rc_open)
		set_bit(bit, visit);
	if (!view->changed)
		return;
	trace_kvm_hpt_harvest(kvm, kvm_hpt_file_of(self), group, view->changed);
	atomic64_add(hweight8(view->changed), &kvm->stat.hpt_changes);
	if (kvm->arch.hpt_nr_readers > 1)
		kvm_hpt_spread_changes(kvm, self, group, view->changed);
}
