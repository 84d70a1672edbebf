/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The VMs of this host, as KVM shows them in debugfs: each has a directory that
 * is called PID-FD.
 */
#ifndef KVM_HPT_VMS_H
#define KVM_HPT_VMS_H

#include <dirent.h>
#include <stdio.h>

#include <linux/types.h>

#include "out.h"

/**
 * struct vm - a VM, and its statistic of HPTs that could not be allocated
 * @name: of its directory
 * @no_memory: how many HPTs
 */
struct vm {
	char name[32];
	u64 no_memory;
};

/**
 * struct vms_iter - a walk over a file that VMs have
 * @dir: vms_dir()
 * @vm: name of the directory of the last VM found
 * @path: path of its file
 */
struct vms_iter {
	DIR *dir;
	char vm[32];
	char path[512];
};

const char *vms_dir(void);
int vms_begin(struct vms_iter *iter);
FILE *vms_next(struct vms_iter *iter, const char *pid, const char *file);
int vms_list(const char *pid, struct vm **list);
bool vm_refused(const struct vm *vm, char *text, size_t size);
void vms_tell(const char *pid);
void vms_json(struct out *out, const struct vm *list, int nr);

/* Room for what vm_refused() says */
#define VM_TEXT		96

#endif
