/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The picture of an HPT.
 *
 * A group is a square, in the colours of its HPTEs; the more HPTEs, the
 * brighter. Squares are in rows, from left to right. In a large HPT a square is
 * several consecutive groups.
 */
#ifndef KVM_HPT_PICTURE_H
#define KVM_HPT_PICTURE_H

#include "cmd.h"

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

extern const struct look_info looks[NR_LOOKS];

/**
 * struct map - a picture
 * @fold: log2 of the number of groups in a square
 * @columns: number of squares in a row
 * @rows: number of rows
 * @size: width and height of a square in pixels
 * @left: pixels on the left of the squares
 * @top: pixels above them
 * @count: number of HPTEs of each look in each square
 * @total: number of HPTEs of each look
 */
struct map {
	unsigned int fold;
	u32 columns;
	u32 rows;
	u32 size;
	u32 left;
	u32 top;
	u32 (*count)[NR_LOOKS];
	u64 total[NR_LOOKS];
};

void map_lay_out(struct map *m, unsigned int order);
int map_draw(struct map *m, const struct options *opts, unsigned int order);

#endif
