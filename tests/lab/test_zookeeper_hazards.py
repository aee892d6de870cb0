"""What happens to who trusts a store too much: lost replies, dead servers, lost leads, other clusters."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from kazoo.exceptions import NotEmptyError
from tests.contract.coordination_contract import NOW, STORE, answered, leading, request
from tests.lab.harness.in_zookeeper import SESSION_S, TICK_MS, WATCHERS, InZooKeeper, running, until
from tests.lab.harness.zookeeper import ZooKeepers

from mailward.controller.clock import SystemClock
from mailward.controller.coordination.zookeeper import tree, trouble
from mailward.controller.coordination.zookeeper.connecting import connected
from mailward.controller.coordination.zookeeper.store import ZooKeeperStore
from mailward.controller.coordination.zookeeper.tree import LIMIT, Tree
from mailward.controller.coordination.zookeeper.values import (
    Acl,
    Check,
    Create,
    Delete,
    Grant,
    Servers,
    Write,
)
from mailward.model.errors import ForeignStore, StoreError, Unanswered
from mailward.model.ports import Commit
from mailward.model.report import Report
from mailward.model.snapshot import Leader, Standing
from mailward.model.state import Answer, State


@pytest.fixture(scope="module")
def server() -> Iterator[ZooKeepers]:
    with running(38, tls=True) as server:
        yield server


@pytest.fixture
async def cluster(server: ZooKeepers) -> AsyncIterator[InZooKeeper]:
    async with InZooKeeper.made(server) as cluster:
        yield cluster


def losing_replies(store: ZooKeeperStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it writes is done, and nobody hears of it."""
    commit = store._client.commit

    async def lost(*steps: Create | Write | Delete | Check) -> str:
        await commit(*steps)
        raise Unanswered("the connection was lost")

    monkeypatch.setattr(store._client, "commit", lost)


