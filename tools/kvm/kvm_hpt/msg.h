/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KVM_HPT_MSG_H
#define KVM_HPT_MSG_H

/* Exit codes, as in the man page */
enum {
	EXIT_GOOD,
	EXIT_FOUND,	/* a fault, a difference, or no match */
	EXIT_USAGE,
	EXIT_FILE,	/* cannot be read or written, or is not a stream */
	EXIT_NO_HPT,	/* no process or no HPT */
};

#define __printf(a, b)	__attribute__((format(printf, a, b)))

#define ARRAY_SIZE(x)	(sizeof(x) / sizeof((x)[0]))

void msg_command(const char *name);
void make_printable(char *text);
void __printf(1, 2) msg(const char *format, ...);

#endif
