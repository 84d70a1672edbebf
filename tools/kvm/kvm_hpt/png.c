// SPDX-License-Identifier: GPL-2.0
/*
 * PNG (ISO/IEC 15948) without compression: the zlib stream in it is made of
 * stored blocks (RFC 1950, RFC 1951).
 */
#include <string.h>

#include "png.h"

#define STORED_MAX	65535
#define ADLER_BASE	65521
#define CRC_POLYNOMIAL	0xedb88320U

#define SIGNATURE	"\x89PNG\r\n\x1a\n"
#define SIGNATURE_BYTES	8
#define IHDR_BYTES	13
/* A chunk's length, type and checksum */
#define CHUNK_BYTES	12
/* Begin and checksum of a zlib stream, head of a stored block */
#define ZLIB_BYTES	6
#define BLOCK_BYTES	5

/* A byte for the filter, then the pixels */
static size_t raw_size(const struct image *image)
{
	return (size_t)image->height * (image->width + 1);
}

static size_t idat_size(const struct image *image)
{
	size_t raw = raw_size(image);
	size_t blocks = (raw + STORED_MAX - 1) / STORED_MAX;

	return ZLIB_BYTES + blocks * BLOCK_BYTES + raw;
}

/**
 * png_size() - bytes that a picture takes
 * @image: the picture
 */
size_t png_size(const struct image *image)
{
	return SIGNATURE_BYTES + 4 * CHUNK_BYTES + IHDR_BYTES +
	       3 * image->nr_colors + idat_size(image);
}

static u8 *put32(u8 *to, u32 number)
{
	to[0] = number >> 24;
	to[1] = number >> 16;
	to[2] = number >> 8;
	to[3] = number;
	return to + 4;
}

static u32 crc32(const u8 *data, size_t len)
{
	u32 crc = ~0U;
	unsigned int i;

	while (len--) {
		crc ^= *data++;
		for (i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? CRC_POLYNOMIAL : 0);
	}
	return ~crc;
}

/* Begin a chunk, return where its data go */
static u8 *begin_chunk(u8 *to, const char *type, u32 len)
{
	to = put32(to, len);
	memcpy(to, type, 4);
	return to + 4;
}

/* End a chunk, its data are in place */
static u8 *end_chunk(u8 *data, u32 len)
{
	return put32(data + len, crc32(data - 4, len + 4));
}

/* One byte of the zlib stream, into the block it belongs to */
struct stored {
	u8 *to;
	size_t left;
	size_t in_block;
	u32 a;
	u32 b;
};

static void store(struct stored *st, u8 byte)
{
	size_t len;

	if (!st->in_block) {
		len = st->left < STORED_MAX ? st->left : STORED_MAX;
		*st->to++ = st->left == len;
		*st->to++ = len;
		*st->to++ = len >> 8;
		*st->to++ = ~len;
		*st->to++ = ~len >> 8;
		st->in_block = len;
	}
	*st->to++ = byte;
	st->in_block--;
	st->left--;
	st->a = (st->a + byte) % ADLER_BASE;
	st->b = (st->b + st->a) % ADLER_BASE;
}

static void put_pixels(const struct image *image, u8 *to)
{
	struct stored st = { .to = to + 2, .left = raw_size(image), .a = 1 };
	u32 x, y;

	/* Deflate with a window of 32 KiB; a multiple of 31 */
	to[0] = 0x78;
	to[1] = 0x01;
	for (y = 0; y < image->height; y++) {
		store(&st, 0);
		for (x = 0; x < image->width; x++)
			store(&st, image->pixel[(size_t)y * image->width + x]);
	}
	put32(st.to, st.b << 16 | st.a);
}

/**
 * png_make() - make a PNG
 * @image: the picture
 * @to: where to put it, png_size() bytes
 */
void png_make(const struct image *image, u8 *to)
{
	u8 *data;

	memcpy(to, SIGNATURE, SIGNATURE_BYTES);
	to += SIGNATURE_BYTES;

	data = begin_chunk(to, "IHDR", IHDR_BYTES);
	put32(put32(data, image->width), image->height);
	/* 8 bits a pixel, with a palette, nothing out of the ordinary */
	memcpy(data + 8, "\x08\x03\0\0", 5);
	to = end_chunk(data, IHDR_BYTES);

	data = begin_chunk(to, "PLTE", 3 * image->nr_colors);
	memcpy(data, image->color, 3 * image->nr_colors);
	to = end_chunk(data, 3 * image->nr_colors);

	data = begin_chunk(to, "IDAT", idat_size(image));
	put_pixels(image, data);
	to = end_chunk(data, idat_size(image));

	end_chunk(begin_chunk(to, "IEND", 0), 0);
}
