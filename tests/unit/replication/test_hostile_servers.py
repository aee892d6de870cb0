"""The HTTP API over loopback: what a broken or hostile server is called, how soon, and what it learns."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mailward.replication.sources.doveadm import OVERVIEW, SLOTS, DoveadmError, Problem, Question, Row
from mailward.replication.sources.http_api import HttpApi

KEY = "very-secret-key"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
ROWS = b'[["doveadmResponse",[{"field":"a","value":"1"}],"overview"]]'


@asynccontextmanager
async def server(script: Script, heads: list[bytes] | None = None) -> AsyncIterator[HttpApi]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if heads is not None:
                heads.append(head)
            await script(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has had enough, or the test has
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        yield HttpApi(f"http://127.0.0.1:{port}/", KEY)


async def ask(api: HttpApi, deadline_s: float = 2.0) -> list[tuple[Question, Row]]:
    found: list[tuple[Question, Row]] = []
    await api.ask([OVERVIEW], lambda question, row: found.append((question, row)), deadline_s)
    return found


def saying(data: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return script


def endlessly(start: bytes, piece: bytes, pause_s: float = 0.0) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return script


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_the_request_is_the_one_dovecot_knows() -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(4096))
        writer.write(OK + b'\r\n[["doveadmResponse",[],"overview"],["doveadmResponse",[],"slots"]]')

    async with server(script) as api:
        await api.ask([OVERVIEW, SLOTS], lambda question, row: None, 2.0)
    assert json.loads(seen[0]) == [
        ["replicatorStatus", {}, "overview"],
        ["replicatorDsyncStatus", {}, "slots"],
    ]


async def test_the_request_does_not_ask_dovecot_to_close() -> None:
    """Dovecot 2.3.19, given a wrong key and `Connection: close`, never answers (measured)."""
    heads: list[bytes] = []
    async with server(saying(OK + b"\r\n" + ROWS), heads) as api:
        await ask(api)
    assert heads[0].startswith(b"POST /doveadm/v1 HTTP/1.1\r\n")
    assert b"connection: close" not in heads[0].lower()


async def test_an_answer_is_read() -> None:
    async with server(saying(OK + b"\r\n" + ROWS)) as api:
        assert await ask(api) == [(OVERVIEW, {"field": "a", "value": "1"})]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        pytest.param(saying(b""), Problem.CLOSED, id="closes at once, as doveadm does when it dies"),
        pytest.param(saying(OK + b"\r\n" + ROWS[:20]), Problem.PROTOCOL, id="half an answer"),
        pytest.param(
            saying(OK + b"Content-Length: 500\r\n\r\n" + ROWS[:20]), Problem.CLOSED, id="less than announced"
        ),
        pytest.param(saying(b"HTTP/1.1 401 No\r\n\r\n"), Problem.DENIED, id="wrong key"),
        pytest.param(
            saying(b"HTTP/1.1 400 Bad Request\r\n\r\nbroken JSON"), Problem.PROTOCOL, id="bad request"
        ),
        pytest.param(
            saying(b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\n\r\n"),
            Problem.PROTOCOL,
            id="redirect",
        ),
        pytest.param(saying(b"* OK IMAP ready\r\n"), Problem.PROTOCOL, id="another protocol"),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + ROWS),
            Problem.PROTOCOL,
            id="html",
        ),
        pytest.param(saying(OK + b"\r\n" + b"[" * 100_000), Problem.PROTOCOL, id="deep nesting"),
        pytest.param(
            saying(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(ROWS)),
            Problem.PROTOCOL,
            id="compressed",
        ),
        pytest.param(endlessly(OK + b"\r\n", b'"' + b"x" * 65_536), Problem.PROTOCOL, id="endless string"),
        pytest.param(endlessly(OK, b"X-Header: x\r\n" * 1000), Problem.PROTOCOL, id="endless headers"),
        pytest.param(endlessly(b"HTTP/1.1 200 " + b"O" * 9000, b"O"), Problem.PROTOCOL, id="endless status"),
    ],
)
async def test_a_broken_answer_is_classed(script: Script, problem: Problem) -> None:
    async with server(script) as api:
        with pytest.raises(DoveadmError) as caught:
            await ask(api)
    assert caught.value.problem is problem


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(silence, id="silence"),
        pytest.param(endlessly(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.02), id="a byte at a time"),
        pytest.param(endlessly(OK + b"\r\n[", b" ", 0.02), id="an answer that never ends"),
        pytest.param(
            endlessly(OK + b'\r\n[["doveadmResponse",[', b'{"field":"a","value":"1"},' * 1000),
            id="endless rows",
        ),
    ],
)
async def test_what_never_ends_ends_at_the_deadline(script: Script) -> None:
    async with server(script) as api:
        started = asyncio.get_running_loop().time()
        with pytest.raises(DoveadmError, match=r"timeout: no whole answer within 0\.1 s"):
            await api.ask([OVERVIEW], lambda question, row: None, 0.1)
        assert asyncio.get_running_loop().time() - started < 1.0


async def test_more_than_the_limit_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailward.replication.sources.http_api.MAX_ANSWER_BYTES", 1000)
    rows = b'{"field":"a","value":"1"},' * 100
    async with server(saying(OK + b'\r\n[["doveadmResponse",[' + rows)) as api:
        with pytest.raises(DoveadmError, match="an answer of more than 1000 bytes"):
            await ask(api)


async def test_nobody_listening_is_refused() -> None:
    async with server(silence) as api:
        pass
    with pytest.raises(DoveadmError) as caught:
        await ask(api)
    assert caught.value.problem is Problem.REFUSED


async def test_a_plain_server_asked_for_tls_is_a_tls_failure() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(DoveadmError) as caught:
            await ask(HttpApi(f"https://127.0.0.1:{port}", KEY))
    assert caught.value.problem is Problem.TLS


async def test_a_server_that_repeats_the_key_does_not_bring_it_into_an_error() -> None:
    encoded = base64.b64encode(KEY.encode()).decode()
    said = f"HTTP/1.1 401 {KEY}\r\nX: {encoded}\r\n\r\nX-Dovecot-API {encoded} {KEY}".encode()
    error_row = f'[["error",{{"type":"{KEY} {encoded}"}},"t"]]'.encode()
    for answer in (said, KEY.encode() + b"\r\n\r\n", OK + b"\r\n" + KEY.encode()):
        async with server(saying(answer)) as api:
            with pytest.raises(DoveadmError) as caught:
                await ask(api)
            assert KEY not in str(caught.value) + repr(api)
            assert encoded not in str(caught.value) + repr(api)
    async with server(saying(OK + b"\r\n" + error_row)) as api:
        with pytest.raises(DoveadmError) as caught:
            await ask(api)
        assert KEY not in str(caught.value)


async def test_an_address_that_is_none_is_an_error_of_ours() -> None:
    with pytest.raises(DoveadmError):
        await ask(HttpApi("http://[broken", KEY))
    with pytest.raises(DoveadmError):
        await ask(HttpApi("ftp://127.0.0.1", KEY))
