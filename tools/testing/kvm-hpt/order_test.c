// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interleavings of a vcpu and a reader: one of them stops before each access to
 * shared data, in turn, and the other one runs until it is done or waits for an
 * HPTE lock. Also checks what each barrier orders: the accesses before it have
 * been made when it is reached, those after it have not.
 */

#include "unit.h"

#include <pthread.h>
#include <semaphore.h>

#define AT	96ul
#define BESIDE	(AT + 1)

/* Actions of a vcpu, hardware or the host on the HPTE, and its state before */

static void enter_1(struct kvm *kvm)
{
	fake_h_enter(kvm, AT, V, R(1));
}

static void enter_2(struct kvm *kvm)
{
	fake_h_enter(kvm, AT, V ^ 0x80, R(2));
}

static void enter_open(struct kvm *kvm)
{
	fake_h_enter(kvm, AT, V, R(1) & ~(HPTE_R_R | HPTE_R_C));
}

static void remove_it(struct kvm *kvm)
{
	fake_h_remove(kvm, AT);
}

static void enter_and_remove(struct kvm *kvm)
{
	enter_1(kvm);
	remove_it(kvm);
}

static void replace(struct kvm *kvm)
{
	remove_it(kvm);
	enter_2(kvm);
}

static void protect(struct kvm *kvm)
{
	fake_h_protect(kvm, AT, HPTE_R_N);
}

/* Hardware sets C, which nobody has seen yet when the guest revokes access */
static void enter_and_revoke(struct kvm *kvm)
{
	fake_h_enter(kvm, AT, V, R(1) & ~HPTE_R_C);
	fake_hw_access(kvm, AT, true);
	fake_h_protect(kvm, AT, PP_RXRX);
}

static void clear_ref(struct kvm *kvm)
{
	fake_h_clear_ref(kvm, AT);
}

static void clear_mod(struct kvm *kvm)
{
	fake_h_clear_mod(kvm, AT);
}

static void access_it(struct kvm *kvm)
{
	fake_hw_access(kvm, AT, true);
}

static void access_and_unmap(struct kvm *kvm)
{
	access_it(kvm);
	fake_unmap(kvm, AT);
}

static void access_and_clean(struct kvm *kvm)
{
	access_it(kvm);
	fake_clean(kvm, AT);
}

static void nothing(struct kvm *kvm)
{
}

static const struct change {
	const char *name;
	void (*prepare)(struct kvm *kvm);
	void (*act)(struct kvm *kvm);
} changes[] = {
	{ "enter in a slot that was never used", nothing, enter_2 },
	{ "enter in a slot that was used", enter_and_remove, enter_2 },
	{ "replace", enter_1, replace },
	{ "remove", enter_1, remove_it },
	{ "protect", enter_1, protect },
	{ "clear R", enter_1, clear_ref },
	{ "clear C", enter_1, clear_mod },
	{ "hardware sets R and C", enter_open, access_it },
	{ "hardware sets R and C, then unmap", enter_open, access_and_unmap },
	{ "hardware sets R and C, then clean", enter_open, access_and_clean },
};

/*
 * The second actor runs in its own thread, which starts before access number
 * @at of the first actor. It may be stopped as well, before its own access
 * number @pause, until the first actor is done or waits for an HPTE lock.
 */
static struct {
	void (*act)(void);
	unsigned int at, pause;
	bool begun, paused;
	pthread_t thread;
	sem_t back, go;
	bool failed;
} other = { .pause = UINT_MAX };

static __thread bool is_other, is_back;

static void come_back(void)
{
	if (!is_other)
		sem_post(&other.go);
	if (is_other && !is_back) {
		is_back = true;
		sem_post(&other.back);
	}
	sched_yield();
}

static void pause_once(enum shim_point point)
{
	if (other.pause--)
		return;
	shim_at = NULL;
	other.paused = true;
	come_back();
	sem_wait(&other.go);
}

static void *run_other(void *unused)
{
	is_other = true;
	if (other.pause != UINT_MAX)
		shim_at = pause_once;
	other.act();
	shim_at = NULL;
	come_back();
	return NULL;
}

static void let_other_run(enum shim_point point)
{
	if (other.at--)
		return;
	shim_at = NULL;
	other.begun = true;
	if (pthread_create(&other.thread, NULL, run_other, NULL))
		abort();
	sem_wait(&other.back);
}

