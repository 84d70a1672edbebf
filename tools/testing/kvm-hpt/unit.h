/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers for all unit tests.
 */
#ifndef KVM_HPT_UNIT_H
#define KVM_HPT_UNIT_H

#include "fake.h"
#include "model.h"
#include "stream.h"

#include <linux/bitmap.h>
#include <linux/debugfs.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/memcontrol.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "hpt.h"
#include "records.h"
#include "set.h"

/* Both the kernel and the test harness define this */
#undef is_signed_type
#include "kselftest_harness.h"

/* Seconds that a test may need on a busy machine */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 900

#define HDR	sizeof(struct kvm_get_htab_header)
#define ORDER	18
#define NR	BIT(ORDER - 4)
#define BUF	(1 << 20)

/* An HPTE of a small page, in which hardware cannot set any bit */
#define V	(0x123480ul | HPTE_V_VALID)
#define R(page)	(((u64)(page) << PAGE_SHIFT) | HPTE_R_M | HPTE_R_R | HPTE_R_C)

static inline struct kvm_get_htab_header *header(void *buf, size_t pos)
{
	return buf + pos;
}

static inline bool is(const struct kvm_get_htab_header *hdr, u32 index,
		      unsigned int n_valid, unsigned int n_invalid)
{
	return hdr->index == index && hdr->n_valid == n_valid &&
	       hdr->n_invalid == n_invalid;
}

/* Apply what was read to a replica. False if it is not whole records. */
static inline bool apply_table(u64 *v, u64 *r, void *buf, size_t len, u64 nr)
{
	struct stream_record rec;
	unsigned int i;
	size_t pos;

	for (pos = 0; pos < len; pos += rec.bytes) {
		if (stream_record(buf + pos, len - pos, nr, &rec) ||
		    !rec.hptes)
			return false;
		for (i = 0; i < rec.hptes; i++)
			stream_hpte(&rec, i, &v[rec.index + i],
				    &r[rec.index + i]);
	}
	return true;
}

static inline bool apply(u64 *v, u64 *r, void *buf, size_t len)
{
	return apply_table(v, r, buf, len, NR);
}

/* Read until 0 is returned, with buffers of this size */
static inline bool drain_table(int fd, u64 *v, u64 *r, void *buf,
			       size_t size, u64 nr)
{
	ssize_t len;

	do {
		len = fake_read(fd, buf, size, size);
		if (len < 0 || !apply_table(v, r, buf, len, nr))
			return false;
	} while (len);
	return true;
}

static inline bool drain(int fd, u64 *v, u64 *r, void *buf, size_t size)
{
	return drain_table(fd, v, r, buf, size, NR);
}

static inline bool differ(const u64 *v, const u64 *r, unsigned long index,
			  u64 is_v, u64 is_r)
{
	return v[index] != is_v || (is_v && r[index] != is_r);
}

/* Use a slot if its bit in the group's number is set, so all groups differ */
static inline void fill(struct kvm *kvm, unsigned long groups)
{
	unsigned long group, slot;

	for (group = 0; group < groups; group++)
		for (slot = 0; slot < 8; slot++)
			if (group >> slot & 1)
				fake_h_enter(kvm, group * 8 + slot, V,
					     R(group + 1) + slot);
}

/* Enter the first HPTE of each group up to @end.  False if one is refused. */
static inline bool enter_in_each_group(struct kvm *kvm, unsigned long end,
				       u64 r)
{
	unsigned long index;

	for (index = 0; index < end; index += 8)
		if (fake_h_enter(kvm, index, V, r))
			return false;
	return true;
}

/* Read until 0 is returned. Returns the work that this thread did for it. */
static inline unsigned long work_of_pass(int fd, void *buf)
{
	unsigned long begin = shim_work;

	while (fake_read(fd, buf, 2048, 2048) > 0)
		;
	return shim_work - begin;
}

/* A function to call while a file is read, and the lock or copy before which */
static struct {
	struct kvm *kvm;
	int at;
	void (*what)(struct kvm *kvm);
} within;

static inline void happen(void)
{
	if (within.at--)
		return;
	shim_interleave = NULL;
	within.what(within.kvm);
}

static inline void let_happen(struct kvm *kvm, int at,
			      void (*what)(struct kvm *kvm))
{
	within.kvm = kvm;
	within.at = at;
	within.what = what;
	shim_interleave = happen;
}

static inline void reset(struct kvm *kvm)
{
	fake_allocate_hpt(kvm, kvm->arch.hpt.order);
}

/* Make a record of small pages. Returns its length. */
static inline size_t record(void *buf, u32 index, unsigned int valid,
			    unsigned int invalid)
{
	struct kvm_get_htab_header *hdr = buf;
	__be64 *hpte = (__be64 *)(hdr + 1);
	unsigned int i;

	*hdr = (struct kvm_get_htab_header) { index, valid, invalid };
	for (i = 0; i < valid; i++) {
		hpte[2 * i] = cpu_to_be64(V);
		hpte[2 * i + 1] = cpu_to_be64(R(index + i));
	}
	return HDR + valid * HPT_STREAM_HPTE;
}

#endif
