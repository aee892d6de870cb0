"""The contract of `Coordination`, kept by the local store, by its fake, and by the store of the simulator."""

import asyncio
import functools
import random
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.coordination_contract import STORE, AloneContract, QuorumContract, Setup
from tests.doubles.coordination import MemoryClient, MemoryStore

from mailward.controller.coordination.local import LocalStore, init, post_offline
from mailward.model.ports import Coordination
from mailward.model.state import Pause, Request, State
from mailward.model.token import Token
from mailward.simulator import virtual
from mailward.simulator.network import HostClock, Network
from mailward.simulator.store import TICK_S, Ensemble, Pace, Session


class InMemory:
    def __init__(self) -> None:
        self._store = MemoryStore(State(STORE, 3))

    async def start(self, *, observe_only: bool = False) -> Coordination:
        return MemoryClient(self._store, observe_only=observe_only)

    async def kill(self, controller: Coordination) -> None:
        assert isinstance(controller, MemoryClient)
        controller.killed()

    async def post(self, entry: Request | Pause | None) -> None:
        self._store.post(entry)


class InDirectory:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stores: list[LocalStore] = []
        init(directory, remembered=[Token(STORE, 3, 7)], adopt=STORE)

    async def start(self, *, observe_only: bool = False) -> Coordination:
        store = LocalStore(self._directory, observe_only=observe_only)
        self._stores.append(store)
        return store

    async def kill(self, controller: Coordination) -> None:
        assert isinstance(controller, LocalStore)
        controller.close()

    async def post(self, entry: Request | Pause | None) -> None:
        post_offline(self._directory, entry)

    def close(self) -> None:
        for store in self._stores:
            store.close()


class InEnsemble:
    """Controllers on hosts of their own, in the simulator's virtual time."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._network = Network(random.Random(1))
        self._network.add("ensemble", "ensemble")
        self._ensemble = Ensemble(State(STORE, 3), loop.time)
        self._processes: dict[Coordination, virtual.Process] = {}
        self._expiry = asyncio.create_task(self._expire())

    async def start(self, *, observe_only: bool = False) -> Coordination:
        name = f"host{len(self._processes)}"
        self._network.add(name, name)
        clock = HostClock(self._network.hosts[name], asyncio.get_running_loop())
        session = Session(
            name, self._ensemble, self._network, name, "ensemble", clock, (), f"{name}-1",
            may_lead=not observe_only,
        )  # fmt: skip
        process = self._processes[session] = virtual.Process(name)
        process.run(session.run(), "heartbeat")
        await asyncio.sleep(3 * Pace().heartbeat_s)
        return session

    async def kill(self, controller: Coordination) -> None:
        self._processes[controller].kill()
        await asyncio.sleep(2 * self._ensemble.session_timeout_s)

    async def post(self, entry: Request | Pause | None) -> None:
        self._ensemble.post(entry)

    async def _expire(self) -> None:
        while True:
            self._ensemble.expire()
            await asyncio.sleep(TICK_S)

    async def close(self) -> None:
        self._expiry.cancel()
        for process in self._processes.values():
            process.bury()
        await asyncio.sleep(0)


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def played(self: object, setup: Callable[[], InEnsemble], **parameters: object) -> None:
        async def body() -> None:
            ensemble = setup()
            try:
                await test(self, ensemble, **parameters)
            finally:
                await ensemble.close()

        virtual.run(body())

    return played


class TestMemoryStore(AloneContract):
    @pytest.fixture
    def setup(self) -> Setup:
        return InMemory()


class TestLocalStore(AloneContract):
    @pytest.fixture
    def setup(self, tmp_path: Path) -> Iterator[Setup]:
        directory = InDirectory(tmp_path / "store")
        yield directory
        directory.close()


class TestSimulatedStore:
    @pytest.fixture
    def setup(self) -> Callable[[], InEnsemble]:
        """To be made in virtual time."""
        return InEnsemble


for _name in dir(QuorumContract):
    if _name.startswith("test_"):
        setattr(TestSimulatedStore, _name, in_virtual_time(getattr(QuorumContract, _name)))
