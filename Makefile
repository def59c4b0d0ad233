# Two commands do everything on a fresh machine:
#   make demo    set-up, then the whole mill on a generated web, to a served model
#   make test    the tests
# An environment is made in .venv on first use, and again only when its pins change.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed
PEERS  := .venv-peers
TEXT_DEDUP := .venv-textdedup
LOADERS := .venv-loaders
# The CPU build of torch, if this machine has it as a wheel; elsewhere the user's own index decides.
TORCH  := $(shell sed -n 's/^torch==//p' constraints.txt)

.PHONY: demo test check lint types slow cluster-env peers bench soak doctor clean-all

demo: $(STAMP)
	$(BIN)/corpusmill demo demo

test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow"

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow || test $$? = 5  # 5: there are none

check: lint types test

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

doctor:
	$(PYTHON) -I corpusmill/doctor.py --setup

# torch goes first: whatever asks for it then finds it, and pulls no gigabytes of CUDA packages.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -I corpusmill/doctor.py --setup
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt pip==26.3 setuptools wheel
	$(BIN)/python -m pip install --quiet torch==$(TORCH)
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[dev]'
	touch $(STAMP)

# What goes to executors: the environment, packed. See docs/cluster.md.
cluster-env: $(STAMP)
	$(BIN)/python -m pip install --quiet venv-pack
	rm -f dist/corpusmill-env.tar.gz
	mkdir -p dist
	$(BIN)/venv-pack --prefix $(VENV) --output dist/corpusmill-env.tar.gz

# Peers pin old versions of what we use, so they live apart.
$(PEERS)/installed: benchmarks/peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet -r benchmarks/peers.txt
	touch $(PEERS)/installed

$(TEXT_DEDUP)/installed: benchmarks/peers-textdedup.txt
	test -x $(TEXT_DEDUP)/bin/python || $(PYTHON) -m venv $(TEXT_DEDUP)
	$(TEXT_DEDUP)/bin/python -m pip install --quiet -r benchmarks/peers-textdedup.txt
	touch $(TEXT_DEDUP)/installed

# torch first and by the same pin as ours, as above.
$(LOADERS)/installed: benchmarks/peers-loaders.txt constraints.txt
	test -x $(LOADERS)/bin/python || $(PYTHON) -m venv $(LOADERS)
	$(LOADERS)/bin/python -m pip install --quiet torch==$(TORCH)
	$(LOADERS)/bin/python -m pip install --quiet -r benchmarks/peers-loaders.txt
	touch $(LOADERS)/installed

peers: $(PEERS)/installed $(TEXT_DEDUP)/installed $(LOADERS)/installed

bench: $(STAMP)
	set -e; for name in clean extract rules screen signatures dedup recall encode; do $(BIN)/python -m benchmarks $$name; done

# A worker's memory over 100,000 pages; SOAK="--pages 3000" for fewer.
soak: $(STAMP)
	$(BIN)/python -m benchmarks soak $(SOAK)

clean-all:
	rm -rf $(VENV) $(PEERS) $(TEXT_DEDUP) $(LOADERS) demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
