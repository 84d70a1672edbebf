// SPDX-License-Identifier: GPL-2.0-only
/*
 * debugfs: the HPT as hardware sees it, beside the guest's view of dword 1.
 *
 * A line is the index of a valid or absent HPTE, its two doublewords and its
 * reverse map word, all in hexadecimal and host byte order.
 */

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/kvm_host.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/seq_file.h>

#include "hpt.h"

/* How much is looked at in one hold of mmu_setup_lock, see HPT_SCAN_SHIFT */
#define FIND_GROUPS	4096

/* A hold does not show HPTEs on both sides of a multiple of 2^SHOW_SHIFT */
#define SHOW_SHIFT	12

/*
 * Find the next HPTE that is there, from *pos on. Return NULL if there is none,
 * or an error if killed: mmu_setup_lock is not held then.
 */
static void *kvm_hpt_debugfs_find(struct kvm *kvm, loff_t *pos)
{
	struct kvm_hpt_info *info = kvmppc_hpt(kvm);
	unsigned long index = *pos;
	int budget = FIND_GROUPS;

	while (kvm_hpt_present(kvm) && index < kvmppc_hpt_npte(info)) {
		if (budget <= 0) {
			if (!kvm_hpt_relock(kvm))
				return ERR_PTR(-EINTR);
			budget = FIND_GROUPS;
			continue;
		}
		if (!kvm_hpt_group_used(info, index >> HPT_GROUP_SHIFT)) {
			budget--;
			index = kvm_hpt_skip_unused(info, index, &budget);
			continue;
		}
		if (kvm_hpte_there(kvm_hpte_at(info, index))) {
			*pos = index;
			return pos;
		}
		if (!HPT_SLOT(++index)) {
			budget--;
			cond_resched();
		}
	}
	*pos = index;
	return NULL;
}

static void *kvm_hpt_debugfs_start(struct seq_file *m, loff_t *pos)
{
	struct kvm *kvm = m->private;

	if (mutex_lock_killable(&kvm->arch.mmu_setup_lock))
		return ERR_PTR(-EINTR);
	return kvm_hpt_debugfs_find(kvm, pos);
}

static void *kvm_hpt_debugfs_next(struct seq_file *m, void *p, loff_t *pos)
{
	struct kvm *kvm = m->private;
	loff_t last = (*pos)++;

	p = kvm_hpt_debugfs_find(kvm, pos);
	if (IS_ERR_OR_NULL(p) || !((last ^ *pos) >> SHOW_SHIFT))
		return p;
	/* A seek shows all lines before the one it looks for, in one go */
	if (!kvm_hpt_relock(kvm))
		return ERR_PTR(-EINTR);
	return kvm_hpt_debugfs_find(kvm, pos);
}

static void kvm_hpt_debugfs_stop(struct seq_file *m, void *p)
{
	struct kvm *kvm = m->private;

	if (!IS_ERR(p))
		mutex_unlock(&kvm->arch.mmu_setup_lock);
}

static int kvm_hpt_debugfs_show(struct seq_file *m, void *p)
{
	struct kvm *kvm = m->private;
	unsigned long index = *(loff_t *)p;
	__be64 *hptep = kvm_hpte_at(kvmppc_hpt(kvm), index);
	unsigned long v, r, gr;

	preempt_disable();
	kvm_hpte_lock(hptep);
	v = be64_to_cpu(hptep[0]) & ~HPTE_V_HVLOCK;
	r = be64_to_cpu(READ_ONCE(hptep[1]));
	gr = kvmppc_hpt(kvm)->rev[index].guest_rpte & ~HPTE_GR_RESERVED;
	unlock_hpte(hptep, v);
	preempt_enable();

	if (kvm_hpte_valid(v))
		seq_printf(m, "%6lx %.16lx %.16lx %.16lx\n", index, v, r, gr);
	return 0;
}

static const struct seq_operations kvm_hpt_debugfs_sops = {
	.start	= kvm_hpt_debugfs_start,
	.next	= kvm_hpt_debugfs_next,
	.stop	= kvm_hpt_debugfs_stop,
	.show	= kvm_hpt_debugfs_show,
};

static int kvm_hpt_debugfs_open(struct inode *inode, struct file *file)
{
	struct kvm *kvm = inode->i_private;
	int err;

	if (!kvm_get_kvm_safe(kvm))
		return -ENOENT;
	err = seq_open(file, &kvm_hpt_debugfs_sops);
	if (err) {
		kvm_put_kvm(kvm);
		return err;
	}
	((struct seq_file *)file->private_data)->private = kvm;
	return 0;
}

static int kvm_hpt_debugfs_release(struct inode *inode, struct file *file)
{
	struct kvm *kvm = inode->i_private;

	seq_release(inode, file);
	kvm_put_kvm(kvm);
	return 0;
}

static const struct file_operations kvm_hpt_debugfs_fops = {
	.owner		= THIS_MODULE,
	.open		= kvm_hpt_debugfs_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= kvm_hpt_debugfs_release,
};

/**
 * kvmppc_mmu_debugfs_init() - make the VM's htab file
 * @kvm: the VM
 */
void kvmppc_mmu_debugfs_init(struct kvm *kvm)
{
	debugfs_create_file("htab", 0400, kvm->debugfs_dentry, kvm,
			    &kvm_hpt_debugfs_fops);
}
