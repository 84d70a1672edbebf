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
		   unsigned long n)
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

/* The stream does not tell absent HPTEs from valid ones */
static void absent_to_valid(__be64 *out, unsigned long n)
{
	for (; n--; out += 2) {
		*out &= ~cpu_to_be64(HPTE_V_ABSENT);
		*out |= cpu_to_be64(HPTE_V_VALID);
	}
}

/*
 * Read HPTEs of a group, as read_hpte() does, but all at once: up to @room
 * valid ones, which go to @out in the form in which they are streamed (dword 0
 * stays in the byte order of memory and stream on its way), then invalid ones,
 * @count in all or as many as there was room for.
 *
 * Return the number of valid HPTEs; -1 if it has to be done the long way.
 */
static __always_inline long
read_clean(struct kvm_hpt_info *info, unsigned long index, unsigned long *count,
	   unsigned long room, bool v3, __be64 *out)
{
	const __be64 there = cpu_to_be64(HPTE_V_VALID | HPTE_V_ABSENT);
	const struct revmap_entry *rev = &info->rev[index];
	const __be64 *hptep = kvmppc_hpte(info, index);
	const __be64 *p, *end = hptep + 2 * *count;
	const __be64 *full = hptep + 2 * min(*count, room);
	u64 gr, any_gr = 0, all_gr = ~0ull;
	__be64 v, any_v = 0, rest = 0, *to = out;
	unsigned long i, n;

	for (p = hptep; p < full; p += 2, to += 2) {
		v = READ_ONCE(p[0]);
		if (!(v & there))
			break;
		any_v |= v;
		*to = v3 ? raw_new_to_old_v(v, READ_ONCE(p[1])) : v;
	}
	n = (unsigned long)(to - out) / 2;
	if (n && p == full)
		*count = n;
	else
		for (; p < end; p += 2)
			rest |= READ_ONCE(p[0]);
	if (((rest | any_v) & cpu_to_be64(HPTE_V_HVLOCK)) || (rest & there))
		return -1;
	if (any_v & cpu_to_be64(HPTE_V_ABSENT))
		absent_to_valid(out, n);

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

static __always_inline int
gather_clean(struct kvm_hpt_info *info, struct kvm_hpt_reader *reader,
	     struct hpt_encoder *enc, int budget, bool v3)
{
	unsigned long start = reader->cursor, index = start, bit;
	unsigned long end = round_down(start, HPTES_IN_GROUP) +
			    budget * HPTES_IN_GROUP;
	struct kvm_hpt_groups *all = info->groups;
	struct kvm_hpt_group_chunk *chunk;
	/* What the compiler knows to be private stays in registers */
	struct hpt_encoder e = *enc;
	unsigned long count, room;
	long n;

	end = min(end, kvmppc_hpt_npte(info));
	while (index < end) {
		chunk = &all->chunk[index >> (HPT_CHUNK_SHIFT + HPT_GROUP_SHIFT)];
		bit = (index >> HPT_GROUP_SHIFT) & (HPT_CHUNK_GROUPS - 1);
		if (!test_bit(bit, chunk->used))
			break;
		count = HPTES_IN_GROUP - HPT_SLOT(index);
		room = hpt_encode_room(&e, index);
		n = read_clean(info, index, &count, room, v3,
			       hpt_encode_tail(&e, index));
		if (n < 0)
			break;
		/* Those that were removed may have marks to be taken off */
		if (n < count && test_bit(bit, chunk->visit))
			break;
		if (n)
			hpt_encode_run(&e, index, room, n, count - n);
		else if (!hpt_encode_more_invalid(&e, index, count))
			break;
		index += count;
	}
	reader->cursor = index;
	*enc = e;
	return DIV_ROUND_UP(index - start, HPTES_IN_GROUP);
}

/**
 * kvm_hpt_gather_clean() - go on with a first pass, the short way
 * @info: the HPT
 * @reader: the reader, of all HPTEs and not only those that are bolted
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
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		return gather_clean(info, reader, enc, budget, true);
	return gather_clean(info, reader, enc, budget, false);
}
