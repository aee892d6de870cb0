"""Each invariant objects to what breaks it, and stops the decision that would."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, STORE, Scene, cluster_of, policy_of

from mailward.controller.core import decide as core
from mailward.controller.core import invariants
from mailward.model.dns import RRset
from mailward.model.fencing import CLOSED, OPEN, FenceOutcome, Scope
from mailward.model.orders import Action, Order, OrderPorts, Publish, Verify
from mailward.model.policy import Rules
from mailward.model.state import (
    Cause,
    Kind,
    Operation,
    Phase,
    PhaseRecord,
    PortsRecord,
    PowerRecord,
    State,
    Step,
    Vouched,
)
from mailward.model.token import Token

NAME = f"{MAIL}."


def order(action: Action, epoch: int = 1, seq: int = 1, store: str = STORE) -> Order:
    return Order(Token(store, epoch, seq), action, Scene().now, 8.0)


def publish(*rrsets: RRset) -> Publish:
    return Publish("ns1", rrsets)


FINE = publish(RRset(NAME, "A", 30, ("192.0.2.1",)), RRset(NAME, "AAAA", 30, ()))


def check(before: State, after: State, *orders: Order) -> tuple[str, ...]:
    return invariants.violations(policy_of(), before, after, orders)


BEFORE = State(STORE, 1, seq=5)


@pytest.mark.parametrize(
    ("orders", "seq", "expected"),
    [
        ([(1, 6), (1, 7)], 7, []),
        ([(1, 5)], 6, ["does not rise"]),
        ([(1, 7), (1, 7)], 7, ["does not rise"]),
        ([(1, 7), (1, 6)], 7, ["does not rise"]),
        ([(2, 6)], 6, ["does not rise"]),
        ([(1, 9)], 8, ["below the last one sent"]),
    ],
)
def test_tokens_rise(orders: list[tuple[int, int]], seq: int, expected: list[str]) -> None:
    sent = [order(FINE, epoch, number) for epoch, number in orders]
    found = check(BEFORE, replace(BEFORE, seq=seq), *sent)
    assert len(found) == len(expected)
    assert all(text.startswith("I1: ") and part in text for text, part in zip(found, expected, strict=True))


def test_a_token_of_another_store_is_no_token_of_ours() -> None:
    assert check(BEFORE, replace(BEFORE, seq=6), order(FINE, 1, 6, "ffffffffffff"))


def test_a_new_epoch_starts_its_seqs_anew() -> None:
    assert check(BEFORE, State(STORE, 2, seq=1), order(FINE, 2, 1)) == ()


def test_an_endpoint_without_any_address_is_never_published() -> None:
    empty = publish(RRset(NAME, "A", 30, ()), RRset(NAME, "AAAA", 30, ()))
    assert check(BEFORE, replace(BEFORE, seq=6), order(empty, 1, 6)) == (
        "I2: mail.example.test would have no address on ns1",
    )


@pytest.mark.parametrize("kind", [Publish, Verify])
@pytest.mark.parametrize(
    "rrset", [RRset("other.test.", "A", 30, ("192.0.2.1",)), RRset(NAME, "MX", 30, ("10 x.",))]
)
def test_only_listed_names_and_types_are_touched(kind: type[Publish], rrset: RRset) -> None:
    found = check(BEFORE, replace(BEFORE, seq=6), order(kind("ns1", (*FINE.rrsets, rrset)), 1, 6))
    assert found == (f"I3: {rrset.name} {rrset.type} is not listed",)


def phases(scene: Scene, **phase: Phase) -> State:
    for node, one in phase.items():
        scene.put_phase(node, one)
    return scene.state


def test_of_all_nodes_behind_an_endpoint_one_stays_open() -> None:
    before = phases(Scene(), a=Phase.OUT, b=Phase.IN_SERVICE)
    after = phases(Scene(), a=Phase.OUT, b=Phase.OUT)
    assert check(before, after) == ("I8: every node of mail.example.test would be closed",)
    assert check(after, after) == (), "what is so already must not hold up its remedy"


@pytest.mark.parametrize(
    ("before", "after", "legal"),
    [
        (Phase.OUT, Phase.IN_SERVICE, False),
        (Phase.OUT, Phase.DRAINING, False),
        (Phase.IN_SERVICE, Phase.REJOINING, False),
        (Phase.REJOINING, Phase.IN_SERVICE, False),
        (Phase.REJOINING, Phase.PROMOTING, True),
        (Phase.DRAINING, Phase.IN_SERVICE, True),
    ],
)
def test_phases_follow_the_table(before: Phase, after: Phase, legal: bool) -> None:
    found = check(phases(Scene(), a=before, b=Phase.IN_SERVICE), phases(Scene(), a=after, b=Phase.IN_SERVICE))
    assert found == (() if legal else (f"I12: a mail.example.test from {before} to {after}",))


def test_a_decision_that_breaks_one_is_not_taken_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    snapshot = scene.snapshot()
    monkeypatch.setattr(invariants, "violations", lambda *_: ("I2: as told",))
    decision = core.decide(snapshot)
    assert decision.state == snapshot.state
    assert decision.send == ()
    assert decision.notices == decision.broken == ("I2: as told",)
    assert decision.explanations


# in a cluster


def cluster_state(*, fence: FenceOutcome = FenceOutcome.CONFIRMED, b: Phase = Phase.PROMOTING) -> State:
    """`a` is demoting and closed as `fence` says, `b` is being promoted."""
    now = Scene().now
    ports = PortsRecord("a", Token(STORE, 1, 1), {"imaps": CLOSED}, fence, Scope.USERS, now)
    operation = Operation(
        "1-1", Kind.FAILOVER, "a", (MAIL,), Step.PROMOTE, now, now, Cause.SERVICE, "gone", 110, to="b"
    )
    phases = (PhaseRecord("a", MAIL, Phase.DEMOTING, now), PhaseRecord("b", MAIL, b, now))
    return State(STORE, 1, seq=6, phases=phases, operation=operation, ports=(ports,))


OPENS_B = OrderPorts("b", {"imaps": OPEN})


def opening(state: State) -> tuple[str, ...]:
    return invariants.violations(cluster_of(), replace(state, seq=5), state, [order(OPENS_B, 1, 6)])


def test_who_is_promoted_is_opened_when_the_other_is_recorded_to_be_stopped() -> None:
    assert opening(cluster_state()) == ()


@pytest.mark.parametrize("fence", [FenceOutcome.UNKNOWN, FenceOutcome.FAILED])
def test_who_is_promoted_is_not_opened_on_anything_less(fence: FenceOutcome) -> None:
    assert opening(cluster_state(fence=fence)) == ("I4: b would be opened, a is not stopped",)


def test_power_read_back_off_or_a_persons_word_stops_as_well() -> None:
    state, now = cluster_state(fence=FenceOutcome.UNKNOWN), Scene().now
    power = PowerRecord("a", Token(STORE, 1, 2), FenceOutcome.CONFIRMED, now, 40.0)
    assert opening(replace(state, power=(power,))) == ()
    assert opening(replace(state, power=(replace(power, off=FenceOutcome.UNKNOWN),))) != ()
    assert state.operation is not None
    word = replace(state.operation, vouched=(Vouched("a", "ann", now),))
    assert opening(replace(state, operation=word)) == ()


@pytest.mark.parametrize(("scope", "stopped"), [(Scope.USERS, True), (Scope.WRITES, False)])
def test_a_lease_that_has_run_out_stops_users_and_no_writer(scope: Scope, stopped: bool) -> None:
    state = cluster_state(fence=FenceOutcome.UNKNOWN)
    lapsed = replace(state, ports=tuple(replace(each, lapsed=Scene().now) for each in state.ports))
    policy = cluster_of(rules=Rules(fence_scope=scope))
    found = invariants.violations(policy, replace(lapsed, seq=5), lapsed, [order(OPENS_B, 1, 6)])
    assert found == (() if stopped else ("I4: b would be opened, a is not stopped",))


def test_two_are_never_recorded_to_be_open() -> None:
    state = cluster_state(b=Phase.STANDBY)
    both = (
        PhaseRecord("a", MAIL, Phase.IN_SERVICE, Scene().now),
        PhaseRecord("b", MAIL, Phase.PROMOTING, Scene().now),
    )
    found = invariants.violations(cluster_of(), state, replace(state, phases=both), [])
    assert "I4: a, b would all be open" in found


def test_a_scope_that_is_too_small_is_no_fence() -> None:
    policy = cluster_of(rules=Rules(fence_scope=Scope.WRITES))
    state = cluster_state()
    found = invariants.violations(policy, replace(state, seq=5), state, [order(OPENS_B, 1, 6)])
    assert found == ("I4: b would be opened, a is not stopped",)
