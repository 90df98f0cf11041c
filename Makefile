# camsbench. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip resolves and installs in one place; the stamps say what the environment already has.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-faults lint type smoke methods families parity gallery audit plan digits digits-transformer known-answers bench bench-scale bench-report bench-openvino-xai docs vendor-charts clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/.demo  ## install, run eight methods on real images, print the table and where the report lies
	$(BIN)/python -m camsbench experiment=demo

PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

test: $(VENV)/.dev  ## install what tests need, and run those for whoever changes things: at most six minutes on two cores
	$(PYTEST) -m "not (slow or parity or faults or browser)"

test-all: $(VENV)/.dev  ## all tests: large images, other processes, peers, faults, a browser
	$(PYTEST)

test-faults: $(VENV)/.dev  ## break runs in every way of a list, and look at what is left
	$(BIN)/python -m pytest -m faults -v

lint: $(VENV)/.dev  ## ruff: rules and formatting; import-linter: who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(VENV)/.dev  ## mypy
	$(BIN)/mypy

smoke: $(VENV)/.demo  ## the main job on two images
	$(BIN)/python -m camsbench experiment=smoke

methods: $(VENV)/.dev  ## the table of methods with counted passes, to results/methods.md
	$(BIN)/python scripts/methods.py --output results/methods.md

families: $(VENV)/.dev  ## every family of networks on tokens by every method for them, to results/families.md
	$(BIN)/python scripts/families.py --output results/families.md

parity: $(VENV)/.dev  ## every method against other people's implementations, to results/parity.md
	$(BIN)/python -m pytest -q -m parity --parity results/parity.md

gallery: $(VENV)/.dev  ## all methods on four images, to results/all_methods/gallery.png
	$(BIN)/python -m camsbench experiment=all_methods

# The papers' tables and figures. SMOKE=1 runs the same on the embedded network and images; ARGS adds options.
REAL = $(if $(DATA),'data.root="$(DATA)"')
EXPERIMENT = $(BIN)/python -m camsbench experiment=$(subst -,_,$@) $(if $(SMOKE),smoke=true,$(REAL)) $(ARGS)

reciprocam-table1: $(VENV)/.demo  ## six networks, five methods, seven metrics: DATA=/path/to/ILSVRC2012 or SMOKE=1
	$(EXPERIMENT)

reciprocam-table2: $(VENV)/.demo  ## the time of five methods on ResNet-50
	$(EXPERIMENT)

reciprocam-layers: $(VENV)/.demo  ## quality and time against the depth of the cut
	$(EXPERIMENT)

abscam-table2: $(VENV)/.demo  ## drop, increase, insertion and deletion of seven methods on VGG16
	$(EXPERIMENT)

abscam-table3: $(VENV)/.demo  ## pointing game and time
	$(EXPERIMENT)

abscam-readings: $(VENV)/.demo  ## the ways to read Abs-CAM, side by side
	$(EXPERIMENT)

multiverse: $(VENV)/.demo  ## one table with one choice at a time made otherwise: which choices move the order of the methods?
	$(EXPERIMENT)
	$(BIN)/python -m camsbench.reliability $(if $(SMOKE),results/smoke,results)/multiverse

FIGURES := $(addprefix abscam-figure,2 3 4 5 6 7) $(addprefix reciprocam-figure,1 3 4 5)
.PHONY: reciprocam-table1 reciprocam-table2 reciprocam-layers abscam-table2 abscam-table3 abscam-readings multiverse figures $(FIGURES)

$(FIGURES): $(VENV)/.demo
	$(EXPERIMENT)

figures: $(FIGURES)  ## abscam-figure2 to 7 and reciprocam-figure1, 3, 4, 5, each also a target of its own

audit: $(VENV)/.demo  ## what the printed numbers of both papers imply, to results/audit.md
	$(BIN)/python -m camsbench.audit --output results/audit.md

DIGITS := results/digits
AS_DIGITS := PYTHONPATH=scripts CAMSBENCH_PLUGINS=digits $(BIN)/python
ON_DIGITS = $(AS_DIGITS) -m camsbench model=module model.build=digits.network:build data=table \
  'method=[gradcam,layercam,reciprocam,scorecam]' gallery=6 runtime.bare=0 \
  protocol.insertion.steps=14 protocol.deletion.steps=14

