"""Guards of the core, taken away one by one: by name, what does it.

Each mutant patches the real modules, wherever the guard is known by name, and is undone with the
`monkeypatch` it was given. Which test objects to which mutant is that test's own business.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from mailward.controller.core import (
    bounds,
    closing,
    decide,
    diagnosis,
    draft,
    gates,
    invariants,
    operations,
    outcomes,
    planning,
    requests,
)
from mailward.controller.core.gates import Gate
from mailward.controller.core.operations import STEPS
from mailward.model.decision import Answered, Finding
from mailward.model.dns import in_common
from mailward.model.state import Kind, Step

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]

_CORE = "mailward.controller.core"


def everywhere(patch: Patch, original: object, instead: object) -> None:
    """Put `instead` in the place of `original` under every name the core's modules know it by."""
    found = 0
    for module in (sys.modules[name] for name in sorted(sys.modules) if name.startswith(_CORE)):
        for name, value in list(vars(module).items()):
            if value is original:
                patch.setattr(module, name, instead)
                found += 1
    assert found, f"nothing in the core knows {original}"


def without(*names: str) -> Mutant:
    """These gates say yes wherever they are asked."""

    def mutant(patch: Patch) -> None:
        for name in names:
            _mute(patch, getattr(gates, name), name)

    return mutant


def _mute(patch: Patch, gate: Gate, name: str) -> None:
    def mute(_case: object) -> Finding:
        return Finding(name, Answered.YES, "not asked")

    def muted(checks: tuple[Gate, ...]) -> tuple[Gate, ...]:
        return tuple(mute if check is gate else check for check in checks)

    everywhere(patch, gate, mute)
    for checks in ("WITHDRAW", "WITHDRAW_BY_HAND", "READMIT", "READMIT_BY_HAND"):
        patch.setattr(gates, checks, muted(getattr(gates, checks)))
    patch.setattr(requests, "_GATES", {kind: muted(checks) for kind, checks in requests._GATES.items()})


def answering(original: Callable[..., Any], answer: object) -> Mutant:
    """A function of the core that says the same whatever it is asked."""
    return lambda patch: everywhere(patch, original, lambda *_, **__: answer)


def in_order(kind: Kind, *steps: Step) -> Mutant:
    """An operation with other steps, or in another order."""
    return lambda patch: everywhere(patch, STEPS, {**STEPS, kind: steps})


def all_of(*mutants: Mutant) -> Mutant:
    def mutant(patch: Patch) -> None:
        for each in mutants:
            each(patch)

    return mutant


def _checked_unseen(patch: Patch) -> None:
    """A node just opened is let in without an answer from outside."""
    patch.setitem(operations._PROGRESS, Step.CHECK, lambda _at: operations.Progress(operations.Turn.DONE))


def _an_operators_word_forgotten(patch: Patch) -> None:
    patch.setattr(diagnosis, "TABLE", tuple(row for row in diagnosis.TABLE if row.id != 310))


def _orders_that_never_expire(patch: Patch) -> None:
    patch.setattr(bounds, "EXPIRY_MARGIN_S", float("inf"))


def _the_first_stale_claim_believed(patch: Patch) -> None:
    patch.setattr(outcomes, "STALE_CLAIMS_BELIEVED", 1)


def _patience_without_end(patch: Patch) -> None:
    patch.setattr(operations._At, "impatient", False)


def _tokens_of_an_epoch_go_on(patch: Patch) -> None:
    """A new epoch keeps what the last one had out and had claimed."""
    taken_up = outcomes.take_up_epoch

    def take_up(sketch: draft.Draft) -> None:
        before = sketch.state
        taken_up(sketch)
        sketch.state = replace(sketch.state, targets=before.targets, helpers=before.helpers)

    everywhere(patch, taken_up, take_up)


MUTANTS: Mapping[str, Mutant] = {
    # gates
    "grace": without("grace"),
    "self trust": without("self_trust"),
    "successor": without("successor"),
    "last address": all_of(without("last_address"), answering(invariants.somebody_stays_open, ())),
    "claimed": without("claimed"),
    "one operation": without("one_operation"),
    "helper answers": without("helper_answers"),
    "behind closed ports": without("behind_closed_ports"),
    "well": without("well"),
    "stable": without("stable"),
    "hold-down": without("hold_down"),
    # what is asked again while an operation runs
    "nobody to leave it to": answering(planning.nobody_to_leave_it_to, ""),
    "only the withdrawn serve": answering(planning.only_the_withdrawn_serve, ""),
    "left open": answering(closing.left_open, ""),
    "what a target surely holds": lambda patch: everywhere(patch, in_common, lambda one, _other: one),
    "a drain's successor": answering(decide._successor_lost, ""),
    "a drain's successor after the TTL": answering(
        operations._with_a_successor, operations.Progress(operations.Turn.DONE)
    ),
    "what gives way": answering(planning.preemptible, True),
    "the check from outside": _checked_unseen,
    "impatience": _patience_without_end,
    "expiry of orders": _orders_that_never_expire,
    "an operator's word": _an_operators_word_forgotten,
    "reconciliation": answering(planning.reconcile, None),
    "publishing again after a drain": lambda patch: everywhere(patch, planning.abandon, planning.roll_back),
    "several stale claims": _the_first_stale_claim_believed,
    "believing a stale claim": answering(outcomes.believed_stale, False),
    "superseded": answering(outcomes.note_superseded, None),
    "claims of each epoch": _tokens_of_an_epoch_go_on,
    "claiming": answering(decide._claim, None),
    # the order of steps
    "publish before fence": in_order(Kind.FAILOVER, Step.FENCE, Step.PUBLISH, Step.VERIFY),
    "fence before publish when repeating": in_order(Kind.RECONCILE, Step.PUBLISH, Step.FENCE, Step.VERIFY),
    "open before publish": in_order(
        Kind.READMIT, Step.CATCH_UP, Step.PUBLISH, Step.VERIFY, Step.OPEN, Step.CHECK
    ),
    "check before publish": in_order(
        Kind.READMIT, Step.CATCH_UP, Step.OPEN, Step.PUBLISH, Step.VERIFY, Step.CHECK
    ),
    "open before check": in_order(
        Kind.READMIT, Step.CATCH_UP, Step.CHECK, Step.OPEN, Step.PUBLISH, Step.VERIFY
    ),
    "wait for the TTL before fence": in_order(
        Kind.DRAIN, Step.PUBLISH, Step.VERIFY, Step.FENCE, Step.WAIT_TTL
    ),
    "verify before fence": in_order(Kind.DRAIN, Step.PUBLISH, Step.WAIT_TTL, Step.FENCE, Step.VERIFY),
    "publish before wait": in_order(Kind.DRAIN, Step.WAIT_TTL, Step.PUBLISH, Step.VERIFY, Step.FENCE),
}
