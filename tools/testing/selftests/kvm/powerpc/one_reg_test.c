// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_GET_ONE_REG and KVM_SET_ONE_REG on a vcpu of Book3S HV: for every
 * register in the kernel's header, what can be written, and which bits are
 * kept.  Also checks that the kernel, its header and its documentation agree.
 *
 * one_reg_table.h lists what is expected of each register.  The build collects
 * the names in the header and the documentation in one_reg_list.h, and fails if
 * the table lacks a name.
 */
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"

#define HWCAP2_ARCH_3_00	0x00800000UL
#define HWCAP2_ARCH_3_1		0x00040000UL

enum kind {
	HELD,		/* keeps the bits of its mask */
	BREAKPOINT,	/* likewise, but privilege 3, hypervisor, becomes 0 */
	LPCR,		/* likewise, but an AIL other than 3 becomes 0 */
	ROUNDED_UP,	/* likewise, rounded up to a multiple of 2^24 */
	ZERO,		/* is 0 and can be set to 0 only */
	READ_ONLY,
	VPA,		/* see the test of that name */
	COMPAT,		/* see the test of that name */
	NO_DEVICE,	/* ENXIO without an interrupt controller in the kernel */
	NOT_HV,		/* EINVAL */
};

union value {
	unsigned long word[2];	/* as they are in memory */
	unsigned char byte[16];
};

struct reg {
	const char *name;
	unsigned long id;
	unsigned int count;
	enum kind kind;
	unsigned long mask;
	union value was;	/* before a test wrote to it */
};

#define MAX_REGS	512
#define IS_BIG_ENDIAN	(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

#define LPCR_AIL	0x1800000UL

FIXTURE(one_reg)
{
	struct vm vm;
	struct guest guest;
	struct reg reg[MAX_REGS];
	unsigned int n;
};

static size_t reg_size(unsigned long id)
{
	return 1UL << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

/* A register of less than a doubleword begins at the first byte */
static unsigned int shift_of(unsigned long id)
{
	size_t size = reg_size(id);

	return IS_BIG_ENDIAN && size < sizeof(long) ?
	       8 * (sizeof(long) - size) : 0;
}

FIXTURE_SETUP(one_reg)
{
	bool is_power9 = getauxval(AT_HWCAP2) & HWCAP2_ARCH_3_00;
	struct reg table[] = {
#define REG(reg, n, what, bits) { #reg, KVM_REG_PPC_##reg, n, what, bits },
#include "one_reg_table.h"
#undef REG
	};
	unsigned int i, k;

	ASSERT_EQ(0, vm_init(&self->vm, MIN_ORDER, PAGE_16M));
	ASSERT_EQ(0, guest_init(&self->guest, &self->vm, true));
	self->n = 0;
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		for (k = 0; k < table[i].count; k++) {
			ASSERT_GT(MAX_REGS, self->n);
			self->reg[self->n] = table[i];
			self->reg[self->n++].id += k;
		}
	}
}

FIXTURE_TEARDOWN(one_reg)
{
	guest_free(&self->guest);
	EXPECT_EQ(0, vm_free(&self->vm));
}

static void here(struct reg *r)
{
	fprintf(stderr, "# KVM_REG_PPC_%s, id %lx\n", r->name, r->id);
}

/* Existing registers can be read, and no byte after their size is written */
TEST_F(one_reg, get)
{
	unsigned char buf[64], mark[64];
	struct reg *r;
	size_t size;
	int want;

	memset(mark, 0xa5, sizeof(mark));
	for (r = self->reg; r < self->reg + self->n; r++) {
		size = reg_size(r->id);
		memcpy(buf, mark, sizeof(buf));
		want = r->kind == NOT_HV ? -EINVAL :
		       r->kind == NO_DEVICE ? -ENXIO : 0;
		EXPECT_EQ(want, guest_get_reg(&self->guest, r->id, buf))
			here(r);
		EXPECT_EQ(0, memcmp(buf + size, mark, sizeof(buf) - size))
			here(r);
		if (want)
			EXPECT_EQ(0, memcmp(buf, mark, size))
				here(r);
	}
}

