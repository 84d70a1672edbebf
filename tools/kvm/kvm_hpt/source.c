// SPDX-License-Identifier: GPL-2.0
/*
 * Read a source from front to back with a look ahead.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "msg.h"
#include "qcow2.h"
#include "source.h"

/* Bytes between two reports of progress */
#define PROGRESS_BYTES	(64ULL << 20)

#define NOWHERE		(~0ULL)

static void show_progress(struct source *src, bool done)
{
	if (!src->progress || (!done && src->pos - src->shown < PROGRESS_BYTES))
		return;
	src->shown = src->pos;
	if (done)
		fprintf(stderr, "\r%s: %llu MiB\n", src->name, src->pos >> 20);
	else if (src->size)
		fprintf(stderr, "\r%s: %llu of %llu MiB", src->name,
			src->pos >> 20, src->size >> 20);
	else
		fprintf(stderr, "\r%s: %llu MiB", src->name, src->pos >> 20);
}

/* Append to the data in the buffer */
static void read_more(struct source *src)
{
	size_t room = SOURCE_BUFFER - src->end;
	ssize_t n;

	if (src->qcow2) {
		n = qcow2_read(src->qcow2, src->pos + src->end - src->start,
			       src->buf + src->end, room);
	} else {
		do {
			n = read(src->fd, src->buf + src->end, room);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			n = -errno;
	}
	if (n > 0)
		src->end += n;
	else
		src->eof = true;
	if (!n && src->child)
		n = source_unpacked(src);
	if (n < 0)
		src->error = -n;
	show_progress(src, false);
}

/* Note where the bytes to watch for begin among the first @n bytes of the buffer */
static void watch_bytes(struct source *src, size_t n)
{
	const unsigned char *at = src->buf, *end = at + n + src->watch_len - 1;
	struct source_mark *mark;
	u64 pos;

	while ((at = find_bytes(at, end - at, src->watch, src->watch_len))) {
		pos = src->pos - src->start + (at++ - src->buf);
		for (mark = src->mark; mark < src->mark + SOURCE_MARKS; mark++)
			if (mark->found == NOWHERE && pos > mark->pos)
				mark->found = pos;
	}
}

/* Remove data from the buffer that was read, but for bytes that may be a beginning */
static void make_room(struct source *src)
{
	size_t keep = 0, done;

	if (src->watch && !src->seekable)
		keep = src->watch_len - 1;
	if (keep > src->start)
		keep = src->start;
	done = src->start - keep;
	if (keep && done)
		watch_bytes(src, done);
	memmove(src->buf, src->buf + done, src->end - done);
	src->end -= done;
	src->start = keep;
}

static size_t look_ahead(struct source *src, size_t least,
			 const unsigned char **data)
{
	if (src->end - src->start < least && !src->eof) {
		make_room(src);
		while (src->end - src->start < least && !src->eof)
			read_more(src);
	}
	*data = src->buf + src->start;
	return src->end - src->start;
}

/**
 * source_peek() - look ahead
 * @src: the source
 * @data: set to the address of the next bytes
 *
 * Return: their number, at least SOURCE_PEEK except at the end.
 */
size_t source_peek(struct source *src, const unsigned char **data)
{
	return look_ahead(src, SOURCE_PEEK, data);
}

/**
 * source_peek_all() - look ahead as far as possible
 * @src: the source
 * @data: set to the address of the next bytes
 *
 * Files and pipes have the same look ahead here. Call it before source_watch(), which
 * takes some of the buffer.
 *
 * Return: their number, SOURCE_BUFFER except at the end.
 */
size_t source_peek_all(struct source *src, const unsigned char **data)
{
	return look_ahead(src, SOURCE_BUFFER, data);
}

/**
 * source_zeroes() - do only zeroes follow, as in a file not written to its end?
 * @src: the source
 *
 * Return: whether the look ahead has zeroes, and nothing else.
 */
bool source_zeroes(struct source *src)
{
	const unsigned char *data;
	size_t len = source_peek(src, &data);

	return all_zeroes(data, len);
}

/**
 * source_offset() - the option --offset with which the stream begins here
 * @src: the source, at the beginning of the stream
 *
 * Return: its argument, or ~0 if there is none: the stream is not in the file as
 * it is.
 */
u64 source_offset(const struct source *src)
{
	return src->qcow2 || src->program ? NOWHERE : src->begin - src->front;
}

/**
 * source_read() - read bytes
 * @src: the source
 * @to: buffer, or NULL to skip
 * @len: number of bytes
 *
 * Return: the number of bytes read, less than @len at the end only.
 */
size_t source_read(struct source *src, void *to, size_t len)
{
	size_t done = 0, n;

	for (;;) {
		n = src->end - src->start;
		if (n > len - done)
			n = len - done;
		if (to)
			memcpy((char *)to + done, src->buf + src->start, n);
		src->start += n;
		src->pos += n;
		done += n;
		if (done == len || src->eof)
			return done;
		make_room(src);
		read_more(src);
	}
}

/* Skip bytes by seeking */
static bool seek_on(struct source *src, u64 len)
{
	u64 to = src->pos + len;

	if (to < len || to > src->size ||
	    lseek(src->fd, to, SEEK_SET) < 0)
		return false;
	src->pos = to;
	src->start = 0;
	src->end = 0;
	src->eof = false;
	return true;
}

/**
 * source_skip() - skip bytes
 * @src: the source
 * @len: number of bytes
 *
 * Return: false if there are fewer.
 */
bool source_skip(struct source *src, u64 len)
{
	size_t n;

	if (len > src->end - src->start + SOURCE_BUFFER && src->seekable &&
	    !src->qcow2 && seek_on(src, len))
		return true;
	while (len) {
		n = len < SOURCE_BUFFER ? len : SOURCE_BUFFER;
		if (source_read(src, NULL, n) < n)
			return false;
		len -= n;
	}
	return true;
}

/* Read bytes again; for a pipe, only those in @buf are available */
static ssize_t read_again(struct source *src, u64 from, void *to, size_t len)
{
	u64 front = src->pos - src->start;

	if (src->qcow2)
		return qcow2_read(src->qcow2, from, to, len);
	if (src->seekable)
		return pread(src->fd, to, len, from);
	if (from < front || from - front >= src->end)
		return 0;
	if (len > src->end - (from - front))
		len = src->end - (from - front);
	memcpy(to, src->buf + (from - front), len);
	return len;
}

/**
 * find_bytes() - search memory
 * @data: the memory
 * @len: its size
 * @what: the bytes to search for, of which the first is not 0
 * @bytes: their number
 *
 * memmem() is slow in zeroes if @what has zeroes in it.
 *
 * Return: the address, or NULL if not found.
 */
const unsigned char *find_bytes(const unsigned char *data, size_t len,
				const void *what, size_t bytes)
{
	const unsigned char *end = data + len;

	for (; end - data >= bytes; data++) {
		data = memchr(data, *(unsigned char *)what,
			      end - data - (bytes - 1));
		if (!data || !memcmp(data, what, bytes))
			return data;
	}
	return NULL;
}

/**
 * source_watch() - set the bytes that source_find() searches for
 * @src: the source, at its beginning
 * @what: the bytes
 * @len: their number
 *
 * A pipe cannot be read again, so they are searched for when they leave the buffer.
 */
void source_watch(struct source *src, const void *what, size_t len)
{
	src->watch = what;
	src->watch_len = len;
}

/**
 * source_mark() - set a mark at the next byte
 * @src: the source
 * @mark: number of the mark
 */
void source_mark(struct source *src, unsigned int mark)
{
	src->mark[mark] = (struct source_mark) { src->pos, NOWHERE };
}

/**
 * source_find() - search the data read so far, and the look ahead
 * @src: the source
 * @mark: number of the mark behind which to begin
 * @to: where to end
 *
 * Return: the first position of the bytes of source_watch(), or ~0 if not found.
 */
u64 source_find(struct source *src, unsigned int mark, u64 to)
{
	static unsigned char buf[SOURCE_BUFFER];
	u64 end = src->pos + src->end - src->start, front;
	u64 from = src->mark[mark].pos + 1, found = src->mark[mark].found;
	size_t bytes, len = src->watch_len;
	const unsigned char *at;
	ssize_t n;

	/* What has left the buffer is before @to */
	if (found != NOWHERE)
		return found;
	front = src->pos - src->start;
	if (!src->seekable && from < front)
		from = front;
	if (end > to)
		end = to;
	while (from < end) {
		bytes = end - from < sizeof(buf) ? end - from : sizeof(buf);
		n = read_again(src, from, buf, bytes);
		if (n < (ssize_t)len)
			break;
		at = find_bytes(buf, n, src->watch, len);
		if (at)
			return from + (at - buf);
		from += n - (len - 1);
	}
	return NOWHERE;
}

/**
 * source_error() - describe why a source cannot be read
 * @src: the source, with @error set
 */
const char *source_error(const struct source *src)
{
	static char text[80];

	if (src->qcow2 && src->error == EOPNOTSUPP)
		return "a cluster of it is compressed";
	if (src->qcow2 && src->error == EINVAL)
		return "its tables point outside the image";
	if (!src->program || (src->error != ENOPKG && src->error != EBADMSG))
		return strerror(src->error);
	snprintf(text, sizeof(text), src->error == ENOPKG ?
		 "%s, the program that decompresses it, is not installed" :
		 "its data, compressed by %s, is damaged or cut off",
		 src->program);
	return text;
}

static int begin(struct source *src, const struct source_options *opts)
{
	const unsigned char *data;
	size_t len;

	if (opts->offset && !source_skip(src, opts->offset)) {
		msg("%s has no byte %llu", src->name, opts->offset);
		return -1;
	}
	src->begin = src->pos;
	len = source_peek(src, &data);
	if (src->error && !len) {
		msg("can't read %s: %s", src->name, source_error(src));
		return -1;
	}
	if (len >= 4 && !memcmp(data, QCOW2_MAGIC, 4)) {
		src->qcow2 = qcow2_open(src, opts->snapshot);
		return src->qcow2 && qcow2_opened(src->qcow2) ? 0 : -1;
	}
	if (opts->snapshot) {
		msg("%s is not a qcow2 image, so it has no snapshot '%s'", src->name,
		    opts->snapshot);
		return -1;
	}
	if (len >= LIBVIRT_MAGIC &&
	    (!memcmp(data, LIBVIRT_SAVED, LIBVIRT_MAGIC) ||
	     !memcmp(data, LIBVIRT_PARTIAL, LIBVIRT_MAGIC)))
		return libvirt_open(src);
	return 0;
}

/* Name of a file type that cannot be read, or NULL */
static const char *no_file(const struct stat *st)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFSOCK:
		return "a socket";
	default:
		return NULL;
	}
}

