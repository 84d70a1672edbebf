// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model and the interpreter of operations.
 *
 * Only some HPTEs of a table are ever used: a window of 128 in each eighth of
 * it, one of them around its end. So tables of any size cost the same, and
 * HPTEs are often close to each other.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/file.h>
#include <linux/slab.h>

#include "hpt.h"
#include "fake.h"
#include "model.h"

#define WINDOWS		8
#define WINDOW		128
#define SLOTS		(WINDOWS * WINDOW)
#define READERS		4
#define BUF_SIZE	(256 << 10)
#define CANARY		64
#define HDR		sizeof(struct kvm_get_htab_header)
#define UNKNOWN		(~0ull)

/**
 * struct slot - an HPTE as the guest sees it
 * @v: dword 0, 0 if there is none
 * @r: dword 1
 * @changed: when it was last changed
 */
struct slot {
	u64 v, r;
	unsigned int changed;
};

/**
 * struct reader - a reader, and its user
 * @fd: -1 if there is none
 * @bolted_only: as it was opened
 * @busy: in a call
 * @stale: it belongs to an HPT that is gone
 * @zeroed: the next thing it reports begins at 0
 * @v: the replica, 0 for no HPTE, UNKNOWN if it has to be reported
 * @r: the replica's dword 1
 * @may: the HPTE has changed, so it may be reported
 */
struct reader {
	int fd;
	bool bolted_only;
	bool busy;
	bool stale;
	bool zeroed;
	u64 v[SLOTS], r[SLOTS];
	bool may[SLOTS];
};

static struct {
	struct kvm *kvm;
	u64 nr;			/* HPTEs, 0 if there is no HPT */
	struct slot slot[SLOTS];
	struct reader reader[READERS];
	unsigned int now;
	const struct model_op *ops, *end;
	int within;		/* lock or copy at which others come in */
	unsigned int others;	/* how many operations that is */
	u32 writing;		/* order of the HPT when a write began */
	int ready;		/* mmu_ready when a write begins to apply */
	u64 valid, invalid;	/* what has been received */
} m;

/* One for each reader, since one may read while another one does */
static unsigned char bufs[READERS][BUF_SIZE + CANARY];

static void __printf(1, 2) wrong(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "model: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	abort();
}

/* Which HPTE is it? */
static u64 index_of(unsigned int slot)
{
	u64 first = slot / WINDOW * (m.nr / WINDOWS);

	return (first + slot % WINDOW - WINDOW / 2) & (m.nr - 1);
}

/* The slot of an HPTE, or of the next one that has a slot; SLOTS if none */
static unsigned int slot_from(u64 index)
{
	u64 size = m.nr / WINDOWS;
	u64 shifted = index + WINDOW / 2;
	unsigned int window = shifted / size;
	u64 offset = shifted % size;

	if (index >= m.nr)
		return SLOTS;
	if (offset < WINDOW)
		return window % WINDOWS * WINDOW + offset;
	return ++window % WINDOWS * WINDOW;
}

static int slot_of(u64 index)
{
	unsigned int slot = slot_from(index);

	return slot < SLOTS && index_of(slot) == index ? slot : -1;
}

/* The next HPTE with a slot, from this index on */
static u64 next_index(u64 index)
{
	u64 next = index_of(slot_from(index));

	return next < index ? m.nr : next;
}

static void changed(unsigned int slot)
{
	int i;

	m.slot[slot].changed = m.now;
	for (i = 0; i < READERS; i++)
		m.reader[i].may[slot] = true;
}

static void forget_all(void)
{
	unsigned int slot;

	for (slot = 0; slot < SLOTS; slot++) {
		m.slot[slot].v = 0;
		changed(slot);
	}
}

/* Did it change after the beginning of something? */
static bool meanwhile(unsigned int slot, unsigned int begin)
{
	return m.slot[slot].changed > begin;
}

void model_look(struct kvm *kvm, uint64_t index, uint64_t *v, uint64_t *r)
{
	__be64 *hpte = (__be64 *)kvm->arch.hpt.virt + 2 * index;

	*v = be64_to_cpu(hpte[0]);
	*r = be64_to_cpu(hpte[1]);
	if (*v & HPTE_V_HVLOCK)
		wrong("HPTE %lu is still locked", index);
	if (!(*v & (HPTE_V_VALID | HPTE_V_ABSENT))) {
		*v = 0;
		return;
	}
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		*v = (*v & ~(3ull << 62)) | (*r >> 58 & 3) << 62;
	if (!(*v & HPTE_V_VALID))
		*r = 0;
	*v = (*v & ~HPTE_V_ABSENT) | HPTE_V_VALID;
	*r = kvm->arch.hpt.rev[index].guest_rpte |
	     (*r & (HPTE_R_R | HPTE_R_C));
	*r &= ~BIT(62);
}

static void check_table(const char *after)
{
	unsigned int slot;
	u64 v, r;

	for (slot = 0; m.nr && slot < SLOTS; slot++) {
		model_look(m.kvm, index_of(slot), &v, &r);
		if (v != m.slot[slot].v || (v && r != m.slot[slot].r))
			wrong("after %s HPTE %lu is %lx %lx, should be %lx %lx",
			      after, index_of(slot), v, r, m.slot[slot].v,
			      m.slot[slot].r);
	}
}

