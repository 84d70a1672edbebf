// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rest of KVM, for the HPT file to work on.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/file.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <asm/kvm_ppc.h>

#include "fake.h"

#define NR_SLOTS	3
#define NR_PAGES	(FAKE_RAM_SIZE >> PAGE_SHIFT)

unsigned long cpu_features = CPU_FTR_ARCH_206;

static struct kvm_memory_slot slots[NR_SLOTS] = {
	{ FAKE_RAM >> PAGE_SHIFT, FAKE_RAM_SIZE >> PAGE_SHIFT, 0, 1ul << 40 },
	{ FAKE_HUGE >> PAGE_SHIFT, FAKE_HUGE_SIZE >> PAGE_SHIFT, 0, 2ul << 40 },
	{ FAKE_ODD >> PAGE_SHIFT, FAKE_ODD_SIZE >> PAGE_SHIFT, 0, 3ul << 40 },
};

/* The small pages of each slot that the host has not mapped */
static bool away[NR_SLOTS][NR_PAGES];

/* The page tables of the VM's process are freed */
static bool mm_freed;

/*
 * Hardware does not set R or C in an HPTE after a tlbie for it. Both take one
 * of these locks.
 */
static pthread_mutex_t tlb[64] = { [0 ... 63] = PTHREAD_MUTEX_INITIALIZER };

static pthread_mutex_t *tlb_lock(unsigned long index)
{
	return &tlb[index % ARRAY_SIZE(tlb)];
}

struct kvm_memory_slot *gfn_to_memslot(struct kvm *kvm, gfn_t gfn)
{
	int i;

	for (i = 0; i < NR_SLOTS; i++)
		if (gfn >= slots[i].base_gfn &&
		    gfn - slots[i].base_gfn < slots[i].npages)
			return &slots[i];
	return NULL;
}

pte_t *__find_linux_pte(pgd_t *pgdir, unsigned long ea, bool *is_thp,
			unsigned int *hshift)
{
	static pte_t present;
	int slot = (ea >> 40) - 1;
	unsigned long page = (ea & ((1ul << 40) - 1)) >> PAGE_SHIFT;

	BUG_ON(mm_freed);
	*hshift = slot == 1 ? FAKE_HUGE_SHIFT : 0;
	return away[slot][page] ? NULL : &present;
}

void fake_host_page(gpa_t gpa, bool there)
{
	struct kvm_memory_slot *slot = gfn_to_memslot(NULL, gpa >> PAGE_SHIFT);

	if (slot)
		away[slot - slots][(gpa >> PAGE_SHIFT) - slot->base_gfn] =
			!there;
}

void fake_exit_mm(struct kvm *kvm)
{
	spin_lock(&kvm->mmu_lock);
	kvm->arch.mm_exited = true;
	spin_unlock(&kvm->mmu_lock);
	mm_freed = true;
}

void fake_delete_slot(gpa_t gpa, bool deleted)
{
	struct kvm_memory_slot *slot = gfn_to_memslot(NULL, gpa >> PAGE_SHIFT);

	slot->flags = deleted ? KVM_MEMSLOT_INVALID : 0;
}

void kvmppc_setup_partition_table(struct kvm *kvm)
{
	BUG_ON(!cpu_has_feature(CPU_FTR_ARCH_300));
	kvm->arch.lpcr |= 1;
}

void kvmppc_update_lpcr(struct kvm *kvm, unsigned long lpcr,
			unsigned long mask)
{
	BUG_ON(cpu_has_feature(CPU_FTR_ARCH_300));
	kvm->arch.lpcr = (kvm->arch.lpcr & ~mask) | lpcr;
}

/* The HPT */

static __be64 *hpte_of(struct kvm *kvm, unsigned long index)
{
	return (__be64 *)(kvm->arch.hpt.virt + (index << 4));
}

static u64 get(const __be64 *dword)
{
	return be64_to_cpu(READ_ONCE(*dword));
}

