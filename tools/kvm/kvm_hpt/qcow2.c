// SPDX-License-Identifier: GPL-2.0
/*
 * The state of a VM that savevm has written to a qcow2 image: see
 * docs/interop/qcow2.txt in QEMU. In the tables of the snapshot, its addresses
 * follow those of the disk.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hpte.h"
#include "msg.h"
#include "qcow2.h"
#include "source.h"

#define L2_OFFSET		0x00fffffffffffe00ULL
#define L2_COMPRESSED		BIT_ULL(62)
#define L2_ZERO			BIT_ULL(0)

/* Number of subclusters in an extended level 2 entry */
#define SUBCLUSTERS		32

/* Limits of QEMU */
#define MAX_SNAPSHOTS		65536
#define MAX_L1_BYTES		(32U << 20)
#define MIN_CLUSTER_BITS	9
#define MAX_CLUSTER_BITS	21

#define INCOMPAT_DATA_FILE	BIT_ULL(2)
#define INCOMPAT_EXTENDED_L2	BIT_ULL(4)
/* Dirty, corrupt, external data, other compression, extended L2 */
#define INCOMPAT_KNOWN		0x1fULL

enum { CRYPT_NONE, CRYPT_AES, CRYPT_LUKS };

struct qcow2_header {
	u8	magic[4];
	__be32	version;
	__be64	backing_offset;
	__be32	backing_size;
	__be32	cluster_bits;
	__be64	size;
	__be32	crypt_method;
	__be32	l1_size;
	__be64	l1_offset;
	__be64	refcount_offset;
	__be32	refcount_clusters;
	__be32	nb_snapshots;
	__be64	snapshots_offset;
	__be64	incompatible;	/* version 3 */
};

/* Version 2 ends before @incompatible */
#define HEADER_BYTES_V2	72

struct qcow2_snapshot {
	__be64	l1_offset;
	__be32	l1_size;
	__be16	id_size;
	__be16	name_size;
	__be32	date_sec;
	__be32	date_nsec;
	__be64	clock_nsec;
	__be32	state_size;
	__be32	extra_size;
};

/* Beginning of the extra data; older images have less of it or none */
struct qcow2_extra {
	__be64	state_size;
	__be64	disk_size;
};

/**
 * struct qcow2 - an image, and the state of a VM in a snapshot
 * @fd: the file
 * @front: position of the image in it
 * @file_size: its size
 * @disk_size: size of the disk
 * @cluster_bits: log2 of the size of a cluster
 * @l2_bits: log2 of the number of entries in a level 2 table
 * @extended: these have 16 bytes, with bits for subclusters
 * @nr: number of snapshots
 * @snapshot: the snapshots
 * @lost: there are more, which cannot be read
 * @opened: the snapshot that is read, NULL if none can be
 * @error: why none can be read
 * @l1: its level 1 table
 * @base: address of the VM state
 * @l2: the level 2 table read last
 * @l2_offset: its position in the file
 */
struct qcow2 {
	int fd;
	u64 front;
	u64 file_size;
	u64 disk_size;
	unsigned int cluster_bits;
	unsigned int l2_bits;
	bool extended;
	unsigned int nr;
	struct snapshot *snapshot;
	bool lost;
	const struct snapshot *opened;
	const char *error;
	__be64 *l1;
	u64 base;
	__be64 *l2;
	u64 l2_offset;
};

static int read_at(struct qcow2 *q, u64 offset, void *to, size_t len)
{
	ssize_t n;

	if (offset >> 62)
		return -EINVAL;
	for (; len; len -= n, to += n, offset += n) {
		n = pread(q->fd, to, len, q->front + offset);
		if (n < 0)
			return -errno;
		if (!n)
			return -EINVAL;
	}
	return 0;
}

static char *read_text(struct qcow2 *q, u64 offset, size_t len)
{
	char *text = calloc(len + 1, 1);

	if (text && read_at(q, offset, text, len)) {
		free(text);
		return NULL;
	}
	return text;
}

static u64 align8(u64 offset)
{
	return (offset + 7) & ~7ULL;
}

/* Read an entry of the table of snapshots. Returns where the next is, or 0. */
static u64 read_snapshot(struct qcow2 *q, u64 offset, struct snapshot *to)
{
	struct qcow2_extra extra = {};
	struct qcow2_snapshot snap;
	size_t bytes;

	if (read_at(q, offset, &snap, sizeof(snap)))
		return 0;
	offset += sizeof(snap);
	bytes = be32toh(snap.extra_size);
	if (read_at(q, offset, &extra,
		    bytes < sizeof(extra) ? bytes : sizeof(extra)))
		return 0;
	offset += bytes;
	to->l1_offset = be64toh(snap.l1_offset);
	to->l1_size = be32toh(snap.l1_size);
	to->seconds = be32toh(snap.date_sec);
	to->size = be32toh(snap.state_size);
	if (bytes >= sizeof(extra.state_size))
		to->size = be64toh(extra.state_size);
	to->disk_size = q->disk_size;
	if (bytes >= sizeof(extra))
		to->disk_size = be64toh(extra.disk_size);
	to->id = read_text(q, offset, be16toh(snap.id_size));
	offset += be16toh(snap.id_size);
	to->name = read_text(q, offset, be16toh(snap.name_size));
	offset += be16toh(snap.name_size);
	/* Each has an id; without one, this is data after the table */
	return to->id && *to->id && to->name ? align8(offset) : 0;
}

