"""One byte-stream interface, whatever carries the bytes, and its TCP implementation.

A connector which cannot say anything about the service (its SSH session failed, its own files ran
out) raises `StreamFailed` with LOCAL. Everything else may raise OSError; `classed` sorts it.
"""

import asyncio
import errno
import ipaddress
import socket
from typing import Protocol

from mailward.model.health import Failure, FailureKind

READ_AHEAD = 65536
"""Bytes kept for a reader that is slower than the peer; beyond it TCP pushes back."""

_OWN_FAULT = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
        errno.ENETDOWN,
        errno.EACCES,
        errno.EPERM,
    }
)


class ByteStream(Protocol):
    """`read` gives b'' at the end; `close` is immediate, waits for nothing and never fails."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Connector(Protocol):
    """Opens a stream to one service. The caller sets the deadline and cancels."""

    async def connect(self) -> ByteStream: ...


class StreamFailed(Exception):
    """A stream's end that is already classed."""

    def __init__(self, kind: FailureKind, detail: str = "") -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def classed(error: OSError | StreamFailed, stage: str) -> Failure:
    """What an exception of a connector or a stream says about the service."""
    if isinstance(error, StreamFailed):
        return Failure(error.kind, stage, error.detail)
    if isinstance(error, TimeoutError):
        return Failure(FailureKind.TIMEOUT, stage, "the kernel gave up")
    if isinstance(error, ConnectionRefusedError):
        return Failure(FailureKind.REFUSED, stage)
    if isinstance(error, ConnectionError):
        return Failure(FailureKind.RESET, stage)
    if isinstance(error, socket.gaierror):
        transient = error.errno == socket.EAI_AGAIN
        return Failure(
            FailureKind.LOCAL if transient else FailureKind.UNREACHABLE, stage, error.strerror or ""
        )
    if error.errno in _OWN_FAULT:
        return Failure(FailureKind.LOCAL, stage, error.strerror or "")
    return Failure(FailureKind.UNREACHABLE, stage, error.strerror or "")


class TcpStream(asyncio.Protocol):
    """A TCP connection. What arrived before a reset is read first: a server may say why."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None

    async def read(self) -> bytes:
        while not self._buffer and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            if self._transport is not None and not self._ended:
                self._transport.resume_reading()
            return data
        if self._error is not None:
            raise self._error
        return b""

    async def write(self, data: bytes) -> None:
        """Hand over to the kernel. What we say is short, so there is nothing to wait for; a peer
        that is gone is seen by the next read."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= READ_AHEAD and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class TcpConnector:
    """Connects to an address, or to each address of a name in turn."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    async def connect(self) -> ByteStream:
        failed: OSError | None = None
        for address in await self._addresses():
            try:
                return await self._connect(address)
            except OSError as error:
                failed = failed or error
        raise failed or StreamFailed(FailureKind.UNREACHABLE, f"{self.host} has no address")

    async def _addresses(self) -> list[str]:
        try:
            return [str(ipaddress.ip_address(self.host))]
        except ValueError:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    async def _connect(self, address: str) -> TcpStream:
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(TcpStream, address, self.port)
        return stream
