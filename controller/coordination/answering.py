"""What a daemon answers the others who connect to it: who it is, what it sees, and what it is asked.

The first line says who it is; each empty line is answered with its newest report, and a question with an
answer. `peers` is the other side.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mailward.controller.codec import REPORT, to_bytes
from mailward.controller.coordination.tls import Tls
from mailward.model.report import Report

log = logging.getLogger(__name__)

LINE = 512
"""Bytes of what is asked, at most."""
ANSWER = 1_000_000
"""Bytes of what is answered, at most: a report may be as long as in the store."""
MOST_OPEN = 64
"""Connections of others; each observer has one, and one more for each question."""

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. An answer may take `answer_s`; who is connected asks every `ask_s`, and is hung up on when it
    has not asked, or not taken the answer, for `idle_s`. A new certificate is shown after `renewal_s`."""

    answer_s: float = 2.0
    ask_s: float = 2.0
    idle_s: float = 10.0
    retry_s: float = 0.2
    retry_max_s: float = 2.0
    renewal_s: float = 60.0


async def no_answer(_question: Object) -> Object:
    return {}


class Answering:
    """`hello` says who we are. Only who is `admitted` is answered, by its certificate; without `tls` anybody
    is."""

    def __init__(
        self, hello: Object, admitted: Collection[str], tls: Tls | None, pace: Pace,
        report: Callable[[], Report | None], answer: Callable[[Object], Awaitable[Object]],
    ) -> None:  # fmt: skip
        self._hello = hello
        self._admitted = frozenset(admitted)
        self._tls = tls
        self._pace = pace
        self._report = report
        self._answer_to = answer
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def at(self, listen: tuple[str | None, int] | None) -> AsyncIterator[None]:
        """Listening there, if anywhere. OSError: it cannot."""
        if listen is None:
            yield
            return
        context = self._tls.context(ssl.PROTOCOL_TLS_SERVER) if self._tls else None
        handshake_s = self._pace.answer_s if context else None
        server = await asyncio.start_server(
            self._answer, *listen, ssl=context, limit=LINE, ssl_handshake_timeout=handshake_s
        )
        renewing = asyncio.create_task(_renewed(self._tls, context, self._pace.renewal_s), name="certificate")
        try:
            yield
        finally:
            renewing.cancel()
            server.close()
            for writer in self._open:
                writer.transport.abort()
            await asyncio.sleep(0)  # they are closed in the next turn

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if len(self._open) > MOST_OPEN:
                return
            if self._tls is not None and not names_of(writer) & self._admitted:
                return
            writer.write(to_bytes(self._hello) + b"\n")
            while True:
                async with asyncio.timeout(self._pace.idle_s):
                    line = await reader.readline()
                    if not line.endswith(b"\n"):
                        return
                    writer.write(await self._said(line) + b"\n")
                    await writer.drain()
        except (OSError, ValueError):  # also TimeoutError: who is connected asks now and then
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _said(self, line: bytes) -> bytes:
        """ValueError where the line is no question."""
        if line == b"\n":
            report = self._report()
            return REPORT.dump(report) if report is not None else b""
        return to_bytes(await self._answer_to(object_in(line)))


async def _renewed(tls: Tls | None, shown: ssl.SSLContext | None, every_s: float) -> None:
    """A new certificate is shown to those who connect from now on. While it is being written it may not fit
    its key for a moment."""
    if tls is None or shown is None:
        return
    written = tls.written()
    while True:
        await asyncio.sleep(every_s)
        found = tls.written()
        if found == written:
            continue
        try:
            tls.load_into(shown)
        except OSError as error:  # also ssl.SSLError
            log.warning("the new certificate %s cannot be shown yet: %s", tls.cert_file, error)
        else:
            log.info("the certificate %s is shown from now on", tls.cert_file)
            written = found


def object_in(line: bytes) -> Object:
    """ValueError where it is no JSON object."""
    try:
        found = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def names_of(writer: asyncio.StreamWriter) -> set[str]:
    """Whom the certificate of the other side is made out to: common name and DNS names."""
    shown: Mapping[str, object] = writer.get_extra_info("peercert") or {}
    pairs = [pair for part in _tuples(shown.get("subject")) for pair in _tuples(part)]
    pairs += _tuples(shown.get("subjectAltName"))
    wanted = ("commonName", "DNS")
    return {
        str(pair[1]) for pair in pairs if isinstance(pair, tuple) and len(pair) == 2 and pair[0] in wanted
    }


def _tuples(value: object) -> list[object]:
    return list(value) if isinstance(value, tuple) else []
