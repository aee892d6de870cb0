"""What the RFC 2136 driver makes of each kind of reply, and what it sends."""

import dataclasses
from collections.abc import Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.update
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dns.dns_primary import KEY, SECRET, WRONG_KEY, Answer, framed, primary, says

from mailward.dns.drivers.replies import parse_reply
from mailward.dns.drivers.rfc2136 import Rfc2136Settings, Rfc2136Target
from mailward.dns.servers import Server
from mailward.model.dns import Applied, ApplyResult, Change, ReadFailure, RRset, Unread, ZoneView
from mailward.model.token import Token

STORE = "0123456789abcdef"
OLD, NEW = Token(STORE, 3, 14), Token(STORE, 3, 15)
MAIL = RRset("mail.example.test.", "A", 5, ("192.0.2.1", "192.0.2.2"))
NOWHERE = Server("127.0.0.1", 1)
SETTINGS = Rfc2136Settings("ns1", "c1", "example.test", NOWHERE, "ctl", SECRET)


def signed_noerror(wire: bytes) -> bytes:
    return says(dns.rcode.NOERROR)(wire) or b""


async def applied(
    answer: Answer, changes: Sequence[Change] = (), expected: Token | None = OLD, timeout_s: float = 5
) -> tuple[Applied, list[bytes]]:
    async with primary(answer) as (server, received):
        target = Rfc2136Target(dataclasses.replace(SETTINGS, server=server, timeout_s=timeout_s), STORE)
        return await target.apply(expected, NEW, changes), received


async def read(answer: Answer, timeout_s: float = 5) -> ZoneView | Unread:
    async with primary(answer) as (server, _):
        target = Rfc2136Target(dataclasses.replace(SETTINGS, server=server, timeout_s=timeout_s), STORE)
        return await target.read([MAIL.key])


class TestUpdateReplies:
    async def test_a_signed_noerror_is_applied(self) -> None:
        assert (await applied(says(dns.rcode.NOERROR)))[0] == Applied(ApplyResult.APPLIED)

    @pytest.mark.parametrize("rcode", [dns.rcode.NXRRSET, dns.rcode.YXRRSET])
    async def test_a_signed_prerequisite_failure_is_stale(self, rcode: dns.rcode.Rcode) -> None:
        assert (await applied(says(rcode)))[0].result is ApplyResult.STALE

    @pytest.mark.parametrize(
        "rcode",
        [dns.rcode.NOERROR, dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.REFUSED, dns.rcode.NOTAUTH],
    )
    @pytest.mark.parametrize("key", [None, WRONG_KEY], ids=["unsigned", "signed with another secret"])
    async def test_a_reply_nobody_vouches_for_is_unknown(
        self, rcode: dns.rcode.Rcode, key: dns.tsig.Key | None
    ) -> None:
        found = (await applied(says(rcode, key)))[0]
        assert found.result is ApplyResult.UNKNOWN
        assert "not signed with key ctl. (hmac-sha256)" in found.detail

    async def test_a_refusal_names_the_update_policy_to_add(self) -> None:
        changes = [Change(*MAIL.key, MAIL), Change(MAIL.name, "AAAA", None)]
        found = (await applied(says(dns.rcode.REFUSED), changes))[0]
        assert found.result is ApplyResult.REFUSED
        assert (
            "update-policy { grant ctl. name _mailward-c1.example.test. TXT; "
            "grant ctl. name mail.example.test. A AAAA; };"
        ) in found.detail

    @pytest.mark.parametrize(
        ("rcode", "hint"),
        [
            (dns.rcode.NOTAUTH, "not the primary of zone example.test."),
            (dns.rcode.NOTZONE, "not the primary of zone example.test."),
            (dns.rcode.NOTIMP, "does not take dynamic updates"),
            (dns.rcode.FORMERR, "does not take dynamic updates"),
        ],
    )
    async def test_other_signed_refusals_say_what_to_change(self, rcode: dns.rcode.Rcode, hint: str) -> None:
        found = (await applied(says(rcode)))[0]
        assert found.result is ApplyResult.REFUSED
        assert hint in found.detail

    @pytest.mark.parametrize(
        ("error", "hint"),
        [
            (dns.rcode.BADSIG, "NOTAUTH, BADSIG: its secret of key ctl. (hmac-sha256) is another one"),
            (dns.rcode.BADKEY, "NOTAUTH, BADKEY: it has no key ctl. (hmac-sha256)"),
            (dns.rcode.BADTIME, "NOTAUTH, BADTIME: the clocks of this host and the name server"),
        ],
    )
    async def test_what_it_says_of_the_key_is_believed_though_it_cannot_sign(
        self, error: int, hint: str
    ) -> None:
        found = (await applied(says(dns.rcode.NOTAUTH, KEY, error)))[0]
        assert found.result is ApplyResult.REFUSED
        assert hint in found.detail

    @pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN])
    async def test_what_should_not_come_is_unknown(self, rcode: dns.rcode.Rcode) -> None:
        assert (await applied(says(rcode)))[0].result is ApplyResult.UNKNOWN

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (lambda wire: None, "closed the connection without an answer"),
            (lambda wire: b"\0\0", "no answer to the update"),
            (lambda wire: framed(b"\xff" * 400), "no answer to the update"),
            (framed, "no answer to the update"),
            (lambda wire: framed(b"\0\0" + signed_noerror(wire)[4:]), "no answer to the update"),
        ],
        ids=["EOF", "empty", "noise", "echo", "other id"],
    )
    async def test_what_is_no_answer_is_unknown(self, answer: Answer, reason: str) -> None:
        found = (await applied(answer))[0]
        assert found.result is ApplyResult.UNKNOWN
        assert reason in found.detail

    @pytest.mark.parametrize("said", [b"", b"\0", b"\xff\xff" + b"x" * 100])
    async def test_silence_and_half_an_answer_are_unknown_at_the_deadline(self, said: bytes) -> None:
        found = (await applied(lambda wire: said, timeout_s=0.05))[0]
        assert found.result is ApplyResult.UNKNOWN
        assert found.detail.endswith("did not answer the update within 0.05 s")

    async def test_a_server_that_is_not_there_is_unknown(self) -> None:
        found = await Rfc2136Target(SETTINGS, STORE).claim(OLD, NEW)
        assert found == Applied(ApplyResult.UNKNOWN, "127.0.0.1:1: Connection refused")

    @settings(deadline=None)
    @given(st.binary(max_size=200))
    def test_no_bytes_are_taken_for_a_reply(self, wire: bytes) -> None:
        request = dns.message.make_query("a.", "A", id=1)
        request.use_tsig(KEY)
        request.to_wire()
        for bytes_ in (wire, request.to_wire()[:2] + b"\x80" + wire):
            reply = parse_reply(request, bytes_, KEY)
            assert reply is None or not reply.authentic


