// SPDX-License-Identifier: GPL-2.0
/*
 * Print messages and HPTEs.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"
#include "out.h"

/* The command that is running, and the blank before its name */
static const char *command_name = "", *command_blank = "";

/**
 * msg_command() - set the command for messages
 * @name: its name
 */
void msg_command(const char *name)
{
	command_name = name;
	command_blank = " ";
}

/* Length of the printable character of UTF-8 at @c, or 0 */
static size_t printable(const char *c)
{
	static const u32 least[] = { 0, 0, 0xa0, 0x800, 0x10000 };
	const u8 *byte = (const u8 *)c;
	size_t bytes, i;
	u32 code;

	if (*byte < 0x80)
		return *byte >= 0x20 && *byte != 0x7f;
	bytes = *byte < 0xc0 ? 0 : *byte < 0xe0 ? 2 : *byte < 0xf0 ? 3 :
		*byte < 0xf8 ? 4 : 0;
	code = *byte & (0x7f >> bytes);
	for (i = 1; i < bytes; i++) {
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (byte[i] & 0x3f);
	}
	if (code < least[bytes] || code > 0x10ffff || (code >> 11) == 0x1b)
		return 0;
	return bytes;
}

/**
 * make_printable() - replace what may control a terminal
 * @text: the text, which may be from a file
 */
void make_printable(char *text)
{
	size_t n;

	for (; *text; text += n ?: 1) {
		n = printable(text);
		if (!n)
			*text = '?';
	}
}

/**
 * msg() - print a message on stderr
 * @format: as for printf(), without the end of the line
 */
void msg(const char *format, ...)
{
	va_list args;
	char *text;

	fflush(stdout);
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = strdup(strerror(ENOMEM));
	va_end(args);
	if (text)
		make_printable(text);
	fprintf(stderr, "kvm-hpt%s%s: %s\n", command_blank, command_name,
		text ?: "");
	free(text);
}

/**
 * out_text() - print text that may be from a file, to be read by people
 * @file: where to
 * @width: columns, as for %*s in printf()
 * @text: the text
 */
void out_text(FILE *file, int width, const char *text)
{
	int columns = 0;
	const char *c;
	size_t n;

	for (c = text; *c; c += printable(c) ?: 1)
		columns++;
	for (; width > columns; width--)
		fputc(' ', file);
	for (c = text; *c; c += n ?: 1) {
		n = printable(c);
		fwrite(n ? c : "?", n ?: 1, 1, file);
	}
	for (; -width > columns; width++)
		fputc(' ', file);
}

/**
 * out_init() - initialise an output
 * @out: the output
 * @file: the file
 *
 * Uses colours on a terminal, unless NO_COLOR is set: see https://no-color.org
 */
void out_init(struct out *out, FILE *file)
{
	const char *term = getenv("TERM");
	const char *no_color = getenv("NO_COLOR");

	*out = (struct out) { .file = file };
	out->terminal = isatty(fileno(file)) && term && strcmp(term, "dumb");
	out->color = out->terminal && !(no_color && *no_color);
}

/**
 * out_color_option() - apply the option --color
 * @out: the output
 * @when: its argument
 *
 * Return: false if the argument is invalid.
 */
bool out_color_option(struct out *out, const char *when)
{
	if (!strcmp(when, "always"))
		out->color = true;
	else if (!strcmp(when, "never"))
		out->color = false;
	else if (strcmp(when, "auto"))
		return false;
	return true;
}

/**
 * out_color() - change the colour
 * @out: the output
 * @color: the colour
 */
void out_color(const struct out *out, enum color color)
{
	static const char * const codes[] = {
		[PLAIN]		= "\033[0m",
		[RED]		= "\033[31m",
		[GREEN]		= "\033[32m",
		[YELLOW]	= "\033[33m",
		[BLUE]		= "\033[34m",
	};

	if (out->color)
		fputs(codes[color], out->file);
}

/**
 * out_done() - check that all output was written
 * @out: the output
 *
 * Return: an exit code, with a message printed if it is not EXIT_GOOD.
 */
