PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
IN_DEMO := cd $(DEMO) && PATH="$(CURDIR)/$(BIN):$$PATH"
PADDLE26 := .venv-paddle26
PYTEST := --numprocesses=auto --dist=worksteal

# What `make test-kernels` runs, and the switches by which oneDNN, Paddle's MKL, torch's MKL and torch choose kernels.
NUMERIC := tests/models tests/models_paddle tests/models_torch tests/references tests/recipe \
	tests/cityscapes/test_agreement.py tests/cityscapes/test_predict.py tests/parity/certify/test_gates.py \
	tests/parity/engine tests/parity/reports/test_html_attention.py tests/parity/verdicts \
	tests/parity/mutants tests/paddleseg_port/test_finetune.py tests/paddleseg_port/test_inference.py
OLDEST := ONEDNN_MAX_CPU_ISA=SSE41 MKL_DEBUG_CPU_TYPE=0 MKL_CBWR=COMPATIBLE ATEN_CPU_CAPABILITY=default
AVX2 := ONEDNN_MAX_CPU_ISA=AVX2 MKL_DEBUG_CPU_TYPE=5 MKL_CBWR=AVX2 ATEN_CPU_CAPABILITY=avx2

.DEFAULT_GOAL := help
.PHONY: help install demo test test-kernels test-paddle26 lines fuzz check benchmark docs clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

install: $(VENV)/.installed ## make .venv and install the commands into it

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,demo]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,dev]'
	@touch $@

demo: install ## convert a full-size stand-in checkpoint, compare both frameworks, and find the mistake in a port
	@$(BIN)/python -m tests.workspace $(DEMO)
	$(IN_DEMO) ccnet-convert official.pth demo.pdparams --recurrence 2 --force
	$(IN_DEMO) ccnet-parity official.pth demo.pdparams --image photo.png --input-size 257,385
	! ( $(IN_DEMO) ccnet-parity official.pth --port mistaken_ccnet.py:build --input-size 65 --bisect )

test: $(VENV)/.installed-dev ## run every test
	$(BIN)/python -m pytest $(PYTEST)

test-kernels: $(VENV)/.installed-dev ## run the numeric tests with the kernels of older processors, and on all threads
	$(OLDEST) $(BIN)/python -m pytest $(PYTEST) $(NUMERIC)
	$(AVX2) $(BIN)/python -m pytest $(PYTEST) $(NUMERIC)
	$(BIN)/python -m pytest --numprocesses=0 $(NUMERIC)

test-paddle26: $(PADDLE26)/.installed ## run every test with Paddle 2.6.2, in an environment of its own
	$(PADDLE26)/bin/python -m pytest $(PYTEST)

$(PADDLE26)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PADDLE26)
	$(PADDLE26)/bin/python -m pip install --quiet --upgrade pip
	$(PADDLE26)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu,dev]' 'paddlepaddle==2.6.2'
	@touch $@

lines: $(VENV)/.installed-dev ## run every command line of READMEs and docs, on small networks
	CCNET_ALL_LINES=1 $(BIN)/python -m pytest --numprocesses=0 tests/docs/test_lines.py

fuzz: $(VENV)/.installed-dev ## read damaged and hostile files for five minutes
	$(BIN)/python -m tests.fuzz

check: $(VENV)/.installed-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmark: $(VENV)/.installed-dev ## measure every ratio: one table, and build/benchmark.json
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-dev ## write the tables and curves of docs/ again
	$(BIN)/python -m parity.mutants docs/mutants.md
	! $(BIN)/ccnet-parity certify --config configs/paddleseg_769x769_60k.yml --report build/audit
	cp build/audit/differences.md docs/paddleseg-audit.md
	$(BIN)/python -m benchmarks.finetune docs/images/finetune.svg

clean: ## remove what the targets made
	rm -rf $(VENV) $(PADDLE26) build
