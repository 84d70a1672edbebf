// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: the fast path of a first pass, for the usual group: some HPTEs,
 * or eight, and then empty slots; no HPTE is locked or marked, and hardware
 * cannot change any.
 */

#include <linux/compiler.h>
#include <linux/kvm_host.h>
#include <linux/minmax.h>

#include "hpt.h"
#include "records.h"

/*
 * Convert dword 0 from its form in memory to that in the stream. @valid is
 * HPTE_V_VALID, which absent HPTEs get. For @v3 see hpte_new_to_old_v(): the
 * segment size is in the first byte both before and after the shift.
 */
static __always_inline __be64 kvm_hpte_streamed_v(__be64 v, const __be64 *r,
						  __be64 valid, bool v3)
{
	u64 ssize = 0, keep = ~HPTE_V_ABSENT;

	if (v3) {
		ssize = (__force u64)(READ_ONCE(*r) &
				      cpu_to_be64(HPTE_R_3_0_SSIZE_MASK));
		ssize <<= HPTE_V_SSIZE_SHIFT - HPTE_R_3_0_SSIZE_SHIFT;
		keep &= HPTE_V_COMMON_BITS;
	}
	return (v & cpu_to_be64(keep)) | (__force __be64)ssize | valid;
}

/*
 * Has hardware set R or C in one of these HPTEs, or can it? Also true if the host
 * may just be moving them to the reverse map word: it has locked the HPTE, which
 * need not be valid then, or has marked it since.
 */
static bool kvm_hpt_any_rc(const __be64 *hptep, const struct revmap_entry *rev,
			   unsigned long n)
{
	u64 v, r, gr, odd = 0;
	unsigned long i;

	for (i = 0; i < n; i++, hptep += 2) {
		v = kvm_hpte_dword(hptep);
		r = kvm_hpte_dword(hptep + 1);
		gr = READ_ONCE(rev[i].guest_rpte);
		if ((v & HPTE_V_HVLOCK) || kvm_hpte_rc_open(gr) ||
		    kvm_hpte_new_rc(v, r, gr))
			return true;
	}

	/* Pairs with smp_wmb() in kvmppc_hpt_store() */
	smp_rmb();
	for (i = 0; i < n; i++)
		odd |= READ_ONCE(rev[i].guest_rpte);
	return odd & HPTE_GR_MODIFIED;
}

/*
 * Read the reverse map words of @n HPTEs, which become dword 1 of each in @out.
 * Return the mark if one of them has it, and R or C if one of them lacks it.
 */
static __always_inline u64 kvm_hpt_read_words(const struct revmap_entry *rev,
					      long n, __be64 *out)
{
	u64 gr, odd = 0;
	long i;

#pragma GCC unroll 8
	for (i = 0; i < n; i++) {
		gr = READ_ONCE(rev[i].guest_rpte);
		odd |= gr ^ (HPTE_R_R | HPTE_R_C);
		out[2 * i] = cpu_to_be64(gr);
	}
	return odd & (HPTE_GR_MODIFIED | HPTE_R_R | HPTE_R_C);
}

/*
 * Read a group, as kvm_hpte_read() reads an HPTE. Valid HPTEs, which must come
 * first, go to @out in the form in which they are streamed; dword 0 stays in
 * the byte order of memory and stream on its way. @out has room for eight.
 *
 * Return the number of valid HPTEs; -1 if the group has to be harvested.
 */
