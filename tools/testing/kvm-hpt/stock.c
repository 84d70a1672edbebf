// SPDX-License-Identifier: GPL-2.0-only
/*
 * The base kernel's own implementation, extracted from its source by the build,
 * to compare the time of both. User access is plain loads and stores for both
 * here, without the cost of opening and closing it.
 */

#include <string.h>

#include <asm/kvm_ppc.h>

#include "fake.h"
#include "stock.h"

#define access_ok(p, size)		((void)(size), (p) != NULL)
#define __put_user(x, p)		((void)(*(p) = (x)), 0)
#define __get_user(x, p)		((x) = *(p), 0)
#define __copy_to_user(to, from, n)	(memcpy(to, from, n), 0)
#define __copy_from_user(to, from, n)	(memcpy(to, from, n), 0)
#undef pr_err
#define pr_err(...)			do { } while (0)

static long kvmppc_virtmode_do_h_enter(struct kvm *kvm, unsigned long flags,
				       long index, unsigned long v,
				       unsigned long r, unsigned long *entered)
{
	long ret;

	preempt_disable();
	ret = kvmppc_do_h_enter(kvm, flags, index, v, r, NULL, false, entered);
	preempt_enable();
	return ret;
}

/* This implementation removes HPTEs with preemption enabled */
static long remove_preemptible(struct kvm *kvm, unsigned long flags,
			       unsigned long index, unsigned long avpn,
			       unsigned long *old)
{
	long ret;

	preempt_disable();
	ret = kvmppc_do_h_remove(kvm, flags, index, avpn, old);
	preempt_enable();
	return ret;
}

#define kvmppc_do_h_remove remove_preemptible
#include <gen/stock.h>
#undef kvmppc_do_h_remove

static struct kvm_htab_ctx ctx;

static struct file file = { .private_data = &ctx };

void stock_open(struct kvm *kvm)
{
	ctx = (struct kvm_htab_ctx) { .kvm = kvm, .first_pass = 1 };
}

ssize_t stock_read(void *buf, size_t size)
{
	return kvm_htab_read(&file, buf, size, NULL);
}

ssize_t stock_write(void *buf, size_t size)
{
	return kvm_htab_write(&file, buf, size, NULL);
}
