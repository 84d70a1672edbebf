/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SEQ_FILE_H
#define SHIM_SEQ_FILE_H

#include <linux/fs.h>

/**
 * struct seq_file - lines of text
 * @private: private data of the user
 * @op: iterator over the lines
 * @index: position of the next line
 * @len: bytes in @buf
 * @buf: the text so far
 */
struct seq_file {
	void *private;
	const struct seq_operations *op;
	loff_t index;
	size_t len;
	char buf[4096];
};

struct seq_operations {
	void *(*start)(struct seq_file *m, loff_t *pos);
	void (*stop)(struct seq_file *m, void *p);
	void *(*next)(struct seq_file *m, void *p, loff_t *pos);
	int (*show)(struct seq_file *m, void *p);
};

void seq_printf(struct seq_file *m, const char *format, ...);
#define seq_puts(m, s)	seq_printf(m, "%s", s)

int seq_open(struct file *file, const struct seq_operations *op);
ssize_t seq_read(struct file *file, char __user *buf, size_t len, loff_t *pos);
int seq_release(struct inode *inode, struct file *file);

extern char shim_seq_lseek;

#define seq_lseek	(&shim_seq_lseek)

#endif