/* HPTEs */

/* The page size of an HPTE, 0 if there is none like that */
static u64 page_size(u64 v, u64 r)
{
	unsigned int lp = r >> 12 & 0xff;

	if (!(v & HPTE_V_LARGE))
		return 4096;
	if ((lp & 15) == 1 || (lp & 15) == 7)
		return 65536;
	if (lp == 0 || lp == 8 || lp == 0x38)
		return 16 << 20;
	return lp == 3 ? 16ull << 30 : 0;
}

/* -EINVAL, or 1 if H_ENTER refuses it, 2 if only H_ENTER itself knows that */
static int refused(struct kvm *kvm, u64 v, u64 r)
{
	u64 size = page_size(v, r), gpa = (r & HPTE_R_RPN) & ~(size - 1);
	struct kvm_memory_slot *slot;
	unsigned int shift;
	bool there;

	if (!(v & HPTE_V_VALID) || !size)
		return -EINVAL;
	if (v >> 63)
		return 1;
	slot = gfn_to_memslot(kvm, gpa >> PAGE_SHIFT);
	if (!slot)
		return 0;
	there = __find_linux_pte(NULL, gfn_to_hva_memslot(slot, gpa >>
							  PAGE_SHIFT),
				 NULL, &shift);
	if (size > PAGE_SIZE &&
	    (slot->base_gfn % (size >> PAGE_SHIFT) ||
	     slot->npages % (size >> PAGE_SHIFT) ||
	     (there && (!shift || 1ull << shift < size))))
		return 1;
	return there && (r & HPTE_R_W) ? 2 : 0;
}

/* An HPTE out of 32 bits, more often than not one that can be entered */
static void make_hpte(u32 arg, u64 *v, u64 *r)
{
	static const u64 memory[] = {
		FAKE_RAM, FAKE_RAM, FAKE_RAM, FAKE_RAM, FAKE_HUGE, FAKE_HUGE,
		FAKE_ODD, FAKE_MMIO,
	};
	static const u8 lp[] = { 0x00, 0x01, 0x08, 0x38, 0x07, 0x02 };
	unsigned int size = arg >> 10 & 15;
	u64 page = arg >> 17 & 31;

	*v = HPTE_V_VALID | (u64)(arg >> 2 & 31) << HPTE_V_AVPN_SHIFT;
	if (arg & 1)
		*v |= HPTE_V_BOLTED;
	if (arg & 2)
		*v |= HPTE_V_1TB_SEG;
	if (!(arg >> 7 & 7))
		*v |= HPTE_V_HVLOCK | HPTE_V_ABSENT | HPTE_V_SECONDARY |
		      HPTE_V_LOCK;
	*r = memory[arg >> 14 & 7] + (page << PAGE_SHIFT) + HPTE_R_M;
	if (size < 6) {
		*v |= HPTE_V_LARGE;
		if (size == 0 || size == 2 || size == 3)
			*r = (memory[arg >> 14 & 7] & ~0xfffffful) +
			     ((page & 3) << 24) + HPTE_R_M;
		*r |= (u64)lp[size] << 12;
	}
	*r |= arg >> 22 & HPTE_R_PP;
	if (arg >> 24 & 3)
		*r |= HPTE_R_R;
	if (arg >> 26 & 3)
		*r |= HPTE_R_C;
	switch (arg >> 28) {
	case 0:
		*r |= HPTE_R_W;
		break;
	case 1:
		*r |= BIT(62);
		break;
	case 2:
		*v |= BIT(63);
		break;
	case 3:
		*r |= HPTE_R_PP0;
		break;
	case 4:
		*v = HPTE_V_VALID | HPTE_V_1TB_SEG | VRMA_VSID << 24;
		break;
	case 5:
		/* More of a virtual and of a real address than v3.0 has */
		*v |= 0x3ull << 52;
		*r |= 0x5ull << 57;
		break;
	}
}

void model_entered(uint64_t *v, uint64_t *r)
{
	*v = (*v & ~(HPTE_V_HVLOCK | HPTE_V_ABSENT)) | HPTE_V_VALID;
	if (cpu_has_feature(CPU_FTR_ARCH_300))
		*v &= ~(0x3ffull << 52);
	*r &= ~BIT(62);
}

static void entered(unsigned int slot, u64 v, u64 r)
{
	model_entered(&v, &r);
	m.slot[slot].v = v;
	m.slot[slot].r = r;
	changed(slot);
}

static void removed(unsigned int slot)
{
	if (!m.slot[slot].v)
		return;
	m.slot[slot].v = 0;
	changed(slot);
}

/* What the guest, hardware and the host do */

static void enter(unsigned int slot, u64 v, u64 r)
{
	long ret = fake_h_enter(m.kvm, index_of(slot), v, r);
	int no = refused(m.kvm, v | HPTE_V_VALID, r);

	if (ret != (no ? H_PARAMETER : m.slot[slot].v ? H_PTEG_FULL : 0))
		wrong("H_ENTER returns %ld", ret);
	if (!ret)
		entered(slot, v, r);
}

