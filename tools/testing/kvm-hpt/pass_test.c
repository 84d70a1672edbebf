// SPDX-License-Identifier: GPL-2.0-only
/*
 * First and later passes over HPTEs in each possible state.
 */

#include "fixture.h"

#include <linux/delay.h>

TEST_F(file, every_small_buffer)
{
	size_t size;

	ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, 0, 0));
	for (size = 1; size < HPT_RECORD_MIN; size++)
		ASSERT_EQ(-EINVAL, fake_read(self->fd, self->buf, size, size));
	ASSERT_EQ(HDR, fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 0, 0, 9));
	ASSERT_EQ(HPT_RECORD_MIN,
		  fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 9, 1, NR - 10));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
}

/* A first pass over different groups, with buffers of any size up to 600 */
TEST_F(file, first_pass_of_each_shape)
{
	unsigned long index;
	size_t size;
	int fd;

	fill(self->kvm, 256);
	for (size = HPT_RECORD_MIN; size < 600; size++) {
		fd = fake_open(self->kvm, 0, 0);
		memset(self->v, 0xee, sizeof(self->v));
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, size));
		shim_close(fd);
		for (index = 0; index < NR; index++) {
			u64 there = index < 2048 && index / 8 >> index % 8 & 1;

			ASSERT_FALSE(differ(self->v, self->r, index,
					    there ? V : 0,
					    R(index / 8 + 1) + index % 8)) {
				TH_LOG("HPTE %lu, buffer %zu", index, size);
			}
		}
	}
}

/* A first pass that begins anywhere in groups with holes */
TEST_F(file, first_pass_from_each_index)
{
	unsigned long start, index;
	int fd;

	fill(self->kvm, 32);
	for (start = 0; start < 300; start++) {
		fd = fake_open(self->kvm, 0, start);
		memset(self->v, 0xee, sizeof(self->v));
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, 512));
		shim_close(fd);
		for (index = 0; index < NR; index++) {
			u64 there = index < 256 && index / 8 >> index % 8 & 1;

			ASSERT_EQ(index < start ? 0xeeeeeeeeeeeeeeee :
				  there ? V : 0, self->v[index]);
		}
	}
}

/*
 * Hardware sets R and C in any slot of the group in which the pass begins, or
 * of the one before it, at any time after the open: each bit is reported.
 */
TEST_F(file, hardware_sets_rc_around_the_start)
{
	unsigned long groups[] = { 1, 2, NR / 8 - 1 }, base, start, slot;
	unsigned int g, when, others;
	ssize_t len;
	size_t first;
	u64 v, r;
	int fd;

	shim_close(self->fd);
	self->fd = -1;
	for (g = 0; g < ARRAY_SIZE(groups) * 2 * 3; g++) {
		base = groups[g % 3] * 8;
		others = g / 3 % 2;
		when = g / 6;
		for (start = base; start < base + 8; start++) {
			for (slot = base - 8; slot < base + 8; slot++) {
				ASSERT_EQ(0, fake_allocate_hpt(self->kvm,
							       ORDER));
				for (v = base - 8; others && v < base + 8; v++)
					if (v != slot)
						fake_h_enter(self->kvm, v, V,
							     R(1));
				r = R(2) & ~(HPTE_R_R | HPTE_R_C);
				fake_h_enter(self->kvm, slot, V, r);
				fd = fake_open(self->kvm, 0, start);
				self->v[slot] = V;
				self->r[slot] = r;
				if (when == 0)
					fake_hw_access(self->kvm, slot, true);
				first = when == 1 ? HPT_RECORD_MIN : BUF;
				len = fake_read(fd, self->buf, first, BUF);
				ASSERT_LE(0, len);
				ASSERT_TRUE(apply(self->v, self->r, self->buf,
						  len));
				if (when)
					fake_hw_access(self->kvm, slot, true);
				ASSERT_TRUE(drain(fd, self->v, self->r,
						  self->buf, BUF));
				shim_close(fd);
				model_look(self->kvm, slot, &v, &r);
				ASSERT_FALSE(differ(self->v, self->r, slot, v,
						    r)) {
					TH_LOG("HPTE %lu, from %lu, %u, %u",
					       slot, start, others, when);
				}
			}
		}
	}
}

