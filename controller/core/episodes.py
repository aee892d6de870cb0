"""Episodes: failures of nodes in service, and what they turned out to be.

They answer "what would you have done?" while automation only observes, and "how often was it only a
restart?" always. An episode also remembers that the node reported a restart, so that the longer grace
lasts until the service is back.
"""

from dataclasses import replace

from mailward.controller.core import bounds
from mailward.controller.core.cases import FAILING, Case
from mailward.controller.core.conditions import restart_seen
from mailward.controller.core.draft import Draft
from mailward.controller.core.explain import explain
from mailward.model.decision import Answered, Condition, Goal
from mailward.model.policy import Automation
from mailward.model.snapshot import Standing
from mailward.model.state import Episode, Phase

_OBSERVE_ONLY = ("automation", "claimed")


def keep(draft: Draft) -> None:
    """Open, colour and close episodes."""
    begun = {(e.node, e.endpoint) for e in draft.state.episodes if not e.ended}
    for record in draft.state.phases:
        judgement = draft.judgements.get((record.node, record.endpoint))
        if judgement is None:
            continue
        failing = judgement.condition in FAILING and record.phase is Phase.IN_SERVICE
        if not failing and (record.node, record.endpoint) not in begun:
            continue
        running = _running(draft, record.node, record.endpoint)
        if failing and running is None:
            running = Episode(record.node, record.endpoint, draft.now)
            _put(draft, running)
        if running is None:
            continue
        seen = restart_seen(draft.sight.nodes[record.node].facts)
        if failing and seen and seen != running.seen and running.seen != "upgrade":
            running = replace(running, seen=seen)
            _put(draft, running)
        if record.phase is not Phase.IN_SERVICE:
            _close(draft, running, "withdrawn")
        elif judgement.condition not in (*FAILING, Condition.UNKNOWN):
            _close(draft, running, running.seen or ("outage" if running.would else "blip"))


def note_what_would_have_been_done(draft: Draft) -> None:
    """Once an episode: every gate but acting itself said yes."""
    if draft.policy.automation is Automation.ACT and draft.snapshot.standing is not Standing.OBSERVING_ONLY:
        return
    untold = {(e.node, e.endpoint): e for e in draft.state.episodes if not e.ended and not e.would}
    for (node, name), endpoint in draft.policy.pairs.items():
        if (node, name) not in untold:
            continue
        explanation = explain(Case(draft.situation, node, endpoint))
        held_by = [f.gate for f in explanation.findings if f.answer is not Answered.YES]
        if explanation.goal is Goal.WITHDRAW and all(gate in _OBSERVE_ONLY for gate in held_by):
            would = f"failover of {node} for {name} (row {explanation.row})"
            _put(draft, replace(untold[node, name], would=would))
            draft.tally("would-have-failed-over")
            draft.notices.append(f"observing only; would have started a {would}: {explanation.evidence}")


def _running(draft: Draft, node: str, endpoint: str) -> Episode | None:
    return next(
        (e for e in draft.state.episodes if (e.node, e.endpoint, e.ended) == (node, endpoint, "")), None
    )


def _put(draft: Draft, episode: Episode) -> None:
    key = (episode.node, episode.endpoint, "")
    others = [e for e in draft.state.episodes if (e.node, e.endpoint, e.ended) != key]
    draft.state = replace(draft.state, episodes=tuple([*others, episode][-bounds.EPISODES :]))


def _close(draft: Draft, episode: Episode, ended: str) -> None:
    _put(draft, replace(episode, ended=ended, lasted_s=episode.began.age_s(draft.now)))
    draft.tally(f"ended-as-{ended}")
