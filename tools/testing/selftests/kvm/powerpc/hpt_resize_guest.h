/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTEST_KVM_POWERPC_HPT_RESIZE_GUEST_H
#define SELFTEST_KVM_POWERPC_HPT_RESIZE_GUEST_H

/* In the first page, away from GUEST_CODE and GUEST_FLAG */
#define RESIZE_CODE	0xa000

#ifndef __ASSEMBLER__
extern const char resize_guest[], resize_guest_end[];
extern const char resize_guest_churn[], resize_guest_read[];
extern const char resize_guest_load[];
#endif

#endif
