// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes of records: whole or incomplete, good or bad, short or long.
 */

#include "fixture.h"

static bool there(struct kvm *kvm, unsigned long index)
{
	return *kvm_hpte_at(&kvm->arch.hpt, index);
}

/*
 * Three records, cut off or inaccessible from each byte on: the whole ones are
 * applied and counted.
 */
TEST_F(file, write_cut_at_each_byte)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t ends[4] = { }, at;
	unsigned int i, whole, fault;
	unsigned long index;

	for (i = 0; i < 3; i++)
		ends[i + 1] = ends[i] + record(self->buf + ends[i], 100 * i, i,
					       8 - i);
	for (fault = 0; fault < 2; fault++) {
		for (at = 1; at <= ends[3]; at++) {
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
			for (whole = 0; whole < 3 && ends[whole + 1] <= at;)
				whole++;
			ASSERT_EQ(whole ? ends[whole] : fault ? -EFAULT :
				  -EINVAL,
				  fake_write(fd, self->buf, fault ? ends[3] : at,
					     at));
			ASSERT_TRUE(drain(self->fd, self->v, self->r,
					  self->buf + 4096, 4096));
			for (index = 0; index < NR; index++)
				ASSERT_EQ(index / 100 < whole &&
					  index % 100 < index / 100 ? V : 0,
					  self->v[index]);
		}
	}
	ASSERT_EQ(-EFAULT, fake_write(fd, self->buf, ends[3], 0));
	ASSERT_EQ(0, fake_write(fd, self->buf, 0, 0));
	/* write() does without an iov_iter */
	shim_fault_at = 1;
	ASSERT_EQ(-EFAULT, fake_write(fd, self->buf, ends[3], ends[3]));
	/* A short one is copied in another way */
	shim_fault_at = 1;
	ASSERT_EQ(-EFAULT, fake_write(fd, self->buf, ends[1], ends[1]));
	ASSERT_EQ(0, shim_fault_at);
	shim_close(fd);
}

/* A write of one short record is done in another way than others of its length */
TEST_F(file, short_writes)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len, i;

	for (i = 0; i < 9; i++) {
		len = record(self->buf, 8 * i, 1, 0);
		ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	}
	ASSERT_EQ(9, self->kvm->stat.hpt_write_valid);
	/* It takes the lock of the file and that of the VM, each once */
	shim_kill_at = 1000;
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	ASSERT_EQ(2, 1000 - shim_kill_at);
	/* Nor is one that is refused tried again */
	self->kvm->arch.mmu_ready = 1;
	atomic_set(&self->kvm->arch.vcpus_running, 1);
	ASSERT_EQ(-EBUSY, fake_write(fd, self->buf, len, len));
	atomic_set(&self->kvm->arch.vcpus_running, 0);
	ASSERT_EQ(4, 1000 - shim_kill_at);
	ASSERT_EQ(1, self->kvm->stat.hpt_write_refused.counter);
	shim_kill_at = 0;
	for (i = len = 0; i < 9; i++) {
		len += record(self->buf + len, 8 * i, 0, 1);
		ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
		ASSERT_FALSE(there(self->kvm, 8 * i));
		ASSERT_EQ(i < 8, there(self->kvm, 64));
	}
	/* A whole record and data behind it, which is no header */
	len = record(self->buf, 0, 2, 0);
	ASSERT_EQ(len, fake_write(fd, self->buf, len + 4, len + 4));
	ASSERT_TRUE(there(self->kvm, 1));
	ASSERT_FALSE(there(self->kvm, 2));
	/* One that is refused */
	len = record(self->buf, 8, 1, 0);
	*(__be64 *)(self->buf + HDR) = 0;
	ASSERT_EQ(-EINVAL, fake_write(fd, self->buf, len, len));
	/* And one that is longer than the write */
	record(self->buf, 0, 2, 0);
	ASSERT_EQ(-EINVAL, fake_write(fd, self->buf, HDR + 16, HDR + 16));
	shim_close(fd);
}

