/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_TYPES_H
#define SHIM_TYPES_H

#include <sys/types.h>
#include_next <linux/types.h>

typedef struct { s64 counter; } atomic64_t;

typedef u64 gfn_t;
typedef u64 gpa_t;
typedef u64 hva_t;
typedef unsigned short umode_t;

#define U8_MAX		((u8)~0)
#define U16_MAX		((u16)~0)
#define U32_MAX		((u32)~0)

#endif
