"""The store that a configuration names: as a daemon uses it, and as a single command does."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mailward.app.peering import beside, observer_of
from mailward.app.zookeeper import rights_of, servers_of
from mailward.configs.policy import policy_of
from mailward.configs.schema import Config
from mailward.controller.coordination import files, local
from mailward.controller.coordination.local import LocalStore
from mailward.controller.coordination.zookeeper import tree
from mailward.controller.coordination.zookeeper.connecting import connected
from mailward.controller.coordination.zookeeper.making import make
from mailward.controller.coordination.zookeeper.rights import Rights
from mailward.controller.coordination.zookeeper.store import ZooKeeperStore
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.values import Servers
from mailward.model.ports import Clock, Coordination, Letters
from mailward.model.report import Report
from mailward.model.snapshot import ObserverView
from mailward.model.state import Pause, State


class Store(Coordination, Protocol):
    """A store with what else a daemon needs of it: a task that keeps in touch, and the observers' reports.
    `nonce` is the process's: no two share one. `rival` says that another process reports under our name."""

    @property
    def nonce(self) -> str: ...

    @property
    def rival(self) -> bool: ...

    @property
    def in_touch(self) -> bool:
        """Whether it is certain just now that the store knows us: only then it may lead."""
        ...

    @property
    def letters(self) -> Letters | None:
        """None where the store carries none."""
        ...

    async def run(self) -> None: ...

    async def leave(self) -> None:
        """A clean stop: the next one may lead at once."""
        ...

    async def publish(self, report: Report) -> None: ...

    async def recorded(self) -> State:
        """The recorded state alone, not older than anything that was acknowledged before; the lead, and what
        is known of the reports, stay as they are."""
        ...

    def views(self) -> Sequence[ObserverView]:
        """Every configured observer's newest report."""
        ...


def store_of(config: Config, clock: Clock, on_change: Callable[[], None]) -> Store:
    name = observer_of(config)
    if config.coordination.zookeeper is None:
        directory = Path(config.coordination.local.directory)
        return LocalStore(directory, observe_only=beside(config) is not None)
    entry = next(observer for observer in config.observers if observer.name == name)
    return ZooKeeperStore(
        config.cluster, name, servers_of(config.coordination.zookeeper), clock, policy_of(config).observers,
        may_lead=entry.leader != "never", rights=rights_of(config), on_change=on_change,
    )  # fmt: skip


def made(config: Config, state: State, pause: Pause | None = None) -> tuple[State, str]:
    """Make the store with its first `state`, paused or not; the state, and where it is."""
    if config.coordination.zookeeper is None:
        directory = Path(config.coordination.local.directory)
        local.make(directory, state, pause)
        return state, str(directory)
    servers = servers_of(config.coordination.zookeeper)
    asyncio.run(_made_in_zookeeper(servers, config.cluster, state, pause, rights_of(config)))
    return state, f"ZooKeeper at {Tree(config.cluster).root}"


async def _made_in_zookeeper(
    servers: Servers, cluster: str, state: State, pause: Pause | None, rights: Rights
) -> None:
    async with connected(servers) as client:
        await make(client, cluster, state, rights, pause)


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
