"""A helper's `connect` as an ordinary socket.

The caller gets one end of a socket pair, which asyncio can speak TLS over; a task carries the bytes
between the other end and the helper's streams. It ends when either side does, or is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from mailward.fencing.channel import Channel, ChannelError, LineReader

_CHUNK = 65536


class Pipe:
    """`taken` is the caller's end."""

    def __init__(self, channel: Channel, lines: LineReader) -> None:
        self._channel = channel
        self._lines = lines
        self.taken, self._kept = socket.socketpair()
        self.taken.setblocking(False)
        self._kept.setblocking(False)
        self._task: asyncio.Task[None] | None = None

    def start(self, ended: Callable[[Pipe], None]) -> None:
        """Begin to carry; `ended` is called once it is over."""

        def let_go(_: asyncio.Task[None]) -> None:
            self._channel.close()
            self._kept.close()
            ended(self)

        self._task = asyncio.create_task(self._carry(), name="pipe to a service behind closed ports")
        self._task.add_done_callback(let_go)

    async def close(self) -> None:
        """End it now."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _carry(self) -> None:
        ways = [asyncio.create_task(way()) for way in (self._from_node, self._to_node)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _from_node(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, ChannelError):
            while data := await self._lines.read():
                await loop.sock_sendall(self._kept, data)

    async def _to_node(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, ChannelError):
            while data := await loop.sock_recv(self._kept, _CHUNK):
                self._channel.writer.write(data)
                await self._channel.writer.drain()
