/* SPDX-License-Identifier: GPL-2.0-only */
/* Work items that run when a test calls them */
#ifndef SHIM_WORKQUEUE_H
#define SHIM_WORKQUEUE_H

#include <linux/types.h>

#define HZ	100

struct work_struct {
	void (*function)(struct work_struct *work);
};

struct delayed_work {
	struct work_struct work;
	bool pending;
	unsigned long delay;
};

#define to_delayed_work(w)	container_of(w, struct delayed_work, work)

#define INIT_DELAYED_WORK(w, f)			((w)->work.function = (f))
/* The delay is recorded for tests */
#define queue_delayed_work(wq, w, d) \
	((w)->pending ? false : ((w)->delay = (d), (w)->pending = true))
#define cancel_delayed_work_sync(w)		((w)->pending = false)

#endif
