"""The diff turns what is held into what is wanted, and touches nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mailward.dns.diff import complete, diff
from mailward.model.dns import Change, RRset

NAMES = ("a.example.test.", "b.example.test.", "c.example.test.")
KINDS = ("A", "AAAA")
A = RRset("a.example.test.", "A", 5, ("192.0.2.1",))
A6 = RRset("a.example.test.", "AAAA", 5, ("2001:db8::1",))
B = RRset("b.example.test.", "A", 5, ("192.0.2.2",))

_rrsets = st.builds(
    RRset,
    st.sampled_from(NAMES),
    st.sampled_from(KINDS),
    st.integers(1, 3),
    st.lists(st.sampled_from("xyz"), unique=True).map(lambda values: tuple(sorted(values))),
)
_zones = st.lists(_rrsets, unique_by=lambda rrset: rrset.key).map(tuple)


def apply(changes: tuple[Change, ...], held: tuple[RRset, ...]) -> set[RRset]:
    after = {rrset.key: rrset for rrset in held if rrset.values}
    for change in changes:
        after.pop((change.name, change.type), None)
        if change.rrset is not None:
            after[change.name, change.type] = change.rrset
    return set(after.values())


def test_nothing_changes_where_all_is_as_wanted() -> None:
    assert diff([A, B], [B, A]) == ()


def test_other_values_replace_the_rrset() -> None:
    wanted = RRset(A.name, "A", 5, ("192.0.2.9",))
    assert diff([wanted], [A]) == (Change(A.name, "A", wanted),)


def test_another_ttl_alone_is_a_change() -> None:
    wanted = RRset(A.name, "A", 60, A.values)
    assert diff([wanted], [A]) == (Change(A.name, "A", wanted),)


def test_an_rrset_wanted_without_values_is_deleted_once() -> None:
    absent = RRset(A.name, "A", 5, ())
    assert diff([absent], [A]) == (Change(A.name, "A", None),)
    assert diff([absent], []) == ()


def test_a_name_that_is_not_mentioned_is_left_alone() -> None:
    assert diff([A], [A, B]) == ()


def test_the_missing_family_of_a_mentioned_name_is_wanted_absent() -> None:
    keys = [(name, kind) for name in NAMES for kind in KINDS]
    wanted = complete([A], keys)
    assert wanted == (A, RRset(A.name, "AAAA", 0, ()))
    assert diff(wanted, [A, A6, B]) == (Change(A.name, "AAAA", None),)


@settings(deadline=None)
@given(_zones, _zones)
def test_after_the_changes_what_is_wanted_is_held_and_the_rest_is_as_before(
    wanted: tuple[RRset, ...], held: tuple[RRset, ...]
) -> None:
    after = apply(diff(wanted, held), held)
    mentioned = {rrset.key for rrset in wanted}
    assert {rrset for rrset in after if rrset.key in mentioned} == {r for r in wanted if r.values}
    assert {rrset for rrset in after if rrset.key not in mentioned} == {
        rrset for rrset in held if rrset.values and rrset.key not in mentioned
    }
    assert diff(wanted, tuple(after)) == ()
