// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model and the interpreter of operations.
 *
 * Only some HPTEs of a table are ever used: a window of 128 in each eighth of
 * the table; the first window wraps around its end. So tables of any size take
 * the same time, and HPTEs are often close to each other.
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
#include "stream.h"

#define WINDOWS		8
#define WINDOW		128
#define SLOTS		(WINDOWS * WINDOW)
#define READERS		4
#define BUF_SIZE	(256 << 10)
#define CANARY		64
#define HDR		sizeof(struct kvm_get_htab_header)
#define UNKNOWN		(~0ull)

/**
 * struct slot - the guest's view of an HPTE
 * @v: dword 0, or 0 if the slot is empty
 * @r: dword 1
 * @changed: when it was last changed
 */
struct slot {
	u64 v, r;
	unsigned int changed;
};

/**
 * struct reader - a reader and its replica
 * @fd: -1 if the reader is not open
 * @bolted_only: opened with KVM_GET_HTAB_BOLTED_ONLY
 * @busy: a call is in progress
 * @stale: the reader's HPT is gone
 * @zeroed: the next record has to begin at 0
 * @v: the replica's dword 0, 0 for no HPTE, UNKNOWN if not yet reported
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
	u64 nr;			/* number of HPTEs, 0 without HPT */
	struct slot slot[SLOTS];
	struct reader reader[READERS];
	unsigned int now;
	const struct model_op *ops, *end;
	int within;		/* lock or copy before which others run */
	unsigned int others;	/* number of operations that run then */
	u32 writing;		/* order of the HPT when a write began */
	int ready;		/* mmu_ready when a write begins to apply */
	u64 valid, invalid;	/* HPTEs that reads have returned */
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

/* The index of the HPTE in a slot */
static u64 index_of(unsigned int slot)
{
	u64 first = slot / WINDOW * (m.nr / WINDOWS);

	return (first + slot % WINDOW - WINDOW / 2) & (m.nr - 1);
}

/* The slot of the first HPTE from @index on that has one, or SLOTS */
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

/* The index of the first HPTE from @index on that has a slot */
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

/* Has the HPTE changed since @begin? */
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

/* The page size of an HPTE, or 0 if the encoding is undefined */
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

/*
 * -EINVAL for a bad HPTE, 1 if a check finds that H_ENTER would refuse it, 2 if
 * only H_ENTER finds out, else 0
 */
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

/* Make an HPTE from 32 bits; most of them can be entered */
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
		/* Address bits that v3.0 does not have */
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

/* Operations of the guest, hardware and the host */

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

/* Enter up to 31 HPTEs in a row, with R and C set */
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

/* Operations of the host do not change the guest's view */
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

/* The HPT is about to be replaced or freed */
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
		wrong("an HPT cannot be allocated");
	m.nr = 1ull << (order - 4);
	m.now++;
	forget_all();
}

