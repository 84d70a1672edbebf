/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The faults of a stream. Those that another order of the HPT explains are
 * merged into one.
 */
#ifndef KVM_HPT_FAULTS_H
#define KVM_HPT_FAULTS_H

#include <stdarg.h>

#include "out.h"
#include "stream.h"

#define NO_INDEX	(~0ULL)

/**
 * struct place - a place in a stream
 * @byte: offset
 * @record: number of the record
 * @index: of the HPTE, or NO_INDEX
 */
struct place {
	u64 byte;
	u64 record;
	u64 index;
};

struct fault;

/**
 * struct faults - the faults of a stream
 * @out: where to print them
 * @max: how many to print, 0 for all
 * @count: number of faults
 * @placed: number of faults of the present HPT that another order may explain
 * @beyond: how many of these are past the end of the HPT
 * @beyond_hptes: number of valid HPTEs in these
 * @first_end: order with which the first pass, which ends too early, is complete, or 0
 * @last_index: the largest index of an HPTE in @placed faults
 * @explained: number of faults that each order explains
 * @kept: faults to print, in order
 * @tail: where to append one
 * @nr_kept: number of kept faults that are not settled, without and with orders
 * @nr_settled: number of kept faults that are settled
 */
struct faults {
	struct out *out;
	u64 max;
	u64 count;
	u64 placed;
	u64 beyond;
	u64 beyond_hptes;
	unsigned int first_end;
	u64 last_index;
	u64 explained[MAX_ORDER + 1];
	struct fault *kept;
	struct fault **tail;
	u64 nr_kept[2];
	u64 nr_settled;
};

void faults_place(struct faults *f, u64 index, u64 orders);
void faults_init(struct faults *f, struct out *out, u64 max);
void __printf(4, 5) faults_add(struct faults *f, struct place at, u64 orders,
			       const char *format, ...);
void __printf(4, 0) faults_vadd(struct faults *f, struct place at, u64 orders,
				const char *format, va_list args);
unsigned int faults_order(const struct faults *f, unsigned int order, u64 hptes);
void faults_settle(struct faults *f, const struct stream *s,
		   unsigned int order, u64 hptes);
void faults_drop(struct faults *f);
void faults_print(struct faults *f);

#endif
