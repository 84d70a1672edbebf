/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Definitions of an HPTE's bits are extracted from the kernel's headers (see
 * the Makefile for the list). The lock of an HPTE is in assembler there.
 */
#ifndef SHIM_KVM_BOOK3S_64_H
#define SHIM_KVM_BOOK3S_64_H

#include <linux/bitmap.h>
#include <linux/kvm_host.h>
#include <linux/preempt.h>

#define VM_WARN(condition, ...)	BUG_ON(condition)
#define spin_is_locked(lock)	(pthread_mutex_trylock(lock) == EBUSY)

#include <gen/asm-const.h>
#include <gen/reg.h>
#include <gen/mmu-hash.h>
#include <gen/kvm_book3s_64.h>

/* How often this thread has locked an HPTE */
extern __thread unsigned int shim_hpte_locks;

static inline long try_lock_hpte(__be64 *hpte, unsigned long bits)
{
	__be64 old = READ_ONCE(hpte[0]);
	__be64 new = old | cpu_to_be64(HPTE_V_HVLOCK);

	/* Else the holder could be preempted while others spin for the lock */
	BUG_ON(!preempt_count);
	if ((old & cpu_to_be64(bits)) ||
	    !__atomic_compare_exchange_n(&hpte[0], &old, new, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	shim_hpte_locks++;
	shim_race();
	return true;
}

static inline void unlock_hpte(__be64 *hpte, unsigned long hpte_v)
{
	BUG_ON(!preempt_count);
	__atomic_store_n(&hpte[0], cpu_to_be64(hpte_v & ~HPTE_V_HVLOCK),
			 __ATOMIC_RELEASE);
}

#endif
