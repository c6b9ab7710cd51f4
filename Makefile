# `make demo` and `make test` need Python 3.11 or newer, make and gcc; the rest they build into .venv.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

BIN := .venv/bin
STAMP := .venv/.built
DEMO := results/demo
REPORT := $(DEMO)/report.html
PROFILE := demo
LOCK := envs/requirements.txt

# What a person may set: make demo SEEDS=3, make test TESTS=tests/study/test_watch.py, make env PYTHON=...,
# make env CUDA=12
SEEDS ?=
TESTS ?=
TEST_JOBS ?= 2
UPGRADE ?=
PYTHON ?=
# Not from the environment, where a cluster's modules may name a folder by it.
CUDA :=
SNAKEMAKE_ARGS ?=

CODE := Snakefile $(wildcard workflow/Snakefile workflow/rules/*.smk)
SEED_LIST = [$$(seq -s , 0 $$(($(SEEDS) - 1)))]
DEMO_ARGS = --profile profiles/$(PROFILE) $(SNAKEMAKE_ARGS) $(if $(SEEDS),--config "seeds=$(SEED_LIST)")

# Snakemake and the stages it starts find their programs in .venv, whatever is activated.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help env demo demo-full readme test test-slurm prove lint format dry-run reference docs lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

env: $(STAMP) ## build the environment .venv (PYTHON=... the interpreter, CUDA=12, 13 or cpu the torch)

# In spite of its stamp, an environment whose interpreter is gone is built anew, and one for which
# another interpreter or another build of torch is asked is looked at.
ifneq ($(PYTHON)$(CUDA)$(if $(shell $(BIN)/python -c 'print(1)' 2>/dev/null),,gone),)
.PHONY: $(STAMP)
endif
$(STAMP): $(LOCK) pyproject.toml envs/torch-cuda12.txt envs/parts.sh envs/build.sh
	@envs/build.sh

# Ends with 3 where data are missing, once it has made and shown what it could.
demo: $(STAMP) ## the study, small: tables, figures and a page of it all (SEEDS=3 for three seeds)
	@code=0; \
	$(BIN)/python -m ssl_ood watch --results $(DEMO) -- $(BIN)/snakemake all report $(DEMO_ARGS) || code=$$?; \
	[ $$code -eq 0 ] || [ $$code -eq 3 ] || exit $$code; \
	echo $$code >$(DEMO)/exit_code
	@echo
	@$(BIN)/python -m ssl_ood show $(DEMO)/tables/table_negative_sampling.csv
	@echo
	@echo 'The report: $(CURDIR)/$(REPORT)'
	@exit $$(cat $(DEMO)/exit_code)

demo-full: PROFILE := demo-full
demo-full: demo ## the demo with its optional tables, too

readme: $(STAMP) ## put the demo's table, claims and figures into the README
	@$(BIN)/python benchmarks/readme.py $(DEMO)

test: $(STAMP) ## all tests (TESTS=tests/study/test_watch.py for some)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile \
	    -rs -m 'not slurm and not faults' $(TESTS)

test-slurm: $(STAMP) ## faults played on real processes and on a live SLURM (docs/slurm.md)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs -m 'slurm or faults' tests/slurm

prove: $(STAMP) ## thousands of damaged files (docs/measured/robustness.csv); wheels; the container's steps, as root
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/prove.py
	@envs/wheels.sh
	@container/prove.sh

lint: $(STAMP) ## ruff, snakefmt and snakemake's own linter; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check $(CODE)
	$(BIN)/snakemake --lint

format: $(STAMP) ## put the code into its canonical form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/snakefmt $(CODE)

dry-run: $(STAMP) ## count the jobs of the thesis-scale study without running one
	$(BIN)/snakemake all -n --quiet rules --config strict=true $(SNAKEMAKE_ARGS)

reference: $(STAMP) ## write the reference in config/ and docs/ from the code and config.yaml
	@$(BIN)/python -m ssl_ood reference

# With an environment of its own, so that none of its packages is one of the project's.
docs: $(STAMP) ## build the website of docs/ in site/; a warning, such as a broken link, is an error
	@[ -x .venv-docs/bin/python ] || $(BIN)/uv venv --quiet --python $(BIN)/python .venv-docs
	@$(BIN)/uv pip sync --quiet --python .venv-docs/bin/python --require-hashes envs/docs.txt
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --quiet --strict
	@echo '$(CURDIR)/site/index.html'

lock: $(STAMP) ## write the locks in envs/ from their .in files (UPGRADE=--upgrade: newest)
	@envs/lock.sh $(UPGRADE)

clean: ## remove the environment and the caches; keeps results/
	rm -rf .venv .venv-docs site .pytest_cache .ruff_cache .hypothesis workflow/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
