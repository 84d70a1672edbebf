/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Make allocations and copies to and from user space fail, on a kernel with
 * fault injection.
 */
#ifndef SELFTEST_KVM_POWERPC_HPT_FAULT_H
#define SELFTEST_KVM_POWERPC_HPT_FAULT_H

#include <stdbool.h>

#define NO_FAULTS	"the kernel has no fault injection"
/* Contains a directory for each kind of failure */
#define FAULT_DIR	"/sys/kernel/debug/"

/* A descriptor of the caller's fail-nth file, or a negative errno */
int fault_open(void);
/* Allow every allocation to fail, without a message in the kernel log */
int fault_prepare(void);
/* Make the @n-th operation that can fail do so, counted from this call on */
void fault_arm(int nth, int n);
/* Stop injecting.  Returns whether there was a failure before this call. */
bool fault_disarm(int nth);

#endif
