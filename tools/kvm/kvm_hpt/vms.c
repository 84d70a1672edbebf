// SPDX-License-Identifier: GPL-2.0
/*
 * What debugfs says of VMs. Only root may look there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "msg.h"
#include "vms.h"

#define NO_MEMORY	"hpt_no_memory"

/**
 * vms_dir() - KVM's directory in debugfs: elsewhere in tests
 */
const char *vms_dir(void)
{
	return getenv("KVM_HPT_DEBUGFS") ?: "/sys/kernel/debug/kvm";
}

/* Is this the directory of a VM, of this process unless that is NULL? */
static bool is_vm(const char *name, const char *pid)
{
	size_t len = pid ? strlen(pid) : strspn(name, "0123456789");

	return (!pid || !strncmp(name, pid, len)) && name[len] == '-';
}

/**
 * vms_begin() - begin to walk over the VMs of this host
 * @iter: the walk
 *
 * Return: 0, or a negative errno if debugfs can't be looked at.
 */
int vms_begin(struct vms_iter *iter)
{
	iter->dir = opendir(vms_dir());
	return iter->dir ? 0 : -errno;
}

/**
 * vms_next() - open the file of the next VM that has it
 * @iter: the walk, which ends when there is no such VM
 * @pid: the process that has the VM, NULL for any
 * @file: name of the file
 *
 * Return: the file, which the caller closes, or NULL at the end.
 */
FILE *vms_next(struct vms_iter *iter, const char *pid, const char *file)
{
	struct dirent *ent;
	FILE *f;

	while ((ent = readdir(iter->dir))) {
		if (!is_vm(ent->d_name, pid))
			continue;
		snprintf(iter->path, sizeof(iter->path), "%s/%s/%s", vms_dir(),
			 ent->d_name, file);
		f = fopen(iter->path, "r");
		if (!f)
			continue;
		snprintf(iter->vm, sizeof(iter->vm), "%.31s", ent->d_name);
		return f;
	}
	closedir(iter->dir);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const struct vm *one = a, *other = b;

	return strverscmp(one->name, other->name);
}

/**
 * vms_list() - find the VMs that have the statistic
 * @pid: the process that has them, NULL for any
 * @list: becomes a list of them, which is to be freed
 *
 * Return: how many they are; 0 as well if debugfs can't be looked at.
 */
int vms_list(const char *pid, struct vm **list)
{
	struct vms_iter iter;
	struct vm one, *more;
	int nr = 0;
	FILE *f;

	*list = NULL;
	if (vms_begin(&iter))
		return 0;
	while ((f = vms_next(&iter, pid, NO_MEMORY))) {
		more = NULL;
		if (fscanf(f, "%llu", &one.no_memory) == 1)
			more = realloc(*list, (nr + 1) * sizeof(*more));
		fclose(f);
		if (!more)
			continue;
		memcpy(one.name, iter.vm, sizeof(one.name));
		*list = more;
		more[nr++] = one;
	}
	if (nr)
		qsort(*list, nr, sizeof(**list), compare);
	return nr;
}

/**
 * vm_refused() - say how many HPTs a VM was refused
 * @vm: the VM
 * @text: where to put it
 * @size: of that
 *
 * Return: false if there was none.
 */
bool vm_refused(const struct vm *vm, char *text, size_t size)
{
	snprintf(text, size, "VM %s: %llu HPT%s could not be allocated",
		 vm->name, vm->no_memory, vm->no_memory == 1 ? "" : "s");
	return vm->no_memory;
}

/**
 * vms_tell() - print a message for each VM that was refused an HPT
 * @pid: the process that has the VMs, NULL for any
 */
void vms_tell(const char *pid)
{
	char text[VM_TEXT];
	struct vm *list;
	int nr, i;

	nr = vms_list(pid, &list);
	for (i = 0; i < nr; i++)
		if (vm_refused(&list[i], text, sizeof(text)))
			msg("%s", text);
	free(list);
}

/**
 * vms_json() - print VMs as a member of an object
 * @out: where to
 * @list: the VMs
 * @nr: how many they are
 */
void vms_json(struct out *out, const struct vm *list, int nr)
{
	int i;

	fputs(", \"vms\": [", out->file);
	for (i = 0; i < nr; i++) {
		fprintf(out->file, "%s{\"vm\": ", i ? ", " : "");
		out_string(out, list[i].name);
		fprintf(out->file, ", \"no_memory\": %llu}", list[i].no_memory);
	}
	fputc(']', out->file);
}
