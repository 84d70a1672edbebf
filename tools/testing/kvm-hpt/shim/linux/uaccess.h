/* SPDX-License-Identifier: GPL-2.0-only */
/* Accesses of user memory, each of which can fail */
#ifndef SHIM_UACCESS_H
#define SHIM_UACCESS_H

#include <string.h>
#include <linux/errno.h>
#include <linux/types.h>

/* Let the n-th access from now on fail */
extern unsigned int shim_fault_at;
bool shim_faults(void);

#define get_user(x, p)	(shim_faults() ? -EFAULT : ((x) = *(p), 0))

static inline unsigned long copy_to_user(void *to, const void *from, size_t n)
{
	if (shim_faults())
		return n;
	memcpy(to, from, n);
	return 0;
}

#endif
