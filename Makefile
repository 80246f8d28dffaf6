# The commands of this project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
HOME_DIR := $(or $(AISLE_HOME),$(CURDIR)/var)
# Compiled kernels belong to the code, not to one stack's data: every stack of this clone shares them.
export NUMBA_CACHE_DIR ?= $(CURDIR)/var/numba
export PYTHONUNBUFFERED := 1
# A stack and its tests start Python dozens of times: without compiled files each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

DEMO_ARGS := $(if $(FILE),--file "$(abspath $(FILE))") $(if $(ONCE),--once)

.PHONY: help
help:  ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

##@ Use it

.PHONY: demo
demo: up  ## The whole story, from ratings to rollback (FILE=ratings.csv: on your file; ONCE=1: then stop)
	@if [ -n "$(ONCE)" ]; then \
		status=0; $(BIN)/python manage.py demo $(DEMO_ARGS) || status=$$?; \
		$(BIN)/python manage.py up --stop; exit $$status; \
	fi; \
	$(BIN)/python manage.py demo $(DEMO_ARGS) && echo "The portal stays open. Stop it with: make stop"

.PHONY: up
up: setup  ## Start everything and wait until it is ready
	@$(BIN)/python manage.py up

.PHONY: stop
stop:  ## Stop everything; all data stays
	@if [ -x $(BIN)/python ]; then $(BIN)/python manage.py up --stop; else echo "Nothing was running."; fi

.PHONY: logs
logs:  ## Follow the logs of all programs
	@$(BIN)/python manage.py up --logs

.PHONY: reset
reset: stop  ## Stop everything and delete all data
	@if [ -f "$(HOME_DIR)/stack.json" ]; then rm -rf "$(HOME_DIR)"; echo "Deleted $(HOME_DIR)."; fi
	@rm -rf var

##@ Set it up

.PHONY: setup
setup: .venv/.installed var/numba/.compiled  ## Make .venv, install from the locks, compile the kernels

.venv/.created:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else f"Aisle needs Python 3.11; {sys.executable} is {v[0]}.{v[1]}. Name another: make PYTHON=/path/to/python3.11 setup")'
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.created requirements.txt
	@echo "Installing packages into .venv (a minute or two) ..."
	@$(PIP) install --require-hashes -r requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@echo "Installing the development tools into .venv ..."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

var/numba/.compiled: .venv/.installed $(shell find engine -name '*.py' -not -path '*/tests/*')
	@echo "Compiling the numeric kernels ..."
	@mkdir -p var/numba
	@$(BIN)/python -c 'from engine.warmup import warm_up; warm_up()'
	@touch $@

##@ Change it

.PHONY: test
test: setup .venv/.installed-dev  ## Run all tests against real servers (ARGS="-k word" for some)
	@tests/run $(ARGS)

.PHONY: test-cluster
test-cluster: setup .venv/.installed-dev  ## Run the tests that need Kubernetes (KUBECONFIG or AISLE_CLUSTER; FULL=1: all of them)
	@FULL=$(FULL) tests/cluster/run $(ARGS)

.PHONY: test-load
test-load: setup .venv/.installed-dev  ## Strange values everywhere; memory as estimated; a kill of everything; 20 rollouts under 40,000 requests
	@tests/run -q -n 2 -m long portal engine
	@tests/run -q -s -m long tests/faults

# Settings as a deployment would have them; nothing is connected to.
CHECK_ENV := AISLE_HOME=build/check SECRET_KEY=only-to-check-the-settings-0123456789-abcdefghijklmnop \
	DATABASE_URL=postgresql://aisle@127.0.0.1:1/aisle PUBLIC_URL=https://aisle.example ALLOWED_HOSTS=aisle.example

.PHONY: check
check: .venv/.installed-dev  ## Run the static checks: format, lint, types, imports, templates, migrations
	@$(BIN)/ruff format --check --quiet . || { echo "Format with: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/djhtml --check $$(git ls-files '*.html')
	@git ls-files -z | xargs -0 $(BIN)/codespell
	@$(CHECK_ENV) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@$(CHECK_ENV) $(BIN)/python manage.py check --deploy --fail-level WARNING
	@$(BIN)/lint-imports --no-cache >build/imports.txt || { cat build/imports.txt; exit 1; }
	@$(CHECK_ENV) $(BIN)/mypy .
	@echo "All checks passed."

.PHONY: format
format: .venv/.installed-dev  ## Format Python and templates, and mend what can be mended
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/djhtml $$(git ls-files '*.html') 2>&1 | tail -1

BENCH_VENV := var/bench-venv
BENCH_LOCKS := requirements-bench.txt $(if $(filter all,$(BENCH)),requirements-spark.txt)

.PHONY: bench
bench: setup  ## Measure beside the peers, in turn; write docs/reference/performance.md (BENCH=all: the slow peers too)
	@echo "Installing the peers into $(BENCH_VENV) ..."
	@[ -x $(BENCH_VENV)/bin/python ] || $(PYTHON) -m venv $(BENCH_VENV)
	@for lock in $(BENCH_LOCKS); do \
		$(BENCH_VENV)/bin/python -m pip --quiet --disable-pip-version-check --no-input install --require-hashes -r $$lock || exit 1; \
	done
	@BENCH=$(BENCH) $(BIN)/python -m tests.bench $(or $(BENCH_PART),engine)

.PHONY: bench-serving
bench-serving: BENCH_PART := serving
bench-serving: bench  ## Measure the model server and the gateway beside Flask and BentoML

.PHONY: bench-rollback
bench-rollback: setup .venv/.installed-dev  ## Roll back again and again under load, in a cluster too if there is one; print how long it took
	@set -e; source tests/cluster/open; $(BIN)/python -m tests.bench rollback

.PHONY: screenshots
screenshots: setup .venv/.installed-dev  ## Take a picture of every page into screenshots/
	@$(BIN)/python -m tests.screenshots

.PHONY: lock
lock: .venv/.installed-dev  ## Write the hashed locks anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --quiet -o requirements.txt
	@$(BIN)/uv pip compile pyproject.toml --extra dev -c requirements.txt --generate-hashes --no-emit-index-url \
		--no-header --python-version 3.11 --quiet -o requirements-dev.txt
	@for extra in bench spark; do \
		$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['$$extra'], sep='\n')" \
			| $(BIN)/uv pip compile - --generate-hashes --no-emit-index-url --no-header \
			--python-version 3.11 --quiet -o requirements-$$extra.txt; \
	done
