# SPDX-License-Identifier: GPL-2.0

.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo 'tree   make build/VERSION/{pristine,bare,tree}'

.PHONY: tree
tree:
	@scripts/tree
