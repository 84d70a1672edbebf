// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: passes over the HPT, and the copy to user space.
 *
 * A first pass reports every HPTE from the reader's cursor to the end of the
 * HPT. Later passes go round and round and report what has changed; a read
 * ends at the end of a pass if it has something to return, and has nothing to
 * return only after a full circle without a change.
 *
 * Records are gathered in a kernel buffer with mmu_setup_lock held, for a
 * bounded number of groups at a time, and are copied with only the file's own
 * lock held: the copy may sleep for as long as user space likes.
 */

#include <linux/kvm_host.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uio.h>

#include "book3s_hv_hpt.h"
#include "book3s_hv_hpt_records.h"
#include "book3s_hv_hpt_set.h"

/* Bytes gathered before they are copied */
#define GATHER_BYTES	SZ_64K

/* Groups looked at before mmu_setup_lock is given up for a moment */
#define GATHER_GROUPS	4096

/**
 * struct gather - records on their way into a buffer
 * @enc: the buffer
 * @first_pass: the records are of a first pass
 * @begun: set once the reader was looked at
 * @restarts: the reader's, to notice that it began again
 * @start: group at which a later pass was taken up
 * @wrapped: the later pass has come to the end and begun again
 * @end: a pass has ended, nothing more goes into the buffer
 */
struct gather {
	struct hpt_encoder enc;
	bool first_pass;
	bool begun;
	unsigned long restarts;
	unsigned long start;
	bool wrapped;
	bool end;
};

/* Does the reader take this for a valid HPTE? */
static bool hpte_shown(const struct kvm_hpt_reader *reader, u64 v)
{
	return v && (!reader->bolted_only || (v & HPTE_V_BOLTED));
}

static bool encode_hpte(struct hpt_encoder *enc,
			const struct kvm_hpt_reader *reader,
			unsigned long index, const struct kvm_hpt_view *view)
{
	unsigned int slot = HPT_SLOT(index);

	if (hpte_shown(reader, view->v[slot]))
		return hpt_encode_valid(enc, index, view->v[slot],
					view->r[slot]);
	return hpt_encode_invalid(enc, index, 1);
}

/*
 * Encode a group from the reader's cursor on, with one call for a run of
 * invalid HPTEs. Return false if the buffer is full.
 */
