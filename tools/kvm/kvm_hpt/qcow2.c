// SPDX-License-Identifier: GPL-2.0
/*
 * The state of a VM that savevm left in a qcow2 image: see
 * docs/interop/qcow2.txt in QEMU. It is at addresses that follow those of the
 * disk, in the tables of the snapshot.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "hpte.h"
#include "msg.h"
#include "source.h"

#define L2_OFFSET		0x00fffffffffffe00ULL
#define L2_COMPRESSED		BIT_ULL(62)
#define L2_ZERO			BIT_ULL(0)

/* What QEMU itself accepts */
#define MAX_SNAPSHOTS		65536
#define MAX_L1_BYTES		(32U << 20)
#define MIN_CLUSTER_BITS	9
#define MAX_CLUSTER_BITS	21
#define INCOMPAT_DATA_FILE	BIT_ULL(2)
#define INCOMPAT_EXTENDED_L2	BIT_ULL(4)

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

/**
 * struct qcow2 - the state of a VM in a snapshot
 * @file: the image
 * @cluster_bits: log2 of the size of a cluster
 * @l1: level 1 table of the snapshot
 * @l1_size: entries in it
 * @base: address of the state
 * @size: its size in bytes
 * @l2: a level 2 table
 * @l2_offset: where in the file that is from
 */
struct qcow2 {
	FILE *file;
	unsigned int cluster_bits;
	__be64 *l1;
	u32 l1_size;
	u64 base;
	u64 size;
	__be64 *l2;
	u64 l2_offset;
};

static int read_at(FILE *file, u64 offset, void *to, size_t len)
{
	if (offset >> 62 || fseeko(file, offset, SEEK_SET))
		return -EINVAL;
	if (fread(to, 1, len, file) < len)
		return ferror(file) ? -EIO : -EINVAL;
	return 0;
}

/* Do the @size bytes that follow in the file say @name? */
static bool is_called(FILE *file, size_t size, const char *name)
{
	char buf[256];

	if (size != strlen(name) || size > sizeof(buf))
		return false;
	return fread(buf, 1, size, file) == size && !memcmp(buf, name, size);
}

/* Size of the state: newer images have 64 bits for it in the extra data */
static u64 state_size(FILE *file, const struct qcow2_snapshot *snap)
{
	u64 size = be32toh(snap->state_size);
	__be64 large;

	if (be32toh(snap->extra_size) >= sizeof(large) &&
	    fread(&large, sizeof(large), 1, file) == 1)
		size = be64toh(large);
	return size;
}

/*
 * Find a snapshot by its name or id, or the last one that has the state of a
 * VM if no name is given.
 */
static bool find_snapshot(FILE *file, const struct qcow2_header *h,
			  const char *name, struct qcow2_snapshot *found,
			  u64 *size)
{
	u64 pos = be64toh(h->snapshots_offset), strings, bytes;
	u32 nr = be32toh(h->nb_snapshots), i;
	struct qcow2_snapshot snap;
	bool any = false, called;

	for (i = 0; i < nr && i < MAX_SNAPSHOTS; i++) {
		if (read_at(file, pos, &snap, sizeof(snap)))
			break;
		bytes = state_size(file, &snap);
		strings = pos + sizeof(snap) + be32toh(snap.extra_size);
		pos = strings + be16toh(snap.id_size) +
		      be16toh(snap.name_size);
		called = !name;
		if (name && !fseeko(file, strings, SEEK_SET))
			called = is_called(file, be16toh(snap.id_size), name);
		if (name && !called &&
		    !fseeko(file, strings + be16toh(snap.id_size), SEEK_SET))
			called = is_called(file, be16toh(snap.name_size), name);
		if (called && bytes) {
			*found = snap;
			*size = bytes;
			any = true;
		}
		pos = (pos + 7) & ~7ULL;
	}
	return any;
}

static const char *unsupported(const struct qcow2_header *h)
{
	u32 bits = be32toh(h->cluster_bits);
	u32 version = be32toh(h->version);

	if (version != 2 && version != 3)
		return "its version is neither 2 nor 3";
	if (bits < MIN_CLUSTER_BITS || bits > MAX_CLUSTER_BITS)
		return "its clusters have an impossible size";
	if (h->crypt_method)
		return "it is encrypted";
	if (version == 3 && (be64toh(h->incompatible) &
			     (INCOMPAT_DATA_FILE | INCOMPAT_EXTENDED_L2)))
		return "it has an external data file or extended L2 entries";
	return NULL;
}

