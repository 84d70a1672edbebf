// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: the progress of a reader, and whether it has something to
 * report.
 *
 * Nothing here clears a mark or moves a reader.
 */

#include <linux/kvm_host.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/stddef.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "hpt.h"
#include "records.h"
#include "set.h"

/* How much is looked at before mmu_setup_lock is given up for a moment */
#define COUNT_GROUPS	4096

/*
 * Marks are set in real mode, where no task can be woken up. So a work item
 * looks for changes while tasks sleep in poll(). This is the time between two
 * looks: at first, if the last look has not come to the end of the table, and
 * by how much it grows at most while nothing is read.
 */
#define POLL_PERIOD	(HZ / 10)
#define POLL_NEXT	DIV_ROUND_UP(HZ, 100)
#define POLL_IDLE_MAX	(HZ / 5)

/* How much is looked at in one look, see HPT_SCAN_SHIFT */
#define POLL_GROUPS	8192

static const u32 kvm_hpt_abi_state[] = {
	[HPT_READER_NONE]	= KVM_PPC_HTAB_STATE_NONE,
	[HPT_READER_ATTACHED]	= KVM_PPC_HTAB_STATE_CURRENT,
	[HPT_READER_STALE]	= KVM_PPC_HTAB_STATE_STALE,
};

/* A bit for each HPTE of a group whose change the reader has yet to report */
static u8 kvm_hpt_changes_of(struct kvm *kvm, struct kvm_hpt_reader *reader,
			     unsigned long group)
{
	u8 changed = kvm_hpt_peek(kvmppc_hpt(kvm), group) |
		     hpt_set_get(&reader->changed, group);

	if (reader->left_group == group)
		changed |= reader->left;
	if (reader->first_pass && group == reader->cursor >> HPT_GROUP_SHIFT)
		changed &= BIT(HPT_SLOT(reader->cursor)) - 1;
	return changed;
}

/* Before which group are all changes that a reader has yet to report? */
static unsigned long kvm_hpt_end_of_changes(struct kvm *kvm,
					    struct kvm_hpt_reader *reader)
{
	if (reader->first_pass)
		return DIV_ROUND_UP(reader->cursor, HPT_GROUP_HPTES);
	return kvmppc_hpt(kvm)->groups->nr;
}

static void kvm_hpt_count_group(struct kvm *kvm, struct kvm_hpt_reader *reader,
				struct hpt_counter *count, unsigned long group,
				u8 hptes)
{
	unsigned long index;
	u64 v;

	while (hptes) {
		index = (group << HPT_GROUP_SHIFT) + __ffs(hptes);
		hptes &= hptes - 1;
		v = kvm_hpte_dword(kvm_hpte_at(kvmppc_hpt(kvm), index));
		hpt_count(count, index, kvm_hpt_shown(reader, v), 1);
	}
}

/*
 * Count the changes in some groups from *@pos on, and move it past them. Return
 * whether these were all.
 */
static bool kvm_hpt_count_changes(struct kvm *kvm,
				  struct kvm_hpt_reader *reader,
				  struct hpt_counter *count, unsigned long *pos,
				  int *budget)
{
	unsigned long end = kvm_hpt_end_of_changes(kvm, reader), group = *pos;

	for (;;) {
		group = kvm_hpt_next_change(kvm, reader, group, end, budget);
		*pos = group;
		if (group >= end)
			return true;
		if (*budget < 0)
			return false;
		kvm_hpt_count_group(kvm, reader, count, group,
				    kvm_hpt_changes_of(kvm, reader, group));
		group++;
	}
}

/* The same for what a first pass has yet to look at, from HPTE *@pos on */
static bool kvm_hpt_count_first(struct kvm *kvm, struct kvm_hpt_reader *reader,
				struct hpt_counter *count, unsigned long *pos,
				int budget)
{
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long nr_hptes = kvmppc_hpt_npte(info);
	unsigned long group, next;

	*pos = max(*pos, reader->cursor);
	for (; *pos < nr_hptes && budget > 0; budget--) {
		group = *pos >> HPT_GROUP_SHIFT;
		next = kvm_hpt_skip_unused(info, *pos, &budget);
		if (next > *pos) {
			hpt_count(count, *pos, false, next - *pos);
			*pos = next;
			continue;
		}
		kvm_hpt_count_group(kvm, reader, count, group,
				    U8_MAX << HPT_SLOT(*pos));
		*pos = (group + 1) << HPT_GROUP_SHIFT;
	}
	return *pos >= nr_hptes;
}

