# `make run` and `make test` need only Python 3.11 (or newer) and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
OUT ?= runs/digits
PARALLEL := -n auto --maxprocesses 8 --dist worksteal

.PHONY: run test test-full lint types bench dist reference overview gallery weights clean

run: .venv/installed
	$(BIN)/dlnotes train-mlp --out $(OUT) --overwrite

test: lint types
	$(BIN)/python -m pytest $(PARALLEL)

# Includes the tests marked slow, all examples of hypothesis, and the figures of every training run.
test-full: lint types
	$(BIN)/python -m pytest $(PARALLEL) -m "" --hypothesis-profile full

lint: .venv/developed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/developed
	$(BIN)/mypy

# Repeats the figures of docs/benchmarks.md. Variables name data that is not in the package (TEXT=book.txt) and Python
# interpreters that have torchinfo (PEER) or OpenCV (OPENCV).
bench: .venv/developed
	$(BIN)/python benchmarks/conv_shape.py --repeats 15 $(if $(PEER),--peer $(PEER))
	$(BIN)/python benchmarks/filter.py --repeats 15 $(if $(OPENCV),--opencv-python $(OPENCV))
	$(BIN)/python benchmarks/mlp.py
	$(BIN)/python benchmarks/processes.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/gpu.py $(if $(CIFAR10),--data $(CIFAR10))
	$(BIN)/python benchmarks/text.py
	$(BIN)/python benchmarks/tables.py $(if $(CSV),--csv $(CSV) --target $(TARGET))
	$(if $(CIFAR10),$(BIN)/python benchmarks/cnn.py --data $(CIFAR10) --long,@echo "cnn.py skipped: set CIFAR10=FOLDER")
	$(if $(and $(PETS),$(WEIGHTS)),$(BIN)/python benchmarks/transfer.py --data $(PETS) --weights $(WEIGHTS),\
		@echo "transfer.py skipped: set PETS=FOLDER WEIGHTS=squeezenet1_0.pth")
	$(if $(and $(IMAGES),$(WEIGHTS)),$(BIN)/python benchmarks/style.py --images $(IMAGES) --weights $(WEIGHTS),\
		@echo "style.py skipped: set IMAGES=FOLDER WEIGHTS=squeezenet1_0.pth")
	$(if $(and $(CIFAR10),$(IMAGES),$(WEIGHTS)),$(BIN)/python benchmarks/embedded_network.py --data $(CIFAR10) --images $(IMAGES) \
		--teacher $(WEIGHTS),@echo "embedded_network.py skipped: set CIFAR10=FOLDER IMAGES=FOLDER WEIGHTS=squeezenet1_0.pth")
	$(if $(WEIGHTS),$(BIN)/python benchmarks/explain.py --weights $(WEIGHTS),\
		@echo "explain.py skipped: set WEIGHTS=squeezenet1_0.pth")
	$(if $(TEXT),$(BIN)/python benchmarks/char_rnn.py --text $(TEXT) --budgets 60s,3m,20m --cells gru,rnn --big,\
		@echo "char_rnn.py skipped: set TEXT=FILE")

# Builds the source distribution and the wheel, checks them, and runs the wheel in an empty environment.
dist: .venv/packaging
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tools/check_dist.py

# Generated files that are under version control: references, image of the README, gallery, feature network.
reference: .venv/developed
	$(BIN)/python tools/write_reference.py

overview: .venv/developed
	$(BIN)/python tools/draw_overview.py

gallery: .venv/developed
	$(BIN)/python tools/write_gallery.py

weights: .venv/installed
	$(BIN)/torchrun --nproc-per-node 2 tools/train_small.py $(DATA) --teacher $(TEACHER) --images $(IMAGES)

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/developed: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ .venv/installed

.venv/packaging: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[dist]'
	touch $@ .venv/installed

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
