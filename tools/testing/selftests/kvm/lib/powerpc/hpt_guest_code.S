/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The code of the tests' guest, copied to its real address GUEST_CODE.  Each
 * routine takes its arguments in r14 and up, leaves its results there, and ends
 * with a hypercall that KVM does not handle and passes to user space.  KVM
 * overwrites r3 to r12 when it returns from that, so these hold nothing.
 */
#include "hpt_guest_code.h"

	.section .rodata
	.balign	16

	.globl	guest_code, guest_code_end
	.globl	guest_code_hcall, guest_code_load
	.globl	guest_code_store, guest_code_spin, guest_code_wait

guest_code:

	/* r14: number, r15 to r23: arguments; results from r14 on */
guest_code_hcall:
	mr	3, 14
	mr	4, 15
	mr	5, 16
	mr	6, 17
	mr	7, 18
	mr	8, 19
	mr	9, 20
	mr	10, 21
	mr	11, 22
	mr	12, 23
	sc	1
	mr	14, 3
	mr	15, 4
	mr	16, 5
	mr	17, 6
	mr	18, 7
	mr	19, 8
	mr	20, 9
	mr	21, 10
	mr	22, 11
	mr	23, 12
	b	leave

	/* r15: effective address; the doubleword is loaded into r14 */
guest_code_load:
	ld	14, 0(15)
	b	leave

	/* r14: doubleword, r15: effective address */
guest_code_store:
	std	14, 0(15)
	b	leave

	/* Store r14 to real address r15, then spin until a signal arrives */
guest_code_spin:
	std	14, 0(15)
1:	b	1b

	/* Count in the doubleword at r15, and load the next one until it is not 0 */
guest_code_wait:
2:	addi	14, 14, 1
	std	14, 0(15)
	ld	16, 8(15)
	cmpdi	16, 0
	beq	2b
	b	leave

leave:
	li	3, GUEST_LEAVE
	sc	1
	b	leave

guest_code_end:

	.section .note.GNU-stack, "", @progbits