int out_done(const struct out *out)
{
	if (!fflush(out->file) && !ferror(out->file))
		return EXIT_GOOD;
	msg("can't write the output: %s", strerror(errno));
	return EXIT_FILE;
}

/**
 * out_item() - begin an item of a list in JSON
 * @out: the output
 * @indent: indentation
 */
void out_item(struct out *out, const char *indent)
{
	fprintf(out->file, "%s\n%s", out->items++ ? "," : "", indent);
}

/**
 * out_order() - print an order as a member in JSON
 * @out: the output
 * @name: name of the member
 * @order: the order, 0 if unknown
 */
void out_order(const struct out *out, const char *name, unsigned int order)
{
	if (order)
		fprintf(out->file, "\"%s\": %u", name, order);
	else
		fprintf(out->file, "\"%s\": null", name);
}

/**
 * out_replaced() - print in JSON where an HPT was replaced
 * @out: the output
 * @times: how many times; nothing is printed if 0
 * @at: byte of the stream at which it was replaced last
 */
void out_replaced(const struct out *out, u64 times, u64 at)
{
	if (times)
		fprintf(out->file, ", \"replaced\": %llu, \"replaced_at\": %llu",
			times, at);
}

/**
 * out_string() - print a string in JSON
 * @out: the output
 * @text: the string
 */
void out_string(const struct out *out, const char *text)
{
	size_t n;

	fputc('"', out->file);
	for (; *text; text += n ?: 1) {
		n = printable(text);
		/* A file's name need not be UTF-8, so print its bytes */
		if (!n)
			fprintf(out->file, "\\u%04x", (u8)*text);
		else if (*text == '"' || *text == '\\')
			fprintf(out->file, "\\%c", *text);
		else
			fwrite(text, n, 1, out->file);
	}
	fputc('"', out->file);
}

/**
 * size_name() - the name of a page size
 * @shift: log2 of the size
 */
const char *size_name(unsigned int shift)
{
	switch (shift) {
	case 12:
		return "4K";
	case 16:
		return "64K";
	case 24:
		return "16M";
	case 34:
		return "16G";
	default:
		return "?";
	}
}

/* Access of the kernel (Ks = 0) and of users (Kp = 1) of a Linux guest */
static void protection(struct hpte hpte, const char **kernel, const char **user)
{
	static const char * const names[8][2] = {
		{ "rw", "--" }, { "rw", "r-" }, { "rw", "rw" }, { "r-", "r-" },
		{ "??", "??" }, { "??", "??" }, { "r-", "--" }, { "??", "??" },
	};

	*kernel = names[hpte_pp(hpte)][0];
	*user = names[hpte_pp(hpte)][1];
}

static char segment_name(const struct hpte_page *page)
{
	switch (page->segment_shift) {
	case 28:
		return 'M';
	case 40:
		return 'T';
	default:
		return '?';
	}
}

static bool placed(const struct hpte_page *page, unsigned int order)
{
	return order && page->segment_shift && page->base_shift;
}

static char flag(u64 word, u64 bit, char name)
{
	return word & bit ? name : '-';
}

/**
 * out_hpte() - print an HPTE in a line, without the newline
 * @out: the output
 * @hpte: the HPTE
 * @index: its index
 * @order: order of the HPT, 0 if unknown
 */
void out_hpte(const struct out *out, struct hpte hpte, u64 index,
	      unsigned int order)
{
	const char *kernel, *user;
	struct hpte_page page;
	char size[16];

	hpte_page(hpte, &page);
	if (placed(&page, order))
		page.offset = hpte_offset(hpte, index, order);
	protection(hpte, &kernel, &user);
	snprintf(size, sizeof(size), "%s%s%s", size_name(page.base_shift),
		 page.shift == page.base_shift ? "" : "/",
		 page.shift == page.base_shift ? "" : size_name(page.shift));

	if (hpte_bolted(hpte))
		out_color(out, BLUE);
	else if (hpte_secondary(hpte))
		out_color(out, YELLOW);
	fprintf(out->file,
		"%8llx %c %c %10llx %10llx %7s %12llx %s/%s %c %c%c%c%c %3u %c%c %c",
		index, hpte_secondary(hpte) ? 'S' : 'P', segment_name(&page),
		page.vsid, page.offset, size, page.real, kernel, user,
		flag(~hpte.r, HPTE_R_N, 'x'), flag(hpte.r, HPTE_R_W, 'W'),
		flag(hpte.r, HPTE_R_I, 'I'), flag(hpte.r, HPTE_R_M, 'M'),
		flag(hpte.r, HPTE_R_G, 'G'), hpte_key(hpte),
		flag(hpte.r, HPTE_R_R, 'R'), flag(hpte.r, HPTE_R_C, 'C'),
		flag(hpte.v, HPTE_V_BOLTED, 'B'));
	if (hpte_bolted(hpte) || hpte_secondary(hpte))
		out_color(out, PLAIN);
}

