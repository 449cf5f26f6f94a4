# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0
#
# Every target makes the environment that it needs. VENV=PATH uses another place for it.

VENV ?= .venv
QAT_VENV ?= .venv-qat
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell command -v $(p) 2>/dev/null)))
BIN := $(abspath $(VENV))/bin
QAT_BIN := $(abspath $(QAT_VENV))/bin
# A variable: a comma written into $(call …) would end the argument.
QAT_EXTRAS := dev,qat
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# $(call make-venv,FOLDER,EXTRA): a virtual environment with this checkout, editable, and the pinned versions.
define make-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "bitwright needs Python 3.11 or newer; '$(PYTHON)' is not: set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1) || { \
	  echo "cannot make $(1): install Python's venv module (Debian: apt-get install python3-venv)"; exit 1; }
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(2)]'
	@touch $(1)/.made-for-$(2)
endef

$(VENV)/.made-for-dev: pyproject.toml constraints.txt
	$(call make-venv,$(VENV),dev)

$(VENV)/.made-for-demo: pyproject.toml constraints.txt
	$(call make-venv,$(VENV),demo)

$(QAT_VENV)/.made-for-$(QAT_EXTRAS): pyproject.toml constraints.txt
	$(call make-venv,$(QAT_VENV),$(QAT_EXTRAS))

.PHONY: lint
lint: $(VENV)/.made-for-dev ## ruff and mypy (on an installed copy of the package)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf build/typecheck build/lib  # setuptools keeps files there that are gone here
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/typecheck .
	cd build/typecheck && $(BIN)/mypy --config-file ../../pyproject.toml -p bitwright

.PHONY: test
test: lint test-core test-qat ## what CI runs: lint and every test that is not slow

.PHONY: test-core
test-core: $(VENV)/.made-for-dev ## tests that need no torch, in an environment without it
	$(BIN)/python -m pytest -n $(JOBS) -m "not slow and not qat"

.PHONY: test-qat
test-qat: $(QAT_VENV)/.made-for-$(QAT_EXTRAS) ## tests that train and export with torch and Brevitas
	@$(QAT_BIN)/python -W ignore -c 'import torch, brevitas'  # what this target promises must not end as skipped tests
	OMP_NUM_THREADS=1 $(QAT_BIN)/python -m pytest -n $(JOBS) -m "qat and not slow"  # one thread for each of JOBS processes

PYNQ_VERSIONS ?= 3.0.1 3.1.2 4.0.0
.PHONY: test-pynq
test-pynq: ## pynq programs, drivers and our runtime on simulated devices, with every version of pynq in its own environment
	@for version in $(PYNQ_VERSIONS); do \
	  venv=.venv-pynq-$$version; echo "pynq $$version"; \
	  { test -x $$venv/bin/python || $(PYTHON) -m venv $$venv; } && \
	  $$venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[hls4ml,rtl]' "pynq==$$version" \
	    'pycparser<3' 'setuptools<81' 'numpy<2' 'bitstring<5' 'pytest>=8' 'pytest-timeout>=2.3' 'hypothesis>=6.100' && \
	  BITWRIGHT_PYNQ=$$version $$venv/bin/python -m pytest tests/pynq tests/build/test_hwh_pynq.py || exit 1; \
	done

.PHONY: test-finn-base
test-finn-base: ## FINN's DMA words against finn-base, in an environment of its own
	@test -x .venv-finn-base/bin/python || $(PYTHON) -m venv .venv-finn-base
	@echo 'setuptools<81' > .venv-finn-base/constraints.txt  # finn-base's setup.py needs pkg_resources
	@PIP_CONSTRAINT=$(CURDIR)/.venv-finn-base/constraints.txt .venv-finn-base/bin/python -m pip install --quiet \
	  --disable-pip-version-check --editable '.[finn-base]' 'pytest>=8' 'pytest-timeout>=2.3' 'hypothesis>=6.100'
	BITWRIGHT_REQUIRE_FINN_BASE=1 .venv-finn-base/bin/python -m pytest tests/finn/test_packing.py

.PHONY: test-finn
test-finn: $(VENV)/.made-for-dev ## what we emit against FINN itself: set FINN_ROOT and BITWRIGHT_FINN_PYTHON (docs/finn.md)
	BITWRIGHT_REQUIRE_FINN=1 $(BIN)/python -m pytest tests/finn/test_real_finn.py

.PHONY: test-all
test-all: lint $(QAT_VENV)/.made-for-$(QAT_EXTRAS) ## every test, the slow ones too (an hour or more: bitstreams, whole frames on the RTL)
	OMP_NUM_THREADS=1 $(QAT_BIN)/python -m pytest -n $(JOBS)

.PHONY: demo
demo: $(VENV)/.made-for-demo ## the main job on the digits networks: compile, verify, run on the simulated board
	$(BIN)/python examples/digits/demo.py

.PHONY: bench-sim
bench-sim: $(VENV)/.made-for-demo ## speed of the simulators against qonnx and float onnxruntime; OUT=FILE.json keeps the figures
	$(BIN)/python -m benchmarks.bench_sim $(if $(OUT),--json $(OUT))

.PHONY: bench-deform
bench-deform: $(QAT_VENV)/.made-for-$(QAT_EXTRAS) ## the deformable ablation on digit scenes, or with BCCD=FOLDER on blood cells (about an hour); OUT=FILE.json keeps the figures
	$(QAT_BIN)/python -m benchmarks.bench_deform $(if $(BCCD),--bccd $(BCCD)) $(if $(OUT),--json $(OUT))

.PHONY: bench-engine
bench-engine: $(VENV)/.made-for-dev ## frames per second of the engine in RTL simulation, CoDeNet a-e and MobileNetV2 (half an hour)
	$(BIN)/bitwright bench engine

.PHONY: bench-estimates
bench-estimates: $(VENV)/.made-for-dev ## predicted against published synthesis reports and boards (docs/estimates.md); OUT=FILE.json keeps the figures
	$(BIN)/python -m benchmarks.bench_estimates $(if $(OUT),--json $(OUT))

.PHONY: bench-explore
bench-explore: $(VENV)/.made-for-dev ## the folding search against slowest-first on zoo networks and MobileNetV2; OUT=FILE.json keeps the figures
	$(BIN)/python -m benchmarks.bench_explore $(if $(OUT),--json $(OUT))

.PHONY: bench-one-class
bench-one-class: $(QAT_VENV)/.made-for-$(QAT_EXTRAS) ## two-stage one-class detection over seeds; BCCD=FOLDER adds blood tiles, OUT=FILE.json keeps the figures
	$(QAT_BIN)/python -m benchmarks.bench_one_class $(if $(BCCD),--bccd $(BCCD)) $(if $(OUT),--json $(OUT))

.PHONY: clean
clean: ## remove what the other targets made, the environments too
	rm -rf build dist out .venv .venv-qat .mypy_cache .ruff_cache .pytest_cache .hypothesis
