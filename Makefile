# make demo   environment, installation, synthetic data, training, a report in demo/report (about 5 minutes on 2 cores)
# make test   environment with development tools, all checks; ends with a line that counts them
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	rm -rf demo
	$(BIN)/python -m last synth --out demo/data
	$(BIN)/python -m last prepare --root demo/data --dataset synthetic --out demo/store
	$(BIN)/python -m last train --config configs/demo.yaml --data demo/store --out demo/run
	$(BIN)/python -m last report --run demo/run --data demo/store --out demo/report
	@echo "done: open demo/report/report.html"

test: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --durations=8

$(VENV)/.installed: settings.ini setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] in ((3, 11), (3, 12)) else "LAST needs Python 3.11 or 3.12; choose one with: make demo PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: settings.ini setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] in ((3, 11), (3, 12)) else "LAST needs Python 3.11 or 3.12; choose one with: make test PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) demo build *.egg-info
