// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: from marks, and from R and C that hardware has set, to the
 * readers' sets.
 */

#include <linux/kvm_host.h>
#include <linux/preempt.h>

#include "book3s_hv_hpt.h"

/* An HPTE as it stands in the HPT and the reverse map, in host byte order */
struct raw_hpte {
	u64 v;
	u64 r;
	u64 gr;
};

static void lock_hpte(__be64 *hptep)
{
	while (!try_lock_hpte(hptep, HPTE_V_HVLOCK))
		cpu_relax();
}

static bool hpte_valid(u64 v)
{
	return v & (HPTE_V_VALID | HPTE_V_ABSENT);
}

/* R and C that hardware has set and the guest's view does not have yet */
static u64 hpte_new_rc(const struct raw_hpte *raw)
{
	if (!(raw->v & HPTE_V_VALID))
		return 0;
	return raw->r & ~raw->gr & (HPTE_R_R | HPTE_R_C);
}

/*
 * May hardware still set R or C so that the guest's view changes? An absent
 * HPTE counts: it becomes present without a change of the guest's view.
 */
static bool hpte_rc_open(const struct raw_hpte *raw)
{
	return hpte_valid(raw->v) &&
	       (!(raw->gr & HPTE_R_R) ||
		(!(raw->gr & HPTE_R_C) && hpte_is_writable(raw->gr)));
}

/*
 * Read a group without its locks. Return a bit for each HPTE that has to be
 * read again with its lock held: it is locked or changes under our eyes, is
 * marked, or has new R or C.
 *
 * Whoever changes an HPTE's identity has it locked (dword 0 is different
 * then) before its reverse map word is written, and orders the two by
 * smp_wmb(). What changes otherwise after it was read here is marked after
 * it, in time for a later harvest.
 */
static u8 read_group(const __be64 *hptep, const struct revmap_entry *rev,
		     struct raw_hpte *raw)
{
	u8 again = 0;
	int i;

	preempt_disable();
	for (i = 0; i < HPTES_IN_GROUP; i++)
		raw[i].v = be64_to_cpu(READ_ONCE(hptep[2 * i]));
	/* Pairs with smp_wmb() in kvmppc_hpt_enter() */
	smp_rmb();
	for (i = 0; i < HPTES_IN_GROUP; i++) {
		raw[i].r = be64_to_cpu(READ_ONCE(hptep[2 * i + 1]));
		raw[i].gr = READ_ONCE(rev[i].guest_rpte);
	}
	/* Pairs with smp_wmb() in kvmppc_hpt_enter() */
	smp_rmb();
	for (i = 0; i < HPTES_IN_GROUP; i++) {
		if (be64_to_cpu(READ_ONCE(hptep[2 * i])) != raw[i].v ||
		    READ_ONCE(rev[i].guest_rpte) != raw[i].gr ||
		    (raw[i].v & HPTE_V_HVLOCK) ||
		    (raw[i].gr & HPTE_GR_MODIFIED) || hpte_new_rc(&raw[i]))
			again |= 1 << i;
	}
	preempt_enable();
	return again;
}

/*
 * Read an HPTE with its lock held, fold new R and C into the guest's view and
 * clear the mark. Return whether the guest's view has changed.
 */
static bool harvest_hpte(__be64 *hptep, struct revmap_entry *rev,
			 struct raw_hpte *raw)
{
	bool changed;

	preempt_disable();
	lock_hpte(hptep);
	raw->v = be64_to_cpu(hptep[0]) & ~HPTE_V_HVLOCK;
	raw->r = be64_to_cpu(READ_ONCE(hptep[1]));
	raw->gr = rev->guest_rpte;
	changed = (raw->gr & HPTE_GR_MODIFIED) || hpte_new_rc(raw);
	raw->gr |= hpte_new_rc(raw);
	raw->gr &= ~HPTE_GR_MODIFIED;
	if (changed)
		WRITE_ONCE(rev->guest_rpte, raw->gr);
	unlock_hpte(hptep, raw->v);
	preempt_enable();
	return changed;
}

static void spread_changes(struct kvm *kvm, struct kvm_hpt_reader *self,
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
			if (reader->cursor < first + HPTES_IN_GROUP)
				behind &= (1 << HPT_SLOT(reader->cursor)) - 1;
		}
		kvm_hpt_reader_add(reader, group, behind);
	}
	cond_resched();
}

/**
 * kvmppc_hpt_harvest() - read a group and take the marks off it
 * @kvm: the VM
 * @self: the reader that does it
 * @group: index of the group
 * @view: what the group looks like to the guest, and what of it has changed
 *	  since the last harvest
 *
 * The changes are handed to all other readers that are past the group; it is
 * up to the caller what to do about @self.
 *
 * Context: kvm->arch.mmu_setup_lock held and an HPT present; may sleep.
 */
void kvmppc_hpt_harvest(struct kvm *kvm, struct kvm_hpt_reader *self,
			unsigned long group, struct kvm_hpt_view *view)
{
	struct kvm_hpt_info *info = &kvm->arch.hpt;
	unsigned long *visit = info->groups->chunk[group >> HPT_CHUNK_SHIFT].visit;
	unsigned long bit = group & (HPT_CHUNK_GROUPS - 1);
	unsigned long index = group << HPT_GROUP_SHIFT;
	struct revmap_entry *rev = &info->rev[index];
	__be64 *hptep = kvmppc_hpte(info, index);
	struct raw_hpte raw[HPTES_IN_GROUP];
	bool rc_open = false;
	u8 again;
	int i;

	if (test_bit(bit, visit)) {
		clear_bit(bit, visit);
		/*
		 * Pairs with smp_wmb() in kvmppc_hpt_mark(): a bit that was
		 * cleared here comes with the mark that it was set for. A bit
		 * that is set from here on is for a later harvest.
		 */
		smp_mb__after_atomic();
	}

	again = read_group(hptep, rev, raw);
	view->changed = 0;
	for (i = 0; i < HPTES_IN_GROUP; i++) {
		if ((again & (1 << i)) &&
		    harvest_hpte(hptep + 2 * i, rev + i, &raw[i]))
			view->changed |= 1 << i;
		if (!hpte_valid(raw[i].v)) {
			view->v[i] = 0;
			view->r[i] = 0;
			continue;
		}
		rc_open |= hpte_rc_open(&raw[i]);
		if (cpu_has_feature(CPU_FTR_ARCH_300))
			raw[i].v = hpte_new_to_old_v(raw[i].v, raw[i].r);
		view->v[i] = (raw[i].v & ~(HPTE_V_HVLOCK | HPTE_V_ABSENT)) |
			     HPTE_V_VALID;
		view->r[i] = raw[i].gr & ~HPTE_GR_RESERVED;
	}
	if (rc_open)
		set_bit(bit, visit);
	if (view->changed)
		spread_changes(kvm, self, group, view->changed);
}
