"""After an update the configured secondaries hear of it, and nobody waits for them."""

import asyncio
import logging
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from tests.unit.dns.dns_primary import SECRET, Answer, primary, says

from mailward.dns.drivers.rfc2136 import Rfc2136Settings, Rfc2136Target
from mailward.dns.servers import Server
from mailward.model.dns import Applied
from mailward.model.token import Token

OLD, NEW = Token("0123456789abcdef", 3, 14), Token("0123456789abcdef", 3, 15)


class Secondary(asyncio.DatagramProtocol):
    """Notes the NOTIFYs it gets and answers `rcode`, or nothing."""

    def __init__(self, rcode: dns.rcode.Rcode | None = dns.rcode.NOERROR) -> None:
        self.rcode = rcode
        self.heard: list[dns.message.Message] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(dns.message.from_wire(data))
        if self.rcode is not None:
            reply = dns.message.make_response(self.heard[-1])
            reply.set_rcode(self.rcode)
            self.transport.sendto(reply.to_wire(), addr)


async def claim(secondary: Secondary, answer: Answer, wait_s: float = 1.0) -> Applied:
    """One update at a primary with that secondary; then what is left of the NOTIFY is waited for."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: secondary, local_addr=("127.0.0.1", 0))
    listening = Server("127.0.0.1", transport.get_extra_info("sockname")[1])
    async with primary(answer) as (server, _):
        settings = Rfc2136Settings(
            "ns1", "c1", "example.test", server, "ctl", SECRET, secondaries=(listening,)
        )
        target = Rfc2136Target(settings, OLD.store_id)
        async with asyncio.timeout(1.2):  # its own tries last 1.5 s
            applied = await target.claim(OLD, NEW)
        if target._notifying:
            await asyncio.wait(target._notifying, timeout=wait_s)
        await target.close()
        assert not target._notifying
    transport.close()
    return applied


async def test_secondaries_are_told_of_an_update() -> None:
    secondary = Secondary()
    await claim(secondary, says(dns.rcode.NOERROR))
    (notify,) = secondary.heard
    assert notify.opcode() == dns.opcode.NOTIFY
    assert notify.flags & dns.flags.AA
    assert notify.question[0].to_text() == "example.test. IN SOA"


@pytest.mark.parametrize("rcode", [dns.rcode.REFUSED, dns.rcode.NXRRSET])
async def test_they_are_not_told_of_an_update_that_was_not_made(rcode: dns.rcode.Rcode) -> None:
    secondary = Secondary()
    await claim(secondary, says(rcode))
    assert not secondary.heard


async def test_a_secondary_that_refuses_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await claim(Secondary(dns.rcode.REFUSED), says(dns.rcode.NOERROR))
    assert "does not take NOTIFY: REFUSED (BIND: allow-notify)" in caplog.text


async def test_a_silent_secondary_delays_nothing_and_is_given_up_at_close() -> None:
    secondary = Secondary(None)
    await claim(secondary, says(dns.rcode.NOERROR), wait_s=0.05)
    assert len(secondary.heard) == 1
