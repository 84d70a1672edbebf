/* SPDX-License-Identifier: GPL-2.0 */
/* Trace events of the HPT file, and of the tracking behind it */
#if !defined(_TRACE_KVM_HPT_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_KVM_HPT_H

#include <linux/tracepoint.h>

#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm_hpt

TRACE_EVENT(kvm_hpt_open,
	TP_PROTO(u64 lpid, u64 flags, u64 start_index),
	TP_ARGS(lpid, flags, start_index),

	TP_STRUCT__entry(
		__field(u64, lpid)
		__field(u64, flags)
		__field(u64, start_index)
	),

	TP_fast_assign(
		__entry->lpid = lpid;
		__entry->flags = flags;
		__entry->start_index = start_index;
	),

	TP_printk("lpid=%llu flags=%#llx start_index=%llu", __entry->lpid,
		  __entry->flags, __entry->start_index)
);

TRACE_EVENT(kvm_hpt_read,
	TP_PROTO(u64 lpid, u64 pass, u64 position, u64 n_valid, u64 n_invalid,
		 ssize_t ret),
	TP_ARGS(lpid, pass, position, n_valid, n_invalid, ret),

	TP_STRUCT__entry(
		__field(u64, lpid)
		__field(u64, pass)
		__field(u64, position)
		__field(u64, n_valid)
		__field(u64, n_invalid)
		__field(s64, ret)
	),

	TP_fast_assign(
		__entry->lpid = lpid;
		__entry->pass = pass;
		__entry->position = position;
		__entry->n_valid = n_valid;
		__entry->n_invalid = n_invalid;
		__entry->ret = ret;
	),

	TP_printk("lpid=%llu pass=%llu position=%llu n_valid=%llu n_invalid=%llu ret=%lld",
		  __entry->lpid, __entry->pass, __entry->position,
		  __entry->n_valid, __entry->n_invalid, __entry->ret)
);

/* A reader has come to the end of the HPT */
TRACE_EVENT(kvm_hpt_pass_end,
	TP_PROTO(u64 lpid, u64 pass),
	TP_ARGS(lpid, pass),

	TP_STRUCT__entry(
		__field(u64, lpid)
		__field(u64, pass)
	),

	TP_fast_assign(
		__entry->lpid = lpid;
		__entry->pass = pass;
	),

	TP_printk("lpid=%llu pass=%llu", __entry->lpid, __entry->pass)
);

/* Changes, a bit for each HPTE of the group, go to the readers */
TRACE_EVENT(kvm_hpt_harvest,
	TP_PROTO(u64 lpid, u64 group, u8 changed),
	TP_ARGS(lpid, group, changed),

	TP_STRUCT__entry(
		__field(u64, lpid)
		__field(u64, group)
		__field(u8, changed)
	),

	TP_fast_assign(
		__entry->lpid = lpid;
		__entry->group = group;
		__entry->changed = changed;
	),

	TP_printk("lpid=%llu group=%llu changed=%#x", __entry->lpid,
		  __entry->group, __entry->changed)
);

/* A reader begins again at the first HPTE, or is stale from now on */
TRACE_EVENT(kvm_hpt_invalidate,
	TP_PROTO(u64 lpid, u64 pass, u64 position, bool stale),
	TP_ARGS(lpid, pass, position, stale),

	TP_STRUCT__entry(
		__field(u64, lpid)
		__field(u64, pass)
		__field(u64, position)
		__field(bool, stale)
	),

	TP_fast_assign(
		__entry->lpid = lpid;
		__entry->pass = pass;
		__entry->position = position;
		__entry->stale = stale;
	),

	TP_printk("lpid=%llu pass=%llu position=%llu stale=%d", __entry->lpid,
		  __entry->pass, __entry->position, __entry->stale)
);

/* A record was applied, or refused */
TRACE_EVENT(kvm_hpt_write,
	TP_PROTO(u64 lpid, u64 index, u32 n_valid, u32 n_invalid, int err),
	TP_ARGS(lpid, index, n_valid, n_invalid, err),

	TP_STRUCT__entry(
		__field(u64, lpid)
		__field(u64, index)
		__field(u32, n_valid)
		__field(u32, n_invalid)
		__field(int, err)
	),

	TP_fast_assign(
		__entry->lpid = lpid;
		__entry->index = index;
		__entry->n_valid = n_valid;
		__entry->n_invalid = n_invalid;
		__entry->err = err;
	),

	TP_printk("lpid=%llu index=%llu n_valid=%u n_invalid=%u err=%d",
		  __entry->lpid, __entry->index, __entry->n_valid,
		  __entry->n_invalid, __entry->err)
);

#endif /* _TRACE_KVM_HPT_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH ../../arch/powerpc/kvm/hpt
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
