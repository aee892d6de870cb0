"""What the embedded name server says, message by message, and that no bytes make it raise."""

import struct

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailward.dns.embedded.respond import LARGEST_QUESTION, PAYLOAD, Transport, respond
from mailward.dns.embedded.zone import Zone, ZoneSettings
from mailward.model.dns import RRset

SETTINGS = ZoneSettings("mail.example.test", ("ns1.mail.example.test", "ns2.mail.example.test"))
IMAP = RRset("imap.mail.example.test.", "A", 5, ("192.0.2.1", "192.0.2.2"))
DEEP = RRset("a.b.mail.example.test.", "AAAA", 5, ("2001:db8::1",))
BIG = RRset("big.mail.example.test.", "TXT", 5, tuple(f'"{n:03}{"x" * 200}"' for n in range(20)))
ZONE = Zone(SETTINGS, 7, (DEEP, BIG, IMAP))


def ask(
    name: str = IMAP.name,
    kind: str = "A",
    *,
    transport: Transport = Transport.UDP,
    edns: int | bool = False,
    payload: int = PAYLOAD,
    rdclass: str = "IN",
    flags: int = dns.flags.RD,
) -> dns.message.Message:
    query = dns.message.make_query(name, kind, rdclass, use_edns=edns, payload=payload, flags=flags)
    return reply_to(query, transport)


def reply_to(query: dns.message.Message, transport: Transport = Transport.UDP) -> dns.message.Message:
    wire = respond(ZONE, query.to_wire(), transport)
    assert wire is not None
    reply = dns.message.from_wire(wire)
    assert reply.id == query.id
    assert reply.flags & dns.flags.QR
    assert not reply.flags & dns.flags.RA
    return reply


def soa_of(reply: dns.message.Message) -> tuple[str, int, int]:
    (rrset,) = reply.authority
    return rrset.name.to_text(), rrset.ttl, rrset[0].serial


def test_an_answer_is_authoritative_and_carries_all_values() -> None:
    reply = ask()
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.flags & dns.flags.AA
    (rrset,) = reply.answer
    assert (rrset.ttl, sorted(str(rdata) for rdata in rrset)) == (5, ["192.0.2.1", "192.0.2.2"])
    assert not reply.authority
    assert not reply.additional


def test_the_askers_recursion_wish_is_repeated_and_not_granted() -> None:
    assert ask(flags=dns.flags.RD).flags & dns.flags.RD
    assert not ask(flags=0).flags & dns.flags.RD


def test_case_does_not_matter_and_is_given_back() -> None:
    reply = ask("iMaP.mAIL.eXample.TEST.")
    assert reply.answer[0].name.to_text() == "iMaP.mAIL.eXample.TEST."
    assert reply.question[0].name.to_text() == "iMaP.mAIL.eXample.TEST."


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("mail.example.test.", "NS", {"ns1.mail.example.test.", "ns2.mail.example.test."}),
        (
            "mail.example.test.",
            "SOA",
            {"ns1.mail.example.test. hostmaster.mail.example.test. 7 60 60 86400 5"},
        ),
        ("a.b.mail.example.test.", "AAAA", {"2001:db8::1"}),
    ],
)
def test_soa_ns_and_addresses_are_answered(name: str, kind: str, values: set[str]) -> None:
    assert {str(rdata) for rdata in ask(name, kind).answer[0]} == values


def test_a_name_that_does_not_exist_is_nxdomain_with_soa() -> None:
    reply = ask("no.mail.example.test.")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.flags & dns.flags.AA
    assert soa_of(reply) == ("mail.example.test.", 5, 7)


@pytest.mark.parametrize("name", [IMAP.name, "b.mail.example.test.", "mail.example.test."])
def test_a_name_without_that_type_is_no_error_with_soa(name: str) -> None:
    """b exists, because a.b does (RFC 8020)."""
    reply = ask(name, "MX")
    assert reply.rcode() == dns.rcode.NOERROR
    assert not reply.answer
    assert soa_of(reply) == ("mail.example.test.", 5, 7)


@pytest.mark.parametrize("name", ["example.test.", "xmail.example.test.", "test.", ".", "mail.example.org."])
def test_what_is_outside_the_zone_is_refused(name: str) -> None:
    reply = ask(name)
    assert reply.rcode() == dns.rcode.REFUSED
    assert not reply.flags & dns.flags.AA
    assert not reply.authority


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_transfers_are_refused(kind: str) -> None:
    assert ask("mail.example.test.", kind, transport=Transport.TCP).rcode() == dns.rcode.REFUSED


