/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Snapshots in a qcow2 image that have the state of a VM.
 */
#ifndef KVM_HPT_QCOW2_H
#define KVM_HPT_QCOW2_H

#include <sys/types.h>

#include <linux/types.h>

/* What a qcow2 image begins with */
#define QCOW2_MAGIC	"QFI\xfb"

struct qcow2;
struct source;

/**
 * struct snapshot - a snapshot in an image
 * @id: its number, as text
 * @name: its name
 * @seconds: when it was taken, since 1970
 * @size: bytes of the state of the VM, 0 if it has none
 * @disk_size: size of the disk when it was taken
 * @l1_offset: where its level 1 table is
 * @l1_size: entries of that
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
void qcow2_close(struct qcow2 *q);

#endif
