"""Clusters in a running ZooKeeper, each with a name of its own, and their stores; without mail servers."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

import pytest
from tests.contract.coordination_contract import STORE
from tests.lab.harness.engine import Engine, LabError, this_process
from tests.lab.harness.layout import BUILD
from tests.lab.harness.zookeeper import ZooKeepers

from mailward.controller.clock import SystemClock
from mailward.controller.coordination.zookeeper.connecting import connected
from mailward.controller.coordination.zookeeper.making import make
from mailward.controller.coordination.zookeeper.store import ZooKeeperStore
from mailward.controller.coordination.zookeeper.values import Servers
from mailward.model.policy import Observer
from mailward.model.ports import Coordination
from mailward.model.state import Pause, Request, State

SESSION_S, TICK_MS = 1.0, 100
_LONGEST_SESSION_S = 20 * TICK_MS / 1000
"""That such a server grants: for what is no part of a test and may take its time."""

OBSERVERS, WATCHERS, ADMINS = ("host0", "host1", "host2"), ("watcher",), ("cli",)
"""May lead; only watch; only pause."""


@contextmanager
def running(version: int, *, tls: bool = False, passwords: bool = False) -> Iterator[ZooKeepers]:
    """One server in a network of its own."""
    name = f"zookeeper-{version}-{'tls' if tls else 'sasl' if passwords else 'clear'}-{os.getpid()}"
    try:
        engine = Engine(name, this_process())
        engine.require_images()
        engine.remove_leftovers()
    except LabError as error:
        pytest.fail(f"the lab cannot run: {error}", pytrace=False)
    server = ZooKeepers(
        engine, engine.create_network(), BUILD / name, version=version, tick_ms=TICK_MS, tls=tls,
        users=(*OBSERVERS, *WATCHERS, *ADMINS, "stranger") if passwords else (),
    )  # fmt: skip
    try:
        server.start()
        yield server
    finally:
        engine.remove_all()
        shutil.rmtree(BUILD / name, ignore_errors=True)


KNOWN_BY = ("certificates", "passwords")
"""Ways in which a server knows who its clients are."""


def groups_of(tests: str) -> list[Any]:
    """Parameters for a server that is shared by these tests; each is run by one worker."""
    return [pytest.param(each, marks=pytest.mark.xdist_group(f"{tests} {each}")) for each in KNOWN_BY]


def knowing(by: str) -> AbstractContextManager[ZooKeepers]:
    """A running server that knows its clients."""
    return running(38, tls=by == "certificates", passwords=by == "passwords")


class InZooKeeper:
    """A cluster, made with the state `State(STORE, epoch=3)`, and its daemons' stores. Where the server knows
    who is who, each has its rights and no more."""

    def __init__(self, server: ZooKeepers, session_s: float) -> None:
        self.cluster = f"c{secrets.token_hex(4)}"
        self.rights = server.rights(OBSERVERS, WATCHERS, ADMINS)
        self._server = server
        self._session_s = session_s
        self._stores: list[tuple[ZooKeeperStore, asyncio.Task[None]]] = []

    @classmethod
    @asynccontextmanager
    async def made(cls, server: ZooKeepers, session_s: float = SESSION_S) -> AsyncIterator[InZooKeeper]:
        cluster = cls(server, session_s)
        await cluster.make(State(STORE, 3))
        try:
            yield cluster
        finally:
            for store, task in cluster._stores:
                task.cancel()
                if store._client._kazoo._stopped.is_set():  # silent: until its thread has noticed
                    await asyncio.to_thread(store._client._kazoo._connection.connection_stopped.wait, 5)
                await store.leave()

    def servers(self, identity: str = OBSERVERS[0]) -> Servers:
        return self._server.servers(session_s=self._session_s, identity=identity)

    async def make(self, state: State) -> None:
        patient = self._server.servers(session_s=_LONGEST_SESSION_S, identity=OBSERVERS[0])
        async with connected(patient) as client:
            await make(client, self.cluster, state, self.rights)

    async def start(self, *, observe_only: bool = False, name: str = "") -> ZooKeeperStore:
        store = self.store(name or f"host{len(self._stores)}", may_lead=not observe_only)
        self._stores.append((store, asyncio.create_task(store.run())))
        await until(lambda: store.in_touch)
        return store

    async def kill(self, controller: Coordination) -> None:
        """It is silent from now on, and its session ends."""
        self.silence(controller)
        await asyncio.sleep(SESSION_S + 3 * TICK_MS / 1000)

    def silence(self, controller: Coordination) -> None:
        store, task = next(each for each in self._stores if each[0] is controller)
        task.cancel()
        store._client._kazoo._stopped.set()  # it connects no more
        store._client.hang_up()

    async def post(self, entry: Request | Pause | None) -> None:
        store = self.store(WATCHERS[0], may_lead=False)
        task = asyncio.create_task(store.run())
        try:
            await until(lambda: store._client.session)
            await store.post(entry)
        finally:
            task.cancel()
            await store.leave()

    def store(self, name: str, *, may_lead: bool = True) -> ZooKeeperStore:
        observers = [Observer(observer, "", 1) for observer in OBSERVERS]
        return ZooKeeperStore(
            self.cluster, name, self.servers(name), SystemClock(), observers,
            may_lead=may_lead, rights=self.rights,
        )  # fmt: skip


async def until(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    deadline_s = asyncio.get_running_loop().time() + limit_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, "not in time"
        await asyncio.sleep(0.02)
