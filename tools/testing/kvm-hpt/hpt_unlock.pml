/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model for Spin of how the lock of an HPTE protects its reverse map word:
 * the host ages the page, the guest removes the HPTE and enters another one,
 * and a reader harvests. In the end the word has to belong to the HPTE, and if
 * it is marked, the visit bit has to be set. See unlock_hpte() and
 * __unlock_hpte().
 *
 * Steps stand for loads and stores as in hpt.pml. An unlock that is not a
 * release may become visible before the stores that precede it. Each of these
 * macros makes an assertion fail:
 *
 *	NO_AGERELEASE		kvm_age_rmapp() without the release
 *	NO_REMOVERELEASE	kvmppc_h_bulk_remove() without the release
 *	NO_ENTEREIEIO		kvmppc_do_h_enter() without eieio()
 */

#define OLD	1
#define NEW	2

byte dword = OLD;	/* dword 0: number of the HPTE, 0 for none */
bool hvlock;		/* HPTE_V_HVLOCK in dword 0 */
bool hw_r;		/* R in the HPTE */

byte word = OLD;	/* reverse map word: number of its HPTE */
bool word_r;		/* R in the reverse map word */
bool modified = true;	/* HPTE_GR_MODIFIED in the reverse map word */
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

/* kvm_age_rmapp(); kvmppc_hpt_take_rc() has no barrier if it sees no readers */
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
			/* smp_wmb() orders the store before the visit bit */
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

/* kvmppc_do_h_enter(), in the slot once it is free */
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

/* kvm_hpt_harvest(): clear the bit, smp_mb__after_atomic(), test the mark */
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
