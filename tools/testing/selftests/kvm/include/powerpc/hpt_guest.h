/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest whose vcpus do one thing at a time: a hypercall, a load, a store, or
 * spinning until they are stopped.  It runs in the host's byte order and in
 * real mode, that is, through the VRMA.  Loads and stores can be done with
 * address translation for data, through an SLB entry and an HPTE.
 */
#ifndef SELFTEST_KVM_POWERPC_GUEST_H
#define SELFTEST_KVM_POWERPC_GUEST_H

#include <pthread.h>
#include <stdbool.h>

#include "hpt_vm.h"

/* Hypercalls of PAPR, their flags and their results */
#define H_REMOVE		0x04
#define H_ENTER			0x08
#define H_READ			0x0c
#define H_CLEAR_MOD		0x10
#define H_CLEAR_REF		0x14
#define H_PROTECT		0x18
#define H_BULK_REMOVE		0x124

#define H_EXACT			0x0000008000000000UL
#define H_READ_4		0x0000002000000000UL
#define H_BULK_REQUEST		0x4000000000000000UL
#define H_BULK_DONE		0x8000000000000000UL
#define H_BULK_END		0xc000000000000000UL

#define H_SUCCESS		0
#define H_PTEG_FULL		(-6)
#define H_NOT_FOUND		(-7)

/* Effective addresses that a guest can use with translation on */
#define GUEST_EA		0x100000000000UL
#define GUEST_VSID		0x123456UL

/* SF, ME and, on a little-endian host, LE; then with data translation */
#define GUEST_MSR		(0x8000000000001000UL | \
				 (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__))
#define GUEST_MSR_DR		(GUEST_MSR | 0x10UL)

struct guest {
	struct vm *vm;
	struct kvm_run *run;
	size_t run_size;
	int fd;
	unsigned long ret[9];		/* hypercall results in r4 to r12 */
	pthread_t spinner;
	bool spinning;
	int spin_result;
};

/*
 * @own_vrma: write an HPTE for guest page 0, which holds the code, as a VMM
 * does when it restores a guest.  Otherwise KVM maps all of slot 0 at the first
 * KVM_RUN.
 */
int guest_init(struct guest *g, struct vm *vm, bool own_vrma);
/* Add a vcpu to a VM that guest_init() has prepared */
int guest_init_vcpu(struct guest *g, struct vm *vm, unsigned int id);
void guest_free(struct guest *g);
/*
 * Replace the memory at guest real address 0 by @size bytes, of which only the
 * first 64 KiB, with the guest's code, are touched. Returns NULL on failure.
 */
char *guest_sparse_memory(struct vm *vm, size_t size);

/* Get or set a register by its id; returns 0 or -errno */
int guest_get_reg(struct guest *g, unsigned long id, void *value);
int guest_set_reg(struct guest *g, unsigned long id, const void *value);

/* Returns PAPR's result, or -1000 - errno if the vcpu failed before that */
long guest_hcall(struct guest *g, unsigned long number,
		 const unsigned long *args, unsigned int n_args);
long guest_enter(struct guest *g, unsigned long index, struct hpte e);
long guest_remove(struct guest *g, unsigned long index);
long guest_protect(struct guest *g, unsigned long index, unsigned long pp);
long guest_clear_ref(struct guest *g, unsigned long index);
long guest_clear_mod(struct guest *g, unsigned long index);

/* Access guest memory, with or without translation of the address */
int guest_load(struct guest *g, unsigned long addr, bool translate);
int guest_store(struct guest *g, unsigned long addr, bool translate);
/* The HPTE that maps GUEST_EA + @page * 64K, and where its group begins */
struct hpte guest_hpte(unsigned long page, unsigned long gpa,
		       unsigned long rc);
unsigned long guest_index(unsigned long npte, unsigned long page);

/* Start a vcpu that runs until it is stopped; returns once it runs */
int guest_spin(struct guest *g);
int guest_spin_stop(struct guest *g);

#endif
