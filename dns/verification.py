"""Whether every authoritative server of a zone answers what is wanted: what resolvers will be told.

Each server is asked for each RRset over UDP, over TCP where the answer is cut short, without
recursion, and must answer with authority. Without a list of servers they are found from the zone's NS
records as its primary gives them; a name server's address outside the zone comes from the system's
resolver. Left out: DNSSEC, and the parent's delegation, which is no business of a failover.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver

from mailward.dns.records import absolute, from_rdataset, parse_name, parse_type
from mailward.dns.servers import Server
from mailward.model.dns import RRset, ServerCheck

_TRIES = 2
_MOST_SERVERS = 32


class _NoAnswer(Exception):
    """A server did not answer, or not with authority; the text says how."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Asks `primary` and the other authoritative servers of `zone`: those of `servers`, or, where that
    is None, those the zone names. A server that has not answered within `deadline_s` disagrees."""

    zone: str
    primary: Server
    servers: tuple[Server, ...] | None = None
    deadline_s: float = 2.0

    async def check(self, rrsets: Sequence[RRset]) -> tuple[ServerCheck, ...]:
        """One check per server, the primary's first. An empty RRset must not exist there."""
        unknown: tuple[ServerCheck, ...] = ()
        servers = self.servers
        if servers is None:
            servers, unknown = await self._find()
        asked = tuple(dict.fromkeys((self.primary, *servers)))
        checks = await asyncio.gather(*(self._check(server, rrsets) for server in asked))
        return (*checks, *unknown)

    async def _check(self, server: Server, rrsets: Sequence[RRset]) -> ServerCheck:
        try:
            async with asyncio.timeout(self.deadline_s):
                answers = await asyncio.gather(*(self._ask(server, rrset.key) for rrset in rrsets))
        except TimeoutError:
            return ServerCheck(str(server), False, f"no answer within {self.deadline_s:g} s")
        except _NoAnswer as error:
            return ServerCheck(str(server), False, str(error))
        wrong = [
            f"{wanted.name} {wanted.type} is {_text(found)}, wanted {_text(wanted)}"
            for wanted, found in zip(rrsets, answers, strict=True)
            if (found or wanted.values) and found != wanted
        ]
        return ServerCheck(str(server), not wrong, "; ".join(wrong))

    async def _ask(self, server: Server, key: tuple[str, str]) -> RRset | None:
        """The RRset as `server` has it, None where it has none."""
        name, kind = parse_name(key[0]), parse_type(key[1])
        query = dns.message.make_query(name, kind, use_edns=0, payload=1232, flags=0)
        reply = await self._exchange(server, query)
        if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise _NoAnswer(f"it answers {dns.rcode.to_text(reply.rcode())} for {key[0]} {key[1]}")
        if not reply.flags & dns.flags.AA:
            raise _NoAnswer(f"it has no authority for {key[0]}")
        found = reply.get_rrset(dns.message.ANSWER, name, query.question[0].rdclass, kind)
        return from_rdataset(name.to_text(), found) if found else None

    async def _exchange(self, server: Server, query: dns.message.Message) -> dns.message.Message:
        trouble = f"no answer within {self.deadline_s:g} s"
        for _ in range(_TRIES):
            try:
                reply, _ = await dns.asyncquery.udp_with_fallback(
                    query,
                    server.host,
                    self.deadline_s / _TRIES,
                    server.port,
                    ignore_unexpected=True,
                    ignore_errors=True,
                )
            except dns.exception.Timeout:
                continue
            except (OSError, EOFError, dns.exception.DNSException) as error:
                trouble = str(error) or type(error).__name__
                continue
            return reply
        raise _NoAnswer(trouble)

    async def _find(self) -> tuple[tuple[Server, ...], tuple[ServerCheck, ...]]:
        """The zone's name servers by address, and a failed check for each without one."""
        try:
            async with asyncio.timeout(self.deadline_s):
                listed = await self._ask(self.primary, (absolute(self.zone), "NS"))
            if listed is None:
                raise _NoAnswer("it has no NS records")
        except (TimeoutError, _NoAnswer) as error:
            detail = f"the name servers of {self.zone} are not known: {error or 'no answer'}"
            return (), (ServerCheck(f"NS of {self.zone}", False, detail),)
        names = listed.values[:_MOST_SERVERS]
        found = await asyncio.gather(*(self._addresses(absolute(name)) for name in names))
        servers = tuple(Server(host) for hosts in found for host in hosts)
        lost = [name for name, hosts in zip(names, found, strict=True) if not hosts]
        return servers, tuple(ServerCheck(name, False, "its address cannot be found") for name in lost)

    async def _addresses(self, name: str) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(self.deadline_s):
                if parse_name(name).is_subdomain(parse_name(self.zone)):
                    sets = [await self._ask(self.primary, (name, kind)) for kind in ("A", "AAAA")]
                    return tuple(value for rrset in sets if rrset for value in rrset.values)
                answers = await dns.asyncresolver.Resolver().resolve_name(name, lifetime=self.deadline_s)
                return tuple(answers.addresses())
        except (TimeoutError, OSError, _NoAnswer, dns.exception.DNSException):
            return ()


def _text(rrset: RRset | None) -> str:
    if rrset is None or not rrset.values:
        return "absent"
    return f"{', '.join(rrset.values)} (TTL {rrset.ttl_s})"
