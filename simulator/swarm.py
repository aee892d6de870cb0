"""Faults by chance: which kinds a run has at all, when they strike, on what, and for how long.

Each run draws its kinds first (swarm testing: a run with only three kinds reaches places that one with
all of them never does), then all its strikes, before anything happens: a run that fails can be played again
with some of them left out. A fault begins, lasts, and ends; `heal` ends all at once.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mailward.model.policy import Deployment, Policy
from mailward.model.state import RequestKind
from mailward.simulator import faults
from mailward.simulator.faults import End
from mailward.simulator.hooks import HookWork
from mailward.simulator.nodes import Work
from mailward.simulator.world import World

FIRST_S = 30.0
MEAN_PAUSE_S = 90.0
SHORTEST_S, LONGEST_S = 0.5, 400.0
ANOTHER = 0.35
"""How likely it is that a fault does not come alone: what is independent seldom hurts."""
AGAIN = 0.2
"""How likely a fault that is over comes back after a moment: flapping."""

Aim = Callable[[World, random.Random], tuple[str, End]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: `strike` chooses where, and returns what it chose and what ends it."""

    name: str
    strike: Aim


def _at(names: Callable[[World], Sequence[str]], fault: Callable[[World, str], End]) -> Aim:
    """The fault at one of these."""

    def strike(world: World, rng: random.Random) -> tuple[str, End]:
        name = rng.choice(sorted(names(world)))
        return name, fault(world, name)

    return strike


def _nodes(world: World) -> Sequence[str]:
    return list(world.nodes)


def _hosts(world: World) -> Sequence[str]:
    return list(world.network.hosts)


def _controllers(world: World) -> Sequence[str]:
    return list(world.controllers)


def _boards(world: World) -> Sequence[str]:
    return list(world.boards) or [""]


def _zones(world: World) -> Sequence[str]:
    return list(world.zones)


def _service(work: Work) -> Aim:
    def strike(world: World, rng: random.Random) -> tuple[str, End]:
        node = rng.choice(list(world.nodes.values()))
        service = rng.choice(list(node.services))
        return f"{service} of {node.name}", faults.service_fails(world, node.name, service, work)

    return strike


def _everywhere(world: World, rng: random.Random) -> tuple[str, End]:
    """A common cause: the same service of every node, within a moment or at once."""
    service, work = rng.choice(list(world.policy.services)).name, rng.choice((Work.CRASHED, Work.HUNG))
    ends = [faults.service_fails(world, name, service, work) for name in world.nodes]
    return f"{service} {work.name}", faults.together(ends)


def _cut(both: bool) -> Aim:
    def strike(world: World, rng: random.Random) -> tuple[str, End]:
        one, other = rng.sample(sorted(world.network.hosts), 2)
        return f"{one} {'and' if both else 'to'} {other}", faults.cut(world, one, [other], both=both)

    return strike


def _site(fault: Callable[[World, Sequence[str]], End]) -> Aim:
    def strike(world: World, rng: random.Random) -> tuple[str, End]:
        site = rng.choice(sorted({host.site for host in world.network.hosts.values() if host.site}))
        there = [name for name, host in sorted(world.network.hosts.items()) if host.site == site]
        return site, fault(world, there)

    return strike


def _power(world: World, names: Sequence[str]) -> End:
    return faults.together([faults.host_crashes(world, name) for name in names])


def _slow(world: World, rng: random.Random) -> tuple[str, End]:
    name, most_s = rng.choice(sorted(world.network.hosts)), rng.choice((0.5, 2.5, 6.0))
    return f"{name} by {most_s:g} s", faults.disk_slows(world, name, most_s)


def _clock(world: World, rng: random.Random) -> tuple[str, End]:
    name, by_s = rng.choice(sorted(world.controllers)), rng.choice((-3600.0, -5.0, 5.0, 3600.0))
    return f"{name} by {by_s:+.0f} s", faults.clock_jumps(world, name, by_s)