/* The value that is read after @in was written */
static void expect_value(struct reg *r, const union value *in,
			 union value *out)
{
	unsigned int i;

	*out = *in;
	for (i = 0; i < 2; i++) {
		out->word[i] &= r->mask;
		out->word[i] |= r->was.word[i] & ~r->mask;
	}
	if (r->kind == BREAKPOINT && (in->word[0] & 3) == 3)
		out->word[0] &= ~3UL;
	if (r->kind == LPCR && (out->word[0] & LPCR_AIL) != LPCR_AIL)
		out->word[0] &= ~LPCR_AIL;
	if (r->kind == ROUNDED_UP)
		out->word[0] = (in->word[0] + r->mask) & ~r->mask;
}

static bool can_write(struct reg *r)
{
	return r->kind == HELD || r->kind == BREAKPOINT || r->kind == LPCR ||
	       r->kind == ROUNDED_UP;
}

TEST_F(one_reg, set)
{
	static const unsigned long pattern[] = {
		~0UL, 0, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa,
		0x0123456789abcdef, 0xfedcba9876543210,
	};
	union value in, want, got;
	unsigned int i, shift;
	struct reg *r;
	int diff;

	for (r = self->reg; r < self->reg + self->n; r++) {
		if (!can_write(r))
			continue;
		shift = shift_of(r->id);
		memset(&r->was, 0, sizeof(r->was));
		ASSERT_EQ(0, guest_get_reg(&self->guest, r->id, &r->was))
			here(r);
		r->was.word[0] >>= shift;
		for (i = 0; i < ARRAY_SIZE(pattern); i++) {
			in.word[0] = pattern[i];
			in.word[1] = pattern[i] * 3;
			expect_value(r, &in, &want);
			in.word[0] <<= shift;
			want.word[0] <<= shift;
			EXPECT_EQ(0, guest_set_reg(&self->guest, r->id, &in))
				here(r);
			EXPECT_EQ(0, guest_get_reg(&self->guest, r->id, &got))
				here(r);
			diff = memcmp(&want, &got, reg_size(r->id));
			EXPECT_EQ(0, diff) {
				here(r);
				TH_LOG("%lx %lx written, %lx %lx read",
				       in.word[0], in.word[1], got.word[0],
				       got.word[1]);
			}
			if (diff)
				break;
		}
	}
}

TEST_F(one_reg, set_refused)
{
	union value in = { .word = { ~0UL, ~0UL } }, was, got;
	struct reg *r;
	int want;

	for (r = self->reg; r < self->reg + self->n; r++) {
		if (can_write(r))
			continue;
		want = r->kind == NO_DEVICE ? -ENXIO : -EINVAL;
		memset(&was, 0, sizeof(was));
		memset(&got, 0, sizeof(got));
		guest_get_reg(&self->guest, r->id, &was);
		EXPECT_EQ(want, guest_set_reg(&self->guest, r->id, &in))
			here(r);
		guest_get_reg(&self->guest, r->id, &got);
		EXPECT_EQ(0, memcmp(&was, &got, sizeof(was)))
			here(r);
		if (r->kind == ZERO) {
			EXPECT_EQ(0, guest_set_reg(&self->guest, r->id, &was))
				here(r);
			EXPECT_EQ(0, was.word[0])
				here(r);
		}
	}
}

static bool between(unsigned long id, unsigned long first, unsigned long last)
{
	return id >= first && id <= last;
}

/* Does a write to one of them change the other? */
static bool related(unsigned long a, unsigned long b)
{
	/* FPRs are parts of the VSRs with the same number */
	if (between(a, KVM_REG_PPC_FPR0, KVM_REG_PPC_FPR31))
		return b == KVM_REG_PPC_VSR(a - KVM_REG_PPC_FPR0);
	if (between(a, KVM_REG_PPC_VSR0, KVM_REG_PPC_VSR31))
		return b == KVM_REG_PPC_FPR(a - KVM_REG_PPC_VSR0);
	switch (a) {
	case KVM_REG_PPC_LPCR:
		return b == KVM_REG_PPC_LPCR_64;
	case KVM_REG_PPC_LPCR_64:
		return b == KVM_REG_PPC_LPCR;
	case KVM_REG_PPC_TB_OFFSET:
		return b == KVM_REG_PPC_DEC_EXPIRY;
	}
	return false;
}

