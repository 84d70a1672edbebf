/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_MEMCONTROL_H
#define SHIM_MEMCONTROL_H

#include <linux/types.h>

/* Pretend that the kernel has no memory cgroups */
extern bool shim_no_cgroups;

static inline bool mem_cgroup_disabled(void)
{
	return shim_no_cgroups;
}

#endif