static int open_file(const char *path, u64 *size, bool *seekable)
{
	int fd = STDIN_FILENO;
	const char *what;
	struct stat st;

	if (strcmp(path, "-")) {
		/* A socket can't be opened */
		if (!stat(path, &st) && no_file(&st)) {
			msg("%s is %s", path, no_file(&st));
			return -1;
		}
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &st)) {
		msg("can't open %s: %s", path, strerror(errno));
		return -1;
	}
	what = no_file(&st);
	if (what && S_ISDIR(st.st_mode)) {
		msg("standard input is %s", what);
		return -1;
	}
	*size = 0;
	if (S_ISREG(st.st_mode))
		*size = st.st_size;
	if (S_ISBLK(st.st_mode)) {
		*size = lseek(fd, 0, SEEK_END);
		lseek(fd, 0, SEEK_SET);
	}
	/* Neither pipes nor files in debugfs have a size */
	*seekable = *size;
	return fd;
}

/**
 * source_refused() - call the user's function for a source that cannot be read
 * @src: the source
 * @opts: its options
 * @why: the reason, NULL if unknown
 */
void source_refused(struct source *src, const struct source_options *opts,
		    const char *why)
{
	if (opts->refused)
		opts->refused(src, why, opts->user);
}

/**
 * source_open() - open a file for reading
 * @path: the file, "-" is the standard input
 * @opts: options
 *
 * Return: the source, or NULL, with a message printed.
 */
