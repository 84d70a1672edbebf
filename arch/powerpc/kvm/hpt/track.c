// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: group bitmaps, the readers of a VM, and how both follow when
 * the HPT is zeroed, replaced or freed.
 *
 * Unless said otherwise, the functions run in process context with
 * kvm->arch.mmu_setup_lock held, or on an HPT that nothing else uses.
 */

#include <kunit/visibility.h>

#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/kvm_host.h>
#include <linux/math.h>
#include <linux/memcontrol.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <asm/kvm_ppc.h>

#include "hpt.h"
#include "set.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* Groups whose HPTEs are removed in one hold of mmu_setup_lock */
#define ZERO_GROUPS	4096

/* Blocks of a reader's set that are freed in one hold of mmu_setup_lock */
#define FORGET_BLOCKS	64

/* How often to look whether a grace period is over, and how long to sleep */
#define GP_POLLS	20
#define GP_POLL_US	20

static unsigned long kvm_hpt_chunk_groups(struct kvm_hpt_groups *groups,
					  unsigned long chunk)
{
	return min(groups->nr - (chunk << HPT_CHUNK_SHIFT), HPT_CHUNK_GROUPS);
}

static unsigned long kvm_hpt_nr_chunks(struct kvm_hpt_groups *groups)
{
	return DIV_ROUND_UP(groups->nr, HPT_CHUNK_GROUPS);
}

