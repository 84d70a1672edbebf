// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: passes over the HPT.
 *
 * A first pass reports every HPTE from the reader's cursor to the end of the
 * HPT. Later passes go round and round and report changes. A read ends at the
 * end of a pass if it has something to return, and returns 0 only after a full
 * circle without a change.
 */

#include <linux/kvm_host.h>
#include <linux/minmax.h>

#include "hpt.h"
#include "records.h"
#include "set.h"
#include "trace.h"

static bool kvm_hpt_encode_hpte(struct hpt_encoder *enc,
				const struct kvm_hpt_reader *reader,
				unsigned long index,
				const struct kvm_hpt_view *view)
{
	unsigned int slot = HPT_SLOT(index);

	if (kvm_hpt_shown(reader, view->v[slot]))
		return hpt_encode_valid(enc, index, view->v[slot],
					view->r[slot]);
	return hpt_encode_invalid(enc, index, 1);
}

/*
 * Encode a group from the reader's cursor on, with one call for a run of
 * invalid HPTEs. Return false if the buffer is full.
 */
static bool kvm_hpt_encode_group(struct hpt_encoder *enc,
				 struct kvm_hpt_reader *reader,
				 const struct kvm_hpt_view *view)
{
	unsigned long index = reader->cursor;
	unsigned int slot = HPT_SLOT(index), from = slot;

	index -= slot;
	for (; slot < HPT_GROUP_HPTES; slot++) {
		if (!kvm_hpt_shown(reader, view->v[slot]))
			continue;
		reader->cursor += hpt_encode_invalid(enc, index + from,
						     slot - from);
		if (reader->cursor != index + slot ||
		    !hpt_encode_valid(enc, index + slot, view->v[slot],
				      view->r[slot]))
			return false;
		reader->cursor++;
		from = slot + 1;
	}
	reader->cursor += hpt_encode_invalid(enc, index + from, slot - from);
	return reader->cursor == index + HPT_GROUP_HPTES;
}

/* The end of the HPT is reached, the next pass begins at the front */
static void kvm_hpt_end_pass(struct kvm *kvm, struct kvm_hpt_reader *reader)
{
	trace_kvm_hpt_pass_end(kvm, kvm_hpt_file_of(reader), reader->pass);
	atomic64_inc(&kvm->stat.hpt_passes);
	reader->pass++;
	reader->cursor = 0;
}

/* How many readers may have been handed a change by a harvest? */
static int kvm_hpt_handed_on(struct kvm *kvm, const struct kvm_hpt_view *view)
{
	return view->changed ? kvm->arch.hpt_nr_readers - 1 : 0;
}

/**
 * kvm_hpt_gather_first() - continue a first pass
 * @fd: the file
 * @g: where to put the records
 * @budget: how much to look at, see HPT_SCAN_SHIFT
 *
 * Context: kvm->arch.mmu_setup_lock and kvm_hpt_fd.lock held and an HPT
 * present; may sleep.
 * Return: true if the buffer is full, the pass is at its end, or the reader
 * began again; false if the budget was used up before that, or the caller
 * should wait for a grace period before an HPTE is read.
 */
bool kvm_hpt_gather_first(struct kvm_hpt_fd *fd, struct kvm_hpt_gather *g,
			  int budget)
{
	struct kvm_hpt_reader *reader = &fd->reader;
	struct kvm_hpt_view *view = &fd->view;
	struct kvm *kvm = fd->kvm;
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long nr_hptes = kvmppc_hpt_npte(info);
	bool all_marks = kvm->arch.hpt_marks == HPT_MARKS_ALL;
	unsigned long group, next, done;
	u8 before;

	while (reader->cursor < nr_hptes) {
		if (budget-- <= 0)
			return false;
		group = reader->cursor >> HPT_GROUP_SHIFT;
		if (!kvm_hpt_group_used(info, group)) {
			next = kvm_hpt_skip_unused(info, reader->cursor,
						   &budget);
			done = hpt_encode_invalid(&g->enc, reader->cursor,
						  next - reader->cursor);
			reader->cursor += done;
			if (reader->cursor < next)
				return true;
			continue;
		}

		if (kvm_hpte_there(kvm_hpte_at(info, reader->cursor)) &&
		    !hpt_encode_room(&g->enc, reader->cursor))
			return true;
		if (g->await)
			return false;
		if (all_marks && !reader->bolted_only) {
			done = kvm_hpt_gather_clean(fd, &g->enc, budget);
			budget -= done;
			if (done)
				continue;
		}
		kvm_hpt_harvest(kvm, reader, group, U8_MAX, view);
		budget -= kvm_hpt_handed_on(kvm, view);
		before = BIT(HPT_SLOT(reader->cursor)) - 1;
		kvm_hpt_reader_add(kvm, reader, group, view->changed & before);
		if (reader->restarts != g->restarts ||
		    !kvm_hpt_encode_group(&g->enc, reader, view))
			return true;
	}
	reader->first_pass = false;
	kvm_hpt_end_pass(kvm, reader);
	g->end = true;
	return true;
}

