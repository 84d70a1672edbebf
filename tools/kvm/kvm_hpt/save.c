// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt save: keep what debugfs shows of the HPT of a guest that is there.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

/* Where debugfs has KVM's: elsewhere in tests */
static const char *debugfs(void)
{
	return getenv("KVM_HPT_DEBUGFS") ?: "/sys/kernel/debug/kvm";
}

/* The directory of a VM is called PID-FD. How many of a process have an HPT. */
static int find_htab(const char *pid, char *path, size_t size)
{
	size_t len = strlen(pid);
	char one[512];
	struct dirent *ent;
	int nr = 0;
	FILE *f;
	DIR *d;

	d = opendir(debugfs());
	if (!d)
		return -errno;
	while ((ent = readdir(d))) {
		if (strncmp(ent->d_name, pid, len) || ent->d_name[len] != '-')
			continue;
		snprintf(one, sizeof(one), "%s/%s/htab", debugfs(), ent->d_name);
		f = fopen(one, "r");
		if (!f)
			continue;
		fclose(f);
		snprintf(path, size, "%s", one);
		nr++;
	}
	closedir(d);
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
		msg("'%s' is no process", pid);
		return EXIT_USAGE;
	}
	nr = find_htab(pid, path, sizeof(path));
	if (nr == 1)
		return save(opts, path);
	if (nr < 0)
		msg("can't look into %s: %s", debugfs(), strerror(-nr));
	else
		msg("process %s has %s in %s", pid,
		    nr ? "several VMs" : "no VM with an HPT", debugfs());
	return EXIT_NO_HPT;
}

const struct command save_command = {
	.name = "save",
	.run = cmd_save,
	.min_args = 1,
	.max_args = 1,
	.args = "PID",
	.options = "o:h",
	.text = "keep what debugfs shows of a guest's HPT",
};
