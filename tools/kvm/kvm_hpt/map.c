// SPDX-License-Identifier: GPL-2.0
/*
 * kvm-hpt map: a picture of an HPT, and numbers.
 *
 * In the picture a group is a square, in the colours of the HPTEs in it, the
 * brighter the more there are. Squares are read like letters. In a large HPT a
 * square is for several groups that follow each other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "png.h"
#include "table.h"

/* A picture has at most so many squares, and is so wide */
#define MAX_SQUARES	65536
#define WIDTH		1024

/* How full a square is */
#define SHADES		4

enum look {
	KERNEL,
	KERNEL_SECONDARY,
	USER,
	USER_SECONDARY,
	NEW,
	GONE,
	CHANGED,
	CHANGED_RC,
	NR_LOOKS,
};

struct look_info {
	u8 color[3];
	const char *name;
	const char *text;
};

static const struct look_info looks[] = {
	[KERNEL] = {
		{ 0x4c, 0x8d, 0xff }, "blue", "bolted: the kernel's own mapping",
	},
	[KERNEL_SECONDARY] = {
		{ 0xb3, 0x66, 0xff }, "violet", "bolted, secondary hash",
	},
	[USER] = {
		{ 0x2f, 0xc4, 0x6b }, "green", "not bolted: it comes and goes",
	},
	[USER_SECONDARY] = {
		{ 0xff, 0xa6, 0x2b }, "orange", "not bolted, secondary hash",
	},
	[NEW] = {
		{ 0xff, 0xff, 0xff }, "white", "new since the one before",
	},
	[GONE] = {
		{ 0xff, 0x45, 0x45 }, "red", "gone since the one before",
	},
	[CHANGED] = {
		{ 0xff, 0xe0, 0x3d }, "yellow", "changed since the one before",
	},
	[CHANGED_RC] = {
		{ 0xf7, 0x7f, 0xbe }, "pink", "only R or C changed",
	},
};

static const u8 nothing[3] = { 0x1d, 0x20, 0x29 };
/* Index of colours in the palette: this one, then the shades of each look */
enum { COLOR_NOTHING, COLOR_LOOKS };

/**
 * struct map - a picture that is being made
 * @fold: log2 of how many groups are in a square
 * @columns: squares in a line
 * @rows: lines
 * @size: pixels of a square, each way
 * @count: how many HPTEs of each look are in each square
 * @total: the same of all
 */
struct map {
	unsigned int fold;
	u32 columns;
	u32 rows;
	u32 size;
	u32 (*count)[NR_LOOKS];
	u64 total[NR_LOOKS];
};

static void lay_out(struct map *m, unsigned int order)
{
	u64 squares = order_groups(order);

	while (squares > MAX_SQUARES) {
		squares /= 2;
		m->fold++;
	}
	for (m->columns = 1; (u64)m->columns * m->columns < squares;)
		m->columns *= 2;
	m->rows = squares / m->columns;
	m->size = WIDTH / m->columns;
}

static enum look look_of(struct hpte hpte)
{
	if (hpte_bolted(hpte))
		return hpte_secondary(hpte) ? KERNEL_SECONDARY : KERNEL;
	return hpte_secondary(hpte) ? USER_SECONDARY : USER;
}

/* What an HPTE looks like. @was and @is are NULL where it is not valid. */
static enum look look_since(const struct hpte *was, const struct hpte *is)
{
	if (!was)
		return NEW;
	if (!is)
		return GONE;
	if (was->v != is->v || (was->r ^ is->r) & ~HPTE_R_RC)
		return CHANGED;
	return was->r == is->r ? look_of(*is) : CHANGED_RC;
}

static const struct hpte *valid(const struct table_group *group, unsigned int i)
{
	return group && group->used & 1 << i ? &group->hpte[i] : NULL;
}

static void add(struct map *m, u64 number, enum look look)
{
	m->count[number >> m->fold][look]++;
	m->total[look]++;
}

