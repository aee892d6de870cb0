"""Cases: what a gate may look at, and what all cases of one moment have in common.

A `Situation` is the state decided so far with all that is seen; what follows from it for every node, or
for every node behind an endpoint, is worked out once there, so that a decision costs the same per node
however many there are. A `Case` is one (node, endpoint) in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from mailward.controller.core.conditions import Judgement, cut_off
from mailward.controller.core.phases import EFFECTS
from mailward.controller.core.sight import Sight
from mailward.model.clock import Moment
from mailward.model.decision import Condition
from mailward.model.fencing import NodeFacts
from mailward.model.health import Vantage, Verdict
from mailward.model.policy import Automation, Endpoint
from mailward.model.snapshot import Snapshot, Standing
from mailward.model.state import Cause, Operation, Phase, PhaseRecord, State

WELL = (Condition.HEALTHY, Condition.DEGRADED)
FAILING = (Condition.FAILED, Condition.UNREACHABLE)

Judgements = Mapping[tuple[str, str], Judgement]


@dataclass(frozen=True)
class Situation:
    """`state` is the state decided so far, newer than the snapshot's."""

    snapshot: Snapshot
    state: State
    sight: Sight
    judgements: Judgements

    @cached_property
    def only_watches(self) -> bool:
        """Whether nothing is claimed or ordered now: automation only observes, nothing runs, and nobody has
        asked for anything."""
        snapshot = self.snapshot
        if snapshot.standing is Standing.OBSERVING_ONLY:
            return True
        busy = self.state.operation is not None or bool(snapshot.requests)
        return snapshot.policy.automation is not Automation.ACT and not busy

    @cached_property
    def nothing_answers(self) -> bool:
        """Of several nodes, none."""
        views = self.sight.nodes
        return len(views) > 1 and all(cut_off(view) for view in views.values())

    @cached_property
    def failovers_last_hour(self) -> int:
        now = self.snapshot.now
        return sum(1 for at in self.state.fenced_at if at.age_s(now) < 3600)

    @cached_property
    def behind(self) -> "dict[str, Behind]":
        """By endpoint: the nodes behind it."""
        return {endpoint.name: Behind(self, endpoint) for endpoint in self.snapshot.policy.endpoints}


@dataclass(frozen=True)
class Behind:
    """The nodes behind an endpoint, as they stand, in the order of the configuration."""

    situation: Situation
    endpoint: Endpoint

    @cached_property
    def serving(self) -> tuple[str, ...]:
        return tuple(name for name in self.endpoint.nodes if self._serves(name))

    @cached_property
    def away(self) -> tuple[str, ...]:
        return tuple(name for name in self.endpoint.nodes if not self._serves(name))

    @cached_property
    def addressed(self) -> tuple[str, ...]:
        """Those serving which have an address."""
        nodes = self.situation.snapshot.policy.node_by_name
        return tuple(name for name in self.serving if nodes[name].addresses)

    @cached_property
    def alive(self) -> tuple[str, ...]:
        """Those that may still be serving: a settled DOWN of everything says no, and so does a failure
        that has outlasted every restart."""
        return tuple(name for name in self.serving if not self._gone(name))

    @cached_property
    def unfit(self) -> Mapping[str, tuple[str, bool]]:
        """Who cannot take over whatever fails, why, and whether that is knowledge or ignorance."""
        found = {}
        for name in self.endpoint.nodes:
            record = self.situation.state.phase_of(name, self.endpoint.name)
            judgement = self.situation.judgements[name, self.endpoint.name]
            if record is None or record.phase is not Phase.IN_SERVICE:
                by_hand = ", taken out by hand" if _by_hand(record) else ""
                found[name] = f"is {record.phase if record else 'not in service'}{by_hand}", True
            elif judgement.condition is Condition.UNKNOWN:
                found[name] = f"is unknown ({judgement.evidence})", False
            elif judgement.condition not in WELL:
                found[name] = f"is {judgement.condition} ({judgement.evidence})", True
            elif not judgement.outside:
                found[name] = "has only been seen behind closed ports", False
        return found

    @cached_property
    def kept_out(self) -> tuple[str, ...]:
        """Those that are well, and unfit only because an operator took them out."""
        situation, endpoint = self.situation, self.endpoint.name
        records = {name: situation.state.phase_of(name, endpoint) for name in self.unfit}
        kept = [name for name, record in records.items() if _by_hand(record)]
        return tuple(name for name in kept if situation.judgements[name, endpoint].condition in WELL)

    @cached_property
    def fit(self) -> tuple[str, ...]:
        return tuple(name for name in self.endpoint.nodes if name not in self.unfit)

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Those that are unfit only because nobody knows."""
        return tuple(name for name, (_, known) in self.unfit.items() if not known)

    def _serves(self, name: str) -> bool:
        record = self.situation.state.phase_of(name, self.endpoint.name)
        return record is not None and EFFECTS[record.phase].published

    def _gone(self, name: str) -> bool:
        judgement = self.situation.judgements[name, self.endpoint.name]
        if judgement.condition not in FAILING:
            return False
        services = [self.situation.sight.nodes[name].services[s] for s in self.endpoint.services]
        if all(service.verdict is Verdict.DOWN for service in services):
            return True
        return judgement.failing_s >= self.situation.snapshot.policy.rules.known_restart_grace_s


def facts_since(situation: Situation, node: str, at: Moment) -> NodeFacts | None:
    """What a node's helper has said since; None where it has said nothing."""
    view = situation.sight.nodes[node]
    return view.facts if view.facts_age_s < at.age_s(situation.snapshot.now) else None


