# `make run` and `make test` need only Python 3.11 (or newer) and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
OUT ?= runs/digits
SIDE_BY_SIDE := -n auto --maxprocesses 8 --dist worksteal

.PHONY: run test test-full lint types bench weights clean

run: .venv/installed
	$(BIN)/dlnotes train-mlp --out $(OUT) --overwrite

test: lint types
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-full: lint types
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m ""

lint: .venv/developed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/developed
	$(BIN)/mypy

bench: .venv/developed
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

weights: .venv/installed
	$(BIN)/python tools/train_small.py $(DATA)

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/developed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ .venv/installed

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache
