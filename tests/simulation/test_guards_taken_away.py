"""The search objects when a guard of the core, or a rule of its world, is taken away.

Two guards may stand behind each other; then one alone is missed by nobody, and the search objects to both
being away, though not to the second one's alone: so it is the first that is missed. Unless said otherwise
nodes only crash here, which is half the work.

Of the mutants, the search says nothing of those about stale claims, since of two controllers it lets only
the new one decide, nor of the order in which a reconciliation repeats. And it knows no pause, no votes, no
lag, no limit to failovers, and no automation that only observes.
"""

from dataclasses import replace

import pytest
from tests.simulation.mutants import MUTANTS
from tests.simulation.observed import FAILED
from tests.simulation.search import Found, Search
from tests.simulation.searched import Model
from tests.simulation.worlds import Budget, Rules

pytestmark = pytest.mark.proof

RULES = Rules(faults=(FAILED,))
LIVE = "liveness: "
FAULT, REQUEST = Budget(faults=1), Budget(requests=1)
FAULT_AND_REQUEST = Budget(faults=1, requests=1)
LOST_UPDATES = Budget(faults=1, losses=2, requests=1)


def search_without(patch: pytest.MonkeyPatch, *names: str, budget: Budget, rules: Rules = RULES) -> Found:
    for name in names:
        MUTANTS[name](patch)
    found = Search(Model(rules), most=80_000).run(budget)
    print(f"without {' and '.join(names) or rules}: {found}")
    return found


@pytest.mark.parametrize(
    ("rules", "budget"),
    [
        (replace(RULES, receivers_compare_tokens=False), Budget(faults=1, losses=1)),
        (replace(RULES, recorded_before_sent=False), Budget(faults=1, kills=1)),
    ],
    ids=["receivers compare tokens", "recorded before sent"],
)
def test_the_search_objects_to_a_world_without(
    rules: Rules, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search_without(monkeypatch, budget=budget, rules=rules)
    assert found.wrong
    assert found.transcript


ALONE: tuple[tuple[str, Budget, str], ...] = (
    ("grace", FAULT, "grace: a is withdrawn"),
    ("successor", FAULT_AND_REQUEST, "I8: b is withdrawn though the other is seen to be failed"),
    ("one operation", Budget(faults=1, losses=1), "raised: an operation is already running"),
    ("behind closed ports", Budget(faults=1, losses=1), "I12: a was not tried behind closed ports"),
    ("stable", FAULT, "I12: a comes back though it has not been well for long"),
    ("hold-down", Budget(faults=2), "I13: a comes back at once"),
    ("left open", LOST_UPDATES, "I2: a serves and is closed while the zone may name nobody else"),
    ("what a target surely holds", LOST_UPDATES, "I2: a serves and is closed while the zone may name"),
    ("what gives way", FAULT_AND_REQUEST, "I8: every node of mail.example.test would be closed"),
    ("what gives way to a request", FAULT_AND_REQUEST, "I8: every node of mail.example.test would be closed"),
    (
        "what a request may begin",
        FAULT_AND_REQUEST,
        "raised: b mail.example.test: in-service to rejoining",
    ),
    ("the check from outside", FAULT, "I12: a is let in though it is seen to be up behind closed"),
    ("expiry of orders", Budget(losses=1, requests=1), LIVE),
    ("an operator's word", REQUEST, "a was taken out by an operator and comes back by itself"),
    ("claims of each epoch", Budget(kills=1, requests=1), LIVE),
    ("claiming", FAULT, LIVE),
    ("open before publish", FAULT, "raised: a mail.example.test: rejoining to in-service is no"),
    ("publish before fence", LOST_UPDATES, "I2: the zone names only nodes whose ports we have closed"),
    ("check before publish", FAULT, "I12: a is let in though it is seen to be up behind closed"),
    ("open before check", FAULT, LIVE),
    ("wait for the TTL before fence", REQUEST, "a is closed while clients may still hold its address"),
    ("publish before wait", REQUEST, "a is closed while clients may still hold its address"),
    ("verify before fence", FAULT_AND_REQUEST, "I8: b is not named though the other is failed"),
)


@pytest.mark.parametrize(("name", "budget", "says"), ALONE)
def test_the_search_objects_without(
    name: str, budget: Budget, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search_without(monkeypatch, name, budget=budget)
    assert found.wrong.startswith(says), str(found)
    assert found.transcript


OUT_OF_REACH: tuple[tuple[str, Budget], ...] = (("reconciliation", FAULT), ("impatience", Budget(faults=2)))


@pytest.mark.parametrize(("name", "budget"), OUT_OF_REACH)
def test_a_host_out_of_reach_shows_what_is_missing_without(
    name: str, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search_without(monkeypatch, name, budget=budget, rules=Rules())
    assert found.wrong.startswith(LIVE), str(found)


BACKED: tuple[tuple[str, str, Budget, str], ...] = (
    # two look at who serves now: before anything, and when the withdrawn one alone serves
    (
        "nobody to leave it to",
        "only the withdrawn serve",
        Budget(faults=1, losses=1, requests=1),
        "I8: b is not named",
    ),
    (
        "only the withdrawn serve",
        "nobody to leave it to",
        Budget(faults=1, losses=1, requests=1),
        "I8: b is not named",
    ),
    ("a drain's successor after the TTL", "a drain's successor", FAULT_AND_REQUEST, "I8: b is withdrawn"),
    (
        "a drain's successor",
        "nobody to leave it to",
        Budget(faults=1, losses=1, requests=1),
        "I8: b is not named",
    ),
)


@pytest.mark.parametrize(("name", "behind", "budget", "says"), BACKED)
def test_the_search_objects_without_both(
    name: str, behind: str, budget: Budget, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search_without(monkeypatch, name, *behind.split(" + "), budget=budget)
    assert found.wrong.startswith(says), str(found)


@pytest.mark.parametrize("name", sorted({name for name, *_ in BACKED}))
def test_another_guard_stands_behind(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it may be taken away without harm. In larger bounds this was tried by hand."""
    found = search_without(monkeypatch, name, budget=FAULT_AND_REQUEST)
    assert not found.wrong, str(found)


@pytest.mark.parametrize(("behind", "budget"), sorted({(behind, budget) for _, behind, budget, _ in BACKED}))
def test_it_is_not_the_guard_behind_that_is_missed(
    behind: str, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search_without(monkeypatch, *behind.split(" + "), budget=budget)
    assert not found.wrong, str(found)


def test_an_order_s_own_token_stands_behind_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever obeys an order of ours obeys no earlier one: claiming first only makes that sooner so. What
    happens when receivers do not compare tokens is looked at above."""
    assert not search_without(monkeypatch, "claimed", budget=Budget(kills=1, requests=1)).wrong
