/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_CPU_HAS_FEATURE_H
#define SHIM_CPU_HAS_FEATURE_H

#define CPU_FTR_ARCH_206	0x1ul
#define CPU_FTR_ARCH_300	0x2ul

/* Changed only while nothing else runs */
extern unsigned long cpu_features;

static inline bool cpu_has_feature(unsigned long feature)
{
	return cpu_features & feature;
}

#endif
