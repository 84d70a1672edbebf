// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of the parts of the HPT file that need no VM: the encoder and
 * the decoder of records, sets, group bitmaps, and what R and C of an HPTE
 * mean. tools/testing/kvm-hpt/ runs the same tests in user space.
 */

#include <kunit/test.h>

#include <linux/bitops.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "hpt.h"
#include "records.h"
#include "set.h"

#define HDR	sizeof(struct kvm_get_htab_header)

/* Dword 0 of an HPTE of a small page */
#define V	(0x123480ul | HPTE_V_VALID)

/* Numbers that repeat, whatever ran before */
static u32 hpt_test_random(u32 *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* The encoder */

struct hpt_encoder_test {
	struct hpt_encoder enc;
	struct hpt_encoder one;
	char *buf;
	char *other;
};

/* Beside each other: what is appended in two ways */
#define OTHER_SIZE	512

static int encoder_init(struct kunit *test)
{
	struct hpt_encoder_test *self;

	self = kunit_kzalloc(test, sizeof(*self), GFP_KERNEL);
	if (!self)
		return -ENOMEM;
	self->other = kunit_kzalloc(test, OTHER_SIZE, GFP_KERNEL);
	self->buf = kvzalloc(2 * HPT_RECORD_MAX, GFP_KERNEL);
	test->priv = self;
	return self->buf && self->other ? 0 : -ENOMEM;
}

static void encoder_exit(struct kunit *test)
{
	struct hpt_encoder_test *self = test->priv;

	if (self)
		kvfree(self->buf);
}

static bool is_header(const void *buf, size_t pos, u32 index,
		      unsigned int n_valid, unsigned int n_invalid)
{
	const struct kvm_get_htab_header *hdr = buf + pos;

	return hdr->index == index && hdr->n_valid == n_valid &&
	       hdr->n_invalid == n_invalid;
}

static void needs_room_for_header_and_hpte(struct kunit *test)
{
	struct hpt_encoder_test *self = test->priv;
	struct hpt_encoder *enc = &self->enc;
	size_t size;

	for (size = 0; size < HPT_RECORD_MIN; size++) {
		hpt_encoder_init(enc, self->buf, size);
		KUNIT_ASSERT_FALSE(test, hpt_encode_valid(enc, 0, V, 0));
		KUNIT_ASSERT_EQ(test, 0, enc->used);
		KUNIT_ASSERT_EQ(test, size >= HDR ? 5 : 0,
				hpt_encode_invalid(enc, 0, 5));
		KUNIT_ASSERT_EQ(test, size >= HDR ? HDR : 0, enc->used);
	}
	hpt_encoder_init(enc, self->buf, size);
	KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, 7, V, 1));
	KUNIT_EXPECT_FALSE(test, hpt_encode_valid(enc, 8, V, 1));
	KUNIT_EXPECT_EQ(test, size, enc->used);
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, 0, 7, 1, 0));
	/* The header is there, so invalid HPTEs need no more room */
	KUNIT_EXPECT_EQ(test, 9, hpt_encode_invalid(enc, 8, 9));
	KUNIT_EXPECT_EQ(test, 0, hpt_encode_invalid(enc, 18, 1));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, 0, 7, 1, 9));
}

static void hptes_are_big_endian(struct kunit *test)
{
	static const unsigned char hpte[HPT_STREAM_HPTE] = {
		0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
		0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
	};
	struct hpt_encoder_test *self = test->priv;

	hpt_encoder_init(&self->enc, self->buf, HPT_RECORD_MIN);
	KUNIT_ASSERT_TRUE(test, hpt_encode_valid(&self->enc, 0,
						 0x0102030405060708,
						 0x1112131415161718));
	KUNIT_EXPECT_EQ(test, 0, memcmp(hpte, self->buf + HDR, sizeof(hpte)));
}

/* Fill one of a size that lacks @lack bytes of what three HPTEs need */
static unsigned int fit(struct hpt_encoder *enc, char *buf, size_t lack)
{
	unsigned int n = 0;

	hpt_encoder_init(enc, buf, HDR + 3 * HPT_STREAM_HPTE - lack);
	while (hpt_encode_valid(enc, n, V, 0))
		n++;
	return n;
}

static void exact_fit_is_used(struct kunit *test)
{
	struct hpt_encoder_test *self = test->priv;
	size_t lack;

	KUNIT_EXPECT_EQ(test, 3, fit(&self->enc, self->buf, 0));
	KUNIT_EXPECT_EQ(test, self->enc.size, self->enc.used);
	for (lack = 1; lack <= HPT_STREAM_HPTE; lack++)
		KUNIT_ASSERT_EQ(test, 2, fit(&self->enc, self->buf, lack));
}

static void runs_end_at_65535(struct kunit *test)
{
	struct hpt_encoder_test *self = test->priv;
	struct hpt_encoder *enc = &self->enc;
	size_t second = HPT_RECORD_MAX;
	u64 i;

	hpt_encoder_init(enc, self->buf, 2 * HPT_RECORD_MAX);
	for (i = 0; i < HPT_RECORD_HPTES; i++)
		KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, i, V, i));
	KUNIT_EXPECT_EQ(test, second, enc->used);
	KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, i, V, i));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, 0, 0, 65535, 0));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, second, 65535, 1, 0));
	KUNIT_EXPECT_EQ(test, second + HPT_RECORD_MIN, enc->used);
}

