// SPDX-License-Identifier: GPL-2.0-only
/*
 * libFuzzer chooses the stream that is written. After the write, the table and
 * a reader's replica have to be what the ABI specifies.
 */

#include <stdlib.h>
#include <string.h>

#include <linux/file.h>
#include <linux/slab.h>

#include "fake.h"
#include "model.h"
#include "stream.h"

#define ORDER	14
#define NR	(1u << (ORDER - 4))
#define HDR	sizeof(struct kvm_get_htab_header)

struct hpte {
	u64 v, r;
};

static struct hpte want[NR], replica[NR];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Apply the stream to the expected table. Returns the expected result. */
static ssize_t apply(struct kvm *kvm, const uint8_t *stream, size_t size,
		     size_t there)
{
	struct stream_record rec;
	size_t pos = 0, bytes;
	struct hpte *hpte;
	unsigned int i;
	int err = 0;

	while (pos < there) {
		err = model_judge(kvm, stream + pos, there - pos, &bytes);
		if (err)
			break;
		BUG_ON(stream_record(stream + pos, there - pos, NR, &rec));
		for (i = 0; i < rec.hptes; i++) {
			hpte = &want[rec.index + i];
			stream_hpte(&rec, i, &hpte->v, &hpte->r);
			if (hpte->v)
				model_entered(&hpte->v, &hpte->r);
		}
		pos += bytes;
	}
	if (err == -ENODATA || (!err && there < size))
		err = there < size ? -EFAULT : -EINVAL;
	return pos ? pos : err;
}

static void drain(int fd)
{
	static unsigned char buf[65536];
	struct stream_record rec;
	ssize_t len, pos;
	unsigned int i;

	while ((len = fake_read(fd, buf, sizeof(buf), sizeof(buf)))) {
		BUG_ON(len < 0);
		for (pos = 0; pos < len; pos += rec.bytes) {
			BUG_ON(stream_record(buf + pos, len - pos, NR, &rec));
			for (i = 0; i < rec.hptes; i++)
				stream_hpte(&rec, i, &replica[rec.index + i].v,
					    &replica[rec.index + i].r);
		}
	}
}

static bool same(const struct hpte *a, const struct hpte *b)
{
	return a->v == b->v && (!a->v || a->r == b->r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvm_get_htab_header hdr = { };
	struct hpte is;
	struct kvm *kvm;
	size_t there;
	ssize_t ret;
	u8 *stream;
	int fd[2], i;

	if (size < 3)
		return 0;
	cpu_features = CPU_FTR_ARCH_206;
	if (data[0] & 1)
		cpu_features |= CPU_FTR_ARCH_300;
	kvm = fake_vm();
	fake_allocate_hpt(kvm, ORDER);
	memset(want, 0, sizeof(want));
	memset(replica, 0, sizeof(replica));
	/* Enter some HPTEs that the first record may replace */
	if (size >= 2 + HDR)
		memcpy(&hdr, data + 2, HDR);
	for (i = 0; i < data[0] >> 4; i++) {
		struct hpte *old = &want[(hdr.index + 3 * i) % NR];

		old->v = HPTE_V_VALID | i << HPTE_V_AVPN_SHIFT;
		old->r = HPTE_R_M | (i & 1 ? HPTE_R_R : 0);
		fake_h_enter(kvm, old - want, old->v, old->r);
	}
	kvm->arch.mmu_ready = data[0] >> 1 & 1;
	there = size - 2;
	if (data[0] & 4)
		there = min(there, (size_t)data[1] * 4);
	/* Exactly as large, so that ASan detects reads beyond the end */
	stream = malloc(size - 2);
	memcpy(stream, data + 2, size - 2);

	fd[0] = fake_open(kvm, 0, 0);
	fd[1] = fake_open(kvm, KVM_GET_HTAB_WRITE, 0);
	if (data[0] & 8)
		drain(fd[0]);
	ret = fake_write(fd[1], stream, size - 2, there);
	BUG_ON(memcmp(stream, data + 2, size - 2));
	BUG_ON(ret != apply(kvm, stream, size - 2, there));
	drain(fd[0]);
	for (i = 0; i < NR; i++) {
		model_look(kvm, i, &is.v, &is.r);
		BUG_ON(!same(&is, &want[i]));
		BUG_ON(!same(&is, &replica[i]));
	}
	free(stream);
	shim_close(fd[0]);
	shim_close(fd[1]);
	fake_vm_free(kvm);
	BUG_ON(shim_live_allocs());
	return 0;
}
