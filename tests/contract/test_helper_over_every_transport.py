"""One suite for the port `Helper`, over each transport: the real program with a stand-in for nft,
started beside us, by an SSH server on loopback, and by a daemon that is asked through a store in memory."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncssh
import pytest
from tests.doubles.letters import MemoryLetters, Shelf

from mailward.fencing.ask import Answering, AskTransport
from mailward.fencing.channel import Transport
from mailward.fencing.helper import NodeHelper
from mailward.fencing.local import LocalTransport
from mailward.fencing.ssh import SshTarget, SshTransport
from mailward.model.fencing import (
    CLOSED,
    OPEN,
    HelperReply,
    Hook,
    HookAnswer,
    NodeFacts,
    PortKind,
    PortState,
    Terms,
    UnitState,
)
from mailward.model.ports import Letters
from mailward.model.token import Token

NFT = """#!/bin/sh
case "$*" in
  "list tables") ;;
  "-j list table inet mailward") cat "$NFT_LISTING" ;;
  "-f -") [ ! -e "$NFT_LISTING" ] || exit 1; cat > "$NFT_RULES" ;;
  *) exit 1 ;;
esac
"""
ALL_CLOSED = {"imaps": CLOSED, "submission": CLOSED}
ALL_OPEN = {"imaps": OPEN, "submission": OPEN}


def token(epoch: int, seq: int, store: str = "abcdef01") -> Token:
    return Token(store, epoch, seq)


@dataclass
class Node:
    """The program's world: its configuration, its folder, and how it is started."""

    folder: Path
    command: tuple[str, ...]
    port: int

    def kernel_lets_it_lapse(self) -> None:
        """As nft lists our table with a lease that has lapsed; a renewal fails."""
        ours = {"family": "inet", "table": "mailward"}
        listing: list[dict[str, Any]] = [
            {"set": {**ours, "name": "held", "elem": [587, self.port]}},
            {"set": {**ours, "name": "leased"}},
        ]
        for hook, field in (("input", "dport"), ("output", "sport")):
            left = {"payload": {"protocol": "tcp", "field": field}}
            lookups = [
                {"match": {"op": op, "left": left, "right": right}}
                for op, right in (("==", "@held"), ("!=", "@leased"))
            ]
            rule = {**ours, "chain": hook, "expr": [*lookups, {"reject": {"type": "tcp reset"}}]}
            closing = {
                **rule,
                "expr": [{"match": {**lookups[0]["match"], "right": "@closed"}}, rule["expr"][2]],
            }
            listing += [{"chain": {**ours, "name": hook, "hook": hook}}, {"rule": rule}, {"rule": closing}]
        (self.folder / "listing").write_text(json.dumps({"nftables": listing}))

    @property
    def rules(self) -> str:
        path = self.folder / "rules"
        return path.read_text() if path.exists() else ""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK " + await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    stubs = tmp_path / "bin"
    stubs.mkdir()
    for name in ("nft", "iptables", "ip6tables", "ss"):
        (stubs / name).write_text(NFT if name == "nft" else "#!/bin/sh\nexit 1\n")
        (stubs / name).chmod(0o755)
    port = server.sockets[0].getsockname()[1]
    disk = tmp_path / "disk"
    config = {
        "services": {"imaps": port, "submission": 587},
        "units": {
            "dovecot": {"status": ["echo", "restarting"]},
            "lmtp": {
                "status": ["cat", str(tmp_path / "lmtp")],
                "start": ["sh", "-c", f"echo active > {tmp_path}/lmtp"],
                "stop": ["sh", "-c", f"echo inactive > {tmp_path}/lmtp"],
            },
        },
        "writers": ["lmtp"],
        "hooks": {"promote": {"command": ["sh", "-c", "echo mounted"], "verify": ["test", "-e", str(disk)]}},
        "paths": {"mail": str(tmp_path)},
        "state_dir": str(tmp_path / "state"),
        "run_dir": str(tmp_path / "run"),
    }
    (tmp_path / "node.json").write_text(json.dumps(config))
    (tmp_path / "lmtp").write_text("active")
    program = (
        sys.executable,
        "-m",
        "mailward.fencing.node",
        "--config",
        str(tmp_path / "node.json"),
        "serve",
    )
    environment = (
        "env",
        f"PATH={stubs}:{os.environ['PATH']}",
        f"NFT_RULES={tmp_path / 'rules'}",
        f"NFT_LISTING={tmp_path / 'listing'}",
    )
    yield Node(tmp_path, environment + program, port)
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def ssh_server(folder: Path, command: tuple[str, ...]) -> AsyncIterator[SshTarget]:
    """A server that runs `command` whatever it is asked, as a forced command does."""
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key.write_private_key(str(folder / "id"))
    client_key.write_public_key(str(folder / "authorized_keys"))
    programs = LocalTransport(command)
    running: set[asyncio.Task[Any]] = set()

    async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
        running.add(cast(asyncio.Task[Any], asyncio.current_task()))
        program = await programs.open()
        upward = asyncio.create_task(copy(process.stdin, program.writer))
        try:
            await copy(program.reader, process.stdout)
            process.stderr.write((await program.complaint()).encode())
            process.exit(0)
        except (asyncssh.Error, OSError):
            pass  # the client has gone
        finally:
            upward.cancel()
            program.close()

    async def copy(source: Any, to: Any) -> None:
        while data := await source.read(65536):
            to.write(data)
            await to.drain()

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(folder / "authorized_keys"),
        process_factory=run,
        encoding=None,
    )
    port = server.get_port()
    public = host_key.export_public_key().decode()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    try:
        yield SshTarget("127.0.0.1", "mailward", folder / "id", folder / "known_hosts", port=port)
    finally:
        server.close()
        await server.wait_closed()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await programs.close()


