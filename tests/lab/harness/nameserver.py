"""The lab's name servers, seen as a client or an administrator would: queries, and TSIG updates by hand."""

from __future__ import annotations

from collections.abc import Iterable

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update
from tests.lab.harness.layout import DOMAIN, TTL_S


def ask(server: str, name: str, rdtype: str = "A", timeout_s: float = 1) -> frozenset[str] | None:
    """The RRset's values at `server`; empty for NXDOMAIN and NODATA, None when it does not answer rightly."""
    query = dns.message.make_query(name, rdtype)
    try:
        answer = dns.query.udp(query, server, timeout=timeout_s)
    except (OSError, dns.exception.DNSException):
        return None
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    wanted = dns.rdatatype.from_text(rdtype)
    return frozenset(
        record.to_text() for rrset in answer.answer if rrset.rdtype == wanted for record in rrset
    )


class Zone:
    """example.test at its primary, changed by hand (mailward has its own driver)."""

    def __init__(self, primary: str, key_name: str, secret: str) -> None:
        self.primary = primary
        self._key = dns.tsig.Key(key_name, secret, "hmac-sha256")

    def replace(self, name: str, rdtype: str, values: Iterable[str]) -> str:
        """Make an RRset exactly `values` (none: delete it); returns the reply's code, e.g. NOERROR."""
        update = dns.update.UpdateMessage(DOMAIN, keyring=self._key)
        update.delete(name + ".", rdtype)
        for value in sorted(values):
            update.add(name + ".", TTL_S, rdtype, value)
        return dns.rcode.to_text(dns.query.tcp(update, self.primary, timeout=3).rcode())
