/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How the host takes R and C out of an HPTE while a reader looks at it without
 * the lock, for Spin: kvmppc_hpt_take_rc() and what its callers do, against
 * kvm_hpt_harvest() and the fast path of a first pass. The host also makes the
 * HPTE absent, for a moment or until a page fault. Bits that hardware has set
 * before a read begins have to be reported when the read ends, and no others.
 *
 * The guest does not change the HPTE meanwhile, but may have revoked write access
 * before there was a reader: then C is in the HPTE, and is neither in the word
 * nor marked.
 *
 * Steps stand for loads and stores as in hpt.pml. Each of these makes an
 * assertion fail:
 *
 *	NO_TAKEONE	kvmppc_hpt_store() with one store for R and C and one for
 *			the mark
 *	NO_TAKEORDER	the host clears R or C in the HPTE before
 *			kvmppc_hpt_take_rc()
 *	NO_TAKERMB	kvm_hpte_read() without smp_rmb()
 *	NO_TAKELOCK	kvm_hpte_read() does not look at the lock
 *	NO_TAKELOOK	kvm_hpt_look_at_marks() passes over an HPTE in which
 *			hardware cannot set R or C any more
 *	NO_TAKEABSENT	kvm_hpte_new_rc() takes R and C of an absent HPTE
 *	NO_CLEANLOCK	kvm_hpt_any_rc() does not look at the lock
 *	NO_CLEANMARK	kvm_hpt_any_rc() does not look at the mark once more
 *	NO_CLEANRMB	kvm_hpt_any_rc() without smp_rmb()
 */

bool valid = true;	/* HPTE_V_VALID; if it is not set, HPTE_V_ABSENT is */
bool hvlock;		/* HPTE_V_HVLOCK */

bool hw_r, hw_c;	/* R and C in the HPTE */
bool hw_writable;	/* hardware may set C */

bool word_r, word_c;	/* R and C in the reverse map word */
bool writable;		/* the guest's access, from the word */
bool modified;		/* HPTE_GR_MODIFIED */
bool visit;		/* the group's bit */

bool was_r, was_c;	/* hardware has set them, or the guest's view had them */

#define LOCK	atomic { !hvlock -> hvlock = true }
#define UNLOCK	hvlock = false

proctype hardware()
{
	if
	:: atomic {
		valid ->
		hw_r = true;
		was_r = true
	   }
	:: atomic {
		valid && hw_writable ->
		hw_r = true;
		hw_c = true;
		was_r = true;
		was_c = true
	   }
	:: true
	fi
}

/* The mark comes with the word, then the visit bit */
inline take_rc(r, c)
{
	if
	:: (r && !word_r) || (c && !word_c) ->
		m = modified;
#ifdef NO_TAKEONE
		d_step {
			word_r = word_r || r;
			word_c = word_c || c
		}
		modified = true;
#else
		d_step {
			word_r = word_r || r;
			word_c = word_c || c;
			modified = true
		}
#endif
		if
		:: !m -> visit = true
		:: else -> m = false
		fi
	:: else
	fi
}

/* kvm_age_rmapp(), with the lock held */
inline age()
{
	if
	:: valid && hw_r ->
#ifdef NO_TAKEORDER
		hw_r = false;
		take_rc(true, false)
#else
		take_rc(true, false);
		hw_r = false
#endif
	:: else
	fi
}

/* kvm_test_clear_dirty_npages() */
inline clean()
{
	if
	:: valid ->
		valid = false;
		if
		:: hw_c ->
#ifdef NO_TAKEORDER
			hw_c = false;
			take_rc(false, true)
#else
			take_rc(false, true);
			hw_c = false
#endif
		:: else
		fi;
		d_step {
			valid = true;
			hvlock = false
		}
	:: else -> UNLOCK
	fi
}

/* kvmppc_unmap_hpte(): R and C stay in the HPTE as well */
inline unmap()
{
	valid = false;
	take_rc(hw_r, hw_c)
}

/* The end of kvmppc_book3s_hv_page_fault(): no bit that the word does not have */
inline map()
{
	d_step {
		hw_r = false;
		hw_c = false;
		hw_writable = writable
	}
	d_step {
		valid = true;
		hvlock = false
	}
}

proctype host()
{
	byte n = 0;
	bool m;

	do
	:: n < 2 ->
		n++;
		LOCK;
		if
		:: true ->
			age();
			UNLOCK
		:: true -> clean()
		:: valid ->
			unmap();
			UNLOCK
		:: !valid -> map()
		fi
	:: else -> break
	od
}

inline read_word()
{
	d_step {
		r = word_r;
		c = word_c;
		open = !word_r || (!word_c && writable);
		marked = modified
	}
}

