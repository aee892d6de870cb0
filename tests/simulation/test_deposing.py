"""A leader who is gone is replaced at once; one who is silent, when its session has ended; no harm is done.

How long the cluster is without a leader, in virtual seconds, by what has become of the one it had.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from tests.simulation.clusters import ENDPOINT, pair_without_a_witness, two_sites_and_a_witness
from tests.simulation.watched import leader, others, play

from mailward.model.report import MOST_GONE, Report
from mailward.model.state import RequestKind
from mailward.simulator import faults
from mailward.simulator.network import Network
from mailward.simulator.peers import Peers, Running
from mailward.simulator.virtual import Process
from mailward.simulator.world import World

AT_ONCE_S = 1.0
SESSION_S = 10.0
"""A session lives so long after the last heartbeat, of which there is one in two seconds; that it is over is
seen within a second, and by who follows within two more."""
LEAST_SILENT_S, MOST_SILENT_S = SESSION_S - 2.5, SESSION_S + 4.0


async def replaced_after_s(world: World, limit_s: float = 60.0) -> float:
    """Until another process leads."""
    began_s, elections = world.now_s, len(world.ensemble.history)
    while len(world.ensemble.history) == elections:
        assert world.now_s - began_s < limit_s, "nobody else leads"
        await asyncio.sleep(0.01)
    return world.now_s - began_s


@pytest.mark.parametrize("seed", range(5))
def test_a_leader_that_is_killed_is_replaced_at_once_instead_of_when_its_session_ends(seed: int) -> None:
    async def story(world: World) -> None:
        await asyncio.sleep(0.4 * seed)
        killed, epoch = leader(world).name, leader(world).epoch
        faults.daemon_dies(world, killed)
        after_s = await replaced_after_s(world)
        print(f"killed: {after_s:.2f} s")
        assert after_s < AT_ONCE_S
        assert (leader(world).name != killed, leader(world).epoch) == (True, epoch + 1)
        await asyncio.sleep(60)
        assert leader(world).epoch == epoch + 1

    play(story, seed=seed)


def test_a_leader_that_is_started_again_at_once_is_replaced_by_another() -> None:
    """The new process answers under its name, and is not the one that leads."""

    async def story(world: World) -> None:
        name = leader(world).name
        again = faults.daemon_dies(world, name)
        again()
        assert await replaced_after_s(world) < AT_ONCE_S
        assert leader(world).name != name

    play(story)


def test_a_leader_killed_while_it_stands_still_is_replaced_at_once_and_not_before() -> None:
    async def story(world: World) -> None:
        name = leader(world).name
        faults.daemon_stops(world, name)
        await asyncio.sleep(4)
        assert leader(world).name == name
        faults.daemon_dies(world, name)
        assert await replaced_after_s(world) < AT_ONCE_S

    play(story)


SILENT: dict[str, Callable[[World, str], Callable[[], None]]] = {
    "its daemon stands still": faults.daemon_stops,
    "its host freezes": faults.host_freezes,
    "its host loses power": faults.host_crashes,
    "it is cut off": lambda world, name: faults.isolated(world, [name]),
}


@pytest.mark.parametrize("what", SILENT)
def test_a_leader_that_is_only_silent_keeps_the_lead_until_its_session_has_ended(what: str) -> None:
    async def story(world: World) -> None:
        name = leader(world).name
        end = SILENT[what](world, name)
        after_s = await replaced_after_s(world)
        print(f"{what}: {after_s:.2f} s")
        assert LEAST_SILENT_S < after_s < MOST_SILENT_S
        end()
        await asyncio.sleep(60)
        assert leader(world).name != name

    play(story)


def test_a_leader_that_ended_while_cut_off_is_replaced_when_its_new_process_answers() -> None:
    async def story(world: World) -> None:
        name = leader(world).name
        others_of = others(world)
        back = faults.cut(world, name, others_of)
        await asyncio.sleep(1)
        again = faults.daemon_dies(world, name)
        await asyncio.sleep(2)
        again()
        await asyncio.sleep(1)
        assert leader(world).nonce == f"{name}-1"
        back()
        assert await replaced_after_s(world) < AT_ONCE_S

    play(story)


def test_one_observer_that_sees_its_end_or_says_so_deposes_nobody() -> None:
    """The other one is cut off from the leader: it hears nothing, and that says nothing."""

    async def story(world: World) -> None:
        name = leader(world).name
        one, other = others(world)
        faults.cut(world, name, [other])
        await asyncio.sleep(2)
        faults.daemon_dies(world, name)
        assert leader(world).name == name
        assert LEAST_SILENT_S < await replaced_after_s(world) < MOST_SILENT_S
        assert f"{name}-1" in world.ensemble.reports[one][1].gone
        assert f"{name}-1" not in world.ensemble.reports[other][1].gone

    play(story)


def lie(world: World, *liars: str) -> None:
    """From now on these report that the leader's process has ended."""
    take = world.ensemble.report
    nonce = leader(world).nonce

    def lying(session: int, name: str, report: Report) -> None:
        take(session, name, replace(report, gone=(nonce,)) if name in liars else report)

    world.ensemble.report = lying  # type: ignore[method-assign]


def test_a_single_liar_deposes_nobody_not_even_together_with_the_leader_s_own_word() -> None:
    async def story(world: World) -> None:
        before = leader(world)
        lie(world, before.name, others(world)[0])
        await asyncio.sleep(60)
        assert leader(world) == before

    play(story)


