// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's API in user space: functions that are not inline.
 */

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/anon_inodes.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pipe_fs_i.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/xarray.h>

#include <asm/barrier.h>
#include <asm/kvm_book3s_64.h>

__thread int preempt_count;

#if defined(SHIM_RACE) || defined(SHIM_COUNT)
__thread void (*shim_at)(enum shim_point point);
#endif

#ifdef SHIM_COUNT
__thread unsigned long shim_work;
#else
#define shim_work	0ul
#endif

static __thread unsigned long last_resched, longest_stretch, rescheds;
static __thread unsigned long freed, most_freed;

static void may_sleep(void)
{
	BUG_ON(preempt_count);
	freed = 0;
	longest_stretch = max(longest_stretch, shim_work - last_resched);
	last_resched = shim_work;
}

void cond_resched(void)
{
	may_sleep();
	rescheds++;
}

unsigned long shim_rescheds(void)
{
	unsigned long n = rescheds;

	rescheds = 0;
	return n;
}

unsigned long shim_longest_stretch(void)
{
	unsigned long longest;

	may_sleep();
	longest = longest_stretch;
	longest_stretch = 0;
	return longest;
}

#ifdef SHIM_RACE
void shim_take_time(void)
{
	static __thread unsigned int n;
	unsigned int i;

	n = n * 1103515245 + 12345;
	for (i = n >> 26 == 1 ? 100 : 0; i; i--)
		cpu_relax();
}
#endif

/* Trace events */

__thread struct shim_event shim_events[SHIM_EVENTS];
__thread unsigned int shim_traced;

#if defined(SHIM_RACE) || defined(SHIM_COUNT)
void shim_trace(const char *name, const long long *args, unsigned int nr)
{
	struct shim_event *event = &shim_events[shim_traced++ % SHIM_EVENTS];

	BUG_ON(nr > SHIM_EVENT_ARGS);
	*event = (struct shim_event) { .name = name };
	memcpy(event->args, args, nr * sizeof(*args));
}
#endif

#ifdef SHIM_COUNT
/* The linker replaces _find_next_bit() by this: each word that it reads is work */
unsigned long __real__find_next_bit(const unsigned long *map, unsigned long nr,
				    unsigned long bit);
unsigned long __wrap__find_next_bit(const unsigned long *map, unsigned long nr,
				    unsigned long bit);

unsigned long __wrap__find_next_bit(const unsigned long *map, unsigned long nr,
				    unsigned long bit)
{
	unsigned long next = __real__find_next_bit(map, nr, bit);

	shim_work += 1 + (next - min(next, bit)) / BITS_PER_LONG;
	return next;
}
#endif

/* Memory */

unsigned int shim_fail_alloc_at;
unsigned int shim_fail_allocs;
bool shim_at_cgroup_limit;
size_t shim_largest_alloc;
bool shim_no_cgroups;

static unsigned int nr_allocs;
static long live_allocs;

unsigned int shim_allocs(void)
{
	return __atomic_exchange_n(&nr_allocs, 0, __ATOMIC_RELAXED);
}

long shim_live_allocs(void)
{
	return __atomic_load_n(&live_allocs, __ATOMIC_RELAXED);
}

static bool alloc_fails(void)
{
	unsigned int n = __atomic_add_fetch(&nr_allocs, 1, __ATOMIC_RELAXED);

	return shim_fail_alloc_at && n >= shim_fail_alloc_at &&
	       n - shim_fail_alloc_at < shim_fail_allocs;
}

void *kmalloc(size_t size, gfp_t gfp)
{
	void *p;

	/*
	 * User space can cause all of these allocations, so they have to be
	 * charged, except for attempts without reclaim.
	 */
	BUG_ON(!(gfp & __GFP_ACCOUNT) && gfp & __GFP_DIRECT_RECLAIM);
	if (gfp & __GFP_DIRECT_RECLAIM)
		may_sleep();
	if (alloc_fails() || (shim_at_cgroup_limit && gfp & __GFP_ACCOUNT) ||
	    (shim_largest_alloc && size > shim_largest_alloc))
		return NULL;
	p = gfp & __GFP_ZERO ? calloc(1, size) : malloc(size);
	BUG_ON(!p);
	__atomic_fetch_add(&live_allocs, 1, __ATOMIC_RELAXED);
	return p;
}

void kfree(void *p)
{
	if (!p)
		return;
	__atomic_fetch_sub(&live_allocs, 1, __ATOMIC_RELAXED);
	most_freed = max(most_freed, ++freed);
	free(p);
}

/* Always moves, so that the sanitizer sees who keeps the former place */
void *krealloc_array(void *p, size_t n, size_t size, gfp_t gfp)
{
	void *new = kmalloc(n * size, gfp);

	if (!new || !p)
		return new;
	memcpy(new, p, min(n * size, malloc_usable_size(p)));
	kfree(p);
	return new;
}

