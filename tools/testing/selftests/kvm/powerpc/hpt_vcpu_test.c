// SPDX-License-Identifier: GPL-2.0
/*
 * The HPT of a running guest: hypercalls that change HPTEs, R and C bits set by
 * hardware, operations of the host on guest memory, and writers while a vcpu
 * runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "hpt_guest.h"

#define ORDER	MIN_ORDER
#define N	NPTE(ORDER)

#define MEM	PAGE_16M

/* The page that the guest maps at GUEST_EA */
#define PAGE	3UL
#define GPA	(PAGE * PAGE_64K)

/*
 * A guest that has only its VRMA HPTEs for page 0, and a reader that has
 * reported them.  @want is the expected HPT, @got what was read.
 */
FIXTURE(vcpu)
{
	struct vm vm;
	struct guest guest;
	struct table want;
	struct table got;
	unsigned long index;	/* of the HPTE that maps GUEST_EA */
	int fd;
};

FIXTURE_SETUP(vcpu)
{
	ASSERT_EQ(0, vm_init(&self->vm, ORDER, MEM));
	ASSERT_EQ(0, guest_init(&self->guest, &self->vm, true));
	ASSERT_EQ(0, table_init(&self->want, N));
	ASSERT_EQ(0, table_init(&self->got, N));
	table_set_vrma(&self->want, N, 0, HPTE_R_RC);
	self->index = guest_index(N, PAGE);
	self->vm.mem[GPA] = 1;

	self->fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ((long)N, table_drain(&self->got, self->fd, 4096));
	ASSERT_EQ(0, table_diff(&self->want, &self->got));
	table_unsee(&self->got);
}

FIXTURE_TEARDOWN(vcpu)
{
	guest_free(&self->guest);
	EXPECT_EQ(0, vm_free(&self->vm));
}

/* The HPTE of the page that page_load() and page_store() access */
static struct hpte page_hpte(unsigned long rc)
{
	return guest_hpte(PAGE, GPA, rc);
}

static int page_load(struct guest *g)
{
	return guest_load(g, GUEST_EA + GPA, true);
}

static int page_store(struct guest *g)
{
	return guest_store(g, GUEST_EA + GPA, true);
}

/* Reads until 0 report exactly @n HPTEs, and the replica is right */
#define EXPECT_TOLD(n) do { \
	table_unsee(&self->got); \
	EXPECT_EQ((long)(n), table_drain(&self->got, self->fd, 4096)); \
	EXPECT_EQ(0, table_diff(&self->want, &self->got)); \
} while (0)

/* H_ENTER: reported */
TEST_F(vcpu, entered)
{
	struct hpte mmio = hpte_at(5000);

	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(HPTE_R_RC)));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);
	EXPECT_EQ(1, self->got.seen[self->index]);

	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 5000, mmio));
	table_set(&self->want, 5000, mmio);
	EXPECT_TOLD(1);
	EXPECT_EQ(1, self->got.seen[5000]);

	/* A failed H_ENTER changes nothing */
	ASSERT_EQ(H_PTEG_FULL, guest_enter(&self->guest, 5000, hpte_at(1)));
	EXPECT_TOLD(0);
}

/* KVM ignores its internal bits in dword 1 if the guest sets them */
TEST_F(vcpu, entered_with_a_mark)
{
	struct hpte e = hpte_at(5000);

	e.r |= HPTE_R_SOFT;
	close(self->fd);
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 5000, e));

	/* A reader that begins after this HPTE reports only changes of it */
	self->fd = vm_htab_fd(&self->vm, 0, N - 8);
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(8, table_drain(&self->got, self->fd, 4096));
	ASSERT_EQ(H_SUCCESS, guest_protect(&self->guest, 5000, 1));
	EXPECT_EQ(1, table_drain(&self->got, self->fd, 4096));
}

