# SPDX-License-Identifier: GPL-2.0

VARIANT ?= release
export KERNEL_SRC

.DEFAULT_GOAL := help

help:
	@echo 'Targets:'
	@echo '  demo           live-migrate and snapshot an HPT guest in an emulated host'
	@echo '  check          run all tests on the release and the kasan kernel'
	@echo '  check VARIANT=stock'
	@echo '                 run them on the base as it comes: which tests fail there'
	@echo '  check-all      both of these'
	@echo '  bench          measure what the HPT file costs, stock against ours'
	@echo '  tree           make the kernel trees in build/VERSION/'
	@echo '  kernel         build the kernel VARIANT'
	@echo '  print-vmlinux  print the path of the kernel VARIANT that was built'
	@echo '  lint           run checkpatch, sparse and the W=1 warnings on our code'
	@echo '  clean          remove build/'
	@echo
	@echo 'Variables:'
	@echo '  VARIANT        release (default), kasan, stock, stock-kasan or bare'
	@echo '  KERNEL_SRC     the base: a tarball or an unpacked tree (default: the newest'
	@echo '                 linux-source-6.12 tarball in /usr/src)'

deps:
	@scripts/deps

tree: deps
	@scripts/tree

kernel: tree
	@scripts/kernel $(VARIANT)

print-vmlinux:
	@scripts/kernel -p $(VARIANT)

demo: tree
	@scripts/kernel $(VARIANT)
	@scripts/demo -k "$$(scripts/kernel -p $(VARIANT))"

# Without a VARIANT from the command line or the environment it is both of ours.
check: tree
	@scripts/check $(if $(filter file,$(origin VARIANT)),,$(VARIANT))

check-all: tree
	@scripts/check
	@scripts/check stock

bench: tree
	@scripts/deps gnuplot-nox
	@scripts/kernel stock
	@scripts/kernel release
	@scripts/bench

lint: tree
	@scripts/lint

clean:
	rm -rf build

.PHONY: help deps tree kernel print-vmlinux demo check check-all bench lint clean
