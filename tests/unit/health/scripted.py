"""Servers that do what a test says: in memory (virtual time), and on loopback."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from mailward.health.streams import ByteStream


class MemoryStream:
    """The client's end of a conversation with `MemoryServer`."""

    def __init__(self, server: "MemoryServer") -> None:
        self._server = server
        self._chunks: deque[bytes | Exception] = deque()
        self._arrived = asyncio.Event()
        self.closed = False
        self.written = bytearray()

    def push(self, chunk: bytes | Exception) -> None:
        self._chunks.append(chunk)
        self._arrived.set()

    async def read(self) -> bytes:
        while not self._chunks:
            self._arrived.clear()
            await self._arrived.wait()
        chunk = self._chunks[0]
        if isinstance(chunk, Exception):
            raise chunk
        if chunk:
            self._chunks.popleft()
        return chunk

    async def write(self, data: bytes) -> None:
        self.written += data
        if not self._server.hung:
            for line in data.splitlines():
                self._server.answer(self, line)

    def close(self) -> None:
        self.closed = True
        self._server.streams.discard(self)


class MemoryServer:
    """A mail service in memory: it serves, hangs, dies, and comes back when told."""

    def __init__(self, banner: bytes = b"220 mail-a.test ESMTP\r\n") -> None:
        self.banner = banner
        self.hung = False
        self.alive = True
        self.reachable = True
        self.delay_s = 0.0
        self.connects: list[float] = []
        self.commands: list[bytes] = []
        self.streams: set[MemoryStream] = set()
        self.most_at_once = 0
        self.own_fault: Exception | None = None

    async def connect(self) -> ByteStream:
        self.connects.append(asyncio.get_running_loop().time())
        if self.own_fault is not None:
            raise self.own_fault
        if not self.reachable:
            await asyncio.Event().wait()
        if not self.alive:
            raise ConnectionRefusedError
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        stream = MemoryStream(self)
        self.streams.add(stream)
        self.most_at_once = max(self.most_at_once, len(self.streams))
        if not self.hung:
            stream.push(self.banner)
        return stream

    def answer(self, stream: MemoryStream, line: bytes) -> None:
        verb = line.split(b" ")[0]
        self.commands.append(verb)
        if verb == b"QUIT":
            stream.push(b"221 bye\r\n")
            stream.push(b"")
        else:
            stream.push(b"250 ok\r\n")

    def die(self, reset: bool = False) -> None:
        """kill -9: the kernel ends every connection."""
        self.alive = False
        self.drop(reset)

    def drop(self, reset: bool = False) -> None:
        for stream in list(self.streams):
            stream.push(ConnectionResetError() if reset else b"")


class Recital:
    """A server in memory that speaks a fixed part (None: wait for a line), then behaves as `end` says:
    silence, close or reset. `pause_s` goes before everything it says."""

    def __init__(self, steps: Sequence[bytes | None], end: str = "silence", pause_s: float = 0.0) -> None:
        self._steps = deque(steps)
        self._end = end
        self._pause_s = pause_s
        self._heard = asyncio.Queue[bytes]()
        self.closed = False

    async def connect(self) -> ByteStream:
        return self

    async def read(self) -> bytes:
        while self._steps:
            step = self._steps.popleft()
            if step is not None:
                await asyncio.sleep(self._pause_s)
                return step
            await self._heard.get()
        if self._end == "silence":
            await asyncio.Event().wait()
        if self._end == "reset":
            raise ConnectionResetError
        return b""

    async def write(self, data: bytes) -> None:
        for line in data.splitlines():
            self._heard.put_nowait(line)

    def close(self) -> None:
        self.closed = True


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Loopback:
    """`async with Loopback(handler, ssl=...) as port`: a real server for one test."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        self._handler = handler
        self._options = options
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, **self._options)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


def script(*steps: bytes | None) -> Handler:
    """Speak a fixed part: bytes are sent, None waits for a line of the client. Then silence."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in steps:
            if step is None:
                await reader.readline()
            else:
                writer.write(step)
                await writer.drain()
        await asyncio.Event().wait()

    return handler


Body = Coroutine[Any, Any, None]
