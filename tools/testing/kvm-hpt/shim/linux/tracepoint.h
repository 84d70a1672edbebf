/* SPDX-License-Identifier: GPL-2.0-only */
/* Trace events that only evaluate their arguments */
#ifndef SHIM_TRACEPOINT_H
#define SHIM_TRACEPOINT_H

#define TP_PROTO(...)	__VA_ARGS__
#define TP_ARGS(...)
#define TRACE_DEFINE_ENUM(value)
#define TRACE_EVENT(name, proto, ...)				\
	static inline void trace_##name(proto) { }		\
	static inline bool trace_##name##_enabled(void)		\
	{							\
		return true;					\
	}

#endif
