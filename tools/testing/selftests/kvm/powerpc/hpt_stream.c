// SPDX-License-Identifier: GPL-2.0
/*
 * Transfer a stream from one kernel to another:
 *
 *	hpt_stream dump FILE
 *	hpt_stream load FILE
 *
 * The first creates a VM with HPTEs of all kinds and reads its HPT into FILE.
 * The second writes FILE to the HPT of a new VM and reads the HPT back.  Both
 * compare what they read with the expected HPTEs.  To check that a kernel
 * accepts the streams of another one, dump on one and load on the other; both
 * must have the same page size.
 *
 * Records are written one by one, as QEMU has always done it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kselftest.h"
#include "hpt_vm.h"

#define ORDER	MIN_ORDER
#define N	NPTE(ORDER)

/* Guest memory: the host has allocated half of slot 0, and nothing of slot 1 */
#define MEM		PAGE_16M
#define SLOT1_GPA	0x4000000UL

/* Base and actual page sizes, as encoded in dword 1 of an HPTE */
static const unsigned long page_sizes[] = {
	0x00000,	/* 16M */
	0x01000,	/* 64K */
	0x03000,	/* 16G */
	0x07000,	/* 64K in a segment of 4K */
	0x08000,	/* 16M in a segment of 64K */
	0x38000,	/* 16M in a segment of 4K */
};

static const unsigned long protections[] = {
	0, 1, 2, 3, HPTE_R_PP0 | 2, HPTE_R_N, HPTE_R_KEY_LO, HPTE_R_KEY_HI | 1,
};

/* An HPTE for memory that is present or absent, or for emulated MMIO */
static struct hpte kind(unsigned long i)
{
	unsigned long size = page_sizes[i % ARRAY_SIZE(page_sizes)];
	struct hpte e = hpte_at(i);
	unsigned long gpa;

	e.v &= ~(HPTE_V_LARGE | HPTE_V_BOLTED);
	if (i & 1)
		e.v |= HPTE_V_BOLTED;
	if (i & 2)
		e.v |= HPTE_V_1TB;
	if (i % 5 == 0)
		e.v |= HPTE_V_SECONDARY;
	if (i % 4)
		e.v |= HPTE_V_LARGE;

	if (i % 4 == 0)
		gpa = i % 3 ? i * 0x1000 % MEM : GPA_MMIO + i * 0x1000;
	else if (size == HPTE_R_LP_64K)
		gpa = i % 3 && mem_shift() == 16 ? i * PAGE_64K % MEM :
						   GPA_MMIO + i * PAGE_64K;
	else if (size == 0)
		gpa = i % 3 ? SLOT1_GPA : GPA_MMIO + i * PAGE_16M;
	else
		gpa = GPA_MMIO;
	e.r = gpa | (i % 4 ? size : 0) | HPTE_R_M |
	      protections[i % ARRAY_SIZE(protections)];
	if (i & 8)
		e.r |= HPTE_R_R;
	if (i & 16)
		e.r |= HPTE_R_C;
	return e;
}

/* Runs and gaps of growing length, including the first and the last HPTE */
static void expected(struct table *t)
{
	unsigned long i, run, end;

	for (i = 0, run = 1; i < N - 300; i = end + run, run++)
		for (end = i; end < i + run; end++)
			table_set(t, end, kind(end));
	table_set(t, N - 1, kind(N - 1));
	table_set_vrma(t, N, 0, HPTE_R_RC);
}

static int make_vm(struct vm *vm)
{
	char *slot1;
	int err;

	err = vm_init(vm, ORDER, MEM);
	if (err)
		return err;
	memset(vm->mem, 1, MEM / 2);
	slot1 = mmap(NULL, 2 * PAGE_16M, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slot1 == MAP_FAILED)
		return -errno;
	slot1 += -(unsigned long)slot1 & (PAGE_16M - 1);
	return vm_memslot(vm, 1, SLOT1_GPA, slot1, PAGE_16M, 0);
}

static int enter_all(struct vm *vm, struct table *t)
{
	unsigned long i;
	int err = 0;

	for (i = 0; i < t->npte && !err; i++)
		if (t->hpte[i].v)
			err = vm_write_hpte(vm, i, t->hpte[i]);
	return err;
}

/* Read the HPT into @t, and into @f if that is not NULL */
static int read_all(struct vm *vm, struct table *t, FILE *f)
{
	char buf[4096];
	int fd, err = 0;
	ssize_t n;

	fd = vm_htab_fd(vm, 0, 0);
	if (fd < 0)
		return fd;
	while (!err) {
		n = read(fd, buf, sizeof(buf));
		if (n < 0)
			err = -errno;
		if (n <= 0)
			break;
		if (f && fwrite(buf, n, 1, f) != 1)
			err = -EIO;
		if (table_apply(t, buf, n) < 0)
			err = -EBADMSG;
	}
	close(fd);
	return err;
}

static int write_all(struct vm *vm, FILE *f)
{
	static unsigned char rec[REC_BYTES + 65535 * HPTE_BYTES];
	struct kvm_get_htab_header h;
	int fd, err = 0;
	size_t size;

	fd = vm_htab_fd(vm, KVM_GET_HTAB_WRITE, 0);
	if (fd < 0)
		return fd;
	while (!err && fread(&h, sizeof(h), 1, f) == 1) {
		size = h.n_valid * HPTE_BYTES;
		memcpy(rec, &h, sizeof(h));
		if (size && fread(rec + sizeof(h), size, 1, f) != 1)
			err = -EBADMSG;
		else if (stream_write(fd, rec, sizeof(h) + size) !=
			 (ssize_t)(sizeof(h) + size))
			err = -EIO;
	}
	close(fd);
	return err;
}

int main(int argc, char **argv)
{
	struct table want, got;
	struct vm vm;
	bool dump;
	FILE *f;

	dump = argc == 3 && !strcmp(argv[1], "dump");
	if (!dump && !(argc == 3 && !strcmp(argv[1], "load"))) {
		fprintf(stderr, "usage: hpt_stream dump|load FILE\n");
		return KSFT_FAIL;
	}
	f = fopen(argv[2], dump ? "w" : "r");
	if (!f) {
		fprintf(stderr, "hpt_stream: can't open %s: %s\n", argv[2],
			strerror(errno));
		return KSFT_FAIL;
	}

	ksft_print_header();
	ksft_set_plan(3);
	if (table_init(&want, N) || table_init(&got, N) || make_vm(&vm))
		ksft_exit_fail_msg("cannot create a VM\n");
	expected(&want);
	if (dump) {
		ksft_test_result(!enter_all(&vm, &want), "enters\n");
		ksft_test_result(!read_all(&vm, &got, f), "dumps\n");
	} else {
		ksft_test_result(!write_all(&vm, f), "loads\n");
		ksft_test_result(!read_all(&vm, &got, NULL), "dumps again\n");
	}
	ksft_test_result(!table_diff(&want, &got), "is as expected\n");
	if (fclose(f))
		ksft_exit_fail_msg("%s is not complete\n", argv[2]);
	vm_free(&vm);
	ksft_finished();
}
