# make demo   environment, installation, synthetic data, training, a report in demo/report (about 5 minutes on 2 cores)
# make demo-teacher   the same with a small video network as teacher, on synthetic videos (about 3 minutes more)
# make test   environment with development tools, all checks; ends with a line that counts them
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo demo-teacher test clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	rm -rf demo
	$(BIN)/python -m last synth --out demo/data
	$(BIN)/python -m last prepare --root demo/data --dataset synthetic --out demo/store
	$(BIN)/python -m last train --config configs/demo.yaml --data demo/store --out demo/run
	$(BIN)/python -m last report --run demo/run --data demo/store --out demo/report
	@echo "done: open demo/report/report.html"

demo-teacher: $(VENV)/.installed-teacher
	rm -rf demo/teacher
	$(BIN)/python -m last synth --out demo/teacher/data --subjects 6 --replications 4 --cameras 1 --actions 4 --video
	$(BIN)/python -m last prepare --root demo/teacher/data --dataset synthetic --out demo/teacher/store
	for k in 1 2; do $(BIN)/python -m last teacher-finetune --config configs/demo_teacher.yaml --data demo/teacher/store --videos demo/teacher/data --cache demo/teacher/cache --fold $$k/2 --out demo/teacher/run$$k || exit 1; done
	$(BIN)/python -m last teacher-logits --runs demo/teacher/run1 demo/teacher/run2 --data demo/teacher/store --videos demo/teacher/data --out demo/teacher/logits --device cpu
	$(BIN)/python -m last distill --config configs/demo.yaml --data demo/teacher/store --teacher demo/teacher/logits/teacher.npz --out demo/teacher/student
	$(BIN)/python -m last evaluate --run demo/teacher/student --data demo/teacher/store --device cpu

test: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --durations=8

# $(call install,extras): the environment, made if need be, with this package in it
define install
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] in ((3, 11), (3, 12)) else "LAST needs Python 3.11 or 3.12; choose one with: make $(or $(firstword $(MAKECMDGOALS)),demo) PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.$(1)'
endef

$(VENV)/.installed: settings.ini setup.py constraints.txt
	$(call install,)
	touch $@

$(VENV)/.installed-teacher: settings.ini setup.py constraints.txt
	$(call install,[teacher])
	touch $(VENV)/.installed $@

$(VENV)/.installed-dev: settings.ini setup.py constraints.txt
	$(call install,[dev])
	touch $(VENV)/.installed $(VENV)/.installed-teacher $@

clean:
	rm -rf $(VENV) demo build *.egg-info