static void put(__be64 *dword, u64 value)
{
	WRITE_ONCE(*dword, cpu_to_be64(value));
}

/* Lock an HPTE. Returns both dwords in the format used before ISA v3.0. */
static u64 lock(struct kvm *kvm, unsigned long index, u64 *r)
{
	__be64 *hpte = hpte_of(kvm, index);
	u64 v;

	preempt_disable();
	while (!try_lock_hpte(hpte, HPTE_V_HVLOCK))
		cpu_relax();
	v = get(&hpte[0]) & ~HPTE_V_HVLOCK;
	*r = get(&hpte[1]);
	if (cpu_has_feature(CPU_FTR_ARCH_300)) {
		v = hpte_new_to_old_v(v, *r);
		*r = hpte_new_to_old_r(*r);
	}
	return v;
}

static void unlock(struct kvm *kvm, unsigned long index, u64 v)
{
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		v = hpte_old_to_new_v(v);
	unlock_hpte(hpte_of(kvm, index), v);
	preempt_enable();
}

/* Make a locked HPTE invalid to hardware. Returns its dword 1 after that. */
static u64 tlbie(struct kvm *kvm, unsigned long index)
{
	__be64 *hpte = hpte_of(kvm, index);
	u64 r;

	pthread_mutex_lock(tlb_lock(index));
	put(&hpte[0], get(&hpte[0]) & ~HPTE_V_VALID);
	r = get(&hpte[1]);
	pthread_mutex_unlock(tlb_lock(index));
	return r;
}

static void take_rc(struct kvm *kvm, unsigned long index, u64 r, u64 which)
{
	kvmppc_hpt_take_rc(kvm, &kvm->arch.hpt.rev[index], index, r & which);
}

/* In a run, the caller has noted that the group is used */
static long enter(struct kvm *kvm, unsigned long flags, long pte_index,
		  unsigned long pteh, unsigned long ptel, bool realmode,
		  unsigned long *pte_idx_ret, bool run)
{
	unsigned long size = kvmppc_actual_pgsz(pteh, ptel);
	unsigned long index = pte_index, end = index + 1;
	struct kvm_memory_slot *slot;
	u64 v, r, real = ptel;
	unsigned int shift;
	pte_t *pte = NULL;
	gfn_t gfn;

	BUG_ON(preempt_count != 1);
	/* A write by user space: no vcpu may run */
	BUG_ON(!realmode && kvm->arch.mmu_ready);
	if (pteh >> 63 || !size || index >= kvmppc_hpt_npte(&kvm->arch.hpt))
		return H_PARAMETER;
	gfn = (ptel & HPTE_R_RPN & ~(size - 1)) >> PAGE_SHIFT;
	slot = gfn_to_memslot(kvm, gfn);
	if (slot && !(slot->flags & KVM_MEMSLOT_INVALID)) {
		if (!slot_is_aligned(slot, size))
			return H_PARAMETER;
		spin_lock(&kvm->mmu_lock);
		pte = find_kvm_host_pte(kvm, kvm->mmu_invalidate_seq,
					gfn_to_hva_memslot(slot, gfn), &shift);
		spin_unlock(&kvm->mmu_lock);
		if (pte && BIT(shift ?: PAGE_SHIFT) < size)
			return H_PARAMETER;
		if (pte && (ptel & HPTE_R_W))
			return H_PARAMETER;
	}

	if (!(flags & H_EXACT)) {
		index &= ~7ul;
		end = index + 8;
	}
	for (;; index++) {
		if (index == end)
			return H_PTEG_FULL;
		v = lock(kvm, index, &r);
		if (!(v & (HPTE_V_VALID | HPTE_V_ABSENT)))
			break;
		unlock(kvm, index, v);
	}
	if (run)
		kvmppc_hpt_store(kvm, &kvm->arch.hpt.rev[index], index,
				 ptel & ~HPTE_GR_RESERVED);
	else
		kvmppc_hpt_enter(kvm, &kvm->arch.hpt.rev[index], index,
				 ptel & ~HPTE_GR_RESERVED);
	pteh &= ~(HPTE_V_VALID | HPTE_V_ABSENT | HPTE_V_HVLOCK);
	pteh |= pte ? HPTE_V_VALID : HPTE_V_ABSENT;
	real &= ~(HPTE_R_R | HPTE_R_C);
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		real = hpte_old_to_new_r(pteh, real);
	put(hpte_of(kvm, index) + 1, real);
	unlock(kvm, index, pteh);
	*pte_idx_ret = index;
	return H_SUCCESS;
}

