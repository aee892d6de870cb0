"""What goes wrong, when, and for how long: drawn from the run's own randomness.

Each run draws which kinds of fault it has at all (swarm testing: a run with only three kinds reaches places
that one with all of them never does). A fault begins, lasts, and ends; `heal` ends all at once.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from mailward.model.state import RequestKind
from mailward.simulator.network import Link
from mailward.simulator.nodes import MailNode, Work
from mailward.simulator.world import ENSEMBLE, World

End = Callable[[], None]
MEAN_PAUSE_S = 90.0
SHORTEST_S, LONGEST_S = 0.5, 400.0
ANOTHER = 0.35


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: `begin` strikes and returns what ends it."""

    name: str
    begin: Callable[[World, random.Random], tuple[str, End]]


def _node(world: World, rng: random.Random) -> MailNode:
    return rng.choice(list(world.nodes.values()))


def _service(work: Work) -> Callable[[World, random.Random], tuple[str, End]]:
    def begin(world: World, rng: random.Random) -> tuple[str, End]:
        node = _node(world, rng)
        service = rng.choice(list(node.services))
        node.services[service] = work

        def end() -> None:
            node.services[service] = Work.WELL

        return f"{service} of {node.name}", end

    return begin


def _restart(world: World, rng: random.Random) -> tuple[str, End]:
    """Announced: the node's helper reports it."""
    node = _node(world, rng)
    node.restarting = True
    node.services = dict.fromkeys(node.services, Work.CRASHED)

    def end() -> None:
        node.restarting = False
        node.services = dict.fromkeys(node.services, Work.WELL)

    return node.name, end


def _host_crash(world: World, rng: random.Random) -> tuple[str, End]:
    """The node, its daemon with it; both come back."""
    node = _node(world, rng)
    if not node.host.up:
        return f"{node.name}, down already", lambda: None
    node.crash()
    controller = world.controllers.get(node.name)
    if controller is not None:
        controller.kill()

    def end() -> None:
        node.boot()
        if controller is not None and not controller.runs:
            controller.start()

    return node.name, end


def _host_freeze(world: World, rng: random.Random) -> tuple[str, End]:
    """A paused virtual machine: everything on it stands still, its daemon as well."""
    node = _node(world, rng)
    controller = world.controllers.get(node.name)
    process = controller.process if controller is not None else None
    node.host.frozen = True
    if process is not None:
        process.stop()

    def end() -> None:
        node.host.frozen = False
        if process is not None:
            process.proceed()

    return node.name, end


def _daemon_kill(world: World, rng: random.Random) -> tuple[str, End]:
    controller = rng.choice(list(world.controllers.values()))
    controller.kill()

    def end() -> None:
        if not controller.runs and controller.host.up:
            controller.start()

    return controller.name, end


def _daemon_stop(world: World, rng: random.Random) -> tuple[str, End]:
    """SIGSTOP between any two steps, SIGCONT later."""
    controller = rng.choice(list(world.controllers.values()))
    process = controller.process
    if process is None:
        return f"{controller.name}, which does not run", lambda: None
    process.stop()
    return controller.name, process.proceed


def _cut(both: bool) -> Callable[[World, random.Random], tuple[str, End]]:
    def begin(world: World, rng: random.Random) -> tuple[str, End]:
        one, other = rng.sample(sorted(world.network.hosts), 2)
        world.network.cut(one, other, both=both)
        return f"{one} and {other}" if both else f"{one} to {other}", _mending(world, one, [other])

    return begin


def _isolated(world: World, rng: random.Random) -> tuple[str, End]:
    """One host from all others."""
    one = rng.choice(sorted(world.network.hosts))
    others = [name for name in sorted(world.network.hosts) if name != one]
    for other in others:
        world.network.cut(one, other)
    return one, _mending(world, one, others)


def _lossy(world: World, rng: random.Random) -> tuple[str, End]:
    one = rng.choice(sorted(world.network.hosts))
    others = [name for name in sorted(world.network.hosts) if name != one]
    for other in others:
        for pair in ((one, other), (other, one)):
            link = world.network.link(*pair)
            link.loss, link.most_s = 0.3, 1.0
    return one, _mending(world, one, others)


def _mending(world: World, one: str, others: list[str]) -> End:
    def end() -> None:
        for other in others:
            for pair in ((one, other), (other, one)):
                link, whole = world.network.link(*pair), Link()
                link.cut, link.loss, link.most_s = whole.cut, whole.loss, whole.most_s

    return end


