/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_DCACHE_H
#define SHIM_DCACHE_H

struct dentry {
	struct {
		const char *name;
	} d_name;
};

#endif