@asynccontextmanager
async def answering(letters: Letters, command: tuple[str, ...]) -> AsyncIterator[None]:
    """The daemon beside mail-a, until nobody asks any more."""
    helper = LocalTransport(command)
    answers = Answering(letters, "mail-a", helper)
    task = asyncio.create_task(answers.run())
    try:
        yield
        async with asyncio.timeout(20):
            while answers._tasks:  # noqa: ASYNC110 - there is nothing to wait for
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await helper.close()


@asynccontextmanager
async def transport_over(kind: str, folder: Path, command: tuple[str, ...]) -> AsyncIterator[Transport]:
    if kind == "local":
        yield LocalTransport(command)
    elif kind == "ask":
        shelf = Shelf()
        async with answering(MemoryLetters(shelf), command):
            yield AskTransport(MemoryLetters(shelf), "mail-a")
        assert not shelf.contents
    else:
        async with ssh_server(folder, command) as target:
            yield SshTransport(target)


@pytest.fixture(params=["local", "ssh", "ask"])
async def helper(request: pytest.FixtureRequest, node: Node) -> AsyncIterator[NodeHelper]:
    async with transport_over(request.param, node.folder, node.command) as transport:
        helper = NodeHelper(transport, timeout_s=20.0, hello_timeout_s=10.0)
        yield helper
        await helper.close()


@pytest.fixture(params=["local", "ssh"])
async def piping(request: pytest.FixtureRequest, node: Node) -> AsyncIterator[NodeHelper]:
    """Over a transport that carries more than a question and its answer."""
    async with transport_over(request.param, node.folder, node.command) as transport:
        helper = NodeHelper(transport)
        yield helper
        await helper.close()


async def test_an_order_is_obeyed_and_acknowledged_with_its_token_and_map(
    helper: NodeHelper, node: Node
) -> None:
    answer = await helper.order(token(1, 1), ALL_CLOSED)
    assert (answer.reply, answer.token, answer.ports) == (HelperReply.OBEYED, token(1, 1), ALL_CLOSED)
    assert answer.persisted
    assert f"elements = {{ 587, {node.port} }}" in node.rules


