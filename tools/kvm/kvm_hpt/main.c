// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt - examine the hash page table of a Book3S HV KVM guest, as saved and
 * migrated through KVM_PPC_GET_HTAB_FD
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
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
 * @option: its letter
 * @name: its long name
 * @arg: name of its argument, NULL if it takes none
 * @text: description for the help text
 */
struct option_help {
	char option;
	const char *name;
	const char *arg;
	const char *text;
};

static const struct option_help options[] = {
	{ 'O', "order", "N", "log2 of the size of the HPT in bytes" },
	{ 'E', "endian", "ORDER", "byte order of headers: little or big" },
	{ 'S', "snapshot", "NAME", "snapshot of a qcow2 image to read" },
	{ 'F', "offset", "N", "skip the first N bytes of the file" },
	{ 'j', "json", NULL, "print JSON" },
	{ 'c', "color", "WHEN", "use colours: always, never or auto" },
	{ 'x', "raw", NULL, "show both doublewords" },
	{ '3', "v3", NULL, "show both doublewords in v3.0 format" },
	{ 'i', "index", "A[-B]", "only HPTEs with these indexes" },
	{ 'v', "vsid", "N", "only HPTEs of this virtual segment" },
	{ 'r', "real", "A[-B]", "only HPTEs with these real addresses" },
	{ 'b', "bolted", NULL, "only bolted HPTEs" },
	{ 'e', "ea", "ADDRESS", "effective address, or offset in segment" },
	{ '1', "1t", NULL, "the segment has 1T, not 256M" },
	{ 's', "start", "N", "the first pass begins at this index" },
	{ 'l', "later", NULL, "the stream has no first pass" },
	{ 'm', "max", "N", "show N faults at most, 0 for all (20)" },
	{ 'H', "no-hash", NULL, "do not check the group of HPTEs" },
	{ 'P', "progress", NULL, "print progress on stderr" },
	{ 'R', "ignore-rc", NULL, "ignore differences in R and C" },
	{ 'o', "output", "FILE", "write to FILE; for map, .png or .svg" },
	{ 'B', "before", "FILE", "show changes since this earlier HPT" },
	{ 't', "interval", "SEC", "seconds between updates (1)" },
	{ 'n', "count", "N", "stop after N updates" },
	{ 'w', "wait", NULL, "wait for a migration to begin or continue" },
	{ 'h', "help", NULL, "show this help" },
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
	      "kvm-hpt COMMAND --help or kvm-hpt help COMMAND shows its options\n"
	      "kvm-hpt --version shows the version\n\n"
	      "Only the program that holds the VM, QEMU, can load an HPT, or save one so\n"
	      "that it can be loaded.\n"
	      "Exit status: 0 success, 1 faults, differences or no match, 2 wrong usage,\n"
	      "3 unreadable file, 4 no HPT.\n",
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

/* A number, or two numbers with "-" between them */
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
		return parse_interval(arg, &opts->interval);
	case 'n':
		return whole_number(arg, &opts->count);
	case 'w':
		opts->wait = true;
		return true;
	}
	return false;
}

/* Make the list of a command's options for getopt_long() */
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

/* Was all of the standard output written? */
static int written(void)
{
	struct out out;

	out_init(&out, stdout);
	return out_done(&out);
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
	/* getopt_long() begins its messages with argv[0] */
	snprintf(name, sizeof(name), "kvm-hpt %s", command->name);
	argv[0] = name;
	out_init(&opts.out, stdout);
	make_long(command, long_options);
	while ((option = getopt_long(argc, argv, command->options,
				     long_options, NULL)) != -1) {
		if (option == 'h') {
			print_command_help(command);
			return written();
		}
		if (option == '?') {
			print_usage(stderr, command);
			return EXIT_USAGE;
		}
		opts.given[option] = true;
		if (!parse_option(&opts, option, optarg)) {
			msg("option -%c does not accept '%s'", option, optarg);
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
		return written();
	msg("unknown command '%s'; see kvm-hpt --help", name);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	const struct command *command;
	const char *name = argc > 1 ? argv[1] : NULL;

	/* A file that gets too large is an error as others are */
	signal(SIGXFSZ, SIG_IGN);
	if (!name) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(name, "-h") || !strcmp(name, "--help") ||
	    !strcmp(name, "help"))
		return show_help(argc > 2 ? argv[2] : NULL);
	if (!strcmp(name, "-V") || !strcmp(name, "--version")) {
		puts("kvm-hpt " VERSION);
		return written();
	}
	command = find_command_by(name);
	if (command)
		return run(command, argc - 1, argv + 1);
	if (!strcmp(name, "load"))
		msg("only a program that holds the VM, QEMU, can load an HPT");
	else
		msg("unknown command '%s'; see kvm-hpt --help", name);
	return EXIT_USAGE;
}
