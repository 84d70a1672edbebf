// SPDX-License-Identifier: GPL-2.0-only
/*
 * Vcpus, hardware, the host and readers at once, for ThreadSanitizer: each
 * access that no lock orders has to be marked. When all others have stopped, a
 * reader that reads until 0 has the guest's view.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/file.h>
#include <linux/slab.h>

#include "hpt.h"
#include "fake.h"
#include "model.h"
#include "stream.h"

#define ORDER		18
#define NR		(1u << (ORDER - 4))
#define HOT		256	/* number of HPTEs that are changed */
#define OPS		10000	/* of each thread in each round */
#define ROUNDS		6
#define VCPUS		2
#define READERS		2

#define PAGE_OF(dword, shift)	((u64)(dword) >> (shift) & 255)

struct hpte {
	u64 v, r;
};

static struct kvm *kvm;
static pthread_barrier_t barrier;
static bool stop;	/* the readers are to finish */
static struct hpte replica[READERS][NR];
static int fds[READERS];

static u32 random32(u64 *state)
{
	*state = *state * 6364136223846793005 + 1442695040888963407;
	return *state >> 32;
}

/* Half of the time one of four HPTEs, so that threads meet */
static unsigned long hot(u32 random)
{
	return random & 1 << 20 ? random % 4 : (random % HOT) * 37 % NR;
}

static void *vcpu(void *arg)
{
	u64 state = (unsigned long)arg;
	unsigned long index;
	int i, idx;
	u32 what;

	pthread_barrier_wait(&barrier);
	for (i = 0; i < OPS; i++) {
		what = random32(&state);
		index = hot(random32(&state));
		idx = srcu_read_lock(&kvm->srcu);
		switch (what % 5) {
		case 0:
			/* Both dwords contain the same random number */
			fake_h_enter(kvm, index, HPTE_V_VALID |
				     (what & HPTE_V_BOLTED) |
				     PAGE_OF(what, 16) << HPTE_V_AVPN_SHIFT,
				     HPTE_R_M |
				     (what & (HPTE_R_R | HPTE_R_C | 3)) |
				     PAGE_OF(what, 16) << PAGE_SHIFT);
			break;
		case 1:
			fake_h_remove(kvm, index);
			break;
		case 2:
			fake_h_protect(kvm, index, what);
			break;
		case 3:
			fake_h_clear_ref(kvm, index);
			break;
		case 4:
			fake_h_clear_mod(kvm, index);
			break;
		}
		srcu_read_unlock(&kvm->srcu, idx);
	}
	return NULL;
}

static void *hardware(void *arg)
{
	u64 state = 1000;
	int i;

	pthread_barrier_wait(&barrier);
	for (i = 0; i < OPS; i++)
		fake_hw_access(kvm, hot(random32(&state)), i & 1);
	return NULL;
}

static void *host(void *arg)
{
	static void (*const what[])(struct kvm *kvm, unsigned long index) = {
		fake_map, fake_unmap, fake_age, fake_clean,
	};
	u64 state = 2000;
	int i, idx;

	pthread_barrier_wait(&barrier);
	for (i = 0; i < OPS; i++) {
		idx = srcu_read_lock(&kvm->srcu);
		what[random32(&state) % ARRAY_SIZE(what)](kvm,
						hot(random32(&state)));
		srcu_read_unlock(&kvm->srcu, idx);
	}
	return NULL;
}

/*
 * Open a file, read the group of one HPTE and close the file, as QEMU does.
 * Also query the progress of the other readers.
 */
static void *peek(void *arg)
{
	char buf[HPT_RECORD_MIN + 7 * HPT_STREAM_HPTE];
	struct kvm_ppc_htab_progress progress;
	u64 state = 3000;
	int i, fd;

	pthread_barrier_wait(&barrier);
	for (i = 0; i < OPS / 20; i++) {
		fd = fake_open(kvm, 0, hot(random32(&state)));
		BUG_ON(fd < 0);
		fake_read(fd, buf, sizeof(buf), sizeof(buf));
		shim_close(fd);
		if (i % 8)
			continue;
		BUG_ON(fake_progress(fds[i / 8 % READERS],
				     KVM_PPC_HTAB_PROGRESS_COUNT, &progress));
		fake_poll(fds[i / 8 % READERS]);
	}
	return NULL;
}

