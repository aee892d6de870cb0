"""Somebody comes back, or dies, in the middle of a failover, on real hosts: service moves once, never to two.

Nobody has a power switch; who serves does so under a lease.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.lab.harness import trapped
from tests.lab.harness.both import Both
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.held import Held
from tests.lab.harness.layout import SUBMISSION
from tests.lab.harness.sites import BACK_WITHIN_S, LEASE_S, SERVES_WITHIN_S, Sites, leased
from tests.lab.harness.waiting import wait_until

from mailward.model.state import Kind, Step

AFTER_S = 3.0
"""In which who has come back would serve."""


@dataclass(frozen=True)
class Scene:
    sites: Sites
    trap: trapped.Trap

    def endings(self, before: list[str]) -> list[str]:
        """Of the failovers since then."""
        ended = [each for each in self.sites.ended() if each["id"] not in before]
        return [each["ending"] for each in ended if each["kind"] == Kind.FAILOVER]


@pytest.fixture(scope="module")
def running_scene(running_cluster: Cluster) -> Iterator[Scene]:
    running_cluster.heal()
    trap = trapped.Trap(running_cluster.folder / "trap.json")
    with leased(running_cluster, program=trapped.PROGRAM, env={trapped.TRAP: str(trap.file)}) as sites:
        yield Scene(sites, trap)


@pytest.fixture
def scene(running_scene: Scene, told_of_failures: object) -> Scene:
    return running_scene


def test_who_hung_and_moves_again_just_before_the_promotion_serves_nobody_unordered(scene: Scene) -> None:
    """Its lease has run out. The other is promoted; or, where its firewall cannot be read just then, it is
    closed once more, and as it is well again it is opened instead."""
    sites = scene.sites
    active, standby = sites.make_whole()
    before = sites.ids()
    with Both(sites.cluster) as both, Held(sites.cluster.nodes[active]) as held:
        at = sites.at[active].hang()
        leader = sites.daemons.leader(other_than=active)
        scene.trap.set(Kind.FAILOVER, Step.PROMOTE, signal.SIGSTOP)
        wait_until(lambda: scene.trap.is_sprung, "the old one is stopped", SERVES_WITHIN_S)
        assert not both.has_heard(standby)
        sites.at[active].back()
        back = time.time()
        time.sleep(1)
        os.kill(sites.daemons.each[leader].pid, signal.SIGCONT)
        wait_until(lambda: scene.endings(before), "the failover has ended", BACK_WITHIN_S)
        serves = sites.active()
        time.sleep(AFTER_S)
        sites.mend()
        sites.settle(serves)
    heard = [greeting for greeting in both.greetings if greeting.asked > at + 1]
    first = min(heard, key=lambda greeting: greeting.asked)
    print(
        f"{active} hung, answered a session until {held.answered - at:+.2f} s and moved again at "
        f"{back - at:+.2f} s; {first.node} greeted from {first.asked - at:+.2f} s; {serves} serves, led by "
        f"{leader}"
    )
    assert both.at_once() == []
    assert held.answered < at + LEASE_S
    assert first.asked > back
    assert scene.endings(before) == ["done" if serves == standby else "rolled-back"]


def test_a_leader_that_dies_when_its_fence_is_acknowledged_is_followed_by_one_that_promotes_once(
    scene: Scene,
) -> None:
    """What it knew of the fence is recorded nowhere."""
    sites = scene.sites
    active, standby = sites.make_whole()
    before, died = sites.ids(), sites.daemons.leader()
    with Both(sites.cluster) as both:
        scene.trap.set("order-ports", trapped.ACKNOWLEDGED, signal.SIGKILL)
        at = sites.at[active].crash()
        wait_until(lambda: scene.trap.is_sprung, "the leader has fenced", SERVES_WITHIN_S)
        assert not both.has_heard(standby)
        assert sites.cluster.nodes[active].accepts(SUBMISSION) is False
        sites.until_served_by(standby)
        followed = sites.daemons.leader(other_than=died)
        sites.mend()
        sites.settle(standby)
    last, first = both.moved(active, standby)
    print(
        f"{died} died after its fence, {followed} went on: {active} greeted until {last - at:+.2f} s, "
        f"{standby} from {first - at:+.2f} s"
    )
    assert both.at_once() == []
    assert last < first
    assert scene.endings(before) == ["done"]
