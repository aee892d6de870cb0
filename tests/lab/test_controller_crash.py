"""kill -9 of the controller after every commit of every operation: restarted, it finishes what it began.

Operations alternate (out, in, out, in), the controller dies one commit later each time, until an operation
ends before that: then every recorded step has been the last one.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import DOMAIN, ENDPOINTS, TOKEN_NAME, TTL_S
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

NODE = "mail-a"
COMMITS_AT_MOST = 40
QUIET_S = TTL_S + 2  # a drain waits for the TTL without a commit


@pytest.mark.parametrize(
    ("killed_in", "every"),
    [
        pytest.param(("drain",), 3, id="drain, every third"),
        pytest.param(("drain",), 1, id="drain", marks=pytest.mark.long),
        pytest.param(("failover", "readmit"), 1, id="failover and readmit", marks=pytest.mark.long),
    ],
)
def test_controller_killed_at_every_commit_finishes_when_restarted(
    cluster: Cluster, killed_in: tuple[str, ...], every: int
) -> None:
    address = cluster.nodes[NODE].address
    with (
        Controller(cluster) as controller,
        Publication(cluster) as dns,
        DnsWatch(cluster.addresses.ns1, TOKEN_NAME, "TXT") as tokens,
        DnsWatch(cluster.addresses.ns1, f"mail.{DOMAIN}") as answers,
    ):
        left = set(killed_in)
        for after in range(1, COMMITS_AT_MOST, every):
            for kind in (killed_in[0], "readmit"):
                seen = len(answers.changes)
                if kind not in left:
                    wait_until(partial(_order, controller, kind), f"{kind} is accepted", 60, 1)
                elif not _order_and_kill(controller, kind, after):
                    left.remove(kind)
                wait = dns.wait_with if kind == "readmit" else dns.wait_without
                wait(address, ENDPOINTS, 60)
                wait_until(lambda: _is_settled(controller), f"{kind} has ended", 60)
                assert len(answers.changes) == seen + 1, f"{kind} changed the answer more than once"
            if not left:
                break
        assert after > 3
        assert not left, f"{left} did not end within {after} commits"
        assert dns.gaps_of(cluster.mail_b.address) == []
        heard = [tuple(map(int, next(iter(c.values)).strip('"').split(".")[1:])) for c in tokens.changes]
        assert heard == sorted(heard)


def _order_and_kill(controller: Controller, kind: str, commits: int) -> bool:
    """Order an operation and kill the controller after its n-th commit; False when it ended before."""
    wait_until(lambda: _is_quiet(controller), "no commit for a second", 30)
    version = controller.recorded()["version"]
    asking = threading.Thread(target=_order, args=(controller, kind))
    asking.start()
    killed = controller.kill_at_version(version + commits, QUIET_S)
    asking.join()
    if killed:
        controller.start()
    return killed


def _order(controller: Controller, kind: str) -> bool:
    """The request is in the store before the first commit; the answer may be lost with the daemon. It may be
    refused while the controller has not seen its own work yet."""
    done = controller.cli(kind, NODE, "--reason", "a test of crashes")
    if done.returncode:
        print(f"{kind}: {done.stdout}{done.stderr}")
    return done.returncode == 0


def _is_quiet(controller: Controller) -> bool:
    before = controller.recorded()["version"]
    time.sleep(1)
    return bool(controller.recorded()["version"] == before)


def _is_settled(controller: Controller) -> bool:
    status: dict[str, Any] = controller.status()
    return status["operation"] is None and not status["requests"]