static void invalid_runs_end_at_65535(struct kunit *test)
{
	struct hpt_encoder_test *self = test->priv;
	struct hpt_encoder *enc = &self->enc;

	hpt_encoder_init(enc, self->buf, 3 * HDR + 1);
	KUNIT_EXPECT_EQ(test, 65535, hpt_encode_invalid(enc, 10, 65535));
	KUNIT_EXPECT_EQ(test, HDR, enc->used);
	KUNIT_EXPECT_EQ(test, 1, hpt_encode_invalid(enc, 65545, 1));
	KUNIT_EXPECT_EQ(test, 2 * HDR, enc->used);
	/* 65534 fit the second record, 65535 a third one, no more */
	KUNIT_EXPECT_EQ(test, 65534 + 65535,
			hpt_encode_invalid(enc, 65546, 200000));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, 0, 10, 0, 65535));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, HDR, 65545, 0, 65535));
	KUNIT_EXPECT_TRUE(test,
			  is_header(self->buf, 2 * HDR, 131080, 0, 65535));
}

static void valid_after_invalid_is_a_new_record(struct kunit *test)
{
	struct hpt_encoder_test *self = test->priv;
	struct hpt_encoder *enc = &self->enc;

	hpt_encoder_init(enc, self->buf, 1000);
	KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, 0, V, 0));
	KUNIT_ASSERT_EQ(test, 2, hpt_encode_invalid(enc, 1, 2));
	KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, 3, V, 0));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, 0, 0, 1, 2));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, HPT_RECORD_MIN, 3, 1, 0));
}

static void gap_is_a_new_record(struct kunit *test)
{
	struct hpt_encoder_test *self = test->priv;
	struct hpt_encoder *enc = &self->enc;
	size_t pos = 0;

	hpt_encoder_init(enc, self->buf, 1000);
	KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, 0, V, 0));
	KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, 2, V, 0));
	KUNIT_ASSERT_EQ(test, 1, hpt_encode_invalid(enc, 4, 1));
	KUNIT_ASSERT_EQ(test, 1, hpt_encode_invalid(enc, 6, 1));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, pos, 0, 1, 0));
	pos += HPT_RECORD_MIN;
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, pos, 2, 1, 0));
	pos += HPT_RECORD_MIN;
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, pos, 4, 0, 1));
	pos += HDR;
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, pos, 6, 0, 1));
}

/* @before HPTEs one by one, then @count put in place and one by one */
static void append_both_ways(struct kunit *test, size_t size,
			     unsigned int before, unsigned int count)
{
	struct hpt_encoder_test *self = test->priv;
	struct hpt_encoder *enc = &self->enc, *one = &self->one;
	unsigned long room;
	bool fits = true;
	unsigned int i;
	__be64 *out;

	hpt_encoder_init(enc, self->buf, size);
	hpt_encoder_init(one, self->other, size);
	for (i = 0; i < before; i++) {
		hpt_encode_valid(enc, i, V, i);
		fits &= hpt_encode_valid(one, i, V, i);
	}
	for (i = before; i < before + count; i++)
		fits &= hpt_encode_valid(one, i, V, i);
	room = hpt_encode_room(enc, before);
	KUNIT_ASSERT_EQ(test, fits, room >= count);
	if (!fits)
		return;
	out = hpt_encode_tail(enc, before);
	for (i = 0; i < count; i++) {
		out[2 * i] = cpu_to_be64(V);
		out[2 * i + 1] = cpu_to_be64(before + i);
	}
	hpt_encode_run(enc, before, room, count, 0);
	KUNIT_ASSERT_EQ(test, one->used, enc->used);
	KUNIT_ASSERT_EQ(test, one->room, enc->room);
	KUNIT_ASSERT_EQ(test, one->next, enc->next);
	KUNIT_ASSERT_EQ(test, 0, memcmp(self->other, self->buf, one->used));
}

static void run_is_as_one_by_one(struct kunit *test)
{
	unsigned int before, count;
	size_t size;

	for (size = 0; size <= HDR + 12 * HPT_STREAM_HPTE; size++)
		for (before = 0; before <= 3; before++)
			for (count = 1; count <= 8; count++)
				append_both_ways(test, size, before, count);
}

static void more_invalid_continue_a_record(struct kunit *test)
{
	struct hpt_encoder_test *self = test->priv;
	struct hpt_encoder *enc = &self->enc;

	hpt_encoder_init(enc, self->buf, 1000);
	KUNIT_EXPECT_FALSE(test, hpt_encode_more_invalid(enc, 0, 8));
	KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, 0, V, 0));
	KUNIT_EXPECT_FALSE(test, hpt_encode_more_invalid(enc, 2, 8));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, 0, 0, 1, 0));
	KUNIT_EXPECT_TRUE(test, hpt_encode_more_invalid(enc, 1, 65534));
	KUNIT_EXPECT_FALSE(test, hpt_encode_more_invalid(enc, 65535, 2));
	KUNIT_EXPECT_TRUE(test, hpt_encode_more_invalid(enc, 65535, 1));
	KUNIT_EXPECT_TRUE(test, is_header(self->buf, 0, 0, 1, 65535));
	KUNIT_EXPECT_EQ(test, HPT_RECORD_MIN, enc->used);
}

