// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz the commands that read a file: they must not crash or hang.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd.h"

/* Instead of unpack.c: compressed data is read as it is */
int source_unpack(struct source *src, const char *program)
{
	(void)program;
	src->begin = src->pos;
	return 0;
}

int source_unpacked(struct source *src)
{
	(void)src;
	return 0;
}

void source_stop(struct source *src)
{
	(void)src;
}

static const struct command * const commands[] = {
	&check_command, &decode_command, &dump_command, &find_command,
	&diff_command, &map_command, &list_command,
};

/* The input selects options, too */
static void set_options(struct options *opts, const u8 *data, size_t size)
{
	u8 bits = size ? data[size - 1] : 0;

	*opts = (struct options) {
		.filter.index.last = ~0ULL,
		.filter.real.last = ~0ULL,
		.filter.by_vsid = true,
		.by_ea = true,
		.max = 20,
	};
	opts->out.json = size & 1;
	opts->large_segment = bits & 1;
	opts->filter.vsid = bits;
	opts->ea = (u64)bits << 16;
	if (bits & 2)
		opts->stream.order = MIN_ORDER + (bits >> 4);
	if ((bits & 12) == 12)
		opts->stream.endian = 'b';
	if ((bits & 12) == 8)
		opts->max = 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	FILE *null = fopen("/dev/null", "w");
	char path[32], *args[] = { path, path };
	int fd = memfd_create("input", 0);
	struct options opts;
	unsigned int i;

	if (!null || fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		set_options(&opts, data, size);
		opts.args = args;
		opts.nr_args = commands[i]->max_args;
		opts.out.file = null;
		commands[i]->run(&opts);
	}
	close(fd);
	fclose(null);
	return 0;
}