TEST_F(file, bolted_only)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	unsigned long index;

	for (index = 0; index < 64; index++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, index % 3 ?
					  V : V | HPTE_V_BOLTED, R(index)));
	memset(self->v, 0xee, sizeof(self->v));
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, 512));
	for (index = 0; index < NR; index++)
		ASSERT_EQ(index < 64 && !(index % 3) ? V | HPTE_V_BOLTED : 0,
			  self->v[index]);
	shim_close(fd);
}

/* A table with more groups than a hold visits, and records for two buffers */
TEST_F(file, long_first_pass)
{
	static u64 big_v[1 << 17];
	unsigned long index, nr = 1 << 17;
	struct stream_record rec;
	ssize_t len;
	size_t pos;
	int fd;
	u64 r;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	for (index = 0; index < nr; index += 8)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index + index / 8 % 7, V,
					  R(index % 512)));
	fd = fake_open(self->kvm, 0, 0);
	for (;;) {
		len = fake_read(fd, self->buf, BUF, BUF);
		ASSERT_LE(0, len);
		if (!len)
			break;
		for (pos = 0; pos < len; pos += rec.bytes) {
			ASSERT_EQ(0, stream_record(self->buf + pos, len - pos,
						   nr, &rec));
			for (index = 0; index < rec.valid; index++)
				stream_hpte(&rec, index,
					    &big_v[rec.index + index], &r);
		}
	}
	for (index = 0; index < nr; index++)
		ASSERT_EQ(index / 8 % 7 == index % 8 ? V : 0, big_v[index]);
	/* A later pass in which one HPTE of each group has changed */
	for (index = 0; index < nr; index += 8)
		fake_h_protect(self->kvm, index + index / 8 % 7, HPTE_R_N);
	len = 0;
	do {
		pos = fake_read(fd, self->buf, 4096, 4096);
		len += pos / HPT_RECORD_MIN;
	} while (pos);
	EXPECT_EQ(nr / 8, len);
	shim_close(fd);
}

/* As many groups to visit, with few or no records */
TEST_F(file, long_passes_of_few_records)
{
	int fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	unsigned long nr = 1 << 17;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	shim_close(fd);
	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_TRUE(enter_in_each_group(self->kvm, nr, R(1) & ~HPTE_R_R));
	/* None is bolted: three records of invalid HPTEs, then nothing */
	ASSERT_EQ(3 * HDR, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 2 * HDR), 131070, 0, 2));
	ASSERT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	/* A change at the end; then one at the beginning, from the middle */
	fake_h_enter(self->kvm, nr - 1, V | HPTE_V_BOLTED, R(1));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), nr - 1, 1, 0));
	shim_kill_at = 4;
	EXPECT_EQ(-EINTR, fake_read(fd, self->buf, BUF, BUF));
	fake_h_enter(self->kvm, 1, V | HPTE_V_BOLTED, R(1));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 1, 1, 0));
	EXPECT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	shim_close(fd);
}

/* After a read is killed in a later pass, the next one makes a whole circle */
TEST_F(file, later_pass_wraps_to_where_it_began)
{
	unsigned long index;
	int fd;

	ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	/* One more than are visited before the read is killed */
	ASSERT_TRUE(enter_in_each_group(self->kvm, 4096 * 8 + 1,
					R(1) & ~HPTE_R_R));
	ASSERT_EQ(3 * HDR, fake_read(fd, self->buf, BUF, BUF));
	shim_kill_at = 4;
	ASSERT_EQ(-EINTR, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	shim_kill_at = 4;
	ASSERT_EQ(-EINTR, fake_read(fd, self->buf, BUF, BUF));
	index = 4095 * 8 + 1;
	ASSERT_EQ(0, fake_h_enter(self->kvm, index, V | HPTE_V_BOLTED, R(1)));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), index, 1, 0));
	EXPECT_EQ(0, fake_read(fd, self->buf, BUF, BUF));
	shim_close(fd);
}

/* A read ends at the end of a pass, if it has something to return */
TEST_F(file, later_pass_ends_a_read)
{
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1000, V, R(1)));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 1002, V, R(1)));
	ASSERT_EQ(HPT_RECORD_MIN,
		  fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	ASSERT_EQ(0, fake_h_enter(self->kvm, 8, V, R(1)));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 1002, 1, 0));
	ASSERT_EQ(HPT_RECORD_MIN, fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_TRUE(is(header(self->buf, 0), 8, 1, 0));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
}

