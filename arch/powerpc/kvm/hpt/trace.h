/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events of the HPT file, and of the tracking behind it.
 *
 * @vm is the name of the VM's directory in /sys/kernel/debug/kvm, @file the
 * number that /proc/PID/fdinfo/N shows for the file.
 */
#if !defined(_TRACE_KVM_HPT_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_KVM_HPT_H

#include <linux/kvm_host.h>
#include <linux/tracepoint.h>
#include <linux/vmstat.h>

#include "hpt.h"

#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm_hpt

TRACE_DEFINE_ENUM(KVM_HPT_PART_TABLE);
TRACE_DEFINE_ENUM(KVM_HPT_PART_REVMAP);
TRACE_DEFINE_ENUM(KVM_HPT_PART_BITMAPS);
TRACE_DEFINE_ENUM(KVM_HPT_PART_CGROUP);

#define show_kvm_hpt_part(part)					\
	__print_symbolic(part,					\
			 { KVM_HPT_PART_TABLE, "hpt" },		\
			 { KVM_HPT_PART_REVMAP, "reverse_map" },	\
			 { KVM_HPT_PART_BITMAPS, "bitmaps" },	\
			 { KVM_HPT_PART_CGROUP, "cgroup" })

TRACE_EVENT(kvm_hpt_open,
	TP_PROTO(struct kvm *kvm, u64 file, u64 flags, u64 start_index),
	TP_ARGS(kvm, file, flags, start_index),

	TP_STRUCT__entry(
		__array(char, vm, KVM_HPT_VM_NAME)
		__field(u64, file)
		__field(u64, flags)
		__field(u64, start_index)
	),

	TP_fast_assign(
		kvm_hpt_vm_name(kvm, __entry->vm);
		__entry->file = file;
		__entry->flags = flags;
		__entry->start_index = start_index;
	),

	TP_printk("vm=%s file=%llu flags=%#llx start_index=%llu", __entry->vm,
		  __entry->file, __entry->flags, __entry->start_index)
);

/* The last reference to the file is gone; the totals are those of fdinfo */
TRACE_EVENT(kvm_hpt_close,
	TP_PROTO(struct kvm *kvm, u64 file, u64 n_valid, u64 n_invalid,
		 u64 bytes),
	TP_ARGS(kvm, file, n_valid, n_invalid, bytes),

	TP_STRUCT__entry(
		__array(char, vm, KVM_HPT_VM_NAME)
		__field(u64, file)
		__field(u64, n_valid)
		__field(u64, n_invalid)
		__field(u64, bytes)
	),

	TP_fast_assign(
		kvm_hpt_vm_name(kvm, __entry->vm);
		__entry->file = file;
		__entry->n_valid = n_valid;
		__entry->n_invalid = n_invalid;
		__entry->bytes = bytes;
	),

	TP_printk("vm=%s file=%llu n_valid=%llu n_invalid=%llu bytes=%llu",
		  __entry->vm, __entry->file, __entry->n_valid,
		  __entry->n_invalid, __entry->bytes)
);

TRACE_EVENT(kvm_hpt_read,
	TP_PROTO(struct kvm *kvm, u64 file, u64 pass, u64 position, u64 n_valid,
		 u64 n_invalid, ssize_t ret),
	TP_ARGS(kvm, file, pass, position, n_valid, n_invalid, ret),

	TP_STRUCT__entry(
		__array(char, vm, KVM_HPT_VM_NAME)
		__field(u64, file)
		__field(u64, pass)
		__field(u64, position)
		__field(u64, n_valid)
		__field(u64, n_invalid)
		__field(s64, ret)
	),

	TP_fast_assign(
		kvm_hpt_vm_name(kvm, __entry->vm);
		__entry->file = file;
		__entry->pass = pass;
		__entry->position = position;
		__entry->n_valid = n_valid;
		__entry->n_invalid = n_invalid;
		__entry->ret = ret;
	),

	TP_printk("vm=%s file=%llu pass=%llu position=%llu n_valid=%llu n_invalid=%llu ret=%lld",
		  __entry->vm, __entry->file, __entry->pass, __entry->position,
		  __entry->n_valid, __entry->n_invalid, __entry->ret)
);

