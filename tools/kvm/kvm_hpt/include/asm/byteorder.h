/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KVM_HPT_ASM_BYTEORDER_H
#define KVM_HPT_ASM_BYTEORDER_H

#include <endian.h>

#define cpu_to_be64(x)	htobe64(x)
#define be64_to_cpu(x)	be64toh(x)

#endif
