"""The contract of `Coordination`, kept on real ZooKeeper servers: 3.8 and 3.9, in the clear, and where each
client has the rights of who it is, by its certificate or by a password."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.contract.coordination_contract import QuorumContract, Setup
from tests.lab.harness.in_zookeeper import InZooKeeper, running
from tests.lab.harness.zookeeper import ZooKeepers

KINDS = {
    "3.8": (38, False, False),
    "3.8-tls": (38, True, False),
    "3.8-password": (38, False, True),
    "3.9": (39, False, False),
    "3.9-tls": (39, True, False),
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, id=name, marks=pytest.mark.xdist_group(name)) for name, kind in KINDS.items()],
)
def server(request: pytest.FixtureRequest) -> Iterator[ZooKeepers]:
    version, tls, passwords = request.param
    with running(version, tls=tls, passwords=passwords) as server:
        yield server


class TestZooKeeperStore(QuorumContract):
    @pytest.fixture
    async def setup(self, server: ZooKeepers) -> AsyncIterator[Setup]:
        async with InZooKeeper.made(server) as cluster:
            yield cluster
