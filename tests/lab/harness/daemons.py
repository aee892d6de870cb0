"""Three daemons as they would stand beside two mail servers and on a witness, with three ZooKeeper servers.

All of them run on the test host; each has its own certificate, configuration and API.
"""

from __future__ import annotations

from typing import Any, Self

import psutil
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller, Values, free_port, merged
from tests.lab.harness.waiting import wait_until
from tests.lab.harness.zookeeper import ZooKeepers

SITES = {"mail-a": "site-a", "mail-b": "site-b", "witness": None}
"""Of each observer."""
SESSION_S = 4


class Daemons:
    """A context manager: the ensemble, and the daemons running; `changes` as for a `Controller`."""

    def __init__(
        self, cluster: Cluster, changes: Values | None = None, *, tls: bool = True, session_s: int = SESSION_S
    ) -> None:
        self.zookeeper = ZooKeepers(
            cluster.engine, cluster.addresses, cluster.folder / "zookeeper", servers=3, tick_ms=500, tls=tls
        )
        self.each: dict[str, Controller] = {}
        observers = [
            {"name": name, "address": f"127.0.0.1:{free_port()}", **({"site": site} if site else {})}
            for name, site in SITES.items()
        ]
        for name in SITES:
            section = self.zookeeper.configuration(name, session_s)
            ours = {
                "coordination": {"local": None, "zookeeper": section},
                "observers": observers,
                "observer": name,
            }
            self.each[name] = Controller(cluster, merged(ours, changes or {}), name=f"daemon-{name}")

    def __enter__(self) -> Self:
        self.zookeeper.start()
        self.each["witness"].init()
        for daemon in self.each.values():
            daemon.start()
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self.each.values():
            daemon.__exit__()
        self.zookeeper.stop()

    def leader(self, *, other_than: str = "", within_s: float = 30) -> str:
        """Who leads, once somebody does."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [name for name, daemon in self.each.items() if name != other_than and _leads(daemon)]
            return bool(found)

        wait_until(look, "somebody leads", within_s)
        return found[0]

    def server_of(self, name: str) -> int:
        """The number of the ZooKeeper server that a daemon is connected to."""
        addresses = {address: number for number, address in self.zookeeper.addresses.items()}
        for connection in psutil.Process(self.each[name].pid).net_connections("tcp"):
            if connection.raddr and connection.raddr.ip in addresses and connection.status == "ESTABLISHED":
                return addresses[connection.raddr.ip]
        raise AssertionError(f"{name} is connected to no server")

    def others(self, *names: str) -> list[Controller]:
        return [daemon for name, daemon in self.each.items() if name not in names]


def _leads(daemon: Controller) -> bool:
    code, document = daemon.get("/v1/status")
    return code == 200 and document["standing"] == "leading"


def settled(daemon: Controller) -> bool:
    code, document = daemon.get("/v1/status")
    return code == 200 and document["operation"] is None and not document["requests"]


def epochs_of(changes: list[Any]) -> list[tuple[int, ...]]:
    """The (epoch, seq) of each token that a watch of the token TXT has seen, in order."""
    values = [next(iter(change.values), "") for change in changes]
    return [tuple(map(int, value.strip('"').split(".")[1:])) for value in values if value]


def epoch_of(value: str) -> int:
    """The epoch of a token TXT's value."""
    return int(value.strip('"').split(".")[1])
