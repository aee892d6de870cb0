"""Two mail servers, one of which serves, and a witness, each a site with a daemon and a ZooKeeper server:
who serves crashes, hangs, is lost or cut off, and service moves once. Throughout, both nodes are asked every
50 ms whether they serve; they never do at once. Sites that do not reach each other are not taken for dead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.lab.harness.both import NOTICED_S, Both
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.moving import FAULTS, Fault, fail_over, switch_over
from tests.lab.harness.node import MailNode
from tests.lab.harness.sites import RUNS, Sites
from tests.lab.harness.waiting import wait_until

SELDOM = ("hang",)
"""It is stopped as who is lost."""
AFTER_S = 3.0
"""In which who has come back would serve."""
SPLIT_S = 12.0
"""Much longer than what a takeover waits for."""


@pytest.fixture(scope="module")
def running_sites(running_cluster: Cluster) -> Iterator[Sites]:
    running_cluster.heal()
    with Sites(running_cluster) as sites:
        yield sites


@pytest.fixture
def sites(running_sites: Sites, told_of_failures: object) -> Sites:
    return running_sites


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(each, id=each.name, marks=[pytest.mark.long] if each.name in SELDOM else [])
        for each in FAULTS
    ],
)
def test_service_moves_once_and_no_accepted_message_is_lost(sites: Sites, fault: Fault) -> None:
    moved = fail_over(sites, fault, f"three-{fault.name}")
    print(moved)
    assert moved.at_once == []
    assert moved.last_s < moved.first_s
    assert [(each["kind"], each["ending"]) for each in moved.ended] == [("failover", "done")]
    assert moved.report.is_clean, moved.report
    assert moved.report.accepted > 20


def test_a_switchover_under_load_loses_nothing(sites: Sites) -> None:
    moved = switch_over(sites, "three-switchover")
    print(moved)
    assert moved.at_once == []
    assert moved.last_s < moved.first_s
    assert [(each["kind"], each["ending"]) for each in moved.ended] == [("switchover", "done")]
    assert moved.missing == []
    assert moved.report.is_clean, moved.report


def boots(sites: Sites) -> dict[str, str]:
    """When each mail host was started last."""
    return {name: _started(node) for name, node in sites.cluster.nodes.items()}


def _started(node: MailNode) -> str:
    node.container.reload()
    state = node.container.attrs["State"]
    return f"{state['Status']} since {state['StartedAt']}"


def test_sites_that_do_not_reach_each_other_fence_nobody_while_the_witness_reaches_both(
    sites: Sites,
) -> None:
    for run in range(1, RUNS + 1):
        active, standby = sites.make_whole()
        before, booted, led_by = sites.ids(), boots(sites), sites.daemons.leader()
        with Both(sites.cluster) as both:
            sites.cut(active, standby)
            time.sleep(SPLIT_S)
            during = sites.leader.status()
            sites.mend()
            sites.settle(active)
        print(f"split {run} of {RUNS}: {active} served, led by {led_by}; {during['cuts']}")
        assert during["operation"] is None
        assert during["cuts"], "nobody noticed"
        assert sites.ids() == before
        assert boots(sites) == booted
        assert {greeting.node for greeting in both.greetings} == {active}
        assert both.silence_s() < NOTICED_S


@pytest.mark.long
def test_who_stands_with_the_witness_serves_when_the_other_is_cut_off(sites: Sites) -> None:
    for run in range(1, RUNS + 1):
        active, standby = sites.make_whole()
        led_by = sites.daemons.leader()
        with Both(sites.cluster) as both:
            at = sites.cut_off(active)
            sites.until_served_by(standby)
            sites.mend()
            sites.settle(standby)
        last, first = both.moved(active, standby)
        print(
            f"cut {run} of {RUNS}: led by {led_by}; {active} greeted until {last - at:+.2f} s, {standby} "
            f"from {first - at:+.2f} s, nobody for {both.silence_s():.2f} s"
        )
        assert both.at_once() == []
        assert last < first


def test_who_has_power_again_and_no_network_boots_closed_and_stays_so(sites: Sites) -> None:
    """It was ordered open last, and another was promoted meanwhile; its mail services and its daemon run, and
    reach nobody but clients."""
    active, standby = sites.make_whole()
    with Both(sites.cluster) as both:
        at = sites.at[active].lose()
        sites.until_served_by(standby)
        sites.at[active].host.boot()
        sites.cut_off(active)
        sites.at[active].daemon.start(ready_within_s=0)
        wait_until(sites.at[active].host.speaks_within, "its mail services run", 30)
        time.sleep(AFTER_S)
        sites.mend()
        sites.settle(standby)
    last, first = both.moved(active, standby)
    print(f"{active} lost power at {last - at:+.2f} s, {standby} greeted from {first - at:+.2f} s")
    assert both.at_once() == []
    assert last < at + 1
