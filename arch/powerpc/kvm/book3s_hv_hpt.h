/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HPT file: what its parts know of each other.
 *
 *	book3s_hv_hpt_file.c	the ioctl, open and release
 *	book3s_hv_hpt_track.c	group bitmaps, readers, lifetime of the HPT
 *	book3s_hv_hpt_harvest.c	marks and hardware R/C to the readers' sets
 *	book3s_hv_hpt_set.c	a reader's set of changed HPTEs
 *	book3s_hv_hpt_records.c	the stream's encoder and decoder
 *	book3s_hv_hpt_pass.c	first and later passes
 *	book3s_hv_hpt_read.c	the copy to user space
 *	book3s_hv_hpt_write.c	check, remove and enter
 *
 * All of it runs in process context with the MMU on. Locks: see
 * asm/kvm_book3s_hpt.h.
 */
#ifndef __POWERPC_BOOK3S_HV_HPT_H__
#define __POWERPC_BOOK3S_HV_HPT_H__

#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/uio.h>
#include <linux/xarray.h>

#include <asm/kvm_book3s_64.h>
#include <asm/kvm_book3s_hpt.h>

#include "book3s_hv_hpt_records.h"

#define HPTES_IN_GROUP		BIT(HPT_GROUP_SHIFT)
#define HPT_SLOT(index)		((index) & (HPTES_IN_GROUP - 1))

/**
 * enum kvm_hpt_reader_state - which HPT a reader belongs to
 * @HPT_READER_NONE: none yet, the VM had none
 * @HPT_READER_ATTACHED: the VM's present one
 * @HPT_READER_STALE: one that is gone; reads fail with ESTALE for good
 */
enum kvm_hpt_reader_state {
	HPT_READER_NONE,
	HPT_READER_ATTACHED,
	HPT_READER_STALE,
};

/**
 * struct kvm_hpt_reader - where a reader stands
 * @node: in kvm->arch.hpt_readers
 * @state: which HPT it belongs to
 * @bolted_only: HPTEs that are not bolted count as invalid
 * @first_pass: in the first pass; the HPTEs before @cursor were reported, or
 *		lie before the index the pass began at
 * @cursor: index of the HPTE to look at next
 * @unseen: groups below this one were not looked at by the first pass, which
 *	    began behind them; nobody may have noted that hardware can set R
 *	    or C in them, so the next pass visits all that are used
 * @restarts: how often the reader was put back to the start of a first pass
 *	      or became stale: what was gathered before is void
 * @left_group: group with changes that did not fit into the last buffer
 * @left: these changes, a bit for each HPTE
 * @changed: HPTEs behind @cursor that other readers have harvested
 *
 * All protected by kvm->arch.mmu_setup_lock.
 */
struct kvm_hpt_reader {
	struct list_head node;
	enum kvm_hpt_reader_state state;
	bool bolted_only;
	bool first_pass;
	unsigned long cursor;
	unsigned long unseen;
	unsigned long restarts;
	unsigned long left_group;
	u8 left;
	struct xarray changed;
};

/**
 * struct kvm_hpt_view - what a harvest of a group has found
 * @v: dword 0 of each HPTE in the pre-v3.0 format, software bits cleared, V
 *     set if it is present or absent (paged out); 0 if it is invalid
 * @r: dword 1 as the guest knows it, with R and C, software bits cleared;
 *     of no meaning if @v is 0
 * @changed: HPTEs (a bit each) that changed and that no reader knows of yet
 */
struct kvm_hpt_view {
	u64 v[HPTES_IN_GROUP];
	u64 r[HPTES_IN_GROUP];
	u8 changed;
};

/**
 * struct kvm_hpt_fd - an open HPT file
 * @kvm: the VM; the file holds a reference
 * @lock: serialises reads or writes
 * @buf: records on their way to or from user space
 * @buf_size: size of @buf in bytes
 * @view: the group that is being read; too large for the stack
 * @reader: used if the file was opened for reading
 */
struct kvm_hpt_fd {
	struct kvm *kvm;
	struct mutex lock; /* protects buf and buf_size */
	void *buf;
	size_t buf_size;
	struct kvm_hpt_view view;
	struct kvm_hpt_reader reader;
};

/**
 * struct kvm_hpt_gather - records on their way into a buffer
 * @enc: the buffer
 * @first_pass: the records are of a first pass
 * @begun: set once the reader was looked at
 * @restarts: the reader's, to notice that it began again
 * @start: group at which a later pass was taken up
 * @wrapped: the later pass has come to the end and begun again
 * @end: a pass has ended, nothing more goes into the buffer
 */
struct kvm_hpt_gather {
	struct hpt_encoder enc;
	bool first_pass;
	bool begun;
	unsigned long restarts;
	unsigned long start;
	bool wrapped;
	bool end;
};

static inline bool kvmppc_hpt_present(struct kvm *kvm)
{
	lockdep_assert_held(&kvm->arch.mmu_setup_lock);
	return !kvm_is_radix(kvm) && kvm->arch.hpt.virt;
}

static inline __be64 *kvmppc_hpte(struct kvm_hpt_info *info,
				  unsigned long index)
{
	return (__be64 *)(info->virt + (index << 4));
}

/* Is there an HPTE, as the guest sees it, with this dword 0? */
static inline bool hpte_valid(u64 v)
{
	return v & (HPTE_V_VALID | HPTE_V_ABSENT);
}

/* With preemption disabled */
static inline void lock_hpte(__be64 *hptep)
{
	while (!try_lock_hpte(hptep, HPTE_V_HVLOCK))
		cpu_relax();
}

/* book3s_hv_hpt_file.c */
int kvm_hpt_fd_buffer(struct kvm_hpt_fd *fd, size_t size);

/* book3s_hv_hpt_track.c */
bool kvmppc_hpt_group_used(struct kvm_hpt_info *info, unsigned long group);
unsigned long kvmppc_hpt_next_used(struct kvm_hpt_info *info,
				   unsigned long group);
unsigned long kvmppc_hpt_next_visit(struct kvm_hpt_info *info,
				    unsigned long group, unsigned long end);
int kvm_hpt_reader_open(struct kvm *kvm, struct kvm_hpt_reader *reader,
			u64 start_index);
void kvm_hpt_reader_close(struct kvm *kvm, struct kvm_hpt_reader *reader);
void kvm_hpt_reader_attach(struct kvm_hpt_reader *reader, u64 start_index);
void kvm_hpt_reader_add(struct kvm_hpt_reader *reader, unsigned long group,
			u8 changed);

/* book3s_hv_hpt_harvest.c */
void kvmppc_hpt_harvest(struct kvm *kvm, struct kvm_hpt_reader *self,
			unsigned long group, u8 want,
			struct kvm_hpt_view *view);

int kvmppc_hpt_read_clean(struct kvm_hpt_info *info, unsigned long group,
			  bool bolted_only, struct kvm_hpt_view *view,
			  __be64 *out);

/* book3s_hv_hpt_pass.c */
bool kvm_hpt_gather_first(struct kvm_hpt_fd *fd, struct kvm_hpt_gather *g,
			  int budget);
bool kvm_hpt_gather_later(struct kvm_hpt_fd *fd, struct kvm_hpt_gather *g,
			  int budget);

/* book3s_hv_hpt_read.c and book3s_hv_hpt_write.c */
ssize_t kvm_hpt_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t kvm_hpt_write_iter(struct kiocb *iocb, struct iov_iter *from);

#endif /* __POWERPC_BOOK3S_HV_HPT_H__ */