/* H_REMOVE: reported, as is the HPTE that is entered there next */
TEST_F(vcpu, removed)
{
	struct hpte gone = { 0 };

	ASSERT_EQ(0, vm_write_run(&self->vm, 5000, 3, 0));
	ASSERT_EQ(0, vm_write_hpte(&self->vm, self->index,
				   page_hpte(HPTE_R_RC)));
	table_set_run(&self->want, 5000, 3);
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(4);

	ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, 5001));
	ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, self->index));
	ASSERT_EQ(H_NOT_FOUND, guest_remove(&self->guest, 6000));
	table_set(&self->want, 5001, gone);
	table_set(&self->want, self->index, gone);
	EXPECT_TOLD(2);

	ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, 5000));
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 5000, hpte_at(7)));
	table_set(&self->want, 5000, hpte_at(7));
	EXPECT_TOLD(1);
}

/* H_BULK_REMOVE: each removed HPTE is reported, present or not */
TEST_F(vcpu, bulk_removed)
{
	unsigned long args[] = {
		H_BULK_REQUEST | 5000, 0,
		H_BULK_REQUEST | self->index, 0,
		H_BULK_REQUEST | 6000, 0,
		H_BULK_REQUEST | 5002, 0,
	};
	struct hpte gone = { 0 };

	ASSERT_EQ(0, vm_write_run(&self->vm, 5000, 3, 0));
	ASSERT_EQ(0, vm_write_hpte(&self->vm, self->index,
				   page_hpte(HPTE_R_RC)));
	table_set_run(&self->want, 5000, 3);
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(4);

	ASSERT_EQ(H_SUCCESS, guest_hcall(&self->guest, H_BULK_REMOVE, args, 8));
	EXPECT_TRUE(self->guest.ret[0] & H_BULK_DONE);
	EXPECT_TRUE(self->guest.ret[2] & H_BULK_DONE);
	table_set(&self->want, 5000, gone);
	table_set(&self->want, self->index, gone);
	table_set(&self->want, 5002, gone);
	EXPECT_TOLD(3);
}

/* H_PROTECT: reported, for a present and for an absent HPTE */
TEST_F(vcpu, protected)
{
	struct hpte e = page_hpte(HPTE_R_RC), mmio = hpte_at(5000);

	ASSERT_EQ(0, vm_write_hpte(&self->vm, self->index, e));
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 5000, mmio));
	table_set(&self->want, self->index, e);
	table_set(&self->want, 5000, mmio);
	EXPECT_TOLD(2);

	ASSERT_EQ(H_SUCCESS, guest_protect(&self->guest, self->index, 3));
	ASSERT_EQ(H_SUCCESS, guest_protect(&self->guest, 5000, 1));
	e.r = (e.r & ~HPTE_R_PP) | 3;
	mmio.r = (mmio.r & ~HPTE_R_PP) | 1;
	table_set(&self->want, self->index, e);
	table_set(&self->want, 5000, mmio);
	EXPECT_TOLD(2);
}

/* H_CLEAR_REF: reported if the reader has reported R before */
TEST_F(vcpu, r_cleared)
{
	struct hpte mmio = hpte_at(5000);

	ASSERT_EQ(0, vm_write_hpte(&self->vm, self->index,
				   page_hpte(HPTE_R_RC)));
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 5000, mmio));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	table_set(&self->want, 5000, mmio);
	EXPECT_TOLD(2);

	ASSERT_EQ(H_SUCCESS, guest_clear_ref(&self->guest, self->index));
	ASSERT_EQ(H_SUCCESS, guest_clear_ref(&self->guest, 5000));
	mmio.r &= ~HPTE_R_R;
	table_set(&self->want, self->index, page_hpte(HPTE_R_C));
	table_set(&self->want, 5000, mmio);
	EXPECT_TOLD(2);
	ASSERT_EQ(H_SUCCESS, guest_clear_ref(&self->guest, self->index));
	EXPECT_TOLD(0);
}

