"""What a transport gives: a started `mailward-node serve` with its streams, on whichever host.

Every await here is bounded by its caller with `asyncio.timeout`; a library's own timeouts do not cover
all of its waits (asyncssh: opening a channel).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

LINE_LIMIT = 256 * 1024
_CHUNK = 65536
_COMPLAINT_TIMEOUT_S = 0.3


class ChannelError(Exception):
    """The helper cannot be reached, or broke off; the text says why, for people."""


class Reader(Protocol):
    async def read(self, n: int = -1, /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> None: ...

    async def drain(self) -> None: ...


class Channel(Protocol):
    """One process of the helper."""

    @property
    def reader(self) -> Reader: ...

    @property
    def writer(self) -> Writer: ...

    async def complaint(self) -> str:
        """What it wrote to stderr, in short; '' for nothing."""
        ...

    def close(self) -> None:
        """Let go of the process; it ends by itself when its streams do."""
        ...


class Transport(Protocol):
    """Starts the helper. All failures are `ChannelError`."""

    name: str

    async def open(self) -> Channel: ...

    def forget(self) -> bool:
        """Do not use the present connection again; whether it was an older one, worth replacing."""
        ...

    async def close(self) -> None: ...


class LineReader:
    """Lines of bounded length from a stream; what follows a line stays readable."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rest = b""

    async def line(self) -> bytes:
        """The next line without its end; `ChannelError` if the stream ends first or says too much."""
        while b"\n" not in self._rest:
            chunk = await self._reader.read(_CHUNK)
            if not chunk:
                raise ChannelError("it ended without an answer")
            self._rest += chunk
            if len(self._rest) > LINE_LIMIT:
                raise ChannelError(f"it answered more than {LINE_LIMIT} bytes")
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    async def read(self) -> bytes:
        """Whatever comes next; b'' at the end."""
        rest, self._rest = self._rest, b""
        return rest or await self._reader.read(_CHUNK)


async def complaint_of(channel: Channel | None) -> str:
    """What a process that did not answer had to say, and its end."""
    if channel is None:
        return ""
    try:
        async with asyncio.timeout(_COMPLAINT_TIMEOUT_S):
            return await channel.complaint()
    except TimeoutError:
        return ""
    finally:
        channel.close()
