/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a file is, from how it begins.
 */
#ifndef KVM_HPT_DETECT_H
#define KVM_HPT_DETECT_H

#include <stddef.h>

#include <linux/types.h>

enum stream_format {
	FORMAT_NONE,	/* no stream */
	FORMAT_LE,	/* as read, headers little-endian */
	FORMAT_BE,	/* as read, headers big-endian */
	FORMAT_QEMU,
	FORMAT_DEBUGFS,
};

#define QEMU_MAGIC	"QEVM"

enum stream_format detect(const unsigned char *data, size_t len, bool all,
			  char endian, const char **what);
char detect_records(const unsigned char *data, size_t len);

#endif