/* H_CLEAR_MOD: likewise for C */
TEST_F(vcpu, c_cleared)
{
	struct hpte mmio = hpte_at(5000);

	ASSERT_EQ(0, vm_write_hpte(&self->vm, self->index,
				   page_hpte(HPTE_R_RC)));
	ASSERT_EQ(0, vm_write_hpte(&self->vm, 5000, mmio));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	table_set(&self->want, 5000, mmio);
	EXPECT_TOLD(2);

	ASSERT_EQ(H_SUCCESS, guest_clear_mod(&self->guest, self->index));
	ASSERT_EQ(H_SUCCESS, guest_clear_mod(&self->guest, 5000));
	mmio.r &= ~HPTE_R_C;
	table_set(&self->want, self->index, page_hpte(HPTE_R_R));
	table_set(&self->want, 5000, mmio);
	EXPECT_TOLD(2);
	ASSERT_EQ(H_SUCCESS, guest_clear_mod(&self->guest, self->index));
	EXPECT_TOLD(0);
}

/* R and C set by hardware are reported, although nothing marks them */
TEST_F(vcpu, hardware_r_then_c)
{
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	table_set(&self->want, self->index, page_hpte(0));
	EXPECT_TOLD(1);

	ASSERT_EQ(0, page_load(&self->guest));
	table_set(&self->want, self->index, page_hpte(HPTE_R_R));
	EXPECT_TOLD(1);

	ASSERT_EQ(0, page_store(&self->guest));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);

	/* Hardware cannot change the HPTE any more */
	ASSERT_EQ(0, page_store(&self->guest));
	EXPECT_TOLD(0);
}

/* Likewise, after the guest has cleared both, and both at once */
TEST_F(vcpu, hardware_rc_after_clear)
{
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(HPTE_R_RC)));
	ASSERT_EQ(0, page_store(&self->guest));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);

	ASSERT_EQ(H_SUCCESS, guest_clear_ref(&self->guest, self->index));
	ASSERT_EQ(H_SUCCESS, guest_clear_mod(&self->guest, self->index));
	table_set(&self->want, self->index, page_hpte(0));
	EXPECT_TOLD(1);

	ASSERT_EQ(0, page_store(&self->guest));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);
}

/* Likewise, in the VRMA, where a guest starts */
TEST_F(vcpu, hardware_rc_in_vrma)
{
	unsigned long i = vrma_index(N, GPA);

	ASSERT_EQ(0, vm_write_vrma(&self->vm, N, GPA, 0));
	table_set_vrma(&self->want, N, GPA, 0);
	EXPECT_TOLD(vrma_count());
	ASSERT_EQ(0, guest_load(&self->guest, GPA, false));
	table_set(&self->want, i, vrma_hpte(GPA, HPTE_R_R));
	EXPECT_TOLD(1);
	ASSERT_EQ(0, guest_store(&self->guest, GPA, false));
	table_set(&self->want, i, vrma_hpte(GPA, HPTE_R_RC));
	EXPECT_TOLD(1);
}

/* Also before start_index, in HPTEs that the reader has never reported */
TEST_F(vcpu, hardware_rc_before_start_index)
{
	unsigned long start = self->index + 8;

	/* Entered without a reader, so no harvest visits its group */
	close(self->fd);
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	self->fd = vm_htab_fd(&self->vm, 0, start);
	ASSERT_LE(0, self->fd);
	ASSERT_LE((long)(N - start), table_drain(&self->got, self->fd, 4096));
	table_set(&self->got, self->index, page_hpte(0));

	ASSERT_EQ(0, page_load(&self->guest));
	table_set(&self->want, self->index, page_hpte(HPTE_R_R));
	EXPECT_TOLD(1);
	ASSERT_EQ(0, page_store(&self->guest));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);
}

