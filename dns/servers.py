"""Name servers by address, and one TCP conversation with one of them.

Addresses only: a controller that must change DNS does not wait for a resolver first. dnspython sends
UDP; its TCP parses replies itself and loses the reply code of an unsigned refusal, so TCP is here.
Deadlines are the caller's (`asyncio.timeout`); a reply is at most 65535 bytes by its length field.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Server:
    """A name server's address, IPv4 or IPv6, and port."""

    host: str
    port: int = 53

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            raise ValueError(f"a name server is given by its IP address, not {self.host!r}") from None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 53 else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TcpStream:
    """DNS messages over one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *messages: bytes) -> None:
        self.writer.write(b"".join(struct.pack("!H", len(wire)) + wire for wire in messages))
        await self.writer.drain()

    async def receive(self) -> bytes:
        """The next message; IncompleteReadError (an EOFError) when the server hangs up."""
        self._acknowledge_at_once()
        (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        return await self.reader.readexactly(length)

    def _acknowledge_at_once(self) -> None:
        """A server with Nagle on holds its second answer until we acknowledge the first: 40 ms."""
        if hasattr(socket, "TCP_QUICKACK"):
            self.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


@asynccontextmanager
async def tcp(server: Server) -> AsyncIterator[TcpStream]:
    """A connection that is gone at the end, whatever the server does."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield TcpStream(reader, writer)
    finally:
        writer.transport.abort()
