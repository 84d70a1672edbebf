/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HPT file: internal interfaces.
 *
 *	file.c		the ioctl, open and release
 *	track.c		group bitmaps, readers, lifetime of the HPT
 *	harvest.c	marks and hardware R/C to the readers' sets
 *	clean.c		HPTEs that can be read without locks
 *	set.c		a reader's set of changed HPTEs
 *	records.c	the stream's encoder and decoder
 *	pass.c		first and later passes
 *	read.c		the copy to user space
 *	write.c		check, remove and enter
 *	progress.c	progress of a reader: ioctl, fdinfo and poll()
 *	debugfs.c	the HPT as text
 *	trace.h		trace events
 *
 * Names, static functions included, so that all of them can be searched for
 * and none collides with a name of the base:
 *
 *	kvmppc_hpt_*	 what the rest of KVM calls, see asm/kvm_book3s_hpt.h
 *	kvm_hpt_*	 internal to this directory; about an HPT, a reader, a file
 *	kvm_hpte_*	 internal to this directory; about one HPTE
 *	hpt_*, HPT_*	 knows nothing of KVM: records.h, set.h, constants
 *
 * Terms:
 *
 *	group	 eight HPTEs, an HPTEG; the unit of the bitmaps and of a visit
 *	mark	 HPTE_GR_MODIFIED in the reverse map word of an HPTE that changed
 *	visit	 to look at the HPTEs of a group because its visit bit is set
 *	harvest	 to clear the marks of a group and hand its changes to all
 *		 readers
 *	pass	 one traversal of the HPT by a reader; the first reports every
 *		 HPTE, later ones report changes
 *	attach	 to begin a first pass over the VM's present HPT
 *	restart	 to begin again with a first pass, after a reset or for lack of
 *		 memory
 *	retire	 to make all readers stale, before the HPT is replaced or freed
 *	stale	 a reader whose HPT was retired; its reads fail
 *	chain	 the HPTEs that map one guest page, linked in the reverse map
 *
 * All of this code runs in process context with the MMU on. Locks: see
 * asm/kvm_book3s_hpt.h, and their order Documentation/virt/kvm/locking.rst.
 */
#ifndef __POWERPC_KVM_HPT_HPT_H__
#define __POWERPC_KVM_HPT_HPT_H__

#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/types.h>
#include <linux/uio.h>

#include <asm/kvm_book3s_64.h>
#include <asm/kvm_book3s_hpt.h>

#include "records.h"
#include "set.h"

#define HPT_GROUP_HPTES		BIT(HPT_GROUP_SHIFT)

/* Bytes of a record with a whole group: the size of reads of single HPTEs */
#define HPT_GROUP_BYTES		(sizeof(struct kvm_get_htab_header) + \
				 HPT_GROUP_HPTES * HPT_STREAM_HPTE)
#define HPT_SLOT(index)		((index) & (HPT_GROUP_HPTES - 1))

/*
 * The work in one hold of mmu_setup_lock is counted in groups that are looked
 * at. Handing a change to another reader counts as one, too, and so does
 * scanning so many bits of a bitmap (64 words) in vain.
 */
#define HPT_SCAN_SHIFT		12

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
 * enum kvm_hpt_marks - which changes are marked
 * @HPT_MARKS_SOME: those by CPUs that have seen that there is a reader
 * @HPT_MARKS_ASKED: the same; a grace period has been started
 * @HPT_MARKS_ALL: all, as it has passed
 */
enum kvm_hpt_marks {
	HPT_MARKS_SOME,
	HPT_MARKS_ASKED,
	HPT_MARKS_ALL,
};

