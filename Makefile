# bpfbench: everything is set up in .venv; nothing else on the machine is changed.
#
#   make lab      install, and open JupyterLab on the notebooks
#   make tour     the same journey without a browser: out/tour.html
#   make test     install, and run every check: ruff, mypy, pytest, notebooks
#   make parity   agreement with recordings of real kernels and with the running one, as tables
#   make bench    speed, as ratios
#   make docs     the site in out/docs

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: lab tour test parity bench docs clean

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bpfbench needs Python 3.11 or newer; set PYTHON="; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv module: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@touch $@

$(VENV)/lab: $(VENV)/python pyproject.toml
	@echo "installing bpfbench into $(VENV) …"
	@$(PIP) install -e '.[c]'
	@touch $@

$(VENV)/test: $(VENV)/lab
	@echo "installing what the tests need …"
	@$(PIP) install -e '.[c,test,docs]'
	@touch $@

lab: $(VENV)/lab
	$(BIN)/bpfbench lab notebooks

tour: $(VENV)/lab
	$(BIN)/bpfbench tour -o out/tour.html

test: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests -m "not slow"
	$(BIN)/python -m pytest -q --nbval --nbval-sanitize-with notebooks/sanitize.cfg --nbval-cell-timeout=120 -p no:cacheprovider notebooks

parity: $(VENV)/test
	$(BIN)/python tests/parity.py

bench: $(VENV)/test
	$(BIN)/python benchmarks/run.py

$(VENV)/docs: $(VENV)/lab
	@$(PIP) install -e '.[c,docs]'
	@touch $@

docs: $(VENV)/docs
	$(BIN)/python -m docs.build out/docs

clean:
	rm -rf out $(VENV)
