// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt - look at the hash page table of a Book3S HV KVM guest, as it is
 * saved and migrated through KVM_PPC_GET_HTAB_FD
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

/**
 * struct command - what kvm-hpt can do
 * @name: first argument
 * @run: does it
 * @nr_args: number of arguments that are no options
 * @args: these, for people
 * @options: options it takes
 * @text: what it does
 */
struct command {
	const char *name;
	int (*run)(struct options *opts);
	int nr_args;
	const char *args;
	const char *options;
	const char *text;
};

#define STREAM_OPTIONS	"O:E:S:jc:h"
#define HPTE_OPTIONS	STREAM_OPTIONS "i:v:r:bx3"

static const struct command commands[] = {
	{ "watch", cmd_watch, 1, "PID", "jc:t:n:wh",
	  "show how far the migration of a guest is" },
	{ "dump", cmd_dump, 1, "FILE", HPTE_OPTIONS,
	  "show the HPT at the end of a stream" },
	{ "decode", cmd_decode, 1, "FILE", HPTE_OPTIONS,
	  "show a stream record by record" },
	{ "check", cmd_check, 1, "FILE", STREAM_OPTIONS "s:lm:H",
	  "find what is wrong in a stream" },
	{ "diff", cmd_diff, 2, "A B", STREAM_OPTIONS "Rx3",
	  "show how two HPTs differ" },
	{ "map", cmd_map, 1, "FILE", STREAM_OPTIONS "o:B:",
	  "draw the HPT and print statistics" },
};

static const struct option long_options[] = {
	{ "order",	required_argument, NULL, 'O' },
	{ "endian",	required_argument, NULL, 'E' },
	{ "snapshot",	required_argument, NULL, 'S' },
	{ "json",	no_argument, NULL, 'j' },
	{ "color",	required_argument, NULL, 'c' },
	{ "index",	required_argument, NULL, 'i' },
	{ "vsid",	required_argument, NULL, 'v' },
	{ "real",	required_argument, NULL, 'r' },
	{ "bolted",	no_argument, NULL, 'b' },
	{ "raw",	no_argument, NULL, 'x' },
	{ "v3",		no_argument, NULL, '3' },
	{ "start",	required_argument, NULL, 's' },
	{ "later",	no_argument, NULL, 'l' },
	{ "max",	required_argument, NULL, 'm' },
	{ "no-hash",	no_argument, NULL, 'H' },
	{ "ignore-rc",	no_argument, NULL, 'R' },
	{ "output",	required_argument, NULL, 'o' },
	{ "before",	required_argument, NULL, 'B' },
	{ "interval",	required_argument, NULL, 't' },
	{ "count",	required_argument, NULL, 'n' },
	{ "wait",	no_argument, NULL, 'w' },
	{ "help",	no_argument, NULL, 'h' },
	{}
};

static void print_help(FILE *f)
{
	unsigned int i;

	fputs("Usage: kvm-hpt COMMAND [OPTION]... ARGUMENT...\n", f);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-7s%-5s %s\n", commands[i].name,
			commands[i].args, commands[i].text);
	fputs("\n"
	      "Streams:\n"
	      "  -O, --order N         log2 of the size of the HPT in bytes\n"
	      "  -E, --endian ORDER    of headers: little or big\n"
	      "  -S, --snapshot NAME   which one in a qcow2 image\n"
	      "Output:\n"
	      "  -j, --json            for programs\n"
	      "  -c, --color WHEN      always, never or auto\n"
	      "  -x, --raw             with doublewords (dump, decode, diff)\n"
	      "  -3, --v3              with doublewords in the form of Power ISA v3.0\n"
	      "Which HPTEs (dump, decode):\n"
	      "  -i, --index A[-B]     with these indexes\n"
	      "  -v, --vsid N          of this virtual segment\n"
	      "  -r, --real A[-B]      with these real addresses\n"
	      "  -b, --bolted          that are bolted\n"
	      "check:\n"
	      "  -s, --start N         the first pass begins at this index\n"
	      "  -l, --later           there is no first pass\n"
	      "  -m, --max N           faults to show, 0 for all (20)\n"
	      "  -H, --no-hash         HPTEs may be in any group\n"
	      "diff:\n"
	      "  -R, --ignore-rc       R and C may differ\n"
	      "map:\n"
	      "  -o, --output FILE     picture, .png or .svg\n"
	      "  -B, --before FILE     show what has changed since\n"
	      "watch:\n"
	      "  -t, --interval SEC    between looks (1)\n"
	      "  -n, --count N         number of looks\n"
	      "  -w, --wait            for a migration to begin or go on\n"
	      "\n"
	      "Saving and loading an HPT takes a program that holds the VM: QEMU.\n"
	      "Exit status: 0 good, 1 faults or differences, 2 usage, 3 file, 4 no HPT.\n",
	      f);
}

