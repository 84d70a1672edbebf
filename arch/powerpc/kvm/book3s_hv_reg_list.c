// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_REG_LIST for Book3S HV: the registers that KVM_GET_ONE_REG and
 * KVM_SET_ONE_REG take, as far as the host's processor has them.
 */

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/kvm_host.h>
#include <linux/uaccess.h>

#include <asm/cputable.h>
#include <asm/kvm_ppc.h>

/**
 * enum kvmppc_reg_needs - what a register is there with
 * @NEEDS_NOTHING: every vcpu has it
 * @NEEDS_ALTIVEC: AltiVec
 * @NEEDS_VSX: VSX
 * @NEEDS_207: Power ISA v2.07 or later
 * @NEEDS_POWER8: POWER8 alone
 * @NEEDS_TM: transactional memory, maybe with the hypervisor's assistance
 * @NEEDS_TM_ALTIVEC: that and AltiVec
 * @NEEDS_300: Power ISA v3.0 or later
 * @NEEDS_TIDR: the thread ID register of POWER9
 * @NEEDS_31: Power ISA v3.1 or later
 * @NEEDS_DAWR1: a second data breakpoint
 * @NEEDS_ICP: an interrupt presenter in the kernel
 * @NEEDS_XIVE: a XIVE virtual processor in the kernel
 */
enum kvmppc_reg_needs {
	NEEDS_NOTHING,
	NEEDS_ALTIVEC,
	NEEDS_VSX,
	NEEDS_207,
	NEEDS_POWER8,
	NEEDS_TM,
	NEEDS_TM_ALTIVEC,
	NEEDS_300,
	NEEDS_TIDR,
	NEEDS_31,
	NEEDS_DAWR1,
	NEEDS_ICP,
	NEEDS_XIVE,
};

/*
 * In an order in which they can be set: the VPA is before the areas that need
 * one, the offset of the timebase before the time that the decrementer expires.
 *
 * DEBUG_INST is missing, which cannot be set, and LPCR, the lower half of
 * LPCR_64.
 */
static const struct {
	u64 first;
	unsigned int count;
	enum kvmppc_reg_needs needs;
} kvmppc_regs[] = {
	{ KVM_REG_PPC_ARCH_COMPAT, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_LPCR_64, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_HIOR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_DABR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_DABRX, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_DSCR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_PURR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_SPURR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_DAR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_DSISR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_AMR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_UAMOR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_MMCR0, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_MMCR1, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_MMCRA, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_SIAR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_SDAR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_PMC1, 8, NEEDS_NOTHING },
	{ KVM_REG_PPC_VSR0, 32, NEEDS_VSX },
	{ KVM_REG_PPC_FPR0, 32, NEEDS_NOTHING },
	{ KVM_REG_PPC_VR0, 32, NEEDS_ALTIVEC },
	{ KVM_REG_PPC_FPSCR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_VSCR, 1, NEEDS_ALTIVEC },
	{ KVM_REG_PPC_VRSAVE, 1, NEEDS_ALTIVEC },
	{ KVM_REG_PPC_VPA_ADDR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_VPA_SLB, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_VPA_DTL, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_PPR, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_PID, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_TB_OFFSET, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_DEC_EXPIRY, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_ONLINE, 1, NEEDS_NOTHING },
	{ KVM_REG_PPC_MMCR2, 1, NEEDS_207 },
	{ KVM_REG_PPC_SIER, 1, NEEDS_207 },
	{ KVM_REG_PPC_IAMR, 1, NEEDS_207 },
	{ KVM_REG_PPC_FSCR, 1, NEEDS_207 },
	{ KVM_REG_PPC_PSPB, 1, NEEDS_207 },
	{ KVM_REG_PPC_EBBHR, 1, NEEDS_207 },
	{ KVM_REG_PPC_EBBRR, 1, NEEDS_207 },
	{ KVM_REG_PPC_BESCR, 1, NEEDS_207 },
	{ KVM_REG_PPC_TAR, 1, NEEDS_207 },
	{ KVM_REG_PPC_DPDES, 1, NEEDS_207 },
	{ KVM_REG_PPC_DAWR, 1, NEEDS_207 },
	{ KVM_REG_PPC_DAWRX, 1, NEEDS_207 },
	{ KVM_REG_PPC_CIABR, 1, NEEDS_207 },
	{ KVM_REG_PPC_IC, 1, NEEDS_207 },
	{ KVM_REG_PPC_VTB, 1, NEEDS_207 },
	{ KVM_REG_PPC_MMCRS, 1, NEEDS_POWER8 },
	{ KVM_REG_PPC_SPMC1, 2, NEEDS_POWER8 },
	{ KVM_REG_PPC_CSIGR, 1, NEEDS_POWER8 },
	{ KVM_REG_PPC_TACR, 1, NEEDS_POWER8 },
	{ KVM_REG_PPC_TCSCR, 1, NEEDS_POWER8 },
	{ KVM_REG_PPC_ACOP, 1, NEEDS_POWER8 },
	{ KVM_REG_PPC_WORT, 1, NEEDS_POWER8 },
	{ KVM_REG_PPC_TFHAR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TFIAR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TEXASR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_GPR0, 32, NEEDS_TM },
	{ KVM_REG_PPC_TM_VSR0, 32, NEEDS_TM },
	{ KVM_REG_PPC_TM_VSR(32), 32, NEEDS_TM_ALTIVEC },
	{ KVM_REG_PPC_TM_CR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_XER, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_LR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_CTR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_FPSCR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_AMR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_PPR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_VRSAVE, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_VSCR, 1, NEEDS_TM_ALTIVEC },
	{ KVM_REG_PPC_TM_DSCR, 1, NEEDS_TM },
	{ KVM_REG_PPC_TM_TAR, 1, NEEDS_TM },
	{ KVM_REG_PPC_PSSCR, 1, NEEDS_300 },
	{ KVM_REG_PPC_PTCR, 1, NEEDS_300 },
	{ KVM_REG_PPC_TIDR, 1, NEEDS_TIDR },
	{ KVM_REG_PPC_MMCR3, 1, NEEDS_31 },
	{ KVM_REG_PPC_SIER2, 1, NEEDS_31 },
	{ KVM_REG_PPC_SIER3, 1, NEEDS_31 },
	{ KVM_REG_PPC_DEXCR, 1, NEEDS_31 },
	{ KVM_REG_PPC_HASHKEYR, 1, NEEDS_31 },
	{ KVM_REG_PPC_HASHPKEYR, 1, NEEDS_31 },
	{ KVM_REG_PPC_DAWR1, 1, NEEDS_DAWR1 },
	{ KVM_REG_PPC_DAWRX1, 1, NEEDS_DAWR1 },
	{ KVM_REG_PPC_ICP_STATE, 1, NEEDS_ICP },
	{ KVM_REG_PPC_VP_STATE, 1, NEEDS_XIVE },
};

