/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of the host's page table that KVM uses */
#ifndef SHIM_PAGE_H
#define SHIM_PAGE_H

#include <linux/types.h>

typedef struct { unsigned long pte; } pte_t;
typedef struct { unsigned long pgd; } pgd_t;

pte_t *__find_linux_pte(pgd_t *pgdir, unsigned long ea, bool *is_thp,
			unsigned int *hshift);

#endif
