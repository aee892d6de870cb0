"""Probes against real sockets: what passes, and what every hostile server gets classed as."""

import asyncio
import resource
import socket
import ssl
import struct
import time

import pytest
from tests.unit.health.conftest import Authority
from tests.unit.health.scripted import Handler, Loopback, script

from mailward.health.dialogues import Account, ImapSettings, Security, SmtpSettings
from mailward.health.probe import Limits, run_probe
from mailward.health.streams import ByteStream, TcpConnector
from mailward.health.tls import TlsClient, client_context
from mailward.model.errors import ConfigError
from mailward.model.health import FailureKind, ProbeResult

QUICK = Limits(connect_s=0.15, answer_s=0.15, work_s=0.25, total_s=0.6)
CANARY = Account("canary", "s3cret-Pass")

SMTP = (b"220 mail-a.test ESMTP\r\n", None, b"250 mail-a.test\r\n", None, b"221 bye\r\n")
IMAP = (
    *(b"* OK mail-a.test ready\r\n", None, b"* CAPABILITY IMAP4rev1\r\nm1 OK\r\n", None, b"m2 OK\r\n"),
    *(None, b"* 0 EXISTS\r\nm3 OK\r\n", None, b"m4 OK\r\n", None, b"* BYE\r\nm5 OK\r\n"),
)


async def probe(
    port: int, settings: SmtpSettings | ImapSettings | None = None, tls: TlsClient | None = None
) -> ProbeResult:
    return await run_probe(settings or SmtpSettings(), TcpConnector("127.0.0.1", port), tls, QUICK)


def verdict(result: ProbeResult) -> tuple[str, str] | None:
    return (result.failure.kind.value, result.failure.stage) if result.failure else None


async def test_smtp_passes_with_its_stages_timed() -> None:
    async with Loopback(script(*SMTP)) as port:
        result = await probe(port)
    assert result.ok, result.failure
    assert [stage.stage for stage in result.stages] == ["connect", "banner", "ehlo", "quit"]
    assert all(stage.seconds >= 0 for stage in result.stages)
    assert result.answered_by == "mail-a.test"


async def test_imap_passes_with_login() -> None:
    async with Loopback(script(*IMAP)) as port:
        result = await probe(port, ImapSettings(account=CANARY))
    assert result.ok, result.failure
    assert [stage.stage for stage in result.stages][1:] == [
        *("greeting", "capability", "login", "examine", "noop", "logout")
    ]


async def test_imaps_shows_the_certificate(authority: Authority) -> None:
    context = authority.server("mail-a.test", "127.0.0.1", days=60)
    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(script(*IMAP), ssl=context) as port:
        result = await probe(port, ImapSettings(Security.IMPLICIT, CANARY), tls)
    assert result.ok, result.failure
    assert [stage.stage for stage in result.stages][:3] == ["connect", "tls", "greeting"]
    assert result.certificate is not None
    assert result.certificate.names == ("mail-a.test", "127.0.0.1")
    assert result.certificate.issuer == "Test CA"
    assert 59.9 < result.certificate.days_left < 60.1


async def test_starttls_goes_on_inside_tls(authority: Authority) -> None:
    context = authority.server("mail-a.test")

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SMTP[0] or b"")
        await reader.readline()
        writer.write(b"250-mail-a.test\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go\r\n")
        await writer.start_tls(context)
        await reader.readline()
        writer.write(b"250-mail-a.test\r\n250 AUTH PLAIN\r\n")
        assert (await reader.readline()).startswith(b"AUTH PLAIN")
        writer.write(b"235 ok\r\n")
        await reader.readline()
        writer.write(b"221 bye\r\n")

    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(handler) as port:
        result = await probe(port, SmtpSettings(Security.STARTTLS, CANARY), tls)
    assert result.ok, result.failure
    assert [stage.stage for stage in result.stages] == [
        *("connect", "banner", "ehlo", "starttls", "tls", "ehlo", "auth", "quit")
    ]
    assert result.certificate is not None


@pytest.mark.parametrize(
    ("names", "days", "began_days", "detail"),
    [
        ("mail-a.test", -1, 10, "the certificate has expired"),
        ("mail-a.test", 10, -5, "the certificate is not valid yet"),
        ("other.test", 60, 1, "the certificate is not for mail-a.test"),
    ],
)
async def test_a_bad_certificate_says_what_is_wrong(
    authority: Authority, names: str, days: float, began_days: float, detail: str
) -> None:
    context = authority.server(names, days=days, began_days=began_days)
    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(script(*IMAP), ssl=context) as port:
        result = await probe(port, ImapSettings(Security.IMPLICIT, CANARY), tls)
    assert str(result.failure) == f"tls at tls: {detail}"


async def test_an_unknown_ca_is_named(authority: Authority, stranger: Authority) -> None:
    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(script(*IMAP), ssl=stranger.server("mail-a.test")) as port:
        result = await probe(port, ImapSettings(Security.IMPLICIT, CANARY), tls)
    assert str(result.failure).startswith("tls at tls: the certificate's CA is unknown here (")