long kvmppc_do_h_enter(struct kvm *kvm, unsigned long flags, long pte_index,
		       unsigned long pteh, unsigned long ptel, pgd_t *pgdir,
		       bool realmode, unsigned long *pte_idx_ret)
{
	return enter(kvm, flags, pte_index, pteh, ptel, realmode, pte_idx_ret,
		     false);
}

unsigned int kvmppc_enter_run(struct kvm *kvm, unsigned long index,
			      __be64 *hpte, unsigned int n)
{
	unsigned long entered;
	unsigned int i;

	BUG_ON(preempt_count || index % 8 + n > 8);
	/* It looks at memslots and at the host's page table */
	BUG_ON(!shim_sections);
	preempt_disable();
	for (i = 0; i < n; i++, hpte += 2) {
		if (get(hpte_of(kvm, index + i)) &
		    (HPTE_V_VALID | HPTE_V_ABSENT))
			break;
		if (enter(kvm, H_EXACT, index + i, be64_to_cpu(hpte[0]),
			  be64_to_cpu(hpte[1]), false, &entered, true) !=
		    H_SUCCESS)
			break;
		hpte[0] = 0;
	}
	preempt_enable();
	return i;
}

long kvmppc_do_h_remove(struct kvm *kvm, unsigned long flags,
			unsigned long pte_index, unsigned long avpn,
			unsigned long *hpret)
{
	struct revmap_entry *rev = &kvm->arch.hpt.rev[pte_index];
	u64 v, r;

	BUG_ON(preempt_count != 1);
	/* No caller has a condition */
	BUG_ON(flags || avpn);
	v = lock(kvm, pte_index, &r);
	if (!(v & (HPTE_V_VALID | HPTE_V_ABSENT))) {
		unlock(kvm, pte_index, v);
		return H_NOT_FOUND;
	}
	if (v & HPTE_V_VALID)
		rev->guest_rpte |= tlbie(kvm, pte_index) &
				   (HPTE_R_R | HPTE_R_C);
	hpret[0] = (v & ~HPTE_V_ABSENT) | HPTE_V_VALID;
	hpret[1] = rev->guest_rpte & ~HPTE_GR_RESERVED;
	kvmppc_hpt_mark(kvm, rev, pte_index);
	unlock(kvm, pte_index, 0);
	return H_SUCCESS;
}

/* Lock an HPTE. Returns 0, and does not lock the slot, if it is empty. */
static u64 lock_valid(struct kvm *kvm, unsigned long index, u64 *r)
{
	u64 v = lock(kvm, index, r);

	if (!(v & (HPTE_V_VALID | HPTE_V_ABSENT))) {
		unlock(kvm, index, v);
		return 0;
	}
	return v;
}

#define PROTECTION	(HPTE_R_PP0 | HPTE_R_PP | HPTE_R_N | HPTE_R_KEY)

/* R and C stay in the real HPTE, from where a harvest or the host takes them */
long fake_h_protect(struct kvm *kvm, unsigned long index, unsigned long flags)
{
	struct revmap_entry *rev = &kvm->arch.hpt.rev[index];
	__be64 *hpte = hpte_of(kvm, index);
	u64 r, v = lock_valid(kvm, index, &r);

	if (!v)
		return H_NOT_FOUND;
	flags &= PROTECTION;
	rev->guest_rpte = (rev->guest_rpte & ~PROTECTION) | flags;
	if (v & HPTE_V_VALID) {
		r = tlbie(kvm, index);
		put(&hpte[1], (r & ~PROTECTION) | flags);
	}
	kvmppc_hpt_mark(kvm, rev, index);
	unlock(kvm, index, v);
	return H_SUCCESS;
}