/* The longest records, which do not fit into the buffer together */
TEST_F(file, write_longest_records)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = 0, size = 3 * HPT_RECORD_MAX;
	char *buf = malloc(size);
	unsigned long index;
	unsigned int checks, rescheds;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	len += record(buf, 1, 1, 65535);
	len += record(buf + len, 65537, 65535, 65535);
	len += record(buf + len, 196608, 65535, 0);
	ASSERT_GT(size, len);
	ASSERT_EQ(len, fake_write(fd, buf, len, len));
	for (index = 65530; index < 65540; index++)
		ASSERT_EQ(index >= 65537, there(self->kvm, index));
	ASSERT_TRUE(there(self->kvm, 131071));
	ASSERT_FALSE(there(self->kvm, 131072));
	ASSERT_TRUE(there(self->kvm, 262142));
	ASSERT_FALSE(there(self->kvm, 262143));
	/* One byte short of the longest */
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	len = record(buf, 0, 65535, 0);
	ASSERT_EQ(-EINVAL, fake_write(fd, buf, len - 1, len));
	ASSERT_EQ(-EFAULT, fake_write(fd, buf, len, len - 1));
	ASSERT_FALSE(there(self->kvm, 0));
	ASSERT_EQ(len, fake_write(fd, buf, len, len));
	ASSERT_TRUE(there(self->kvm, 65534));
	/* Each fills the buffer; the write can be killed between two */
	for (index = 0; index < 3; index++)
		record(buf + index * len, 0, 65535, 0);
	shim_signal_checks = 0;
	shim_rescheds();
	ASSERT_EQ(len, fake_write(fd, buf, len, len));
	checks = shim_signal_checks;
	rescheds = shim_rescheds();
	ASSERT_EQ(3 * len, fake_write(fd, buf, 3 * len, 3 * len));
	ASSERT_EQ(checks + 3 * checks + 2, shim_signal_checks);
	ASSERT_EQ(3 * rescheds + 2, shim_rescheds());
	/* Or the second one cannot be copied */
	shim_fault_at = 2;
	ASSERT_EQ(len, fake_write(fd, buf, 3 * len, 3 * len));
	ASSERT_EQ(0, shim_fault_at);
	/* The longest runs of invalid HPTEs */
	for (index = 0; index < 40; index++)
		record(buf + index * HDR, index % 4 * 65535, 0, 65535);
	ASSERT_EQ(40 * HDR, fake_write(fd, buf, 40 * HDR, BUF));
	ASSERT_FALSE(there(self->kvm, 65534));
	/* A hold for each record; three checks for a signal before the next */
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 22));
	for (index = 4; index < 10; index++) {
		shim_kill_at = index;
		ASSERT_EQ((index - 1) / 3 * HDR,
			  fake_write(fd, buf, 40 * HDR, BUF));
		ASSERT_EQ(0, shim_kill_at);
	}
	free(buf);
	shim_close(fd);
}

/* The longest possible record, and a table with more HPTEs */
#define LONG		65535
#define LONG_ORDER	21

/* Fill a table, and make a record that replaces its HPTEs. Returns its size. */
static size_t long_record(struct kvm *kvm, void *buf, unsigned int valid)
{
	unsigned long index;

	if (fake_allocate_hpt(kvm, LONG_ORDER))
		return 0;
	for (index = 0; index < LONG; index++)
		if (fake_h_enter(kvm, index, V | HPTE_V_BOLTED, R(1)))
			return 0;
	return record(buf, 0, valid, LONG - valid);
}

/* Count the HPTEs as in a record with @valid of them, and those as @before */
static unsigned long count_long(struct kvm *kvm, unsigned int valid,
				unsigned long *before)
{
	unsigned long index, after = 0;
	u64 v, r;

	*before = 0;
	for (index = 0; index < LONG; index++) {
		model_look(kvm, index, &v, &r);
		if (v == (V | HPTE_V_BOLTED) && r == R(1))
			++*before;
		else
			after += index < valid ? v == V && r == R(index) : !v;
	}
	return after;
}

/*
 * A long record is applied, or put back, in bounded holds of the lock, and the
 * writer can be killed between them.
 */
TEST_F(file, long_record_does_not_lengthen_the_hold)
{
	static const struct {
		unsigned int valid;
		bool empty, large, refused;
	} kind[] = {
		{ LONG }, { LONG, .empty = true }, { 0 },
		{ LONG, .large = true }, { LONG, .refused = true },
	};
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX);
	__be64 *hpte = (__be64 *)(buf + HDR);
	unsigned long i, before;
	size_t len;

	for (i = 0; i < ARRAY_SIZE(kind); i++) {
		unsigned int valid = kind[i].valid, n;
		bool refused = kind[i].refused;

		len = long_record(self->kvm, buf, valid);
		ASSERT_LT(0, len);
		if (kind[i].empty)
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, LONG_ORDER));
		for (n = 0; n < valid && kind[i].large; n++) {
			hpte[2 * n] |= cpu_to_be64(HPTE_V_LARGE);
			hpte[2 * n + 1] = cpu_to_be64(FAKE_HUGE | HPTE_R_M);
		}
		if (refused)
			hpte[2 * valid - 1] = cpu_to_be64(R(1) | HPTE_R_W);
		shim_longest_hold(lock);
		shim_longest_stretch();
		shim_rescheds();
		shim_signal_checks = 0;
		ASSERT_EQ(refused ? -EIO : (ssize_t)len,
			  fake_write(fd, buf, len, len));
		EXPECT_GT(150000, shim_longest_hold(lock)) {
			TH_LOG("record %lu", i);
		}
		/* The work for 64 HPTEs, entered and put back */
		EXPECT_GT(2000, shim_longest_stretch());
		EXPECT_LE(LONG / 64, shim_rescheds());
		/* Checking HPTEs of large pages takes holds as well */
		EXPECT_LE((1 + kind[i].large) * (LONG / 4096),
			  shim_signal_checks);
		if (kind[i].large)
			continue;
		EXPECT_EQ(refused ? 0 : LONG,
			  count_long(self->kvm, valid, &before));
		EXPECT_EQ(refused ? LONG : 0, before);
	}
	free(buf);
	shim_close(fd);
}

