"""Explanations: for every (node, endpoint), the row that matched and every gate of what could be done.

A node in service shows the gates of withdrawing it, one that is out the gates of readmitting it, also
when nothing is wanted: people ask "why not" (I16). A finding offers the command by hand only where no
gate that a person cannot skip forbids it as well.
"""

from collections.abc import Mapping
from dataclasses import replace

from mailward.controller.core import gates
from mailward.controller.core.cases import Case, Judgements, Situation
from mailward.controller.core.diagnosis import diagnose
from mailward.controller.core.draft import Draft
from mailward.controller.core.gates import Gate
from mailward.controller.core.sight import Sight
from mailward.model.decision import Answered, Explanation, Finding
from mailward.model.state import Phase

_BACK = (Phase.OUT, Phase.REJOINING, Phase.STANDBY, Phase.PROMOTING)


def explain(draft: Draft, sight: Sight, judgements: Judgements) -> tuple[Explanation, ...]:
    """One explanation for each (node, endpoint), in the order of the configuration."""
    situation = Situation(draft.snapshot, draft.state, sight, judgements)
    return tuple(
        _explained(Case(situation, node, endpoint)) for (node, _), endpoint in draft.policy.pairs.items()
    )


def _explained(case: Case) -> Explanation:
    record, judgement = case.record, case.judgement
    row = diagnose(record, judgement.condition)
    back = record is not None and record.phase in _BACK
    checks = (*gates.READMIT, gates.caught_up) if back else gates.WITHDRAW
    by_hand = gates.READMIT_BY_HAND if back else gates.WITHDRAW_BY_HAND
    findings = {gate: gate(case) for gate in checks}
    return Explanation(
        node=case.node,
        endpoint=case.endpoint.name,
        condition=judgement.condition,
        evidence=judgement.evidence,
        row=row.id,
        row_name=row.name,
        goal=row.goal,
        findings=_offering(findings, by_hand, case.node),
    )


def _offering(found: Mapping[Gate, Finding], needed: tuple[Gate, ...], node: str) -> tuple[Finding, ...]:
    """The findings, without commands that would be refused. `needed`: gates a person cannot skip; what
    runs now ends by itself or gives way."""
    findings = tuple(found.values())
    if not any(f.command for f in findings):
        return findings
    forbidding = {f.gate for gate, f in found.items() if gate in needed and f.answer is not Answered.YES}
    forbidding.discard("one-operation")
    by_hand = tuple(f"mailward {verb} {node}" for verb in ("failover", "readmit"))
    return tuple(
        replace(f, command="") if f.command.startswith(by_hand) and forbidding - {f.gate} else f
        for f in findings
    )
