// SPDX-License-Identifier: GPL-2.0
/*
 * The headers of the ABI as installed for user space, in C and C++, for 32 and
 * 64 bits: they compile on their own, and all structures have the same layout.
 * This is only compiled, see scripts/test/lint.
 */
#include <linux/kvm.h>

/* Both languages have this */
#define ASSERT(what) extern char holds[(what) ? 1 : -1]
#define AT(type, field, offset) \
	ASSERT(__builtin_offsetof(struct type, field) == (offset))

ASSERT(sizeof(struct kvm_get_htab_fd) == 32);
AT(kvm_get_htab_fd, flags, 0);
AT(kvm_get_htab_fd, start_index, 8);
AT(kvm_get_htab_fd, reserved, 16);

ASSERT(sizeof(struct kvm_get_htab_header) == 8);
AT(kvm_get_htab_header, index, 0);
AT(kvm_get_htab_header, n_valid, 4);
AT(kvm_get_htab_header, n_invalid, 6);

ASSERT(sizeof(struct kvm_ppc_htab_progress) == 112);
AT(kvm_ppc_htab_progress, argsz, 0);
AT(kvm_ppc_htab_progress, flags, 4);
AT(kvm_ppc_htab_progress, state, 8);
AT(kvm_ppc_htab_progress, order, 12);
AT(kvm_ppc_htab_progress, generation, 16);
AT(kvm_ppc_htab_progress, hptes, 24);
AT(kvm_ppc_htab_progress, position, 32);
AT(kvm_ppc_htab_progress, pass, 40);
AT(kvm_ppc_htab_progress, first_hptes, 48);
AT(kvm_ppc_htab_progress, first_bytes, 56);
AT(kvm_ppc_htab_progress, changed_hptes, 64);
AT(kvm_ppc_htab_progress, changed_bytes, 72);
AT(kvm_ppc_htab_progress, reserved, 80);

ASSERT(KVM_GET_HTAB_BOLTED_ONLY == 1);
ASSERT(KVM_GET_HTAB_WRITE == 2);
ASSERT(KVM_CAP_PPC_HTAB_FD == 84);
ASSERT(KVM_PPC_GET_HTAB_FD == 0x8020aeaaUL);
ASSERT(KVM_PPC_HTAB_PROGRESS_COUNT == 1);
ASSERT(KVM_PPC_HTAB_STATE_NONE == 0);
ASSERT(KVM_PPC_HTAB_STATE_CURRENT == 1);
ASSERT(KVM_PPC_HTAB_STATE_STALE == 2);
ASSERT(KVM_PPC_HTAB_PROGRESS == 0xc070aedfUL);
