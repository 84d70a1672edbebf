// SPDX-License-Identifier: GPL-2.0
/*
 * Draw the picture of an HPT, with an axis of indexes and a legend.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "font.h"
#include "picture.h"
#include "png.h"

/* Maximum number of squares, and the width of all columns */
#define MAX_SQUARES	65536
#define WIDTH		1024

/* Shades of a colour for how full a square is */
#define SHADES		4

/* Around the squares: numbers on the left, the legend below */
#define LEFT		90
#define TOP		10
#define RIGHT		10
#define LINE_HEIGHT	20
#define LEGEND_TEXT	24

/* Numbers on the left */
#define TICKS		8
#define TICK_WIDTH	5

const struct look_info looks[NR_LOOKS] = {
	[KERNEL] = {
		{ 0x4c, 0x8d, 0xff }, "blue", "bolted: guest kernel's mapping",
	},
	[KERNEL_SECONDARY] = {
		{ 0xb3, 0x66, 0xff }, "violet", "bolted, secondary hash",
	},
	[USER] = {
		{ 0x2f, 0xc4, 0x6b }, "green", "not bolted: may be replaced",
	},
	[USER_SECONDARY] = {
		{ 0xff, 0xa6, 0x2b }, "orange", "not bolted, secondary hash",
	},
	[NEW] = {
		{ 0xff, 0xff, 0xff }, "white", "added since the earlier HPT",
	},
	[GONE] = {
		{ 0xff, 0x45, 0x45 }, "red", "removed since the earlier HPT",
	},
	[CHANGED] = {
		{ 0xff, 0xe0, 0x3d }, "yellow", "changed since the earlier HPT",
	},
	[CHANGED_RC] = {
		{ 0xf7, 0x7f, 0xbe }, "pink", "only R or C changed",
	},
};

static const u8 nothing[3] = { 0x1d, 0x20, 0x29 };
/* Indexes of colours in the palette */
enum {
	COLOR_NOTHING,
	COLOR_LOOKS,
	COLOR_PAPER = COLOR_LOOKS + NR_LOOKS * SHADES,
	COLOR_INK,
	NR_COLORS,
};

/**
 * map_lay_out() - compute the number and size of the squares
 * @m: the map
 * @order: of the HPT
 */
void map_lay_out(struct map *m, unsigned int order)
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

static void set_palette(struct image *image)
{
	int look, shade, i, part;
	u8 *color = image->color[COLOR_LOOKS];

	memcpy(image->color[COLOR_NOTHING], nothing, sizeof(nothing));
	for (look = 0; look < NR_LOOKS; look++)
		for (shade = 0; shade < SHADES; shade++, color += 3)
			for (i = 0; i < 3; i++) {
				/* Even the darkest shade is visible */
				part = looks[look].color[i] - nothing[i];
				part *= SHADES + shade + 1;
				color[i] = nothing[i] + part / (2 * SHADES);
			}
	memset(image->color[COLOR_PAPER], 0xff, 3);
	memset(image->color[COLOR_INK], 0x20, 3);
	image->nr_colors = NR_COLORS;
}

/* Convert a row of the picture to a row of its square */
static u32 from_square(const struct map *m, u32 y)
{
	return (y - m->top) % m->size ?: m->size;
}

/* Draw rows of a square, from @from on, in one colour. Return the next row. */
static u32 stripe(const struct map *m, struct image *image, u32 square,
		  u32 from, u32 nr, u8 color)
{
	u32 x = m->left + square % m->columns * m->size;
	u32 y = m->top + square / m->columns * m->size + from;

	while (nr--)
		memset(image->pixel + (size_t)y++ * image->width + x, color,
		       m->size);
	return from_square(m, y);
}

/*
 * Each look gets its share of the square. Changes are rare but important, so
 * they come first and always get a row.
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
	/* A removed HPTE and the one in its place both count */
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

static void rectangle(struct image *image, u32 x, u32 y, u32 width, u32 height,
		      u8 color)
{
	while (height--)
		memset(image->pixel + (size_t)y++ * image->width + x, color,
		       width);
}