/* A first pass reports R and C, wherever KVM keeps them */
TEST_F(vcpu, hardware_rc_in_first_pass)
{
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	ASSERT_EQ(0, page_store(&self->guest));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	ASSERT_EQ((long)N, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* An absent HPTE that becomes present at the first access has not changed */
TEST_F(vcpu, paged_in)
{
	/* The host has not allocated this page */
	unsigned long page = PAGE + 1, gpa = page * PAGE_64K;
	unsigned long index = guest_index(N, page);
	struct hpte e = guest_hpte(page, gpa, HPTE_R_RC);

	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, index, e));
	table_set(&self->want, index, e);
	EXPECT_TOLD(1);
	ASSERT_EQ(0, guest_store(&self->guest, GUEST_EA + gpa, true));
	EXPECT_TOLD(0);
	ASSERT_EQ((long)N, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* The host unmaps the page: the HPTE becomes absent and keeps R and C */
TEST_F(vcpu, unmapped_by_the_host)
{
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	table_set(&self->want, self->index, page_hpte(0));
	EXPECT_TOLD(1);

	ASSERT_EQ(0, page_store(&self->guest));
	ASSERT_EQ(0, madvise(self->vm.mem + GPA, PAGE_64K, MADV_DONTNEED));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);

	/* If R and C were reported before, unmapping is no change */
	ASSERT_EQ(0, page_store(&self->guest));
	EXPECT_TOLD(0);
	ASSERT_EQ(0, madvise(self->vm.mem + GPA, PAGE_64K, MADV_DONTNEED));
	EXPECT_TOLD(0);
	ASSERT_EQ((long)N, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* Likewise if the memslot is deleted */
TEST_F(vcpu, memslot_deleted)
{
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	table_set(&self->want, self->index, page_hpte(0));
	EXPECT_TOLD(1);

	ASSERT_EQ(0, page_store(&self->guest));
	ASSERT_EQ(0, vm_memslot(&self->vm, 0, 0, NULL, 0, 0));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);
}

/*
 * When the host ages pages, it clears R in the real HPTE, but not in the
 * guest's view.
 */
TEST_F(vcpu, aged_by_the_host)
{
	unsigned long all[64];
	int fd;

	fd = open("/sys/kernel/mm/page_idle/bitmap", O_WRONLY);
	if (fd < 0)
		SKIP(return, "the kernel has no CONFIG_IDLE_PAGE_TRACKING");
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	table_set(&self->want, self->index, page_hpte(0));
	EXPECT_TOLD(1);

	ASSERT_EQ(0, page_load(&self->guest));
	/* Allocate many pages, which moves this one to a list that is aged */
	memset(self->vm.mem + MEM / 2, 1, MEM / 2);
	memset(all, 0xff, sizeof(all));
	while (write(fd, all, sizeof(all)) == sizeof(all))
		;
	close(fd);
	table_set(&self->want, self->index, page_hpte(HPTE_R_R));
	EXPECT_TOLD(1);
}

static bool page_is_dirty(struct vm *vm)
{
	unsigned char bitmap[MEM / PAGE_4K / 8] = { 0 };
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };

	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log))
		return false;
	return in_dirty_log(bitmap, GPA);
}

/* Dirty logging clears C in the real HPTE, but not in the guest's view */
TEST_F(vcpu, dirty_log)
{
	ASSERT_EQ(0, vm_memslot(&self->vm, 0, 0, self->vm.mem, MEM,
				KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(HPTE_R_R)));
	table_set(&self->want, self->index, page_hpte(HPTE_R_R));
	EXPECT_TOLD(1);

	ASSERT_EQ(0, page_store(&self->guest));
	EXPECT_TRUE(page_is_dirty(&self->vm));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);

	/* Dirty again, but no change: C was set in the guest's view */
	ASSERT_EQ(0, page_store(&self->guest));
	EXPECT_TOLD(0);
	EXPECT_TRUE(page_is_dirty(&self->vm));
	EXPECT_FALSE(page_is_dirty(&self->vm));
	EXPECT_TOLD(0);
}

/* A page is in the log even if its HPTE, or C in it, was removed before */
TEST_F(vcpu, dirty_log_after_hypercall)
{
	ASSERT_EQ(0, vm_memslot(&self->vm, 0, 0, self->vm.mem, MEM,
				KVM_MEM_LOG_DIRTY_PAGES));
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(HPTE_R_RC)));
	EXPECT_FALSE(page_is_dirty(&self->vm));
	ASSERT_EQ(0, page_store(&self->guest));
	ASSERT_EQ(H_SUCCESS, guest_clear_mod(&self->guest, self->index));
	EXPECT_TRUE(page_is_dirty(&self->vm));

	ASSERT_EQ(0, page_store(&self->guest));
	ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, self->index));
	EXPECT_TRUE(page_is_dirty(&self->vm));
	EXPECT_FALSE(page_is_dirty(&self->vm));
}

