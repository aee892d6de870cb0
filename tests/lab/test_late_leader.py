"""A leader that has lost its sense of lateness: what it sends too late is refused by whoever it is sent to.

It stands still while another one leads and ends its work, and goes on as if nothing had happened: with no
deadline and no expiry, believing that it leads.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest
from tests.lab.harness import helper, trapped
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.daemons import SESSION_S, Daemons, epochs_of, settled
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import ENDPOINTS, TOKEN_NAME
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

NODE = "mail-a"
GOES_ON_S = 6.0
DONE = (
    ("zookeeper", "COMMITTED"), ("publish", "DONE"), ("order-ports", "DONE"),
    ("claim-target", "DONE"), ("claim-helper", "DONE"),
)  # fmt: skip


class Late:
    """Daemons without a sense of lateness; what became of what each sent is in `told`."""

    def __init__(self, cluster: Cluster) -> None:
        self.trap = trapped.Trap(cluster.folder / "trap.json")
        self.before = trapped.Trap(cluster.folder / "late.trap")
        self._told = cluster.folder / "late.jsonl"
        env = {trapped.TRAP: str(self.trap.file), trapped.WITHOUT_LATENESS: str(self._told)}
        self.daemons = Daemons(cluster, program=trapped.PROGRAM, env=env)

    def told_by(self, daemon: Controller) -> list[tuple[str, str, str]]:
        """(receiver or action, result, why) of all that it has sent."""
        lines = self._told.read_text().splitlines() if self._told.exists() else []
        told = [json.loads(line) for line in lines]
        return [(each["to"], each["result"], each["detail"]) for each in told if each["pid"] == daemon.pid]


@pytest.fixture
def late(cluster: Cluster) -> Iterator[Late]:
    late = Late(cluster)
    with late.daemons:
        yield late


@pytest.mark.parametrize(
    ("trap", "step", "answer"),
    [
        ("before", "publish", ("zookeeper", "LOST", "")),
        ("trap", "publish", ("publish", "STALE", "")),
        ("trap", "fence", ("order-ports", "FAILED", "stale: ")),
    ],
    ids=["zookeeper", "bind", "helper"],
)
def test_what_it_sends_late_is_refused(
    cluster: Cluster, late: Late, trap: str, step: str, answer: tuple[str, str, str]
) -> None:
    name = late.daemons.leader()
    daemons, woken = late.daemons, late.daemons.each[name]
    follower = daemons.others(name)[0]
    with (
        Publication(cluster) as dns,
        DnsWatch(cluster.addresses.ns1, TOKEN_NAME, "TXT") as tokens,
    ):
        getattr(late, trap).set("drain", step, signal.SIGSTOP)
        follower.cli("drain", NODE)
        wait_until(lambda: getattr(late, trap).is_sprung, f"the leader is at step {step}", 60)
        leader = daemons.each[daemons.leader(other_than=name, within_s=4 * SESSION_S)]
        wait_until(partial(settled, leader), "the drain has ended", 60)
        dns.wait_without(cluster.mail_a.address, ENDPOINTS, 10)
        before, count = epochs_of(tokens.changes)[-1], len(late.told_by(woken))
        closed = remembered(cluster)
        os.kill(woken.pid, signal.SIGCONT)
        time.sleep(GOES_ON_S)
        answers = late.told_by(woken)[count:]
        print(answers)
        assert [each for each in answers if each[:2] == answer[:2] and each[2].startswith(answer[2])], answers
        assert not [each for each in answers if each[:2] in DONE], answers
        assert epochs_of(tokens.changes)[-1] == before
        assert remembered(cluster) == closed
        assert dns.gaps_of(cluster.mail_b.address) == []


def remembered(cluster: Cluster) -> str:
    hello, _ = helper.ask(cluster.mail_a, cluster.ssh, do="status")
    return str(hello["token"])