/* Inlined into kvm_hpt_gather_later(), which calls it for each change */
static __always_inline unsigned long
__kvm_hpt_next_change(struct kvm *kvm, struct kvm_hpt_reader *reader,
		      unsigned long group, unsigned long end, int *budget)
{
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long next, used;

	if (group >= end)
		return end;
	next = min(end, kvm_hpt_scan_end(info, group, *budget));
	next = min(next, hpt_set_next(&reader->changed, group));
	if (reader->left && reader->left_group >= group)
		next = min(next, reader->left_group);
	if (group < reader->unseen) {
		used = kvm_hpt_next_used(info, group,
					 min(next, reader->unseen));
		if (used < reader->unseen)
			next = min(next, used);
	}
	next = min(next, kvm_hpt_next_visit(info, group, next));
	*budget -= 1 + ((next - group) >> HPT_SCAN_SHIFT);
	return next;
}

/**
 * kvm_hpt_next_change() - find a group in which there may be a change to report
 * @kvm: the VM
 * @reader: the reader
 * @group: index of the first group to look at
 * @end: index of the group before which to end
 * @budget: how much to look at, see HPT_SCAN_SHIFT; the cost of the search and
 *	    of the look at the group is subtracted
 *
 * Scans the bitmaps last, and no further than to what was found before: a
 * reader that finds its changes in its own set scans them once in a pass.
 *
 * Context: kvm->arch.mmu_setup_lock held and an HPT present.
 * Return: its index; @end if there is none. If *@budget is negative then, index
 * of a group up to which there is none.
 */
unsigned long kvm_hpt_next_change(struct kvm *kvm,
				  struct kvm_hpt_reader *reader,
				  unsigned long group, unsigned long end,
				  int *budget)
{
	return __kvm_hpt_next_change(kvm, reader, group, end, budget);
}

/**
 * kvm_hpt_gather_later() - continue a later pass
 * @fd: the file
 * @g: where to put the records
 * @budget: how much to look at, see HPT_SCAN_SHIFT
 *
 * Context: as kvm_hpt_gather_first().
 * Return: as kvm_hpt_gather_first().
 */
bool kvm_hpt_gather_later(struct kvm_hpt_fd *fd, struct kvm_hpt_gather *g,
			  int budget)
{
	struct kvm_hpt_reader *reader = &fd->reader;
	struct kvm_hpt_view *view = &fd->view;
	struct kvm *kvm = fd->kvm;
	unsigned long nr_groups = kvmppc_hpt(kvm)->groups->nr;
	unsigned long group = reader->cursor >> HPT_GROUP_SHIFT;
	unsigned long end = g->wrapped ? g->start : nr_groups;
	unsigned long changed, index;

	for (;;) {
		group = __kvm_hpt_next_change(kvm, reader, group, end, &budget);
		if (group >= reader->unseen)
			reader->unseen = 0;
		if (group >= end) {
			if (!g->wrapped)
				kvm_hpt_end_pass(kvm, reader);
			reader->cursor = 0;
			g->end = g->enc.used || g->wrapped || !g->start;
			if (g->end)
				return true;
			g->wrapped = true;
			group = 0;
			end = g->start;
			continue;
		}
		reader->cursor = group << HPT_GROUP_SHIFT;
		if (budget < 0)
			return false;

		changed = hpt_set_take(&reader->changed, group);
		if (reader->left && reader->left_group == group) {
			changed |= reader->left;
			reader->left = 0;
		}
		/*
		 * A vcpu that saw no readers may have the lock of an HPTE at
		 * which no pass has looked: wait for it, as a first pass does.
		 */
		kvm_hpt_harvest(kvm, reader, group,
				group < reader->unseen ? U8_MAX : changed, view);
		budget -= kvm_hpt_handed_on(kvm, view);
		changed |= view->changed;
		while (changed) {
			index = (group << HPT_GROUP_SHIFT) + __ffs(changed);
			if (!kvm_hpt_encode_hpte(&g->enc, reader, index, view)) {
				reader->left_group = group;
				reader->left = changed;
				return true;
			}
			changed &= changed - 1;
		}
		reader->cursor = ++group << HPT_GROUP_SHIFT;
	}
}