TEST_F(file, long_record_behind_a_short_one)
{
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX + BUF);
	size_t len = record(buf, LONG + 1, 1, 0);

	/* Both fit into the buffer of the file */
	len += long_record(self->kvm, buf + len, LONG - 100);
	shim_longest_hold(lock);
	ASSERT_EQ(len, fake_write(fd, buf, len, len));
	EXPECT_GT(150000, shim_longest_hold(lock));
	free(buf);
	shim_close(fd);
}

/* Wherever a write is killed, it leaves no lock held */
TEST_F(file, killed_in_a_long_record)
{
	static const struct { unsigned int valid; bool refused; } kind[] = {
		{ LONG }, { 0 }, { LONG, .refused = true },
	};
	struct kvm_arch *arch = &self->kvm->arch;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX);
	__be64 *last = (__be64 *)(buf + HDR) + 2 * LONG - 1;
	unsigned long i, kill, after, before, partly;
	size_t len;
	ssize_t ret;

	for (i = 0; i < ARRAY_SIZE(kind); i++) {
		partly = 0;
		for (kill = 1, ret = -EINTR; ret == -EINTR; kill++) {
			len = long_record(self->kvm, buf, kind[i].valid);
			ASSERT_LT(0, len);
			if (kind[i].refused)
				*last = cpu_to_be64(R(1) | HPTE_R_W);
			arch->mmu_ready = kill % 2;
			shim_kill_at = kill;
			ret = fake_write(fd, buf, len, len);
			ASSERT_EQ(kill % 2, arch->mmu_ready);
			ASSERT_FALSE(mutex_is_locked(&arch->hpt_write_lock));
			ASSERT_FALSE(mutex_is_locked(&arch->mmu_setup_lock));
			if (ret != -EINTR)
				break;
			ASSERT_EQ(0, shim_kill_at);
			after = count_long(self->kvm, kind[i].valid, &before);
			/* One HPTE may be removed and not yet put back */
			ASSERT_LE(LONG, after + before + kind[i].refused);
			partly += after && before;
		}
		shim_kill_at = 0;
		ASSERT_EQ(kind[i].refused ? -EIO : (ssize_t)len, ret);
		EXPECT_LE(LONG / 4096 - 1, partly);
	}
	free(buf);
	shim_close(fd);
}

/* Between two slices of a record, others can read, but not change the table */
struct between {
	struct kvm *kvm;
	unsigned int at;	/* number of locks until then */
	int reader, other;
	char *buf;
	ssize_t (*change)(struct between *b);
	pthread_t thread;
	ssize_t ret;
	bool done, done_too_soon;
	ssize_t read;
	int ready;
};

static struct between between;

static ssize_t write_one(struct between *b)
{
	size_t len = record(b->buf, 7, 1, 0);

	return fake_write(b->other, b->buf, len, len) == len;
}

static ssize_t reset_between(struct between *b)
{
	return !fake_allocate_hpt(b->kvm, LONG_ORDER);
}

static ssize_t setup_mmu(struct between *b)
{
	if (kvmppc_hpt_lock(b->kvm))
		return 0;
	WRITE_ONCE(b->kvm->arch.mmu_ready, 1);
	mutex_unlock(&b->kvm->arch.mmu_setup_lock);
	return 1;
}