/* Bound what is left of a first pass that has so many used groups left */
static void kvm_hpt_bound_first(struct kvm_hpt_reader *reader, u64 groups,
				struct kvm_ppc_htab_progress *p)
{
	unsigned long left = p->hptes - reader->cursor;
	/* A record has two kinds of HPTEs, and they may alternate */
	u64 headers =
		groups * HPT_GROUP_HPTES / 2 + left / HPT_RECORD_HPTES + 2;

	p->first_hptes = min_t(u64, groups * HPT_GROUP_HPTES, left);
	p->first_bytes = p->first_hptes * HPT_STREAM_HPTE +
			 headers * sizeof(struct kvm_get_htab_header);
}

/**
 * struct kvm_hpt_counting - a count under way
 * @restarts: the reader's when the count began
 * @changed: changes behind the reader
 * @changed_pos: group to go on with
 * @first: what is left of the first pass
 * @first_pos: HPTE to go on with
 * @used: used groups that the first pass has left
 * @used_pos: group to go on with
 */
struct kvm_hpt_counting {
	unsigned long restarts;
	struct hpt_counter changed;
	unsigned long changed_pos;
	struct hpt_counter first;
	unsigned long first_pos;
	unsigned long used;
	unsigned long used_pos;
};

/* Fill in what needs no look at the HPT */
static void kvm_hpt_describe(struct kvm *kvm, struct kvm_hpt_reader *reader,
			     struct kvm_ppc_htab_progress *p)
{
	*p = (struct kvm_ppc_htab_progress) {
		.state = kvm_hpt_abi_state[reader->state],
		.generation = reader->restarts,
		.pass = reader->pass,
	};
	if (reader->state != HPT_READER_ATTACHED) {
		p->first_hptes = U64_MAX;
		p->first_bytes = U64_MAX;
		p->changed_hptes = U64_MAX;
		p->changed_bytes = U64_MAX;
		return;
	}
	p->order = kvmppc_hpt(kvm)->order;
	p->hptes = kvmppc_hpt_npte(kvmppc_hpt(kvm));
	p->position = reader->cursor;
}

/*
 * Count for a while with mmu_setup_lock held, and fill @p. Return whether there
 * is nothing left to count.
 */
static bool kvm_hpt_count_some(struct kvm *kvm, struct kvm_hpt_reader *reader,
			       struct kvm_hpt_counting *c, bool all,
			       struct kvm_ppc_htab_progress *p)
{
	int budget = COUNT_GROUPS;
	bool done;

	kvm_hpt_describe(kvm, reader, p);
	if (reader->state != HPT_READER_ATTACHED)
		return true;

	if (c->restarts != reader->restarts)
		*c = (struct kvm_hpt_counting) { .restarts = reader->restarts };
	done = kvm_hpt_count_changes(kvm, reader, &c->changed, &c->changed_pos,
				     &budget);
	p->changed_hptes = c->changed.valid + c->changed.invalid;
	p->changed_bytes = c->changed.bytes;
	if (!reader->first_pass)
		return done;

	if (!all) {
		c->used_pos = max(c->used_pos,
				  reader->cursor >> HPT_GROUP_SHIFT);
		c->used += kvm_hpt_nr_used(kvmppc_hpt(kvm), &c->used_pos,
					   &budget);
		kvm_hpt_bound_first(reader, c->used, p);
		return done && c->used_pos >= kvmppc_hpt(kvm)->groups->nr;
	}
	done &= kvm_hpt_count_first(kvm, reader, &c->first, &c->first_pos,
				    budget);
	p->first_hptes = c->first.valid;
	p->first_bytes = c->first.bytes;
	return done;
}

static int kvm_hpt_get_progress(struct kvm_hpt_fd *fd, bool all,
				struct kvm_ppc_htab_progress *p)
{
	struct mutex *lock = &fd->kvm->arch.mmu_setup_lock;
	struct kvm_hpt_counting c = { };
	bool done;

