// SPDX-License-Identifier: GPL-2.0
/* QEMU plugin of scripts/bench/where: counts between two marks of hpt_bench */
#include <stdio.h>
#include <stdlib.h>

#include "where.h"

#define BEGIN		0x7d6b5838	/* and 11,11,11 */
#define END		0x7d8c6038	/* and 12,12,12 */

struct block {
	struct block *next;
	unsigned long addr, n_insns, times;
};

int qemu_plugin_version = 3;
static struct block *blocks;
static void *counting;

static void mark(unsigned int cpu, void *on)
{
	counting = on;
}

static void count(unsigned int cpu, void *data)
{
	struct block *block = data;

	block->times += !!counting;
}

static void translated(__u64 id, struct qemu_plugin_tb *tb)
{
	struct block *block = calloc(1, sizeof(*block));
	struct qemu_plugin_insn *insn;
	unsigned int i, code;
	void *on;

	block->addr = qemu_plugin_tb_vaddr(tb);
	block->n_insns = qemu_plugin_tb_n_insns(tb);
	block->next = blocks;
	blocks = block;
	for (i = 0; i < block->n_insns; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		qemu_plugin_insn_data(insn, &code, sizeof(code));
		on = code == BEGIN ? block : NULL;
		if (on || code == END)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, 0, on);
	}
	qemu_plugin_register_vcpu_tb_exec_cb(tb, count, 0, block);
}

/* Address of the first instruction, number of instructions, how often they ran */
static void at_exit(__u64 id, void *path)
{
	FILE *file = fopen(path, "w");

	for (; file && blocks; blocks = blocks->next)
		if (blocks->times)
			fprintf(file, "%lx %lu %lu\n", blocks->addr,
				blocks->n_insns, blocks->times);
	if (file)
		fclose(file);
}

int qemu_plugin_install(__u64 id, const void *info, int argc, char **argv)
{
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, at_exit, argv[0] + sizeof("out"));
	return 0;
}