static void *change_between(void *arg)
{
	struct between *b = arg;

	b->ret = b->change(b);
	__atomic_store_n(&b->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void between_slices(void)
{
	struct between *b = &between;

	if (--b->at)
		return;
	shim_interleave = NULL;
	b->ready = b->kvm->arch.mmu_ready;
	b->read = fake_read(b->reader, b->buf + 4096, 4096, BUF);
	pthread_create(&b->thread, NULL, change_between, b);
	usleep(20000);
	b->done_too_soon = __atomic_load_n(&b->done, __ATOMIC_ACQUIRE);
}

/* What changes the table, and has to wait */
static ssize_t (*const change[])(struct between *b) = {
	write_one, reset_between, setup_mmu,
};

/* Do this at the lock that is @at locks from here, in another thread */
static void begin_between(ssize_t (*what)(struct between *b), unsigned int at)
{
	between.change = what;
	between.done = false;
	between.at = at;
	shim_interleave = between_slices;
}

/* It was done, and not before all locks were free */
static void end_between(struct __test_metadata *_metadata)
{
	ASSERT_EQ(NULL, shim_interleave);
	pthread_join(between.thread, NULL);
	EXPECT_EQ(1, between.ret);
	EXPECT_FALSE(between.done_too_soon);
}

TEST_F(file, nothing_changes_between_slices)
{
	struct kvm_arch *arch = &self->kvm->arch;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX);
	unsigned long i, before;
	size_t len;

	between.kvm = self->kvm;
	between.buf = self->buf;
	between.other = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	for (i = 0; i < ARRAY_SIZE(change); i++) {
		len = long_record(self->kvm, buf, LONG);
		ASSERT_LT(0, len);
		between.reader = fake_open(self->kvm, 0, 0);
		arch->mmu_ready = 1;
		/* After the file's lock, a copy, two locks, and some slices */
		begin_between(change[i], 8);
		ASSERT_EQ(len, fake_write(fd, buf, len, len));
		end_between(_metadata);
		EXPECT_EQ(0, between.ready);
		EXPECT_LT(0, between.read);
		EXPECT_EQ(change[i] == reset_between ? 0 : LONG,
			  count_long(self->kvm, LONG, &before));
		shim_close(between.reader);
	}
	free(buf);
	shim_close(between.other);
	shim_close(fd);
}

/* Nor in the middle of a reset, which is not over when mmu_setup_lock is free */
TEST_F(file, nothing_changes_in_the_middle_of_a_reset)
{
	unsigned long i, nr = 1 << (LONG_ORDER - 4), before;
	struct kvm_arch *arch = &self->kvm->arch;

	between.kvm = self->kvm;
	between.buf = self->buf;
	between.other = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	for (i = 0; i < ARRAY_SIZE(change); i++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, LONG_ORDER));
		ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1)));
		between.reader = fake_open(self->kvm, 0, 0);
		arch->mmu_ready = 1;
		/* Two locks, one after each of two steps, and two slices */
		begin_between(change[i], 6);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, LONG_ORDER));
		end_between(_metadata);
		EXPECT_EQ(0, between.ready);
		EXPECT_LT(0, between.read);
		EXPECT_EQ(change[i] == write_one,
			  count_long(self->kvm, LONG, &before));
		shim_close(between.reader);
	}
	shim_close(between.other);
}

static void read_all_between(void)
{
	struct between *b = &between;
	struct kvm_ppc_htab_progress p;
	ssize_t len;

	if (--b->at)
		return;
	shim_interleave = NULL;
	b->ret = 0;
	do {
		len = fake_read(b->reader, b->buf, BUF, BUF);
		b->ret += len;
	} while (len > 0);
	fake_progress(b->reader, 0, &p);
	b->read = p.generation;
}

/*
 * A reader that has read all between two holds of a reset, and knows of no change
 * then, begins again: some of what it has read is removed after that.
 */
TEST_F(file, reader_in_the_middle_of_a_reset)
{
	unsigned long nr = 1 << (LONG_ORDER - 4);
	struct kvm_ppc_htab_progress p;
	unsigned int at;

	between.kvm = self->kvm;
	between.buf = self->buf;
	/* After the first, second and third of four holds that remove HPTEs */
	for (at = 5; at <= 7; at++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, LONG_ORDER));
		ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1)));
		between.reader = fake_open(self->kvm, 0, 0);
		between.at = at;
		shim_interleave = read_all_between;
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, LONG_ORDER));
		ASSERT_EQ(NULL, shim_interleave);
		EXPECT_LE((8 - at) * 4096 * 24, between.ret);
		ASSERT_EQ(0, fake_progress(between.reader, 0, &p));
		EXPECT_LT(between.read, p.generation);
		EXPECT_TRUE(p.pass == 1 && !p.position);
		/* Invalid HPTEs, in the longest runs that there are */
		EXPECT_EQ(3 * HDR, fake_read(between.reader, self->buf, BUF,
					     BUF));
		shim_close(between.reader);
	}
}

static ssize_t open_between(struct between *b)
{
	struct kvm_ppc_htab_progress p;
	int fd = fake_open(b->kvm, 0, 800);

	if (fd < 0 || fake_progress(fd, 0, &p))
		return 0;
	shim_close(fd);
	return p.state == KVM_PPC_HTAB_STATE_CURRENT && p.position == 800 &&
	       p.order == LONG_ORDER + 1;
}