async def test_a_stale_order_is_refused_and_names_what_was_obeyed(helper: NodeHelper) -> None:
    await helper.order(token(2, 0), ALL_CLOSED)
    answer = await helper.order(token(1, 9), ALL_OPEN)
    assert (answer.reply, answer.token, answer.ports) == (HelperReply.STALE, token(2, 0), ALL_CLOSED)
    assert "abcdef01.1.9" in answer.detail


async def test_a_foreign_store_is_refused(helper: NodeHelper) -> None:
    await helper.claim(token(1, 0))
    answer = await helper.claim(token(9, 9, "beefbeef"))
    assert (answer.reply, answer.token) == (HelperReply.FOREIGN, token(1, 0))


async def test_a_claim_is_obeyed_and_makes_older_orders_void(helper: NodeHelper) -> None:
    assert (await helper.claim(token(3, 0))).reply is HelperReply.OBEYED
    assert (await helper.order(token(2, 7), ALL_CLOSED)).reply is HelperReply.STALE


async def test_a_map_that_does_not_fit_the_node_is_refused(helper: NodeHelper) -> None:
    answer = await helper.order(token(1, 1), {"imaps": CLOSED})
    assert (answer.reply, "missing: submission" in answer.detail) == (HelperReply.REFUSED, True)
    detoured = {**ALL_CLOSED, "imaps": PortState(PortKind.DETOURED, "192.0.2.2")}
    answer = await helper.order(token(1, 1), detoured)
    assert (answer.reply, "detour is not supported" in answer.detail) == (HelperReply.REFUSED, True)


async def test_a_lease_is_renewed_by_its_token_and_by_the_one_that_claimed(
    helper: NodeHelper, node: Node
) -> None:
    answer = await helper.order(token(1, 1), ALL_OPEN, Terms(lease_s=30.0))
    assert (answer.reply, answer.ports) == (HelperReply.OBEYED, ALL_OPEN)
    assert f"elements = {{ 587 timeout 30000ms, {node.port} timeout 30000ms }}" in node.rules
    for highest in (token(1, 1), token(2, 0)):
        await helper.claim(highest)
        answer = await helper.renew(highest)
        assert (answer.reply, answer.token, answer.ports) == (HelperReply.OBEYED, highest, ALL_OPEN)
        assert node.rules.startswith("delete element inet mailward leased { 587,")
    assert (await helper.renew(token(1, 1))).reply is HelperReply.STALE
    assert (await helper.renew(token(2, 1))).reply is HelperReply.REFUSED
    assert (await helper.renew(token(2, 0, "beefbeef"))).reply is HelperReply.FOREIGN
    facts = await helper.status()
    assert isinstance(facts, NodeFacts)
    assert (facts.lease_s, facts.lease_left_s) == (30.0, None)  # the stand-in for nft lists nothing


async def test_a_lease_that_has_lapsed_is_told_from_what_was_never_leased(
    helper: NodeHelper, node: Node
) -> None:
    await helper.order(token(1, 1), ALL_OPEN)
    answer = await helper.renew(token(1, 1))
    assert (answer.reply, answer.detail) == (
        HelperReply.REFUSED,
        "not-leased: no port is open under a lease",
    )
    await helper.order(token(1, 2), ALL_OPEN, Terms(lease_s=30.0))
    node.kernel_lets_it_lapse()
    answer = await helper.renew(token(1, 2))
    assert (answer.reply, answer.token) == (HelperReply.LAPSED, token(1, 2))
    facts = await helper.status()
    assert isinstance(facts, NodeFacts)
    assert (facts.applied, facts.lease_s, facts.lease_left_s) == (True, 30.0, 0.0)


