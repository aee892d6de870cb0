"""The contract of `Coordination`, kept on real ZooKeeper servers: 3.8 and 3.9, in the clear and with TLS."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.contract.coordination_contract import QuorumContract, Setup
from tests.lab.harness.in_zookeeper import SESSION_S, InZooKeeper, running

from mailward.controller.coordination.zookeeper.client import Servers

KINDS = {"3.8": (38, False), "3.8-tls": (38, True), "3.9": (39, False), "3.9-tls": (39, True)}


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, id=name, marks=pytest.mark.xdist_group(name)) for name, kind in KINDS.items()],
)
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    version, tls = request.param
    with running(version, tls=tls) as server:
        yield server.servers(session_s=SESSION_S)


class TestZooKeeperStore(QuorumContract):
    @pytest.fixture
    async def setup(self, servers: Servers) -> AsyncIterator[Setup]:
        async with InZooKeeper.made(servers) as cluster:
            yield cluster
