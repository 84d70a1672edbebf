// SPDX-License-Identifier: GPL-2.0
/*
 * What a file is. Records have no magic number: a file is taken for a stream
 * of them if they follow each other and their HPTEs are valid, after all else
 * has been ruled out.
 */
#include <ctype.h>
#include <string.h>

#include "detect.h"
#include "hpte.h"
#include "msg.h"

/* HPTEs that are valid by chance are fewer */
#define MANY	16

struct magic {
	unsigned int offset;
	unsigned int len;
	const char *bytes;
	const char *what;
};

/* Each is at its offset; those with longer names come first */
static const struct magic magics[] = {
	{ 0, 4, "\x7f\x45\x4c\x46", "an ELF file: a core dump or a program" },
	{ 0, 8, "KDUMP   ", "a kdump-compressed dump, whose memory makedumpfile or crash reads" },
	{ 0, 8, "DISKDUMP", "a diskdump, whose memory crash reads" },
	{ 0, 12, "makedumpfile", "a flattened dump of makedumpfile" },
	{ 0, 2, "\x1f\x8b", "compressed by gzip: zcat FILE | kvm-hpt ... -" },
	{ 0, 6, "\xfd\x37zXZ\0", "compressed by xz: xzcat FILE | kvm-hpt ... -" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "compressed by zstd: zstdcat FILE | kvm-hpt ... -" },
	{ 0, 3, "BZh", "compressed by bzip2: bzcat FILE | kvm-hpt ... -" },
	{ 0, 4, "\x04\x22\x4d\x18", "compressed by lz4: lz4cat FILE | kvm-hpt ... -" },
	{ 0, 4, "\x02\x21\x4c\x18", "compressed by lz4: lz4cat FILE | kvm-hpt ... -" },
	{ 0, 9, "\x89LZO\0\r\n\x1a\n", "compressed by lzop: lzop -dc FILE | kvm-hpt ... -" },
	{ 0, 4, "LZIP", "compressed by lzip: lzip -dc FILE | kvm-hpt ... -" },
	{ 0, 5, "\x5d\0\0\x80\0", "compressed by lzma: lzcat FILE | kvm-hpt ... -" },
	{ 0, 4, "PK\3\4", "a zip archive" },
	{ 0, 6, "LUKS\xba\xbe", "a LUKS volume: what is in it is encrypted" },
	{ 0, 3, "QFI", "a QEMU disk image of another version than qcow2" },
	{ 0, 4, "QED\0", "a QED disk image, which has no snapshots" },
	{ 0, 4, "KDMV", "a VMDK disk image" },
	{ 0, 4, "COWD", "a VMDK disk image" },
	{ 0, 21, "# Disk DescriptorFile", "the description of a VMDK disk image" },
	{ 64, 4, "\x7f\x10\xda\xbe", "a VDI disk image" },
	{ 0, 8, "conectix", "a VHD disk image" },
	{ 0, 8, "vhdxfile", "a VHDX disk image" },
	{ 0, 16, "WithoutFreeSpace", "a Parallels disk image" },
	{ 0, 16, "WithouFreSpacExt", "a Parallels disk image" },
	{ 0, 14, "Bochs Virtual ", "a Bochs disk image" },
	{ 0, 4, "XFSB", "a raw image of a file system (XFS)" },
	{ 0, 4, "QCPR", "QEMU's own state for a live update (CPR), without an HPT" },
	{ 0, 4, "\x11\x22\x33\x44", "another channel of multifd; the HPT is in the first one" },
	{ 0, 4, "RDMA", "a channel of an RDMA migration" },
	{ 0, 8, "PERFILE2", "a file of perf" },
	{ 0, 6, "070701", "a cpio archive" },
	{ 0, 4, "\xd0\x0d\xfe\xed", "a device tree" },
	{ 0, 8, "\x89PNG\r\n\x1a\n", "a picture (PNG)" },
	{ 0, 4, "Libv", "the beginning of a libvirt save image, or a damaged one" },
};

/* A stream may have these by chance, so it comes before them */
static const struct magic hints[] = {
	{ 257, 5, "ustar", "a tar archive" },
	{ 510, 2, "\x55\xaa", "a raw disk image" },
	{ 1080, 2, "\x53\xef", "a raw image of a file system (ext4)" },
};

static const char *known(const unsigned char *data, size_t len,
			 const struct magic *m, size_t nr)
{
	for (; nr--; m++)
		if (len >= m->offset + m->len &&
		    !memcmp(data + m->offset, m->bytes, m->len))
			return m->what;
	return NULL;
}

static bool all_zero(const unsigned char *data, size_t len)
{
	return !*data && !memcmp(data, data + 1, len - 1);
}

/* Printable in ASCII or, as it seems, UTF-8 */
static bool is_text(const unsigned char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (data[i] < 0x80 && !isprint(data[i]) && !isspace(data[i]))
			return false;
	return true;
}

/* Skip digits, and blanks before and behind them */
static size_t skip_number(const unsigned char *data, size_t len, size_t digits)
{
	size_t i = 0, from;

	while (i < len && data[i] == ' ')
		i++;
	for (from = i; i < len && isxdigit(data[i]) && i - from < digits;)
		i++;
	if (i == from || (i < len && data[i] != ' '))
		return 0;
	return i;
}

/*
 * A line of debugfs begins with an index and dwords, in hexadecimal. Where the
 * file ends is not part of what it is.
 */
static bool is_debugfs(const unsigned char *data, size_t len)
{
	size_t pos = 0, used;
	unsigned int i;

	for (i = 0; i < 3 && pos < len; i++, pos += used) {
		used = skip_number(data + pos, len - pos, i ? 16 : 9);
		if (!used && (i < 2 || data[pos] != ' '))
			return false;
		/* An index has at least as many columns */
		if (!i && used < 6)
			return false;
	}
	return true;
}