static bool kvmppc_has_altivec(void)
{
	return IS_ENABLED(CONFIG_ALTIVEC) && cpu_has_feature(CPU_FTR_ALTIVEC);
}

static bool kvmppc_has_tm(void)
{
	return IS_ENABLED(CONFIG_PPC_TRANSACTIONAL_MEM) &&
	       (cpu_has_feature(CPU_FTR_TM) ||
		cpu_has_feature(CPU_FTR_P9_TM_HV_ASSIST));
}

static bool kvmppc_has_reg(struct kvm_vcpu *vcpu, enum kvmppc_reg_needs needs)
{
	switch (needs) {
	case NEEDS_NOTHING:
		return true;
	case NEEDS_ALTIVEC:
		return kvmppc_has_altivec();
	case NEEDS_VSX:
		return IS_ENABLED(CONFIG_VSX) && cpu_has_feature(CPU_FTR_VSX);
	case NEEDS_207:
		return cpu_has_feature(CPU_FTR_ARCH_207S);
	case NEEDS_POWER8:
		return cpu_has_feature(CPU_FTR_ARCH_207S) &&
		       !cpu_has_feature(CPU_FTR_ARCH_300);
	case NEEDS_TM:
		return kvmppc_has_tm();
	case NEEDS_TM_ALTIVEC:
		return kvmppc_has_tm() && kvmppc_has_altivec();
	case NEEDS_300:
		return cpu_has_feature(CPU_FTR_ARCH_300);
	case NEEDS_TIDR:
		return cpu_has_feature(CPU_FTR_P9_TIDR);
	case NEEDS_31:
		return cpu_has_feature(CPU_FTR_ARCH_31);
	case NEEDS_DAWR1:
		return cpu_has_feature(CPU_FTR_DAWR1);
	case NEEDS_ICP:
		return vcpu->arch.irq_type == KVMPPC_IRQ_XICS;
	case NEEDS_XIVE:
		return vcpu->arch.irq_type == KVMPPC_IRQ_XIVE;
	}
	return false;
}

/**
 * kvmppc_get_reg_list_hv() - KVM_GET_REG_LIST
 * @vcpu: the vcpu
 * @list: in: the number of registers that there is room for; out: the number
 *	  that there are, and, if there is room, their ids
 *
 * Context: vcpu->mutex held; may sleep.
 * Return: 0, -E2BIG if there is not enough room, or -EFAULT.
 */
int kvmppc_get_reg_list_hv(struct kvm_vcpu *vcpu,
			   struct kvm_reg_list __user *list)
{
	u64 __user *reg = list->reg;
	u64 room, n = 0;
	unsigned int i, k;

	if (get_user(room, &list->n))
		return -EFAULT;
	for (i = 0; i < ARRAY_SIZE(kvmppc_regs); i++)
		if (kvmppc_has_reg(vcpu, kvmppc_regs[i].needs))
			n += kvmppc_regs[i].count;
	if (put_user(n, &list->n))
		return -EFAULT;
	if (room < n)
		return -E2BIG;

	for (i = 0; i < ARRAY_SIZE(kvmppc_regs); i++) {
		if (!kvmppc_has_reg(vcpu, kvmppc_regs[i].needs))
			continue;
		for (k = 0; k < kvmppc_regs[i].count; k++)
			if (put_user(kvmppc_regs[i].first + k, reg++))
				return -EFAULT;
	}
	return 0;
}