/* The counter says what the encoder makes of the same HPTEs */
static void count_is_as_encoded(struct kunit *test)
{
	static const u32 runs[] = { 1, 2, 7, 30000, 65534, 65535, 65536 };
	struct hpt_encoder_test *self = test->priv;
	struct hpt_encoder *enc = &self->enc;
	struct hpt_counter count = { };
	unsigned int i, n, step;
	u32 state = 1;
	u64 index = 0;
	bool valid;

	for (step = 0; step < 200; step++) {
		/* There is room for two records of the longest */
		if (step % 4 == 0) {
			hpt_encoder_init(enc, self->buf, 2 * HPT_RECORD_MAX);
			count = (struct hpt_counter) { };
			index = 0;
		}
		n = runs[hpt_test_random(&state) % ARRAY_SIZE(runs)];
		valid = hpt_test_random(&state) % 2 &&
			enc->used + HPT_RECORD_MAX + HPT_RECORD_MIN <= enc->size;
		index += hpt_test_random(&state) % 4 ? 0 : 5;
		if (!valid)
			KUNIT_ASSERT_EQ(test, n,
					hpt_encode_invalid(enc, index, n));
		for (i = 0; valid && i < n; i++)
			KUNIT_ASSERT_TRUE(test, hpt_encode_valid(enc, index + i,
								 V, 0));
		hpt_count(&count, index, valid, n);
		index += n;
		KUNIT_ASSERT_EQ(test, enc->used, count.bytes);
		KUNIT_ASSERT_EQ(test, enc->valid, count.valid);
		KUNIT_ASSERT_EQ(test, enc->invalid, count.invalid);
	}
}

static struct kunit_case encoder_cases[] = {
	KUNIT_CASE(needs_room_for_header_and_hpte),
	KUNIT_CASE(hptes_are_big_endian),
	KUNIT_CASE(exact_fit_is_used),
	KUNIT_CASE(runs_end_at_65535),
	KUNIT_CASE(invalid_runs_end_at_65535),
	KUNIT_CASE(valid_after_invalid_is_a_new_record),
	KUNIT_CASE(gap_is_a_new_record),
	KUNIT_CASE(run_is_as_one_by_one),
	KUNIT_CASE(more_invalid_continue_a_record),
	KUNIT_CASE(count_is_as_encoded),
	{ }
};

static struct kunit_suite encoder_suite = {
	.name = "hpt_encoder",
	.init = encoder_init,
	.exit = encoder_exit,
	.test_cases = encoder_cases,
};

/* The decoder */

static void decode_needs_whole_header_and_hptes(struct kunit *test)
{
	size_t len, whole = HDR + 2 * HPT_STREAM_HPTE;
	struct kvm_get_htab_header *hdr;
	struct hpt_record rec = { };

	for (len = 0; len <= whole; len++) {
		/* Of that size, so that a sanitizer sees what is read beyond */
		hdr = kunit_kzalloc(test, len, GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, hdr);
		if (len >= HDR)
			*hdr = (struct kvm_get_htab_header) { 5, 2, 3 };
		KUNIT_ASSERT_EQ(test, len < whole ? -ENODATA : 0,
				hpt_decode(hdr, len, 100, &rec));
	}
	KUNIT_EXPECT_EQ(test, 5, rec.index);
	KUNIT_EXPECT_EQ(test, 2, rec.n_valid);
	KUNIT_EXPECT_EQ(test, 3, rec.n_invalid);
	KUNIT_EXPECT_EQ(test, whole, rec.bytes);
	KUNIT_EXPECT_TRUE(test, (char *)hdr + HDR == (char *)rec.hpte);
}

static void decode_checks_the_range(struct kunit *test)
{
	static const struct {
		u64 nr;
		struct kvm_get_htab_header hdr;
		int err;
	} cases[] = {
		{ 100, { 0, 0, 0 }, 0 },
		{ 100, { 99, 0, 0 }, 0 },
		{ 100, { 99, 0, 1 }, 0 },
		{ 100, { 99, 0, 2 }, -EINVAL },
		{ 100, { 99, 1, 1 }, -EINVAL },
		{ 100, { 100, 0, 0 }, -EINVAL },
		{ 100, { 100, 0, 1 }, -EINVAL },
		{ 100, { ~0u, 0, 1 }, -EINVAL },
		{ 100, { 0, 0, 100 }, 0 },
		{ 100, { 0, 0, 101 }, -EINVAL },
		{ 65535, { 0, 0, 65535 }, 0 },
		{ 65534, { 0, 0, 65535 }, -EINVAL },
		/* A record that is not complete yet may be invalid already */
		{ 100, { 0, 101, 0 }, -EINVAL },
		{ 100, { 0, 100, 0 }, -ENODATA },
		{ 131070, { 0, 65535, 65535 }, -ENODATA },
		{ 131069, { 0, 65535, 65535 }, -EINVAL },
		{ 1ull << 32, { ~0u, 0, 1 }, 0 },
		{ 1ull << 32, { ~0u, 0, 2 }, -EINVAL },
		{ 1ull << 42, { ~0u, 0, 65535 }, 0 },
	};
	struct {
		struct kvm_get_htab_header hdr;
		char hptes[HPT_STREAM_HPTE];
	} buf = { };
	struct hpt_record rec;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		buf.hdr = cases[i].hdr;
		KUNIT_EXPECT_EQ_MSG(test, cases[i].err,
				    hpt_decode(&buf, sizeof(buf), cases[i].nr,
					       &rec), "case %u", i);
	}
}