unsigned long shim_freed(void)
{
	unsigned long most = most_freed;

	most_freed = 0;
	return most;
}

/* The XArray takes its nodes from a cache, with the list head initialised */

struct kmem_cache *radix_tree_node_cachep;

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru,
			   int gfp)
{
	struct xa_node *node = kmalloc(sizeof(*node), gfp | __GFP_ZERO);

	if (node)
		INIT_LIST_HEAD(&node->private_list);
	return node;
}

void kmem_cache_free(struct kmem_cache *cache, void *p)
{
	kfree(p);
}

void radix_tree_node_rcu_free(struct rcu_head *head)
{
	kfree(container_of(head, struct xa_node, rcu_head));
}

/* Locks */

void (*shim_interleave)(void);
void (*shim_spin)(void);
void (*shim_before_grace_period)(void);
bool shim_section_sleeps;
unsigned int shim_polls_in_vain;
unsigned int shim_grace_periods;
unsigned long shim_ended = ULONG_MAX;
__thread unsigned int shim_sections;
void (*shim_sleep)(void);
__thread unsigned int shim_hpte_locks;
unsigned int shim_kill_at;
__thread unsigned int shim_signal_checks;

bool shim_killed(void)
{
	return shim_kill_at && !--shim_kill_at;
}

static void interleave(void)
{
	if (shim_interleave)
		shim_interleave();
}

static long live_mutexes;

long shim_live_mutexes(void)
{
	return __atomic_load_n(&live_mutexes, __ATOMIC_RELAXED);
}

void mutex_init(struct mutex *mutex)
{
	__atomic_fetch_add(&live_mutexes, 1, __ATOMIC_RELAXED);
	*mutex = (struct mutex) { .magic = mutex };
	pthread_mutex_init(&mutex->lock, NULL);
}

void mutex_destroy(struct mutex *mutex)
{
	BUG_ON(mutex->magic != mutex || mutex->held);
	__atomic_fetch_sub(&live_mutexes, 1, __ATOMIC_RELAXED);
	mutex->magic = NULL;
	pthread_mutex_destroy(&mutex->lock);
}

bool mutex_is_locked(struct mutex *mutex)
{
	return __atomic_load_n(&mutex->held, __ATOMIC_RELAXED);
}

bool mutex_is_mine(struct mutex *mutex)
{
	return __atomic_load_n(&mutex->held, __ATOMIC_RELAXED) &&
	       __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) ==
			pthread_self();
}

void mutex_lock(struct mutex *mutex)
{
	BUG_ON(mutex->magic != mutex);
	BUG_ON(preempt_count || mutex_is_mine(mutex));
	interleave();
	pthread_mutex_lock(&mutex->lock);
	__atomic_store_n(&mutex->owner, pthread_self(), __ATOMIC_RELAXED);
	__atomic_store_n(&mutex->held, true, __ATOMIC_RELAXED);
	mutex->since = shim_work;
}

bool mutex_trylock(struct mutex *mutex)
{
	BUG_ON(mutex->magic != mutex || preempt_count);
	if (pthread_mutex_trylock(&mutex->lock))
		return false;
	__atomic_store_n(&mutex->owner, pthread_self(), __ATOMIC_RELAXED);
	__atomic_store_n(&mutex->held, true, __ATOMIC_RELAXED);
	mutex->since = shim_work;
	return true;
}

int mutex_lock_killable(struct mutex *mutex)
{
	if (shim_killed())
		return -EINTR;
	mutex_lock(mutex);
	return 0;
}

void mutex_unlock(struct mutex *mutex)
{
	BUG_ON(!mutex_is_mine(mutex));
	mutex->longest = max(mutex->longest, shim_work - mutex->since);
	mutex->holds++;
	__atomic_store_n(&mutex->held, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mutex->lock);
}

unsigned long shim_longest_hold(struct mutex *mutex)
{
	unsigned long longest = mutex->longest;

	mutex->longest = 0;
	return longest;
}

unsigned int shim_holds(struct mutex *mutex)
{
	unsigned int holds = mutex->holds;

	mutex->holds = 0;
	return holds;
}

/* User memory */

unsigned int shim_fault_at;

bool shim_faults(void)
{
	return shim_fault_at && !--shim_fault_at;
}

void shim_copies(void)
{
	BUG_ON(preempt_count);
	interleave();
}

/* How many of these bytes are accessible */
static size_t accessible(const struct iov_iter *it, size_t bytes)
{
	BUG_ON(it->pos > it->limit);
	shim_copies();
	return min(bytes, min(it->count, it->limit - it->pos));
}

static void advance(struct iov_iter *it, size_t bytes)
{
	it->pos += bytes;
	it->count -= bytes;
}

