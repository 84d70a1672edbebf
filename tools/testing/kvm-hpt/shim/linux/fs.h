/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_FS_H
#define SHIM_FS_H

#include <linux/types.h>
#include <linux/uio.h>

struct inode {
	void *i_private;
};

struct file {
	const struct file_operations *f_op;
	void *private_data;
	unsigned int flags;
	struct inode inode;
};

struct kiocb {
	struct file *ki_filp;
};

struct file_operations {
	void *owner;
	ssize_t (*read_iter)(struct kiocb *iocb, struct iov_iter *to);
	ssize_t (*write_iter)(struct kiocb *iocb, struct iov_iter *from);
	void *splice_read;
	void *splice_write;
	int (*release)(struct inode *inode, struct file *file);
};

#define file_inode(file)		(&(file)->inode)
#define stream_open(inode, file)	((void)(inode))

#define copy_splice_read		NULL
#define iter_file_splice_write		NULL

#endif