def _restored(world: World, rng: random.Random) -> tuple[str, End]:
    which = rng.randrange(4)
    return f"{which}", faults.store_is_restored(world, which)


def _request(world: World, rng: random.Random) -> tuple[str, End]:
    """An operator at any moment, also the wrong one."""
    kind, node = rng.choice(_ASKED[world.policy.deployment]), rng.choice(list(world.nodes))
    force = rng.random() < 0.2
    if kind is RequestKind.SWITCHOVER and rng.random() < 0.4:
        in_s = rng.choice((5.0, 60.0, 400.0))
        name = world.ask(kind, node, in_s=in_s)
        thinks_again = rng.random() < 0.3
        return f"{kind} {node} in {in_s:.0f} s", partial(_withdraw, world, name) if thinks_again else _nothing
    world.ask(kind, node, force=force)
    return f"{kind} {node}", _nothing


def _withdraw(world: World, name: str) -> None:
    world.ask(RequestKind.CANCEL, world.asked[name].node, cancels=name)


def _nothing() -> None:
    """A word is said, and over."""


_ASKED: Mapping[Deployment, Sequence[RequestKind]] = {
    Deployment.STANDARD: (),
    Deployment.HYBRID: (RequestKind.FAILOVER, RequestKind.DRAIN, RequestKind.READMIT),
    Deployment.CLUSTER: (
        RequestKind.FAILOVER, RequestKind.DRAIN, RequestKind.READMIT, RequestKind.SWITCHOVER,
        RequestKind.VOUCH,
    ),
}  # fmt: skip
"""What people ask for. Nobody vouches for a node that may serve: a word without its operation is refused."""


def _pause(world: World, rng: random.Random) -> tuple[str, End]:
    world.pause(rng.uniform(5.0, 300.0))
    return "pause", lambda: world.ensemble.post(None)


KINDS: tuple[Kind, ...] = (
    Kind("crash", _service(Work.CRASHED)),
    Kind("hang", _service(Work.HUNG)),
    Kind("common-cause", _everywhere),
    Kind("restart", _at(_nodes, faults.restart)),
    Kind("host-crash", _at(_hosts, faults.host_crashes)),
    Kind("host-freeze", _at(_hosts, faults.host_freezes)),
    Kind("site-loss", _site(_power)),
    Kind("site-cut", _site(faults.isolated)),
    Kind("daemon-kill", _at(_controllers, faults.daemon_dies)),
    Kind("daemon-stop", _at(_controllers, faults.daemon_stops)),
    Kind("cut", _cut(True)),
    Kind("one-way-cut", _cut(False)),
    Kind("isolated", _at(_hosts, lambda world, name: faults.isolated(world, [name]))),
    Kind("lossy", _at(_hosts, faults.lossy)),
    Kind("late-orders", _at(_controllers, faults.late)),
    Kind("quorum-lost", lambda world, _rng: ("", faults.quorum_is_lost(world))),
    Kind("store-restored", _restored),
    Kind("foreign-target", _at(_zones, faults.target_turns_foreign)),
    Kind("config-differs", _at(_controllers, faults.configuration_differs)),
    Kind("disk-full", _at(_nodes, faults.disk_fills)),
    Kind("disk-slow", _slow),
    Kind("not-replicating", _at(_nodes, faults.replication_stops)),
    Kind("helper-broken", _at(_nodes, faults.helper_stops)),
    Kind("zone-frozen", _at(_zones, faults.zone_freezes)),
    Kind("clock-jump", _clock),
    Kind("request", _request),
    Kind("pause", _pause),
)


