// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of an HPTE in one case, with the base kernel's implementation or
 * with ours. The script "time" prints a table of all cases.
 *
 * usage: hpt_time CASE stock|ours ORDER
 *
 * Prints nanoseconds of CPU time and the number of HPTEs: those of the table,
 * those that have changed, or those that were written. The case same-word also
 * prints on stderr where the data is that "time" looks for in a trace.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/file.h>

#include "hpt.h"
#include "fake.h"
#include "stock.h"
#include "stream.h"

#define V	(HPTE_V_VALID | 0x1280)
#define HDR	sizeof(struct kvm_get_htab_header)
#define EVERY	8192
#define RECORD	(HDR + 3 * HPT_STREAM_HPTE)

static struct kvm *kvm;
static unsigned long nr;
static int fd;
static bool ours;
static char buf[65536];

static ssize_t read_some(size_t size)
{
	return ours ? fake_read(fd, buf, size, size) : stock_read(buf, size);
}

static ssize_t write_some(void *from, size_t size)
{
	return ours ? fake_write(fd, from, size, size) :
		      stock_write(from, size);
}

/* Fill the first slots of each group with HPTEs in which R and C are set */
static void fill(unsigned int of_eight)
{
	__be64 *hpte = (__be64 *)kvm->arch.hpt.virt;
	unsigned long i, r = HPTE_R_M | HPTE_R_R | HPTE_R_C;

	for (i = 0; i < nr; i++) {
		if (i % 8 >= of_eight)
			continue;
		hpte[2 * i] = cpu_to_be64(V);
		hpte[2 * i + 1] = cpu_to_be64(r | i % 512 << PAGE_SHIFT);
		kvm->arch.hpt.rev[i].guest_rpte = r | i % 512 << PAGE_SHIFT;
		kvmppc_hpt_use(&kvm->arch.hpt, i);
	}
}

static void open_reader(void)
{
	if (ours)
		fd = fake_open(kvm, 0, 0);
	else
		stock_open(kvm);
}

/* A first pass; returns the number of HPTEs */
static unsigned long first_pass(size_t size)
{
	struct stream_record rec = { };
	unsigned long hptes = 0;
	ssize_t len, pos;

	while (hptes < nr) {
		len = read_some(size);
		for (pos = 0; pos < len; pos += rec.bytes) {
			stream_record(buf + pos, len - pos, nr, &rec);
			hptes += rec.hptes;
		}
	}
	return hptes;
}

static void setup_empty(void)
{
	/* Allocate the memory now, for both implementations */
	memset((void *)kvm->arch.hpt.virt, 0, nr * 16);
	memset(kvm->arch.hpt.rev, 0, nr * sizeof(*kvm->arch.hpt.rev));
	open_reader();
}

static void setup_full(void)
{
	fill(8);
	open_reader();
}

static void setup_three(void)
{
	fill(3);
	open_reader();
}

static void setup_later(void)
{
	fill(8);
	open_reader();
	first_pass(sizeof(buf));
}

static void setup_changed(void)
{
	unsigned long i;

	setup_later();
	for (i = 0; i < nr; i += EVERY) {
		if (ours)
			kvmppc_hpt_mark(kvm, &kvm->arch.hpt.rev[i], i);
		else
			kvm->arch.hpt.rev[i].guest_rpte |= HPTE_GR_MODIFIED;
	}
}

static void setup_write(void)
{
	setup_empty();
	if (ours) {
		shim_close(fd);
		fd = fake_open(kvm, KVM_GET_HTAB_WRITE, 0);
	}
}

static noinline unsigned long read_2k(void)
{
	return first_pass(2048);
}

static noinline unsigned long read_64k(void)
{
	return first_pass(65536);
}

static noinline unsigned long read_three(void)
{
	return first_pass(2048) / 8 * 3;
}

/* Stock returns 0 at the end of the table, ours after a whole circle */
static noinline unsigned long later_pass(void)
{
	while (read_some(2048))
		;
	return nr;
}

static noinline unsigned long changed_pass(void)
{
	unsigned long hptes = 0;
	ssize_t len;

	do {
		len = read_some(2048);
		hptes += len / HPT_RECORD_MIN;
	} while (hptes < nr / EVERY);
	return hptes;
}

