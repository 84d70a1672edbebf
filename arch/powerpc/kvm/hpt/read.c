// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: the copy to user space.
 *
 * Records are gathered in a kernel buffer with mmu_setup_lock held, for a
 * bounded number of groups at a time, and are copied with only the file's own
 * lock held: the copy may sleep for as long as user space likes.
 */

#include <linux/kvm_host.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "hpt.h"
#include "records.h"
#include "trace.h"

/* Bytes gathered before they are copied */
#define GATHER_BYTES	SZ_64K

/* How much is looked at before mmu_setup_lock is given up for a moment */
#define GATHER_GROUPS	4096

/*
 * Gather records for a while with mmu_setup_lock held.
 *
 * Return: 1 if there is more to do before @g can be copied, 0 if not,
 * -ESTALE or -EINTR.
 */
static int kvm_hpt_gather_some(struct kvm_hpt_fd *fd, struct kvm_hpt_gather *g)
{
	struct kvm_hpt_reader *reader = &fd->reader;
	struct kvm *kvm = fd->kvm;
	bool done;
	int ret = 0;

	if (mutex_lock_killable(&kvm->arch.mmu_setup_lock))
		return -EINTR;
	if (!kvm_hpt_reader_ready(reader)) {
		g->await = false;
		ret = 1;
		goto out;
	}
	if (reader->state == HPT_READER_STALE) {
		ret = -ESTALE;
		goto out;
	}
	if (!kvm_hpt_present(kvm))
		goto out;
	if (reader->state == HPT_READER_NONE)
		kvm_hpt_reader_attach(reader, 0);

	/* Records gathered before a restart are valid, but end here */
	if (g->enc.used && g->restarts != reader->restarts)
		goto out;
	if (!g->enc.used && (!g->begun || g->restarts != reader->restarts)) {
		g->begun = true;
		g->restarts = reader->restarts;
		g->first_pass = reader->first_pass;
		g->pass = reader->pass;
		g->start = reader->cursor >> HPT_GROUP_SHIFT;
		g->wrapped = false;
	}
	/* First-pass reads of at most one group lock each HPTE instead */
	g->await = (!g->first_pass || g->enc.size > HPT_GROUP_BYTES) &&
		   !kvm_hpt_want_all_marks(kvm) && g->first_pass &&
		   !fd->awaited;
	if (g->first_pass)
		done = kvm_hpt_gather_first(fd, g, GATHER_GROUPS);
	else
		done = kvm_hpt_gather_later(fd, g, GATHER_GROUPS);
	ret = !done || (!g->enc.used && g->restarts != reader->restarts);
out:
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	return ret;
}

/* Fill the buffer. Return 0 or an error if there is nothing to copy. */
static int kvm_hpt_gather_all(struct kvm_hpt_fd *fd, struct kvm_hpt_gather *g)
{
	int ret;

	do {
		ret = kvm_hpt_gather_some(fd, g);
		if (ret > 0 && g->await) {
			kvm_hpt_await_gp(fd->kvm, READ_ONCE(fd->kvm->arch.hpt_gp));
			fd->awaited = true;
		}
		cond_resched();
		if (ret > 0 && fatal_signal_pending(current))
			ret = -EINTR;
	} while (ret > 0);
	return g->enc.used ? 0 : ret;
}

/**
 * struct kvm_hpt_return - records on their way back to the reader
 * @pos: byte of the buffer at which the next one begins
 * @end: byte at which they end
 * @index: HPTE of the next one to go on with
 */
struct kvm_hpt_return {
	size_t pos;
	size_t end;
	unsigned long index;
};

/*
 * Mark HPTEs of the next record as changed, for this reader: up to @budget
 * groups. Return what is left of the budget.
 */
static int kvm_hpt_report_again(struct kvm_hpt_fd *fd, struct kvm_hpt_return *r,
				int budget)
{
	const struct kvm_get_htab_header *hdr = fd->buf + r->pos;
	unsigned long end = (unsigned long)hdr->index + hdr->n_valid +
			    hdr->n_invalid;
	unsigned long group, stop;

	for (; r->index < end && budget; budget--) {
		group = r->index >> HPT_GROUP_SHIFT;
		stop = min(end, (group + 1) << HPT_GROUP_SHIFT);
		kvm_hpt_reader_add(fd->kvm, &fd->reader, group,
				   GENMASK(HPT_SLOT(stop - 1),
					   HPT_SLOT(r->index)));
		r->index = stop;
	}
	if (r->index < end)
		return budget;
	r->pos += hpt_record_bytes(hdr);
	if (r->pos < r->end) {
		hdr = fd->buf + r->pos;
		r->index = hdr->index;
	}
	return budget;
}

/*
 * Hand back some of what did not reach user space. Return whether there is
 * more, which there is not if the reader has begun again meanwhile.
 */
static bool kvm_hpt_undeliver_some(struct kvm_hpt_fd *fd,
				   const struct kvm_hpt_gather *g,
				   struct kvm_hpt_return *r)
{
	struct kvm_hpt_reader *reader = &fd->reader;
	int budget = GATHER_GROUPS;

