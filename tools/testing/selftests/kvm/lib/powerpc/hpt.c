// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "hpt.h"

#define VRMA_VSID	0x1ffffffUL

/* More reads than any test needs for one pass */
#define MAX_READS	(4UL << 20)

unsigned int mem_shift(void)
{
	return sysconf(_SC_PAGESIZE) < (long)PAGE_64K ? 12 : 16;
}

struct hpte mem_sized(struct hpte e)
{
	if (mem_shift() == 16) {
		e.v |= HPTE_V_LARGE;
		e.r |= HPTE_R_LP_64K;
	}
	return e;
}

struct hpte mem_hpte(unsigned long index, unsigned long gpa)
{
	struct hpte e = hpte_at(index);

	e.v &= ~HPTE_V_LARGE;
	e.r = (e.r & ~HPTE_R_RPN) | gpa;
	return mem_sized(e);
}

struct hpte vrma_hpte(unsigned long gpa, unsigned long rc)
{
	struct hpte e = {
		.v = HPTE_V_1TB | VRMA_VSID << 24 | (gpa >> 16 & ~0x7fUL) |
		     HPTE_V_BOLTED | HPTE_V_VALID,
		.r = gpa | HPTE_R_M | rc,
	};

	return mem_sized(e);
}

unsigned long vrma_index(unsigned long npte, unsigned long gpa)
{
	unsigned long hash = gpa >> mem_shift() ^ VRMA_VSID ^ (VRMA_VSID << 25);

	/* Guests fill groups from slot 0; KVM's own VRMA HPTEs are in slot 7 */
	return (hash & (npte / 8 - 1)) * 8 + 6;
}

unsigned int vrma_count(void)
{
	return PAGE_64K >> mem_shift();
}

void table_set_vrma(struct table *t, unsigned long npte, unsigned long gpa,
		    unsigned long rc)
{
	unsigned long end = gpa + PAGE_64K;

	for (; gpa < end; gpa += 1UL << mem_shift())
		table_set(t, vrma_index(npte, gpa), vrma_hpte(gpa, rc));
}

void stream_vrma(struct stream *s, unsigned long npte, unsigned long gpa,
		 unsigned long rc)
{
	unsigned long end = gpa + PAGE_64K;

	for (; gpa < end; gpa += 1UL << mem_shift()) {
		stream_header(s, vrma_index(npte, gpa), 1, 0);
		stream_hpte(s, vrma_hpte(gpa, rc));
	}
}

struct hpte hpte_at(unsigned long index)
{
	unsigned long mix = (index + 1) * 0x9e3779b97f4a7c15UL;
	struct hpte e = {
		/* Use only the AVPN bits that ISA v3.0 has as well */
		.v = (mix & 0x0007fffffffff000UL) | HPTE_V_VALID,
		.r = GPA_MMIO | (mix >> 44) << 16 | HPTE_R_M | HPTE_R_RC | 2,
	};

	if (index % 3 == 0)
		e.v |= HPTE_V_BOLTED;
	if (index % 2) {
		e.v |= HPTE_V_LARGE;
		e.r |= HPTE_R_LP_64K;
	}
	return e;
}

int stream_init(struct stream *s, size_t size)
{
	s->buf = malloc(size);
	s->len = 0;
	s->size = size;
	return s->buf ? 0 : -ENOMEM;
}

void stream_free(struct stream *s)
{
	free(s->buf);
	s->buf = NULL;
}

static void stream_add(struct stream *s, const void *p, size_t len)
{
	if (s->len + len > s->size) {
		fprintf(stderr, "# stream of %zu bytes is too small\n",
			s->size);
		abort();
	}
	memcpy(s->buf + s->len, p, len);
	s->len += len;
}

void stream_header(struct stream *s, unsigned int index,
		   unsigned int n_valid, unsigned int n_invalid)
{
	struct kvm_get_htab_header h = {
		.index = index,
		.n_valid = n_valid,
		.n_invalid = n_invalid,
	};

	stream_add(s, &h, sizeof(h));
}

void stream_hpte(struct stream *s, struct hpte e)
{
	__u64 words[2] = { htobe64(e.v), htobe64(e.r) };

	stream_add(s, words, sizeof(words));
}

void stream_run(struct stream *s, unsigned int index, unsigned int n_valid,
		unsigned int n_invalid)
{
	unsigned int i;

	stream_header(s, index, n_valid, n_invalid);
	for (i = 0; i < n_valid; i++)
		stream_hpte(s, hpte_at(index + i));
}

ssize_t stream_write(int fd, const void *buf, size_t len)
{
	ssize_t n = write(fd, buf, len);

	return n < 0 ? -errno : n;
}

static size_t page_up(size_t n)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (n + page - 1) & ~(page - 1);
}

int edge_init(struct edge *e, size_t good, size_t bad, int prot)
{
	e->good = page_up(good);
	e->bad = page_up(bad);
	e->map = mmap(NULL, e->good + e->bad, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e->map == MAP_FAILED)
		return -errno;
	if (mprotect(e->map + e->good, e->bad, prot))
		return -errno;
	return 0;
}

void edge_free(struct edge *e)
{
	munmap(e->map, e->good + e->bad);
}