/**
 * struct kvm_hpt_reader - state of a reader
 * @node: in kvm->arch.hpt_readers
 * @state: which HPT it belongs to
 * @bolted_only: HPTEs that are not bolted count as invalid
 * @first_pass: in the first pass; the HPTEs before @cursor were reported, or
 *		lie before the index the pass began at
 * @polled: a task may sleep in poll() and has not been woken up since the last
 *	    read; set without the lock, see kvm_hpt_watch()
 * @cursor: index of the HPTE to look at next
 * @pass: number of the pass, 1 is the first
 * @unseen: the first pass began behind the groups below this one, or in the
 *	    last of them, so it has not looked at all of their HPTEs. Hardware
 *	    may set R or C in these without a visit bit, so the next pass visits
 *	    all used ones of these groups
 * @restarts: how often the reader has begun a first pass or become stale;
 *	      records that were gathered before are void
 * @left_group: group with changes that did not fit into the last buffer
 * @left: these changes, a bit for each HPTE
 * @changed: HPTEs behind @cursor that other readers have harvested
 * @changed_void: @changed is void, and the next read empties it before it looks
 *		  at the HPT; nothing is behind @cursor until then
 *
 * All protected by kvm->arch.mmu_setup_lock.
 */
struct kvm_hpt_reader {
	struct list_head node;
	enum kvm_hpt_reader_state state;
	bool bolted_only;
	bool first_pass;
	bool polled;
	unsigned long cursor;
	unsigned long pass;
	unsigned long unseen;
	unsigned long restarts;
	unsigned long left_group;
	u8 left;
	bool changed_void;
	struct hpt_set changed;
};

/**
 * struct kvm_hpt_view - result of the harvest of a group
 * @v: dword 0 of each HPTE in the pre-v3.0 format, software bits cleared, V
 *     set if it is present or absent (paged out); 0 if it is invalid
 * @r: dword 1 as the guest knows it, with R and C, software bits cleared;
 *     undefined if @v is 0
 * @changed: HPTEs (a bit each) that changed and that no reader knows of yet
 */
struct kvm_hpt_view {
	u64 v[HPT_GROUP_HPTES];
	u64 r[HPT_GROUP_HPTES];
	u8 changed;
};

/**
 * struct kvm_hpt_fd - an open HPT file
 * @kvm: the VM; the file holds a reference
 * @id: number of the file among those of the VM, from 1 on
 * @lock: serialises reads or writes
 * @buf: records on their way to or from user space
 * @buf_size: size of @buf in bytes
 * @view: the group that is being read; too large for the stack
 * @group: a group of which the reader gets a part, as it is streamed
 * @valid: valid HPTEs that were read or written
 * @invalid: invalid ones
 * @bytes: bytes that were read or written
 * @awaited: the file has waited for a grace period, which it does once
 * @refused: records that were refused with EINVAL, EIO or EBUSY
 * @refused_index: index at which the last one of these begins
 * @reader: used if the file was opened for reading
 */
struct kvm_hpt_fd {
	struct kvm *kvm;
	u64 id;
	struct mutex lock; /* protects all but the reader */
	void *buf;
	size_t buf_size;
	u64 valid;
	u64 invalid;
	u64 bytes;
	bool awaited;
	u64 refused;
	u64 refused_index;
	struct kvm_hpt_view view;
	__be64 group[2 * HPT_GROUP_HPTES];
	struct kvm_hpt_reader reader;
};

/**
 * struct kvm_hpt_gather - records on their way into a buffer
 * @enc: the buffer
 * @end: a pass has ended, nothing more goes into the buffer
 * @begun: the reader was looked at, what follows has been set
 * @first_pass: the records are of a first pass
 * @await: the caller should wait for a grace period for a moment
 * @pass: number of the pass in which they begin
 * @wrapped: the later pass has come to the end and begun again
 * @restarts: the reader's, to notice that it began again
 * @start: group at which a later pass was taken up
 */
struct kvm_hpt_gather {
	struct hpt_encoder enc;
	bool end;
	bool begun;
	bool first_pass;
	bool await;
	bool wrapped;
	unsigned long pass;
	unsigned long restarts;
	unsigned long start;
};

/* The number of a reader's file */
static inline u64 kvm_hpt_file_of(const struct kvm_hpt_reader *reader)
{
	return container_of(reader, struct kvm_hpt_fd, reader)->id;
}

