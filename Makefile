# make demo          environment, installation, training on eleven actions of real people, a report in demo/report (about 5 minutes on 2 cores, 1.4 GB)
# make demo-teacher  a small video network as teacher, on synthetic videos (about 3 minutes more)
# make test          environment with development tools, all checks; ends with a line that counts them
# make soak          hours: kills of every command at 50 random moments each; the results go to results/scale
# make lab           opens the notebooks in JupyterLab
# make docs          the site in build/docs, from notebooks, pages and package; formulas need npm (node) once, for MathJax
# make page          the demo as static files in build/page, which run in a browser; needs npm. RUN=FOLDER: another network for it
# make report        nbs/report.ipynb as a paper: build/report/report.html, and report.pdf where Chromium is
# make release       wheel in dist/, checked, with its changelog entry and the tag to set; nothing is pushed
# make hooks         for contributors: clean notebooks on save, check format and export before each commit
PYTHON ?= python3
VENV   ?= .venv
# PyTorch's CPU build comes from here where it can be reached; empty (TORCH_INDEX=): whatever pip brings, on Linux the CUDA build
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BIN    := $(VENV)/bin
LAST   := $(BIN)/python -m last

.PHONY: demo demo-teacher test soak lab docs page report release node hooks clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	rm -rf demo
	$(LAST) prepare --dataset hdm05 --out demo/store
	$(LAST) train --config hdm05 --data demo/store --out demo/run
	$(LAST) report --run demo/run --data demo/store --out demo/report
	@echo "done: open demo/report/report.html"

T := demo/teacher
FINETUNE = $(LAST) teacher-finetune --config demo_teacher --data $(T)/store --videos $(T)/data --cache $(T)/cache

demo-teacher: $(VENV)/.installed-teacher
	rm -rf $(T)
	$(LAST) synth --out $(T)/data --subjects 6 --replications 4 --cameras 1 --actions 4 --video
	$(LAST) prepare --root $(T)/data --dataset synthetic --out $(T)/store
	$(FINETUNE) --fold 1/2 --out $(T)/run1
	$(FINETUNE) --fold 2/2 --out $(T)/run2
	$(LAST) teacher-logits --runs $(T)/run1 $(T)/run2 --data $(T)/store --videos $(T)/data --out $(T)/logits --device cpu
	$(LAST) distill --config demo --data $(T)/store --teacher $(T)/logits/teacher.npz --out $(T)/student
	$(LAST) train --config demo --data $(T)/store --out $(T)/untaught
	@$(LAST) evaluate --run $(T)/untaught --data $(T)/store --device cpu > $(T)/untaught.txt
	@$(LAST) evaluate --run $(T)/student --data $(T)/store --device cpu > $(T)/student.txt
	@echo; echo "One network, one recipe, one seed, tested on persons whom neither the student nor its teachers saw:"
	@printf 'from labels alone      '; head -n 1 $(T)/untaught.txt
	@printf 'with video teachers    '; head -n 1 $(T)/student.txt
	@echo "This shows that the machinery works; what a teacher gains on real clips: nbs/results_distillation.ipynb"

test: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=30

soak: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python experiments/soak.py --kills 50 --out results/scale/soak.json

lab: $(VENV)/.installed-dev
	$(BIN)/jupyter lab nbs

docs: $(VENV)/.installed-docs node
	$(BIN)/python tools/site_source.py build/docs-source
	$(BIN)/python -m sphinx -q -E -b html build/docs-source build/docs
	@echo "done: open build/docs/index.html"

RUN ?= core15

page: $(VENV)/.installed-export node
	$(BIN)/python tools/page.py $(RUN) build/page

report: $(VENV)/.installed-docs node
	$(BIN)/python tools/paper.py build/report

release: $(VENV)/.installed-dev
	$(BIN)/python tools/release.py $(if $(TAG),--tag)

# what the site, the page and the checks in a browser take from npm, once
node: build/node/.installed
build/node/.installed: tools/package.json
	mkdir -p build/node
	cp tools/package.json build/node/
	if command -v npm >/dev/null; then cd build/node && npm install --no-audit --no-fund --silent && touch .installed; else echo "no npm: formulas of the site and the report stay as TeX"; fi

hooks: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/nbdev_install_hooks
	install -m 755 tools/pre-commit .git/hooks/pre-commit

# numpy 2 and no MediaPipe on Python 3.13
CONSTRAINTS := $(shell $(PYTHON) -c 'import sys; print("constraints-3.13.txt" if sys.version_info >= (3, 13) else "constraints.txt")')
TORCH := $(shell sed -n 's/^requirements = \(torch[^ ]*\).*/\1/p' settings.ini)
REACHED = $(BIN)/python -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1] + "/torch/", timeout=10)' $(TORCH_INDEX) 2>/dev/null

# $(call install,extras): the environment, made if need be, with this package in it
define install
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "LAST needs Python 3.11, 3.12 or 3.13; choose one with: make $(or $(firstword $(MAKECMDGOALS)),demo) PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if [ -n "$(TORCH_INDEX)" ] && $(REACHED); then $(BIN)/python -m pip install -q -c $(CONSTRAINTS) --extra-index-url $(TORCH_INDEX) '$(TORCH)' $(if $(1),torchvision) || true; fi
	$(BIN)/python -m pip install -q -c $(CONSTRAINTS) -e '.$(1)'
endef

$(VENV)/.installed: settings.ini setup.py $(CONSTRAINTS)
	$(call install,)
	touch $@

$(VENV)/.installed-teacher: settings.ini setup.py $(CONSTRAINTS)
	$(call install,[teacher])
	touch $(VENV)/.installed $@

$(VENV)/.installed-export: settings.ini setup.py $(CONSTRAINTS)
	$(call install,[export])
	touch $(VENV)/.installed $@

$(VENV)/.installed-docs: settings.ini setup.py $(CONSTRAINTS)
	$(call install,[docs])
	touch $(VENV)/.installed $@

$(VENV)/.installed-dev: settings.ini setup.py $(CONSTRAINTS)
	$(call install,[dev])
	touch $(VENV)/.installed $(VENV)/.installed-teacher $(VENV)/.installed-export $(VENV)/.installed-docs $@

clean:
	rm -rf $(VENV) demo build *.egg-info