	do {
		if (mutex_lock_killable(lock))
			return -EINTR;
		done = kvm_hpt_count_some(fd->kvm, &fd->reader, &c, all, p);
		mutex_unlock(lock);
		cond_resched();
		if (fatal_signal_pending(current))
			return -EINTR;
	} while (!done);
	return 0;
}

/* Bytes of struct kvm_ppc_htab_progress that every user of it has */
#define PROGRESS_MIN	offsetofend(struct kvm_ppc_htab_progress, reserved)

/**
 * kvm_hpt_ioctl() - KVM_PPC_HTAB_PROGRESS
 * @file: a reader's file
 * @cmd: the ioctl; the size in it is ignored, since it is that of the structure
 *	 which user space was compiled with
 * @arg: user space address of a struct kvm_ppc_htab_progress
 *
 * Context: may sleep, takes mmu_setup_lock.
 * Return: 0; -ENOTTY for another ioctl, -EINVAL if argsz is too small, flags
 * are unknown or a reserved word is not 0, -E2BIG if argsz is larger than a
 * page or a byte that the kernel does not know is not 0, -EFAULT, or -EINTR if
 * killed.
 */
long kvm_hpt_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct kvm_ppc_htab_progress __user *user = (void __user *)arg;
	struct kvm_ppc_htab_progress p;
	u32 argsz, flags;
	int err;

	if (_IOC_TYPE(cmd) != KVMIO ||
	    _IOC_NR(cmd) != _IOC_NR(KVM_PPC_HTAB_PROGRESS))
		return -ENOTTY;
	if (get_user(argsz, &user->argsz))
		return -EFAULT;
	if (argsz < PROGRESS_MIN)
		return -EINVAL;
	if (argsz > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&p, sizeof(p), user, argsz);
	if (err)
		return err;
	flags = p.flags;
	if (flags & ~KVM_PPC_HTAB_PROGRESS_COUNT || p.reserved[0] ||
	    p.reserved[1] || p.reserved[2] || p.reserved[3])
		return -EINVAL;

	err = kvm_hpt_get_progress(file->private_data,
				   flags & KVM_PPC_HTAB_PROGRESS_COUNT, &p);
	if (err)
		return err;
	p.argsz = sizeof(p);
	p.flags = flags;
	return copy_to_user(user, &p, min_t(size_t, argsz, sizeof(p))) ?
		-EFAULT : 0;
}

/**
 * kvm_hpt_show_reader() - a reader's part of /proc/PID/fdinfo/N
 * @m: where to
 * @file: the file
 *
 * Programs read all of /proc, so this takes constant time: it does not look at
 * the HPT or its bitmaps.
 *
 * Context: may sleep, takes mmu_setup_lock, and no lock that is held while
 * user memory is accessed.
 */
void kvm_hpt_show_reader(struct seq_file *m, struct file *file)
{
	static const char * const states[] = {
		[KVM_PPC_HTAB_STATE_NONE]	= "none",
		[KVM_PPC_HTAB_STATE_CURRENT]	= "current",
		[KVM_PPC_HTAB_STATE_STALE]	= "stale",
	};
	struct kvm_hpt_fd *fd = file->private_data;
	struct mutex *lock = &fd->kvm->arch.mmu_setup_lock;
	struct kvm_ppc_htab_progress p;

	seq_puts(m, "htab-mode:\tread\n");
	seq_printf(m, "htab-file:\t%llu\n", fd->id);
	if (mutex_lock_killable(lock))
		return;
	kvm_hpt_describe(fd->kvm, &fd->reader, &p);
	mutex_unlock(lock);
	seq_printf(m, "htab-state:\t%s\n", states[p.state]);
	seq_printf(m, "htab-flags:\t%#x\n",
		   fd->reader.bolted_only ? (u32)KVM_GET_HTAB_BOLTED_ONLY : 0);
	seq_printf(m, "htab-order:\t%u\n", p.order);
	seq_printf(m, "htab-hptes:\t%llu\n", p.hptes);
	seq_printf(m, "htab-generation:\t%llu\n", p.generation);
	seq_printf(m, "htab-pass:\t%llu\n", p.pass);
	seq_printf(m, "htab-position:\t%llu\n", p.position);
	seq_printf(m, "htab-read-valid:\t%llu\n", READ_ONCE(fd->valid));
	seq_printf(m, "htab-read-invalid:\t%llu\n", READ_ONCE(fd->invalid));
	seq_printf(m, "htab-read-bytes:\t%llu\n", READ_ONCE(fd->bytes));
}