static void op_resize(const struct model_op *op)
{
	unsigned int slot;

	all_stale();
	if (fake_resize_hpt(m.kvm, m.kvm->arch.hpt.order))
		wrong("an HPT cannot be allocated");
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

/* Prepare the mishap that @where selects. Returns where user memory ends. */
static size_t prepare(u16 where, size_t size)
{
	unsigned int kind = where % MISHAP_KINDS, n = where / MISHAP_KINDS;

	m.others = 0;
	shim_allocs();
	switch (kind) {
	case MISHAP_FAULT:
		/* Half of them near the beginning, for short reads */
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

/* Is @ret an error that the mishap can cause? */
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

/* The reverse map word, with R and C as far as they were harvested */
static u64 known(unsigned int slot)
{
	return m.kvm->arch.hpt.rev[index_of(slot)].guest_rpte;
}

/* Is there a change that has not been harvested? */
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
			/* Without R and C that have not been harvested */
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

/* Check and apply a reported HPTE; v is 0 if it was reported as invalid */
static void report(struct reader *reader, u64 index, u64 v, u64 r, bool strict,
		   unsigned int begin)
{
	int i = slot_of(index);
	struct slot *slot = &m.slot[i];

	if (i < 0) {
		if (v)
			wrong("HPTE %lu is reported, but was never entered",
			      index);
		if (strict)
			wrong("HPTE %lu is reported, but has not changed",
			      index);
		return;
	}
	if (strict && !reader->may[i])
		wrong("HPTE %lu is reported again, but has not changed", index);
	if (!meanwhile(i, begin) &&
	    (v != (shown(reader, slot) ? slot->v : 0) || (v && r != slot->r)))
		wrong("HPTE %lu is reported as %lx %lx, should be %lx %lx",
		      index, v, r, slot->v, slot->r);
	reader->v[i] = v;
	reader->r[i] = r;
	reader->may[i] = meanwhile(i, begin);
}

/* Check and apply the records that a read has returned */
static void receive(struct reader *reader, const unsigned char *buf, size_t len,
		    u64 nr, bool strict, unsigned int begin)
{
	struct stream_record rec;
	u64 index, end, v, r;
	unsigned int i;
	size_t pos;
	int err;

	for (pos = 0; pos < len; pos += rec.bytes) {
		err = stream_record(buf + pos, len - pos, nr, &rec);
		if (err == -ENODATA)
			wrong("an incomplete record");
		index = rec.index;
		end = index + rec.hptes;
		if (err || end == index)
			wrong("a record of HPTEs %lu to %lu", index, end);
		if (reader->zeroed && index)
			wrong("the first pass after a reset begins at %lu",
			      index);
		reader->zeroed = false;
		m.valid += rec.valid;
		m.invalid += rec.hptes - rec.valid;
		for (i = 0; i < rec.valid; i++, index++) {
			stream_hpte(&rec, i, &v, &r);
			if (!v)
				wrong("HPTE %lu is reported without V", index);
			report(reader, index, v, r, strict, begin);
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

/* A read has returned 0, so the replica has to be complete */
static void check_replica(const struct reader *reader, unsigned int begin)
{
	unsigned int i;
	u64 v;

	for (i = 0; i < SLOTS; i++) {
		if (meanwhile(i, begin))
			continue;
		v = shown(reader, &m.slot[i]) ? m.slot[i].v : 0;
		if (reader->v[i] != v || (v && reader->r[i] != m.slot[i].r))
			wrong("replica of HPTE %lu is %lx %lx, not %lx %lx",
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
	/* If it began again during the read, any record may begin at 0 */
	reader->zeroed &= zeroed;
	for (i = 0; i < CANARY; i++)
		if (buf[size + i] != 0xa5)
			wrong("byte %u after the buffer is overwritten", i);
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
 * Compare what progress and poll() report as left with what reads then return.
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
	/* Only a read attaches a reader to an HPT */
	if (count.state != (reader->stale ? KVM_PPC_HTAB_STATE_STALE :
			    none ? KVM_PPC_HTAB_STATE_NONE :
			    KVM_PPC_HTAB_STATE_CURRENT))
		wrong("progress reports state %u", count.state);
	if (none && polled != !!m.nr)
		wrong("poll reports %d before the first read", polled);
	/* Without an HPT, all counters have their highest value */
	if (count.state != KVM_PPC_HTAB_STATE_CURRENT) {
		if (~(count.first_hptes & count.first_bytes &
		      count.changed_hptes & count.changed_bytes))
			wrong("progress reports counters without an HPT");
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
	/* Readable if groups before the start index have not been visited */
	if (any != polled && !(polled && unseen))
		wrong("poll reports %d, but reads return data: %d", polled,
		      any);
	if (is.changed_hptes != count.changed_hptes ||
	    is.changed_hptes != bound.changed_hptes)
		wrong("%lu changes are read, progress reports %lu and %lu",
		      (u64)is.changed_hptes, (u64)count.changed_hptes,
		      (u64)bound.changed_hptes);
	if (is.first_hptes != count.first_hptes ||
	    is.first_bytes != count.first_bytes)
		wrong("%lu HPTEs, %lu bytes are read, progress counts %lu, %lu",
		      (u64)is.first_hptes, (u64)is.first_bytes,
		      (u64)count.first_hptes, (u64)count.first_bytes);
	/* A record may be split where the pass began */
	if (is.changed_bytes != count.changed_bytes &&
	    is.changed_bytes != count.changed_bytes + HDR)
		wrong("%lu bytes of changes are read, progress reports %lu",
		      (u64)is.changed_bytes, (u64)count.changed_bytes);
	if (bound.first_hptes < is.first_hptes ||
	    bound.first_bytes < is.first_bytes)
		wrong("%lu HPTEs, %lu bytes are read, the bounds are %lu, %lu",
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

/* Make some records, most of them good. Returns their length. */
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
	u64 nr = 1ull << (kvm->arch.hpt.order - 4), v, r;
	struct stream_record record;
	unsigned int i;
	int no, err;

	err = stream_record(rec, len, nr, &record);
	if (err)
		return err;
	*bytes = record.bytes;
	for (i = 0; i < record.valid; i++) {
		stream_hpte(&record, i, &v, &r);
		no = refused(kvm, v, r);
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
 * Apply a good record to the model, or one that is undone: its HPTEs may be
 * reported again. Returns whether the record makes the MMU ready.
 */
static bool apply(const unsigned char *buf, size_t len, bool undone)
{
	struct stream_record rec;
	u64 index, end, v, r;
	bool vrma = false;
	unsigned int i;
	int slot;

	if (stream_record(buf, len, m.nr, &rec))
		wrong("the model applies an incomplete record");
	for (i = 0; i < rec.valid; i++) {
		slot = slot_of(rec.index + i);
		stream_hpte(&rec, i, &v, &r);
		if (undone) {
			if (slot >= 0)
				changed(slot);
			continue;
		}
		if (slot < 0)
			wrong("the model enters an HPTE outside its windows");
		entered(slot, v, r);
		if (v >> 24 == (HPTE_V_1TB_SEG >> 24 | VRMA_VSID))
			vrma = true;
	}
	if (undone)
		return false;
	index = rec.index + rec.valid;
	end = rec.index + rec.hptes;
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
			apply(buf + pos, bytes, true);
		if (err)
			break;
		if (where % MISHAP_KINDS == MISHAP_KILL && !shim_kill_at &&
		    ret == pos)
			break;
		/* A record before has made the MMU ready, so vcpus may run */
		if (running && ready && pos && ret == pos)
			break;
		if (apply(buf + pos, bytes, false))
			ready = 1;
		pos += bytes;
	}
	if (m.kvm->arch.mmu_ready != ready)
		wrong("mmu_ready is %d after a write",
		      m.kvm->arch.mmu_ready);
	if (err == -ENODATA || (!err && there < size))
		err = there < size ? -EFAULT : -EINVAL;
	if (ret != (pos ? (ssize_t)pos : err))
		wrong("write of %zu bytes, %zu accessible, returns %zd, should be %zd",
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
	/* Other operations may run before it takes mmu_setup_lock, not after */
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
	unsigned int share;	/* how many of 1024 random operations */
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
		/* Most operations are in a few groups */
		if (!codes[code].mishaps && random32(&seed) % 4)
			ops[i].where = focus + ops[i].where % 24;
		/* A first pass may begin in these groups */
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
	check_table("all operations");
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
		"next ones within", "next ones within",
		"next ones within", "next ones within",
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
