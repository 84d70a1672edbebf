// SPDX-License-Identifier: GPL-2.0
/*
 * Write a stream of so many MiB, for tests/speed: its HPTEs are in the groups
 * that their addresses hash to, and no two translate the same page.
 *
 *	speed-stream KIND MIB >FILE
 */
#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE		4096
#define RAM_PAGE	0x08
#define RAM_EOS		0x10
#define RAM_CONTINUE	0x20

/**
 * struct kind - a kind of stream
 * @name: what it is called
 * @valid: valid HPTEs of a record
 * @invalid: invalid ones
 * @later: records of another pass follow the first one, with gaps
 * @qemu: they are in a migration stream of QEMU's
 */
struct kind {
	const char *name;
	unsigned int valid;
	unsigned int invalid;
	int later;
	int qemu;
};

static const struct kind kinds[] = {
	{ "qemu", 0, 1 << 14, 0, 1 },
	{ "htab", 4, 4, 0, 1 },
	{ "long", 65535, 0, 0, 0 },
	{ "runs", 4, 4, 0, 0 },
	{ "short", 1, 1, 0, 0 },
	{ "later", 1, 0, 1, 0 },
	{ "removed", 0, 1, 1, 0 },
};

static void put(uint64_t number, unsigned int bytes)
{
	while (bytes--)
		putchar_unlocked(number >> 8 * bytes & 0xff);
}

/* In a base page of 4K the low 11 bits of the hash are not in the HPTE */
static void put_hpte(uint64_t index)
{
	uint64_t group = index >> 3;
	uint64_t vsid = (group & ~0x7ffULL) | (index & 0x7ff);
	uint64_t hpte[2] = { htobe64(vsid << 12 | 1),
			     htobe64((index & 0xffffff) << 12 | 0x190) };

	fwrite(hpte, sizeof(hpte), 1, stdout);
}

static void put_record(const struct kind *kind, uint64_t index,
		       unsigned int valid, unsigned int invalid)
{
	struct { uint32_t index; uint16_t valid, invalid; } head = {
		htole32(index), htole16(valid), htole16(invalid) };

	if (kind->qemu) {
		head.index = htobe32(index);
		head.valid = htobe16(valid);
		head.invalid = htobe16(invalid);
	}
	fwrite(&head, sizeof(head), 1, stdout);
	while (valid--)
		put_hpte(index++);
}

static uint64_t record_bytes(const struct kind *kind)
{
	return 8 + 16ULL * kind->valid;
}

/* HPTEs of the HPT of which the first pass has so many bytes */
static uint64_t nr_hptes(const struct kind *kind, uint64_t bytes)
{
	unsigned int n = kind->valid + kind->invalid;
	uint64_t hptes = 1ULL << 14;

	while (kind->valid && !kind->later && hptes < 1ULL << 32 &&
	       hptes / n * record_bytes(kind) < bytes)
		hptes *= 2;
	return hptes;
}

static uint64_t put_later(const struct kind *kind, uint64_t bytes, uint64_t hptes)
{
	uint64_t index, records = 1;

	put_record(kind, 0, 0, hptes);
	while (bytes > record_bytes(kind)) {
		for (index = 1; index < hptes && bytes > record_bytes(kind);
		     index += 3) {
			put_record(kind, index, kind->valid, kind->invalid);
			bytes -= record_bytes(kind);
			records++;
		}
	}
	return records;
}

/* The first pass of an HPT in which that fits, or what has changed since */
static uint64_t put_records(const struct kind *kind, uint64_t bytes)
{
	uint64_t hptes = nr_hptes(kind, bytes), index, records = 0;
	unsigned int n = kind->valid + kind->invalid, valid;

	if (kind->later)
		return put_later(kind, bytes, hptes);
	for (index = 0; index < hptes; index += n, records++) {
		if (n > hptes - index)
			n = hptes - index;
		valid = kind->valid < n ? kind->valid : n;
		put_record(kind, index, valid, n - valid);
	}
	return records;
}

/*
 * A migration stream of QEMU's, with RAM that is sent page by page: nearly all of
 * it if the HPT has no valid HPTE.
 */
static uint64_t put_qemu(const struct kind *kind, uint64_t bytes)
{
	static char page[PAGE];
	uint64_t pages = kind->valid ? 1 : bytes / (PAGE + 8), i, records;

	memset(page, 0x5a, sizeof(page));
	fputs("QEVM", stdout);
	put(3, 4);
	put(1, 1);			/* a section begins */
	put(2, 4);
	put(3, 1);
	fputs("ram", stdout);
	put(0, 4);
	put(4, 4);
	put(pages * PAGE | 0x04, 8);
	put(11, 1);
	fputs("ppc_spapr.r", stdout);
	put(pages * PAGE, 8);
	put(RAM_EOS, 8);
	put(0x7e, 1);
	put(2, 4);
	put(1, 1);
	put(3, 4);
	put(10, 1);
	fputs("spapr/htab", stdout);
	put(0, 4);
	put(1, 4);
	put(__builtin_ctzll(nr_hptes(kind, bytes)) + 4, 4);
	put(0x7e, 1);
	put(3, 4);
	put(3, 1);			/* the rest of RAM, in one section */
	put(2, 4);
	for (i = 0; i < pages; i++) {
		put(i * PAGE | RAM_PAGE | (i ? RAM_CONTINUE : 0), 8);
		if (!i) {
			put(11, 1);
			fputs("ppc_spapr.r", stdout);
		}
		fwrite(page, sizeof(page), 1, stdout);
	}
	put(RAM_EOS, 8);
	put(0x7e, 1);
	put(2, 4);
	put(3, 1);			/* that of the HPT ends */
	put(3, 4);
	put(0, 4);
	records = put_records(kind, bytes);
	put(0, 8);
	put(0x7e, 1);
	put(3, 4);
	put(0, 1);
	return records;
}

int main(int argc, char **argv)
{
	uint64_t bytes = argc > 2 ? strtoull(argv[2], NULL, 0) << 20 : 0;
	const struct kind *kind = kinds, *end = kinds + sizeof(kinds) / sizeof(*kinds);

	while (bytes && kind < end && strcmp(argv[1], kind->name))
		kind++;
	if (!bytes || kind == end)
		return 2;
	fprintf(stderr, "%llu\n", (unsigned long long)
		(kind->qemu ? put_qemu : put_records)(kind, bytes));
	return fflush(stdout) || ferror(stdout);
}
