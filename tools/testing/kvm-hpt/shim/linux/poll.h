/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_POLL_H
#define SHIM_POLL_H

#include <linux/fs.h>
#include <linux/wait.h>

struct poll_table_struct {
	int unused;
};

#define poll_wait(file, queue, table)	((void)(table))

#endif