/* While a table is replaced there is none, but who opens a file waits for it */
TEST_F(file, open_waits_for_the_new_table)
{
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, LONG_ORDER));
	between.kvm = self->kvm;
	between.buf = self->buf;
	between.reader = self->fd;
	/* Two locks, one after each of two steps, and one when it is there */
	begin_between(open_between, 5);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, LONG_ORDER + 1));
	end_between(_metadata);
	EXPECT_EQ(-ESTALE, between.read);
}

/* What others see of a record whenever they can take the lock */
#define SHORT		4000

static struct {
	struct kvm *kvm;
	unsigned long looks, first, last;
} seen;

static void look_at_both_ends(void)
{
	if (mutex_is_locked(&seen.kvm->arch.mmu_setup_lock))
		return;
	seen.looks++;
	seen.first += there(seen.kvm, 0);
	seen.last += there(seen.kvm, SHORT - 1);
}

/* A record that is shorter than a slice: a reader sees all of it or nothing */
TEST_F(file, short_record_is_seen_as_a_whole)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 0, SHORT, 0);

	memset(&seen, 0, sizeof(seen));
	seen.kvm = self->kvm;
	shim_interleave = look_at_both_ends;
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	shim_interleave = NULL;
	EXPECT_LT(0, seen.looks);
	EXPECT_EQ(seen.first, seen.last);
	EXPECT_TRUE(there(self->kvm, SHORT - 1));
	shim_close(fd);
}

/*
 * Many short records of any kind in one large write: holds of the lock are
 * bounded, and the writer can be killed between them.
 */
TEST_F(file, short_records_do_not_lengthen_the_hold)
{
	static const struct { unsigned int valid, invalid; } shape[] = {
		{ 0, 0 }, { 0, 1 }, { 1, 0 }, { 3, 5 },
	};
	struct mutex *lock = &self->kvm->arch.mmu_setup_lock;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t size = 8 << 20, len, records;
	char *buf = malloc(size);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(shape); i++) {
		for (len = 0, records = 0; len + 64 < size; records++)
			len += record(buf + len, len % (NR - 8),
				      shape[i].valid, shape[i].invalid);
		shim_longest_hold(lock);
		shim_longest_stretch();
		shim_rescheds();
		shim_signal_checks = 0;
		ASSERT_EQ(len, fake_write(fd, buf, len, len));
		/* After each record, even if the hold goes on */
		EXPECT_LE(records - 1, shim_rescheds());
		EXPECT_GT(150000, shim_longest_hold(lock));
		EXPECT_GT(1000, shim_longest_stretch());
		EXPECT_LE(8, shim_signal_checks) {
			TH_LOG("%u valid, %u invalid", shape[i].valid,
			       shape[i].invalid);
		}
	}
	free(buf);
	shim_close(fd);
}

/* If H_ENTER refuses the n-th HPTE of a record, the old HPTEs are put back */
TEST_F(file, refused_record_is_put_back)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	unsigned int bad, i;
	__be64 *hpte;
	size_t len;

	for (bad = 0; bad < 12; bad++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (i = 0; i < 12; i += 2)
			ASSERT_EQ(0, fake_h_enter(self->kvm, 20 + i, V |
						  HPTE_V_BOLTED, R(300 + i)));
		len = record(self->buf, 20, 12, 5);
		hpte = (__be64 *)(self->buf + HDR) + 2 * bad;
		/* No check finds this before H_ENTER does */
		hpte[1] |= cpu_to_be64(HPTE_R_W);
		ASSERT_EQ(-EIO, fake_write(fd, self->buf, len, len));
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		for (i = 0; i < 12; i++)
			ASSERT_FALSE(differ(self->v, self->r, 20 + i, i % 2 ?
					    0 : V | HPTE_V_BOLTED, R(300 + i)));
	}
	shim_close(fd);
}

/*
 * H_ENTER refuses to put back an HPTE that it had accepted, since the host has
 * mapped the page meanwhile. The slot stays empty.
 */
TEST_F(file, refused_old_hpte_stays_invalid)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	u64 page = 5 << PAGE_SHIFT;
	unsigned int i;
	__be64 *hpte;
	size_t len;

	fake_host_page(page, false);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, 20 + i, V, i == 1 ?
					  page | HPTE_R_M | HPTE_R_W :
					  R(300 + i)));
	fake_host_page(page, true);
	len = record(self->buf, 20, 4, 0);
	hpte = (__be64 *)(self->buf + HDR) + 2 * 3;
	hpte[1] |= cpu_to_be64(HPTE_R_W);
	ASSERT_EQ(-EIO, fake_write(fd, self->buf, len, len));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	for (i = 0; i < 4; i++)
		EXPECT_FALSE(differ(self->v, self->r, 20 + i, i == 1 ? 0 : V,
				    R(300 + i)));
	shim_close(fd);
}