static __always_inline long kvm_hpt_read_clean(struct kvm_hpt_info *info,
					       unsigned long index, bool v3,
					       __be64 *out)
{
	const __be64 there = cpu_to_be64(HPTE_V_VALID | HPTE_V_ABSENT);
	__be64 valid = cpu_to_be64(HPTE_V_VALID);
	const struct revmap_entry *rev = &info->rev[index];
	const __be64 *hptep = kvm_hpte_at(info, index);
	/* @rest has the bits of an HPTE and of those behind it */
	__be64 v[HPT_GROUP_HPTES], rest[HPT_GROUP_HPTES], bits = 0;
	long i, n;
	u64 odd;

	/* Keep it in a register, or two instructions make it for each HPTE */
	OPTIMIZER_HIDE_VAR(valid);
#pragma GCC unroll 8
	for (i = HPT_GROUP_HPTES - 1; i >= 0; i--) {
		v[i] = READ_ONCE(hptep[2 * i]);
		bits |= v[i];
		rest[i] = bits;
	}
	if (bits & cpu_to_be64(HPTE_V_HVLOCK))
		return -1;
#pragma GCC unroll 8
	for (n = 0; n < HPT_GROUP_HPTES; n++) {
		if (!(v[n] & there)) {
			if (rest[n] & there)
				return -1;
			break;
		}
		out[2 * n] = kvm_hpte_streamed_v(v[n], &hptep[2 * n + 1], valid,
						 v3);
	}

	/* Pairs with smp_wmb() in kvmppc_hpt_enter() */
	smp_rmb();
	/* The compiler unrolls the first call */
	odd = n == HPT_GROUP_HPTES ?
	      kvm_hpt_read_words(rev, HPT_GROUP_HPTES, out + 1) :
	      kvm_hpt_read_words(rev, n, out + 1);
	return odd && kvm_hpt_any_rc(hptep, rev, n) ? -1 : n;
}

/*
 * Of the @n valid HPTEs of a group, copy those from @slot on for which there is
 * @room. Return how many.
 */
static long kvm_hpt_copy_part(__be64 *out, const __be64 *group, long n,
			      unsigned long slot, unsigned long room)
{
	if (n <= (long)slot)
		return 0;
	n = min_t(unsigned long, n - slot, room);
	memcpy(out, group + 2 * slot, n * HPT_STREAM_HPTE);
	return n;
}

static __always_inline int __kvm_hpt_gather_clean(struct kvm_hpt_fd *fd,
						  struct hpt_encoder *enc,
						  int budget, bool v3)
{
	struct kvm_hpt_info *info = kvmppc_hpt(fd->kvm);
	struct kvm_hpt_reader *reader = &fd->reader;
	unsigned long start = reader->cursor, index = start;
	unsigned long end =
		round_down(start, HPT_GROUP_HPTES) + budget * HPT_GROUP_HPTES;
	/* A local copy, which the compiler can keep in registers */
	struct hpt_encoder e = *enc;
	unsigned long slot, count, room;
	__be64 *to;
	long n;

	end = min(end, kvmppc_hpt_npte(info));
	for (; index < end; index += count) {
		slot = HPT_SLOT(index);
		count = HPT_GROUP_HPTES - slot;
		room = hpt_encode_room(&e, index);
		if (!room && kvm_hpte_there(kvm_hpte_at(info, index)))
			break;
		to = slot || room < HPT_GROUP_HPTES ? fd->group :
		     hpt_encode_tail(&e, index);
		n = kvm_hpt_read_clean(info, index - slot, v3, to);
		if (n < 0)
			break;
		if (to == fd->group) {
			/* If the buffer is too small, it is full after this */
			if (n > slot + room) {
				count = room;
				end = index + count;
			}
			if (!count)
				break;
			n = kvm_hpt_copy_part(hpt_encode_tail(&e, index), to,
					      n, slot, room);
		}
		/* Removed HPTEs may have marks that a harvest has to clear */
		if (n < count &&
		    kvm_hpt_group_to_visit(info, index >> HPT_GROUP_SHIFT))
			break;
		if (n)
			hpt_encode_run(&e, index, room, n, count - n);
		else if (!kvm_hpt_group_used(info, index >> HPT_GROUP_SHIFT) ||
			 !hpt_encode_more_invalid(&e, index, count))
			break;
	}
	reader->cursor = index;
	*enc = e;
	return DIV_ROUND_UP(index - start, HPT_GROUP_HPTES);
}

/**
 * kvm_hpt_gather_clean() - continue a first pass over groups without marks
 * @fd: the file, opened without KVM_GET_HTAB_BOLTED_ONLY
 * @enc: where to put the records
 * @budget: number of groups to look at, at most
 *
 * It ends before a group that has to be harvested or has not been used, or if
 * the buffer is full.
 *
 * Context: kvm->arch.mmu_setup_lock held, an HPT present, and all changes
 * marked, see kvm_hpt_want_all_marks(); does not sleep.
 * Return: how many groups it has gone through.
 */
int kvm_hpt_gather_clean(struct kvm_hpt_fd *fd, struct hpt_encoder *enc,
			 int budget)
{
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		return __kvm_hpt_gather_clean(fd, enc, budget, true);
	return __kvm_hpt_gather_clean(fd, enc, budget, false);
}
