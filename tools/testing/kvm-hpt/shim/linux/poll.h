/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_POLL_H
#define SHIM_POLL_H

#include <linux/fs.h>
#include <linux/wait.h>

struct poll_table_struct {
	int unused;
};

static inline void poll_wait(struct file *file, wait_queue_head_t *queue,
			     struct poll_table_struct *table)
{
	__atomic_fetch_add(&queue->polled, 1, __ATOMIC_RELAXED);
}

#endif