static void op_enter(const struct model_op *op)
{
	u64 v, r;

	make_hpte(op->arg, &v, &r);
	enter(op->where % SLOTS, v, r);
}

/* Up to 32 in a row in which hardware has nothing to set */
static void op_enter_run(const struct model_op *op)
{
	unsigned int slot = op->where % SLOTS, n = op->arg % 32;
	u64 r = (u64)(op->arg >> 8 & 255) << PAGE_SHIFT;

	r |= HPTE_R_M | HPTE_R_R | HPTE_R_C;
	for (; n && slot < SLOTS; n--)
		enter(slot++, HPTE_V_VALID | (op->who & HPTE_V_BOLTED), r);
}

static void op_remove(const struct model_op *op)
{
	unsigned int slot = op->where % SLOTS, n = op->arg % 16 + 1;

	for (; n && slot < SLOTS; n--, slot++) {
		fake_h_remove(m.kvm, index_of(slot));
		removed(slot);
	}
}

static void op_protect(const struct model_op *op)
{
	u64 flags = HPTE_R_PP0 | HPTE_R_PP | HPTE_R_N | HPTE_R_KEY;
	struct slot *slot = &m.slot[op->where % SLOTS];
	u64 to = op->arg & flags;

	if (op->who & 1)
		to |= HPTE_R_PP0;
	fake_h_protect(m.kvm, index_of(op->where % SLOTS), to);
	if (!slot->v)
		return;
	slot->r = (slot->r & ~flags) | to;
	changed(op->where % SLOTS);
}

static void op_clear(const struct model_op *op)
{
	struct slot *slot = &m.slot[op->where % SLOTS];
	u64 bit = op->who & 1 ? HPTE_R_C : HPTE_R_R;

	if (op->who & 1)
		fake_h_clear_mod(m.kvm, index_of(op->where % SLOTS));
	else
		fake_h_clear_ref(m.kvm, index_of(op->where % SLOTS));
	if (!slot->v || !(slot->r & bit))
		return;
	slot->r &= ~bit;
	changed(op->where % SLOTS);
}

static void op_hardware(const struct model_op *op)
{
	unsigned int slot = op->where % SLOTS;
	u64 set = fake_hw_access(m.kvm, index_of(slot), op->who & 1);

	if (set & ~m.slot[slot].r) {
		m.slot[slot].r |= set;
		changed(slot);
	}
}

/* The host does this and that, which the guest does not see */
static void op_host(const struct model_op *op)
{
	u64 index = index_of(op->where % SLOTS);

	switch (op->who % 5) {
	case 0:
		fake_map(m.kvm, index);
		break;
	case 1:
		fake_unmap(m.kvm, index);
		break;
	case 2:
		fake_age(m.kvm, index);
		break;
	case 3:
		fake_clean(m.kvm, index);
		break;
	case 4:
		fake_host_page((op->where & 1 ? FAKE_HUGE : FAKE_RAM) +
			       ((u64)(op->arg & 31) << PAGE_SHIFT),
			       op->arg & 32);
		break;
	}
}

static struct kvm_hpt_reader *inside(const struct reader *reader)
{
	struct kvm_hpt_fd *fd = shim_file(reader->fd)->private_data;

	return &fd->reader;
}

static bool attached(const struct reader *reader)
{
	return reader->fd >= 0 &&
	       inside(reader)->state == HPT_READER_ATTACHED;
}

/* The HPT is about to go */
static void all_stale(void)
{
	int i;

	for (i = 0; i < READERS; i++)
		if (attached(&m.reader[i]))
			m.reader[i].stale = true;
}

static void op_allocate(const struct model_op *op)
{
	static const u32 orders[] = { 18, 18, 18, 18, 18, 19, 21, 27 };
	u32 order = orders[op->arg % ARRAY_SIZE(orders)];
	int i;

	if (m.kvm->arch.radix)
		fake_switch_to_hash(m.kvm);
	if (m.nr && op->who & 1)
		order = m.kvm->arch.hpt.order;
	if (m.writing)
		order = m.writing;
	if (m.nr && m.kvm->arch.hpt.order == order) {
		for (i = 0; i < READERS; i++)
			m.reader[i].zeroed = attached(&m.reader[i]);
	} else {
		all_stale();
	}
	if (fake_allocate_hpt(m.kvm, order))
		wrong("no memory for an HPT");
	m.nr = 1ull << (order - 4);
	m.now++;
	forget_all();
}

static void op_resize(const struct model_op *op)
{
	unsigned int slot;

	all_stale();
	if (fake_resize_hpt(m.kvm, m.kvm->arch.hpt.order))
		wrong("no memory for an HPT");
	m.now++;
	for (slot = 0; slot < SLOTS; slot++)
		changed(slot);
	check_table("a resize");
}

static void op_radix(const struct model_op *op)
{
	all_stale();
	fake_switch_to_radix(m.kvm);
	m.nr = 0;
	forget_all();
}

/* Files */

static void come_in(void);

