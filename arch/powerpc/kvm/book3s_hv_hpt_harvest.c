// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: from marks, and from R and C that hardware has set, to the
 * readers' sets.
 */

#include <linux/kvm_host.h>
#include <linux/preempt.h>

#include "book3s_hv_hpt.h"

/* Read a doubleword that others may write */
static u64 hpte_dword(const __be64 *dword)
{
	/*
	 * Not by READ_ONCE(), with which the compiler does not use the
	 * byte-reversing load; barriers on both sides see to it that it is
	 * read once.
	 */
	return data_race(be64_to_cpup(dword));
}

/* R and C that hardware has set and the guest's view does not have yet */
static u64 hpte_new_rc(u64 v, u64 r, u64 gr)
{
	if (!(v & HPTE_V_VALID))
		return 0;
	return r & ~gr & (HPTE_R_R | HPTE_R_C);
}

/*
 * May hardware set R or C in an HPTE with this reverse map word so that the
 * guest's view changes? An absent HPTE counts as well as a valid one: it
 * becomes valid without a change of the guest's view.
 */
static bool hpte_rc_open(u64 gr)
{
	return !(gr & HPTE_R_R) ||
	       (!(gr & HPTE_R_C) && hpte_is_writable(gr));
}

/* Put an HPTE into a view, in the pre-v3.0 format without software bits */
static void set_view(struct kvm_hpt_view *view, int i, u64 v, u64 r, u64 gr)
{
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		v = hpte_new_to_old_v(v, r);
	view->v[i] = (v & ~(HPTE_V_HVLOCK | HPTE_V_ABSENT)) | HPTE_V_VALID;
	view->r[i] = gr & ~HPTE_GR_RESERVED;
}

/*
 * Read an HPTE with its lock held, fold new R and C into the guest's view and
 * clear the mark. Return whether hardware may change the guest's view of it.
 */
static bool harvest_hpte(__be64 *hptep, struct revmap_entry *rev, int i,
			 struct kvm_hpt_view *view)
{
	u64 v, r, gr, new_rc;

	preempt_disable();
	lock_hpte(hptep);
	v = hpte_dword(hptep) & ~HPTE_V_HVLOCK;
	r = hpte_dword(hptep + 1);
	gr = rev->guest_rpte;
	new_rc = hpte_new_rc(v, r, gr);
	if (new_rc || (gr & HPTE_GR_MODIFIED)) {
		view->changed |= BIT(i);
		gr = (gr | new_rc) & ~HPTE_GR_MODIFIED;
		WRITE_ONCE(rev->guest_rpte, gr);
	}
	unlock_hpte(hptep, v);
	preempt_enable();

	if (!hpte_valid(v)) {
		view->v[i] = 0;
		return false;
	}
	set_view(view, i, v, r, gr);
	return hpte_rc_open(gr);
}

/*
 * Read an HPTE without its lock, if nobody changes it meanwhile and it is not
 * marked and has no new R or C. Return as harvest_hpte().
 *
 * Whoever changes an HPTE's identity has it locked (dword 0 is different
 * then) before the reverse map word is written, and orders the two by
 * smp_wmb(). What changes otherwise after it was read here is marked after
 * that, in time for a later harvest.
 */
static bool read_hpte(__be64 *hptep, struct revmap_entry *rev, int i,
		      struct kvm_hpt_view *view)
{
	u64 v, r, gr;

	v = hpte_dword(hptep);
	if (!v && !(READ_ONCE(rev->guest_rpte) & HPTE_GR_MODIFIED)) {
		view->v[i] = 0;
		return false;
	}
	/* Pairs with smp_wmb() in kvmppc_hpt_enter() */
	smp_rmb();
	r = hpte_dword(hptep + 1);
	gr = READ_ONCE(rev->guest_rpte);
	/* Pairs with smp_wmb() in kvmppc_hpt_enter() */
	smp_rmb();
	if (hpte_dword(hptep) != v ||
	    READ_ONCE(rev->guest_rpte) != gr || !hpte_valid(v) ||
	    (v & HPTE_V_HVLOCK) || (gr & HPTE_GR_MODIFIED) ||
	    hpte_new_rc(v, r, gr))
		return harvest_hpte(hptep, rev, i, view);
	set_view(view, i, v, r, gr);
	return hpte_rc_open(gr);
}

/* Return a bit for each HPTE that is marked or that hardware may change */
static u8 look_at_marks(const __be64 *hptep, const struct revmap_entry *rev)
{
	u8 look = 0;
	u64 gr;
	int i;

	for (i = 0; i < HPTES_IN_GROUP; i++) {
		gr = READ_ONCE(rev[i].guest_rpte);
		if ((gr & (HPTE_GR_MODIFIED | HPTE_R_R | HPTE_R_C)) ==
		    (HPTE_R_R | HPTE_R_C))
			continue;
		if ((gr & HPTE_GR_MODIFIED) ||
		    (READ_ONCE(hptep[2 * i]) && hpte_rc_open(gr)))
			look |= BIT(i);
	}
	return look;
}

