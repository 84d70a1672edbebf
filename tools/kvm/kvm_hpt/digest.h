/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Digests of the HPTEs of a table: enough to see that no two translate the same
 * page, in a quarter of the memory, which is what takes most of the time.
 */
#ifndef KVM_HPT_DIGEST_H
#define KVM_HPT_DIGEST_H

#include "table.h"

/**
 * struct digest_group - digests of a group; begins like a struct table_group
 * @used: a bit for each HPTE that is valid
 * @secondary: a bit for each that is there by the secondary hash
 * @digest: equal for HPTEs of the same page, hardly ever for others. Each is XORed
 *	    with its slot, so that those that were never used, which are 0, differ.
 *	    That of an HPTE that is not valid any more stays.
 */
struct digest_group {
	u8 used;
	u8 secondary;
	u32 digest[GROUP_HPTES];
} __attribute__((aligned(8)));

bool digest_alike(void **leaf, unsigned int groups);
bool digest_twice(struct table *t, unsigned int order);

/* The upper half of such a product depends on all bits of the key */
static inline u32 digest_of(u64 key)
{
	return (key & ~HPTE_V_SECONDARY) * 0x9e3779b97f4a7c15ULL >> 32;
}

/**
 * digest_put() - put an HPTE into a group, which digest_use() makes valid
 * @group: the group
 * @slot: where in it
 * @key: all of dword 0 that tells its page, with the base page size in bits that
 *	 these leave free
 */
static inline void digest_put(struct digest_group *group, unsigned int slot,
			      u64 key)
{
	group->digest[slot] = digest_of(key) ^ slot;
}

/**
 * digest_use() - make HPTEs of a group valid
 * @group: the group
 * @hptes: a bit for each
 * @secondary: those of them that are there by the secondary hash
 */
static inline void digest_use(struct digest_group *group, u8 hptes, u8 secondary)
{
	group->used |= hptes;
	group->secondary &= ~hptes;
	group->secondary |= secondary;
}

#endif
