// SPDX-License-Identifier: GPL-2.0-only
/*
 * The HPT file: KVM_PPC_GET_HTAB_FD, which makes one for reading or for
 * writing, its release, and the state of a VM.
 */

#include <linux/anon_inodes.h>
#include <linux/dcache.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "hpt.h"
#include "trace.h"

/**
 * kvm_hpt_vm_name() - the name by which an administrator knows a VM
 * @kvm: the VM
 * @name: becomes the name of its directory in /sys/kernel/debug/kvm, which is
 *	  PID-FD, or without debugfs the process ID alone
 *
 * Context: does not sleep.
 */
void kvm_hpt_vm_name(struct kvm *kvm, char name[KVM_HPT_VM_NAME])
{
	struct dentry *dir = kvm->debugfs_dentry;

	if (IS_ERR_OR_NULL(dir))
		snprintf(name, KVM_HPT_VM_NAME, "%d", kvm->userspace_pid);
	else
		snprintf(name, KVM_HPT_VM_NAME, "%s", dir->d_name.name);
}

/**
 * kvm_hpt_fd_grow() - replace the buffer for records by a larger one
 * @fd: the file, locked
 * @size: bytes it must have room for
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int kvm_hpt_fd_grow(struct kvm_hpt_fd *fd, size_t size)
{
	kvfree(fd->buf);
	fd->buf_size = 0;
	fd->buf = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!fd->buf)
		return -ENOMEM;
	fd->buf_size = size;
	return 0;
}

static void kvm_hpt_free_fd(struct kvm_hpt_fd *fd)
{
	kvfree(fd->buf);
	mutex_destroy(&fd->lock);
	kfree(fd);
}

/* Close a file that user space has had */
static void kvm_hpt_close_fd(struct kvm_hpt_fd *fd)
{
	struct kvm *kvm = fd->kvm;

	trace_kvm_hpt_close(kvm, fd->id, fd->valid, fd->invalid, fd->bytes);
	kvm_hpt_free_fd(fd);
	kvm_put_kvm(kvm);
}

static int kvm_hpt_release_reader(struct inode *inode, struct file *file)
{
	struct kvm_hpt_fd *fd = file->private_data;

	kvm_hpt_reader_close(fd->kvm, &fd->reader);
	kvm_hpt_close_fd(fd);
	return 0;
}

static int kvm_hpt_release_writer(struct inode *inode, struct file *file)
{
	kvm_hpt_close_fd(file->private_data);
	return 0;
}

/*
 * sendfile() reads into a pipe of its own, and drops what it cannot write: to a
 * socket that does not block, or when a signal, a debugger or the freezer
 * interrupts it. A buffer that has been written completely has length 0.
 */
static void kvm_hpt_release_sent(struct pipe_inode_info *pipe,
				 struct pipe_buffer *buf)
{
	struct kvm_hpt_fd *fd = (struct kvm_hpt_fd *)buf->private;

	if (buf->len)
		kvm_hpt_reader_lost(fd->kvm, &fd->reader);
	generic_pipe_buf_release(pipe, buf);
}

static const struct pipe_buf_operations kvm_hpt_sent_ops = {
	.release	= kvm_hpt_release_sent,
	.try_steal	= generic_pipe_buf_try_steal,
	.get		= generic_pipe_buf_get,
};

/* The file stays open until sendfile() has released all that it has read */
static ssize_t kvm_hpt_splice_read(struct file *file, loff_t *pos,
				   struct pipe_inode_info *pipe, size_t len,
				   unsigned int flags)
{
	unsigned int slot = pipe->head;
	struct pipe_buffer *buf;
	ssize_t ret;

	ret = copy_splice_read(file, pos, pipe, len, flags);
	for (; pipe == current->splice_pipe && slot != pipe->head; slot++) {
		buf = &pipe->bufs[slot & (pipe->ring_size - 1)];
		buf->ops = &kvm_hpt_sent_ops;
		buf->private = (unsigned long)file->private_data;
	}
	return ret;
}

/*
 * There is no position to seek to, but sendfile() needs .llseek. read() and
 * write() would work without .read and .write, but cost less with them.
 */
