"""The checkers of outages object to those of our own making that do not end, and to nothing else."""

from dataclasses import dataclass, replace

import pytest
from tests.simulation.clusters import ENDPOINT, one_is_preferred, two_sites_and_a_witness
from tests.simulation.test_checkers import LEADER, commit, publish
from tests.simulation.test_checkers_of_a_cluster import Act, objected

from mailward.model.fencing import CLOSED, OPEN
from mailward.model.policy import Automation
from mailward.simulator.checkers import Checker
from mailward.simulator.checkers.calm import Calm
from mailward.simulator.checkers.outages import NamedAreOpen, NotKeptShut
from mailward.simulator.checkers.truth import Truth
from mailward.simulator.hooks import HookWork
from mailward.simulator.nodes import Work
from mailward.simulator.world import World


@dataclass
class CalmFor(Calm):
    """As if everything ran and reached each other for so long."""

    lasts_s: float = 0.0

    def for_s(self, now_s: float) -> float:
        return self.lasts_s


def kept_shut(world: World) -> None:
    for node in world.nodes.values():
        node.helper.ports = dict.fromkeys(node.helper.ports, CLOSED)


def last_open(world: World) -> None:
    kept_shut(world)
    helper = world.nodes["mail-a"].helper
    helper.ports = dict.fromkeys(helper.ports, OPEN)


def the_other_opens(world: World) -> None:
    helper = world.nodes["mail-b"].helper
    helper.ports = dict.fromkeys(helper.ports, OPEN)


def an_old_copy(world: World) -> None:
    commit(world, replace(world.state, superseded="by another"))


def observes(world: World) -> None:
    world.policy = replace(world.policy, automation=Automation.OBSERVE)


MEANWHILE = pytest.mark.parametrize(
    ("meanwhile", "calm_s", "objects"),
    [
        (lambda _world: None, 1e6, True),
        (lambda _world: None, 60.0, False),
        (the_other_opens, 1e6, False),
        (lambda world: world.pause(600), 1e6, False),
        (lambda world: world.nodes["mail-a"].fail(["imaps"], Work.CRASHED), 1e6, False),
        (lambda world: world.nodes["mail-b"].fail(["imaps"], Work.CRASHED), 1e6, True),
        (lambda world: setattr(world.nodes["mail-a"], "disk_full", True), 1e6, False),
        (lambda world: setattr(world.nodes["mail-a"].hooks, "work", HookWork.FAILS), 1e6, False),
        (observes, 1e6, False),
        (an_old_copy, 1e6, False),
        (lambda world: setattr(world.ensemble, "has_quorum", False), 1e6, False),
    ],
    ids=[
        "nothing", "no calm", "the other opens", "a pause", "it fails", "the other fails", "its disk is full",
        "its hooks fail", "only observed", "an old copy", "no quorum",
 ],
)  # fmt: skip


@MEANWHILE
def test_who_is_well_and_was_open_last_is_not_kept_shut(meanwhile: Act, calm_s: float, objects: bool) -> None:
    def shut_in_calm(truth: Truth) -> Checker:
        truth.calm = CalmFor(lasts_s=calm_s)
        return NotKeptShut(truth)

    acts = ((1.0, last_open), (1.0, kept_shut), (1.0, meanwhile), (130.0, lambda _world: None))
    found = objected(one_is_preferred(), *acts, by=(shut_in_calm,))
    assert any("mail-a, the last that was, is well and shut" in each for each in found) is objects


@MEANWHILE
def test_of_a_hybrid_whom_dns_names_is_well_and_not_kept_shut(
    meanwhile: Act, calm_s: float, objects: bool
) -> None:
    def shut_in_calm(truth: Truth) -> Checker:
        truth.calm = CalmFor(lasts_s=calm_s)
        return NamedAreOpen(truth)

    def only_a_is_named(world: World) -> None:
        world.ensemble.leader = LEADER
        publish(world, "192.0.2.10")

    if meanwhile is the_other_opens:
        objects = True  # nobody is sent to it
    acts = ((1.0, only_a_is_named), (1.0, kept_shut), (1.0, meanwhile), (130.0, lambda _world: None))
    found = objected(two_sites_and_a_witness(), *acts, by=(shut_in_calm,))
    assert (
        any(f"nobody of {ENDPOINT} is open: mail-a, whom primary names" in each for each in found) is objects
    )


@pytest.mark.parametrize(("frozen", "objects"), [(True, False), (False, True)])
def test_a_name_server_that_takes_nothing_may_name_who_is_shut(frozen: bool, objects: bool) -> None:
    def shut_in_calm(truth: Truth) -> Checker:
        truth.calm = CalmFor(lasts_s=1e6)
        return NamedAreOpen(truth)

    def frozen_zone(world: World) -> None:
        world.ensemble.leader = LEADER
        world.zones["primary"].writable = not frozen

    acts = ((1.0, frozen_zone), (1.0, kept_shut), (130.0, lambda _world: None))
    found = objected(two_sites_and_a_witness(), *acts, by=(shut_in_calm,))
    assert bool(found) is objects
