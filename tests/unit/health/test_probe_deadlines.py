"""Silence, an end or a reset at each stage: named with the stage, to the exact second. Virtual time."""

import asyncio
import ssl
import time

import pytest
from tests.unit.health import virtual
from tests.unit.health.conftest import Authority
from tests.unit.health.scripted import Recital

from mailward.health.dialogues import Account, ImapSettings, Security, SmtpSettings
from mailward.health.probe import Limits, run_probe
from mailward.health.streams import ByteStream
from mailward.health.tls import TlsClient, client_context
from mailward.model.health import ProbeResult

CANARY = Account("canary", "s3cret-Pass")
IMAP = (
    *(b"* OK mail-a.test ready\r\n", None, b"* CAPABILITY IMAP4rev1\r\nm1 OK\r\n", None, b"m2 OK\r\n"),
    *(None, b"* 0 EXISTS\r\nm3 OK\r\n", None, b"m4 OK\r\n", None, b"* BYE\r\nm5 OK\r\n"),
)
SMTP = (
    *(b"220 mail-a.test\r\n", None, b"250-a\r\n250 AUTH PLAIN\r\n", None, b"235 ok\r\n", None, b"250 ok\r\n"),
    *(None, b"250 ok\r\n", None, b"250 ok\r\n", None, b"221 bye\r\n"),
)
IMAP_STAGES = ("greeting", "capability", "login", "examine", "noop", "logout")
SMTP_STAGES = ("banner", "ehlo", "auth", "mail", "rcpt", "rset", "quit")
WORK = {"login", "examine", "auth", "mail", "rcpt"}

STAGES = [
    *((ImapSettings(account=CANARY), IMAP[: 2 * at], stage) for at, stage in enumerate(IMAP_STAGES)),
    *(
        (SmtpSettings(account=CANARY, recipient="canary@example.test"), SMTP[: 2 * at], stage)
        for at, stage in enumerate(SMTP_STAGES)
    ),
]


def probed(
    settings: SmtpSettings | ImapSettings, server: Recital, limits: Limits | None = None
) -> tuple[ProbeResult, float]:
    """The result, and how long it took."""

    async def body() -> tuple[ProbeResult, float]:
        began_s = asyncio.get_running_loop().time()
        result = await run_probe(settings, server, None, limits)
        return result, asyncio.get_running_loop().time() - began_s

    done = virtual.run(body())
    assert server.closed
    return done


@pytest.mark.parametrize(("settings", "steps", "stage"), STAGES, ids=[row[2] for row in STAGES])
@pytest.mark.parametrize(("end", "kind"), [("silence", "timeout"), ("close", "closed"), ("reset", "reset")])
def test_whatever_happens_at_a_stage_is_named_with_it(
    settings: SmtpSettings | ImapSettings, steps: tuple[bytes | None, ...], stage: str, end: str, kind: str
) -> None:
    result, spent_s = probed(settings, Recital(steps, end))
    if stage in ("quit", "logout") and end != "silence":
        assert result.ok  # we had said goodbye
        return
    assert result.failure is not None
    assert (result.failure.kind.value, result.failure.stage) == (kind, stage)
    if end == "silence":
        assert spent_s == pytest.approx(3.0 if stage in WORK else 1.2)


def test_a_stage_begins_with_a_new_deadline() -> None:
    result, spent_s = probed(ImapSettings(account=CANARY), Recital(IMAP, pause_s=1.0))
    assert result.ok, result.failure
    assert spent_s == pytest.approx(6.0)
    assert [round(stage.seconds, 3) for stage in result.stages] == [0.0, *[1.0] * 6]


def test_the_whole_has_a_deadline_too() -> None:
    result, spent_s = probed(ImapSettings(account=CANARY), Recital(IMAP, pause_s=1.0), Limits(total_s=3.5))
    assert str(result.failure) == "timeout at examine: no answer in 0.5 s"
    assert spent_s == pytest.approx(3.5)


def test_bytes_do_not_extend_a_deadline() -> None:
    drip = [b"2"] * 1000
    result, spent_s = probed(SmtpSettings(), Recital(drip, pause_s=0.1))
    assert str(result.failure) == "timeout at banner: no answer in 1.2 s"
    assert spent_s == pytest.approx(1.2)


class SlowHandshake:
    """A TLS server in memory that says its part in small pieces, `pause_s` apart; then silence."""

    def __init__(self, context: ssl.SSLContext, pieces: int, pause_s: float) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._pieces = pieces
        self._pause_s = pause_s
        self._queue = asyncio.Queue[bytes]()

    async def connect(self) -> ByteStream:
        return self

    async def read(self) -> bytes:
        piece = await self._queue.get()
        await asyncio.sleep(self._pause_s)
        return piece

    async def write(self, data: bytes) -> None:
        self._in.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            said = self._out.read()
            size = -(-len(said) // self._pieces)
            for start in range(0, len(said), size):
                self._queue.put_nowait(said[start : start + size])

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("pieces", "pause_s", "ends"),
    [
        (1, 1.1, "timeout at greeting: no answer in 1.2 s"),
        (1, 1.3, "timeout at tls: no answer in 1.2 s"),
        (4, 0.7, "timeout at greeting: no answer in 1.2 s"),
        (4, 0.9, "timeout at tls: no answer in 3.0 s"),
    ],
)
def test_a_handshake_must_begin_soon_and_may_then_take_its_time(
    authority: Authority, pieces: int, pause_s: float, ends: str
) -> None:
    context = authority.server("mail-a.test")
    tls = TlsClient(client_context(authority.ca_file), "mail-a.test")

    async def body() -> ProbeResult:
        server = SlowHandshake(context, pieces, pause_s)
        return await run_probe(ImapSettings(Security.IMPLICIT), server, tls, wall=time.time)

    assert str(virtual.run(body()).failure) == ends
