# Two commands are enough: `make demo` and `make test`. Both prepare the virtual environment first.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
NAME ?=

BIN := $(VENV)/bin
READY := $(VENV)/.installed
# A queueserver as a lab has it: the tests drive it from outside, and nothing of it is in .venv.
QUEUESERVER := $(VENV)-queueserver
QUEUESERVER_READY := $(QUEUESERVER)/.installed

.DEFAULT_GOAL := help
.PHONY: help .venv demo test unit contract integration system lint format types chaos bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z. ]+:.*## / { printf "  %-34s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  PYTHON=python3.12   the interpreter for a new environment (3.11 to 3.13)'
	@echo '  ARGS="..."          passed on to pytest, the benchmark or the chaos run'

.venv: $(READY) ## the virtual environment, with everything that demo and tests need

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo 'Labwright needs Python 3.11, 3.12 or 3.13, and "$(PYTHON)" is not one: $(shell $(PYTHON) --version 2>&1).' >&2; \
		echo 'Name one that is, for example: make $(or $(MAKECMDGOALS),test) PYTHON=python3.12' >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone, so that pip's settings decide which build of it (CPU or CUDA) is used.
$(READY): pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/python -m pip install --no-deps -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

$(QUEUESERVER_READY): tests/queueserver/requirements.txt | $(READY)
	$(BIN)/python -m venv $(QUEUESERVER)
	$(QUEUESERVER)/bin/python -m pip install -c constraints.txt -r tests/queueserver/requirements.txt
	@touch $@

demo: $(READY) ## a campaign on a simulated flow reactor, shown live; data in ./labwright-data
	$(BIN)/labwright run flow-chemistry

# Most tests wait for processes of their own, so one for each core runs at a time.
test: $(READY) $(QUEUESERVER_READY) ## all tests
	$(BIN)/pytest --numprocesses auto --dist worksteal $(ARGS)

unit contract integration system: $(READY) $(QUEUESERVER_READY) ## the tests of that kind alone
	$(BIN)/pytest tests/$@ $(ARGS)

lint: $(READY) ## style, formatting and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

format: $(READY) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# The variable spares pyright a look for newer versions of itself.
types: $(READY) ## static types
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

chaos: $(READY) ## kill and freeze processes at random; see that nothing is lost
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(READY) ## one benchmark, NAME=idle for example
	$(BIN)/python -m tests.benchmarks $(NAME) $(ARGS)

clean: ## caches and build leftovers; never the environment, never a data folder
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find orchestrator plans devices simulators tests -type d -name __pycache__ -prune -exec rm -rf {} +