async def test_an_election_that_nobody_heard_of_is_recognized_as_ours(
    cluster: InZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await cluster.start()
    with monkeypatch.context() as patch:
        losing_replies(store, patch)
        assert await store.lead() is Standing.FOLLOWING
    assert await store.lead() is Standing.LEADING
    recorded = await store.read()
    assert recorded.versions.epoch == 4, "it was elected once"
    assert await store.record(replace(recorded.state, seq=9), recorded.versions) is Commit.COMMITTED


async def test_a_state_that_nobody_heard_of_is_read_again(
    cluster: InZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = await leading(cluster)
    assert isinstance(store, ZooKeeperStore)
    wanted = replace(before.state, epoch=4, seq=9)
    with monkeypatch.context() as patch:
        losing_replies(store, patch)
        assert await store.record(wanted, before.versions) is Commit.UNKNOWN
    assert (await store.read()).state == wanted


async def test_a_daemon_started_again_does_not_take_its_own_old_lead_for_the_new_one_s(
    cluster: InZooKeeper,
) -> None:
    old = await cluster.start(name="host1")
    await old.lead()
    cluster.silence(old)
    new = await cluster.start(name="host1")
    assert await new.lead() is Standing.FOLLOWING
    gone = (await new.read()).leader
    assert gone is not None
    assert await new.lead(over=gone) is Standing.LEADING


async def test_a_lead_that_is_gone_without_a_new_one_records_nothing(cluster: InZooKeeper) -> None:
    """The epoch is as it was: that alone would let it pass."""
    store, before = await leading(cluster)
    async with connected(cluster.servers()) as client:
        assert await client.commit(Delete(Tree(cluster.cluster).leader)) == ""
    assert await store.record(replace(before.state, seq=9), before.versions) is Commit.LOST
    assert (await store.read()).state == before.state


async def test_who_has_stepped_down_does_not_lead_though_zookeeper_never_heard_of_it(
    cluster: InZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, before = await leading(cluster)
    other = await cluster.start()
    with monkeypatch.context() as patch:
        patch.setattr(store._client, "commit", hanging)  # type: ignore[attr-defined]
        assert await store.lead(willing=False) is Standing.FOLLOWING
    again = await store.read()
    assert again.leader == before.leader, "it stands there yet"
    assert store.may_act_until_s() == float("-inf")
    assert await store.record(replace(again.state, seq=9), again.versions) is Commit.LOST
    assert await store.lead(willing=False) is Standing.FOLLOWING
    assert await other.lead() is Standing.LEADING, "it has left at last"


async def hanging(*_steps: object) -> str:
    raise Unanswered("ZooKeeper did not answer")


async def test_a_lead_of_another_session_is_not_ours_though_it_bears_our_name(cluster: InZooKeeper) -> None:
    store = await cluster.start()
    at = Tree(cluster.cluster)
    async with connected(cluster.servers()) as client:
        named = tree.of_leader(Leader("host0", 4, store.nonce))
        assert await client.commit(Create(at.leader, named, ephemeral=True)) == ""
        assert await store.lead() is Standing.FOLLOWING
        await store.read()
        assert await store.lead() is Standing.FOLLOWING


async def test_a_lost_connection_ends_the_right_to_act_at_once(cluster: InZooKeeper) -> None:
    store, before = await leading(cluster)
    assert store.may_act_until_s() > 0
    cluster.silence(store)
    assert store.may_act_until_s() == float("-inf")
    assert await store.lead() is Standing.FOLLOWING
    assert await store.record(replace(before.state, seq=9), before.versions) in (Commit.LOST, Commit.UNKNOWN)


async def test_a_server_that_hangs_is_noticed_however_busy_the_daemon_is(
    cluster: InZooKeeper, server: ZooKeepers
) -> None:
    """The library goes on holding it for connected while requests leave often enough."""
    store, before = await leading(cluster)
    assert isinstance(store, ZooKeeperStore)
    server.containers[1].pause()
    try:
        ends_s = store.may_act_until_s()
        busy = asyncio.create_task(asking(store))
        await until(lambda: store._now_s() >= ends_s)
        assert store.may_act_until_s() <= ends_s, "no heartbeat has been acknowledged since"
        assert await store.lead() is Standing.FOLLOWING
        await until(lambda: store._client.session is None, 5 * SESSION_S)
    finally:
        server.containers[1].unpause()
    busy.cancel()
    await until(lambda: store.in_touch)
    assert await store.lead() is Standing.LEADING
    assert (await store.read()).versions.epoch in (before.versions.epoch, before.versions.epoch + 1)


async def asking(store: ZooKeeperStore) -> None:
    """Far more often than the library pings, whether it is answered or not."""
    asked = set()
    while True:
        asked.add(asyncio.create_task(one_reading(store)))
        await asyncio.sleep(0.05)


async def one_reading(store: ZooKeeperStore) -> None:
    with contextlib.suppress(StoreError):
        await store.read()


async def test_the_session_that_counts_is_the_one_that_was_granted(server: ZooKeepers) -> None:
    async with InZooKeeper.made(server, session_s=30.0) as cluster:
        store = await cluster.start()
        await store.lead()
        granted_s = 20 * TICK_MS / 1000
        assert store._client.session_s == pytest.approx(granted_s)
        assert store.may_act_until_s() < store._now_s() + granted_s


async def test_a_state_too_large_for_a_server_is_refused_before_it_is_sent(cluster: InZooKeeper) -> None:
    store, before = await leading(cluster)
    huge = replace(before.state, answers=(Answer("r", False, "x" * LIMIT, NOW),))
    with pytest.raises(StoreError, match=r"the state would be 1000\d{3} bytes in ZooKeeper, more than"):
        await store.record(huge, before.versions)
    assert await store.read() == before


async def test_an_older_daemon_does_not_lead_a_state_that_needs_a_newer_one(cluster: InZooKeeper) -> None:
    store, at = await cluster.start(), Tree(cluster.cluster)
    async with connected(cluster.servers()) as client:
        newer = tree.of_state(replace(State(STORE, 3), min_writer=99))
        assert await client.commit(Write(at.state, newer)) == ""
        with pytest.raises(StoreError, match=f"{at.state} in ZooKeeper was written by a newer mailward"):
            await store.lead()
        assert at.leader not in (await client.read([at.leader])).znodes


async def test_what_a_newer_daemon_has_added_survives_an_older_leader(cluster: InZooKeeper) -> None:
    store, at = await cluster.start(), Tree(cluster.cluster)
    async with connected(cluster.servers()) as client:
        newer = json.loads(tree.of_state(State(STORE, 3))) | {"leases": {"a": 7}}
        assert await client.commit(Write(at.state, json.dumps(newer).encode())) == ""
        assert await store.lead() is Standing.LEADING
        recorded = await store.read()
        assert await store.record(replace(recorded.state, seq=1), recorded.versions) is Commit.COMMITTED
        content = (await client.read([at.state])).znodes[at.state].content
    assert json.loads(content)["leases"] == {"a": 7}


async def test_a_request_is_done_once_whoever_leads(cluster: InZooKeeper) -> None:
    """The old leader has read it, and answers when it has lost the lead."""
    first, _ = await leading(cluster)
    await cluster.post(request())
    seen = await first.read()
    second = await cluster.start()
    assert await second.lead(over=seen.leader) is Standing.LEADING
    assert await first.record(answered(seen.state, "r1"), seen.versions) is Commit.LOST
    recorded = await second.read()
    assert [one.id for one in recorded.requests] == ["r1"]
    assert await second.record(answered(recorded.state, "r1"), recorded.versions) is Commit.COMMITTED
    assert (await second.read()).requests == ()


async def test_a_request_that_nobody_understands_is_taken_away_with_the_next_state(
    cluster: InZooKeeper,
) -> None:
    at = Tree(cluster.cluster)
    async with connected(cluster.servers()) as client:
        assert await client.commit(Create(f"{at.requests}/no id at all", b"{")) == ""
        store = await cluster.start()
        assert await store.lead() is Standing.LEADING
        recorded = await store.read()
        assert recorded.requests == ()
        assert await store.record(replace(recorded.state, seq=1), recorded.versions) is Commit.COMMITTED
        assert (await client.read([at.state], [at.requests])).names[at.requests] == ()


def not_requests(at: Tree, ours: Acl) -> dict[str, list[Create]]:
    """What somebody may leave who has the right to leave requests."""
    theirs = (Grant("x509", f"CN={WATCHERS[0]}", "acdrw"),)
    return {
        "unreadable": [Create(at.request("mine"), b"{}", acl=theirs)],
        "with something below it": [
            Create(at.request("kid"), tree.of_request(request("kid")), acl=(*ours, *theirs)),
            Create(f"{at.request('kid')}/x", b"", acl=ours),
        ],
        "with long names": [Create(f"{at.requests}/{n}{'n' * 12_000}", b"{}", acl=ours) for n in range(40)],
        "of other characters": [Create(f"{at.requests}/a b", b"{}", acl=ours)],
    }  # fmt: skip


@pytest.mark.parametrize("kind", not_requests(Tree("x"), ()))
async def test_what_is_no_request_keeps_nobody_from_the_work_and_is_taken_away(
    cluster: InZooKeeper, kind: str
) -> None:
    store, recorded = await leading(cluster)
    follower, at = await cluster.start(), Tree(cluster.cluster)
    async with connected(cluster.servers(WATCHERS[0])) as client:
        for step in not_requests(at, cluster.rights.of_passing())[kind]:
            assert await client.commit(step) == ""
    await cluster.post(request("r1"))
    for each in (store, follower):
        assert [waiting.id for waiting in (await each.read()).requests] == ["r1"]
    recorded = await store.read()
    assert await store.record(answered(recorded.state, "r1"), recorded.versions) is Commit.COMMITTED
    async with connected(cluster.servers()) as client:
        for _ in range(20):
            left = (await client.read([at.store], [at.requests])).names[at.requests]
            await store.read()
    assert left == ()


async def test_a_pause_that_nobody_understands_is_one_until_it_is_lifted(cluster: InZooKeeper) -> None:
    store, _ = await leading(cluster)
    async with connected(cluster.servers("cli")) as client:
        assert await client.commit(Write(Tree(cluster.cluster).pause, b'{"garbage": 1}')) == ""
    with pytest.raises(StoreError, match="lift it with: mailward resume"):
        await store.read()
    await cluster.post(None)
    assert (await store.read()).pause is None


async def test_a_report_counts_as_new_only_when_it_moved_while_we_were_reading(cluster: InZooKeeper) -> None:
    one, other = await cluster.start(), await cluster.start()
    await one.publish(Report("host0", 1, "d1", ()))
    await other.read()
    view = other.views()[0]
    assert view.report == Report("host0", 1, "d1", (), nonce=one.nonce)
    assert view.age_s == float("inf"), "it may have been there for long"
    await other.read()
    await one.publish(Report("host0", 2, "d1", ()))
    await other.read()
    view = other.views()[0]
    assert view.report is not None
    assert (view.report.seq, view.age_s < 5) == (2, True)
    assert [each.report for each in other.views()[1:]] == [None, None]


async def test_a_second_process_under_one_name_is_noticed_by_both(cluster: InZooKeeper) -> None:
    one, other = await cluster.start(name="host0"), await cluster.start(name="host0")
    await one.read()
    await one.publish(Report("host0", 1, "d1", ()))
    await one.read()
    await other.read()
    assert (one.rival, other.rival) == (False, False), "it may be what was left by an earlier one"
    await other.publish(Report("host0", 1, "d1", ()))
    await one.read()
    await one.publish(Report("host0", 2, "d1", ()))
    await other.read()
    assert (one.rival, other.rival) == (True, True)


async def test_a_report_of_another_name_is_passed_over(cluster: InZooKeeper) -> None:
    one, other = await cluster.start(), await cluster.start()
    await one.publish(Report("host2", 1, "d1", ()))
    await other.read()
    assert [each.report for each in other.views()] == [None, None, None]


async def test_clusters_in_one_ensemble_do_not_see_each_other(
    cluster: InZooKeeper, server: ZooKeepers
) -> None:
    await leading(cluster)
    async with InZooKeeper.made(server) as another:
        store, recorded = await leading(another)
        assert recorded.leader is not None
        await cluster.post(request())
        assert (await store.read()).requests == ()


async def test_a_store_that_is_gone_is_named_and_another_one_is_foreign(cluster: InZooKeeper) -> None:
    store, _ = await leading(cluster)
    await emptied(cluster)
    with pytest.raises(StoreError, match=f"there is no store at /mailward/{cluster.cluster} in ZooKeeper"):
        await store.read()
    await cluster.make(State("feedfacefeed", 9))
    with pytest.raises(ForeignStore, match=f"is now store feedfacefeed, and was {STORE}"):
        await store.read()


async def test_after_all_data_were_lost_and_made_anew_with_the_same_id_it_goes_on(
    cluster: InZooKeeper,
) -> None:
    store, _ = await leading(cluster)
    await emptied(cluster)
    await cluster.make(State(STORE, 40))
    await until(lambda: store.in_touch)  # type: ignore[attr-defined]
    await store.read()
    assert await store.lead() is Standing.LEADING
    assert (await store.read()).versions.epoch == 41


async def test_a_server_that_has_lost_all_its_data_is_found_again_and_kept(
    cluster: InZooKeeper, server: ZooKeepers, caplog: pytest.LogCaptureFixture
) -> None:
    """It gives no session to who has seen more than it has; and an answer that there is nothing is one."""
    store = await cluster.start()
    assert await store.lead() is Standing.LEADING
    store._client._kazoo.last_zxid = 9 << 32  # after eight elections among the servers
    container = server.containers[1]
    await asyncio.to_thread(container.exec_run, ["sh", "-c", "rm -rf /data/*"])
    await asyncio.to_thread(container.kill)
    await asyncio.to_thread(container.start)
    for _ in range(100):
        if "there is no store" in await trouble_of(store):
            break
        await asyncio.sleep(0.1)
    assert "there is no store" in await trouble_of(store)
    caplog.clear()
    await asyncio.sleep(2 * SESSION_S)
    assert "connecting anew" not in caplog.text
    await cluster.make(State(STORE, 40))
    await until(lambda: store.in_touch)
    await store.read()
    assert await store.lead() is Standing.LEADING


async def trouble_of(store: ZooKeeperStore) -> str:
    try:
        await store.read()
    except StoreError as error:
        return str(error)
    return ""


async def emptied(cluster: InZooKeeper) -> None:
    """Daemons that run make their own znodes anew meanwhile."""
    async with connected(cluster.servers()) as client:
        for _ in range(20):
            with contextlib.suppress(NotEmptyError):
                await asyncio.to_thread(client._kazoo.delete, Tree(cluster.cluster).root, recursive=True)
                return
    raise AssertionError("it cannot be emptied")


async def test_a_store_is_made_once(cluster: InZooKeeper) -> None:
    with pytest.raises(StoreError, match="already holds a store"):
        await cluster.make(State(STORE, 9))


# why there is no connection


async def test_a_server_that_is_not_there_is_named(server: ZooKeepers) -> None:
    there = server.servers(session_s=SESSION_S)
    gone = replace(there, addresses=(there.addresses[0].replace(":2281", ":2282"),))
    with pytest.raises(StoreError, match=r"ZooKeeper cannot be used: .*:2282 cannot be reached: "):
        async with connected(gone, patience_s=0.5):
            pass


async def test_a_certificate_of_another_authority_is_named(server: ZooKeepers) -> None:
    ours = server.servers(session_s=SESSION_S)
    assert ours.tls is not None
    said = await trouble.of(replace(ours, tls=replace(ours.tls, ca_file=server.stranger().ca_file)))
    assert "shows a certificate that is not believed" in said


async def test_a_server_that_does_not_know_our_certificate_is_named(server: ZooKeepers) -> None:
    ours = server.servers(session_s=SESSION_S)
    assert ours.tls is not None
    stranger = replace(server.stranger(), ca_file=ours.tls.ca_file)
    said = await trouble.of(replace(ours, tls=stranger))
    assert "refuses our certificate" in said or "hangs up" in said


async def test_a_server_that_wants_tls_is_named(server: ZooKeepers) -> None:
    said = await trouble.of(replace(server.servers(session_s=SESSION_S), tls=None))
    assert "hangs up" in said
    assert "wants TLS" in said


async def test_a_daemon_that_cannot_connect_says_why_in_each_of_its_errors() -> None:
    servers = Servers(("127.0.0.1:1",), session_s=SESSION_S)
    store = ZooKeeperStore("lab", "host0", servers, SystemClock())
    task = asyncio.create_task(store.run())
    await until(lambda: store._client.trouble)
    with pytest.raises(Unanswered, match=r"no connection to ZooKeeper: 127\.0\.0\.1:1 cannot be reached: "):
        await store.read()
    task.cancel()
    await store.leave()