/* If the check finds a bad HPTE, nothing is changed */
TEST_F(file, record_is_checked_before_it_is_applied)
{
	static const u64 at[] = { (FAKE_ODD | 0xffffff) + 1, FAKE_RAM };
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len;
	__be64 *hpte = (__be64 *)(self->buf + HDR);
	unsigned int i;

	ASSERT_EQ(0, fake_h_enter(self->kvm, 20, V, R(7)));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf + 4096, 4096));
	/* A 16M page that does not fit the slot, or the host's page */
	fake_host_page(at[0], false);
	for (i = 0; i <= ARRAY_SIZE(at); i++) {
		len = record(self->buf, 20, 2, 0);
		if (i < ARRAY_SIZE(at)) {
			hpte[2] |= cpu_to_be64(HPTE_V_LARGE);
			hpte[3] = cpu_to_be64(at[i] | HPTE_R_M);
		} else {
			/* A segment size that is reserved */
			hpte[2] |= cpu_to_be64(1ull << 63);
		}
		ASSERT_EQ(-EIO, fake_write(fd, self->buf, len, len));
		EXPECT_EQ(0, fake_read(self->fd, self->buf + 4096, 4096,
				       4096));
	}
	shim_close(fd);
}

/* The HPTE is then for emulated MMIO, which accepts pages of any size */
TEST_F(file, large_page_in_a_slot_that_is_being_deleted)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 1, 0);
	__be64 *hpte = (__be64 *)(self->buf + HDR);

	hpte[0] |= cpu_to_be64(HPTE_V_LARGE);
	hpte[1] = cpu_to_be64(FAKE_RAM | HPTE_R_M);
	ASSERT_EQ(-EIO, fake_write(fd, self->buf, len, len));
	fake_delete_slot(FAKE_RAM, true);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_FALSE(fake_mapped(self->kvm, 20));
	shim_close(fd);
}

/*
 * When the VM's process has exited, HPTEs that are written map nothing, and its
 * page tables are not looked at. Those of before stay.
 */
TEST_F(file, process_of_the_vm_exits)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 3, 0);
	__be64 *hpte = (__be64 *)(self->buf + HDR);
	unsigned long index;

	hpte[2] |= cpu_to_be64(HPTE_V_LARGE);
	hpte[3] = cpu_to_be64(FAKE_HUGE | HPTE_R_M);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	ASSERT_TRUE(fake_mapped(self->kvm, 21));
	fake_exit_mm(self->kvm);
	header(self->buf, 0)->index = 21;
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_TRUE(fake_mapped(self->kvm, 20));
	for (index = 21; index < 24; index++) {
		EXPECT_TRUE(there(self->kvm, index));
		EXPECT_FALSE(fake_mapped(self->kvm, index));
	}
	shim_close(fd);
}

/* A page of 16M in a segment with a base page size of 64K */
TEST_F(file, vrma_has_the_size_of_the_base_page)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 1, 0);
	__be64 *hpte = (__be64 *)(self->buf + HDR);

	hpte[0] = cpu_to_be64(HPTE_V_1TB_SEG | VRMA_VSID << 24 |
			      HPTE_V_BOLTED | HPTE_V_LARGE | HPTE_V_VALID);
	hpte[1] = cpu_to_be64(FAKE_HUGE | 8 << 12 | HPTE_R_M);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(0x4001ffffff000110, self->kvm->arch.vrma_slb_v);
	shim_close(fd);
}

/* A small page of the VRMA, behind a large page of another segment */
TEST_F(file, vrma_of_small_pages)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	size_t len = record(self->buf, 20, 2, 0);
	__be64 *hpte = (__be64 *)(self->buf + HDR);

	hpte[0] |= cpu_to_be64(HPTE_V_LARGE);
	hpte[1] = cpu_to_be64(FAKE_HUGE | HPTE_R_M);
	hpte[2] = cpu_to_be64(HPTE_V_1TB_SEG | VRMA_VSID << 24 |
			      HPTE_V_BOLTED | HPTE_V_VALID);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(1, self->kvm->arch.mmu_ready);
	EXPECT_EQ(0x4001ffffff000000, self->kvm->arch.vrma_slb_v);
	shim_close(fd);
}

