"""I2 and I3: what the name servers answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mailward.model.fencing import PortKind
from mailward.model.orders import ClaimTarget
from mailward.model.policy import Endpoint
from mailward.model.state import Kind
from mailward.model.token import Token
from mailward.simulator.checkers.excuses import FAILED_UNSEEN, NAMED_LATE, TAKEN_LATE, Excuse
from mailward.simulator.checkers.truth import LATE_S, OLD_S, News, Truth, serves
from mailward.simulator.world import World


class Answers:
    """What each target named for each endpoint at the last look, and what it names now."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], tuple[str, ...]] = {}

    def of(self, world: World) -> Iterator[tuple[Endpoint, str, tuple[str, ...], tuple[str, ...]]]:
        for endpoint in world.policy.endpoints:
            for target in endpoint.targets:
                now = world.published(target, endpoint.name)
                before = self._before.get((target, endpoint.name), now)
                self._before[target, endpoint.name] = now
                yield endpoint, target, before, now


@dataclass
class NeverEmpty:
    """I2: no endpoint is ever without an address on any target, and none loses its last serving one by our
    hand. Excused, and counted, is what nobody could know in time, and what was given up in time: an update
    that is under way can only be overtaken by a claim, and the network may hold up that as well."""

    truth: Truth
    rule: str = "I2"
    _answers: Answers = field(default_factory=Answers)
    _claims: dict[tuple[str, str, str], tuple[float, Token]] = field(default_factory=dict)

    def look(self, world: World, news: News) -> Sequence[str | Excuse]:
        self._remember_claims(world, news)
        found: list[str | Excuse] = []
        for endpoint, target, before, now in self._answers.of(world):
            if not now:
                found.append(f"{endpoint.name} has no address on {target}")
            elif now != before:
                found += self._lost(world, endpoint, target, before, now)
        return found

    def _remember_claims(self, world: World, news: News) -> None:
        """By target, endpoint and node: the newest claim that was recorded while the node may have been
        thought to serve, and when."""
        for commit in news.commits:
            for order in commit.after.orders:
                action = order.action
                if not isinstance(action, ClaimTarget) or order in commit.before.orders:
                    continue
                for endpoint in world.policy.endpoints:
                    for name in endpoint.nodes if action.target in endpoint.targets else ():
                        if self.truth.known_to_serve(world, name, endpoint):
                            self._claims[action.target, endpoint.name, name] = (world.now_s, order.token)

    def _late(self, world: World, endpoint: Endpoint, target: str, left: tuple[str, ...]) -> bool:
        """Whether what was taken last had been given up: long ago, or by a claim that was to make it void, as
        soon as anybody could know of whoever is left that it does not serve. It came before anything newer
        did."""
        log = world.zones[target].log
        recorded = world.recorded.get(log[-1].token) if log else None
        if recorded is None:
            return False
        claims = [self._claims.get((target, endpoint.name, name)) for name in left]
        if any(c is not None and c[0] >= recorded.at_s and log[-1].token < c[1] for c in claims):
            return True
        return _too_late(world, target)

    def _lost(
        self, world: World, endpoint: Endpoint, target: str, before: tuple[str, ...], now: tuple[str, ...]
    ) -> Sequence[str | Excuse]:
        gone = [n for n in before if n not in now and serves(world.nodes[n], endpoint)]
        if not gone or any(serves(world.nodes[n], endpoint) for n in now):
            return []
        if self._late(world, endpoint, target, now):
            return [TAKEN_LATE]
        if not any(self.truth.known_to_serve(world, n, endpoint) for n in now):
            left = f"left is {', '.join(now)}, which do not"
            return [f"{endpoint.name} lost {', '.join(gone)}, which served; {left}"]
        return [FAILED_UNSEEN]


@dataclass
class OnlyServing:
    """I2: whoever is put into a zone has its ports open. While it names somebody else who may serve, whoever
    is let in can be known to serve; who comes to nobody is let in whatever is known, unless it is known to
    fail. (What is only repeated is as recorded, and may have failed since.) Excused, and counted, is an
    update held up by the network beyond its time that names one who has closed by itself since."""

    truth: Truth
    rule: str = "I2"
    _answers: Answers = field(default_factory=Answers)

    def look(self, world: World, _news: News) -> Sequence[str | Excuse]:
        found: list[str | Excuse] = []
        for endpoint, target, before, now in self._answers.of(world):
            for name in now:
                if name not in before and target not in world.policy.unguarded:
                    found += self._put_in(world, endpoint, name, target, before)
        return found

    def _put_in(
        self, world: World, endpoint: Endpoint, name: str, target: str, named: Sequence[str]
    ) -> Sequence[str | Excuse]:
        node = world.nodes[name]
        closed = [s for s in endpoint.services if not node.helper.opens(s)]
        if closed and self.truth.helper_well_ago_s(name) <= OLD_S and not _just_closed_itself(world, name):
            said = f"{name} was put into {target} with {', '.join(closed)} closed"
            by_itself = not any(node.helper.ports[s].kind is PortKind.CLOSED for s in closed)
            return [NAMED_LATE if by_itself and _too_late(world, target) else said]
        operation = world.state.operation
        let_in = operation is not None and operation.kind is Kind.READMIT and operation.node == name
        broken = self.truth.broken_for_s(name, endpoint.name) > OLD_S
        to_nobody = all(self.truth.lost(world, n, endpoint.name) for n in named)
        down = self.truth.known_down if to_nobody else self.truth.said_down
        if let_in and broken and down(world, name, endpoint):
            return [f"{name} was put into {target}, though it does not serve {endpoint.name}"]
        return []


def _just_closed_itself(world: World, name: str) -> bool:
    """Whether it has booted, or its lease has run out, so lately that nobody may have seen it yet."""
    node = world.nodes[name]
    lapsed_s = node.helper.lease.until_s if node.helper.lease is not None else float("inf")
    just_booted = node.helper.held and world.now_s - node.booted_s <= OLD_S
    return just_booted or 0.0 <= world.now_s - lapsed_s <= OLD_S


def _too_late(world: World, target: str) -> bool:
    """Whether what a target took last had expired long before: its network held it up."""
    log = world.zones[target].log
    recorded = world.recorded.get(log[-1].token) if log else None
    return recorded is not None and log[-1].at_s - recorded.at_s > recorded.order.expires_s + LATE_S


@dataclass
class OnlyListed:
    """I3: no name or type but the configured ones is in the zone."""

    truth: Truth
    rule: str = "I3"

    def look(self, world: World, _news: News) -> Sequence[str]:
        return self.now(world)

    @staticmethod
    def now(world: World) -> Sequence[str]:
        listed = {f"{endpoint.name}." for endpoint in world.policy.endpoints}
        return [
            f"{name} holds {key}"
            for name, zone in world.zones.items()
            for key in zone.primary.rrsets
            if key[0] not in listed or key[1] not in ("A", "AAAA")
        ]
