"""RRsets of the model to and from dnspython's objects, in one canonical text form.

Names are absolute and lower-case; values are written as dnspython writes them (so that
`2001:DB8:0::1` and `2001:db8::1` are one address), sorted, each once. Text that is no record is a
ValueError naming it.
"""

import dns.exception
import dns.name
import dns.rdataclass
import dns.rdataset
import dns.rdatatype

from mailward.model.dns import RRset

MAX_TTL_S = 2**31 - 1


def parse_name(text: str) -> dns.name.Name:
    """An absolute name, lower-case; `mail.example` and `mail.example.` are the same."""
    try:
        return dns.name.from_text(text).canonicalize()
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"not a domain name: {text[:255]!r} ({error})") from error


def absolute(text: str) -> str:
    return parse_name(text).to_text()


def parse_type(text: str) -> dns.rdatatype.RdataType:
    try:
        return dns.rdatatype.from_text(text)
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"not a record type: {text[:40]!r}") from error


def to_rdataset(rrset: RRset) -> dns.rdataset.Rdataset:
    """Of a RRset with at least one value."""
    if not 0 <= rrset.ttl_s <= MAX_TTL_S:
        raise ValueError(f"{rrset.name} {rrset.type}: no TTL: {rrset.ttl_s}")
    kind = parse_type(rrset.type)
    try:
        return dns.rdataset.from_text_list(dns.rdataclass.IN, kind, rrset.ttl_s, list(rrset.values))
    except (dns.exception.DNSException, ValueError) as error:
        values = " ".join(rrset.values)[:200]
        raise ValueError(f"{rrset.name} {rrset.type}: no such value: {values!r} ({error})") from error


def from_rdataset(name: str, rdataset: dns.rdataset.Rdataset) -> RRset:
    values = tuple(sorted(rdata.to_text() for rdata in rdataset))
    return RRset(name, dns.rdatatype.to_text(rdataset.rdtype), rdataset.ttl, values)


def canonical(rrset: RRset) -> RRset:
    name = absolute(rrset.name)
    if rrset.values:
        return from_rdataset(name, to_rdataset(rrset))
    return RRset(name, dns.rdatatype.to_text(parse_type(rrset.type)), rrset.ttl_s, ())