/* Run @first, with @second before access @at. False if it ends before that. */
static bool in_between(void (*first)(void), void (*second)(void),
		       unsigned int at)
{
	sem_init(&other.back, 0, 0);
	sem_init(&other.go, 0, 0);
	other.act = second;
	other.at = at;
	other.begun = false;
	other.paused = false;
	shim_spin = come_back;
	shim_at = let_other_run;
	first();
	shim_at = NULL;
	sem_post(&other.go);
	if (other.begun)
		pthread_join(other.thread, NULL);
	shim_spin = NULL;
	sem_destroy(&other.back);
	sem_destroy(&other.go);
	return other.begun;
}

/* The two actors */
static struct {
	struct kvm *kvm;
	int fd;
	unsigned long start;	/* index at which the reader begins */
	const struct change *change;
	u64 *v, *r;
	char *buf;
	u64 is_v[2], is_r[2];	/* before the change, and after it */
	bool look;
	bool failed;
} now;

static void vcpu(void)
{
	int idx = srcu_read_lock(&now.kvm->srcu);

	now.change->act(now.kvm);
	srcu_read_unlock(&now.kvm->srcu, idx);
}

/* Is what was read neither the previous HPTE, nor the new one, nor none? */
static bool mixed(void)
{
	u64 v = now.v[AT], r = now.r[AT];

	return v && (v != now.is_v[0] || r != now.is_r[0]) &&
	       (v != now.is_v[1] || r != now.is_r[1]);
}

static void reader(void)
{
	ssize_t len;

	if (now.fd < 0)
		now.fd = fake_open(now.kvm, 0, now.start);
	do {
		len = fake_read(now.fd, now.buf, 4096, 4096);
		if (len < 0 || !apply(now.v, now.r, now.buf, len))
			now.failed = true;
		if (now.look && mixed())
			now.failed = true;
	} while (len > 0);
}

/* With nothing else running, a reader that reads until 0 knows each HPTE */
static bool knows_all(void)
{
	unsigned long index;
	u64 v, r;

	reader();
	for (index = 0; index < 4 * AT; index++) {
		model_look(now.kvm, index, &v, &r);
		if (differ(now.v, now.r, index, v, r))
			return false;
	}
	return !now.failed;
}

/*
 * Readers at the beginning: none, so the reader is opened during the test; one
 * that has read until 0; or a new one in addition to that.
 */
enum readers { NONE, DRAINED, SECOND, NR_READERS };

/*
 * Is the group visited anyway? No; in each pass, since hardware may change
 * another HPTE; or once, since another HPTE has changed.
 */
enum noise { QUIET, OPEN, CHANGED, NR_NOISES };

/* Returns the additional reader, or -1 */
static int begin(struct kvm *kvm, const struct change *change,
		 enum readers readers, enum noise noise)
{
	int beside = -1;

	now.kvm = kvm;
	now.change = change;
	now.failed = false;
	now.fd = -1;
	now.start = 0;
	fake_allocate_hpt(kvm, ORDER);
	if (noise)
		fake_h_enter(kvm, BESIDE, V, R(9) &
			     ~(noise == OPEN ? HPTE_R_R : 0));
	change->prepare(kvm);
	model_look(kvm, AT, &now.is_v[0], &now.is_r[0]);
	if (readers == NONE)
		return beside;
	reader();
	if (noise == CHANGED)
		fake_h_protect(kvm, BESIDE, HPTE_R_N);
	if (readers == SECOND) {
		beside = now.fd;
		now.fd = -1;
	}
	return beside;
}

FIXTURE(order) {
	struct kvm *kvm;
	u64 v[NR], r[NR];
};

FIXTURE_VARIANT(order) {
	unsigned long features;
};

FIXTURE_VARIANT_ADD(order, power8) { CPU_FTR_ARCH_206 };
FIXTURE_VARIANT_ADD(order, power9) { CPU_FTR_ARCH_206 | CPU_FTR_ARCH_300 };

FIXTURE_SETUP(order)
{
	cpu_features = variant->features;
	self->kvm = fake_vm();
	now.v = self->v;
	now.r = self->r;
	now.buf = malloc(BUF);
	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
}

FIXTURE_TEARDOWN(order)
{
	shim_at = NULL;
	fake_vm_free(self->kvm);
	free(now.buf);
	EXPECT_EQ(0, shim_live_allocs());
}

/* All readers know all HPTEs in the end; close them */
static bool end(int beside)
{
	bool good = knows_all();

	shim_close(now.fd);
	if (beside < 0)
		return good;
	now.fd = beside;
	good &= knows_all();
	shim_close(now.fd);
	return good;
}