static void whole_records_of_every_length(struct kunit *test)
{
	static const struct { int valid, invalid; } shape[] = {
		{ 3, 0 }, { 0, 5 }, { 1, 1 }, { 2, 65535 }, { 0, 1 },
	};
	size_t ends[ARRAY_SIZE(shape) + 1] = { };
	struct hpt_encoder enc;
	unsigned int i, j;
	u64 index = 0, valid, invalid;
	char *buf, *copy;
	size_t len;

	buf = kunit_kzalloc(test, 256, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, buf);
	hpt_encoder_init(&enc, buf, 256);
	for (i = 0; i < ARRAY_SIZE(shape); i++) {
		for (j = 0; j < shape[i].valid; j++)
			KUNIT_ASSERT_TRUE(test, hpt_encode_valid(&enc, index++,
								 V, 0));
		KUNIT_ASSERT_EQ(test, shape[i].invalid,
				hpt_encode_invalid(&enc, index,
						   shape[i].invalid));
		index += shape[i].invalid + 1;
		ends[i + 1] = enc.used;
	}
	for (len = 0, i = 0; len <= enc.used; len++) {
		if (i + 1 < ARRAY_SIZE(ends) && len == ends[i + 1])
			i++;
		copy = kunit_kzalloc(test, len, GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, copy);
		memcpy(copy, buf, len);
		KUNIT_ASSERT_EQ(test, ends[i],
				hpt_whole_records(copy, len, &valid, &invalid));
	}
	KUNIT_EXPECT_EQ(test, 6, valid);
	KUNIT_EXPECT_EQ(test, 5 + 1 + 65535 + 1, invalid);
}

static struct kunit_case decoder_cases[] = {
	KUNIT_CASE(decode_needs_whole_header_and_hptes),
	KUNIT_CASE(decode_checks_the_range),
	KUNIT_CASE(whole_records_of_every_length),
	{ }
};

static struct kunit_suite decoder_suite = {
	.name = "hpt_decoder",
	.test_cases = decoder_cases,
};

/* A reader's set */

static int set_init(struct kunit *test)
{
	struct hpt_set *set = kunit_kzalloc(test, sizeof(*set), GFP_KERNEL);

	if (!set)
		return -ENOMEM;
	hpt_set_init(set);
	test->priv = set;
	return 0;
}

static void set_exit(struct kunit *test)
{
	if (test->priv)
		hpt_set_clear(test->priv);
}

static void each_hpte_of_each_group(struct kunit *test)
{
	struct hpt_set *set = test->priv;
	unsigned long group;
	int slot;

	for (group = 0; group < 9; group++) {
		for (slot = 0; slot < 8; slot++) {
			KUNIT_ASSERT_EQ(test, 0,
					hpt_set_add(set, group, 1 << slot));
			KUNIT_ASSERT_EQ(test, group, hpt_set_next(set, 0));
			KUNIT_ASSERT_EQ(test, group, hpt_set_next(set, group));
			KUNIT_ASSERT_EQ(test, HPT_SET_END,
					hpt_set_next(set, group + 1));
			KUNIT_ASSERT_EQ(test, 1 << slot,
					hpt_set_get(set, group));
			KUNIT_ASSERT_EQ(test, 0, hpt_set_take(set, group ^ 1));
			KUNIT_ASSERT_EQ(test, 0, hpt_set_take(set, group + 4));
			KUNIT_ASSERT_EQ(test, 1 << slot,
					hpt_set_take(set, group));
			KUNIT_ASSERT_EQ(test, 0, hpt_set_take(set, group));
			KUNIT_ASSERT_EQ(test, HPT_SET_END,
					hpt_set_next(set, 0));
		}
	}
}

/* In each order */
static void groups_of_a_block(struct kunit *test)
{
	static const u16 groups[] = {
		8191, 0, 64, 5, 90, 33, 8190, 127, 1024, 256, 4097,
	};
	struct hpt_set *set = test->priv;
	unsigned int nr, first, i, j;
	u8 hptes;

	for (nr = 1; nr <= ARRAY_SIZE(groups); nr++) {
		for (first = 0; first < nr; first++) {
			for (i = 0; i < nr; i++)
				KUNIT_ASSERT_EQ(test, 0,
						hpt_set_add(set, groups[i],
							    i + 1));
			KUNIT_ASSERT_EQ(test, 0, hpt_set_add(set, 1, 0));
			KUNIT_ASSERT_EQ(test, 0, hpt_set_get(set, 1));
			KUNIT_ASSERT_EQ(test, 0, hpt_set_take(set, 1));
			for (i = 0; i < nr; i++) {
				j = (first + i) % nr;
				hptes = 128 | (j + 1);
				KUNIT_ASSERT_EQ(test, groups[j],
						hpt_set_next(set, groups[j]));
				KUNIT_ASSERT_EQ(test, 0,
						hpt_set_add(set, groups[j], 128));
				KUNIT_ASSERT_EQ(test, hptes,
						hpt_set_get(set, groups[j]));
				KUNIT_ASSERT_EQ(test, hptes,
						hpt_set_take(set, groups[j]));
				KUNIT_ASSERT_EQ(test, 0,
						hpt_set_get(set, groups[j]));
			}
			KUNIT_ASSERT_TRUE(test, hpt_set_empty(set));
		}
	}
}

