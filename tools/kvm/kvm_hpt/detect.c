// SPDX-License-Identifier: GPL-2.0
/*
 * Detect the format of a file. Records have no magic number: a file of no other
 * known format is a stream if random bytes are too unlikely to look like its
 * records.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "../../../arch/powerpc/kvm/hpt/records.h"
#include "detect.h"
#include "hpte.h"
#include "msg.h"
#include "source.h"

/*
 * Evidence for a stream, in bits: random bytes collect n bits with a probability of
 * about 2^-n.
 */
#define BITS_ENOUGH	32
#define BITS_EXACT	28	/* a record begins where the previous one ends */
#define BITS_INDEX	6	/* most that another index is worth */
#define BITS_V		1
#define BITS_DWORD_0	2	/* three bits are 0 */
#define BITS_DWORD_1	8	/* eleven bits are 0 */
#define BITS_END	12	/* the last record ends where an HPT ends */

/* Evidence against it */
#define BITS_NO_V	24	/* an HPTE that is counted as valid has no V */
#define BITS_NO_DWORD	4	/* a dword has bits that it should not have */
#define BITS_BREAK	24	/* what follows the best evidence is none */
#define BITS_CUT	8	/* the file ends in the middle of a record */

/* In dword 0 and 1 of HPTEs: reserved, internal to KVM, or of no guest's memory */
#define NEVER_V		(HPTE_V_B_RESERVED | HPTE_V_HOST)
#define NEVER_R		(HPTE_R_MARK | (HPTE_R_RPN & ~(BIT_ULL(50) - 1)))

struct magic {
	unsigned int offset;
	unsigned int len;
	const char *bytes;
	const char *what;
};

/* Each is at its offset; those with longer names come first */
static const struct magic magics[] = {
	{ 0, 4, "\x7f\x45\x4c\x46", "an ELF file: a core dump or a program" },
	{ 0, 8, "PAGEDU64", "a crash dump of Windows" },
	{ 0, 8, "PAGEDUMP", "a crash dump of Windows" },
	{ 0, 12, "\xff\xff\xff\xff\xff\xff\xff\xffXENF", "the state of a Xen guest" },
	{ 0, 16, "LinuxGuestRecord", "the state of a Xen guest" },
	{ 0, 8, "KDUMP   ", "a kdump-compressed dump, whose memory makedumpfile or crash reads" },
	{ 0, 8, "DISKDUMP", "a diskdump, whose memory crash reads" },
	{ 0, 12, "makedumpfile", "a flattened dump of makedumpfile" },
	{ 0, 3, "\x1f\x8b\x08", "compressed by gzip: zcat FILE | kvm-hpt ... -" },
	{ 0, 6, "\xfd\x37zXZ\0", "compressed by xz: xzcat FILE | kvm-hpt ... -" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "compressed by zstd: zstdcat FILE | kvm-hpt ... -" },
	{ 0, 3, "BZh", "compressed by bzip2: bzcat FILE | kvm-hpt ... -" },
	{ 0, 4, "\x04\x22\x4d\x18", "compressed by lz4: lz4cat FILE | kvm-hpt ... -" },
	{ 0, 4, "\x02\x21\x4c\x18", "compressed by lz4: lz4cat FILE | kvm-hpt ... -" },
	{ 0, 9, "\x89LZO\0\r\n\x1a\n", "compressed by lzop: lzop -dc FILE | kvm-hpt ... -" },
	{ 0, 4, "LZIP", "compressed by lzip: lzip -dc FILE | kvm-hpt ... -" },
	{ 0, 5, "\x5d\0\0\x80\0", "compressed by lzma: lzcat FILE | kvm-hpt ... -" },
	{ 0, 4, "LRZI", "compressed by lrzip: lrzip -dq < FILE | kvm-hpt ... -" },
	{ 0, 10, "\xff\x06\0\0sNaPpY", "compressed by Snappy" },
	{ 0, 3, "\x1f\x9d\x90", "compressed by compress: zcat FILE | kvm-hpt ... -" },
	{ 0, 6, "7z\xbc\xaf\x27\x1c", "a 7z archive" },
	{ 0, 4, "PK\3\4", "a zip archive" },
	{ 0, 4, "PK\5\6", "a zip archive" },
	{ 0, 4, "PK\7\x08", "a zip archive" },
	{ 0, 6, "Rar!\x1a\7", "a RAR archive" },
	{ 0, 8, "MSCF\0\0\0\0", "a cabinet (CAB)" },
	{ 0, 4, "\xed\xab\xee\xdb", "an RPM package" },
	{ 0, 8, "!<arch>\n", "an archive of ar, as Debian packages are" },
	{ 0, 4, "VMA\0", "a backup of Proxmox (VMA)" },
	{ 0, 4, "\xd4\xc3\xb2\xa1", "a capture of network packets (pcap)" },
	{ 0, 4, "\xa1\xb2\xc3\xd4", "a capture of network packets (pcap)" },
	{ 0, 4, "\x0a\x0d\x0d\x0a", "a capture of network packets (pcapng)" },
	{ 0, 4, "hsqs", "a raw image of a file system (squashfs)" },
	{ 0, 6, "LUKS\xba\xbe", "a LUKS volume: what is in it is encrypted" },
	{ 0, 4, "QFI\xfb", "a qcow2 image: copy it to its own file" },
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
	{ 0, 6, "070702", "a cpio archive" },
	{ 0, 6, "070707", "a cpio archive" },
	{ 0, 10, "\x17\x08\x44tracing", "a file of trace-cmd" },
	{ 0, 22, "\x7fVirtualBox SavedState", "the state of a VM of VirtualBox" },
	{ 0, 6, "SQLite", "a database (SQLite)" },
	{ 0, 4, "\xd0\x0d\xfe\xed", "a device tree" },
	{ 0, 8, "\x89PNG\r\n\x1a\n", "a picture (PNG)" },
	{ 0, 3, "\xff\xd8\xff", "a picture (JPEG)" },
	{ 0, 4, "GIF8", "a picture (GIF)" },
	{ 0, 5, "%PDF-", "a document (PDF)" },
	{ 0, 8, "Salted__", "encrypted by openssl enc" },
	{ 0, 22, "age-encryption.org/v1\n", "encrypted by age" },
	{ 0, LIBVIRT_MAGIC, LIBVIRT_SAVED,
	  "another libvirt save image: copy it to its own file" },
	{ 0, LIBVIRT_MAGIC, LIBVIRT_PARTIAL,
	  "another libvirt save image: copy it to its own file" },
	{ 0, 4, "Libv", "a libvirt save image that is cut off or damaged" },
};

