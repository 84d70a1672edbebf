/* SPDX-License-Identifier: GPL-2.0-only */
/* Accesses to user memory, each of which can be made to fail */
#ifndef SHIM_UACCESS_H
#define SHIM_UACCESS_H

#include <string.h>
#include <linux/errno.h>
#include <linux/types.h>

/* Make the n-th access from now on fail */
extern unsigned int shim_fault_at;
bool shim_faults(void);

#define get_user(x, p)	(shim_faults() ? -EFAULT : ((x) = *(p), 0))

static inline int copy_struct_from_user(void *dst, size_t ksize,
					const void *src, size_t usize)
{
	const char *rest = src;
	size_t i;

	for (i = ksize; i < usize; i++)
		if (rest[i])
			return -E2BIG;
	if (shim_faults())
		return -EFAULT;
	memset(dst, 0, ksize);
	memcpy(dst, src, usize < ksize ? usize : ksize);
	return 0;
}

/* A task that copies may sleep: see shim_interleave */
void shim_copies(void);

static inline unsigned long copy_from_user(void *to, const void *from, size_t n)
{
	shim_copies();
	if (shim_faults())
		return n;
	memcpy(to, from, n);
	return 0;
}

/* An access that fails is not counted: the caller repeats it by another function */
static inline bool user_read_access_begin(const void *from, size_t n)
{
	shim_copies();
	return true;
}

#define unsafe_get_user(x, p, e)	do {	\
	if (shim_fault_at == 1)			\
		goto e;				\
	(x) = *(p);				\
} while (0)

static inline void user_read_access_end(void)
{
	if (shim_fault_at > 1)
		shim_fault_at--;
}

static inline unsigned long copy_to_user(void *to, const void *from, size_t n)
{
	if (shim_faults())
		return n;
	memcpy(to, from, n);
	return 0;
}

#endif
