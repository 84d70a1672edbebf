/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_BARRIER_H
#define SHIM_BARRIER_H

#include <linux/compiler.h>
#include_next <asm/barrier.h>

static inline void shim_mb(void)
{
	smp_mb();
}

static inline void shim_wmb(void)
{
	smp_wmb();
}

static inline void shim_rmb(void)
{
	smp_rmb();
}

#undef smp_mb
#undef smp_wmb
#undef smp_rmb
#undef smp_store_release
#undef smp_load_acquire
#define smp_mb()		(shim_point(SHIM_MB), shim_mb())
#define smp_wmb()		(shim_point(SHIM_WMB), shim_wmb())
#define smp_rmb()		(shim_point(SHIM_RMB), shim_rmb())
#define smp_mb__after_atomic()	smp_mb()
#define smp_store_release(p, v)						\
	(shim_point(SHIM_RELEASE), __atomic_store_n(p, v, __ATOMIC_RELEASE))
#define smp_load_acquire(p)	__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_acquire__after_ctrl_dep()	shim_rmb()

/* Called while code waits for the lock of an HPTE, for tests */
extern void (*shim_spin)(void);

#define cpu_relax() (shim_spin ? shim_spin() : __builtin_ia32_pause())

#endif
