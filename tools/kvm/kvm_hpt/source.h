/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The source of a stream: a file, a pipe, a decompressor, or the VM state in a
 * snapshot of a qcow2 image. It is read once, from front to back, with a look
 * ahead.
 */
#ifndef KVM_HPT_SOURCE_H
#define KVM_HPT_SOURCE_H

#include <stdio.h>
#include <sys/types.h>

#include <linux/types.h>

/* Size of the look ahead, of which detect() names the larger one */
#define SOURCE_PEEK	65536
#define SOURCE_BUFFER	(4 * SOURCE_PEEK)

/* Marks that source_mark() can set */
#define SOURCE_MARKS	3

struct qcow2;

/**
 * struct source_mark - a place behind which source_find() searches
 * @pos: its position
 * @found: where the bytes are first in data that a pipe does not have any more, or ~0
 */
struct source_mark {
	u64 pos;
	u64 found;
};

/**
 * struct source - source of a stream
 * @name: its name in messages
 * @fd: the file
 * @seekable: the file can be read anywhere
 * @progress: report progress on stderr
 * @shown: value of @pos at the last report
 * @size: size of the file, 0 if unknown
 * @qcow2: the snapshot, NULL if the file itself is read
 * @unfinished: libvirt has not completed this save image
 * @inside: name of the container, NULL if the file is the stream
 * @program: program that decompresses, or NULL
 * @child: process that runs it, or 0
 * @feeder: process that writes to @child, or 0
 * @watch: bytes to search for, or NULL
 * @watch_len: their number
 * @mark: where to begin to search for them
 * @front: value of @pos at --offset=0
 * @begin: value of @pos at the first byte of the stream
 * @pos: position of the next byte, in the file or in its contents
 * @start: first byte in @buf not yet read
 * @end: end of the data in @buf
 * @eof: there is no more
 * @error: errno value of a failed read, after the data in @buf
 * @buf: the look ahead
 */
struct source {
	const char *name;
	int fd;
	bool seekable;
	bool progress;
	u64 shown;
	u64 size;
	struct qcow2 *qcow2;
	bool unfinished;
	const char *inside;
	const char *program;
	pid_t child;
	pid_t feeder;
	const void *watch;
	size_t watch_len;
	struct source_mark mark[SOURCE_MARKS];
	u64 front;
	u64 begin;
	u64 pos;
	size_t start;
	size_t end;
	bool eof;
	int error;
	unsigned char buf[SOURCE_BUFFER];
};

/**
 * struct source_options - options of a file
 * @offset: number of bytes to skip
 * @snapshot: name or id of the snapshot in an image, NULL for the last one
 * @progress: report progress
 * @refused: called with @user before a source is closed that is not a stream, after
 *	     the message, or NULL
 * @user: its last argument
 */
struct source_options {
	u64 offset;
	const char *snapshot;
	bool progress;
	void (*refused)(struct source *src, const char *why, void *user);
	void *user;
};

struct source *source_open(const char *path,
			   const struct source_options *opts);
const char *source_error(const struct source *src);
int source_rewind(struct source *src);
void source_refused(struct source *src, const struct source_options *opts,
		    const char *why);
void source_close(struct source *src);

size_t source_peek(struct source *src, const unsigned char **data);
size_t source_peek_all(struct source *src, const unsigned char **data);
bool source_zeroes(struct source *src);
u64 source_offset(const struct source *src);
size_t source_read(struct source *src, void *to, size_t len);
bool source_skip(struct source *src, u64 len);
void source_watch(struct source *src, const void *what, size_t len);
void source_mark(struct source *src, unsigned int mark);
u64 source_find(struct source *src, unsigned int mark, u64 to);
const unsigned char *find_bytes(const unsigned char *data, size_t len,
				const void *what, size_t bytes);

static inline bool one_byte(const unsigned char *data, size_t len)
{
	return len && !memcmp(data, data + 1, len - 1);
}

static inline bool all_zeroes(const unsigned char *data, size_t len)
{
	return one_byte(data, len) && !*data;
}

/* The next @len bytes, NULL if the look ahead has fewer */
static inline const void *source_look(const struct source *src, size_t len)
{
	return src->end - src->start < len ? NULL : src->buf + src->start;
}

/* Skip bytes that are in the look ahead */
static inline void source_step(struct source *src, size_t len)
{
	src->start += len;
	src->pos += len;
}

/* Magic numbers of libvirt save images */
#define LIBVIRT_SAVED	"LibvirtQemudSave"
#define LIBVIRT_PARTIAL	"LibvirtQemudPart"
#define LIBVIRT_MAGIC	16

int libvirt_open(struct source *src);
int source_unpack(struct source *src, const char *program);
int source_unpacked(struct source *src);
void source_stop(struct source *src);

#endif
