# Two commands do all the set-up on a machine that has only Python (3.11 or newer) and make:
#   make demo    installs and runs `volunet demo`
#   make test    installs and runs the tests and the checks
.PHONY: demo test install clean
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

# pytest comes last, so that its summary is the last line; a failed check fails the target too. It
# runs three times: what loads engines, what trains, and the rest, each with native libraries
# and signal handlers of its own. Runs that train behind engines in one process have ended in
# segmentation faults now and then. Two workers share the rest, with one native thread each; a
# file's tests stay together, as they share what they have made.
ENGINE_TESTS := tests/api tests/cli tests/exporting tests/inference tests/viewer
TRAINING_TESTS := tests/training
PYTEST := $(BIN)/python -m pytest
IN_TWO := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile
test: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(IN_TWO) $(ENGINE_TESTS:%=--ignore=%) $(TRAINING_TESTS:%=--ignore=%)
	$(PYTEST) $(ENGINE_TESTS)
	$(PYTEST) $(TRAINING_TESTS)

clean:
	rm -rf $(VENV) volunet-demo