async def test_writers_are_stopped_with_the_node_and_started_with_it(helper: NodeHelper) -> None:
    answer = await helper.order(token(1, 1), ALL_CLOSED, Terms(stop=True))
    assert (answer.reply, answer.stopped) == (HelperReply.OBEYED, True)
    assert answer.writers == {"lmtp": UnitState.INACTIVE}
    facts = await helper.status()
    assert isinstance(facts, NodeFacts)
    assert (facts.stopped, facts.units["lmtp"]) == (True, UnitState.INACTIVE)
    answer = await helper.order(token(1, 2), ALL_OPEN, Terms(lease_s=30.0))
    assert (answer.reply, answer.stopped) == (HelperReply.OBEYED, None)
    assert answer.writers == {"lmtp": UnitState.ACTIVE}
    answer = await helper.order(token(1, 3), ALL_OPEN, Terms(stop=True))
    assert (answer.reply, answer.token) == (HelperReply.REFUSED, token(1, 2))
    assert "only where every port is closed" in answer.detail


async def test_hooks_are_run_and_verified_before_ports_open_and_after_they_close(
    helper: NodeHelper, node: Node
) -> None:
    await helper.order(token(1, 1), ALL_CLOSED)
    promotion = Terms(lease_s=30.0, hook=Hook.PROMOTE)
    answer = await helper.order(token(1, 2), ALL_OPEN, promotion)
    assert (answer.reply, answer.token, answer.ports) == (HelperReply.REFUSED, token(1, 2), ALL_CLOSED)
    assert answer.hook == HookAnswer(Hook.PROMOTE, True, True, False, "verify: exit code 1")
    assert answer.detail.startswith("hook-failed: promote: verify: exit code 1")
    (node.folder / "disk").touch()
    answer = await helper.order(token(1, 3), ALL_OPEN, promotion)
    assert (answer.reply, answer.ports) == (HelperReply.OBEYED, ALL_OPEN)
    assert answer.hook == HookAnswer(Hook.PROMOTE, True, True, True, "verify: exit code 0")
    answer = await helper.order(token(1, 4), ALL_CLOSED, Terms(stop=True, hook=Hook.DEMOTE))
    assert answer.hook == HookAnswer(Hook.DEMOTE, False, False, False)
    assert (answer.stopped, answer.hook.done) == (True, True)


async def test_an_answer_that_takes_longer_than_the_window_for_its_request_is_waited_for(
    helper: NodeHelper, node: Node
) -> None:
    config = json.loads((node.folder / "node.json").read_text())
    config["hooks"] = {"demote": {"command": ["sleep", "2.5"], "verify": ["true"]}}
    (node.folder / "node.json").write_text(json.dumps(config))
    helper._timeout_s = 2.4
    answer = await helper.order(token(1, 1), ALL_CLOSED, Terms(hook=Hook.DEMOTE))
    assert answer.hook == HookAnswer(Hook.DEMOTE, True, True, True, "verify: exit code 0")


async def test_status_tells_what_the_node_knows(helper: NodeHelper, node: Node) -> None:
    await helper.order(token(1, 1), ALL_CLOSED)
    facts = await helper.status()
    assert isinstance(facts, NodeFacts)
    assert (facts.token, facts.ports) == (token(1, 1), ALL_CLOSED)
    assert facts.applied is None  # the stand-in for nft lists nothing
    assert facts.units == {"dovecot": UnitState.RESTARTING, "lmtp": UnitState.ACTIVE}
    assert (facts.lease_s, facts.stopped, facts.boots_closed) == (None, None, False)
    assert facts.boot == "as-ordered"
    config = json.loads((node.folder / "node.json").read_text())
    (node.folder / "node.json").write_text(json.dumps({**config, "boot": "closed"}))
    anew = await helper.status()
    assert isinstance(anew, NodeFacts)
    assert anew.boots_closed
    assert facts.paths["mail"].free_bytes is not None
    assert not facts.forced