/* Let go wrong what is to go wrong. Return where user memory ends. */
static size_t prepare(u16 where, size_t size)
{
	unsigned int kind = where % MISHAP_KINDS, n = where / MISHAP_KINDS;

	m.others = 0;
	shim_allocs();
	switch (kind) {
	case MISHAP_FAULT:
		/* Where there is little to read it is near the beginning */
		return n / 2 % (min(size, n % 2 ? 64ul : size) + 1);
	case MISHAP_KILL:
		shim_kill_at = 1 + n % 8;
		break;
	case MISHAP_NO_MEMORY:
	case MISHAP_NO_MEMORY_LONG:
		shim_fail_alloc_at = 1 + n % 8;
		shim_fail_allocs = kind == MISHAP_NO_MEMORY ? 1 : -1u;
		break;
	case MISHAP_INTERLEAVE ... MISHAP_INTERLEAVE_LAST:
		m.within = kind - MISHAP_INTERLEAVE;
		m.others = 1 + n % 4;
		shim_interleave = come_in;
		break;
	}
	return size;
}

static void prepared_no_more(void)
{
	shim_kill_at = 0;
	shim_fail_alloc_at = 0;
	shim_interleave = NULL;
}

/* May the call return this error, which has to do with what went wrong? */
static bool mishap(u16 where, ssize_t ret)
{
	switch (where % MISHAP_KINDS) {
	case MISHAP_FAULT:
		return ret == -EFAULT;
	case MISHAP_KILL:
		return ret == -EINTR && !shim_kill_at;
	case MISHAP_NO_MEMORY:
	case MISHAP_NO_MEMORY_LONG:
		return ret == -ENOMEM;
	}
	return false;
}

static bool interleaved(u16 where)
{
	return where % MISHAP_KINDS >= MISHAP_INTERLEAVE &&
	       where % MISHAP_KINDS <= MISHAP_INTERLEAVE_LAST;
}

/* The guest's word, as the last harvest has left it */
static u64 known(unsigned int slot)
{
	return m.kvm->arch.hpt.rev[index_of(slot)].guest_rpte;
}

/* Is there a change of which no reader knows yet, from before one opened? */
static bool pending(unsigned int slot)
{
	return (known(slot) & HPTE_GR_MODIFIED) ||
	       (m.slot[slot].r & ~known(slot));
}

static bool shown(const struct reader *reader, const struct slot *slot)
{
	return slot->v && (!reader->bolted_only || (slot->v & HPTE_V_BOLTED));
}

static void op_open(const struct model_op *op)
{
	struct reader *reader = &m.reader[op->who % READERS];
	u64 start = 0;
	unsigned int slot;
	int fd;

	if (reader->fd >= 0)
		return;
	if (op->arg & 2)
		start = m.nr ? index_of(op->arg >> 8 & (SLOTS - 1)) : op->arg;
	if ((op->arg & 0xfc) == 0xfc)
		start += m.nr;
	prepare(op->where, 0);
	if (!interleaved(op->where))
		shim_fail_file_at = op->arg >> 24 == 1 ? 1 + op->arg % 2 : 0;
	shim_interleave = NULL;
	fd = fake_open(m.kvm, op->arg & 1 ? KVM_GET_HTAB_BOLTED_ONLY : 0,
		       start);
	if (fd < 0 && !mishap(op->where, fd) &&
	    !(fd == -EINVAL && m.nr && start >= m.nr) &&
	    !((fd == -EMFILE || fd == -ENFILE) && op->arg >> 24 == 1))
		wrong("open returns %d", fd);
	if (fd >= 0 && m.nr && start >= m.nr)
		wrong("open takes the start index %lu", start);
	shim_fail_file_at = 0;
	prepared_no_more();
	if (fd < 0)
		return;
	*reader = (struct reader) {
		.fd = fd,
		.bolted_only = op->arg & 1,
	};
	for (slot = 0; slot < SLOTS; slot++) {
		if (m.nr && index_of(slot) < start) {
			reader->v[slot] = shown(reader, &m.slot[slot]) ?
				m.slot[slot].v : 0;
			/* R and C as anybody can have been told of so far */
			reader->r[slot] = m.slot[slot].r & known(slot);
			reader->may[slot] = pending(slot);
		} else {
			reader->v[slot] = UNKNOWN;
			reader->may[slot] = true;
		}
	}
}

static void op_close(const struct model_op *op)
{
	struct reader *reader = &m.reader[op->who % READERS];

	if (reader->fd < 0 || reader->busy)
		return;
	shim_close(reader->fd);
	reader->fd = -1;
}

/* One HPTE was reported, with v 0 if as invalid */
static void report(struct reader *reader, u64 index, u64 v, u64 r, bool strict,
		   unsigned int begin)
{
	int i = slot_of(index);
	struct slot *slot = &m.slot[i];

	if (i < 0) {
		if (v)
			wrong("HPTE %lu was never entered", index);
		if (strict)
			wrong("HPTE %lu has not changed", index);
		return;
	}
	if (strict && !reader->may[i])
		wrong("HPTE %lu has not changed since it was reported", index);
	if (!meanwhile(i, begin) &&
	    (v != (shown(reader, slot) ? slot->v : 0) || (v && r != slot->r)))
		wrong("HPTE %lu is reported as %lx %lx, should be %lx %lx",
		      index, v, r, slot->v, slot->r);
	reader->v[i] = v;
	reader->r[i] = r;
	reader->may[i] = meanwhile(i, begin);
}

