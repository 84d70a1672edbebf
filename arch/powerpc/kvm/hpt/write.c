// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: records from user space are checked, then put into the HPT.
 *
 * Records are copied in with only the file's own lock held, since that may
 * sleep for as long as user space likes, and applied with mmu_setup_lock held
 * and the vcpus locked out. A record is applied as a whole or not at all, unless
 * its writer is killed. A long one is applied in slices: between two of them
 * mmu_setup_lock is free, but vcpus, other writers and the code that replaces
 * the HPT wait for hpt_write_lock.
 */

#include <linux/kvm_host.h>
#include <linux/preempt.h>
#include <linux/sched/signal.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <asm/hvcall.h>
#include <asm/kvm_ppc.h>

#include "hpt.h"
#include "records.h"
#include "trace.h"

/*
 * HPTEs and records after which mmu_setup_lock is given up for a moment. A
 * record that is longer than that is applied in slices of so many HPTEs.
 */
#define APPLY_HPTES	4096

/* HPTEs between two chances for the scheduler, a multiple of a group */
#define RESCHED_HPTES	64

/**
 * struct kvm_hpt_lockout - vcpus are locked out while this lives
 * @kvm: the VM
 * @mmu_ready: what kvm->arch.mmu_ready is to be afterwards
 * @srcu_idx: of the read section of kvm->srcu that goes with mmu_setup_lock;
 *	      -EINTR if the writer was killed between two slices, and has neither
 * @budget: HPTEs until mmu_setup_lock is to be given up
 * @sliced: hpt_write_lock is held, for a record that is applied in slices
 *
 * No function that is not inlined gets the address of that of a short write, so
 * the compiler keeps it in registers.
 */
struct kvm_hpt_lockout {
	struct kvm *kvm;
	int mmu_ready;
	int srcu_idx;
	long budget;
	bool sliced;
};

/*
 * Take mmu_setup_lock, and hpt_write_lock if @lo->sliced, and lock the vcpus
 * out.
 *
 * Return: 0; -EINVAL if the VM has no HPT, -EBUSY if a vcpu is running, or
 * -EINTR if killed: no lock is held then.
 */
static __always_inline int
kvm_hpt_lock_out_vcpus(struct kvm_hpt_lockout *lo)
{
	struct kvm *kvm = lo->kvm;
	int err;

	err = lo->sliced ? kvmppc_hpt_lock_long(kvm) : kvmppc_hpt_lock(kvm);
	if (err)
		return err;
	err = -EINVAL;
	if (!kvm_hpt_present(kvm))
		goto fail;

	lo->mmu_ready = kvm->arch.mmu_ready;
	if (lo->mmu_ready) {
		WRITE_ONCE(kvm->arch.mmu_ready, 0);
		/*
		 * Pairs with smp_mb() in kvmppc_vcpu_run_hv(): either the vcpu
		 * sees mmu_ready clear, or it is seen running here.
		 */
		smp_mb();
		if (atomic_read(&kvm->arch.vcpus_running)) {
			WRITE_ONCE(kvm->arch.mmu_ready, 1);
			err = -EBUSY;
			goto fail;
		}
	}
	lo->srcu_idx = srcu_read_lock(&kvm->srcu);
	/* Sparse: kvm_hpt_let_vcpus_in() ends it */
	__release(&kvm->srcu);
	return 0;

fail:
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	if (lo->sliced)
		mutex_unlock(&kvm->arch.hpt_write_lock);
	return err;
}

static __always_inline void
kvm_hpt_let_vcpus_in(struct kvm_hpt_lockout *lo)
{
	struct kvm *kvm = lo->kvm;

	/*
	 * Pairs with smp_mb() in kvmppc_vcpu_run_hv(): a vcpu that sees the
	 * MMU ready sees the HPTEs.
	 */
	smp_store_release(&kvm->arch.mmu_ready, lo->mmu_ready);
	if (lo->srcu_idx >= 0) {
		srcu_read_unlock(&kvm->srcu, lo->srcu_idx);
		mutex_unlock(&kvm->arch.mmu_setup_lock);
	}
	/* mmu_ready is not anybody else's before this, see kvmppc_hpt_lock() */
	if (lo->sliced)
		mutex_unlock(&kvm->arch.hpt_write_lock);
}

/*
 * Let others have mmu_setup_lock between two slices of a record.
 *
 * Return: the new kvm_hpt_lockout.srcu_idx.
 */
