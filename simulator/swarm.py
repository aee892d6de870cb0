"""Faults by chance: which kinds a run has at all, when they strike, on what, and for how long.

Each run draws its kinds first (swarm testing: a run with only three kinds reaches places that one with
all of them never does). A fault begins, lasts, and ends; `heal` ends all at once.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailward.model.state import RequestKind
from mailward.simulator import faults
from mailward.simulator.faults import End
from mailward.simulator.nodes import Work
from mailward.simulator.world import World

MEAN_PAUSE_S = 90.0
SHORTEST_S, LONGEST_S = 0.5, 400.0
ANOTHER = 0.35
"""How likely it is that a fault does not come alone: what is independent seldom hurts."""
AGAIN = 0.2
"""How likely a fault that is over comes back after a moment: flapping."""

Strike = Callable[[World, random.Random], tuple[str, End]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: `strike` chooses where, and returns what it chose and what ends it."""

    name: str
    strike: Strike


def _at(names: Callable[[World], Sequence[str]], fault: Callable[[World, str], End]) -> Strike:
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


def _zones(world: World) -> Sequence[str]:
    return list(world.zones)


def _service(work: Work) -> Strike:
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


def _cut(both: bool) -> Strike:
    def strike(world: World, rng: random.Random) -> tuple[str, End]:
        one, other = rng.sample(sorted(world.network.hosts), 2)
        return f"{one} {'and' if both else 'to'} {other}", faults.cut(world, one, [other], both=both)

    return strike


def _site(fault: Callable[[World, Sequence[str]], End]) -> Strike:
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
    kind, node = rng.choice(list(RequestKind)), rng.choice(list(world.nodes))
    world.ask(kind, node, force=rng.random() < 0.2)
    return f"{kind} {node}", lambda: None


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


@dataclass
class Swarm:
    """The faults of one run; `struck` counts them by kind. `kinds` and `pace_s` are drawn when none are
    given."""

    world: World
    rng: random.Random
    kinds: tuple[Kind, ...] = ()
    pace_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.kinds:
            drawn = self.rng.sample(KINDS, self.rng.randint(1, len(KINDS)))
            self.kinds = tuple(sorted(drawn, key=lambda kind: kind.name))
        drawn_s = MEAN_PAUSE_S * self.rng.choice((0.2, 1.0, 3.0))
        self.pace_s = self.pace_s or drawn_s
        self.struck: dict[str, int] = {}
        self._under_way: list[tuple[float, str, End, Kind]] = []
        self._flapping: list[tuple[float, Kind]] = []

    def next_in_s(self) -> float:
        return self.rng.expovariate(1.0 / self.pace_s)

    def strike(self) -> None:
        """Begin one, or several at once."""
        self._begin(self.rng.choice(self.kinds))
        while self.rng.random() < ANOTHER:
            self._begin(self.rng.choice(self.kinds))

    def _begin(self, kind: Kind) -> None:
        what, end = kind.strike(self.world, self.rng)
        lasts_s = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** self.rng.random()
        self.struck[kind.name] = self.struck.get(kind.name, 0) + 1
        self.world.note(f"fault {kind.name}: {what}, for {lasts_s:.1f} s")
        self._under_way.append((self.world.now_s + lasts_s, what, end, kind))

    def go_on(self) -> None:
        """What is over ends, and some of it comes again."""
        now_s = self.world.now_s
        due = [entry for entry in self._under_way if entry[0] <= now_s]
        self._under_way = [entry for entry in self._under_way if entry[0] > now_s]
        for _, what, end, kind in due:
            self.world.note(f"over {kind.name}: {what}")
            end()
            if self.rng.random() < AGAIN:
                self._flapping.append((now_s + self.rng.uniform(0.5, 30.0), kind))
        again = [kind for at_s, kind in self._flapping if at_s <= now_s]
        self._flapping = [entry for entry in self._flapping if entry[0] > now_s]
        for kind in again:
            self._begin(kind)

    def heal(self) -> None:
        """Everything that went wrong is over."""
        for _, _, end, _ in self._under_way:
            end()
        self._under_way.clear()
        self._flapping.clear()
        self.world.network.mend()
        self.world.note("healed")
