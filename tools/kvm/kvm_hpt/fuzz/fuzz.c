// SPDX-License-Identifier: GPL-2.0
/*
 * Whatever is in a file, the commands that read one say something about it and
 * come to an end.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd.h"

static int (*const commands[])(struct options *opts) = {
	cmd_check, cmd_decode, cmd_dump, cmd_diff, cmd_map,
};

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct options opts = {
		.filter.index.last = ~0ULL,
		.filter.real.last = ~0ULL,
		.max = 20,
	};
	FILE *null = fopen("/dev/null", "w");
	char path[32], *args[] = { path, path };
	int fd = memfd_create("input", 0);
	unsigned int i;

	if (!null || fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opts.args = args;
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		out_init(&opts.out, null);
		opts.out.json = size & 1;
		commands[i](&opts);
	}
	close(fd);
	fclose(null);
	return 0;
}
