/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model for Spin of the protocol by which changes of the HPT reach the
 * readers of the HPT file: one group of two HPTEs, vcpus that change them,
 * hardware that sets R without any notification, and two readers that register
 * meanwhile. The comments name the steps of Documentation/virt/kvm/ppc-hpt.rst.
 *
 * When vcpus and hardware have stopped and a read has returned 0, what the
 * reader has reported has to be the guest's view.
 *
 * Spin interleaves steps but does not reorder them. A barrier is modelled by
 * the order of the steps before and after it; the macro that leaves out the
 * barrier swaps them. Each of these macros makes the assertion fail:
 *
 *	NO_WMB		kvmppc_hpt_mark() without smp_wmb()
 *	NO_ENTERWMB	kvmppc_hpt_store() without smp_wmb()
 *	NO_MB		kvm_hpt_harvest() without smp_mb__after_atomic()
 *	NO_GRACE	readers do not wait for a grace period before they stop
 *			taking locks
 *	NO_SECTION	vcpus are in no read section of kvm->srcu
 *	NO_USEMB	kvmppc_hpt_enter() without smp_mb() after a group is used
 *	NO_CAREFUL	readers take no locks before the grace period has passed
 *	NO_LOCK		a mark is cleared without the HPTE lock
 *	NO_SPREAD	a harvest does not hand changes to other readers
 *	NO_REVISIT	a group in which hardware may set R is not visited again
 *	NO_FOLD		R that is reported does not go into the reverse map word
 *	NO_CURSOR	a harvest does not hand changes to readers in a first
 *			pass, even if they are past the HPTE
 */

#ifndef CHANGES
#define CHANGES	2
#endif

#define HPTES	2
#ifndef VCPUS
#define VCPUS	1
#endif
#define READERS	2

byte dword[HPTES];	/* contents of an HPTE: the number of its last change */
bool hw_r[HPTES];	/* R in the HPTE */
bool guest_r[HPTES];	/* R in the reverse map word */
bool modified[HPTES];	/* HPTE_GR_MODIFIED */
bool hvlock[HPTES];	/* HPTE_V_HVLOCK */
bool visit;		/* the group's bit in the visit bitmap */
bool used = true;	/* the group's bit in the used bitmap */
bool fresh[HPTES];	/* the HPTE's slot was never used */

bool setup_lock;	/* mmu_setup_lock */
byte nr_readers;
bool all_mark;		/* a grace period has passed since the first reader */
bool released[HPTES];	/* a reader has taken and dropped the HPTE lock */
bool in_section[VCPUS];	/* in a read section of kvm->srcu */
byte running = VCPUS + 1;

bool registered[READERS];
bool first_pass[READERS];
byte cursor[READERS];
bool changed[READERS * HPTES];

#define LOCK(l)		atomic { !l -> l = true }
#define UNLOCK(l)	l = false

/* Step 2: the mark, then the visit bit; step 3: neither if already marked */
inline mark(h)
{
	if
	:: tracked && !modified[h] ->
#ifdef NO_WMB
		visit = true;
		modified[h] = true
#else
		modified[h] = true;
		visit = true
#endif
	:: else
	fi
}

/* Likewise in kvmppc_hpt_enter(), which stores the mark with the word */
inline enter(h)
{
	if
	:: tracked && !modified[h] ->
#ifdef NO_ENTERWMB
		visit = true;
		modified[h] = true
#else
		modified[h] = true;
		visit = true
#endif
	:: else
	fi
}

/* Step 1: set the used bit for a fresh slot, then test for readers */
inline use(h)
{
	if
	:: fresh[h] ->
		fresh[h] = false;
		used = true;
#ifndef NO_USEMB
		tracked = nr_readers > 0
#endif
	:: else
	fi
}

proctype vcpu(byte id)
{
	byte n, h;
	bool tracked;

	do
	:: n < CHANGES ->
		atomic {
			n++;
#ifndef NO_SECTION
			in_section[id] = true;
#endif
			select(h : 0 .. HPTES - 1)
		}
		/*
		 * The lock does not order the load after it, unless a reader
		 * has dropped the lock before
		 */
		if
		:: tracked = nr_readers > 0;
			LOCK(hvlock[h]);
			tracked = tracked || released[h]
		:: LOCK(hvlock[h]);
			tracked = nr_readers > 0
		fi;
		if
		:: !fresh[h] ->			/* H_PROTECT and the like */
			dword[h]++;
			mark(h)
		:: use(h);			/* H_ENTER, H_BULK_REMOVE */
			enter(h);
			dword[h]++
		:: !fresh[h] ->			/* H_CLEAR_REF */
			if
			:: guest_r[h] ->
				guest_r[h] = false;
				mark(h)
			:: else
			fi;
			hw_r[h] = false
		fi;
		UNLOCK(hvlock[h]);
		d_step {
			in_section[id] = false;
			h = 0;
			tracked = false
		}
	:: else -> break
	od;
	running--
}

proctype hardware()
{
	byte h;

	atomic {
		select(h : 0 .. HPTES - 1);
		hw_r[h] = true
	}
	running--
}

/* Step 7: hand a change of @h to all readers but @self that are past it */
inline spread(self, h)
{
#ifndef NO_SPREAD
	o = 0;
	do
	:: o < READERS ->
		if
		:: o != self && registered[o] &&
#ifdef NO_CURSOR
		   !first_pass[o] ->
#else
		   (!first_pass[o] || cursor[o] > h) ->
#endif
			changed[o * HPTES + h] = true
		:: else
		fi;
		o++
	:: else -> break
	od;
#endif
	o = 0
}