def answers_clients(situation: Situation, node: str) -> bool:
    """Whether any service of a node is seen to answer from outside."""
    services = situation.sight.nodes[node].services.values()
    return any(s.verdict is Verdict.UP and s.vantage is Vantage.DIRECT for s in services)


def is_well(situation: Situation, node: str) -> bool:
    """Whether a node is well behind all of its endpoints."""
    endpoints = situation.snapshot.policy.endpoints_of(node)
    return all(situation.judgements[node, endpoint.name].condition in WELL for endpoint in endpoints)


def failing_for_long(situation: Situation, operation: Operation, node: str) -> bool:
    """Whether a node has failed for longer than a restart takes, or is not known to be well and its helper is
    silent, and the running step has waited as long."""
    policy = situation.snapshot.policy
    found = [situation.judgements[node, endpoint.name] for endpoint in policy.endpoints_of(node)]
    patience_s = policy.rules.takeover_after_s
    if any(judgement.condition in FAILING and judgement.failing_s >= patience_s for judgement in found):
        return True
    silent = situation.sight.nodes[node].facts is None and not is_well(situation, node)
    return silent and operation.step_since.age_s(situation.snapshot.now) >= patience_s


def _by_hand(record: PhaseRecord | None) -> bool:
    return record is not None and record.phase is Phase.OUT and record.cause is Cause.OPERATOR


@dataclass(frozen=True, slots=True)
class Case:
    """One (node, endpoint), and whether a person insists."""

    situation: Situation
    node: str
    endpoint: Endpoint
    force: bool = False

    @property
    def snapshot(self) -> Snapshot:
        return self.situation.snapshot

    @property
    def state(self) -> State:
        return self.situation.state

    @property
    def sight(self) -> Sight:
        return self.situation.sight

    @property
    def judgement(self) -> Judgement:
        return self.situation.judgements[self.node, self.endpoint.name]

    @property
    def record(self) -> PhaseRecord | None:
        return self.situation.state.phase_of(self.node, self.endpoint.name)

    @property
    def behind(self) -> Behind:
        return self.situation.behind[self.endpoint.name]

    def alone(self, names: tuple[str, ...]) -> bool:
        """Whether nobody but this case's node is among `names`; each is there once."""
        return not any(name != self.node for name in names)
