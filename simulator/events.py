"""What can happen in a scenario, in words: each verb is one fault of `faults`, with the words that end it.

What people ask for is written as they would type it. Where a sentence ends something, it names it with the
same words as the sentence that began it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mailward.model.state import RequestKind
from mailward.simulator import faults
from mailward.simulator.faults import End, together
from mailward.simulator.hooks import HookWork
from mailward.simulator.nodes import Work
from mailward.simulator.phrases import CLIENTS, LEADER, STORE, Phrase, Said, listed, seconds, shift
from mailward.simulator.world import ENSEMBLE, World

Strike = Callable[[World, Said], End]


@dataclass(frozen=True)
class Verb:
    """`does` strikes and returns what the sentence `ends` ends; without one it is not to be ended."""

    begins: Phrase
    ends: Phrase | None
    does: Strike


def leader_of(world: World) -> str:
    """Who leads, or led last."""
    history = world.ensemble.history
    return history[-1][1].name if history else next(iter(world.controllers))


def _named(text: str, every: Sequence[str], word: str) -> list[str]:
    return list(every) if text == f"every {word}" else listed(text)


def nodes_of(world: World, said: Said) -> list[str]:
    return _named(said["NODES"], list(world.nodes), "node")


def _daemons(world: World, said: Said) -> list[str]:
    names = _named(said["DAEMONS"], list(world.controllers), "daemon")
    return [leader_of(world) if name == LEADER else name for name in names]


def hosts_of(world: World, text: str) -> list[str]:
    """The hosts of places: a site is all that stands there, nodes and daemons."""
    found: list[str] = []
    for name in listed(text):
        if name == LEADER:
            found.append(leader_of(world))
        elif name == STORE:
            found.append(ENSEMBLE if ENSEMBLE in world.network.hosts else next(iter(world.controllers)))
        elif name == CLIENTS:
            found.append("clients")
        elif name in world.network.hosts:
            found.append(name)
        else:
            found += [host.name for host in world.network.hosts.values() if host.site == name]
    return list(dict.fromkeys(found))


def _services(work: Work) -> Strike:
    def strike(world: World, said: Said) -> End:
        nodes = nodes_of(world, said)
        if said["SERVICES"] == "every service":
            return together([faults.services_fail(world, node, work) for node in nodes])
        names = listed(said["SERVICES"])
        return together([faults.service_fails(world, node, name, work) for node in nodes for name in names])

    return strike


def _at_nodes(fault: Callable[[World, str], End]) -> Strike:
    return lambda world, said: together([fault(world, node) for node in nodes_of(world, said)])


def _hooks(work: HookWork) -> Callable[[World, str], End]:
    return lambda world, node: faults.hooks_fail(world, node, work)


def _loses_power(world: World, name: str) -> End:
    """It boots when it has power again, also where its power switch was put off meanwhile."""
    boots = faults.host_crashes(world, name)

    def end() -> None:
        world.switched_off.pop(name, None)
        boots()

    return end


def _at_places(fault: Callable[[World, str], End]) -> Strike:
    return lambda world, said: together([fault(world, name) for name in hosts_of(world, said["PLACES"])])


def _at_daemons(fault: Callable[[World, str], End]) -> Strike:
    return lambda world, said: together([fault(world, name) for name in _daemons(world, said)])


def _cut(both: bool) -> Strike:
    def strike(world: World, said: Said) -> End:
        others = hosts_of(world, said["OTHERS"])
        return together([faults.cut(world, one, [o for o in others if o != one], both=both)
                         for one in hosts_of(world, said["PLACES"])])  # fmt: skip

    return strike


def _share(said: Said) -> float:
    return int(said["PERCENT"].rstrip("% ")) / 100.0


def _time(said: Said) -> float:
    return seconds(said["TIME"]) or 0.0


def _lossy(world: World, said: Said) -> End:
    return together([faults.lossy(world, name, _share(said)) for name in hosts_of(world, said["PLACES"])])


def _late(world: World, said: Said) -> End:
    return together([faults.late(world, name, _share(said), _time(said)) for name in _daemons(world, said)])


def _slow(world: World, said: Said) -> End:
    hosts = hosts_of(world, said["HOSTS"])
    return together([faults.disk_slows(world, name, _time(said)) for name in hosts])


def _jump(world: World, said: Said) -> End:
    by_s = shift(said["SHIFT"]) or 0.0
    return together([faults.clock_jumps(world, name, by_s) for name in hosts_of(world, said["HOSTS"])])


def _types(kind: RequestKind, force: bool, world: World, said: Said) -> End:
    running = world.state.operation if kind is RequestKind.VOUCH else None
    world.ask(kind, said["NODE"], force=force, operation=running.id if running is not None else "")
    return lambda: None


def _pause(world: World, said: Said) -> End:
    world.pause(_time(said))
    return lambda: None


def _resume(world: World, _said: Said) -> End:
    world.ensemble.post(None)
    return lambda: None


def _verb(begins: str, ends: str, does: Strike) -> Verb:
    return Verb(Phrase(begins), Phrase(ends) if ends else None, does)


def _typed() -> tuple[Verb, ...]:
    found = []
    of_daemons = (RequestKind.PROVEN, RequestKind.CANCEL)  # the one they leave, the other takes an id
    for kind in (each for each in RequestKind if each not in of_daemons):
        words = f"somebody types mailward {kind.value} NODE"
        found.append(_verb(words, "", partial(_types, kind, False)))
        if kind not in (RequestKind.DRAIN, RequestKind.VOUCH):
            found.append(_verb(f"{words} --force", "", partial(_types, kind, True)))
    return tuple(found)


_WORK_AGAIN = "SERVICES of NODES works|work again"

VERBS: tuple[Verb, ...] = (
    _verb("SERVICES of NODES crashes|crash", _WORK_AGAIN, _services(Work.CRASHED)),
    _verb("SERVICES of NODES hangs|hang", _WORK_AGAIN, _services(Work.HUNG)),
    _verb("NODES is|are restarted", "NODES has|have restarted", _at_nodes(faults.restart)),
    _verb("PLACES loses|lose power", "PLACES has|have power again", _at_places(_loses_power)),
    _verb("PLACES freezes|freeze", "PLACES wakes|wake up", _at_places(faults.host_freezes)),
    _verb("the disk of NODES is full", "the disk of NODES has room again", _at_nodes(faults.disk_fills)),
    _verb("the disk of HOSTS is slow by up to TIME", "the disk of HOSTS is quick again", _slow),
    _verb("NODES stops|stop replicating", "NODES replicates|replicate again",
          _at_nodes(faults.replication_stops)),
    _verb("the helper of NODES stops", "the helper of NODES works again", _at_nodes(faults.helper_stops)),
    _verb("the hooks of NODES fail", "the hooks of NODES work again", _at_nodes(_hooks(HookWork.FAILS))),
    _verb("the hooks of NODES hang", "the hooks of NODES work again", _at_nodes(_hooks(HookWork.HANGS))),
    _verb("the daemon of DAEMONS dies", "the daemon of DAEMONS starts again",
          _at_daemons(faults.daemon_dies)),
    _verb("the daemon of DAEMONS stands still", "the daemon of DAEMONS goes on",
          _at_daemons(faults.daemon_stops)),
    _verb("the clock of HOSTS jumps by SHIFT", "the clock of HOSTS is right again", _jump),
    _verb("PLACES is|are cut off", "PLACES is|are back",
          lambda world, said: faults.isolated(world, hosts_of(world, said["PLACES"]))),
    _verb("PLACES is|are cut off from OTHERS", "PLACES reaches|reach OTHERS again", _cut(both=True)),
    _verb("what PLACES sends|send to OTHERS is lost", "what PLACES sends|send to OTHERS arrives again",
          _cut(both=False)),
    _verb("PLACES loses|lose PERCENT of the packets", "PLACES loses|lose no packets any more", _lossy),
    _verb("PERCENT of the orders of DAEMONS come up to TIME late", "the orders of DAEMONS come in time again",
          _late),
    _verb("the store loses its quorum", "the store has a quorum again",
          lambda world, _said: faults.quorum_is_lost(world)),
    _verb("TARGET refuses every update", "TARGET takes updates again",
          lambda world, said: faults.zone_freezes(world, said["TARGET"])),
    *_typed(),
    _verb("somebody types mailward pause --for TIME", "", _pause),
    _verb("somebody types mailward resume", "", _resume),
)  # fmt: skip