static inline bool kvm_hpt_present(struct kvm *kvm)
{
	lockdep_assert_held(&kvm->arch.mmu_setup_lock);
	return !kvm_is_radix(kvm) && kvmppc_hpt(kvm)->virt;
}

/*
 * Give up mmu_setup_lock for a moment, in which the HPT may be replaced. Return
 * false if the caller was killed: the lock is not held then.
 */
static inline bool kvm_hpt_relock(struct kvm *kvm)
{
	kvmppc_hpt_unlock_briefly(kvm);
	return !fatal_signal_pending(current) &&
	       !mutex_lock_killable(&kvm->arch.mmu_setup_lock);
}

static inline __be64 *kvm_hpte_at(struct kvm_hpt_info *info,
				  unsigned long index)
{
	return (__be64 *)(info->virt + (index << 4));
}

/* Up to which group does @budget allow a scan from @group on? */
static inline unsigned long kvm_hpt_scan_end(struct kvm_hpt_info *info,
					     unsigned long group, int budget)
{
	return min(info->groups->nr,
		   group + ((unsigned long)max(budget, 1) << HPT_SCAN_SHIFT));
}

/*
 * Has a group ever held an HPTE? One may be entered meanwhile; the code that
 * enters it sets the bit that is tested here, then marks it.
 */
static inline bool kvm_hpt_group_used(struct kvm_hpt_info *info,
				      unsigned long group)
{
	return test_bit(group & (HPT_CHUNK_GROUPS - 1),
			info->groups->chunk[group >> HPT_CHUNK_SHIFT].used);
}

/* Does the next pass have to visit a group? */
static inline bool kvm_hpt_group_to_visit(struct kvm_hpt_info *info,
					  unsigned long group)
{
	return test_bit(group & (HPT_CHUNK_GROUPS - 1),
			info->groups->chunk[group >> HPT_CHUNK_SHIFT].visit);
}

/* Is there an HPTE, as the guest sees it, with this dword 0? */
static inline bool kvm_hpte_valid(u64 v)
{
	return v & (HPTE_V_VALID | HPTE_V_ABSENT);
}

/* Is there an HPTE at this moment? */
static inline bool kvm_hpte_there(const __be64 *hptep)
{
	return READ_ONCE(*hptep) & cpu_to_be64(HPTE_V_VALID | HPTE_V_ABSENT);
}

/* Read a doubleword that others may write */
static inline u64 kvm_hpte_dword(const __be64 *dword)
{
	/*
	 * With READ_ONCE() the compiler does not use the byte-reversing load.
	 * Barriers on both sides make it read the doubleword once.
	 */
	return data_race(be64_to_cpup(dword));
}

/* R and C that hardware has set and the guest's view does not have yet */
static inline u64 kvm_hpte_new_rc(u64 v, u64 r, u64 gr)
{
	if (!(v & HPTE_V_VALID))
		return 0;
	return r & ~gr & (HPTE_R_R | HPTE_R_C);
}

/*
 * May hardware set R or C in an HPTE with this reverse map word so that the
 * guest's view changes? An absent HPTE counts as well as a valid one: it
 * becomes valid without a change of the guest's view.
 */
static inline bool kvm_hpte_rc_open(u64 gr)
{
	return !(gr & HPTE_R_R) ||
	       (!(gr & HPTE_R_C) && hpte_is_writable(gr));
}

/* Does the reader report an HPTE with this dword 0 as valid? */
static inline bool kvm_hpt_shown(const struct kvm_hpt_reader *reader, u64 v)
{
	return kvm_hpte_valid(v) &&
	       (!reader->bolted_only || (v & HPTE_V_BOLTED));
}

/* With preemption disabled */
static inline void kvm_hpte_lock(__be64 *hptep)
{
	while (!try_lock_hpte(hptep, HPTE_V_HVLOCK))
		cpu_relax();
}

