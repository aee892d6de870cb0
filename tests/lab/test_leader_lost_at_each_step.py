"""The leader is killed, stands still or is cut off at each step of each operation: another one ends it, once.

Three daemons and three ZooKeeper servers; the leader is struck when the step is recorded and nothing of it
has been sent. Whatever it does afterwards, one epoch acts at a time and nothing of an earlier one arrives.
Cut off is a leader on the witness: beside a mail node, the node would be cut off with it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest
from tests.lab.harness import helper, trapped
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.daemons import SESSION_S, Daemons, epochs_of, settled
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import ENDPOINTS, TOKEN_NAME
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

from mailward.controller.core.operations import STEPS
from mailward.model.state import Kind, Step

HOLD_S = float(os.environ.get("MAILWARD_LAB_HOLD_S", SESSION_S + 4))
"""So long a leader stands still, or is cut off."""
AFTER_S = 3.0
"""In which what was held up would arrive."""
NODE = "mail-a"
WITH_IMAP = ("mail", "imap")
"""The endpoints that need Dovecot."""
KINDS = (Kind.DRAIN, Kind.READMIT, Kind.FAILOVER)
SAMPLED = {
    "killed": [
        *((Kind.FAILOVER, step) for step in STEPS[Kind.FAILOVER]),
        (Kind.DRAIN, Step.FENCE), (Kind.READMIT, Step.OPEN),
    ],
    "stopped": [(Kind.FAILOVER, Step.FENCE), (Kind.READMIT, Step.OPEN)],
    "cut off": [(Kind.DRAIN, Step.FENCE)],
}  # fmt: skip
"""All steps of all are played by `make steps` alone."""


def cases() -> Iterator[object]:
    for fault in SAMPLED:
        for kind in KINDS:
            for step in STEPS[kind]:
                seldom = (kind, step) not in SAMPLED[fault]
                yield pytest.param(fault, kind, step, marks=[pytest.mark.long] if seldom else [])


CASES = list(cases())


class Scene:
    """A running cluster of daemons that goes on from case to case."""

    def __init__(self, cluster: Cluster, daemons: Daemons, trap: trapped.Trap) -> None:
        self.cluster, self.daemons, self.trap = cluster, daemons, trap

    def begin(self, kind: Kind) -> None:
        """What makes the operation begin."""
        if kind is Kind.FAILOVER:
            self.cluster.mail_a.kill_unit("dovecot")
        else:
            wait_until(lambda: self.asks(kind), f"a {kind} is accepted", 30, 1)

    def asks(self, kind: Kind) -> bool:
        done = self.daemons.asked().cli(kind, NODE, "--reason", "a leader is lost in it")
        print(done.stdout, done.stderr)
        return done.returncode == 0

    def prepare(self, kind: Kind) -> None:
        """All daemons run, and the node is where the operation begins."""
        for daemon in self.daemons.each.values():
            if not daemon.is_running:
                daemon.start()
        self.daemons.settle()
        if not (kind is Kind.READMIT and self.is_drained()):
            self.readmit()
            if kind is Kind.READMIT:
                self.begin(Kind.DRAIN)
                self.daemons.until_phase(NODE, "out")
        self.daemons.settle()

    def is_drained(self) -> bool:
        """Out by a person's word: it does not come back by itself."""
        nodes = self.daemons.each[self.daemons.leader()].status()["nodes"]
        records = next(each["endpoints"] for each in nodes if each["node"] == NODE)
        return {(each["phase"], each["cause"]) for each in records} == {("out", "operator")}

    def readmit(self) -> None:
        """Until it serves, whatever was done to it."""
        self.cluster.mail_a.start_unit("dovecot")
        if self.daemons.phases(NODE) != {"in-service"}:
            wait_until(self.comes_back, "a readmission is accepted", 60, 1)
            self.daemons.until_phase(NODE, "in-service")

    def comes_back(self) -> bool:
        """By itself, or as it is asked to."""
        return self.daemons.phases(NODE) <= {"rejoining", "in-service"} or self.asks(Kind.READMIT)


@pytest.fixture(scope="module")
def scene(running_cluster: Cluster) -> Iterator[Scene]:
    running_cluster.heal()
    trap = trapped.Trap(running_cluster.folder / "trap.json")
    with Daemons(running_cluster, program=trapped.PROGRAM, env={trapped.TRAP: str(trap.file)}) as daemons:
        yield Scene(running_cluster, daemons, trap)


@pytest.mark.parametrize(("fault", "kind", "step"), CASES)
def test_the_operation_is_ended_once_by_who_leads_next(
    scene: Scene, fault: str, kind: Kind, step: str
) -> None:
    daemons, cluster = scene.daemons, scene.cluster
    scene.prepare(kind)
    if fault == "cut off":
        daemons.make_lead("witness")
        daemons.settle()
    struck = daemons.leader()
    with (
        Publication(cluster) as dns,
        DnsWatch(cluster.addresses.ns1, TOKEN_NAME, "TXT") as tokens,
    ):
        scene.trap.set(kind, step, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
        scene.begin(kind)
        wait_until(lambda: scene.trap.is_sprung, f"the leader is at step {step}", 60)
        began = time.monotonic()
        if fault == "cut off":
            others = [host.address for name, host in daemons.hosts.items() if name != struck]
            servers = [*cluster.name_servers, *daemons.zookeeper.addresses.values()]
            daemons.hosts[struck].cut(peers=[*others, *servers])
            os.kill(daemons.each[struck].pid, signal.SIGCONT)
        leader = daemons.each[daemons.leader(other_than=struck, within_s=4 * SESSION_S)]
        wait_until(partial(settled, leader), f"the {kind} has ended", 60)
        if fault != "killed":
            time.sleep(max(0.0, began + HOLD_S - time.monotonic()))
            epoch, obeyed = epochs_of(tokens.changes)[-1][0], remembered(cluster)
            daemons.hosts[struck].mend()
            os.kill(daemons.each[struck].pid, signal.SIGCONT)
            time.sleep(AFTER_S)
            assert epochs_of(tokens.changes)[-1][0] == epoch, "one that leads no more has written"
            assert remembered(cluster) == obeyed, "one that leads no more has ordered"
        heard = epochs_of(tokens.changes)
        assert heard == sorted(heard), "one that leads no more has written"
        assert dns.gaps_of(cluster.mail_b.address) == []
        ended = [each for each in leader.status()["ended"] if each["kind"] == kind]
        assert ended[0]["ending"] == "done", ended[0]
        assert [each["id"] for each in ended].count(ended[0]["id"]) == 1
        moved = WITH_IMAP if kind is Kind.FAILOVER else ENDPOINTS
        stands = {"in-service" if kind is Kind.READMIT else "out"}
        # An endpoint whose failure is seen later has a failover of its own.
        wait_until(lambda: daemons.phases(NODE, moved) == stands, f"{NODE} is {stands} behind {moved}", 30)
        here = dns.wait_with if kind is Kind.READMIT else dns.wait_without
        here(cluster.mail_a.address, moved, 5)


def remembered(cluster: Cluster) -> str:
    """The token that the node's helper obeyed last."""
    hello, _ = helper.ask(cluster.mail_a, cluster.ssh, do="status")
    return str(hello["token"])