/* A write to a register does not change any other */
TEST_F(one_reg, set_only_one)
{
	union value in = { .word = { 0x1122334455667788, 0x1122334455667788 } };
	union value other_in = { .word = { 1UL << 40, 1 } };
	struct reg *r, *other;
	union value got;

	/* Give each register another value, but not 0 */
	for (r = self->reg; r < self->reg + self->n; r++) {
		other_in.word[0]++;
		if (r->kind == HELD)
			ASSERT_EQ(0, guest_set_reg(&self->guest, r->id, &other_in))
				here(r);
		memset(&r->was, 0, sizeof(r->was));
		guest_get_reg(&self->guest, r->id, &r->was);
	}
	for (r = self->reg; r < self->reg + self->n; r++)
		for (other = self->reg; other < self->reg + self->n; other++)
			if (related(r->id, other->id))
				guest_get_reg(&self->guest, other->id, &other->was);
	for (r = self->reg; r < self->reg + self->n; r++) {
		if (!can_write(r))
			continue;
		ASSERT_EQ(0, guest_set_reg(&self->guest, r->id, &in))
			here(r);
		for (other = self->reg; other < self->reg + self->n; other++) {
			if (other == r || related(r->id, other->id))
				continue;
			memset(&got, 0, sizeof(got));
			guest_get_reg(&self->guest, other->id, &got);
			EXPECT_EQ(0, memcmp(&other->was, &got, sizeof(got))) {
				here(other);
				TH_LOG("changed by KVM_REG_PPC_%s, id %lx",
				       r->name, r->id);
			}
			/* Report each change only once */
			other->was = got;
		}
		ASSERT_EQ(0, guest_set_reg(&self->guest, r->id, &r->was))
			here(r);
		for (other = self->reg; other < self->reg + self->n; other++)
			if (related(r->id, other->id))
				guest_get_reg(&self->guest, other->id, &other->was);
	}
}

/* An FPR is the upper doubleword of its VSR */
TEST_F(one_reg, fpr_is_in_vsr)
{
	enum { upper = !IS_BIG_ENDIAN, lower = IS_BIG_ENDIAN };
	unsigned long fpr = 0x1122334455667788, got;
	union value vsr = { .word[upper] = 1, .word[lower] = 2 };
	unsigned int i;

	for (i = 0; i < 32; i++) {
		ASSERT_EQ(0, guest_set_reg(&self->guest, KVM_REG_PPC_VSR(i), &vsr));
		ASSERT_EQ(0, guest_get_reg(&self->guest, KVM_REG_PPC_FPR(i), &got));
		EXPECT_EQ(1, got);
		ASSERT_EQ(0, guest_set_reg(&self->guest, KVM_REG_PPC_FPR(i), &fpr));
		ASSERT_EQ(0, guest_get_reg(&self->guest, KVM_REG_PPC_VSR(i), &vsr));
		EXPECT_EQ(2, vsr.word[lower]);
		EXPECT_EQ(fpr, vsr.word[upper]);
		vsr.word[upper] = 1;
	}
}

