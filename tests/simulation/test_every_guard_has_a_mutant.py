"""Whatever can hold or leave out anything is taken away by some mutant, or is named here as no guard.

It is looked at what each mutant really changes, not at its name. A new gate, or a new function in one of
these modules, fails here until it has a mutant; and a mutant fails in `test_every_guard_is_missed.py` until
somebody misses it.
"""

from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType

import pytest
from tests.simulation.mutants import LISTS, MUTANTS

from mailward.controller.core import (
    claims,
    closing,
    doubts,
    expiry,
    gates,
    later,
    publishing,
    reconciling,
)
from mailward.controller.core.cases import Case
from mailward.controller.core.cluster import candidates, failback, ladder, leases, takeover
from mailward.controller.core.gates import Gate
from mailward.model.decision import Finding

MODULES = (
    gates,
    takeover,
    doubts,
    closing,
    publishing,
    reconciling,
    claims,
    expiry,
    ladder,
    candidates,
    leases,
    later,
    failback,
)

NOT_GUARDS: Mapping[str, str] = {
    "gates._yes": "makes a finding",
    "gates._no": "makes a finding",
    "gates._unknown": "makes a finding",
    "gates.lasting": "words of a finding",
    "gates._force": "words of a finding",
    "gates._to_have_one": "words of a finding",
    "gates._held_now": "asks two that are: whether a successor has answered since, and is not behind",
    "gates._behind": "what `caught_up` asks of one direction",
    "doubts._says_closed": "a second look at what `known_to_serve` says, of use for a second or two",
    "doubts._is_cluster": "a name for what is configured",
    "doubts.about": "asks every doubt in its turn",
    "doubts._has_left": "an exception from `nobody_to_leave_it_to`: without it more is held, not less",
    "doubts._configured": "leaves out only what is no longer configured",
    "closing._names_another": "what `left_open` asks of one target",
    "reconciling._opens_in_a_cluster": "says what an order would do",
    "reconciling._longest_unsettled": "says whose turn it is",
    "reconciling._ports_unsettled": "says what is not as recorded",
    "reconciling._targets_unsettled": "asks `may_be_repeated` of each target",
    "reconciling._leased_otherwise": "says what is not as recorded",
    "reconciling._left_without_a_lease": "asks `unattended_by_ours`",
    "takeover._to_let_in": "words of a finding",
    "takeover._may_never_have": "says of one node what `all_have_obeyed` asks of each",
    "candidates.flaps_lately": "counts, and holds nothing",
    "takeover.withdraw": "says which gates there are in a deployment",
    "takeover.promotable": "tells of a standby what `candidates.field` says of it",
    "takeover.closed_to_clients": "tells of a node what `open_by_hand` holds",
    "takeover.refuses_clients": "tells that two serve, and holds nothing",
    "takeover.before_switchover": "asks gates and candidates, each of which is one",
    "ladder.closed_by_itself": "has who was promoted opened once more",
    "ladder.what_is_over": "asks `facts_since` of what counted as stopped",
    "ladder.counts": "asks `facts_since` of a person's word",
    "ladder._is_off": "what `stopped` asks of the power",
    "ladder.stopped_or_vouched": "`stopped`, and a person's word",
    "ladder.to_be_stopped": "`not_stopped`, and asks `unreadable` of every other node",
    "ladder.not_stopped": "asks `stopped_or_vouched` of every other node",
    "ladder.choose": "says which rung is next",
    "ladder._undone": "has what was done done again",
    "ladder._action": "what a rung orders",
    "leases.note": "records what has become of each lease",
    "leases._as_known": "asks what is told of a lease since",
    "leases.lapsed": "what a helper says; who lapses by itself is closed whatever is made of it",
    "leases._keepers": "says who tells of a lease",
    "leases.remaining": "says how long a lease may last; what counts is asked one by one",
    "leases._is_over": "asks `remaining`",
    "leases._revoked_s": "says for how long it is worth waiting",
    "later.overdue_s": "a figure",
    "failback.way": "says who is preferred to whom",
    "failback._priority": "a name for what is configured",
    "failback.note": "keeps since when `unfit` says nothing",
    "failback.begin": "asks every guard in its turn",
    "failback.held": "asks every guard in its turn",
    "failback.outlook": "tells what `held` says",
    "failback.offer": "tells what `held` says",
    "failback.unfit": "what `fit_for_long` asks of the moment",
    "candidates.field": "asks of each node whether it is fit",
    "candidates._unfit": "asks for phase, condition and helper; each is missed by its own unit test",
    "candidates.acceptable": "says what a person's word is for; what it allows is `accepted_s`",
    "candidates.amount": "words of a loss",
    "candidates.loss_s": "a figure; what it allows is `too_much`",
    "candidates._rank": "says who is first",
    "publishing.in_scope": "asks `may_be_repeated` of each action",
    "publishing.with_care": "asks for the last who serve, and for those who fail",
}
"""Functions of these modules without a mutant, each with the reason."""


def functions() -> Iterator[tuple[str, ModuleType, Callable[..., object]]]:
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, FunctionType) and value.__module__ == module.__name__:
                yield name, module, value


def taken_away() -> set[str]:
    """The functions that some mutant puts something else in the place of."""
    known = list(functions())
    found: set[str] = set()
    for mutant in MUTANTS.values():
        with pytest.MonkeyPatch.context() as patch:
            mutant(patch)
            gone = [(module, name) for name, module, value in known if getattr(module, name) is not value]
            found.update(f"{module.__name__.rpartition('.')[2]}.{name}" for module, name in gone)
    return found


def test_every_gate_of_every_list_is_taken_away_by_some_mutant() -> None:
    lists = [(module, which) for module, names in LISTS for which in names]
    left: dict[str, list[Gate]] = {f"{m.__name__}.{which}": list(getattr(m, which)) for m, which in lists}
    for mutant in MUTANTS.values():
        with pytest.MonkeyPatch.context() as patch:
            mutant(patch)
            now = {f"{m.__name__}.{which}": getattr(m, which) for m, which in lists}
            left = {which: [g for g in some if g in now[which]] for which, some in left.items()}
    assert {which: [gate.__name__ for gate in some] for which, some in left.items() if some} == {}


def test_every_function_that_may_hold_something_has_a_mutant_or_is_named_as_no_guard() -> None:
    names = {f"{module.__name__.rpartition('.')[2]}.{name}" for name, module, _ in functions()}
    left = names - taken_away()
    assert sorted(left - set(NOT_GUARDS)) == [], "no mutant, and no reason"
    assert sorted(set(NOT_GUARDS) - left) == [], "a reason that nobody needs"


def test_a_new_gate_without_a_mutant_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def full_moon(case: Case) -> Finding:
        return gates.acting(case)

    full_moon.__module__ = gates.__name__
    monkeypatch.setattr(gates, "full_moon", full_moon, raising=False)
    monkeypatch.setattr(gates, "READMIT", (*gates.READMIT, full_moon))
    with pytest.raises(AssertionError, match="full_moon"):
        test_every_gate_of_every_list_is_taken_away_by_some_mutant()
    with pytest.raises(AssertionError, match=r"gates\.full_moon"):
        test_every_function_that_may_hold_something_has_a_mutant_or_is_named_as_no_guard()
