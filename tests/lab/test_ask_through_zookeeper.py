"""The contract of `Helper`, by way of the daemon beside a node: through a real ZooKeeper server, where each
has the rights of who it is. The helper is the real program, beside the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.contract.test_helper_over_every_transport import (
    ALL_CLOSED,
    Node,
    answering,
    node,
    test_a_claim_is_obeyed_and_makes_older_orders_void,
    test_a_foreign_store_is_refused,
    test_a_lease_is_renewed_by_its_token_and_by_the_one_that_claimed,
    test_a_map_that_does_not_fit_the_node_is_refused,
    test_a_stale_order_is_refused_and_names_what_was_obeyed,
    test_an_answer_that_takes_longer_than_the_window_for_its_request_is_waited_for,
    test_an_order_is_obeyed_and_acknowledged_with_its_token_and_map,
    test_hooks_are_run_and_verified_before_ports_open_and_after_they_close,
    test_many_requests_run_side_by_side,
    test_status_tells_what_the_node_knows,
    test_writers_are_stopped_with_the_node_and_started_with_it,
    token,
)
from tests.lab.harness.in_zookeeper import OBSERVERS, WATCHERS, InZooKeeper, running
from tests.lab.harness.table import case
from tests.lab.harness.zookeeper import ASKED, ZooKeepers

from mailward.controller.coordination.zookeeper.connecting import connected
from mailward.controller.coordination.zookeeper.letters import ZooKeeperLetters
from mailward.controller.coordination.zookeeper.store import ZooKeeperStore
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.values import Delete
from mailward.fencing.ask import AskedHelper
from mailward.fencing.rung import HelperRung
from mailward.model.fencing import FenceOutcome, HelperReply, Scope
from mailward.model.ports import Box

__all__ = [
    "node",
    "test_a_claim_is_obeyed_and_makes_older_orders_void",
    "test_a_foreign_store_is_refused",
    "test_a_lease_is_renewed_by_its_token_and_by_the_one_that_claimed",
    "test_a_map_that_does_not_fit_the_node_is_refused",
    "test_a_stale_order_is_refused_and_names_what_was_obeyed",
    "test_an_answer_that_takes_longer_than_the_window_for_its_request_is_waited_for",
    "test_an_order_is_obeyed_and_acknowledged_with_its_token_and_map",
    "test_hooks_are_run_and_verified_before_ports_open_and_after_they_close",
    "test_many_requests_run_side_by_side",
    "test_status_tells_what_the_node_knows",
    "test_writers_are_stopped_with_the_node_and_started_with_it",
]

SESSION_S = 5.0
"""Of one that is shorter a busy machine loses the connection."""
LEADER, OTHER, BESIDE = *OBSERVERS[:2], WATCHERS[0]


@pytest.fixture(scope="module")
def server() -> Iterator[ZooKeepers]:
    with running(38, tls=True) as server:
        yield server


@pytest.fixture
async def cluster(server: ZooKeepers) -> AsyncIterator[InZooKeeper]:
    async with InZooKeeper.made(server, session_s=SESSION_S) as cluster:
        yield cluster


@pytest.fixture
async def beside(cluster: InZooKeeper, node: Node) -> AsyncIterator[ZooKeeperStore]:
    """The daemon beside the node."""
    store = await cluster.start(observe_only=True, name=BESIDE)
    async with answering(store.letters, node.command):
        yield store


@pytest.fixture
async def asker(cluster: InZooKeeper) -> ZooKeeperStore:
    return await cluster.start(name=LEADER)


@pytest.fixture
async def helper(asker: ZooKeeperStore, beside: ZooKeeperStore) -> AsyncIterator[AskedHelper]:
    helper = AskedHelper(asker.letters, ASKED)
    yield helper
    await helper.close()


async def letters(cluster: InZooKeeper) -> dict[str, tuple[str, ...]]:
    at = Tree(cluster.cluster)
    boxes = [at.letters(box, ASKED) for box in Box]
    async with connected(cluster.servers(LEADER)) as client:
        names = (await client.read([], boxes)).names
    return {box.value: names[at.letters(box, ASKED)] for box in Box}


async def test_nothing_is_left_of_what_was_asked_and_answered(
    cluster: InZooKeeper, helper: AskedHelper
) -> None:
    for seq in range(1, 4):
        assert (await helper.claim(token(1, seq))).reply is HelperReply.OBEYED
    await helper.close()
    await asyncio.sleep(0.5)
    assert await letters(cluster) == {"asks": (), "answers": ()}


async def test_it_takes_a_fraction_of_the_window(helper: AskedHelper) -> None:
    loop, took = asyncio.get_running_loop(), []
    for seq in range(1, 11):
        began_s = loop.time()
        assert (await helper.claim(token(1, seq))).reply is HelperReply.OBEYED
        took.append(loop.time() - began_s)
    print(f"asked through ZooKeeper: {min(took):.2f} to {max(took):.2f} s")
    assert sorted(took)[len(took) // 2] < 1.0


async def test_an_asker_that_dies_leaves_a_letter_no_longer_than_its_session(
    cluster: InZooKeeper, asker: ZooKeeperStore
) -> None:
    """Nobody is beside the node."""
    asking = asyncio.create_task(AskedHelper(asker.letters, ASKED, hello_timeout_s=20).claim(token(1, 1)))
    await asyncio.sleep(0.5)
    assert len((await letters(cluster))["asks"]) == 1
    cluster.silence(asker)
    asking.cancel()
    await asyncio.sleep(2 * SESSION_S)
    assert await letters(cluster) == {"asks": (), "answers": ()}


async def test_nobody_beside_the_node_is_unknown_in_time(asker: ZooKeeperStore) -> None:
    rung = HelperRung(AskedHelper(asker.letters, ASKED), {}, [])
    said = await case("ask: close, nobody is beside it", rung.order(token(1, 1), ALL_CLOSED), 8)
    assert said[:2] == (FenceOutcome.UNKNOWN, Scope.NONE)


async def test_who_may_not_lead_cannot_ask(cluster: InZooKeeper, beside: ZooKeeperStore) -> None:
    rung = HelperRung(AskedHelper(beside.letters, ASKED), {}, [])
    said = await case("ask: close, no right to ask", rung.order(token(1, 1), ALL_CLOSED), 8)
    assert said[:2] == (FenceOutcome.UNKNOWN, Scope.NONE)
    assert f"no right to {Tree(cluster.cluster).letters(Box.ASKS, ASKED)}/" in str(said[2])


async def test_who_is_not_beside_the_node_cannot_answer(
    cluster: InZooKeeper, asker: ZooKeeperStore, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    other = await cluster.start(name=OTHER)
    async with answering(other.letters, node.command):
        helper = AskedHelper(asker.letters, ASKED)
        answer = await helper.order(token(1, 1), ALL_CLOSED)
        await helper.close()
    assert answer.detail == "no hello within 2.5 s: the daemon beside mail-a has not taken it up"
    assert f"no right to {Tree(cluster.cluster).letters(Box.ANSWERS, ASKED)}/" in caplog.text
    assert not (node.folder / "state" / "state.json").exists()


async def test_two_leaders_are_told_apart_by_their_tokens(
    cluster: InZooKeeper, asker: ZooKeeperStore, helper: AskedHelper
) -> None:
    other = AskedHelper((await cluster.start(name=OTHER)).letters, ASKED)
    assert (await other.order(token(2, 1), ALL_CLOSED)).reply is HelperReply.OBEYED
    answer = await helper.order(token(1, 9), ALL_CLOSED)
    assert (answer.reply, answer.token) == (HelperReply.STALE, token(2, 1))
    await other.close()


async def test_a_store_that_has_no_place_for_letters_says_what_makes_it(
    cluster: InZooKeeper, asker: ZooKeeperStore
) -> None:
    """As after the line was added to the configuration."""
    folder = Tree(cluster.cluster).letters(Box.ASKS, ASKED)
    async with connected(cluster.servers(LEADER)) as client:
        assert await client.commit(Delete(folder)) == ""
        direct = ZooKeeperLetters(client, Tree(cluster.cluster), cluster.rights)
        answer = await AskedHelper(direct, ASKED).claim(token(1, 1))
    assert f"{folder} is missing in ZooKeeper: type on a daemon's host" in answer.detail
    assert answer.detail.endswith("mailward zookeeper grant")
