"""Who may do what in ZooKeeper, on a real server that knows its clients by certificate, or by password."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest
from tests.contract.coordination_contract import STORE, answered, leading, pause, request
from tests.lab.harness.in_zookeeper import (
    ADMINS,
    OBSERVERS,
    SESSION_S,
    WATCHERS,
    InZooKeeper,
    groups_of,
    knowing,
    until,
)
from tests.lab.harness.zookeeper import ASKED, ZooKeepers

from mailward.controller.coordination.zookeeper import making, tree
from mailward.controller.coordination.zookeeper.client import Client
from mailward.controller.coordination.zookeeper.connecting import connected
from mailward.controller.coordination.zookeeper.rights import Rights
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.values import Create, Delete, Grant, Login, Step, Write
from mailward.model.errors import StoreError
from mailward.model.ports import Box, Commit
from mailward.model.report import Report
from mailward.model.snapshot import Standing
from mailward.model.state import State

LEADER, OTHER, WATCHER, ADMIN, STRANGER = *OBSERVERS[:2], *WATCHERS, *ADMINS, "stranger"
"""The stranger has a certificate of the same authority, or a password, and no cluster here."""


GROUPS = groups_of("rights")


@pytest.fixture(scope="module", params=GROUPS)
def server(request: pytest.FixtureRequest) -> Iterator[ZooKeepers]:
    with knowing(request.param) as server:
        yield server


@pytest.fixture
async def cluster(server: ZooKeepers) -> AsyncIterator[InZooKeeper]:
    async with InZooKeeper.made(server) as cluster:
        yield cluster


async def may(client: Client, *steps: Step) -> bool:
    """Whether it was done; only a missing right may keep it from that."""
    try:
        wrong = await client.commit(*steps)
    except StoreError as error:
        wrong = str(error)
    assert not wrong or "gives us no right" in wrong
    return not wrong


@dataclass(frozen=True)
class Act:
    """Something that one of them may do, and no other."""

    step: Step
    who: tuple[str, ...]


def acts(at: Tree) -> dict[str, Act]:
    mine = at.request("mine")
    return {
        "record the state": Act(Write(at.state, b"{}"), (LEADER, OTHER)),
        "raise the epoch": Act(Write(at.epoch, b"9"), (LEADER, OTHER)),
        "take the lead": Act(Create(at.leader, b"{}", ephemeral=True), (LEADER, OTHER)),
        "pause": Act(Write(at.pause, b"null"), (LEADER, OTHER, WATCHER, ADMIN)),
        "ask for something": Act(Create(mine, b"{}"), (LEADER, OTHER, WATCHER)),
        "name another store": Act(Write(at.store, b"{}"), ()),
        "take the state away": Act(Delete(at.state), (LEADER, OTHER)),
        "report as the watcher": Act(Write(at.report(WATCHER), b"{}"), (WATCHER,)),
        "be in touch as the watcher": Act(Write(at.beat(WATCHER), b""), (WATCHER,)),
        "report as a leader": Act(Write(at.report(LEADER), b"{}"), (LEADER,)),
        "add an observer": Act(Create(at.report("new"), b""), (LEADER, OTHER)),
        "write over a request": Act(Write(at.request("lies"), b"{}"), ()),
        "take a request away": Act(Delete(at.request("lies")), (LEADER, OTHER)),
        "ask the watcher": Act(Create(at.letter(Box.ASKS, ASKED, "new"), b"{}"), (LEADER, OTHER)),
        "write over what is asked": Act(Write(at.letter(Box.ASKS, ASKED, "lies"), b"{}"), (LEADER, OTHER)),
        "take away what is asked": Act(Delete(at.letter(Box.ASKS, ASKED, "lies")), (LEADER, OTHER)),
        "answer as the watcher": Act(Create(at.letter(Box.ANSWERS, ASKED, "new"), b"{}"), (WATCHER,)),
        "write over an answer": Act(Write(at.letter(Box.ANSWERS, ASKED, "lies"), b"{}"), (WATCHER,)),
        "take an answer away": Act(Delete(at.letter(Box.ANSWERS, ASKED, "lies")), (WATCHER,)),
    }  # fmt: skip


@pytest.mark.parametrize("what", acts(Tree("x")))
async def test_nobody_may_do_more_than_it_takes(server: ZooKeepers, what: str) -> None:
    allowed = []
    for who in (LEADER, OTHER, WATCHER, ADMIN, STRANGER):
        async with InZooKeeper.made(server) as each:
            at = Tree(each.cluster)
            async with connected(each.servers(WATCHER)) as watcher:
                lies = Create(at.request("lies"), b"{}", acl=each.rights.of_passing())
                answer = at.letter(Box.ANSWERS, ASKED, "lies")
                acl = each.rights.of_letter(Box.ANSWERS, ASKED)
                assert await watcher.commit(lies, Create(answer, b"{}", acl=acl)) == ""
            async with connected(each.servers(LEADER)) as leader:
                asked = at.letter(Box.ASKS, ASKED, "lies")
                acl = each.rights.of_letter(Box.ASKS, ASKED)
                assert await leader.commit(Create(asked, b"{}", acl=acl)) == ""
            async with connected(each.servers(who)) as client:
                if await may(client, acts(at)[what].step):
                    allowed.append(who)
    assert tuple(allowed) == acts(Tree("x"))[what].who


async def test_who_is_not_named_reads_nothing_and_is_told_what_to_do(cluster: InZooKeeper) -> None:
    at = Tree(cluster.cluster)
    async with connected(cluster.servers(STRANGER)) as stranger:
        for path in cluster.rights.of(at):
            with pytest.raises(StoreError, match=f"gives us no right to {path}: .*mailward zookeeper grant"):
                await stranger.read([path])


async def test_an_observer_that_may_not_lead_cannot_though_it_tries(
    cluster: InZooKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    store = cluster.store(WATCHER, may_lead=True)
    task = asyncio.create_task(store.run())
    await until(lambda: store.in_touch)
    for _ in range(3):
        assert await store.lead() is Standing.FOLLOWING
    (told,) = [record.getMessage() for record in caplog.records if "is to lead" in record.getMessage()]
    assert f"no right to {Tree(cluster.cluster).leader}" in told
    assert (await store.read()).leader is None
    task.cancel()
    await store.leave()


async def test_everybody_with_a_right_asks_and_the_leader_answers(cluster: InZooKeeper) -> None:
    store, _ = await leading(cluster)
    await cluster.post(request("r1"))
    await cluster.post(pause())
    watcher = await cluster.start(observe_only=True, name=WATCHER)
    await watcher.post(request("r2"))
    await watcher.publish(Report(WATCHER, 1, "d1", ()))
    recorded = await store.read()
    assert [each.id for each in recorded.requests] == ["r1", "r2"]
    assert recorded.pause == pause()
    state = answered(recorded.state, "r1", "r2")
    assert await store.record(state, recorded.versions) is Commit.COMMITTED
    async with connected(cluster.servers(WATCHER)) as client:
        assert (await client.read([], [Tree(cluster.cluster).requests])).names == {
            Tree(cluster.cluster).requests: ()
        }


async def test_who_takes_a_cluster_s_place_before_it_is_made_keeps_it_from_nobody_unseen(
    cluster: InZooKeeper, server: ZooKeepers
) -> None:
    new = InZooKeeper(server, SESSION_S)
    at = Tree(new.cluster)
    async with connected(new.servers(STRANGER)) as stranger:
        grant = Grant(new.rights.scheme, stranger_id(new.rights), "acdrw")
        assert await may(stranger, Create(at.root, b"", acl=(grant,)))
        with pytest.raises(StoreError, match=f"no right to {at.root}"):
            await new.make(State(STORE, 3))
        await stranger.set_acl(at.root, ())
    await new.make(State(STORE, 3))
    assert await granted(new, new.rights) == (), "nothing is left of who was there before"


def stranger_id(rights: Rights) -> str:
    return f"CN={STRANGER}" if rights.scheme == "x509" else STRANGER


# when the configuration has changed


async def granted(cluster: InZooKeeper, rights: Rights, by: str = LEADER) -> tuple[str, ...]:
    async with connected(cluster.servers(by)) as client:
        return (await making.grant(client, cluster.cluster, rights)).changed


async def test_what_is_right_already_is_left_alone(cluster: InZooKeeper) -> None:
    assert await granted(cluster, cluster.rights) == ()


async def test_an_observer_that_is_added_has_its_place_and_one_that_is_gone_has_none(
    cluster: InZooKeeper,
) -> None:
    at, ours = Tree(cluster.cluster), cluster.rights
    store, _ = await leading(cluster)
    await cluster.post(request("r1"))
    watcher = await cluster.start(observe_only=True, name=WATCHER)
    await watcher.publish(Report(WATCHER, 1, "d1", ()))
    names = {LEADER: ours.observers[LEADER], "new": stranger_id(ours)}
    await granted(cluster, Rights(ours.scheme, names, frozenset({LEADER})))
    async with connected(cluster.servers(STRANGER)) as new:
        assert await may(new, Write(at.report("new"), b"{}"), Write(at.beat("new"), b""))
        found = await new.read([at.leader, at.request("r1"), at.report(WATCHER)], [at.observers])
        assert set(found.znodes) == {at.leader, at.request("r1")}, "also what was there before it"
        assert found.names[at.observers] == (LEADER, "new")
    async with connected(cluster.servers(OTHER)) as other:
        assert not await may(other, Write(at.state, b"{}"))
        with pytest.raises(StoreError, match="no right"):
            await other.read([at.state])
    assert await store.lead() is Standing.LEADING


async def test_a_store_made_without_rights_gets_them(cluster: InZooKeeper) -> None:
    at = Tree(cluster.cluster)
    everything = {at.root, at.store, at.epoch, at.state, at.pause, at.requests, at.observers}
    await granted(cluster, replace(cluster.rights, scheme=""))
    async with connected(cluster.servers(STRANGER)) as stranger:
        assert await may(stranger, Write(at.epoch, tree.of_epoch(8)))
        assert set(await making.differing(stranger, cluster.cluster, cluster.rights)) >= everything
    assert everything <= set(await granted(cluster, cluster.rights))
    async with connected(cluster.servers(STRANGER)) as stranger:
        assert not await may(stranger, Write(at.epoch, tree.of_epoch(9)))
    async with connected(cluster.servers(WATCHER)) as watcher:
        assert await making.differing(watcher, cluster.cluster, cluster.rights) == ()


async def test_who_may_not_grant_changes_nothing(cluster: InZooKeeper) -> None:
    for who in (WATCHER, ADMIN, STRANGER):
        with pytest.raises(StoreError, match=r"no right|nothing was done: ZooKeeper knows us as"):
            await granted(cluster, replace(cluster.rights, admins=("CN=mallory",)), by=who)
    assert await granted(cluster, cluster.rights) == ()


async def test_nobody_grants_under_a_name_that_zookeeper_does_not_know_it_by(cluster: InZooKeeper) -> None:
    """The first thing taken away would be its own right to put it right."""
    mark = "CN=" if cluster.rights.scheme == "x509" else ""
    mistaken = replace(cluster.rights, observers={LEADER: f"{mark}somebody"}, leaders=frozenset({LEADER}))
    with pytest.raises(StoreError, match=f"nothing was done: ZooKeeper knows us as '{mark}{LEADER}'"):
        await granted(cluster, mistaken)
    assert await granted(cluster, cluster.rights) == ()
    new = InZooKeeper(cluster._server, SESSION_S)
    new.rights = mistaken
    with pytest.raises(StoreError, match="nothing was done: ZooKeeper knows us as"):
        await new.make(State(STORE, 3))


async def test_who_loses_its_rights_is_named(cluster: InZooKeeper) -> None:
    fewer = replace(cluster.rights, admins=())
    async with connected(cluster.servers()) as client:
        done = await making.grant(client, cluster.cluster, fewer)
    assert done.lost == cluster.rights.admins


@pytest.mark.parametrize("server", GROUPS[1:], indirect=True)
async def test_a_wrong_password_is_told_and_not_tried_again_and_again(
    cluster: InZooKeeper, server: ZooKeepers
) -> None:
    servers = replace(cluster.servers(), login=Login(LEADER, "wrong"))
    container = server.containers[1]
    before = container.logs().count(b"Accepted socket connection")
    with pytest.raises(StoreError, match="refuses our user 'host0' or its password"):
        async with connected(servers):
            pass
    tried = container.logs().count(b"Accepted socket connection") - before
    assert tried <= 8