struct source *source_open(const char *path, const struct source_options *opts)
{
	struct source *src = calloc(1, sizeof(*src));

	if (!src) {
		msg("%s", strerror(ENOMEM));
		return NULL;
	}
	src->name = strcmp(path, "-") ? path : "standard input";
	src->progress = opts->progress;
	src->fd = open_file(path, &src->size, &src->seekable);
	if (src->fd < 0) {
		free(src);
		return NULL;
	}
	if (src->seekable)
		src->pos = lseek(src->fd, 0, SEEK_CUR);
	src->front = src->pos;
	if (!begin(src, opts))
		return src;
	source_refused(src, opts, src->qcow2 ? qcow2_error(src->qcow2) : NULL);
	source_close(src);
	return NULL;
}

/**
 * source_rewind() - go back to the beginning
 * @src: the source
 *
 * Return: 0, or -1 if that is not possible.
 */
int source_rewind(struct source *src)
{
	if (!src->seekable)
		return -1;
	if (!src->qcow2 && lseek(src->fd, src->begin, SEEK_SET) < 0)
		return -1;
	src->pos = src->begin;
	src->start = 0;
	src->end = 0;
	src->eof = false;
	src->error = 0;
	src->shown = 0;
	return 0;
}

/**
 * source_close() - close a source
 * @src: the source
 */
void source_close(struct source *src)
{
	show_progress(src, true);
	close(src->fd);
	source_stop(src);
	qcow2_close(src->qcow2);
	free(src);
}