OF_CLUSTERS: tuple[Kind, ...] = (
    *KINDS,
    Kind("board-dead", _at(_boards, faults.board_stops)),
    Kind("board-slow", _at(_boards, lambda world, name: faults.disk_slows(world, f"{name}-power", 12.0))),
    Kind("hooks-fail", _at(_nodes, lambda world, name: faults.hooks_fail(world, name, HookWork.FAILS))),
    Kind("hooks-hang", _at(_nodes, lambda world, name: faults.hooks_fail(world, name, HookWork.HANGS))),
)
"""Those of a policy whose nodes can be switched off."""
_BY_NAME = {kind.name: kind for kind in OF_CLUSTERS}


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of a run: when, of which kind, for how long, and the seed of what it strikes at."""

    at_s: float
    kind: str
    seed: int
    lasts_s: float

    def __str__(self) -> str:
        return f"at {self.at_s:.3f} s {self.kind} {self.seed} for {self.lasts_s:.3f} s"


def drawn(
    rng: random.Random, for_s: float, kinds: Sequence[str] = (), pace_s: float = 0.0,
    among: Sequence[Kind] = KINDS,
) -> tuple[Strike, ...]:  # fmt: skip
    """The faults of a run of `for_s`, in their order; kinds, of those `among` which, and pace are drawn when
    none are given."""
    some = rng.sample(among, rng.randint(1, len(among)))
    names = sorted(kinds or [kind.name for kind in some])
    drawn_s = MEAN_PAUSE_S * rng.choice((0.2, 1.0, 3.0))
    found: list[Strike] = []
    at_s = FIRST_S
    while at_s < for_s:
        found += _flapping(rng, at_s, for_s, rng.choice(names))
        if rng.random() >= ANOTHER:
            at_s += rng.expovariate(1.0 / (pace_s or drawn_s))
    return tuple(sorted(found, key=lambda strike: strike.at_s))


def _flapping(rng: random.Random, at_s: float, for_s: float, kind: str) -> Iterator[Strike]:
    while at_s < for_s:
        lasts_s = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** rng.random()
        yield Strike(round(at_s, 3), kind, rng.randrange(10**6), round(lasts_s, 3))
        if rng.random() >= AGAIN:
            return
        at_s += lasts_s + rng.uniform(0.5, 30.0)


def kinds_for(policy: Policy) -> Sequence[Kind]:
    """What can go wrong in a world of this policy."""
    return OF_CLUSTERS if policy.deployment is Deployment.CLUSTER else KINDS


class Swarm:
    """Faults as they strike and end; `struck` counts them by kind."""

    def __init__(self, world: World, strikes: Sequence[Strike]) -> None:
        self.struck: dict[str, int] = {}
        self._world = world
        self._coming = list(strikes)
        self._under_way: list[tuple[float, str, End]] = []

    @property
    def next_s(self) -> float:
        """When the next one strikes or ends."""
        coming = [strike.at_s for strike in self._coming[:1]]
        return min([*coming, *(ends_s for ends_s, _, _ in self._under_way)], default=float("inf"))

    def go_on(self) -> None:
        """What is over ends, and what is due strikes."""
        now_s = self._world.now_s
        due = [entry for entry in self._under_way if entry[0] <= now_s]
        self._under_way = [entry for entry in self._under_way if entry[0] > now_s]
        for _, what, end in due:
            self._world.note(f"over {what}")
            end()
        while self._coming and self._coming[0].at_s <= now_s:
            self._begin(self._coming.pop(0))

    def _begin(self, strike: Strike) -> None:
        where, end = _BY_NAME[strike.kind].strike(self._world, random.Random(strike.seed))
        what = f"{strike.kind}: {where}"
        self.struck[strike.kind] = self.struck.get(strike.kind, 0) + 1
        self._world.note(f"fault {what}, for {strike.lasts_s:.1f} s")
        self._under_way.append((self._world.now_s + strike.lasts_s, what, end))

    def heal(self) -> None:
        """Everything that went wrong is over, and nothing follows."""
        for _, _, end in self._under_way:
            end()
        self._under_way.clear()
        self._coming.clear()
        self._world.network.mend()
        self._world.note("healed")
