"""The guard stops what must never reach a zone, whoever asks for it."""

from mailward.dns.guard import violations
from mailward.model.dns import Change, RRset

MAIL = "mail.example.test."
KEYS = {(MAIL, "A"), (MAIL, "AAAA"), (MAIL, "TXT")}
A = RRset(MAIL, "A", 5, ("192.0.2.1",))
AAAA = RRset(MAIL, "AAAA", 5, ("2001:db8::1",))
TXT = RRset(MAIL, "TXT", 5, ('"x"',))


def judged(changes: list[Change], held: list[RRset]) -> tuple[str, ...]:
    return violations(changes, held, keys=KEYS, endpoints={MAIL})


def test_listed_names_and_types_may_change() -> None:
    assert judged([Change(MAIL, "A", A), Change(MAIL, "AAAA", None)], [A, AAAA]) == ()


def test_a_type_that_is_not_listed_is_never_touched() -> None:
    mx = RRset(MAIL, "MX", 5, ("10 a.example.test.",))
    (found,) = judged([Change(MAIL, "MX", mx)], [A])
    assert found == "mail.example.test. MX is not listed in the configuration: it is never touched (I3)"


def test_a_name_that_is_not_listed_is_never_touched() -> None:
    (found,) = judged([Change("www.example.test.", "A", None)], [A])
    assert found.startswith("www.example.test. A is not listed")


def test_a_change_that_carries_another_rrset_is_refused() -> None:
    (found,) = judged([Change(MAIL, "A", RRset("www.example.test.", "A", 5, ("192.0.2.1",)))], [A])
    assert "another RRset" in found


def test_the_last_address_stays() -> None:
    assert judged([Change(MAIL, "A", None)], [A]) == (
        "mail.example.test. would be left without any address (I2)",
    )


def test_one_family_may_become_empty_while_the_other_serves() -> None:
    assert judged([Change(MAIL, "A", None)], [A, AAAA]) == ()


def test_both_families_may_not_become_empty() -> None:
    assert len(judged([Change(MAIL, "A", None), Change(MAIL, "AAAA", None)], [A, AAAA])) == 1


def test_an_rrset_without_values_counts_as_no_address() -> None:
    assert len(judged([Change(MAIL, "A", RRset(MAIL, "A", 5, ()))], [A])) == 1


def test_a_family_may_move_to_the_other_in_one_message() -> None:
    assert judged([Change(MAIL, "A", None), Change(MAIL, "AAAA", AAAA)], [A]) == ()


def test_other_types_of_an_endpoint_do_not_count_as_addresses() -> None:
    assert judged([Change(MAIL, "TXT", None)], [TXT]) == ()
    assert len(judged([Change(MAIL, "A", None)], [A, TXT])) == 1


def test_a_listed_name_that_is_no_endpoint_may_lose_its_addresses() -> None:
    assert violations([Change(MAIL, "A", None)], [A], keys=KEYS, endpoints=()) == ()