/* H_PROTECT to read-only keeps C, and H_REMOVE returns it */
TEST_F(vcpu, c_survives_protect)
{
	struct hpte e = page_hpte(HPTE_R_RC);

	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	ASSERT_EQ(0, page_store(&self->guest));
	ASSERT_EQ(H_SUCCESS, guest_protect(&self->guest, self->index, 3));
	e.r |= 3;
	table_set(&self->want, self->index, e);
	EXPECT_TOLD(1);

	ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, self->index));
	EXPECT_EQ(HPTE_R_RC, self->guest.ret[1] & HPTE_R_RC);
	table_set(&self->want, self->index, (struct hpte){ 0 });
	EXPECT_TOLD(1);
}

/* With BOLTED_ONLY, an unbolted HPTE in place of a bolted one is a removal */
TEST_F(vcpu, bolted_to_unbolted)
{
	struct hpte e = hpte_at(6000);

	ASSERT_TRUE(e.v & HPTE_V_BOLTED);
	close(self->fd);
	self->fd = vm_htab_fd(&self->vm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ((long)N, table_drain(&self->got, self->fd, 4096));
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 6000, e));
	table_set(&self->want, 6000, e);
	EXPECT_TOLD(1);

	ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, 6000));
	e.v &= ~HPTE_V_BOLTED;
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 6000, e));
	table_set(&self->want, 6000, (struct hpte){ 0 });
	EXPECT_TOLD(1);
}

/* H_READ does not show the marks for readers */
TEST_F(vcpu, h_read_shows_no_mark)
{
	struct hpte e = hpte_at(6000);
	unsigned long args[] = { 0, 6000 };

	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 6000, e));
	ASSERT_EQ(H_SUCCESS, guest_hcall(&self->guest, H_READ, args, 2));
	EXPECT_EQ(e.v, self->guest.ret[0]);
	EXPECT_EQ(e.r, self->guest.ret[1]);
	ASSERT_EQ(H_SUCCESS, guest_protect(&self->guest, 6000, 1));
	ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, 6000));
	EXPECT_EQ(e.v, self->guest.ret[0]);
	EXPECT_EQ((e.r & ~HPTE_R_PP) | 1, self->guest.ret[1]);

	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 6000, e));
	ASSERT_EQ(H_SUCCESS, guest_clear_ref(&self->guest, 6000));
	EXPECT_EQ(0, self->guest.ret[0] & HPTE_R_SOFT);
	ASSERT_EQ(H_SUCCESS, guest_clear_mod(&self->guest, 6000));
	EXPECT_EQ(0, self->guest.ret[0] & HPTE_R_SOFT);
}

static long guest_read(struct guest *g, unsigned long index)
{
	unsigned long args[] = { 0, index };

	return guest_hcall(g, H_READ, args, 2);
}

/*
 * The guest clears R and C after the host has taken the page away.  They may be
 * left over in the HPTE, which is absent, and must not come back.
 */
TEST_F(vcpu, h_read_of_unmapped_page)
{
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	ASSERT_EQ(0, page_store(&self->guest));
	ASSERT_EQ(0, madvise(self->vm.mem + GPA, PAGE_64K, MADV_DONTNEED));
	ASSERT_EQ(H_SUCCESS, guest_read(&self->guest, self->index));
	EXPECT_EQ(page_hpte(0).v, self->guest.ret[0]);
	EXPECT_EQ(page_hpte(HPTE_R_RC).r, self->guest.ret[1]);
	ASSERT_EQ(H_SUCCESS, guest_clear_mod(&self->guest, self->index));
	ASSERT_EQ(H_SUCCESS, guest_read(&self->guest, self->index));
	EXPECT_EQ(page_hpte(HPTE_R_R).r, self->guest.ret[1]);
	ASSERT_EQ(H_SUCCESS, guest_clear_ref(&self->guest, self->index));
	ASSERT_EQ(H_SUCCESS, guest_read(&self->guest, self->index));
	EXPECT_EQ(page_hpte(0).v, self->guest.ret[0]);
	EXPECT_EQ(page_hpte(0).r, self->guest.ret[1]);
}

