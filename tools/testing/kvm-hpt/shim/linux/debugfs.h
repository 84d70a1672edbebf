/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_DEBUGFS_H
#define SHIM_DEBUGFS_H

#include <linux/fs.h>

/* The file that was created last, for a test to open */
extern struct file shim_debugfs_file;
extern umode_t shim_debugfs_mode;

static inline void debugfs_create_file(const char *name, umode_t mode,
				       struct dentry *parent, void *data,
				       const struct file_operations *fops)
{
	shim_debugfs_file = (struct file) {
		.f_op = fops,
		.inode.i_private = data,
	};
	shim_debugfs_mode = mode;
}

#endif
