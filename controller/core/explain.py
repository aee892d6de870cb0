"""Explanations: for every (node, endpoint), the row that matched and every gate of what could be done.

A node in service shows the gates of withdrawing it, one that is out the gates of readmitting it, also
when nothing is wanted: people ask "why not" (I16).
"""

from mailward.controller.core import gates
from mailward.controller.core.diagnosis import diagnose
from mailward.controller.core.draft import Draft
from mailward.controller.core.gates import Case, Judgements
from mailward.controller.core.sight import Sight
from mailward.model.decision import Explanation
from mailward.model.state import Phase

_BACK = (Phase.OUT, Phase.REJOINING, Phase.STANDBY)


def explain(draft: Draft, sight: Sight, judgements: Judgements) -> tuple[Explanation, ...]:
    """One explanation for each (node, endpoint), in the order of the configuration."""
    found = []
    for node in draft.policy.nodes:
        for endpoint in draft.policy.endpoints_of(node.name):
            case = Case(draft.snapshot, draft.state, sight, judgements, node.name, endpoint)
            record, judgement = case.record, case.judgement
            row = diagnose(record, judgement.condition)
            back = record is not None and record.phase in _BACK
            checks = (*gates.READMIT, gates.caught_up) if back else gates.WITHDRAW
            found.append(
                Explanation(
                    node=node.name,
                    endpoint=endpoint.name,
                    condition=judgement.condition,
                    evidence=judgement.evidence,
                    row=row.id,
                    row_name=row.name,
                    goal=row.goal,
                    findings=tuple(gate(case) for gate in checks),
                )
            )
    return tuple(found)
