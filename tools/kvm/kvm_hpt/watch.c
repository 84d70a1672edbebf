// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt watch: show the progress of a guest's migration, from the kernel's
 * reports in /proc/PID/fdinfo about the HPT files that QEMU has open.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "proc.h"
#include "vms.h"

/**
 * struct watch - the state of watching
 * @opts: the command line
 * @pid: the process
 * @processes: those that have HPT files, if no process was named
 * @nr_processes: number of these
 * @begin: time of the first look, negative before that
 * @lines: lines on the terminal that can be overwritten
 * @width: width of the terminal
 * @over: overwrite them
 * @last: the last look
 * @vms: the VMs of the process at that time
 * @nr_vms: number of these
 */
struct watch {
	struct options *opts;
	const char *pid;
	struct hpt_process *processes;
	int nr_processes;
	double begin;
	unsigned int lines;
	unsigned int width;
	bool over;
	struct hpt_files last;
	struct vm *vms;
	int nr_vms;
};

static void set_rates(struct hpt_files *now, const struct hpt_files *last)
{
	unsigned int i, k;

	for (i = 0; i < now->nr; i++)
		for (k = 0; k < last->nr; k++)
			if (now->fd[i].fd == last->fd[k].fd &&
			    hpt_fd_bytes(&now->fd[i]) >= hpt_fd_bytes(&last->fd[k]) &&
			    now->time > last->time)
				now->fd[i].rate = (hpt_fd_bytes(&now->fd[i]) -
						   hpt_fd_bytes(&last->fd[k])) /
						  (now->time - last->time);
}

/* Find the HPT files and their state. Return: 0 or an errno value. */
static int look(struct watch *w, struct hpt_files *now)
{
	int err = hpt_files(w->pid, now);

	if (err)
		return err;
	set_rates(now, &w->last);
	free(w->vms);
	w->nr_vms = vms_list(w->pid, &w->vms);
	return 0;
}

static void show_json(struct watch *w, const struct hpt_files *now)
{
	FILE *f = w->opts->out.file;
	const struct hpt_fd *hpt;
	const char *c;
	unsigned int i, k;

	if (w->begin < 0)
		w->begin = now->time;
	fprintf(f, "{\"time\": %.3f, \"fds\": [", now->time - w->begin);
	for (i = 0; i < now->nr; i++) {
		hpt = &now->fd[i];
		fprintf(f, "%s{\"fd\": %u, \"mode\": ", i ? ", " : "", hpt->fd);
		out_string(&w->opts->out, hpt->mode);
		fputs(", \"state\": ", f);
		out_string(&w->opts->out, hpt->state);
		for (k = 0; k < NR_FIELDS; k++) {
			if (!hpt_fd_has(hpt, k))
				continue;
			fputs(", \"", f);
			for (c = hpt_field_names[k]; *c; c++)
				fputc(*c == '-' ? '_' : *c, f);
			fprintf(f, "\": %llu", hpt->field[k]);
		}
		fprintf(f, ", \"rate\": %.0f}", hpt->rate);
	}
	fputc(']', f);
	vms_json(&w->opts->out, w->vms, w->nr_vms);
	fputs("}\n", f);
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

/* Usual number of columns of a reader's line besides the bar */
#define READER_COLUMNS	66

/* The minimum width of the bar */
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
	bytes_text(hpt_fd_bytes(hpt), sent, sizeof(sent));
	bytes_text(hpt->rate, rate, sizeof(rate));
	if (hpt->field[PASS] == 1 && hpt_fd_has(hpt, FIRST_LEFT))
		snprintf(left, sizeof(left), " %llu left",
			 hpt->field[FIRST_LEFT]);
	columns += snprintf(text, sizeof(text),
			    " %3.0f%% %4s sent %5s/s %llu changed%s",
			    hptes ? 100.0 * at / hptes : 0, sent, rate,
			    hpt->field[CHANGED], left);
	/* Two columns for the ends of the bar, and a free one */
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
	bytes_text(hpt_fd_bytes(hpt), bytes, sizeof(bytes));
	bytes_text(hpt->rate, rate, sizeof(rate));
	snprintf(sent, sizeof(sent), ", %s, %s/s", bytes, rate);
	columns = fprintf(f, "fd %-3u written: %llu valid, %llu invalid",
			  hpt->fd, hpt->field[WRITTEN_VALID],
			  hpt->field[WRITTEN_INVALID]);
	/* If there is no room for all, refused records are more important */
	if (columns + strlen(sent) + strlen(refused) < w->width)
		fputs(sent, f);
	out_color(&w->opts->out, RED);
	fputs(refused, f);
	out_color(&w->opts->out, PLAIN);
}

static void end_line(const struct watch *w)
{
	fputs(w->over ? "\033[K\n" : "\n", w->opts->out.file);
}