static long clear(struct kvm *kvm, unsigned long index, u64 bit)
{
	struct revmap_entry *rev = &kvm->arch.hpt.rev[index];
	__be64 *hpte = hpte_of(kvm, index);
	u64 r, v = lock_valid(kvm, index, &r);

	if (!v)
		return H_NOT_FOUND;
	if (rev->guest_rpte & bit) {
		rev->guest_rpte &= ~bit;
		kvmppc_hpt_mark(kvm, rev, index);
	}
	if (v & HPTE_V_VALID) {
		r = tlbie(kvm, index);
		/* Keep the other bit in the reverse map, as the kernel does */
		take_rc(kvm, index, r, (HPTE_R_R | HPTE_R_C) & ~bit);
		put(&hpte[1], r & ~bit);
	}
	unlock(kvm, index, v);
	return H_SUCCESS;
}

long fake_h_clear_ref(struct kvm *kvm, unsigned long index)
{
	return clear(kvm, index, HPTE_R_R);
}

long fake_h_clear_mod(struct kvm *kvm, unsigned long index)
{
	return clear(kvm, index, HPTE_R_C);
}

u64 fake_hw_access(struct kvm *kvm, unsigned long index, bool write)
{
	__be64 *hpte = hpte_of(kvm, index);
	u64 v, r, set = HPTE_R_R;

	pthread_mutex_lock(tlb_lock(index));
	v = get(&hpte[0]);
	r = get(&hpte[1]);
	if (write && hpte_is_writable(r))
		set |= HPTE_R_C;
	if (!(v & HPTE_V_VALID))
		set = 0;
	if (set & ~r)
		__atomic_fetch_or(&hpte[1], cpu_to_be64(set), __ATOMIC_RELAXED);
	pthread_mutex_unlock(tlb_lock(index));
	return set;
}

void fake_map(struct kvm *kvm, unsigned long index)
{
	__be64 *hpte = hpte_of(kvm, index);
	u64 r, v = lock_valid(kvm, index, &r);

	if (!v)
		return;
	if (!(v & HPTE_V_VALID))
		put(&hpte[1], get(&hpte[1]) & ~(HPTE_R_R | HPTE_R_C));
	unlock(kvm, index, (v & ~HPTE_V_ABSENT) | HPTE_V_VALID);
}

void fake_unmap(struct kvm *kvm, unsigned long index)
{
	u64 r, v = lock_valid(kvm, index, &r);

	if (!v)
		return;
	if (v & HPTE_V_VALID) {
		r = tlbie(kvm, index);
		/* In dword 1, they have no meaning from now on */
		take_rc(kvm, index, r, HPTE_R_R | HPTE_R_C);
	}
	unlock(kvm, index, (v & ~HPTE_V_VALID) | HPTE_V_ABSENT);
}

/* The HPTE stays valid, as in kvmppc_clear_ref_hpte() */
void fake_age(struct kvm *kvm, unsigned long index)
{
	__be64 *hpte = hpte_of(kvm, index);
	u64 r, v = lock_valid(kvm, index, &r);

	if (!v)
		return;
	if ((v & HPTE_V_VALID) && (r & HPTE_R_R)) {
		take_rc(kvm, index, r, HPTE_R_R);
		pthread_mutex_lock(tlb_lock(index));
		put(&hpte[1], get(&hpte[1]) & ~HPTE_R_R);
		pthread_mutex_unlock(tlb_lock(index));
	}
	unlock(kvm, index, v);
}