static void draw_squares(const struct map *m, struct image *image)
{
	u32 square;

	rectangle(image, m->left, m->top, m->columns * m->size,
		  m->rows * m->size, COLOR_NOTHING);
	for (square = 0; square < m->columns * m->rows; square++)
		draw_square(m, image, square);
}

static unsigned int nr_ticks(const struct map *m)
{
	return m->rows < TICKS ? m->rows : TICKS;
}

/* Index of the first HPTE in the row at a tick, and its position */
static u64 tick_index(const struct map *m, unsigned int tick, u32 *y)
{
	u32 line = m->rows / nr_ticks(m) * tick;

	*y = line * m->size;
	return ((u64)line * m->columns << m->fold) * GROUP_HPTES;
}

static void draw_axis(const struct map *m, struct image *image)
{
	unsigned int i;
	char text[32];
	u64 index;
	u32 y;

	for (i = 0; i < nr_ticks(m); i++) {
		index = tick_index(m, i, &y);
		snprintf(text, sizeof(text), "%8llx", index);
		font_draw(image, 0, m->top + y, text, COLOR_INK);
		rectangle(image, m->left - TICK_WIDTH, m->top + y, TICK_WIDTH,
			  1, COLOR_INK);
	}
}

static bool in_legend(const struct options *opts, unsigned int look)
{
	return look < NEW || opts->before;
}

static u64 nr_empty(const struct map *m, unsigned int order)
{
	u64 used = 0;
	unsigned int look;

	for (look = 0; look < NR_LOOKS; look++)
		if (look != GONE)
			used += m->total[look];
	return order_hptes(order) - used;
}

static void legend_line(const struct map *m, struct image *image, u32 *y,
			u8 color, const char *text, u64 number)
{
	char line[96];

	rectangle(image, m->left, *y, FONT_HEIGHT, FONT_HEIGHT, color);
	snprintf(line, sizeof(line), "%s: %llu", text, number);
	font_draw(image, m->left + LEGEND_TEXT, *y, line, COLOR_INK);
	*y += LINE_HEIGHT;
}

static void size_text(const struct map *m, unsigned int order, char *text,
		      size_t size)
{
	snprintf(text, size,
		 "HPT of order %u, %llu groups of 8 HPTEs, a square is %llu group%s, a line %llu",
		 order, order_groups(order), BIT_ULL(m->fold),
		 m->fold ? "s" : "", (u64)m->columns << m->fold);
}

static void draw_legend(const struct map *m, const struct options *opts,
			struct image *image, unsigned int order)
{
	u32 y = m->top + m->rows * m->size + LINE_HEIGHT;
	char text[128];
	unsigned int i;

	for (i = 0; i < NR_LOOKS; i++)
		if (in_legend(opts, i))
			legend_line(m, image, &y,
				    COLOR_LOOKS + i * SHADES + SHADES - 1,
				    looks[i].text, m->total[i]);
	legend_line(m, image, &y, COLOR_NOTHING, "empty", nr_empty(m, order));
	size_text(m, order, text, sizeof(text));
	font_draw(image, m->left, y, text, COLOR_INK);
}

