"""The store that a configuration names: as a daemon uses it, and as a single command does."""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mailward.app.elsewhere import Place
from mailward.configs.daemon import ZooKeeper
from mailward.configs.policy import policy_of
from mailward.configs.schema import Config
from mailward.controller.coordination import files, local
from mailward.controller.coordination.identity import Tls
from mailward.controller.coordination.local import LocalStore
from mailward.controller.coordination.peers import Peer, Peers
from mailward.controller.coordination.zookeeper import tree
from mailward.controller.coordination.zookeeper.client import Servers
from mailward.controller.coordination.zookeeper.making import make
from mailward.controller.coordination.zookeeper.store import ZooKeeperStore
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.trouble import connected
from mailward.model.errors import ConfigError
from mailward.model.ports import Clock, Coordination
from mailward.model.report import Report
from mailward.model.snapshot import ObserverView
from mailward.model.state import State


class Store(Coordination, Protocol):
    """A store with what else a daemon needs of it: a task that keeps in touch, and the observers' reports.
    `nonce` is the process's: no two share one. `rival` says that another process reports under our name."""

    @property
    def nonce(self) -> str: ...

    @property
    def rival(self) -> bool: ...

    async def run(self) -> None: ...

    async def leave(self) -> None:
        """A clean stop: the next one may lead at once."""
        ...

    async def publish(self, report: Report) -> None: ...

    def views(self) -> Sequence[ObserverView]:
        """Every configured observer's newest report."""
        ...


def observer_of(config: Config) -> str:
    """Which of the observers this daemon is; ConfigError where nothing says it."""
    names = [observer.name for observer in config.observers]
    if config.observer is not None:
        return config.observer
    host = socket.gethostname().partition(".")[0].lower()
    if len(names) == 1 or host in names:
        return names[0] if len(names) == 1 else host
    problem = f"observer: missing: this host is {host!r}; write which of {', '.join(names)} this daemon is"
    raise ConfigError((problem,))


def store_of(config: Config, clock: Clock, on_change: Callable[[], None]) -> Store:
    name = observer_of(config)
    if config.coordination.zookeeper is None:
        directory = Path(config.coordination.local.directory)
        return LocalStore(directory, observe_only=config.on_node is not None)
    entry = next(observer for observer in config.observers if observer.name == name)
    return ZooKeeperStore(
        config.cluster, name, servers_of(config.coordination.zookeeper), clock, policy_of(config).observers,
        may_lead=entry.leader != "never", on_change=on_change,
    )  # fmt: skip


def made(config: Config, state: State) -> tuple[State, str]:
    """Make the store with its first `state`; that, and where it is."""
    if config.coordination.zookeeper is None:
        directory = Path(config.coordination.local.directory)
        local.make(directory, state)
        return state, str(directory)
    asyncio.run(_made_in_zookeeper(servers_of(config.coordination.zookeeper), config.cluster, state))
    return state, f"ZooKeeper at {Tree(config.cluster).root}"


async def _made_in_zookeeper(servers: Servers, cluster: str, state: State) -> None:
    async with connected(servers) as client:
        await make(client, cluster, state)


async def documents(config: Config) -> Mapping[str, bytes]:
    """What the store holds, as it is: `store`, `epoch`, `state` and `pause`, and `leader` where ZooKeeper has
    one. What is missing is left out. StoreError."""
    if config.coordination.zookeeper is None:
        directory = Path(config.coordination.local.directory)
        found = {
            name: files.read(directory / f"{name}.json") for name in ("store", "epoch", "state", "pause")
        }
        return {name: content for name, content in found.items() if content is not None}
    at = Tree(config.cluster)
    paths = {"store": at.store, "epoch": at.epoch, "state": at.state, "pause": at.pause, "leader": at.leader}
    async with connected(servers_of(config.coordination.zookeeper)) as client:
        znodes = (await client.read(list(paths.values()))).znodes
    return {name: znodes[path].content for name, path in paths.items() if path in znodes}


async def store_id_of(config: Config) -> tuple[str | None, str]:
    """The id of the store that is there, None where none is; and where that is. StoreError."""
    if config.coordination.zookeeper is None:
        directory = Path(config.coordination.local.directory)
        return local.store_id_of(directory), str(directory)
    at = Tree(config.cluster)
    async with connected(servers_of(config.coordination.zookeeper)) as client:
        found = (await client.read([at.store])).znodes.get(at.store)
    return tree.store_id(found, at.store) if found else None, f"ZooKeeper at {at.root}"


def peers_of(
    config: Config, nonce: str, clock: Clock, report: Callable[[], Report | None], on_end: Callable[[], None]
) -> Peers:
    """The other daemons, as far as the configuration says where they are."""
    zookeeper, name = config.coordination.zookeeper, observer_of(config)
    others = [observer for observer in config.observers if observer.name != name and zookeeper is not None]
    peers = [Peer(each.name, *_host_and_port(each.address)) for each in others if each.address is not None]
    tls = servers_of(zookeeper).tls if zookeeper is not None else None
    return Peers(
        config.cluster, name, nonce, peers, clock, tls,
        report=report, answer=Place(config).answer, on_end=on_end,
    )  # fmt: skip


def listen_of(config: Config) -> tuple[str | None, int] | None:
    """Where the other daemons are to find this one: on all addresses of this host, at one port."""
    ours = next(each for each in config.observers if each.name == observer_of(config))
    if ours.address is None or config.coordination.zookeeper is None:
        return None
    return None, _host_and_port(ours.address)[1]


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def servers_of(zookeeper: ZooKeeper) -> Servers:
    tls = zookeeper.tls
    return Servers(
        zookeeper.servers,
        session_s=zookeeper.session_s,
        tls=Tls(tls.ca_file, tls.cert_file, tls.key_file) if tls is not None else None,
    )
