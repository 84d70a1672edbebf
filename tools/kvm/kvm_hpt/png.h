/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KVM_HPT_PNG_H
#define KVM_HPT_PNG_H

#include <stdio.h>

#include <linux/types.h>

/**
 * struct image - a picture of up to 256 colours
 * @width: in pixels
 * @height: in pixels
 * @nr_colors: number of colours
 * @color: red, green and blue of each
 * @pixel: the colour of each pixel, row by row from the top
 */
struct image {
	u32 width;
	u32 height;
	unsigned int nr_colors;
	u8 color[256][3];
	u8 *pixel;
};

u8 *png_make(const struct image *image, size_t *size);

#endif
