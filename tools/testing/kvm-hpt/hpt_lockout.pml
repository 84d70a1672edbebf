/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model for Spin of how a write and a reset keep vcpus out. A vcpu must not run
 * during a write, must see the HPTEs when it runs after it, and must never run
 * while there are HPTEs that no chain of the reverse map leads to. See
 * kvm_hpt_lock_out_vcpus(), kvm_hpt_let_vcpus_in() and kvmppc_hpt_reset(). The
 * record is applied in two slices, between which mmu_setup_lock is free; a reset
 * can be killed in the middle: see kvm_hpt_breathe() and kvmppc_hpt_lock().
 *
 * Steps stand for loads and stores as in hpt.pml. Each of these macros makes an
 * assertion fail:
 *
 *	NO_LOCKOUT	kvm_hpt_lock_out_vcpus() without smp_mb()
 *	NO_RELEASE	kvm_hpt_let_vcpus_in() without smp_store_release()
 *	NO_WRITELOCK	kvmppc_hpt_lock() does not wait for hpt_write_lock
 *	NO_PENDING	a reset that is killed leaves no note
 *	NO_FINISH	kvmppc_hpt_lock() does not finish such a reset
 */

bool setup_lock;	/* mmu_setup_lock */
bool write_lock;	/* hpt_write_lock */
bool mmu_ready = true;
bool vcpu_running;	/* the vcpu is counted in vcpus_running */
bool in_guest;
bool writing;
bool written;		/* the HPTEs have been written */
bool pending;		/* hpt_todo */
bool orphans;		/* HPTEs that no chain leads to */

/* With both locks; a second reset is like the rest of the first */
inline finish_reset()
{
#ifndef NO_FINISH
	orphans = false;
	pending = false
#else
	skip
#endif
}

/* Clear mmu_ready; busy if a vcpu runs */
inline lock_out(ready, busy)
{
	ready = mmu_ready;
	busy = false;
	if
	:: ready ->
#ifdef NO_LOCKOUT
		busy = vcpu_running;
		mmu_ready = false
#else
		mmu_ready = false;
		busy = vcpu_running
#endif
	:: else
	fi;
	if
	:: busy ->
		mmu_ready = true	/* EBUSY */
	:: else
	fi
}

proctype write()
{
	bool ready, busy;

	atomic { !setup_lock && !write_lock ->
		setup_lock = true;
		write_lock = true
	};
	finish_reset();
	lock_out(ready, busy);
	if
	:: busy
	:: else ->
		writing = true;
		assert(!in_guest);
		setup_lock = false;
		atomic { !setup_lock -> setup_lock = true };
#ifdef NO_RELEASE
		mmu_ready = ready;
		written = true;
		writing = false
#else
		written = true;
		writing = false;
		mmu_ready = ready
#endif
	fi;
	setup_lock = false;
	write_lock = false
}

proctype reset()
{
	bool ready, busy;

	atomic { !setup_lock && !write_lock ->
		setup_lock = true;
		write_lock = true
	};
	lock_out(ready, busy);
	if
	:: busy ->
		setup_lock = false
	:: else ->
#ifndef NO_PENDING
		pending = true;
#endif
		setup_lock = false;
		orphans = true;
		if
		:: true		/* killed */
		:: true ->
			atomic { !setup_lock -> setup_lock = true };
			orphans = false;
			pending = false;
			setup_lock = false
		fi
	fi;
	write_lock = false
}

/* kvmhv_setup_mmu() */
inline setup_mmu()
{
	if
#ifdef NO_WRITELOCK
	:: atomic { !setup_lock -> setup_lock = true };
#else
	:: atomic { !setup_lock && !write_lock && !pending ->
		setup_lock = true
	};
	:: atomic { !setup_lock && !write_lock && pending ->
		setup_lock = true;
		write_lock = true
	};
		finish_reset();
		write_lock = false;
#endif
	fi;
	mmu_ready = true;
	setup_lock = false
}

/* kvmppc_vcpu_run_hv(); its smp_mb() is modelled by the order of the steps */
proctype vcpu()
{
	vcpu_running = true;
	do
	::	if
		:: mmu_ready ->
			in_guest = true;
			assert(!writing && !orphans);
			in_guest = false;
			vcpu_running = false;
			break
		:: else ->
			setup_mmu()
		fi
	od
}

init {
	atomic {
		run write();
		run reset();
		run vcpu()
	}
}
