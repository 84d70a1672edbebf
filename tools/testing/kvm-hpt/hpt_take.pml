/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How the host takes R out of an HPTE while a reader looks at it without the
 * lock, for Spin: kvmppc_hpt_take_rc() and what its callers do, against
 * kvm_hpt_harvest(). R that hardware has set before a read begins has to be
 * reported before the reader returns 0.
 *
 * C is like R. Steps stand for loads and stores as in hpt.pml. Each of these
 * makes the assertion fail:
 *
 *	NO_TAKEONE	kvmppc_hpt_store() with one store for R and one for the mark
 *	NO_TAKEORDER	the host clears R in the HPTE before kvmppc_hpt_take_rc()
 *	NO_TAKERMB	kvm_hpte_read() without smp_rmb()
 */

bool hw_r;		/* R in the HPTE */
bool hvlock;		/* HPTE_V_HVLOCK */

bool word_r;		/* the reverse map word: R, */
bool modified;		/* and HPTE_GR_MODIFIED */
bool visit = true;	/* the group's bit: hardware may set R */

bool was_set;		/* hardware has set R at some time */
bool stopped;		/* and sets it no more */

#define LOCK	atomic { !hvlock -> hvlock = true }
#define UNLOCK	hvlock = false

proctype hardware()
{
	byte n = 0;

	do
	:: n < 2 ->
		n++;
		d_step {
			hw_r = true;
			was_set = true
		}
	:: break
	od;
	stopped = true
}

/* The mark comes with the word, then the visit bit */
inline take_rc()
{
	if
	:: !word_r ->
		m = modified;
#ifdef NO_TAKEONE
		word_r = true;
		modified = true;
#else
		d_step {
			word_r = true;
			modified = true
		}
#endif
		if
		:: !m -> visit = true
		:: else
		fi
	:: else
	fi
}

/* kvm_age_rmapp(), and with C the dirty log */
proctype host()
{
	byte n = 0;
	bool m;

	do
	:: n < 2 ->
		n++;
		LOCK;
		if
		:: hw_r ->
#ifdef NO_TAKEORDER
			hw_r = false;
			take_rc()
#else
			take_rc();
			hw_r = false
#endif
		:: else
		fi;
		UNLOCK
	:: else -> break
	od
}

inline read_word()
{
	d_step {
		has_r = word_r;
		marked = modified
	}
}

/* Both doublewords, in one order or the other */
inline read_hpte()
{
	if
	:: locked = hvlock;
		set = hw_r
	:: set = hw_r;
		locked = hvlock
	fi
}

/* kvm_hpt_look_at_marks(), then kvm_hpte_read() or kvm_hpte_harvest() */
inline look()
{
	read_word();
	if
	:: marked || !has_r ->
#ifdef NO_TAKERMB
		read_word();
		read_hpte();
#else
		read_hpte();
		read_word();
#endif
		if
		:: locked || marked || (set && !has_r) ->
			LOCK;
			read_word();
			if
			:: marked || (hw_r && !has_r) ->
				has_r = has_r || hw_r;
				d_step {
					word_r = has_r;
					modified = false
				}
				told_r = has_r;
				changed = true
			:: else
			fi;
			UNLOCK
		:: else
		fi;
		if
		:: !has_r -> visit = true
		:: else
		fi
	:: else
	fi
}

/* A later pass; nothing was reported before */
proctype reader()
{
	bool told_r, began, changed, has_r, marked, set, locked;

	do
	:: began = stopped;
		changed = false;
		if
		:: visit ->
			visit = false;
			look()
		:: else
		fi;
		if
		:: began && !changed ->
			assert(told_r == was_set);
			break
		:: else
		fi
	od
}

init {
	atomic {
		run hardware();
		run host();
		run reader()
	}
}
