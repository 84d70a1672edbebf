/* SPDX-License-Identifier: GPL-2.0-only */
#include <limits.h>
#include <linux/types.h>

#define U64_MAX	((u64)~0ull)
