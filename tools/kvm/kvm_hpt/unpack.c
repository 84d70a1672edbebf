// SPDX-License-Identifier: GPL-2.0
/*
 * What libvirt puts around QEMU's stream (virsh save, managedsave, the memory
 * volumes of oVirt), and the programs that decompress it.
 */
#include <byteswap.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "msg.h"
#include "qcow2.h"
#include "source.h"

/* Versions 1 and 2 have the same header, in the byte order of its host */
#define LIBVIRT_VERSION	2

struct libvirt_header {
	char magic[LIBVIRT_MAGIC];
	u32 version;
	u32 xml_bytes;
	u32 was_running;
	u32 format;
	u32 cookie;
	u32 unused[14];
};

/* libvirt's numbers of formats; 0 is the stream as it is */
static const char * const programs[] = {
	NULL, "gzip", "bzip2", "xz", "lzop", "zstd",
};

/* The stream as it is, with RAM that is mapped */
#define LIBVIRT_SPARSE	6

/* Keep what is in the buffer, and all that follows, going to @to */
static void feed(struct source *src, int to)
{
	const unsigned char *data = src->buf + src->start;
	size_t left = src->end - src->start;
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
		data = src->buf;
		left = n;
	}
}

static void decompress(const char *program, int from, int to)
{
	signal(SIGPIPE, SIG_DFL);
	if (dup2(from, STDIN_FILENO) < 0 || dup2(to, STDOUT_FILENO) < 0)
		_exit(126);
	execlp(program, program, "-dc", (char *)NULL);
	_exit(127);
}

/**
 * source_unpack() - read the rest of a source through a decompressor
 * @src: the source
 * @program: its name, it is called with -dc
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
 * source_unpacked() - see how the decompressor ended
 * @src: the source, which has come to its end
 *
 * Return: 0, -ENOPKG if it is not installed, or -EBADMSG if what it got is
 * damaged.
 */
int source_unpacked(struct source *src)
{
	int status;

	if (src->child <= 0)
		return 0;
	if (waitpid(src->child, &status, 0) < 0)
		status = 0;
	src->child = 0;
	if (!status)
		return 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOPKG :
								 -EBADMSG;
}

/**
 * source_close() - be done with a source
 * @src: the source
 */
void source_close(struct source *src)
{
	close(src->fd);
	if (src->child > 0)
		waitpid(src->child, NULL, 0);
	if (src->feeder > 0) {
		kill(src->feeder, SIGTERM);
		waitpid(src->feeder, NULL, 0);
	}
	qcow2_close(src->qcow2);
	free(src);
}

static void to_host(struct libvirt_header *h)
{
	if (h->version <= 0xffff)
		return;
	h->version = bswap_32(h->version);
	h->xml_bytes = bswap_32(h->xml_bytes);
	h->format = bswap_32(h->format);
}

/* The stream of the sparse format may begin at a round address */
static void skip_zeroes(struct source *src)
{
	const unsigned char *data;
	size_t len, i;

	do {
		len = source_peek(src, &data);
		for (i = 0; i < len && !data[i];)
			i++;
		source_read(src, NULL, i);
	} while (i && i == len);
}

/**
 * libvirt_open() - go to QEMU's stream in a save image of libvirt's
 * @src: the source, at the image's beginning
 *
 * Return: 0, or -1 with a message printed.
 */
int libvirt_open(struct source *src)
{
	struct libvirt_header h;

	src->inside = "a libvirt save image";
	if (source_read(src, &h, sizeof(h)) < sizeof(h)) {
		msg("%s is a libvirt save image that ends in its header",
		    src->name);
		return -1;
	}
	to_host(&h);
	src->unfinished = !memcmp(h.magic, LIBVIRT_PARTIAL, LIBVIRT_MAGIC);
	if (!h.version || h.version > LIBVIRT_VERSION) {
		msg("%s is a libvirt save image of version %u, not 1 or 2",
		    src->name, h.version);
		return -1;
	}
	if (h.format > LIBVIRT_SPARSE) {
		msg("%s is a libvirt save image in format %u, not 0 to %u",
		    src->name, h.format, LIBVIRT_SPARSE);
		return -1;
	}
	if (!source_skip(src, h.xml_bytes)) {
		msg("%s is a libvirt save image that ends in its XML",
		    src->name);
		return -1;
	}
	if (h.format && h.format < LIBVIRT_SPARSE)
		return source_unpack(src, programs[h.format]);
	skip_zeroes(src);
	src->begin = src->pos;
	return 0;
}
