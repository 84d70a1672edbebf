/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The hashed page table (HPT) of a Book3S HV guest as KVM_PPC_GET_HTAB_FD
 * presents it: HPTEs, streams of records to write, and a replica of the HPT
 * that is updated from what is read.  This code handles only buffers and file
 * descriptors, so it works with any VM library.
 *
 * Unless noted otherwise, functions return 0 or a negative errno.  HPTEs are in
 * the CPU's byte order; only streams are big-endian.
 */
#ifndef SELFTEST_KVM_POWERPC_HPT_H
#define SELFTEST_KVM_POWERPC_HPT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <linux/kvm.h>

/* First doubleword of an HPTE, in the layout used before ISA v3.0 */
#define HPTE_V_1TB		0x4000000000000000UL
#define HPTE_V_BOLTED		0x10UL
#define HPTE_V_LARGE		0x04UL
#define HPTE_V_SECONDARY	0x02UL
#define HPTE_V_VALID		0x01UL
/* Bits that KVM uses internally */
#define HPTE_V_SOFT		0x60UL

/* Second doubleword */
#define HPTE_R_PP0		0x8000000000000000UL
#define HPTE_R_RPN		0x0ffffffffffff000UL
#define HPTE_R_KEY_HI		0x3000000000000000UL
#define HPTE_R_KEY_LO		0xe00UL
#define HPTE_R_R		0x100UL
#define HPTE_R_C		0x080UL
#define HPTE_R_RC		(HPTE_R_R | HPTE_R_C)
#define HPTE_R_M		0x010UL
#define HPTE_R_N		0x004UL
#define HPTE_R_PP		0x003UL
#define HPTE_R_SOFT		0x4000000000000000UL

/* Encoding in dword 1 of a base and actual page size of 64K */
#define HPTE_R_LP_64K		0x1000UL

#define HPTE_BYTES		16UL
#define REC_BYTES		sizeof(struct kvm_get_htab_header)
#define MIN_READ		(REC_BYTES + HPTE_BYTES)

/* The smallest HPT that KVM allocates */
#define MIN_ORDER		18
#define NPTE(order)		(0x4000UL << ((order) - MIN_ORDER))

#define PAGE_4K			0x1000UL
#define PAGE_64K		0x10000UL
#define PAGE_16M		0x1000000UL

/* Guest real addresses without memory: their HPTEs are for emulated MMIO */
#define GPA_MMIO		0x10000000000UL

struct hpte {
	unsigned long v;
	unsigned long r;
};

/* A valid HPTE that depends on @index: MMIO, 4K or 64K, every third bolted */
struct hpte hpte_at(unsigned long index);

/* A stream to be written */
struct stream {
	unsigned char *buf;
	size_t len;
	size_t size;
};

int stream_init(struct stream *s, size_t size);
void stream_free(struct stream *s);
void stream_header(struct stream *s, unsigned int index,
		   unsigned int n_valid, unsigned int n_invalid);
void stream_hpte(struct stream *s, struct hpte e);
/* A whole record with the HPTEs of hpte_at() */
void stream_run(struct stream *s, unsigned int index, unsigned int n_valid,
		unsigned int n_invalid);
/* write(), but returns the negative errno on failure */
ssize_t stream_write(int fd, const void *buf, size_t len);

/*
 * @good bytes of accessible memory, followed by @bad bytes that cannot be
 * accessed (with PROT_READ: cannot be written).  edge_at() returns the address
 * @n bytes before the inaccessible part.
 */
struct edge {
	unsigned char *map;
	size_t good;
	size_t bad;
};

int edge_init(struct edge *e, size_t good, size_t bad, int prot);
void edge_free(struct edge *e);
unsigned char *edge_at(struct edge *e, size_t n);

/* A replica of the HPT, as the destination of a migration has it */
struct table {
	unsigned long npte;
	struct hpte *hpte;		/* v == 0: invalid */
	unsigned int *seen;		/* how often each was reported */
	unsigned long soft_bits;	/* HPTEs with KVM's internal bits set */
	unsigned long n_valid;		/* HPTEs reported as valid */
	unsigned long n_invalid;
	unsigned long first_index;	/* of the latest buffer */
};

int table_init(struct table *t, unsigned long npte);
void table_free(struct table *t);
/* Reset the counters in @seen, but keep the HPTEs */
void table_unsee(struct table *t);
void table_set(struct table *t, unsigned long index, struct hpte e);
void table_set_run(struct table *t, unsigned long index, unsigned int n);
/* How many HPTEs of a range were reported; how many of all exactly once */
unsigned long table_seen(struct table *t, unsigned long from, unsigned long to);
unsigned long table_seen_once(struct table *t);

/*
 * Apply @len bytes that were read.  Returns the number of HPTEs reported, or
 * -EBADMSG if the bytes are not whole, well-formed records.
 */
long table_apply(struct table *t, const void *buf, size_t len);
/* Apply one read() of @size bytes; returns the result of read() */
ssize_t table_read(struct table *t, int fd, size_t size);
/*
 * read() with a buffer of @size until it returns 0.  Returns the number of
 * HPTEs reported, or -ELOOP if too many reads return more than 0.
 */
long table_drain(struct table *t, int fd, size_t size);
/* Returns the number of HPTEs that differ and prints the first few */
unsigned long table_diff(struct table *want, struct table *got);

/*
 * log2 of the page size with which guest memory is mapped: 64K, or 4K if the
 * host has 4K pages, since an HPTE's page cannot be larger than the host's.
 */
unsigned int mem_shift(void);
/* Change @e, an HPTE for a 4K page, to that page size */
struct hpte mem_sized(struct hpte e);
/* A valid HPTE that depends on @index, for guest memory at @gpa */
struct hpte mem_hpte(unsigned long index, unsigned long gpa);

/* The VRMA's HPTE for the page of guest memory at @gpa */
unsigned long vrma_index(unsigned long npte, unsigned long gpa);
struct hpte vrma_hpte(unsigned long gpa, unsigned long rc);
/* The number of VRMA HPTEs that map 64K of guest memory */
unsigned int vrma_count(void);
void table_set_vrma(struct table *t, unsigned long npte, unsigned long gpa,
		    unsigned long rc);
void stream_vrma(struct stream *s, unsigned long npte, unsigned long gpa,
		 unsigned long rc);

#endif
