// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests end in child processes with _exit(). Write their coverage before that.
 */

#include <linux/compiler.h>

void __real__exit(int status) __noreturn;
void __wrap__exit(int status) __noreturn;
int __llvm_profile_write_file(void);

void __wrap__exit(int status)
{
	__llvm_profile_write_file();
	__real__exit(status);
}