static const struct file_operations kvm_hpt_reader_fops = {
	.owner		= THIS_MODULE,
	.llseek		= noop_llseek,
	.read		= kvm_hpt_read,
	.read_iter	= kvm_hpt_read_iter,
	.splice_read	= kvm_hpt_splice_read,
	.poll		= kvm_hpt_poll,
	.unlocked_ioctl	= kvm_hpt_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.show_fdinfo	= kvm_hpt_show_reader,
	.release	= kvm_hpt_release_reader,
};

static const struct file_operations kvm_hpt_writer_fops = {
	.owner		= THIS_MODULE,
	.llseek		= noop_llseek,
	.write		= kvm_hpt_write,
	.write_iter	= kvm_hpt_write_iter,
	.splice_write	= iter_file_splice_write,
	.show_fdinfo	= kvm_hpt_show_writer,
	.release	= kvm_hpt_release_writer,
};

static struct file *kvm_hpt_make_file(struct kvm_hpt_fd *fd, bool write)
{
	if (write)
		return anon_inode_getfile("kvm-htab", &kvm_hpt_writer_fops, fd,
					  O_WRONLY);
	return anon_inode_getfile("kvm-htab", &kvm_hpt_reader_fops, fd,
				  O_RDONLY);
}

/**
 * kvm_vm_ioctl_get_htab_fd() - KVM_PPC_GET_HTAB_FD
 * @kvm: the VM
 * @args: ioctl argument
 *
 * Context: may sleep, takes mmu_setup_lock.
 * Return: a file descriptor; -EINVAL for an unknown flag or a start index
 * that is not in the HPT, -ENOMEM, -EMFILE, -ENFILE, or -EINTR if killed.
 */
int kvm_vm_ioctl_get_htab_fd(struct kvm *kvm, struct kvm_get_htab_fd *args)
{
	bool write = args->flags & KVM_GET_HTAB_WRITE;
	struct kvm_hpt_fd *fd;
	struct file *file;
	int desc, err;

	if (args->flags & ~(KVM_GET_HTAB_BOLTED_ONLY | KVM_GET_HTAB_WRITE))
		return -EINVAL;

	fd = kzalloc(sizeof(*fd), GFP_KERNEL_ACCOUNT);
	if (!fd)
		return -ENOMEM;
	fd->kvm = kvm;
	fd->id = atomic64_inc_return(&kvm->arch.hpt_files);
	mutex_init(&fd->lock);
	fd->reader.bolted_only = args->flags & KVM_GET_HTAB_BOLTED_ONLY;

	desc = get_unused_fd_flags(O_CLOEXEC);
	if (desc < 0) {
		err = desc;
		goto free;
	}
	if (!write) {
		err = kvm_hpt_reader_open(kvm, &fd->reader, args->start_index);
		if (err)
			goto put_desc;
	}
	file = kvm_hpt_make_file(fd, write);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		goto close;
	}
	trace_kvm_hpt_open(kvm, fd->id, args->flags, args->start_index);
	kvm_get_kvm(kvm);
	fd_install(desc, file);
	return desc;

close:
	if (!write)
		kvm_hpt_reader_close(kvm, &fd->reader);
put_desc:
	put_unused_fd(desc);
free:
	kvm_hpt_free_fd(fd);
	return err;
}

/**
 * kvmppc_hpt_init_vm() - initialise the HPT state of a new VM
 * @kvm: the VM
 */
void kvmppc_hpt_init_vm(struct kvm *kvm)
{
	INIT_LIST_HEAD(&kvm->arch.hpt_readers);
	mutex_init(&kvm->arch.hpt_write_lock);
	init_waitqueue_head(&kvm->arch.hpt_wait);
	INIT_DELAYED_WORK(&kvm->arch.hpt_poll, kvm_hpt_poll_work);
}

/**
 * kvmppc_hpt_destroy_vm() - free the HPT state of a VM without open files
 * @kvm: the VM
 */
void kvmppc_hpt_destroy_vm(struct kvm *kvm)
{
	cancel_delayed_work_sync(&kvm->arch.hpt_poll);
	/*
	 * The grace period that was begun last may not have ended, and the SRCU
	 * structure must be idle when it is cleaned up.
	 */
	if (kvm->arch.hpt_gp_begun &&
	    !poll_state_synchronize_srcu(&kvm->srcu, kvm->arch.hpt_gp))
		synchronize_srcu_expedited(&kvm->srcu);
}
