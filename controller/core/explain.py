"""Explanations: for every (node, endpoint), the row that matched and every gate of what could be done.

A node in service shows the gates of withdrawing it, one that is out the gates of readmitting it, a standby
those of promoting it, also when nothing is wanted: people ask "why not" (I16). A finding offers the command
by hand only where no gate that a person cannot skip forbids it as well.

A decision keeps them as the frozen values from which they follow, and makes them when somebody looks:
every step decides, and few are asked about.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from mailward.controller.core import gates
from mailward.controller.core.cases import Case, Situation
from mailward.controller.core.cluster import failback, takeover
from mailward.controller.core.diagnosis import diagnose
from mailward.model.decision import Answered, Explanation, Finding
from mailward.model.policy import Deployment, Policy
from mailward.model.state import Phase

_BACK = (Phase.OUT, Phase.REJOINING, Phase.STANDBY, Phase.PROMOTING)


class Explanations(Sequence[Explanation]):
    """One explanation for each (node, endpoint), in the order of the configuration."""

    def __init__(self, policy: Policy, situation: Callable[[], Situation]) -> None:
        self._pairs = policy.pairs
        self._situation = situation

    @cached_property
    def _made(self) -> tuple[Explanation, ...]:
        situation = self._situation()
        return tuple(explain(Case(situation, node, each)) for (node, _), each in self._pairs.items())

    def __getitem__(self, index: Any) -> Any:
        return self._made[index]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._made == tuple(other)

    def __hash__(self) -> int:
        return hash(self._made)

    def __repr__(self) -> str:
        return repr(self._made)


def explain(case: Case) -> Explanation:
    """One (node, endpoint)."""
    record, judgement = case.record, case.judgement
    row = diagnose(record, judgement.condition)
    back = record is not None and record.phase in _BACK
    checks = (*gates.READMIT, gates.caught_up) if back else takeover.withdraw(case)
    if record is not None and record.phase is Phase.STANDBY:
        checks = takeover.STANDING_BY
    elif back and case.snapshot.policy.deployment is Deployment.CLUSTER:
        checks = (*checks, takeover.closed_to_clients, takeover.refuses_clients)
    goes_back = failback.outlook(case.situation, case.node)
    by_hand = gates.READMIT_BY_HAND if back else takeover.withdraw(case, by_hand=True)
    findings = {gate: gate(case) for gate in checks}
    forbidding = {f.gate for gate, f in findings.items() if gate in by_hand and f.answer is not Answered.YES}
    return Explanation(
        node=case.node,
        endpoint=case.endpoint.name,
        condition=judgement.condition,
        evidence=judgement.evidence,
        row=row.id,
        row_name=row.name,
        goal=row.goal,
        findings=(
            *(_offering(f, forbidding, case.node) for f in findings.values()),
            *([goes_back] if goes_back is not None else []),
        ),
    )


def _offering(finding: Finding, forbidding: set[str], node: str) -> Finding:
    """The finding, without a command that would be refused. `forbidding`: gates a person cannot skip; what
    runs now ends by itself or gives way."""
    if not finding.command:
        return finding
    by_hand = finding.command.split()[1:3] in (["failover", node], ["readmit", node])
    refused = by_hand and forbidding - {finding.gate, "one-operation"}
    return replace(finding, command="") if refused else finding
