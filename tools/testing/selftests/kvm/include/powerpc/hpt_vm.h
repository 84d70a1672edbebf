/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A minimal VM with a hashed page table (HPT), and the operations that tests of
 * KVM_PPC_GET_HTAB_FD need.
 *
 * Unless noted otherwise, functions return 0 or a negative errno.
 */
#ifndef SELFTEST_KVM_POWERPC_HPT_VM_H
#define SELFTEST_KVM_POWERPC_HPT_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "hpt.h"

/* Seconds that a test may need in an emulator on a busy machine */
#ifdef TEST_TIMEOUT_DEFAULT
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	240
#endif

struct vm {
	int kvm;
	int fd;
	int wfd;		/* opened by the first write */
	int kmsg;		/* positioned at the log's end in vm_init() */
	bool radix;		/* can be switched to radix and back */
	char *mem;		/* guest real address 0, 16M aligned */
	size_t mem_size;
	char *map;		/* the mapping that contains mem */
	size_t map_size;
};

/* order == 0: no HPT; mem_size == 0: no guest memory */
int vm_init(struct vm *vm, unsigned int order, size_t mem_size);
/* Returns the number of lines logged from vm_init() to the end of the VM */
int vm_free(struct vm *vm);
int vm_memslot(struct vm *vm, unsigned int slot, unsigned long gpa,
	       void *host, size_t size, unsigned int flags);
int vm_enable_cap(struct vm *vm, __u32 what, __u64 arg, __u64 arg2);
int vm_alloc_hpt(struct vm *vm, unsigned int order);
int vm_set_radix(struct vm *vm, bool radix);
int vm_resize_prepare(struct vm *vm, unsigned int order);
int vm_resize_commit(struct vm *vm, unsigned int order);
/* Wait until the resize can be committed */
int vm_resize_ready(struct vm *vm, unsigned int order);
int vm_resize(struct vm *vm, unsigned int order);
/* A new file descriptor, or a negative errno */
int vm_htab_fd(struct vm *vm, unsigned long flags, unsigned long start_index);
/* Returns the number of lines logged since vm_init() and prints the first */
int vm_kernel_log(struct vm *vm);

/*
 * Write one record in one write(), which works on all kernels with this ABI.
 * The HPTEs are those of hpte_at().
 */
int vm_write_run(struct vm *vm, unsigned long index, unsigned int n_valid,
		 unsigned int n_invalid);
int vm_write_hpte(struct vm *vm, unsigned long index, struct hpte e);
int vm_invalidate(struct vm *vm, unsigned long index, unsigned int n);
/* Write @n HPTEs at @index to the HPT, and add them to @want */
int vm_enter(struct vm *vm, struct table *want, unsigned long index,
	     unsigned int n);
/* Write the VRMA's HPTEs for the 64K at @gpa, which makes the MMU ready */
int vm_write_vrma(struct vm *vm, unsigned long npte, unsigned long gpa,
		  unsigned long rc);

/* Fill @t from a new reader; returns the number of HPTEs reported */
long table_dump(struct table *t, struct vm *vm, unsigned long flags);

/* Is the page at @offset in its memslot in a bitmap of KVM_GET_DIRTY_LOG? */
bool in_dirty_log(const unsigned char *bitmap, unsigned long offset);

/*
 * A process that can be killed while it calls @fn.  It has the memory of the
 * test, since KVM accepts ioctls of a VM only from its own mm.
 */
struct victim {
	void *(*fn)(void *arg);
	void *arg;
	char *stack;
	bool begun;
	pid_t pid;
};

/* Returns when the process is about to call @fn */
int victim_start(struct victim *v, void *(*fn)(void *arg), void *arg);
/* Returns when the process is dead */
int victim_kill(struct victim *v);

/* Write @value to a file in procfs, debugfs or the like */
int host_set(const char *path, const char *value);
/* The value of @name in /proc/meminfo in KiB, or -1 */
long host_kib(const char *name);

#endif
