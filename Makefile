# Each target first makes .venv and installs requirements.lock into it.
# make test FAMILY=NAME runs a family's own tests, and its part of the shared ones (tests/selection.py).
PYTHON ?= python3
BIN := .venv/bin
.PHONY: zipf all test report gallery bench bench-gpu

zipf: .venv/installed
	$(BIN)/snakemake --cores all results/figures/zipf_loss.pdf

all: .venv/installed
	$(BIN)/snakemake --cores all

report: .venv/installed
	$(BIN)/snakemake --cores all
	$(BIN)/snakemake --report report.html

gallery: .venv/installed
	$(BIN)/snakemake --cores all gallery
	rm -rf docs/gallery
	cp -r results/gallery docs/gallery

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/Snakefile rules
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint
	$(BIN)/pytest $(if $(FAMILY),--family=$(FAMILY))

bench: .venv/installed
	$(BIN)/python benchmarks/run.py

bench-gpu: .venv/installed
	$(BIN)/python benchmarks/gpu.py

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "memorization needs Python 3.11 or later: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	touch $@
