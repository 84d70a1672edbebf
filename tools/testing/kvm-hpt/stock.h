/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KVM_HPT_STOCK_H
#define KVM_HPT_STOCK_H

#include <linux/kvm_host.h>

void stock_open(struct kvm *kvm);
ssize_t stock_read(void *buf, size_t size);
ssize_t stock_write(void *buf, size_t size);

#endif