def test_another_class_is_refused_and_class_any_is_answered() -> None:
    assert ask(rdclass="CH").rcode() == dns.rcode.REFUSED
    assert ask(rdclass="ANY").rcode() == dns.rcode.NOERROR


def test_any_gets_one_small_answer() -> None:
    reply = ask(BIG.name, "ANY")
    (rrset,) = reply.answer
    assert [rdata.to_text() for rdata in rrset] == ['"RFC8482" ""']
    assert ask("no.mail.example.test.", "ANY").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    "opcode", [dns.opcode.IQUERY, dns.opcode.STATUS, dns.opcode.NOTIFY, dns.opcode.UPDATE]
)
def test_other_opcodes_are_not_implemented(opcode: dns.opcode.Opcode) -> None:
    query = dns.message.make_query(IMAP.name, "A").to_wire()
    flags = struct.unpack_from("!H", query, 2)[0] | dns.opcode.to_flags(opcode)
    wire = respond(ZONE, query[:2] + struct.pack("!H", flags) + query[4:], Transport.UDP)
    assert wire is not None
    assert wire[:2] == query[:2]
    answered = struct.unpack("!HHHHH", wire[2:])
    assert answered == (dns.flags.QR | dns.flags.RD | dns.opcode.to_flags(opcode) | 4, 0, 0, 0, 0)


def test_a_signed_question_is_not_taken() -> None:
    query = dns.message.make_query(IMAP.name, "A")
    query.use_tsig(dns.tsig.Key("k.", b"secret"))
    assert reply_to(query).rcode() == dns.rcode.NOTAUTH


def test_answers_are_not_answered() -> None:
    query = dns.message.make_query(IMAP.name, "A")
    query.flags |= dns.flags.QR
    assert respond(ZONE, query.to_wire(), Transport.UDP) is None


@pytest.mark.parametrize("length", range(12))
def test_less_than_a_header_is_not_answered(length: int) -> None:
    assert respond(ZONE, dns.message.make_query(IMAP.name, "A").to_wire()[:length], Transport.UDP) is None


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack("!HHHHHH", 77, 0x0100, 0, 0, 0, 0),
        struct.pack("!HHHHHH", 77, 0x0100, 2, 0, 0, 0) + b"\0\0\1\0\1" * 2,
        struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + b"\3abc",
        struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + b"\0\0\1\0\1 and more",
        struct.pack("!HHHHHH", 77, 0x0100, 1, 65535, 65535, 65535) + b"\0\0\1\0\1",
        struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + b"\0\0\1\0\1" + bytes(LARGEST_QUESTION),
        struct.pack("!HHHHHH", 77, 0x0100, 1, 1, 0, 0) + b"\0\0\1\0\1" + b"\0\0\x10\0\1\0\0\0\0\0\1\0",
        struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 3) + b"\0\0\1\0\1" + b"\0\0\x10\0\1\0\0\0\0\0\1\0" * 3,
        struct.pack("!HHHHHH", 77, 0x0100, 1, 0, 0, 0) + b"\0" + struct.pack("!HH", dns.rdatatype.OPT, 1),
    ],
    ids=[
        "none",
        "two",
        "cut",
        "a loop",
        "more bytes",
        "records promised",
        "too long",
        "an answer",
        "three more",
        "OPT asked",
    ],
)
def test_a_question_that_cannot_be_read_is_a_format_error(wire: bytes) -> None:
    answer = respond(ZONE, wire, Transport.UDP)
    assert answer is not None
    reply = dns.message.from_wire(answer)
    assert (reply.id, reply.rcode()) == (77, dns.rcode.FORMERR)
    assert reply.flags & dns.flags.RD