/* As many as there are, but never many at the same time */
static void leave_in_the_order_they_came(struct kunit *test)
{
	static const unsigned int delays[] = { 1, 7, 8, 9, 511, 512, 513 };
	struct hpt_set *set = test->priv;
	unsigned int i, delay;
	unsigned long group;

	for (i = 0; i < ARRAY_SIZE(delays); i++) {
		delay = delays[i];
		for (group = 0; group < 3000; group++) {
			KUNIT_ASSERT_EQ(test, 0,
					hpt_set_add(set, group, group % 255 + 1));
			if (group < delay)
				continue;
			KUNIT_ASSERT_EQ(test, group - delay,
					hpt_set_next(set, 0));
			KUNIT_ASSERT_EQ(test, (group - delay) % 255 + 1,
					hpt_set_take(set, group - delay));
		}
		for (group = 3000 - delay; group < 3000; group++)
			KUNIT_ASSERT_EQ(test, group % 255 + 1,
					hpt_set_take(set, group));
		KUNIT_ASSERT_TRUE(test, hpt_set_empty(set));
	}
}

#define SET_GROUPS	(3 * 8192)

/*
 * Beside a bitmap, with groups close to each other and far apart; for a while
 * there are more and more of them, then fewer and fewer
 */
static void is_as_a_bitmap(struct kunit *test)
{
	struct hpt_set *set = test->priv;
	unsigned long group, next, i;
	u8 hptes, *bits;
	u32 state = 1;

	bits = kunit_kzalloc(test, SET_GROUPS, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, bits);
	for (i = 0; i < 20000; i++) {
		group = hpt_test_random(&state) % SET_GROUPS;
		if (hpt_test_random(&state) % 8)
			group %= 1024;
		for (next = group; next < SET_GROUPS; next++)
			if (bits[next])
				break;
		if (next == SET_GROUPS)
			next = HPT_SET_END;
		KUNIT_ASSERT_EQ(test, next, hpt_set_next(set, group));
		hptes = hpt_test_random(&state);
		if (hpt_test_random(&state) % 4 > i / 4000 % 2 * 2) {
			KUNIT_ASSERT_EQ(test, 0,
					hpt_set_add(set, group, hptes));
			bits[group] |= hptes;
			continue;
		}
		if (next < SET_GROUPS && hpt_test_random(&state) % 4)
			group = next;
		KUNIT_ASSERT_EQ(test, bits[group], hpt_set_take(set, group));
		bits[group] = 0;
	}
	for (group = 0; group < SET_GROUPS; group++)
		KUNIT_ASSERT_EQ(test, bits[group], hpt_set_take(set, group));
	KUNIT_EXPECT_TRUE(test, hpt_set_empty(set));
}

static void far_ends(struct kunit *test)
{
	static const unsigned long groups[] = {
		0, 8191, 8192, (1ul << 19) - 1, 1ul << 19, (1ul << 39) - 1, 1ul << 39,
	};
	struct hpt_set *set = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		KUNIT_ASSERT_EQ(test, 0, hpt_set_add(set, groups[i], 0x80));
	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		KUNIT_ASSERT_EQ(test, groups[i],
				hpt_set_next(set, i ? groups[i - 1] + 1 : 0));
		KUNIT_ASSERT_EQ(test, 0x80, hpt_set_take(set, groups[i]));
	}
	KUNIT_EXPECT_EQ(test, HPT_SET_END, hpt_set_next(set, 0));
}

static void gives_memory_back_as_it_empties(struct kunit *test)
{
	struct hpt_set *set = test->priv;
	unsigned long group;

	for (group = 0; group < SET_GROUPS; group++)
		KUNIT_ASSERT_EQ(test, 0, hpt_set_add(set, group, 0xff));
	KUNIT_EXPECT_FALSE(test, hpt_set_empty(set));
	for (group = 0; group < SET_GROUPS; group++)
		KUNIT_ASSERT_EQ(test, 0xff, hpt_set_take(set, group));
	/* Without an entry an XArray has no nodes */
	KUNIT_EXPECT_TRUE(test, hpt_set_empty(set));

	/* The front of a list is taken before it becomes a bitmap */
	for (group = 0; group < 512; group++)
		KUNIT_ASSERT_EQ(test, 0, hpt_set_add(set, group, 1));
	for (group = 0; group < 100; group++)
		KUNIT_ASSERT_EQ(test, 1, hpt_set_take(set, group));
	for (group = 100; group < 1000; group++)
		KUNIT_ASSERT_EQ(test, 0, hpt_set_add(set, group, 2));
	for (group = 100; group < 1000; group++)
		KUNIT_ASSERT_EQ(test, group < 512 ? 3 : 2,
				hpt_set_take(set, group));
	KUNIT_EXPECT_TRUE(test, hpt_set_empty(set));
}

