// SPDX-License-Identifier: GPL-2.0
/*
 * Find HPT files and read their state.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <linux/kvm.h>

#include "msg.h"
#include "proc.h"

#define LINK_PREFIX	"anon_inode:"
#define LINK_NAME	"kvm-htab"
#define FIELD_PREFIX	"htab-"

const char * const hpt_field_names[NR_FIELDS] = {
	[HPTES]			= "hptes",
	[PASS]			= "pass",
	[POSITION]		= "position",
	[FIRST_LEFT]		= "first-left",
	[FIRST_BYTES]		= "first-bytes",
	[CHANGED]		= "changed",
	[CHANGED_BYTES]		= "changed-bytes",
	[READ_VALID]		= "read-valid",
	[READ_INVALID]		= "read-invalid",
	[READ_BYTES]		= "read-bytes",
	[WRITTEN_VALID]		= "written-valid",
	[WRITTEN_INVALID]	= "written-invalid",
	[WRITTEN_BYTES]		= "written-bytes",
	[REFUSED]		= "refused",
	[REFUSED_INDEX]		= "refused-index",
	[FLAGS]			= "flags",
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Path of /proc; tests use another one */
static const char *proc(void)
{
	return getenv("KVM_HPT_PROC") ?: "/proc";
}

static void parse_line(struct hpt_fd *hpt, char *line)
{
	char *name = line + strlen(FIELD_PREFIX), *value;
	unsigned int i;

	if (strncmp(line, FIELD_PREFIX, strlen(FIELD_PREFIX)))
		return;
	value = strchr(name, ':');
	if (!value)
		return;
	*value++ = 0;
	value += strspn(value, " \t");
	value[strcspn(value, "\n")] = 0;
	if (!strcmp(name, "mode"))
		snprintf(hpt->mode, sizeof(hpt->mode), "%s", value);
	if (!strcmp(name, "state"))
		snprintf(hpt->state, sizeof(hpt->state), "%s", value);
	for (i = 0; i < NR_FIELDS; i++)
		if (!strcmp(name, hpt_field_names[i])) {
			hpt->field[i] = strtoull(value, NULL, 0);
			hpt->has |= 1 << i;
		}
}

/* Returns false if the file has been closed meanwhile */
static bool read_fdinfo(const char *pid, struct hpt_fd *hpt)
{
	char path[512], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/fdinfo/%u", proc(), pid,
		 hpt->fd);
	f = fopen(path, "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		parse_line(hpt, line);
	fclose(f);
	return true;
}

static void set_field(struct hpt_fd *hpt, enum hpt_field field,
		      unsigned long long value)
{
	hpt->field[field] = value;
	hpt->has |= 1 << field;
}

/* Get the numbers of HPTEs left, which fdinfo lacks since they take a scan */
static void ask_progress(const char *pid, struct hpt_fd *hpt)
{
	struct kvm_ppc_htab_progress p = { .argsz = sizeof(p) };
	int pidfd, fd;

	if (strcmp(hpt->mode, "read") || hpt_fd_has(hpt, CHANGED) ||
	    getenv("KVM_HPT_PROC"))
		return;
	pidfd = syscall(SYS_pidfd_open, atoi(pid), 0);
	if (pidfd < 0)
		return;
	fd = syscall(SYS_pidfd_getfd, pidfd, hpt->fd, 0);
	close(pidfd);
	if (fd < 0)
		return;
	if (!ioctl(fd, KVM_PPC_HTAB_PROGRESS, &p) &&
	    p.state == KVM_PPC_HTAB_STATE_CURRENT) {
		set_field(hpt, FIRST_LEFT, p.first_hptes);
		set_field(hpt, FIRST_BYTES, p.first_bytes);
		set_field(hpt, CHANGED, p.changed_hptes);
		set_field(hpt, CHANGED_BYTES, p.changed_bytes);
	}
	close(fd);
}

