# Everything is set up by `make setup`, which every other target runs first; it is quick when nothing changed.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# onnxruntime would otherwise report usage to its makers.
export ORT_DISABLE_TELEMETRY ?= 1

# The QuadSim recordings, where they lie beside the checkout; tests that need them are skipped elsewhere.
ifneq ($(wildcard ../shared/quadsim/train),)
export QUADFOLLOW_DATA ?= $(abspath ../shared/quadsim)
endif

# Tests that load TensorFlow run in a process of their own: beside it OpenGL cannot draw the city.
TENSORFLOW := tests/training tests/export

.PHONY: help setup demo train finish-160 finish-256 test test-slow browser lint bench bench-pages docs fuzz soak audit sbom image-test triton-test kubernetes-test scale-test clean

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with everything pinned, and install what the system lacks (PYTHON=python3.12 picks another)

$(READY): pyproject.toml constraints.txt deploy/setup.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" deploy/setup.sh
	@touch $@

# Who names a Python is told where the environment has another one.
ifeq ($(origin PYTHON),command line)
.PHONY: $(READY)
endif

demo: setup ## serve the shipped model, follow a person, print the table (FRAMES=dir: over your frames; VIEW=1: live view)
	$(BIN)/quadfollow demo $(if $(FRAMES),--frames "$(FRAMES)") $(if $(VIEW),--view)

