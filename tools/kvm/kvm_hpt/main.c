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

static const struct command * const commands[] = {
	&watch_command,
	&list_command,
	&dump_command,
	&decode_command,
	&check_command,
	&find_command,
	&diff_command,
	&map_command,
	&save_command,
};

/**
 * struct option_help - an option
 * @option: as in the command's options
 * @name: its long name
 * @arg: its argument, NULL if it takes none
 * @text: what it does
 */
struct option_help {
	char option;
	const char *name;
	const char *arg;
	const char *text;
};

static const struct option_help options[] = {
	{ 'O', "order", "N", "log2 of the size of the HPT in bytes" },
	{ 'E', "endian", "ORDER", "of headers: little or big" },
	{ 'S', "snapshot", "NAME", "which one in a qcow2 image" },
	{ 'F', "offset", "N", "skip as many bytes of the file" },
	{ 'j', "json", NULL, "for programs" },
	{ 'c', "color", "WHEN", "always, never or auto" },
	{ 'x', "raw", NULL, "with doublewords" },
	{ '3', "v3", NULL, "with doublewords in the form of v3.0" },
	{ 'i', "index", "A[-B]", "HPTEs with these indexes" },
	{ 'v', "vsid", "N", "HPTEs of this virtual segment" },
	{ 'r', "real", "A[-B]", "HPTEs with these real addresses" },
	{ 'b', "bolted", NULL, "HPTEs that are bolted" },
	{ 'e', "ea", "ADDRESS", "effective address, or an offset" },
	{ '1', "1t", NULL, "in a segment of 1T, not of 256M" },
	{ 's', "start", "N", "the first pass begins at this index" },
	{ 'l', "later", NULL, "there is no first pass" },
	{ 'm', "max", "N", "faults to show, 0 for all (20)" },
	{ 'H', "no-hash", NULL, "HPTEs may be in any group" },
	{ 'P', "progress", NULL, "say on stderr how far it is" },
	{ 'R', "ignore-rc", NULL, "R and C may differ" },
	{ 'o', "output", "FILE", "file to write, .png or .svg of map" },
	{ 'B', "before", "FILE", "show what has changed since" },
	{ 't', "interval", "SEC", "between looks (1)" },
	{ 'n', "count", "N", "number of looks" },
	{ 'w', "wait", NULL, "for a migration to begin or go on" },
	{ 'h', "help", NULL, "show this" },
};

#define NR_OPTIONS	ARRAY_SIZE(options)

static bool takes(const struct command *command, char option)
{
	return strchr(command->options, option);
}

static void print_usage(FILE *f, const struct command *command)
{
	fprintf(f, "usage: kvm-hpt %s [OPTION]... %s\n", command->name,
		command->args);
}

static void print_option(const struct option_help *o)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%s%s", o->name, o->arg ? " " : "",
		 o->arg ?: "");
	printf("  -%c, --%-16s %s\n", o->option, name, o->text);
}

static void print_command_help(const struct command *command)
{
	unsigned int i;

	print_usage(stdout, command);
	printf("%s\n\n", command->text);
	for (i = 0; i < NR_OPTIONS; i++)
		if (takes(command, options[i].option))
			print_option(&options[i]);
}

static void print_help(FILE *f)
{
	unsigned int i;

	fputs("usage: kvm-hpt COMMAND [OPTION]... ARGUMENT...\n\n", f);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(f, "  %-7s%-12s %s\n", commands[i]->name,
			commands[i]->args, commands[i]->text);
	fputs("\n"
	      "kvm-hpt COMMAND --help or kvm-hpt help COMMAND: its options\n"
	      "kvm-hpt --version\n\n"
	      "Loading an HPT, and saving one so that it can be loaded, takes a program\n"
	      "that holds the VM: QEMU.\n"
	      "Exit status: 0 good, 1 faults, differences, or nothing that was asked for,\n"
	      "2 usage, 3 file, 4 no HPT.\n",
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
		opts->stream.source.snapshot = arg;
		return true;
	case 'F':
		return whole_number(arg, &opts->stream.source.offset);
	case 'P':
		opts->stream.source.progress = true;
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
	case 'e':
		opts->by_ea = true;
		return whole_number(arg, &opts->ea);
	case '1':
		opts->large_segment = true;
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
		opts->by_interval = true;
		return parse_interval(arg, &opts->interval);
	case 'n':
		return whole_number(arg, &opts->count);
	case 'w':
		opts->wait = true;
		return true;
	}
	return false;
}

/* For getopt_long(): the options that a command takes */
static void make_long(const struct command *command, struct option *to)
{
	unsigned int i;

	for (i = 0; i < NR_OPTIONS; i++)
		if (takes(command, options[i].option))
			*to++ = (struct option) {
				.name = options[i].name,
				.has_arg = options[i].arg ? required_argument :
							    no_argument,
				.val = options[i].option,
			};
	*to = (struct option) {};
}

static int run(const struct command *command, int argc, char **argv)
{
	struct option long_options[NR_OPTIONS + 1];
	struct options opts = {
		.filter.index.last = ~0ULL,
		.filter.real.last = ~0ULL,
		.max = 20,
		.interval = 1,
	};
	char name[32];
	int option;

	msg_command(command->name);
	/* It is what getopt_long() begins its messages with */
	snprintf(name, sizeof(name), "kvm-hpt %s", command->name);
	argv[0] = name;
	out_init(&opts.out, stdout);
	make_long(command, long_options);
	while ((option = getopt_long(argc, argv, command->options,
				     long_options, NULL)) != -1) {
		if (option == 'h') {
			print_command_help(command);
			return out_done(&opts.out);
		}
		if (option == '?') {
			print_usage(stderr, command);
			return EXIT_USAGE;
		}
		if (!parse_option(&opts, option, optarg)) {
			msg("option '%c' doesn't take '%s'", option, optarg);
			print_usage(stderr, command);
			return EXIT_USAGE;
		}
	}
	opts.nr_args = argc - optind;
	opts.args = argv + optind;
	if (opts.nr_args < command->min_args ||
	    opts.nr_args > command->max_args) {
		msg("%s", opts.nr_args < command->min_args ?
			  "an argument is missing" : "too many arguments");
		print_usage(stderr, command);
		return EXIT_USAGE;
	}
	return command->run(&opts);
}

static const struct command *find_command_by(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(name, commands[i]->name))
			return commands[i];
	return NULL;
}

static int show_help(const char *name)
{
	const struct command *command = name ? find_command_by(name) : NULL;

	if (command)
		print_command_help(command);
	else if (!name)
		print_help(stdout);
	if (command || !name)
		return EXIT_GOOD;
	msg("there is no command '%s'; see kvm-hpt --help", name);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	const struct command *command;
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(name, "-h") || !strcmp(name, "--help") ||
	    !strcmp(name, "help"))
		return show_help(argc > 2 ? argv[2] : NULL);
	if (!strcmp(name, "-V") || !strcmp(name, "--version")) {
		puts("kvm-hpt " VERSION);
		return EXIT_GOOD;
	}
	command = find_command_by(name);
	if (command)
		return run(command, argc - 1, argv + 1);
	if (!strcmp(name, "load"))
		msg("to load an HPT takes a program that holds the VM: QEMU");
	else
		msg("there is no command '%s'; see kvm-hpt --help", name);
	return EXIT_USAGE;
}
