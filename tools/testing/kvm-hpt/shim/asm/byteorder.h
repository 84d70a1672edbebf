/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_BYTEORDER_H
#define SHIM_BYTEORDER_H

#include <linux/kernel.h>
#include <linux/types.h>

static inline u64 be64_to_cpup(const __be64 *p)
{
	return be64_to_cpu(*p);
}

#endif