unsigned char *edge_at(struct edge *e, size_t n)
{
	return e->map + e->good - n;
}

int table_init(struct table *t, unsigned long npte)
{
	memset(t, 0, sizeof(*t));
	t->npte = npte;
	t->hpte = calloc(npte, sizeof(*t->hpte));
	t->seen = calloc(npte, sizeof(*t->seen));
	return t->hpte && t->seen ? 0 : -ENOMEM;
}

void table_free(struct table *t)
{
	free(t->hpte);
	free(t->seen);
	memset(t, 0, sizeof(*t));
}

void table_unsee(struct table *t)
{
	memset(t->seen, 0, t->npte * sizeof(*t->seen));
	t->n_valid = 0;
	t->n_invalid = 0;
}

void table_set(struct table *t, unsigned long index, struct hpte e)
{
	t->hpte[index] = e;
}

void table_set_run(struct table *t, unsigned long index, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		table_set(t, index + i, hpte_at(index + i));
}

unsigned long table_seen(struct table *t, unsigned long from, unsigned long to)
{
	unsigned long i, n = 0;

	for (i = from; i < to; i++)
		n += !!t->seen[i];
	return n;
}

unsigned long table_seen_once(struct table *t)
{
	unsigned long i, n = 0;

	for (i = 0; i < t->npte; i++)
		n += t->seen[i] == 1;
	return n;
}

static long bad_record(const char *what, size_t at,
		       const struct kvm_get_htab_header *h)
{
	fprintf(stderr, "# record at byte %zu: %s (index %u, %u + %u)\n",
		at, what, h->index, h->n_valid, h->n_invalid);
	return -EBADMSG;
}

static bool take_hpte(struct hpte *e, const unsigned char *p, bool *soft)
{
	__u64 words[2];
	struct hpte got;

	memcpy(words, p, sizeof(words));
	got.v = be64toh(words[0]);
	got.r = be64toh(words[1]);
	*soft = (got.v & HPTE_V_SOFT) || (got.r & HPTE_R_SOFT);
	e->v = got.v & ~HPTE_V_SOFT;
	e->r = got.r & ~HPTE_R_SOFT;
	return got.v & HPTE_V_VALID;
}

long table_apply(struct table *t, const void *buf, size_t len)
{
	struct kvm_get_htab_header h;
	const unsigned char *p = buf;
	size_t at = 0, size;
	unsigned int i;
	long n = 0;
	bool soft;

	while (at < len) {
		memset(&h, 0, sizeof(h));
		if (len - at < sizeof(h))
			return bad_record("header cut off", at, &h);
		memcpy(&h, p + at, sizeof(h));
		size = sizeof(h) + h.n_valid * HPTE_BYTES;
		if (len - at < size)
			return bad_record("HPTEs cut off", at, &h);
		if (!h.n_valid && !h.n_invalid)
			return bad_record("says nothing", at, &h);
		if ((unsigned long)h.index + h.n_valid + h.n_invalid > t->npte)
			return bad_record("past the end", at, &h);
		if (!at)
			t->first_index = h.index;

		for (i = 0; i < h.n_valid; i++) {
			if (!take_hpte(&t->hpte[h.index + i],
				       p + at + sizeof(h) + i * HPTE_BYTES,
				       &soft))
				return bad_record("V is clear", at, &h);
			t->soft_bits += soft;
			t->seen[h.index + i]++;
		}
		for (; i < (unsigned int)h.n_valid + h.n_invalid; i++) {
			memset(&t->hpte[h.index + i], 0, sizeof(struct hpte));
			t->seen[h.index + i]++;
		}
		t->n_valid += h.n_valid;
		t->n_invalid += h.n_invalid;
		n += h.n_valid + h.n_invalid;
		at += size;
	}
	return n;
}

/* Read into @buf and apply it; returns the result of read() */
static ssize_t read_into(struct table *t, int fd, void *buf, size_t size,
			 long *told)
{
	ssize_t n = read(fd, buf, size);
	long ret;

	if (n < 0)
		return -errno;
	ret = table_apply(t, buf, n);
	if (ret < 0)
		return ret;
	*told += ret;
	return n;
}

ssize_t table_read(struct table *t, int fd, size_t size)
{
	void *buf = malloc(size);
	long told = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = read_into(t, fd, buf, size, &told);
	free(buf);
	return n;
}

long table_drain(struct table *t, int fd, size_t size)
{
	void *buf = malloc(size);
	unsigned long i;
	long told = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	for (i = 0; i < MAX_READS; i++) {
		n = read_into(t, fd, buf, size, &told);
		if (n <= 0)
			break;
	}
	free(buf);
	if (i == MAX_READS)
		return -ELOOP;
	return n < 0 ? n : told;
}

unsigned long table_diff(struct table *want, struct table *got)
{
	unsigned long i, n = 0;

	for (i = 0; i < want->npte; i++) {
		if (want->hpte[i].v == got->hpte[i].v &&
		    want->hpte[i].r == got->hpte[i].r)
			continue;
		if (n++ < 5)
			fprintf(stderr,
				"# HPTE %lx: expected %016lx %016lx, got %016lx %016lx\n",
				i, want->hpte[i].v, want->hpte[i].r,
				got->hpte[i].v, got->hpte[i].r);
	}
	return n;
}
