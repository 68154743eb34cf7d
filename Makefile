# Sets everything up and runs the tool; see README.md.
#
#   make regress    the stack in patches/ on its release: base and every patch, and the verdict
#   make test       the project's own tests, the real kernel included
#   make coverage   branch coverage of what must lose nothing; fails where a file has too little
#   make fuzz       feeds the readers of logs, series and patches with rubbish, FUZZ_SECONDS long
#   make lint       ruff and mypy
#   make setup      only what the others need: packages and a virtual environment in .venv

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PARALLEL = --numprocesses $(WORKERS)
REGRESS ?=
TEST ?=
# Processes that run tests, but for those that build kernels, which make does with all cores.
WORKERS ?= 2
# Where TEST names tests, none of them may be of a kind (pytest's status 5).
NONE_OF_THEM = test "$$? $(if $(TEST),named)" = '5 named'
FUZZ_SECONDS ?= 120
FUZZ ?=
COVERED := ktap ktapline ktapframe ktaptree cases logline consolelog splat allow series patch \
	tomlfile apply results schema baseline regress
COVERAGE_MINIMUM := 90

.PHONY: all setup packages regress test test-fast coverage fuzz lint clean

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
	@$(BIN)/pytest -m kernel $(TEST) || $(NONE_OF_THEM)
	@$(BIN)/pytest $(PARALLEL) -m 'not kernel' $(TEST) || $(NONE_OF_THEM)

test-fast: setup
	@$(BIN)/pytest $(PARALLEL) -m 'not kernel and not install' $(TEST)

coverage: setup
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -m 'not kernel and not install' --deselect tests/test_kills.py $(TEST)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include='$(subst $() ,$(),$(COVERED:%=,memdesc_tool/%.py))'
	@bad=; for name in $(COVERED); do \
		$(BIN)/coverage report --include=memdesc_tool/$$name.py \
			--fail-under=$(COVERAGE_MINIMUM) >/dev/null || bad="$$bad $$name"; done; \
	test -z "$$bad" || { echo "less than $(COVERAGE_MINIMUM) % covered:$$bad" >&2; exit 1; }

fuzz: setup
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache *.egg-info