class TestEdns:
    def test_it_is_used_only_when_the_asker_does(self) -> None:
        assert ask().edns == -1
        reply = ask(edns=0)
        assert (reply.edns, reply.payload) == (0, PAYLOAD)

    def test_a_later_version_is_badvers_with_ours(self) -> None:
        reply = ask(edns=1)
        assert (reply.rcode(), reply.edns) == (dns.rcode.BADVERS, 0)
        assert not reply.answer

    def test_the_dnssec_wish_is_repeated(self) -> None:
        query = dns.message.make_query(IMAP.name, "A", want_dnssec=True)
        assert reply_to(query).ednsflags & dns.flags.DO

    def test_unknown_options_are_ignored(self) -> None:
        query = dns.message.make_query(IMAP.name, "A", use_edns=0)
        query.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"x" * 100)])
        assert reply_to(query).answer

    def test_two_opt_records_are_a_format_error(self) -> None:
        query = bytearray(dns.message.make_query(IMAP.name, "A", use_edns=0).to_wire())
        query += query[-11:]
        query[11] = 2
        answer = respond(ZONE, bytes(query), Transport.UDP)
        assert answer is not None
        assert dns.message.from_wire(answer).rcode() == dns.rcode.FORMERR


class TestSize:
    @pytest.mark.parametrize(
        ("edns", "payload", "limit"), [(False, 0, 512), (0, 100, 512), (0, 1232, 1232), (0, 65535, 1232)]
    )
    def test_what_does_not_fit_a_datagram_is_cut_and_says_so(
        self, edns: int | bool, payload: int, limit: int
    ) -> None:
        query = dns.message.make_query(BIG.name, "TXT", use_edns=edns, payload=payload or PAYLOAD)
        wire = respond(ZONE, query.to_wire(), Transport.UDP)
        assert wire is not None
        assert len(wire) <= limit
        reply = dns.message.from_wire(wire)
        assert reply.flags & dns.flags.TC
        assert not reply.answer
        assert reply.question == query.question

    def test_over_tcp_it_is_whole(self) -> None:
        reply = ask(BIG.name, "TXT", transport=Transport.TCP)
        assert not reply.flags & dns.flags.TC
        assert len(reply.answer[0]) == 20


_GOOD = [
    dns.message.make_query(name, kind, id=4711, use_edns=edns).to_wire()
    for name in (IMAP.name, BIG.name, "no.mail.example.test.", "example.org.")
    for kind in ("A", "TXT", "ANY", "SOA")
    for edns in (False, 0, 3)
]
_SIGNED = dns.update.UpdateMessage("mail.example.test", keyring=dns.tsig.Key("k.", b"s"), id=4711)
_SIGNED.add("x", 5, "A", "192.0.2.1")
_GOOD.append(_SIGNED.to_wire())


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A good message with bytes changed, cut out or put in."""
    wire = bytearray(draw(st.sampled_from(_GOOD)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(wire) - 1)))
        what = draw(st.integers(0, 2))
        if what == 0 and wire:
            wire[at] = draw(st.integers(0, 255))
        elif what == 1:
            del wire[at : at + draw(st.integers(1, 8))]
        else:
            wire[at:at] = draw(st.binary(max_size=8))
    return bytes(wire)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=600), _mutated()), st.sampled_from(Transport))
@example(
    struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 1) + b"\0\0\1\0\1" + b"\0" + b"\0\xfa" + bytes(8), Transport.UDP
)
def test_no_bytes_make_it_raise_or_answer_what_is_not_an_answer(wire: bytes, transport: Transport) -> None:
    answer = respond(ZONE, wire, transport)
    if len(wire) < 12 or wire[2] & 0x80:
        assert answer is None
        return
    assert answer is not None
    assert answer[:2] == wire[:2]
    assert answer[2] & 0x80
    assert (answer[2] & 0x79) == (wire[2] & 0x79)  # opcode and recursion desired
    assert not answer[3] & 0x80
    assert len(answer) <= (PAYLOAD if transport is Transport.UDP else 65535)
    assert len(answer) <= 512 or len(wire) > 12 + 11  # no more than plain UDP without EDNS
    if (answer[2] >> 3) & 0xF == 0:
        dns.message.from_wire(answer)


@settings(deadline=None)
@given(st.binary(max_size=63), st.integers(0, 65535), st.integers(0, 65535))
def test_any_name_type_and_class_gets_a_readable_answer(label: bytes, kind: int, rdclass: int) -> None:
    name = bytes([len(label)]) + label + b"\4mail\7example\4test\0" if label else b"\0"
    wire = struct.pack("!HHHHHH", 9, 0, 1, 0, 0, 0) + name + struct.pack("!HH", kind, rdclass)
    answer = respond(ZONE, wire, Transport.UDP)
    assert answer is not None
    assert dns.message.from_wire(answer).rcode() in (
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
        dns.rcode.REFUSED,
        dns.rcode.FORMERR,
    )