digits: $(VENV)/.dev  ## the worked example outside ImageNet: train three small networks, explain them, look for the evidence
	$(AS_DIGITS) -m digits.train --output $(DIGITS) $(ARGS)
	$(ON_DIGITS) ++model.options.outputs=10 model.weights=$(DIGITS)/labels.pth model.output=labels \
	  data.file=$(DIGITS)/labels.csv target=label 'metric=[drop,insertion,deletion,pointing,energy_pointing]' \
	  summary.by=ink output=$(DIGITS)/labels_run
	$(ON_DIGITS) ++model.options.outputs=1 model.weights=$(DIGITS)/either.pth model.output=binary \
	  data.file=$(DIGITS)/either.csv target=label 'metric=[drop,insertion,deletion,pointing,energy_pointing]' \
	  summary.by=label output=$(DIGITS)/either_run
	$(ON_DIGITS) ++model.options.outputs=1 model.weights=$(DIGITS)/sum.pth model.output=value \
	  data.file=$(DIGITS)/sum.csv target=predicted 'metric=[infidelity,sparseness,pointing,energy_pointing]' \
	  output=$(DIGITS)/sum_run
	$(AS_DIGITS) -m digits.evidence $(DIGITS)

known-answers: $(VENV)/.demo  ## every method and metric where the evidence is known, to results/known_answers.md; eight minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m camsbench experiment=known_answers $(ARGS)  # passes too small to share
	$(BIN)/python scripts/known_answers.py results/known_answers --output results/known_answers.md

plan: $(VENV)/.demo  ## passes and hours of ReciproCAM's Table 1, before any work; ARGS=... for another run
	$(BIN)/python -m camsbench.plan $(or $(ARGS),experiment=reciprocam_table1)

DIGITS_TRANSFORMER := results/digits_transformer
digits-transformer: $(VENV)/.dev  ## the same example with a small vision transformer and the methods for these
	$(AS_DIGITS) -m digits.train --output $(DIGITS_TRANSFORMER) --network transformer --epochs 14 $(ARGS)
	$(AS_DIGITS) -m camsbench model=module model.build=digits.transformer:build ++model.options.outputs=10 \
	  model.weights=$(DIGITS_TRANSFORMER)/labels.pth model.output=labels \
	  data=table data.file=$(DIGITS_TRANSFORMER)/labels.csv target=label \
	  'method=[gradcam,layercam,reciprocam,vit_reciprocam_gaussian,attention_guided_cam,transformer_attribution,legrad,attnlrp]' \
	  'metric=[drop,insertion,deletion,pointing,energy_pointing]' gallery=6 runtime.bare=0 \
	  protocol.insertion.steps=14 protocol.deletion.steps=14 output=$(DIGITS_TRANSFORMER)/labels_run
	$(AS_DIGITS) -m digits.evidence $(DIGITS_TRANSFORMER) --questions labels --peaks

bench: $(VENV)/.dev  ## beside the peers, method by method in one run, to results/bench; about an hour on two quiet cores
	$(BIN)/python scripts/bench.py $(if $(wildcard .venv-ovx/bin/python),--openvino-xai-python .venv-ovx/bin/python) $(ARGS)

bench-scale: $(VENV)/.dev  ## workers side by side, Ray, 50,000 rows and images, to results/bench/scale.md
	$(BIN)/python scripts/bench_scale.py $(ARGS)

# What a user of the Python API meets; the rest is how runs are done.
ROOMS := camsbench '!camsbench\.(run|config|report|session|experiment|plan|show|check|status|ls|audit|former_names|__main__)'

docs: $(VENV)/.dev  ## the reference of the Python API from the docstrings, to docs/api/index.html
	rm -rf docs/api
	$(BIN)/python -W error -c 'from camsbench import *; from pdoc.__main__ import cli; cli()' --docformat google --output-directory docs/api $(ROOMS)

bench-report: $(VENV)/.dev  ## writing, size and opening of a report of 50,000 images, to results/bench/report.md
	$(BIN)/python scripts/bench_report.py $(ARGS)

bench-openvino-xai:  ## openvino-xai for the bench, in an environment of its own: it wants another OpenVINO
	$(PYTHON) -m venv .venv-ovx
	.venv-ovx/bin/python -m pip install --quiet --disable-pip-version-check openvino-xai

vendor-charts: $(VENV)/bin/python  ## the report's chart library from its pinned npm package (needs npm); ARGS=--check compares
	$(BIN)/python scripts/vendor_charts.py $(ARGS)

clean:  ## remove the environment and the caches; runs under results/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(PIP) -e '.[demo]'
	@touch $@

# grad-cam and quantus each install a full OpenCV, which wants a screen's libraries: the headless one goes last.
# lxt, whose rules AttnLRP is compared with, asks for transformers, bitsandbytes and more: its rules need PyTorch alone.
$(VENV)/.dev: pyproject.toml $(VENV)/.demo
	$(PIP) -e '.[demo,peers,dev]'
	$(PIP) --no-deps lxt==2.1
	$(PIP) --force-reinstall --no-deps opencv-python-headless
	@touch $@