/*
 * A table with a group for each state of an HPTE, each slot, and each number of
 * other HPTEs before it. Bits of the state: 0: R and 1: C in the reverse map,
 * 2: R and 3: C in the real HPTE, 4: read-only, 5: absent, 6: bolted, 7:
 * marked.
 */
TEST_F(file, each_state_of_an_hpte)
{
	unsigned long state, slot, n, group = 0, index, nr = 1 << 17, i;
	struct kvm_hpt_info *info = &self->kvm->arch.hpt;
	static u64 seen_v[1 << 17], seen_r[1 << 17];
	int bolted, pass, fd;
	u64 gr, v, r;

	for (bolted = 0; bolted < 2; bolted++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, bolted ? 21 : 22));
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, 21));
		for (group = 0; group < nr / 8; group++) {
			state = group % 256;
			slot = group / 256 % 8;
			n = group / 2048 % 8;
			for (i = 0; i < n; i++)
				fake_h_enter(self->kvm, group * 8 + i,
					     V | HPTE_V_BOLTED, R(1));
			index = group * 8 + slot;
			fake_h_remove(self->kvm, index);
			gr = R(2) & ~(HPTE_R_R | HPTE_R_C);
			gr |= (state & 1 ? HPTE_R_R : 0) |
			      (state & 2 ? HPTE_R_C : 0) |
			      (state & 16 ? PP_RXRX : PP_RWRW);
			fake_h_enter(self->kvm, index,
				     V | (state & 64 ? HPTE_V_BOLTED : 0), gr);
			kvm_hpte_at(info, index)[1] |=
				cpu_to_be64((state & 4 ? HPTE_R_R : 0) |
					    (state & 8 ? HPTE_R_C : 0));
			if (state & 32)
				fake_unmap(self->kvm, index);
			/* As if no reader had existed before */
			for (i = 0; i < 8; i++)
				info->rev[group * 8 + i].guest_rpte &=
					~HPTE_GR_MODIFIED;
			clear_bit(group, info->groups->chunk[0].visit);
			if (state & 128)
				kvmppc_hpt_mark(self->kvm, &info->rev[index],
						index);
		}
		fd = fake_open(self->kvm, bolted, 0);
		memset(seen_v, 0xee, sizeof(seen_v));
		for (pass = 0; pass < 2; pass++) {
			ASSERT_TRUE(drain_table(fd, seen_v, seen_r, self->buf,
						BUF, nr));
			for (index = 0; index < nr; index++) {
				model_look(self->kvm, index, &v, &r);
				if (bolted && !(v & HPTE_V_BOLTED))
					v = 0;
				ASSERT_FALSE(differ(seen_v, seen_r, index, v,
						    r)) {
					TH_LOG("HPTE %lu, state %lx, pass %d",
					       index, index / 8 % 256, pass);
				}
				/* To be reported by the later pass */
				if (!pass)
					fake_hw_access(self->kvm, index,
						       index & 8);
			}
		}
		shim_close(fd);
	}
}

/*
 * Whatever the doublewords of HPTEs are, a reader of bolted ones, which never
 * takes the fast path, reports them as a reader of all does.
 */
TEST_F(file, doublewords_of_any_kind)
{
	struct kvm_hpt_info *info = &self->kvm->arch.hpt;
	static u64 v[NR], r[NR];
	unsigned long index;
	u64 dword = 1;
	__be64 *hptep;
	int fd;

	shim_close(self->fd);
	for (index = 0; index < NR; index++) {
		hptep = kvm_hpte_at(info, index);
		if (index % 8 > index / 8 % 8)
			continue;
		dword = dword * 6364136223846793005 + 1442695040888963407;
		hptep[0] = cpu_to_be64((dword & ~HPTE_V_HVLOCK) |
				       HPTE_V_BOLTED | HPTE_V_VALID);
		dword = dword * 6364136223846793005 + 1442695040888963407;
		hptep[1] = cpu_to_be64(dword);
		info->rev[index].guest_rpte = R(index);
		kvmppc_hpt_use(info, index);
	}
	self->fd = fake_open(self->kvm, 0, 0);
	fd = fake_open(self->kvm, KVM_GET_HTAB_BOLTED_ONLY, 0);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	ASSERT_TRUE(drain(fd, v, r, self->buf, BUF));
	for (index = 0; index < NR; index++)
		ASSERT_FALSE(differ(self->v, self->r, index, v[index],
				    r[index]));
	shim_close(fd);
}