static bool is_hpt(const char *dir, const char *name)
{
	char path[512], link[64];
	const char *kind = link + strlen(LINK_PREFIX);
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return false;
	link[len] = 0;
	return !strncmp(link, LINK_PREFIX, strlen(LINK_PREFIX)) &&
	       (!strcmp(kind, LINK_NAME) || !strcmp(kind, "[" LINK_NAME "]"));
}

/**
 * hpt_files() - find the HPT files that a process has open
 * @pid: the process
 * @files: the result; free @fd afterwards
 *
 * Return: 0 or an errno value.
 */
int hpt_files(const char *pid, struct hpt_files *files)
{
	struct hpt_fd hpt, *more;
	struct dirent *ent;
	char dir[256];
	DIR *d;

	*files = (struct hpt_files) { .time = seconds() };
	snprintf(dir, sizeof(dir), "%s/%s/fd", proc(), pid);
	d = opendir(dir);
	if (!d)
		return errno;
	while ((ent = readdir(d))) {
		if (!is_hpt(dir, ent->d_name))
			continue;
		hpt = (struct hpt_fd) {};
		hpt.fd = strtoul(ent->d_name, NULL, 10);
		if (!read_fdinfo(pid, &hpt))
			continue;
		ask_progress(pid, &hpt);
		more = realloc(files->fd, (files->nr + 1) * sizeof(*more));
		if (!more)
			break;
		files->fd = more;
		more[files->nr++] = hpt;
	}
	closedir(d);
	return 0;
}

static size_t read_line(const char *pid, const char *file, char *to, size_t size)
{
	char path[256];
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", proc(), pid, file);
	f = fopen(path, "r");
	if (f) {
		len = fread(to, 1, size - 1, f);
		fclose(f);
	}
	to[len] = 0;
	return len;
}

/* The name in QEMU's option -name, else that of the program */
static void read_name(const char *pid, char *to, size_t size)
{
	char line[4096], *arg = line;
	size_t len = read_line(pid, "cmdline", line, sizeof(line));

	for (; arg < line + len; arg += strlen(arg) + 1) {
		if (strcmp(arg, "-name") || arg + sizeof("-name") >= line + len)
			continue;
		arg += sizeof("-name");
		if (!strncmp(arg, "guest=", strlen("guest=")))
			arg += strlen("guest=");
		snprintf(to, size, "%.*s", (int)strcspn(arg, ","), arg);
		return;
	}
	read_line(pid, "comm", line, sizeof(line));
	snprintf(to, size, "%.*s", (int)strcspn(line, "\n"), line);
}

static int compare(const void *a, const void *b)
{
	const struct hpt_process *one = a, *other = b;

	return atoi(one->pid) - atoi(other->pid);
}

/**
 * hpt_processes() - find the processes that have HPT files open
 * @list: set to a list of them
 *
 * Return: their number, or a negative errno value.
 */
int hpt_processes(struct hpt_process **list)
{
	struct hpt_process one, *more;
	struct dirent *ent;
	int nr = 0;
	DIR *d;

	*list = NULL;
	d = opendir(proc());
	if (!d)
		return -errno;
	while ((ent = readdir(d))) {
		if (!isdigit(*ent->d_name) ||
		    strlen(ent->d_name) >= sizeof(one.pid))
			continue;
		if (hpt_files(ent->d_name, &one.files))
			continue;
		more = one.files.nr ?
		       realloc(*list, (nr + 1) * sizeof(*more)) : NULL;
		if (!more) {
			free(one.files.fd);
			continue;
		}
		*list = more;
		snprintf(one.pid, sizeof(one.pid), "%.15s", ent->d_name);
		read_name(one.pid, one.name, sizeof(one.name));
		more[nr++] = one;
	}
	closedir(d);
	if (nr)
		qsort(*list, nr, sizeof(**list), compare);
	return nr;
}

/**
 * hpt_processes_free() - free the result of hpt_processes()
 * @list: the list
 * @nr: its length
 */
void hpt_processes_free(struct hpt_process *list, int nr)
{
	while (nr-- > 0)
		free(list[nr].files.fd);
	free(list);
}
