"""From a fault to the changed answer at the primary, in the lab, ten runs each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.bench.figures import Figure, figure
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.dns_watch import DnsWatch
from tests.lab.harness.layout import DOMAIN
from tests.lab.harness.node import MailNode

RUNS = 10
LIMIT_S = 30.0
RETURN_S = 120.0

Strike = Callable[[MailNode], float]

_QUICK_RETURN = {"stable_s": 0.5, "hold_down_s": 0}


def crash_without_grace() -> Sequence[Figure]:
    changes = {"policy": {"restart_grace_s": 0, **_QUICK_RETURN}}
    return _measure("crash-grace-0", lambda node: node.kill_unit("dovecot"), changes)


def crash_with_default_grace() -> Sequence[Figure]:
    return _measure("crash-default-grace", lambda node: node.kill_unit("dovecot"), {"policy": _QUICK_RETURN})


def hang() -> Sequence[Figure]:
    return _measure("hang", lambda node: node.pause(), {"policy": _QUICK_RETURN})


def node_loss() -> Sequence[Figure]:
    return _measure("node-loss", lambda node: node.kill(), {"policy": _QUICK_RETURN})


def network_cut() -> Sequence[Figure]:
    return _measure("network-cut", lambda node: node.cut(), {"policy": _QUICK_RETURN})


def _measure(name: str, strike: Strike, changes: Mapping[str, Any]) -> Sequence[Figure]:
    """Strike mail-a again and again; each run begins with both nodes published."""
    out, back = [], []
    with Cluster(f"bench-{name}") as cluster, Controller(cluster, changes):
        node = cluster.mail_a
        with DnsWatch(cluster.addresses.ns1, f"mail.{DOMAIN}") as watch:
            for _ in range(RUNS):
                watch.wait_for(lambda answer: node.address in answer, RETURN_S)
                struck = strike(node)
                out.append(watch.wait_for(lambda answer: node.address not in answer, LIMIT_S).at - struck)
                node.heal()
                returned = watch.changes[-1].at
                back.append(watch.wait_for(lambda answer: node.address in answer, RETURN_S).at - returned)
    return [
        figure(f"{name}-to-answer", "s", out, "fault to changed answer at the primary"),
        figure(f"{name}-to-return", "s", back, "withdrawal to readmission, repair included"),
    ]
