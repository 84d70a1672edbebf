// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt list: the contents of a file, or the processes that have HPT files.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "proc.h"
#include "qcow2.h"
#include "vms.h"

static const char *format_name(const struct stream *s)
{
	switch (s->format) {
	case FORMAT_LE:
		return "stream of the HPT file, little-endian headers";
	case FORMAT_BE:
		return "stream of the HPT file, big-endian headers";
	case FORMAT_QEMU:
		return "QEMU's migration stream";
	case FORMAT_DEBUGFS:
		return "text of debugfs";
	default:
		return "no stream";
	}
}

static void date_text(u32 seconds, char *text, size_t size)
{
	time_t time = seconds;
	struct tm tm;

	if (!gmtime_r(&time, &tm) ||
	    !strftime(text, size, "%Y-%m-%d %H:%M:%S", &tm))
		*text = 0;
}

static void list_snapshots(struct options *opts, const struct qcow2 *q)
{
	FILE *f = opts->out.file;
	const struct snapshot *snap;
	unsigned int i;
	char date[32];

	fputs("snapshots\n", f);
	for (i = 0; (snap = qcow2_snapshot(q, i)); i++) {
		date_text(snap->seconds, date, sizeof(date));
		fputs(snap == qcow2_opened(q) ? "> " : "  ", f);
		out_text(f, 4, snap->id);
		fputs("  ", f);
		out_text(f, -20, snap->name);
		fprintf(f, " %s %12llu bytes\n", date, snap->size);
	}
}

static void json_snapshots(struct options *opts, const struct qcow2 *q)
{
	FILE *f = opts->out.file;
	const struct snapshot *snap;
	unsigned int i;

	fputs(",\n \"snapshots\": [", f);
	for (i = 0; (snap = qcow2_snapshot(q, i)); i++) {
		fprintf(f, "%s\n  {\"id\": ", i ? "," : "");
		out_string(&opts->out, snap->id);
		fputs(", \"name\": ", f);
		out_string(&opts->out, snap->name);
		fprintf(f, ", \"seconds\": %u, \"bytes\": %llu, \"read\": %s}",
			snap->seconds, snap->size,
			snap == qcow2_opened(q) ? "true" : "false");
	}
	fputc(']', f);
}

static void list_sections(struct options *opts, const struct qemu_stream *q)
{
	FILE *f = opts->out.file;
	unsigned int i;

	fprintf(f, "machine type  %s\n", q->machine ?: "not named");
	if (q->capabilities) {
		fputs("capabilities ", f);
		out_text(f, 0, q->capabilities);
		fputc('\n', f);
	}
	fputs("sections up to the end of the HPT\n", f);
	for (i = 0; i < q->nr; i++) {
		fprintf(f, "  %6u  ", q->section[i]->id);
		out_text(f, -24, q->section[i]->name);
		fprintf(f, " %10llu %s %12llu bytes\n", q->section[i]->parts,
			q->section[i]->parts == 1 ? "time " : "times",
			q->section[i]->bytes);
	}
}

static void json_sections(struct options *opts, const struct qemu_stream *q)
{
	FILE *f = opts->out.file;
	unsigned int i;

	fputs(",\n \"machine\": ", f);
	out_string(&opts->out, q->machine ?: "");
	fputs(", \"capabilities\": ", f);
	out_string(&opts->out, q->capabilities ? q->capabilities + 1 : "");
	fputs(",\n \"sections\": [", f);
	for (i = 0; i < q->nr; i++) {
		fprintf(f, "%s\n  {\"id\": %u, \"name\": ", i ? "," : "",
			q->section[i]->id);
		out_string(&opts->out, q->section[i]->name);
		fprintf(f, ", \"version\": %u, \"parts\": %llu, \"bytes\": %llu}",
			q->section[i]->version, q->section[i]->parts,
			q->section[i]->bytes);
	}
	fputc(']', f);
}

static void list_text(struct options *opts, const struct stream *s, bool broken)
{
	FILE *f = opts->out.file;
	char text[REPLACED_TEXT];

	if (s->src->inside)
		fprintf(f, "in            %s\n", s->src->inside);
	if (s->src->qcow2)
		list_snapshots(opts, s->src->qcow2);
	fprintf(f, "format        %s\n", format_name(s));
	if (s->format == FORMAT_QEMU)
		list_sections(opts, &s->qemu);
	if (stream_no_hpt(s))
		fputs("HPT           none\n", f);
	else if (s->order)
		fprintf(f, "HPT           order %u%s\n", s->order,
			s->deduced ? " (deduced)" : "");
	else
		fputs("HPT           order unknown\n", f);
	fprintf(f, "records       %llu in %llu pass%s\n",
		stream_hpt_records(s), s->pass, s->pass == 1 ? "" : "es");
	if (stream_replaced(s, text, sizeof(text)))
		fprintf(f, "replaced      %s\n", text);
	if (broken)
		fprintf(f, "not whole     byte %llu: %s\n", s->offset, s->error);
}

static void list_json(struct options *opts, const struct stream *s, bool broken)
{
	FILE *f = opts->out.file;

	fputs("{\"file\": ", f);
	out_string(&opts->out, opts->args[0]);
	fputs(", \"format\": ", f);
	out_string(&opts->out, format_name(s));
	if (s->src->inside) {
		fputs(", \"in\": ", f);
		out_string(&opts->out, s->src->inside);
	}
	if (s->src->qcow2)
		json_snapshots(opts, s->src->qcow2);
	if (s->format == FORMAT_QEMU)
		json_sections(opts, &s->qemu);
	fputs(",\n ", f);
	out_order(&opts->out, "order", s->order);
	fprintf(f, ", \"hpt\": %s, \"records\": %llu, \"passes\": %llu",
		s->format && !stream_no_hpt(s) ? "true" : "false", stream_hpt_records(s),
		s->pass);
	out_replaced(&opts->out, s->replaced, s->replaced_at);
	if (broken) {
		fputs(", \"error\": ", f);
		out_string(&opts->out, s->error);
	}
	fputs("}\n", f);
}

