/* SPDX-License-Identifier: GPL-2.0-only */
/* Bit operations that several threads may do on the same word */
#ifndef SHIM_BITOPS_H
#define SHIM_BITOPS_H

#include_next <linux/bitops.h>

static inline bool shim_test_bit(unsigned long bit, const unsigned long *map)
{
	return READ_ONCE(map[bit / BITS_PER_LONG]) >> bit % BITS_PER_LONG & 1;
}

static inline void shim_set_bit(unsigned long bit, unsigned long *map)
{
	shim_point(SHIM_ACCESS);
	__atomic_fetch_or(&map[bit / BITS_PER_LONG], 1ul << bit % BITS_PER_LONG,
			  __ATOMIC_RELAXED);
}

static inline void shim_clear_bit(unsigned long bit, unsigned long *map)
{
	shim_point(SHIM_ACCESS);
	__atomic_fetch_and(&map[bit / BITS_PER_LONG],
			   ~(1ul << bit % BITS_PER_LONG), __ATOMIC_RELAXED);
}

#undef test_bit
#undef set_bit
#undef clear_bit
#define test_bit(bit, map)	shim_test_bit(bit, (const unsigned long *)(map))
#define set_bit(bit, map)	shim_set_bit(bit, (unsigned long *)(map))
#define clear_bit(bit, map)	shim_clear_bit(bit, (unsigned long *)(map))

#endif
