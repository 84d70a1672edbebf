// SPDX-License-Identifier: GPL-2.0
/*
 * Faults are printed at the end, in the order of the stream: only then it is
 * known what explains them. As many are kept as are to be printed.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"

/* Fewer may be in a group that another order has for them by chance */
#define ENOUGH		4

/**
 * struct fault - a fault
 * @next: the one after it
 * @place: where it is
 * @orders: a bit for each order that would explain it
 * @text: what it is
 */
struct fault {
	struct fault *next;
	struct place place;
	u64 orders;
	char text[200];
};

/**
 * faults_init() - begin without faults
 * @f: the faults
 * @out: where to print them
 * @max: how many to print, 0 for all
 */
void faults_init(struct faults *f, struct out *out, u64 max)
{
	*f = (struct faults) { .out = out, .max = max };
	f->tail = &f->kept;
}

static void print_json(const struct faults *f, const struct fault *fault)
{
	out_item(f->out, "  ");
	fprintf(f->out->file, "{\"byte\": %llu, \"record\": %llu, ",
		fault->place.byte, fault->place.record);
	if (fault->place.index != NO_INDEX)
		fprintf(f->out->file, "\"index\": %llu, ", fault->place.index);
	fputs("\"fault\": ", f->out->file);
	out_string(f->out, fault->text);
	fputc('}', f->out->file);
}

static void print(const struct faults *f, const struct fault *fault)
{
	FILE *file = f->out->file;

	if (f->out->json) {
		print_json(f, fault);
		return;
	}
	fprintf(file, "byte %llu, record %llu", fault->place.byte,
		fault->place.record);
	if (fault->place.index != NO_INDEX)
		fprintf(file, ", index 0x%llx", fault->place.index);
	fputs(": ", file);
	out_color(f->out, RED);
	fputs(fault->text, file);
	out_color(f->out, PLAIN);
	fputc('\n', file);
}

static void count_placed(struct faults *f, u64 orders)
{
	unsigned int order;

	f->placed++;
	for (order = MIN_ORDER; order <= MAX_ORDER; order++)
		f->explained[order] += orders >> order & 1;
}

/**
 * faults_add() - there is a fault
 * @f: the faults
 * @at: where it is
 * @orders: a bit for each order of the HPT with which it would be none, 0 if
 *	    it has nothing to do with the order
 * @format: as for printf()
 */
void faults_add(struct faults *f, struct place at, u64 orders,
		const char *format, ...)
{
	va_list args;

	va_start(args, format);
	faults_vadd(f, at, orders, format, args);
	va_end(args);
}

/**
 * faults_vadd() - the same
 * @f: the faults
 * @at: where it is
 * @orders: as of faults_add()
 * @format: as for vprintf()
 * @args: as for vprintf()
 */
void faults_vadd(struct faults *f, struct place at, u64 orders,
		 const char *format, va_list args)
{
	struct fault fault = { .place = at, .orders = orders }, *kept;

	f->count++;
	if (orders)
		count_placed(f, orders);
	if (f->max && f->nr_kept[!!orders] >= f->max)
		return;
	vsnprintf(fault.text, sizeof(fault.text), format, args);
	f->nr_kept[!!orders]++;
	kept = f->max ? malloc(sizeof(*kept)) : NULL;
	if (!kept) {
		/* All of them are printed, however many: none is kept */
		print(f, &fault);
		return;
	}
	*kept = fault;
	*f->tail = kept;
	f->tail = &kept->next;
}

/**
 * faults_order() - which order of the HPT explains most of the faults?
 * @f: the faults
 * @order: that which the HPT is said to have
 *
 * Return: the order, or 0 if none does.
 */
unsigned int faults_order(const struct faults *f, unsigned int order)
{
	unsigned int other, best = 0;
	u64 enough = f->beyond == f->placed && f->beyond_hptes >= ENOUGH ? 1 :
		     f->beyond == f->placed ? 2 : ENOUGH;

	for (other = MIN_ORDER; other <= MAX_ORDER; other++)
		if (other != order && order_hptes(other) > f->last_index &&
		    f->explained[other] > (best ? f->explained[best] : 0))
			best = other;
	if (!best || f->explained[best] < enough ||
	    f->explained[best] * 8 < f->placed * 7)
		return 0;
	return best;
}

static int compare(const void *a, const void *b)
{
	const struct fault *one = *(const struct fault **)a;
	const struct fault *other = *(const struct fault **)b;

	if (one->place.byte != other->place.byte)
		return one->place.byte < other->place.byte ? -1 : 1;
	return one->place.record < other->place.record ? -1 :
	       one->place.record > other->place.record;
}

/* Put the faults that are kept into the order of the stream */
static struct fault **sorted(struct faults *f, u64 nr)
{
	struct fault **list = malloc((nr + 1) * sizeof(*list)), *fault;
	u64 i = 0;

	if (!list)
		return NULL;
	for (fault = f->kept; fault; fault = fault->next)
		list[i++] = fault;
	qsort(list, i, sizeof(*list), compare);
	list[i] = NULL;
	return list;
}

static void explain(struct fault *fault, const struct stream *s,
		    unsigned int order)
{
	const char *who = s->format == FORMAT_QEMU ? "its header" : "--order";

	snprintf(fault->text, sizeof(fault->text),
		 "from here on this is an HPT of order %u, not %u as %s says%s",
		 order, s->order, s->deduced ? "the first pass" : who,
		 s->format == FORMAT_QEMU || s->deduced ? ": " OTHER_HPT : "");
}

/* All that the order explains becomes one, the first of them */
static void print_kept(struct faults *f, const struct stream *s,
		       unsigned int order)
{
	struct fault **list = sorted(f, f->nr_kept[0] + f->nr_kept[1]), **at;
	u64 left = f->max;
	bool told = false;

	for (at = list; at && *at && left; at++) {
		if (order && (*at)->orders >> order & 1) {
			if (told)
				continue;
			told = true;
			explain(*at, s, order);
		}
		print(f, *at);
		left--;
	}
	free(list);
}

/**
 * faults_drop() - free the faults that are kept
 * @f: the faults
 */
void faults_drop(struct faults *f)
{
	struct fault *fault;

	while ((fault = f->kept)) {
		f->kept = fault->next;
		free(fault);
	}
}

/**
 * faults_print() - print the faults
 * @f: the faults; @count becomes how many there are with those that @order
 *     explains being one
 * @s: the stream
 * @order: what faults_order() says
 */
void faults_print(struct faults *f, const struct stream *s, unsigned int order)
{
	struct fault all = {};

	if (order)
		f->count -= f->explained[order] - 1;
	if (f->max) {
		print_kept(f, s, order);
	} else if (order) {
		all.place.index = NO_INDEX;
		explain(&all, s, order);
		print(f, &all);
	}
	faults_drop(f);
}