/* Bytes of a VM's name, PID-FD */
#define KVM_HPT_VM_NAME		24

/* file.c */
void kvm_hpt_vm_name(struct kvm *kvm, char name[KVM_HPT_VM_NAME]);
int kvm_hpt_fd_grow(struct kvm_hpt_fd *fd, size_t size);

/**
 * kvm_hpt_fd_buffer() - provide a buffer for records
 * @fd: the file, locked
 * @size: bytes it must have room for
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
static inline int kvm_hpt_fd_buffer(struct kvm_hpt_fd *fd, size_t size)
{
	return likely(size <= fd->buf_size) ? 0 : kvm_hpt_fd_grow(fd, size);
}

/* track.c */
unsigned long kvm_hpt_next_used(struct kvm_hpt_info *info, unsigned long group,
				unsigned long end);
unsigned long kvm_hpt_skip_unused(struct kvm_hpt_info *info,
				  unsigned long index, int *budget);
unsigned long kvm_hpt_next_visit(struct kvm_hpt_info *info, unsigned long group,
				 unsigned long end);
unsigned long kvm_hpt_nr_used(struct kvm_hpt_info *info, unsigned long *group,
			      int *budget);
void kvm_hpt_wake(struct kvm *kvm, bool stale);
int kvm_hpt_reader_open(struct kvm *kvm, struct kvm_hpt_reader *reader,
			u64 start_index);
void kvm_hpt_reader_close(struct kvm *kvm, struct kvm_hpt_reader *reader);
void kvm_hpt_reader_lost(struct kvm *kvm, struct kvm_hpt_reader *reader);
bool kvm_hpt_want_all_marks(struct kvm *kvm);
bool kvm_hpt_await_gp(struct kvm *kvm, unsigned long gp);
bool kvm_hpt_reader_ready(struct kvm_hpt_reader *reader);
void kvm_hpt_reader_attach(struct kvm_hpt_reader *reader, u64 start_index);
void kvm_hpt_reader_restart(struct kvm *kvm, struct kvm_hpt_reader *reader);
void kvm_hpt_reader_add(struct kvm *kvm, struct kvm_hpt_reader *reader,
			unsigned long group, u8 changed);

/* harvest.c */
u8 kvm_hpt_peek(struct kvm_hpt_info *info, unsigned long group);
void kvm_hpt_harvest(struct kvm *kvm, struct kvm_hpt_reader *self,
		     unsigned long group, u8 want, struct kvm_hpt_view *view);

/* clean.c */
int kvm_hpt_gather_clean(struct kvm_hpt_fd *fd, struct hpt_encoder *enc,
			 int budget);

/* pass.c */
unsigned long kvm_hpt_next_change(struct kvm *kvm,
				  struct kvm_hpt_reader *reader,
				  unsigned long group, unsigned long end,
				  int *budget);
bool kvm_hpt_gather_first(struct kvm_hpt_fd *fd, struct kvm_hpt_gather *g,
			  int budget);
bool kvm_hpt_gather_later(struct kvm_hpt_fd *fd, struct kvm_hpt_gather *g,
			  int budget);

/* read.c and write.c */
ssize_t kvm_hpt_read(struct file *file, char __user *buf, size_t len,
		     loff_t *pos);
ssize_t kvm_hpt_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t kvm_hpt_write(struct file *file, const char __user *buf, size_t len,
		      loff_t *pos);
ssize_t kvm_hpt_write_iter(struct kiocb *iocb, struct iov_iter *from);

/* progress.c */
long kvm_hpt_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
void kvm_hpt_show_reader(struct seq_file *m, struct file *file);
void kvm_hpt_show_writer(struct seq_file *m, struct file *file);
__poll_t kvm_hpt_poll(struct file *file, struct poll_table_struct *wait);
void kvm_hpt_watch(struct kvm *kvm, struct kvm_hpt_reader *reader);
void kvm_hpt_poll_work(struct work_struct *work);

#endif /* __POWERPC_KVM_HPT_HPT_H__ */
