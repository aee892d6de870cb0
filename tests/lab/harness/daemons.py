"""Three daemons beside two mail servers and on a witness, with three ZooKeeper servers.

All of them are processes of the test host, each with its own certificate, configuration and API, and in the
network of the host that it stands for: so it can be cut off from whatever a test wants.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import PROGRAM, Controller, Values, merged
from tests.lab.harness.layout import ENDPOINTS
from tests.lab.harness.node import MailNode
from tests.lab.harness.waiting import wait_until
from tests.lab.harness.zookeeper import ZooKeepers

SITES = {"mail-a": "site-a", "mail-b": "site-b", "witness": None}
"""Of each observer."""
SESSION_S = 4
ESTABLISHED = "01"


class Daemons:
    """A context manager: the ensemble, and the daemons running; `changes` as for a `Controller`. `active` is
    who serves in the beginning of a cluster; `beside`: each host has a server of the ensemble as well, and is
    cut off together with it."""

    def __init__(
        self, cluster: Cluster, changes: Values | None = None, *,
        tls: bool = True, session_s: int = SESSION_S, active: str = "", beside: bool = False,
        stays: bool = False, program: Sequence[str] = (str(PROGRAM),), env: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.cluster = cluster
        every = {**cluster.nodes, "witness": _witness(cluster)}
        self.hosts = {name: every[name] for name in SITES}
        self.zookeeper = ZooKeepers(
            cluster.engine, cluster.addresses, cluster.folder / "zookeeper", servers=3, tick_ms=500, tls=tls,
            beside=list(self.hosts.values()) if beside else (),
        )  # fmt: skip
        self._active = active
        self._turn = contextlib.ExitStack()
        self.each: dict[str, Controller] = {}
        observers = [
            {
                "name": name,
                "address": f"{self.hosts[name].address}:7443",
                **({"site": site, "node": name} if site else {}),
            }
            for name, site in SITES.items()
        ]
        for name in SITES:
            section = self.zookeeper.configuration(name, session_s)
            ours = {
                "coordination": {"local": None, "zookeeper": section},
                "observers": observers,
                "observer": name,
            }
            self.each[name] = Controller(
                cluster, merged(ours, changes or {}), name=f"daemon-{name}",
                beside=self.hosts[name], program=program, env=env, stays=stays,
            )  # fmt: skip

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undone:
            undone.push(self)
            self._turn.enter_context(turn(self.cluster.folder.parent))
            self.zookeeper.start()
            self.each["witness"].init(*(["--active", self._active] if self._active else []))
            for daemon in self.each.values():
                daemon.start()
            undone.pop_all()
        return self

    def __exit__(self, failed: object = None, *_: object) -> None:
        """All of it is removed, whatever a test has left standing still."""
        if failed:
            print(Controller.stories())
        with contextlib.ExitStack() as all_of_it:
            all_of_it.callback(self._turn.close)
            all_of_it.callback(self.hosts["witness"].container.remove, force=True)
            all_of_it.callback(self.zookeeper.stop)
            for daemon in self.each.values():
                all_of_it.callback(daemon.__exit__)
                if daemon.is_running:
                    os.kill(daemon.pid, signal.SIGCONT)

    def leader(self, *, other_than: str = "", within_s: float = 30) -> str:
        """Who leads, once somebody does."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [name for name, daemon in self.each.items() if name != other_than and _leads(daemon)]
            return bool(found)

        wait_until(look, "somebody leads", within_s)
        return found[0]

    def make_lead(self, name: str) -> None:
        """Until it leads; the others are started again."""
        wait_until(
            lambda: all(daemon.get("/ready")[0] == 200 for daemon in self.each.values()), "all run", 30
        )
        stopped = []
        while (leader := self.leader()) != name:
            self.each[leader].stop()
            stopped.append(leader)
        for each in stopped:
            self.each[each].start()

    def settle(self, within_s: float = 120) -> None:
        """Until somebody leads and has nothing to do."""
        wait_until(lambda: settled(self.each[self.leader()]), "nothing runs", within_s)

    def phases(self, node: str, endpoints: Sequence[str] = ENDPOINTS) -> set[str]:
        """As the leader has them recorded."""
        nodes = self.each[self.leader()].status()["nodes"]
        of_node = next(each["endpoints"] for each in nodes if each["node"] == node)
        return {each["phase"] for each in of_node if each["endpoint"].split(".")[0] in endpoints}

    def until_phase(self, node: str, phase: str, within_s: float = 60) -> None:
        wait_until(lambda: self.phases(node) == {phase}, f"{node} is {phase}", within_s)

    def asked(self) -> Controller:
        """Who is asked for something: one that does not lead."""
        return self.others(self.leader())[0]

    def server_of(self, name: str) -> int:
        """The number of the ZooKeeper server that a daemon is connected to."""
        lines = Path(f"/proc/{self.each[name].pid}/net/tcp").read_text().splitlines()[1:]
        remote = [fields[2].split(":")[0] for fields in map(str.split, lines) if fields[3] == ESTABLISHED]
        connected = [socket.inet_ntoa(bytes.fromhex(address)[::-1]) for address in remote]
        for number, address in self.zookeeper.addresses.items():
            if address in connected:
                return number
        raise AssertionError(f"{name} is connected to no server")

    def others(self, *names: str) -> list[Controller]:
        return [daemon for name, daemon in self.each.items() if name not in names]


@contextlib.contextmanager
def turn(labs: Path) -> Iterator[None]:
    """Three daemons and their servers are as much as two cores carry: one lab at a time has them. Who ends,
    however it does, lets go."""
    with (labs / "daemons.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _witness(cluster: Cluster) -> MailNode:
    address = cluster.addresses.witness
    container = cluster.engine.run(
        "witness", "mailward-lab/mailnode",
        address=address, entrypoint=["sleep", "infinity"], cap_add=["NET_ADMIN"],
    )  # fmt: skip
    return MailNode("witness", address, container)


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
