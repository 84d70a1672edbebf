/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How the lock of an HPTE protects its reverse map word, for Spin: the host
 * ages the page, the guest removes the HPTE and enters another one, a reader
 * harvests. In the end the word has to be that of the HPTE, and a mark in it has
 * to have its visit bit. See unlock_hpte() and __unlock_hpte().
 *
 * Steps stand for loads and stores as in hpt.pml. An unlock without release may
 * be seen before the stores in front of it. Each of these makes an assertion
 * fail:
 *
 *	NO_AGERELEASE		kvm_age_rmapp() without the release
 *	NO_REMOVERELEASE	kvmppc_h_bulk_remove() without the release
 *	NO_ENTEREIEIO		kvmppc_do_h_enter() without eieio()
 */

#define OLD	1
#define NEW	2

byte dword = OLD;	/* dword 0: which HPTE it is, 0 for none, */
bool hvlock;		/* and HPTE_V_HVLOCK in it */
bool hw_r;		/* R in the HPTE */

byte word = OLD;	/* the reverse map word: of which HPTE it is, */
bool word_r;		/* R in it, */
bool modified = true;	/* and HPTE_GR_MODIFIED */
bool visit = true;	/* the group's bit in the visit bitmap */

byte running = 4;

#define LOCK	atomic { !hvlock -> hvlock = true }
#define UNLOCK	hvlock = false

inline store_word(w, r, m)
{
	d_step {
		word = w;
		word_r = r;
		modified = m
	}
}

/* kvm_age_rmapp(); kvmppc_hpt_mark() returns early if there is a mark */
proctype age()
{
	byte w;
	bool m, mark;

	LOCK;
	if
	:: dword && hw_r ->
		hw_r = false;
		if
		:: !word_r ->
			d_step {
				w = word;
				mark = !modified
			}
#ifdef NO_AGERELEASE
			/* In front of a mark there is smp_wmb() */
			if
			:: mark ->
				store_word(w, true, true);
				visit = true;
				UNLOCK
			:: else ->
				UNLOCK;
				store_word(w, true, true)
			fi
#else
			store_word(w, true, true);
			if
			:: mark -> visit = true
			:: else
			fi;
			UNLOCK
#endif
		:: else -> UNLOCK
		fi
	:: else -> UNLOCK
	fi;
	running--
}

/* kvmppc_h_bulk_remove() of an absent HPTE */
proctype remove()
{
	bool r;

	LOCK;
	if
	:: modified ->
		d_step {
			dword = 0;
			hvlock = false
		}
	:: else ->
		r = word_r;
#ifdef NO_REMOVERELEASE
		d_step {
			dword = 0;
			hvlock = false
		}
		store_word(OLD, r, true);
		visit = true
#else
		store_word(OLD, r, true);
		visit = true;
		d_step {
			dword = 0;
			hvlock = false
		}
#endif
	fi;
	running--
}

/* kvmppc_do_h_enter(), in the slot that is free then */
proctype enter()
{
	bool m;

	atomic {
		!hvlock && !dword -> hvlock = true
	}
	m = modified;
#ifdef NO_ENTEREIEIO
	d_step {
		dword = NEW;
		hvlock = false
	}
	store_word(NEW, false, true);
	if
	:: !m -> visit = true
	:: else
	fi;
#else
	store_word(NEW, false, true);
	if
	:: !m -> visit = true
	:: else
	fi;
	d_step {
		dword = NEW;
		hvlock = false
	}
#endif
	running--
}

proctype hardware()
{
	if
	:: hw_r = true
	:: true
	fi;
	running--
}

/* kvm_hpt_harvest(): the bit, smp_mb__after_atomic(), the mark */
proctype harvest()
{
	bool look, done;

	do
	:: done = running == 0;
		if
		:: visit ->
			visit = false;
			look = modified;
			if
			:: look || hvlock ->
				LOCK;
				assert(!dword || word == dword);
				modified = false;
				if
				:: hw_r ->
					word_r = true
				:: else
				fi;
				UNLOCK
			:: else
			fi
		:: else ->
			if
			:: done -> break
			:: else
			fi
		fi;
		look = false
	od;
	assert(!modified || visit);
	assert(!dword || word == dword)
}

init {
	atomic {
		run age();
		run remove();
		run enter();
		run hardware();
		run harvest()
	}
}
