"""doveadm over Dovecot's HTTP API.

The key opens every mailbox: redirects are not followed, proxies not used, and no text of the server's
goes into an error. Bind the API to loopback or a private network, or give it TLS. Each request has a
connection of its own: it costs a doveadm process either way, and nothing is held open to a dead node.
"""

import asyncio
import base64
import ssl
from collections.abc import Sequence
from http import HTTPStatus

import aiohttp

from mailward.replication.sources.doveadm import DoveadmError, Malformed, Problem, Question, Take
from mailward.replication.sources.rows import HttpRows

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Rows of about 400 000 users. Rows are not kept, so this bounds time and not memory."""


class HttpApi:
    """`url` is `http://HOST:PORT` or `https://...`; `tls` says whom to trust, None the system."""

    name = "the doveadm HTTP API"

    def __init__(self, url: str, api_key: str, tls: ssl.SSLContext | None = None) -> None:
        self._url = url.rstrip("/") + "/doveadm/v1"
        self._authorization = "X-Dovecot-API " + base64.b64encode(api_key.encode()).decode()
        self._tls = tls

    async def ask(self, questions: Sequence[Question], take: Take, deadline_s: float) -> None:
        body = [[question.method, question.parameters, question.name] for question in questions]
        rows = HttpRows(questions)
        try:
            async with (
                asyncio.timeout(deadline_s),
                self._session() as session,
                session.post(self._url, json=body, allow_redirects=False) as response,
            ):
                _check(response)
                await _read(response, rows, take)
        except TimeoutError as error:
            raise DoveadmError(Problem.TIMEOUT, f"no whole answer within {deadline_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _classed(error) from error

    def _session(self) -> aiohttp.ClientSession:
        # No force_close: with `Connection: close` Dovecot 2.3.19 leaves a wrong key without any answer.
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, ssl=self._tls or True),
            headers={"Authorization": self._authorization, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )


def _check(response: aiohttp.ClientResponse) -> None:
    if response.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise DoveadmError(
            Problem.DENIED,
            f"HTTP {response.status}: the key is not this Dovecot's doveadm_api_key",
        )
    if response.status != HTTPStatus.OK:
        raise Malformed(f"HTTP {response.status}: is this port Dovecot's `inet_listener http`?")
    if response.content_type != "application/json":
        raise Malformed("an answer that is no JSON: is this port Dovecot's `inet_listener http`?")


async def _read(response: aiohttp.ClientResponse, rows: HttpRows, take: Take) -> None:
    size = 0
    async for data in response.content.iter_any():
        size += len(data)
        if size > MAX_ANSWER_BYTES:
            raise Malformed(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        for question, row in rows.feed(data):
            take(question, row)
    rows.finish()


def _classed(error: Exception) -> DoveadmError:
    """aiohttp's tree in our words. Most particular first: its classes overlap."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    match error:
        case aiohttp.ClientSSLError():
            return DoveadmError(Problem.TLS, f"{type(error).__name__} in the handshake")
        case _ if isinstance(cause, ConnectionRefusedError):
            return DoveadmError(
                Problem.REFUSED, "connection refused: Dovecot is down, or the API not enabled"
            )
        case aiohttp.ClientConnectorError():
            return DoveadmError(Problem.UNREACHABLE, f"cannot connect: {error.os_error.strerror}")
        case aiohttp.ServerDisconnectedError():
            return DoveadmError(Problem.CLOSED, "closed without an answer: the replicator does not run?")
        case aiohttp.ClientPayloadError() | OSError():
            return DoveadmError(Problem.CLOSED, "the connection broke in the middle of the answer")
    return Malformed(f"no HTTP answer ({type(error).__name__})")
