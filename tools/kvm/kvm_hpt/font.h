/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Text in pictures.
 */
#ifndef KVM_HPT_FONT_H
#define KVM_HPT_FONT_H

#include "png.h"

/* Height of a character, and distance to the next one, in pixels */
#define FONT_HEIGHT	10
#define FONT_ADVANCE	8

void font_draw(struct image *image, u32 x, u32 y, const char *text, u8 color);

#endif
