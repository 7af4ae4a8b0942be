# Everything a newcomer needs: `make demo`, `make test`, `make lint`, `make bench`, `make docs`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test lint format bench docs clean

help:  ## what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: $(STAMP)  ## .venv with pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("glmbench needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; call make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## pre-train a small model on a simulated genome, benchmark it beside controls, write the report
	test -f demo/genome.fa || $(BIN)/glmbench simulate --out demo/genome.fa
	test -d demo/model || $(BIN)/glmbench pretrain demo/genome.fa --out demo/model --tokenizer character --depth 2 \
		--crop 256 --batch 8 --steps 400 --lr 2e-3
	$(BIN)/glmbench run --suite sim --task sim/promoter --task sim/splice --task sim/markov --model hf:demo/model \
		--store demo/store
	$(BIN)/glmbench report --store demo/store --out demo/report

test: $(STAMP)  ## the whole test suite, a process a core up to four
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(STAMP)  ## ruff, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## side-by-side timings; ONLY=name for one of them
	$(BIN)/python benchmarks/run.py $(if $(ONLY),--only $(ONLY))

docs: $(STAMP)  ## the documentation as a site in site/
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/mkdocs build --strict

clean:  ## remove what was made, keep .venv
	rm -rf build dist site demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
