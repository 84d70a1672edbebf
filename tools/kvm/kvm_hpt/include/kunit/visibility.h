/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's tests are not here */
#ifndef KVM_HPT_KUNIT_VISIBILITY_H
#define KVM_HPT_KUNIT_VISIBILITY_H

#define EXPORT_SYMBOL_IF_KUNIT(symbol)	struct kvm_hpt_ ## symbol

#endif