/* Take in what a read has returned */
static void receive(struct reader *reader, const unsigned char *buf, size_t len,
		    u64 nr, bool strict, unsigned int begin)
{
	struct kvm_get_htab_header hdr;
	u64 index, end;
	__be64 hpte[2];
	size_t pos = 0;

	while (pos < len) {
		if (len - pos < HDR)
			wrong("half a header");
		memcpy(&hdr, buf + pos, HDR);
		pos += HDR;
		if (len - pos < hdr.n_valid * sizeof(hpte))
			wrong("half a record");
		index = hdr.index;
		end = index + hdr.n_valid + hdr.n_invalid;
		if (end > nr || end == index)
			wrong("record of %lu to %lu", index, end);
		if (reader->zeroed && index)
			wrong("begins at %lu after a reset", index);
		reader->zeroed = false;
		m.valid += hdr.n_valid;
		m.invalid += hdr.n_invalid;
		for (; hdr.n_valid--; index++, pos += sizeof(hpte)) {
			memcpy(hpte, buf + pos, sizeof(hpte));
			if (!be64_to_cpu(hpte[0]))
				wrong("HPTE %lu has no V", index);
			report(reader, index, be64_to_cpu(hpte[0]),
			       be64_to_cpu(hpte[1]), strict, begin);
		}
		if (strict) {
			for (; index < end; index++)
				report(reader, index, 0, 0, true, begin);
		} else {
			for (index = next_index(index); index < end;
			     index = next_index(index + 1))
				report(reader, index, 0, 0, false, begin);
		}
	}
}

/* The reader was told that nothing is left to report */
static void check_replica(const struct reader *reader, unsigned int begin)
{
	unsigned int i;
	u64 v;

	for (i = 0; i < SLOTS; i++) {
		if (meanwhile(i, begin))
			continue;
		v = shown(reader, &m.slot[i]) ? m.slot[i].v : 0;
		if (reader->v[i] != v || (v && reader->r[i] != m.slot[i].r))
			wrong("0 with HPTE %lu known as %lx %lx, it is %lx %lx",
			      index_of(i), reader->v[i], reader->r[i], v,
			      m.slot[i].r);
	}
}

static ssize_t read_some(struct reader *reader, size_t size, u16 where)
{
	unsigned char *buf = bufs[reader - m.reader];
	struct kvm_hpt_reader *in = inside(reader);
	unsigned int begin = m.now, restarts = in->restarts, i;
	bool stale = reader->stale, zeroed = reader->zeroed;
	u64 nr = m.nr;
	bool strict;
	size_t end;
	ssize_t ret;

	strict = in->state == HPT_READER_ATTACHED && !in->first_pass;
	memset(buf + size, 0xa5, CANARY);
	end = prepare(where, size);
	reader->busy = true;
	ret = fake_read(reader->fd, buf, size, end);
	reader->busy = false;
	strict = strict && in->restarts == restarts;
	/* If it began again while it was read, who knows at which record */
	reader->zeroed &= zeroed;
	for (i = 0; i < CANARY; i++)
		if (buf[size + i] != 0xa5)
			wrong("%u bytes are written beyond", i + 1);
	if (ret < 0 && !mishap(where, ret) &&
	    !(ret == -EINVAL && size < HPT_RECORD_MIN) &&
	    !(ret == -ESTALE && reader->stale))
		wrong("read returns %zd", ret);
	if (ret >= 0 && size && size < HPT_RECORD_MIN)
		wrong("read of %zu bytes returns %zd", size, ret);
	if (ret > (ssize_t)end || (ret >= 0 && stale && size))
		wrong("read of %zu bytes returns %zd", size, ret);
	if (reader->stale || !size || ret < 0)
		goto out;
	if (ret)
		receive(reader, buf, ret, m.nr, strict, begin);
	else if (nr && m.nr)
		check_replica(reader, begin);
out:
	prepared_no_more();
	return ret;
}

static void op_read(const struct model_op *op)
{
	struct reader *reader = &m.reader[op->who % READERS];
	size_t size;

	if (reader->fd < 0 || reader->busy)
		return;
	switch (op->arg & 7) {
	case 0:
		size = HPT_RECORD_MIN;
		break;
	case 1:
		size = op->arg >> 3 & 31;
		break;
	case 2:
	case 3:
		size = HPT_RECORD_MIN + (op->arg >> 3 & 255);
		break;
	case 7:
		size = HPT_RECORD_MIN + (op->arg >> 3) % (BUF_SIZE - 32);
		break;
	default:
		size = 2048;
		break;
	}
	read_some(reader, size, op->where);
}

static void op_drain(const struct model_op *op)
{
	struct reader *reader = &m.reader[op->who % READERS];
	size_t size = HPT_RECORD_MIN + (op->arg & 4095);

	if (reader->fd < 0 || reader->busy)
		return;
	while (read_some(reader, size, MISHAP_KINDS - 1) > 0)
		;
}