/**
 * kvm_hpt_show_writer() - a writer's part of /proc/PID/fdinfo/N
 * @m: where to
 * @file: the file
 *
 * Context: may sleep, takes mmu_setup_lock, as kvm_hpt_show_reader().
 */
void kvm_hpt_show_writer(struct seq_file *m, struct file *file)
{
	struct kvm_hpt_fd *fd = file->private_data;
	struct mutex *lock = &fd->kvm->arch.mmu_setup_lock;
	bool present;

	seq_puts(m, "htab-mode:\twrite\n");
	seq_printf(m, "htab-file:\t%llu\n", fd->id);
	if (mutex_lock_killable(lock))
		return;
	present = kvm_hpt_present(fd->kvm);
	mutex_unlock(lock);
	seq_printf(m, "htab-state:\t%s\n", present ? "current" : "none");
	seq_printf(m, "htab-written-valid:\t%llu\n", READ_ONCE(fd->valid));
	seq_printf(m, "htab-written-invalid:\t%llu\n", READ_ONCE(fd->invalid));
	seq_printf(m, "htab-written-bytes:\t%llu\n", READ_ONCE(fd->bytes));
	seq_printf(m, "htab-refused:\t%llu\n", READ_ONCE(fd->refused));
	seq_printf(m, "htab-refused-index:\t%llu\n",
		   READ_ONCE(fd->refused_index));
}

/*
 * Look for a change that no reader has harvested, from group *@pos on, for a
 * bounded time. *@pos becomes the group to go on with, 0 at the end, and
 * *@visited the number of groups that had to be visited.
 */
static bool kvm_hpt_find_mark(struct kvm *kvm, unsigned long *pos,
			      unsigned int *visited)
{
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long group = *pos, from;
	int budget = POLL_GROUPS;

	*visited = 0;
	while (budget > 0) {
		if (group >= info->groups->nr) {
			*pos = 0;
			return false;
		}
		from = group;
		group = kvm_hpt_next_visit(info, from,
					   kvm_hpt_scan_end(info, from, budget));
		budget -= 1 + ((group - from) >> HPT_SCAN_SHIFT);
		if (group < info->groups->nr && kvm_hpt_peek(info, group)) {
			*pos = group;
			return true;
		}
		group++;
		++*visited;
	}
	*pos = group < info->groups->nr ? group : 0;
	return false;
}

/*
 * Would a read return records or an error? @marks says whether there are
 * changes that no reader has harvested.
 */
static bool kvm_hpt_has_news(struct kvm *kvm, struct kvm_hpt_reader *reader,
			     bool marks)
{
	switch (reader->state) {
	case HPT_READER_NONE:
		/* A read begins a first pass, which reports every HPTE */
		return kvm_hpt_present(kvm);
	case HPT_READER_ATTACHED:
		return reader->first_pass || reader->left || reader->unseen ||
		       marks || !hpt_set_empty(&reader->changed);
	case HPT_READER_STALE:
		break;
	}
	return true;
}

static void kvm_hpt_poll_later(struct kvm *kvm, unsigned long delay)
{
	/* Unbound: it is not urgent, and no CPU is a better place */
	queue_delayed_work(system_unbound_wq, &kvm->arch.hpt_poll, delay);
}

/**
 * kvm_hpt_watch() - look for changes for the tasks that poll a reader
 * @kvm: the VM
 * @reader: the reader
 *
 * The tasks are woken up once. After that, only a read, or another poll() that
 * finds no change, makes the work item look again.
 *
 * Context: any; no locks needed.
 */
void kvm_hpt_watch(struct kvm *kvm, struct kvm_hpt_reader *reader)
{
	WRITE_ONCE(reader->polled, true);
	kvm_hpt_poll_later(kvm, POLL_PERIOD +
				READ_ONCE(kvm->arch.hpt_poll_idle));
}

