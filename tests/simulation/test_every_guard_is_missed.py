"""The table of guards: which test misses each when it is taken away, alone or with the one behind it.

It stands in `guards.md` beside this file, and is written from what the tests themselves go by: each line of
it is tested, there or here. A guard that nobody misses is not there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.simulation.mutants import MUTANTS
from tests.simulation.shrinking import story_of
from tests.simulation.test_chance_objects import HUNTS
from tests.simulation.test_found import FOUND
from tests.simulation.test_guards_taken_away import ALONE, BACKED, OUT_OF_REACH
from tests.simulation.test_scenarios import MUTED
from tests.simulation.worlds import Budget

TABLE = Path(__file__).with_name("guards.md")
SEARCH, CHANCE, SCENARIO = "exhaustive search", "runs by chance", "scenario"

BY_UNIT_TESTS = {
    "the store asks who leads": "tests/simulation/test_simulated_store.py",
    "the store asks what was read": "tests/simulation/test_simulated_store.py",
    "late orders are not sent": "tests/unit/controller/test_executor.py",
    "orders end when they expire": "tests/unit/controller/test_executor.py",
    "tilt": "tests/unit/health/test_tilt.py",
    "closed before the store was made": "tests/unit/core/test_a_store_made_anew.py",
    "seen from outside": "tests/unit/core/test_a_store_made_anew.py",
    "helpers are heard first": "tests/unit/core/test_a_store_made_anew.py",
    "failed again": "tests/unit/core/test_readmission.py",
    "several stale claims": "tests/unit/core/test_another_controller.py",
    "believing a stale claim": "tests/unit/core/test_another_controller.py",
    "superseded": "tests/unit/core/test_another_controller.py",
    "what may still arrive is waited for": "tests/unit/core/test_a_target_that_cannot_refuse.py",
    "nobody is put in who fails": "tests/unit/core/test_publishing.py",
    "fence before publish when repeating": "tests/unit/core/test_reconciling.py",
}
"""Where the simulator sees no harm without them: two leaders' claims seldom compete in it, its probes are
never slow, and a process does not stop between two instructions."""
CLAIMED = ("claimed", "comparing tokens", f"{SEARCH}, test_guards_taken_away.py")


def lines() -> Iterator[tuple[str, str, str]]:
    """Guard, the one behind it or nothing, and by what they are missed."""
    for name, budget, _ in ALONE:
        yield name, "", f"{SEARCH} ({_bounds(budget)})"
    for name, budget in OUT_OF_REACH:
        yield name, "", f"{SEARCH} ({_bounds(budget)}, hosts out of reach)"
    for name, behind, budget, _ in BACKED:
        yield name, behind, f"{SEARCH} ({_bounds(budget)})"
    for hunt in HUNTS:
        yield hunt.guards[0], ", ".join(hunt.guards[1:]), f"{CHANCE} ({', '.join(hunt.kinds)})"
    for scenario, mutant in MUTED.items():
        for name in [name for name, known in MUTANTS.items() if known is mutant]:
            yield name, "", f"{SCENARIO} {scenario}"
    for path in FOUND:
        without = story_of(path.read_text()).without
        yield without[0], ", ".join(without[1:]), f"{CHANCE}, found/{path.name}"
    for name, where in BY_UNIT_TESTS.items():
        yield name, "", where
    yield CLAIMED


def _bounds(budget: Budget) -> str:
    return ", ".join(f"{count} {name}" for name, count in budget._asdict().items() if count)


def table() -> str:
    order = list(MUTANTS)
    rows = sorted(set(lines()), key=lambda row: (order.index(row[0]), row[1], row[2]))
    return "\n".join(
        [
            "# Guards, and what misses them\n",
            "Written by `test_every_guard_is_missed.py`.\n",
            "| taken away | and, behind it | missed by |",
            "|---|---|---|",
            *(f"| {guard} | {behind} | {by} |" for guard, behind, by in rows),
            "",
        ]
    )


def test_every_guard_is_missed_by_somebody() -> None:
    missed = {name for name, _, _ in lines()} | {behind for _, behind, _ in lines()}
    assert sorted(set(MUTANTS) - missed) == []


def test_the_table_says_what_the_tests_do() -> None:
    if os.environ.get("MAILWARD_UPDATE_GOLDEN"):
        TABLE.write_text(table())
    assert TABLE.read_text() == table()


@pytest.mark.proof
@pytest.mark.parametrize("name", BY_UNIT_TESTS)
def test_unit_tests_fail_without(name: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-qx", "-p", "tests.simulation.muting", BY_UNIT_TESTS[name]],
        env={**os.environ, "MAILWARD_WITHOUT": name, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
        cwd=root, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout[-1000:]
    print(next(line for line in done.stdout.splitlines() if line.startswith("FAILED")))
