/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model for Spin of how an HPTE is read without its lock: a vcpu removes an
 * HPTE and enters others in its place, while a reader clears marks and reads.
 * Both doublewords and the reverse map word that it reports have to belong to
 * the same HPTE. See kvm_hpte_read() and kvm_hpt_read_clean().
 *
 * Steps stand for loads and stores as in hpt.pml. Each of these macros makes
 * the assertion fail:
 *
 *	NO_RMB		kvm_hpte_read(), kvm_hpt_read_clean() without smp_rmb()
 *	NO_RECHECK	the HPTE is not locked if its word has a mark
 */

byte v;			/* dword 0: number of the HPTE, 0 for none */
bool hvlock;		/* HPTE_V_HVLOCK in dword 0 */
byte r;			/* dword 1: number of its HPTE */
byte word;		/* reverse map word: number of its HPTE */
bool modified;		/* HPTE_GR_MODIFIED in the reverse map word */

#define LOCK	atomic { !hvlock -> hvlock = true }

proctype vcpu()
{
	byte n = 0;

	do
	:: n < 3 ->
		LOCK;
		if
		:: v ->			/* H_REMOVE */
			modified = true;
			d_step {
				v = 0;
				hvlock = false
			}
		:: else ->		/* H_ENTER with kvmppc_hpt_enter() */
			n++;
			d_step {
				word = n;
				modified = true
			}
			r = n;
			d_step {	/* unlock_hpte() has a barrier */
				v = n;
				hvlock = false
			}
		fi
	:: else -> break
	od
}

inline read_v()
{
	d_step {
		told_v = v;
		locked = hvlock
	}
}

inline read_word()
{
	d_step {
		told_word = word;
		marked = modified
	}
}

proctype reader()
{
	byte told_v, told_r, told_word, reads = 0;
	bool locked, marked;

	do
	:: reads < 3 ->
		reads++;
#ifdef NO_RMB
		read_word();
		read_v();
		told_r = r;
#else
		read_v();
		told_r = r;
		read_word();
#endif
		if
#ifdef NO_RECHECK
		:: locked ->
#else
		:: locked || marked ->
#endif
			LOCK;
			told_v = v;
			told_r = r;
			told_word = word;
			modified = false;
			hvlock = false
		:: else
		fi;
		assert(!told_v || (told_v == told_word && told_v == told_r))
	:: else -> break
	od
}

init {
	atomic {
		run vcpu();
		run reader()
	}
}
