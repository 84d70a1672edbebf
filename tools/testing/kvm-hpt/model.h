/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on a VM and the files of its HPT, and a plain model of their
 * results: the guest's view of each HPTE, what each reader has reported, and
 * what each write has to return.
 */
#ifndef KVM_HPT_MODEL_H
#define KVM_HPT_MODEL_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct model_op - an operation; the first one selects the initial state
 * @code: what to do, modulo the number of operations
 * @who: which reader, and other choices
 * @where: which HPTE, or what goes wrong
 * @arg: all other choices
 *
 * Any eight bytes are an operation.
 */
struct model_op {
	uint8_t code;
	uint8_t who;
	uint16_t where;
	uint32_t arg;
};

/* Mishaps that @where of an operation on a file can select */
enum model_mishap {
	MISHAP_FAULT,		/* user memory ends somewhere */
	MISHAP_KILL,		/* a signal */
	MISHAP_NO_MEMORY,	/* an allocation fails */
	MISHAP_NO_MEMORY_LONG,	/* so do all allocations after it */
	MISHAP_INTERLEAVE,	/* the next operations happen within this one */
	MISHAP_INTERLEAVE_LAST = MISHAP_INTERLEAVE + 3,
	MISHAP_KINDS = 16,	/* all other values: no mishap */
};

/* Do the operations. If a result is wrong, print which one, and abort(). */
void model_run(const struct model_op *ops, size_t nr);

struct kvm;

/* The guest's view of an HPTE, computed from the HPT; @v is 0 without HPTE */
void model_look(struct kvm *kvm, uint64_t index, uint64_t *v, uint64_t *r);

/* Turn an HPTE that is entered or written into the guest's view of it */
void model_entered(uint64_t *v, uint64_t *r);

/*
 * The result that a write of the record at the beginning of @len bytes must
 * have, and the record's length. -ENODATA if the record is incomplete.
 */
int model_judge(struct kvm *kvm, const void *rec, size_t len, size_t *bytes);

/* Print operations as C, with comments */
void model_print(const struct model_op *ops, size_t nr);

/* Make random operations */
void model_random(uint64_t seed, struct model_op *ops, size_t nr);

#endif
