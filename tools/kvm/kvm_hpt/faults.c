// SPDX-License-Identifier: GPL-2.0
/*
 * Faults are printed at the end, in the order of the stream, since only then it
 * is known whether another order explains them. No more are kept than printed.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"

/* Fewer HPTEs may match another order by chance */
#define MIN_FAULTS	4

/**
 * struct fault - a fault
 * @next: the one after it
 * @place: where it is
 * @orders: a bit for each order with which it is no fault
 * @text: description, in which two names may have 255 characters each
 */
struct fault {
	struct fault *next;
	struct place place;
	u64 orders;
	char text[640];
};

/**
 * faults_init() - initialise a list of faults
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
 * faults_place() - count an HPTE in a group that it doesn't hash to
 * @f: the faults
 * @index: where it is
 * @orders: a bit for each order with which it hashes to this group
 */
void faults_place(struct faults *f, u64 index, u64 orders)
{
	if (!orders)
		return;
	if (index > f->last_index)
		f->last_index = index;
	count_placed(f, orders);
}

/**
 * faults_add() - add a fault
 * @f: the faults
 * @at: where it is
 * @orders: a bit for each order of the HPT with which it is no fault, or 0
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
 * faults_vadd() - add a fault
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
	/* Settled faults are before this one */
	if (f->max && (f->nr_settled >= f->max ||
		       f->nr_kept[!!orders] >= f->max))
		return;
	vsnprintf(fault.text, sizeof(fault.text), format, args);
	f->nr_kept[!!orders]++;
	kept = f->max ? malloc(sizeof(*kept)) : NULL;
	if (!kept) {
		/* All faults are printed at once, so none is kept */
		print(f, &fault);
		return;
	}
	*kept = fault;
	*f->tail = kept;
	f->tail = &kept->next;
}

/* How many faults does an order have to explain? @only: no other one does. */
static u64 enough(const struct faults *f, unsigned int order, bool only,
		  u64 hptes)
{
	if (f->beyond == f->placed && f->beyond_hptes >= MIN_FAULTS)
		return 1;
	/* Many HPTEs in the right groups would tell that the rest is missing */
	if (f->first_end == order && (f->placed > 1 || hptes < MIN_FAULTS))
		return 1;
	/* No HPTE is where it should be */
	if (f->beyond == f->placed || (only && f->placed >= hptes))
		return 2;
	return MIN_FAULTS;
}

/**
 * faults_order() - find the order of the HPT that explains most faults
 * @f: the faults
 * @order: the stated order of the HPT
 * @hptes: number of valid HPTEs in its records
 *
 * Return: the order, or 0 if none does.
 */
unsigned int faults_order(const struct faults *f, unsigned int order, u64 hptes)
{
	unsigned int other, best = 0;
	bool only = false;

	/* Of two orders that explain the same, take the one nearer to the stated one */
	for (other = MIN_ORDER; other <= MAX_ORDER; other++) {
		if (other == order || order_hptes(other) <= f->last_index ||
		    f->explained[other] < f->explained[best])
			continue;
		only = f->explained[other] > f->explained[best];
		if (only || (best && other < order))
			best = other;
	}
	if (!best || f->explained[best] < enough(f, best, only, hptes) ||
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

/* Sort the faults that are kept by their place in the stream */
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

/* Describe the one fault that stands for all that another order explains */
static void explain(struct fault *fault, const struct stream *s, bool from_here,
		    unsigned int order, unsigned int other)
{
	const char *who = s->format == FORMAT_QEMU ? "its header" : "--order";
	const char *where = from_here ? "from here on" : "up to here";

	snprintf(fault->text, sizeof(fault->text),
		 "%s this is an HPT of order %u, not %u as %s says%s",
		 where, other, order, s->deduced ? "the first pass" : who,
		 s->format == FORMAT_QEMU || s->deduced ? ": " OTHER_HPT : "");
}

/* Find the first fault that an order explains */
static struct fault **find_explained(struct faults *f, unsigned int order)
{
	struct fault **first = NULL, **at;

	for (at = &f->kept; *at; at = &(*at)->next)
		if ((*at)->orders >> order & 1 &&
		    (!first || compare(at, first) < 0))
			first = at;
	return first;
}

/* Merge all faults that the order explains into the first of them */
static void merge(struct faults *f, const struct fault *first,
		  unsigned int order)
{
	struct fault **at = &f->kept, *fault;

	while ((fault = *at)) {
		if (fault != first && fault->orders >> order & 1) {
			*at = fault->next;
			free(fault);
			f->nr_kept[1]--;
		} else {
			at = &fault->next;
		}
	}
	f->tail = at;
}

/**
 * faults_settle() - merge the faults that another order explains into one
 * @f: the faults; @count is updated
 * @s: the stream
 * @order: the stated order of the HPT up to here
 * @hptes: number of valid HPTEs in its records
 */
void faults_settle(struct faults *f, const struct stream *s, unsigned int order,
		   u64 hptes)
{
	unsigned int other = faults_order(f, order, hptes);
	bool from_here = f->explained[other] > !!f->first_end;
	struct fault **first, *fault, all = {};

	if (other) {
		f->count -= f->explained[other] - 1;
		first = find_explained(f, other);
		explain(first ? *first : &all, s, from_here, order, other);
		if (first)
			merge(f, *first, other);
		else
			all.place.index = NO_INDEX;
		if (!f->max)
			print(f, &all);
	}
	for (fault = f->kept; fault; fault = fault->next)
		fault->orders = 0;
	f->nr_settled += f->nr_kept[0] + f->nr_kept[1];
	f->nr_kept[0] = 0;
	f->nr_kept[1] = 0;
	f->placed = 0;
	f->beyond = 0;
	f->beyond_hptes = 0;
	f->first_end = 0;
	f->last_index = 0;
	memset(f->explained, 0, sizeof(f->explained));
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
 * faults_print() - print the settled faults
 * @f: the faults
 */
void faults_print(struct faults *f)
{
	struct fault **list = sorted(f, f->nr_settled), **at;
	u64 left = f->max;

	for (at = list; at && *at && left; at++, left--)
		print(f, *at);
	free(list);
	faults_drop(f);
}
