/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTEST_KVM_POWERPC_HPT_RANDOM_GUEST_H
#define SELFTEST_KVM_POWERPC_HPT_RANDOM_GUEST_H

/* In the first page, away from GUEST_CODE and GUEST_FLAG */
#define RANDOM_CODE	0xa000
#define RANDOM_SHARED	0xb000

/* Number of the first 64K page that the guest maps and accesses */
#define RANDOM_PAGE	16

/* Offsets in struct shared */
#define SHARED_STOP	0
#define SHARED_PAGES	8
#define SHARED_GROUPS	16
#define SHARED_VSID	24
#define SHARED_V	32
#define SHARED_R	40
#define SHARED_OTHER_V	48
#define SHARED_OTHER_R	56
#define SHARED_PER_64K	64

#ifndef __ASSEMBLER__
extern const char random_guest[], random_guest_end[], random_guest_fault[];
#endif

#endif