MODEL ?= 256
COUNT ?= 12800
CITY := runs/data/city
DECOYS := runs/data/decoys
BEST-160 := runs/regular-160
BEST-256 := runs/mean-256
LEAD-160 := 0
LEAD-256 := 4.5
QUADFOLLOW = KERAS_BACKEND=tensorflow $(BIN)/quadfollow
SETS = --data $(DATA) --data $(CITY)
train: setup ## train a shipped network anew, from data to card (DATA=dir of QuadSim's sets; KERAS_BACKEND=jax with a GPU)
	$(if $(DATA),,$(error say where QuadSim's sets lie: make train DATA=dir))
	$(BIN)/quadfollow data render $(addprefix --preset ,street plaza crowd dusk wind) --count $(COUNT) --seed 101 -o $(CITY)
	$(BIN)/quadfollow train --recipe crops-$(MODEL) $(SETS) --out runs/crops-$(MODEL) --resume
	$(QUADFOLLOW) train --recipe follow-$(MODEL) --init runs/crops-$(MODEL)/last.keras $(SETS) \
		--out runs/follow-$(MODEL) --resume
	$(MAKE) finish-$(MODEL)
	$(QUADFOLLOW) export $(BEST-$(MODEL)) -o runs/follow-$(MODEL).onnx --least-lead $(LEAD-$(MODEL)) \
		--data $(DATA)/validation --evaluate $(DATA)/sample_evaluation_data
	$(QUADFOLLOW) export runs/follow-$(MODEL).onnx --int8 \
		--data $(DATA)/validation --evaluate $(DATA)/sample_evaluation_data

finish-160:
	$(QUADFOLLOW) train --recipe regular-160 --init runs/follow-160/last.keras $(SETS) --out $(BEST-160) --resume

finish-256:
	$(QUADFOLLOW) train --recipe hard-256 --init runs/follow-256/last.keras --mistakes-of runs/follow-256/best.keras \
		$(SETS) --out runs/hard-256 --resume
	$(BIN)/quadfollow data render $(addprefix --preset ,decoys street decoys plaza) --count $(COUNT) --seed 303 -o $(DECOYS)
	$(QUADFOLLOW) train --recipe decoys-256 --init runs/hard-256/best.keras \
		$(SETS) --data $(DECOYS) --out runs/decoys-256 --resume
	$(QUADFOLLOW) train --recipe decoys-256-2 --init runs/decoys-256/best.keras --mistakes-of runs/hard-256/best.keras \
		$(SETS) --data $(DECOYS) --out runs/decoys-256-2 --resume
	test -e runs/decoys-256-mean/best.keras || $(QUADFOLLOW) average runs/decoys-256-2 \
		--with runs/decoys-256/best.keras --share 0.65 $(SETS) --data $(DECOYS) --out runs/decoys-256-mean
	$(QUADFOLLOW) train --recipe decoys-256-3 --init runs/decoys-256-mean/best.keras \
		--mistakes-of runs/decoys-256-mean/best.keras $(SETS) --data $(DECOYS) --out runs/decoys-256-3 --resume
	test -e $(BEST-256)/best.keras || $(QUADFOLLOW) average runs/decoys-256-3 --with runs/decoys-256-2/last.keras \
		--with runs/decoys-256/best.keras --share 0.3333 $(SETS) --data $(DECOYS) --out $(BEST-256)

test: lint ## lint, then every test but the slow ones
	$(BIN)/pytest -m "not slow" $(TENSORFLOW)
	$(BIN)/pytest -m "not slow" $(addprefix --ignore=,$(TENSORFLOW))

test-slow: setup browser ## the slow tests: closed loop, training, containers
	$(BIN)/pytest -m slow $(TENSORFLOW)
	$(BIN)/pytest -m slow $(addprefix --ignore=,$(TENSORFLOW))

browser: setup
	deploy/browser.sh

docs: setup ## build the documentation into out/site, refusing broken links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: setup ## ruff, mypy and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure on this machine, about an hour and a half, into out/bench: also other servers, installed into out/peers
	for one in floor stages latency rewrites tried breakdown scale flight city; do $(BIN)/python benchmarks/$$one.py; done
	for model in follow-256 follow-160; do $(BIN)/python benchmarks/stream.py --model $$model; done
	for graph in exported chosen same null; do $(BIN)/python benchmarks/serve.py --graph $$graph; done
	$(if $(QUADFOLLOW_DATA),$(BIN)/python benchmarks/precisions.py)
	$(BIN)/python benchmarks/page.py --results out/bench --docs out/bench/docs

bench-pages: setup ## keep what `make bench` measured, and make the documentation's pages of it
	mkdir -p benchmarks/results
	cp out/bench/*.json benchmarks/results/
	$(BIN)/python benchmarks/page.py
	cp out/bench/breakdown-*.svg docs/img/

fuzz: setup ## new nonsense, EXAMPLES=10000 of each kind: at each door, a good frame after each piece; at what reads files
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[fuzz]'
	QUADFOLLOW_FUZZ_EXAMPLES=$(or $(EXAMPLES),10000) $(BIN)/pytest tests/server/test_fuzz.py tests/server/test_openapi.py tests/fuzz --timeout=0 -v
	for one in request replies image sensor_frame recording; do $(BIN)/python tests/fuzz/explore.py $$one out/fuzz $(or $(EXAMPLES),10000); done

soak: setup ## load, faults and bad clients for MINUTES=60; memory, handles, drift and the fate of each frame, into out/soak.json
	$(BIN)/python benchmarks/soak.py --minutes $(or $(MINUTES),60) --out out/soak.json

audit: setup ## ask the index of vulnerabilities about each package that is served
	deploy/supply.sh audit

sbom: setup ## write the bill of materials of what is served, out/supply/sbom.cdx.json
	deploy/supply.sh sbom

image-test: setup ## build the serving image and run it for real, without a Docker daemon (root, Debian)
	deploy/image_test.sh

triton-test: setup ## load the exported model repository into a real Triton server and compare answers (Debian, Ubuntu)
	deploy/triton_test.sh

kubernetes-test: setup ## build the Kubernetes overlays and hold them to Kubernetes' schemas (Node.js)
	deploy/kubernetes_test.sh

scale-test: setup ## serve on a Ray cluster of several nodes on this machine, and kill one of them
	deploy/scale_test.sh

clean: ## remove the virtual environment, builds and caches
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