/* A reader runs before each access of a vcpu */
TEST_F(order, vcpu_is_stopped_at_each_access)
{
	unsigned int i, readers, noise, at, points = 0;
	bool more;
	int beside;

	for (i = 0; i < ARRAY_SIZE(changes) * NR_READERS * NR_NOISES; i++) {
		const struct change *change = &changes[i / NR_NOISES / NR_READERS];

		readers = i / NR_NOISES % NR_READERS;
		noise = i % NR_NOISES;
		for (at = 0, more = true; more; at++, points++) {
			beside = begin(self->kvm, change, readers, noise);
			more = in_between(vcpu, reader, at);
			ASSERT_TRUE(end(beside)) {
				TH_LOG("%s, readers %u, noise %u, access %u",
				       change->name, readers, noise, at);
			}
		}
	}
	EXPECT_LE(500, points);
}

/* A vcpu runs before each access of a reader */
TEST_F(order, reader_is_stopped_at_each_access)
{
	unsigned int i, readers, noise, at, points = 0;
	int beside;
	bool more;

	for (i = 0; i < ARRAY_SIZE(changes) * NR_READERS * NR_NOISES; i++) {
		const struct change *change = &changes[i / NR_NOISES / NR_READERS];

		readers = i / NR_NOISES % NR_READERS;
		noise = i % NR_NOISES;
		beside = begin(self->kvm, change, readers, noise);
		vcpu();
		model_look(self->kvm, AT, &now.is_v[1], &now.is_r[1]);
		ASSERT_TRUE(end(beside));
		for (at = 0, more = true; more; at++, points++) {
			beside = begin(self->kvm, change, readers, noise);
			if (readers != DRAINED)
				self->v[AT] = 0;
			now.look = true;
			more = in_between(reader, vcpu, at);
			now.look = false;
			ASSERT_TRUE(end(beside)) {
				TH_LOG("%s, readers %u, noise %u, access %u",
				       change->name, readers, noise, at);
			}
		}
	}
	EXPECT_LE(5000, points);
}

/* Operations of the host on an HPTE in which hardware has set R and C */
static void age_it(struct kvm *kvm)
{
	fake_age(kvm, AT);
}

static void clean_it(struct kvm *kvm)
{
	fake_clean(kvm, AT);
}

static void unmap_it(struct kvm *kvm)
{
	fake_unmap(kvm, AT);
}

static const struct change takings[] = {
	{ "age", enter_open, age_it },
	{ "clean", enter_open, clean_it },
	{ "unmap", enter_open, unmap_it },
};

/* Had R and C of the HPTE been reported when a read returned 0? */
static bool was_told(void)
{
	u64 v, r;

	model_look(now.kvm, AT, &v, &r);
	return !now.failed && !differ(now.v, now.r, AT, v, r);
}

/*
 * R and C were set before the read began, so it must not return 0 without them,
 * however far the host has got in moving them to the reverse map.
 */
TEST_F(order, rc_is_taken_over_at_each_access)
{
	unsigned int i, at, pause, points = 0;
	bool more, paused, told;

	for (i = 0; i < ARRAY_SIZE(takings); i++) {
		for (at = 0, more = true; more; at++) {
			for (pause = 0, paused = true; paused; pause++) {
				begin(self->kvm, &takings[i], DRAINED, QUIET);
				access_it(self->kvm);
				other.pause = pause;
				more = in_between(reader, vcpu, at);
				paused = other.paused;
				told = was_told();
				ASSERT_TRUE(told) {
					TH_LOG("%s, access %u, host's %u",
					       takings[i].name, at, pause);
				}
				ASSERT_TRUE(end(-1));
				points++;
			}
		}
	}
	other.pause = UINT_MAX;
	EXPECT_LE(500, points);
}

/*
 * The same for a C of which only the HPTE tells, as hardware cannot set it any
 * more: in the first pass, and in a group before the index at which that begins.
 */