/*
 * What is left as the file has it, and as it is then read. poll() says whether
 * anything is.
 */
static void op_progress(const struct model_op *op)
{
	struct reader *reader = &m.reader[op->who % READERS];
	struct kvm_ppc_htab_progress count, bound, is = { };
	struct kvm_hpt_reader *in;
	bool first, none, polled, unseen, any;
	ssize_t ret;

	if (reader->fd < 0 || reader->busy)
		return;
	in = inside(reader);
	none = in->state == HPT_READER_NONE;
	polled = fake_poll(reader->fd) & EPOLLIN;
	unseen = in->unseen;
	if (fake_progress(reader->fd, KVM_PPC_HTAB_PROGRESS_COUNT, &count) ||
	    fake_progress(reader->fd, 0, &bound))
		wrong("progress returns an error");
	/* Only a read lets a reader meet an HPT */
	if (count.state != (reader->stale ? KVM_PPC_HTAB_STATE_STALE :
			    none ? KVM_PPC_HTAB_STATE_NONE :
			    KVM_PPC_HTAB_STATE_CURRENT))
		wrong("the state is %u", count.state);
	if (none && polled != !!m.nr)
		wrong("poll says %d before the first read", polled);
	/* Without an HPT nothing is known of what is left */
	if (count.state != KVM_PPC_HTAB_STATE_CURRENT) {
		if (~(count.first_hptes & count.first_bytes &
		      count.changed_hptes & count.changed_bytes))
			wrong("something is left without an HPT");
		return;
	}
	do {
		first = in->first_pass;
		m.valid = 0;
		m.invalid = 0;
		ret = read_some(reader, BUF_SIZE, MISHAP_KINDS - 1);
		if (ret > 0 && first) {
			is.first_hptes += m.valid;
			is.first_bytes += ret;
		} else if (ret > 0) {
			is.changed_hptes += m.valid + m.invalid;
			is.changed_bytes += ret;
		}
	} while (ret > 0);
	any = ret || is.first_bytes || is.changed_bytes;
	/* What it has not looked at may have changed; then it is worth a read */
	if (any != polled && !(polled && unseen))
		wrong("there is something to read: %d, says poll: %d", any,
		      polled);
	if (is.changed_hptes != count.changed_hptes ||
	    is.changed_hptes != bound.changed_hptes)
		wrong("%lu changes were reported, not %lu or %lu",
		      (u64)is.changed_hptes, (u64)count.changed_hptes,
		      (u64)bound.changed_hptes);
	if (is.first_hptes != count.first_hptes ||
	    is.first_bytes != count.first_bytes)
		wrong("%lu HPTEs, %lu bytes were left, not %lu, %lu",
		      (u64)is.first_hptes, (u64)is.first_bytes,
		      (u64)count.first_hptes, (u64)count.first_bytes);
	/* A record may be cut where a later pass has begun */
	if (is.changed_bytes != count.changed_bytes &&
	    is.changed_bytes != count.changed_bytes + HDR)
		wrong("%lu bytes of changes were reported, not %lu",
		      (u64)is.changed_bytes, (u64)count.changed_bytes);
	if (bound.first_hptes < is.first_hptes ||
	    bound.first_bytes < is.first_bytes)
		wrong("%lu HPTEs, %lu bytes were left, not %lu, %lu at most",
		      (u64)is.first_hptes, (u64)is.first_bytes,
		      (u64)bound.first_hptes, (u64)bound.first_bytes);
}

/* Writing */

#define STREAM_RECORDS	4
#define STREAM_HPTES	24
#define STREAM_SIZE	(STREAM_RECORDS * (HDR + STREAM_HPTES * HPT_STREAM_HPTE))

static u32 random32(u64 *state)
{
	*state = *state * 6364136223846793005 + 1442695040888963407;
	return *state >> 32;
}

/* Some records, most of them good. Return how long they are. */
static size_t make_stream(u64 seed, unsigned char *buf)
{
	struct kvm_get_htab_header hdr;
	size_t pos = 0;
	u64 v, r;
	u32 chance, slot;
	__be64 hpte[2];
	int records, i;

	for (records = random32(&seed) % STREAM_RECORDS + 1; records;
	     records--) {
		chance = random32(&seed);
		slot = random32(&seed) % SLOTS;
		hdr = (struct kvm_get_htab_header) {
			.index = m.nr ? index_of(slot) : 0,
			.n_valid = min(chance % STREAM_HPTES,
				       WINDOW - slot % WINDOW),
			.n_invalid = chance >> 8 & 15,
		};
		if (!(chance >> 16 & 7))
			hdr.n_valid = 0;
		if (!(chance >> 19 & 15))
			hdr.n_invalid = random32(&seed);
		if (!(chance >> 23 & 63))
			hdr.index = random32(&seed) | 1u << 31;
		memcpy(buf + pos, &hdr, HDR);
		pos += HDR;
		for (i = 0; i < hdr.n_valid; i++) {
			make_hpte(random32(&seed) | 6u << 28, &v, &r);
			if (random32(&seed) % 32)
				v &= ~HPTE_V_LARGE;
			else
				make_hpte(random32(&seed), &v, &r);
			if (!(random32(&seed) % 512))
				v &= ~HPTE_V_VALID;
			hpte[0] = cpu_to_be64(v);
			hpte[1] = cpu_to_be64(r);
			memcpy(buf + pos, hpte, sizeof(hpte));
			pos += sizeof(hpte);
		}
	}
	if (random32(&seed) % 4 == 0)
		pos -= random32(&seed) % pos;
	return pos;
}

