/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_BARRIER_H
#define SHIM_BARRIER_H

#include <linux/compiler.h>
#include_next <asm/barrier.h>

#undef smp_store_release
#undef smp_load_acquire
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_mb__after_atomic()	smp_mb()

/* Who waits for an HPTE lets others run; a test can be one of them */
extern void (*shim_spin)(void);

#define cpu_relax() (shim_spin ? shim_spin() : __builtin_ia32_pause())

#endif