	if (g->first_pass) {
		reader->first_pass = true;
		reader->pass = g->pass;
		reader->cursor = r->index;
		return false;
	}
	/* The task that would read the rest is being killed */
	if (fatal_signal_pending(current)) {
		kvm_hpt_reader_restart(fd->kvm, reader);
		return false;
	}
	while (r->pos < r->end && budget && reader->restarts == g->restarts)
		budget = kvm_hpt_report_again(fd, r, budget);
	return r->pos < r->end;
}

/*
 * The records from byte @pos on did not reach user space: go back, so that
 * the next read reports their HPTEs. kvm_hpt_fd.lock keeps others from reading
 * meanwhile.
 */
static void kvm_hpt_undeliver(struct kvm_hpt_fd *fd,
			      const struct kvm_hpt_gather *g, size_t pos)
{
	const struct kvm_get_htab_header *hdr = g->enc.buf + pos;
	struct kvm_hpt_return r = {
		.pos = pos,
		.end = g->enc.used,
		.index = hdr->index,
	};
	bool more;

	do {
		mutex_lock(&fd->kvm->arch.mmu_setup_lock);
		more = fd->reader.restarts == g->restarts &&
		       kvm_hpt_undeliver_some(fd, g, &r);
		mutex_unlock(&fd->kvm->arch.mmu_setup_lock);
		cond_resched();
	} while (more);
}

/*
 * Copy the gathered records. Return the number of bytes that reached user
 * space, in whole records.
 */
static size_t kvm_hpt_deliver(struct kvm_hpt_fd *fd,
			      const struct kvm_hpt_gather *g,
			      struct iov_iter *to)
{
	size_t copied = copy_to_iter(g->enc.buf, g->enc.used, to);
	u64 valid = g->enc.valid, invalid = g->enc.invalid;
	size_t whole = copied;

	if (copied < g->enc.used)
		whole = hpt_whole_records(g->enc.buf, copied, &valid, &invalid);
	fd->valid += valid;
	fd->invalid += invalid;
	fd->bytes += whole;
	atomic64_add(valid, &fd->kvm->stat.hpt_read_valid);
	atomic64_add(invalid, &fd->kvm->stat.hpt_read_invalid);
	atomic64_add(whole, &fd->kvm->stat.hpt_read_bytes);
	if (whole < g->enc.used) {
		iov_iter_revert(to, copied - whole);
		kvm_hpt_undeliver(fd, g, whole);
	}
	return whole;
}

static ssize_t kvm_hpt_do_read(struct kvm_hpt_fd *fd, struct iov_iter *to)
{
	size_t total = 0, size, whole;
	struct kvm_hpt_gather g;
	u64 valid, invalid;
	int err;

	if (!iov_iter_count(to))
		return 0;
	if (iov_iter_count(to) < HPT_RECORD_MIN)
		return -EINVAL;
	if (mutex_lock_killable(&fd->lock))
		return -EINTR;
	valid = fd->valid;
	invalid = fd->invalid;
	do {
		size = min_t(size_t, iov_iter_count(to), GATHER_BYTES);
		err = kvm_hpt_fd_buffer(fd, size);
		if (err)
			break;
		hpt_encoder_init(&g.enc, fd->buf, size);
		g.begun = false;
		g.end = false;
		err = kvm_hpt_gather_all(fd, &g);
		if (err || !g.enc.used)
			break;
		whole = kvm_hpt_deliver(fd, &g, to);
		total += whole;
		if (whole < g.enc.used)
			err = -EFAULT;
		else if (fatal_signal_pending(current))
			err = -EINTR;
	} while (!err && !g.end && iov_iter_count(to) >= HPT_RECORD_MIN);
	trace_kvm_hpt_read(fd->kvm, fd->id, READ_ONCE(fd->reader.pass),
			   READ_ONCE(fd->reader.cursor), fd->valid - valid,
			   fd->invalid - invalid, total ?: err);
	if (total)
		WRITE_ONCE(fd->kvm->arch.hpt_poll_idle, 0);
	/* A later change has to wake up the tasks that poll once more */
	if (wq_has_sleeper(&fd->kvm->arch.hpt_wait))
		kvm_hpt_watch(fd->kvm, &fd->reader);
	mutex_unlock(&fd->lock);
	return total ?: err;
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
	return kvm_hpt_do_read(iocb->ki_filp->private_data, to);
}

/**
 * kvm_hpt_read() - as kvm_hpt_read_iter(), into one buffer
 * @file: the file
 * @buf: where to
 * @len: its size
 * @pos: not used
 *
 * Context: as kvm_hpt_read_iter().
 * Return: as kvm_hpt_read_iter().
 */
ssize_t kvm_hpt_read(struct file *file, char __user *buf, size_t len,
		     loff_t *pos)
{
	struct iov_iter to;

	iov_iter_ubuf(&to, ITER_DEST, buf, len);
	return kvm_hpt_do_read(file->private_data, &to);
}
