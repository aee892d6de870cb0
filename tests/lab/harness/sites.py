"""A cluster at three sites: mail-a and mail-b, one of which serves, and a witness. Each site is a host with a
daemon and a ZooKeeper server on it, and is lost, hangs or is cut off as a whole.

Name servers stand at the witness's site. A power switch takes a mail host away, and reaches it whatever is
cut, as a management network of its own does. Clients are on the test host, which no cut keeps from
anybody: who is cut off and serves on is seen to do so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from typing import Any, Self

from tests.lab.harness import helper, standing, switch
from tests.lab.harness.cluster import Cluster, together
from tests.lab.harness.controller import PROGRAM, Controller, Values, merged
from tests.lab.harness.daemons import Daemons, settled
from tests.lab.harness.layout import peer_of
from tests.lab.harness.waiting import wait_clear, wait_until

from mailward.controller.core.cases import WELL
from mailward.model.policy import lease_over_s

RUNS = int(os.environ.get("MAILWARD_LAB_RUNS", "1"))
"""How often is tried what must hold every time."""
POLICY = {"takeover_after_s": 3, "rescue_s": 4, "hold_down_s": 1, "hold_down_max_s": 4, "catch_up_wait_s": 60}
WITNESS = "witness"
SERVES_WITHIN_S, BACK_WITHIN_S = 90, 330
LEASE_S, SESSION_OF_LEASES_S = 10, 6
OVER_S = lease_over_s(LEASE_S)


class Site:
    """A host, the daemon beside it and its ZooKeeper server."""

    def __init__(self, daemons: Daemons, name: str, number: int) -> None:
        self.name = name
        self.host = daemons.hosts[name]
        self.daemon: Controller = daemons.each[name]
        self._server = daemons.zookeeper.containers[number]

    def lose(self) -> float:
        """The host is gone, with all that runs on it."""
        at = time.time()
        together(self.host.kill, self.daemon.kill, self._server.kill)
        return at

    def hang(self) -> float:
        """Nothing on it moves, and its kernel still answers connects."""
        at = time.time()
        os.kill(self.daemon.pid, signal.SIGSTOP)
        together(self.host.pause, self._server.pause)
        return at

    def crash(self) -> float:
        """kill -9 of the mail services; the rest of the host is well."""
        at = time.time()
        together(*(lambda unit=unit: self.host.kill_unit(unit) for unit in ("postfix", "dovecot")))
        return at

    def cut(self, addresses: Sequence[str]) -> float:
        return self.host.cut(peers=addresses)

    def back(self) -> None:
        """Whatever befell it is over, but for a daemon that ended; a host that was lost, or switched off,
        boots."""
        self.host.container.reload()
        if self.host.container.status in ("running", "paused"):
            self._goes_on()
        else:
            self._boots()
        if self.name != WITNESS:
            self.host.heal()

    def _goes_on(self) -> None:
        if self.host.container.status == "paused":
            self.host.unpause()
        self._server.reload()
        if self._server.status == "paused":
            self._server.unpause()
        self._server.start()
        self.host.mend()
        if self.daemon.is_running:
            os.kill(self.daemon.pid, signal.SIGCONT)

    def _boots(self) -> None:
        """What ran in the network that the host had is not in the new one."""
        self.daemon.kill()
        self._server.reload()
        if self._server.status in ("running", "paused"):
            self._server.kill()
        self.host.boot()
        self._server.start()


class Sites:
    """A context manager; afterwards mail-a serves. With `power` each mail host has a switch."""

    def __init__(
        self, cluster: Cluster, changes: Values | None = None, *, power: bool = True, stays: bool = False,
        session_s: int = 10, program: Sequence[str] = (str(PROGRAM),), env: Values | None = None,
    ) -> None:  # fmt: skip
        self.cluster = cluster
        ours: dict[str, Any] = {"deployment": "cluster", "policy": POLICY}
        if power:
            ours["nodes"] = switch.of_nodes(cluster)
        self.daemons = Daemons(
            cluster, merged(ours, changes or {}), active="mail-a", beside=True,
            session_s=session_s, stays=stays, program=program, env=env,
        )  # fmt: skip
        self.at: dict[str, Site] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undone:
            undone.push(self)
            helper.boot(self.cluster, "closed")
            self.daemons.__enter__()
            for number, name in enumerate(self.daemons.hosts, 1):
                self.at[name] = Site(self.daemons, name, number)
            self.settle("mail-a")
            undone.pop_all()
        return self

    def __exit__(self, failed: object = None, *_: object) -> None:
        if failed:
            print(Controller.stories())
        for daemon in self.daemons.each.values():
            daemon.kill()  # one that stands still ends by nothing else
        self.daemons.__exit__()
        helper.boot(self.cluster, "as-ordered")

    # How they stand

    @property
    def leader(self) -> Controller:
        return self.daemons.each[self.daemons.leader()]

    def active(self) -> str:
        """Who serves, as it is recorded."""
        found = [name for name, phase in self.roles().items() if phase == "in-service"]
        assert len(found) == 1, found
        return found[0]

    def roles(self) -> dict[str, str]:
        return standing.roles(self.leader.status())

    def ports_of(self, name: str) -> dict[str, Any]:
        """As ordered, and what came of that."""
        (ports,) = [each["ports"] for each in self.leader.status()["nodes"] if each["node"] == name]
        return dict(ports)

    def ended(self) -> Sequence[dict[str, Any]]:
        """The operations that are over."""
        ended: Sequence[dict[str, Any]] = self.leader.status()["ended"]
        return ended

    def ids(self) -> list[str]:
        """Of the operations that are over."""
        return [each["id"] for each in self.ended()]

    def settle(self, active: str, within_s: float = BACK_WITHIN_S) -> None:
        """Until one serves and the other stands by, and all daemons say so."""
        what = f"{active} serves, the other stands by"
        wait_clear(lambda: self._unsettled(active), what, within_s)

    def _unsettled(self, active: str) -> str:
        for name, daemon in self.daemons.each.items():
            if daemon.get("/ready")[0] != 200:
                return f"{name} is not ready"
        return standing.unsettled(self.leader, active)

    def until_served_by(self, name: str, within_s: float = SERVES_WITHIN_S) -> None:
        """Until that is recorded, and nothing runs any more."""

        def served() -> bool:
            code, status = self.leader.get("/v1/status")
            moved = code == 200 and status["operation"] is None
            return moved and standing.roles(status)[name] == "in-service"

        wait_until(served, f"{name} serves", within_s)

    def mend(self) -> None:
        """Every fault is over; what is left of it is for the daemons to do."""
        together(*(site.back for site in self.at.values()))
        for site in self.at.values():  # not by a thread of its own: a daemon ends with who has started it
            if not site.daemon.is_running:
                site.daemon.start(ready_within_s=0)

    def make_whole(self) -> tuple[str, str]:
        """Everything is well; who serves now, and who stands by."""
        self.mend()
        wait_until(lambda: settled(self.leader), "nothing runs", BACK_WITHIN_S)
        active = self.active()
        self.settle(active)
        wait_clear(self._ailing, "all are well in the eyes of who leads", BACK_WITHIN_S)
        self.cluster.drain_replication()
        return active, peer_of(active)

    def _ailing(self) -> str:
        nodes = self.leader.status()["nodes"]
        found = [(node["node"], each) for node in nodes for each in node["endpoints"]]
        ill = [f"{name} is {each['condition']}" for name, each in found if each["condition"] not in WELL]
        return "; ".join(ill)

    # What is done to them

    def cut(self, name: str, *others: str) -> float:
        """Cut a site off from others; its clients still reach it."""
        peers = [self.at[other].host.address for other in others]
        peers += self.cluster.name_servers if WITNESS in others else ()
        return self.at[name].cut(peers)

    def cut_off(self, name: str) -> float:
        """From both others."""
        return self.cut(name, *(other for other in self.at if other != name))


def leased(cluster: Cluster, *, program: Sequence[str] = (str(PROGRAM),), env: Values | None = None) -> Sites:
    """Who serves does so under a lease, and nobody has a power switch."""
    changes = {"policy": {"lease_s": LEASE_S}}
    return Sites(
        cluster, changes, power=False, session_s=SESSION_OF_LEASES_S, program=program, env=env
    )  # fmt: skip
