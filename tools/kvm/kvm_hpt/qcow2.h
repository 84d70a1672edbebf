/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Snapshots in a qcow2 image that contain the state of a VM.
 */
#ifndef KVM_HPT_QCOW2_H
#define KVM_HPT_QCOW2_H

#include <sys/types.h>

#include <linux/types.h>

/* Magic number of a qcow2 image */
#define QCOW2_MAGIC	"QFI\xfb"

struct qcow2;
struct source;

/**
 * struct snapshot - a snapshot in an image
 * @id: its number, as text
 * @name: its name
 * @seconds: time at which it was taken, since 1970
 * @size: size of the VM state, 0 if it has none
 * @disk_size: size of the disk at that time
 * @l1_offset: position of its level 1 table
 * @l1_size: number of entries in that
 */
struct snapshot {
	char *id;
	char *name;
	u32 seconds;
	u64 size;
	u64 disk_size;
	u64 l1_offset;
	u32 l1_size;
};

struct qcow2 *qcow2_open(struct source *src, const char *snapshot);
ssize_t qcow2_read(struct qcow2 *q, u64 pos, void *to, size_t len);
const struct snapshot *qcow2_snapshot(const struct qcow2 *q, unsigned int i);
const struct snapshot *qcow2_opened(const struct qcow2 *q);
const char *qcow2_error(const struct qcow2 *q);
void qcow2_close(struct qcow2 *q);

#endif
