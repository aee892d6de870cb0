"""One checker for each rule that never bends, on what is true in the world.

Each looks whenever something has changed and returns sentences; none means that the rule held. What a
controller believes is never asked: recorded state only where the rule is about what is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mailward.controller.core.phases import may_follow
from mailward.model.fencing import PortKind
from mailward.model.policy import Endpoint
from mailward.model.state import Kind, Operation, Phase, State
from mailward.simulator.nodes import MailNode, Obeyed, Work
from mailward.simulator.world import World

UNSEEN_S = 5.0
"""A failure younger than this need not have been seen by whoever decides."""
REMEMBERED_S = 12.0
"""A failure that is over goes on being believed so long: up is slower than down."""
LAG_SLACK_S = 15.0
"""A lag figure is as old as its poll, and grows while a readmission goes on."""


class Checker(Protocol):
    rule: str

    def look(self, world: World) -> Sequence[str]: ...


@dataclass
class TokensRise:
    """I1: every receiver obeys only rising tokens, and nothing twice."""

    rule: str = "I1"
    _seen: dict[str, int] = field(default_factory=dict)

    def look(self, world: World) -> Sequence[str]:
        found = []
        logs: list[tuple[str, list[Obeyed]]] = [(n, node.helper.log) for n, node in world.nodes.items()]
        logs += [(name, zone.log) for name, zone in world.zones.items()]
        for name, log in logs:
            begin = max(1, self._seen.get(name, 0))
            for at in range(begin, len(log)):
                if not log[at - 1].token < log[at].token:
                    found.append(f"{name} obeyed {log[at].token} after {log[at - 1].token}")
            self._seen[name] = len(log)
        return found


@dataclass
class NeverEmpty:
    """I2: no endpoint is ever without an address, and none loses its last serving one by our hand."""

    rule: str = "I2"
    excused: int = 0
    _before: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    _broken_since: dict[str, float] = field(default_factory=dict)

    def look(self, world: World) -> Sequence[str]:
        found = []
        for endpoint in world.policy.endpoints:
            self._watch(world, endpoint)
            for target in endpoint.targets:
                now = world.published(target, endpoint.name)
                before = self._before.get((target, endpoint.name), now)
                self._before[target, endpoint.name] = now
                if not now:
                    found.append(f"{endpoint.name} has no address on {target}")
                elif now != before:
                    found += self._lost(world, endpoint, before, now)
        return found

    def _watch(self, world: World, endpoint: Endpoint) -> None:
        for name in endpoint.nodes:
            if _serves(world.nodes[name], endpoint):
                self._broken_since.pop(f"{name} {endpoint.name}", None)
            else:
                self._broken_since.setdefault(f"{name} {endpoint.name}", world.now_s)

    def _lost(
        self, world: World, endpoint: Endpoint, before: tuple[str, ...], now: tuple[str, ...]
    ) -> list[str]:
        gone = [n for n in before if n not in now and _serves(world.nodes[n], endpoint)]
        if not gone or any(_serves(world.nodes[n], endpoint) for n in now):
            return []
        youngest = max(self._broken_since[f"{n} {endpoint.name}"] for n in now)
        if world.now_s - youngest < UNSEEN_S:
            self.excused += 1
            return []
        return [
            f"{endpoint.name} lost {', '.join(gone)}, which served; left is {', '.join(now)}, which do not"
        ]


def _serves(node: MailNode, endpoint: Endpoint) -> bool:
    return all(node.serves(service) for service in endpoint.services) and not node.disk_full


@dataclass
class OnlyListed:
    """I3: no name or type but the configured ones is in the zone."""

    rule: str = "I3"

    def look(self, world: World) -> Sequence[str]:
        listed = {f"{endpoint.name}." for endpoint in world.policy.endpoints}
        return [
            f"{name} holds {key}"
            for name, zone in world.zones.items()
            for key in zone.primary.rrsets
            if key[0] not in listed or key[1] not in ("A", "AAAA")
        ]


@dataclass
class SomebodyOpen:
    """I8: never are the ports of every node of an endpoint closed by us."""

    rule: str = "I8"

    def look(self, world: World) -> Sequence[str]:
        return [
            f"every node of {endpoint.name} is closed for {service}"
            for endpoint in world.policy.endpoints
            for service in endpoint.services
            if all(_closed(world.nodes[name], service) for name in endpoint.nodes)
        ]


def _closed(node: MailNode, service: str) -> bool:
    return node.helper.ports[service].kind is PortKind.CLOSED


@dataclass
class Withdrawals:
    """I6 and I8: automation takes a node out only if enough observers could see that it is broken, and
    somebody else serves."""

    rule: str = "I6, I8"
    _broken_s: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _served_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _last: str = ""

    def look(self, world: World) -> Sequence[str]:
        for endpoint in world.policy.endpoints:
            for name in endpoint.nodes:
                node = world.nodes[name]
                if _serves(node, endpoint):
                    self._served_s[name, endpoint.name] = world.now_s
                for observer in world.controllers:
                    if not _works(node, endpoint) or not world.network.passes(observer, name):
                        self._broken_s[observer, name, endpoint.name] = world.now_s
        operation = world.state.operation
        if operation is None or operation.id == self._last or operation.kind is not Kind.FAILOVER:
            return []
        self._last = operation.id
        if operation.request is not None:
            return []
        return [
            sentence
            for name in operation.endpoints
            for sentence in self._judge(world, operation.node, world.policy.endpoint_by_name[name])
        ]

    def _judge(self, world: World, node: str, endpoint: Endpoint) -> list[str]:
        found = []
        saw = [
            observer.name
            for observer in world.policy.observers
            if world.now_s - self._broken_s.get((observer.name, node, endpoint.name), -1e9) <= REMEMBERED_S
        ]
        votes = sum(o.votes for o in world.policy.observers if o.name in saw)
        if votes < world.policy.votes_needed:
            found.append(f"I6: {node} withdrawn from {endpoint.name}, which only {saw} can have seen broken")
        others = [name for name in endpoint.nodes if name != node]
        ages = [world.now_s - self._served_s.get((name, endpoint.name), -1e9) for name in others]
        if not any(age <= UNSEEN_S for age in ages):
            found.append(f"I8: {node} withdrawn from {endpoint.name}, and nobody else serves it")
        return found


def _works(node: MailNode, endpoint: Endpoint) -> bool:
    """Whatever its ports are: its services do their work."""
    well = all(node.services[service] is Work.WELL for service in endpoint.services)
    return node.host.answers and well and not node.disk_full


@dataclass
class Recorded:
    """What one commit may not do: I9 (a pause), I10 (one operation, and it ends by a word), I12 (the way
    back), I16 (a reason)."""

    rule: str = "I9, I10, I12, I16"
    _before: State | None = None

    def look(self, world: World) -> Sequence[str]:
        before, after = self._before, world.state
        self._before = after
        if before is None or before is after:
            return []
        found = [*self._ways(world, before, after)]
        started = after.operation
        if started is not None and (before.operation is None or before.operation.id != started.id):
            found += self._start(world, before, started)
        ended = before.operation
        over = ended is not None and (started is None or started.id != ended.id)
        if ended is not None and over and not any(each.operation.id == ended.id for each in after.ended):
            found.append(f"I10: {ended.kind} {ended.id} vanished without an ending")
        return found

    def _start(self, world: World, before: State, started: Operation) -> list[str]:
        found = []
        pause = world.ensemble.pause
        planned = started.kind in (Kind.FAILOVER, Kind.READMIT) and started.request is None
        drained = before.operation is not None and before.operation.kind is Kind.DRAIN
        if pause is not None and world.pause_in_force_everywhere() and planned and not drained:
            found.append(f"I9: {started.kind} {started.id} began during a pause")
        if not started.reason:
            found.append(f"I16: {started.kind} {started.id} has no reason")
        return found

    def _ways(self, world: World, before: State, after: State) -> list[str]:
        found = []
        for record in after.phases:
            old = before.phase_of(record.node, record.endpoint)
            if not may_follow(old.phase if old else None, record.phase):
                found.append(f"I12: {record.node} went from {old and old.phase} to {record.phase}")
            if old is not None and old.phase is Phase.REJOINING and record.phase is Phase.PROMOTING:
                found += self._caught_up(world, record.node, after)
        return found

    def _caught_up(self, world: World, name: str, after: State) -> list[str]:
        """I12: what was missed has arrived, unless forced, or nobody else served."""
        operation, node = after.operation, world.nodes[name]
        if operation is None or operation.force or any("LAST RESORT" in note for note in operation.notes):
            return []
        found = []
        for other in world.nodes.values():
            serving = any(r.node == other.name and r.phase is Phase.IN_SERVICE for r in after.phases)
            if other is node or not serving or not _alive(other):
                continue
            for source, target in ((node, other), (other, node)):
                lag_s, messages = world.replication.lag(source, target)
                if lag_s > world.policy.rules.caught_up_lag_s + LAG_SLACK_S:
                    missing = f"{messages} messages of {source.name} missing for {lag_s:.0f} s"
                    found.append(f"I12: {name} let in with {missing}")
        return found


def _alive(node: MailNode) -> bool:
    return node.host.answers and any(work is Work.WELL for work in node.services.values())


@dataclass
class NothingLost:
    """No accepted message is lost: it is on every node, or on the disk of some."""

    rule: str = "mail"

    def look(self, world: World) -> Sequence[str]:
        whole = {node.whole for node in world.nodes.values()}
        waiting = {message for node in world.nodes.values() for message in node.mailbox}
        if len(whole) == 1 and max(whole) + len(waiting) == world.accepted:
            return []
        return [f"{world.accepted} accepted, {sorted(whole)} on every node, {len(waiting)} on some"]


@dataclass
class Bounded:
    """The controllers never run wild: so many orders obeyed in an hour and no more."""

    most_per_hour: int = 1200
    rule: str = "bounded"

    def look(self, world: World) -> Sequence[str]:
        since_s = world.now_s - 3600.0
        found = []
        for name, log in [
            *((n, node.helper.log) for n, node in world.nodes.items()),
            *((n, zone.log) for n, zone in world.zones.items()),
        ]:
            if len(log) > self.most_per_hour and log[-self.most_per_hour].at_s > since_s:
                found.append(f"{name} obeyed {self.most_per_hour} orders within an hour")
        return found


def checkers() -> tuple[Checker, ...]:
    """All of them, new for each run."""
    return (
        TokensRise(), NeverEmpty(), OnlyListed(), SomebodyOpen(), Withdrawals(), Recorded(), NothingLost(),
        Bounded(),
    )  # fmt: skip
