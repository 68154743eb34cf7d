# Sets everything up and runs the tool; see README.md.
#
#   make regress    the stack in patches/ on its release: base and every patch, and the verdict
#   make test       the project's own tests, the real kernel included
#   make lint       ruff and mypy
#   make setup      only what the others need: packages and a virtual environment in .venv

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
REGRESS ?=
TEST ?=

.PHONY: all setup packages regress test test-fast lint clean

all: regress

setup: packages .venv/.ready

packages:
	@sh ./packages.sh

.venv/.ready: pyproject.toml | packages
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (apt: python3 python3-venv)" >&2; exit 2; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

regress: setup
	@$(BIN)/memdesc-tool regress $(REGRESS)

test: setup
	@$(BIN)/pytest $(TEST)

test-fast: setup
	@$(BIN)/pytest -m 'not kernel' $(TEST)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache *.egg-info
