/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Decoding HPTEs: Power ISA v2.07, Book III-S, "Page Table", and the changes of
 * v3.0.
 */
#ifndef KVM_HPT_HPTE_H
#define KVM_HPT_HPTE_H

#include <linux/types.h>

#define BIT_ULL(nr)		(1ULL << (nr))

#define HPTE_BYTES		16
#define HPTE_SHIFT		4

/* HPTEs in a group (HPTEG) */
#define GROUP_HPTES		8
#define GROUP_SHIFT		3

#define MIN_ORDER		18
#define MAX_ORDER		46

/* HPTEs in the smallest HPT */
#define MIN_HPTES		BIT_ULL(MIN_ORDER - HPTE_SHIFT)

/* The stream has 32 bits for an index */
#define MAX_HPTES		BIT_ULL(32)

#define HPTE_V_B		0xc000000000000000ULL
#define HPTE_V_B_SHIFT		62
#define HPTE_V_B_RESERVED	0x8000000000000000ULL
#define HPTE_V_AVPN		0x3fffffffffffff80ULL
#define HPTE_V_AVPN_SHIFT	7
#define HPTE_V_HVLOCK		0x40ULL
#define HPTE_V_ABSENT		0x20ULL
#define HPTE_V_BOLTED		0x10ULL
#define HPTE_V_SW		0x08ULL
#define HPTE_V_LARGE		0x04ULL
#define HPTE_V_SECONDARY	0x02ULL
#define HPTE_V_VALID		0x01ULL

/* The bits of dword 0 that KVM uses internally */
#define HPTE_V_HOST		(HPTE_V_HVLOCK | HPTE_V_ABSENT)

/* B is in dword 1 in v3.0 */
#define HPTE_V_3_0		0x000fffffffffffffULL
#define HPTE_R_3_0_B		0x0c00000000000000ULL
#define HPTE_R_3_0_B_SHIFT	58

#define HPTE_R_PP0		0x8000000000000000ULL
/* Reserved; KVM marks unreported changes with it in the reverse map */
#define HPTE_R_MARK		0x4000000000000000ULL
#define HPTE_R_KEY_HI		0x3000000000000000ULL
#define HPTE_R_RPN		0x0ffffffffffff000ULL
#define HPTE_R_KEY_LO		0x0000000000000e00ULL
#define HPTE_R_R		0x0000000000000100ULL
#define HPTE_R_C		0x0000000000000080ULL
#define HPTE_R_W		0x0000000000000040ULL
#define HPTE_R_I		0x0000000000000020ULL
#define HPTE_R_M		0x0000000000000010ULL
#define HPTE_R_G		0x0000000000000008ULL
#define HPTE_R_N		0x0000000000000004ULL
#define HPTE_R_PP		0x0000000000000003ULL

#define HPTE_R_WIMG		(HPTE_R_W | HPTE_R_I | HPTE_R_M | HPTE_R_G)
#define HPTE_R_RC		(HPTE_R_R | HPTE_R_C)

/* Virtual address bits that dword 0 does not have */
#define AVPN_LOW		23

/**
 * struct hpte - the guest's view of an HPTE, in the format before v3.0
 * @v: dword 0
 * @r: dword 1
 */
struct hpte {
	u64 v;
	u64 r;
};

/**
 * struct hpte_page - the page that an HPTE translates
 * @segment_shift: log2 of the segment size: 28 or 40, 0 if reserved
 * @base_shift: log2 of the base page size, 0 if the encoding is reserved
 * @shift: log2 of the actual page size, 0 if the encoding is reserved
 * @vsid: virtual segment
 * @offset: offset in the segment, without @unknown bits
 * @unknown: number of bits of the page number that the HPTE does not have
 * @real: real address
 */
struct hpte_page {
	unsigned int segment_shift;
	unsigned int base_shift;
	unsigned int shift;
	u64 vsid;
	u64 offset;
	unsigned int unknown;
	u64 real;
};

enum hash_verdict {
	HASH_RIGHT,
	HASH_OTHER,	/* wrong, but right with the other hash function */
	HASH_WRONG,
};

void hpte_page(struct hpte hpte, struct hpte_page *page);
enum hash_verdict hpte_hash(struct hpte hpte, const struct hpte_page *page,
			    u64 index, unsigned int order);
u64 hpte_unlike(struct hpte hpte, const struct hpte_page *page, u64 index);
u64 hpte_primary_group(struct hpte hpte, u64 index, unsigned int order);
u64 hpte_va_hash(u64 vsid, u64 offset, unsigned int segment_shift,
		 unsigned int base_shift);
u64 hpte_orders(struct hpte hpte, u64 index);
u64 hpte_offset(struct hpte hpte, u64 index, unsigned int order);
struct hpte hpte_from_v3(u64 v, u64 r);
struct hpte hpte_to_v3(struct hpte hpte);

static inline bool hpte_bolted(struct hpte hpte)
{
	return hpte.v & HPTE_V_BOLTED;
}

static inline bool hpte_secondary(struct hpte hpte)
{
	return hpte.v & HPTE_V_SECONDARY;
}

static inline unsigned int hpte_pp(struct hpte hpte)
{
	return (hpte.r & HPTE_R_PP0 ? 4 : 0) | (hpte.r & HPTE_R_PP);
}

static inline unsigned int hpte_key(struct hpte hpte)
{
	return (hpte.r & HPTE_R_KEY_HI) >> 57 | (hpte.r & HPTE_R_KEY_LO) >> 9;
}

static inline u64 order_hptes(unsigned int order)
{
	return BIT_ULL(order - HPTE_SHIFT);
}

/* The order of an HPT of so many HPTEs, or 0 */
static inline unsigned int hptes_order(u64 hptes)
{
	return hptes < MIN_HPTES || hptes & (hptes - 1) ? 0 :
	       __builtin_ctzll(hptes) + HPTE_SHIFT;
}

static inline u64 order_groups(unsigned int order)
{
	return BIT_ULL(order - HPTE_SHIFT - GROUP_SHIFT);
}

#endif
