/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM with a hashed page table (HPT) and little else, and what tests of
 * KVM_PPC_GET_HTAB_FD do to it.
 *
 * Unless said otherwise functions return 0 or a negative errno.
 */
#ifndef SELFTEST_KVM_POWERPC_HPT_VM_H
#define SELFTEST_KVM_POWERPC_HPT_VM_H

#include <stdbool.h>
#include <stddef.h>

#include "hpt.h"

struct vm {
	int kvm;
	int fd;
	int wfd;		/* opened by the first write */
	int kmsg;		/* stands where the log ended at vm_init() */
	bool radix;		/* it can be switched to radix and back */
	char *mem;		/* guest real address 0, 16M aligned */
	size_t mem_size;
	char *map;		/* that is in here */
	size_t map_size;
};

/* order == 0: no HPT; mem_size == 0: no guest memory */
int vm_init(struct vm *vm, unsigned int order, size_t mem_size);
/* How many lines the kernel logged since vm_init(), those at the end too */
int vm_free(struct vm *vm);
int vm_memslot(struct vm *vm, unsigned int slot, unsigned long gpa,
	       void *host, size_t size, unsigned int flags);
int vm_alloc_hpt(struct vm *vm, unsigned int order);
int vm_set_radix(struct vm *vm, bool radix);
int vm_resize_prepare(struct vm *vm, unsigned int order);
int vm_resize_commit(struct vm *vm, unsigned int order);
/* Waits until it can be committed */
int vm_resize_ready(struct vm *vm, unsigned int order);
int vm_resize(struct vm *vm, unsigned int order);
/* A new file descriptor, or a negative errno */
int vm_htab_fd(struct vm *vm, unsigned long flags, unsigned long start_index);
/* How many lines the kernel logged since vm_init(); the first are shown */
int vm_kernel_log(struct vm *vm);

/*
 * One record to one write(), which all kernels with this ABI take.  The HPTEs
 * are those of hpte_at().
 */
int vm_write_run(struct vm *vm, unsigned long index, unsigned int n_valid,
		 unsigned int n_invalid);
int vm_write_hpte(struct vm *vm, unsigned long index, struct hpte e);
int vm_invalidate(struct vm *vm, unsigned long index, unsigned int n);
/* Write @n HPTEs at @index to the HPT, and to @want what is then expected */
int vm_enter(struct vm *vm, struct table *want, unsigned long index,
	     unsigned int n);
/* The VRMA's HPTEs for the 64K at @gpa: they make the MMU ready */
int vm_write_vrma(struct vm *vm, unsigned long npte, unsigned long gpa,
		  unsigned long rc);

/* Fill @t from a new reader: the number of HPTEs reported */
long table_dump(struct table *t, struct vm *vm, unsigned long flags);

/* Is what is @offset into its memslot in what KVM_GET_DIRTY_LOG said? */
bool in_dirty_log(const unsigned char *bitmap, unsigned long offset);

#endif