inline read_v()
{
	d_step {
		is_valid = valid;
		locked = hvlock
	}
}

inline read_r()
{
	d_step {
		set_r = hw_r;
		set_c = hw_c
	}
}

/* Both doublewords, in one order or the other */
inline read_hpte()
{
	if
	:: read_v();
		read_r()
	:: read_r();
		read_v()
	fi
}

/* kvm_hpte_new_rc() */
#ifdef NO_TAKEABSENT
#define NEW_RC	((set_r && !r) || (set_c && !c))
#else
#define NEW_RC	(is_valid && ((set_r && !r) || (set_c && !c)))
#endif

/* kvm_hpte_harvest() */
inline harvest()
{
	LOCK;
	d_step {
		is_valid = valid;
		set_r = hw_r;
		set_c = hw_c
	}
	read_word();
	if
	:: marked || NEW_RC ->
		if
		:: NEW_RC ->
			r = r || set_r;
			c = c || set_c
		:: else
		fi;
		d_step {
			word_r = r;
			word_c = c;
			modified = false
		}
		report = true
	:: else
	fi;
	open = !r || (!c && writable);
	UNLOCK
}

/* kvm_hpte_read() */
inline read_unlocked()
{
#ifdef NO_TAKERMB
	read_word();
	read_hpte();
#else
	read_hpte();
	read_word();
#endif
#ifdef NO_TAKELOCK
	locked = false;
#endif
	if
	:: locked || marked || NEW_RC -> harvest()
	:: else
	fi;
	if
	:: open -> visit = true
	:: else
	fi
}

/* kvm_hpt_harvest() in a later pass */
inline later()
{
	visit = false;
	read_word();
	look = marked || !r || !c;
#ifdef NO_TAKELOOK
	read_hpte();
	look = marked || open || NEW_RC;
#endif
	if
	:: look -> read_unlocked()
	:: else
	fi
}

/* The three of them in any order */
inline read_all()
{
	do
	:: !a -> read_v(); a = true
	:: !b -> read_r(); b = true
	:: !d -> read_word(); d = true
	:: a && b && d ->
		d_step {
			a = false;
			b = false;
			d = false
		}
		break
	od
}

/* kvm_hpt_read_clean() and kvm_hpt_any_rc(); what they can't read is harvested */
inline first()
{
	read_v();
	if
	:: locked -> slow = true
	:: else ->
		read_word();
		told_r = r;
		told_c = c;
		slow = marked;
		if
		:: !marked && r && c
		:: else ->
			read_all();
#ifdef NO_CLEANLOCK
			locked = false;
#endif
			slow = locked || open || NEW_RC;
#ifdef NO_CLEANRMB
			/* The mark was read before */
			slow = slow || early
#else
#ifndef NO_CLEANMARK
			slow = slow || modified
#endif
#endif
		fi
	fi;
	if
	:: slow ->
		visit = false;
		read_unlocked();
		report = true
	:: else
	fi
}

proctype reader(bool behind)
{
	bool told_r = word_r, told_c = word_c, before_r, before_c;
	bool r, c, open, marked, is_valid, locked, set_r, set_c;
	bool a, b, d, slow, look, report;
#ifdef NO_CLEANRMB
	bool early;
#endif
	byte n = 0;

	do
	:: n < 3 ->
		n++;
		d_step {
			before_r = was_r;
			before_c = was_c;
			report = false
		}
#ifdef NO_CLEANRMB
		early = modified;
#endif
		/* A first pass that began behind the HPTE does not look at it */
		if
		:: n == 1 && !behind -> first()
		:: n == 1 && behind -> later()
		:: n > 1 && visit -> later()
		:: else
		fi;
		if
		:: report ->
			told_r = r;
			told_c = c
		:: else
		fi;
		assert((told_r || !before_r) && (told_c || !before_c));
		assert((was_r || !told_r) && (was_c || !told_c));
		/* Not needed any more: this makes states equal */
		d_step {
			r = false;
			c = false;
			open = false;
			marked = false;
			is_valid = false;
			locked = false;
			set_r = false;
			set_c = false;
			slow = false;
			look = false
		}
	:: else -> break
	od
}

init {
	bool behind;

	atomic {
		select(writable : 0 .. 1);
		select(word_r : 0 .. 1);
		select(word_c : 0 .. 1);
		select(hw_r : 0 .. 1);
		select(hw_c : 0 .. 1);
		select(valid : 0 .. 1);
		select(modified : 0 .. 1);
		select(behind : 0 .. 1);
		hw_writable = writable;
		visit = modified;
		was_r = word_r || (valid && hw_r);
		was_c = word_c || (valid && hw_c);
		run hardware();
		run host();
		run reader(behind)
	}
}
