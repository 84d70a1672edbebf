/* SPDX-License-Identifier: GPL-2.0-only */
/* User memory, a part of which may be inaccessible */
#ifndef SHIM_UIO_H
#define SHIM_UIO_H

#include <linux/kernel.h>
#include <linux/types.h>

/**
 * struct iov_iter - a copy from or to user space
 * @buf: the memory
 * @pos: current position
 * @count: bytes left to copy
 * @limit: bytes from @buf on that are accessible
 */
struct iov_iter {
	char *buf;
	size_t pos;
	size_t count;
	size_t limit;
};

#define ITER_DEST	0
#define ITER_SOURCE	1

static inline void iov_iter_ubuf(struct iov_iter *it, unsigned int direction,
				 void *buf, size_t count)
{
	*it = (struct iov_iter) { .buf = buf, .count = count, .limit = count };
}

static inline size_t iov_iter_count(const struct iov_iter *it)
{
	return it->count;
}

void iov_iter_revert(struct iov_iter *it, size_t bytes);
size_t copy_to_iter(const void *from, size_t bytes, struct iov_iter *to);
size_t copy_from_iter(void *to, size_t bytes, struct iov_iter *from);

#endif
