// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_GET_REG_LIST on a vcpu of Book3S HV: the list contains the registers that
 * can be read and set according to one_reg_table.h, except for those that the
 * host's processor lacks.
 */
#include <errno.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"

#define HWCAP2_TM		0x40000000UL	/* PPC_FEATURE2_HTM */
#define HWCAP2_ARCH_3_00	0x00800000UL
#define HWCAP2_ARCH_3_1		0x00040000UL

#define MAX_REGS	512

enum kind {
	HELD, BREAKPOINT, LPCR, ROUNDED_UP, ZERO, VPA, COMPAT,
	/* Not in the list */
	READ_ONLY, NO_DEVICE, NOT_HV,
};

struct reg {
	const char *name;
	unsigned long id;
	unsigned int count;
	enum kind kind;
};

static const struct reg table[] = {
#define REG(reg, n, what, bits) { #reg, KVM_REG_PPC_##reg, n, what },
#include "one_reg_table.h"
#undef REG
};

/* Registers that a processor may lack */
static const struct sublist {
	const char *what;
	unsigned long needs;	/* one of these features(), unless 0 */
	unsigned long not;	/* none of these */
	const char * const *names;
} sublists[] = {
	{ "POWER8 only", 0, HWCAP2_ARCH_3_00, (const char * const []) {
		"MMCRS", "SPMC", "CSIGR", "TACR", "TCSCR", "ACOP", "WORT",
		NULL } },
	{ "TM", HWCAP2_TM, 0, (const char * const []) {
		"TFHAR", "TFIAR", "TEXASR", "TM_", NULL } },
	{ "v3.0", HWCAP2_ARCH_3_00, 0, (const char * const []) {
		"PSSCR", "PTCR", NULL } },
	{ "POWER9 only", HWCAP2_ARCH_3_00, HWCAP2_ARCH_3_1,
	  (const char * const []) { "TIDR", NULL } },
	{ "v3.1", HWCAP2_ARCH_3_1, 0, (const char * const []) {
		"MMCR3", "SIER2", "SIER3", "DAWR1", "DAWRX1", "DEXCR",
		"HASHKEYR", "HASHPKEYR", NULL } },
	/* The lower half of LPCR_64 */
	{ "never", 0, ~0UL, (const char * const []) { "LPCR", NULL } },
};

struct list {
	unsigned long n;
	unsigned long reg[MAX_REGS];
};

FIXTURE(reg_list)
{
	struct vm vm;
	struct guest guest;
	struct list list;
};

static int get_list(struct guest *g, struct list *list)
{
	return ioctl(g->fd, KVM_GET_REG_LIST, list) ? -errno : 0;
}

FIXTURE_SETUP(reg_list)
{
	ASSERT_EQ(0, vm_init(&self->vm, MIN_ORDER, PAGE_16M));
	ASSERT_EQ(0, guest_init(&self->guest, &self->vm, true));
	self->list.n = MAX_REGS;
	if (get_list(&self->guest, &self->list) == -EINVAL)
		SKIP(return, "no KVM_GET_REG_LIST");
}

FIXTURE_TEARDOWN(reg_list)
{
	guest_free(&self->guest);
	EXPECT_EQ(0, vm_free(&self->vm));
}

static bool named(const struct sublist *sub, const char *name)
{
	const char * const *p;
	size_t len;

	for (p = sub->names; *p; p++) {
		len = strlen(*p);
		/* TM_ and SPMC are prefixes, the others whole names */
		if (!strcmp(*p, name) || (strstr("TM_ SPMC", *p) &&
					  !strncmp(*p, name, len)))
			return true;
	}
	return false;
}

/* KVM may have transactional memory for guests where the host has none */
static unsigned long features(struct vm *vm)
{
	unsigned long hwcap2 = getauxval(AT_HWCAP2) & ~HWCAP2_TM;

	if (ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_PPC_HTM) > 0)
		hwcap2 |= HWCAP2_TM;
	return hwcap2;
}

static bool expected(struct vm *vm, const struct reg *r)
{
	unsigned long hwcap2 = features(vm);
	const struct sublist *sub;

	if (r->kind >= READ_ONLY)
		return false;
	for (sub = sublists; sub < sublists + ARRAY_SIZE(sublists); sub++)
		if (named(sub, r->name))
			return (!sub->needs || (hwcap2 & sub->needs)) &&
			       !(hwcap2 & sub->not);
	return true;
}

