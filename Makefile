# All commands of the project; CI runs the same ones.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
HOME_DIR ?= demo-home
PYTEST_ARGS ?=
# Test modules run side by side: each process starts its own servers. Four also on two cores, as most tests wait for servers and children.
WORKERS ?= -n 4 --dist loadfile --no-loadscope-reorder
# What `make cov` runs: the folders without Airflow, the demo and the fault tests.
COV_TESTS ?= $(addprefix tests/,alerts cases cli detectors evidence features ingest pipeline reporting scoring synth training zeek)

# What the image of the compose file holds: everything but the development tools.
IMAGE_EXTRAS := pipeline report elastic postgres celery users
COMPILE := UV_PYTHON_DOWNLOADS=never .tools/uv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11

.PHONY: help setup demo test test-slow test-faults test-hostile fuzz cov check fmt docs kibana reference-model bench lock wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## make .venv from the hashed lock (uv is installed into .tools/)
	@scripts/setup.sh

demo: ## run the whole pipeline on a synthetic site (ONCE=1: stop after the summary)
	@scripts/setup.sh report
	@$(BIN)/mlids demo --home $(HOME_DIR) $(if $(ONCE),--once)

test: ## the test suite, but for its slow tests
	@scripts/setup.sh test
	$(BIN)/python -m pytest --durations=25 $(WORKERS) $(PYTEST_ARGS)

test-slow: ## the tests that `make test` leaves out: most faults, forests fitted over and over (CI runs both)
	@scripts/setup.sh test
	$(BIN)/python -m pytest --durations=25 $(WORKERS) -m "slow and not long" $(PYTEST_ARGS)

test-faults: ## the full fault table of live scoring (22 minutes); writes docs/reliability.md
	@scripts/setup.sh test
	MLIDS_FAULTS=long MLIDS_FAULT_TABLE=docs/reliability.md $(BIN)/python -m pytest tests/faults -m "" -o faulthandler_timeout=1200 $(PYTEST_ARGS)

test-hostile: ## every attack of docs/security.md, also the long ones; prints and writes the table there
	@scripts/setup.sh test
	MLIDS_HOSTILE=1 MLIDS_HOSTILE_TABLE=docs/security.md $(BIN)/python -m pytest tests/hostile -m "" $(PYTEST_ARGS)

fuzz: ## coverage-guided fuzzing of readers, follower, alerts and page: ten minutes (FUZZ_SECONDS=150 for each of four targets)
	@scripts/setup.sh
	$(BIN)/python -m tests.fuzz

cov: ## coverage of a fast subset of the tests; fails below the floor in pyproject.toml
	@scripts/setup.sh test
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered $(WORKERS) $(COV_TESTS) $(PYTEST_ARGS)

check: ## format, lint, strict types, import rules, rules of the compose file
	@scripts/setup.sh
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.airflow.yml
	$(BIN)/python -m pytest tests/hostile/test_compose.py

fmt: ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: ## write docs/cli.md, settings.md, attacks.md and evidence.md from the code
	@scripts/setup.sh
	$(BIN)/python -m scripts.cli_reference
	$(BIN)/python -m scripts.settings_reference
	$(BIN)/python -m scripts.attacks_reference
	$(BIN)/python -m scripts.evidence_reference

kibana: ## compile deploy/kibana/mlids.ndjson from its YAML sources (kb-dashboard-cli, in .tools/kibana; Python 3.12 or newer)
	@scripts/setup.sh
	UV_PYTHON_DOWNLOADS=never .tools/uv/bin/uv venv --quiet --clear --python '>=3.12' .tools/kibana
	VIRTUAL_ENV=.tools/kibana .tools/uv/bin/uv pip sync --quiet --require-hashes scripts/kibana.lock
	$(BIN)/python -m scripts.kibana_objects .tools/kibana/bin/kb-dashboard

reference-model: ## train the reference model of the package from synthetic networks, and write its self-test rows (one minute)
	@scripts/setup.sh
	$(BIN)/python -m scripts.self_test_rows
	$(BIN)/python -m scripts.reference_model

bench: ## measure against peers and limits, write benchmarks/latest.json
	@scripts/setup.sh
	$(BIN)/python -m benchmarks

lock: ## resolve the dependencies again, preferring the pins of the present locks: all, and those of the image alone
	@scripts/setup.sh
	$(COMPILE) --all-extras pyproject.toml -o requirements.lock
	$(COMPILE) $(addprefix --extra ,$(IMAGE_EXTRAS)) --constraint requirements.lock --no-annotate pyproject.toml -o requirements-runtime.lock

wheel: ## build the wheel into dist/
	@scripts/setup.sh
	$(BIN)/python -m hatchling build -t wheel

clean: ## remove the demo's home and build outputs
	rm -rf $(HOME_DIR) dist build