/* Return: number of lines */
static unsigned int show_vms(const struct watch *w)
{
	struct out *out = &w->opts->out;
	unsigned int lines = 0;
	char text[VM_TEXT];
	int i;

	for (i = 0; i < w->nr_vms; i++) {
		if (!vm_refused(&w->vms[i], text, sizeof(text)))
			continue;
		out_color(out, RED);
		fputs(text, out->file);
		out_color(out, PLAIN);
		end_line(w);
		lines++;
	}
	return lines;
}

static void show(struct watch *w, const struct hpt_files *now)
{
	FILE *f = w->opts->out.file;
	unsigned int i, lines;

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
		end_line(w);
	}
	lines = now->nr + show_vms(w);
	if (w->over && lines < w->lines)
		fputs("\033[J", f);
	w->lines = lines;
	fflush(f);
}

/* The result of each file that was closed */
static void show_end(struct watch *w, const struct hpt_files *last)
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
	/* Lines that wrap cannot be overwritten */
	w->over = w->opts->out.terminal && w->width >= 80;
}

static void wait_a_while(double interval)
{
	struct timespec ts = { .tv_sec = interval };

	ts.tv_nsec = (interval - ts.tv_sec) * 1e9;
	nanosleep(&ts, NULL);
}

/* Wait for another file? QEMU opens one for each section that it receives. */
static bool another_follows(const struct watch *w)
{
	unsigned int i;

	for (i = 0; i < w->last.nr; i++)
		if (!strcmp(w->last.fd[i].mode, "write"))
			return w->opts->wait;
	return false;
}

/* Return: EXIT_GOOD if there is something to watch, or print why not */
static int first_look(struct watch *w, struct hpt_files *now)
{
	unsigned int i;
	int err;

	err = look(w, now);
	while (!err && !now->nr && w->opts->wait) {
		wait_a_while(w->opts->interval);
		err = look(w, now);
	}
	if (err == ENOENT)
		msg("process %s does not exist", w->pid);
	else if (err)
		msg("can't examine process %s: %s", w->pid, strerror(err));
	else if (!now->nr)
		msg("process %s has no HPT file open, nothing migrates",
		    w->pid);
	if (!now->nr)
		vms_tell(w->pid);
	for (i = 0; i < now->nr; i++)
		if (*now->fd[i].mode)
			return EXIT_GOOD;
	if (now->nr)
		msg("this kernel does not report the progress of fd %u of process %s",
		    now->fd[0].fd, w->pid);
	return EXIT_NO_HPT;
}

/* If no process is named, find the only one that has HPT files */
static int find_process(struct watch *w)
{
	int nr = hpt_processes(&w->processes), i;

	while (!nr && w->opts->wait) {
		wait_a_while(w->opts->interval);
		nr = hpt_processes(&w->processes);
	}
	w->nr_processes = nr;
	if (nr == 1) {
		w->pid = w->processes[0].pid;
		return EXIT_GOOD;
	}
	if (nr < 0)
		msg("can't list processes: %s", strerror(-nr));
	if (!nr) {
		msg("no accessible process has an HPT file open, nothing migrates");
		vms_tell(NULL);
	}
	if (nr > 1)
		msg("several processes have HPT files open: which one?");
	for (i = 0; i < nr; i++) {
		fprintf(stderr, "%8s  ", w->processes[i].pid);
		out_text(stderr, 0, w->processes[i].name);
		fputc('\n', stderr);
	}
	return nr > 1 ? EXIT_USAGE : EXIT_NO_HPT;
}

static int set_process(struct watch *w)
{
	if (!w->opts->nr_args)
		return find_process(w);
	w->pid = w->opts->args[0];
	if (*w->pid && strspn(w->pid, "0123456789") == strlen(w->pid))
		return EXIT_GOOD;
	msg("'%s' is not a process ID", w->pid);
	return EXIT_USAGE;
}

static int follow(struct watch *w)
{
	struct hpt_files now;
	u64 looks = 1;
	int ret, err;

	ret = first_look(w, &now);
	w->last = now;
	if (ret)
		return ret;
	for (;;) {
		show(w, &w->last);
		if (looks++ == w->opts->count || ferror(w->opts->out.file))
			break;
		do {
			wait_a_while(w->opts->interval);
			err = look(w, &now);
		} while (!err && !now.nr && another_follows(w));
		if (err || !now.nr) {
			show_end(w, &w->last);
			break;
		}
		free(w->last.fd);
		w->last = now;
	}
	return out_done(&w->opts->out);
}

static int cmd_watch(struct options *opts)
{
	struct watch w = { .opts = opts };
	int ret;

	if (opts->given['t'] && opts->count == 1 && !opts->wait) {
		msg("--interval has no effect with --count=1");
		return EXIT_USAGE;
	}
	find_width(&w);
	w.begin = -1;
	ret = set_process(&w);
	if (ret == EXIT_GOOD)
		ret = follow(&w);
	free(w.last.fd);
	free(w.vms);
	hpt_processes_free(w.processes, w.nr_processes);
	return ret;
}

const struct command watch_command = {
	.name = "watch",
	.run = cmd_watch,
	.max_args = 1,
	.args = "[PID]",
	.options = "jc:t:n:wh",
	.text = "show the progress of a guest's migration",
};
