"""A cluster of three sites without power switches, where who serves does so under a lease: when it cannot be
asked to stop, its own kernel closes it, and only then is the other promoted. Without ZooKeeper mail goes on
by promises, as long as everybody promises.

Both nodes are asked every 50 ms; a session of the old one that was open before is asked as often.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from tests.lab.harness.both import NOTICED_S, Both
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.engine import freeze
from tests.lab.harness.held import Held
from tests.lab.harness.layout import SSH, SUBMISSION
from tests.lab.harness.sites import BACK_WITHIN_S, LEASE_S, OVER_S, RUNS, WITNESS, Sites, leased
from tests.lab.harness.table import line
from tests.lab.harness.waiting import wait_until

CLOSED_S = LEASE_S + 2
"""After the strike: a renewal that is on its way is carried out up to two seconds later."""
GONE_S = 30.0


@pytest.fixture(scope="module")
def running_sites(running_cluster: Cluster) -> Iterator[Sites]:
    running_cluster.heal()
    with leased(running_cluster) as sites:
        yield sites


@pytest.fixture
def sites(running_sites: Sites, told_of_failures: object) -> Sites:
    return running_sites


@dataclass(frozen=True)
class Strike:
    """What is done to who serves; `carry_out` is told its name, and returns the moment."""

    name: str
    carry_out: Callable[[Sites, str], float]
    long: bool = False


def stand_still(sites: Sites, name: str) -> float:
    """Its daemon, and nobody reaches its SSH: all else of the host is well."""
    at = time.time()
    os.kill(sites.daemons.each[name].pid, signal.SIGSTOP)
    others = [site.host.address for site in sites.at.values() if site.name != name]
    sites.at[name].host.cut("in", others, port=SSH)
    return at


def stand_still_and_crash(sites: Sites, name: str) -> float:
    """And its Postfix is gone: a takeover begins while its Dovecot serves on."""
    at = stand_still(sites, name)
    sites.cluster.nodes[name].kill_unit("postfix")
    return at


STRIKES = (
    Strike("it is cut off from everything", lambda sites, name: sites.cut_off(name)),
    Strike("its daemon stands still", stand_still, long=True),
    Strike("its daemon stands still and its Postfix crashes", stand_still_and_crash),
)


@pytest.mark.parametrize(
    "strike",
    [pytest.param(each, id=each.name, marks=[pytest.mark.long] if each.long else []) for each in STRIKES],
)
def test_its_ports_are_closed_before_the_other_is_promoted(sites: Sites, strike: Strike) -> None:
    for run in range(1, RUNS + 1):
        active, standby = sites.make_whole()
        before, led_by = sites.ids(), sites.daemons.leader()
        with Both(sites.cluster) as both, Held(sites.cluster.nodes[active]) as held:
            at = strike.carry_out(sites, active)
            sites.until_served_by(standby)
            acknowledged = sites.ports_of(active)["fence"]
            ended = held.ended
            sites.mend()
            sites.settle(standby)
        greeted, first = both.moved(active, standby)
        last = max(greeted, held.answered)
        print(
            f"{strike.name}, {run} of {RUNS}: led by {led_by}; {active} greeted until {greeted - at:+.2f} s "
            f"and answered a session until {held.answered - at:+.2f} s, {standby} greeted from "
            f"{first - at:+.2f} s: margin {first - last:.2f} s"
        )
        line(f"lease: {strike.name}", "CONFIRMED users", first - at, f"closed after {last - at:.2f} s")
        assert both.at_once() == []
        assert ended, "a session of before goes on"
        assert last - at < CLOSED_S
        assert last < first
        assert acknowledged != "CONFIRMED", "it was not the lease that stopped it"
        (moved,) = [each for each in sites.ended() if each["id"] not in before and each["kind"] == "failover"]
        assert moved["ending"] == "done"


@contextmanager
def without_zookeeper(sites: Sites) -> Iterator[None]:
    """All servers stand still: they take connections, and answer nothing."""
    containers = sites.daemons.zookeeper.containers.values()
    for container in containers:
        freeze(container)
    try:
        yield
    finally:
        for container in containers:
            container.unpause()


def told(daemon: Controller) -> str:
    return " ".join(daemon.status()["notices"])


@pytest.mark.parametrize("lasts_s", [GONE_S, pytest.param(4 * GONE_S, marks=pytest.mark.long)])
def test_while_zookeeper_is_gone_mail_goes_on_by_promises(sites: Sites, lasts_s: float) -> None:
    for run in range(1, RUNS + 1):
        active, standby = sites.make_whole()
        before, led_by = sites.ids(), sites.daemons.leader()
        with Both(sites.cluster) as both, Held(sites.cluster.nodes[active]) as held:
            with without_zookeeper(sites):
                time.sleep(lasts_s)
                assert "goes on serving without the store" in told(sites.daemons.each[active])
                for name in (standby, WITNESS):
                    assert "does not lead yet" in told(sites.daemons.each[name]), name
            back = time.time()
            sites.daemons.leader(within_s=BACK_WITHIN_S)
            led_s = time.time() - back
            sites.settle(active)
            ended = held.ended
        print(
            f"ZooKeeper gone for {lasts_s:g} s, {run} of {RUNS}: led by {led_by}; nobody greeted for "
            f"{both.silence_s():.2f} s at most; {sites.daemons.leader()} led {led_s:.1f} s after it was back"
        )
        assert not ended, "a session of before was closed"
        assert both.silence_s() < NOTICED_S
        assert {greeting.node for greeting in both.greetings} == {active}
        assert sites.ids() == before
        assert led_s > OVER_S - LEASE_S, "somebody leads before its promise is over"


def test_when_one_of_the_others_does_not_promise_the_ports_close(sites: Sites) -> None:
    active, standby = sites.make_whole()
    node = sites.cluster.nodes[active]
    with Both(sites.cluster) as both, Held(node) as held:
        os.kill(sites.daemons.each[standby].pid, signal.SIGSTOP)
        with without_zookeeper(sites):
            at = time.time()
            closed = partial(_is_closed_to_all, sites, active, held)
            wait_until(closed, "its ports close", CLOSED_S + 5)
            assert f"{standby} does not answer" in told(sites.daemons.each[active])
        sites.mend()
        sites.settle(active)
    assert {greeting.node for greeting in both.greetings} == {active}
    assert held.answered - at < CLOSED_S + 1
    print(
        f"{standby} does not promise: {active} answered a session until {held.answered - at:+.2f} s, and "
        f"greeted nobody for {both.silence_s():.1f} s"
    )


def _is_closed_to_all(sites: Sites, name: str, held: Held) -> bool:
    return held.ended and not sites.cluster.nodes[name].speaks(SUBMISSION)
