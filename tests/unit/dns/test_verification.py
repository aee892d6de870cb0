"""Every authoritative server is asked, and each is told apart by what it answers."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest

from mailward.dns.embedded.server import EmbeddedServer
from mailward.dns.embedded.zone import Zone, ZoneSettings
from mailward.dns.servers import Server
from mailward.dns.verification import Verification
from mailward.model.dns import RRset, ServerCheck

ORIGIN = "example.test."
NS1 = RRset("ns1.example.test.", "A", 60, ("127.0.0.1",))
MAIL = RRset("mail.example.test.", "A", 5, ("192.0.2.1", "192.0.2.2"))
MAIL6 = RRset("mail.example.test.", "AAAA", 5, ("2001:db8::1",))
NO_MAIL6 = RRset("mail.example.test.", "AAAA", 0, ())
BIG = RRset("big.example.test.", "TXT", 5, tuple(f'"{n:03}{"x" * 200}"' for n in range(20)))


@contextlib.asynccontextmanager
async def serving(
    *rrsets: RRset, host: str = "127.0.0.1", port: int = 0, **zone: Any
) -> AsyncIterator[Server]:
    settings = dataclasses.replace(ZoneSettings(ORIGIN, ("ns1.example.test.",)), **zone)
    server = EmbeddedServer(lambda: Zone(settings, 1, rrsets), [Server(host, port)])
    await server.start()
    try:
        yield server.addresses[0]
    finally:
        await server.close()


async def test_servers_that_answer_what_is_wanted_agree() -> None:
    async with serving(MAIL) as one, serving(MAIL) as two:
        checks = await Verification(ORIGIN, one, (two, one)).check([MAIL, NO_MAIL6])
    assert checks == (ServerCheck(str(one), True), ServerCheck(str(two), True))


@pytest.mark.parametrize(
    ("held", "detail"),
    [
        (
            dataclasses.replace(MAIL, values=("192.0.2.1",)),
            "is 192.0.2.1 (TTL 5), wanted 192.0.2.1, 192.0.2.2",
        ),
        (dataclasses.replace(MAIL, ttl_s=60), "(TTL 60), wanted 192.0.2.1, 192.0.2.2 (TTL 5)"),
        (MAIL6, "mail.example.test. A is absent, wanted 192.0.2.1"),
    ],
    ids=["values", "TTL", "absent"],
)
async def test_a_server_that_answers_otherwise_is_told_with_what(held: RRset, detail: str) -> None:
    async with serving(MAIL) as one, serving(held) as two:
        first, second = await Verification(ORIGIN, one, (two,)).check([MAIL])
    assert first.agrees
    assert not second.agrees
    assert detail in second.detail


async def test_an_rrset_that_should_be_gone_is_told() -> None:
    async with serving(MAIL, MAIL6) as one:
        (check,) = await Verification(ORIGIN, one, ()).check([MAIL, NO_MAIL6])
    assert check.detail == "mail.example.test. AAAA is 2001:db8::1 (TTL 5), wanted absent"


async def test_an_answer_too_large_for_udp_is_asked_for_over_tcp() -> None:
    async with serving(BIG) as one:
        assert await Verification(ORIGIN, one, ()).check([BIG]) == (ServerCheck(str(one), True),)


class Odd(asyncio.DatagramProtocol):
    """A server that answers `rcode` without authority, nothing at all, or noise."""

    def __init__(self, rcode: dns.rcode.Rcode | None, noise: bytes = b"") -> None:
        self.rcode = rcode
        self.noise = noise
        self.asked = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if self.noise:
            self.transport.sendto(self.noise, addr)
        if self.rcode is not None:
            reply = dns.message.make_response(dns.message.from_wire(data))
            reply.set_rcode(self.rcode)
            self.transport.sendto(reply.to_wire(), addr)


@pytest.mark.parametrize(
    ("odd", "detail"),
    [
        (Odd(None), "no answer within 0.1 s"),
        (Odd(None, b"\xff" * 50), "no answer within 0.1 s"),
        (Odd(dns.rcode.SERVFAIL), "it answers SERVFAIL for mail.example.test. A"),
        (Odd(dns.rcode.REFUSED), "it answers REFUSED for mail.example.test. A"),
        (Odd(dns.rcode.NOERROR), "it has no authority for mail.example.test."),
    ],
    ids=["silent", "noise", "servfail", "refused", "not authoritative"],
)
async def test_a_server_in_trouble_disagrees_within_the_deadline(odd: Odd, detail: str) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: odd, local_addr=("127.0.0.1", 0))
    server = Server("127.0.0.1", transport.get_extra_info("sockname")[1])
    async with asyncio.timeout(2):
        (check,) = await Verification(ORIGIN, server, (), deadline_s=0.1).check([MAIL])
    transport.close()
    assert check == ServerCheck(str(server), False, detail)


async def test_a_lost_datagram_is_asked_again() -> None:
    odd = Odd(None)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: odd, local_addr=("127.0.0.1", 0))
    server = Server("127.0.0.1", transport.get_extra_info("sockname")[1])
    await Verification(ORIGIN, server, (), deadline_s=0.1).check([MAIL])
    transport.close()
    assert odd.asked == 2


class TestFinding:
    """Servers found through NS answer on port 53, so what is asked there is only looked at here."""

    async def test_name_servers_in_the_zone_are_found_by_their_addresses_there(self) -> None:
        ns2 = RRset("ns2.example.test.", "AAAA", 60, ("::1",))
        async with serving(MAIL, NS1, ns2, name_servers=("ns1.example.test.", "ns2.example.test.")) as one:
            servers, lost = await Verification(ORIGIN, one)._find()
        assert servers == (Server("127.0.0.1"), Server("::1"))
        assert lost == ()

    async def test_a_name_server_without_address_is_told(self) -> None:
        async with serving(MAIL, name_servers=("gone.example.test.",)) as one:
            servers, lost = await Verification(ORIGIN, one)._find()
        assert servers == ()
        assert lost == (ServerCheck("gone.example.test.", False, "its address cannot be found"),)

    async def test_without_an_answer_for_ns_nothing_is_called_verified(self) -> None:
        checks = await Verification(ORIGIN, Server("127.0.0.1", 1), None, deadline_s=0.1).check([MAIL])
        assert [check.agrees for check in checks] == [False, False]
        assert "the name servers of example.test. are not known" in checks[1].detail

    async def test_a_name_that_has_no_name_servers_is_not_called_verified(self) -> None:
        async with serving(MAIL) as one:
            checks = await Verification(MAIL.name, one).check([MAIL])
        assert [check.agrees for check in checks] == [True, False]
        assert "it has no NS records" in checks[1].detail
