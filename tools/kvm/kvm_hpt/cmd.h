/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The commands and their options.
 */
#ifndef KVM_HPT_CMD_H
#define KVM_HPT_CMD_H

#include "msg.h"
#include "out.h"
#include "stream.h"

struct options;

/**
 * struct command - a command of kvm-hpt
 * @name: its name, the first argument
 * @run: runs it, and returns the exit code
 * @min_args: minimum number of arguments besides options
 * @max_args: maximum number of these
 * @args: these, for the help text
 * @options: its options, as for getopt()
 * @text: description for the help text
 */
struct command {
	const char *name;
	int (*run)(struct options *opts);
	int min_args;
	int max_args;
	const char *args;
	const char *options;
	const char *text;
};

#define STREAM_OPTIONS	"O:E:S:F:jc:h"
#define HPTE_OPTIONS	STREAM_OPTIONS "i:v:r:bx3"

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
 * @real: those whose page has one of these real addresses
 * @vsid: those of this virtual segment, if @by_vsid
 * @by_vsid: @vsid was given
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
 * struct options - the command line
 * @out: where and how to print
 * @stream: options of streams
 * @filter: which HPTEs to show
 * @raw: show doublewords
 * @v3: show doublewords in the format of v3.0
 * @ignore_rc: ignore differences in R and C
 * @no_hash: do not check whether HPTEs are in the right group
 * @later: the stream has no first pass
 * @ea: effective address to look for
 * @by_ea: @ea was given
 * @large_segment: @ea is in a segment of 1T
 * @start: index at which the first pass begins
 * @max: how many faults to show, 0 for all
 * @output: file to write
 * @before: file with the earlier HPT
 * @interval: seconds between updates
 * @count: number of updates, 0 for no limit
 * @wait: wait for something to watch
 * @given: which options were given, by their letters
 * @nr_args: number of arguments besides options
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
	u64 ea;
	bool by_ea;
	bool large_segment;
	u64 start;
	u64 max;
	const char *output;
	const char *before;
	double interval;
	u64 count;
	bool wait;
	bool given[128];
	int nr_args;
	char **args;
};

extern const struct command watch_command;
extern const struct command dump_command;
extern const struct command decode_command;
extern const struct command check_command;
extern const struct command find_command;
extern const struct command diff_command;
extern const struct command map_command;
extern const struct command list_command;
extern const struct command save_command;

#endif
