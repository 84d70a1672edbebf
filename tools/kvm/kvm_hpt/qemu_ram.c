// SPDX-License-Identifier: GPL-2.0
/*
 * Follow the section of RAM in QEMU's stream page by page: see migration/ram.c
 * in QEMU.
 */
#include <ctype.h>
#include <string.h>

#include "stream.h"

/* Flags in the low bits of the word before a page */
#define RAM_ZERO		0x002
#define RAM_MEM_SIZE		0x004
#define RAM_PAGE		0x008
#define RAM_EOS			0x010
#define RAM_CONTINUE		0x020
#define RAM_XBZRLE		0x040
#define RAM_HOOK		0x080
#define RAM_COMPRESS		0x100
#define RAM_MULTIFD_FLUSH	0x200
#define RAM_FLAGS		0xfffULL
#define RAM_PAGE_BYTES		4096

/* A block may be followed by its page size and its address, 8 bytes each */
#define MAX_EXTRA		2

/* With mapped-ram, a struct mapped follows as well */
#define MAPPED_BYTES		28
#define MAPPED_VERSION		1

/**
 * struct mapped - position of a block's pages in the file
 * @page_size: page size of RAM
 * @bitmap: position of the bitmap of its pages, which follows this
 * @pages: position of the pages; both are 0 if the pages are not in the file
 */
struct mapped {
	u64 page_size;
	u64 bitmap;
	u64 pages;
};

static u64 number(const unsigned char *data, unsigned int bytes)
{
	u64 n = 0;

	while (bytes--)
		n = n << 8 | *data++;
	return n;
}

static bool power_of_two(u64 n)
{
	return n && !(n & (n - 1));
}

static bool is_mapped(const unsigned char *data, size_t len, struct mapped *map)
{
	if (len < MAPPED_BYTES || number(data, 4) != MAPPED_VERSION)
		return false;
	map->page_size = number(data + 4, 8);
	map->bitmap = number(data + 12, 8);
	map->pages = number(data + 20, 8);
	return power_of_two(map->page_size) &&
	       map->page_size >= RAM_PAGE_BYTES &&
	       map->pages >= map->bitmap;
}

/* Does the description of a block of at most @left bytes begin here? */
static bool is_block(const unsigned char *data, size_t len, u64 left)
{
	size_t name, i;
	u64 size;

	if (!len || !*data || len < 1U + *data + 8)
		return false;
	name = *data++;
	for (i = 0; i < name; i++)
		if (!isprint(data[i]))
			return false;
	size = number(data + name, 8);
	return size && size <= left && !(size & RAM_FLAGS);
}

/* Is this what may follow the list of blocks? */
static bool is_behind(const unsigned char *data, size_t len)
{
	u64 word = len < 8 ? 0 : number(data, 8);

	return word == RAM_EOS || word == RAM_MULTIFD_FLUSH ||
	       (word & RAM_FLAGS) == RAM_HOOK;
}

/*
 * The data after the name and size of a block depends on capabilities, not all
 * of which are named in the stream, and on the host's page size. Skip the least
 * that fits the data that follows.
 */
static bool skip_extra(struct stream *s, u64 used, u64 left)
{
	const unsigned char *data;
	size_t len = source_peek(s->src, &data), at;
	struct mapped map;
	unsigned int i;
	u64 here;

	for (i = 0; i <= MAX_EXTRA && 8 * i <= len; i++) {
		at = 8 * i;
		if (is_mapped(data + at, len - at, &map)) {
			source_skip(s->src, at + MAPPED_BYTES);
			here = s->src->pos;
			if (!map.bitmap && !map.pages)
				return true;
			/* It may have been moved since it was written */
			return source_skip(s->src, map.pages - map.bitmap) &&
			       here <= s->src->pos &&
			       source_skip(s->src, used);
		}
		if (left ? is_block(data + at, len - at, left) :
			   is_behind(data + at, len - at))
			return source_skip(s->src, at);
	}
	return false;
}

/* The list of the blocks of RAM, which have @total bytes together */
static bool skip_blocks(struct stream *s, u64 total)
{
	u64 size;

	while (total) {
		if (!qemu_skip_string(s) || !qemu_get(s, 8, &size) || !size ||
		    size > total)
			return false;
		total -= size;
		if (!skip_extra(s, size, total))
			return false;
	}
	return true;
}

static bool skip_page(struct stream *s, u64 word)
{
	u64 len;

	if (!(word & RAM_CONTINUE) && !qemu_skip_string(s))
		return false;
	if (word & RAM_ZERO)
		return source_skip(s->src, 1);
	if (word & RAM_PAGE)
		return source_skip(s->src, RAM_PAGE_BYTES);
	if (word & RAM_XBZRLE)
		return source_skip(s->src, 1) && qemu_get(s, 2, &len) &&
		       source_skip(s->src, len);
	return qemu_get(s, 4, &len) && source_skip(s->src, len);
}

/**
 * qemu_skip_ram() - follow RAM to the end of the section
 * @s: the stream
 *
 * Return: false at unknown data, or at the end of the file.
 */
bool qemu_skip_ram(struct stream *s)
{
	u64 word;

	while (qemu_get(s, 8, &word)) {
		switch (word & RAM_FLAGS & ~RAM_CONTINUE) {
		case RAM_EOS:
			return true;
		case RAM_MEM_SIZE:
			if (!skip_blocks(s, word & ~RAM_FLAGS))
				return false;
			break;
		case RAM_ZERO:
		case RAM_PAGE:
		case RAM_XBZRLE:
		case RAM_COMPRESS:
			if (!skip_page(s, word))
				return false;
			break;
		case RAM_MULTIFD_FLUSH:
			break;
		default:
			s->qemu.zero_word = !word;
			return false;
		}
	}
	return false;
}
