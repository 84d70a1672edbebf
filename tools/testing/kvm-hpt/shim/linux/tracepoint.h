/* SPDX-License-Identifier: GPL-2.0-only */
/* Trace events whose arguments, except for the VM, a test can see */
#ifndef SHIM_TRACEPOINT_H
#define SHIM_TRACEPOINT_H

#include <linux/kernel.h>

#define SHIM_EVENTS		16
#define SHIM_EVENT_ARGS		8

struct shim_event {
	const char *name;
	long long args[SHIM_EVENT_ARGS];
};

/* The last events of this thread: that number n is at n % SHIM_EVENTS */
extern __thread struct shim_event shim_events[SHIM_EVENTS];
extern __thread unsigned int shim_traced;

#if defined(SHIM_RACE) || defined(SHIM_COUNT)
void shim_trace(const char *name, const long long *args, unsigned int nr);
#else
static inline void shim_trace(const char *name, const long long *args,
			      unsigned int nr)
{
}
#endif

#define TP_PROTO(...)	__VA_ARGS__
#define TP_ARGS(kvm, ...)	__VA_ARGS__
#define TRACE_DEFINE_ENUM(value)
#define TRACE_EVENT(name, proto, args, ...)			\
	static inline void trace_##name(proto)			\
	{							\
		const long long values[] = { args };		\
								\
		shim_trace(#name, values, ARRAY_SIZE(values));	\
	}							\
	static inline bool trace_##name##_enabled(void)		\
	{							\
		return true;					\
	}

#endif
