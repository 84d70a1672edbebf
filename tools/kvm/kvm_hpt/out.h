/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Output: text of 80 columns, with or without colours, or JSON.
 */
#ifndef KVM_HPT_OUT_H
#define KVM_HPT_OUT_H

#include <stdio.h>

#include "hpte.h"

enum color { PLAIN, RED, GREEN, YELLOW, BLUE };

/**
 * struct out - the output
 * @file: the file
 * @terminal: it is a terminal that can move the cursor
 * @color: use colours
 * @json: print JSON
 * @items: number of items printed so far in the current list
 */
struct out {
	FILE *file;
	bool terminal;
	bool color;
	bool json;
	u64 items;
};

void out_init(struct out *out, FILE *file);
bool out_color_option(struct out *out, const char *when);
void out_color(const struct out *out, enum color color);
int out_done(const struct out *out);

/* Call before each item of a list in JSON */
void out_item(struct out *out, const char *indent);
void out_order(const struct out *out, const char *name, unsigned int order);
void out_replaced(const struct out *out, u64 times, u64 at);
void out_text(FILE *file, int width, const char *text);
void out_string(const struct out *out, const char *text);

#define HPTE_HEADING \
	"   index H S       vsid     offset    size         real  k/u  x wimg key RC B\n"

void out_hpte(const struct out *out, struct hpte hpte, u64 index,
	      unsigned int order);
void out_hpte_raw(const struct out *out, struct hpte hpte, bool v3);
void out_hpte_json(const struct out *out, struct hpte hpte, u64 index,
		   unsigned int order);

const char *size_name(unsigned int shift);

#endif
