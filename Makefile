# Two commands do everything: `make table4` and `make test`.
# `.venv` is made on the way; PYTHON picks the interpreter (3.11 or newer).

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := joulecast traces measurements estimator tests benchmarks notebooks docs/conf.py docs/pictures

.PHONY: table4 test quick lint types unit docs pictures benchmarks reading fuzz flops prices kinds reconstructions clean

table4: .venv/core
	$(BIN)/joulecast table4

test: lint types unit

lint: .venv/all
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports --no-cache

types: .venv/all
	$(BIN)/mypy

unit: .venv/all
	$(BIN)/pytest -n auto --dist loadscope

# The loop while working: whatever takes a second or more is left out.
quick: .venv/all
	$(BIN)/pytest -n auto --dist loadscope -m "not slow"

# The pages as a site, docs/_build/index.html; a link that leads nowhere ends the build.
docs: .venv/all
	$(BIN)/python -m sphinx -q -n -W --keep-going docs docs/_build

# The pictures of README and docs, drawn again.
pictures: .venv/all
	$(BIN)/python docs/pictures/draw.py

benchmarks: .venv/all
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/interpolation.py
	$(BIN)/python benchmarks/quick_binned.py
	$(BIN)/python benchmarks/step_model.py
	$(BIN)/python benchmarks/flops.py

# Minutes, and 8 GB of disk: how long reading takes beside other readers.
reading: .venv/all
	$(PIP) -e '.[bench]'
	$(BIN)/python benchmarks/reading.py

# A minute of generated trace files, each with a known truth.
fuzz: .venv/all
	$(BIN)/python benchmarks/logs/fuzz_reader.py --seconds 60

# The stored FLOPs of the shipped models, counted again.
flops: .venv/all
	$(BIN)/python -m joulecast.estimator.flops

# The prices per unit of work, fitted again to everything that ships.
prices: .venv/all
	$(BIN)/python -m joulecast.estimator.unit_prices.shipped

# What cards of a kind have done alike, gathered again from everything that ships.
kinds: .venv/all
	$(BIN)/python -m joulecast.estimator.kinds.shipped

.venv/core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("joulecast needs Python 3.11 or newer; try: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	@touch $@

.venv/all: .venv/core
	$(PIP) -e '.[docs,flops,test]'
	@touch $@

# The workloads of datasets of which only published figures are known, made again.
reconstructions: .venv/core
	$(BIN)/python -m joulecast.traces.reconstruct

clean:
	rm -rf .venv docs/_build