/* Count what is in the table; with another one, what has changed since that */
static void count(struct map *m, const struct table *t,
		  const struct table *before)
{
	const struct hpte *was, *is;
	struct table_group *group;
	unsigned int i;
	u64 number;

	for (number = 0; (group = table_next(t, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++) {
			is = valid(group, i);
			if (!is)
				continue;
			was = before ? valid(table_group(before, number), i) :
				       is;
			add(m, number, look_since(was, is));
		}
	if (!before)
		return;
	for (number = 0; (group = table_next(before, &number)); number++)
		for (i = 0; i < GROUP_HPTES; i++)
			if (valid(group, i) && !valid(table_group(t, number), i))
				add(m, number, GONE);
}

static void set_palette(struct image *image)
{
	int look, shade, i, part;
	u8 *color = image->color[COLOR_LOOKS];

	memcpy(image->color[COLOR_NOTHING], nothing, sizeof(nothing));
	for (look = 0; look < NR_LOOKS; look++)
		for (shade = 0; shade < SHADES; shade++, color += 3)
			for (i = 0; i < 3; i++) {
				/* Even the darkest is well seen */
				part = looks[look].color[i] - nothing[i];
				part *= SHADES + shade + 1;
				color[i] = nothing[i] + part / (2 * SHADES);
			}
	image->nr_colors = COLOR_LOOKS + NR_LOOKS * SHADES;
}

/* Rows of pixels of a square, from @from on, in one colour. Return the next. */
static u32 stripe(const struct map *m, struct image *image, u32 square,
		  u32 from, u32 nr, u8 color)
{
	u32 x = square % m->columns * m->size;
	u32 y = square / m->columns * m->size + from;

	while (nr--)
		memset(image->pixel + (size_t)y++ * image->width + x, color,
		       m->size);
	return y % m->size ?: m->size;
}

/*
 * Each look has its part of the square. Changes are rare, and what one looks
 * for, so these come first and always have a row.
 */
static void draw_square(const struct map *m, struct image *image, u32 square)
{
	const u32 *count = m->count[square];
	u32 sum = 0, row = 0, nr;
	unsigned int shade, most = 0;
	int i;

	for (i = 0; i < NR_LOOKS; i++) {
		sum += count[i];
		if (count[i] > count[most])
			most = i;
	}
	if (!sum)
		return;
	shade = ((u64)sum * SHADES - 1) / (GROUP_HPTES << m->fold);
	/* One that is gone counts as well as one that came in its place */
	if (shade >= SHADES)
		shade = SHADES - 1;
	for (i = NR_LOOKS - 1; i >= 0; i--) {
		nr = (u64)m->size * count[i] / sum;
		if (!nr && count[i] && i >= NEW)
			nr = 1;
		if (nr > m->size - row)
			nr = m->size - row;
		if (nr)
			row = stripe(m, image, square, row, nr,
				     COLOR_LOOKS + i * SHADES + shade);
	}
	if (row < m->size)
		stripe(m, image, square, row, m->size - row,
		       COLOR_LOOKS + most * SHADES + shade);
}

static int draw(const struct map *m, struct image *image)
{
	u32 square;

	image->width = m->columns * m->size;
	image->height = m->rows * m->size;
	image->pixel = calloc(image->height, image->width);
	if (!image->pixel)
		return -ENOMEM;
	set_palette(image);
	for (square = 0; square < m->columns * m->rows; square++)
		draw_square(m, image, square);
	return 0;
}

static void write_base64(FILE *f, const u8 *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	u32 bits;
	size_t i;

	for (i = 0; i < len; i += 3) {
		bits = data[i] << 16;
		bits |= i + 1 < len ? data[i + 1] << 8 : 0;
		bits |= i + 2 < len ? data[i + 2] : 0;
		fputc(digits[bits >> 18], f);
		fputc(digits[bits >> 12 & 63], f);
		fputc(i + 1 < len ? digits[bits >> 6 & 63] : '=', f);
		fputc(i + 2 < len ? digits[bits & 63] : '=', f);
	}
}

static void write_escaped(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '<' || *text == '>' || *text == '&')
			fprintf(f, "&#%d;", *text);
		else
			fputc((unsigned char)*text < 0x20 ? '?' : *text, f);
	}
}

#define LEGEND_WIDTH	330
#define LINE_HEIGHT	24

static void write_legend(FILE *f, u32 x, u32 line, const u8 *color,
			 const char *text, u64 number)
{
	u32 y = 60 + line * LINE_HEIGHT;

	fprintf(f, "<rect x=\"%u\" y=\"%u\" width=\"14\" height=\"14\" ", x,
		y - 12);
	fprintf(f, "fill=\"#%02x%02x%02x\" stroke=\"#888\"/>\n", color[0],
		color[1], color[2]);
	fprintf(f, "<text x=\"%u\" y=\"%u\">%s: %llu</text>\n", x + 24, y, text,
		number);
}