async def recorded_s(world: World, kind: str) -> float:
    """When an order of this kind is recorded next."""
    while True:
        if any(order.action.kind == kind for order in world.state.orders):
            return world.now_s
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(3))
def test_a_leader_deposed_in_error_sends_nothing_later_than_its_orders_expire(seed: int) -> None:
    """It lives, and believes for a while that it leads. Where old orders cannot be refused, what it had begun
    is over before its successor writes, and after that nothing of it comes any more."""
    policy = replace(two_sites_and_a_witness(), unguarded=("primary",))

    async def story(world: World) -> None:
        zone, deposed = world.zones["primary"], leader(world)
        faults.disk_slows(world, zone.primary.name, 2.0)
        world.ask(RequestKind.FAILOVER, "mail-a")
        issued_s = await recorded_s(world, "publish")
        lie(world, *others(world))
        deposed_s = world.now_s + await replaced_after_s(world)
        assert deposed_s < issued_s + 4
        await asyncio.sleep(60)
        old = [entry for entry in zone.log if entry.token.epoch == deposed.epoch]
        new = [entry for entry in zone.log if entry.token.epoch > deposed.epoch]
        timeout_s = policy.rules.order_timeout_s
        assert max(entry.at_s for entry in old) < deposed_s + timeout_s
        assert min(entry.at_s for entry in new) > deposed_s + timeout_s
        assert (
            max(r.at_s for r in world.recorded.values() if r.order.token.epoch == deposed.epoch) < deposed_s
        )
        assert world.published("primary", ENDPOINT) == ("mail-b",)

    assert play(story, policy, seed).reasons_outside == []


def test_a_successor_uses_what_refuses_old_orders_at_once() -> None:
    async def story(world: World) -> None:
        faults.daemon_dies(world, leader(world).name)
        died_s, epoch = world.now_s, leader(world).epoch
        await replaced_after_s(world)
        await asyncio.sleep(2)
        first = {name: receiver.log[-1] for name, receiver in world.obeying.items()}
        assert {entry.token.epoch for entry in first.values()} == {epoch + 1}
        assert max(entry.at_s for entry in first.values()) < died_s + 2

    play(story)


def test_in_a_pair_neither_is_deposed_early() -> None:
    """The one left has not the votes that are needed."""

    async def story(world: World) -> None:
        faults.daemon_dies(world, leader(world).name)
        assert LEAST_SILENT_S < await replaced_after_s(world) < MOST_SILENT_S

    play(story, pair_without_a_witness())


# what is seen of another's process


@dataclass
class Scene:
    """`me` looks at `it`."""

    network: Network = field(default_factory=lambda: Network(random.Random(1)))
    daemons: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("me", "it"):
            self.network.add(name, name)
            self.start(name, f"{name}-1")
        self.peers = Peers("me", "me", self.network, self.daemons)
        self.peers.look()

    def start(self, name: str, nonce: str) -> None:
        self.daemons[name] = Running(name, nonce, Process(name))

    def kill(self) -> None:
        self.daemons["it"].process.kill()

    def looks(self) -> tuple[str, ...]:
        self.peers.look()
        return self.peers.gone


def test_a_process_that_ends_is_gone_at_the_next_look_and_stays_gone() -> None:
    scene = Scene()
    assert not scene.peers.look()
    scene.kill()
    assert scene.peers.look()
    assert scene.looks() == ("it-1",)
    scene.start("it", "it-2")
    assert scene.looks() == ("it-1",)
    assert not scene.peers.look()


def test_a_process_that_stands_still_is_not_gone() -> None:
    scene = Scene()
    scene.daemons["it"].process.stop()
    assert scene.looks() == ()


@pytest.mark.parametrize("trouble", ["cut", "frozen", "down"])
def test_what_ends_in_silence_is_gone_when_another_process_answers(trouble: str) -> None:
    scene = Scene()
    host = scene.network.hosts["it"]
    if trouble == "cut":
        scene.network.cut("me", "it")
    host.frozen, host.up = trouble == "frozen", trouble != "down"
    assert scene.looks() == ()
    scene.kill()
    assert scene.looks() == ()
    scene.network.mend()
    host.frozen, host.up = False, True
    assert scene.looks() == ()
    scene.start("it", "it-2")
    scene.daemons["it"].process.stop()
    assert scene.looks() == (), "who stands still does not say who it is"
    scene.daemons["it"].process.proceed()
    assert scene.looks() == ("it-1",)


def test_a_connection_that_is_made_again_to_the_same_process_shows_that_it_lives() -> None:
    scene = Scene()
    scene.network.cut("me", "it")
    scene.looks()
    scene.network.mend()
    assert scene.looks() == ()


def test_of_a_process_never_met_nothing_is_known() -> None:
    scene = Scene()
    scene.kill()
    peers = Peers("new", "me", scene.network, scene.daemons)
    peers.look()
    scene.start("it", "it-2")
    peers.look()
    assert peers.gone == ()


def test_what_is_remembered_is_bounded_and_the_newest() -> None:
    scene = Scene()
    for number in range(2, 3 * MOST_GONE):
        scene.start("it", f"it-{number}")
        scene.daemons["it"].process.alive = True
        scene.peers._held.clear()
        scene.peers.look()
    assert len(scene.peers.gone) == MOST_GONE
    assert scene.peers.gone[-1] == f"it-{3 * MOST_GONE - 2}"
