# Every target sets up what it needs; nothing is installed twice.

PYTHON ?= python3
SIZE ?= tiny
B ?= 5
STEPS ?= 7500
SEED ?= 42

BIN := .venv/bin
INSTALLED := .venv/installed
INSTALLED_RAY := .venv/installed-ray
INSTALLED_SLURM := .venv/installed-slurm
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup store train grid study ray slurm bench datasets findings ui test test-crash test-all check clean

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(INSTALLED)  ## make .venv with the pinned dependencies

$(INSTALLED): pyproject.toml constraints.txt conda-stand-in
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python must be 3.11 or later, got $$($(PYTHON) --version) (PYTHON=... chooses another)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m looped.kernels.cpu.library
	@./conda-stand-in --put-into $(BIN)
	@touch $@

# `mlflow run` and `mlflow ui` make a missing database in place, which a kill leaves half made
store: setup  ## make the embedded MLflow database, or mend a half-made one
	@$(BIN)/python -m looped.tracking.stores.store

train: store  ## train one model: make train SIZE=tiny B=5 STEPS=300 SEED=42
	mlflow run . -e train -P size=$(SIZE) -P b=$(B) -P steps=$(STEPS) -P seed=$(SEED) --env-manager local

grid: store  ## train the study's 36 models, or go on with it
	mlflow run . -e grid --env-manager local

ray: $(INSTALLED_RAY)  ## add what several machines need: Ray, PostgreSQL's client, MLflow's passwords

$(INSTALLED_RAY): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,ray,server]'
	@touch $@

slurm: $(INSTALLED_SLURM)  ## add what the queue of a Slurm cluster needs: submitit

$(INSTALLED_SLURM): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,slurm]'
	@touch $@

# 40 models of linear regression in 2 dimensions: real trainings, small enough for two cores
STUDY := --experiment-name quick-study --env-manager local
study: store  ## train a small study, fit its law and report: about 10 minutes on two cores
	mlflow run . -e grid -P study=quick $(STUDY)
	mlflow run . -e fit_scaling $(STUDY)
	mlflow run . -e report -P out=runs/study-report $(STUDY)

bench: setup  ## measure speed: steps beside a plain implementation's, records, start-up
	python -m entrypoints.benchmark

datasets: setup  ## make the tables of looped.datasets anew from the journals of results
	python -m entrypoints.datasets

findings: setup  ## write the tables of docs/findings.md anew from results
	python -m entrypoints.findings

ui: setup  ## open the MLflow UI on the runs of this folder
	@$(BIN)/python -m looped.tracking.stores.store sqlite:///mlflow.db
	mlflow ui --backend-store-uri sqlite:///mlflow.db

test: setup  ## run the tests
	pytest -n 2

test-crash: setup  ## run the tests that kill and race processes
	pytest -n 2 -m crash

test-all: setup  ## run all tests, the slow ones and those that crash too
	pytest -n 2 -m ''

check: setup  ## lint, types and import order
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo

clean:  ## remove the environment and caches; runs and mlflow.db stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
