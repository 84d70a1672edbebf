// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on a VM and the files of its HPT, compared with the model.
 *
 * Each seed makes a sequence of operations, the same ones each time. A failing
 * sequence is minimised and printed. Sequences run in child processes, since
 * they may crash.
 */

#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

#define MAX_OPS		1000

static size_t nr_ops = 300;

/* Run operations in a child. Returns whether they fail. */
static bool fails(const struct model_op *ops, size_t nr, bool loud)
{
	int status, null;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (!loud) {
			null = open("/dev/null", O_WRONLY);
			dup2(null, STDERR_FILENO);
		}
		alarm(60);
		model_run(ops, nr);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static size_t without(const struct model_op *ops, size_t nr, size_t at,
		      size_t count, struct model_op *left)
{
	memcpy(left, ops, at * sizeof(*ops));
	memcpy(left + at, ops + at + count, (nr - at - count) * sizeof(*ops));
	return nr - count;
}

/* Leave out as many operations as possible, first many at once, then fewer */
static size_t leave_out(struct model_op *ops, size_t nr)
{
	struct model_op left[MAX_OPS];
	size_t count, at;

	for (count = nr / 2; count; count /= 2) {
		for (at = nr; at > 1;) {
			at = at > count + 1 ? at - count : 1;
			if (at + count > nr)
				continue;
			without(ops, nr, at, count, left);
			if (fails(left, nr - count, false)) {
				nr -= count;
				memcpy(ops, left, nr * sizeof(*ops));
			}
		}
	}
	return nr;
}

static bool try(struct model_op *ops, size_t nr, struct model_op *op,
		struct model_op other)
{
	struct model_op old = *op;

	if (!memcmp(op, &other, sizeof(other)))
		return false;
	*op = other;
	if (fails(ops, nr, false))
		return true;
	*op = old;
	return false;
}

/* Set as many fields and bits to their plain value as possible */
static bool simplify(struct model_op *ops, size_t nr)
{
	struct model_op *op, plain;
	bool better = false;
	int bit;

	for (op = ops; op < ops + nr; op++) {
		plain = *op;
		plain.who = 0;
		better |= try(ops, nr, op, plain);
		plain = *op;
		plain.where = MISHAP_KINDS - 1;
		better |= try(ops, nr, op, plain);
		for (bit = 31; bit >= 0; bit--) {
			plain = *op;
			plain.arg &= ~(1u << bit);
			better |= try(ops, nr, op, plain);
		}
	}
	return better;
}

static void shrink(uint64_t seed)
{
	struct model_op ops[MAX_OPS];
	size_t nr = nr_ops, was;

	model_random(seed, ops, nr);
	if (!fails(ops, nr, true)) {
		printf("# seed %llu does not fail again\n",
		       (unsigned long long)seed);
		return;
	}
	do {
		was = nr;
		nr = leave_out(ops, nr);
	} while (nr < was || simplify(ops, nr));
	printf("# seed %llu fails with %zu of its %zu operations:\n",
	       (unsigned long long)seed, nr, nr_ops);
	model_print(ops, nr);
	fails(ops, nr, true);
}

static void print_usage(void)
{
	fprintf(stderr,
		"usage: ops_test [-s SEED] [-n SEEDS] [-l OPERATIONS]\n"
		"       ops_test -w FILE [-s SEED] [-l OPERATIONS]\n"
		"       ops_test FILE..    operations as in corpus/ops\n");
	exit(2);
}

/* Run operations that a fuzzer has found */
static int replay(char **files)
{
	struct model_op ops[MAX_OPS];
	size_t nr;
	FILE *file;

	for (; *files; files++) {
		file = fopen(*files, "r");
		if (!file)
			print_usage();
		nr = fread(ops, sizeof(*ops), MAX_OPS, file);
		fclose(file);
		model_print(ops, nr);
		model_run(ops, nr);
	}
	return 0;
}

/* Write random operations, for a fuzzer to start from */
static int write_seed(uint64_t seed, const char *name)
{
	struct model_op ops[MAX_OPS];
	FILE *file = fopen(name, "w");

	model_random(seed, ops, nr_ops);
	return !file || fwrite(ops, sizeof(*ops), nr_ops, file) != nr_ops ||
	       fclose(file);
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, nr_seeds = 1000, *at;
	struct model_op ops[MAX_OPS];
	const char *file = NULL;
	int opt, status;
	pid_t pid;

	while ((opt = getopt(argc, argv, "s:n:l:w:")) != -1) {
		if (opt == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (opt == 'n')
			nr_seeds = strtoull(optarg, NULL, 0);
		else if (opt == 'l')
			nr_ops = strtoul(optarg, NULL, 0);
		else if (opt == 'w')
			file = optarg;
		else
			print_usage();
	}
	if (argv[optind])
		return replay(argv + optind);
	if (!nr_ops || nr_ops > MAX_OPS)
		print_usage();
	if (file)
		return write_seed(seed, file);

	at = mmap(NULL, sizeof(*at), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	printf("TAP version 13\n1..1\n");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		for (*at = seed; *at < seed + nr_seeds; ++*at) {
			model_random(*at, ops, nr_ops);
			alarm(60);
			model_run(ops, nr_ops);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		shrink(*at);
	printf("# seeds %llu to %llu, %zu operations each\n",
	       (unsigned long long)seed, (unsigned long long)*at - !status,
	       nr_ops);
	printf("%sok 1 - random operations\n", status ? "not " : "");
	return !!status;
}