/*
 * Set *@news if polled readers have something to report, and note that these
 * are not polled afterwards. Return true if others still wait.
 */
static bool kvm_hpt_look_for_news(struct kvm *kvm, bool marks, bool *news)
{
	struct kvm_hpt_reader *reader;
	bool waiting = false;

	list_for_each_entry(reader, &kvm->arch.hpt_readers, node) {
		if (!READ_ONCE(reader->polled))
			continue;
		if (kvm_hpt_has_news(kvm, reader, marks)) {
			WRITE_ONCE(reader->polled, false);
			*news = true;
		} else {
			waiting = true;
		}
		cond_resched();
	}
	return waiting;
}

/**
 * kvm_hpt_poll_work() - look for changes for the tasks that poll
 * @work: kvm->arch.hpt_poll
 *
 * One look serves all readers of a VM. It is bounded, and goes on where the
 * last one ended. While there is nothing to read, the time between two looks
 * grows, and the more groups there are to visit, the more.
 */
void kvm_hpt_poll_work(struct work_struct *work)
{
	struct kvm *kvm = container_of(to_delayed_work(work), struct kvm,
				       arch.hpt_poll);
	struct kvm_arch *arch = &kvm->arch;
	unsigned int idle = READ_ONCE(arch->hpt_poll_idle), visited = 0;
	bool waiting, news = false;

	/* Do not wait for a long hold, such as one of a write */
	if (!mutex_trylock(&arch->mmu_setup_lock)) {
		kvm_hpt_poll_later(kvm, POLL_PERIOD + idle);
		return;
	}
	waiting = kvm_hpt_look_for_news(kvm, false, &news);
	/* If there is an HPT, the readers still waiting have read all of it */
	if (waiting && kvm_hpt_present(kvm) &&
	    kvm_hpt_find_mark(kvm, &arch->hpt_poll_pos, &visited))
		waiting = kvm_hpt_look_for_news(kvm, true, &news);
	mutex_unlock(&arch->mmu_setup_lock);

	if (news)
		kvm_hpt_wake(kvm, false);
	if (!waiting || !wq_has_sleeper(&arch->hpt_wait))
		return;
	if (arch->hpt_poll_pos) {
		kvm_hpt_poll_later(kvm,
				   POLL_NEXT + visited * idle / POLL_GROUPS);
		return;
	}
	kvm_hpt_poll_later(kvm, POLL_PERIOD + idle);
	WRITE_ONCE(arch->hpt_poll_idle,
		   min_t(unsigned int, idle + POLL_PERIOD, POLL_IDLE_MAX));
}

/**
 * kvm_hpt_poll() - can a reader report something?
 * @file: the reader's file
 * @wait: poll table
 *
 * A reader that has not met an HPT is not attached to one here.
 *
 * Context: may sleep, takes mmu_setup_lock for bounded times; ends if killed.
 * Return: EPOLLIN if a read returns something, with EPOLLERR if that is ESTALE.
 */
__poll_t kvm_hpt_poll(struct file *file, struct poll_table_struct *wait)
{
	struct kvm_hpt_fd *fd = file->private_data;
	struct kvm *kvm = fd->kvm;
	struct kvm_hpt_reader *reader = &fd->reader;
	bool news, stale, marks;
	unsigned long pos = 0;
	unsigned int visited;

	poll_wait(file, &kvm->arch.hpt_wait, wait);

	do {
		if (mutex_lock_killable(&kvm->arch.mmu_setup_lock))
			return 0;
		news = kvm_hpt_has_news(kvm, reader, false);
		if (!news && reader->state == HPT_READER_ATTACHED) {
			marks = kvm_hpt_find_mark(kvm, &pos, &visited);
			news = kvm_hpt_has_news(kvm, reader, marks);
		} else {
			pos = 0;
		}
		stale = reader->state == HPT_READER_STALE;
		mutex_unlock(&kvm->arch.mmu_setup_lock);
		cond_resched();
		if (fatal_signal_pending(current))
			return 0;
	} while (!news && pos);

	/* The work item finds a change behind the groups that were looked at */
	if (!news) {
		kvm_hpt_watch(kvm, reader);
		return 0;
	}
	return EPOLLIN | EPOLLRDNORM | (stale ? EPOLLERR : 0);
}