/* The SLB shadow and the dispatch trace log need a VPA */
TEST_F(one_reg, vpa)
{
	union value area = { .word = { 0x20000, 1000 } }, none = { }, got;
	unsigned long vpa = 0x10000, odd = 0x10001, zero = 0;
	struct guest *g = &self->guest;

	EXPECT_EQ(-EINVAL, guest_set_reg(g, KVM_REG_PPC_VPA_SLB, &area));
	EXPECT_EQ(-EINVAL, guest_set_reg(g, KVM_REG_PPC_VPA_DTL, &area));
	EXPECT_EQ(-EINVAL, guest_set_reg(g, KVM_REG_PPC_VPA_ADDR, &odd));

	ASSERT_EQ(0, guest_set_reg(g, KVM_REG_PPC_VPA_ADDR, &vpa));
	ASSERT_EQ(0, guest_get_reg(g, KVM_REG_PPC_VPA_ADDR, &got));
	EXPECT_EQ(vpa, got.word[0]);
	ASSERT_EQ(0, guest_set_reg(g, KVM_REG_PPC_VPA_SLB, &area));
	ASSERT_EQ(0, guest_get_reg(g, KVM_REG_PPC_VPA_SLB, &got));
	EXPECT_EQ(0x20000, got.word[0]);
	EXPECT_EQ(1000, got.word[1]);

	/* The length is rounded down to entries of 48 bytes */
	ASSERT_EQ(0, guest_set_reg(g, KVM_REG_PPC_VPA_DTL, &area));
	ASSERT_EQ(0, guest_get_reg(g, KVM_REG_PPC_VPA_DTL, &got));
	EXPECT_EQ(0x20000, got.word[0]);
	EXPECT_EQ(960, got.word[1]);
	area.word[1] = 47;
	EXPECT_EQ(-EINVAL, guest_set_reg(g, KVM_REG_PPC_VPA_DTL, &area));

	/* The VPA has to be unregistered last */
	EXPECT_EQ(-EINVAL, guest_set_reg(g, KVM_REG_PPC_VPA_ADDR, &zero));
	EXPECT_EQ(0, guest_set_reg(g, KVM_REG_PPC_VPA_SLB, &none));
	EXPECT_EQ(-EINVAL, guest_set_reg(g, KVM_REG_PPC_VPA_ADDR, &zero));
	EXPECT_EQ(0, guest_set_reg(g, KVM_REG_PPC_VPA_DTL, &none));
	EXPECT_EQ(0, guest_set_reg(g, KVM_REG_PPC_VPA_ADDR, &zero));
}

/* Compatibility modes of the host's processor and older ones are accepted */
TEST_F(one_reg, compat)
{
	static const struct {
		unsigned int pvr;
		unsigned long needs;	/* in AT_HWCAP2 */
	} mode[] = {
		{ 0x0f000003, 0 },			/* 2.06 */
		{ 0x0f000004, 0 },			/* 2.07 */
		{ 0x0f000005, HWCAP2_ARCH_3_00 },	/* 3.0 */
		{ 0x0f000006, HWCAP2_ARCH_3_1 },	/* 3.1 */
		{ 0, 0 },
	};
	unsigned int bad = 0x0f0000ff, was = 0, got;
	unsigned long hwcap2 = getauxval(AT_HWCAP2);
	unsigned int i;
	int want;

	for (i = 0; i < ARRAY_SIZE(mode); i++) {
		want = (hwcap2 & mode[i].needs) == mode[i].needs ? 0 : -EINVAL;
		EXPECT_EQ(want, guest_set_reg(&self->guest, KVM_REG_PPC_ARCH_COMPAT,
					      &mode[i].pvr));
		if (!want)
			was = mode[i].pvr;
		ASSERT_EQ(0, guest_get_reg(&self->guest, KVM_REG_PPC_ARCH_COMPAT,
					   &got));
		EXPECT_EQ(was, got);
		EXPECT_EQ(-EINVAL, guest_set_reg(&self->guest,
						 KVM_REG_PPC_ARCH_COMPAT, &bad));
	}
}

/* EINVAL for any other id, including known numbers with another size or arch */
TEST_F(one_reg, unknown_id)
{
	unsigned long low, size, id, tried = 0;
	unsigned char buf[1 << 15] = { 0 };
	unsigned int i;

	for (low = 0; low < 0x100; low++) {
		for (size = 0; size < 16; size++) {
			id = KVM_REG_PPC | size << KVM_REG_SIZE_SHIFT | low;
			for (i = 0; i < self->n; i++)
				if (self->reg[i].id == id)
					break;
			if (i < self->n)
				continue;
			EXPECT_EQ(-EINVAL, guest_get_reg(&self->guest, id, buf))
				TH_LOG("id %lx", id);
			EXPECT_EQ(-EINVAL, guest_set_reg(&self->guest, id, buf))
				TH_LOG("id %lx", id);
			tried++;
		}
	}
	EXPECT_LT(0x800, tried);

	for (i = 0; i < self->n; i++) {
		id = (self->reg[i].id & ~KVM_REG_ARCH_MASK) | KVM_REG_S390;
		EXPECT_EQ(-EINVAL, guest_get_reg(&self->guest, id, buf))
			TH_LOG("id %lx", id);
		EXPECT_EQ(-EINVAL, guest_set_reg(&self->guest, id, buf))
			TH_LOG("id %lx", id);
		id = self->reg[i].id | 1UL << 40;
		EXPECT_EQ(-EINVAL, guest_get_reg(&self->guest, id, buf))
			TH_LOG("id %lx", id);
	}
}

