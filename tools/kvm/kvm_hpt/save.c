// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt save: save what debugfs shows of the HPT of a running guest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "vms.h"

/* How many VMs of a process have an HPT; the path of that of the last one */
static int find_htab(const char *pid, char *path, size_t size)
{
	struct vms_iter iter;
	int nr = 0, err;
	FILE *f;

	err = vms_begin(&iter);
	if (err)
		return err;
	for (; (f = vms_next(&iter, pid, "htab")); nr++) {
		fclose(f);
		snprintf(path, size, "%s", iter.path);
	}
	return nr;
}

static int copy(FILE *from, FILE *to, const char *buf, size_t len)
{
	char more[BUFSIZ];

	while (len) {
		if (fwrite(buf, 1, len, to) < len)
			return -1;
		buf = more;
		len = fread(more, 1, sizeof(more), from);
	}
	return 0;
}

static int save(struct options *opts, const char *path)
{
	const char *name = opts->output ?: "the output";
	char buf[BUFSIZ];
	FILE *from = fopen(path, "r"), *to = opts->out.file;
	size_t len = from ? fread(buf, 1, sizeof(buf), from) : 0;
	int ret = EXIT_GOOD;

	if (!len) {
		msg("%s is %s", path, from ? "empty: the guest has no HPT" :
					     strerror(errno));
		if (from)
			fclose(from);
		return EXIT_NO_HPT;
	}
	if (opts->output)
		to = fopen(opts->output, "w");
	if (!to || copy(from, to, buf, len)) {
		msg("can't write %s: %s", name, strerror(errno));
		ret = EXIT_FILE;
	} else if (ferror(from)) {
		msg("can't read all of %s: %s", path, strerror(errno));
		ret = EXIT_FILE;
	}
	fclose(from);
	if (to && opts->output && fclose(to) && ret == EXIT_GOOD) {
		msg("can't write %s: %s", name, strerror(errno));
		ret = EXIT_FILE;
	}
	return ret ?: out_done(&opts->out);
}

static int cmd_save(struct options *opts)
{
	const char *pid = opts->args[0];
	char path[512];
	int nr;

	if (!*pid || strspn(pid, "0123456789") != strlen(pid)) {
		msg("'%s' is not a process ID", pid);
		return EXIT_USAGE;
	}
	nr = find_htab(pid, path, sizeof(path));
	if (nr == 1)
		return save(opts, path);
	if (nr < 0)
		msg("can't read %s: %s", vms_dir(), strerror(-nr));
	else
		msg("process %s has %s in %s", pid,
		    nr ? "several VMs" : "no VM with an HPT", vms_dir());
	return EXIT_NO_HPT;
}

const struct command save_command = {
	.name = "save",
	.run = cmd_save,
	.min_args = 1,
	.max_args = 1,
	.args = "PID",
	.options = "o:h",
	.text = "save what debugfs shows of a guest's HPT",
};