static unsigned long *kvm_hpt_alloc_bitmap(unsigned long bits)
{
	return kzalloc(BITS_TO_LONGS(bits) * sizeof(long),
		       GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
}

/*
 * A bitmap could not be allocated. If one of this size can be had that is not
 * charged to a memory cgroup, it was the charge that failed. This is for people to
 * read: memory may have become free meanwhile.
 */
static enum kvm_hpt_part kvm_hpt_missing(unsigned long bits)
{
	size_t size = BITS_TO_LONGS(bits) * sizeof(long);
	void *uncharged;

	if (mem_cgroup_disabled())
		return KVM_HPT_PART_BITMAPS;
	uncharged = kmalloc(size, GFP_NOWAIT | __GFP_NOWARN);
	if (!uncharged)
		return KVM_HPT_PART_BITMAPS;
	kfree(uncharged);
	return KVM_HPT_PART_CGROUP;
}

/**
 * kvmppc_hpt_alloc_groups() - allocate the bitmaps of a new HPT
 * @info: the HPT, with its order set and without groups; not in use yet
 *
 * Context: may sleep, no locks needed.
 * Return: 0, or -ENOMEM with the part that is missing in @info.
 */
int kvmppc_hpt_alloc_groups(struct kvm_hpt_info *info)
{
	unsigned long nr = kvmppc_hpt_npte(info) >> HPT_GROUP_SHIFT;
	struct kvm_hpt_groups *groups;
	unsigned long i;

	groups = kzalloc(struct_size(groups, chunk,
				     DIV_ROUND_UP(nr, HPT_CHUNK_GROUPS)),
			 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!groups)
		goto no_memory;
	groups->nr = nr;
	info->groups = groups;

	for (i = 0; i < kvm_hpt_nr_chunks(groups); i++) {
		struct kvm_hpt_group_chunk *chunk = &groups->chunk[i];

		chunk->used =
			kvm_hpt_alloc_bitmap(kvm_hpt_chunk_groups(groups, i));
		chunk->visit =
			kvm_hpt_alloc_bitmap(kvm_hpt_chunk_groups(groups, i));
		if (!chunk->used || !chunk->visit)
			goto no_memory;
		cond_resched();
	}
	return 0;

no_memory:
	info->part = kvm_hpt_missing(min(nr, HPT_CHUNK_GROUPS));
	kvmppc_hpt_free_groups(info);
	return -ENOMEM;
}
EXPORT_SYMBOL_IF_KUNIT(kvmppc_hpt_alloc_groups);

/**
 * kvmppc_hpt_free_groups() - free the bitmaps of an HPT
 * @info: the HPT, no longer in use; it may have none
 *
 * Context: may sleep.
 */
void kvmppc_hpt_free_groups(struct kvm_hpt_info *info)
{
	unsigned long i;

	if (!info->groups)
		return;
	for (i = 0; i < kvm_hpt_nr_chunks(info->groups); i++) {
		kfree(info->groups->chunk[i].used);
		kfree(info->groups->chunk[i].visit);
		cond_resched();
	}
	kfree(info->groups);
	info->groups = NULL;
}
EXPORT_SYMBOL_IF_KUNIT(kvmppc_hpt_free_groups);

/**
 * kvmppc_hpt_no_memory() - note that user space is refused an HPT
 * @kvm: the VM
 * @order: of the HPT
 * @part: what there was no memory for
 *
 * User space gets ENOMEM, and nothing is logged: it may try again and again.
 *
 * Context: process context, in a call that keeps the VM from being destroyed:
 * its name is in its directory in debugfs.
 */
void kvmppc_hpt_no_memory(struct kvm *kvm, u32 order, enum kvm_hpt_part part)
{
	might_sleep();
	atomic64_inc(&kvm->stat.hpt_no_memory);
	trace_kvm_hpt_no_memory(kvm, order, part);
}

/* The bits that are set in one of four words */
static inline unsigned long kvm_hpt_or_of_four(const unsigned long *map)
{
	return READ_ONCE(map[0]) | READ_ONCE(map[1]) | READ_ONCE(map[2]) |
	       READ_ONCE(map[3]);
}

/*
 * find_next_bit() for a bitmap that is mostly zeroes, eight words at a time,
 * since an idle pass only scans the bitmap. @nr is a multiple of the word size.
 * The bitmap may change concurrently.
 */
static inline unsigned long kvm_hpt_find_next_sparse(const unsigned long *map,
						     unsigned long nr,
						     unsigned long bit)
{
	const unsigned long *p = map + bit / BITS_PER_LONG;
	const unsigned long *end = map + nr / BITS_PER_LONG;
	unsigned long word = READ_ONCE(*p) & BITMAP_FIRST_WORD_MASK(bit);

	if (word)
		goto found;
	for (p++; p + 8 <= end; p += 8)
		if (kvm_hpt_or_of_four(p) | kvm_hpt_or_of_four(p + 4))
			break;
	for (; p < end; p++) {
		word = READ_ONCE(*p);
		if (word)
			goto found;
	}
	return nr;

found:
	return (p - map) * BITS_PER_LONG + __ffs(word);
}

/*
 * Find the next group whose bit is set in one of the bitmaps, up to @end rounded
 * up to a whole word.
 */
static __always_inline unsigned long
kvm_hpt_next_group(struct kvm_hpt_groups *groups, bool visit,
		   unsigned long group, unsigned long end)
{
	struct kvm_hpt_group_chunk *chunk;
	unsigned long first, bit, nr, *map;

	end = round_up(end, BITS_PER_LONG);
	while (group < end) {
		chunk = &groups->chunk[group >> HPT_CHUNK_SHIFT];
		map = visit ? chunk->visit : chunk->used;
		first = round_down(group, HPT_CHUNK_GROUPS);
		nr = min(end - first, HPT_CHUNK_GROUPS);
		bit = kvm_hpt_find_next_sparse(map, nr, group - first);
		group = first + bit;
		if (bit < nr)
			break;
	}
	return group;
}

/**
 * kvm_hpt_next_used() - find the next group that has ever held an HPTE
 * @info: the HPT
 * @group: index of the first group to look at
 * @end: index of the group before which to end; it is rounded up
 *
 * Return: its index, or @end or more if there is none.
 */
unsigned long kvm_hpt_next_used(struct kvm_hpt_info *info, unsigned long group,
				unsigned long end)
{
	return kvm_hpt_next_group(info->groups, false, group, end);
}
EXPORT_SYMBOL_IF_KUNIT(kvm_hpt_next_used);

/**
 * kvm_hpt_skip_unused() - skip groups that have never held an HPTE
 * @info: the HPT
 * @index: index of the HPTE to begin at
 * @budget: how much to look at, see HPT_SCAN_SHIFT; what it took is subtracted
 *
 * Return: @index if its group is used, at this moment and whatever it was
 * before, else index of the first HPTE of a group up to which none is used, or
 * the number of HPTEs.
 */
unsigned long kvm_hpt_skip_unused(struct kvm_hpt_info *info,
				  unsigned long index, int *budget)
{
	unsigned long from = index >> HPT_GROUP_SHIFT, group;

	group = kvm_hpt_next_used(info, from,
				  kvm_hpt_scan_end(info, from, *budget));
	*budget -= (group - from) >> HPT_SCAN_SHIFT;
	return max(index, group << HPT_GROUP_SHIFT);
}
EXPORT_SYMBOL_IF_KUNIT(kvm_hpt_skip_unused);

/**
 * kvmppc_hpt_skip_unused() - as kvm_hpt_skip_unused(), for the rest of KVM
 * @kvm: the VM, with an HPT
 * @index: index of the HPTE to begin at
 * @budget: how much to look at; see there
 *
 * Return: @index, or index of the first HPTE of a group up to which all are empty.
 */
unsigned long kvmppc_hpt_skip_unused(struct kvm *kvm, unsigned long index,
				     int *budget)
{
	return kvm_hpt_skip_unused(kvmppc_hpt(kvm), index, budget);
}

/**
 * kvm_hpt_next_visit() - find the next group that a pass has to visit
 * @info: the HPT
 * @group: index of the first group to look at
 * @end: index of the group before which to end; it is rounded up
 *
 * Return: its index, or @end or more if there is none.
 */
unsigned long kvm_hpt_next_visit(struct kvm_hpt_info *info, unsigned long group,
				 unsigned long end)
{
	return kvm_hpt_next_group(info->groups, true, group, end);
}
EXPORT_SYMBOL_IF_KUNIT(kvm_hpt_next_visit);

/**
 * kvm_hpt_nr_used() - count groups that have ever held an HPTE
 * @info: the HPT
 * @group: index of the first to count; becomes that of the one to go on with
 * @budget: how much to look at, see HPT_SCAN_SHIFT; what it took is subtracted
 *
 * Context: may sleep.
 * Return: how many.
 */
unsigned long kvm_hpt_nr_used(struct kvm_hpt_info *info, unsigned long *group,
			      int *budget)
{
	struct kvm_hpt_groups *groups = info->groups;
	unsigned long first, end, n = 0, i;
	unsigned int all, skipped;

	while (*group < groups->nr && *budget > 0) {
		i = *group >> HPT_CHUNK_SHIFT;
		first = *group & (HPT_CHUNK_GROUPS - 1);
		end = kvm_hpt_chunk_groups(groups, i);
		all = bitmap_weight(groups->chunk[i].used, end);
		skipped = bitmap_weight(groups->chunk[i].used, first);
		/* A vcpu may set a bit between the two counts */
		n += all - min(all, skipped);
		*group += end - first;
		*budget -= 1 + (end >> HPT_SCAN_SHIFT);
		cond_resched();
	}
	return n;
}
EXPORT_SYMBOL_IF_KUNIT(kvm_hpt_nr_used);

/**
 * kvm_hpt_wake() - wake up the tasks that poll a reader of the VM
 * @kvm: the VM
 * @stale: readers have become stale, which also wakes up tasks that poll for
 *	   no event but the implied EPOLLERR
 */
void kvm_hpt_wake(struct kvm *kvm, bool stale)
{
	__poll_t events = EPOLLIN | EPOLLRDNORM | (stale ? EPOLLERR : 0);

	/* Exclusive waiters as well: each may poll another reader */
	__wake_up(&kvm->arch.hpt_wait, TASK_INTERRUPTIBLE, 0,
		  poll_to_key(events));
}

static void kvm_hpt_reader_forget(struct kvm_hpt_reader *reader)
{
	reader->changed_void = !hpt_set_empty(&reader->changed);
	reader->left = 0;
	reader->restarts++;
}

/**
 * kvm_hpt_reader_ready() - free some of what a reader has to forget
 * @reader: the reader
 *
 * The set of a reader can be large. So the hold of mmu_setup_lock in which the
 * reader restarts or becomes stale does not free it, but the reader's next reads
 * do, or its close.
 *
 * Return: true if all of it is freed, and the reader can go on.
 */
bool kvm_hpt_reader_ready(struct kvm_hpt_reader *reader)
{
	if (reader->changed_void)
		reader->changed_void =
			!hpt_set_clear_some(&reader->changed, FORGET_BLOCKS);
	return !reader->changed_void;
}

/**
 * kvm_hpt_reader_attach() - begin a first pass over the VM's present HPT
 * @reader: the reader
 * @start_index: index of the HPTE to begin at
 */
void kvm_hpt_reader_attach(struct kvm_hpt_reader *reader, u64 start_index)
{
	kvm_hpt_reader_forget(reader);
	reader->state = HPT_READER_ATTACHED;
	reader->first_pass = true;
	reader->pass = 1;
	reader->cursor = start_index;
	/* The pass does not look at its first group before @start_index */
	reader->unseen = DIV_ROUND_UP(start_index, HPT_GROUP_HPTES);
}

/**
 * kvm_hpt_reader_restart() - begin again with a first pass from index 0
 * @kvm: the VM
 * @reader: the reader, attached
 */
void kvm_hpt_reader_restart(struct kvm *kvm, struct kvm_hpt_reader *reader)
{
	trace_kvm_hpt_invalidate(kvm, kvm_hpt_file_of(reader), reader->pass,
				 reader->cursor, false);
	kvm_hpt_reader_attach(reader, 0);
}

/* Make a reader stale, if it has an HPT */
static void kvm_hpt_reader_retire(struct kvm *kvm, struct kvm_hpt_reader *reader)
{
	if (reader->state != HPT_READER_ATTACHED)
		return;
	trace_kvm_hpt_invalidate(kvm, kvm_hpt_file_of(reader), reader->pass,
				 reader->cursor, true);
	kvm_hpt_reader_forget(reader);
	reader->state = HPT_READER_STALE;
}

/**
 * kvm_hpt_reader_lost() - note that records of a reader are lost
 * @kvm: the VM
 * @reader: the reader; it becomes stale
 *
 * Context: takes mmu_setup_lock, may sleep.
 */
void kvm_hpt_reader_lost(struct kvm *kvm, struct kvm_hpt_reader *reader)
{
	mutex_lock(&kvm->arch.mmu_setup_lock);
	kvm_hpt_reader_retire(kvm, reader);
	kvm_hpt_wake(kvm, true);
	mutex_unlock(&kvm->arch.mmu_setup_lock);
}

/**
 * kvm_hpt_reader_add() - hand changes to a reader
 * @kvm: the VM
 * @reader: the reader
 * @group: the group they are in
 * @changed: the HPTEs, a bit each; all of them are behind its cursor
 *
 * If there is no memory to store them, the reader restarts: it reports everything
 * once more, and loses nothing.
 *
 * Context: may sleep.
 */
void kvm_hpt_reader_add(struct kvm *kvm, struct kvm_hpt_reader *reader,
			unsigned long group, u8 changed)
{
	if (changed && hpt_set_add(&reader->changed, group, changed))
		kvm_hpt_reader_restart(kvm, reader);
}

/**
 * kvm_hpt_reader_open() - register a reader
 * @kvm: the VM
 * @reader: the reader
 * @start_index: index of the HPTE at which its first pass begins
 *
 * CPUs that see the reader mark their changes, see kvm_hpt_want_all_marks().
 *
 * Context: takes mmu_setup_lock, may sleep.
 * Return: 0, -EINVAL if there is an HPT and @start_index is not in it, or
 * -EINTR if killed.
 */
int kvm_hpt_reader_open(struct kvm *kvm, struct kvm_hpt_reader *reader,
			u64 start_index)
{
	int err = 0;

	hpt_set_init(&reader->changed);
	if (mutex_lock_killable(&kvm->arch.mmu_setup_lock))
		return -EINTR;
	/* If a new one is just being allocated, that is the one to read */
	if (!kvm_hpt_present(kvm)) {
		mutex_unlock(&kvm->arch.mmu_setup_lock);
		if (kvmppc_hpt_lock(kvm))
			return -EINTR;
	}
	if (kvm_hpt_present(kvm)) {
		if (start_index >= kvmppc_hpt_npte(kvmppc_hpt(kvm))) {
			err = -EINVAL;
			goto out;
		}
		kvm_hpt_reader_attach(reader, start_index);
	}
	list_add_tail(&reader->node, &kvm->arch.hpt_readers);
	WRITE_ONCE(kvm->arch.hpt_nr_readers, kvm->arch.hpt_nr_readers + 1);
	/*
	 * Pairs with smp_mb() in kvmppc_hpt_enter(): either an HPTE that is
	 * entered in a slot that was never used is marked, or the reader sees
	 * that the group is used.
	 */
	smp_mb();
out:
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	return err;
}

/**
 * kvm_hpt_reader_close() - unregister a reader
 * @kvm: the VM
 * @reader: the reader
 *
 * Context: takes mmu_setup_lock.
 */
void kvm_hpt_reader_close(struct kvm *kvm, struct kvm_hpt_reader *reader)
{
	mutex_lock(&kvm->arch.mmu_setup_lock);
	list_del(&reader->node);
	WRITE_ONCE(kvm->arch.hpt_nr_readers, kvm->arch.hpt_nr_readers - 1);
	if (!kvm->arch.hpt_nr_readers)
		kvm->arch.hpt_marks = HPT_MARKS_SOME;
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	hpt_set_clear(&reader->changed);
}

/*
 * Begin a grace period. A reader that waits for an earlier one may wait for this
 * one instead.
 */
static unsigned long kvm_hpt_begin_gp(struct kvm *kvm)
{
	unsigned long gp = start_poll_synchronize_srcu(&kvm->srcu);

	WRITE_ONCE(kvm->arch.hpt_gp, gp);
	kvm->arch.hpt_gp_begun = true;
	return gp;
}

/**
 * kvm_hpt_want_all_marks() - are all changes marked?
 * @kvm: the VM, with a reader
 *
 * A CPU that saw no readers may still change an HPTE without marking it. After
 * a grace period none can. Until then an HPTE has to be locked to be read: its
 * lock orders the reader after such a CPU, and the reader's registration before
 * the CPUs that take the lock later. The first call starts the grace period;
 * none waits for it, since a vcpu can stay in a read section for as long as a
 * page fault takes.
 *
 * Context: mmu_setup_lock held; does not sleep.
 * Return: whether the grace period has passed.
 */
bool kvm_hpt_want_all_marks(struct kvm *kvm)
{
	struct kvm_arch *arch = &kvm->arch;

	if (arch->hpt_marks == HPT_MARKS_SOME) {
		kvm_hpt_begin_gp(kvm);
		arch->hpt_marks = HPT_MARKS_ASKED;
	}
	if (arch->hpt_marks == HPT_MARKS_ASKED &&
	    poll_state_synchronize_srcu(&kvm->srcu, arch->hpt_gp))
		arch->hpt_marks = HPT_MARKS_ALL;
	return arch->hpt_marks == HPT_MARKS_ALL;
}

/**
 * kvm_hpt_await_gp() - wait a moment for a grace period
 * @kvm: the VM
 * @gp: what kvm_hpt_begin_gp() returned, or has put into kvm->arch.hpt_gp
 *
 * Context: sleeps, for some GP_POLLS * GP_POLL_US at most.
 * Return: whether it has ended, as it usually does in that time.
 */
bool kvm_hpt_await_gp(struct kvm *kvm, unsigned long gp)
{
	int i;

	for (i = 0; i < GP_POLLS; i++) {
		if (poll_state_synchronize_srcu(&kvm->srcu, gp))
			return true;
		usleep_range(GP_POLL_US, 2 * GP_POLL_US);
	}
	return false;
}

/* Remove the HPTEs of a group, which then counts as never used */
static void kvm_hpt_zero_group(struct kvm_hpt_info *info, unsigned long group)
{
	struct kvm_hpt_group_chunk *chunk =
		&info->groups->chunk[group >> HPT_CHUNK_SHIFT];
	unsigned long index = group << HPT_GROUP_SHIFT, i;

	memset(kvm_hpte_at(info, index), 0,
	       HPT_GROUP_HPTES * sizeof(struct hash_pte));
	for (i = 0; i < HPT_GROUP_HPTES; i++)
		info->rev[index + i].guest_rpte = 0;
	/* Nothing else changes these bitmaps meanwhile */
	__clear_bit(group & (HPT_CHUNK_GROUPS - 1), chunk->used);
	__clear_bit(group & (HPT_CHUNK_GROUPS - 1), chunk->visit);
}

/*
 * Remove the HPTEs from @index on, as many as one hold of mmu_setup_lock allows.
 * Return the index to go on with.
 */
static unsigned long kvm_hpt_zero_some(struct kvm_hpt_info *info,
				       unsigned long index)
{
	int budget = ZERO_GROUPS;

	while (budget > 0 && index < kvmppc_hpt_npte(info)) {
		if (kvm_hpt_group_used(info, index >> HPT_GROUP_SHIFT)) {
			kvm_hpt_zero_group(info, index >> HPT_GROUP_SHIFT);
			index += HPT_GROUP_HPTES;
			budget--;
		} else {
			index = kvm_hpt_skip_unused(info, index, &budget);
		}
		cond_resched();
	}
	return index;
}

/*
 * HPTEs from @index on were removed by a reset, as those before it were: restart
 * all readers at index 0 that are past @index, or all if it is 0. The others have
 * reported nothing that was removed.
 */
static void kvm_hpt_restart_readers(struct kvm *kvm, unsigned long index)
{
	struct kvm_hpt_reader *reader;

	list_for_each_entry(reader, &kvm->arch.hpt_readers, node) {
		if (reader->state == HPT_READER_ATTACHED &&
		    (!index || !reader->first_pass || reader->cursor > index))
			kvm_hpt_reader_restart(kvm, reader);
		cond_resched();
	}
	kvm_hpt_wake(kvm, false);
}

static int kvm_hpt_free_nested(struct kvm *kvm)
{
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	kvmhv_release_all_nested(kvm);
	return mutex_lock_killable(&kvm->arch.mmu_setup_lock);
}

static int kvm_hpt_empty_chains(struct kvm *kvm)
{
	/* Vcpus flush their TLB and forget emulated MMIO before they run again */
	cpumask_setall(&kvm->arch.need_tlb_flush);
	atomic64_inc(&kvm->arch.mmio_update);

	mutex_unlock(&kvm->arch.mmu_setup_lock);
	if (kvmppc_rmap_empty(kvm))
		return -EINTR;
	return mutex_lock_killable(&kvm->arch.mmu_setup_lock);
}

/*
 * An ioctl of the VM, or of one of its devices, may sleep in a read section of
 * kvm->srcu for as long as user space likes.
 */
static int kvm_hpt_await_walkers(struct kvm *kvm)
{
	unsigned long gp = kvm_hpt_begin_gp(kvm);

	mutex_unlock(&kvm->arch.mmu_setup_lock);
	while (!kvm_hpt_await_gp(kvm, gp)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		schedule_timeout_killable(1);
	}
	return mutex_lock_killable(&kvm->arch.mmu_setup_lock);
}

/* Remove all HPTEs. Readers restart at index 0: what they have reported is wrong. */
static int kvm_hpt_remove_hptes(struct kvm *kvm)
{
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long index = 0, next;

	if (!kvm_hpt_present(kvm))
		return 0;
	for (;;) {
		next = kvm_hpt_zero_some(info, index);
		kvm_hpt_restart_readers(kvm, index);
		if (next >= kvmppc_hpt_npte(info))
			return 0;
		index = next;
		if (!kvm_hpt_relock(kvm))
			return -EINTR;
	}
}

static int kvm_hpt_free_old(struct kvm *kvm)
{
	struct kvm_hpt_info old;

	if (kvm_is_radix(kvm)) {
		old = kvm->arch.hpt;
		memset(&kvm->arch.hpt, 0, sizeof(kvm->arch.hpt));
		mutex_unlock(&kvm->arch.mmu_setup_lock);
		kvmppc_free_hpt(&old);
	} else {
		mutex_unlock(&kvm->arch.mmu_setup_lock);
		kvmppc_free_radix(kvm);
	}
	return mutex_lock_killable(&kvm->arch.mmu_setup_lock);
}

/**
 * kvmppc_hpt_finish() - do what is left to do of a long change
 * @kvm: the VM
 * @steps: which steps to do, if they are in kvm->arch.hpt_todo
 *
 * A step that has been done is removed from hpt_todo. If the caller is killed,
 * the next kvmppc_hpt_lock() does the rest, and no vcpu runs before. So hpt_todo
 * has each step from when it becomes necessary until it has been done.
 *
 * Context: hpt_write_lock and mmu_setup_lock held, mmu_ready 0, no vcpu running.
 * Drops mmu_setup_lock now and then. May sleep.
 * Return: 0, or -EINTR if killed: mmu_setup_lock is not held then.
 */
int kvmppc_hpt_finish(struct kvm *kvm, u8 steps)
{
	static const struct {
		u8 step;
		int (*do_it)(struct kvm *kvm);
	} order[] = {
		{ KVM_HPT_FREE_NESTED, kvm_hpt_free_nested },
		{ KVM_HPT_EMPTY_CHAINS, kvm_hpt_empty_chains },
		{ KVM_HPT_AWAIT_WALKERS, kvm_hpt_await_walkers },
		{ KVM_HPT_REMOVE_HPTES, kvm_hpt_remove_hptes },
		{ KVM_HPT_FREE_OLD, kvm_hpt_free_old },
	};
	unsigned int i;

	lockdep_assert_held(&kvm->arch.hpt_write_lock);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		if (!(kvm->arch.hpt_todo & steps & order[i].step))
			continue;
		if (order[i].do_it(kvm))
			return -EINTR;
		kvm->arch.hpt_todo &= ~order[i].step;
	}
	return 0;
}

