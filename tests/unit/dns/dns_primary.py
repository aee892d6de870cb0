"""A primary name server that answers each message as a test says, over TCP on loopback."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.message
import dns.rcode
import dns.tsig

from mailward.dns.servers import Server

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
KEY = dns.tsig.Key("ctl.", SECRET, "hmac-sha256")
WRONG_KEY = dns.tsig.Key("ctl.", "d3JvbmctLXdyb25nLS13cm9uZy0td3JvbmctLTEyMzQ=", "hmac-sha256")

Answer = Callable[[bytes], bytes | None]
"""The raw reply to a raw message, its length before it; None hangs up, b'' says nothing."""


def framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


def says(rcode: dns.rcode.Rcode, key: dns.tsig.Key | None = KEY, key_error: int = 0) -> Answer:
    """Answer `rcode`, signed with `key`, or unsigned; `key_error` is what it says of our key."""

    def answer(wire: bytes) -> bytes:
        query = dns.message.from_wire(wire, keyring=KEY)
        reply = dns.message.make_response(query, tsig_error=key_error)
        reply.set_rcode(rcode)
        if key is None:
            reply.tsig = None
        else:
            reply.keyring = key
        return framed(reply.to_wire())

    return answer


@asynccontextmanager
async def primary(answer: Answer) -> AsyncIterator[tuple[Server, list[bytes]]]:
    """A server that gives `answer` to everything, and what it was sent."""
    received: list[bytes] = []
    open_writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.append(writer)
        try:
            while True:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
                received.append(await reader.readexactly(length))
                said = answer(received[-1])
                if said is None:
                    break
                writer.write(said)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Server("127.0.0.1", listener.sockets[0].getsockname()[1]), received
    finally:
        listener.close()
        for writer in open_writers:
            writer.transport.abort()
        await asyncio.sleep(0.001)
