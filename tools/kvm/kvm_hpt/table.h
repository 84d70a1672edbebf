/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An HPT, of which only what holds HPTEs takes memory.
 */
#ifndef KVM_HPT_TABLE_H
#define KVM_HPT_TABLE_H

#include "stream.h"

/**
 * struct table_group - a group in use
 * @used: a bit for each HPTE that is valid
 * @hpte: the HPTEs
 * @offset: where in the stream each was
 * @record: number of the record it was in
 */
struct table_group {
	u8 used;
	struct hpte hpte[GROUP_HPTES];
	u64 offset[GROUP_HPTES];
	u32 record[GROUP_HPTES];
};

struct table_slab;

/**
 * struct table - an HPT
 * @order: log2 of its size in bytes, 0 if that is not known
 * @root: radix tree of the groups
 * @end: number behind the last group that has been used
 * @slabs: memory of the groups
 * @last: the group that was used last
 * @last_number: its number
 */
struct table {
	unsigned int order;
	void *root;
	u64 end;
	struct table_slab *slabs;
	struct table_group *last;
	u64 last_number;
};

int table_apply(struct table *t, const struct stream *s);
struct table_group *table_group(const struct table *t, u64 group);
struct table_group *table_next(const struct table *t, u64 *group);
void table_free(struct table *t);

int table_load(struct table *t, const char *path,
	       const struct stream_options *opts);
int table_load_ordered(struct table *t, const char *path,
		       const struct stream_options *opts);

#endif
