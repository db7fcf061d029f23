# Two commands for a fresh machine with Python 3.11: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
BIN := .venv/bin
ROOT := $(if $(filter 0,$(shell id -u)),,sudo -n)
# Python compiles what it imports; compiling everything that is installed takes longer than some installations.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
# Where nothing may be written of that, each of the many processes of the tests would compile torch again.
unexport PYTHONDONTWRITEBYTECODE
# Lint beside the tests, Chromium beside the packages.
MAKEFLAGS += --jobs=3

# A new pip takes a third of the time to find the packages that the one of Python 3.11 takes.
VENV := test -x $(BIN)/python || { $(PYTHON) -m venv .venv && $(PIP) --upgrade pip; }

.PHONY: demo fit test pytest browser docs bench lint lock audit clean

demo: .venv/report
	$(BIN)/netlathe choose --latency 15ms --memory 64MB --size 32MB --macs 1G --html choice.html

# Images and a budget in, a verified network out: make fit DATA=photos/ BUDGET="--latency 10ms" TIME=20m OUT=out
DATA ?= digits
BUDGET ?= --macs 5M --recipe digits
TIME ?= 3m
OUT ?= out
fit: .venv/train
	$(BIN)/netlathe fit $(DATA) $(BUDGET) --time $(TIME) -o $(OUT)

test: .venv/dev lint pytest

# Three on two cores: some tests wait for a browser, a server or a clock most of their time.
pytest: .venv/dev browser
	$(BIN)/python -m pytest -n 3 --dist worksteal

# The pages are tested in a real browser, and what leaves this machine is seen by strace. Where they can be installed they are;
# else those tests are skipped and say so.
browser:
	{ command -v chromium && command -v strace; } >/dev/null \
	|| { $(ROOT) apt-get update -qq && $(ROOT) apt-get install -qq -y chromium strace >/dev/null; } \
	|| echo "no Chromium or strace and no right to install them: the tests that need them are skipped"

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The documentation as a site that asks no other host for anything: open site/index.html
docs: .venv/docs
	$(BIN)/python docs/make_site.py

# Ratios against the peers, each script in one run, and the tests that are too heavy for every change; slow.
bench: .venv/bench
	$(BIN)/python -m pytest -m slow
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

.venv/report: pyproject.toml constraints.txt
	$(VENV)
	$(PIP) -e '.[report]'
	touch $@

.venv/train: pyproject.toml constraints.txt
	$(VENV)
	$(PIP) -e '.[train]'
	touch $@

.venv/docs: pyproject.toml constraints.txt
	$(VENV)
	$(PIP) -e '.[docs]'
	touch $@

.venv/dev: pyproject.toml constraints.txt
	$(VENV)
	$(PIP) torch -e '.[dev]'
	touch $@ .venv/report .venv/train .venv/docs

.venv/bench: .venv/dev
	$(PIP) -e '.[bench]'
	touch $@

# The versions of constraints.txt with the hashes of their files, for installations that check them.
lock: .venv/dev
	$(BIN)/python dependencies/lock.py

# Known vulnerabilities in those versions, to be run every month. pip-audit has an environment of its own.
audit:
	test -x .venv/pip-audit/bin/pip-audit || { $(PYTHON) -m venv .venv/pip-audit \
	&& .venv/pip-audit/bin/pip install --quiet --disable-pip-version-check pip-audit; } \
	|| { echo "nothing was audited: pip-audit cannot be installed from here"; exit 1; }
	$(PYTHON) dependencies/audit.py .venv/pip-audit/bin/pip-audit

clean:
	rm -rf .venv
