// SPDX-License-Identifier: GPL-2.0
/*
 * Check by digests that no page has two HPTEs.
 */
#include <string.h>

#include "digest.h"

/* Half of a group. Compilers make a few instructions for vectors of it. */
typedef u32 half __attribute__((vector_size(GROUP_HPTES / 2 * sizeof(u32))));

#ifdef __clang__
#define TURN(x, a, b, c, d)	__builtin_shufflevector(x, x, a, b, c, d)
#else
#define TURN(x, a, b, c, d)	__builtin_shuffle(x, (half) { a, b, c, d })
#endif

/*
 * Not zero if two digests are equal. Most groups have none, so no slot is left out.
 * A copy in memory that is read with another offset would take longer: a CPU waits
 * until all of what it reads was written.
 */
static inline half find_alike(const struct digest_group *group)
{
	half alike, low, high, turned;

	memcpy(&low, group->digest, sizeof(low));
	memcpy(&high, group->digest + GROUP_HPTES / 2, sizeof(high));
	low ^= (half) { 0, 1, 2, 3 };
	high ^= (half) { 4, 5, 6, 7 };
	alike = (half)(low == high);
	turned = TURN(high, 1, 2, 3, 0);
	alike |= (half)(low == turned) | (half)(high == turned);
	turned = TURN(high, 2, 3, 0, 1);
	alike |= (half)(low == turned) | (half)(high == turned);
	turned = TURN(high, 3, 0, 1, 2);
	alike |= (half)(low == turned);
	alike |= (half)(low == TURN(low, 1, 2, 3, 0));
	alike |= (half)(low == TURN(low, 2, 3, 0, 1));
	return alike;
}

static inline bool is_any(half found)
{
	u64 part[2];

	memcpy(part, &found, sizeof(part));
	return part[0] | part[1];
}

/**
 * digest_alike() - are two digests of a group equal?
 * @leaf: a node of groups
 * @groups: a bit for each group to look at
 *
 * It does not matter whether their HPTEs are valid.
 */
bool digest_alike(void **leaf, unsigned int groups)
{
	half alike = {};

	for (; groups; groups &= groups - 1)
		alike |= find_alike(leaf[__builtin_ctz(groups)]);
	return is_any(alike);
}

/* A bit for each place with this digest; what was there before has one as well */
static unsigned int places(const struct digest_group *group, u32 digest)
{
	unsigned int i, bits = 0;

	for (i = 0; i < GROUP_HPTES; i++)
		bits |= ((group->digest[i] ^ i) == digest) << i;
	return bits;
}

/* Are two of a group alike? */
static bool twice_inside(const struct digest_group *group)
{
	unsigned int i, others;

	for (i = 0; i < GROUP_HPTES; i++) {
		others = places(group, group->digest[i] ^ i) & group->used;
		others &= group->secondary & 1 << i ? group->secondary :
						      ~group->secondary;
		if (group->used & 1 << i && others & ~(1U << i))
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
		    places(other, group->digest[i] ^ i) & other->used &
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
		if (is_any(find_alike(group)) && twice_inside(group))
			return true;
		if (!(group->used & group->secondary))
			continue;
		other = (void *)table_group(t, ~number & mask);
		if (other && twice_outside(group, other))
			return true;
	}
	return false;
}