TEST_F(order, revoked_c_is_taken_over_at_each_access)
{
	static const unsigned long starts[] = { 0, AT + 8 };
	static const struct change revoked[] = {
		{ "clean", enter_and_revoke, clean_it },
		{ "unmap", enter_and_revoke, unmap_it },
	};
	unsigned int i, at, pause, points = 0;
	bool more, paused, told;

	for (i = 0; i < 2 * ARRAY_SIZE(revoked); i++) {
		for (at = 0, more = true; more; at++) {
			for (pause = 0, paused = true; paused; pause++) {
				begin(self->kvm, &revoked[i / 2], NONE, QUIET);
				now.v[AT] = 0;
				now.start = starts[i % 2];
				now.fd = fake_open(self->kvm, 0, now.start);
				other.pause = pause;
				more = in_between(reader, vcpu, at);
				paused = other.paused;
				told = was_told();
				ASSERT_TRUE(told) {
					TH_LOG("%s, from %lu, access %u, host's %u",
					       revoked[i / 2].name, now.start,
					       at, pause);
				}
				ASSERT_TRUE(end(-1));
				points++;
			}
		}
	}
	other.pause = UINT_MAX;
	EXPECT_LE(500, points);
}

/*
 * What barriers order. These tests find a barrier that is missing or misplaced
 * by checking which accesses have been made when a barrier is reached.
 */
static struct {
	struct kvm *kvm;
	unsigned int seen[SHIM_RELEASE + 1];
	unsigned int wrong;
	unsigned int at;
} order;

static u64 word(void)
{
	return order.kvm->arch.hpt.rev[AT].guest_rpte;
}

static bool visited(void)
{
	return kvm_hpt_group_to_visit(&order.kvm->arch.hpt,
				      AT >> HPT_GROUP_SHIFT);
}

static bool used(void)
{
	return kvm_hpt_group_used(&order.kvm->arch.hpt, AT >> HPT_GROUP_SHIFT);
}

static void watch(struct kvm *kvm, void (*at)(enum shim_point point))
{
	memset(&order, 0, sizeof(order));
	order.kvm = kvm;
	shim_at = at;
}

/* The number of these barriers, or UINT_MAX if one is misplaced */
static unsigned int watched(enum shim_point point)
{
	shim_at = NULL;
	return order.wrong ? UINT_MAX : order.seen[point];
}

static void marked_not_visited(enum shim_point point)
{
	order.seen[point]++;
	if (point == SHIM_WMB)
		order.wrong += !(word() & HPTE_GR_MODIFIED) || visited();
}

static void used_not_entered(enum shim_point point)
{
	__be64 *hptep = kvm_hpte_at(&order.kvm->arch.hpt, AT);

	order.seen[point]++;
	if (point == SHIM_MB)
		order.wrong += word() || !used();
	if (point == SHIM_WMB)
		order.wrong += !(word() & HPTE_GR_MODIFIED) || visited() ||
			kvm_hpte_there(hptep) || hptep[1];
}

static void counted(enum shim_point point)
{
	order.seen[point]++;
	if (point == SHIM_MB)
		order.wrong += order.kvm->arch.hpt_nr_readers != 1;
}

TEST_F(order, mark_before_visit)
{
	begin(self->kvm, &changes[2], DRAINED, QUIET);
	watch(self->kvm, marked_not_visited);
	protect(self->kvm);
	EXPECT_EQ(1, watched(SHIM_WMB));
	EXPECT_TRUE(visited());
	EXPECT_TRUE(end(-1));
}

TEST_F(order, used_before_readers_and_mark_before_hpte)
{
	begin(self->kvm, &changes[0], DRAINED, QUIET);
	watch(self->kvm, used_not_entered);
	enter_1(self->kvm);
	EXPECT_EQ(1, watched(SHIM_MB));
	EXPECT_EQ(1, watched(SHIM_WMB));
	EXPECT_TRUE(visited());
	EXPECT_TRUE(end(-1));
}

TEST_F(order, reader_before_used)
{
	int fd;

	watch(self->kvm, counted);
	fd = fake_open(self->kvm, 0, 0);
	EXPECT_EQ(1, watched(SHIM_MB));
	shim_close(fd);
}

static void cleared_not_harvested(enum shim_point point)
{
	order.seen[point]++;
	if (point == SHIM_MB)
		order.wrong += !(word() & HPTE_GR_MODIFIED) || visited();
}

TEST_F(order, visit_is_cleared_before_marks_are_looked_at)
{
	begin(self->kvm, &changes[2], DRAINED, QUIET);
	protect(self->kvm);
	watch(self->kvm, cleared_not_harvested);
	reader();
	EXPECT_EQ(1, watched(SHIM_MB));
	EXPECT_TRUE(end(-1));
}

/* Change both the HPTE and its reverse map word at one of the barriers */
static void change_both(enum shim_point point)
{
	__be64 *hptep = kvm_hpte_at(&order.kvm->arch.hpt, AT);

	if (point == SHIM_RMB && order.seen[point]++ == order.at) {
		hptep[0] ^= cpu_to_be64(0x80);
		order.kvm->arch.hpt.rev[AT].guest_rpte = R(7);
	}
}