/**
 * struct guess - how records look if their headers have a byte order
 * @exact: records that begin where the one before ends
 * @later: records that begin behind that
 * @valid: valid HPTEs with V
 * @not: valid HPTEs without
 * @begin: index of the first
 * @end: index behind the last
 * @ended: the first pass went to the end of an HPT
 * @cut: the last of them is not all there
 * @all: no byte is left that is no record
 */
struct guess {
	unsigned int exact;
	unsigned int later;
	unsigned int valid;
	unsigned int not;
	u64 begin;
	u64 end;
	bool ended;
	bool cut;
	bool all;
};

/* Look at the HPTEs of a record as far as they are there */
static void look_at(struct guess *g, const unsigned char *data, size_t len,
		    unsigned int n_valid)
{
	while (n_valid-- && len >= HPTE_BYTES) {
		if (data[7] & HPTE_V_VALID)
			g->valid++;
		else
			g->not++;
		data += HPTE_BYTES;
		len -= HPTE_BYTES;
	}
}

/* Is this the index behind the last HPTE of an HPT, with all before it? */
static bool ends_hpt(const struct guess *g, u64 end)
{
	return !g->begin && !g->later && end >= MIN_HPTES &&
	       !(end & (end - 1));
}

static void follow(struct guess *g, const unsigned char *data, size_t len,
		   bool big_endian)
{
	struct kvm_get_htab_header hdr;
	size_t pos = 0;
	u64 next = 0;

	*g = (struct guess) {};
	while (len - pos >= sizeof(hdr)) {
		memcpy(&hdr, data + pos, sizeof(hdr));
		header_to_host(&hdr, big_endian);
		if (!hdr.n_valid && !hdr.n_invalid)
			return;
		if (hdr.index < next && !g->ended && !ends_hpt(g, next))
			return;
		g->ended |= hdr.index < next;
		if (!pos)
			g->begin = hdr.index;
		if (pos && hdr.index == next)
			g->exact++;
		else if (pos)
			g->later++;
		next = (u64)hdr.index + hdr.n_valid + hdr.n_invalid;
		g->end = next;
		pos += sizeof(hdr);
		look_at(g, data + pos, len - pos, hdr.n_valid);
		/* With more without V than with it, it is none */
		if (g->not > g->valid + 1)
			return;
		g->cut = len - pos < (size_t)hdr.n_valid * HPTE_BYTES;
		if (g->cut)
			break;
		pos += (size_t)hdr.n_valid * HPTE_BYTES;
	}
	g->all = true;
}

/* How sure it is; 0 if it is no such stream */
static u64 score(const struct guess *g)
{
	u64 sum = 8ULL * g->exact + g->later + 2ULL * g->valid;
	bool single;

	if (!g->end || g->not * 4 > g->valid + 4)
		return 0;
	if (!g->all && !g->exact && g->valid < MANY)
		return 0;
	/* A single record that begins elsewhere is a whole one */
	single = !g->exact && !g->later && g->begin && g->valid < MANY;
	if (single && (g->cut || !g->valid || g->not))
		return 0;
	if (g->all && g->end >= MIN_HPTES && !(g->end & (g->end - 1)))
		sum += 8;
	return sum + 1;
}

/**
 * detect_records() - do records follow, and in which order?
 * @data: what is there
 * @len: number of bytes
 *
 * Return: 'l' or 'b' for headers that are little- or big-endian, 0 if that is
 * not sure.
 */
char detect_records(const unsigned char *data, size_t len)
{
	struct guess little, big;

	follow(&little, data, len, false);
	follow(&big, data, len, true);
	if (score(&little) && little.exact > 1 && little.exact > big.exact)
		return 'l';
	return score(&big) && big.exact > little.exact ? 'b' : 0;
}

static enum stream_format raw_format(const unsigned char *data, size_t len)
{
	struct guess guess;
	u64 little, big;

	follow(&guess, data, len, false);
	little = score(&guess);
	follow(&guess, data, len, true);
	big = score(&guess);
	if (!little && !big)
		return FORMAT_NONE;
	return big > little ? FORMAT_BE : FORMAT_LE;
}

/**
 * detect() - find out what a file is
 * @data: how it begins
 * @len: number of bytes
 * @all: there are no more
 * @endian: 'l' or 'b' if the user says that it is a stream of records with
 *	    headers in this byte order
 * @what: becomes what it is if it is no stream
 *
 * Return: the format.
 */
enum stream_format detect(const unsigned char *data, size_t len, bool all,
			  char endian, const char **what)
{
	enum stream_format format;

	*what = "empty";
	if (!len)
		return FORMAT_NONE;
	if (len >= 4 && !memcmp(data, QEMU_MAGIC, 4))
		return FORMAT_QEMU;
	*what = known(data, len, magics, ARRAY_SIZE(magics));
	if (*what)
		return FORMAT_NONE;
	*what = all ? "all zeroes" : "zeroes at its beginning";
	if (all_zero(data, len))
		return FORMAT_NONE;
	if (is_debugfs(data, len))
		return FORMAT_DEBUGFS;
	*what = "text";
	if (is_text(data, len))
		return FORMAT_NONE;
	if (endian)
		return endian == 'b' ? FORMAT_BE : FORMAT_LE;
	*what = "too short for any stream";
	if (len < sizeof(struct kvm_get_htab_header))
		return FORMAT_NONE;
	format = raw_format(data, len);
	*what = known(data, len, hints, ARRAY_SIZE(hints)) ?:
		"neither a stream of HPTEs nor anything that has one";
	return format;
}
