# Everything lives in .venv; the locks say exactly what is in it. `make` alone lists the verbs.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test check fix bench bench-peers prove mutants fuzz ci lock clean find-python

ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet

# The first that runs, is new enough and can make a virtual environment: a name on PATH may be a shim of nothing.
PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3; do \
	$$candidate -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo $$candidate; break; }; done)

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/.installed ## install the server: .venv/bin/canvas-server

run: install ## run the server and open its page (ARGS="--port 9000")
	$(BIN)/canvas-server serve --open $(ARGS)

test: .venv/.installed-dev ## run all tests, quick and slow (ARGS="-m 'not slow'")
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

check: .venv/.installed-dev ## check format, lint, types, floors and sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m scripts.check_sizes

fix: .venv/.installed-dev ## format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.installed-dev ## measure, in ratios to a ceiling of the same run
	$(BIN)/python -m tests.bench $(ARGS)

bench-peers: .venv/.installed-dev ## measure Hocuspocus, y-websocket and pycrdt-websocket beside this one (needs Node)
	$(BIN)/python -m tests.bench.peers $(ARGS)

prove: .venv/.installed-dev ## prove what docs/promises.md promises, at length (ARGS="R1 R4")
	$(BIN)/python -m tests.proof $(ARGS)

mutants: .venv/.installed-dev ## plant bugs one by one: the tests must catch each
	$(BIN)/python -m tests.mutants $(ARGS)

fuzz: .venv/.installed-fuzz ## look for inputs that break a parser, by the code they reach (ARGS="all 60", ARGS="outline 600")
	$(BIN)/python -m tests.fuzz $(or $(ARGS),all 60)

ci: ## do what CI does: install what the machine lacks, check, test
	.ci/run

lock: .venv/bin/uv ## pin again all versions and hashes (ARGS=--upgrade for newer ones)
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --extra build -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml

clean: ## remove .venv, caches and builds; data stays
	rm -rf canvas_server/web/page/_built .venv .peers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov build dist
	find canvas_server scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What the editor of the page is bundled from, and where the bundle is: pip says nothing of a build that went on without.
EDITOR := scripts/editor_bundle.py $(wildcard scripts/editor/*)
BUNDLE := canvas_server/web/page/_built/codemirror.js

# Which versions, for every platform; not from where, so that any index or mirror will do.
LOCK_OPTIONS := --quiet $(ARGS) --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-annotate

find-python:
	@test -n "$(PYTHON)" || { \
		echo 'error: no Python 3.11 or newer with the venv module was found'; \
		echo 'hint: install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3'; \
		exit 1; } >&2

.venv/bin/python:
	@$(MAKE) --no-print-directory find-python
	$(PYTHON) -m venv .venv

.venv/.installed: requirements.lock pyproject.toml $(EDITOR) | .venv/bin/python
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@test -f $(BUNDLE) || { \
		echo 'warning: the editor of the page is not built, and the page falls back to a plain text box'; \
		echo 'hint: $(BIN)/python -m scripts.editor_bundle says why'; } >&2
	@touch $@

.venv/.installed-dev: requirements-dev.lock .venv/.installed
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

# Only that verb needs it, it comes for few systems, and nothing of it is ever shipped: not worth a place in the locks.
.venv/.installed-fuzz: | .venv/.installed-dev
	$(PIP) install 'atheris>=3,<4'
	@touch $@

# Only this verb needs it, and what it installs is only what it writes: not worth a place in the locks.
.venv/bin/uv: | .venv/bin/python
	$(PIP) install 'uv>=0.13,<0.14'