class TestUpdateMessage:
    async def test_it_demands_the_exact_token_and_replaces_it_with_all_rrsets(self) -> None:
        changes = [Change(*MAIL.key, MAIL), Change(MAIL.name, "AAAA", None)]
        _, (wire,) = await applied(says(dns.rcode.NOERROR), changes)
        update = dns.message.from_wire(wire, keyring=KEY)
        assert isinstance(update, dns.update.UpdateMessage)
        assert update.had_tsig
        assert [rrset.to_text() for rrset in update.prerequisite] == [
            f'_mailward-c1.example.test. 0 IN TXT "{OLD}"'
        ]
        assert [line for rrset in update.update for line in rrset.to_text().splitlines()] == [
            "_mailward-c1.example.test. ANY TXT",
            f'_mailward-c1.example.test. 5 IN TXT "{NEW}"',
            "mail.example.test. ANY A",
            "mail.example.test. 5 IN A 192.0.2.1",
            "mail.example.test. 5 IN A 192.0.2.2",
            "mail.example.test. ANY AAAA",
        ]

    async def test_without_a_token_it_demands_that_there_is_none(self) -> None:
        _, (wire,) = await applied(says(dns.rcode.NOERROR), expected=None)
        update = dns.message.from_wire(wire, keyring=KEY)
        assert [rrset.to_text() for rrset in update.sections[1]] == ["_mailward-c1.example.test. NONE TXT"]

    @pytest.mark.parametrize(
        "expected", [NEW, Token(STORE, 4, 0), Token("f" * 16, 1, 1)], ids=["same", "higher", "foreign"]
    )
    async def test_what_is_stale_already_is_not_sent(self, expected: Token) -> None:
        found, received = await applied(says(dns.rcode.NOERROR), expected=expected)
        assert found.result is ApplyResult.STALE
        assert not received

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (Change(*MAIL.key, RRset(*MAIL.key, 5, ("mail-a",))), "no such value: 'mail-a'"),
            (Change("mail.example.org.", "A", None), "mail.example.org. is not in the zone example.test."),
            (Change("_Mailward-C1.example.test", "TXT", None), "holds the token"),
        ],
        ids=["no record", "outside the zone", "the token itself"],
    )
    async def test_what_is_not_its_to_write_is_not_sent(self, change: Change, reason: str) -> None:
        found, received = await applied(says(dns.rcode.NOERROR), [Change(*MAIL.key, MAIL), change])
        assert found.result is ApplyResult.REFUSED
        assert reason in found.detail
        assert not received


