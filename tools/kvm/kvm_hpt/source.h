/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the bytes come from: a file, a pipe, a decompressor, or the state of a
 * VM in a snapshot in a qcow2 image. They are read once, front to back, with a
 * look ahead.
 */
#ifndef KVM_HPT_SOURCE_H
#define KVM_HPT_SOURCE_H

#include <stdio.h>
#include <sys/types.h>

#include <linux/types.h>

/* How far one can look ahead */
#define SOURCE_PEEK	65536
#define SOURCE_BUFFER	(4 * SOURCE_PEEK)

struct qcow2;

/**
 * struct source - bytes to be read
 * @name: what to call it in messages
 * @fd: the file it is read from
 * @seekable: the file can be read anywhere
 * @progress: report on stderr how far it has been read
 * @shown: value of @pos at the last report
 * @size: size of the file, 0 if that is not known
 * @qcow2: the snapshot, NULL if it is the file itself
 * @unfinished: libvirt has not completed this save image
 * @inside: what holds the stream, NULL if it is the file itself
 * @child: process that decompresses, 0 if there is none
 * @feeder: process that feeds it, 0 if there is none
 * @begin: value of @pos at the first byte of the stream
 * @pos: position of the next byte: in the file, or in what is inside of it
 * @start: first byte in @buf not yet read
 * @end: end of what is in @buf
 * @eof: there is no more
 * @error: errno value of a read that failed
 * @buf: look ahead
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
	pid_t child;
	pid_t feeder;
	u64 begin;
	u64 pos;
	size_t start;
	size_t end;
	bool eof;
	int error;
	unsigned char buf[SOURCE_BUFFER];
};

/**
 * struct source_options - what the command line says of a file
 * @offset: skip as many bytes
 * @snapshot: name or id of the snapshot in an image, NULL for the last one
 * @progress: report how far it has been read
 */
struct source_options {
	u64 offset;
	const char *snapshot;
	bool progress;
};

struct source *source_open(const char *path,
			   const struct source_options *opts);
const char *source_error(const struct source *src);
int source_rewind(struct source *src);
void source_close(struct source *src);

size_t source_peek(struct source *src, const unsigned char **data);
size_t source_read(struct source *src, void *to, size_t len);
bool source_skip(struct source *src, u64 len);
u64 source_find(struct source *src, u64 from, u64 to, const void *what,
		size_t len);

/* The next bytes, NULL if not as many are in the look ahead */
static inline const void *source_look(const struct source *src, size_t len)
{
	return src->end - src->start < len ? NULL : src->buf + src->start;
}

/* Go behind bytes that are in the look ahead */
static inline void source_step(struct source *src, size_t len)
{
	src->start += len;
	src->pos += len;
}

/* What a libvirt save image begins with */
#define LIBVIRT_SAVED	"LibvirtQemudSave"
#define LIBVIRT_PARTIAL	"LibvirtQemudPart"
#define LIBVIRT_MAGIC	16

int libvirt_open(struct source *src);
int source_unpack(struct source *src, const char *program);
int source_unpacked(struct source *src);
void source_stop(struct source *src);

#endif
