"""One text form for every record, and clear words for what is none."""

import re

import pytest

from mailward.dns.records import absolute, canonical
from mailward.dns.servers import Server
from mailward.model.dns import RRset


def test_names_are_lower_case_and_absolute() -> None:
    assert absolute("Mail.Example.TEST") == absolute("mail.example.test.") == "mail.example.test."


def test_two_spellings_of_an_address_are_one_value() -> None:
    rrset = RRset("MAIL.example.test", "aaaa", 5, ("2001:DB8:0:0::1", "2001:db8::1", "2001:db8::0"))
    assert canonical(rrset) == RRset("mail.example.test.", "AAAA", 5, ("2001:db8::", "2001:db8::1"))


def test_an_empty_rrset_stays_empty() -> None:
    assert canonical(RRset("a.test", "a", 5, ())) == RRset("a.test.", "A", 5, ())


@pytest.mark.parametrize(
    ("rrset", "named"),
    [
        (RRset("a.test.", "A", 5, ("192.0.2.256",)), "192.0.2.256"),
        (RRset("a.test.", "A", 5, ("2001:db8::1",)), "2001:db8::1"),
        (RRset("a.test.", "AAAA", 5, ("192.0.2.1",)), "192.0.2.1"),
        (RRset("a.test.", "ADDRESS", 5, ("192.0.2.1",)), "ADDRESS"),
        (RRset("a..test.", "A", 5, ("192.0.2.1",)), "a..test."),
        (RRset("x" * 64 + ".test.", "A", 5, ("192.0.2.1",)), "xxx"),
        (RRset("a.test.", "A", -1, ("192.0.2.1",)), "-1"),
        (RRset("a.test.", "A", 2**31, ("192.0.2.1",)), "2147483648"),
        (RRset("a.test.", "TXT", 5, ('"' + "x" * 300 + '"',)), "xxx"),
    ],
)
def test_what_is_no_record_is_named(rrset: RRset, named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        canonical(rrset)


def test_a_name_server_is_given_by_address() -> None:
    with pytest.raises(ValueError, match=r"by its IP address, not .ns1\.example\.test."):
        Server("ns1.example.test")
    assert [str(Server("192.0.2.1")), str(Server("2001:db8::1", 54))] == ["192.0.2.1", "[2001:db8::1]:54"]