TEST_F(file, write_of_vrma_makes_mmu_ready)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	u64 vrma = HPTE_V_1TB_SEG | VRMA_VSID << 24 | HPTE_V_BOLTED |
		   HPTE_V_LARGE | HPTE_V_VALID;
	size_t len = record(self->buf, 20, 1, 0);
	__be64 *hpte = (__be64 *)(self->buf + HDR);

	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(0, self->kvm->arch.mmu_ready);
	hpte[0] = cpu_to_be64(vrma);
	hpte[1] = cpu_to_be64(FAKE_HUGE | HPTE_R_M);
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(1, self->kvm->arch.mmu_ready);
	EXPECT_EQ(0x4001ffffff000100, self->kvm->arch.vrma_slb_v);
	EXPECT_EQ(cpu_has_feature(CPU_FTR_ARCH_300) ? 1 : 0x10ul << 47,
		  self->kvm->arch.lpcr);
	/* If the MMU is ready already, the VRMA's page size is kept */
	self->kvm->arch.vrma_slb_v = 0;
	self->kvm->arch.lpcr = 0;
	ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(1, self->kvm->arch.mmu_ready);
	EXPECT_EQ(0, self->kvm->arch.vrma_slb_v);
	EXPECT_EQ(0, self->kvm->arch.lpcr);
	atomic_set(&self->kvm->arch.vcpus_running, 1);
	EXPECT_EQ(-EBUSY, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(1, self->kvm->arch.mmu_ready);
	shim_close(fd);
}

/* Write a record, and return how often others had a chance to run */
static unsigned int rescheds_of_write(int fd, void *buf, size_t len)
{
	shim_rescheds();
	shim_signal_checks = 0;
	if (fake_write(fd, buf, len, len) != len)
		return -1u;
	return shim_rescheds();
}

/* Others get a chance after 64 HPTEs, and at the end of a group after that */
TEST_F(file, chances_within_a_record)
{
	static const struct {
		u32 index;
		unsigned int valid, invalid, chances;
		bool empty;
	} kind[] = {
		{ 8, 63, 0, 0 }, { 8, 64, 0, 1 }, { 9, 127, 0, 1 },
		{ 9, 128, 0, 2 },
		{ 8, 0, 63, 0 }, { 9, 0, 63, 0 }, { 8, 0, 64, 1 },
		{ 8, 0, 127, 1 }, { 8, 0, 128, 2 }, { 9, 0, 64, 1 },
		{ 9, 0, 71, 1 }, { 9, 0, 71 + 63, 1 }, { 9, 0, 71 + 64, 2 },
		{ 8, 64, 64, 2 }, { 8, 63, 63, 0 },
		/* A group at a time, if no HPTE is there */
		{ 8, 63, 0, 0, true }, { 9, 63, 0, 0, true },
		{ 8, 64, 0, 1, true }, { 9, 64, 0, 1, true },
		{ 9, 71 + 63, 0, 1, true }, { 9, 71 + 64, 0, 2, true },
	};
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	unsigned long index, end;
	unsigned int i, large;
	__be64 *hpte = (__be64 *)(self->buf + HDR);
	size_t len;

	for (i = 0; i < ARRAY_SIZE(kind); i++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (index = 0; index < 300; index++)
			if (!kind[i].empty ||
			    index >= kind[i].index + kind[i].valid)
				fake_h_enter(self->kvm, index, V, R(1));
		len = record(self->buf, kind[i].index, kind[i].valid,
			     kind[i].invalid);
		EXPECT_EQ(kind[i].chances,
			  rescheds_of_write(fd, self->buf, len)) {
			TH_LOG("kind %u", i);
		}
		EXPECT_EQ(0, shim_signal_checks);
		/* Only the HPTEs of the record were removed */
		index = kind[i].index + kind[i].valid;
		end = index + kind[i].invalid;
		EXPECT_TRUE(there(self->kvm, index - 1));
		EXPECT_TRUE(there(self->kvm, end));
		for (; index < end; index++)
			EXPECT_FALSE(there(self->kvm, index));
	}
	/* After 64 large pages were checked, besides */
	for (large = 63; large <= 64; large++) {
		len = record(self->buf, 8, large, 0);
		for (i = 0; i < large; i++) {
			hpte[2 * i] |= cpu_to_be64(HPTE_V_LARGE);
			hpte[2 * i + 1] = cpu_to_be64(FAKE_HUGE | HPTE_R_M);
		}
		EXPECT_EQ(large == 64 ? 2 : 0,
			  rescheds_of_write(fd, self->buf, len));
	}
	/* Groups that were never used are skipped, used ones behind are not */
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9000, V, R(1)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 9001, V, R(1)));
	len = record(self->buf, 4001, 0, 5000);
	EXPECT_EQ(0, rescheds_of_write(fd, self->buf, len));
	EXPECT_FALSE(there(self->kvm, 9000));
	EXPECT_TRUE(there(self->kvm, 9001));
	shim_close(fd);
}