static size_t make_record(char *to, unsigned long index)
{
	struct kvm_get_htab_header hdr = { index, 3, 5 };
	__be64 hpte[2];
	unsigned int i;

	memcpy(to, &hdr, HDR);
	for (i = 0; i < hdr.n_valid; i++) {
		hpte[0] = cpu_to_be64(V);
		hpte[1] = cpu_to_be64(FAKE_MMIO | HPTE_R_M);
		memcpy(to + HDR + i * sizeof(hpte), hpte, sizeof(hpte));
	}
	return RECORD;
}

static noinline unsigned long write_one(void)
{
	unsigned long index;
	char record[RECORD];

	for (index = 0; index < nr; index += 8) {
		make_record(record, index);
		BUG_ON(write_some(record, RECORD) != RECORD);
	}
	return nr / 8 * 3;
}

static noinline unsigned long write_many(void)
{
	unsigned long index;
	size_t len = 0;

	for (index = 0; index < nr; index += 8) {
		len += make_record(buf + len, index);
		if (len + RECORD <= sizeof(buf) && index + 8 < nr)
			continue;
		BUG_ON(write_some(buf, len) != len);
		len = 0;
	}
	return nr / 8 * 3;
}

/* A store to one of these shows in a trace which CPU runs from here on */
enum { VCPUS = 4, READER = VCPUS, NOBODY, TURNS };
static char turn[TURNS];

/*
 * Vcpus take turns: each changes all HPTEs of its groups, which have their bits
 * in the same word of the bitmap. Then a reader reports the changes.
 */
static unsigned long same_word(void)
{
	unsigned long round, i, index = 0;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < BITS_PER_LONG * HPT_GROUP_HPTES; i++) {
			index = i % VCPUS * BITS_PER_LONG / VCPUS *
				HPT_GROUP_HPTES + i / VCPUS;
			WRITE_ONCE(turn[i % VCPUS], round);
			if (ours)
				kvmppc_hpt_mark(kvm, &kvm->arch.hpt.rev[index],
						index);
			else
				kvm->arch.hpt.rev[index].guest_rpte |=
					HPTE_GR_MODIFIED;
		}
		WRITE_ONCE(turn[READER], round);
		while (read_some(2048))
			;
		WRITE_ONCE(turn[NOBODY], round);
	}
	fprintf(stderr, "turn %p %d\nreverse map %p %zu\n", turn, TURNS,
		kvm->arch.hpt.rev, nr * sizeof(*kvm->arch.hpt.rev));
	if (ours)
		fprintf(stderr, "bitmap %p %lu\n",
			kvm->arch.hpt.groups->chunk[0].visit, nr / 64);
	return i;
}

static const struct {
	const char *name;
	void (*setup)(void);
	unsigned long (*run)(void);
} cases[] = {
	{ "idle", setup_later, later_pass },
	{ "changed", setup_changed, changed_pass },
	{ "empty", setup_empty, read_2k },
	{ "full", setup_full, read_2k },
	{ "full-64k", setup_full, read_64k },
	{ "three", setup_three, read_three },
	{ "write", setup_write, write_one },
	{ "write-many", setup_write, write_many },
	{ "same-word", setup_later, same_word },
};

int main(int argc, char **argv)
{
	struct timespec begin, end;
	unsigned long hptes;
	unsigned int i;

	for (i = 0; argc == 4 && i < ARRAY_SIZE(cases); i++)
		if (!strcmp(argv[1], cases[i].name))
			break;
	if (argc != 4 || i == ARRAY_SIZE(cases)) {
		fprintf(stderr, "usage: hpt_time CASE stock|ours ORDER\n");
		return 2;
	}
	ours = !strcmp(argv[2], "ours");
	kvm = fake_vm();
	BUG_ON(fake_allocate_hpt(kvm, atoi(argv[3])));
	nr = 1ul << (atoi(argv[3]) - 4);
	cpu_features |= CPU_FTR_ARCH_300;

	cases[i].setup();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	hptes = cases[i].run();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	printf("%ld %lu\n", (end.tv_sec - begin.tv_sec) * 1000000000 +
	       end.tv_nsec - begin.tv_nsec, hptes);
	return 0;
}
