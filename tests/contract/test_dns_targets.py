"""The DNS target contract on what needs no other program: memory, and the embedded zone.

BIND passes the same suite in `tests/lab`.
"""

from pathlib import Path

import pytest
from tests.contract.dns_contract import CLUSTER, STORE, TOKEN_NAME, ZONE, DnsTargetContract
from tests.contract.dns_memory import MemoryTarget, MemoryZone

from mailward.dns.drivers.embedded import EmbeddedTarget
from mailward.dns.embedded.file import load, save
from mailward.dns.embedded.zone import ZoneSettings
from mailward.model.dns import RRset
from mailward.model.ports import DnsTarget

SETTINGS = ZoneSettings(ZONE, ("ns1.example.test.",))


class MemoryWorld:
    def __init__(self) -> None:
        self.zone = MemoryZone(ZONE, CLUSTER)

    def target(self, store_id: str = STORE) -> DnsTarget:
        return MemoryTarget("memory", self.zone, store_id)

    async def plant(self, *values: str) -> None:
        self.zone.plant(*values)


class EmbeddedWorld:
    """Each target is a daemon started anew on the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.targets: list[EmbeddedTarget] = []

    def target(self, store_id: str = STORE) -> DnsTarget:
        target = EmbeddedTarget(
            "embedded", cluster=CLUSTER, store_id=store_id, settings=SETTINGS, path=self.path
        )
        self.targets.append(target)
        return target

    async def plant(self, *values: str) -> None:
        rrset = RRset(TOKEN_NAME, "TXT", 5, values)
        planted = load(self.path, SETTINGS).replaced([(rrset.key, rrset)])
        save(self.path, planted)
        for target in self.targets:
            target._zone = planted


class TestMemory(DnsTargetContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()


class TestEmbedded(DnsTargetContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> EmbeddedWorld:
        return EmbeddedWorld(tmp_path / "zone.json")
