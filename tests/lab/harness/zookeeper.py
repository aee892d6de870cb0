"""ZooKeeper servers of the lab: one that stands alone or an ensemble, in the clear or with TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from docker.models.containers import Container
from tests.lab.harness.engine import Engine
from tests.lab.harness.layout import Addresses
from tests.lab.harness.material import Authority, write_private
from tests.lab.harness.node import MailNode
from tests.lab.harness.waiting import wait_until

from mailward.controller.coordination.tls import Tls
from mailward.controller.coordination.zookeeper import ensemble
from mailward.controller.coordination.zookeeper.ensemble import TICKS_OF_A_SESSION, Ensemble
from mailward.controller.coordination.zookeeper.rights import Rights
from mailward.controller.coordination.zookeeper.values import Login, Servers

CLEAR, SECURE = 2181, 2281


ASKED = "mail-a"
"""The node beside which the first of those who only watch runs."""


class ZooKeepers:
    """`version` is 38 or 39; `tick_ms` is what sessions are counted in: a granted one is 2 to 20 of them."""

    def __init__(
        self, engine: Engine, addresses: Addresses, folder: Path,
        *, version: int = 38, servers: int = 1, tick_ms: int = 1000, tls: bool = False,
        users: Sequence[str] = (), beside: Sequence[MailNode] = (),
    ) -> None:  # fmt: skip
        """With `users` a client shows a password, made out of its name. `beside`: the hosts in whose network
        the servers run, one each; alone otherwise."""
        self._engine = engine
        self._beside = dict(enumerate(beside, 1))
        self.addresses = {number: addresses.zookeeper(number) for number in range(1, 1 + servers)}
        self.addresses.update((number, host.address) for number, host in self._beside.items())
        self._folder = folder
        self._version = version
        self._tick_ms = tick_ms
        self._port = SECURE if tls else CLEAR
        self.users = users
        self._authority: Authority | None = None
        folder.mkdir(parents=True)
        if tls:
            self._authority = Authority(folder)
        self.containers: dict[int, Container] = {}

    def start(self) -> None:
        """Every server running and answering."""
        for number, address in self.addresses.items():
            self._start(number, address)
        for number, address in self.addresses.items():
            wait_until(partial(_listens, address, self._port), f"zookeeper {number} listens", 30)

    @property
    def _where(self) -> tuple[str, ...]:
        return tuple(f"{address}:{self._port}" for address in self.addresses.values())

    def leader(self) -> int:
        """The number of the server that leads the others."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [number for number, address in self.addresses.items() if self._leads(address)]
            return bool(found)

        wait_until(look, "a server leads", 30)
        return found[0]

    def _leads(self, address: str) -> bool:
        try:
            with socket.create_connection((address, self._port), timeout=2) as plain:
                connection = plain if self._authority is None else self._secured(plain)
                connection.sendall(b"srvr")
                return b"Mode: leader" in connection.recv(4096)
        except OSError:
            return False

    def _secured(self, plain: socket.socket) -> ssl.SSLSocket:
        tls = self._tls("test")
        assert tls is not None
        context = ssl.create_default_context(cafile=str(tls.ca_file))
        context.check_hostname = False
        context.load_cert_chain(str(tls.cert_file), str(tls.key_file))
        return context.wrap_socket(plain)

    def configuration(self, identity: str, session_s: float) -> dict[str, Any]:
        """The section `coordination.zookeeper` of a daemon with a certificate for `identity`."""
        servers = self.servers(session_s=session_s, identity=identity)
        section: dict[str, Any] = {"servers": list(servers.addresses), "session_s": session_s}
        if servers.login is not None:
            file = write_private(self._folder / f"{identity}.password", servers.login.password.encode())
            section["login"] = {"user": identity, "password_file": str(file)}
        if servers.tls is not None:
            files = (
                ("ca_file", servers.tls.ca_file),
                ("cert_file", servers.tls.cert_file),
                ("key_file", servers.tls.key_file),
            )
            section["tls"] = {key: str(path) for key, path in files}
        return section

    def servers(self, *, session_s: float, call_s: float = 2.0, identity: str = "daemon") -> Servers:
        """How a client with a certificate for `identity` reaches them."""
        login = Login(identity, password_of(identity)) if self.users else None
        return Servers(self._where, session_s=session_s, call_s=call_s, tls=self._tls(identity), login=login)

    def rights(self, leaders: Sequence[str], others: Sequence[str], admins: Sequence[str]) -> Rights:
        """By name, as a configuration would have them."""
        scheme = "sasl" if self.users else "x509" if self._authority is not None else ""
        mark = "CN=" if scheme == "x509" else ""
        observers = {name: f"{mark}{name}" for name in (*leaders, *others)}
        named = tuple(f"{mark}{admin}" for admin in admins)
        return Rights(scheme, observers, frozenset(leaders), named, {ASKED: others[0]})

    def stop(self) -> None:
        for container in self.containers.values():
            container.remove(force=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def stranger(self) -> Tls:
        """A daemon of another authority."""
        folder = self._folder / "elsewhere"
        folder.mkdir(exist_ok=True)
        authority = Authority(folder)
        authority.issue(folder, ["stranger"], "127.0.0.1")
        return Tls(authority.ca_file, folder / "tls.crt", folder / "tls.key")

    def _tls(self, identity: str) -> Tls | None:
        if self._authority is None:
            return None
        folder = self._folder / identity
        if not folder.exists():
            folder.mkdir()
            self._authority.issue(folder, [identity], "127.0.0.1")
        return Tls(self._authority.ca_file, folder / "tls.crt", folder / "tls.key")

    def _start(self, number: int, address: str) -> None:
        folder = self._folder / f"server{number}"
        folder.mkdir(parents=True)
        if self._authority is not None:
            self._authority.issue(folder, [f"zookeeper{number}"], address)
            (folder / "ca.pem").write_bytes(self._authority.ca_file.read_bytes())
        files = self._ensemble().files(number)
        (folder / "zoo.cfg").write_text(files["zoo.cfg"])
        env = {"MYID": str(number)} if len(self.addresses) > 1 else {}
        if self.users:
            passwords = files["jaas.conf"]
            for user in self.users:
                passwords = passwords.replace(ensemble.password_of(user), f'"{password_of(user)}"')
            write_private(folder / "jaas.conf", passwords.encode())
            env["JAVA_TOOL_OPTIONS"] = "-Djava.security.auth.login.config=/conf/jaas.conf"
        host = self._beside.get(number)
        where = {"address": address} if host is None else {"network_mode": f"container:{host.container.id}"}
        self.containers[number] = self._engine.run(
            f"zookeeper{number}", f"mailward-lab/zookeeper{self._version}",
            volumes={str(folder): "/conf"}, env=env, **where,
        )  # fmt: skip

    def _ensemble(self) -> Ensemble:
        """As `mailward zookeeper setup` would have it."""
        return Ensemble(
            self._where, TICKS_OF_A_SESSION * self._tick_ms / 1000, self._authority is not None,
            folder="/conf", data="/data", users=self.users,
        )  # fmt: skip


def password_of(user: str) -> str:
    return f"planted-{user}"


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