/* Steps 3 and 4: clear the mark of @h with the HPTE locked */
inline harvest_hpte(self, h)
{
#ifndef NO_LOCK
	LOCK(hvlock[h]);
#endif
	told[h] = dword[h];
	d_step {
		told_r[h] = guest_r[h] || hw_r[h];
		is_changed = modified[h] || (told_r[h] && !guest_r[h])
	}
	modified[h] = false;
#ifndef NO_FOLD
	guest_r[h] = told_r[h];
#endif
#ifndef NO_LOCK
	d_step {
		released[h] = true;
		UNLOCK(hvlock[h])
	}
#endif
	d_step {
		if
		:: is_changed ->
			mine[h] = true;
			spread(self, h)
		:: else
		fi
	}
}

/* HPTEs that the reader reports in any case */
#define WANTED(h)	(first_pass[self] || changed[self * HPTES + h])

/*
 * Harvest the group. mine[] are the HPTEs that have changed; told[] and
 * told_r[] are the contents to report.
 */
inline harvest(self)
{
	look_at_all = visit;
	if
	:: look_at_all ->
#ifdef NO_MB
		look[0] = modified[0];
		look[1] = modified[1];
		visit = false
#else
		visit = false;
		look[0] = modified[0];
		look[1] = modified[1]
#endif
	:: else
	fi;
	h = 0;
	do
	:: h < HPTES ->
		if
		:: (look_at_all && look[h]) ||
		   (WANTED(h) && (hvlock[h] || modified[h])) ||
#ifndef NO_CAREFUL
		   (WANTED(h) && !all_mark) ||
#endif
		   ((look_at_all || WANTED(h)) && hw_r[h] && !guest_r[h]) ->
			harvest_hpte(self, h)
		:: else ->			/* step 5 */
			told[h] = dword[h];
			told_r[h] = guest_r[h]
		fi;
		h++
	:: else -> break
	od;
	h = 0;
#ifndef NO_REVISIT
	/* Step 6 */
	if
	:: ((look_at_all || WANTED(0)) && !guest_r[0]) ||
	   ((look_at_all || WANTED(1)) && !guest_r[1]) ->
		visit = true
	:: else
	fi
#endif
}

proctype reader(byte self)
{
	byte h, o, told[HPTES], seen[HPTES];
	bool told_r[HPTES], seen_r[HPTES], mine[HPTES], look[HPTES];
	bool is_changed, stopped, any, look_at_all;

	LOCK(setup_lock);
	registered[self] = true;
	first_pass[self] = true;
	nr_readers++;
	UNLOCK(setup_lock);

	do
	:: /* a read, with room for one HPTE in the first pass */
		stopped = running == 0;
		any = false;
		LOCK(setup_lock);
		/* Step 1: the grace period may be over or not; nobody waits */
		if
		:: !all_mark ->
#ifndef NO_GRACE
			!in_section[0];
			!in_section[VCPUS - 1];
#endif
			all_mark = true
		:: true
		fi;
		if
		:: first_pass[self] ->
			if
			:: used -> harvest(self)
			:: else ->		/* reported as invalid */
				told[cursor[self]] = 0;
				told_r[cursor[self]] = guest_r[cursor[self]]
			fi;
			d_step {
				/* Changes before the cursor are for later */
				h = 0;
				do
				:: h < cursor[self] ->
					changed[self * HPTES + h] =
						changed[self * HPTES + h] ||
						mine[h];
					h++
				:: else -> break
				od;
				seen[cursor[self]] = told[cursor[self]];
				seen_r[cursor[self]] = told_r[cursor[self]];
				cursor[self]++;
				first_pass[self] = cursor[self] < HPTES;
				any = true
			}
		:: !first_pass[self] &&
		   (visit || changed[self * HPTES] ||
		    changed[self * HPTES + 1]) ->
			harvest(self);
			d_step {
				h = 0;
				do
				:: h < HPTES ->
					if
					:: mine[h] ||
					   changed[self * HPTES + h] ->
						seen[h] = told[h];
						seen_r[h] = told_r[h];
						changed[self * HPTES + h] =
							false;
						any = true
					:: else
					fi;
					h++
				:: else -> break
				od;
				h = 0
			}
		:: else
		fi;
		d_step {
			/* Reset these between reads, to have fewer states */
			h = 0;
			do
			:: h < HPTES ->
				mine[h] = false;
				look[h] = false;
				told[h] = 0;
				told_r[h] = false;
				h++
			:: else -> break
			od;
			h = 0;
			is_changed = false;
			UNLOCK(setup_lock)
		}

		/* Step 9 */
		if
		:: stopped && !any -> break
		:: else
		fi
	od;

	assert(seen[0] == dword[0]);
	assert(seen[1] == dword[1]);
	assert(seen_r[0] == (hw_r[0] || guest_r[0]));
	assert(seen_r[1] == (hw_r[1] || guest_r[1]))
}

init {
	atomic {
		if
		:: guest_r[0] = true
		:: true
		fi;
		if
		:: guest_r[1] = true
		:: true
		fi;
		if
		:: guest_r[0] && guest_r[1] ->
			used = false;
			fresh[0] = true;
			fresh[1] = true
		:: true
		fi;
		run vcpu(0);
#if VCPUS > 1
		run vcpu(1);
#endif
		run hardware();
		run reader(0);
		run reader(1)
	}
}