/* A stream may contain these by chance, so streams are detected first */
static const struct magic hints[] = {
	{ 257, 5, "ustar", "a tar archive" },
	{ 9, 5, "\xff\xff\xff\xff\0", "compressed by lzma: lzcat FILE | kvm-hpt ... -" },
	{ 0, 2, "\x78\x01", "compressed by zlib" },
	{ 0, 2, "\x78\x5e", "compressed by zlib" },
	{ 0, 2, "\x78\x9c", "compressed by zlib" },
	{ 0, 2, "\x78\xda", "compressed by zlib" },
	{ 0, 3, "\x8c\x0d\x04", "encrypted by GnuPG" },
	{ 514, 4, "HdrS", "a kernel image" },
	{ 56, 4, "ARM\x64", "a kernel image" },
	{ 0, 4, "\x27\x05\x19\x56", "an image of U-Boot" },
	{ 0, 3, "\x16\x03\x01", "an encrypted connection (TLS)" },
	{ 0, 4, "\xff\xfe\0\0", "text in UTF-32" },
	{ 0, 4, "\0\0\xfe\xff", "text in UTF-32" },
	{ 0, 2, "\xff\xfe", "text in UTF-16" },
	{ 0, 2, "\xfe\xff", "text in UTF-16" },
	{ 510, 2, "\x55\xaa", "a raw disk image" },
	{ 512, 8, "EFI PART", "a raw disk image" },
	{ 4096, 8, "EFI PART", "a raw disk image" },
	{ 4096, 4, "\xfc\x4e\x2b\xa9", "a member of a RAID (md)" },
	{ 65600, 8, "_BHRfS_M", "a raw image of a file system (Btrfs)" },
	{ 512, 8, "LABELONE", "a physical volume of LVM" },
	{ 4086, 10, "SWAPSPACE2", "a swap device" },
	{ 65526, 10, "SWAPSPACE2", "a swap device" },
	{ 32769, 5, "CD001", "an image of a CD or DVD" },
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

/* A frame that has no data may come first */
static const char *skippable(const unsigned char *data, size_t len)
{
	if (len < 4 || (*data & 0xf0) != 0x50 || memcmp(data + 1, "\x2a\x4d\x18", 3))
		return NULL;
	return "compressed by zstd or lz4: zstdcat FILE | kvm-hpt ... -";
}

/* Printable ASCII, white space, and what controls a terminal */
static bool is_ascii(unsigned char c)
{
	return c < 0x80 && (isprint(c) || isspace(c) || c == '\a' || c == '\b' ||
			    c == '\x1b' || c == '\x7f');
}

/* ASCII or apparently UTF-8 */
static bool is_text(const unsigned char *data, size_t len)
{
	size_t i, ascii = 0;

	for (i = 0; i < len; i++) {
		if (data[i] < 0x80 && !is_ascii(data[i]))
			return false;
		ascii += data[i] < 0x80;
	}
	return ascii * 64 >= len;
}

/* A log may have some zeroes, or other bytes that came over a serial line */
static const char *mostly_text(const unsigned char *data, size_t len)
{
	size_t i, ascii = 0;

	for (i = 0; i < len; i++)
		ascii += is_ascii(data[i]);
	return ascii * 16 >= len * 15 ? "text with a few other bytes" : NULL;
}

/* Is each ASCII character alone at this place in a word, with few exceptions? */
static bool is_wide(const unsigned char *data, size_t len, unsigned int word,
		    unsigned int place)
{
	static const unsigned char zeroes[4];
	size_t i, good = 0;

	for (i = 0; i + word <= len; i += word)
		good += is_ascii(data[i + place]) &&
			!memcmp(data + i, zeroes, place) &&
			!memcmp(data + i + place + 1, zeroes, word - place - 1);
	return good && good * 16 >= len / word * 15;
}

/* Text without a byte order mark */
static const char *wide_text(const unsigned char *data, size_t len)
{
	if (is_wide(data, len, 2, 0) || is_wide(data, len, 2, 1))
		return "text in UTF-16";
	if (is_wide(data, len, 4, 0) || is_wide(data, len, 4, 3))
		return "text in UTF-32";
	return NULL;
}

/* Describe where QEMU's stream begins after other data, or return NULL */
static const char *find_stream(const unsigned char *data, size_t len,
			       u64 offset)
{
	static char text[120];
	const unsigned char *at = memmem(data, len, QEMU_BEGIN,
					 QEMU_BEGIN_BYTES);

	if (!at)
		return NULL;
	if (!~offset)
		snprintf(text, sizeof(text),
			 "unknown, with a QEMU stream that begins at byte %td",
			 at - data);
	else
		snprintf(text, sizeof(text),
			 "unknown, but a QEMU stream begins in it: use --offset=%llu",
			 offset + (at - data));
	return text;
}

/*
 * A line of debugfs is an index in at least 6 columns and three dwords with all of
 * their digits, in hexadecimal
 */
static bool is_debugfs(const unsigned char *data, size_t len)
{
	size_t pos = 0, begin, i;

	while (pos < len && pos < 9 && data[pos] == ' ')
		pos++;
	for (begin = pos; pos < len && isxdigit(data[pos]);)
		pos++;
	if (pos == begin || pos < 6 || pos > 9)
		return false;
	for (i = 0; i < 3 * 17; i++, pos++)
		if (pos >= len ||
		    (i % 17 ? !isxdigit(data[pos]) : data[pos] != ' '))
			return false;
	return pos == len || data[pos] == '\n' || data[pos] == '\r';
}

/**
 * struct guess - records as decoded with one of the byte orders
 * @bits: evidence
 * @most: the most that there was of it
 * @valid: number of valid HPTEs
 * @later: number of records that begin after the end of the previous one
 * @begin: index of the first HPTE
 * @end: index after the last HPTE
 * @ended: the first pass went to the end of an HPT
 * @all: all bytes belong to records
 * @cut: the last record is incomplete
 */
struct guess {
	int bits;
	int most;
	u64 valid;
	unsigned int later;
	u64 begin;
	u64 end;
	bool ended;
	bool all;
	bool cut;
};

static int bit_length(u32 n)
{
	return n ? 32 - __builtin_clz(n) : 0;
}

/* Small numbers are usual in headers, but not in random bytes */
static int header_bits(const struct kvm_get_htab_header *hdr, bool exact)
{
	int index = 28 - bit_length(hdr->index);

	if (index > BITS_INDEX)
		index = BITS_INDEX;
	return (exact ? BITS_EXACT : index) + 13 - bit_length(hdr->n_valid) +
	       13 - bit_length(hdr->n_invalid);
}

static int hpte_bits(const unsigned char *data)
{
	__be64 dword[2];
	int bits = BITS_V;

	memcpy(dword, data, sizeof(dword));
	if (!(be64toh(dword[0]) & HPTE_V_VALID))
		return -BITS_NO_V;
	bits += be64toh(dword[0]) & NEVER_V ? -BITS_NO_DWORD : BITS_DWORD_0;
	bits += be64toh(dword[1]) & NEVER_R ? -BITS_NO_DWORD : BITS_DWORD_1;
	return bits;
}

/* The evidence of @n HPTEs, as far as they are there */
static int hptes_bits(const unsigned char *data, size_t len, unsigned int n)
{
	int bits = 0;

	for (; n-- && len >= HPTE_BYTES; len -= HPTE_BYTES, data += HPTE_BYTES)
		bits += hpte_bits(data);
	return bits;
}

/* Is @end the number of HPTEs of an HPT? */
static bool hpt_ends(u64 end)
{
	return end >= MIN_HPTES && !(end & (end - 1));
}

static void follow(struct guess *g, const unsigned char *data, size_t len,
		   bool big_endian)
{
	struct kvm_get_htab_header hdr;
	size_t pos = 0, left;
	u64 next = 0;

	*g = (struct guess) {};
	for (; pos < len && len - pos >= sizeof(hdr); pos += hpt_record_bytes(&hdr)) {
		memcpy(&hdr, data + pos, sizeof(hdr));
		header_to_host(&hdr, big_endian);
		if (!hdr.n_valid && !hdr.n_invalid)
			return;
		if (hdr.index < next && !g->ended &&
		    (g->begin || g->later || !hpt_ends(next)))
			return;
		left = len - pos - sizeof(hdr);
		g->bits += header_bits(&hdr, hdr.index == next);
		g->bits += hptes_bits(data + pos + sizeof(hdr), left, hdr.n_valid);
		g->valid += hdr.n_valid;
		if (g->bits > g->most)
			g->most = g->bits;
		g->ended |= hdr.index < next;
		if (!pos)
			g->begin = hdr.index;
		g->later += pos && hdr.index != next;
		next = (u64)hdr.index + hdr.n_valid + hdr.n_invalid;
		g->end = next;
	}
	g->all = true;
	g->cut = pos != len;
}

/* The evidence for a stream with this byte order; @all: the file ends here */
static int evidence(const unsigned char *data, size_t len, bool all,
		    bool big_endian)
{
	struct guess g;

	follow(&g, data, len, big_endian);
	/* Without HPTEs, headers may be any numbers that grow */
	if (!g.valid && (!g.all || g.begin || g.later))
		return 0;
	if (!g.all || g.bits < g.most)
		return g.most - BITS_BREAK;
	return g.bits + (hpt_ends(g.end) ? BITS_END : 0) -
	       (all && g.cut ? BITS_CUT : 0);
}

/**
 * struct list - how a list of records looks if their headers have a byte order
 * @fits: none of them reaches beyond the end of the HPT, or is empty
 * @ends: there is a record of zeroes behind the others
 * @exact: records that begin where the one before ends
 */
struct list {
	bool fits;
	bool ends;
	unsigned int exact;
};

static void follow_list(struct list *list, const unsigned char *data, size_t len,
			u64 nr_hptes, u64 next, bool big_endian)
{
	struct kvm_get_htab_header hdr;
	u64 end;
	size_t pos = 0;

	*list = (struct list) {};
	for (; pos < len && len - pos >= sizeof(hdr); next = end) {
		memcpy(&hdr, data + pos, sizeof(hdr));
		header_to_host(&hdr, big_endian);
		end = (u64)hdr.index + hdr.n_valid + hdr.n_invalid;
		list->ends = !end;
		if (list->ends)
			break;
		list->exact += hdr.index == next;
		if (end == hdr.index || end > nr_hptes)
			return;
		pos += hpt_record_bytes(&hdr);
	}
	list->fits = true;
}

/**
 * detect_endian() - which byte order do the headers of a list of records have?
 * @data: the list, as QEMU has it
 * @len: number of bytes
 * @nr_hptes: of the HPT
 * @next_little: index after the record before, if that is little-endian, or @nr_hptes
 * @next_big: the same if it is big-endian
 *
 * Return: 'l' or 'b' for little- or big-endian, 0 if either may be.
 */
char detect_endian(const unsigned char *data, size_t len, u64 nr_hptes,
		   u64 next_little, u64 next_big)
{
	struct list little, big;

	follow_list(&little, data, len, nr_hptes, next_little, false);
	follow_list(&big, data, len, nr_hptes, next_big, true);
	if (big.fits && (!little.fits || big.exact > little.exact))
		return 'b';
	/* The HPT may be larger, or other data follow without an end of the list */
	if (!big.fits && little.exact > big.exact)
		return 'l';
	/* A list that seems to go on elsewhere may do so by chance */
	if (!little.fits || (!little.ends && little.exact < 2))
		return 0;
	return !big.fits || little.exact > big.exact ? 'l' : 0;
}

static enum stream_format raw_format(const unsigned char *data, size_t len,
				     bool all)
{
	int little = evidence(data, len, all, false);
	int big = evidence(data, len, all, true);

	if (little < BITS_ENOUGH && big < BITS_ENOUGH)
		return FORMAT_NONE;
	return big > little ? FORMAT_BE : FORMAT_LE;
}

/* HPTEs without headers of records, many of which are not in use, in both formats */
static const char *is_memory(const unsigned char *data, size_t len)
{
	__be64 dword[2];
	int bits = 0;

	for (; len >= HPTE_BYTES; len -= HPTE_BYTES, data += HPTE_BYTES) {
		memcpy(dword, data, sizeof(dword));
		if (!dword[0] && !dword[1])
			continue;
		if (be64toh(dword[0]) & HPTE_V_VALID &&
		    !(be64toh(dword[1]) & NEVER_R & ~HPTE_R_3_0_B))
			bits += BITS_DWORD_1;
		else
			bits -= BITS_NO_DWORD;
	}
	if (bits < BITS_ENOUGH)
		return NULL;
	return "apparently the memory of an HPT: HPTEs without the headers of records";
}

/**
 * detect() - detect the format of a file
 * @data: its first bytes
 * @len: their number
 * @all: the file has no more bytes
 * @endian: 'l' or 'b' if the user has given the byte order of headers, else 0
 * @offset: the option --offset that leads to the first byte, ~0 if none does
 * @what: set to a description of the file if it is not a stream
 *
 * Return: the format.
 */
enum stream_format detect(const unsigned char *data, size_t len, bool all,
			  char endian, u64 offset, const char **what)
{
	enum stream_format format;

	*what = "empty";
	if (!len)
		return FORMAT_NONE;
	if (len >= 4 && !memcmp(data, QEMU_MAGIC, 4) &&
	    (len == 4 || !is_text(data, len)))
		return FORMAT_QEMU;
	*what = known(data, len, magics, ARRAY_SIZE(magics)) ?: skippable(data, len);
	if (*what)
		return FORMAT_NONE;
	*what = *data ? "one byte over and over" :
		all ? "all zeroes" : "zeroes, at least in its first 256 KiB";
	if (len > 1 && one_byte(data, len))
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
	format = raw_format(data, len, all);
	*what = known(data, len, hints, ARRAY_SIZE(hints)) ?:
		find_stream(data, len, offset) ?:
		mostly_text(data, len) ?:
		wide_text(data, len) ?:
		is_memory(data, len) ?:
		"neither a stream of HPTEs nor a file that contains one";
	return format;
}
