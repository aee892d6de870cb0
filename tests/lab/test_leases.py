"""Leases of real client ports: closed by the node's kernel when nobody renews them, and renewed by promises
while ZooKeeper is gone. Nobody takes over here: that the old one is closed in time is seen by itself.

The prober asks both nodes every 50 ms; a session that was open before is asked as often.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise

import pytest
from tests.lab.harness import helper
from tests.lab.harness.both import Both
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.daemons import Daemons
from tests.lab.harness.held import Held
from tests.lab.harness.layout import NODE_NAMES, SUBMISSION
from tests.lab.harness.waiting import wait_until

LEASE_S = 8
OVER_S = 2.1 * LEASE_S + 2
SETTLED_S = 120
CLOSED_S = LEASE_S + 2
"""After the strike: a renewal that is on its way is carried out up to two seconds later."""
CHANGES = {"deployment": "cluster", "policy": {"takeover_after_s": 600, "lease_s": LEASE_S}}


@pytest.fixture(scope="module")
def leased(running_cluster: Cluster) -> Iterator[Daemons]:
    """Three daemons of a cluster in which mail-a serves under a lease, and the witness leads."""
    running_cluster.heal()
    helper.boot(running_cluster, "closed")
    try:
        with Daemons(running_cluster, CHANGES, active="mail-a") as daemons:
            settle(daemons)
            daemons.make_lead("witness")
            settle(daemons)
            yield daemons
    finally:
        helper.boot(running_cluster, "as-ordered")


def settle(daemons: Daemons) -> None:
    """Until mail-a serves under a lease that is renewed, and mail-b stands by closed."""

    def settled() -> bool:
        answers = [daemon.get("/v1/status") for daemon in daemons.each.values()]
        if any(code != 200 or status["operation"] is not None for code, status in answers):
            return False
        nodes = {each["node"]: each for each in answers[-1][1]["nodes"]}
        ago_s = nodes["mail-a"]["helper"]["renewed_ago_s"]
        return (
            any(status["standing"] == "leading" for _, status in answers)
            and ago_s is not None
            and ago_s < LEASE_S
            and daemons.cluster.mail_a.speaks(SUBMISSION)
            and not daemons.cluster.mail_b.speaks(SUBMISSION)
        )

    wait_until(settled, "mail-a serves under a lease", SETTLED_S)


def everything_but_the_prober(daemons: Daemons) -> list[str]:
    """The addresses of all other daemons, nodes and servers."""
    hosts = [host.address for name, host in daemons.hosts.items() if name != "mail-a"]
    return [*hosts, *daemons.zookeeper.addresses.values()]


@contextmanager
def standing_still(daemon: Controller) -> Iterator[None]:
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(daemon.pid, signal.SIGCONT)


@contextmanager
def without_zookeeper(daemons: Daemons) -> Iterator[None]:
    """All servers stand still: they take connections, and answer nothing."""
    containers = daemons.zookeeper.containers.values()
    for container in containers:
        container.pause()
    try:
        yield
    finally:
        for container in containers:
            container.unpause()


@contextmanager
def cut_off(daemons: Daemons) -> Iterator[None]:
    daemons.hosts["mail-a"].cut("both", everything_but_the_prober(daemons))
    try:
        yield
    finally:
        daemons.hosts["mail-a"].mend()


def closes(daemons: Daemons, both: Both, held: Held, within_s: float) -> float:
    """Waits until clients are refused, those of before as well; seconds until the last answer to any."""
    struck = time.time()
    node = daemons.cluster.mail_a
    wait_until(lambda: held.ended and not node.speaks(SUBMISSION), "its ports close", within_s + 5)
    time.sleep(2)
    last = max(greeting.had for greeting in both.greetings if greeting.node == "mail-a")
    return max(last, held.answered) - struck


@pytest.mark.parametrize(
    "strike",
    [
        pytest.param(lambda daemons: standing_still(daemons.each["mail-a"]), id="its daemon stands still"),
        pytest.param(cut_off, id="it is cut off from everything"),
    ],
)
def test_a_node_that_nobody_renews_refuses_its_clients_within_the_lease(
    leased: Daemons, strike: Callable[[Daemons], AbstractContextManager[None]]
) -> None:
    with Both(leased.cluster) as both:
        with Held(leased.cluster.mail_a) as held, strike(leased):
            after_s = closes(leased, both, held, CLOSED_S)
            print(f"the last answer came {after_s:.2f} s after the strike, the lease is {LEASE_S} s")
            assert after_s < CLOSED_S
            assert {greeting.node for greeting in both.greetings} == {"mail-a"}
        settle(leased)


@pytest.mark.parametrize("lasts_s", [40, pytest.param(120, marks=pytest.mark.long)])
def test_while_zookeeper_is_gone_mail_goes_on_by_promises(leased: Daemons, lasts_s: float) -> None:
    with Both(leased.cluster) as both, Held(leased.cluster.mail_a) as held:
        with without_zookeeper(leased):
            time.sleep(lasts_s)
            told = " ".join(leased.each["mail-a"].status()["notices"])
            assert "goes on serving without the store" in told
            for name in NODE_NAMES:
                assert "does not lead yet" in " ".join(leased.each[name].status()["notices"]), name
        assert not held.ended
        back = time.time()
        settle(leased)
        assert time.time() - back > OVER_S - LEASE_S, "somebody leads before its promise is over"
        gaps = longest_gap_s(both)
        print(f"ZooKeeper was gone for {lasts_s} s: nobody greeted for {gaps:.2f} s at most")
        assert gaps < 2
        assert not held.ended
    assert {greeting.node for greeting in both.greetings} == {"mail-a"}


def longest_gap_s(both: Both) -> float:
    had = sorted(greeting.had for greeting in both.greetings if greeting.node == "mail-a")
    return max(after - before for before, after in pairwise(had))


def test_when_one_of_the_others_does_not_promise_the_ports_close(leased: Daemons) -> None:
    with Both(leased.cluster) as both:
        with (
            Held(leased.cluster.mail_a) as held,
            standing_still(leased.each["mail-b"]),
            without_zookeeper(leased),
        ):
            after_s = closes(leased, both, held, CLOSED_S)
            print(f"the last answer came {after_s:.2f} s after ZooKeeper had stopped")
            assert after_s < CLOSED_S + 1
            told = " ".join(leased.each["mail-a"].status()["notices"])
            assert "mail-b does not answer" in told
        settle(leased)
