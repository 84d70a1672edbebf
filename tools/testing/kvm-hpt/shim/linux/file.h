/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/fs.h>

int get_unused_fd_flags(unsigned int flags);
void put_unused_fd(int fd);
void fd_install(int fd, struct file *file);

/* How many files can be open at once */
#define SHIM_FILES	256

/* The file of a descriptor */
struct file *shim_file(int fd);
void shim_close(int fd);

/* Make the n-th call from now on that can fail for lack of files fail */
extern unsigned int shim_fail_file_at;

/* Called once a descriptor is installed, as other threads can use it then */
extern void (*shim_installed)(int fd);