int model_judge(struct kvm *kvm, const void *rec, size_t len, size_t *bytes)
{
	u64 nr = 1ull << (kvm->arch.hpt.order - 4);
	struct kvm_get_htab_header hdr;
	__be64 hpte[2];
	int i, no, err = 0;

	if (len < HDR)
		return -ENODATA;
	memcpy(&hdr, rec, HDR);
	*bytes = HDR + hdr.n_valid * sizeof(hpte);
	if (hdr.index >= nr ||
	    (u64)hdr.index + hdr.n_valid + hdr.n_invalid > nr)
		return -EINVAL;
	if (len < *bytes)
		return -ENODATA;
	for (i = 0; i < hdr.n_valid; i++) {
		memcpy(hpte, rec + HDR + i * sizeof(hpte), sizeof(hpte));
		no = refused(kvm, be64_to_cpu(hpte[0]), be64_to_cpu(hpte[1]));
		if (no == -EINVAL)
			return no;
		if (no == 1)
			return -EIO;
		if (no)
			err = -EIO;
	}
	return err;
}

/*
 * Do in the model what a good record does, or what one does that is undone.
 * Return whether it makes the MMU ready.
 */
static bool apply(const unsigned char *rec, bool undone)
{
	struct kvm_get_htab_header hdr;
	u64 index, end, v;
	bool vrma = false;
	__be64 hpte[2];
	int i, slot;

	memcpy(&hdr, rec, HDR);
	for (i = 0; i < hdr.n_valid; i++) {
		memcpy(hpte, rec + HDR + i * sizeof(hpte), sizeof(hpte));
		slot = slot_of(hdr.index + i);
		v = be64_to_cpu(hpte[0]);
		if (undone) {
			if (slot >= 0)
				changed(slot);
			continue;
		}
		if (slot < 0)
			wrong("the test enters an HPTE that is none of its own");
		entered(slot, v, be64_to_cpu(hpte[1]));
		if (v >> 24 == (HPTE_V_1TB_SEG >> 24 | VRMA_VSID))
			vrma = true;
	}
	if (undone)
		return false;
	index = hdr.index + hdr.n_valid;
	end = index + hdr.n_invalid;
	for (index = next_index(index); index < end;
	     index = next_index(index + 1))
		removed(slot_of(index));
	return vrma;
}

static void check_write(const unsigned char *buf, size_t size, size_t there,
			u16 where, bool running, int ready, ssize_t ret)
{
	size_t pos = 0, bytes;
	int err = 0;

	if (!m.nr)
		err = -EINVAL;
	else if (running && ready)
		err = -EBUSY;
	if (err && there >= HDR && ret != err && !mishap(where, ret))
		wrong("write returns %zd, should be %d", ret, err);
	if (err || (ret < 0 && mishap(where, ret) && ret != -EFAULT))
		return;

	while (pos < there && !err) {
		err = model_judge(m.kvm, buf + pos, there - pos, &bytes);
		if (err == -EIO)
			apply(buf + pos, true);
		if (err)
			break;
		if (where % MISHAP_KINDS == MISHAP_KILL && !shim_kill_at &&
		    ret == pos)
			break;
		/* The MMU is ready since a record before, so vcpus may run */
		if (running && ready && pos && ret == pos)
			break;
		if (apply(buf + pos, false))
			ready = 1;
		pos += bytes;
	}
	if (m.kvm->arch.mmu_ready != ready)
		wrong("mmu_ready is %d after a write",
		      m.kvm->arch.mmu_ready);
	if (err == -ENODATA || (!err && there < size))
		err = there < size ? -EFAULT : -EINVAL;
	if (ret != (pos ? (ssize_t)pos : err))
		wrong("write of %zu bytes, %zu of them there, returns %zd, should be %zd",
		      size, there, ret, pos ? (ssize_t)pos : err);
}

static void op_write(const struct model_op *op)
{
	unsigned char stream[STREAM_SIZE] __aligned(8);
	size_t size = make_stream(op->arg, stream), end;
	struct kvm_arch *arch = &m.kvm->arch;
	u32 was_writing = m.writing;
	bool was_running = atomic_read(&arch->vcpus_running);
	bool running = was_running || (op->who & 7) == 7;
	int fd = fake_open(m.kvm, KVM_GET_HTAB_WRITE, 0);
	ssize_t ret;

	if (op->who & 8)
		arch->mmu_ready = !!m.nr;
	end = prepare(op->where, size);
	/* Others may come in before it takes mmu_setup_lock, not after that */
	m.within = min(m.within, 2);
	m.ready = arch->mmu_ready;
	if (!was_writing && m.nr)
		m.writing = arch->hpt.order;
	atomic_set(&arch->vcpus_running, running);
	ret = fake_write(fd, stream, size, end);
	atomic_set(&arch->vcpus_running, was_running);
	m.writing = was_writing;
	check_write(stream, size, end, op->where, running, m.ready, ret);
	prepared_no_more();
	shim_close(fd);
	check_table("a write");
}

