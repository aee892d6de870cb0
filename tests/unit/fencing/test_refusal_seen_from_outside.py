"""Only a reset is a refusal: not a silence, not an address without a way to it."""

from __future__ import annotations

import asyncio
import socket

from mailward.fencing.verification import Seen, look


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_a_refused_and_an_accepting_port_are_told_apart() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    open_port, closed_port = server.sockets[0].getsockname()[1], free_port()
    sights = await look(["127.0.0.1"], [open_port, closed_port], 2.0)
    assert [sight.seen for sight in sights] == [Seen.ACCEPTED, Seen.REFUSED]
    assert str(sights[0]) == f"127.0.0.1:{open_port} accepted"
    server.close()
    await server.wait_closed()


async def test_silence_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        fillers = []
        for _ in range(4):  # a full backlog drops what comes next
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        (sight,) = await look(["127.0.0.1"], [address[1]], 0.1)
        assert (sight.seen, sight.detail) == (Seen.UNKNOWN, "no answer in 0.1 s")
        for filler in fillers:
            filler.close()


async def test_an_address_that_cannot_be_reached_is_unknown() -> None:
    (sight,) = await look(["not an address"], [993], 1.0)
    assert sight.seen is Seen.UNKNOWN


async def test_ipv6_addresses_are_shown_in_brackets() -> None:
    (sight,) = await look(["::1"], [free_port()], 1.0)
    assert str(sight).startswith("[::1]:")
