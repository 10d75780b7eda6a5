# One place for every command; hooks and CI call the same targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

LAST_TAG = $(shell git describe --tags --abbrev=0 2> /dev/null)

.PHONY: help analyze test coverage quick check format protos lowest serve bench bench-video fuzz soak endurance faults attack clusters-test image-base image-test clean

help:  ## Show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { echo "mien needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.local

analyze: $(VENV)/.local  ## Analyze the example photograph, in local mode
	$(BIN)/client analyze examples/astronaut.jpg --annotate out/astronaut.jpg
	@echo "annotated image: out/astronaut.jpg"

serve: $(VENV)/.dev  ## Serve a cluster on this machine until Ctrl-C
	$(BIN)/mien serve

test: $(VENV)/.dev  ## Run all tests
	$(BIN)/pytest --durations=10

coverage: $(VENV)/.dev  ## Run all tests and list the lines that none of them runs
	$(BIN)/pytest --cov --cov-report=term-missing:skip-covered

quick: $(VENV)/.dev  ## Check format, lint, types and import directions, in seconds; the commit hook
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/unit/test_imports.py tests/unit/test_public_names.py tests/unit/test_packaging.py

check: $(VENV)/.dev  ## Check format, lint, types, generated code, unit tests and manifests; CI's first half
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy examples/*.py
	$(BIN)/python protos/check.py $(if $(LAST_TAG),--against $(LAST_TAG))
	$(BIN)/pytest --quiet tests/unit tests/deploy

format: $(VENV)/.dev  ## Format the code and fix lint errors
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protos: $(VENV)/.dev  ## Regenerate client/mien/v1 from protos/
	$(BIN)/python protos/generate.py client

lowest: $(VENV)/.dev  ## Resolve the lowest supported versions into constraints-lowest.txt
	$(BIN)/uv pip compile --quiet pyproject.toml --extra test --resolution lowest-direct --python-version 3.11 \
		--no-annotate --no-header --output-file constraints-lowest.txt

bench: $(VENV)/.dev  ## Compare Mien with other serving systems; BENCH='--photographs FOLDER', BENCH=--quick
	$(BIN)/python benchmarks/serving.py $(BENCH)

fuzz: $(VENV)/.dev  ## Corrupt 2,000 images and 2,000 HTTP requests; each is answered or rejected with a clear error; FUZZ=20000
	FUZZ=$(or $(FUZZ),2000) $(BIN)/pytest tests/integration/test_mutated_images.py \
		tests/integration/test_mutated_requests.py --capture=no

bench-video: $(VENV)/.dev  ## Measure video streams beside calls per frame; PHOTOS=FOLDER CLIPS=FOLDER
	$(BIN)/python benchmarks/video.py --photographs $(PHOTOS) --clips $(CLIPS) --out benchmarks/results/video.json

soak: $(VENV)/.dev  ## Send 20,000 requests to each deployment mode and measure memory growth; SOAK='--mode single'
	$(BIN)/python benchmarks/soak.py --out benchmarks/results/soak.json $(SOAK)

faults: $(VENV)/.dev  ## Kill, stop and slow down processes of a cluster, and measure what callers notice
	$(BIN)/python benchmarks/faults.py --out benchmarks/results/faults.json $(FAULTS)

endurance: $(VENV)/.dev  ## Two hours of mixed requests to a cluster, with a kill every ten minutes; ENDURANCE='--minutes 20'
	$(BIN)/python benchmarks/endurance.py --out benchmarks/results/endurance.json $(ENDURANCE)

attack: $(VENV)/.dev  ## Attack a server with bombs, storms and stalled uploads, and measure a neighbour; ATTACK='--seconds 5'
	$(BIN)/python benchmarks/attack.py --out benchmarks/results/attack.json $(ATTACK)

clusters-test: $(VENV)/.dev  ## Test scaling, node loss and model updates on Ray clusters in private namespaces (needs root)
	$(BIN)/pytest tests/clusters

image-base:  ## Build a base image from Debian packages, for image-test without docker.io (needs mmdebstrap)
	mmdebstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm - | podman import - mien-base

image-test: $(VENV)/.dev  ## Build the image and run it as Kubernetes does (needs podman, runc and iptables; BASE=localhost/mien-base)
	$(BIN)/pytest tests/image $(if $(BASE),--base $(BASE)) --capture=no

clean:  ## Remove the environment and build outputs
	rm -rf $(VENV) build dist out .mypy_cache .pytest_cache .ruff_cache