static ssize_t read_some(unsigned long which, size_t size)
{
	static char bufs[READERS][4096] __aligned(8);
	struct hpte *hpte = replica[which];
	struct stream_record rec;
	ssize_t len, pos;
	unsigned int i;

	len = fake_read(fds[which], bufs[which], size, size);
	BUG_ON(len < 0);
	for (pos = 0; pos < len; pos += rec.bytes) {
		BUG_ON(stream_record(bufs[which] + pos, len - pos, NR, &rec));
		for (i = 0; i < rec.hptes; i++) {
			stream_hpte(&rec, i, &hpte[rec.index + i].v,
				    &hpte[rec.index + i].r);
			BUG_ON(hpte[rec.index + i].v &&
			       PAGE_OF(hpte[rec.index + i].v,
				       HPTE_V_AVPN_SHIFT) !=
			       PAGE_OF(hpte[rec.index + i].r, PAGE_SHIFT));
		}
	}
	return len;
}

static void *reader(void *arg)
{
	unsigned long which = (unsigned long)arg;
	u64 state = 4000 + which;

	pthread_barrier_wait(&barrier);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		read_some(which, HPT_RECORD_MIN + random32(&state) % 4000);
	return NULL;
}

/* With nothing else running, each reader's replica becomes equal to the HPT */
static bool equal(unsigned int round)
{
	unsigned long which, index;
	struct hpte *hpte;
	u64 v, r;

	for (which = 0; which < READERS; which++) {
		while (read_some(which, 2048))
			;
		for (index = 0; index < NR; index++) {
			hpte = &replica[which][index];
			model_look(kvm, index, &v, &r);
			if (hpte->v == v && (!v || hpte->r == r))
				continue;
			printf("# round %u, reader %lu: HPTE %lu is %lx %lx, known as %lx %lx\n",
			       round, which, index, v, r, hpte->v, hpte->r);
			return false;
		}
	}
	return true;
}

static bool all_at_once(void)
{
	pthread_t busy[VCPUS + 3], readers[READERS];
	unsigned long i, round, n;
	bool ok = true;

	kvm = fake_vm();
	fake_allocate_hpt(kvm, ORDER);
	for (i = 0; i < READERS; i++)
		fds[i] = fake_open(kvm, 0, 0);
	for (round = 0; round < ROUNDS && ok; round++) {
		stop = false;
		n = 0;
		pthread_barrier_init(&barrier, NULL, VCPUS + 3 + READERS);
		for (i = 0; i < VCPUS; i++)
			pthread_create(&busy[n++], NULL, vcpu,
				       (void *)(10 * round + i));
		pthread_create(&busy[n++], NULL, hardware, NULL);
		pthread_create(&busy[n++], NULL, host, NULL);
		pthread_create(&busy[n++], NULL, peek, NULL);
		for (i = 0; i < READERS; i++)
			pthread_create(&readers[i], NULL, reader, (void *)i);
		while (n)
			pthread_join(busy[--n], NULL);
		/* A reset during reads, with no vcpu running */
		if (round % 2)
			fake_allocate_hpt(kvm, ORDER);
		__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
		for (i = 0; i < READERS; i++)
			pthread_join(readers[i], NULL);
		pthread_barrier_destroy(&barrier);
		ok = equal(round);
	}
	for (i = 0; i < READERS; i++)
		shim_close(fds[i]);
	fake_vm_free(kvm);
	return ok;
}

int main(void)
{
	bool ok[2];
	int i;

	printf("TAP version 13\n1..2\n");
	for (i = 0; i < 2; i++) {
		cpu_features = CPU_FTR_ARCH_206 | (i ? CPU_FTR_ARCH_300 : 0);
		ok[i] = all_at_once();
		printf("%sok %d - all at once, POWER%d\n", ok[i] ? "" : "not ",
		       i + 1, 8 + i);
	}
	return !(ok[0] && ok[1]);
}
