"""The cluster: two mail nodes, two name servers, a resolver; brought up together and back to health.

`Cluster` is what tests and playground hold. `heal` returns it to the state after `start`: services up,
network whole, replication drained, zone as in the beginning, the helpers' memory of orders gone.
"""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

from docker.models.containers import Container
from tests.lab.harness import helper
from tests.lab.harness.engine import NOBODY, Engine, this_process
from tests.lab.harness.layout import BUILD, DOMAIN, ENDPOINTS, NODE_NAMES, TOKEN_NAME, peer_of
from tests.lab.harness.material import Authority, SshMaterial, TsigKey
from tests.lab.harness.nameserver import Zone, ask
from tests.lab.harness.node import QUEUE, STORE, MailNode
from tests.lab.harness.waiting import wait_until

DISK_SIZE = "64m"


class Cluster:
    """A running lab. Use as a context manager, or `start` and `stop`."""

    def __init__(self, name: str, *, stays: bool = False) -> None:
        self.name = name
        self.folder = BUILD / name
        self.nodes: dict[str, MailNode] = {}
        self.engine = Engine(name, NOBODY if stays else this_process())
        self._others: dict[str, Container] = {}
        self._has_logs = False

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.collect_logs()
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Everything up, zone transferred, replication idle. 5 to 15 s."""
        self.engine.require_images()
        self.engine.remove_leftovers()
        self.addresses = self.engine.create_network()
        self._make_material()
        disks = {
            node: {
                self.engine.create_disk(f"{node}-{kind}", DISK_SIZE): path
                for kind, path in (("store", STORE), ("queue", QUEUE))
            }
            for node in NODE_NAMES
        }
        # The keeper holds the disks mounted: without it they would vanish with a killed node.
        held = {disk: f"/disks/{disk}" for node in NODE_NAMES for disk in disks[node]}
        self._others["keeper"] = self.engine.run(
            "keeper", "mailward-lab/base", volumes=held, command="sleep infinity"
        )
        together(
            *(partial(self._start_node, node, disks[node]) for node in NODE_NAMES),
            self._start_name_servers,
            self._start_resolver,
        )
        together(*(node.heal for node in self.nodes.values()), self._wait_dns)
        together(*(node.wait_open for node in self.nodes.values()))
        self.drain_replication()
        return self

    def stop(self) -> None:
        """Remove it all; the folder stays when logs were collected in it."""
        self.engine.remove_all()
        if not self._has_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    # Parts

    @property
    def mail_a(self) -> MailNode:
        return self.nodes["mail-a"]

    @property
    def mail_b(self) -> MailNode:
        return self.nodes["mail-b"]

    def _make_material(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        authority = Authority(self.folder)
        self.ca_file = authority.ca_file
        self.ssh = SshMaterial.make(self.folder)
        (self.folder / "dns").mkdir()
        self.tsig = TsigKey.make(self.folder / "dns")
        self.zone = Zone(self.addresses.ns1, self.tsig.name, self.tsig.secret)
        for name in NODE_NAMES:
            folder = self.folder / name
            folder.mkdir()
            address = self.addresses.node(name)
            names = [f"{label}.{DOMAIN}" for label in (name, *ENDPOINTS)]
            authority.issue(folder, names, address)
            self.ssh.admit(folder, [address, names[0]])
            helper.install(folder, self.addresses.node(peer_of(name)))

    def _start_node(self, name: str, disks: dict[str, str]) -> None:
        container = self.engine.run(
            name,
            "mailward-lab/mailnode",
            address=self.addresses.node(name),
            volumes={str(self.folder / name): "/lab", **disks},
            hostname=f"{name}.{DOMAIN}",
            extra_hosts={"peer": self.addresses.node(peer_of(name))},
            cap_add=["NET_ADMIN"],
            sysctls={"net.ipv4.ip_forward": "1"},
        )
        self.nodes[name] = MailNode(name, self.addresses.node(name), container)

    def _start_name_servers(self) -> None:
        """One after the other: a secondary that finds no primary does not ask again for minutes."""
        self._start_bind("ns1", self.addresses.ns1, "primary")
        wait_until(partial(self._is_answering, self.addresses.ns1), "the primary answers", 20, 0.05)
        self._start_bind("ns2", self.addresses.ns2, "secondary")

    def _start_bind(self, name: str, address: str, role: str) -> None:
        folder = {str(self.folder / "dns"): "/lab"}
        self._others[name] = self.engine.run(
            name, "mailward-lab/bind", address=address, volumes=folder, env=self.addresses.of_bind(role)
        )

    def _start_resolver(self) -> None:
        env = {"NS1": self.addresses.ns1, "NS2": self.addresses.ns2}
        self._others["resolver"] = self.engine.run(
            "resolver", "mailward-lab/resolver", address=self.addresses.resolver, env=env
        )

    def know_proxy(self, node: str, address: tuple[str, int]) -> None:
        """Let SSH believe that the proxy at `address` is the node."""
        host_key = (self.folder / node / "ssh_host_ed25519_key.pub").read_text().strip()
        self.ssh.know([f"[{address[0]}]:{address[1]}"], host_key)

    # State

    @property
    def all_addresses(self) -> frozenset[str]:
        """What every endpoint answers in health."""
        return frozenset(self.addresses.node(name) for name in NODE_NAMES)

    @property
    def name_servers(self) -> tuple[str, str]:
        return (self.addresses.ns1, self.addresses.ns2)

    def tls_context(self) -> ssl.SSLContext:
        """A client's: it trusts the lab's CA and nobody else."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def _wait_dns(self) -> None:
        for server in (*self.name_servers, self.addresses.resolver):
            wait_until(partial(self._is_answering, server), f"{server} answers for every endpoint", 20)

    def _is_answering(self, server: str) -> bool:
        return all(ask(server, f"{name}.{DOMAIN}") == self.all_addresses for name in ENDPOINTS)

    def drain_replication(self, deadline_s: float = 30) -> None:
        """Sync every user now and wait until neither node has anything queued or waiting."""
        nodes = list(self.nodes.values())
        together(*(node.replicate_all for node in nodes))
        wait_until(
            lambda: all(node.replication_backlog() == 0 for node in nodes),
            "replication has drained",
            deadline_s,
        )

    def restore_zone(self) -> None:
        """Every endpoint with both addresses, no token; waits for the secondary and the resolver's cache."""
        for endpoint in ENDPOINTS:
            assert self.zone.replace(f"{endpoint}.{DOMAIN}", "A", self.all_addresses) == "NOERROR"
            assert self.zone.replace(f"{endpoint}.{DOMAIN}", "AAAA", ()) == "NOERROR"
        assert self.zone.replace(TOKEN_NAME, "TXT", ()) == "NOERROR"
        self._wait_dns()

    def heal(self) -> None:
        """Back to the state after `start`."""
        together(*(node.heal for node in self.nodes.values()), self.restore_zone)
        together(*(partial(helper.forget, node) for node in self.nodes.values()))
        together(*(node.wait_open for node in self.nodes.values()))
        self.drain_replication()

    def collect_logs(self) -> None:
        """Write every container's logs into the lab's folder, for the report of a failure."""
        self._has_logs = True
        self.folder.mkdir(parents=True, exist_ok=True)
        for node in self.nodes.values():
            for name, text in node.logs().items():
                (self.folder / f"{node.name}.{name}").write_text(text)
        for name, container in self._others.items():
            (self.folder / f"{name}.log").write_bytes(container.logs())


def together(*tasks: Callable[[], object]) -> None:
    """Run tasks side by side and raise the first error when all have ended."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        for future in [pool.submit(task) for task in tasks]:
            future.result()
