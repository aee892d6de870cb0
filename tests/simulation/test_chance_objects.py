"""Runs by chance object when a guard is taken away: alone, or together with the one that stands behind it.

A hunt looks for harm where the guard should matter: faults of few kinds, close together, from one seed after
the other until a rule is broken. The same seeds break none with the guard in its place, nor that one when
only what stands behind it is away.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.simulation.clusters import (
    leased,
    one_is_preferred,
    one_serves_one_stands_by,
    two_sites_and_a_witness,
)
from tests.simulation.mutants import MUTANTS

from mailward.model.policy import Automation, Deployment, Failback, Loss, Policy, Window
from mailward.simulator.run import play
from mailward.simulator.world import STORE_ID

pytestmark = pytest.mark.proof

HOURS, PACE_S = 0.25, 15.0
_AS_IT_IS = {"takeover_after_s": 5.0}
"""The rules of a policy that is not to be varied."""


@dataclass(frozen=True)
class Hunt:
    """Which guards are away, which faults strike, what is set in the policy, and which rule is broken then.
    `seeds` is how many may be needed, from `first` on: where harm is rare, those before it show none."""

    guards: tuple[str, ...]
    kinds: tuple[str, ...]
    says: str
    rules: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 12
    first: int = 1
    of: Callable[[], Policy] = two_sites_and_a_witness

    @property
    def name(self) -> str:
        return " and ".join(self.guards)

    def policy_of(self) -> Policy:
        whole = self.of()
        rules = replace(whole.rules, **{"hold_down_max_s": 300.0, **self.rules})
        return replace(whole, rules=rules, **self.policy)

    def violations(self, seed: int) -> tuple[str, ...]:
        vary = not (self.rules or self.policy)
        return play(self.policy_of(), seed, HOURS, kinds=self.kinds, pace_s=PACE_S, vary=vary).violations


HUNTS = (
    # receivers, the store, and what is done with an order
    Hunt(
        ("helpers keep a window",), ("late-orders", "crash", "daemon-kill"), "after its hello", first=35
    ),
    Hunt(
        ("helpers compare tokens", "helpers keep a window"),
        ("late-orders", "crash", "daemon-kill"),
        f" after {STORE_ID}",
    ),
    Hunt(("name servers compare tokens",), ("late-orders", "crash", "daemon-kill"), "I1: primary obeyed"),
    Hunt(("recorded before sent",), ("crash", "pause", "request"), "which nobody had recorded"),
    # what is believed
    Hunt(("votes for a verdict",), ("cut", "isolated"), "I6: "),
    Hunt(("what receivers remember",), ("store-restored", "crash", "request"), "I14: ", seeds=30),
    Hunt(("another store's target",), ("foreign-target", "crash"), "I2: "),
    Hunt(("superseded",), ("store-restored", "crash", "request"), "I14: "),
    # gates
    Hunt(
        ("acting", "claimed"),
        ("crash",),
        "and automation only observes",
        policy={"automation": Automation.OBSERVE},
    ),
    Hunt(("deployment",), ("crash",), "in a deployment", policy={"deployment": Deployment.STANDARD}),
    Hunt(("pause",), ("crash", "pause"), "I9: "),
    Hunt(("rate",), ("crash", "hang"), "failovers within an hour", rules={"failovers_per_hour": 2}),
    Hunt(("caught up",), ("crash", "not-replicating", "host-crash"), "let in with", seeds=30),
    Hunt(("grace",), ("crash",), "I6: ", rules={"restart_grace_s": 5.0}),
    Hunt(("successor",), ("common-cause", "crash"), "I8: ", rules={"restart_grace_s": 5.0}),
    Hunt(("one operation",), ("crash", "request"), "errors: "),
    Hunt(("stable",), ("crash", "hang"), "I12: ", rules={"stable_s": 30.0}),
    Hunt(("hold-down",), ("crash",), "I13: ", rules={"hold_down_s": 60.0}),
    # where one serves and others stand by
    Hunt(("a takeover waits",), ("crash",), "I6: ", of=one_serves_one_stands_by),
    Hunt(("an heir",), ("common-cause", "crash"), "I8: ", of=one_serves_one_stands_by),
    Hunt(
        ("stopped for certain", "recorded to be stopped"),
        ("isolated", "host-freeze", "cut"),
        "are open at once",
        of=one_serves_one_stands_by,
    ),
    Hunt(
        ("recorded to be stopped", "stopped for certain"),
        ("isolated", "host-freeze", "cut"),
        "are open at once",
        of=one_serves_one_stands_by,
    ),
    Hunt(
        ("what may be lost",),
        ("not-replicating", "host-crash", "crash"),
        "I5: ",
        rules={"loss": Loss.LOSSLESS, "takeover_after_s": 5.0},
        of=one_serves_one_stands_by,
    ),
    Hunt(
        ("promoted before it opens",),
        ("crash", "request"),
        "not promoted since it was to be demoted",
        of=one_serves_one_stands_by,
    ),
    Hunt(
        ("demoted before it stands by",),
        ("crash", "host-crash"),
        "stands by, and was not demoted",
        of=one_serves_one_stands_by,
    ),
    Hunt(
        ("promised by all",),
        ("isolated", "cut"),
        "are open at once",
        rules={"takeover_after_s": 5.0},
        of=leased,
        first=4,
    ),
    # planned for later, and going back
    Hunt(("a time is waited for",), ("request",), "before its time", of=one_serves_one_stands_by),
    Hunt(("fit for long",), ("crash",), "after a failure", rules=_AS_IT_IS, of=one_is_preferred),
    Hunt(
        ("in its window",),
        ("crash",),
        "outside the window",
        rules={"failback": Failback.WINDOW, "failback_window": Window("never", 1.0, 2.0)},
        of=one_is_preferred,
    ),
    # the order of steps
    Hunt(("publish before fence",), ("crash",), "was closed while"),
    Hunt(("wait for the TTL before fence",), ("request",), "was drained and closed"),
    Hunt(("open before publish",), ("crash",), "errors: "),
)  # fmt: skip


def broken_without(
    guards: tuple[str, ...], hunt: Hunt, seed: int, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    with monkeypatch.context() as patch:
        for guard in guards:
            MUTANTS[guard](patch)
        return [sentence for sentence in hunt.violations(seed) if hunt.says in sentence]


@pytest.mark.parametrize("hunt", HUNTS, ids=lambda hunt: hunt.name)
def test_a_rule_is_broken_without(hunt: Hunt, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(hunt.guards) <= set(MUTANTS)
    for seed in range(hunt.first, hunt.first + hunt.seeds):
        broken = broken_without(hunt.guards, hunt, seed, monkeypatch)
        if broken:
            print(f"without {hunt.name}, seed {seed}: {broken[0]}")
            assert hunt.violations(seed) == (), "nor is it with the guard in its place"
            behind = broken_without(hunt.guards[1:], hunt, seed, monkeypatch)
            assert behind == [], "it is the guard behind that is missed"
            return
    raise AssertionError(f"nobody missed {hunt.name} in {hunt.seeds} runs")
