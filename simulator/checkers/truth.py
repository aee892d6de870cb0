"""What has been true of each node, and what could be known of it: remembered for whoever checks.

Looked at whenever something changes and once a second, so nothing here is known more closely than that.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mailward.model.health import Verdict
from mailward.model.policy import Endpoint, Observer, Policy
from mailward.model.report import Report
from mailward.model.state import Phase, State
from mailward.simulator.checkers.calm import Calm
from mailward.simulator.nodes import MailNode, Obeyed, Work
from mailward.simulator.store import Written
from mailward.simulator.world import World

SAID_S = 3.0
"""A report stored so long ago has been read by whoever leads and reads at all."""
OLD_S = 20.0
"""The oldest truth that anybody may decide by: a report counts for ten seconds, its probes took some."""
UNSEEN_S = 5.0
"""A failure that is shorter may be no verdict: it may begin after a probe and end before the one that is to
confirm the next. They come every 3.3 s and within 0.55 s, each up to half a second late."""
SILENT_S = 16.0
"""A node that is silent for less may be seen by nobody who looks behind its closed ports: a helper which does
not answer says nothing of the services."""
LATE_S = 4.0
"""Beyond its expiry: an order's last message may be under way when the time is over."""
_KEPT_S = 30.0


@dataclass(frozen=True)
class News:
    """What has been recorded, and obeyed by each receiver, since the last look."""

    commits: Sequence[Written]
    obeyed: Mapping[str, Sequence[Obeyed]]


@dataclass
class Streak:
    """When something began and was last seen; a gap of `OLD_S` ends it."""

    since_s: float
    last_s: float