class TestRead:
    @pytest.mark.parametrize(
        ("answer", "failure", "reason"),
        [
            (says(dns.rcode.REFUSED), ReadFailure.REFUSED, "allow-query"),
            (says(dns.rcode.SERVFAIL), ReadFailure.REFUSED, "SERVFAIL"),
            (says(dns.rcode.NOTAUTH, KEY, dns.rcode.BADSIG), ReadFailure.REFUSED, "secret"),
            (says(dns.rcode.NOERROR, None), ReadFailure.BROKEN, "not signed with key ctl."),
            (says(dns.rcode.NOERROR), ReadFailure.BROKEN, "without authority"),
            (lambda wire: framed(b"\xff" * 40), ReadFailure.BROKEN, "no DNS answer"),
            (lambda wire: None, ReadFailure.UNREACHABLE, "closed the connection"),
        ],
        ids=["refused", "servfail", "badsig", "unsigned", "no authority", "noise", "EOF"],
    )
    async def test_a_read_that_fails_says_why(
        self, answer: Answer, failure: ReadFailure, reason: str
    ) -> None:
        found = await read(answer)
        assert isinstance(found, Unread)
        assert found.failure is failure
        assert reason in found.detail

    async def test_a_silent_server_is_unreachable_at_the_deadline(self) -> None:
        found = await read(lambda wire: b"", timeout_s=0.05)
        assert isinstance(found, Unread)
        assert found.failure is ReadFailure.UNREACHABLE
        assert found.detail.endswith("did not answer within 0.05 s")

    async def test_a_cname_is_no_endpoint(self) -> None:
        """A server ignores updates of addresses there and says NOERROR (RFC 2136, 3.4.2.2)."""
        found = await read(authority("mail.example.test. 5 IN CNAME www.example.test."))
        assert found == Unread(ReadFailure.BROKEN, "mail.example.test. is a CNAME: updates of it are ignored")

    async def test_a_name_inside_a_zone_is_no_zone(self) -> None:
        found = await read(authority())
        assert isinstance(found, Unread)
        assert "serves example.test. as part of another zone" in found.detail

    async def test_the_token_is_asked_for_before_anything_else(self) -> None:
        """Whatever changes after it was read makes the update fail; the other way round it would not."""
        async with primary(authority()) as (server, received):
            await Rfc2136Target(dataclasses.replace(SETTINGS, server=server), STORE).read([MAIL.key])
        asked = [dns.message.from_wire(wire, keyring=KEY).question[0].to_text() for wire in received]
        assert asked[0] == "_mailward-c1.example.test. IN TXT"
        assert asked[1:] == ["example.test. IN SOA", "mail.example.test. IN A"]

    async def test_answers_in_another_order_find_their_questions(self) -> None:
        held: list[bytes] = []
        inner = authority("example.test. 5 IN SOA a. b. 9 1 1 1 1", "mail.example.test. 5 IN A 192.0.2.1")

        def swapped(wire: bytes) -> bytes:
            question = dns.message.from_wire(wire, keyring=KEY).question[0].to_text()
            said = inner(wire) or b""
            if "SOA" in question:
                held.append(said)
                return b""
            return said + (held.pop() if held else b"")

        assert await read(swapped) == ZoneView(None, (RRset(*MAIL.key, 5, ("192.0.2.1",)),))


def authority(*records: str) -> Answer:
    """A signed answer with those of `records` whose name, and type if it is not CNAME, is asked for."""

    def answer(wire: bytes) -> bytes:
        query = dns.message.from_wire(wire, keyring=KEY)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        name, _, kind = query.question[0].to_text().split()
        for record in records:
            owner, ttl, rdclass, type_, value = record.split(" ", 4)
            if owner == name and type_ in (kind, "CNAME"):
                reply.answer.append(dns.rrset.from_text(owner, int(ttl), rdclass, type_, value))
        return framed(reply.to_wire())

    return answer


class TestSettings:
    def test_the_secret_is_never_shown(self) -> None:
        assert SECRET not in repr(SETTINGS)

    def test_a_secret_that_is_not_base64_is_an_error_that_does_not_show_it(self) -> None:
        with pytest.raises(ValueError, match="ns1: the secret of key ctl is not base64") as caught:
            Rfc2136Target(dataclasses.replace(SETTINGS, key_secret="hunter2!"), STORE)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    def test_an_unknown_algorithm_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"no algorithm 'sha256'; known: hmac-sha256"):
            Rfc2136Target(dataclasses.replace(SETTINGS, key_algorithm="sha256"), STORE)
