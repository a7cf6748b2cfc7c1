# Two commands do all the set-up on a machine that has only Python (3.11 or newer) and make:
#   make demo    installs and runs `volunet demo`
#   make test    installs and runs the tests and the checks
.PHONY: demo test test-all checks benchmarks install clean
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

demo: install
	$(BIN)/volunet demo -o volunet-demo

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,dev]'
	@touch $@

# pytest comes last, so that its summary is the last line; a failed check fails the target too. Two
# workers share the tests, with one native thread each; a file's tests stay together, as they share
# what they have made, and files go in their order: those of few tests are not the short ones. What is
# marked `long` (further values of parameters, many more random networks, waiting in real time) only
# `test-all` runs.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
  --no-loadscope-reorder
test: checks
	$(PYTEST) -m "not long"

test-all: checks
	$(PYTEST)

checks: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

benchmarks: install
	@$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) volunet-demo