/* A block of 8192 groups at a time */
static void clears_in_steps(struct kunit *test)
{
	static const unsigned long groups[] = {
		0, 5, 8191, 8192, 8193, 9000, 1ul << 20, 1ul << 39,
	};
	struct hpt_set *set = test->priv;
	unsigned int i;

	KUNIT_EXPECT_TRUE(test, hpt_set_clear_some(set, 1));
	KUNIT_ASSERT_EQ(test, 0, hpt_set_add(set, 0, 1));
	KUNIT_EXPECT_FALSE(test, hpt_set_clear_some(set, 0));
	KUNIT_EXPECT_TRUE(test, hpt_set_clear_some(set, 1));

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		KUNIT_ASSERT_EQ(test, 0, hpt_set_add(set, groups[i], 0x11));
	KUNIT_EXPECT_FALSE(test, hpt_set_clear_some(set, 1));
	KUNIT_EXPECT_EQ(test, 8192, hpt_set_next(set, 0));
	KUNIT_EXPECT_FALSE(test, hpt_set_clear_some(set, 2));
	KUNIT_EXPECT_EQ(test, 1ul << 39, hpt_set_next(set, 0));
	KUNIT_EXPECT_TRUE(test, hpt_set_clear_some(set, 1));
	KUNIT_EXPECT_EQ(test, HPT_SET_END, hpt_set_next(set, 0));

	/* It can be used again */
	KUNIT_ASSERT_EQ(test, 0, hpt_set_add(set, 300, 1));
	KUNIT_EXPECT_EQ(test, 300, hpt_set_next(set, 0));
}

static struct kunit_case set_cases[] = {
	KUNIT_CASE(each_hpte_of_each_group),
	KUNIT_CASE(groups_of_a_block),
	KUNIT_CASE(leave_in_the_order_they_came),
	KUNIT_CASE(is_as_a_bitmap),
	KUNIT_CASE(far_ends),
	KUNIT_CASE(gives_memory_back_as_it_empties),
	KUNIT_CASE(clears_in_steps),
	{ }
};

static struct kunit_suite set_suite = {
	.name = "hpt_set",
	.init = set_init,
	.exit = set_exit,
	.test_cases = set_cases,
};

/* Group bitmaps, of an HPT with two chunks */

#define BIG_ORDER	27
#define BIG_GROUPS	(1ul << (BIG_ORDER - 7))

static const unsigned long edges[] = {
	0, 1, 62, 63, 64, 65, 127, 128, 255, 256, 257, 319, 320,
	HPT_CHUNK_GROUPS - 321, HPT_CHUNK_GROUPS - 65, HPT_CHUNK_GROUPS - 64,
	HPT_CHUNK_GROUPS - 1, HPT_CHUNK_GROUPS, HPT_CHUNK_GROUPS + 1,
	HPT_CHUNK_GROUPS + 63, HPT_CHUNK_GROUPS + 64,
	BIG_GROUPS - 257, BIG_GROUPS - 64, BIG_GROUPS - 2, BIG_GROUPS - 1,
};

static int groups_init(struct kunit *test)
{
	struct kvm_hpt_info *info;

	info = kunit_kzalloc(test, sizeof(*info), GFP_KERNEL);
	if (!info)
		return -ENOMEM;
	info->order = BIG_ORDER;
	test->priv = info;
	return kvmppc_hpt_alloc_groups(info);
}

static void groups_exit(struct kunit *test)
{
	if (test->priv)
		kvmppc_hpt_free_groups(test->priv);
}

static void used_at_every_edge(struct kunit *test)
{
	struct kvm_hpt_info *info = test->priv;
	unsigned int i, j;
	int budget;

	KUNIT_EXPECT_EQ(test, BIG_GROUPS, info->groups->nr);
	KUNIT_EXPECT_EQ(test, BIG_GROUPS,
			kvm_hpt_next_used(info, 0, BIG_GROUPS));
	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		kvmppc_hpt_use(info, edges[i] * 8 + i % 8);
		KUNIT_ASSERT_TRUE(test, kvm_hpt_group_used(info, edges[i]));
		/* In the middle of a group that is used it stays there */
		budget = 1;
		KUNIT_ASSERT_EQ(test, edges[i] * 8 + 3,
				kvm_hpt_skip_unused(info, edges[i] * 8 + 3,
						    &budget));
		if (i + 1 < ARRAY_SIZE(edges))
			KUNIT_ASSERT_FALSE(test,
					   kvm_hpt_group_used(info,
							      edges[i + 1]));
	}
	for (i = 0, j = 0; i < BIG_GROUPS; i++) {
		while (j < ARRAY_SIZE(edges) && edges[j] < i)
			j++;
		if (i > 400 && i < HPT_CHUNK_GROUPS - 400)
			i = HPT_CHUNK_GROUPS - 400;
		if (i > HPT_CHUNK_GROUPS + 400 && i < BIG_GROUPS - 400)
			i = BIG_GROUPS - 400;
		KUNIT_ASSERT_EQ(test,
				j < ARRAY_SIZE(edges) ? edges[j] : BIG_GROUPS,
				kvm_hpt_next_used(info, i, BIG_GROUPS));
	}
	KUNIT_EXPECT_EQ(test, BIG_GROUPS,
			kvm_hpt_next_used(info, BIG_GROUPS, BIG_GROUPS));
}