/* The picture as a PNG, with a legend of text beside it */
static void write_svg(FILE *f, const struct map *m, const struct image *image,
		      const u8 *png, const struct options *opts,
		      unsigned int order)
{
	u32 width = image->width + LEGEND_WIDTH, line = 0, look;
	u32 x = image->width + 30;
	u32 height = image->height > 320 ? image->height : 320;
	u64 used = 0;

	fputs("<svg xmlns=\"http://www.w3.org/2000/svg\" ", f);
	fputs("xmlns:xlink=\"http://www.w3.org/1999/xlink\" ", f);
	fprintf(f, "width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" ",
		width + 20, height + 20, width + 20, height + 20);
	fputs("font-family=\"sans-serif\" font-size=\"14\">\n<title>", f);
	write_escaped(f, opts->args[0]);
	fputs("</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
	      f);
	fprintf(f, "<image x=\"10\" y=\"10\" width=\"%u\" height=\"%u\" ",
		image->width, image->height);
	fputs("style=\"image-rendering:pixelated\" ", f);
	fputs("xlink:href=\"data:image/png;base64,", f);
	write_base64(f, png, png_size(image));
	fprintf(f, "\"/>\n<text x=\"%u\" y=\"24\" font-weight=\"bold\">", x);
	write_escaped(f, opts->args[0]);
	fputs("</text>\n", f);
	for (look = 0; look < NR_LOOKS; look++) {
		if (look != GONE)
			used += m->total[look];
		if (look < NEW || opts->before)
			write_legend(f, x, line++, looks[look].color,
				     looks[look].text, m->total[look]);
	}
	write_legend(f, x, line++, nothing, "empty", order_hptes(order) - used);
	line++;
	fprintf(f, "<text x=\"%u\" y=\"%u\">HPT of order %u, %llu groups of 8 HPTEs</text>\n",
		x, 60 + line++ * LINE_HEIGHT, order, order_groups(order));
	fprintf(f, "<text x=\"%u\" y=\"%u\">a square is %llu group%s, a line %llu</text>\n</svg>\n",
		x, 60 + line * LINE_HEIGHT, BIT_ULL(m->fold),
		m->fold ? "s" : "", (u64)m->columns << m->fold);
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && !strcmp(text + len - end_len, end);
}

static int write_picture(const struct map *m, const struct image *image,
			 const struct options *opts, unsigned int order)
{
	u8 *png = malloc(png_size(image));
	FILE *f;
	int err;

	f = png ? fopen(opts->output, "w") : NULL;
	if (!f) {
		msg("can't write %s: %s", opts->output, strerror(errno));
		free(png);
		return EXIT_FILE;
	}
	png_make(image, png);
	if (ends_with(opts->output, ".svg"))
		write_svg(f, m, image, png, opts, order);
	else
		fwrite(png, png_size(image), 1, f);
	free(png);
	err = ferror(f);
	if (fclose(f) || err) {
		msg("can't write %s: %s", opts->output, strerror(errno));
		return EXIT_FILE;
	}
	return EXIT_GOOD;
}

static void print_legend(const struct map *m, const struct options *opts)
{
	FILE *f = opts->out.file;
	unsigned int look;

	fprintf(f, "\n%s\n", opts->output);
	for (look = 0; look < NR_LOOKS; look++)
		if (look < NEW || opts->before)
			fprintf(f, "  %-8s%-34s%10llu\n", looks[look].name,
				looks[look].text, m->total[look]);
	fputs("  dark    empty\n", f);
	fprintf(f, "  a square is %llu group%s of 8 HPTEs, a line %llu\n",
		BIT_ULL(m->fold), m->fold ? "s" : "", (u64)m->columns << m->fold);
}

static int make_picture(const struct map *m, const struct options *opts,
			unsigned int order)
{
	struct image image = {};
	int ret = EXIT_FILE;

	if (draw(m, &image))
		msg("%s", strerror(ENOMEM));
	else
		ret = write_picture(m, &image, opts, order);
	if (ret == EXIT_GOOD && !opts->out.json)
		print_legend(m, opts);
	free(image.pixel);
	return ret;
}

