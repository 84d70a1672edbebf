/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM with an HPT and a reader, and what all tests of files do with them.
 */
#ifndef KVM_HPT_UNIT_H
#define KVM_HPT_UNIT_H

#include "fake.h"
#include "model.h"

#include <linux/bitmap.h>
#include <linux/debugfs.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "hpt.h"
#include "records.h"
#include "set.h"

/* Both the kernel and the test harness have one */
#undef is_signed_type
#include "kselftest_harness.h"

#define HDR	sizeof(struct kvm_get_htab_header)
#define ORDER	18
#define NR	BIT(ORDER - 4)

/* An HPTE of a small page that hardware has nothing to set in */
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

/* In both formats of an HPTE */

FIXTURE(file) {
	struct kvm *kvm;
	int fd;
	char *buf;
	u64 v[NR], r[NR];
};

FIXTURE_VARIANT(file) {
	unsigned long features;
};

FIXTURE_VARIANT_ADD(file, power8) { CPU_FTR_ARCH_206 };
FIXTURE_VARIANT_ADD(file, power9) { CPU_FTR_ARCH_206 | CPU_FTR_ARCH_300 };

#define BUF	(1 << 20)

FIXTURE_SETUP(file)
{
	cpu_features = variant->features;
	self->kvm = fake_vm();
	self->buf = malloc(BUF);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
	self->fd = fake_open(self->kvm, 0, 0);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(file)
{
	if (self->fd >= 0)
		shim_close(self->fd);
	fake_vm_free(self->kvm);
	free(self->buf);
	EXPECT_EQ(0, shim_live_allocs());
}

/* Put what was read into a replica; false if it is no whole records */
static inline bool apply_table(u64 *v, u64 *r, void *buf, size_t len, u64 nr)
{
	struct hpt_record rec;
	unsigned int i;
	size_t pos;

	for (pos = 0; pos < len; pos += rec.bytes) {
		if (hpt_decode(buf + pos, len - pos, nr, &rec) ||
		    !(rec.n_valid + rec.n_invalid))
			return false;
		for (i = 0; i < rec.n_valid + rec.n_invalid; i++) {
			v[rec.index + i] = i < rec.n_valid ?
				be64_to_cpu(rec.hpte[i][0]) : 0;
			r[rec.index + i] = i < rec.n_valid ?
				be64_to_cpu(rec.hpte[i][1]) : 0;
		}
	}
	return true;
}

static inline bool apply(u64 *v, u64 *r, void *buf, size_t len)
{
	return apply_table(v, r, buf, len, NR);
}

/* Read to the end, with buffers of this size */
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

#endif