/* An image may claim more snapshots than can be read */
static void read_snapshots(struct qcow2 *q, const struct qcow2_header *h)
{
	u64 offset = be64toh(h->snapshots_offset);
	u32 nr = be32toh(h->nb_snapshots);
	struct snapshot *more;

	while (q->nr < nr && q->nr < MAX_SNAPSHOTS) {
		more = realloc(q->snapshot, (q->nr + 1) * sizeof(*more));
		if (!more)
			break;
		q->snapshot = more;
		more += q->nr;
		*more = (struct snapshot) {};
		offset = read_snapshot(q, offset, more);
		if (!offset) {
			free(more->id);
			free(more->name);
			break;
		}
		q->nr++;
	}
	q->lost = q->nr < nr;
}

/* Find a snapshot by name or else by id, as loadvm does; NULL: the last one */
static const struct snapshot *find_snapshot(const struct qcow2 *q,
					    const char *name)
{
	const struct snapshot *by_name = NULL, *by_id = NULL, *last = NULL;
	unsigned int i;

	for (i = 0; i < q->nr; i++) {
		if (name && !by_name && !strcmp(q->snapshot[i].name, name))
			by_name = &q->snapshot[i];
		if (name && !by_id && !strcmp(q->snapshot[i].id, name))
			by_id = &q->snapshot[i];
		if (q->snapshot[i].size)
			last = &q->snapshot[i];
	}
	return name ? by_name ?: by_id : last;
}

static const char *unsupported(const struct qcow2_header *h)
{
	u32 bits = be32toh(h->cluster_bits);
	u32 version = be32toh(h->version);
	u64 incompatible = version == 3 ? be64toh(h->incompatible) : 0;

	if (version != 2 && version != 3)
		return "its version is neither 2 nor 3";
	if (bits < MIN_CLUSTER_BITS || bits > MAX_CLUSTER_BITS)
		return "its clusters have an impossible size";
	switch (be32toh(h->crypt_method)) {
	case CRYPT_NONE:
		break;
	case CRYPT_AES:
		return "it is encrypted (AES)";
	case CRYPT_LUKS:
		return "it is encrypted (LUKS)";
	default:
		return "it is encrypted in an unknown way";
	}
	if (incompatible & INCOMPAT_DATA_FILE)
		return "it has an external data file, so it has no snapshots";
	if (incompatible & ~INCOMPAT_KNOWN)
		return "it has unknown incompatible features";
	return NULL;
}

static const char *read_header(struct qcow2 *q)
{
	struct qcow2_header h = {};
	const char *why;

	if (read_at(q, 0, &h, HEADER_BYTES_V2) ||
	    (be32toh(h.version) > 2 && read_at(q, 0, &h, sizeof(h))))
		return "it is too short";
	why = unsupported(&h);
	if (why)
		return why;
	if (be32toh(h.version) == 3)
		q->extended = be64toh(h.incompatible) & INCOMPAT_EXTENDED_L2;
	q->disk_size = be64toh(h.size);
	q->cluster_bits = be32toh(h.cluster_bits);
	q->l2_bits = q->cluster_bits - (q->extended ? 4 : 3);
	read_snapshots(q, &h);
	return NULL;
}

static const char *read_tables(struct qcow2 *q)
{
	const struct snapshot *snap = q->opened;
	/* An entry of level 1 covers a cluster full of entries of level 2 */
	unsigned int covers = q->cluster_bits + q->l2_bits;

	q->base = snap->disk_size >> covers;
	if (snap->disk_size & (BIT_ULL(covers) - 1))
		q->base++;
	q->base <<= covers;
	if (snap->l1_size > MAX_L1_BYTES / sizeof(*q->l1))
		return "its tables are too large";
	/* Each byte is somewhere in the file, which bounds the work */
	if (snap->size > q->file_size)
		return "its state is larger than the image";
	q->l1 = calloc(snap->l1_size + 1, sizeof(*q->l1));
	q->l2 = malloc(BIT_ULL(q->cluster_bits));
	if (!q->l1 || !q->l2)
		return strerror(ENOMEM);
	if (read_at(q, snap->l1_offset, q->l1, snap->l1_size * sizeof(*q->l1)))
		return "its tables are not in the image";
	return NULL;
}

static const char *open_snapshot(struct qcow2 *q, const char *name)
{
	q->opened = find_snapshot(q, name);
	/* A lost one may be the last, or have this name */
	if (q->lost && (!name || !q->opened))
		return "its table of snapshots is damaged or cut off";
	if (!q->opened)
		return name ? "it has no snapshot of this name or number" :
			      "it has no snapshot with the state of a VM";
	if (!q->opened->size)
		return "the snapshot has no state of a VM";
	return read_tables(q);
}

