/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHIM_SEQ_FILE_H
#define SHIM_SEQ_FILE_H

struct seq_file;

void seq_printf(struct seq_file *m, const char *format, ...);

#define seq_puts(m, s)	seq_printf(m, s)

#endif
