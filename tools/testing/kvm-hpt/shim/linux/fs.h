/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_FS_H
#define SHIM_FS_H

#include <linux/types.h>
#include <linux/uio.h>

struct dentry;
struct pipe_inode_info;
struct poll_table_struct;
struct seq_file;

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
	ssize_t (*read)(struct file *file, char __user *buf, size_t len,
			loff_t *pos);
	ssize_t (*write)(struct file *file, const char __user *buf, size_t len,
			 loff_t *pos);
	ssize_t (*read_iter)(struct kiocb *iocb, struct iov_iter *to);
	ssize_t (*write_iter)(struct kiocb *iocb, struct iov_iter *from);
	ssize_t (*splice_read)(struct file *file, loff_t *pos,
			       struct pipe_inode_info *pipe, size_t len,
			       unsigned int flags);
	void *splice_write;
	void *llseek;
	unsigned int (*poll)(struct file *file, struct poll_table_struct *wait);
	long (*unlocked_ioctl)(struct file *file, unsigned int cmd,
			       unsigned long arg);
	void *compat_ioctl;
	void (*show_fdinfo)(struct seq_file *m, struct file *file);
	int (*open)(struct inode *inode, struct file *file);
	int (*release)(struct inode *inode, struct file *file);
};

#define file_inode(file)		(&(file)->inode)
#define stream_open(inode, file)	((void)(inode))

/* Kernel functions that nothing calls here; tests only compare the addresses */
extern char shim_noop_llseek, shim_compat_ptr_ioctl, shim_iter_file_splice_write;

/* Puts all that it reads into one buffer of the pipe, without the data */
ssize_t copy_splice_read(struct file *file, loff_t *pos,
			 struct pipe_inode_info *pipe, size_t len,
			 unsigned int flags);

#define noop_llseek			(&shim_noop_llseek)
#define compat_ptr_ioctl		(&shim_compat_ptr_ioctl)
#define iter_file_splice_write		(&shim_iter_file_splice_write)

#endif