static noinline int kvm_hpt_next_slice(struct kvm *kvm, int srcu_idx)
{
	srcu_read_unlock(&kvm->srcu, srcu_idx);
	return kvm_hpt_relock(kvm) ? srcu_read_lock(&kvm->srcu) : -EINTR;
}

/*
 * Some HPTEs of a record have been dealt with: let others run, and if that was
 * a slice of the record, let others have mmu_setup_lock.
 *
 * Return: 0, or -EINTR if killed: mmu_setup_lock is not held then.
 */
static __always_inline int kvm_hpt_breathe(struct kvm_hpt_lockout *lo,
					   unsigned int hptes)
{
	lo->budget -= hptes;
	if (!lo->sliced || lo->budget > 0) {
		cond_resched();
		return 0;
	}
	lo->budget = APPLY_HPTES;
	lo->srcu_idx = kvm_hpt_next_slice(lo->kvm, lo->srcu_idx);
	return lo->srcu_idx < 0 ? -EINTR : 0;
}

/*
 * Remove an HPTE. @hpte becomes what it was in the guest's view.
 *
 * Not inlined, so that its variables do not burden the loops that look for an
 * HPTE to remove and mostly find none.
 */
static noinline void kvm_hpte_remove(struct kvm *kvm, unsigned long index,
				     __be64 hpte[2])
{
	unsigned long old[2];

	preempt_disable();
	kvmppc_do_h_remove(kvm, 0, index, 0, old);
	preempt_enable();
	hpte[0] = cpu_to_be64(old[0]);
	hpte[1] = cpu_to_be64(old[1]);
}

/* Enter HPTEs into the slots of a group, see kvmppc_enter_run() */
static inline unsigned int kvm_hpte_enter_run(struct kvm *kvm,
					      unsigned long index,
					      __be64 (*hpte)[2],
					      unsigned int n)
{
	kvmppc_hpt_use(kvmppc_hpt(kvm), index);
	return kvmppc_enter_run(kvm, index, *hpte, n);
}

/*
 * Put @n HPTEs from @first on back to what they were. That may not succeed for
 * an HPTE if its page has been unmapped from, or become smaller in, the host's
 * page table meanwhile; it stays invalid then.
 *
 * Return: the new kvm_hpt_lockout.srcu_idx.
 */
static noinline int kvm_hpt_put_back(struct kvm_hpt_lockout lo,
				     unsigned long first,
				     __be64 (*hpte)[2], unsigned int n)
{
	struct kvm *kvm = lo.kvm;
	unsigned long index;
	__be64 new[2];

	while (n--) {
		if (n % RESCHED_HPTES == RESCHED_HPTES - 1 &&
		    kvm_hpt_breathe(&lo, RESCHED_HPTES))
			break;
		index = first + n;
		if (kvm_hpte_there(kvm_hpte_at(kvmppc_hpt(kvm), index)))
			kvm_hpte_remove(kvm, index, new);
		if (hpte[n][0])
			kvm_hpte_enter_run(kvm, index, &hpte[n], 1);
	}
	return lo.srcu_idx;
}

/*
 * kvmppc_enter_run() did not enter this HPTE of a record. If its slot is not
 * empty, enter it in the place of the HPTE there, which goes into the record.
 *
 * Return: false if it was refused; dword 0 in the record is what was there, or 0.
 */
static noinline bool kvm_hpte_replace(struct kvm *kvm, unsigned long index,
				      __be64 hpte[2])
{
	__be64 new[2] = { hpte[0], hpte[1] };

	hpte[0] = 0;
	if (!kvm_hpte_there(kvm_hpte_at(kvmppc_hpt(kvm), index)))
		return false;
	kvm_hpte_remove(kvm, index, hpte);
	return kvm_hpte_enter_run(kvm, index, &new, 1);
}

/*
 * Enter the valid HPTEs of a record in the place of what is there. That in
 * turn goes into the record, for kvm_hpt_put_back(): dword 0 is 0 if there
 * was none.
 *
 * Return: 0; -EIO if one was refused, -EINTR if killed.
 */
