/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTEST_KVM_POWERPC_GUEST_CODE_H
#define SELFTEST_KVM_POWERPC_GUEST_CODE_H

/* Behind the interrupt vectors, in the first 64K page */
#define GUEST_CODE	0x4000

/* Real address to which a spinning guest writes to show that it runs */
#define GUEST_FLAG	0x8000

/* Hypercalls that KVM passes to user space: code finished, interrupt taken */
#define GUEST_LEAVE	0x7000
#define GUEST_TRAPPED	0x7004

#ifndef __ASSEMBLER__
extern const char guest_code[], guest_code_end[];
extern const char guest_code_hcall[], guest_code_load[];
extern const char guest_code_store[], guest_code_spin[];
extern const char guest_code_wait[];
#endif

#endif