@dataclass
class Truth:
    """`look` first, then ask."""

    now_s: float = 0.0
    calm: Calm = field(default_factory=Calm)
    _broken: dict[tuple[str, str, str], Streak] = field(default_factory=dict)
    _served_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _broke_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _refused: dict[tuple[str, str], bool] = field(default_factory=dict)
    _mended_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _answered_s: dict[str, float] = field(default_factory=dict)
    _helper_well_s: dict[str, float] = field(default_factory=dict)
    _zone_ill_s: dict[str, float] = field(default_factory=dict)
    _reports: dict[str, deque[tuple[float, Report]]] = field(default_factory=dict)

    def look(self, world: World) -> None:
        self.now_s = world.now_s
        self.calm.look(world)
        passes, observers = world.network.passes, tuple(world.controllers)
        cut_off = {name: tuple([o for o in observers if not passes(o, name)]) for name in world.nodes}
        state = world.state
        for endpoint in world.policy.endpoints:
            for name in endpoint.nodes:
                there = in_service(state, name, endpoint)
                self._look_at(world.nodes[name], endpoint, cut_off[name], observers, there)
        for name, node in world.nodes.items():
            if len(cut_off[name]) < len(observers):
                self._answered_s[name] = self.now_s
            if node.helper.works and node.host.answers:
                self._helper_well_s[name] = self.now_s
        for target, zone in world.zones.items():
            leader = world.ensemble.leader if world.ensemble.has_quorum else None  # or nothing is recorded
            primary = world.network.hosts[zone.primary.name]
            there = leader is not None and world.network.passes(leader.name, primary.name)
            slow = primary.slow_s or (leader is not None and world.network.hosts[leader.name].slow_s)
            if not (there and zone.writable) or slow or world.network.troubled(primary.name):
                self._zone_ill_s[target] = self.now_s
        for name, (_, report) in world.ensemble.reports.items():
            kept = self._reports.setdefault(name, deque())
            if not kept or kept[-1][1] is not report:
                kept.append((self.now_s, report))
            while len(kept) > 1 and kept[1][0] < self.now_s - _KEPT_S:
                kept.popleft()

    def _look_at(
        self, node: MailNode, endpoint: Endpoint, cut_off: Sequence[str], observers: Sequence[str],
        there: bool,
    ) -> None:  # fmt: skip
        """Closed ports of a node in service are a failure as well: clients find it so."""
        key = (node.name, endpoint.name)
        answers = _answers(node, endpoint)
        served = answers and serves(node, endpoint)
        if served:
            self._served_s[key] = self.now_s
        if not answers:
            self._broke_s.setdefault(key, self.now_s)
            self._refused[key] = self._refused.get(key, False) or node.host.answers
        else:
            unseen_s = UNSEEN_S if self._refused.pop(key, False) else SILENT_S
            if self.now_s - self._broke_s.pop(key, self.now_s) >= unseen_s:
                self._mended_s[key] = self.now_s
        well = answers and not node.disk_full and (served or not there)
        for observer in cut_off if well else observers:
            streak = self._broken.get((observer, *key))
            if streak is None or self.now_s - streak.last_s > OLD_S:
                self._broken[observer, *key] = Streak(self.now_s, self.now_s)
            else:
                streak.last_s = self.now_s

    # what was true

    def saw_broken(self, world: World, node: str, endpoint: str, for_s: float = 0.0) -> tuple[str, ...]:
        """The observers that can have seen it broken, or cut off, for so long."""
        found = []
        for observer in world.policy.observers:
            streak = self._broken.get((observer.name, node, endpoint))
            if streak and self.now_s - streak.last_s <= OLD_S and self.now_s - streak.since_s >= for_s:
                found.append(observer.name)
        return tuple(found)

    def lost(self, world: World, node: str, endpoint: str, for_s: float = 0.0) -> bool:
        """Whether as many as it takes can have seen it broken, or cut off, for so long."""
        saw = self.saw_broken(world, node, endpoint, for_s)
        return sum(o.votes for o in world.policy.observers if o.name in saw) >= world.policy.votes_needed

    def served_ago_s(self, node: str, endpoint: str) -> float:
        return self.now_s - self._served_s.get((node, endpoint), float("-inf"))

    def known_to_serve(self, world: World, node: str, endpoint: Endpoint) -> bool:
        """Whether somebody may have thought so: it did not long ago, and not enough have said otherwise."""
        served = self.served_ago_s(node, endpoint.name) <= OLD_S
        return served and not self.said_down(world, node, endpoint)

    def answered_ago_s(self, node: str) -> float:
        """Since any packet of it reached any observer."""
        return self.now_s - self._answered_s.get(node, float("-inf"))

    def mended_ago_s(self, node: str, endpoint: str) -> float:
        """Since the end of the last failure long enough to have been seen; a full disk is none that probes
        see, and has its own measure for coming back."""
        return self.now_s - self._mended_s.get((node, endpoint), float("-inf"))

    def broken_for_s(self, node: str, endpoint: str) -> float:
        return self.now_s - self._broke_s.get((node, endpoint), self.now_s)

    def helper_well_ago_s(self, node: str) -> float:
        return self.now_s - self._helper_well_s.get(node, float("-inf"))

    def zone_well_for_s(self, target: str) -> float:
        return self.now_s - self._zone_ill_s.get(target, float("-inf"))

    # what was said

    def said_down(self, world: World, node: str, endpoint: Endpoint) -> bool:
        """Whether enough observers have said nothing else of one of its services for a while, as stored:
        nobody can know it to serve."""
        return self._all_say_down(world, node, endpoint, world.policy.observers)

    def known_down(self, world: World, node: str, endpoint: Endpoint) -> bool:
        """Whether those are enough whose reports count, too: it is DOWN to whoever leads. What is stale,
        tilted or of another configuration is UNKNOWN, never DOWN (I6)."""
        counted = [observer for observer in world.policy.observers if self._counts(world, observer.name)]
        return self._all_say_down(world, node, endpoint, counted)

    def _all_say_down(
        self, world: World, node: str, endpoint: Endpoint, observers: Sequence[Observer]
    ) -> bool:
        recent = {observer.name: self._recent(observer.name) for observer in observers}
        for service in endpoint.services:
            votes = sum(
                observer.votes
                for observer in observers
                if recent[observer.name] and all(_down(r, node, service) for r in recent[observer.name])
            )
            if votes >= world.policy.votes_needed:
                return True
        return False

    def _counts(self, world: World, observer: str) -> bool:
        """Whether what it said of late was a vote to whoever leads. Its last report may be older to him than
        it is here: by as long as it takes to read one."""
        kept, policy = self._reports.get(observer), policy_of_the_leader(world)
        if not kept or self.now_s - kept[-1][0] > policy.rules.report_fresh_s - SAID_S:
            return False
        return all(not r.tilted and r.config_digest == policy.digest for r in self._recent(observer))

    def _recent(self, observer: str) -> list[Report]:
        """What was in the store at some moment of the last `SAID_S`."""
        kept = list(self._reports.get(observer, ()))
        before = [report for at_s, report in kept if at_s <= self.now_s - SAID_S]
        return [*before[-1:], *(report for at_s, report in kept if at_s > self.now_s - SAID_S)]


def _down(report: Report, node: str, service: str) -> bool:
    said = (s for each in report.nodes if each.node == node for s in each.services)
    return any(s.service == service and s.verdict is Verdict.DOWN for s in said)


def _answers(node: MailNode, endpoint: Endpoint) -> bool:
    return node.host.answers and all(node.services[s] is Work.WELL for s in endpoint.services)


def serves(node: MailNode, endpoint: Endpoint) -> bool:
    """As a client finds it; a full disk is known to the node's helper alone, if it answers."""
    return all(node.serves(service) for service in endpoint.services)


def in_service(state: State, node: str, endpoint: Endpoint) -> bool:
    """As recorded; where nothing is, as configured."""
    record = state.phase_of(node, endpoint.name)
    return record is None or record.phase is Phase.IN_SERVICE


def policy_of_the_leader(world: World) -> Policy:
    """Whoever leads goes by its own configuration."""
    leader = world.ensemble.leader
    return world.controllers[leader.name].policy if leader is not None else world.policy
