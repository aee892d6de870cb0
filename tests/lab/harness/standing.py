"""How a cluster stands in which one serves and the other stands by: as recorded, for clients, in DNS."""

from __future__ import annotations

from typing import Any

from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.layout import DOMAIN, ENDPOINTS, NODE_NAMES, SUBMISSION
from tests.lab.harness.nameserver import ask
from tests.lab.harness.waiting import wait_clear

BACK_WITHIN_S = 330
"""Longer than one catch-up may take (`catch_up_wait_s`): of a slow machine much is to be replicated."""


def roles(status: dict[str, Any]) -> dict[str, str]:
    return {node["node"]: node["endpoints"][0]["phase"] for node in status["nodes"]}


def standing(active: str) -> dict[str, str]:
    return {name: "in-service" if name == active else "standby" for name in NODE_NAMES}


def settle(controller: Controller, active: str, within_s: float = BACK_WITHIN_S) -> None:
    """Until one serves, the other stands by behind closed ports, and DNS names the one."""
    what = f"{active} serves and the other stands by"
    wait_clear(lambda: unsettled(controller, active), what, within_s)


def unsettled(controller: Controller, active: str) -> str:
    """What keeps the cluster from standing like that now, '' when nothing does."""
    code, status = controller.get("/v1/status")
    if code != 200:
        return f"its status is {code}"
    if status["operation"] is not None:
        return f"a {status['operation']['kind']} is at {status['operation']['step']}"
    if roles(status) != standing(active):
        return str(roles(status))
    return unserved(controller.cluster, active)


def unserved(cluster: Cluster, active: str) -> str:
    """What clients find otherwise than that one node serves, and is named, and no other; '' if nothing."""
    for node in cluster.nodes.values():
        if node.speaks(SUBMISSION) is not (node.name == active):
            return f"{node.name} is {'closed' if node.name == active else 'open'}"
    named = frozenset([cluster.nodes[active].address])
    for server in cluster.name_servers:
        for endpoint in ENDPOINTS:
            if (answer := ask(server, f"{endpoint}.{DOMAIN}")) != named:
                return f"{server} answers {sorted(answer or ())} for {endpoint}"
    return ""
