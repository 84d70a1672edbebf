/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Streams of the HPT file in any form: as read, in QEMU's migration stream, or
 * as the text of debugfs.
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
	STREAM_RECORD,	/* @rec is a record; hpt_decode() has returned @range */
	STREAM_HPT,	/* a new, empty HPT of @order; ignore earlier records */
	STREAM_RADIX,	/* no HPT from here on */
	STREAM_FAULT,	/* @error describes a fault; the stream goes on */
	STREAM_BROKEN,	/* the rest cannot be read, @error is the reason */
};

enum section_kind { KIND_OTHER, KIND_RAM, KIND_HTAB };

/**
 * struct qemu_section - a section of QEMU's stream
 * @id: its number
 * @kind: how to read it
 * @version: version of its contents
 * @parts: number of its parts so far
 * @bytes: size of these
 * @name: its name
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
 * struct qemu_stream - state of reading QEMU's stream
 * @nr: number of sections that have begun
 * @section: these, in this order
 * @by_id: tree of these
 * @current: the section that is being read
 * @begin: where it begins
 * @zeroes: where the zeroes begin that the file ends with, 0 if not known
 * @zero_word: RAM has zeroes in place of the word before a page
 * @machine: machine type, NULL if not named
 * @capabilities: named capabilities, each after a blank, NULL if there are none
 * @foreign: the machine type has no HPT
 * @begun: the magic number was read
 * @footers: sections have footers
 * @footers_known: @footers is known
 * @little: headers of records are little-endian
 * @endian_known: @little is known
 * @in_section: a section is being read
 * @in_htab: records of the HPT follow
 * @htab_begins: the next record is the first of its section
 * @little_pass: the pass, if the headers of all records so far are little-endian
 * @little_next: then, the index after the last one
 * @little_known: then, each HPTE before this index was in a record
 * @little_invalid: then, the number of invalid HPTEs
 * @unmarked: a list of records without an end marker was reported
 * @cut: another stream begins in the last record
 * @another: where another stream begins behind the end of this one, or 0
 * @looked_at: number of the record that was searched for that
 * @searched: this section was searched for another stream
 * @started: the order of the HPT was read
 * @radix: the guest has no HPT
 * @devices: the state of a device was read
 * @ram_ended: the last section of RAM was read
 * @finished: the last section of the HPT was read
 */
struct qemu_stream {
	unsigned int nr;
	struct qemu_section **section;
	void *by_id;
	struct qemu_section *current;
	u64 begin;
	u64 zeroes;
	bool zero_word;
	char *machine;
	char *capabilities;
	bool foreign;
	bool begun;
	bool footers;
	bool footers_known;
	bool little;
	bool endian_known;
	bool in_section;
	bool in_htab;
	bool htab_begins;
	u64 little_pass;
	u64 little_next;
	u64 little_known;
	u64 little_invalid;
	bool unmarked;
	bool cut;
	u64 another;
	u64 looked_at;
	bool searched;
	bool started;
	bool radix;
	bool devices;
	bool ram_ended;
	bool finished;
};

/**
 * struct stream_hpt - an HPT of a stream that does not contain orders
 * @at: where its first pass begins
 * @order: log2 of its size
 */
struct stream_hpt {
	u64 at;
	unsigned int order;
};

/* A message with two names of sections in it */
#define ERROR_TEXT	(2 * 256 + 100)

/**
 * struct stream - a stream that is being read
 * @src: the source
 * @format: the format
 * @order: log2 of the size of the HPT, 0 if unknown
 * @asked: order on the command line, or 0
 * @deduced: @order follows from the end of the first pass
 * @nr_hptes: number of HPTEs in the HPT, or the maximum
 * @rec: the last record, valid until the next read or look ahead
 * @offset: where it is, or where the stream is broken
 * @records: number of records so far, including this one
 * @void_records: how many of these are of an earlier HPT
 * @replaced: how many times the HPT was replaced
 * @replaced_at: where it was replaced last
 * @invalid: number of invalid HPTEs in the records of the present HPT
 * @pass: number of the record's pass; within a pass, indexes grow
 * @next: index after the record
 * @max_end: the largest @next so far
 * @known: each HPTE before this index was in a record
 * @first: index of the first record of the present HPT
 * @reach: each HPTE from there to before this index was in a record
 * @pass_at: where the pass begins
 * @dense: it begins with the first HPTE, and has left none out so far
 * @sparse: the first pass leaves out invalid HPTEs, as those of QEMU's own HPTs do
 * @full: it does not, as those of KVM
 * @looking: the stream is read to find @hpt
 * @hpt: where HPTs begin that replace the first one of a stream as read, and their
 *	 orders
 * @nr_hpts: their number
 * @hpt_now: how many of these have begun
 * @other: order of an HPT that has replaced this one, which ends the stream
 * @range: 0, or -EINVAL if the record reaches beyond the end of the HPT
 * @error: why the stream is broken
 * @qemu: state of reading QEMU's stream
 * @buf: buffer for the record
 */
struct stream {
	struct source *src;
	enum stream_format format;
	unsigned int order;
	unsigned int asked;
	bool deduced;
	u64 nr_hptes;
	struct hpt_record rec;
	u64 offset;
	u64 records;
	u64 void_records;
	u64 invalid;
	u64 replaced;
	u64 replaced_at;
	u64 pass;
	u64 next;
	u64 max_end;
	u64 known;
	u64 first;
	u64 reach;
	u64 pass_at;
	bool dense;
	bool sparse;
	bool full;
	bool looking;
	struct stream_hpt *hpt;
	unsigned int nr_hpts;
	unsigned int hpt_now;
	unsigned int other;
	int range;
	char error[ERROR_TEXT];
	struct qemu_stream qemu;
	struct kvm_get_htab_header *buf;
};

/**
 * struct stream_options - options of a stream
 * @source: options of its file
 * @order: log2 of the size of the HPT, 0 if not given
 * @endian: 'l', 'b', or 0 to detect it
 */
struct stream_options {
	struct source_options source;
	unsigned int order;
	char endian;
};

int stream_open(struct stream *s, const char *path,
		const struct stream_options *opts);
int stream_look_through(struct stream *s);
int stream_restart(struct stream *s);
enum stream_event stream_next(struct stream *s);
void stream_close(struct stream *s);

bool stream_no_hpt(const struct stream *s);
u64 stream_hpt_records(const struct stream *s);
bool stream_replaced(const struct stream *s, char *text, size_t size);

void stream_set_order(struct stream *s, unsigned int order);
void stream_new_hpt(struct stream *s, unsigned int order);
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
 * stream_hpte() - get a valid HPTE of the last record
 * @s: the stream
 * @i: its number, counted from 0
 */
static inline struct hpte stream_hpte(const struct stream *s, unsigned int i)
{
	__be64 dword[2];

	/* It is not aligned in the look-ahead buffer */
	memcpy(dword, (char *)s->rec.hpte + i * HPTE_BYTES, sizeof(dword));
	return (struct hpte) {
		.v = be64toh(dword[0]),
		.r = be64toh(dword[1]),
	};
}

/* Numbers are big-endian. False at the end of the file. */
bool qemu_get(struct stream *s, unsigned int bytes, u64 *number);
bool qemu_skip_string(struct stream *s);
bool qemu_skip_ram(struct stream *s);

/* More HPTEs than change in a row from the first one on */
#define MANY_HPTES	4096

/* Buffer size for stream_replaced() */
#define REPLACED_TEXT 160

/* Why an HPT may have another order than the stream contains */
#define OTHER_HPT "the guest has rebooted or resized its HPT meanwhile"

#endif
