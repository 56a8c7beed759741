# Two commands for a user: `make demo` and `make test`. Everything runs in .venv, which is made when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Tests with workers of their own that know nothing newer than the last release: what these workers do is old.
MIXED := $(addprefix tests/integration/test_, workers.py dead_letters.py store_faults.py confinement.py schedules.py \
	webhooks.py people.py limits.py canvas.py async_client.py) tests/fundamentals/test_a_run_is_one_chord.py \
	tests/fundamentals/test_questions.py tests/fundamentals/test_nobody_waits_holding_a_slot.py tests/upgrade

# Whoever forbids Python to keep bytecode has every process compile anew, and the tests start hundreds.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test check simulate bench bench-limits chaos chaos-all chaos-kills scorecard wheel clean bad-input fuzz \
	test-mixed audit

help:  ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## Run the example pipeline, with nothing but this checkout
	$(BIN)/orchestrator run examples/repo_report.yaml

test: $(READY)  ## All tests
	$(BIN)/python -m pytest -n 4 --dist loadgroup

check: $(READY)  ## Lint, types, and the arrows between modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

simulate: $(READY)  ## A million simulated schedules of faults, on every core: SIMULATE="--schedules N --seconds S --seed K"
	$(BIN)/python -m tests.simulation $(SIMULATE)

bench: $(READY)  ## The engine against hand-written Celery canvas: a table, and bench.json
	$(BIN)/python -m tests.bench

bench-limits: $(READY)  ## What the fleet makes of a provider's limits: a table, and bench-limits.json
	$(BIN)/python -m tests.bench limits --json bench-limits.json

chaos: $(READY)  ## The fifteen faults of every change, done to a real fleet
	$(BIN)/python -m tests.chaos every-change

chaos-all: $(READY)  ## All 77 faults, and docs/faults.md, in about half an hour
	$(BIN)/python -m tests.chaos all

chaos-kills: $(READY)  ## 300 times kill -9 of workers and their processes under load
	$(BIN)/python -m tests.chaos kills --count 300 --seed 1

scorecard: $(READY)  ## What faults and load cost here, next to others: docs/scorecard.md, in half an hour
	$(BIN)/python -m tests.scorecard

bad-input: $(READY)  ## Every row of bad input: what the check of it takes, at most a second and 64 MB
	$(BIN)/python -m tests.corpus

fuzz: $(READY)  ## Plans, templates, messages and command lines that nobody has thought of: some minutes
	FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/python -m pytest -q -n 2 tests/fuzz

test-mixed: $(READY)  ## Tests with workers of the commit before too: MIXED_FLEET=REV FILES="…"
	MIXED_FLEET=$(or $(MIXED_FLEET),HEAD~1) $(BIN)/python -m pytest -n 2 --dist loadgroup $(or $(FILES),$(MIXED))

audit: $(READY)  ## An SBOM of what is installed, and what is known against it: needs an advisory service
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[audit]'
	$(BIN)/python deploy/audit.py

wheel: $(READY)  ## Build the wheel, install it without extras elsewhere, and import the client
	sh deploy/check_wheel.sh $(PYTHON)

clean:  ## Remove what was built
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