static bool encode_group(struct hpt_encoder *enc, struct kvm_hpt_reader *reader,
			 const struct kvm_hpt_view *view)
{
	unsigned long index = reader->cursor;
	unsigned int slot = HPT_SLOT(index), from = slot;

	index -= slot;
	for (; slot < HPTES_IN_GROUP; slot++) {
		if (!hpte_shown(reader, view->v[slot]))
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
	return reader->cursor == index + HPTES_IN_GROUP;
}

/*
 * Go on with a first pass. Return true when the buffer is full or the pass is
 * at its end, false when @budget groups were looked at before that.
 */
static bool gather_first(struct kvm_hpt_fd *fd, struct gather *g, int budget)
{
	struct kvm_hpt_reader *reader = &fd->reader;
	struct kvm_hpt_view *view = &fd->view;
	struct kvm *kvm = fd->kvm;
	struct kvm_hpt_info *info = &kvm->arch.hpt;
	unsigned long nr_hptes = kvmppc_hpt_npte(info);
	unsigned long group, next, done;
	u8 before;

	while (reader->cursor < nr_hptes) {
		if (!budget--)
			return false;
		group = reader->cursor >> HPT_GROUP_SHIFT;
		if (!kvmppc_hpt_group_used(info, group)) {
			next = kvmppc_hpt_next_used(info, group);
			next <<= HPT_GROUP_SHIFT;
			done = hpt_encode_invalid(&g->enc, reader->cursor,
						  next - reader->cursor);
			reader->cursor += done;
			if (reader->cursor < next)
				return true;
			continue;
		}

		kvmppc_hpt_harvest(kvm, reader, group, U8_MAX, view);
		before = BIT(HPT_SLOT(reader->cursor)) - 1;
		kvm_hpt_reader_add(reader, group, view->changed & before);
		if (reader->restarts != g->restarts ||
		    !encode_group(&g->enc, reader, view))
			return true;
	}
	reader->first_pass = false;
	reader->cursor = 0;
	g->end = true;
	return true;
}

/* The next group from @group on in which there may be a change to report */
static unsigned long next_change(struct kvm *kvm, struct kvm_hpt_reader *reader,
				 unsigned long group)
{
	unsigned long next;

	next = min(kvmppc_hpt_next_visit(&kvm->arch.hpt, group),
		   hpt_set_next(&reader->changed, group));
	if (reader->left && reader->left_group >= group)
		next = min(next, reader->left_group);
	if (group < reader->unseen)
		next = min(next, kvmppc_hpt_next_used(&kvm->arch.hpt, group));
	return next;
}

/* As gather_first(), for a later pass */
static bool gather_later(struct kvm_hpt_fd *fd, struct gather *g, int budget)
{
	struct kvm_hpt_reader *reader = &fd->reader;
	struct kvm_hpt_view *view = &fd->view;
	struct kvm *kvm = fd->kvm;
	unsigned long nr_groups = kvm->arch.hpt.groups->nr;
	unsigned long group = reader->cursor >> HPT_GROUP_SHIFT;
	unsigned long slot;
	u8 changed;

	for (;;) {
		group = next_change(kvm, reader, group);
		if (group >= reader->unseen)
			reader->unseen = 0;
		if (group >= nr_groups || (g->wrapped && group > g->start)) {
			reader->cursor = 0;
			g->end = g->enc.used || g->wrapped;
			if (g->end)
				return true;
			g->wrapped = true;
			group = 0;
			continue;
		}
		reader->cursor = group << HPT_GROUP_SHIFT;
		if (!budget--)
			return false;

		changed = hpt_set_take(&reader->changed, group);
		if (reader->left && reader->left_group == group) {
			changed |= reader->left;
			reader->left = 0;
		}
		kvmppc_hpt_harvest(kvm, reader, group, changed, view);
		changed |= view->changed;
		while (changed) {
			slot = __ffs(changed);
			if (!encode_hpte(&g->enc, reader,
					 reader->cursor + slot, view)) {
				reader->left_group = group;
				reader->left = changed;
				return true;
			}
			changed &= changed - 1;
		}
		reader->cursor = ++group << HPT_GROUP_SHIFT;
	}
}

/*
 * Gather records for a while with mmu_setup_lock held.
 *
 * Return: 1 if there is more to do before @g can be copied, 0 if not,
 * -ESTALE or -EINTR.
 */
static int gather_some(struct kvm_hpt_fd *fd, struct gather *g)
{
	struct kvm_hpt_reader *reader = &fd->reader;
	struct kvm *kvm = fd->kvm;
	int ret = 0;
	bool done;

	if (mutex_lock_killable(&kvm->arch.mmu_setup_lock))
		return -EINTR;
	if (reader->state == HPT_READER_STALE) {
		ret = -ESTALE;
		goto out;
	}
	if (!kvmppc_hpt_present(kvm))
		goto out;
	if (reader->state == HPT_READER_NONE)
		kvm_hpt_reader_attach(reader, 0);

	/* What was gathered before a restart is still true, but ends here */
	if (g->enc.used && g->restarts != reader->restarts)
		goto out;
	if (!g->enc.used && (!g->begun || g->restarts != reader->restarts)) {
		g->begun = true;
		g->restarts = reader->restarts;
		g->first_pass = reader->first_pass;
		g->start = reader->cursor >> HPT_GROUP_SHIFT;
		g->wrapped = false;
	}
	if (g->first_pass)
		done = gather_first(fd, g, GATHER_GROUPS);
	else
		done = gather_later(fd, g, GATHER_GROUPS);
	ret = !done || (!g->enc.used && g->restarts != reader->restarts);
out:
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	return ret;
}

/* Fill the buffer. Return 0 or an error if there is nothing to copy. */
static int gather(struct kvm_hpt_fd *fd, struct gather *g)
{
	int ret;

	do {
		ret = gather_some(fd, g);
		cond_resched();
		if (ret > 0 && fatal_signal_pending(current))
			ret = -EINTR;
	} while (ret > 0);
	return g->enc.used ? 0 : ret;
}

/* Mark what is in a record as changed, for this reader */
static void report_again(struct kvm_hpt_reader *reader,
			 const struct kvm_get_htab_header *hdr)
{
	unsigned long index = hdr->index;
	unsigned long end = index + hdr->n_valid + hdr->n_invalid;
	unsigned long restarts = reader->restarts;

	for (; index < end && reader->restarts == restarts; index++)
		kvm_hpt_reader_add(reader, index >> HPT_GROUP_SHIFT,
				   1 << HPT_SLOT(index));
}

/*
 * The records from byte @pos on did not get to user space: go back, so that
 * the next read reports what they held.
 */
static void undeliver(struct kvm_hpt_fd *fd, const struct gather *g, size_t pos)
{
	struct kvm_hpt_reader *reader = &fd->reader;
	const struct kvm_get_htab_header *hdr = g->enc.buf + pos;

	mutex_lock(&fd->kvm->arch.mmu_setup_lock);
	if (g->first_pass && reader->restarts == g->restarts) {
		reader->first_pass = true;
		reader->cursor = hdr->index;
	}
	while (!g->first_pass && reader->restarts == g->restarts &&
	       pos < g->enc.used) {
		hdr = g->enc.buf + pos;
		report_again(reader, hdr);
		pos += sizeof(*hdr) + hdr->n_valid * HPT_STREAM_HPTE;
	}
	mutex_unlock(&fd->kvm->arch.mmu_setup_lock);
}

/*
 * Copy what was gathered. Return the number of bytes user space has got, in
 * whole records.
 */
static size_t deliver(struct kvm_hpt_fd *fd, const struct gather *g,
		      struct iov_iter *to)
{
	size_t copied = copy_to_iter(g->enc.buf, g->enc.used, to);
	size_t whole = hpt_whole_records(g->enc.buf, copied);

	if (whole < g->enc.used) {
		iov_iter_revert(to, copied - whole);
		undeliver(fd, g, whole);
	}
	return whole;
}

/**
 * kvm_hpt_read_iter() - read the HPT as the guest sees it
 * @iocb: the read
 * @to: where to, HPT_RECORD_MIN bytes at least
 *
 * Context: may sleep, takes kvm_hpt_fd.lock.
 * Return: bytes of whole records; 0 if nothing has changed, or the VM has no
 * HPT; -EINVAL if the buffer is too small, -ESTALE if the HPT that was being
 * read is gone, -EFAULT, -ENOMEM, or -EINTR if killed.
 */
ssize_t kvm_hpt_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct kvm_hpt_fd *fd = iocb->ki_filp->private_data;
	size_t total = 0, size, whole;
	struct gather g;
	int err;

	if (!iov_iter_count(to))
		return 0;
	if (iov_iter_count(to) < HPT_RECORD_MIN)
		return -EINVAL;
	if (mutex_lock_killable(&fd->lock))
		return -EINTR;
	do {
		size = min_t(size_t, iov_iter_count(to), GATHER_BYTES);
		err = kvm_hpt_fd_buffer(fd, size);
		if (err)
			break;
		g = (struct gather) { };
		hpt_encoder_init(&g.enc, fd->buf, size);
		err = gather(fd, &g);
		if (err || !g.enc.used)
			break;
		whole = deliver(fd, &g, to);
		total += whole;
		if (whole < g.enc.used)
			err = -EFAULT;
		else if (fatal_signal_pending(current))
			err = -EINTR;
	} while (!err && !g.end && iov_iter_count(to) >= HPT_RECORD_MIN);
	mutex_unlock(&fd->lock);
	return total ?: err;
}
