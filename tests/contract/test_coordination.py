"""The contract of `Coordination`, kept by the local store and by the fake the simulation stands on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.coordination_contract import STORE, CoordinationContract, Setup
from tests.doubles.coordination import MemoryStore

from mailward.controller.coordination.local import LocalStore, init, post_offline
from mailward.model.ports import Coordination
from mailward.model.state import Pause, Request, State
from mailward.model.token import Token


class InMemory:
    def __init__(self) -> None:
        self._store = MemoryStore(State(STORE, 3))
        self._started = False

    def start(self, *, observe_only: bool = False) -> Coordination:
        if self._started:
            return self._store.second()
        self._started = True
        self._store._observe_only = observe_only
        return self._store

    def kill(self, controller: Coordination) -> None:
        assert isinstance(controller, MemoryStore)
        controller.killed()

    async def post(self, entry: Request | Pause | None) -> None:
        await self._store.post(entry)


class InDirectory:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stores: list[LocalStore] = []
        init(directory, remembered=[Token(STORE, 3, 7)], adopt=STORE)

    def start(self, *, observe_only: bool = False) -> Coordination:
        store = LocalStore(self._directory, observe_only=observe_only)
        self._stores.append(store)
        return store

    def kill(self, controller: Coordination) -> None:
        assert isinstance(controller, LocalStore)
        controller.close()

    async def post(self, entry: Request | Pause | None) -> None:
        post_offline(self._directory, entry)

    def close(self) -> None:
        for store in self._stores:
            store.close()


class TestMemoryStore(CoordinationContract):
    @pytest.fixture
    def setup(self) -> Setup:
        return InMemory()


class TestLocalStore(CoordinationContract):
    @pytest.fixture
    def setup(self, tmp_path: Path) -> Iterator[Setup]:
        directory = InDirectory(tmp_path / "store")
        yield directory
        directory.close()
