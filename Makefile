# Python 3.11 or newer and make are all that a machine needs; everything else is set up in .venv, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WHEEL := build/wheel
EXTRAS := [dev]
# each computes on one thread, and waits for others half of its time
PARALLEL := -n 3 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-engines check lint types imports docs wheel numeric bench clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(READY)  ## set up .venv with everything that the other commands need

demo: $(READY)  ## fine-tune a tiny model on this machine, offline, in two minutes
	$(BIN)/ftsdk demo

test: $(READY)  ## run all tests, but for those of foreign engines
	$(BIN)/python -m pytest $(PARALLEL) -m "not foreign_engine"

test-engines: $(READY)  ## run the tests of foreign engines, whose environments take some gigabytes in build/engines
	$(BIN)/python -m pytest $(PARALLEL) -m foreign_engine

check: lint types imports docs wheel numeric  ## what CI runs: lint, types, import rules, docs, tests on the built wheel

lint: $(READY)  ## ruff: rules and format; variables are nouns
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/check_names.py

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

imports: $(READY)  ## who may import whom
	$(BIN)/python scripts/import_rules.py

docs: $(READY)  ## links resolve, examples run
	$(BIN)/python -m pytest -q tests/docs/test_docs.py

# The tests run in a folder without the packages, on the installed wheel: what was left out of it fails here.
wheel: $(READY)  ## build the wheel, install it in a fresh environment, test it there
	rm -rf $(WHEEL)
	$(BIN)/python -m build --outdir $(WHEEL)/dist .
	$(call install,$(WHEEL)/venv,"$$(ls $(WHEEL)/dist/*.whl)$(EXTRAS)")
	cp -R tests docs examples scripts benchmarks pyproject.toml constraints.txt LICENSE *.md $(WHEEL)
	cd $(WHEEL) && FTSDK_TEST_DATA="$${FTSDK_TEST_DATA:-$(abspath ../shared/data)}" \
	    FTSDK_ENGINES="$${FTSDK_ENGINES:-$(abspath build/engines)}" venv/bin/python -m pytest $(PARALLEL)

# Each processor rounds in its own way; a test that only one way of rounding passes must not wait for a user to fail.
numeric: $(READY)  ## run the numerical tests again with the processor's plainest instructions
	ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest $(PARALLEL) -m "numeric and not foreign_engine"

bench: $(READY)  ## speed and memory beside plain TRL (long)
	$(BIN)/python benchmarks/sft.py

clean:  ## remove what the commands above have made
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The stamp is written last: an interrupted set-up is no set-up.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "ftsdk needs Python 3.11 or newer: make PYTHON=/path/to/python")'
	$(call install,$(VENV),-e ".$(EXTRAS)")
	touch $@

# $(1): folder of the environment, $(2): what to install. Torch goes first and alone, at the one version tested:
# its newest build for Linux brings gigabytes of CUDA, and whichever build pip has found is then kept.
define install
$(PYTHON) -m venv --clear $(1)
$(1)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
$(1)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(2)
endef
