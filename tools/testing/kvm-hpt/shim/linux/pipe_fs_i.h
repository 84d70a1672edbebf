/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_PIPE_FS_I_H
#define SHIM_PIPE_FS_I_H

#include <linux/types.h>

struct pipe_inode_info;

struct pipe_buffer {
	unsigned int len;
	const struct pipe_buf_operations *ops;
	unsigned long private;
};

struct pipe_inode_info {
	unsigned int head;
	unsigned int ring_size;
	struct pipe_buffer *bufs;
};

struct pipe_buf_operations {
	void (*release)(struct pipe_inode_info *pipe, struct pipe_buffer *buf);
	bool (*try_steal)(struct pipe_inode_info *pipe, struct pipe_buffer *buf);
	bool (*get)(struct pipe_inode_info *pipe, struct pipe_buffer *buf);
};

void generic_pipe_buf_release(struct pipe_inode_info *pipe,
			      struct pipe_buffer *buf);
bool generic_pipe_buf_try_steal(struct pipe_inode_info *pipe,
				struct pipe_buffer *buf);
bool generic_pipe_buf_get(struct pipe_inode_info *pipe,
			  struct pipe_buffer *buf);

#endif
