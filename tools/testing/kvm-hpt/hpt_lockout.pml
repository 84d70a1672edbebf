/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model for Spin of how a write keeps vcpus out: a vcpu tries to run while
 * HPTEs are written. It must not run during the write, and must see the HPTEs
 * when it runs after it. See kvm_hpt_lock_out_vcpus() and
 * kvm_hpt_let_vcpus_in(). The record is applied in two slices, between which
 * mmu_setup_lock is free: see kvm_hpt_breathe() and kvmppc_hpt_lock().
 *
 * Steps stand for loads and stores as in hpt.pml. Each of these macros makes an
 * assertion fail:
 *
 *	NO_LOCKOUT	kvm_hpt_lock_out_vcpus() without smp_mb()
 *	NO_RELEASE	kvm_hpt_let_vcpus_in() without smp_store_release()
 *	NO_WRITELOCK	kvmppc_hpt_lock() does not wait for hpt_write_lock
 */

bool setup_lock;	/* mmu_setup_lock */
bool write_lock;	/* hpt_write_lock */
bool mmu_ready = true;
bool vcpu_running;	/* the vcpu is counted in vcpus_running */
bool in_guest;
bool writing;
bool written;		/* the HPTEs have been written */

proctype write()
{
	bool busy;

	atomic { !setup_lock -> setup_lock = true; write_lock = true };
#ifdef NO_LOCKOUT
	busy = vcpu_running;
	mmu_ready = false;
#else
	mmu_ready = false;
	busy = vcpu_running;
#endif
	if
	:: busy ->
		mmu_ready = true	/* EBUSY */
	:: else ->
		writing = true;
		assert(!in_guest);
		setup_lock = false;
		atomic { !setup_lock -> setup_lock = true };
#ifdef NO_RELEASE
		mmu_ready = true;
		written = true;
		writing = false
#else
		written = true;
		writing = false;
		mmu_ready = true
#endif
	fi;
	setup_lock = false;
	write_lock = false
}

/* kvmhv_setup_mmu() */
inline setup_mmu()
{
	atomic {
#ifdef NO_WRITELOCK
		!setup_lock ->
#else
		!setup_lock && !write_lock ->
#endif
		mmu_ready = true
	}
}

/* kvmppc_vcpu_run_hv(); its smp_mb() is modelled by the order of the steps */
proctype vcpu()
{
	vcpu_running = true;
	do
	::	if
		:: mmu_ready ->
			in_guest = true;
			assert(!writing);
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
		run vcpu()
	}
}