async def test_a_service_behind_closed_ports_is_reached_on_loopback(piping: NodeHelper) -> None:
    await piping.order(token(1, 1), ALL_CLOSED)
    reader, writer = await asyncio.open_connection(sock=await piping.connect("imaps"))
    writer.write(b"hello\r\n")
    assert await reader.read(100) == b"* OK hello\r\n"
    assert await reader.read(100) == b""
    writer.close()
    await writer.wait_closed()


async def test_connecting_fails_as_a_socket_does(piping: NodeHelper) -> None:
    with pytest.raises(ConnectionRefusedError, match="service-refused"):
        await piping.connect("submission")
    with pytest.raises(OSError, match="unknown-service"):
        await piping.connect("pop3s")


async def test_pipes_are_bounded_and_end_with_the_helper(piping: NodeHelper) -> None:
    held = [await piping.connect("imaps") for _ in range(16)]
    with pytest.raises(OSError, match="16 pipes to this node are open already"):
        await piping.connect("imaps")
    held.pop().close()
    async with asyncio.timeout(5):
        while len(piping._pipes) == 16:  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0.01)
    held.append(await piping.connect("imaps"))
    await piping.close()
    loop = asyncio.get_running_loop()
    for end in held:
        assert await loop.sock_recv(end, 1) == b""
        end.close()


async def test_many_requests_run_side_by_side(helper: NodeHelper) -> None:
    answers = await asyncio.gather(*(helper.claim(token(1, seq)) for seq in range(1, 6)))
    replies = [answer.reply for answer in answers]
    assert HelperReply.OBEYED in replies
    assert set(replies) <= {HelperReply.OBEYED, HelperReply.STALE}
    facts = await helper.status()
    assert isinstance(facts, NodeFacts)
    assert facts.token == token(1, 5)


BROKEN = [
    ("echo 'sudo: a password is required' >&2; exit 1", "sudo: a password is required"),
    ("sleep 30", "no hello within 1 s"),
    ("echo hello", "not JSON"),
    ("head -c 1000000 /dev/zero", "answered more than"),
    ("""echo '{"mailward_node":2,"nonce":"x"}'; sleep 30""", "no hello of protocol 1"),
    ("""echo '{"mailward_node":1,"nonce":"x"}'; read x""", "ended without an answer"),
    ("""echo '{"mailward_node":1,"nonce":"x"}'; read x; sleep 30""", "no answer within 1.6 s"),
    ("""echo '{"mailward_node":1,"nonce":"x"}'; read x; echo '[1]'""", "not a JSON object"),
    (
        """echo '{"mailward_node":1,"nonce":"x"}'; read x; echo '{"ok":true,"token":"abcdef01.1.7"}'""",
        "answered for abcdef01.1.7, not for abcdef01.1.1",
    ),
]


@pytest.mark.parametrize(("script", "detail"), BROKEN, ids=[detail for _, detail in BROKEN])
@pytest.mark.parametrize("over", ["local", "ssh", "ask"])
async def test_whatever_is_no_answer_is_unknown_within_its_deadline(
    tmp_path: Path, over: str, script: str, detail: str
) -> None:
    async with transport_over(over, tmp_path, ("sh", "-c", script)) as transport:
        helper = NodeHelper(transport, timeout_s=1.6, hello_timeout_s=1.0)
        async with asyncio.timeout(5):
            answer = await helper.order(token(1, 1), ALL_CLOSED)
        assert answer.reply is HelperReply.UNKNOWN
        assert detail in answer.detail
        await helper.close()


@pytest.mark.parametrize("over", ["local", "ssh", "ask"])
async def test_the_status_of_a_broken_helper_is_the_reason(tmp_path: Path, over: str) -> None:
    async with transport_over(over, tmp_path, ("sh", "-c", "echo 'sudo: no' >&2; exit 1")) as transport:
        helper = NodeHelper(transport)
        assert await helper.status() == "it ended without an answer: sudo: no"
        await helper.close()