static void used_are_counted_from_every_edge(struct kunit *test)
{
	struct kvm_hpt_info *info = test->priv;
	unsigned long group, used;
	unsigned int i, holds;
	int budget;

	for (i = 0; i < ARRAY_SIZE(edges); i++)
		kvmppc_hpt_use(info, edges[i] * 8);
	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		group = edges[i];
		budget = INT_MAX;
		KUNIT_EXPECT_EQ(test, ARRAY_SIZE(edges) - i,
				kvm_hpt_nr_used(info, &group, &budget));
		KUNIT_EXPECT_EQ(test, BIG_GROUPS, group);
	}

	/* A chunk at a time, if there is time for no more */
	group = 0;
	used = 0;
	for (holds = 0; group < BIG_GROUPS; holds++) {
		budget = 1;
		used += kvm_hpt_nr_used(info, &group, &budget);
		KUNIT_ASSERT_FALSE(test, budget > 0);
	}
	KUNIT_EXPECT_EQ(test, ARRAY_SIZE(edges), used);
	KUNIT_EXPECT_EQ(test, BIG_GROUPS / HPT_CHUNK_GROUPS, holds);
}

/* An index in a used group stays, one in another goes to the next used one */
static void skip_goes_to_what_is_used(struct kunit *test)
{
	struct kvm_hpt_info *info = test->priv;
	unsigned long slot, used = HPT_CHUNK_GROUPS + 1;
	int budget = 1 << 20;

	kvmppc_hpt_use(info, used * 8);
	KUNIT_EXPECT_EQ(test, used * 8, kvm_hpt_skip_unused(info, 0, &budget));
	for (slot = 0; slot < 8; slot++)
		KUNIT_EXPECT_EQ(test, used * 8 + slot,
				kvm_hpt_skip_unused(info, used * 8 + slot,
						    &budget));
	KUNIT_EXPECT_EQ(test, BIG_GROUPS * 8,
			kvm_hpt_skip_unused(info, used * 8 + 8, &budget));
}

/* It goes no further than it may, and subtracts how far it went */
static void skip_keeps_to_its_budget(struct kunit *test)
{
	struct kvm_hpt_info *info = test->priv;
	unsigned long index = 0, next, scan = 8ul << HPT_SCAN_SHIFT;
	int budget, left;

	kvmppc_hpt_use(info, (BIG_GROUPS - 1) * 8);
	for (budget = 1; budget < 20; budget++) {
		left = budget;
		next = kvm_hpt_skip_unused(info, index, &left);
		KUNIT_ASSERT_EQ(test, index + budget * scan, next);
		KUNIT_ASSERT_EQ(test, 0, left);
		index = next;
	}
	left = BIG_GROUPS;
	KUNIT_EXPECT_EQ(test, (BIG_GROUPS - 1) * 8,
			kvm_hpt_skip_unused(info, index, &left));
	KUNIT_EXPECT_EQ(test, BIG_GROUPS - ((BIG_GROUPS - 1) * 8 - index) / scan,
			left);
}

/* To each edge from each, with one bit or none in between */
static void visit_from(struct kunit *test, unsigned long from,
		       unsigned long bit)
{
	struct kvm_hpt_info *info = test->priv;
	unsigned long to, next;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		to = edges[i];
		if (to < from)
			continue;
		next = kvm_hpt_next_visit(info, from, to);
		if (bit >= from && bit < to)
			KUNIT_ASSERT_EQ(test, bit, next);
		KUNIT_ASSERT_TRUE(test, bit == next || to <= next);
	}
	if (bit < from)
		KUNIT_ASSERT_EQ(test, BIG_GROUPS,
				kvm_hpt_next_visit(info, from, BIG_GROUPS));
}

static void visit_from_edge_to_edge(struct kunit *test)
{
	struct kvm_hpt_info *info = test->priv;
	unsigned long bit;
	unsigned int i, k;

	for (k = 0; k < ARRAY_SIZE(edges); k++) {
		bit = edges[k];
		kvmppc_hpt_visit(info, bit * 8);
		KUNIT_ASSERT_TRUE(test, kvm_hpt_group_to_visit(info, bit));
		for (i = 0; i < ARRAY_SIZE(edges); i++)
			visit_from(test, edges[i], bit);
		clear_bit(bit % HPT_CHUNK_GROUPS,
			  info->groups->chunk[bit / HPT_CHUNK_GROUPS].visit);
	}
}

static struct kunit_case groups_cases[] = {
	KUNIT_CASE(used_at_every_edge),
	KUNIT_CASE(used_are_counted_from_every_edge),
	KUNIT_CASE(skip_goes_to_what_is_used),
	KUNIT_CASE(skip_keeps_to_its_budget),
	KUNIT_CASE(visit_from_edge_to_edge),
	{ }
};

