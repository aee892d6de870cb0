"""A cluster of real servers, one of which serves: it fails in every way, and service moves once, for certain.

Throughout, both nodes are asked every 50 ms whether they serve; they never do at once. What clients were told
is accepted is on both nodes afterwards. Where the old one cannot be stopped, nobody is promoted but by a
person's word."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from tests.lab.harness import helper, switch
from tests.lab.harness.audit import audit, behind
from tests.lab.harness.both import Both
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.layout import DSYNC, ENDPOINTS, SUBMISSION
from tests.lab.harness.load import Load
from tests.lab.harness.node import MailNode
from tests.lab.harness.publication import Publication
from tests.lab.harness.standing import BACK_WITHIN_S, roles, settle
from tests.lab.harness.waiting import wait_until

TAKEOVER_S = 3
MOVED_WITHIN_S = 40
RETRY_MAX_S = 5


@pytest.fixture(autouse=True)
def booting_closed(running_cluster: Cluster) -> Iterator[None]:
    helper.boot(running_cluster, "closed")
    yield
    helper.boot(running_cluster, "as-ordered")


@contextmanager
def active_passive(
    cluster: Cluster, *, power: bool = True, takeover_s: float = TAKEOVER_S, **policy: float
) -> Iterator[Controller]:
    """A controller of a cluster in which mail-a serves, with a power switch or none."""
    changes = {"deployment": "cluster", "policy": {"takeover_after_s": takeover_s, **policy}}
    controller = Controller(cluster, {**changes, "nodes": switch.of_nodes(cluster) if power else {}})
    controller.init("--active", "mail-a")
    try:
        controller.start()
        settle(controller, "mail-a")
        yield controller
    finally:
        controller.stop()


FILTER = """table inet own {
chain incoming {
type filter hook input priority -10; policy accept;
iifname "lo" accept
tcp dport 587 drop
}
}
"""


@dataclass(frozen=True)
class Fault:
    """`long`: not for every day, when three daemons are tried with it."""

    name: str
    strike: Callable[[MailNode], float]
    long: bool = False


FAULTS = (
    Fault("kill -9 of Dovecot", lambda node: node.kill_unit("dovecot"), long=True),
    Fault("kill -9 of Postfix", lambda node: node.kill_unit("postfix")),
    Fault("hung Postfix", lambda node: node.freeze_unit("postfix"), long=True),
    Fault("killed node", lambda node: node.kill(), long=True),
    Fault("hung node", lambda node: node.pause(), long=True),
    Fault("network cut", lambda node: node.cut(), long=True),
)


@pytest.mark.parametrize(
    "fault",
    [pytest.param(each, id=each.name, marks=[pytest.mark.long] if each.long else []) for each in FAULTS],
)
def test_service_moves_once_for_certain_and_no_accepted_message_is_lost(
    cluster: Cluster, fault: Fault
) -> None:
    failing, standby = cluster.mail_a, cluster.mail_b
    with active_passive(cluster) as controller, Publication(cluster) as dns, Both(cluster) as both:
        dns.wait_without(standby.address, ENDPOINTS, MOVED_WITHIN_S)
        with Load(cluster, f"ap-{fault.name.replace(' ', '-')}") as load:
            time.sleep(3)
            at = fault.strike(failing)
            named = dns.wait_with(standby.address, ENDPOINTS, MOVED_WITHIN_S)
            dns.wait_without(failing.address, ENDPOINTS, MOVED_WITHIN_S)
            time.sleep(2)
            failing.heal()
            settle(controller, "mail-b")
            time.sleep(2)
        report = audit(cluster, load)
        ended = [each["kind"] for each in controller.status()["ended"]]
    left, came = both.moved("mail-a", "mail-b")
    print(
        f"{fault.name}: last greeting of the old {left - at:+.2f} s, first of the new {came - at:+.2f} s, in "
        f"DNS {max(change.at for change in named) - at:+.2f} s; asked {both.asked} times; {report}"
    )
    assert both.at_once() == []
    assert left < came
    assert ended.count("failover") == 1
    assert report.is_clean, report
    assert report.accepted > 20


def test_who_cannot_be_stopped_is_left_to_a_person_whose_word_counts_once(cluster: Cluster) -> None:
    """The node is cut off and has no switch: nobody is promoted, `explain` says which rung said what."""
    failing, standby = cluster.mail_a, cluster.mail_b
    with active_passive(cluster, power=False) as controller, Both(cluster) as both:
        failing.cut()
        wait_until(lambda: waiting(controller) != "", "a failover waits for a person", MOVED_WITHIN_S)
        time.sleep(6)
        assert roles(controller.status()) == {"mail-a": "demoting", "mail-b": "standby"}
        assert not standby.speaks(SUBMISSION)
        told = controller.cli("explain").stdout
        assert "mail-a is not known to be stopped (helper:" in " ".join(told.split())
        operation = controller.status()["operation"]["id"]
        wrong = controller.cli("vouch", "mail-a", "--operation", "1-999")
        assert wrong.returncode == 1, wrong.stdout
        assert f"the word is for operation 1-999, and {operation} runs" in " ".join(wrong.stdout.split())
        failing.kill()
        controller.do("vouch", "mail-a", "--operation", operation, "--reason", "pulled its plug")
        wait_until(lambda: standby.speaks(SUBMISSION), "the standby serves", MOVED_WITHIN_S)
        settle_without(controller, "mail-b")
        again = controller.cli("vouch", "mail-a", "--operation", operation)
        assert again.returncode == 1, again.stdout
        failing.heal()
        settle(controller, "mail-b")
    assert both.at_once() == []


def waiting(controller: Controller) -> str:
    code, status = controller.get("/v1/status")
    operation = status["operation"] if code == 200 else None
    text: str = operation["waits_for"] if operation else ""
    return text if "mailward vouch" in text else ""


def settle_without(controller: Controller, active: str) -> None:
    """Until one serves, whatever the other does."""

    def settled() -> bool:
        code, status = controller.get("/v1/status")
        return code == 200 and status["operation"] is None and roles(status)[active] == "in-service"

    wait_until(settled, f"{active} serves", MOVED_WITHIN_S)


def test_who_comes_back_in_the_middle_opens_nothing_by_itself(cluster: Cluster) -> None:
    """Killed while it serves, booted again at once: its ports stay closed until it is ordered to open
    them."""
    with active_passive(cluster, power=False, takeover_s=30) as controller, Both(cluster) as both:
        cluster.mail_a.kill()
        cluster.mail_a.boot()
        wait_until(lambda: cluster.mail_a.speaks(22), "its SSH is back", 30)
        assert not cluster.mail_a.speaks(SUBMISSION)
        settle(controller, "mail-a")
        assert cluster.mail_a.speaks(SUBMISSION)
        ended = [each["kind"] for each in controller.status()["ended"]]
    assert both.at_once() == []
    assert "failover" not in ended


@pytest.mark.long
def test_a_switchover_under_load_loses_nothing(cluster: Cluster) -> None:
    with active_passive(cluster) as controller, Both(cluster) as both:
        with Load(cluster, "ap-switchover") as load:
            time.sleep(3)
            controller.do("switchover", "mail-b", "--wait", "--timeout", "60")
            time.sleep(8)
        settle(controller, "mail-b")
        report = audit(cluster, load)
    left, came = both.moved("mail-a", "mail-b")
    print(f"switchover: nobody greeted for {came - left:.2f} s; {report}")
    assert both.at_once() == []
    assert report.is_clean, report
    assert load.accepted_at(cluster.mail_b.address) > 5


def test_a_switchover_to_one_that_does_not_serve_goes_back(cluster: Cluster) -> None:
    """Its Postfix answers on its loopback, and a filter of its own keeps clients away: seen from outside
    only."""
    with active_passive(cluster) as controller, Both(cluster) as both:
        cluster.mail_b.run("nft", FILTER)
        try:
            done = controller.cli("switchover", "mail-b", "--wait", "--timeout", "120", timeout_s=150)
        finally:
            cluster.mail_b.run("nft", "delete table inet own")
        assert done.returncode == 1, done.stdout
        settle(controller, "mail-a")
        assert cluster.mail_a.speaks(SUBMISSION)
        recorded = json.dumps(controller.status()["ended"])
        assert "rolled-back" in recorded
    assert both.at_once() == []


def test_in_a_pause_as_well_a_standby_that_root_has_opened_is_closed(cluster: Cluster) -> None:
    """Root flushes its firewall: two serve, until it is closed again; the pause holds all else. Who was
    closed a moment ago, and comes open at once, is closed again at most every `retry_max_s`."""
    active, standby = cluster.mail_a, cluster.mail_b
    with active_passive(cluster, retry_max_s=RETRY_MAX_S) as controller:
        controller.do("pause", "--for", "10m", "--reason", "a new firewall")
        with Both(cluster) as both:
            flushed = time.time()
            standby.run("nft", "delete table inet mailward")
            wait_until(lambda: both.has_heard(standby.name), "it serves beside the other", 10)
            wait_until(lambda: not standby.speaks(SUBMISSION), "it is closed again", 2 * RETRY_MAX_S)
            settle(controller, active.name)
        last = max(each.had for each in both.greetings if each.node == standby.name)
        print(f"opened by root in a pause: closed after {last - flushed:.2f} s")
        status = controller.status()
        assert status["automation"]["mode"] == "PAUSED"
        assert status["ended"][0]["kind"] == "reconcile"
        assert "failover" not in [each["kind"] for each in status["ended"]]
        controller.do("resume")


UNREPLICATED = f"""table inet lab_unreplicated {{
chain incoming {{
type filter hook input priority -300; policy accept;
tcp dport {DSYNC} drop
}}
}}
"""


def test_who_is_closed_to_users_still_gives_what_it_has_and_its_queue_is_listed(cluster: Cluster) -> None:
    """Replication is stopped, then delivery: some mail is on the old one only, some in its queue only. Then
    it is closed, in the scope `users`; and once both go on, all of that comes over."""
    old, new = cluster.mail_a, cluster.mail_b
    with active_passive(cluster) as controller, Both(cluster) as both:
        for node in cluster.nodes.values():
            node.run("nft", UNREPLICATED)
        load = Load(cluster, "fenced")
        assert all(load.send(number, old.address) for number in range(5))
        old.shell("postconf -e defer_transports=lmtp && postfix reload")
        assert all(load.send(number, old.address) for number in range(5, 9))
        wait_until(lambda: lag_s(controller, old, new) > 0, "the lag is seen", 20)
        controller.do("failover", old.name, "--reason", "its disk", "--wait", "--timeout", "60")
        ports = ports_of(controller, old.name)
        assert (ports["fence"], ports["scope"]) == ("CONFIRMED", "users")
        queued, behind_by = old.queue(), behind(load, old, new)
        print(f"closed with {len(behind_by)} messages not at {new.name}, queue: {queued}")
        assert len(queued) == 4
        assert {each["queue_name"] for each in queued} <= {"deferred", "active", "incoming"}
        assert len(behind_by) == 9
        for node in cluster.nodes.values():
            node.shell("nft delete table inet lab_unreplicated")
        old.shell("postconf -X defer_transports && postfix reload && postqueue -f")
        wait_until(lambda: old.queue() == [], "its queue is empty", BACK_WITHIN_S)
        wait_until(lambda: behind(load, old, new) == [], "all its mail is at the new one", BACK_WITHIN_S)
        wait_until(lambda: lag_s(controller, old, new) == 0, "its lag is 0", BACK_WITHIN_S)
        assert not old.speaks(SUBMISSION)
        assert roles(controller.status()) == {old.name: "out", new.name: "in-service"}
    assert both.at_once() == []


def lag_s(controller: Controller, source: MailNode, target: MailNode) -> float:
    """As it is measured; -1 where it is not known."""
    lags = controller.status()["lags"]
    (lag,) = [each for each in lags if (each["source"], each["target"]) == (source.name, target.name)]
    return -1.0 if lag["seconds"] is None else float(lag["seconds"])


def ports_of(controller: Controller, name: str) -> dict[str, Any]:
    (ports,) = [each["ports"] for each in controller.status()["nodes"] if each["node"] == name]
    assert isinstance(ports, dict)
    return ports
