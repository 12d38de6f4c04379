# Needs make and Python 3.11 or newer with pip; everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.ready-to-run
DEV_READY := $(VENV)/.ready-to-test
DOCS_READY := $(VENV)/.ready-for-docs

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore
INSTALL := $(BIN)/python -m pip install --quiet --require-hashes

.PHONY: help reference run test lint check audit fuzz properties bench refusals stack chaos rehearse backup restore docs screenshots pictures lock outdated digests clean
.DEFAULT_GOAL := help

help: ## show this
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-12s %s\n' "$$name" "$$text"; done

run: $(RUN_READY) ## run the platform on http://127.0.0.1:8000 until Ctrl-C (HOST=, PORT=)
	@$(BIN)/python manage.py run

test: $(DEV_READY) ## all tests, on a real PostgreSQL and a real Redis (ARGS= goes to pytest, COVERAGE=1 measures)
	@.ci/test $(ARGS)

lint: $(DEV_READY) ## style, types, imports between apps, settings for production, migrations
	@.ci/lint

check: lint test ## lint and test

audit: $(DEV_READY) ## known vulnerabilities of what is locked; skipped where their database does not answer
	@$(BIN)/python .ci/audit.py

fuzz: $(DEV_READY) ## requests made of the OpenAPI document, at random, as each kind of user (SECONDS=600)
	@FUZZ_SECONDS=$(or $(SECONDS),600) .ci/test mlops_platform/tests/contract/test_schemathesis.py --numprocesses=logical $(ARGS)

properties: $(DEV_READY) ## the property tests with all their random examples, four times those of make test (EXAMPLES=1)
	@MLOPS_EXAMPLES=$(or $(EXAMPLES),1) .ci/test --numprocesses=logical --hypothesis-seed=random scheduler/tests/engine/properties scheduler/tests/store scheduler/tests/cycle/test_dependencies.py scheduler/tests/wakeup/test_queue_sync.py mlops_platform/tests/input/test_fuzz.py mlops_platform/tests/input/test_cheap_refusals.py $(ARGS)

bench: $(RUN_READY) ## speed and memory, measured on this machine
	@PYTHONPATH=client/src $(BIN)/python -m benchmarks.run $(ARGS)

refusals: $(DEV_READY) ## the CPU that hostile requests cost, call by call (ARGS= is a part of a call's name)
	@$(BIN)/python -m benchmarks.refusals $(ARGS)

rehearse: $(DEV_READY) ## migrate a table of a million deployments, and measure what waits for it (ROWS=1000000)
	@$(BIN)/python -m benchmarks.rehearse --rows $(or $(ROWS),1000000) $(ARGS)

backup: $(RUN_READY) ## the database into a file while the platform runs (FILE=)
	@$(BIN)/python manage.py backup "$(FILE)"

restore: $(RUN_READY) ## the database from a file, while nothing runs (FILE=, ARGS=--replace)
	@$(BIN)/python manage.py restore $(ARGS) "$(FILE)"

stack: $(DEV_READY) ## build the image and run compose.yaml on a Docker engine of its own (root; debootstrap, docker-compose)
	@.ci/test -m stack mlops_platform/tests/stack $(ARGS)

chaos: $(RUN_READY) ## break a running platform FAULTS=500 times; SEED= says how, SECONDS= for how long at most
	@$(BIN)/python -m chaos --faults $(or $(FAULTS),500) --seed $(or $(SEED),1) --seconds $(or $(SECONDS),21600) $(ARGS)

docs: $(DOCS_READY) ## build the documentation's site into docs/_build; warnings are errors
	@$(BIN)/python -m sphinx -q -E -W --keep-going -b html docs docs/_build
	@echo "Open docs/_build/index.html"

screenshots: $(DEV_READY) ## take the documentation's pictures of the pages anew (needs chromium)
	@$(BIN)/python docs/_pictures/admin.py
	@$(BIN)/python docs/_pictures/console.py

pictures: screenshots ## take all pictures of the documentation anew (needs chromium and npm)
	@$(BIN)/python docs/_pictures/mermaid.py
	@$(BIN)/python docs/_pictures/command_line.py

reference: $(DEV_READY) ## write docs/reference/cli.md anew from the commands of client/
	@PYTHONPATH=client/src $(BIN)/python client/reference.py

lock: $(DEV_READY) ## write requirements*.txt anew from requirements*.in (ARGS=--upgrade for newer versions)
	@.ci/lock $(ARGS)

outdated: $(DEV_READY) ## list the requirements of which there are newer versions, and images with another digest
	@status=0; for each in pins images; do $(BIN)/python .ci/$$each.py outdated || status=1; done; exit $$status

digests: $(DEV_READY) ## write the digests of the container images behind their tags (needs docker buildx or skopeo)
	@$(BIN)/python .ci/images.py pin

clean: ## remove the virtual environment, the tests' data and caches (a run's data stays in .data)
	@rm -rf $(VENV) .data/test .data/test-[0-9] .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache docs/_build docs/reference/rest
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN_READY): requirements.txt | $(BIN)/python
	@echo "Installing what the platform needs into $(VENV) ..."
	@$(INSTALL) --requirement requirements.txt
	@touch $@

$(DEV_READY): requirements-dev.txt $(RUN_READY)
	@echo "Installing what tests and lint need into $(VENV) ..."
	@$(INSTALL) --requirement requirements-dev.txt
	@touch $@

$(DOCS_READY): requirements-docs.txt $(RUN_READY)
	@echo "Installing what the documentation needs into $(VENV) ..."
	@$(INSTALL) --requirement requirements-docs.txt
	@touch $@

$(BIN)/python:
	@.ci/venv $(PYTHON) $(VENV)