/* A reader has come to the end of the HPT */
TRACE_EVENT(kvm_hpt_pass_end,
	TP_PROTO(struct kvm *kvm, u64 file, u64 pass),
	TP_ARGS(kvm, file, pass),

	TP_STRUCT__entry(
		__array(char, vm, KVM_HPT_VM_NAME)
		__field(u64, file)
		__field(u64, pass)
	),

	TP_fast_assign(
		kvm_hpt_vm_name(kvm, __entry->vm);
		__entry->file = file;
		__entry->pass = pass;
	),

	TP_printk("vm=%s file=%llu pass=%llu", __entry->vm, __entry->file,
		  __entry->pass)
);

/* A read of @file hands changes, a bit for each HPTE, to the readers */
TRACE_EVENT(kvm_hpt_harvest,
	TP_PROTO(struct kvm *kvm, u64 file, u64 group, u8 changed),
	TP_ARGS(kvm, file, group, changed),

	TP_STRUCT__entry(
		__array(char, vm, KVM_HPT_VM_NAME)
		__field(u64, file)
		__field(u64, group)
		__field(u8, changed)
	),

	TP_fast_assign(
		kvm_hpt_vm_name(kvm, __entry->vm);
		__entry->file = file;
		__entry->group = group;
		__entry->changed = changed;
	),

	TP_printk("vm=%s file=%llu group=%llu changed=%#x", __entry->vm,
		  __entry->file, __entry->group, __entry->changed)
);

/* A reader begins again at the first HPTE, or has become stale */
TRACE_EVENT(kvm_hpt_invalidate,
	TP_PROTO(struct kvm *kvm, u64 file, u64 pass, u64 position, bool stale),
	TP_ARGS(kvm, file, pass, position, stale),

	TP_STRUCT__entry(
		__array(char, vm, KVM_HPT_VM_NAME)
		__field(u64, file)
		__field(u64, pass)
		__field(u64, position)
		__field(bool, stale)
	),

	TP_fast_assign(
		kvm_hpt_vm_name(kvm, __entry->vm);
		__entry->file = file;
		__entry->pass = pass;
		__entry->position = position;
		__entry->stale = stale;
	),

	TP_printk("vm=%s file=%llu pass=%llu position=%llu stale=%d",
		  __entry->vm, __entry->file, __entry->pass,
		  __entry->position, __entry->stale)
);

/* A record was applied, or refused */
TRACE_EVENT(kvm_hpt_write,
	TP_PROTO(struct kvm *kvm, u64 file, u64 index, u32 n_valid,
		 u32 n_invalid, int err),
	TP_ARGS(kvm, file, index, n_valid, n_invalid, err),

	TP_STRUCT__entry(
		__array(char, vm, KVM_HPT_VM_NAME)
		__field(u64, file)
		__field(u64, index)
		__field(u32, n_valid)
		__field(u32, n_invalid)
		__field(int, err)
	),

	TP_fast_assign(
		kvm_hpt_vm_name(kvm, __entry->vm);
		__entry->file = file;
		__entry->index = index;
		__entry->n_valid = n_valid;
		__entry->n_invalid = n_invalid;
		__entry->err = err;
	),

	TP_printk("vm=%s file=%llu index=%llu n_valid=%u n_invalid=%u err=%d",
		  __entry->vm, __entry->file, __entry->index, __entry->n_valid,
		  __entry->n_invalid, __entry->err)
);

/* User space is refused an HPT; CMA is how much is free by now */
TRACE_EVENT(kvm_hpt_no_memory,
	TP_PROTO(struct kvm *kvm, u32 order, enum kvm_hpt_part part),
	TP_ARGS(kvm, order, part),

	TP_STRUCT__entry(
		__array(char, vm, KVM_HPT_VM_NAME)
		__field(u32, order)
		__field(u32, part)
		__field(u64, cma_free)
	),

	TP_fast_assign(
		kvm_hpt_vm_name(kvm, __entry->vm);
		__entry->order = order;
		__entry->part = part;
		__entry->cma_free = global_zone_page_state(NR_FREE_CMA_PAGES);
	),

	TP_printk("vm=%s order=%u part=%s cma_free=%llukB", __entry->vm,
		  __entry->order, show_kvm_hpt_part(__entry->part),
		  __entry->cma_free << (PAGE_SHIFT - 10))
);

#endif /* _TRACE_KVM_HPT_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH ../../arch/powerpc/kvm/hpt
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
