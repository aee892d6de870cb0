"""The contract of `Coordination`, kept on real ZooKeeper servers: 3.8 and 3.9, in the clear and with TLS."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from tests.contract.coordination_contract import STORE, QuorumContract, Setup
from tests.lab.harness.engine import Engine, LabError, this_process
from tests.lab.harness.layout import BUILD
from tests.lab.harness.zookeeper import ZooKeepers

from mailward.controller.clock import SystemClock
from mailward.controller.coordination.zookeeper.client import Client, Servers
from mailward.controller.coordination.zookeeper.making import make
from mailward.controller.coordination.zookeeper.store import ZooKeeperStore
from mailward.model.policy import Observer
from mailward.model.ports import Coordination
from mailward.model.state import Pause, Request, State

SESSION_S, TICK_MS = 1.0, 100


@pytest.fixture(
    scope="module", params=[(38, False), (38, True), (39, False), (39, True)],
    ids=["3.8", "3.8-tls", "3.9", "3.9-tls"],
)  # fmt: skip
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    version, tls = request.param
    name = f"zookeeper-{version}-{'tls' if tls else 'clear'}-{os.getpid()}"
    try:
        engine = Engine(name, this_process())
        engine.require_images()
        engine.remove_leftovers()
    except LabError as error:
        pytest.fail(f"the lab cannot run: {error}", pytrace=False)
    ensemble = ZooKeepers(
        engine, engine.create_network(), BUILD / name, version=version, tick_ms=TICK_MS, tls=tls
    )
    try:
        ensemble.start()
        yield ensemble.servers(session_s=SESSION_S)
    finally:
        engine.remove_all()
        shutil.rmtree(BUILD / name, ignore_errors=True)


class InZooKeeper:
    """A cluster of its own, and its controllers."""

    def __init__(self, servers: Servers) -> None:
        self.cluster = f"c{secrets.token_hex(4)}"
        self.servers = servers
        self.stores: list[tuple[ZooKeeperStore, asyncio.Task[None]]] = []

    async def made(self) -> "InZooKeeper":
        client = Client(self.servers)
        client.start()
        try:
            await until(lambda: client.session)
            await make(client, self.cluster, State(STORE, 3))
        finally:
            await client.stop()
        return self

    async def start(self, *, observe_only: bool = False) -> ZooKeeperStore:
        number = len(self.stores)
        store = ZooKeeperStore(
            self.cluster, f"host{number}", self.servers, SystemClock(),
            [Observer(f"host{n}", "", 1) for n in range(3)], may_lead=not observe_only,
        )  # fmt: skip
        self.stores.append((store, asyncio.create_task(store.run())))
        await until(lambda: store.in_touch)
        return store

    async def kill(self, controller: Coordination) -> None:
        store, task = next(each for each in self.stores if each[0] is controller)
        task.cancel()
        store._client._kazoo._stopped.set()  # it connects no more
        store._client.hang_up()
        await asyncio.sleep(SESSION_S + 3 * TICK_MS / 1000)

    async def post(self, entry: Request | Pause | None) -> None:
        client = Client(self.servers)
        store = ZooKeeperStore(self.cluster, "cli", self.servers, SystemClock(), may_lead=False)
        store._client = client
        client.start()
        try:
            await until(lambda: client.session)
            await store.post(entry)
        finally:
            await client.stop()

    async def close(self) -> None:
        for store, task in self.stores:
            task.cancel()
            await store.leave()


async def until(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    deadline_s = asyncio.get_running_loop().time() + limit_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s
        await asyncio.sleep(0.02)


@pytest.fixture
async def cluster(servers: Servers) -> AsyncIterator[InZooKeeper]:
    made = await InZooKeeper(servers).made()
    yield made
    await made.close()


class TestZooKeeperStore(QuorumContract):
    @pytest.fixture
    def setup(self, cluster: InZooKeeper) -> Setup:
        return cluster
