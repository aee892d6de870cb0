"""The runner: strict about host and key, one warm connection, bounded, and it ends when its caller does."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncssh
import pytest

from mailward.replication.sources.doveadm import OVERVIEW, USERS, DoveadmError, Malformed, Problem, Row
from mailward.replication.sources.runner import SshAccount, SshRunner
from mailward.replication.sources.ssh import Ssh


@dataclass
class Node:
    """An sshd whose only command answers as a test says."""

    account: SshAccount
    output: bytes = b"[]"
    complaint: bytes = b""
    status: int | None = 0
    signal: str = ""
    hangs: bool = False
    commands: list[str | None] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.commands.append(process.command)
        self.begun.set()
        process.stderr.write(self.complaint)
        process.stdout.write(self.output)
        if self.hangs:
            await process.wait_closed()
            self.left.set()
        elif self.signal:
            process.exit_with_signal(self.signal)
        elif self.status is not None:
            process.exit(self.status)
        else:
            process.close()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key.write_private_key(str(tmp_path / "id"))
    client_key.write_public_key(str(tmp_path / "authorized_keys"))
    node = Node(SshAccount("127.0.0.1", "mailward-lag", tmp_path / "id", tmp_path / "known_hosts"))
    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(tmp_path / "authorized_keys"),
        process_factory=node.answer,
        acceptor=node.connections.append,
        encoding=None,
    )
    node.account = replace(node.account, port=acceptor.get_port())
    known = f"[127.0.0.1]:{node.account.port} {host_key.export_public_key().decode()}"
    node.account.known_hosts_file.write_text(known)
    yield node
    acceptor.close()
    for connection in node.connections:
        connection.abort()
    await acceptor.wait_closed()


@pytest.fixture
async def runner(node: Node) -> AsyncIterator[SshRunner]:
    runner = SshRunner(node.account, max_answer_bytes=200_000)
    yield runner
    await runner.close()


async def test_commands_share_a_connection_and_are_quoted_for_a_shell(node: Node, runner: SshRunner) -> None:
    node.output = b'[{"a":"1"}]'
    for question in (OVERVIEW, USERS, OVERVIEW):
        assert await runner(question.words) == (0, b'[{"a":"1"}]')
    assert node.commands == ["replicator status", "replicator status '*'", "replicator status"]
    assert len(node.connections) == 1


async def test_commands_may_run_side_by_side(node: Node, runner: SshRunner) -> None:
    assert await asyncio.gather(*(runner(["a"]) for _ in range(4))) == [(0, b"[]")] * 4
    assert len(node.connections) == 1


async def test_the_exit_status_is_told_and_keeps_the_connection(node: Node, runner: SshRunner) -> None:
    for status in (64, 75, 1, 0):
        node.status = status
        assert await runner(["a"]) == (status, b"[]")
    assert len(node.connections) == 1


@pytest.mark.parametrize("end", ["signal", "silence"])
async def test_no_exit_status_is_unknown(node: Node, runner: SshRunner, end: str) -> None:
    node.signal, node.status = ("KILL" if end == "signal" else ""), None
    assert (await runner(["a"]))[0] is None


async def test_a_connection_lost_in_the_middle_is_unknown_and_the_next_command_has_a_new_one(
    node: Node, runner: SshRunner
) -> None:
    node.hangs = True
    running = asyncio.create_task(runner(["a"]))
    await node.begun.wait()
    node.connections[0].abort()
    assert await running == (None, b"")
    node.hangs = False
    assert await runner(["a"]) == (0, b"[]")
    assert len(node.connections) == 2


async def test_what_is_said_on_standard_error_neither_blocks_nor_counts(
    node: Node, runner: SshRunner
) -> None:
    node.complaint = b"x" * 3_000_000
    async with asyncio.timeout(5):
        assert await runner(["a"]) == (0, b"[]")


async def test_an_answer_without_end_is_refused(node: Node, runner: SshRunner) -> None:
    node.output = b"x" * 200_000
    assert (await runner(["a"]))[0] == 0
    node.output = b"x" * 200_001
    with pytest.raises(Malformed, match="more than 200000 bytes"):
        await runner(["a"])


async def test_a_command_nobody_waits_for_goes_with_its_connection(node: Node, runner: SshRunner) -> None:
    node.hangs = True
    with pytest.raises(DoveadmError) as caught:
        await Ssh(runner).ask([OVERVIEW], lambda question, row: None, 0.2)
    assert caught.value.problem is Problem.TIMEOUT
    await asyncio.wait_for(node.left.wait(), 2)
    node.hangs = False
    assert await runner(["a"]) == (0, b"[]")
    assert len(node.connections) == 2


async def test_rows_come_through_the_whole_way(node: Node, runner: SshRunner) -> None:
    node.output = b'[{"field":"a","value":"1"}]'
    rows: list[Row] = []
    await Ssh(runner).ask([OVERVIEW], lambda question, row: rows.append(row), 2.0)
    assert rows == [{"field": "a", "value": "1"}]


async def refused(account: SshAccount) -> DoveadmError:
    runner = SshRunner(account, connect_timeout_s=0.3)
    with pytest.raises(DoveadmError) as caught:
        await runner(["a"])
    await runner.close()
    return caught.value


async def test_an_unknown_host_key_is_refused_before_anything_is_sent(node: Node, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    (tmp_path / "others").write_text(f"[127.0.0.1]:{node.account.port} {other}")
    (tmp_path / "empty").write_text("")
    for name in ("others", "empty"):
        error = await refused(replace(node.account, known_hosts_file=tmp_path / name))
        assert str(error) == f"denied: SSH: its host key is not in {tmp_path / name}"
    assert node.commands == []


async def test_a_key_that_does_not_open_is_told_with_its_path(node: Node, tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "wrong"))
    (tmp_path / "rubbish").write_text("rubbish")
    said = [
        str(await refused(replace(node.account, key_file=tmp_path / name)))
        for name in ("wrong", "rubbish", "missing")
    ]
    assert said == [
        f"denied: SSH: mailward-lag is not let in with {tmp_path / 'wrong'}",
        f"denied: SSH: {tmp_path / 'rubbish'} is no key without a passphrase",
        f"unreachable: SSH: {tmp_path / 'missing'}: No such file or directory",
    ]


async def test_neither_an_agent_nor_an_ssh_config_is_asked(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(f"Host *\n IdentityFile {tmp_path / 'id'}\n User root\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "no-agent"))
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "wrong"))
    assert (await refused(replace(node.account, key_file=tmp_path / "wrong"))).problem is Problem.DENIED


async def test_a_host_that_refuses_or_says_nothing_is_told(node: Node) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        account = replace(node.account, port=port)
        assert str(await refused(account)) == f"refused: SSH: nobody listens on port {port}"
        silent.listen(1)
        assert str(await refused(account)) == "timeout: no SSH connection within 0.3 s"


async def test_closing_twice_or_before_anything_was_asked_is_fine(node: Node) -> None:
    runner = SshRunner(node.account)
    await runner.close()
    await runner(["a"])
    await runner.close()
    await runner.close()
    assert await runner(["a"]) == (0, b"[]")
    await runner.close()
