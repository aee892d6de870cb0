"""Lag as the Dovecot 2.3 source reads it off real replicators: in health, cut off, refused, restarted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import DOVEADM_API_KEY, DOVEADM_HTTP, USERS
from tests.lab.harness.load import Load
from tests.lab.harness.node import MailNode

from mailward.controller.clock import SystemClock
from mailward.model.replication import Confidence, Lag
from mailward.replication.sources import ssh
from mailward.replication.sources.dovecot23 import Dovecot23Source
from mailward.replication.sources.http_api import HttpApi
from mailward.replication.sources.ssh import Ssh

LATENCY_S = 1.5
"""What one measurement, and Dovecot's ages in whole seconds, may add."""


def source_of(node: MailNode) -> Dovecot23Source:
    api = HttpApi(f"http://{node.address}:{DOVEADM_HTTP}", DOVEADM_API_KEY)
    return Dovecot23Source(node.name, "its peer", api, SystemClock())


async def lag_of(source: Dovecot23Source) -> Lag:
    (lag,) = await source.measure()
    return lag


async def wait_for(source: Dovecot23Source, confidence: Confidence, seconds: float | None) -> float:
    """Measure until the lag is that; how long it took."""
    started = time.monotonic()
    while (lag := await lag_of(source)) and (lag.confidence, lag.seconds) != (confidence, seconds):
        assert time.monotonic() - started < 30, lag
        await asyncio.sleep(0.2)
    return time.monotonic() - started


async def wait_for_a_mailbox_behind(source: Dovecot23Source) -> None:
    started = time.monotonic()
    while not (lag := await lag_of(source)).mailboxes:
        assert time.monotonic() - started < 15, lag
        await asyncio.sleep(0.1)


def send(cluster: Cluster, node: MailNode, run: str, users: Sequence[str]) -> None:
    load = Load(cluster, run, users=tuple(users))
    for number in range(len(users)):
        assert load.send(number, node.address), load.attempts


def kill_replicator(node: MailNode) -> None:
    node.run("pkill", "-9", "-x", "replicator")


@pytest.fixture
def fresh(cluster: Cluster) -> Iterator[Cluster]:
    """After the test Dovecot's masters are new: one that has seen a crash is not trusted at first sight."""
    yield cluster
    for node in cluster.nodes.values():
        node.mend()
        node.restart_unit("dovecot")


async def test_healthy_replication_is_known_and_not_behind(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        lag = await lag_of(source_of(node))
        assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.KNOWN, 0.0, 0)


async def test_the_lag_behind_a_black_hole_grows_under_load_and_a_kick_ends_it(cluster: Cluster) -> None:
    source = source_of(cluster.mail_a)
    assert (await lag_of(source)).seconds == 0.0
    cluster.mail_a.cut(peers=[cluster.mail_b.address])
    await asyncio.to_thread(send, cluster, cluster.mail_a, "hole-first", USERS[:1])
    await wait_for_a_mailbox_behind(source)  # Postfix says 250 before Dovecot has the message
    began = time.monotonic()
    for turn in range(20):
        users = [USERS[(2 * turn + n) % len(USERS)] for n in (1, 2)]
        await asyncio.to_thread(send, cluster, cluster.mail_a, f"hole-{turn}", users)
        waited = time.monotonic() - began
        lag = await lag_of(source)
        assert lag.confidence is Confidence.KNOWN, lag
        assert lag.seconds is not None
        assert waited - LATENCY_S < lag.seconds < time.monotonic() - began + 2 * LATENCY_S, lag
        assert lag.mailboxes
        await asyncio.sleep(0.7)
    assert (lag.mailboxes or 0) > 30, lag
    cluster.mail_a.mend()
    assert await source.kick() == ""
    took_s = await wait_for(source, Confidence.KNOWN, 0.0)
    print(f"{lag.mailboxes} mailboxes, {lag.seconds:.1f} s behind, drained in {took_s:.1f} s")


