"""The Decision: next state, orders to send once it is recorded, and why (I16)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mailward.model.orders import Order
from mailward.model.state import State


class Answered(StrEnum):
    """A gate's answer. UNKNOWN holds just as NO does; it says that nobody knows."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One gate's answer with its reason, and what to type where a human could help."""

    gate: str
    answer: Answered
    reason: str
    command: str = ""


class Condition(StrEnum):
    """Evidence about a (node, endpoint), whatever its phase."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


class Goal(StrEnum):
    """What a diagnosis row wants."""

    STAY = "stay"
    WITHDRAW = "withdraw"
    DRAIN = "drain"
    READMIT = "readmit"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one (node, endpoint) is treated as it is: the row that matched, and every gate of what
    that row wants, also of those that did not happen."""

    node: str
    endpoint: str
    condition: Condition
    evidence: str
    row: int
    row_name: str
    goal: Goal
    findings: tuple[Finding, ...] = ()

    @property
    def held(self) -> bool:
        return self.goal is not Goal.STAY and any(f.answer is not Answered.YES for f in self.findings)


@dataclass(frozen=True, slots=True)
class Decision:
    """`state` is recorded if it differs from the snapshot's; `send` goes out after that.

    `explanations` may be made when first looked at, from frozen values alone: always the same ones.
    `waits_for` says why the step of the running operation is not done yet, or why nothing is recorded yet of
    where the nodes stand; '' where nobody has asked.
    `check_again_s` is how soon something may be due by time alone. `fatal`, if not '', says why this
    controller must stop, `superseded` that another one leads; `broken` which invariants it would have
    broken: then it changes nothing."""

    state: State
    send: tuple[Order, ...]
    explanations: Sequence[Explanation]
    notices: tuple[str, ...] = ()
    waits_for: str = ""
    check_again_s: float = 1.0
    fatal: str = ""
    broken: tuple[str, ...] = ()
    superseded: str = ""
