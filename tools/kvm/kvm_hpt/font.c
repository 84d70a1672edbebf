// SPDX-License-Identifier: GPL-2.0
/*
 * Characters of three by five dots of two by two pixels. Lower case letters are
 * drawn as upper case ones.
 */
#include <ctype.h>

#include "font.h"

#define DOTS_X	3
#define DOTS_Y	5
#define DOT	(FONT_HEIGHT / DOTS_Y)

/* A row of dots is an octal digit, the top one comes first */
static const u16 digits[] = {
	075557, 026227, 071747, 071717, 055711, 074717, 074757, 071122, 075757,
	075717,
};

static const u16 letters[] = {
	025755, 065656, 034443, 065556, 074647, 074644, 034553, 055755, 072227,
	011152, 055655, 044447, 057755, 065555, 025552, 065644, 025573, 065655,
	034216, 072222, 055557, 055552, 055775, 055255, 055222, 071247,
};

static u16 dots_of(unsigned char c)
{
	if (isdigit(c))
		return digits[c - '0'];
	if (isalpha(c))
		return letters[toupper(c) - 'A'];
	switch (c) {
	case ' ':
		return 0;
	case ':':
		return 002020;
	case ',':
		return 000024;
	case '\'':
		return 022000;
	case '-':
		return 000700;
	default:
		return 000002;
	}
}

static void draw_dot(struct image *image, u32 x, u32 y, u8 color)
{
	u32 i, k;

	for (i = y; i < y + DOT && i < image->height; i++)
		for (k = x; k < x + DOT && k < image->width; k++)
			image->pixel[(size_t)i * image->width + k] = color;
}

/**
 * font_draw() - write into a picture
 * @image: the picture
 * @x: where the first character begins
 * @y: where its top is
 * @text: the text, what is not in the picture is cut off
 * @color: its colour
 */
void font_draw(struct image *image, u32 x, u32 y, const char *text, u8 color)
{
	unsigned int row, column;
	u16 dots;

	for (; *text; text++, x += FONT_ADVANCE) {
		dots = dots_of(*text);
		for (row = 0; row < DOTS_Y; row++)
			for (column = 0; column < DOTS_X; column++)
				if (dots >> (DOTS_X * (DOTS_Y - row) - 1 - column) & 1)
					draw_dot(image, x + column * DOT,
						 y + row * DOT, color);
	}
}
