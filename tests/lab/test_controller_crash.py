"""kill -9 of the controller after every commit of every operation: restarted, it finishes what it began.

Operations alternate (out, in, out, in), each killed one commit later than the one before, until one ends
before its turn to be killed comes: then every recorded step has been a last one.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import DOMAIN, ENDPOINTS, TOKEN_NAME
from tests.lab.harness.publication import Publication
from tests.lab.harness.waiting import wait_until

NODE = "mail-a"
COMMITS_AT_MOST = 40


@pytest.mark.parametrize("way_out", ["failover", "drain"])
def test_controller_killed_at_every_commit_finishes_when_restarted(cluster: Cluster, way_out: str) -> None:
    address = cluster.nodes[NODE].address
    with (
        Controller(cluster) as controller,
        Publication(cluster) as dns,
        DnsWatch(cluster.addresses.ns1, TOKEN_NAME, "TXT") as tokens,
        DnsWatch(cluster.addresses.ns1, f"mail.{DOMAIN}") as answers,
    ):
        left = {way_out: True, "readmit": True}
        for after in range(1, COMMITS_AT_MOST):
            for kind in left:
                is_out = kind != "readmit"
                seen = len(answers.changes)
                left[kind] = _killed_after(controller, kind, after) and left[kind]
                wait = dns.wait_without if is_out else dns.wait_with
                wait(address, ENDPOINTS, 60)
                wait_until(lambda: _settled(controller), f"{kind} has ended", 60)
                assert len(answers.changes) == seen + 1, f"{kind} changed the answer more than once"
            if not any(left.values()):
                break
        assert after > 3
        assert not any(left.values()), f"{left} did not end within {after} commits"
        assert dns.gaps_of(cluster.mail_b.address) == []
        heard = [tuple(map(int, next(iter(c.values)).strip('"').split(".")[1:])) for c in tokens.changes]
        assert heard == sorted(heard)


def _killed_after(controller: Controller, kind: str, commits: int) -> bool:
    """Order an operation and kill the controller after its n-th commit; False when it ended before."""
    wait_until(lambda: _is_quiet(controller), "no commit for a second", 30)
    version = controller.recorded()["version"]
    asking = threading.Thread(target=controller.cli, args=(kind, NODE, "--reason", f"crash after {commits}"))
    asking.start()
    killed = controller.kill_at_version(version + commits, deadline_s=20)
    asking.join()
    if killed:
        controller.start()
    return killed


def _is_quiet(controller: Controller) -> bool:
    before = controller.recorded()["version"]
    time.sleep(1)
    return bool(controller.recorded()["version"] == before)


def _settled(controller: Controller) -> bool:
    status: dict[str, Any] = controller.status()
    return status["operation"] is None and not status["requests"]
