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
 */
struct kind {
	const char *name;
	unsigned int valid;
	unsigned int invalid;
	int later;
};

static const struct kind kinds[] = {
	{ "short", 1, 1, 0 },
	{ "runs", 4, 4, 0 },
	{ "long", 65535, 0, 0 },
	{ "later", 1, 0, 1 },
	{ "removed", 0, 1, 1 },
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

static void put_record(uint64_t index, unsigned int valid,
		       unsigned int invalid)
{
	struct { uint32_t index; uint16_t valid, invalid; } head = {
		htole32(index), htole16(valid), htole16(invalid) };

	fwrite(&head, sizeof(head), 1, stdout);
	while (valid--)
		put_hpte(index++);
}

/* The first pass of an HPT in which that fits, and what has changed since */
static uint64_t put_records(const struct kind *kind, uint64_t bytes)
{
	unsigned int n = kind->valid + kind->invalid, valid;
	uint64_t hptes = 1ULL << 14, index, records = 0;
	uint64_t record = 8 + 16ULL * kind->valid;

	if (kind->later)
		for (index = 0; index < hptes; index += 1 << 14, records++)
			put_record(index, 0, 1 << 14);
	while (!kind->later && hptes / n * record < bytes && hptes < 1ULL << 32)
		hptes *= 2;
	for (index = 0; !kind->later && index < hptes; index += n, records++) {
		if (n > hptes - index)
			n = hptes - index;
		valid = kind->valid < n ? kind->valid : n;
		put_record(index, valid, n - valid);
	}
	while (kind->later && bytes > record) {
		for (index = 1; index < hptes && bytes > record; index += 3) {
			put_record(index, kind->valid, kind->invalid);
			bytes -= record;
			records++;
		}
	}
	return records;
}

/* A migration stream of QEMU's, with RAM that is sent page by page */
static uint64_t put_qemu(uint64_t bytes)
{
	static char page[PAGE];
	uint64_t pages = bytes / (PAGE + 8), i;

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
	put(18, 4);
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
	put(0, 4);
	put(0, 2);
	put(1 << 14, 2);
	put(0, 8);
	put(0x7e, 1);
	put(3, 4);
	put(0, 1);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t bytes = argc > 2 ? strtoull(argv[2], NULL, 0) << 20 : 0;
	unsigned int i;

	if (!bytes)
		return 2;
	if (!strcmp(argv[1], "qemu"))
		fprintf(stderr, "%llu\n", (unsigned long long)put_qemu(bytes));
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(argv[1], kinds[i].name))
			fprintf(stderr, "%llu\n", (unsigned long long)
				put_records(&kinds[i], bytes));
	return fflush(stdout) || ferror(stdout);
}