def _quorum(world: World, _rng: random.Random) -> tuple[str, End]:
    world.ensemble.has_quorum = False

    def end() -> None:
        world.ensemble.has_quorum = True

    return ENSEMBLE, end


def _attribute(of: Callable[[World, random.Random], object], name: str, value: bool) -> Kind:
    def begin(world: World, rng: random.Random) -> tuple[str, End]:
        thing = of(world, rng)
        setattr(thing, name, value)
        return getattr(thing, "name", "") or name, lambda: setattr(thing, name, not value)

    return Kind(name.replace("_", "-"), begin)


def _clock(world: World, rng: random.Random) -> tuple[str, End]:
    host = world.network.hosts[rng.choice(sorted(world.controllers))]
    jump_s = rng.choice((-3600.0, -5.0, 5.0, 3600.0))
    host.wall_offset_s += jump_s

    def end() -> None:
        host.wall_offset_s -= jump_s

    return f"{host.name} by {jump_s:+.0f} s", end


def _helper(world: World, rng: random.Random) -> tuple[str, End]:
    node = _node(world, rng)
    node.helper.works = False

    def end() -> None:
        node.helper.works = True

    return node.name, end


def _zone(world: World, rng: random.Random) -> tuple[str, End]:
    target = rng.choice(sorted(world.zones))
    zone = world.zones[target]
    zone.writable = False

    def end() -> None:
        zone.writable = True

    return target, end


def _request(world: World, rng: random.Random) -> tuple[str, End]:
    """An operator at any moment, also the wrong one."""
    kind, node = rng.choice(list(RequestKind)), _node(world, rng)
    world.ask(kind, node.name, force=rng.random() < 0.2)
    return f"{kind} {node.name}", lambda: None


def _pause(world: World, rng: random.Random) -> tuple[str, End]:
    world.pause(rng.uniform(5.0, 300.0))
    return "pause", lambda: world.ensemble.post(None)


KINDS: tuple[Kind, ...] = (
    Kind("crash", _service(Work.CRASHED)),
    Kind("hang", _service(Work.HUNG)),
    Kind("restart", _restart),
    Kind("host-crash", _host_crash),
    Kind("host-freeze", _host_freeze),
    Kind("daemon-kill", _daemon_kill),
    Kind("daemon-stop", _daemon_stop),
    Kind("cut", _cut(True)),
    Kind("one-way-cut", _cut(False)),
    Kind("isolated", _isolated),
    Kind("lossy", _lossy),
    Kind("quorum-lost", _quorum),
    _attribute(_node, "disk_full", True),
    _attribute(_node, "replicates", False),
    Kind("helper-broken", _helper),
    Kind("zone-frozen", _zone),
    Kind("clock-jump", _clock),
    Kind("request", _request),
    Kind("pause", _pause),
)


@dataclass
class Faults:
    """Draws faults for one run; `struck` counts them by kind."""

    world: World
    rng: random.Random

    def __post_init__(self) -> None:
        count = self.rng.randint(1, len(KINDS))
        self.kinds = tuple(sorted(self.rng.sample(KINDS, count), key=lambda kind: kind.name))
        self.pace_s = MEAN_PAUSE_S * self.rng.choice((0.2, 1.0, 3.0))
        self.struck: dict[str, int] = {}
        self._ends: list[tuple[float, str, End]] = []

    def next_in_s(self) -> float:
        return self.rng.expovariate(1.0 / self.pace_s)

    def strike(self) -> None:
        """Begin one, drawn from this run's kinds, or several at once: what is independent seldom hurts."""
        self._begin()
        while self.rng.random() < ANOTHER:
            self._begin()

    def _begin(self) -> None:
        kind = self.rng.choice(self.kinds)
        what, end = kind.begin(self.world, self.rng)
        lasts_s = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** self.rng.random()
        self.struck[kind.name] = self.struck.get(kind.name, 0) + 1
        self.world.note(f"fault {kind.name}: {what}, for {lasts_s:.1f} s")
        self._ends.append((self.world.now_s + lasts_s, f"{kind.name}: {what}", end))

    def end_due(self) -> None:
        now_s = self.world.now_s
        due = [entry for entry in self._ends if entry[0] <= now_s]
        self._ends = [entry for entry in self._ends if entry[0] > now_s]
        for _, what, end in due:
            self.world.note(f"over {what}")
            end()

    @property
    def next_end_s(self) -> float:
        return min((entry[0] for entry in self._ends), default=float("inf"))

    def heal(self) -> None:
        """Everything that went wrong is over."""
        for _, _, end in self._ends:
            end()
        self._ends.clear()
        self.world.network.mend()
        self.world.note("healed")
