/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The picture of an HPT.
 *
 * A group is a square, in the colours of the HPTEs in it, the brighter the more
 * there are. Squares are read like letters. In a large HPT a square is for
 * several groups that follow each other.
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
 * struct map - a picture that is being made
 * @fold: log2 of how many groups are in a square
 * @columns: squares in a line
 * @rows: lines
 * @size: pixels of a square, each way
 * @left: pixels on the left of the squares
 * @top: pixels above them
 * @count: how many HPTEs of each look are in each square
 * @total: the same of all
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