void fake_clean(struct kvm *kvm, unsigned long index)
{
	__be64 *hpte = hpte_of(kvm, index);
	u64 r, v = lock_valid(kvm, index, &r);

	if (!v)
		return;
	if (v & HPTE_V_VALID) {
		r = tlbie(kvm, index);
		take_rc(kvm, index, r, HPTE_R_C);
		put(&hpte[1], r & ~HPTE_R_C);
	}
	unlock(kvm, index, v);
}

bool fake_mapped(struct kvm *kvm, unsigned long index)
{
	return get(hpte_of(kvm, index)) & HPTE_V_VALID;
}

long fake_h_enter(struct kvm *kvm, unsigned long index, u64 v, u64 r)
{
	unsigned long entered;
	long ret;

	preempt_disable();
	ret = kvmppc_do_h_enter(kvm, H_EXACT, index, v, r, NULL, true,
				&entered);
	preempt_enable();
	return ret;
}

long fake_h_remove(struct kvm *kvm, unsigned long index)
{
	unsigned long old[2];
	long ret;

	preempt_disable();
	ret = kvmppc_do_h_remove(kvm, 0, index, 0, old);
	preempt_enable();
	return ret;
}

/* The file */

int fake_open(struct kvm *kvm, u64 flags, u64 start_index)
{
	struct kvm_get_htab_fd args = {
		.flags = flags,
		.start_index = start_index,
	};

	return kvm_vm_ioctl_get_htab_fd(kvm, &args);
}

static struct iov_iter iter(void *buf, size_t size, size_t accessible)
{
	return (struct iov_iter) {
		.buf = buf,
		.count = size,
		.limit = min(size, accessible),
	};
}

ssize_t fake_read(int fd, void *buf, size_t size, size_t accessible)
{
	struct kiocb iocb = { .ki_filp = shim_file(fd) };
	struct iov_iter to = iter(buf, size, accessible);
	ssize_t ret;

	if (accessible >= size)
		return iocb.ki_filp->f_op->read(iocb.ki_filp, buf, size, NULL);
	ret = iocb.ki_filp->f_op->read_iter(&iocb, &to);
	/* readv() continues with the next buffer at this position */
	BUG_ON(to.pos != (ret > 0 ? ret : 0));
	return ret;
}

ssize_t fake_write(int fd, void *buf, size_t size, size_t accessible)
{
	struct kiocb iocb = { .ki_filp = shim_file(fd) };
	struct iov_iter from = iter(buf, size, accessible);

	if (accessible >= size)
		return iocb.ki_filp->f_op->write(iocb.ki_filp, buf, size, NULL);
	return iocb.ki_filp->f_op->write_iter(&iocb, &from);
}

int fake_progress(int fd, u32 flags, struct kvm_ppc_htab_progress *p)
{
	struct file *file = shim_file(fd);

	*p = (struct kvm_ppc_htab_progress) {
		.argsz = sizeof(*p),
		.flags = flags,
	};
	return file->f_op->unlocked_ioctl(file, KVM_PPC_HTAB_PROGRESS,
					  (unsigned long)p);
}

__poll_t fake_poll(int fd)
{
	struct file *file = shim_file(fd);

	return file->f_op->poll(file, NULL);
}

/* The VM */

/* On both sides of the HPT, and of its reverse map, nothing is mapped */
#define GUARD		4096ul

