/* SPDX-License-Identifier: GPL-2.0-only */
/* Nothing is freed here during an RCU read section, so free it immediately */
#ifndef SHIM_RCUPDATE_H
#define SHIM_RCUPDATE_H

#include <linux/compiler.h>

struct rcu_head {
	void *unused;
};

#define rcu_read_lock()			do { } while (0)
#define rcu_read_unlock()		do { } while (0)
#define rcu_assign_pointer(p, v)	((p) = (v))
#define rcu_dereference_raw(p)		data_race(p)
#define rcu_dereference_raw_check(p)	data_race(p)
#define rcu_dereference_check(p, c)	data_race(p)
#define rcu_dereference_protected(p, c)	(p)
#define RCU_INIT_POINTER(p, v)		((p) = (v))
#define call_rcu(head, function)	((function)(head))

#define __rcu

#endif
