// SPDX-License-Identifier: GPL-2.0
/*
 * PNG (ISO/IEC 15948). Without zlib the pixels are not compressed: the zlib
 * stream then consists of stored blocks (RFC 1950, RFC 1951).
 */
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

#include "png.h"

#define STORED_MAX	65535
#define ADLER_BASE	65521
#define CRC_POLYNOMIAL	0xedb88320U

#define SIGNATURE	"\x89PNG\r\n\x1a\n"
#define SIGNATURE_BYTES	8
#define IHDR_BYTES	13
/* A chunk's length, type and checksum */
#define CHUNK_BYTES	12
/* Header and checksum of a zlib stream; header of a stored block */
#define ZLIB_BYTES	6
#define BLOCK_BYTES	5

/* Each row has a byte for the filter, then the pixels */
static size_t raw_size(const struct image *image)
{
	return (size_t)image->height * (image->width + 1);
}

static void put_rows(const struct image *image, u8 *to)
{
	u32 y;

	for (y = 0; y < image->height; y++) {
		*to++ = 0;
		memcpy(to, image->pixel + (size_t)y * image->width,
		       image->width);
		to += image->width;
	}
}

static u8 *put32(u8 *to, u32 number)
{
	to[0] = number >> 24;
	to[1] = number >> 16;
	to[2] = number >> 8;
	to[3] = number;
	return to + 4;
}

static u32 png_crc(const u8 *data, size_t len)
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

/* Begin a chunk; return the address for its data */
static u8 *begin_chunk(u8 *to, const char *type, u32 len)
{
	to = put32(to, len);
	memcpy(to, type, 4);
	return to + 4;
}

/* End a chunk whose data has been written */
static u8 *end_chunk(u8 *data, u32 len)
{
	return put32(data + len, png_crc(data - 4, len + 4));
}

#ifdef HAVE_ZLIB
static size_t packed_max(size_t len)
{
	return compressBound(len);
}

static size_t pack(u8 *to, const u8 *from, size_t len)
{
	uLongf size = compressBound(len);

	return compress2(to, &size, from, len, Z_BEST_COMPRESSION) ? 0 : size;
}
#else
static size_t packed_max(size_t len)
{
	return ZLIB_BYTES + (len / STORED_MAX + 1) * BLOCK_BYTES + len;
}

static u32 adler32(const u8 *data, size_t len)
{
	u32 a = 1, b = 0;

	while (len--) {
		a = (a + *data++) % ADLER_BASE;
		b = (b + a) % ADLER_BASE;
	}
	return b << 16 | a;
}

static size_t pack(u8 *to, const u8 *from, size_t len)
{
	u32 sum = adler32(from, len);
	u8 *begin = to;
	size_t n;

	/* Deflate with a window of 32 KiB; the header is a multiple of 31 */
	*to++ = 0x78;
	*to++ = 0x01;
	for (; len; len -= n, from += n, to += n) {
		n = len < STORED_MAX ? len : STORED_MAX;
		*to++ = n == len;
		*to++ = n;
		*to++ = n >> 8;
		*to++ = ~n;
		*to++ = ~n >> 8;
		memcpy(to, from, n);
	}
	return put32(to, sum) - begin;
}
#endif

static u8 *make(const struct image *image, const u8 *rows, u8 *to)
{
	size_t len;
	u8 *data;

	memcpy(to, SIGNATURE, SIGNATURE_BYTES);
	to += SIGNATURE_BYTES;

	data = begin_chunk(to, "IHDR", IHDR_BYTES);
	put32(put32(data, image->width), image->height);
	/* 8 bits a pixel, with a palette; the usual methods, not interlaced */
	memcpy(data + 8, "\x08\x03\0\0", 5);
	to = end_chunk(data, IHDR_BYTES);

	data = begin_chunk(to, "PLTE", 3 * image->nr_colors);
	memcpy(data, image->color, 3 * image->nr_colors);
	to = end_chunk(data, 3 * image->nr_colors);

	len = pack(to + 8, rows, raw_size(image));
	if (!len)
		return NULL;
	to = end_chunk(begin_chunk(to, "IDAT", len), len);

	return end_chunk(begin_chunk(to, "IEND", 0), 0);
}

/**
 * png_make() - encode a picture as PNG
 * @image: the picture
 * @size: set to the number of bytes
 *
 * Return: the PNG, which the caller frees, or NULL if there is no memory.
 */
u8 *png_make(const struct image *image, size_t *size)
{
	u8 *rows = malloc(raw_size(image)), *end = NULL;
	u8 *png = malloc(SIGNATURE_BYTES + 4 * CHUNK_BYTES + IHDR_BYTES +
			 3 * image->nr_colors + packed_max(raw_size(image)));

	if (rows && png) {
		put_rows(image, rows);
		end = make(image, rows, png);
	}
	free(rows);
	if (!end) {
		free(png);
		return NULL;
	}
	*size = end - png;
	return png;
}