/**
 * qcow2_open() - open the VM state in an image
 * @src: the image; reads return the VM state from here on
 * @snapshot: name or id of the snapshot, NULL for the last one
 *
 * Return: the image, with a message printed if no snapshot is opened, or NULL with
 * a message printed.
 */
struct qcow2 *qcow2_open(struct source *src, const char *snapshot)
{
	struct qcow2 *q;

	if (!src->seekable) {
		msg("%s is a qcow2 image: it can't be read from a pipe",
		    src->name);
		return NULL;
	}
	q = calloc(1, sizeof(*q));
	if (!q) {
		msg("%s", strerror(ENOMEM));
		return NULL;
	}
	q->fd = src->fd;
	q->front = src->begin;
	q->file_size = src->size;
	q->error = read_header(q) ?: open_snapshot(q, snapshot);
	if (q->error) {
		msg("can't read %s%s%sthe qcow2 image %s: %s",
		    snapshot ? "snapshot " : "", snapshot ?: "",
		    snapshot ? " of " : "", src->name, q->error);
		q->opened = NULL;
		src->inside = "a qcow2 image";
		return q;
	}
	src->inside = "a snapshot of a qcow2 image";
	src->begin = 0;
	src->pos = 0;
	src->start = 0;
	src->end = 0;
	src->eof = false;
	src->size = q->opened->size;
	return q;
}

/* Is the subcluster of an address allocated? */
static bool allocated(const struct qcow2 *q, u64 addr, u64 bitmap)
{
	u64 in_cluster = addr & (BIT_ULL(q->cluster_bits) - 1);

	return bitmap >> (in_cluster * SUBCLUSTERS >> q->cluster_bits) & 1;
}

/* Find the position of a cluster in the file, 0 if it is all zeroes */
static int find_cluster(struct qcow2 *q, u64 addr, u64 *offset)
{
	u64 l1 = addr >> (q->cluster_bits + q->l2_bits), l2, entry, i;

	*offset = 0;
	if (l1 >= q->opened->l1_size)
		return -EINVAL;
	l2 = be64toh(q->l1[l1]) & L2_OFFSET;
	if (!l2)
		return 0;
	if (l2 != q->l2_offset) {
		q->l2_offset = 0;
		if (read_at(q, l2, q->l2, BIT_ULL(q->cluster_bits)))
			return -EINVAL;
		q->l2_offset = l2;
	}
	i = addr >> q->cluster_bits & (BIT_ULL(q->l2_bits) - 1);
	entry = be64toh(q->l2[q->extended ? 2 * i : i]);
	if (entry & L2_COMPRESSED)
		return -EOPNOTSUPP;
	if (q->extended ? allocated(q, addr, be64toh(q->l2[2 * i + 1])) :
			  !(entry & L2_ZERO))
		*offset = entry & L2_OFFSET;
	return 0;
}

/**
 * qcow2_read() - read from the VM state
 * @q: the image
 * @pos: position in the VM state
 * @to: buffer
 * @len: its size
 *
 * Return: the number of bytes, 0 at the end, or a negative errno value.
 */
ssize_t qcow2_read(struct qcow2 *q, u64 pos, void *to, size_t len)
{
	u64 in_cluster, offset, left, part = BIT_ULL(q->cluster_bits);
	int err;

	if (pos >= q->opened->size)
		return 0;
	in_cluster = (q->base + pos) & (part - 1);
	if (q->extended)
		part /= SUBCLUSTERS;
	left = part - (in_cluster & (part - 1));
	if (left > q->opened->size - pos)
		left = q->opened->size - pos;
	if (len > left)
		len = left;
	err = find_cluster(q, q->base + pos, &offset);
	if (!err && offset)
		err = read_at(q, offset + in_cluster, to, len);
	else
		memset(to, 0, len);
	return err ?: (ssize_t)len;
}

/**
 * qcow2_snapshot() - get a snapshot of an image
 * @q: the image
 * @i: its number, counted from 0
 *
 * Return: the snapshot, or NULL if there are fewer.
 */
const struct snapshot *qcow2_snapshot(const struct qcow2 *q, unsigned int i)
{
	return i < q->nr ? &q->snapshot[i] : NULL;
}

/**
 * qcow2_opened() - get the snapshot whose VM state is read
 * @q: the image
 *
 * Return: the snapshot, or NULL if none can be read.
 */
const struct snapshot *qcow2_opened(const struct qcow2 *q)
{
	return q->opened;
}

/**
 * qcow2_error() - describe why no snapshot can be read
 * @q: the image
 */
const char *qcow2_error(const struct qcow2 *q)
{
	return q->error;
}

/**
 * qcow2_close() - free an image
 * @q: the image, or NULL
 */
void qcow2_close(struct qcow2 *q)
{
	unsigned int i;

	if (!q)
		return;
	for (i = 0; i < q->nr; i++) {
		free(q->snapshot[i].id);
		free(q->snapshot[i].name);
	}
	free(q->snapshot);
	free(q->l1);
	free(q->l2);
	free(q);
}
