# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
QUICKSTART := runs/quickstart
# Processes that share the tests.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: help demo test test-fast coverage check docs faults fuzz bench clean

help:
	@echo "make demo       install, train the quickstart (dates, two minutes), translate, export"
	@echo "make test       install what the tests need and run every test; ten to thirty minutes"
	@echo "make test-fast  only the tests that train nothing and start no process; a minute"
	@echo "make coverage   every test, and which lines of the package they run; a quarter slower"
	@echo "make check      lint and types"
	@echo "make docs       generate docs/settings.md and docs/commands.md from the program"
	@echo "make faults     trainings with kills, damaged files and full disks; an hour"
	@echo "make fuzz       millions of damaged configs, corpora and runs; FUZZ=--help says more"
	@echo "make bench      speed here, compared with the machine's limit; BENCH=--help says more"
	@echo "make clean      remove the environment; runs/ stays"

# Stamps: whether what pyproject.toml and constraints.txt ask for is installed.
$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "s2s needs Python 3.11 to 3.13; name one with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) -e '.[dev]'
	@touch $@

demo: $(VENV)/.base
	$(BIN)/python configs/quickstart_data.py
	$(BIN)/s2s train configs/quickstart.yaml
	@cut -f1 configs/quickstart/test.tsv > $(QUICKSTART)/test.source
	@cut -f2 configs/quickstart/test.tsv > $(QUICKSTART)/test.reference
	$(BIN)/s2s translate $(QUICKSTART) -i $(QUICKSTART)/test.source -o $(QUICKSTART)/test.translation
	@echo; echo "Held-out dates and their translations:"
	@paste $(QUICKSTART)/test.source $(QUICKSTART)/test.translation | head -n 5 | sed 's/^/  /; s/\t/  ->  /'
	@paste $(QUICKSTART)/test.translation $(QUICKSTART)/test.reference | \
	  awk -F '\t' '$$1 == $$2 { same++ } END { printf "%d of %d unseen dates are translated exactly.\n\n", same, NR }'
	$(BIN)/s2s export $(QUICKSTART) --format keras
	@echo; echo "Next, type:"
	@echo "  $(BIN)/s2s translate $(QUICKSTART) 'Friday, May 3, 2024'"
	@echo "  $(BIN)/s2s init YOUR.source YOUR.target     # then: $(BIN)/s2s train s2s.yaml"

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

coverage: $(VENV)/.dev
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report term

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.base
	$(BIN)/python -m s2s_cli.cli.reference docs

faults: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m faults $(FAULTS)

fuzz: $(VENV)/.dev
	$(PIP) -e '.[fuzz]'
	for target in config_loader corpus_readers run_loader; do \
	  PYTHONPATH=tests $(BIN)/python -m fuzz.$$target $(FUZZ) || exit 1; done

bench: $(VENV)/.dev
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) build *.egg-info
