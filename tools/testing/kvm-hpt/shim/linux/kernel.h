/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_KERNEL_H
#define SHIM_KERNEL_H

#include_next <linux/kernel.h>

/* The kernel under test has 64 KiB pages */
#undef PAGE_SHIFT
#undef PAGE_SIZE
#define PAGE_SHIFT	16
#define PAGE_SIZE	(1ul << PAGE_SHIFT)
#define PAGE_MASK	(~(PAGE_SIZE - 1))

#define might_sleep()	do { } while (0)

#endif
