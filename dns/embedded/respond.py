"""One DNS message in, one out: what an authoritative server of one zone says. No I/O; never raises.

RFC 1035, 2308 (negative answers carry the SOA), 6891 (EDNS0), 8020 (an empty name above others
exists), 8482 (ANY gets one small answer). Names outside the zone, other classes and zone transfers are
REFUSED; other opcodes NOTIMP; what cannot be read FORMERR. Answers carry nothing that was not asked
for, so that they are no use for amplification. Left out: recursion, TSIG (NOTAUTH), cookies, DNSSEC.
"""

import struct
from enum import StrEnum

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset

from mailward.dns.embedded.zone import Zone

PAYLOAD = 1232  # what fits every path without fragments (DNS flag day 2020)
LARGEST_QUESTION = 4096
_PLAIN_UDP = 512
_HEADER = struct.Struct("!HHHHHH")
_RD = int(dns.flags.RD)
_TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
_PSEUDO = (dns.rdatatype.OPT, dns.rdatatype.TSIG, dns.rdatatype.TKEY, dns.rdatatype.NONE)
_ANY_ANSWER = dns.rdata.from_text("IN", "HINFO", '"RFC8482" ""')


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"


def respond(zone: Zone, wire: bytes, transport: Transport) -> bytes | None:
    """The answer to `wire`; None for what is no question at all (too short, or itself an answer)."""
    if len(wire) < _HEADER.size:
        return None
    flags = _HEADER.unpack_from(wire)[1]
    if flags & dns.flags.QR:
        return None
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        return _bare(wire, dns.rcode.NOTIMP)
    if not _is_plain_question(wire):
        return _bare(wire, dns.rcode.FORMERR)
    try:
        query = dns.message.from_wire(wire, keyring=False)
    except dns.exception.DNSException:
        return _bare(wire, dns.rcode.FORMERR)
    reply = dns.message.make_response(query, our_payload=PAYLOAD, pad=0)
    if query.edns >= 0:
        reply.ednsflags |= query.ednsflags & dns.flags.DO
    _answer(zone, query, reply)
    return _fitted(reply, _limit(query, transport))


def _is_plain_question(wire: bytes) -> bool:
    """One question, with no more than SOA (IXFR), OPT and TSIG beside it: hundreds of records in what
    claims to be a question would take milliseconds to read."""
    questions, answers, authorities, additionals = _HEADER.unpack_from(wire)[2:]
    few = questions == 1 and answers == 0 and authorities <= 1 and additionals <= 2
    return few and len(wire) <= LARGEST_QUESTION


def _bare(wire: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """A header alone: the id and what the asker's flags say, and a code."""
    number, flags = _HEADER.unpack_from(wire)[:2]
    kept = flags & (0x7800 | _RD)  # opcode, recursion desired
    return _HEADER.pack(number, dns.flags.QR | kept | rcode, 0, 0, 0, 0)


def _answer(zone: Zone, query: dns.message.Message, reply: dns.message.Message) -> None:
    question = query.question[0]
    if query.edns > 0:
        reply.set_rcode(dns.rcode.BADVERS)
    elif query.had_tsig:
        reply.set_rcode(dns.rcode.NOTAUTH)
    elif question.rdtype in _PSEUDO:
        reply.set_rcode(dns.rcode.FORMERR)
    elif (
        question.rdclass not in (dns.rdataclass.IN, dns.rdataclass.ANY)
        or question.rdtype in _TRANSFERS
        or not question.name.is_subdomain(zone.origin)
    ):
        reply.set_rcode(dns.rcode.REFUSED)
    else:
        reply.flags |= dns.flags.AA
        _look_up(zone, question.name, question.rdtype, reply)


def _look_up(
    zone: Zone, name: dns.name.Name, kind: dns.rdatatype.RdataType, reply: dns.message.Message
) -> None:
    found = zone.find(name, kind)
    if found is None and kind == dns.rdatatype.ANY and zone.exists(name):
        found = dns.rdataset.from_rdata(zone.soa.ttl, _ANY_ANSWER)
    if found is not None:
        reply.answer.append(_rrset(name, found))
        return
    if not zone.exists(name):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    soa = _rrset(zone.origin, zone.soa)
    soa.ttl = min(soa.ttl, zone.soa[0].minimum)
    reply.authority.append(soa)


def _rrset(name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))


def _limit(query: dns.message.Message, transport: Transport) -> int:
    if transport is Transport.TCP:
        return 65535
    return min(max(query.payload, _PLAIN_UDP), PAYLOAD) if query.edns >= 0 else _PLAIN_UDP


def _fitted(reply: dns.message.Message, limit: int) -> bytes:
    """The reply in at most `limit` bytes: whole, or without records and marked as cut short."""
    try:
        return reply.to_wire(max_size=limit)
    except dns.exception.TooBig:
        reply.answer.clear()
        reply.authority.clear()
        reply.flags |= dns.flags.TC
        return reply.to_wire(max_size=limit)
