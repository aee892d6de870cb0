"""A running BIND with the zone of the DNS target contract, as the suite's `World`."""

import dns.asyncquery
import dns.rcode
import dns.update
from tests.contract.dns_contract import KEYS, STORE, TOKEN_NAME, ZONE

from mailward.dns.drivers.rfc2136 import Rfc2136Settings, Rfc2136Target
from mailward.model.ports import DnsTarget


class BindWorld:
    """`settings` must allow its key to update the token TXT and KEYS of ZONE."""

    def __init__(self, settings: Rfc2136Settings) -> None:
        self.settings = settings
        self.targets: list[Rfc2136Target] = []

    def target(self, store_id: str = STORE) -> DnsTarget:
        target = Rfc2136Target(self.settings, store_id)
        self.targets.append(target)
        return target

    async def plant(self, *values: str) -> None:
        update = self._update()
        update.delete(TOKEN_NAME, "TXT")
        for value in values:
            update.add(TOKEN_NAME, 5, "TXT", value)
        await self._send(update)

    async def empty(self) -> None:
        """Remove what the suite writes."""
        update = self._update()
        for name, kind in (*KEYS, (TOKEN_NAME, "TXT")):
            update.delete(name, kind)
        await self._send(update)

    async def close(self) -> None:
        for target in self.targets:
            await target.close()

    def _update(self) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(ZONE, keyring=self.settings.key())

    async def _send(self, update: dns.update.UpdateMessage) -> None:
        server = self.settings.server
        reply = await dns.asyncquery.tcp(update, server.host, timeout=2, port=server.port)
        assert reply.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(reply.rcode())
