"""The `ssh` rung against a mail node's own sshd, sudo and firewall, and through a network that delays."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import DSYNC, IMAP, IMAPS, SMTP, SUBMISSION
from tests.lab.harness.proxy import TcpProxy
from tests.lab.harness.table import case

from mailward.fencing.helper import NodeHelper
from mailward.fencing.rung import HelperRung
from mailward.fencing.ssh import SshHelper, SshTarget, SshTransport
from mailward.fencing.verification import Seen, look
from mailward.model.fencing import CLOSED, OPEN, FenceOutcome, HelperReply, NodeFacts, Scope, Terms, UnitState
from mailward.model.token import Token

SERVICES = {"smtp": SMTP, "submission": SUBMISSION, "imap": IMAP, "imaps": IMAPS}
ALL_CLOSED = dict.fromkeys(SERVICES, CLOSED)
ALL_OPEN = dict.fromkeys(SERVICES, OPEN)
ROUNDS = 10


def token(epoch: int, seq: int, store: str = "abcdef01") -> Token:
    return Token(store, epoch, seq)


@pytest.fixture
def target(cluster: Cluster) -> SshTarget:
    return SshTarget(cluster.mail_a.address, "mailward", cluster.ssh.key_file, cluster.ssh.known_hosts)


@pytest.fixture
async def helper(target: SshTarget) -> AsyncIterator[SshHelper]:
    helper = SshHelper(target)
    yield helper
    await helper.close()


def rung_of(cluster: Cluster, helper: SshHelper) -> HelperRung:
    return HelperRung(helper, SERVICES, [cluster.mail_a.address])


async def test_a_fence_is_confirmed_and_lifted_and_replication_goes_on(
    cluster: Cluster, helper: SshHelper
) -> None:
    rung = rung_of(cluster, helper)
    reader, writer = await asyncio.open_connection(cluster.mail_a.address, IMAP)
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"* OK")
    fenced = await case("ssh: close", rung.order(token(1, 1), ALL_CLOSED), 8)
    assert fenced[:2] == (FenceOutcome.CONFIRMED, Scope.USERS)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 2)
    writer.close()
    (replication,) = await look([cluster.mail_a.address], [DSYNC], 2.0)
    assert replication.seen is Seen.ACCEPTED
    facts = await helper.status()
    assert isinstance(facts, NodeFacts)
    assert (facts.applied, facts.units["dovecot"]) == (True, UnitState.ACTIVE)
    opened = await case("ssh: open again", rung.order(token(1, 2), ALL_OPEN), 8)
    assert opened[0] is FenceOutcome.CONFIRMED
    sights = await look([cluster.mail_a.address], sorted(SERVICES.values()), 2.0)
    assert {sight.seen for sight in sights} == {Seen.ACCEPTED}


async def test_postfix_and_dovecot_are_stopped_as_writers_and_started_again(
    cluster: Cluster, helper: SshHelper
) -> None:
    rung, address = rung_of(cluster, helper), [cluster.mail_a.address]
    order = rung.order(token(1, 1), ALL_CLOSED, Terms(stop=True))
    fenced = await case("ssh: close, and stop Postfix and Dovecot", order, 15)
    assert fenced[:2] == (FenceOutcome.CONFIRMED, Scope.WRITES)
    facts = await helper.status()
    assert isinstance(facts, NodeFacts)
    assert (facts.stopped, set(facts.units.values())) == (True, {UnitState.INACTIVE})
    (replication,) = await look(address, [DSYNC], 2.0)
    assert replication.seen is Seen.REFUSED
    await asyncio.to_thread(cluster.mail_a.run, "svc", "start", "postfix")  # somebody means well
    facts = await helper.status()
    assert isinstance(facts, NodeFacts)
    assert (facts.stopped, facts.applied) == (False, True)
    began = time.monotonic()
    opened = await helper.order(token(1, 2), ALL_OPEN, Terms(lease_s=60.0))
    print(f"both started, opened: {time.monotonic() - began:.1f} s")
    assert (opened.reply, set(opened.writers.values())) == (HelperReply.OBEYED, {UnitState.ACTIVE})
    sights = await look(address, [*sorted(SERVICES.values()), DSYNC], 2.0)
    assert {sight.seen for sight in sights} == {Seen.ACCEPTED}
    assert (await helper.renew(token(1, 2))).reply is HelperReply.OBEYED


async def test_a_closed_service_is_probed_with_tls_through_the_helper(
    cluster: Cluster, helper: SshHelper
) -> None:
    await helper.order(token(1, 1), ALL_CLOSED)
    reader, writer = await asyncio.open_connection(
        sock=await helper.connect("imaps"), ssl=cluster.tls_context(), server_hostname=cluster.mail_a.hostname
    )
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"* OK")
        writer.write(b"a LOGOUT\r\n")
        assert b"BYE" in await reader.read(200)
    writer.close()


async def test_a_fenced_node_that_restarts_is_closed_before_its_services_are_up(
    cluster: Cluster, helper: SshHelper
) -> None:
    await helper.order(token(1, 1), ALL_CLOSED)
    node = cluster.mail_a
    await asyncio.to_thread(node.container.kill)
    await asyncio.to_thread(node.container.start)
    deadline = time.monotonic() + 30
    seen: set[Seen] = set()
    while time.monotonic() < deadline:
        sights = await look([node.address], [SMTP, IMAPS], 0.3)
        seen |= {sight.seen for sight in sights}
        if (
            isinstance(facts := await helper.status(), NodeFacts)
            and facts.units["dovecot"] is UnitState.ACTIVE
        ):
            break
    assert isinstance(facts, NodeFacts), facts
    assert (facts.token, facts.ports, facts.applied) == (token(1, 1), ALL_CLOSED, True)
    assert Seen.ACCEPTED not in seen


@pytest.mark.parametrize(
    ("later", "delivered_after_s"),
    [(token(1, 2), 0.0), (token(2, 0), 0.0), (None, 2.5)],
    ids=["a higher seq was obeyed", "a higher epoch was obeyed", "nothing else, but the window is over"],
)
async def test_an_order_held_in_the_network_is_void_when_it_arrives(
    cluster: Cluster, target: SshTarget, later: Token | None, delivered_after_s: float
) -> None:
    """The order itself is held, after the helper's hello; while it waits another may be obeyed."""
    direct = SshHelper(target)
    with TcpProxy((target.host, 22)) as proxy:
        cluster.know_proxy("mail-a", proxy.address)
        through = SshTransport(replace(target, host=proxy.address[0], port=proxy.address[1]))
        connecting = NodeHelper(through)
        assert (await connecting.claim(token(1, 0))).reply is HelperReply.OBEYED
        delayed = NodeHelper(through, timeout_s=1.2, hello_timeout_s=0.9)
        proxy.hold_next(is_longer_than_any_request_before_the_order)
        held = asyncio.create_task(delayed.order(token(1, 1), ALL_CLOSED))
        await asyncio.to_thread(proxy.wait_held, 1.0)
        if later is not None:
            assert (await direct.order(later, ALL_OPEN)).reply is HelperReply.OBEYED
        await asyncio.sleep(delivered_after_s)
        proxy.deliver()
        answer = await held
        assert answer.reply in (HelperReply.STALE, HelperReply.UNKNOWN), answer
        assert "no hello" not in answer.detail
        await asyncio.sleep(0.5)
        facts = await direct.status()
        assert isinstance(facts, NodeFacts)
        assert (facts.token, facts.ports, facts.applied) == (later or token(1, 0), ALL_OPEN, True)
        await delayed.close()
    await direct.close()


