/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A file of a FUSE file system that answers a read only when the test wants it
 * to.  Its server is a process without the memory of the test.
 */
#ifndef SELFTEST_KVM_POWERPC_HPT_FUSE_H
#define SELFTEST_KVM_POWERPC_HPT_FUSE_H

#include <sys/types.h>

#define NO_FUSE		"the kernel has no FUSE"
/* Bytes in the file, all 0 */
#define SLOW_FILE_SIZE	0x10000

struct slow_file {
	int cached;		/* the file, through the page cache */
	int direct;		/* the file, opened with FOPEN_DIRECT_IO */
	pid_t server;
	int *state;		/* shared with the server */
};

/* Returns -ENODEV if the kernel has no FUSE */
int slow_file_init(struct slow_file *f);
void slow_file_free(struct slow_file *f);
/* Wait until a read waits for the server */
int slow_file_wait(struct slow_file *f);
/*
 * Have the server answer this read, and all that follow.  Returns -ETIMEDOUT if
 * it has done so by itself, after ten seconds.
 */
int slow_file_let_go(struct slow_file *f);

#endif