/*
 * A later pass visits the groups in which hardware can set R or C, no others,
 * and without a lock once all changes are marked.
 */
TEST_F(file, visited_groups)
{
	static const struct { u64 clear; bool away, remove, visit; } kind[] = {
		{ 0 }, { 0, .away = true }, { 0, .remove = true },
		{ HPTE_R_R, .remove = true },
		{ HPTE_R_R, .visit = true }, { HPTE_R_C, .visit = true },
		{ HPTE_R_R | HPTE_R_C, .visit = true },
		{ HPTE_R_C, .away = true, .visit = true },
	};
	struct kvm_hpt_info *info = &self->kvm->arch.hpt;
	unsigned int i, slot, others, sleeps;
	unsigned long other;

	for (i = 0; i < ARRAY_SIZE(kind) * 8 * 2 * 2; i++) {
		slot = i % 8;
		others = i / 8 % 2;
		sleeps = i / 16 % 2;
		shim_close(self->fd);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		self->fd = fake_open(self->kvm, 0, 0);
		shim_section_sleeps = sleeps;
		for (other = 8; others && other < 16; other++)
			if (other != 8 + slot)
				fake_h_enter(self->kvm, other, V, R(1));
		fake_h_enter(self->kvm, 8 + slot, V,
			     R(1) & ~kind[i / 32].clear);
		if (kind[i / 32].away)
			fake_unmap(self->kvm, 8 + slot);
		/* After a single read, since another visit might change it */
		ASSERT_LT(0, fake_read(self->fd, self->buf, BUF, BUF));
		ASSERT_EQ(!!kind[i / 32].clear, kvm_hpt_group_to_visit(info, 1));
		if (kind[i / 32].remove) {
			fake_h_remove(self->kvm, 8 + slot);
			ASSERT_EQ(HDR, fake_read(self->fd, self->buf, BUF, BUF));
		}
		ASSERT_EQ(kind[i / 32].visit, kvm_hpt_group_to_visit(info, 1)) {
			TH_LOG("kind %u, slot %u", i / 32, slot);
		}
		shim_hpte_locks = 0;
		ASSERT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
		ASSERT_EQ(sleeps && kind[i / 32].visit, shim_hpte_locks);
		shim_section_sleeps = false;
	}
}

/* R and C that the guest's word has already are no change, whoever takes them */
TEST_F(file, known_rc_is_no_change)
{
	void (*const take[])(struct kvm *kvm, unsigned long index) = {
		fake_age, fake_clean, fake_unmap,
	};
	struct kvm_ppc_htab_progress p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(take); i++) {
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		ASSERT_EQ(0, fake_h_enter(self->kvm, 9, V, R(1)));
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		EXPECT_EQ(HPTE_R_R | HPTE_R_C,
			  fake_hw_access(self->kvm, 9, true));
		take[i](self->kvm, 9);
		ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
		EXPECT_EQ(0, p.changed_hptes);
		EXPECT_EQ(0, fake_poll(self->fd));
		EXPECT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
	}
}

/*
 * A change on either side of the cursor of a first pass, which this reader or
 * another one harvests, is reported once.
 */
TEST_F(file, change_around_each_cursor)
{
	struct kvm_ppc_htab_progress p;
	unsigned long cursor, at, index, i;
	int other = fake_open(self->kvm, 0, 0);
	int last = fake_open(self->kvm, 0, 0);
	unsigned int by_other;
	size_t len;

	for (i = 0; i < 25 * 25 * 2; i++) {
		cursor = i % 25;
		at = i / 25 % 25;
		by_other = i / 625;
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (index = 0; index < 32; index++)
			fake_h_enter(self->kvm, index, V, R(1));
		ASSERT_TRUE(drain(other, self->v, self->r, self->buf, BUF));
		ASSERT_TRUE(drain(last, self->v, self->r, self->buf, BUF));
		len = HDR + cursor * HPT_STREAM_HPTE;
		if (cursor)
			ASSERT_EQ(len, fake_read(self->fd, self->buf, len,
						 BUF));
		fake_h_protect(self->kvm, at, HPTE_R_N);
		if (by_other) {
			ASSERT_EQ(HPT_RECORD_MIN,
				  fake_read(other, self->buf, BUF, BUF));
			ASSERT_EQ(HPT_RECORD_MIN,
				  fake_read(last, self->buf, BUF, BUF));
		}
		ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
		ASSERT_EQ(at < cursor, p.changed_hptes) {
			TH_LOG("cursor %lu, change of %lu", cursor, at);
		}
		/* The rest of the first pass, then what is behind the cursor */
		ASSERT_EQ(HDR + (32 - cursor) * HPT_STREAM_HPTE,
			  fake_read(self->fd, self->buf, BUF, BUF));
		ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
		ASSERT_EQ(at < cursor, p.changed_hptes);
		ASSERT_EQ(at < cursor ? HPT_RECORD_MIN : 0,
			  fake_read(self->fd, self->buf, BUF, BUF)) {
			TH_LOG("cursor %lu, change of %lu", cursor, at);
		}
		if (at < cursor)
			ASSERT_TRUE(is(header(self->buf, 0), at, 1, 0));
		ASSERT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
	}
	shim_close(other);
	shim_close(last);
}