/* Page sizes that there are: base and actual */
static const unsigned int sizes[][2] = {
	{ 12, 12 }, { 12, 16 }, { 12, 24 }, { 16, 16 }, { 16, 24 }, { 24, 24 },
	{ 34, 34 }, { 0, 0 },
};

#define NR_SIZES	ARRAY_SIZE(sizes)

/**
 * struct stats - numbers of an HPT
 * @used: HPTEs in use
 * @bolted: of these, bolted
 * @secondary: of these, entered with the secondary hash
 * @large_segment: of these, in segments of 1T
 * @groups: number of groups with so many HPTEs
 * @size: number of HPTEs of each page size
 * @run: HPTEs in the longest run of empty ones
 * @run_at: where that begins
 */
struct stats {
	u64 used;
	u64 bolted;
	u64 secondary;
	u64 large_segment;
	u64 groups[GROUP_HPTES + 1];
	u64 size[NR_SIZES];
	u64 run;
	u64 run_at;
};

static void add_hpte(struct stats *st, struct hpte hpte)
{
	struct hpte_page page;
	unsigned int i = 0;

	hpte_page(hpte, &page);
	st->used++;
	st->bolted += hpte_bolted(hpte);
	st->secondary += hpte_secondary(hpte);
	st->large_segment += page.segment_shift == 40;
	while (i < NR_SIZES - 1 && (sizes[i][0] != page.base_shift ||
				    sizes[i][1] != page.shift))
		i++;
	st->size[i]++;
}

static void end_run(struct stats *st, u64 begin, u64 end)
{
	if (end - begin <= st->run)
		return;
	st->run = end - begin;
	st->run_at = begin;
}

static void get_stats(struct stats *st, const struct table *t)
{
	u64 number, groups = order_groups(t->order), empty = 0, index;
	struct table_group *group;
	unsigned int i;

	*st = (struct stats) { .groups[0] = groups };
	for (number = 0; (group = table_next(t, &number)); number++) {
		st->groups[0]--;
		st->groups[__builtin_popcount(group->used)]++;
		for (i = 0; i < GROUP_HPTES; i++) {
			if (!(group->used & 1 << i))
				continue;
			index = (number << GROUP_SHIFT) + i;
			end_run(st, empty, index);
			empty = index + 1;
			add_hpte(st, group->hpte[i]);
		}
	}
	end_run(st, empty, order_hptes(t->order));
}

/* What has changed, in numbers */
static const struct {
	enum look look;
	const char *name;
} changes[] = {
	{ NEW, "new" },
	{ GONE, "gone" },
	{ CHANGED, "changed" },
	{ CHANGED_RC, "changed_rc" },
};

static void print_changes(const struct map *m, const struct options *opts)
{
	FILE *f = opts->out.file;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(changes); i++)
		fprintf(f, "%-34s%10llu\n", looks[changes[i].look].text,
			m->total[changes[i].look]);
}

static void json_changes(const struct map *m, const struct options *opts)
{
	FILE *f = opts->out.file;
	unsigned int i;

	fputs(",\n \"before\": ", f);
	out_string(&opts->out, opts->before);
	for (i = 0; i < ARRAY_SIZE(changes); i++)
		fprintf(f, ", \"%s\": %llu", changes[i].name,
			m->total[changes[i].look]);
}

static void print_stats(const struct stats *st, const struct options *opts,
			unsigned int order)
{
	u64 groups = order_groups(order);
	FILE *f = opts->out.file;
	unsigned int i, bar;

	fprintf(f, "%-24s%10u\n", "order", order);
	fprintf(f, "%-24s%10llu\n", "groups", groups);
	fprintf(f, "%-24s%10llu\n", "HPTEs", order_hptes(order));
	fprintf(f, "%-24s%10llu  %5.1f %%\n", "in use", st->used,
		100.0 * st->used / order_hptes(order));
	fprintf(f, "%-24s%10llu\n", "  bolted", st->bolted);
	fprintf(f, "%-24s%10llu\n", "  primary hash", st->used - st->secondary);
	fprintf(f, "%-24s%10llu\n", "  secondary hash", st->secondary);
	fprintf(f, "%-24s%10llu\n", "  in segments of 256M",
		st->used - st->large_segment);
	fprintf(f, "%-24s%10llu\n", "  in segments of 1T", st->large_segment);
	for (i = 0; i < NR_SIZES; i++)
		if (st->size[i])
			fprintf(f, "  %-4s page in %-4s %10s%10llu\n",
				size_name(sizes[i][1]), size_name(sizes[i][0]),
				"", st->size[i]);
	fprintf(f, "%-24s%10llu  from index 0x%llx\n", "longest empty run",
		st->run, st->run_at);
	fputs("groups with\n", f);
	for (i = 0; i <= GROUP_HPTES; i++) {
		fprintf(f, "  %u HPTE%-16s%10llu", i, i == 1 ? "" : "s",
			st->groups[i]);
		bar = (st->groups[i] * 40 + groups - 1) / groups;
		fputs(bar ? "  " : "", f);
		while (bar--)
			fputc('#', f);
		fputc('\n', f);
	}
}

