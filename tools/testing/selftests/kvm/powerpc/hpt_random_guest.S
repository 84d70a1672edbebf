/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest code of hpt_random_test, copied to the guest's real address
 * RANDOM_CODE.  Each vcpu does things chosen at random, hypercalls on its HPT
 * and accesses to its pages with translation, until it has done enough or is
 * told to stop.
 *
 * The code runs in real mode.  HPTEs map pages that are 64K apart.  A page's
 * real address is the offset of its effective address from r24.  HPTEs are in
 * the primary or the secondary group.  All vcpus write the same value to a page
 * but for the low 16 bits, so a load shows whether the right HPTE was used.
 *
 *	r13	struct shared
 *	r14	state of the generator, not 0
 *	r15	number of things left to do
 *	r16	address of this code
 *	r22,23	MSR with and without address translation for data
 *	r24	effective address of page 0
 *	r28	H_EXACT
 *	r29	address of random_guest_fault
 *
 * Results, as counts: successful hypercalls in r21, accesses in r25, accesses
 * that faulted in r26, loads of a wrong value in r27.
 *
 * Used in each turn: r20 random number, r17 page, r18 index of an HPTE, r19 its
 * dword 0, r30 its dword 1, r31 effective address.
 */
#include "hpt_guest_code.h"
#include "hpt_random_guest.h"

	.section .rodata
	.balign	16

	.globl	random_guest, random_guest_end, random_guest_fault

random_guest:
	ld	3, SHARED_STOP(13)
	cmpdi	3, 0
	bne	leave
	cmpdi	15, 0
	beq	leave
	addi	15, 15, -1

	/* xorshift64 */
	sldi	3, 14, 13
	xor	14, 14, 3
	srdi	3, 14, 7
	xor	14, 14, 3
	sldi	3, 14, 17
	xor	14, 14, 3
	mr	20, 14

	/* Bits 8 to 15: the page */
	ld	3, SHARED_PAGES(13)
	srdi	17, 20, 8
	and	17, 17, 3
	addi	17, 17, RANDOM_PAGE
	sldi	31, 17, 16
	add	31, 31, 24

	/* Bits 0 to 2: the slot, bit 4: the secondary group */
	ld	3, SHARED_PER_64K(13)
	sld	18, 17, 3
	ld	3, SHARED_VSID(13)
	xor	18, 18, 3
	ld	19, SHARED_V(13)
	andi.	3, 20, 0x10
	beq	1f
	not	18, 18
	ori	19, 19, 0x2
1:	ld	3, SHARED_GROUPS(13)
	and	18, 18, 3
	sldi	18, 18, 3
	andi.	3, 20, 0x7
	or	18, 18, 3

	/* Bits 32 and up: R, C, N and PP of dword 1, and V_BOLTED */
	srdi	4, 20, 32
	andi.	3, 4, 0x187
	sldi	30, 17, 16
	or	30, 30, 3
	ld	3, SHARED_R(13)
	or	30, 30, 3
	andi.	3, 4, 0x10
	or	19, 19, 3

	/* Bits 5 to 7: one in eight is emulated MMIO in another segment */
	andi.	3, 20, 0xe0
	bne	1f
	ld	3, SHARED_OTHER_V(13)
	xor	19, 19, 3
	ld	3, SHARED_OTHER_R(13)
	or	30, 30, 3

	/* The topmost four bits: what to do */
1:	srdi	3, 20, 60
	sldi	3, 3, 2
	addi	3, 3, things - random_guest
	add	3, 3, 16
	mtctr	3
	bctr
things:
	b	enter
	b	enter
	b	enter
	b	enter
	b	enter
	b	remove
	b	remove
	b	bulk_remove
	b	protect
	b	protect
	b	clear_ref
	b	clear_mod
	b	read
	b	load
	b	store
	b	store

	/* Bit 40: H_EXACT, or the first free slot of the group */
enter:
	srdi	4, 20, 40
	andi.	4, 4, 1
	neg	4, 4
	and	4, 4, 28
	mr	5, 18
	mr	6, 19
	mr	7, 30
	li	3, 0x08			/* H_ENTER */
	b	hypercall

remove:
	li	4, 0
	mr	5, 18
	li	6, 0
	li	3, 0x04			/* H_REMOVE */
	b	hypercall

	/* The HPTE, its neighbour, and an HPTE of the next group */
bulk_remove:
	li	3, 1			/* H_BULK_REQUEST */
	sldi	3, 3, 62
	or	4, 18, 3
	li	5, 0
	xori	6, 4, 1
	li	7, 0
	xori	8, 4, 9
	li	9, 0
	li	10, -1			/* H_BULK_END */
	sldi	10, 10, 62
	li	11, 0
	li	3, 0x124		/* H_BULK_REMOVE */
	b	hypercall

protect:
	srdi	4, 20, 32
	andi.	4, 4, 0x7
	mr	5, 18
	li	6, 0
	li	3, 0x18			/* H_PROTECT */
	b	hypercall

clear_ref:
	li	3, 0x14			/* H_CLEAR_REF */
	b	1f

clear_mod:
	li	3, 0x10			/* H_CLEAR_MOD */
	b	1f

read:
	li	3, 0x0c			/* H_READ */

1:	li	4, 0
	mr	5, 18

hypercall:
	sc	1
	cmpdi	3, 0
	bne	random_guest
	addi	21, 21, 1
	b	random_guest

load:
	mtmsrd	22
	isync
	ld	3, 0(31)
	mtmsrd	23
	isync
	addi	25, 25, 1
	cmpdi	3, 0
	beq	random_guest
	xor	3, 3, 31
	srdi.	3, 3, 16
	beq	random_guest
	addi	27, 27, 1
	b	random_guest

store:
	clrldi	3, 20, 48
	or	3, 3, 31
	mtmsrd	22
	isync
	std	3, 0(31)
	mtmsrd	23
	isync
	addi	25, 25, 1
	b	random_guest

	/* Interrupt handler: no HPTE for an access, or it denies the access */
random_guest_fault:
	addi	26, 26, 1
	b	random_guest

leave:
	li	3, GUEST_LEAVE
	sc	1
	b	leave
random_guest_end:

	.section .note.GNU-stack, "", @progbits