/**
 * out_hpte_raw() - print the doublewords of an HPTE
 * @out: the output
 * @hpte: the HPTE
 * @v3: in the format of v3.0
 */
void out_hpte_raw(const struct out *out, struct hpte hpte, bool v3)
{
	if (v3)
		hpte = hpte_to_v3(hpte);
	fprintf(out->file, " %016llx %016llx", hpte.v, hpte.r);
}

static const char *truth(u64 bit)
{
	return bit ? "true" : "false";
}

/**
 * out_hpte_json() - print an HPTE as an object in JSON
 * @out: the output
 * @hpte: the HPTE
 * @index: its index
 * @order: order of the HPT, 0 if unknown
 */
void out_hpte_json(const struct out *out, struct hpte hpte, u64 index,
		   unsigned int order)
{
	struct hpte v3 = hpte_to_v3(hpte);
	const char *kernel, *user;
	struct hpte_page page;
	FILE *f = out->file;

	hpte_page(hpte, &page);
	if (placed(&page, order))
		page.offset = hpte_offset(hpte, index, order);
	protection(hpte, &kernel, &user);
	fprintf(f, "{\"index\": %llu, \"group\": %llu, \"slot\": %u, ", index,
		index >> GROUP_SHIFT, (unsigned int)index & (GROUP_HPTES - 1));
	fprintf(f, "\"dword0\": \"0x%016llx\", \"dword1\": \"0x%016llx\", ",
		hpte.v, hpte.r);
	fprintf(f, "\"v3_dword0\": \"0x%016llx\", \"v3_dword1\": \"0x%016llx\", ",
		v3.v, v3.r);
	fprintf(f, "\"valid\": %s, \"secondary\": %s, \"bolted\": %s, ",
		truth(hpte.v & HPTE_V_VALID), truth(hpte_secondary(hpte)),
		truth(hpte_bolted(hpte)));
	fprintf(f, "\"segment_size\": %llu, \"vsid\": \"0x%llx\", ",
		page.segment_shift ? BIT_ULL(page.segment_shift) : 0,
		page.vsid);
	fprintf(f, "\"avpn\": \"0x%llx\", \"offset\": \"0x%llx\", ",
		(hpte.v & HPTE_V_AVPN) >> HPTE_V_AVPN_SHIFT, page.offset);
	fprintf(f, "\"base_page_size\": %llu, \"page_size\": %llu, ",
		page.base_shift ? BIT_ULL(page.base_shift) : 0,
		page.shift ? BIT_ULL(page.shift) : 0);
	fprintf(f, "\"real\": \"0x%llx\", \"pp\": %u, ", page.real,
		hpte_pp(hpte));
	fprintf(f, "\"kernel\": \"%s\", \"user\": \"%s\", \"execute\": %s, ",
		kernel, user, truth(!(hpte.r & HPTE_R_N)));
	fprintf(f, "\"wimg\": \"%c%c%c%c\", \"key\": %u, ",
		flag(hpte.r, HPTE_R_W, 'W'), flag(hpte.r, HPTE_R_I, 'I'),
		flag(hpte.r, HPTE_R_M, 'M'), flag(hpte.r, HPTE_R_G, 'G'),
		hpte_key(hpte));
	fprintf(f, "\"referenced\": %s, \"changed\": %s}",
		truth(hpte.r & HPTE_R_R), truth(hpte.r & HPTE_R_C));
}
