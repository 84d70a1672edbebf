/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Streams of the HPT file, however they were kept: as read, in QEMU's
 * migration stream, or as what KVM shows in debugfs.
 */
#ifndef KVM_HPT_STREAM_H
#define KVM_HPT_STREAM_H

#include <linux/types.h>

#include "../../../arch/powerpc/kvm/hpt/records.h"
#include "hpte.h"
#include "msg.h"
#include "source.h"

enum stream_format {
	FORMAT_LE,	/* as read, headers little-endian */
	FORMAT_BE,	/* as read, headers big-endian */
	FORMAT_QEMU,
	FORMAT_DEBUGFS,
};

enum stream_event {
	STREAM_END,
	STREAM_RECORD,	/* @rec is a record, @range what hpt_decode() says */
	STREAM_HPT,	/* a new, empty HPT of @order */
	STREAM_RADIX,	/* there is no HPT */
	STREAM_BROKEN,	/* what follows can't be read, @error says why */
};

/* Sections that QEMU's stream may have open */
#define QEMU_SECTIONS	64

/**
 * struct qemu_stream - where in QEMU's stream we are
 * @nr: number of sections that have begun
 * @id: number of each
 * @kind: what each is
 * @footer: the section whose footer comes next, if @in_section
 * @in_section: a section is being read
 * @in_htab: records of the HPT follow
 * @started: there was the size of the HPT
 * @finished: there was the last section of the HPT
 */
struct qemu_stream {
	unsigned int nr;
	u32 id[QEMU_SECTIONS];
	u8 kind[QEMU_SECTIONS];
	u32 footer;
	bool in_section;
	bool in_htab;
	bool started;
	bool finished;
};

/**
 * struct stream - a stream that is being read
 * @src: where from
 * @format: which form it has
 * @order: log2 of the size of the HPT, 0 if that is not known
 * @nr_hptes: HPTEs that there may be
 * @rec: the record that was read last
 * @offset: where it is, or where the stream is broken
 * @records: number of records, the last one included
 * @pass: number of the pass the record is in: each goes up in the table
 * @next: index behind the record
 * @range: 0, or -EINVAL if the record reaches beyond the end of the HPT
 * @error: why the stream is broken
 * @qemu: where in QEMU's stream we are
 * @buf: holds the record
 */
struct stream {
	struct source *src;
	enum stream_format format;
	unsigned int order;
	u64 nr_hptes;
	struct hpt_record rec;
	u64 offset;
	u64 records;
	u64 pass;
	u64 next;
	int range;
	char error[160];
	struct qemu_stream qemu;
	struct kvm_get_htab_header *buf;
};

/**
 * struct stream_options - what the command line says of a stream
 * @order: log2 of the size of the HPT, 0 if not given
 * @endian: 'l', 'b', or 0 to find out
 * @snapshot: name of the snapshot in a qcow2 image, NULL for the last
 */
struct stream_options {
	unsigned int order;
	char endian;
	const char *snapshot;
};

int stream_open(struct stream *s, const char *path,
		const struct stream_options *opts);
enum stream_event stream_next(struct stream *s);
void stream_close(struct stream *s);

struct hpte stream_hpte(const struct stream *s, unsigned int i);

void stream_set_order(struct stream *s, unsigned int order);
enum stream_event __printf(3, 4)
stream_broken(struct stream *s, u64 offset, const char *format, ...);
enum stream_event stream_record(struct stream *s, bool big_endian);

enum stream_event qemu_next(struct stream *s);
enum stream_event debugfs_next(struct stream *s);

#define QEMU_MAGIC	"QEVM"

#endif
