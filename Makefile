# bpfbench: everything is set up in .venv; nothing else on the machine is changed.
#
#   make lab      install, and open JupyterLab on the notebooks
#   make tour     the same journey without a browser: out/tour.html
#   make test     install, and run every check: ruff, mypy, pytest, notebooks
#   make parity   agreement with recordings of real kernels and with the running one, as tables
#   make bench    speed, as ratios
#   make docs     the site in out/docs
#   make compile  translate the hot modules to native code (mypyc, some minutes); `make uncompile` undoes it
#   make wheel    a wheel of bpfbench with the native modules, in out/

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --quiet --disable-pip-version-check

NATIVE  := $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib') + '/bpfbench_native.pth')"

.PHONY: lab tour test test-compiled parity bench docs compile uncompile wheel clean

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
	$(BIN)/python -m pytest -q -n auto --dist loadfile tests -m "not slow"
	$(BIN)/python -m pytest -q -n auto --dist loadfile --nbval --nbval-sanitize-with notebooks/sanitize.cfg --nbval-cell-timeout=120 -p no:cacheprovider notebooks

parity: $(VENV)/test
	$(BIN)/python tests/parity.py

bench: $(VENV)/test
	$(BIN)/python benchmarks/run.py

$(VENV)/docs: $(VENV)/lab
	@$(PIP) install -e '.[c,docs]'
	@touch $@

docs: $(VENV)/docs
	$(BIN)/python -m docs.build out/docs

compile: $(VENV)/test
	@echo "compiling the modules that pyproject.toml names …"
	BPFBENCH_COMPILE=1 $(BIN)/python setup.py --quiet build_ext --inplace
	@echo $(CURDIR) > $$($(NATIVE))             # so that it is found from every folder
	@$(BIN)/python -m bpfbench --version

uncompile:
	find bpfbench -name '*.so' -delete
	rm -rf build bpfbench_native*.so
	@[ ! -x $(BIN)/python ] || rm -f $$($(NATIVE))

# The site shows sources, the course loads sources: neither is about native code.
test-compiled: compile
	$(BIN)/python -m pytest -q -n auto --dist loadfile tests -m "not slow" --ignore tests/browser --ignore tests/course \
	    --ignore tests/test_docs.py
	$(BIN)/python -m pytest -q -n auto --dist loadfile tests/course -m "not slow"

wheel: $(VENV)/test
	$(PIP) install setuptools wheel
	BPFBENCH_COMPILE=1 $(PIP) wheel --no-build-isolation --no-deps -w out .

clean: uncompile
	rm -rf out $(VENV)