static bool read_tables(struct qcow2 *q, const struct qcow2_header *h,
			const struct qcow2_snapshot *snap)
{
	unsigned int covers;

	q->cluster_bits = be32toh(h->cluster_bits);
	q->l1_size = be32toh(snap->l1_size);
	/* An entry of level 1 covers a cluster full of entries of level 2 */
	covers = 2 * q->cluster_bits - 3;
	q->base = be64toh(h->size) >> covers;
	if (be64toh(h->size) & (BIT_ULL(covers) - 1))
		q->base++;
	q->base <<= covers;
	if (q->l1_size > MAX_L1_BYTES / sizeof(*q->l1))
		return false;
	/* Each byte has its place, so there is an end to what is read */
	if (fseeko(q->file, 0, SEEK_END) || q->size > (u64)ftello(q->file))
		return false;
	q->l1 = calloc(q->l1_size, sizeof(*q->l1));
	q->l2 = malloc(BIT_ULL(q->cluster_bits));
	return q->l1 && q->l2 &&
	       !read_at(q->file, be64toh(snap->l1_offset), q->l1,
			q->l1_size * sizeof(*q->l1));
}

/**
 * qcow2_open() - open the state of a VM in an image
 * @file: the image
 * @name: what to call it
 * @snapshot: name or id of the snapshot, NULL for the last one
 *
 * Return: what to read it with, or NULL, with a message printed.
 */
struct qcow2 *qcow2_open(FILE *file, const char *name, const char *snapshot)
{
	struct qcow2_snapshot snap = {};
	struct qcow2_header h = {};
	struct qcow2 *q;
	const char *why;
	u64 size;

	why = read_at(file, 0, &h, sizeof(h)) ? "it is too short" :
						unsupported(&h);
	if (why) {
		msg("can't read the qcow2 image %s: %s", name, why);
		return NULL;
	}
	if (!find_snapshot(file, &h, snapshot, &snap, &size)) {
		msg("%s has no snapshot%s%s with the state of a VM", name,
		    snapshot ? " " : "", snapshot ?: "");
		return NULL;
	}
	q = calloc(1, sizeof(*q));
	if (q) {
		q->file = file;
		q->size = size;
	}
	if (!q || !read_tables(q, &h, &snap)) {
		msg("can't read the tables of the snapshot in %s", name);
		qcow2_close(q);
		return NULL;
	}
	return q;
}

/* Where in the file the cluster of an address is, 0 if it is all zeroes */
static int find_cluster(struct qcow2 *q, u64 addr, u64 *offset)
{
	u64 l1 = addr >> (2 * q->cluster_bits - 3), l2, entry;

	*offset = 0;
	if (l1 >= q->l1_size)
		return -EINVAL;
	l2 = be64toh(q->l1[l1]) & L2_OFFSET;
	if (!l2)
		return 0;
	if (l2 != q->l2_offset) {
		q->l2_offset = 0;
		if (read_at(q->file, l2, q->l2, BIT_ULL(q->cluster_bits)))
			return -EINVAL;
		q->l2_offset = l2;
	}
	entry = be64toh(q->l2[addr >> q->cluster_bits &
			      (BIT_ULL(q->cluster_bits - 3) - 1)]);
	if (entry & L2_COMPRESSED)
		return -EOPNOTSUPP;
	if (!(entry & L2_ZERO))
		*offset = entry & L2_OFFSET;
	return 0;
}

/**
 * qcow2_read() - read from the state of a VM
 * @q: the state
 * @pos: where
 * @to: where to
 * @len: how many bytes at most
 *
 * Return: how many it were, 0 at the end, or a negative errno value.
 */
ssize_t qcow2_read(struct qcow2 *q, u64 pos, void *to, size_t len)
{
	u64 in_cluster, offset, left;
	int err;

	if (pos >= q->size)
		return 0;
	in_cluster = (q->base + pos) & (BIT_ULL(q->cluster_bits) - 1);
	left = BIT_ULL(q->cluster_bits) - in_cluster;
	if (left > q->size - pos)
		left = q->size - pos;
	if (len > left)
		len = left;
	err = find_cluster(q, q->base + pos, &offset);
	if (!err && offset)
		err = read_at(q->file, offset + in_cluster, to, len);
	else
		memset(to, 0, len);
	return err ?: (ssize_t)len;
}

/**
 * qcow2_close() - be done with the state of a VM
 * @q: the state, or NULL
 */
void qcow2_close(struct qcow2 *q)
{
	if (!q)
		return;
	free(q->l1);
	free(q->l2);
	free(q);
}
