// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: the short way of a first pass, for groups that are as they
 * mostly are: some HPTEs, or eight, and no more behind them, none of them
 * locked or marked, none that hardware can change.
 */

#include <linux/kvm_host.h>
#include <linux/minmax.h>

#include "book3s_hv_hpt.h"
#include "book3s_hv_hpt_records.h"

/*
 * As hpte_new_to_old_v(), of doublewords as they are in memory: the segment
 * size is in the first byte of both, before the shift and after it.
 */
static __be64 raw_new_to_old_v(__be64 v, __be64 r)
{
	u64 ssize = (__force u64)(r & cpu_to_be64(HPTE_R_3_0_SSIZE_MASK));

	ssize <<= HPTE_V_SSIZE_SHIFT - HPTE_R_3_0_SSIZE_SHIFT;
	return (v & cpu_to_be64(HPTE_V_COMMON_BITS)) | (__force __be64)ssize;
}

/* Has hardware set R or C in one of these HPTEs, or can it? */
static bool any_rc(const __be64 *hptep, const struct revmap_entry *rev,
		   unsigned int n)
{
	u64 v, r, gr;

	for (; n--; hptep += 2, rev++) {
		v = hpte_dword(hptep);
		r = hpte_dword(hptep + 1);
		gr = READ_ONCE(rev->guest_rpte);
		if (hpte_rc_open(gr) || hpte_new_rc(v, r, gr))
			return true;
	}
	return false;
}

/*
 * Read HPTEs of a group, as read_hpte() does, but all at once: up to @room
 * valid ones, which go to @out in the form in which they are streamed (dword 0
 * stays in the byte order of memory and stream on its way), then invalid ones,
 * @count in all or as many as there was room for.
 *
 * Return the number of valid HPTEs; -1 if it has to be done the long way.
 */
static __always_inline int
read_clean(struct kvm_hpt_info *info, unsigned long index, unsigned int *count,
	   unsigned int room, bool bolted_only, bool v3, __be64 *out)
{
	const struct revmap_entry *rev = &info->rev[index];
	const __be64 *hptep = kvmppc_hpte(info, index);
	const __be64 *p, *end = hptep + 2 * *count;
	const __be64 *full = hptep + 2 * min(*count, room);
	__be64 v, any_v = 0, all_v = cpu_to_be64(~0ull), rest = 0, *to = out;
	u64 gr, any_gr = 0, all_gr = ~0ull;
	unsigned int i, n;

	for (p = hptep; p < full; p += 2, to += 2) {
		v = READ_ONCE(p[0]);
		if (!(v & cpu_to_be64(HPTE_V_VALID | HPTE_V_ABSENT)))
			break;
		any_v |= v;
		all_v &= v;
		if (v3)
			v = raw_new_to_old_v(v, READ_ONCE(p[1]));
		*to = (v & ~cpu_to_be64(HPTE_V_ABSENT)) |
		      cpu_to_be64(HPTE_V_VALID);
	}
	n = (to - out) / 2;
	if (n && p == full)
		*count = n;
	else
		for (; p < end; p += 2)
			rest |= READ_ONCE(p[0]);
	if (rest || (any_v & cpu_to_be64(HPTE_V_HVLOCK)) ||
	    (bolted_only && !(all_v & cpu_to_be64(HPTE_V_BOLTED))))
		return -1;

	/* Pairs with smp_wmb() in kvmppc_hpt_enter() */
	smp_rmb();
	for (i = 0, to = out + 1; i < n; i++, to += 2) {
		gr = READ_ONCE(rev[i].guest_rpte);
		any_gr |= gr;
		all_gr &= gr;
		*to = cpu_to_be64(gr);
	}
	if (any_gr & HPTE_GR_MODIFIED)
		return -1;
	if (~all_gr & (HPTE_R_R | HPTE_R_C) && any_rc(hptep, rev, n))
		return -1;
	return n;
}

/**
 * kvm_hpt_gather_clean() - go on with a first pass, the short way
 * @info: the HPT
 * @reader: the reader
 * @enc: where to put the records
 * @budget: number of groups to look at, at most
 *
 * It ends before a group that needs the long way, or has not been used, or if
 * the buffer is full.
 *
 * Context: kvm->arch.mmu_setup_lock held, an HPT present, and all changes
 * marked, see kvm_hpt_await_marks(); does not sleep.
 * Return: how many groups it has gone through.
 */
int kvm_hpt_gather_clean(struct kvm_hpt_info *info,
			 struct kvm_hpt_reader *reader, struct hpt_encoder *enc,
			 int budget)
{
	bool v3 = cpu_has_feature(CPU_FTR_ARCH_300);
	bool bolted_only = reader->bolted_only;
	unsigned long nr_hptes = kvmppc_hpt_npte(info);
	unsigned long index = reader->cursor, bit;
	struct kvm_hpt_groups *all = info->groups;
	struct kvm_hpt_group_chunk *chunk;
	/* What the compiler knows to be private stays in registers */
	struct hpt_encoder e = *enc;
	unsigned int count;
	int groups, n;

	for (groups = 0; groups < budget && index < nr_hptes; groups++) {
		chunk = &all->chunk[index >> (HPT_CHUNK_SHIFT + HPT_GROUP_SHIFT)];
		bit = (index >> HPT_GROUP_SHIFT) & (HPT_CHUNK_GROUPS - 1);
		if (!test_bit(bit, chunk->used))
			break;
		count = HPTES_IN_GROUP - HPT_SLOT(index);
		n = read_clean(info, index, &count, hpt_encode_room(&e, index),
			       bolted_only, v3, hpt_encode_tail(&e, index));
		if (n < 0)
			break;
		/* Those that were removed may have marks to be taken off */
		if (n < count && test_bit(bit, chunk->visit))
			break;
		if (n)
			hpt_encode_run(&e, index, n, count - n);
		else if (!hpt_encode_more_invalid(&e, index, count))
			break;
		index += count;
	}
	reader->cursor = index;
	*enc = e;
	return groups;
}
