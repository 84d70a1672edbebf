/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The commands, and what the command line says.
 */
#ifndef KVM_HPT_CMD_H
#define KVM_HPT_CMD_H

#include "msg.h"
#include "out.h"
#include "stream.h"

/**
 * struct range - numbers from @first to @last
 */
struct range {
	u64 first;
	u64 last;
};

/**
 * struct filter - which HPTEs to show
 * @index: those with these indexes
 * @real: those that have some of these real addresses in their page
 * @vsid: those of this virtual segment, if @by_vsid
 * @by_vsid: @vsid counts
 * @bolted: only bolted ones
 */
struct filter {
	struct range index;
	struct range real;
	u64 vsid;
	bool by_vsid;
	bool bolted;
};

/**
 * struct options - what the command line says
 * @out: where the output goes, and how
 * @stream: of streams
 * @filter: which HPTEs to show
 * @raw: show doublewords
 * @v3: in the form of v3.0
 * @ignore_rc: differences in R and C don't count
 * @no_hash: don't see whether HPTEs are in the right group
 * @later: the stream has no first pass
 * @start: where the first pass begins
 * @max: how many faults to show, 0 for all
 * @output: file for a picture
 * @before: the table before
 * @interval: seconds between looks
 * @count: number of looks, 0 for no limit
 * @wait: wait for there to be something to watch
 * @nr_args: number of arguments that are no options
 * @args: these
 */
struct options {
	struct out out;
	struct stream_options stream;
	struct filter filter;
	bool raw;
	bool v3;
	bool ignore_rc;
	bool no_hash;
	bool later;
	u64 start;
	u64 max;
	const char *output;
	const char *before;
	double interval;
	u64 count;
	bool wait;
	int nr_args;
	char **args;
};

int cmd_watch(struct options *opts);
int cmd_dump(struct options *opts);
int cmd_decode(struct options *opts);
int cmd_check(struct options *opts);
int cmd_diff(struct options *opts);
int cmd_map(struct options *opts);

#endif