static void *map(size_t size)
{
	char *p = mmap(NULL, size + 2 * GUARD, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	BUG_ON(p == MAP_FAILED);
	BUG_ON(mprotect(p + GUARD, size, PROT_READ | PROT_WRITE));
	return p + GUARD;
}

static void unmap(void *p, size_t size)
{
	munmap((char *)p - GUARD, size + 2 * GUARD);
}

static size_t rev_bytes(struct kvm_hpt_info *info)
{
	return kvmppc_hpt_npte(info) * sizeof(struct revmap_entry);
}

void kvmppc_free_hpt(struct kvm_hpt_info *info)
{
	if (!info->virt)
		return;
	kvmppc_hpt_free_groups(info);
	unmap(info->rev, rev_bytes(info));
	unmap((void *)info->virt, 1ul << info->order);
	*info = (struct kvm_hpt_info) { };
}

static int alloc_hpt(struct kvm_hpt_info *info, u32 order)
{
	*info = (struct kvm_hpt_info) { .order = order };
	info->virt = (unsigned long)map(1ul << order);
	info->rev = map(rev_bytes(info));
	if (kvmppc_hpt_alloc_groups(info)) {
		kvmppc_free_hpt(info);
		return -ENOMEM;
	}
	return 0;
}

struct kvm *fake_vm(void)
{
	struct kvm *kvm = calloc(1, sizeof(*kvm) + sizeof(*kvm->mm));
	const int writer_first = PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
	pthread_rwlockattr_t attr;
	unsigned int i;

	memset(away, 0, sizeof(away));
	mm_freed = false;
	for (i = 0; i < NR_SLOTS; i++)
		slots[i].flags = 0;
	kvm->mm = (void *)(kvm + 1);
	/* Writer first, so that a grace period ends despite new readers */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, writer_first);
	pthread_rwlock_init(&kvm->srcu.lock, &attr);
	spin_lock_init(&kvm->mmu_lock);
	mutex_init(&kvm->arch.mmu_setup_lock);
	kvmppc_hpt_init_vm(kvm);
	kvm_get_kvm(kvm);
	return kvm;
}

void fake_vm_free(struct kvm *kvm)
{
	BUG_ON(atomic_read(&kvm->refs) != 1 || kvm->arch.hpt_nr_readers ||
	       !list_empty(&kvm->arch.hpt_readers) || shim_sections);
	kvmppc_hpt_destroy_vm(kvm);
	/* The work item would use a freed VM */
	BUG_ON(kvm->arch.hpt_poll.pending);
	kvmppc_free_radix(kvm);
	kvmppc_free_hpt(&kvm->arch.hpt);
	pthread_rwlock_destroy(&kvm->srcu.lock);
	mutex_destroy(&kvm->arch.hpt_write_lock);
	mutex_destroy(&kvm->arch.mmu_setup_lock);
	free(kvm);
}

unsigned int fake_rmaps_emptied;

/* The chains of the reverse map are not there */
int kvmppc_rmap_empty(struct kvm *kvm)
{
	BUG_ON(!mutex_is_locked(&kvm->arch.hpt_write_lock));
	fake_rmaps_emptied++;
	return fatal_signal_pending(current) ? -EINTR : 0;
}

void kvmhv_release_all_nested(struct kvm *kvm)
{
	BUG_ON(mutex_is_mine(&kvm->arch.mmu_setup_lock));
}

void kvmppc_free_radix(struct kvm *kvm)
{
	free(kvm->arch.pgtable);
	kvm->arch.pgtable = NULL;
}

static int replace_hpt(struct kvm *kvm, u32 order)
{
	struct kvm_hpt_info old, new;
	int err;

	if (kvm->arch.hpt.virt) {
		kvm->arch.hpt_todo |= KVM_HPT_RESET;
		if (kvmppc_hpt_finish(kvm, KVM_HPT_EMPTY_CHAINS |
					   KVM_HPT_AWAIT_WALKERS))
			return -EINTR;
	}
	kvmppc_hpt_retire(kvm);
	old = kvm->arch.hpt;
	kvm->arch.hpt = (struct kvm_hpt_info) { };
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	kvmppc_free_hpt(&old);
	err = alloc_hpt(&new, order);
	if (mutex_lock_killable(&kvm->arch.mmu_setup_lock)) {
		if (!err)
			kvmppc_free_hpt(&new);
		return -EINTR;
	}
	if (!err)
		kvm->arch.hpt = new;
	return err;
}