static bool parse_number(const char *text, u64 *number, char **end)
{
	errno = 0;
	*number = strtoull(text, end, 0);
	return *end != text && *text != '-' && !errno;
}

static bool whole_number(const char *text, u64 *number)
{
	char *end;

	return parse_number(text, number, &end) && !*end;
}

/* A number or two with "-" in between */
static bool parse_range(const char *text, struct range *range)
{
	char *end;

	if (!parse_number(text, &range->first, &end))
		return false;
	range->last = range->first;
	if (*end == '-')
		return whole_number(end + 1, &range->last) &&
		       range->last >= range->first;
	return !*end;
}

static bool parse_order(const char *text, unsigned int *order)
{
	u64 number;

	if (!whole_number(text, &number) || number < MIN_ORDER ||
	    number > MAX_ORDER)
		return false;
	*order = number;
	return true;
}

static bool parse_endian(const char *text, char *endian)
{
	*endian = *text;
	return !strcmp(text, "little") || !strcmp(text, "big");
}

static bool parse_interval(const char *text, double *interval)
{
	char *end;

	*interval = strtod(text, &end);
	return end != text && !*end && *interval >= 0 && *interval <= 86400;
}

static bool parse_option(struct options *opts, int option, const char *arg)
{
	switch (option) {
	case 'O':
		return parse_order(arg, &opts->stream.order);
	case 'E':
		return parse_endian(arg, &opts->stream.endian);
	case 'S':
		opts->stream.snapshot = arg;
		return true;
	case 'j':
		opts->out.json = true;
		return true;
	case 'c':
		return out_color_option(&opts->out, arg);
	case 'i':
		return parse_range(arg, &opts->filter.index);
	case 'v':
		opts->filter.by_vsid = true;
		return whole_number(arg, &opts->filter.vsid);
	case 'r':
		return parse_range(arg, &opts->filter.real);
	case 'b':
		opts->filter.bolted = true;
		return true;
	case 'x':
		opts->raw = true;
		return true;
	case '3':
		opts->v3 = true;
		return true;
	case 's':
		return whole_number(arg, &opts->start);
	case 'l':
		opts->later = true;
		return true;
	case 'm':
		return whole_number(arg, &opts->max);
	case 'H':
		opts->no_hash = true;
		return true;
	case 'R':
		opts->ignore_rc = true;
		return true;
	case 'o':
		opts->output = arg;
		return true;
	case 'B':
		opts->before = arg;
		return true;
	case 't':
		return parse_interval(arg, &opts->interval);
	case 'n':
		return whole_number(arg, &opts->count);
	case 'w':
		opts->wait = true;
		return true;
	}
	return false;
}

/* Options are those of all commands; which of them this one takes */
static bool takes(const struct command *command, int option)
{
	return strchr(command->options, option);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct options opts = {
		.filter.index.last = ~0ULL,
		.filter.real.last = ~0ULL,
		.max = 20,
		.interval = 1,
	};
	int option;

	out_init(&opts.out, stdout);
	while ((option = getopt_long(argc, argv, command->options,
				     long_options, NULL)) != -1) {
		if (option == 'h') {
			print_help(stdout);
			return out_done(&opts.out);
		}
		if (option == '?')
			return EXIT_USAGE;
		if (!takes(command, option)) {
			msg("%s has no option '%c'", command->name, option);
			return EXIT_USAGE;
		}
		if (!parse_option(&opts, option, optarg)) {
			msg("option '%c' doesn't take '%s'", option, optarg);
			return EXIT_USAGE;
		}
	}
	opts.nr_args = argc - optind;
	opts.args = argv + optind;
	if (opts.nr_args != command->nr_args) {
		msg("it is: kvm-hpt %s [OPTION]... %s", command->name,
		    command->args);
		return EXIT_USAGE;
	}
	return command->run(&opts);
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") ||
			 !strcmp(argv[1], "help"))) {
		print_help(stdout);
		return EXIT_GOOD;
	}
	for (i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return run(&commands[i], argc - 1, argv + 1);
	if (argc > 1 && (!strcmp(argv[1], "save") || !strcmp(argv[1], "load"))) {
		msg("to %s an HPT takes a program that holds the VM: QEMU",
		    argv[1]);
		return EXIT_USAGE;
	}
	if (argc > 1)
		msg("there is no command '%s'; see kvm-hpt --help", argv[1]);
	else
		print_help(stderr);
	return EXIT_USAGE;
}