static __always_inline int
kvm_hpt_enter_valid(struct kvm_hpt_lockout *lo, const struct hpt_record *rec)
{
	unsigned long index = rec->index, end = index + rec->n_valid, run;
	__be64 (*hpte)[2] = rec->hpte;
	struct kvm *kvm = lo->kvm;
	unsigned int entered, since = 0;

	while (index < end) {
		run = min(end - index, HPT_GROUP_HPTES - HPT_SLOT(index));
		entered = kvm_hpte_enter_run(kvm, index, hpte, run);
		index += entered;
		hpte += entered;
		since += entered;
		if (entered < run) {
			if (!kvm_hpte_replace(kvm, index, *hpte)) {
				lo->srcu_idx =
					kvm_hpt_put_back(*lo, rec->index,
							 rec->hpte, index + 1 -
							 rec->index);
				return lo->srcu_idx < 0 ? -EINTR : -EIO;
			}
			index++;
			hpte++;
			since++;
		}
		if (since < RESCHED_HPTES)
			continue;
		if (kvm_hpt_breathe(lo, since))
			return -EINTR;
		since = 0;
	}
	return 0;
}

/*
 * Is there an HPTE in one of @n slots? Mostly there is none, so look at all of
 * them at once.
 */
static inline bool kvm_hpte_any_there(const __be64 *hptep, unsigned long n)
{
	__be64 v = 0;

	for (; n; n--, hptep += 2)
		v |= READ_ONCE(*hptep);
	return v & cpu_to_be64(HPTE_V_VALID | HPTE_V_ABSENT);
}

/* Remove the HPTEs of a group from @index to before @stop */
static noinline void kvm_hpt_remove_range(struct kvm *kvm, unsigned long index,
					  unsigned long stop)
{
	__be64 old[2];

	for (; index < stop; index++)
		if (kvm_hpte_there(kvm_hpte_at(kvmppc_hpt(kvm), index)))
			kvm_hpte_remove(kvm, index, old);
}

/* Return: 0, or -EINTR if killed. */
static __always_inline int
kvm_hpt_remove_invalid(struct kvm_hpt_lockout *lo, const struct hpt_record *rec)
{
	struct kvm *kvm = lo->kvm;
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long index = rec->index + rec->n_valid;
	unsigned long end = index + rec->n_invalid;
	unsigned long group, stop;
	unsigned int looked_at = 0;

	while (index < end) {
		group = index >> HPT_GROUP_SHIFT;
		/* To look at the rest of a group costs less than at its bit */
		if (!HPT_SLOT(index) && !kvm_hpt_group_used(info, group)) {
			group = kvm_hpt_next_used(info, group,
						  DIV_ROUND_UP(end,
							       HPT_GROUP_HPTES));
			index = group << HPT_GROUP_SHIFT;
			continue;
		}
		stop = min(end, (group + 1) << HPT_GROUP_SHIFT);
		if (kvm_hpte_any_there(kvm_hpte_at(info, index), stop - index))
			kvm_hpt_remove_range(kvm, index, stop);
		looked_at += stop - index;
		index = stop;
		if (looked_at < RESCHED_HPTES)
			continue;
		if (kvm_hpt_breathe(lo, looked_at))
			return -EINTR;
		looked_at = 0;
	}
	return 0;
}

/*
 * Would H_ENTER refuse an HPTE with a page of this size? This is the better
 * part of it: what the host maps may change until the HPTE is entered.
 */
static noinline bool kvm_hpte_large_refused(struct kvm *kvm, u64 r,
					    unsigned long size)
{
	struct kvm_memory_slot *slot;
	unsigned long irqs;
	unsigned int shift;
	bool too_large;
	pte_t *ptep;
	gfn_t gfn;

	gfn = hpte_rpn(r, size);
	slot = gfn_to_memslot(kvm, gfn);
	if (!slot || (slot->flags & KVM_MEMSLOT_INVALID))
		return false;
	if (!slot_is_aligned(slot, size))
		return true;

	/* No page table is freed while interrupts are disabled here */
	spin_lock_irqsave(&kvm->mmu_lock, irqs);
	ptep = find_kvm_host_pte(kvm, kvm->mmu_invalidate_seq,
				 gfn_to_hva_memslot(slot, gfn), &shift);
	too_large = ptep && BIT(shift ?: PAGE_SHIFT) < size;
	spin_unlock_irqrestore(&kvm->mmu_lock, irqs);
	return too_large;
}

/*
 * Check an HPTE with a large page, as H_ENTER would; cache attributes are left
 * to H_ENTER. Return the shift of the base page, or an error.
 */
