/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KVM_HPT_LINUX_MINMAX_H
#define KVM_HPT_LINUX_MINMAX_H

#define min_t(type, x, y) ({	\
	type __x = (x);		\
	type __y = (y);		\
	__x < __y ? __x : __y; })

#endif
