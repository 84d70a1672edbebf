/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest code of hpt_bench, copied to the guest's real address GUEST_LOOP.
 * It enters, protects and removes an HPTE in each of a number of groups.
 *
 *	r18	H_EXACT
 *	r20	number of groups
 *	r21	index of the HPTE in the first one
 *	r23,24	the HPTE
 *
 * Results: total ticks of H_ENTER in r25, of H_PROTECT in r26, of H_REMOVE in
 * r27; the hypercalls' return values, combined by OR, in r19.
 */
#include "hpt_guest_code.h"

	/* Make a hypercall and add its duration to a register */
	.macro	hypercall sum
	mftb	28
	sc	1
	mftb	29
	subf	28, 28, 29
	add	\sum, \sum, 28
	or	19, 19, 3
	.endm

	.section .rodata
	.balign	16

	.globl	guest_loop, guest_loop_end

guest_loop:
	li	3, 0x08			/* H_ENTER */
	mr	4, 18
	mr	5, 21
	mr	6, 23
	mr	7, 24
	hypercall 25
	li	3, 0x18			/* H_PROTECT, to read-only */
	li	4, 3
	mr	5, 21
	li	6, 0
	hypercall 26
	li	3, 0x04			/* H_REMOVE */
	li	4, 0
	mr	5, 21
	li	6, 0
	hypercall 27
	addi	21, 21, 8
	addi	20, 20, -1
	cmpdi	20, 0
	bne	guest_loop
	li	3, GUEST_LEAVE
	sc	1
guest_loop_end:

	.section .note.GNU-stack, "", @progbits