async def test_users_a_peer_refused_stay_behind_until_a_kick(cluster: Cluster) -> None:
    source = source_of(cluster.mail_a)
    assert (await lag_of(source)).seconds == 0.0
    cluster.mail_b.kill_unit("dovecot")
    await asyncio.to_thread(send, cluster, cluster.mail_a, "refused", USERS[:6])
    await asyncio.sleep(2)
    lag = await lag_of(source)
    assert (lag.confidence, lag.mailboxes, lag.failed_mailboxes) == (Confidence.KNOWN, 6, 6)
    cluster.mail_b.start_unit("dovecot")
    cluster.mail_b.wait_open()
    lag = await lag_of(source)
    assert (lag.confidence, lag.failed_mailboxes) == (Confidence.KNOWN, 6)
    assert lag.seconds is not None
    assert lag.seconds > 2.0
    assert await source.kick() == ""
    print(f"drained in {await wait_for(source, Confidence.KNOWN, 0.0):.1f} s")


async def test_a_replicator_killed_with_a_backlog_is_unknown_until_a_kick_has_drained(fresh: Cluster) -> None:
    source = source_of(fresh.mail_a)
    assert (await lag_of(source)).seconds == 0.0
    fresh.mail_a.cut(peers=[fresh.mail_b.address])
    await asyncio.to_thread(send, fresh, fresh.mail_a, "killed", USERS[:15])
    assert (await lag_of(source)).mailboxes
    kill_replicator(fresh.mail_a)
    for _ in range(15):
        lag = await lag_of(source)
        assert lag.confidence in (Confidence.STALE, Confidence.UNKNOWN), lag
        assert lag.seconds != 0.0
        await asyncio.sleep(0.3)
    assert lag.confidence is Confidence.UNKNOWN
    assert "restarted" in lag.detail
    fresh.mail_a.mend()
    assert await source.kick() == ""
    print(f"proven and drained in {await wait_for(source, Confidence.KNOWN, 0.0):.1f} s")


async def test_a_crash_of_all_of_dovecot_is_stale_then_unknown_then_proven_by_a_kick(
    cluster: Cluster,
) -> None:
    source = source_of(cluster.mail_a)
    assert (await lag_of(source)).seconds == 0.0
    cluster.mail_a.kill_unit("dovecot")
    lag = await lag_of(source)
    assert (lag.confidence, lag.seconds) == (Confidence.STALE, 0.0)
    assert "refused" in lag.detail
    assert await source.kick() != ""
    cluster.mail_a.start_unit("dovecot")
    cluster.mail_a.wait_open()
    assert (await lag_of(source)).confidence is Confidence.UNKNOWN
    assert await source.kick() == ""
    print(f"proven in {await wait_for(source, Confidence.KNOWN, 0.0):.1f} s")


async def test_the_forced_command_answers_the_same_questions(cluster: Cluster) -> None:
    script = Path(ssh.__file__).with_name("mailward-doveadm").read_text()

    async def run(words: Sequence[str]) -> tuple[int | None, bytes]:
        command = ["sh", "-c", script, "mailward-doveadm", " ".join(words)]
        code, (output, _) = await asyncio.to_thread(cluster.mail_a.container.exec_run, command, demux=True)
        assert not isinstance(output, int)
        return code, output or b""

    source = Dovecot23Source("mail-a", "mail-b", Ssh(run), SystemClock())
    lag = await lag_of(source)
    assert (lag.confidence, lag.seconds, lag.measured_by) == (Confidence.KNOWN, 0.0, "doveadm by SSH")
    assert await source.kick() == ""
    assert (await lag_of(source)).confidence is Confidence.KNOWN


async def test_a_wrong_key_is_said_to_be_one(cluster: Cluster) -> None:
    api = HttpApi(f"http://{cluster.mail_a.address}:{DOVEADM_HTTP}", "not-the-key")
    lag = await lag_of(Dovecot23Source("mail-a", "mail-b", api, SystemClock()))
    assert lag.confidence is Confidence.UNKNOWN
    assert "doveadm_api_key" in lag.detail