void iov_iter_revert(struct iov_iter *it, size_t bytes)
{
	BUG_ON(bytes > it->pos);
	it->pos -= bytes;
	it->count += bytes;
}

size_t copy_to_iter(const void *from, size_t bytes, struct iov_iter *to)
{
	size_t n = accessible(to, bytes);

	memcpy(to->buf + to->pos, from, n);
	advance(to, n);
	return n;
}

size_t copy_from_iter(void *to, size_t bytes, struct iov_iter *from)
{
	size_t n = accessible(from, bytes);

	memcpy(to, from->buf + from->pos, n);
	advance(from, n);
	return n;
}

/* Files */

void seq_printf(struct seq_file *m, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	m->len += vsnprintf(m->buf + m->len, sizeof(m->buf) - m->len, format,
			    args);
	va_end(args);
	BUG_ON(m->len >= sizeof(m->buf));
}

int seq_open(struct file *file, const struct seq_operations *op)
{
	struct seq_file *m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);

	if (!m)
		return -ENOMEM;
	m->op = op;
	file->private_data = m;
	return 0;
}

/* Read as many lines as fit, at least one */
ssize_t seq_read(struct file *file, char *buf, size_t len, loff_t *pos)
{
	struct seq_file *m = file->private_data;
	size_t total = 0;
	void *p;

	p = m->op->start(m, &m->index);
	while (p && !IS_ERR(p)) {
		m->len = 0;
		/* SEQ_SKIP */
		if (m->op->show(m, p))
			m->len = 0;
		if (total + m->len > len)
			break;
		memcpy(buf + total, m->buf, m->len);
		total += m->len;
		p = m->op->next(m, p, &m->index);
	}
	m->op->stop(m, p);
	return IS_ERR(p) ? PTR_ERR(p) : total;
}

int seq_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);
	return 0;
}

struct file shim_debugfs_file;
umode_t shim_debugfs_mode;

char shim_module, shim_noop_llseek, shim_seq_lseek, shim_compat_ptr_ioctl;
char shim_iter_file_splice_write;

struct task_struct shim_task;

ssize_t copy_splice_read(struct file *file, loff_t *pos,
			 struct pipe_inode_info *pipe, size_t len,
			 unsigned int flags)
{
	char *data = malloc(len);
	ssize_t n;

	BUG_ON(!data);
	n = file->f_op->read(file, data, len, NULL);
	free(data);
	if (n > 0)
		pipe->bufs[pipe->head++ & (pipe->ring_size - 1)] =
			(struct pipe_buffer){ .len = n };
	return n;
}

void generic_pipe_buf_release(struct pipe_inode_info *pipe,
			      struct pipe_buffer *buf)
{
	buf->private = 0;
}

bool generic_pipe_buf_try_steal(struct pipe_inode_info *pipe,
				struct pipe_buffer *buf)
{
	return true;
}

bool generic_pipe_buf_get(struct pipe_inode_info *pipe,
			  struct pipe_buffer *buf)
{
	return true;
}

unsigned int shim_fail_file_at;

static struct file *files[SHIM_FILES];

static bool file_fails(void)
{
	return shim_fail_file_at && !--shim_fail_file_at;
}

struct file *anon_inode_getfile(const char *name,
				const struct file_operations *fops,
				void *priv, int flags)
{
	struct file *file;

	if (file_fails())
		return ERR_PTR(-ENFILE);
	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return ERR_PTR(-ENOMEM);
	file->f_op = fops;
	file->private_data = priv;
	file->flags = flags;
	return file;
}

#define RESERVED	((struct file *)-1)

int get_unused_fd_flags(unsigned int flags)
{
	struct file *none;
	int fd;

	if (file_fails())
		return -EMFILE;
	for (fd = 0; fd < SHIM_FILES; fd++) {
		none = NULL;
		if (__atomic_compare_exchange_n(&files[fd], &none, RESERVED,
						false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
			return fd;
	}
	return -EMFILE;
}

void put_unused_fd(int fd)
{
	BUG_ON(files[fd] != RESERVED);
	__atomic_store_n(&files[fd], NULL, __ATOMIC_RELEASE);
}

void (*shim_installed)(int fd);

void fd_install(int fd, struct file *file)
{
	BUG_ON(files[fd] != RESERVED);
	__atomic_store_n(&files[fd], file, __ATOMIC_RELEASE);
	if (shim_installed)
		shim_installed(fd);
}

struct file *shim_file(int fd)
{
	return __atomic_load_n(&files[fd], __ATOMIC_ACQUIRE);
}

void shim_close(int fd)
{
	struct file *file = shim_file(fd);

	__atomic_store_n(&files[fd], NULL, __ATOMIC_RELEASE);
	BUG_ON(file->f_op->release(&file->inode, file));
	kfree(file);
}