static struct kunit_suite groups_suite = {
	.name = "hpt_groups",
	.init = groups_init,
	.exit = groups_exit,
	.test_cases = groups_cases,
};

/* One HPTE */

/* Both formats have the same fields, but for where the segment size is */
static void formats_convert_both_ways(struct kunit *test)
{
	u64 v, r, new_v, new_r;
	u32 state = 1;
	int i;

	for (i = 0; i < 1000; i++) {
		v = (u64)hpt_test_random(&state) << 28 | HPTE_V_VALID;
		/* Of 256 MiB or 1 TiB */
		if (i % 2)
			v |= HPTE_V_1TB_SEG;
		r = (u64)hpt_test_random(&state) << 20 | (i & 0xfff);
		new_v = hpte_old_to_new_v(v);
		new_r = hpte_old_to_new_r(v, r);
		KUNIT_ASSERT_EQ(test, 0, new_v >> 52);
		KUNIT_ASSERT_EQ(test, v, hpte_new_to_old_v(new_v, new_r));
		KUNIT_ASSERT_EQ(test, r, hpte_new_to_old_r(new_r));
	}
}

/* What hardware has set is new to the guest's view once, while HPTE is valid */
static void new_rc_of_each_state(struct kunit *test)
{
	static const u64 rc[] = { 0, HPTE_R_R, HPTE_R_C, HPTE_R_R | HPTE_R_C };
	u64 hw, gr, other = HPTE_R_M | HPTE_R_N | PP_RWRW;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rc); i++) {
		for (j = 0; j < ARRAY_SIZE(rc); j++) {
			hw = rc[i] | other;
			gr = rc[j];
			KUNIT_EXPECT_EQ(test, rc[i] & ~rc[j],
					kvm_hpte_new_rc(HPTE_V_VALID, hw, gr));
			KUNIT_EXPECT_EQ(test, 0,
					kvm_hpte_new_rc(HPTE_V_ABSENT, hw, gr));
			KUNIT_EXPECT_EQ(test, 0, kvm_hpte_new_rc(0, hw, gr));
		}
	}
}

/* R can be set if it is not; C too, where the guest can write */
static void rc_open_of_each_state(struct kunit *test)
{
	static const struct { u64 pp; bool writable; } pp[] = {
		{ PP_RWXX, true }, { PP_RWRX, true }, { PP_RWRW, true },
		{ PP_RXRX, false }, { PP_RXXX, false },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pp); i++) {
		KUNIT_EXPECT_TRUE_MSG(test, kvm_hpte_rc_open(pp[i].pp),
				      "pp %u", i);
		KUNIT_EXPECT_TRUE_MSG(test,
				      kvm_hpte_rc_open(pp[i].pp | HPTE_R_C),
				      "pp %u", i);
		KUNIT_EXPECT_EQ_MSG(test, pp[i].writable,
				    kvm_hpte_rc_open(pp[i].pp | HPTE_R_R),
				    "pp %u", i);
		KUNIT_EXPECT_FALSE_MSG(test,
				       kvm_hpte_rc_open(pp[i].pp | HPTE_R_R |
							HPTE_R_C), "pp %u", i);
	}
}

/* A reader of bolted HPTEs takes others for invalid ones */
static void shown_of_each_state(struct kunit *test)
{
	static const struct { u64 v; bool all, bolted; } cases[] = {
		{ 0, false, false },
		{ HPTE_V_BOLTED, false, false },
		{ HPTE_V_VALID, true, false },
		{ HPTE_V_ABSENT, true, false },
		{ HPTE_V_VALID | HPTE_V_BOLTED, true, true },
		{ HPTE_V_ABSENT | HPTE_V_BOLTED, true, true },
	};
	struct kvm_hpt_reader *reader;
	unsigned int i;

	reader = kunit_kzalloc(test, sizeof(*reader), GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, reader);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		reader->bolted_only = false;
		KUNIT_EXPECT_EQ_MSG(test, cases[i].all,
				    kvm_hpt_shown(reader, cases[i].v),
				    "case %u", i);
		reader->bolted_only = true;
		KUNIT_EXPECT_EQ_MSG(test, cases[i].bolted,
				    kvm_hpt_shown(reader, cases[i].v),
				    "case %u", i);
	}
}

static struct kunit_case hpte_cases[] = {
	KUNIT_CASE(formats_convert_both_ways),
	KUNIT_CASE(new_rc_of_each_state),
	KUNIT_CASE(rc_open_of_each_state),
	KUNIT_CASE(shown_of_each_state),
	{ }
};

static struct kunit_suite hpte_suite = {
	.name = "hpt_hpte",
	.test_cases = hpte_cases,
};

kunit_test_suites(&encoder_suite, &decoder_suite, &set_suite, &groups_suite,
		  &hpte_suite);

MODULE_DESCRIPTION("KUnit tests of the HPT file of Book3S HV KVM");
MODULE_IMPORT_NS(EXPORTED_FOR_KUNIT_TESTING);
MODULE_LICENSE("GPL");
