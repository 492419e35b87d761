# `make` lists the targets. Another interpreter: make PYTHON=python3.12 demo
PYTHON ?= python3
BIN := .venv/bin
N ?= 1
READY := .venv/ready
NOTEBOOKS := $(wildcard notebooks/*.ipynb notebooks/studies/*.ipynb)
# The long ones first, so that no worker waits for another at the end.
LAB := tests/browser/test_jupyterlab.py
BROWSER := $(LAB) $(filter-out $(LAB),$(shell grep -rl --include=test_*.py 'mark\.browser' tests))
STRIP := $(BIN)/nbstripout --keep-id
# Without its compiled files Python compiles lerpnb and the tests anew in each of a hundred processes.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo assets test check browser bench agree gallery lab format adapters clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: assets ## Measure the demo line and write runs/demo/, with report.html (10 minutes at most)
	$(BIN)/lerpnb run notebooks/02_interpolate.ipynb --name demo --force

assets: $(READY) ## Fetch the demo's model, reviews and encoder, once
	$(BIN)/lerpnb assets

# Three processes of one thread each: most tests are too small for two threads, and some wait for a kernel or a browser.
test: assets ## Run all tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal

browser: $(READY) ## Run the browser's tests N times and count the passes (make browser N=10)
	@passed=0; for i in $$(seq $(N)); do $(BIN)/pytest -q -m browser -n 2 --maxschedchunk 1 $(BROWSER) && passed=$$((passed + 1)); done; \
	echo "the browser's tests: $$passed of $(N) passed"; [ $$passed -eq $(N) ]

check: $(READY) ## Lint, check types and run the quick tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	($(BIN)/lint-imports --no-logo && $(STRIP) --verify $(NOTEBOOKS) < /dev/null && $(BIN)/mypy) & \
	$(BIN)/pytest -m "not slow and not browser" -n 2 --dist worksteal -q; tests=$$?; wait $$! && exit $$tests

bench: assets ## Run the CPU benchmarks beside the peers and print one table (under 15 minutes)
	$(BIN)/pip install --quiet --no-deps -r tests/benchmarks/requirements.txt
	for name in mix size losses batched_texts; do $(BIN)/python tests/benchmarks/$$name.py || exit 1; done
# These two time nothing, so they may run side by side, with a core each.
	export OMP_NUM_THREADS=1; $(BIN)/python tests/benchmarks/memory.py & $(BIN)/python tests/benchmarks/adaptive.py && wait $$!
	$(BIN)/python tests/benchmarks/table.py

agree: assets ## Compare values with other packages' on the same work, and print where they differ
	$(BIN)/pip install --quiet --no-deps -r tests/benchmarks/requirements.txt
	$(BIN)/python tests/benchmarks/agree.py
	$(BIN)/python tests/benchmarks/merging.py
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/architectures.py
	$(BIN)/python tests/benchmarks/peft_options.py

gallery: assets ## Run the notebooks whose runs in runs/gallery/ are not up to date, and renew notebooks/rendered/ (an hour)
	rm -rf out/gallery
	$(BIN)/python notebooks/rendered/build.py runs/gallery --run

lab: $(READY) ## Open JupyterLab on the notebooks
	$(BIN)/jupyter-lab --LabApp.default_url=/lab/tree/notebooks

format: $(READY) ## Put the code in shape and strip the notebooks' outputs
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(STRIP) $(NOTEBOOKS) < /dev/null

adapters: assets ## Train the demo's adapters and scorers anew, by notebook 01 (about two hours)
	for name in negative positive scorer viewer critic scorer_voice reward; do OMP_NUM_THREADS=1 $(BIN)/lerpnb run \
	notebooks/01_fine_tune.ipynb -f data/recipes/$$name.yaml --name fine_tune_$$name --force || exit 1; done

clean: ## Remove caches and build leftovers; .venv, runs and results stay
	rm -rf build dist .pytest_cache .ruff_cache
	find lerpnb tests notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# The file is the mark that the install went through to its end, with these ranges and these pins.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("lerpnb needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
# What is imported is compiled then: all of transformers and torch would take minutes.
	$(BIN)/pip install --no-compile -c constraints.txt -e '.[dev]'
	@touch $@