static __always_inline int
kvm_hpte_check_large(struct kvm *kvm, const __be64 hpte[2])
{
	u64 r = be64_to_cpup(&hpte[1]);
	/* The base page's, and above it the page's if that is larger */
	int shifts = kvmppc_hpte_page_shifts(HPTE_V_LARGE, r);
	int shift = shifts >> 8 ?: shifts;

	if (!shifts)
		return -EINVAL;
	if (shift > PAGE_SHIFT && kvm_hpte_large_refused(kvm, r, BIT(shift)))
		return -EIO;
	return shifts & 0xff;
}

/*
 * Check the HPTEs of a record. @vrma is the shift of their base page if one is
 * VRMA's.
 *
 * Return: 0, or why it is refused; -EINTR if killed.
 */
static __always_inline int
kvm_hpt_check_valid(struct kvm_hpt_lockout *lo, const struct hpt_record *rec,
		    int *vrma)
{
	const __be64 (*hpte)[2] = rec->hpte, (*end)[2] = hpte + rec->n_valid;
	unsigned int large = 0;
	int shift;
	__be64 v;

	*vrma = 0;
	for (; hpte < end; hpte++) {
		v = (*hpte)[0];
		if (!(v & cpu_to_be64(HPTE_V_VALID)))
			return -EINVAL;
		shift = 12;
		if (v & cpu_to_be64(HPTE_V_LARGE)) {
			shift = kvm_hpte_check_large(lo->kvm, *hpte);
			if (shift < 0)
				return shift;
			if (!(++large % RESCHED_HPTES) &&
			    kvm_hpt_breathe(lo, RESCHED_HPTES))
				return -EINTR;
		}
		/* Segment sizes 0b1x are reserved */
		if (v & cpu_to_be64(2ull << HPTE_V_SSIZE_SHIFT))
			return -EIO;
		if (v & cpu_to_be64(HPTE_V_1TB_SEG) &&
		    is_vrma_hpte(be64_to_cpu(v)))
			*vrma = shift;
	}
	return 0;
}

/*
 * An HPTE of the virtual real mode area was entered: the MMU is ready for
 * real mode with pages of that size (Power ISA Book III, "Virtual Real Mode
 * Addressing Mechanism").
 */
static void kvm_hpt_set_vrma(struct kvm *kvm, int shift)
{
	unsigned long senc = slb_pgsize_encoding(1ul << shift);

	kvm->arch.vrma_slb_v = senc | SLB_VSID_B_1T |
			       (VRMA_VSID << SLB_VSID_SHIFT_1T);
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		kvmppc_setup_partition_table(kvm);
	else
		kvmppc_update_lpcr(kvm, senc << (LPCR_VRMASD_SH - 4),
				   LPCR_VRMASD);
}

/*
 * Check a record and apply it.
 *
 * Inlined into both callers: a short write keeps the record in registers.
 */
static __always_inline int kvm_hpt_apply_record(struct kvm_hpt_lockout *lo,
						const struct hpt_record *rec)
{
	int vrma, err;

	err = kvm_hpt_check_valid(lo, rec, &vrma);
	if (!err)
		err = kvm_hpt_enter_valid(lo, rec);
	if (!err)
		err = kvm_hpt_remove_invalid(lo, rec);
	if (err)
		return err;

	if (vrma && !lo->mmu_ready) {
		kvm_hpt_set_vrma(lo->kvm, vrma);
		lo->mmu_ready = 1;
	}
	return 0;
}

/* Not inlined, for the same reason as kvm_hpt_apply_some() */
static noinline int kvm_hpt_apply_next(struct kvm_hpt_lockout *lo,
				       const struct hpt_record *rec)
{
	return kvm_hpt_apply_record(lo, rec);
}

/* Count what was applied, with mmu_setup_lock held */
static inline void kvm_hpt_count_written(struct kvm_hpt_fd *fd, u64 valid,
					 u64 invalid, size_t bytes)
{
	struct kvm_vm_stat *stat = &fd->kvm->stat;

	lockdep_assert_held(&fd->kvm->arch.mmu_setup_lock);
	fd->valid += valid;
	fd->invalid += invalid;
	fd->bytes += bytes;
	stat->hpt_write_valid += valid;
	stat->hpt_write_invalid += invalid;
	stat->hpt_write_bytes += bytes;
}

/* How much of APPLY_HPTES does the record at the front of the buffer take? */
static long kvm_hpt_record_cost(const void *buf, size_t len)
{
	const struct kvm_get_htab_header *next = buf;

	if (len < sizeof(*next))
		return 1;
	return 1 + next->n_valid + next->n_invalid;
}

