"""The diagnosis table is well-formed, complete, and changed on purpose only."""

from collections.abc import Callable
from itertools import product

import pytest

from mailward.controller.core.diagnosis import TABLE, Row, diagnose
from mailward.model.clock import Moment
from mailward.model.decision import Condition, Goal
from mailward.model.state import Cause, Phase, PhaseRecord

PHASES = (None, *Phase)
CAUSES = (Cause.SERVICE, Cause.OPERATOR)


def record(phase: Phase | None, cause: Cause) -> PhaseRecord | None:
    return PhaseRecord("a", "mail", phase, Moment("b", 0, 0), cause) if phase else None


def reached() -> set[int]:
    return {
        diagnose(record(phase, cause), condition).id
        for phase, condition, cause in product(PHASES, Condition, CAUSES)
    }


def test_row_ids_rise_and_leave_gaps_for_rows_to_come() -> None:
    ids = [row.id for row in TABLE]
    assert ids == sorted(set(ids))
    assert all(id % 10 == 0 for id in ids)


def test_every_phase_and_condition_has_a_row() -> None:
    for phase, condition, cause in product(PHASES, Condition, CAUSES):
        assert isinstance(diagnose(record(phase, cause), condition), Row)


def test_every_row_is_reached_by_something() -> None:
    assert reached() == {row.id for row in TABLE}


def test_no_row_names_a_phase_or_condition_twice() -> None:
    for row in TABLE:
        assert len(set(row.phases)) == len(row.phases)
        assert len(set(row.conditions)) == len(row.conditions)


@pytest.mark.parametrize("condition", Condition)
def test_nothing_follows_from_not_knowing_and_nothing_from_being_well(condition: Condition) -> None:
    goal = diagnose(record(Phase.IN_SERVICE, Cause.NONE), condition).goal
    failing = condition in (Condition.FAILED, Condition.UNREACHABLE)
    assert goal is (Goal.WITHDRAW if failing else Goal.STAY)


@pytest.mark.parametrize("condition", Condition)
def test_what_an_operator_took_out_stays_out(condition: Condition) -> None:
    assert diagnose(record(Phase.OUT, Cause.OPERATOR), condition).goal is Goal.STAY


@pytest.mark.parametrize("cause", [c for c in Cause if c is not Cause.OPERATOR])
def test_what_automation_took_out_comes_back_when_well(cause: Cause) -> None:
    assert diagnose(record(Phase.OUT, cause), Condition.HEALTHY).goal is Goal.READMIT
    assert diagnose(record(Phase.OUT, cause), Condition.UNKNOWN).goal is Goal.STAY


def test_the_table_is_as_kept(golden: Callable[[str, str], None]) -> None:
    lines = []
    for row in TABLE:
        phases = " ".join(phase.value if phase else "(new)" for phase in row.phases)
        conditions = " ".join(row.conditions) if len(row.conditions) < len(Condition) else "any"
        operator = {None: "", True: "  [by an operator]", False: "  [not by an operator]"}[row.by_operator]
        lines.append(f"{row.id:4} {row.goal:9} {row.name}\n     when {phases}: {conditions}{operator}")
    golden("diagnosis.txt", "\n".join(lines) + "\n")