/* If an image has no stream, its snapshots are listed nevertheless */
static void list_refused(struct source *src, const char *why, void *user)
{
	struct options *opts = user;
	struct stream s = { .src = src };

	if (!src->qcow2 || !qcow2_snapshot(src->qcow2, 0))
		return;
	snprintf(s.error, sizeof(s.error), "%s", src->error ? source_error(src) : why);
	if (opts->out.json) {
		list_json(opts, &s, true);
		return;
	}
	fprintf(opts->out.file, "in            %s\n", src->inside);
	list_snapshots(opts, src->qcow2);
}

static int list_file(struct options *opts)
{
	enum stream_event event;
	struct stream s;
	int ret;

	opts->stream.source.refused = list_refused;
	opts->stream.source.user = opts;
	if (stream_open(&s, opts->args[0], &opts->stream))
		return EXIT_FILE;
	if (stream_look_through(&s)) {
		stream_close(&s);
		return EXIT_FILE;
	}
	do {
		event = stream_next(&s);
		if (event == STREAM_FAULT)
			msg("%s: byte %llu: %s", s.src->name, s.offset, s.error);
	} while (event != STREAM_END && event != STREAM_BROKEN);
	if (opts->out.json)
		list_json(opts, &s, event == STREAM_BROKEN);
	else
		list_text(opts, &s, event == STREAM_BROKEN);
	ret = out_done(&opts->out);
	if (ret == EXIT_GOOD && event == STREAM_BROKEN) {
		msg("%s: byte %llu: %s", s.src->name, s.offset, s.error);
		ret = EXIT_FILE;
	}
	stream_close(&s);
	return ret;
}

static void list_process(struct options *opts, const struct hpt_process *process)
{
	FILE *f = opts->out.file;
	const struct hpt_fd *hpt;
	unsigned int i;

	for (i = 0; i < process->files.nr; i++) {
		hpt = &process->files.fd[i];
		fprintf(f, "%8s  ", process->pid);
		out_text(f, -24, process->name);
		fprintf(f, " %4u  %-6s %s", hpt->fd,
			*hpt->mode ? hpt->mode : "?",
			*hpt->state ? hpt->state : "?");
		if (hpt_fd_has(hpt, PASS))
			fprintf(f, ", pass %llu", hpt->field[PASS]);
		fputc('\n', f);
	}
}

static void json_process(struct options *opts, const struct hpt_process *process)
{
	FILE *f = opts->out.file;
	const struct hpt_fd *hpt;
	unsigned int i;

	out_item(&opts->out, "  ");
	fprintf(f, "{\"pid\": %s, \"name\": ", process->pid);
	out_string(&opts->out, process->name);
	fputs(", \"fds\": [", f);
	for (i = 0; i < process->files.nr; i++) {
		hpt = &process->files.fd[i];
		fprintf(f, "%s{\"fd\": %u, \"mode\": ", i ? ", " : "", hpt->fd);
		out_string(&opts->out, hpt->mode);
		fputs(", \"state\": ", f);
		out_string(&opts->out, hpt->state);
		fputc('}', f);
	}
	fputs("]}", f);
}

static void list_vms(struct options *opts)
{
	char text[VM_TEXT];
	struct vm *list;
	int nr = vms_list(NULL, &list), i;

	if (opts->out.json)
		vms_json(&opts->out, list, nr);
	for (i = 0; !opts->out.json && i < nr; i++)
		if (vm_refused(&list[i], text, sizeof(text)))
			fprintf(opts->out.file, "%s\n", text);
	free(list);
}

static int list_processes(struct options *opts)
{
	struct hpt_process *list;
	FILE *f = opts->out.file;
	int nr = hpt_processes(&list), i;

	if (nr < 0) {
		msg("can't list processes: %s", strerror(-nr));
		return EXIT_NO_HPT;
	}
	if (!nr && !opts->out.json) {
		msg("no accessible process has an HPT file open");
		vms_tell(NULL);
		return EXIT_NO_HPT;
	}
	if (opts->out.json)
		fputs("{\"processes\": [", f);
	else
		fputs("     pid  name                       fd  mode   state\n", f);
	for (i = 0; i < nr; i++)
		if (opts->out.json)
			json_process(opts, &list[i]);
		else
			list_process(opts, &list[i]);
	if (opts->out.json)
		fputc(']', f);
	list_vms(opts);
	if (opts->out.json)
		fputs("}\n", f);
	hpt_processes_free(list, nr);
	i = out_done(&opts->out);
	if (i)
		return i;
	return nr ? EXIT_GOOD : EXIT_NO_HPT;
}

/* Processes have nothing to read with the options of streams */
static int cmd_list(struct options *opts)
{
	const char *option;

	for (option = "OESF"; !opts->nr_args && *option; option++)
		if (opts->given[(int)*option]) {
			msg("-%c has no effect without a file", *option);
			return EXIT_USAGE;
		}
	return opts->nr_args ? list_file(opts) : list_processes(opts);
}

const struct command list_command = {
	.name = "list",
	.run = cmd_list,
	.max_args = 1,
	.args = "[FILE]",
	.options = STREAM_OPTIONS,
	.text = "list contents of a file, or processes with HPT files",
};
