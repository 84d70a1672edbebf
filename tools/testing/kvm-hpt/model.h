/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on a VM and the files of its HPT, and a plain model of what has
 * to come of them: what the guest's view of each HPTE is, what each reader
 * has been told, and what each write has to return.
 */
#ifndef KVM_HPT_MODEL_H
#define KVM_HPT_MODEL_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct model_op - an operation, or in the first place what to begin with
 * @code: what to do, modulo the number of operations there are
 * @who: which reader, and other choices
 * @where: which HPTE, or what goes wrong
 * @arg: the rest
 *
 * Any eight bytes are an operation.
 */
struct model_op {
	uint8_t code;
	uint8_t who;
	uint16_t where;
	uint32_t arg;
};

/* What can happen in @where of operations on files */
enum model_mishap {
	MISHAP_FAULT,		/* user memory ends somewhere */
	MISHAP_KILL,		/* a signal */
	MISHAP_NO_MEMORY,	/* an allocation fails */
	MISHAP_NO_MEMORY_LONG,	/* and so do all that follow */
	MISHAP_INTERLEAVE,	/* the operations that follow happen within */
	MISHAP_INTERLEAVE_LAST = MISHAP_INTERLEAVE + 3,
	MISHAP_KINDS = 16,	/* the others are none */
};

/*
 * Do the operations. If anything is not as it has to be say what, and abort().
 */
void model_run(const struct model_op *ops, size_t nr);

struct kvm;

/* What the guest sees, out of what is there: @v 0 if there is no HPTE */
void model_look(struct kvm *kvm, uint64_t index, uint64_t *v, uint64_t *r);

/* What the guest sees after it, or a write, has entered an HPTE */
void model_entered(uint64_t *v, uint64_t *r);

/*
 * What the write of a record at the front of @len bytes has to return, and
 * how long the record is. -ENODATA if it is not all there.
 */
int model_judge(struct kvm *kvm, const void *rec, size_t len, size_t *bytes);

/* Print operations in words */
void model_print(const struct model_op *ops, size_t nr);

/* Make operations at random */
void model_random(uint64_t seed, struct model_op *ops, size_t nr);

#endif
