// SPDX-License-Identifier: GPL-2.0
/*
 * Decode the page of an HPTE, and check that the HPTE is in the group that its
 * address hashes to.
 */
#include "hpte.h"

#define HASH_BITS		39

/* Page sizes for the values of L and LP that POWER8 to POWER10 define */
static void page_shifts(struct hpte hpte, unsigned int *base,
			unsigned int *actual)
{
	unsigned int lp = (hpte.r >> 12) & 0xff;

	*base = 0;
	*actual = 0;
	if (!(hpte.v & HPTE_V_LARGE)) {
		*base = 12;
		*actual = 12;
	} else if (lp == 0x00) {
		*base = 24;
		*actual = 24;
	} else if ((lp & 0xf) == 0x1) {
		*base = 16;
		*actual = 16;
	} else if (lp == 0x03) {
		*base = 34;
		*actual = 34;
	} else if ((lp & 0xf) == 0x7) {
		*base = 12;
		*actual = 16;
	} else if (lp == 0x08) {
		*base = 16;
		*actual = 24;
	} else if (lp == 0x38) {
		*base = 12;
		*actual = 24;
	}
}

/**
 * hpte_page() - decode the page that an HPTE translates
 * @hpte: the HPTE
 * @page: the result
 */
void hpte_page(struct hpte hpte, struct hpte_page *page)
{
	u64 avpn = (hpte.v & HPTE_V_AVPN) >> HPTE_V_AVPN_SHIFT;
	unsigned int b = hpte.v >> HPTE_V_B_SHIFT;
	unsigned int seg = b == 0 ? 28 : 40;

	page_shifts(hpte, &page->base_shift, &page->shift);
	page->segment_shift = b < 2 ? seg : 0;
	page->vsid = avpn >> (seg - AVPN_LOW);
	page->offset = (avpn & (BIT_ULL(seg - AVPN_LOW) - 1)) << AVPN_LOW;
	page->unknown = 0;
	if (page->base_shift && page->base_shift < AVPN_LOW)
		page->unknown = AVPN_LOW - page->base_shift;
	page->real = hpte.r & HPTE_R_RPN;
	if (page->shift)
		page->real &= ~(BIT_ULL(page->shift) - 1);
}

/**
 * hpte_va_hash() - compute the primary hash of a virtual address
 * @vsid: its segment
 * @offset: its offset in the segment
 * @segment_shift: log2 of the size of the segment
 * @base_shift: log2 of the base page size
 */
u64 hpte_va_hash(u64 vsid, u64 offset, unsigned int segment_shift,
		 unsigned int base_shift)
{
	u64 hash = vsid;

	if (segment_shift == 40)
		hash ^= vsid << 25;
	hash ^= offset >> base_shift;
	return hash & (BIT_ULL(HASH_BITS) - 1);
}

/* The primary hash, without the unknown bits of the page number */
static u64 known_hash(const struct hpte_page *page)
{
	return hpte_va_hash(page->vsid, page->offset, page->segment_shift,
			    page->base_shift);
}

/**
 * hpte_primary_group() - get the group of an HPTE's primary hash
 * @hpte: the HPTE
 * @index: its index
 * @order: of the HPT
 */
u64 hpte_primary_group(struct hpte hpte, u64 index, unsigned int order)
{
	u64 group = index >> GROUP_SHIFT;

	if (hpte_secondary(hpte))
		group = ~group;
	return group & (order_groups(order) - 1);
}

/**
 * hpte_unlike() - compare the group of an HPTE with its hash
 * @hpte: the HPTE
 * @page: the result of hpte_page(), with sizes that are not reserved
 * @index: its index
 *
 * Return: the bits that differ; only the lowest ones matter for an order.
 */
u64 hpte_unlike(struct hpte hpte, const struct hpte_page *page, u64 index)
{
	u64 group = index >> GROUP_SHIFT;

	if (hpte_secondary(hpte))
		group = ~group;
	return (known_hash(page) ^ group) & (~0ULL << page->unknown);
}

/**
 * hpte_hash() - is an HPTE in the right group?
 * @hpte: the HPTE
 * @page: the result of hpte_page(), with sizes that are not reserved
 * @index: its index
 * @order: of the HPT
 *
 * An HPTE with a base page of 4K or 64K lacks the lowest bits of the page
 * number, which follow from the group. Only the bits above these can be
 * verified.
 */
enum hash_verdict hpte_hash(struct hpte hpte, const struct hpte_page *page,
			    u64 index, unsigned int order)
{
	u64 mask = order_groups(order) - 1;
	u64 unlike = hpte_unlike(hpte, page, index);

	if (!(unlike & mask))
		return HASH_RIGHT;
	if (!(~unlike & mask & (~0ULL << page->unknown)))
		return HASH_OTHER;
	return HASH_WRONG;
}

/**
 * hpte_orders() - find the orders with which an HPTE is in the right group
 * @hpte: the HPTE
 * @index: its index
 *
 * Return: a bit for each of them.
 */
u64 hpte_orders(struct hpte hpte, u64 index)
{
	struct hpte_page page;
	unsigned int order;
	u64 orders = 0;

	hpte_page(hpte, &page);
	if (!page.segment_shift || !page.base_shift)
		return 0;
	for (order = MIN_ORDER; order <= MAX_ORDER; order++)
		if (index < order_hptes(order) &&
		    hpte_hash(hpte, &page, index, order) == HASH_RIGHT)
			orders |= BIT_ULL(order);
	return orders;
}

/**
 * hpte_offset() - get the offset of an HPTE's page in its segment
 * @hpte: the HPTE, with segment and page sizes that are not reserved
 * @index: its index
 * @order: of the HPT
 *
 * The bits that the HPTE lacks follow from its index.
 */
u64 hpte_offset(struct hpte hpte, u64 index, unsigned int order)
{
	u64 group = hpte_primary_group(hpte, index, order);
	struct hpte_page page;
	u64 low;

	hpte_page(hpte, &page);
	low = (known_hash(&page) ^ group) & (BIT_ULL(page.unknown) - 1);
	return page.offset | low << page.base_shift;
}

/**
 * hpte_from_v3() - convert an HPTE from the format of v3.0
 * @v: dword 0
 * @r: dword 1
 */
struct hpte hpte_from_v3(u64 v, u64 r)
{
	u64 b = (r & HPTE_R_3_0_B) >> HPTE_R_3_0_B_SHIFT;

	return (struct hpte) {
		.v = (v & HPTE_V_3_0) | b << HPTE_V_B_SHIFT,
		.r = r & ~HPTE_R_3_0_B,
	};
}

/**
 * hpte_to_v3() - convert an HPTE to the format of v3.0
 * @hpte: the HPTE
 */
struct hpte hpte_to_v3(struct hpte hpte)
{
	u64 b = hpte.v >> HPTE_V_B_SHIFT;

	return (struct hpte) {
		.v = hpte.v & HPTE_V_3_0,
		.r = (hpte.r & ~HPTE_R_3_0_B) | b << HPTE_R_3_0_B_SHIFT,
	};
}
