// SPDX-License-Identifier: GPL-2.0
/* See hpt_fuse.h */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <linux/fuse.h>

#include "hpt_fuse.h"

/* How long the server holds a read, in milliseconds */
#define PATIENCE	10000
/* How long the kernel may cache replies, in seconds */
#define VALID		86400

enum { IDLE, HELD, ANSWERED, ANSWERED_LATE };

struct request {
	struct fuse_in_header h;
	union {
		struct fuse_init_in init;
		struct fuse_open_in open;
		struct fuse_read_in read;
		/* The kernel wants room for this, whatever the request */
		unsigned char room[FUSE_MIN_READ_BUFFER];
	};
};

static bool change(int *state, int from, int to)
{
	return __atomic_compare_exchange_n(state, &from, to, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Keep a read waiting until the test lets it go */
static void hold(int *state)
{
	int ms;

	change(state, IDLE, HELD);
	for (ms = 0; ms < PATIENCE; ms++) {
		if (__atomic_load_n(state, __ATOMIC_SEQ_CST) != HELD)
			return;
		usleep(1000);
	}
	change(state, HELD, ANSWERED_LATE);
}

static void reply(int dev, struct request *r, int err, void *data, size_t size)
{
	struct fuse_out_header h = {
		.len = sizeof(h) + size,
		.error = err,
		.unique = r->h.unique,
	};
	struct iovec iov[] = { { &h, sizeof(h) }, { data, size } };

	/* The kernel may have given up the request */
	if (writev(dev, iov, 2) < 0 && errno != ENOENT)
		_exit(1);
}

static void serve(int dev, int *state, struct request *r)
{
	static unsigned char zeros[SLOW_FILE_SIZE];
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = r->init.minor,
		.max_readahead = SLOW_FILE_SIZE,
		.flags = FUSE_ASYNC_READ,
	};
	struct fuse_attr_out attr = {
		.attr_valid = VALID,
		.attr = {
			.ino = FUSE_ROOT_ID,
			.size = SLOW_FILE_SIZE,
			.mode = S_IFREG | 0600,
			.nlink = 1,
		},
	};
	struct fuse_open_out open = { .open_flags = FOPEN_KEEP_CACHE };

	switch (r->h.opcode) {
	case FUSE_INIT:
		return reply(dev, r, 0, &init, sizeof(init));
	case FUSE_GETATTR:
		return reply(dev, r, 0, &attr, sizeof(attr));
	case FUSE_OPEN:
		if ((r->open.flags & O_ACCMODE) == O_RDWR)
			open.open_flags |= FOPEN_DIRECT_IO;
		return reply(dev, r, 0, &open, sizeof(open));
	case FUSE_READ:
		hold(state);
		return reply(dev, r, 0, zeros, r->read.size);
	case FUSE_RELEASE:
	case FUSE_FLUSH:
		return reply(dev, r, 0, NULL, 0);
	/* Without an answer */
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		return reply(dev, r, -ENOSYS, NULL, 0);
	}
}

static void server(int dev, int *state, pid_t test)
{
	struct request r;
	ssize_t n;

	/* End with the test, and release the files that it has open */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != test)
		_exit(1);
	for (;;) {
		n = read(dev, &r, sizeof(r));
		if (n > 0)
			serve(dev, state, &r);
		else if (errno != EINTR && errno != ENOENT)
			_exit(errno != ENODEV);
	}
}

/* Start the server, after the mount: until then it cannot read requests */
static int start_server(struct slow_file *f, int dev)
{
	pid_t test = getpid();

	f->server = fork();
	if (f->server < 0)
		return -errno;
	if (!f->server)
		server(dev, f->state, test);
	return 0;
}

static int open_files(struct slow_file *f, const char *path)
{
	struct stat st;

	f->cached = open(path, O_RDONLY | O_CLOEXEC);
	f->direct = open(path, O_RDWR | O_CLOEXEC);
	/* The kernel does not know the size before it is asked */
	if (f->cached < 0 || f->direct < 0 || fstat(f->cached, &st))
		return -errno;
	return 0;
}

int slow_file_init(struct slow_file *f)
{
	char path[] = "/tmp/slow_file.XXXXXX", options[64];
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC), fd, err;

	if (dev < 0)
		return -ENODEV;
	f->state = mmap(NULL, sizeof(*f->state), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fd = mkstemp(path);
	if (f->state == MAP_FAILED || fd < 0)
		return -errno;
	close(fd);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=%o,user_id=0,group_id=0", dev, S_IFREG);
	err = mount("slow_file", path, "fuse", 0, options) ? -errno :
	      start_server(f, dev);
	/* From here on only the server has the device: its exit ends all waits */
	close(dev);
	if (!err)
		err = open_files(f, path);
	/* Open files keep the file system */
	umount2(path, MNT_DETACH);
	unlink(path);
	return err;
}

void slow_file_free(struct slow_file *f)
{
	kill(f->server, SIGKILL);
	waitpid(f->server, NULL, 0);
	close(f->cached);
	close(f->direct);
	munmap(f->state, sizeof(*f->state));
}

int slow_file_wait(struct slow_file *f)
{
	int ms;

	for (ms = 0; ms < PATIENCE; ms++) {
		if (__atomic_load_n(f->state, __ATOMIC_SEQ_CST) == HELD)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

int slow_file_let_go(struct slow_file *f)
{
	return change(f->state, HELD, ANSWERED) ? 0 : -ETIMEDOUT;
}