/**
 * kvmppc_hpt_reset() - remove every HPTE from the VM's HPT
 * @kvm: the VM
 *
 * Clears only used groups.
 *
 * Context: as kvmppc_hpt_finish().
 * Return: as kvmppc_hpt_finish().
 */
int kvmppc_hpt_reset(struct kvm *kvm)
{
	kvm->arch.hpt_todo |= KVM_HPT_RESET;
	return kvmppc_hpt_finish(kvm, KVM_HPT_RESET);
}

/**
 * kvmppc_hpt_lock_long() - keep others from changing the HPT for a long time
 * @kvm: the VM
 *
 * Afterwards the caller may drop mmu_setup_lock now and then, with mmu_ready 0,
 * while it holds hpt_write_lock. Readers go on in these moments; for all others
 * see kvmppc_hpt_lock().
 *
 * Context: may sleep, takes hpt_write_lock and mmu_setup_lock.
 * Return: 0, or -EINTR if killed: no lock is held then.
 */
int kvmppc_hpt_lock_long(struct kvm *kvm)
{
	struct kvm_arch *arch = &kvm->arch;

	if (mutex_lock_killable(&arch->hpt_write_lock))
		return -EINTR;
	if (mutex_lock_killable(&arch->mmu_setup_lock))
		goto killed;
	if (kvmppc_hpt_finish(kvm, KVM_HPT_ALL))
		goto killed;
	return 0;

killed:
	mutex_unlock(&arch->hpt_write_lock);
	return -EINTR;
}