/**
 * kvmppc_hpt_read_clean() - read a group without locks, if that can be done
 * @info: the HPT
 * @group: index of the group
 * @bolted_only: HPTEs have to be bolted
 * @view: for use while reading, of no meaning afterwards
 * @out: where to put up to eight HPTEs, in the form in which they are streamed
 *
 * The short way of a first pass, for groups that are as they mostly are: some
 * HPTEs, or eight, and no more behind them.
 *
 * Context: kvm->arch.mmu_setup_lock held and an HPT present; does not sleep.
 * Return: the number of HPTEs in @out, all others are invalid. -1 if the group
 * is of another form, or if there is an HPTE in it that is locked or marked,
 * or that hardware can change.
 */
int kvmppc_hpt_read_clean(struct kvm_hpt_info *info, unsigned long group,
			  bool bolted_only, struct kvm_hpt_view *view,
			  __be64 *out)
{
	unsigned long index = group << HPT_GROUP_SHIFT;
	const struct revmap_entry *rev = &info->rev[index];
	const __be64 *hptep = kvmppc_hpte(info, index);
	bool v3 = cpu_has_feature(CPU_FTR_ARCH_300);
	u64 v, r, gr, any_v = 0, all_v = ~0ull, any_gr = 0, all_gr = ~0ull;
	u64 new_rc = 0, other = 0;
	int i, n;

	for (n = 0; n < HPTES_IN_GROUP; n++) {
		v = hpte_dword(&hptep[2 * n]);
		if (!hpte_valid(v))
			break;
		r = hpte_dword(&hptep[2 * n + 1]);
		gr = READ_ONCE(rev[n].guest_rpte);
		if (!(gr & HPTE_R_C) && hpte_is_writable(gr))
			return -1;
		view->v[n] = v;
		any_v |= v;
		all_v &= v;
		any_gr |= gr;
		all_gr &= gr;
		new_rc |= r & ~gr;
		if (v3)
			v = hpte_new_to_old_v(v, r);
		v = (v & ~HPTE_V_ABSENT) | HPTE_V_VALID;
		out[2 * n] = cpu_to_be64(v);
		out[2 * n + 1] = cpu_to_be64(gr);
	}
	for (i = n; i < HPTES_IN_GROUP; i++) {
		if (READ_ONCE(hptep[2 * i]))
			return -1;
		any_gr |= READ_ONCE(rev[i].guest_rpte);
	}
	if ((any_v & HPTE_V_HVLOCK) || (any_gr & HPTE_GR_MODIFIED) ||
	    !(all_gr & HPTE_R_R) || (new_rc & (HPTE_R_R | HPTE_R_C)) ||
	    (bolted_only && !(all_v & HPTE_V_BOLTED)))
		return -1;

	/* Pairs with smp_wmb() in kvmppc_hpt_enter() */
	smp_rmb();
	for (i = 0; i < n; i++) {
		other |= hpte_dword(&hptep[2 * i]) ^ view->v[i];
		other |= READ_ONCE(rev[i].guest_rpte) ^
			 be64_to_cpu(out[2 * i + 1]);
	}
	return other ? -1 : n;
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
				behind &= BIT(HPT_SLOT(reader->cursor)) - 1;
		}
		kvm_hpt_reader_add(reader, group, behind);
	}
	cond_resched();
}

/**
 * kvmppc_hpt_harvest() - take the marks off a group
 * @kvm: the VM
 * @self: the reader that does it
 * @group: index of the group
 * @want: HPTEs to read in any case, a bit each
 * @view: what those look like to the guest and what of the group has changed
 *	  since the last harvest; these are in the view too
 *
 * The changes are handed to all other readers that are past the group; it is
 * up to the caller what to do about @self.
 *
 * Context: kvm->arch.mmu_setup_lock held and an HPT present; may sleep.
 */
void kvmppc_hpt_harvest(struct kvm *kvm, struct kvm_hpt_reader *self,
			unsigned long group, u8 want, struct kvm_hpt_view *view)
{
	struct kvm_hpt_info *info = &kvm->arch.hpt;
	unsigned long *visit = info->groups->chunk[group >> HPT_CHUNK_SHIFT].visit;
	unsigned long bit = group & (HPT_CHUNK_GROUPS - 1);
	unsigned long index = group << HPT_GROUP_SHIFT;
	struct revmap_entry *rev = &info->rev[index];
	__be64 *hptep = kvmppc_hpte(info, index);
	bool rc_open = false;
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

	view->changed = 0;
	want |= look_at_marks(hptep, rev);
	while (want) {
		i = __ffs(want);
		want &= want - 1;
		rc_open |= read_hpte(hptep + 2 * i, rev + i, i, view);
	}
	if (rc_open)
		set_bit(bit, visit);
	if (view->changed && kvm->arch.hpt_nr_readers > 1)
		spread_changes(kvm, self, group, view->changed);
}
