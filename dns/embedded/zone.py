"""The zone as a value: its SOA and NS, what the controller published, and a serial.

A change makes a new zone with the next serial. Only A, AAAA and TXT can be published; SOA and NS come from
the configuration at each start. Left out: CNAME, wildcards, delegations and DNSSEC. A zone delegated for a
few mail names needs none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import dns.name
import dns.rdataset
import dns.rdatatype

from mailward.dns.records import absolute, canonical, parse_name, parse_type, to_rdataset
from mailward.model.dns import RRset

PUBLISHED_TYPES = ("A", "AAAA", "TXT")
_SERIALS = 2**32


@dataclass(frozen=True, slots=True)
class ZoneSettings:
    """`name_servers` are absolute names. `contact` is the mailbox of SOA, as a name; the default is
    hostmaster of the zone."""

    origin: str
    name_servers: tuple[str, ...]
    contact: str = ""
    ttl_s: int = 60
    negative_ttl_s: int = 5

    def authority(self, serial: int) -> tuple[RRset, ...]:
        """SOA and NS. Refresh, retry and expire mean nothing: there are no transfers."""
        origin = absolute(self.origin)
        if not self.name_servers:
            raise ValueError(f"zone {origin} names no name server")
        contact = absolute(self.contact or f"hostmaster.{origin}")
        servers = tuple(absolute(name) for name in self.name_servers)
        soa = f"{servers[0]} {contact} {serial} 60 60 86400 {self.negative_ttl_s}"
        return (RRset(origin, "SOA", self.ttl_s, (soa,)), RRset(origin, "NS", self.ttl_s, servers))


@dataclass(frozen=True)
class Zone:
    """`published` is canonical, at most one RRset per name and type."""

    settings: ZoneSettings
    serial: int = 1
    published: tuple[RRset, ...] = ()

    def __post_init__(self) -> None:
        """ValueError for a zone that cannot be served."""
        _ = self._records
        for rrset in self.published:
            if problem := self.problem_with(rrset.name, rrset.type):
                raise ValueError(problem)

    @cached_property
    def origin(self) -> dns.name.Name:
        return parse_name(self.settings.origin)

    @cached_property
    def _records(self) -> dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rdataset.Rdataset]:
        every = (*self.settings.authority(self.serial), *self.published)
        for rrset in every:
            if not parse_name(rrset.name).is_subdomain(self.origin):
                raise ValueError(f"{rrset.name} is not in zone {self.origin}")
        return {(parse_name(rrset.name), parse_type(rrset.type)): to_rdataset(rrset) for rrset in every}

    @cached_property
    def _names(self) -> frozenset[dns.name.Name]:
        """All names that exist, those included which only have something below them."""
        names = set()
        for name, _ in self._records:
            while name not in names and name.is_subdomain(self.origin):
                names.add(name)
                name = name.parent() if name != self.origin else name
        return frozenset(names)

    @property
    def soa(self) -> dns.rdataset.Rdataset:
        return self._records[self.origin, dns.rdatatype.SOA]

    def find(self, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.rdataset.Rdataset | None:
        return self._records.get((name, kind))

    def exists(self, name: dns.name.Name) -> bool:
        return name in self._names

    def rrset(self, name: str, kind: str) -> RRset | None:
        """A published RRset."""
        return next((rrset for rrset in self.published if rrset.key == (name, kind)), None)

    def problem_with(self, name: str, kind: str) -> str:
        """Why this name and type cannot be published here; '' when they can."""
        if not parse_name(name).is_subdomain(self.origin):
            return f"{name} is not in zone {self.origin}"
        if kind not in PUBLISHED_TYPES:
            return f"{name} {kind}: only {', '.join(PUBLISHED_TYPES)} can be published here"
        return ""

    def replaced(self, changes: Sequence[tuple[tuple[str, str], RRset | None]]) -> "Zone":
        """The zone after `changes`, with the next serial; ValueError for what cannot be published."""
        published = {rrset.key: rrset for rrset in self.published}
        for (name, kind), rrset in changes:
            if problem := self.problem_with(name, kind):
                raise ValueError(problem)
            if rrset is None or not rrset.values:
                published.pop((name, kind), None)
            else:
                published[name, kind] = canonical(rrset)
        return Zone(self.settings, (self.serial + 1) % _SERIALS or 1, tuple(sorted(published.values())))
