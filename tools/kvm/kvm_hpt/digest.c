// SPDX-License-Identifier: GPL-2.0
/*
 * No page has two HPTEs, by their digests.
 */
#include "digest.h"

/* Are two of a group alike? An HPTE may have gone since that was noted. */
static bool twice_inside(const struct digest_group *group)
{
	unsigned int i, places;

	for (i = 0; i < GROUP_HPTES; i++) {
		places = digest_places(group, group->digest[i]) & group->used;
		places &= group->secondary & 1 << i ? group->secondary :
						      ~group->secondary;
		if (group->used & 1 << i && places & ~(1U << i))
			return true;
	}
	return false;
}

/* Is one that is there by the secondary hash in its primary group as well? */
static bool twice_outside(const struct digest_group *group,
			  const struct digest_group *other)
{
	unsigned int i;

	for (i = 0; i < GROUP_HPTES; i++)
		if (group->used & group->secondary & 1 << i &&
		    digest_places(other, group->digest[i]) & other->used &
		    ~other->secondary)
			return true;
	return false;
}

/**
 * digest_twice() - may two HPTEs translate the same page?
 * @t: the table, of digests
 * @order: of the HPT
 *
 * Return: false if there are none; true if there are, or hardly ever, if two
 * others have the same digest.
 */
bool digest_twice(struct table *t, unsigned int order)
{
	u64 mask = order_groups(order) - 1, number;
	const struct digest_group *group, *other;

	for (number = 0; (group = (void *)table_next(t, &number)); number++) {
		if (group->alike && twice_inside(group))
			return true;
		if (!(group->used & group->secondary))
			continue;
		other = (void *)table_group(t, ~number & mask);
		if (other && twice_outside(group, other))
			return true;
	}
	return false;
}