/* The guest changes HPTEs while a reader is in the middle of its first pass */
TEST_F(vcpu, changes_during_first_pass)
{
	struct hpte gone = { 0 };
	unsigned long i, at;

	ASSERT_EQ(0, vm_write_run(&self->vm, 0, 2000, 0));
	table_set_run(&self->want, 0, 2000);
	close(self->fd);
	self->fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, self->fd);
	for (i = 0; i < 20; i++) {
		ASSERT_LT(0, table_read(&self->got, self->fd, 1024));
		at = (i * 997) % 2000;
		ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, at));
		table_set(&self->want, at, gone);
		ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 3000 + i,
						 hpte_at(i)));
		table_set(&self->want, 3000 + i, hpte_at(i));
	}
	ASSERT_LT(0, table_drain(&self->got, self->fd, 1024));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* A guest runs with the HPTEs that were written before */
TEST_F(vcpu, write_of_vrma_makes_mmu_ready)
{
	/* The first run: if KVM mapped the VRMA, a read would show it */
	ASSERT_EQ(0, guest_load(&self->guest, 0x8000, false));
	EXPECT_TOLD(0);
	ASSERT_EQ((long)N, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));
}

/* If no VRMA was written, KVM maps all of slot 0, which is reported */
TEST_F(vcpu, vrma_made_by_kvm)
{
	/* One HPTE for each page, but no more than one in each group */
	unsigned long n = MEM >> mem_shift(), page, gpa;

	if (n > N / 8)
		n = N / 8;
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	close(self->fd);
	self->fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ((long)N, table_drain(&self->got, self->fd, 4096));
	EXPECT_EQ(0, self->got.n_valid);

	ASSERT_EQ(0, guest_load(&self->guest, 0x8000, false));
	memset(self->want.hpte, 0, N * sizeof(struct hpte));
	for (page = 0; page < n; page++) {
		gpa = page << mem_shift();
		table_set(&self->want, vrma_index(N, gpa) + 1,
			  vrma_hpte(gpa, HPTE_R_RC));
	}
	EXPECT_TOLD(n);
}

/* A vcpu that cannot run, since no memory is at 0: KVM_RUN says so */
TEST_F(vcpu, run_without_memory)
{
	ASSERT_EQ(0, vm_memslot(&self->vm, 0, 0, NULL, 0, 0));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	EXPECT_EQ(-1, ioctl(self->guest.fd, KVM_RUN, NULL));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(KVM_EXIT_FAIL_ENTRY, self->guest.run->exit_reason);
}

/* Writes fail while a vcpu runs, and only then */
TEST_F(vcpu, busy)
{
	ASSERT_EQ(0, guest_spin(&self->guest));
	EXPECT_EQ(-EBUSY, vm_write_run(&self->vm, 5000, 1, 0));
	EXPECT_EQ(-EBUSY, vm_invalidate(&self->vm, vrma_index(N, 0), 1));
	EXPECT_TOLD(0);
	ASSERT_EQ(0, guest_spin_stop(&self->guest));

	ASSERT_EQ(0, vm_write_run(&self->vm, 5000, 1, 0));
	table_set_run(&self->want, 5000, 1);
	EXPECT_TOLD(1);
}

/* Reads succeed while a vcpu runs */
TEST_F(vcpu, read_while_running)
{
	unsigned int i;

	ASSERT_EQ(0, guest_spin(&self->guest));
	for (i = 0; i < 20; i++) {
		table_unsee(&self->got);
		EXPECT_EQ((long)N, table_dump(&self->got, &self->vm, 0));
		EXPECT_EQ(0, table_diff(&self->want, &self->got));
	}
	ASSERT_EQ(0, guest_spin_stop(&self->guest));
}

/* A reset between two runs: the reader reports the new contents */
TEST_F(vcpu, reset_between_runs)
{
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	ASSERT_EQ(0, page_store(&self->guest));
	ASSERT_EQ(0, vm_alloc_hpt(&self->vm, ORDER));
	ASSERT_EQ(0, vm_write_vrma(&self->vm, N, 0, HPTE_R_RC));
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index,
					 page_hpte(0)));
	table_set(&self->want, self->index, page_hpte(0));
	EXPECT_TOLD(N);
	ASSERT_EQ(0, page_store(&self->guest));
	table_set(&self->want, self->index, page_hpte(HPTE_R_RC));
	EXPECT_TOLD(1);
}

