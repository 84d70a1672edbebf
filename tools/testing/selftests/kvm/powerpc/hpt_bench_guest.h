/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTEST_KVM_POWERPC_HPT_BENCH_GUEST_H
#define SELFTEST_KVM_POWERPC_HPT_BENCH_GUEST_H

/* In the first page, away from GUEST_CODE and GUEST_FLAG */
#define GUEST_LOOP	0xa000

#ifndef __ASSEMBLER__
extern const char guest_loop[], guest_loop_end[];
#endif

#endif