/*
 * Exactly one of them is between the read of the HPTE and that of its word,
 * both in clean groups of a first pass and where HPTEs are read one by one.
 */
TEST_F(order, hpte_is_read_before_its_word)
{
	/* A whole group, and a part of one */
	static const unsigned int sizes[] = { HPT_GROUP_BYTES, HPT_RECORD_MIN };
	unsigned int noise, at, between, i, size;
	ssize_t len;
	bool more;
	int beside;

	for (i = 0; i < 2 * (OPEN + 1 - QUIET); i++) {
		noise = QUIET + i / 2;
		size = sizes[i % 2];
		between = 0;
		for (at = 0, more = true; more; at++) {
			beside = begin(self->kvm, &changes[2], SECOND, noise);
			now.fd = fake_open(self->kvm, 0, AT);
			watch(self->kvm, change_both);
			order.at = at;
			len = fake_read(now.fd, now.buf, size, size);
			more = watched(SHIM_RMB) > at;
			ASSERT_LT(0, len);
			ASSERT_TRUE(apply(self->v, self->r, now.buf, len));
			between += self->v[AT] == V && self->r[AT] == R(7);
			shim_close(now.fd);
			shim_close(beside);
		}
		EXPECT_EQ(1, between);
	}
}

/* The host takes C of the HPTE over at the second barrier */
static void take_c(enum shim_point point)
{
	struct kvm_hpt_info *info = &order.kvm->arch.hpt;

	if (point == SHIM_RMB && order.seen[point]++ == 1)
		kvmppc_hpt_take_rc(order.kvm, &info->rev[AT], AT, HPTE_R_C);
}

/*
 * The fast path reads the words of HPTEs that lack R or C again, after a
 * barrier: the host may have taken these over, and cleared them in the HPTE.
 */
TEST_F(order, words_are_read_again_after_a_barrier)
{
	int beside = begin(self->kvm, &changes[0], SECOND, QUIET);
	ssize_t len;

	fake_h_enter(self->kvm, AT, V, (R(1) & ~HPTE_R_C) | PP_RXRX);
	now.fd = beside;
	reader();
	now.fd = fake_open(self->kvm, 0, AT);
	watch(self->kvm, take_c);
	len = fake_read(now.fd, now.buf, HPT_GROUP_BYTES, HPT_GROUP_BYTES);
	EXPECT_LE(2, watched(SHIM_RMB));
	ASSERT_LT(0, len);
	ASSERT_TRUE(apply(self->v, self->r, now.buf, len));
	EXPECT_EQ(R(1) | PP_RXRX, self->r[AT]);
	shim_close(now.fd);
	shim_close(beside);
}

static void vcpu_comes(enum shim_point point)
{
	order.seen[point]++;
	if (point == SHIM_MB) {
		order.wrong += order.kvm->arch.mmu_ready;
		atomic_set(&order.kvm->arch.vcpus_running, 1);
	}
	if (point == SHIM_RELEASE)
		order.wrong += order.kvm->arch.mmu_ready ||
			!kvm_hpte_there(kvm_hpte_at(&order.kvm->arch.hpt, AT));
}

static void vcpu_waits(enum shim_point point)
{
	vcpu_comes(point);
	atomic_set(&order.kvm->arch.vcpus_running, 0);
}

TEST_F(order, vcpus_are_locked_out_before_they_are_looked_for)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_WRITE, 0);
	struct {
		struct kvm_get_htab_header hdr;
		__be64 hpte[2];
	} rec = { { AT, 1, 0 }, { cpu_to_be64(V), cpu_to_be64(R(1)) } };

	self->kvm->arch.mmu_ready = 1;
	watch(self->kvm, vcpu_comes);
	EXPECT_EQ(-EBUSY, fake_write(fd, &rec, sizeof(rec), sizeof(rec)));
	EXPECT_EQ(1, watched(SHIM_MB));
	EXPECT_EQ(1, self->kvm->arch.mmu_ready);

	atomic_set(&self->kvm->arch.vcpus_running, 0);
	watch(self->kvm, vcpu_waits);
	EXPECT_EQ(sizeof(rec), fake_write(fd, &rec, sizeof(rec), sizeof(rec)));
	EXPECT_EQ(1, watched(SHIM_RELEASE));
	EXPECT_EQ(1, self->kvm->arch.mmu_ready);
	shim_close(fd);
}

TEST_HARNESS_MAIN