/* Changes of a group that did not fit, and later ones of the same group */
TEST_F(file, rest_of_a_group_and_later_changes)
{
	struct kvm_ppc_htab_progress p;
	int other = fake_open(self->kvm, 0, 0);
	unsigned long index;

	for (index = 1000; index < 1008; index++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	ASSERT_TRUE(drain(other, self->v, self->r, self->buf, BUF));
	fake_h_protect(self->kvm, 1000, HPTE_R_N);
	fake_h_protect(self->kvm, 1002, HPTE_R_N);
	ASSERT_EQ(HPT_RECORD_MIN,
		  fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	/* One that another reader harvests, and one that is marked */
	fake_h_protect(self->kvm, 1004, HPTE_R_N);
	ASSERT_TRUE(drain(other, self->v, self->r, self->buf, BUF));
	fake_h_protect(self->kvm, 1006, HPTE_R_N);
	ASSERT_EQ(0, fake_progress(self->fd, 0, &p));
	EXPECT_EQ(3, p.changed_hptes);
	ASSERT_EQ(3 * HPT_RECORD_MIN, fake_read(self->fd, self->buf, BUF, BUF));
	for (index = 0; index < 3; index++)
		EXPECT_TRUE(is(header(self->buf, index * HPT_RECORD_MIN),
			       1002 + 2 * index, 1, 0));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
	/* If the HPT is reset, the rest is not reported after the first pass */
	fake_h_protect(self->kvm, 1000, 0);
	fake_h_protect(self->kvm, 1002, 0);
	ASSERT_EQ(HPT_RECORD_MIN,
		  fake_read(self->fd, self->buf, HPT_RECORD_MIN, BUF));
	reset(self->kvm);
	ASSERT_EQ(HDR, fake_read(self->fd, self->buf, BUF, BUF));
	EXPECT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
	shim_close(other);
}

/* A read fills several buffers, and uses what is left of the last one */
TEST_F(file, several_buffers_to_the_last_byte)
{
	const size_t buffer = HDR + 4095 * HPT_STREAM_HPTE;
	size_t rest = HDR + (NR - 4 * 4095) * HPT_STREAM_HPTE;
	unsigned long index;

	for (index = 0; index < NR; index++)
		ASSERT_EQ(0, fake_h_enter(self->kvm, index, V, R(1)));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	for (index = 0; index < NR; index++)
		fake_h_protect(self->kvm, index, HPTE_R_N);
	ASSERT_EQ(4 * buffer + rest, fake_read(self->fd, self->buf, BUF, BUF));
	ASSERT_EQ(0, fake_read(self->fd, self->buf, BUF, BUF));
	for (index = 0; index < NR; index++)
		fake_h_protect(self->kvm, index, 0);
	ASSERT_EQ(buffer + HPT_RECORD_MIN,
		  fake_read(self->fd, self->buf, buffer + HPT_RECORD_MIN, BUF));
	EXPECT_TRUE(is(header(self->buf, buffer), 4095, 1, 0));
	ASSERT_EQ(buffer, fake_read(self->fd, self->buf,
				    buffer + HPT_RECORD_MIN - 1, BUF));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	/* A record of an invalid HPTE needs no more than a header */
	fake_h_protect(self->kvm, 100, HPTE_R_N);
	fake_h_remove(self->kvm, 200);
	ASSERT_EQ(HPT_RECORD_MIN + HDR,
		  fake_read(self->fd, self->buf, HPT_RECORD_MIN + HDR, BUF));
}

/*
 * A vcpu has locked an HPTE when the reader comes to it, and changes it. The
 * vcpu drops the lock once the reader waits for it.
 */
static struct {
	struct kvm *kvm;
	unsigned long index, other;
	u64 v;
} locked;

static void unlock_and_enter(void)
{
	unsigned int was = preempt_count;

	shim_spin = NULL;
	preempt_count = 1;
	unlock_hpte(kvm_hpte_at(&locked.kvm->arch.hpt, locked.index), locked.v);
	preempt_count = 0;
	if (locked.other)
		fake_h_enter(locked.kvm, locked.other, V, R(5));
	preempt_count = was;
}

/* Lock an HPTE; with @away, also make it invalid as for a tlbie */
static void leave_locked(struct kvm *kvm, unsigned long index, bool away,
			 unsigned long other)
{
	__be64 *hptep = kvm_hpte_at(&kvm->arch.hpt, index);
	u64 v;

	preempt_disable();
	try_lock_hpte(hptep, HPTE_V_HVLOCK);
	preempt_enable();
	v = be64_to_cpu(*hptep) & ~HPTE_V_HVLOCK;
	if (away)
		*hptep &= ~cpu_to_be64(HPTE_V_VALID);
	locked.kvm = kvm;
	locked.index = index;
	locked.other = other;
	locked.v = v;
	shim_spin = unlock_and_enter;
}

/* In each slot of a group, without and with HPTEs before and after it */
TEST_F(file, locked_hpte_is_waited_for)
{
	unsigned int slot, away, others, other, i;
	int fd;

	for (i = 0; i < 64; i++) {
		slot = i % 8;
		away = i / 8 % 2;
		others = i / 16;
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (other = 0; other < 8; other++)
			if ((other < slot && others & 1) ||
			    (other > slot && others & 2))
				ASSERT_EQ(0, fake_h_enter(self->kvm, other, V,
							  R(1)));
		ASSERT_EQ(0, fake_h_enter(self->kvm, slot, V, R(2)));
		/* Without marks, only the lock makes a reader wait */
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
		leave_locked(self->kvm, slot, away, 0);
		fd = fake_open(self->kvm, 0, 0);
		ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
		shim_close(fd);
		ASSERT_TRUE(!shim_spin);
		ASSERT_FALSE(differ(self->v, self->r, slot, V, R(2))) {
			TH_LOG("slot %u, away %u", slot, away);
		}
	}
}

/* The other HPTE is entered before or after the cursor of the harvest */
TEST_F(file, entered_while_its_group_is_harvested)
{
	unsigned int slot, other;

	for (slot = 0; slot < 8; slot++) {
		for (other = 1; other < 8; other++) {
			if (slot == other)
				continue;
			ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
			ASSERT_TRUE(drain(self->fd, self->v, self->r,
					  self->buf, BUF));
			ASSERT_EQ(0, fake_h_enter(self->kvm, slot, V, R(2)));
			leave_locked(self->kvm, slot, false, other);
			ASSERT_TRUE(drain(self->fd, self->v, self->r,
					  self->buf, BUF));
			ASSERT_TRUE(!shim_spin);
			ASSERT_FALSE(differ(self->v, self->r, slot, V, R(2)));
			ASSERT_FALSE(differ(self->v, self->r, other, V, R(5)));
		}
	}
}

static void enter_unmarked(void)
{
	unsigned int readers = locked.kvm->arch.hpt_nr_readers;
	unsigned int was = preempt_count;

	shim_spin = NULL;
	preempt_count = 1;
	unlock_hpte(kvm_hpte_at(&locked.kvm->arch.hpt, locked.index), 0);
	preempt_count = 0;
	locked.kvm->arch.hpt_nr_readers = 0;
	fake_h_enter(locked.kvm, locked.index, V, R(1) & ~HPTE_R_C);
	locked.kvm->arch.hpt_nr_readers = readers;
	preempt_count = was;
}

/*
 * A vcpu locks an HPTE, sees no reader, and enters an HPTE without a mark when
 * the first pass, which began behind it, has ended. The later pass waits for the
 * lock, so it learns that hardware may set C there.
 */
TEST_F(file, lock_is_waited_for_where_no_pass_has_looked)
{
	u64 v, r;

	shim_close(self->fd);
	/* The reverse map word of a removed HPTE has R and C */
	ASSERT_EQ(0, fake_h_enter(self->kvm, 5, V, R(2)));
	ASSERT_EQ(0, fake_h_remove(self->kvm, 5));
	leave_locked(self->kvm, 5, false, 0);
	shim_spin = enter_unmarked;
	shim_section_sleeps = true;
	self->fd = fake_open(self->kvm, 0, 100);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_TRUE(!shim_spin);
	if (shim_spin)
		enter_unmarked();
	fake_hw_access(self->kvm, 5, true);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	model_look(self->kvm, 5, &v, &r);
	EXPECT_TRUE(r & HPTE_R_C);
	EXPECT_FALSE(differ(self->v, self->r, 5, v, r));
	shim_section_sleeps = false;
}

/*
 * A vcpu that saw no readers changes HPTEs without marking them. It does so in
 * a read section, so before the grace period ends, and before a reader has
 * taken the lock of the HPTE.
 */
static struct kvm *late_kvm;

static const unsigned long late_at[] = { 3, 500, 5000, NR - 1 };

static void change_late(void)
{
	unsigned int readers = late_kvm->arch.hpt_nr_readers, i;

	shim_before_grace_period = NULL;
	late_kvm->arch.hpt_nr_readers = 0;
	for (i = 0; i < ARRAY_SIZE(late_at); i++)
		fake_h_protect(late_kvm, late_at[i], HPTE_R_N);
	late_kvm->arch.hpt_nr_readers = readers;
}

/* Before the end of the grace period, no HPTE is read without its lock */
TEST_F(file, changes_without_a_mark_are_waited_for)
{
	static const size_t sizes[] = { HPT_GROUP_BYTES + 1, 2048, BUF };
	unsigned int i, j;
	u64 v, r;

	late_kvm = self->kvm;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* The only reader, opened after the previous one was closed */
		shim_close(self->fd);
		ASSERT_EQ(0, fake_allocate_hpt(self->kvm, ORDER));
		for (j = 0; j < ARRAY_SIZE(late_at); j++)
			ASSERT_EQ(0, fake_h_enter(self->kvm, late_at[j], V,
						  R(j + 1)));
		self->fd = fake_open(self->kvm, 0, 0);
		memset(self->v, 0xee, sizeof(self->v));
		shim_before_grace_period = change_late;
		ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf,
				  sizes[i]));
		ASSERT_TRUE(!shim_before_grace_period);
		for (j = 0; j < ARRAY_SIZE(late_at); j++) {
			model_look(self->kvm, late_at[j], &v, &r);
			ASSERT_FALSE(differ(self->v, self->r, late_at[j], v,
					    r)) {
				TH_LOG("HPTE %lu, buffer %zu", late_at[j],
				       sizes[i]);
			}
		}
	}
}