static const struct {
	const char *name;
	void (*run)(const struct model_op *op);
	unsigned int share;	/* of 1024 random ones */
	bool needs_hpt;
	bool mishaps;
} codes[] = {
	{ "enter", op_enter, 140, .needs_hpt = true },
	{ "enter_run", op_enter_run, 60, .needs_hpt = true },
	{ "remove", op_remove, 70, .needs_hpt = true },
	{ "protect", op_protect, 50, .needs_hpt = true },
	{ "clear", op_clear, 60, .needs_hpt = true },
	{ "hardware", op_hardware, 90, .needs_hpt = true },
	{ "host", op_host, 80, .needs_hpt = true },
	{ "allocate", op_allocate, 8 },
	{ "resize", op_resize, 2, .needs_hpt = true },
	{ "radix", op_radix, 2 },
	{ "open", op_open, 40, .mishaps = true },
	{ "close", op_close, 16 },
	{ "read", op_read, 310, .mishaps = true },
	{ "drain", op_drain, 26 },
	{ "write", op_write, 60, .mishaps = true },
	{ "progress", op_progress, 10 },
};

void model_random(uint64_t seed, struct model_op *ops, size_t nr)
{
	unsigned int focus = random32(&seed), code, i;
	int share;

	for (i = 0; i < nr; i++) {
		share = random32(&seed) % 1024;
		for (code = 0; code < ARRAY_SIZE(codes) - 1; code++) {
			share -= codes[code].share;
			if (share < 0)
				break;
		}
		ops[i] = (struct model_op) {
			.code = code,
			.who = random32(&seed),
			.where = random32(&seed),
			.arg = random32(&seed),
		};
		/* Most of it happens in a few groups */
		if (!codes[code].mishaps && random32(&seed) % 4)
			ops[i].where = focus + ops[i].where % 24;
		/* A first pass may begin among them */
		if (codes[code].run == op_open && random32(&seed) % 2)
			ops[i].arg = (ops[i].arg & 0xff0000ff) |
				     (focus + ops[i].where % 24) % SLOTS << 8;
	}
}

static void one_op(void)
{
	const struct model_op *op = m.ops++;
	unsigned int code = op->code % ARRAY_SIZE(codes);

	m.now++;
	if (m.nr || !codes[code].needs_hpt)
		codes[code].run(op);
}

static void come_in(void)
{
	if (m.within--)
		return;
	shim_interleave = NULL;
	while (m.others-- && m.ops < m.end)
		one_op();
	prepared_no_more();
	m.others = 0;
	m.ready = m.kvm->arch.mmu_ready;
}

void model_run(const struct model_op *ops, size_t nr)
{
	long allocs = shim_live_allocs();
	struct model_op last = { };
	unsigned int i;

	if (!nr)
		return;
	memset(&m, 0, sizeof(m));
	for (i = 0; i < READERS; i++)
		m.reader[i].fd = -1;
	cpu_features = CPU_FTR_ARCH_206;
	if (ops->who & 1)
		cpu_features |= CPU_FTR_ARCH_300;
	m.kvm = fake_vm();
	if (!(ops->who & 2) || ops->who & 4)
		op_allocate(&(struct model_op) { .arg = ops->arg });
	m.ops = ops + 1;
	m.end = ops + nr;
	while (m.ops < m.end)
		one_op();

	m.now++;
	check_table("all of it");
	for (i = 0; i < READERS; i++) {
		last.who = i;
		last.arg = 2048;
		op_drain(&last);
		op_close(&last);
	}
	fake_vm_free(m.kvm);
	if (shim_live_allocs() != allocs)
		wrong("%ld allocations are not freed",
		      shim_live_allocs() - allocs);
}

void model_print(const struct model_op *ops, size_t nr)
{
	static const char *const mishaps[] = {
		"fault", "kill", "no memory once", "no memory",
		"what follows within", "what follows within",
		"what follows within", "what follows within",
	};
	size_t i;

	for (i = 0; i < nr; i++) {
		unsigned int code = ops[i].code % ARRAY_SIZE(codes);
		unsigned int kind = ops[i].where % MISHAP_KINDS;

		unsigned int arg = ops[i].arg;

		printf("#   { %3u, %3u, 0x%04x, 0x%08x },\t/* ", ops[i].code,
		       ops[i].who, ops[i].where, arg);
		if (!i)
			printf("begin, ISA v%s", ops->who & 1 ? "3.0" : "2.07");
		else
			printf("%s", codes[code].name);
		if (i && codes[code].mishaps && kind < ARRAY_SIZE(mishaps))
			printf(", %s", mishaps[kind]);
		printf(" */\n");
	}
}