/*
 * Apply whole records from byte @applied of the buffer on, as many as should be
 * before others get a chance. Their length is added to @applied.
 *
 * Not inlined: in one function, the state of this loop and of those around it
 * would not fit into registers.
 *
 * Return: 0, -ENODATA if the next record is incomplete, or why it is refused.
 */
static noinline int kvm_hpt_apply_some(struct kvm_hpt_fd *fd, size_t len,
				       size_t *applied)
{
	void *begin = fd->buf + *applied, *buf = begin, *end = fd->buf + len;
	u64 valid = 0, invalid = 0;
	long left = APPLY_HPTES;
	struct kvm *kvm = fd->kvm;
	struct hpt_record rec;
	struct kvm_hpt_lockout lo = {
		.kvm = kvm,
		.budget = APPLY_HPTES,
		.sliced = kvm_hpt_record_cost(buf, end - buf) > APPLY_HPTES,
	};
	int err;

	err = kvm_hpt_lock_out_vcpus(&lo);
	if (err)
		return err;
	for (;;) {
		err = hpt_decode(buf, end - buf,
				 kvmppc_hpt_npte(kvmppc_hpt(kvm)), &rec);
		if (!err)
			err = kvm_hpt_apply_next(&lo, &rec);
		if (err)
			break;
		trace_kvm_hpt_write(kvm, fd->id, rec.index, rec.n_valid,
				    rec.n_invalid, 0);
		valid += rec.n_valid;
		invalid += rec.n_invalid;
		left -= 1 + rec.n_valid + rec.n_invalid;
		buf += rec.bytes;
		if (buf == end || kvm_hpt_record_cost(buf, end - buf) > left)
			break;
		cond_resched();
	}
	/* A writer that was killed has no lock, and has applied nothing */
	if (buf != begin)
		kvm_hpt_count_written(fd, valid, invalid, buf - begin);
	kvm_hpt_let_vcpus_in(&lo);
	*applied = buf - fd->buf;
	return err;
}

/*
 * Apply the whole records in the buffer. @applied becomes their length.
 *
 * Return: 0 if that is all of it, -ENODATA if an incomplete one is left, or
 * why the next one is refused.
 */
