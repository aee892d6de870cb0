"""What an operating system's error says about a service."""

import asyncio
import errno
import socket
import struct

import pytest
from tests.unit.health.scripted import Loopback

from mailward.health.streams import StreamFailed, TcpConnector, classed
from mailward.model.health import FailureKind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), FailureKind.REFUSED),
        (ConnectionResetError(), FailureKind.RESET),
        (BrokenPipeError(), FailureKind.RESET),
        (TimeoutError(), FailureKind.TIMEOUT),
        (OSError(errno.EHOSTUNREACH, "No route to host"), FailureKind.UNREACHABLE),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), FailureKind.UNREACHABLE),
        (OSError(errno.EMFILE, "Too many open files"), FailureKind.LOCAL),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), FailureKind.LOCAL),
        (OSError(errno.EPERM, "Operation not permitted"), FailureKind.LOCAL),
        (OSError(errno.ENETDOWN, "Network is down"), FailureKind.LOCAL),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), FailureKind.UNREACHABLE),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), FailureKind.LOCAL),
        (StreamFailed(FailureKind.LOCAL, "ssh"), FailureKind.LOCAL),
    ],
)
def test_errors_are_classed(error: OSError | StreamFailed, kind: FailureKind) -> None:
    assert classed(error, "connect").kind is kind


async def test_words_before_a_reset_are_heard() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"421 too busy\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with Loopback(handler) as port:
        stream = await TcpConnector("localhost", port).connect()
        await asyncio.sleep(0.06)
        assert await stream.read() == b"421 too busy\r\n"
        with pytest.raises(ConnectionResetError):
            await stream.read()
        stream.close()


async def test_a_slow_reader_keeps_memory_bounded() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with Loopback(handler) as port:
        stream = await TcpConnector("127.0.0.1", port).connect()
        await asyncio.sleep(0.05)
        first = await stream.read()
        assert len(first) <= 65536 + 262144
        assert await stream.read()
        stream.close()


async def test_a_read_given_up_loses_nothing() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"late")
        await asyncio.Event().wait()

    async with Loopback(handler) as port:
        stream = await TcpConnector("127.0.0.1", port).connect()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await stream.read()
        await stream.write(b"go\n")
        assert await stream.read() == b"late"
        stream.close()
