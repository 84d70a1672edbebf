/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How an HPTE is read without its lock, for Spin: a vcpu removes an HPTE and
 * enters others in its place, a reader takes marks off and reads meanwhile.
 * Both doublewords and the reverse map word of what it reports have to be of
 * the same HPTE. See kvm_hpte_read() and kvm_hpt_read_clean().
 *
 * Steps stand for loads and stores as in hpt.pml. Each of these makes the
 * assertion fail:
 *
 *	NO_RMB		kvm_hpte_read(), kvm_hpt_read_clean() without smp_rmb()
 *	NO_RECHECK	the HPTE is read though its reverse map word has a mark
 */

byte v;			/* dword 0: which HPTE it is, 0 for none, */
bool hvlock;		/* and HPTE_V_HVLOCK in it */
byte r;			/* dword 1 */
byte word;		/* the reverse map word, */
bool modified;		/* and HPTE_GR_MODIFIED in it */

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
		:: else ->		/* H_ENTER, by kvmppc_hpt_enter() */
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