static void json_stats(const struct stats *st, const struct map *m,
		       const struct options *opts, unsigned int order)
{
	FILE *f = opts->out.file;
	unsigned int i;

	fputs("{\"file\": ", f);
	out_string(&opts->out, opts->args[0]);
	fprintf(f, ", \"order\": %u, \"groups\": %llu, \"hptes\": %llu,\n",
		order, order_groups(order), order_hptes(order));
	fprintf(f, " \"used\": %llu, \"bolted\": %llu, \"secondary\": %llu, ",
		st->used, st->bolted, st->secondary);
	fprintf(f, "\"segments_1t\": %llu,\n", st->large_segment);
	fprintf(f, " \"longest_empty_run\": %llu, \"longest_empty_run_index\": %llu,\n",
		st->run, st->run_at);
	fputs(" \"groups_with\": [", f);
	for (i = 0; i <= GROUP_HPTES; i++)
		fprintf(f, "%s%llu", i ? ", " : "", st->groups[i]);
	fputs("],\n \"page_sizes\": [", f);
	for (i = 0; i < NR_SIZES; i++)
		fprintf(f, "%s{\"base\": %llu, \"actual\": %llu, \"hptes\": %llu}",
			i ? ", " : "",
			sizes[i][0] ? BIT_ULL(sizes[i][0]) : 0,
			sizes[i][1] ? BIT_ULL(sizes[i][1]) : 0, st->size[i]);
	fputc(']', f);
	if (opts->before)
		json_changes(m, opts);
	fputs("}\n", f);
}

static int load_before(struct table *before, const struct table *t,
		       const struct options *opts)
{
	if (!opts->before)
		return 0;
	if (table_load_ordered(before, opts->before, &opts->stream))
		return -1;
	if (before->order == t->order)
		return 0;
	msg("%s has an HPT of order %u, %s one of order %u", opts->before,
	    before->order, opts->args[0], t->order);
	return -1;
}

static int show_map(const struct table *t, const struct table *before,
		    const struct options *opts)
{
	int ret = EXIT_GOOD;
	struct map m = {};
	struct stats st;

	lay_out(&m, t->order);
	m.count = calloc((size_t)m.columns * m.rows, sizeof(*m.count));
	if (!m.count) {
		msg("%s", strerror(ENOMEM));
		return EXIT_FILE;
	}
	count(&m, t, before);
	get_stats(&st, t);
	if (opts->out.json)
		json_stats(&st, &m, opts, t->order);
	else
		print_stats(&st, opts, t->order);
	if (opts->output)
		ret = make_picture(&m, opts, t->order);
	else if (before && !opts->out.json)
		print_changes(&m, opts);
	free(m.count);
	return ret;
}

static int cmd_map(struct options *opts)
{
	struct table t, before = {};
	int ret = EXIT_FILE, err;

	if (opts->output && !ends_with(opts->output, ".png") &&
	    !ends_with(opts->output, ".svg")) {
		msg("%s is neither .png nor .svg", opts->output);
		return EXIT_USAGE;
	}
	if (table_load_ordered(&t, opts->args[0], &opts->stream))
		return EXIT_FILE;
	if (!load_before(&before, &t, opts))
		ret = show_map(&t, opts->before ? &before : NULL, opts);
	table_free(&t);
	table_free(&before);
	err = out_done(&opts->out);
	return ret ?: err;
}

const struct command map_command = {
	.name = "map",
	.run = cmd_map,
	.min_args = 1,
	.max_args = 1,
	.args = "FILE",
	.options = STREAM_OPTIONS "o:B:",
	.text = "draw the HPT and print statistics",
};
