# camsbench. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip resolves and installs in one place; the stamps say what the environment already has.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test lint type smoke methods parity gallery clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo  ## install, run eight methods on real images, print the table and where the report lies
	$(BIN)/python -m camsbench experiment=demo

test: $(VENV)/.dev  ## install what tests need, and run them
	$(BIN)/python -m pytest

lint: $(VENV)/.dev  ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.dev  ## mypy
	$(BIN)/mypy

smoke: $(VENV)/.demo  ## the main job on two images
	$(BIN)/python -m camsbench experiment=smoke

methods: $(VENV)/.dev  ## the table of methods with counted passes, to results/methods.md
	$(BIN)/python scripts/methods.py --output results/methods.md

parity: $(VENV)/.dev  ## every method against other people's implementations, to results/parity.md
	$(BIN)/python -m pytest -q -m parity --parity results/parity.md

gallery: $(VENV)/.dev  ## all methods on four images, to results/all_methods/gallery.png
	$(BIN)/python -m camsbench experiment=all_methods

clean:  ## remove the environment and the caches; runs under results/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e '.[demo]'
	@touch $@

# grad-cam and quantus each install a full OpenCV, which wants a screen's libraries: the headless one goes last.
$(VENV)/.dev: pyproject.toml $(VENV)/.demo
	$(PIP) -e '.[demo,peers,dev]'
	$(PIP) --force-reinstall --no-deps opencv-python-headless
	@touch $@
