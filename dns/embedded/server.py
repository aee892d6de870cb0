"""The sockets of the embedded name server: UDP and TCP on each listening address.

It shares its event loop with the daemon, so a flood must cost little: questions beyond
`UDP_QUESTIONS_PER_S` are dropped unread, connections beyond `TCP_CONNECTIONS` are closed at once, and a
connection that is idle, slow to read or asks too much is closed. Give real addresses to listen on, not
0.0.0.0, on a host with several: a UDP answer from another address than the one asked is thrown away.
"""

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence

from mailward.dns.embedded.respond import LARGEST_QUESTION, Transport, respond
from mailward.dns.embedded.zone import Zone
from mailward.dns.servers import Server

log = logging.getLogger(__name__)

UDP_QUESTIONS_PER_S = 1000  # each takes about 0.2 ms
TCP_CONNECTIONS = 64
TCP_QUESTIONS = 128
_PORT_TRIES = 10


class EmbeddedServer:
    """Answers from `zone()` on `listen` addresses; port 0 takes any, `addresses` says which.

    A TCP connection lives while a question comes every `idle_s` and its answer is taken within that."""

    def __init__(self, zone: Callable[[], Zone], listen: Sequence[Server], *, idle_s: float = 5.0) -> None:
        self._zone = zone
        self._listen = tuple(listen)
        self._idle_s = idle_s
        self._tcp: list[asyncio.Server] = []
        self._udp: list[asyncio.DatagramTransport] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.addresses: tuple[Server, ...] = ()

    async def start(self) -> None:
        """OSError names the address that cannot be had; nothing is left open then."""
        try:
            self.addresses = tuple([await self._bind(server) for server in self._listen])
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        for transport in self._udp:
            transport.close()
        for listener in self._tcp:
            listener.close()
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._udp.clear()
        self._tcp.clear()
        await asyncio.sleep(0)  # the transports' sockets close in the loop's next turn

    async def _bind(self, server: Server) -> Server:
        """TCP and UDP on the same port, also where any port will do."""
        loop = asyncio.get_running_loop()
        for tries_left in reversed(range(_PORT_TRIES if server.port == 0 else 1)):
            listener = await asyncio.start_server(
                self._accept, server.host, server.port, limit=LARGEST_QUESTION
            )
            port: int = listener.sockets[0].getsockname()[1]
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._zone), local_addr=(server.host, port)
                )
            except OSError:
                listener.close()
                if not tries_left:
                    raise
                continue
            self._tcp.append(listener)
            self._udp.append(transport)
            return Server(server.host, port)
        raise AssertionError("the last try raises")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._connections) < TCP_CONNECTIONS:
                self._connections[task] = writer
                await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            self._connections.pop(task, None)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(TCP_QUESTIONS):
            async with asyncio.timeout(self._idle_s):
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                if length > LARGEST_QUESTION:
                    return
                wire = await reader.readexactly(length)
                answer = respond(self._zone(), wire, Transport.TCP)
                if answer is None:
                    return
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    """Questions by UDP; at most so many a second, counted in whole seconds of the loop's clock."""

    def __init__(self, zone: Callable[[], Zone]) -> None:
        self._zone = zone
        self._second = 0
        self._left = 0
        self._congested = False

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self._loop = asyncio.get_running_loop()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._congested or not self._take():
            return
        answer = respond(self._zone(), data, Transport.UDP)
        if answer is not None:
            self._transport.sendto(answer, addr)

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False

    def _take(self) -> bool:
        second = int(self._loop.time())
        if second != self._second:
            self._second, self._left = second, UDP_QUESTIONS_PER_S
        self._left -= 1
        return self._left >= 0
