/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the bytes come from: a file, a pipe, memory, or the state of a VM in a
 * snapshot in a qcow2 image. Read from front to back, with a look ahead.
 */
#ifndef KVM_HPT_SOURCE_H
#define KVM_HPT_SOURCE_H

#include <stdio.h>

#include <linux/types.h>

/* How far one can look ahead */
#define SOURCE_PEEK	65536

struct qcow2;

/**
 * struct source - bytes to be read
 * @name: what to call it in messages
 * @file: where it is read from
 * @qcow2: the snapshot, NULL if it is the file itself
 * @pos: bytes that were read
 * @start: first byte in @buf not yet read
 * @end: end of what is in @buf
 * @error: errno value of a read that failed
 * @buf: look ahead
 */
struct source {
	const char *name;
	FILE *file;
	struct qcow2 *qcow2;
	u64 pos;
	size_t start;
	size_t end;
	int error;
	unsigned char buf[SOURCE_PEEK];
};

struct source *source_open(const char *path, const char *snapshot);
int source_rewind(struct source *src);
void source_close(struct source *src);

size_t source_peek(struct source *src, const unsigned char **data);
size_t source_read(struct source *src, void *to, size_t len);
bool source_skip(struct source *src, u64 len);

struct qcow2 *qcow2_open(FILE *file, const char *name, const char *snapshot);
ssize_t qcow2_read(struct qcow2 *q, u64 pos, void *to, size_t len);
void qcow2_close(struct qcow2 *q);

/* What a qcow2 image begins with */
#define QCOW2_MAGIC	"QFI\xfb"

#endif