async def test_a_certificate_is_checked_against_an_address(authority: Authority) -> None:
    tls = TlsClient(client_context(authority.ca_file), "127.0.0.1")
    async with Loopback(script(*IMAP), ssl=authority.server("mail-a.test")) as port:
        result = await probe(port, ImapSettings(Security.IMPLICIT), tls)
    assert str(result.failure) == "tls at tls: the certificate is not for 127.0.0.1"


async def test_endless_tls_is_cut_off(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailward.health.tls._MAX_RECEIVED", 500)
    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(script(*IMAP), ssl=authority.server("mail-a.test")) as port:
        result = await probe(port, ImapSettings(Security.IMPLICIT, CANARY), tls)
    assert str(result.failure) == "protocol at tls: more than 500 bytes of TLS"


def test_a_ca_file_that_cannot_be_used_is_a_config_error(authority: Authority) -> None:
    empty = authority.folder / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(ConfigError, match=r"empty\.pem: no PEM certificates in it"):
        client_context(empty)
    with pytest.raises(ConfigError, match=r"gone\.pem: No such file"):
        client_context(authority.folder / "gone.pem")


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"220-and on\r\n" * 1000)
        await writer.drain()


async def long_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for _ in range(160):
        writer.write(b"2" * 65536)
        await writer.drain()


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"2")
        await asyncio.sleep(0.01)


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


HOSTILE: list[tuple[str, Handler, tuple[str, str]]] = [
    ("endless banner", endless, ("protocol", "banner")),
    ("10 MB line", long_line, ("protocol", "banner")),
    ("a byte at a time", dripping, ("timeout", "banner")),
    ("silence", script(), ("timeout", "banner")),
    ("no newline", script(b"220 mail-a.test"), ("timeout", "banner")),
    ("binary", script(bytes(range(256)) + b"\r\n"), ("protocol", "banner")),
    ("another protocol", script(b"SSH-2.0-OpenSSH_9.2\r\n"), ("protocol", "banner")),
    ("reset at once", resetting, ("reset", "banner")),
    ("closed at once", closing, ("closed", "banner")),
]


@pytest.mark.parametrize(("handler", "wanted"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
async def test_hostile_servers_are_classed_in_time_and_memory(
    handler: Handler, wanted: tuple[str, str]
) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with Loopback(handler) as port:
        began_s = time.monotonic()
        result = await probe(port)
        spent_s = time.monotonic() - began_s
    assert verdict(result) == wanted
    assert spent_s < QUICK.connect_s + QUICK.answer_s + 0.2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 8192


@pytest.mark.parametrize(("handler", "wanted"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
async def test_hostile_servers_where_tls_is_awaited(
    authority: Authority, handler: Handler, wanted: tuple[str, str]
) -> None:
    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(handler) as port:
        began_s = time.monotonic()
        result = await probe(port, ImapSettings(Security.IMPLICIT, CANARY), tls)
        spent_s = time.monotonic() - began_s
    assert result.failure is not None
    assert result.failure.stage == "tls"
    kinds = {"protocol": {"tls"}, "timeout": {"timeout", "tls"}}.get(wanted[0], {"closed", "reset"})
    assert result.failure.kind.value in kinds
    assert spent_s < QUICK.connect_s + QUICK.work_s + 0.2


async def test_nobody_listening_is_refused() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        result = await probe(held.getsockname()[1])
    assert verdict(result) == ("refused", "connect")


async def test_a_deadline_missed_because_we_stood_still_is_our_own_fault() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        time.sleep(QUICK.answer_s + 0.3)  # noqa: ASYNC251  the whole loop stands still
        await asyncio.Event().wait()

    async with Loopback(handler) as port:
        result = await probe(port)
    assert result.failure is not None
    assert result.failure.kind is FailureKind.LOCAL


async def test_an_error_in_a_connector_is_our_own_fault(caplog: pytest.LogCaptureFixture) -> None:
    class Buggy:
        async def connect(self) -> ByteStream:
            raise KeyError("oops")

    result = await run_probe(SmtpSettings(), Buggy(), None, QUICK)
    assert verdict(result) == ("local", "connect")


class Pipe:
    """A stream over anything that has a reader and a writer, as a helper's pipe has."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(4096)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        self._writer.transport.abort()


async def test_tls_works_over_a_pipe(authority: Authority) -> None:
    class Connector:
        async def connect(self) -> ByteStream:
            return Pipe(*await asyncio.open_connection("127.0.0.1", port))

    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(script(*IMAP), ssl=authority.server("mail-a.test")) as port:
        result = await run_probe(ImapSettings(Security.IMPLICIT, CANARY), Connector(), tls, QUICK)
    assert result.ok, result.failure


async def test_a_cancelled_probe_closes_its_connection() -> None:
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()

    async with Loopback(handler) as port:
        task = asyncio.create_task(probe(port))
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(1):
            await ended.wait()


async def test_tls_1_2_servers_are_spoken_to(authority: Authority) -> None:
    context = authority.server("mail-a.test")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")
    async with Loopback(script(*IMAP), ssl=context) as port:
        result = await probe(port, ImapSettings(Security.IMPLICIT, CANARY), tls)
    assert result.ok, result.failure
