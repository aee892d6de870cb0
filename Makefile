# The door: `make demo` and `make test` need nothing but Python 3.11+ (with venv) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := model controller health replication fencing dns simulator app configs tests

HOURS ?= 200
SEED ?=
DEPLOYMENT ?= hybrid
# Lab tests that need no quiet machine.
ALONGSIDE := $(addprefix tests/lab/test_,coordination_zookeeper.py zookeeper_rights.py zookeeper_refusals.py)
# Whole clusters at three sites: two of them at once are more than two cores carry.
ALONE := $(addprefix tests/lab/test_,a_cluster_of_three.py leases.py races_of_a_failover.py switchover_aborted.py \
  closed_by_the_daemon_beside_it.py leader_lost_at_each_step.py)

.PHONY: demo test check proof soak steps lab bench format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    a failover on embedded parts: no root, no Docker, under a minute"
	@echo "make test    every test, real Postfix, Dovecot, BIND and ZooKeeper included"
	@echo "make check   the fast inner loop: format, lint, types, layers, unit, short simulation"
	@echo "make proof   exhaustive search, and every guard taken away once"
	@echo "make soak    $(HOURS) hours by chance from a new seed (HOURS=n SEED=n)"
	@echo "make steps   the lab tests that 'make test' leaves out, as a leader lost at each step (two hours)"
	@echo "make lab     start a real hybrid in containers and leave it running (DEPLOYMENT=cluster: a cluster)"
	@echo "make bench   measure; writes build/bench.json (ONLY=name runs one)"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "mailward needs Python 3.11 or newer; $(PYTHON) is older. Set PYTHON=/path/to/python3."; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) \
	  || { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing mailward and its tools into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/mailward demo

check: $(STAMP)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy -p mailward
	$(BIN)/mypy tests
	$(BIN)/lint-imports --no-cache
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -q -m "not proof" -n auto tests/unit tests/contract tests/simulation
	PYTHONHASHSEED=1 $(BIN)/python -m pytest -q -m "not proof" -n auto tests/unit/core tests/simulation/test_runs.py

proof: $(STAMP)
	$(BIN)/python -m pytest -q -m proof -n auto tests/simulation

soak: $(STAMP)
	$(BIN)/python -m tests.simulation.soak --hours $(HOURS) $(if $(SEED),--seed $(SEED))

# The lab's images are made meanwhile; what went wrong is told when it is waited for.
test: $(STAMP)
	@tests/lab/setup >/dev/null 2>&1 &
	$(MAKE) check proof
	$(MAKE) soak HOURS=200
	tests/lab/setup
	$(BIN)/python -m pytest -q -n 4 --dist loadgroup $(ALONGSIDE)
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=20 -m "not long" tests/lab \
	  $(addprefix --deselect=,$(ALONGSIDE) $(ALONE))
	$(BIN)/python -m pytest --durations=20 -m "not long" $(ALONE)

steps: $(STAMP)
	tests/lab/setup
	MAILWARD_LAB_HOLD_S=60 $(BIN)/python -m pytest --durations=20 -m "" tests/lab/test_leader_lost_at_each_step.py
	$(BIN)/python -m pytest --durations=20 -m long tests/lab --ignore=tests/lab/test_leader_lost_at_each_step.py

lab: $(STAMP)
	tests/lab/setup
	$(BIN)/python -m tests.lab.playground --deployment $(DEPLOYMENT)

bench: $(STAMP)
	tests/lab/setup
	$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY)) --out build/bench.json

format: $(STAMP)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

clean:
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info src/*.egg-info