TEST_F(one_reg, bad_address)
{
	unsigned char *end;
	struct reg *r;
	size_t size;

	end = mmap(NULL, 2 * PAGE_64K, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, end);
	end += PAGE_64K;
	ASSERT_EQ(0, mprotect(end, PAGE_64K, PROT_NONE));
	for (r = self->reg; r < self->reg + self->n; r++) {
		if (!can_write(r))
			continue;
		size = reg_size(r->id);
		EXPECT_EQ(-EFAULT, guest_get_reg(&self->guest, r->id, NULL))
			here(r);
		EXPECT_EQ(-EFAULT, guest_set_reg(&self->guest, r->id, NULL))
			here(r);
		EXPECT_EQ(-EFAULT, guest_get_reg(&self->guest, r->id, end - size / 2))
			here(r);
		EXPECT_EQ(-EFAULT, guest_set_reg(&self->guest, r->id, end - size / 2))
			here(r);
		EXPECT_EQ(0, guest_get_reg(&self->guest, r->id, end - size))
			here(r);
	}
}

/* Does not compile if the table lacks a name of the header */
enum in_table {
#define REG(name, ...) IN_TABLE_KVM_REG_PPC_##name,
#include "one_reg_table.h"
#undef REG
};

static const struct {
	const char *name;
	unsigned long id;
	enum in_table in_table;
} header[] = {
#define HEADER_REG(reg) { #reg, reg, IN_TABLE_##reg },
#define DOC_REG(...)
#include "one_reg_list.h"
#undef HEADER_REG
#undef DOC_REG
};

static const struct {
	const char *name;
	unsigned int bits;
} documented[] = {
#define HEADER_REG(...)
#define DOC_REG(reg, bits) { #reg, bits },
#include "one_reg_list.h"
};

/* Known disagreements of the documentation, the header and the kernel */
static const char * const known[] = {
	"KVM_REG_PPC_DEBUG_INST is not documented",
	"KVM_REG_PPC_ONLINE is not documented",
};

static unsigned int disagree(const char *name, const char *what)
{
	char text[128];
	unsigned int i;

	snprintf(text, sizeof(text), "%s %s", name, what);
	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(known[i], text))
			break;
	fprintf(stderr, "# %s%s\n", text,
		i < ARRAY_SIZE(known) ? "" : " (new)");
	return i < ARRAY_SIZE(known) ? 0 : 1;
}

/* The list in section 4.68 of Documentation/virt/kvm/api.rst */
TEST(documentation)
{
	unsigned int new = 0, found = 0, i, k;

	EXPECT_LT(100, ARRAY_SIZE(header));
	EXPECT_LT(100, ARRAY_SIZE(documented));
	for (i = 0; i < ARRAY_SIZE(header); i++) {
		for (k = 0; k < ARRAY_SIZE(documented); k++)
			if (!strcmp(header[i].name, documented[k].name))
				break;
		if (k == ARRAY_SIZE(documented)) {
			new += disagree(header[i].name, "is not documented");
			found++;
		} else if (documented[k].bits != 8 * reg_size(header[i].id)) {
			new += disagree(header[i].name,
					"is documented with another size");
			found++;
		}
	}
	for (k = 0; k < ARRAY_SIZE(documented); k++) {
		for (i = 0; i < ARRAY_SIZE(header); i++)
			if (!strcmp(header[i].name, documented[k].name))
				break;
		if (i == ARRAY_SIZE(header)) {
			new += disagree(documented[k].name,
					"is documented, but not in the header");
			found++;
		}
	}
	EXPECT_EQ(0, new);
	EXPECT_EQ(ARRAY_SIZE(known), found);
}

TEST_HARNESS_MAIN
