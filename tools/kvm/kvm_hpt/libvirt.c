// SPDX-License-Identifier: GPL-2.0
/*
 * Save images of libvirt, which contain QEMU's stream: virsh save, managedsave,
 * memory volumes of oVirt.
 */
#include <byteswap.h>
#include <string.h>

#include "msg.h"
#include "source.h"

/* Versions 1 and 2 have the same header, in the byte order of their host */
#define LIBVIRT_VERSION	2

struct libvirt_header {
	char magic[LIBVIRT_MAGIC];
	u32 version;
	u32 xml_bytes;
	u32 was_running;
	u32 format;
	u32 cookie;
	u32 unused[14];
};

/* Programs by libvirt's numbers of formats; 0 is uncompressed */
static const char * const programs[] = {
	NULL, "gzip", "bzip2", "xz", "lzop", "zstd",
};

/* Uncompressed, with mapped-ram */
#define LIBVIRT_SPARSE	6

/* More than any file system or device asks for */
#define MAX_ALIGNMENT	(64U << 20)

static void to_host(struct libvirt_header *h)
{
	if (h->version <= 0xffff)
		return;
	h->version = bswap_32(h->version);
	h->xml_bytes = bswap_32(h->xml_bytes);
	h->format = bswap_32(h->format);
}

/* In the sparse format, the stream may be aligned */
static void skip_zeroes(struct source *src)
{
	u64 end = src->pos + MAX_ALIGNMENT;
	const unsigned char *data;
	size_t len, i;

	do {
		len = source_peek(src, &data);
		for (i = 0; i < len && !data[i];)
			i++;
		source_read(src, NULL, i);
	} while (i && i == len && src->pos < end);
}

/**
 * libvirt_open() - go to QEMU's stream in a save image
 * @src: the source, at the beginning of the image
 *
 * Return: 0, or -1 with a message printed.
 */
int libvirt_open(struct source *src)
{
	struct libvirt_header h;

	src->inside = "a libvirt save image";
	if (source_read(src, &h, sizeof(h)) < sizeof(h)) {
		msg("%s is a libvirt save image that ends in its header",
		    src->name);
		return -1;
	}
	to_host(&h);
	if (!memcmp(h.magic, LIBVIRT_PARTIAL, LIBVIRT_MAGIC)) {
		src->inside = "a libvirt save image that is not finished";
		src->unfinished = true;
	}
	if (!h.version || h.version > LIBVIRT_VERSION) {
		msg("%s is a libvirt save image of version %u, not 1 or 2",
		    src->name, h.version);
		return -1;
	}
	if (h.format > LIBVIRT_SPARSE) {
		msg("%s is a libvirt save image in format %u, not 0 to %u",
		    src->name, h.format, LIBVIRT_SPARSE);
		return -1;
	}
	if (!source_skip(src, h.xml_bytes)) {
		msg("%s is a libvirt save image that ends in its XML",
		    src->name);
		return -1;
	}
	if (h.format && h.format < LIBVIRT_SPARSE)
		return source_unpack(src, programs[h.format]);
	if (h.format == LIBVIRT_SPARSE)
		skip_zeroes(src);
	src->begin = src->pos;
	return 0;
}