/**
 * kvmppc_hpt_retire() - prepare to replace or free the VM's HPT
 * @kvm: the VM
 *
 * Makes its readers stale. The HPT can be freed after a grace period of
 * kvm->srcu that begins when the chains of the reverse map are empty.
 *
 * Context: mmu_setup_lock held, mmu_ready 0, and no vcpu uses the HPT.
 */
void kvmppc_hpt_retire(struct kvm *kvm)
{
	struct kvm_hpt_reader *reader;

	lockdep_assert_held(&kvm->arch.mmu_setup_lock);
	list_for_each_entry(reader, &kvm->arch.hpt_readers, node) {
		kvm_hpt_reader_retire(kvm, reader);
		cond_resched();
	}
	kvm->arch.hpt_todo &= ~KVM_HPT_REMOVE_HPTES;
	kvm->arch.hpt_poll_pos = 0;
	kvm_hpt_wake(kvm, true);
}

/**
 * kvmppc_hpt_rehashed() - track an HPTE that a resize has put into a new HPT
 * @info: the new HPT, not in use yet
 * @index: index of the HPTE in it
 * @guest_rpte: the HPTE's reverse map word in the old HPT
 *
 * The new HPT has no readers, so no marks.
 */
void kvmppc_hpt_rehashed(struct kvm_hpt_info *info, unsigned long index,
			 unsigned long guest_rpte)
{
	info->rev[index].guest_rpte = guest_rpte & ~HPTE_GR_RESERVED;
	kvmppc_hpt_use(info, index);
}