def is_longer_than_any_request_before_the_order(data: bytes) -> bool:
    """SSH hides what it carries, not how long it is: opening a channel takes less than 160 bytes."""
    return len(data) > 160


async def test_only_the_forced_command_runs_and_only_known_hosts_are_spoken_to(
    target: SshTarget, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = {
        "username": target.user,
        "client_keys": [str(target.key_file)],
        "known_hosts": str(target.known_hosts),
        "config": None,
        "agent_path": None,
    }
    async with asyncio.timeout(10), asyncssh.connect(target.host, **options) as connection:
        ran = await connection.run("id; cat /etc/shadow", stdin=asyncssh.DEVNULL, check=False)
        assert str(ran.stdout).startswith('{"mailward_node":1,')
        assert "root:" not in str(ran.stdout) + str(ran.stderr)
        assert '"error":"bad-request"' in str(ran.stdout)
    empty = tmp_path_factory.mktemp("ssh") / "known_hosts"
    empty.write_text("")
    stranger = SshHelper(replace(target, known_hosts=empty))
    assert "HostKeyNotVerifiable" in (await stranger.claim(token(1, 1))).detail


async def test_a_paused_node_is_unknown_in_time_and_known_again_afterwards(
    cluster: Cluster, helper: SshHelper
) -> None:
    rung = rung_of(cluster, helper)
    assert (await rung.claim(token(1, 0))).reply is HelperReply.OBEYED
    await asyncio.to_thread(cluster.mail_a.container.pause)
    try:
        result = await case("ssh: close, node paused", rung.order(token(1, 1), ALL_CLOSED), 8.5)
    finally:
        await asyncio.to_thread(cluster.mail_a.container.unpause)
    assert result[0] is FenceOutcome.UNKNOWN
    assert (await rung.order(token(1, 2), ALL_CLOSED)).outcome is FenceOutcome.CONFIRMED


async def test_what_is_dead_slow_or_does_not_know_us_is_unknown_in_time(
    cluster: Cluster, target: SshTarget, tmp_path: Path
) -> None:
    strange = tmp_path / "id_ed25519"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(strange)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as gone:
        ports = {"sshd is dead": gone.getsockname()[1], "nobody speaks": silent.getsockname()[1]}
        gone.close()
        targets = {"strange key": replace(target, key_file=strange)}
        for what, port in ports.items():
            targets[what] = replace(target, host="127.0.0.1", port=port)
        for what, each in targets.items():
            helper = SshHelper(each)
            result = await case(
                f"ssh: close, {what}", rung_of(cluster, helper).order(token(1, 1), ALL_CLOSED), 9
            )
            await helper.close()
            assert result[:2] == (FenceOutcome.UNKNOWN, Scope.NONE), what
    sights = await look([cluster.mail_a.address], sorted(SERVICES.values()), 2.0)
    assert {sight.seen for sight in sights} == {Seen.ACCEPTED}


async def test_times_of_a_fence_over_a_warm_connection(cluster: Cluster, helper: SshHelper) -> None:
    rung = rung_of(cluster, helper)
    began = time.monotonic()
    await helper.claim(token(1, 0))
    print(f"cold connection and claim: {(time.monotonic() - began) * 1000:.0f} ms")
    acknowledged, confirmed = [], []
    for number in range(1, ROUNDS + 1):
        began = time.monotonic()
        await helper.order(token(number, 1), ALL_CLOSED)
        acknowledged.append((time.monotonic() - began) * 1000)
        await helper.order(token(number, 2), ALL_OPEN)
        began = time.monotonic()
        result = await rung.order(token(number, 3), ALL_CLOSED)
        confirmed.append((time.monotonic() - began) * 1000)
        assert result.outcome is FenceOutcome.CONFIRMED
        await helper.order(token(number, 4), ALL_OPEN)
    print(f"order to acknowledgement, {ROUNDS}: {_summary(acknowledged)}")
    print(f"order to refusal confirmed, {ROUNDS}: {_summary(confirmed)}")


def _summary(values: list[float]) -> str:
    return f"median {statistics.median(values):.0f} ms, max {max(values):.0f} ms"
