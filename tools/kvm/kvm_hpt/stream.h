/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Streams of the HPT file, however they were kept: as read, in QEMU's
 * migration stream, or as what KVM shows in debugfs.
 */
#ifndef KVM_HPT_STREAM_H
#define KVM_HPT_STREAM_H

#include <endian.h>
#include <string.h>

#include <linux/types.h>

#include "../../../arch/powerpc/kvm/hpt/records.h"
#include "detect.h"
#include "hpte.h"
#include "msg.h"
#include "source.h"

enum stream_event {
	STREAM_END,
	STREAM_RECORD,	/* @rec is a record, @range what hpt_decode() says */
	STREAM_HPT,	/* a new, empty HPT of @order */
	STREAM_RADIX,	/* there is no HPT from here on */
	STREAM_FAULT,	/* @error says what is wrong; the stream goes on */
	STREAM_BROKEN,	/* what follows can't be read, @error says why */
};

enum section_kind { KIND_OTHER, KIND_RAM, KIND_HTAB };

/**
 * struct qemu_section - a section of QEMU's stream
 * @id: its number
 * @kind: what it is to us
 * @version: of what is in it
 * @parts: how many times there was something of it
 * @bytes: how much
 * @name: whose it is
 */
struct qemu_section {
	u32 id;
	enum section_kind kind;
	u32 version;
	u64 parts;
	u64 bytes;
	char name[];
};

/**
 * struct qemu_stream - where in QEMU's stream we are
 * @nr: number of sections that have begun
 * @section: these, in this order
 * @by_id: the same as a tree
 * @current: the section that is being read
 * @begin: where it begins
 * @exact: where the last section begins that was followed without a search
 * @machine: machine type
 * @capabilities: those that are named, each with a blank before
 * @foreign: it is of a machine that has no HPT
 * @begun: the magic number was read
 * @footers: sections have footers, as far as is known
 * @footers_known: that is known
 * @little: headers of records are little-endian
 * @endian_known: that is known
 * @in_section: a section is being read
 * @in_htab: records of the HPT follow
 * @htab_begins: the next record is the first of its section
 * @cut: another stream begins in the last record
 * @looked_at: number of the record that was searched for that
 * @searched: another stream was looked for in this section
 * @started: there was the size of the HPT
 * @radix: the guest has no HPT
 * @devices: there was the state of a device
 * @ram_ended: there was the last section of RAM
 * @finished: there was the last section of the HPT
 */
struct qemu_stream {
	unsigned int nr;
	struct qemu_section **section;
	void *by_id;
	struct qemu_section *current;
	u64 begin;
	u64 exact;
	char machine[64];
	char capabilities[256];
	bool foreign;
	bool begun;
	bool footers;
	bool footers_known;
	bool little;
	bool endian_known;
	bool in_section;
	bool in_htab;
	bool htab_begins;
	bool cut;
	u64 looked_at;
	bool searched;
	bool started;
	bool radix;
	bool devices;
	bool ram_ended;
	bool finished;
};

/**
 * struct stream - a stream that is being read
 * @src: where from
 * @format: which form it has
 * @order: log2 of the size of the HPT, 0 if that is not known
 * @deduced: that is so as the first pass ends there
 * @nr_hptes: HPTEs that there may be
 * @rec: the record that was read last, until more is read or looked at
 * @offset: where it is, or where the stream is broken
 * @records: number of records, the last one included
 * @pass: number of the pass the record is in: each goes up in the table
 * @next: index behind the record
 * @max_end: the largest of these
 * @whole: the first pass begins with the first HPTE, and leaves none out
 * @range: 0, or -EINVAL if the record reaches beyond the end of the HPT
 * @error: why the stream is broken
 * @qemu: where in QEMU's stream we are
 * @buf: holds the record
 */
struct stream {
	struct source *src;
	enum stream_format format;
	unsigned int order;
	bool deduced;
	u64 nr_hptes;
	struct hpt_record rec;
	u64 offset;
	u64 records;
	u64 pass;
	u64 next;
	u64 max_end;
	bool whole;
	int range;
	char error[200];
	struct qemu_stream qemu;
	struct kvm_get_htab_header *buf;
};

/**
 * struct stream_options - what the command line says of a stream
 * @source: of the file that it is in
 * @order: log2 of the size of the HPT, 0 if not given
 * @endian: 'l', 'b', or 0 to find out
 */
struct stream_options {
	struct source_options source;
	unsigned int order;
	char endian;
};

int stream_open(struct stream *s, const char *path,
		const struct stream_options *opts);
int stream_find_order(struct stream *s);
int stream_restart(struct stream *s, const struct stream_options *opts);
enum stream_event stream_next(struct stream *s);
void stream_close(struct stream *s);

bool stream_no_hpt(const struct stream *s);

void stream_set_order(struct stream *s, unsigned int order);
enum stream_event __printf(4, 5)
stream_say(struct stream *s, enum stream_event event, u64 offset,
	   const char *format, ...);
#define stream_broken(s, ...)	stream_say(s, STREAM_BROKEN, __VA_ARGS__)
#define stream_fault(s, ...)	stream_say(s, STREAM_FAULT, __VA_ARGS__)
enum stream_event stream_record(struct stream *s, bool big_endian);

enum stream_event qemu_next(struct stream *s);
bool qemu_record_cut(struct stream *s);
void qemu_free(struct qemu_stream *q);
enum stream_event debugfs_next(struct stream *s);

/**
 * stream_hpte() - a valid HPTE of the last record
 * @s: the stream
 * @i: which, counted from 0
 */
static inline struct hpte stream_hpte(const struct stream *s, unsigned int i)
{
	__be64 dword[2];

	/* In the look ahead it has any alignment */
	memcpy(dword, (char *)s->rec.hpte + i * HPTE_BYTES, sizeof(dword));
	return (struct hpte) {
		.v = be64toh(dword[0]),
		.r = be64toh(dword[1]),
	};
}

/* Numbers of QEMU's are big-endian; false at the end of the file */
bool qemu_get(struct stream *s, unsigned int bytes, u64 *number);
bool qemu_skip_string(struct stream *s);
bool qemu_skip_ram(struct stream *s);

/* Why an HPT has another order than what is in the stream */
#define OTHER_HPT "the guest has rebooted or resized its HPT meanwhile"

#endif
