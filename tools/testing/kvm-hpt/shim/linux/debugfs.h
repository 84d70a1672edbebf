/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_DEBUGFS_H
#define SHIM_DEBUGFS_H

#include <linux/fs.h>

/* The file that was made last, to be opened by a test */
extern struct file shim_debugfs_file;

static inline void debugfs_create_file(const char *name, umode_t mode,
				       struct dentry *parent, void *data,
				       const struct file_operations *fops)
{
	shim_debugfs_file = (struct file) {
		.f_op = fops,
		.inode.i_private = data,
	};
}

#endif
