# The two commands a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDIES ?=
OUT ?= out/demo

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint types contracts check format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(BIN)/.installed: pyproject.toml requirements.lock tools/bootstrap.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) sh tools/bootstrap.sh
	@touch $@

venv: $(BIN)/.installed ## make the environment in .venv from the lock file

demo: venv ## send the sample studies through the whole node; results in out/demo
	@$(BIN)/patchclip-node demo --out $(OUT) $(if $(STUDIES),--studies $(STUDIES))

test: venv ## run the whole test suite
	@$(BIN)/python -m pytest

lint: venv ## ruff, format check, spelling
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: venv ## mypy --strict, tests included
	@$(BIN)/mypy

contracts: venv ## who may import whom
	@$(BIN)/lint-imports

check: lint types contracts test ## everything that CI checks but the demo

format: venv ## rewrite to the house style
	@$(BIN)/ruff check --fix-only . && $(BIN)/ruff format .

clean: ## remove what was built, not .venv
	@rm -rf out build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
