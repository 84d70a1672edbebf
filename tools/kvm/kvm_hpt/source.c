// SPDX-License-Identifier: GPL-2.0
/*
 * Reading from front to back with a look ahead.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "msg.h"
#include "source.h"

/* Have as much in the buffer as there is and fits */
static void fill(struct source *src)
{
	size_t have = src->end - src->start;
	ssize_t n = 0;

	memmove(src->buf, src->buf + src->start, have);
	src->start = 0;
	src->end = have;
	while (src->end < SOURCE_PEEK) {
		if (src->qcow2) {
			n = qcow2_read(src->qcow2, src->pos + src->end,
				       src->buf + src->end,
				       SOURCE_PEEK - src->end);
		} else {
			errno = 0;
			n = fread(src->buf + src->end, 1,
				  SOURCE_PEEK - src->end, src->file);
			if (!n && ferror(src->file))
				n = errno ? -errno : -EIO;
		}
		if (n <= 0)
			break;
		src->end += n;
	}
	if (n < 0)
		src->error = -n;
}

/**
 * source_peek() - look ahead
 * @src: the source
 * @data: becomes where the next bytes are
 *
 * Return: how many there are: SOURCE_PEEK, or less at the end.
 */
size_t source_peek(struct source *src, const unsigned char **data)
{
	if (src->end - src->start < SOURCE_PEEK)
		fill(src);
	*data = src->buf + src->start;
	return src->end - src->start;
}

/**
 * source_read() - read
 * @src: the source
 * @to: where to, or NULL to skip
 * @len: how many bytes
 *
 * Return: how many there were.
 */
size_t source_read(struct source *src, void *to, size_t len)
{
	size_t done = 0, n;

	while (done < len) {
		if (src->start == src->end)
			fill(src);
		n = src->end - src->start;
		if (!n)
			break;
		if (n > len - done)
			n = len - done;
		if (to)
			memcpy((char *)to + done, src->buf + src->start, n);
		src->start += n;
		src->pos += n;
		done += n;
	}
	return done;
}

/**
 * source_skip() - read without looking
 * @src: the source
 * @len: how many bytes
 *
 * Return: false if there are not as many.
 */
bool source_skip(struct source *src, u64 len)
{
	size_t n;

	while (len) {
		n = len < SOURCE_PEEK ? len : SOURCE_PEEK;
		if (source_read(src, NULL, n) < n)
			return false;
		len -= n;
	}
	return true;
}

/* Something that can be read again */
static FILE *seekable(FILE *file, const char *name)
{
	char buf[BUFSIZ];
	FILE *copy;
	size_t n;

	if (!fseeko(file, 0, SEEK_CUR))
		return file;
	copy = tmpfile();
	if (!copy) {
		msg("can't make a temporary file: %s", strerror(errno));
		fclose(file);
		return NULL;
	}
	while ((n = fread(buf, 1, sizeof(buf), file)))
		if (fwrite(buf, 1, n, copy) < n)
			break;
	if (ferror(file) || ferror(copy) || fflush(copy)) {
		msg("can't read all of %s: %s", name, strerror(errno));
		fclose(copy);
		copy = NULL;
	} else {
		rewind(copy);
	}
	fclose(file);
	return copy;
}

/* Read a file that is open. It is closed with the source, or on errors. */
static struct source *source_from(FILE *file, const char *name,
				  const char *snapshot)
{
	const unsigned char *data;
	struct source *src;

	file = seekable(file, name);
	if (!file)
		return NULL;
	src = calloc(1, sizeof(*src));
	if (!src) {
		msg("%s: %s", name, strerror(ENOMEM));
		fclose(file);
		return NULL;
	}
	src->name = name;
	src->file = file;
	if (source_peek(src, &data) >= 4 && !memcmp(data, QCOW2_MAGIC, 4)) {
		src->qcow2 = qcow2_open(file, name, snapshot);
		if (!src->qcow2) {
			source_close(src);
			return NULL;
		}
		src->start = 0;
		src->end = 0;
	}
	if (src->error) {
		msg("can't read %s: %s", name, strerror(src->error));
		source_close(src);
		return NULL;
	}
	return src;
}

/**
 * source_open() - open a file to read it
 * @path: the file, "-" is the standard input
 * @snapshot: which snapshot if it is a qcow2 image, NULL for the last one
 *
 * Return: the source, or NULL, with a message printed.
 */
struct source *source_open(const char *path, const char *snapshot)
{
	FILE *file = stdin;

	if (strcmp(path, "-"))
		file = fopen(path, "r");
	if (!file) {
		msg("can't open %s: %s", path, strerror(errno));
		return NULL;
	}
	return source_from(file, file == stdin ? "standard input" : path,
			   snapshot);
}

/**
 * source_rewind() - read from the front again
 * @src: the source
 *
 * Return: 0, or -1 if that is not possible, with a message printed.
 */
int source_rewind(struct source *src)
{
	if (fseeko(src->file, 0, SEEK_SET)) {
		msg("can't read %s twice: %s", src->name, strerror(errno));
		return -1;
	}
	src->pos = 0;
	src->start = 0;
	src->end = 0;
	return 0;
}

/**
 * source_close() - be done with a source
 * @src: the source
 */
void source_close(struct source *src)
{
	qcow2_close(src->qcow2);
	fclose(src->file);
	free(src);
}
