/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loops that the vcpus of hpt_resize_test run in real mode, copied to the
 * guest's real address RESIZE_CODE.  Each ends when a result is wrong, or a
 * signal stops the vcpu.  r20 counts the turns.
 */
#include "hpt_guest_code.h"
#include "hpt_resize_guest.h"

	.section .rodata
	.balign	16

	.globl	resize_guest, resize_guest_end
	.globl	resize_guest_churn, resize_guest_read, resize_guest_load

resize_guest:

	/*
	 * H_ENTER, then H_REMOVE; both have to succeed.
	 *
	 * r14: flags of H_ENTER, r15: index, r16, r17: HPTE.
	 * Results: the hypercall that failed in r18, what it returned in r19.
	 */
resize_guest_churn:
	li	18, 0x08
	mr	3, 18
	mr	4, 14
	mr	5, 15
	mr	6, 16
	mr	7, 17
	sc	1
	cmpdi	3, 0
	bne	failed

	li	18, 0x04
	mr	3, 18
	li	4, 0
	mr	5, 15
	li	6, 0
	sc	1
	cmpdi	3, 0
	bne	failed
	addi	20, 20, 1
	b	resize_guest_churn

failed:
	mr	19, 3
	b	leave

	/*
	 * H_READ.  If it succeeds, the HPTE has to be the expected one.
	 *
	 * r15: index, r16: mask for dword 0, r17: expected result,
	 * r21, r22: the same for dword 1, r23: where r20 is stored.
	 * Results: the HPTE in r18, r19.
	 */
resize_guest_read:
	addi	20, 20, 1
	std	20, 0(23)
	li	3, 0x0c
	li	4, 0
	mr	5, 15
	sc	1
	cmpdi	3, 0
	bne	resize_guest_read
	mr	18, 4
	mr	19, 5
	and	3, 18, 16
	cmpd	3, 17
	bne	leave
	and	3, 19, 21
	cmpd	3, 22
	bne	leave
	b	resize_guest_read

	/* Load from the effective address in r15 */
resize_guest_load:
	addi	20, 20, 1
	ld	18, 0(15)
	b	resize_guest_load

leave:
	li	3, GUEST_LEAVE
	sc	1
	b	leave

resize_guest_end:

	.section .note.GNU-stack, "", @progbits