/*
 * Until a grace period has passed, each HPTE is locked, so that such a vcpu
 * sees the reader; after that, no clean HPTE is. A first pass that reads group
 * by group does not start the grace period.
 */
TEST_F(file, locks_are_taken_until_the_grace_period)
{
	int fd;

	shim_close(self->fd);
	self->fd = -1;
	fill(self->kvm, 256);
	fd = fake_open(self->kvm, 0, 255 * 8);
	shim_hpte_locks = 0;
	ASSERT_EQ(HPT_GROUP_BYTES, fake_read(fd, self->buf, HPT_GROUP_BYTES,
					     HPT_GROUP_BYTES));
	EXPECT_EQ(8, shim_hpte_locks);
	EXPECT_EQ(HPT_MARKS_SOME, self->kvm->arch.hpt_marks);
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, BUF));
	shim_hpte_locks = 0;
	self->fd = fake_open(self->kvm, 0, 0);
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, BUF));
	EXPECT_EQ(0, shim_hpte_locks);
	shim_close(fd);
}

/*
 * While a vcpu sleeps in a read section, for a page fault for example, readers
 * go on, with locks. They wait once, for a short time, and report all changes.
 */
TEST_F(file, nobody_waits_for_a_section_that_sleeps)
{
	struct kvm_ppc_htab_progress p;
	unsigned long index;
	u64 v, r;
	int fd;

	shim_close(self->fd);
	fill(self->kvm, 256);
	shim_section_sleeps = true;
	self->fd = fake_open(self->kvm, 0, 0);
	shim_hpte_locks = 0;
	memset(self->v, 0xee, sizeof(self->v));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 2048));
	EXPECT_LE(255 * 8, shim_hpte_locks);
	shim_polls_in_vain = 0;
	for (index = 0; index < 2048; index += 7)
		fake_h_remove(self->kvm, index);
	ASSERT_EQ(0, fake_h_enter(self->kvm, 8000, V, R(1)));
	fd = fake_open(self->kvm, 0, 0);
	ASSERT_EQ(0, fake_progress(fd, 1, &p));
	EXPECT_EQ(EPOLLIN | EPOLLRDNORM, fake_poll(fd));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 2048));
	/* In groups without marks it takes locks, too */
	shim_hpte_locks = 0;
	ASSERT_TRUE(drain(fd, self->v, self->r, self->buf, 2048));
	EXPECT_LE(256 * 8, shim_hpte_locks);
	EXPECT_GT(200, shim_polls_in_vain);
	for (index = 0; index < NR; index++) {
		model_look(self->kvm, index, &v, &r);
		ASSERT_FALSE(differ(self->v, self->r, index, v, r));
	}
	shim_close(fd);
	shim_section_sleeps = false;
	ASSERT_EQ(0, fake_h_enter(self->kvm, 8001, V, R(1)));
	ASSERT_TRUE(drain(self->fd, self->v, self->r, self->buf, 2048));
	EXPECT_EQ(HPT_MARKS_ALL, self->kvm->arch.hpt_marks);
}