/* Which records are applied in slices, how many of them, and with which locks */
TEST_F(file, slices_of_a_record)
{
	static const struct {
		unsigned int valid, invalid, slices;
		bool sliced;
	} kind[] = {
		{ 4095, 0, 1 }, { 0, 4095, 1 }, { 2000, 2095, 1 },
		{ 4096, 0, 2, true }, { 0, 4096, 2, true },
		{ 4095, 1, 1, true }, { 8191, 0, 2, true },
		{ 8192, 0, 3, true }, { 0, LONG, 16, true },
		{ LONG, 0, 16, true }, { 4096, 4096, 3, true },
	};
	struct kvm_arch *arch = &self->kvm->arch;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	char *buf = malloc(HPT_RECORD_MAX);
	unsigned int i;
	size_t len;

	for (i = 0; i < ARRAY_SIZE(kind); i++) {
		ASSERT_LT(0, long_record(self->kvm, buf, 0));
		len = record(buf, 0, kind[i].valid, kind[i].invalid);
		shim_holds(&arch->mmu_setup_lock);
		shim_holds(&arch->hpt_write_lock);
		ASSERT_EQ(len, fake_write(fd, buf, len, len));
		EXPECT_EQ(kind[i].slices, shim_holds(&arch->mmu_setup_lock)) {
			TH_LOG("kind %u", i);
		}
		EXPECT_EQ(kind[i].sliced, shim_holds(&arch->hpt_write_lock));
	}
	free(buf);
	shim_close(fd);
}

/* Short records share a hold, for 4096 HPTEs and records */
TEST_F(file, records_of_a_hold)
{
	static const struct { unsigned int valid, invalid, most; } kind[] = {
		{ 0, 0, 4096 }, { 0, 1, 2048 }, { 1, 0, 2048 }, { 0, 7, 512 },
		{ 3, 4, 512 },
	};
	struct kvm_arch *arch = &self->kvm->arch;
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	unsigned int i, more, n;
	size_t len;

	for (i = 0; i < 2 * ARRAY_SIZE(kind); i++) {
		more = i % 2;
		for (len = 0, n = 0; n < kind[i / 2].most + more; n++)
			len += record(self->buf + len, 8 * n % NR,
				      kind[i / 2].valid, kind[i / 2].invalid);
		shim_holds(&arch->mmu_setup_lock);
		shim_rescheds();
		shim_signal_checks = 0;
		ASSERT_EQ(len, fake_write(fd, self->buf, len, len));
		EXPECT_EQ(1 + more, shim_holds(&arch->mmu_setup_lock)) {
			TH_LOG("kind %u", i);
		}
		/* After each record but the last, and a signal is looked for */
		EXPECT_EQ(n - 1, shim_rescheds());
		EXPECT_EQ(more, shim_signal_checks);
	}
	/* A part of a header is looked at in the next hold */
	len = record(self->buf, 0, 0, 4095);
	shim_holds(&arch->mmu_setup_lock);
	ASSERT_EQ(len, fake_write(fd, self->buf, len + 4, len + 4));
	EXPECT_EQ(2, shim_holds(&arch->mmu_setup_lock));
	shim_close(fd);
}

/* A vcpu runs when a hold has ended, and only a part of a header is left */
static void vcpu_runs(struct kvm *kvm)
{
	kvm->arch.mmu_ready = 1;
	atomic_set(&kvm->arch.vcpus_running, 1);
}

TEST_F(file, refused_with_a_part_of_a_header)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	struct kvm_hpt_fd *file = shim_file(fd)->private_data;
	size_t len = record(self->buf, 0, 0, 4095);

	self->buf[len] = 77;
	self->buf[len + 1] = 1;
	self->buf[len + 2] = 1;
	/* Before the file's lock, the copy, the first and the second hold */
	let_happen(self->kvm, 3, vcpu_runs);
	EXPECT_EQ(len, fake_write(fd, self->buf, len + 2, len + 2));
	EXPECT_EQ(1, file->refused);
	EXPECT_EQ(77 + 256, file->refused_index);
	/* Without any byte of a record, nothing is refused */
	EXPECT_EQ(-EFAULT, fake_write(fd, self->buf, len, 0));
	EXPECT_EQ(1, file->refused);
	EXPECT_EQ(-EBUSY, fake_write(fd, self->buf, len, len));
	EXPECT_EQ(2, file->refused);
	atomic_set(&self->kvm->arch.vcpus_running, 0);
	shim_close(fd);
}

TEST_HARNESS_MAIN
