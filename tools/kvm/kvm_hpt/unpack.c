// SPDX-License-Identifier: GPL-2.0
/*
 * Read through a program that decompresses. Another process writes the rest of
 * the source to it, since the beginning is in memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "msg.h"
#include "source.h"

/* Longest run of zeroes in compressed data */
#define MAX_ZEROES	0x100000U

/*
 * Write the data in the buffer, and the rest of the file, to @to. No program
 * compresses data to many zeroes: these are behind the end of the data.
 */
static void feed(struct source *src, int to)
{
	const unsigned char *data = src->buf + src->start;
	size_t left = src->end - src->start, zeroes = 0;
	ssize_t n;

	signal(SIGPIPE, SIG_DFL);
	for (;;) {
		while (left) {
			n = write(to, data, left);
			if (n < 0 && errno != EINTR)
				_exit(1);
			if (n > 0) {
				data += n;
				left -= n;
			}
		}
		n = read(src->fd, src->buf, SOURCE_BUFFER);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(n < 0);
		zeroes = all_zeroes(src->buf, n) ? zeroes + n : 0;
		if (zeroes > MAX_ZEROES)
			_exit(0);
		data = src->buf;
		left = n;
	}
}

static void decompress(const char *program, int from, int to)
{
	/* Its messages name no file, and its exit code tells whether it failed */
	int null = open("/dev/null", O_WRONLY);

	signal(SIGPIPE, SIG_DFL);
	if (dup2(from, STDIN_FILENO) < 0 || dup2(to, STDOUT_FILENO) < 0 ||
	    (null >= 0 && dup2(null, STDERR_FILENO) < 0))
		_exit(126);
	execlp(program, program, "-dc", (char *)NULL);
	_exit(127);
}

/**
 * source_unpack() - read the rest of a source through a decompressor
 * @src: the source
 * @program: its name; called with -dc
 *
 * Return: 0, or -1 with a message printed.
 */
int source_unpack(struct source *src, const char *program)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
		msg("can't make a pipe: %s", strerror(errno));
		return -1;
	}
	fflush(stdout);
	/* If the parent ignored it, the exit code would be lost */
	signal(SIGCHLD, SIG_DFL);
	src->program = program;
	src->feeder = fork();
	if (!src->feeder) {
		close(in[0]);
		close(out[0]);
		close(out[1]);
		feed(src, in[1]);
	}
	src->child = src->feeder < 0 ? -1 : fork();
	if (!src->child)
		decompress(program, in[0], out[1]);
	close(in[0]);
	close(in[1]);
	close(out[1]);
	if (src->child < 0) {
		close(out[0]);
		msg("can't run %s: %s", program, strerror(errno));
		return -1;
	}
	close(src->fd);
	src->fd = out[0];
	src->seekable = false;
	src->size = 0;
	src->pos = 0;
	src->begin = 0;
	src->start = 0;
	src->end = 0;
	src->eof = false;
	return 0;
}

/**
 * source_unpacked() - get the result of the decompressor
 * @src: the source, at its end
 *
 * Return: 0, -ENOPKG if it is not installed, -EBADMSG if its input is damaged,
 * or another negative errno value.
 */
int source_unpacked(struct source *src)
{
	int status;

	if (src->child <= 0)
		return 0;
	if (waitpid(src->child, &status, 0) < 0)
		return -errno;
	src->child = 0;
	if (!status)
		return 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOPKG :
								 -EBADMSG;
}

static void stop(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/**
 * source_stop() - end the processes of a source
 * @src: the source
 *
 * They may still read what follows the compressed data, which can be long.
 */
void source_stop(struct source *src)
{
	stop(src->feeder);
	stop(src->child);
}