/* Naps of a task, until a section ends, and grace periods that were seen */
static unsigned int naps, naps_left, seen_ended;

static void take_nap(void)
{
	naps++;
	if (naps_left && !--naps_left)
		shim_section_sleeps = false;
}

static void see_it_ended(void)
{
	seen_ended++;
}

static ssize_t first_read(int *fd, struct kvm *kvm, char *buf, size_t size)
{
	shim_close(*fd);
	*fd = fake_open(kvm, 0, 0);
	shim_polls_in_vain = 0;
	naps = 0;
	seen_ended = 0;
	return fake_read(*fd, buf, size, size);
}

/* Only the first read of HPTEs waits, unless it is short, and not for long */
TEST_F(file, how_long_a_first_pass_waits)
{
	shim_sleep = take_nap;
	shim_before_grace_period = see_it_ended;
	shim_section_sleeps = true;
	/* There is nothing to lock */
	ASSERT_EQ(HDR, first_read(&self->fd, self->kvm, self->buf, 2048));
	EXPECT_EQ(1, shim_polls_in_vain);
	EXPECT_EQ(0, naps);
	/* A look, 20 naps, and another look; then a look for each read */
	fill(self->kvm, 256);
	ASSERT_LT(0, first_read(&self->fd, self->kvm, self->buf, 2048));
	EXPECT_EQ(22, shim_polls_in_vain);
	EXPECT_EQ(20, naps);
	ASSERT_LT(0, fake_read(self->fd, self->buf, 2048, 2048));
	EXPECT_EQ(23, shim_polls_in_vain);
	EXPECT_EQ(20, naps);
	EXPECT_EQ(HPT_MARKS_ASKED, self->kvm->arch.hpt_marks);
	/* One that is short does not even ask */
	ASSERT_LT(0, first_read(&self->fd, self->kvm, self->buf,
				HPT_GROUP_BYTES));
	EXPECT_EQ(0, shim_polls_in_vain);
	EXPECT_EQ(HPT_MARKS_SOME, self->kvm->arch.hpt_marks);
	/* The section ends during the third nap */
	naps_left = 3;
	ASSERT_LT(0, first_read(&self->fd, self->kvm, self->buf, 2048));
	EXPECT_EQ(1 + 3, shim_polls_in_vain);
	EXPECT_EQ(3, naps);
	EXPECT_EQ(2, seen_ended);
	EXPECT_EQ(HPT_MARKS_ALL, self->kvm->arch.hpt_marks);
	/* No section sleeps */
	ASSERT_LT(0, first_read(&self->fd, self->kvm, self->buf, 2048));
	EXPECT_EQ(0, naps);
	EXPECT_EQ(1, seen_ended);
	EXPECT_EQ(HPT_MARKS_ALL, self->kvm->arch.hpt_marks);
	shim_sleep = NULL;
	shim_before_grace_period = NULL;
}

TEST_HARNESS_MAIN
