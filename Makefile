# SPDX-License-Identifier: GPL-2.0

# A setting counts if it is on the command line, else if it is in the environment,
# else as make menuconfig has left it in .config, else as here.
DOTCONFIG ?= .config
-include $(DOTCONFIG)
set = $(if $(CONFIG_KERNEL),$(subst ",,$(CONFIG_$1)),$2)
KERNEL ?= $(call set,KERNEL,6.12)
KERNEL_SRC ?= $(call set,KERNEL_SRC)
VARIANT ?= $(call set,VARIANT,release)
CROSS_COMPILE ?= $(call set,CROSS_COMPILE)
VARIANTS ?= $(call set,VARIANTS,release kasan)
MACHINES ?= $(call set,MACHINES,powernv8 powernv9)
BASES ?= $(call set,BASES,6.1)
MIGRATIONS ?= $(or $(call set,MIGRATIONS,y),n)
DURATION ?= $(call set,DURATION,1h)
SEED ?= $(call set,SEED)
FUZZ ?= $(if $(filter file,$(origin DURATION)),$(call set,FUZZ,600),$(DURATION))
QEMU ?= $(call set,QEMU)
QEMU_GUEST ?= $(call set,QEMU_GUEST)
RESULTS ?= $(call set,RESULTS,build)

ifeq ($(KERNEL),newest)
override KERNEL := $(or $(shell scripts/kernel/base -n),$(error no base))
endif
SETTINGS = KERNEL KERNEL_SRC VARIANT CROSS_COMPILE VARIANTS MACHINES BASES \
	MIGRATIONS DURATION SEED FUZZ QEMU QEMU_GUEST RESULTS
# An empty prefix of a compiler is one, too, and VARIANT is for this make only
export $(filter-out VARIANT $(if $(CROSS_COMPILE),,CROSS_COMPILE),$(SETTINGS))

.DEFAULT_GOAL := help

help:
	@echo 'Targets:'
	@echo '  demo           live-migrate and snapshot an HPT guest in an emulated host'
	@echo '  demo DISTRO=1  the same with a kernel as a distribution configures it'
	@echo '  check          run the tests on the release and the kasan kernel'
	@echo '  check VARIANT=stock'
	@echo '                 run them on the unmodified base, to see which fail there'
	@echo '  check VARIANT=stable'
	@echo '                 run those that need no new file on the base with the fixes for'
	@echo '                 stable kernels'
	@echo '  check-all      everything, however long it takes; can be stopped and resumed'
	@echo '  breakages      break our kernel in many ways, one at a time, and check that a'
	@echo '                 test fails; can be stopped and resumed'
	@echo '  mutants        change our kernel files and kvm-hpt in many small ways, by rules,'
	@echo '                 and check that a test that needs no host fails'
	@echo '  soak           run the random tests and migrations for DURATION, after the last'
	@echo '                 seed'
	@echo '  field [ONLY=NAME]'
	@echo '                 migrate guests of the kinds that scripts/test/field.toml lists'
	@echo '  fuzz           run the fuzzers of the user-space harness and of kvm-hpt for'
	@echo '                 FUZZ seconds each, with the corpus that they have'
	@echo '  cov            show which code the user-space harness does not reach'
	@echo '  time           time the code in user space, existing against ours'
	@echo '  bench          measure the costs of the HPT file, existing against ours'
	@echo '  downtime       measure how long guests stand still as they migrate, existing'
	@echo '                 against ours, with HPTs of 16 MiB to 1 GiB'
	@echo '  tree           make the kernel trees in build/VERSION/'
	@echo '  kernel         build the kernel VARIANT'
	@echo '  deb [CONFIG=/boot/config-VERSION] [FIXES_ONLY=1]'
	@echo '                 make Debian packages of our kernel in build/deb/, or of the'
	@echo '                 base with nothing but our fixes; see README'
	@echo '  rpm            the same for RPM'
	@echo '  qemu           build the QEMU of series/qemu for guests in an emulated host'
	@echo '  bench-qemu     migrate with each kernel and each QEMU, and compare'
	@echo '  series [PART=N]'
	@echo '                 write the parts of the patch series to build/series/VERSION/;'
	@echo '                 see series/README'
	@echo '  branch         make git branches of the parts, to edit and send, in'
	@echo '                 build/VERSION/branch'
	@echo '  print-vmlinux  print the path of the kernel VARIANT that was built'
	@echo '  lint           run checkpatch, sparse and the W=1 warnings on our code'
	@echo '  clean          remove build/'
	@echo
	@echo '  menuconfig     change the settings below, which are kept in .config'
	@echo '  quick_defconfig, ci_defconfig, full_defconfig'
	@echo '                 use settings for a first look, for CI (the defaults, also:'
	@echo '                 defconfig), or for a night'
	@echo
	@echo 'Settings, which can also be set on the command line:'
	@$(foreach s,$(SETTINGS),printf '  %-14s %-20s %s\n' $s '$($s)' '$(about_$s)';)

about_KERNEL = the base: 6.12, 6.1, 7.2, newest
about_KERNEL_SRC = another base: a tarball or a tree
about_VARIANT = release, kasan, kunit, kcsan, bpf, stock, stock-kasan, bare, be, \
	4k, distro, fixes, stable
about_CROSS_COMPILE = the compiler, if not Debian'"'"'s
about_VARIANTS = the kernels that make check tests
about_MACHINES = the hosts that it tests them in
about_BASES = other bases to which the series has to apply
about_MIGRATIONS = whether it migrates real guests: y or n
about_DURATION = how long to soak: 90, 30m, 8h
about_SEED = the first seed to soak with, if not the next
about_FUZZ = seconds for each fuzzer
about_QEMU = QEMU that emulates the host, if not the one found automatically
about_QEMU_GUEST = the guest'"'"'s, if not Debian 12'"'"'s: plain, patched, a path
about_RESULTS = directory for results of check, soak, bench and demo

# By the kernel's own kconfig, of the base
KCONFIG = $(MAKE) -s -C build/$$(scripts/kernel/tree version)/pristine ARCH=powerpc \
	O=$(CURDIR)/build/kconfig KBUILD_KCONFIG=$(CURDIR)/Kconfig \
	KCONFIG_CONFIG=$(abspath $(DOTCONFIG))

menuconfig: tree
	@scripts/deps libncurses-dev
	@mkdir -p build/kconfig
	@$(KCONFIG) menuconfig

defconfig: ci_defconfig

%_defconfig: scripts/config/%_defconfig tree
	@mkdir -p build/kconfig
	@cp $< $(DOTCONFIG)
	@$(KCONFIG) olddefconfig

deps:
	@scripts/deps

tree: deps
	@scripts/kernel/base
	@scripts/kernel/tree

series: tree
	@scripts/series/write $(PART)

branch: tree
	@scripts/series/branch

kernel: tree
	@scripts/kernel/build $(VARIANT)

export CONFIG FIXES_ONLY
deb rpm: tree
	@scripts/kernel/package $@

print-vmlinux:
	@scripts/kernel/build -p $(VARIANT)

ifdef DISTRO
demo: override VARIANT := distro
endif

demo: tree
	@scripts/kernel/build $(VARIANT)
	@scripts/test/demo -k "$$(scripts/kernel/build -p $(VARIANT))"

# Without a VARIANT from the command line or the environment it is VARIANTS.
check: tree
	@scripts/test/check $(if $(filter file,$(origin VARIANT)),,$(VARIANT))

check-all: tree
	@scripts/test/check-all

breakages: tree
	@scripts/mutate/breakages

mutants: tree
	@scripts/mutate/mutants
	@tools/kvm/kvm_hpt/tests/mutate

soak: tree
	@scripts/test/soak $(VARIANT)

field: tree
	@scripts/test/field $(ONLY)

# The user-space harness on its own
HARNESS = $(MAKE) -C tools/testing/kvm-hpt OUTPUT=$(CURDIR)/build/kvm-hpt \
	KSRC=$(CURDIR)/build/$$(scripts/kernel/tree version)/tree \
	STOCK=$(CURDIR)/build/$$(scripts/kernel/tree version)/pristine

fuzz: tree
	@$(HARNESS) fuzz DURATION=$(FUZZ)
	@$(MAKE) -C tools/kvm/kvm_hpt fuzz O=$(CURDIR)/build/kvm-hpt \
		SECONDS=$(FUZZ)

cov: tree
	@scripts/deps llvm
	@$(HARNESS) cov

time: tree
	@scripts/deps valgrind
	@$(HARNESS) time

bench: tree
	@scripts/deps gnuplot-nox
	@scripts/kernel/build stock
	@scripts/kernel/build release
	@scripts/bench/run

downtime: tree
	@scripts/deps gnuplot-nox
	@scripts/kernel/build stock
	@scripts/kernel/build release
	@scripts/bench/downtime

# With and without our patches, from the same source
qemu:
	@scripts/deps dpkg-dev ninja-build pkg-config python3-venv
	@scripts/qemu/build patched
	@scripts/qemu/build plain

bench-qemu: tree qemu
	@scripts/kernel/build stock
	@scripts/kernel/build release
	@scripts/bench/migrate

lint: tree
	@scripts/test/lint

clean:
	rm -rf build

.PHONY: help deps tree series branch kernel deb rpm print-vmlinux demo check check-all \
	breakages mutants soak field fuzz cov time bench downtime qemu bench-qemu lint clean \
	menuconfig defconfig