/* A resize keeps bolted HPTEs, and a new reader follows the new HPT */
TEST_F(vcpu, resize)
{
	struct hpte e = page_hpte(0);
	struct table big;
	int fd;

	/* Bolted, so the resize moves it */
	e.v |= HPTE_V_BOLTED;
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, self->index, e));
	ASSERT_EQ(0, vm_resize(&self->vm, ORDER + 1));
	EXPECT_EQ(-ESTALE, table_read(&self->got, self->fd, 4096));

	ASSERT_EQ(0, table_init(&big, 2 * N));
	/* A new reader does not report moved HPTEs as changes */
	fd = vm_htab_fd(&self->vm, 0, 2 * N - 8);
	ASSERT_LE(0, fd);
	EXPECT_EQ(8, table_drain(&big, fd, 4096));
	close(fd);
	table_unsee(&big);

	fd = vm_htab_fd(&self->vm, 0, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ((long)(2 * N), table_drain(&big, fd, 4096));
	EXPECT_EQ(1 + vrma_count(), big.n_valid);
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 2 * N - 1,
					 hpte_at(1)));
	EXPECT_EQ(1, table_drain(&big, fd, 4096));
	EXPECT_EQ(hpte_at(1).r, big.hpte[2 * N - 1].r);
	EXPECT_EQ(-ESTALE, table_read(&self->got, self->fd, 4096));
}

/* Dword 0 of an HPTE as hardware sees it; 0 without debugfs */
static unsigned long host_dword0(struct vm *vm, unsigned long index)
{
	unsigned long found, v, host_r, r;
	char name[64];
	FILE *f;

	snprintf(name, sizeof(name), "/sys/kernel/debug/kvm/%d-%d/htab",
		 getpid(), vm->fd);
	f = fopen(name, "r");
	if (!f)
		return 0;
	do {
		if (fscanf(f, "%lx %lx %lx %lx\n", &found, &v, &host_r, &r) != 4)
			v = 0;
	} while (v && found != index);
	fclose(f);
	return v;
}

/*
 * The group of a 16M page follows from its AVPN alone, so two HPTEs with the
 * same AVPN collide in a resize, however large the new HPT is.  The resize
 * fails, and the guest keeps its HPT, with HPTEs in the same format.
 */
TEST_F(vcpu, resize_collision)
{
	struct hpte e = {
		.v = HPTE_V_1TB | 0x1234UL << 24 | HPTE_V_BOLTED |
		     HPTE_V_LARGE | HPTE_V_VALID,
		.r = GPA_MMIO | HPTE_R_M | HPTE_R_RC | 2,
	};
	unsigned long first, second;
	unsigned int order;

	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 5000, e));
	ASSERT_EQ(H_SUCCESS, guest_enter(&self->guest, 6000, e));
	table_set(&self->want, 5000, e);
	table_set(&self->want, 6000, e);
	EXPECT_TOLD(2);

	first = host_dword0(&self->vm, 5000);
	second = host_dword0(&self->vm, 6000);
	for (order = ORDER + 1; order <= ORDER + 2; order++)
		EXPECT_EQ(-ENOSPC, vm_resize(&self->vm, order));
	EXPECT_EQ(first, host_dword0(&self->vm, 5000));
	EXPECT_EQ(second, host_dword0(&self->vm, 6000));
	EXPECT_TOLD(0);
	ASSERT_EQ((long)N, table_dump(&self->got, &self->vm, 0));
	EXPECT_EQ(0, table_diff(&self->want, &self->got));

	ASSERT_EQ(H_SUCCESS, guest_remove(&self->guest, 6000));
	EXPECT_EQ(0, vm_resize(&self->vm, ORDER + 1));
	EXPECT_EQ(0, guest_load(&self->guest, 0x8000, false));
}

TEST_HARNESS_MAIN
