# SPDX-License-Identifier: GPL-2.0

VARIANT ?= release
KERNEL ?= 6.12

ifeq ($(KERNEL),newest)
override KERNEL := $(or $(shell scripts/kernel/base -n),$(error no base))
endif
export KERNEL KERNEL_SRC DURATION SEED

.DEFAULT_GOAL := help

help:
	@echo 'Targets:'
	@echo '  demo           live-migrate and snapshot an HPT guest in an emulated host'
	@echo '  check          run all tests on the release and the kasan kernel'
	@echo '  check VARIANT=stock'
	@echo '                 run them on the base as it comes: which tests fail there'
	@echo '  check-all      everything, however long it takes; can be stopped and resumed'
	@echo '  breakages      break our kernel in each of many ways, one at a time: which test'
	@echo '                 catches it? can be stopped and resumed'
	@echo '  soak           run the random tests, from where they ended, for DURATION'
	@echo '  fuzz           run the fuzzers of the user-space harness and of kvm-hpt for'
	@echo '                 DURATION seconds each (default: 600), from where they were'
	@echo '  cov            show what of the code the user-space harness reaches'
	@echo '  time           time the code in user space, stock against ours'
	@echo '  bench          measure what the HPT file costs, stock against ours'
	@echo '  tree           make the kernel trees in build/VERSION/'
	@echo '  kernel         build the kernel VARIANT'
	@echo '  series         write the patch series to build/series/VERSION/'
	@echo '  print-vmlinux  print the path of the kernel VARIANT that was built'
	@echo '  lint           run checkpatch, sparse and the W=1 warnings on our code'
	@echo '  clean          remove build/'
	@echo
	@echo 'Variables:'
	@echo '  VARIANT        release (default), kasan, kcsan, stock, stock-kasan, bare,'
	@echo '                 be or 4k'
	@echo '  KERNEL         the base: 6.12 (default), 6.1, or what else Debian has as'
	@echo '                 linux-source-KERNEL, which is fetched from sid or'
	@echo '                 experimental: 7.2, or newest'
	@echo '  KERNEL_SRC     another base: a tarball or an unpacked tree'
	@echo '  DURATION       how long to soak: 90, 30m, 8h (default: 1h)'
	@echo '  SEED           the first seed to soak with'

deps:
	@scripts/deps

tree: deps
	@scripts/kernel/base
	@scripts/kernel/tree

series: tree
	@scripts/series/write

kernel: tree
	@scripts/kernel/build $(VARIANT)

print-vmlinux:
	@scripts/kernel/build -p $(VARIANT)

demo: tree
	@scripts/kernel/build $(VARIANT)
	@scripts/test/demo -k "$$(scripts/kernel/build -p $(VARIANT))"

# Without a VARIANT from the command line or the environment it is both of ours.
check: tree
	@scripts/test/check $(if $(filter file,$(origin VARIANT)),,$(VARIANT))

check-all: tree
	@scripts/test/check-all

breakages: tree
	@scripts/mutate/breakages

soak: tree
	@scripts/test/soak $(VARIANT)

# The user-space harness on its own
HARNESS = $(MAKE) -C tools/testing/kvm-hpt OUTPUT=$(CURDIR)/build/kvm-hpt \
	KSRC=$(CURDIR)/build/$$(scripts/kernel/tree version)/tree \
	STOCK=$(CURDIR)/build/$$(scripts/kernel/tree version)/pristine

fuzz: tree
	@$(HARNESS) fuzz DURATION=$(or $(DURATION),600)
	@$(MAKE) -C tools/kvm/kvm_hpt fuzz O=$(CURDIR)/build/kvm-hpt \
		SECONDS=$(or $(DURATION),600)

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

lint: tree
	@scripts/test/lint

clean:
	rm -rf build

.PHONY: help deps tree series kernel print-vmlinux demo check check-all breakages \
	soak fuzz cov time bench lint clean