static unsigned int times(const struct list *list, unsigned long id)
{
	unsigned int n = 0;
	unsigned long i;

	for (i = 0; i < list->n; i++)
		n += list->reg[i] == id;
	return n;
}

TEST_F(reg_list, is_what_the_table_says)
{
	unsigned int i, k, total = 0;
	bool want;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		want = expected(&self->vm, &table[i]);
		for (k = 0; k < table[i].count; k++) {
			EXPECT_EQ(want, times(&self->list, table[i].id + k))
				TH_LOG("%s, id %lx", table[i].name,
				       table[i].id + k);
			total += want;
		}
	}
	/* So each register in the list is in the table */
	EXPECT_EQ(total, self->list.n);
}

TEST_F(reg_list, can_be_read)
{
	unsigned char buf[64];
	unsigned long i;

	for (i = 0; i < self->list.n; i++)
		EXPECT_EQ(0, guest_get_reg(&self->guest, self->list.reg[i], buf))
			TH_LOG("id %lx", self->list.reg[i]);
}

TEST_F(reg_list, room)
{
	struct list list = { .n = 0 };
	unsigned long n = self->list.n;

	memset(list.reg, 0xa5, sizeof(list.reg));
	EXPECT_EQ(-E2BIG, get_list(&self->guest, &list));
	EXPECT_EQ(n, list.n);
	list.n = n - 1;
	EXPECT_EQ(-E2BIG, get_list(&self->guest, &list));
	EXPECT_EQ(n, list.n);
	EXPECT_EQ(0xa5a5a5a5a5a5a5a5, list.reg[0]);
	EXPECT_EQ(0, get_list(&self->guest, &list));
	EXPECT_EQ(n, list.n);
	EXPECT_EQ(0, memcmp(list.reg, self->list.reg, n * sizeof(unsigned long)));
	EXPECT_EQ(0xa5a5a5a5a5a5a5a5, list.reg[n]);
	EXPECT_EQ(-EFAULT, get_list(&self->guest, NULL));
}

/* Copy all registers from one vcpu to another, as a migration does */
TEST_F(reg_list, migrates)
{
	unsigned long value[MAX_REGS][2] = { }, got[2], i;
	unsigned long in[2] = { 0x1122334455667788, 0x99aabbccddeeff00 };
	unsigned long vpa = 0x10000, dtl[2] = { 0x20000, 960 };
	struct guest other;
	struct vm vm;
	unsigned int k;

	ASSERT_EQ(0, vm_init(&vm, MIN_ORDER, PAGE_16M));
	ASSERT_EQ(0, guest_init(&other, &vm, true));
	for (i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].kind != HELD || !expected(&self->vm, &table[i]))
			continue;
		for (k = 0; k < table[i].count; k++) {
			in[0]++;
			ASSERT_EQ(0, guest_set_reg(&self->guest, table[i].id + k, in))
				TH_LOG("%s", table[i].name);
		}
	}
	ASSERT_EQ(0, guest_set_reg(&self->guest, KVM_REG_PPC_VPA_ADDR, &vpa));
	ASSERT_EQ(0, guest_set_reg(&self->guest, KVM_REG_PPC_VPA_DTL, dtl));

	for (i = 0; i < self->list.n; i++)
		ASSERT_EQ(0, guest_get_reg(&self->guest, self->list.reg[i], value[i]))
			TH_LOG("id %lx", self->list.reg[i]);
	for (i = 0; i < self->list.n; i++)
		EXPECT_EQ(0, guest_set_reg(&other, self->list.reg[i], value[i]))
			TH_LOG("id %lx", self->list.reg[i]);
	for (i = 0; i < self->list.n; i++) {
		memset(got, 0, sizeof(got));
		EXPECT_EQ(0, guest_get_reg(&other, self->list.reg[i], got));
		EXPECT_EQ(0, memcmp(got, value[i], sizeof(got)))
			TH_LOG("id %lx: %lx %lx, not %lx %lx",
			       self->list.reg[i], got[0], got[1], value[i][0],
			       value[i][1]);
	}
	guest_free(&other);
	EXPECT_EQ(0, vm_free(&vm));
}

TEST_HARNESS_MAIN