/* Draw all, or for SVG only the squares */
static int draw(struct map *m, const struct options *opts, struct image *image,
		unsigned int order, bool alone)
{
	unsigned int lines = opts->before ? NR_LOOKS + 3 : NEW + 3;

	m->left = alone ? 0 : LEFT;
	m->top = alone ? 0 : TOP;
	image->width = m->left + m->columns * m->size + (alone ? 0 : RIGHT);
	image->height = m->top + m->rows * m->size +
			(alone ? 0 : lines * LINE_HEIGHT);
	image->pixel = malloc((size_t)image->height * image->width);
	if (!image->pixel)
		return -ENOMEM;
	memset(image->pixel, COLOR_PAPER, (size_t)image->height * image->width);
	set_palette(image);
	draw_squares(m, image);
	if (!alone) {
		draw_axis(m, image);
		draw_legend(m, opts, image, order);
	}
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

static void svg_line(FILE *f, u32 x, u32 *y, const u8 *color, const char *text,
		     u64 number)
{
	fprintf(f, "<rect x=\"%u\" y=\"%u\" width=\"14\" height=\"14\" ", x,
		*y - 12);
	fprintf(f, "fill=\"#%02x%02x%02x\" stroke=\"#888\"/>\n", color[0],
		color[1], color[2]);
	fprintf(f, "<text x=\"%u\" y=\"%u\">%s: %llu</text>\n",
		x + LEGEND_TEXT, *y, text, number);
	*y += LINE_HEIGHT;
}

static void svg_axis(FILE *f, const struct map *m)
{
	unsigned int i;
	u64 index;
	u32 y;

	for (i = 0; i < nr_ticks(m); i++) {
		index = tick_index(m, i, &y);
		fprintf(f, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\">%llx</text>\n",
			LEFT - 2 * TICK_WIDTH, TOP + y + 12, index);
		fprintf(f, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"1\"/>\n",
			LEFT - TICK_WIDTH, TOP + y, TICK_WIDTH);
	}
}

static void svg_legend(FILE *f, const struct map *m, const struct image *image,
		       const struct options *opts, unsigned int order)
{
	u32 y = TOP + image->height + LINE_HEIGHT + 12;
	char text[128];
	unsigned int i;

	for (i = 0; i < NR_LOOKS; i++)
		if (in_legend(opts, i))
			svg_line(f, LEFT, &y, looks[i].color, looks[i].text,
				 m->total[i]);
	svg_line(f, LEFT, &y, nothing, "empty", nr_empty(m, order));
	size_text(m, order, text, sizeof(text));
	fprintf(f, "<text x=\"%u\" y=\"%u\">%s</text>\n", LEFT, y, text);
}

/* Write the squares as a PNG, with text around them */
static void write_svg(FILE *f, const struct map *m, const struct image *image,
		      const u8 *png, size_t size, const struct options *opts,
		      unsigned int order)
{
	u32 width = LEFT + image->width + RIGHT;
	u32 height = TOP + image->height + (NR_LOOKS + 4) * LINE_HEIGHT;

	fputs("<svg xmlns=\"http://www.w3.org/2000/svg\" ", f);
	fputs("xmlns:xlink=\"http://www.w3.org/1999/xlink\" ", f);
	fprintf(f, "width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\" ",
		width, height, width, height);
	fputs("font-family=\"sans-serif\" font-size=\"14\">\n<title>", f);
	write_escaped(f, opts->args[0]);
	fputs("</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
	      f);
	fprintf(f, "<image x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" ", LEFT,
		TOP, image->width, image->height);
	fputs("style=\"image-rendering:pixelated\" ", f);
	fputs("xlink:href=\"data:image/png;base64,", f);
	write_base64(f, png, size);
	fputs("\"/>\n", f);
	svg_axis(f, m);
	svg_legend(f, m, image, opts, order);
	fputs("</svg>\n", f);
}

static int write_picture(const struct map *m, const struct image *image,
			 const struct options *opts, unsigned int order,
			 bool svg)
{
	size_t size;
	u8 *png = png_make(image, &size);
	FILE *f;
	int err;

	f = png ? fopen(opts->output, "w") : NULL;
	if (!f) {
		msg("can't write %s: %s", opts->output, strerror(errno));
		free(png);
		return EXIT_FILE;
	}
	if (svg)
		write_svg(f, m, image, png, size, opts, order);
	else
		fwrite(png, size, 1, f);
	free(png);
	err = ferror(f);
	if (fclose(f) || err) {
		msg("can't write %s: %s", opts->output, strerror(errno));
		return EXIT_FILE;
	}
	return EXIT_GOOD;
}

/**
 * map_draw() - write the picture
 * @m: the map
 * @opts: the command line
 * @order: of the HPT
 *
 * Return: an exit code.
 */
int map_draw(struct map *m, const struct options *opts, unsigned int order)
{
	bool svg = !strcmp(strrchr(opts->output, '.'), ".svg");
	struct image image = {};
	int ret = EXIT_FILE;

	if (draw(m, opts, &image, order, svg))
		msg("%s", strerror(ENOMEM));
	else
		ret = write_picture(m, &image, opts, order, svg);
	free(image.pixel);
	return ret;
}
