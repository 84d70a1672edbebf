// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt watch: how far the migration of a guest is, from what the kernel
 * says in /proc/PID/fdinfo of the HPT files that QEMU has open.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

#define LINK_PREFIX	"anon_inode:"
#define LINK_NAME	"kvm-htab"
#define FIELD_PREFIX	"htab-"

/* More than anyone opens */
#define MAX_FDS		64

enum field {
	HPTES,
	PASS,
	POSITION,
	FIRST_LEFT,
	FIRST_BYTES,
	CHANGED,
	CHANGED_BYTES,
	READ_VALID,
	READ_INVALID,
	READ_BYTES,
	WRITTEN_VALID,
	WRITTEN_INVALID,
	WRITTEN_BYTES,
	REFUSED,
	REFUSED_INDEX,
	FLAGS,
	NR_FIELDS,
};

static const char * const field_names[] = {
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

/**
 * struct hpt_fd - an HPT file as it was at a look
 * @fd: its number in the process
 * @mode: "read" or "write"
 * @state: of the HPT: "current", "none" or "stale"
 * @has: a bit for each field that the kernel has
 * @field: their values
 * @rate: bytes per second since the last look
 */
struct hpt_fd {
	unsigned int fd;
	char mode[8];
	char state[16];
	u32 has;
	u64 field[NR_FIELDS];
	double rate;
};

/**
 * struct look - all HPT files of a process
 * @time: when this was
 * @nr: number of files
 * @fd: these
 */
struct look {
	double time;
	unsigned int nr;
	struct hpt_fd fd[MAX_FDS];
};

/**
 * struct watch - the state of watching
 * @opts: the command line
 * @pid: the process
 * @begin: when it began
 * @lines: lines on the terminal that can be written over
 * @width: of the terminal
 * @over: write over them
 * @last: the last look
 */
struct watch {
	struct options *opts;
	const char *pid;
	double begin;
	unsigned int lines;
	unsigned int width;
	bool over;
	struct look last;
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Where /proc is: elsewhere in tests */
static const char *proc(void)
{
	return getenv("KVM_HPT_PROC") ?: "/proc";
}

static u64 bytes_of(const struct hpt_fd *hpt)
{
	return hpt->field[READ_BYTES] + hpt->field[WRITTEN_BYTES];
}

static bool has(const struct hpt_fd *hpt, enum field field)
{
	return hpt->has & 1 << field;
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
		if (!strcmp(name, field_names[i])) {
			hpt->field[i] = strtoull(value, NULL, 0);
			hpt->has |= 1 << i;
		}
}

/* False if the file has been closed meanwhile */
static bool read_fdinfo(const struct watch *w, struct hpt_fd *hpt)
{
	char path[512], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/fdinfo/%u", proc(), w->pid,
		 hpt->fd);
	f = fopen(path, "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		parse_line(hpt, line);
	fclose(f);
	return true;
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

static void set_rates(struct look *now, const struct look *last)
{
	unsigned int i, k;

	for (i = 0; i < now->nr; i++)
		for (k = 0; k < last->nr; k++)
			if (now->fd[i].fd == last->fd[k].fd &&
			    bytes_of(&now->fd[i]) >= bytes_of(&last->fd[k]) &&
			    now->time > last->time)
				now->fd[i].rate = (bytes_of(&now->fd[i]) -
						   bytes_of(&last->fd[k])) /
						  (now->time - last->time);
}

/* Find the HPT files and what the kernel says of them. 0 or an errno value. */
static int look(struct watch *w, struct look *now)
{
	struct hpt_fd *hpt;
	struct dirent *ent;
	char dir[256];
	DIR *d;

	*now = (struct look) { .time = seconds() };
	snprintf(dir, sizeof(dir), "%s/%s/fd", proc(), w->pid);
	d = opendir(dir);
	if (!d)
		return errno;
	while (now->nr < MAX_FDS && (ent = readdir(d))) {
		if (!is_hpt(dir, ent->d_name))
			continue;
		hpt = &now->fd[now->nr];
		hpt->fd = strtoul(ent->d_name, NULL, 10);
		if (read_fdinfo(w, hpt))
			now->nr++;
	}
	closedir(d);
	set_rates(now, &w->last);
	return 0;
}

static void show_json(struct watch *w, const struct look *now)
{
	FILE *f = w->opts->out.file;
	const struct hpt_fd *hpt;
	const char *c;
	unsigned int i, k;

	fprintf(f, "{\"time\": %.3f, \"fds\": [", now->time - w->begin);
	for (i = 0; i < now->nr; i++) {
		hpt = &now->fd[i];
		fprintf(f, "%s{\"fd\": %u, \"mode\": ", i ? ", " : "", hpt->fd);
		out_string(&w->opts->out, hpt->mode);
		fputs(", \"state\": ", f);
		out_string(&w->opts->out, hpt->state);
		for (k = 0; k < NR_FIELDS; k++) {
			if (!has(hpt, k))
				continue;
			fputs(", \"", f);
			for (c = field_names[k]; *c; c++)
				fputc(*c == '-' ? '_' : *c, f);
			fprintf(f, "\": %llu", hpt->field[k]);
		}
		fprintf(f, ", \"rate\": %.0f}", hpt->rate);
	}
	fputs("]}\n", f);
}

/* Put a number of bytes, or of bytes per second, into five characters */
static void bytes_text(double bytes, char *text, size_t size)
{
	static const char units[] = "BKMGTP";
	unsigned int unit = 0;

	while (bytes >= 1000 && unit < sizeof(units) - 2) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, size, "%.*f%c", bytes < 10 && unit ? 1 : 0, bytes,
		 units[unit]);
}

static void bar(const struct watch *w, unsigned int width, u64 part, u64 whole)
{
	unsigned int done = whole ? width * ((double)part / whole) : 0, i;
	FILE *f = w->opts->out.file;

	if (done > width)
		done = width;
	fputc('[', f);
	out_color(&w->opts->out, GREEN);
	for (i = 0; i < done; i++)
		fputc('#', f);
	out_color(&w->opts->out, PLAIN);
	for (; i < width; i++)
		fputc('-', f);
	fputc(']', f);
}

/* Columns of a reader's line besides the bar, most of the time */
#define READER_COLUMNS	66

/* There is always something to be seen of the bar */
#define LEAST_BAR	2

static unsigned int bar_width(const struct watch *w, unsigned int others)
{
	if (others < READER_COLUMNS)
		others = READER_COLUMNS;
	return w->width > others + LEAST_BAR ? w->width - others : LEAST_BAR;
}

static void show_reader(struct watch *w, const struct hpt_fd *hpt)
{
	u64 hptes = hpt->field[HPTES], at = hpt->field[POSITION];
	char sent[16], rate[16], left[32] = "", text[128];
	FILE *f = w->opts->out.file;
	int columns;

	if (!strcmp(hpt->state, "none")) {
		fprintf(f, "fd %u: no HPT", hpt->fd);
		return;
	}
	if (!strcmp(hpt->state, "stale")) {
		out_color(&w->opts->out, RED);
		fprintf(f, "fd %u: the HPT was replaced, the migration fails",
			hpt->fd);
		out_color(&w->opts->out, PLAIN);
		return;
	}
	columns = fprintf(f, "fd %-3u pass %-3llu ", hpt->fd, hpt->field[PASS]);
	bytes_text(bytes_of(hpt), sent, sizeof(sent));
	bytes_text(hpt->rate, rate, sizeof(rate));
	if (hpt->field[PASS] == 1 && has(hpt, FIRST_LEFT))
		snprintf(left, sizeof(left), " %llu left",
			 hpt->field[FIRST_LEFT]);
	columns += snprintf(text, sizeof(text),
			    " %3.0f%% %4s sent %5s/s %llu changed%s",
			    hptes ? 100.0 * at / hptes : 0, sent, rate,
			    hpt->field[CHANGED], left);
	/* Two more are the ends of the bar, one is free */
	bar(w, bar_width(w, columns + 3), at, hptes);
	fputs(text, f);
}

static void show_writer(struct watch *w, const struct hpt_fd *hpt)
{
	char bytes[16], rate[16], sent[48], refused[64] = "";
	FILE *f = w->opts->out.file;
	int columns;

	if (hpt->field[REFUSED])
		snprintf(refused, sizeof(refused), ", %llu refused (0x%llx)",
			 hpt->field[REFUSED], hpt->field[REFUSED_INDEX]);
	bytes_text(bytes_of(hpt), bytes, sizeof(bytes));
	bytes_text(hpt->rate, rate, sizeof(rate));
	snprintf(sent, sizeof(sent), ", %s, %s/s", bytes, rate);
	columns = fprintf(f, "fd %-3u written: %llu valid, %llu invalid",
			  hpt->fd, hpt->field[WRITTEN_VALID],
			  hpt->field[WRITTEN_INVALID]);
	/* If there is no room for all, that one was refused matters more */
	if (columns + strlen(sent) + strlen(refused) < w->width)
		fputs(sent, f);
	out_color(&w->opts->out, RED);
	fputs(refused, f);
	out_color(&w->opts->out, PLAIN);
}

static void show(struct watch *w, const struct look *now)
{
	FILE *f = w->opts->out.file;
	unsigned int i;

	if (w->opts->out.json) {
		show_json(w, now);
		fflush(f);
		return;
	}
	if (w->over && w->lines)
		fprintf(f, "\033[%uA", w->lines);
	for (i = 0; i < now->nr; i++) {
		if (!strcmp(now->fd[i].mode, "write"))
			show_writer(w, &now->fd[i]);
		else
			show_reader(w, &now->fd[i]);
		fputs(w->over ? "\033[K\n" : "\n", f);
	}
	if (w->over && now->nr < w->lines)
		fputs("\033[J", f);
	w->lines = now->nr;
	fflush(f);
}

/* How it ended, of each file that is not open any more */
static void show_end(struct watch *w, const struct look *last)
{
	FILE *f = w->opts->out.file;
	const struct hpt_fd *hpt;
	unsigned int i;

	if (w->opts->out.json)
		return;
	for (i = 0; i < last->nr; i++) {
		hpt = &last->fd[i];
		if (!strcmp(hpt->mode, "write"))
			fprintf(f, "fd %u closed: %llu valid and %llu invalid HPTEs\n",
				hpt->fd, hpt->field[WRITTEN_VALID],
				hpt->field[WRITTEN_INVALID]);
		else
			fprintf(f, "fd %u closed in pass %llu: %llu valid and %llu invalid HPTEs\n",
				hpt->fd, hpt->field[PASS],
				hpt->field[READ_VALID],
				hpt->field[READ_INVALID]);
	}
}

static void find_width(struct watch *w)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	w->width = 80;
	if (!ioctl(fileno(w->opts->out.file), TIOCGWINSZ, &size) && size.ws_col)
		w->width = size.ws_col;
	else if (columns && atoi(columns) > 0)
		w->width = atoi(columns);
	/* Lines that go on in the next one are not where they should be */
	w->over = w->opts->out.terminal && w->width >= 80;
}

static void wait_a_while(double interval)
{
	struct timespec ts = { .tv_sec = interval };

	ts.tv_nsec = (interval - ts.tv_sec) * 1e9;
	nanosleep(&ts, NULL);
}

/* QEMU opens a file for each section of a stream that it receives */
static bool another_follows(const struct watch *w)
{
	unsigned int i;

	for (i = 0; i < w->last.nr; i++)
		if (!strcmp(w->last.fd[i].mode, "write"))
			return w->opts->wait;
	return false;
}

/* Is there anything to be seen? EXIT_GOOD, or a message and why not. */
static int first_look(struct watch *w, struct look *now)
{
	unsigned int i;
	int err;

	err = look(w, now);
	while (!err && !now->nr && w->opts->wait) {
		wait_a_while(w->opts->interval);
		err = look(w, now);
	}
	if (err == ENOENT)
		msg("there is no process %s", w->pid);
	else if (err)
		msg("can't look at process %s: %s", w->pid, strerror(err));
	else if (!now->nr)
		msg("process %s has no HPT file open, nothing migrates",
		    w->pid);
	for (i = 0; i < now->nr; i++)
		if (*now->fd[i].mode)
			return EXIT_GOOD;
	if (now->nr)
		msg("this kernel doesn't say how far fd %u of process %s is",
		    now->fd[0].fd, w->pid);
	return EXIT_NO_HPT;
}

/**
 * cmd_watch() - show how far the migration of a guest is
 * @opts: the command line
 *
 * Return: the exit code.
 */
int cmd_watch(struct options *opts)
{
	struct watch w = { .opts = opts, .pid = opts->args[0] };
	struct look now;
	u64 looks = 1;
	int ret, err;

	if (!*w.pid || strspn(w.pid, "0123456789") != strlen(w.pid)) {
		msg("'%s' is no process", w.pid);
		return EXIT_USAGE;
	}
	find_width(&w);
	w.begin = seconds();
	ret = first_look(&w, &now);
	if (ret)
		return ret;
	for (;;) {
		show(&w, &now);
		w.last = now;
		if (looks++ == opts->count)
			break;
		do {
			wait_a_while(opts->interval);
			err = look(&w, &now);
		} while (!err && !now.nr && another_follows(&w));
		if (err || !now.nr) {
			show_end(&w, &w.last);
			break;
		}
	}
	return out_done(&opts->out);
}
