# Everything a developer runs. `make` alone lists the targets. A bare Python 3.11 with venv and pip is enough to start.

PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
# PYTEST_ARGS="tests/flows -k spline" narrows a run.
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install lint format types test test-all demo bench clean
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- the environment ---------------------------------------------------------------------------------------------
# A stamp says that an environment is complete; it is older than pyproject.toml when the dependencies may have changed.
# torch comes first and by itself, so that one that is there already (a CPU build, say) is kept when its version fits.
# pip says nothing but errors (-qq). $(1): what is installed of this project.
define install_into_venv
	@echo "Installing $(1) into $(VENV) (about a minute; longer where torch has to be downloaded)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check "$$($(BIN)/python -c "import tomllib; \
	print(*(d for d in tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'] if d.startswith('torch>')))")"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable "$(1)"
endef

$(VENV)/.ready: pyproject.toml
	$(call install_into_venv,.)
	@touch $@

$(VENV)/.ready-dev: pyproject.toml
	$(call install_into_venv,.[dev])
	@touch $(VENV)/.ready $@

$(VENV)/.ready-bench: $(VENV)/.ready
	$(call install_into_venv,.[bench])
	@touch $@

install: $(VENV)/.ready-dev ## make the environment with the developer's tools

# --- the checks --------------------------------------------------------------------------------------------------
lint: $(VENV)/.ready-dev ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.ready-dev ## ruff: mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.ready-dev ## basedpyright on src
	$(BIN)/basedpyright --level error --pythonpath $(BIN)/python

test: lint types ## lint, types, and the quick tests with doctests and architecture
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

test-all: lint types ## the slow tests too, and a coverage report
	$(BIN)/python -m pytest -n auto -m "" --cov --cov-report=term $(PYTEST_ARGS)

# --- the uses ----------------------------------------------------------------------------------------------------
demo: $(VENV)/.ready ## fit one model of each family to real digits, measure all, and write a report
	@if [ -e demo ]; then $(BIN)/pushforward compare --resume demo; else \
	$(BIN)/pushforward compare vae realnvp gan ddpm gpt --data digits --budget 20s --out demo; fi

bench: $(VENV)/.ready-bench ## side by side with other libraries, one ratio per line
	$(BIN)/python -m benchmarks

clean: ## remove the environment and every cache
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -name '*.egg-info' -type d -prune -exec rm -rf {} +
