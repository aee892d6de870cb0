"""The embedded name server on loopback sockets, asked by a real resolver and by rude clients."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncquery
import dns.asyncresolver
import dns.flags
import dns.message
import dns.resolver
import pytest

from mailward.dns.drivers.embedded import EmbeddedTarget
from mailward.dns.embedded import server as server_module
from mailward.dns.embedded.respond import LARGEST_QUESTION
from mailward.dns.embedded.server import EmbeddedServer
from mailward.dns.embedded.zone import Zone, ZoneSettings
from mailward.dns.servers import Server
from mailward.model.dns import ApplyResult, Change, RRset
from mailward.model.token import Token

SETTINGS = ZoneSettings("mail.example.test.", ("ns1.mail.example.test.",))
IMAP = RRset("imap.mail.example.test.", "A", 5, ("192.0.2.1", "192.0.2.2"))
BIG = RRset("big.mail.example.test.", "TXT", 5, tuple(f'"{n:03}{"x" * 200}"' for n in range(20)))
ZONE = Zone(SETTINGS, 1, (BIG, IMAP))
QUESTION = dns.message.make_query(IMAP.name, "A").to_wire()
LOCALHOST = Server("127.0.0.1", 0)


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    running = EmbeddedServer(lambda: ZONE, [LOCALHOST], idle_s=0.1)
    await running.start()
    yield running
    await running.close()


@pytest.fixture
async def patient() -> AsyncIterator[EmbeddedServer]:
    """A server that waits for long, so that what it closes it closes for another reason."""
    running = EmbeddedServer(lambda: ZONE, [LOCALHOST], idle_s=60)
    await running.start()
    yield running
    await running.close()


def resolver(server: EmbeddedServer) -> dns.asyncresolver.Resolver:
    asked = dns.asyncresolver.Resolver(configure=False)
    asked.nameservers = [server.addresses[0].host]
    asked.port = server.addresses[0].port
    asked.lifetime = 2.0
    return asked


async def connect(server: EmbeddedServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(server.addresses[0].host, server.addresses[0].port)


def framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


async def answer(reader: asyncio.StreamReader) -> dns.message.Message:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return dns.message.from_wire(await reader.readexactly(length))


async def test_a_resolver_gets_addresses(server: EmbeddedServer) -> None:
    found = await resolver(server).resolve(IMAP.name, "A")
    assert sorted(rdata.to_text() for rdata in found) == ["192.0.2.1", "192.0.2.2"]


async def test_a_resolver_tells_no_such_name_from_no_such_type(server: EmbeddedServer) -> None:
    with pytest.raises(dns.resolver.NXDOMAIN):
        await resolver(server).resolve("no.mail.example.test.", "A")
    with pytest.raises(dns.resolver.NoAnswer):
        await resolver(server).resolve(IMAP.name, "AAAA")


async def test_a_resolver_falls_back_to_tcp_for_what_is_large(server: EmbeddedServer) -> None:
    assert len(await resolver(server).resolve(BIG.name, "TXT")) == 20


async def test_several_questions_go_over_one_connection(server: EmbeddedServer) -> None:
    reader, writer = await connect(server)
    writer.write(framed(QUESTION) * 3)
    for _ in range(3):
        assert (await answer(reader)).answer
    writer.close()


async def test_a_question_one_byte_at_a_time_is_answered_while_it_is_in_time(server: EmbeddedServer) -> None:
    reader, writer = await connect(server)
    for byte in framed(QUESTION):
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await answer(reader)).answer
    writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0",
        framed(QUESTION)[:-1],
        framed(b""),
        framed(b"\0" * 11),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["silence", "half a length", "half a question", "empty", "no header", "HTTP"],
)
async def test_a_connection_that_asks_nothing_sensible_is_closed_in_time(
    server: EmbeddedServer, sent: bytes
) -> None:
    reader, writer = await connect(server)
    writer.write(sent)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    assert (await resolver(server).resolve(IMAP.name, "A")).rrset


async def test_a_question_too_long_is_not_waited_for(patient: EmbeddedServer) -> None:
    reader, writer = await connect(patient)
    writer.write(struct.pack("!H", LARGEST_QUESTION + 1))
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_ends_after_so_many_questions(
    patient: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = patient
    monkeypatch.setattr(server_module, "TCP_QUESTIONS", 2)
    reader, writer = await connect(server)
    writer.write(framed(QUESTION) * 2)
    await answer(reader)
    await answer(reader)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_connections_beyond_the_limit_are_closed_and_udp_still_answers(
    patient: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = patient
    monkeypatch.setattr(server_module, "TCP_CONNECTIONS", 2)
    held = [await connect(server) for _ in range(2)]
    reader, writer = await connect(server)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    assert (await resolver(server).resolve(IMAP.name, "A")).rrset
    for _, open_writer in (*held, (reader, writer)):
        open_writer.close()


HUGE = RRset("huge.mail.example.test.", "TXT", 5, tuple(f'"{n:03}{"x" * 250}"' for n in range(200)))


async def test_a_client_that_never_reads_is_cut_off() -> None:
    """It asks for 5 MB, more than the kernel holds for it."""
    zone = Zone(SETTINGS, 1, (HUGE,))
    server = EmbeddedServer(lambda: zone, [LOCALHOST], idle_s=0.1)
    await server.start()
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", server.addresses[0].port))
        await loop.sock_sendall(client, framed(dns.message.make_query(HUGE.name, "TXT").to_wire()) * 100)
        received = len(await loop.sock_recv(client, 1))
        async with asyncio.timeout(5):
            while server._connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionResetError):
            while data := await loop.sock_recv(client, 65536):
                received += len(data)
    await server.close()
    assert received < 5_000_000


async def test_questions_beyond_the_limit_a_second_are_dropped(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "UDP_QUESTIONS_PER_S", 0)
    await asyncio.sleep(0)
    question = dns.message.make_query(IMAP.name, "A")
    address = server.addresses[0]
    with pytest.raises(dns.exception.Timeout):
        await dns.asyncquery.udp(question, address.host, 0.05, address.port)


async def test_datagrams_that_cannot_be_sent_are_not_piled_up() -> None:
    class Full:
        sent = 0

        def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
            self.sent += 1

    transport = Full()
    datagrams = server_module._Datagrams(lambda: ZONE)
    datagrams.connection_made(transport)  # type: ignore[arg-type]
    for congestion, sent in ((datagrams.pause_writing, 0), (datagrams.resume_writing, 1)):
        congestion()
        datagrams.datagram_received(QUESTION, ("127.0.0.1", 5353))
        assert transport.sent == sent


async def test_nonsense_by_udp_is_survived(server: EmbeddedServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for wire in (b"", b"x", b"\xff" * 2000, QUESTION[:-1], b"\0" * 60000):
            client.sendto(wire, ("127.0.0.1", server.addresses[0].port))
    assert (await resolver(server).resolve(IMAP.name, "A")).rrset


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(server: EmbeddedServer) -> None:
    second = EmbeddedServer(lambda: ZONE, [LOCALHOST, server.addresses[0]])
    with pytest.raises(OSError, match=str(server.addresses[0].port)):
        await second.start()
    assert not second._tcp
    assert not second._udp


async def test_closing_ends_open_connections_quietly(caplog: pytest.LogCaptureFixture) -> None:
    server = EmbeddedServer(lambda: ZONE, [LOCALHOST], idle_s=60)
    await server.start()
    reader, writer = await connect(server)
    writer.write(framed(QUESTION))
    await answer(reader)
    async with asyncio.timeout(5):
        await server.close()
        assert await reader.read() == b""
    writer.close()
    assert not server._connections
    assert not caplog.records


async def test_a_published_change_is_answered_at_once(tmp_path: Path) -> None:
    target = EmbeddedTarget(
        "embedded",
        cluster="c1",
        store_id="0123456789abcdef",
        settings=SETTINGS,
        path=tmp_path / "zone.json",
    )
    server = EmbeddedServer(lambda: target.zone, [LOCALHOST])
    await server.start()
    try:
        with pytest.raises(dns.resolver.NXDOMAIN):
            await resolver(server).resolve(IMAP.name, "A")
        token = Token("0123456789abcdef", 1, 1)
        applied = await target.apply(None, token, [Change(IMAP.name, "A", IMAP)])
        assert applied.result is ApplyResult.APPLIED
        assert (await resolver(server).resolve(IMAP.name, "A")).rrset
        (txt,) = await resolver(server).resolve("_mailward-c1.mail.example.test.", "TXT")
        assert txt.to_text() == f'"{token}"'
    finally:
        await server.close()