int fake_allocate_hpt(struct kvm *kvm, u32 order)
{
	int err;

	err = kvmppc_hpt_lock_long(kvm);
	if (err)
		return err;
	kvm->arch.mmu_ready = 0;
	if (kvm->arch.hpt.virt && kvm->arch.hpt.order == order)
		err = kvmppc_hpt_reset(kvm);
	else
		err = replace_hpt(kvm, order);
	if (err != -EINTR)
		mutex_unlock(&kvm->arch.mmu_setup_lock);
	mutex_unlock(&kvm->arch.hpt_write_lock);
	return err;
}

int fake_resize_hpt(struct kvm *kvm, u32 order)
{
	struct kvm_hpt_info new, *old = &kvm->arch.hpt;
	unsigned long index, group;
	int err;
	u64 v;

	err = alloc_hpt(&new, order);
	if (err)
		return err;
	mutex_lock(&kvm->arch.mmu_setup_lock);
	/* Keep the index of each HPTE, as if hashes did not change */
	for (group = 0; group < min(old->groups->nr, new.groups->nr); group++) {
		if (!test_bit(group % HPT_CHUNK_GROUPS,
			      old->groups->chunk[group / HPT_CHUNK_GROUPS].used))
			continue;
		for (index = group * 8; index < group * 8 + 8; index++) {
			v = get(hpte_of(kvm, index));
			if (!(v & (HPTE_V_VALID | HPTE_V_ABSENT)))
				continue;
			fake_unmap(kvm, index);
			((__be64 *)new.virt)[2 * index] =
				hpte_of(kvm, index)[0];
			((__be64 *)new.virt)[2 * index + 1] =
				hpte_of(kvm, index)[1];
			kvmppc_hpt_rehashed(&new, index,
					    old->rev[index].guest_rpte);
		}
	}
	kvmppc_hpt_retire(kvm);
	kvmppc_free_hpt(old);
	*old = new;
	mutex_unlock(&kvm->arch.mmu_setup_lock);
	return 0;
}

static int switch_to_radix(struct kvm *kvm)
{
	kvm->arch.pgtable = malloc(1);
	kvm->arch.hpt_todo |= KVM_HPT_RESET;
	if (kvmppc_hpt_finish(kvm, KVM_HPT_EMPTY_CHAINS)) {
		kvmppc_free_radix(kvm);
		return -EINTR;
	}
	kvm->arch.radix = 1;
	kvmppc_hpt_retire(kvm);
	kvm->arch.hpt_todo |= KVM_HPT_AWAIT_WALKERS | KVM_HPT_FREE_OLD;
	return kvmppc_hpt_finish(kvm, KVM_HPT_ALL);
}

static int switch_to_hash(struct kvm *kvm)
{
	kvm->arch.hpt_todo |= KVM_HPT_FREE_NESTED | KVM_HPT_EMPTY_CHAINS;
	if (kvmppc_hpt_finish(kvm, KVM_HPT_ALL))
		return -EINTR;
	kvm->arch.radix = 0;
	kvm->arch.hpt_todo |= KVM_HPT_AWAIT_WALKERS | KVM_HPT_FREE_OLD;
	return kvmppc_hpt_finish(kvm, KVM_HPT_ALL);
}

int fake_configure_mmu(struct kvm *kvm, bool radix)
{
	int err;

	err = kvmppc_hpt_lock_long(kvm);
	if (err)
		return err;
	if (radix != kvm->arch.radix) {
		kvm->arch.mmu_ready = 0;
		err = radix ? switch_to_radix(kvm) : switch_to_hash(kvm);
	}
	if (!err)
		mutex_unlock(&kvm->arch.mmu_setup_lock);
	mutex_unlock(&kvm->arch.hpt_write_lock);
	return err;
}

void fake_switch_to_radix(struct kvm *kvm)
{
	BUG_ON(fake_configure_mmu(kvm, true));
}

void fake_switch_to_hash(struct kvm *kvm)
{
	BUG_ON(fake_configure_mmu(kvm, false));
}
