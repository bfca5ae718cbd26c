# Each target makes .venv by itself, and does nothing about it when it is current.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: results test test-all test-faults verify bench stamp lint lab clean

results: $(READY)  ## every notebook on its demo set, with the embedded data; then one page of all results
	$(BIN)/nbhelpers run --set demo
	$(BIN)/nbhelpers report

test: $(READY)  ## all tests, and every notebook at smoke size
	$(BIN)/python -m pytest --nbmake --numprocesses 2 --dist loadfile tests notebooks

test-all: test  ## and what takes minutes: every exercise of every notebook, a study from nothing to its verdict
	$(BIN)/python -m pytest -m slow_all

test-faults: $(READY)  ## accidents staged and counted: kills, full disk, damaged records; half an hour
	$(BIN)/python -m benchmarks.faults

verify: $(READY)  ## are the committed records whole, do the verdicts follow, do the cheapest runs come out as recorded? needs the data
	$(BIN)/python -m benchmarks.verify

# Not among them: activations.py, whose figures a verdict of Activation_Zoo counts.
bench: $(READY)  ## speed, side by side, thousands of runs, Ray, and the pages of it; for a machine that does nothing else, over an hour
	for name in loop sweeps batch_sizes fixed shares tried page; do $(BIN)/python benchmarks/$$name.py || exit 1; done
	for name in scale cluster beyond; do $(BIN)/python -m benchmarks.$$name || exit 1; done

stamp: $(READY)  ## address and version into the notebooks, the results into README.md and results/README.md
	$(BIN)/python -m nbhelpers.stamp

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify --keep-id --extra-keys "metadata.papermill cell.metadata.papermill metadata.language_info" notebooks/*.ipynb

lab: $(READY)
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf .venv

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; ok = (3, 11) <= sys.version_info[:2] < (3, 14); sys.exit(0 if ok else 'Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@