static int kvm_hpt_apply_all(struct kvm_hpt_fd *fd, size_t len, size_t *applied)
{
	int err = 0;

	*applied = 0;
	while (*applied < len) {
		err = kvm_hpt_apply_some(fd, len, applied);
		if (err || *applied == len)
			break;
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return err;
}

/* The record at byte @pos of the buffer was refused */
static noinline void kvm_hpt_note_refused(struct kvm_hpt_fd *fd, size_t pos,
					  size_t len, int err)
{
	struct kvm_get_htab_header hdr = { };

	memcpy(&hdr, fd->buf + pos, min(len - pos, sizeof(hdr)));
	fd->refused++;
	fd->refused_index = hdr.index;
	atomic64_inc(&fd->kvm->stat.hpt_write_refused);
	trace_kvm_hpt_write(fd->kvm, fd->id, hdr.index, hdr.n_valid,
			    hdr.n_invalid, err);
}

/*
 * Write records from @from, which has @left bytes, or if that is NULL from @ubuf:
 * most writes are of one record, and an iov_iter takes longer than to copy it.
 */
static ssize_t kvm_hpt_do_write(struct kvm_hpt_fd *fd, const char __user *ubuf,
				size_t left, struct iov_iter *from)
{
	size_t total = 0, len = 0, applied = 0, want, got;
	int err;

	if (!left)
		return 0;
	if (mutex_lock_killable(&fd->lock))
		return -EINTR;
	err = kvm_hpt_fd_buffer(fd, min_t(size_t, left, HPT_RECORD_MAX));
	while (!err) {
		want = min(fd->buf_size - len, left);
		if (from) {
			got = copy_from_iter(fd->buf + len, want, from);
		} else {
			got = want - copy_from_user(fd->buf + len, ubuf, want);
			ubuf += got;
		}
		len += got;
		left -= got;
		err = kvm_hpt_apply_all(fd, len, &applied);
		total += applied;
		if (err && err != -ENODATA)
			break;
		if (got < want) {
			err = -EFAULT;
			break;
		}
		if (!left)
			break;
		cond_resched();
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		/* The record that is not complete goes to the front */
		err = 0;
		len -= applied;
		memmove(fd->buf, fd->buf + applied, len);
	}
	if (unlikely(err == -EINVAL || err == -EIO || err == -EBUSY))
		kvm_hpt_note_refused(fd, applied, len, err);
	mutex_unlock(&fd->lock);
	/* The last record is incomplete */
	if (err == -ENODATA)
		err = -EINVAL;
	return total ?: err;
}

/* Copy @len bytes, a multiple of 8: copy_from_user() takes longer for so few */
static inline bool kvm_hpt_copy_short(u64 *buf, const u64 __user *ubuf,
				      size_t len)
{
	size_t i;

	if (!user_read_access_begin(ubuf, len))
		return false;
	for (i = 0; i < len / sizeof(*buf); i++)
		unsafe_get_user(buf[i], &ubuf[i], fault);
	user_read_access_end();
	return true;

fault:
	user_read_access_end();
	return false;
}

/*
 * Write one record that is not longer than that of a group, as most writes are.
 *
 * Return: 0 if it was applied, -EAGAIN if it is no such record or could not be
 * copied, so that it is for kvm_hpt_do_write(), or why it was not applied.
 */
static inline int kvm_hpt_write_short(struct kvm_hpt_fd *fd,
				      const char __user *ubuf, size_t len)
{
	struct kvm_hpt_lockout lo = {
		.kvm = fd->kvm,
		.budget = APPLY_HPTES,
	};
	struct kvm_get_htab_header *hdr;
	struct hpt_record rec;
	int err = -EAGAIN;

	if (len % HPT_STREAM_HPTE != sizeof(*hdr) || len > HPT_GROUP_BYTES)
		return err;
	if (mutex_lock_killable(&fd->lock))
		return -EINTR;
	if (kvm_hpt_fd_buffer(fd, len)) {
		err = -ENOMEM;
		goto unlock;
	}
	if (!kvm_hpt_copy_short(fd->buf, (void __user *)ubuf, len))
		goto unlock;
	hdr = fd->buf;
	if (hpt_record_bytes(hdr) != len ||
	    kvm_hpt_record_cost(hdr, len) > APPLY_HPTES)
		goto unlock;
	err = kvm_hpt_lock_out_vcpus(&lo);
	if (err)
		goto refused;
	err = hpt_decode(hdr, len, kvmppc_hpt_npte(kvmppc_hpt(lo.kvm)), &rec);
	if (!err)
		err = kvm_hpt_apply_record(&lo, &rec);
	if (err)
		goto let_vcpus_in;
	trace_kvm_hpt_write(lo.kvm, fd->id, hdr->index, hdr->n_valid,
			    hdr->n_invalid, 0);
	kvm_hpt_count_written(fd, hdr->n_valid, hdr->n_invalid, len);
let_vcpus_in:
	kvm_hpt_let_vcpus_in(&lo);
refused:
	if (unlikely(err && err != -EINTR))
		kvm_hpt_note_refused(fd, 0, len, err);
unlock:
	mutex_unlock(&fd->lock);
	return err;
}

/**
 * kvm_hpt_write_iter() - put HPTEs into the HPT
 * @iocb: the write
 * @from: records
 *
 * Context: may sleep, takes kvm_hpt_fd.lock.
 * Return: bytes of the whole records that were applied. If that is none:
 * -EINVAL if the first is incomplete, out of range, or has an HPTE that is
 * not valid or of no known page size, or if the VM has no HPT; -EIO if an
 * HPTE was refused as H_ENTER would refuse it, -EBUSY while a vcpu runs,
 * -EFAULT, -ENOMEM, or -EINTR if killed.
 */
ssize_t kvm_hpt_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	return kvm_hpt_do_write(iocb->ki_filp->private_data, NULL,
				iov_iter_count(from), from);
}

/**
 * kvm_hpt_write() - as kvm_hpt_write_iter(), from one buffer
 * @file: the file
 * @buf: records
 * @len: their length in bytes
 * @pos: not used
 *
 * Context: as kvm_hpt_write_iter().
 * Return: as kvm_hpt_write_iter().
 */
ssize_t kvm_hpt_write(struct file *file, const char __user *buf, size_t len,
		      loff_t *pos)
{
	struct kvm_hpt_fd *fd = file->private_data;
	int err = kvm_hpt_write_short(fd, buf, len);

	if (err == -EAGAIN)
		return kvm_hpt_do_write(fd, buf, len, NULL);
	return err ?: len;
}
