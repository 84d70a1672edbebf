/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/fs.h>

struct file *anon_inode_getfile(const char *name,
				const struct file_operations *fops,
				void *priv, int flags);
