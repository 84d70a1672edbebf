/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Digests of the HPTEs of a table: enough to see that no two translate the same
 * page, in a quarter of the memory, which is what takes most of the time.
 */
#ifndef KVM_HPT_DIGEST_H
#define KVM_HPT_DIGEST_H

#include <string.h>

#include "table.h"

/**
 * struct digest_group - digests of a group; begins like a struct table_group
 * @used: a bit for each HPTE that is valid
 * @secondary: a bit for each that is there by the secondary hash
 * @alike: two have had the same digest at the same time
 * @digest: equal for HPTEs of the same page, hardly ever for others
 */
struct digest_group {
	u8 used;
	u8 secondary;
	bool alike;
	u32 digest[GROUP_HPTES];
} __attribute__((aligned(8)));

bool digest_twice(struct table *t, unsigned int order);

/* A bit for each place with this digest; what was there before has one as well */
static inline unsigned int digest_places(const struct digest_group *group,
					 u32 digest)
{
	unsigned int i, places = 0;
	u64 any = 0, two;
	u32 same[GROUP_HPTES];

	/* Mostly there is none, and compilers have this in a few instructions */
	for (i = 0; i < GROUP_HPTES; i++)
		same[i] = group->digest[i] == digest;
	for (i = 0; i < GROUP_HPTES; i += 2) {
		memcpy(&two, same + i, sizeof(two));
		any |= two;
	}
	for (i = 0; any && i < GROUP_HPTES; i++)
		places |= same[i] << i;
	return places;
}

/**
 * digest_put() - put an HPTE into a group
 * @group: the group
 * @slot: where in it
 * @key: all of dword 0 that tells its page, and H, with the base page size in
 *	 bits that these leave free
 *
 * Return: true if digest_twice() has to look at the table in the end.
 */
static inline bool digest_put(struct digest_group *group, unsigned int slot,
			      u64 key)
{
	/* The upper half of such a product depends on all bits of the key */
	u32 digest = (key & ~HPTE_V_SECONDARY) * 0x9e3779b97f4a7c15ULL >> 32;
	u8 bit = 1 << slot, secondary = 0;

	if (key & HPTE_V_SECONDARY)
		secondary = bit;
	/* Most of what changes in an HPTE is not its page */
	if (group->used & bit && group->digest[slot] == digest &&
	    (group->secondary & bit) == secondary)
		return secondary;
	if (group->used & ~bit &&
	    digest_places(group, digest) & group->used & ~bit)
		group->alike = true;
	group->used |= bit;
	group->secondary = (group->secondary & ~bit) | secondary;
	group->digest[slot] = digest;
	return group->alike || secondary;
}

#endif
