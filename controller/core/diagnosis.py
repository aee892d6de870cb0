"""Diagnosis: an ordered, first-match table from (phase, condition) to a goal.

Row ids are stable and gap-numbered; a decision records its row. What a row wants still has to pass the
gates. Requests by people do not go through this table.
"""

from dataclasses import dataclass

from mailward.model.decision import Condition, Goal
from mailward.model.state import Cause, Phase, PhaseRecord

_ANY = tuple(Condition)
_WELL = (Condition.HEALTHY, Condition.DEGRADED)


@dataclass(frozen=True, slots=True)
class Row:
    """Matches when phase and condition are listed and, if `by_operator` is given, when the cause of
    the phase is (or is not) an operator's word."""

    id: int
    name: str
    phases: tuple[Phase | None, ...]
    conditions: tuple[Condition, ...]
    goal: Goal
    by_operator: bool | None = None


TABLE: tuple[Row, ...] = (
    Row(10, "new in the configuration", (None,), _ANY, Goal.STAY),
    Row(110, "failed in service", (Phase.IN_SERVICE,), (Condition.FAILED,), Goal.WITHDRAW),
    Row(120, "unreachable in service", (Phase.IN_SERVICE,), (Condition.UNREACHABLE,), Goal.WITHDRAW),
    Row(130, "nobody knows", (Phase.IN_SERVICE,), (Condition.UNKNOWN,), Goal.STAY),
    Row(140, "in service with a warning", (Phase.IN_SERVICE,), (Condition.DEGRADED,), Goal.STAY),
    Row(150, "in service and well", (Phase.IN_SERVICE,), (Condition.HEALTHY,), Goal.STAY),
    Row(210, "draining", (Phase.DRAINING,), _ANY, Goal.STAY),
    Row(220, "being stopped", (Phase.DEMOTING,), _ANY, Goal.STAY),
    Row(310, "taken out by an operator", (Phase.OUT,), _ANY, Goal.STAY, by_operator=True),
    Row(320, "out, and well again", (Phase.OUT,), _WELL, Goal.READMIT),
    Row(330, "out, and not well", (Phase.OUT,), _ANY, Goal.STAY),
    Row(410, "rejoining", (Phase.REJOINING,), _ANY, Goal.STAY),
    Row(510, "standing by", (Phase.STANDBY,), _ANY, Goal.STAY),
    Row(520, "open, not yet published", (Phase.PROMOTING,), _ANY, Goal.STAY),
)


def diagnose(record: PhaseRecord | None, condition: Condition) -> Row:
    """The first row that matches; the table covers every phase and condition."""
    phase = record.phase if record else None
    operator = record is not None and record.cause is Cause.OPERATOR
    for row in TABLE:
        if phase not in row.phases or condition not in row.conditions:
            continue
        if row.by_operator is None or row.by_operator is operator:
            return row
    raise AssertionError(f"the table has no row for {phase}, {condition}")  # pragma: no cover
