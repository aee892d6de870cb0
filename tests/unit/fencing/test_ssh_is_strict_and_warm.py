"""The SSH transport: strict about host and key, one connection for many requests, and over it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import asyncssh
import pytest

from mailward.fencing.helper import NodeHelper
from mailward.fencing.ssh import SshTarget, SshTransport
from mailward.model.fencing import HelperReply
from mailward.model.token import Token

TOKEN = Token("abcdef01", 1, 1)


@dataclass
class Server:
    acceptor: asyncssh.SSHAcceptor
    target: SshTarget
    connections: list[asyncssh.SSHServerConnection]
    commands: list[str | None]
    silent_for: int = 0

    def helper(self, **changed: object) -> NodeHelper:
        target = replace(self.target, **changed)  # type: ignore[arg-type]
        return NodeHelper(SshTransport(target), timeout_s=6.0, hello_timeout_s=2.5)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key.write_private_key(str(tmp_path / "id"))
    client_key.write_public_key(str(tmp_path / "authorized_keys"))

    async def obey(process: asyncssh.SSHServerProcess[str]) -> None:
        built.commands.append(process.command)
        if built.silent_for:
            built.silent_for -= 1
            return
        process.stdout.write('{"mailward_node":1,"nonce":"x"}\n')
        await process.stdin.readline()
        process.stdout.write(f'{{"ok":true,"token":"{TOKEN}","persisted":true}}\n')
        process.exit(0)

    def accepted(connection: asyncssh.SSHServerConnection) -> None:
        built.connections.append(connection)

    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(tmp_path / "authorized_keys"),
        process_factory=obey,
        acceptor=accepted,
    )
    port = acceptor.get_port()
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key.export_public_key().decode()}")
    target = SshTarget("127.0.0.1", "mailward", tmp_path / "id", tmp_path / "known_hosts", port=port)
    built = Server(acceptor, target, [], [])
    yield built
    acceptor.close()
    for connection in built.connections:
        connection.abort()
    await acceptor.wait_closed()


async def test_requests_share_one_connection_and_say_one_command(server: Server) -> None:
    helper = server.helper()
    for _ in range(3):
        assert (await helper.claim(TOKEN)).reply is HelperReply.OBEYED
    assert len(server.connections) == 1
    assert set(server.commands) == {"sudo -n /usr/local/sbin/mailward-node serve"}
    await helper.close()


async def test_a_connection_that_died_is_replaced_within_the_request(server: Server) -> None:
    helper = server.helper()
    await helper.claim(TOKEN)
    server.connections[0].abort()
    assert (await helper.claim(TOKEN)).reply is HelperReply.OBEYED
    assert len(server.connections) == 2
    await helper.close()


async def test_a_connection_that_gives_no_hello_any_more_is_replaced(server: Server) -> None:
    helper = server.helper()
    await helper.claim(TOKEN)
    server.silent_for = 1
    helper._hello_timeout_s = 0.8
    assert (await helper.claim(TOKEN)).reply is HelperReply.OBEYED
    await helper.close()


async def test_an_unknown_host_key_is_refused(server: Server, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    (tmp_path / "others").write_text(f"[127.0.0.1]:{server.target.port} {other}")
    (tmp_path / "empty").write_text("")
    for known_hosts in ("others", "empty"):
        helper = server.helper(known_hosts=tmp_path / known_hosts)
        answer = await helper.claim(TOKEN)
        assert answer.reply is HelperReply.UNKNOWN
        assert "HostKeyNotVerifiable" in answer.detail
        await helper.close()
    assert server.commands == []


async def test_a_wrong_or_missing_key_and_a_missing_known_hosts_are_told(
    server: Server, tmp_path: Path
) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "wrong"))
    (tmp_path / "rubbish").write_text("rubbish")
    cases = [
        ({"key_file": tmp_path / "wrong"}, "PermissionDenied"),
        ({"key_file": tmp_path / "absent"}, "absent"),
        ({"key_file": tmp_path / "rubbish"}, "KeyImportError"),
        ({"known_hosts": tmp_path / "absent"}, "absent"),
    ]
    for changed, detail in cases:
        helper = server.helper(**changed)
        answer = await helper.claim(TOKEN)
        assert (answer.reply, detail in answer.detail) == (HelperReply.UNKNOWN, True), answer.detail
        await helper.close()


async def test_a_host_that_accepts_and_stays_silent_is_given_up_in_time(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        helper = server.helper(port=mute.getsockname()[1], connect_timeout_s=0.1)
        answer = await helper.claim(TOKEN)
    assert (answer.reply, answer.detail) == (HelperReply.UNKNOWN, "no SSH connection within 0.1 s")


async def test_a_host_that_refuses_is_told(server: Server) -> None:
    server.acceptor.close()
    await server.acceptor.wait_closed()
    answer = await server.helper().claim(TOKEN)
    assert (answer.reply, "ConnectionRefusedError" in answer.detail) == (HelperReply.UNKNOWN, True)
