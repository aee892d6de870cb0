"""Each gate holds with its reason; taken away, the decision is another.

Some gates overlap on purpose (a majority is needed both for a verdict and to act at all). For these the
overlapping ones are taken away in both halves of the test.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from tests.unit.core.scene import MAIL, Scene, Voice, policy_of

from mailward.controller.core import decide, gates, requests
from mailward.controller.core.gates import Gate
from mailward.model.orders import Result
from mailward.model.policy import Automation, Deployment, Observer
from mailward.model.state import Cause, Ending, Flap, Kind, Phase, RequestKind

THREE = tuple(Observer(f"o{i}", f"site-{i}") for i in range(3))


@dataclass(frozen=True)
class Held:
    """`scene` is one in which `gate` alone holds, `without` taken away."""

    gate: Gate
    scene: Callable[[], Scene]
    reason: str
    command: str = ""
    without: tuple[Gate, ...] = ()


def failed(scene: Scene, for_s: float = 5.0) -> Scene:
    scene.down("a", "imaps", for_s=for_s)
    return scene


def observing() -> Scene:
    return failed(Scene.settled(policy_of(automation=Automation.OBSERVE)))


def another_deployment() -> Scene:
    scene = Scene.settled()
    scene.policy = replace(scene.policy, deployment=Deployment.STANDARD)
    return failed(scene)


def paused() -> Scene:
    scene = failed(Scene.settled())
    scene.paused()
    return scene


def one_voice_of_three() -> Scene:
    scene = Scene.settled(policy_of(observers=THREE))
    scene.voices = {"o1": Voice(silent=True), "o2": Voice(tilted=True)}
    scene.disk("a", 0)
    return scene


def nothing_answers() -> Scene:
    scene = Scene.settled()
    scene.gone("a", for_s=5)
    scene.gone("b", for_s=5)
    return scene


def just_failed() -> Scene:
    return failed(Scene.settled(), for_s=0.5)


def other_failed_too() -> Scene:
    scene = failed(Scene.settled())
    scene.down("b", "smtp", for_s=0.1)
    return scene


def other_without_address() -> Scene:
    policy = policy_of()
    a, b = policy.nodes
    return failed(Scene.settled(replace(policy, nodes=(a, replace(b, addresses=())))))


def often_lately() -> Scene:
    scene = failed(Scene.settled())
    scene.state = replace(scene.state, fenced_at=(scene.now,) * 6)
    return scene


def not_claimed() -> Scene:
    scene = Scene.settled()
    scene.restarted()
    scene.answers["claim-target"] = Result.FAILED
    scene.details["claim-target"] = "no route"
    scene.run(2)
    return failed(scene)


def something_else_runs() -> Scene:
    """Of three nodes c is being fenced while a fails."""
    scene = Scene.settled(policy_of(("a", "b", "c")))
    scene.answers["order-ports"] = None
    scene.down("c", "imaps", for_s=5)
    scene.settle()
    assert scene.state.operation is not None
    return failed(scene)


WITHDRAW = [
    Held(gates.acting, observing, "only observing", "mailward failover a", (gates.claimed,)),
    Held(gates.deployment, another_deployment, "nothing to fail over to"),
    Held(gates.not_paused, paused, "paused by ann for 600 s more: maintenance", "mailward resume"),
    Held(gates.votes, one_voice_of_three, "1 fresh of 2 needed (o1: has not", without=(gates.successor,)),
    Held(gates.self_trust, nothing_answers, "observers may be the ones", without=(gates.successor,)),
    Held(gates.grace, just_failed, "failing for 0.5 s, grace is 1 s"),
    Held(gates.successor, other_failed_too, "b is failed (smtp DOWN", "mailward explain b"),
    Held(gates.last_address, other_without_address, "no address left on ns1"),
    Held(gates.rate, often_lately, "6 failovers in the last hour, at most 6", "mailward failover a"),
    Held(gates.claimed, not_claimed, "not claimed in this epoch: ns1 (no route)"),
]


def names(checks: tuple[Gate, ...], *without: Gate) -> tuple[Gate, ...]:
    return tuple(gate for gate in checks if gate not in without)


@pytest.mark.parametrize("held", WITHDRAW, ids=lambda h: h.gate.__name__)
def test_each_gate_of_a_withdrawal(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = held.scene()
    before = scene.state
    monkeypatch.setattr(gates, "WITHDRAW", names(gates.WITHDRAW, *held.without))
    scene.settle()
    (name,) = scene.holding("a")
    finding = scene.finding(name, "a")
    assert held.reason in finding.reason
    assert finding.command == held.command
    assert scene.phase("a") is Phase.IN_SERVICE
    scene.state = before
    monkeypatch.setattr(gates, "WITHDRAW", names(gates.WITHDRAW, held.gate))
    decision = scene.look()
    assert decision.state.operation is not None
    assert (decision.state.operation.kind, decision.state.operation.node) == (Kind.FAILOVER, "a")


def test_the_gate_against_two_operations_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """I10. Without it the fence of c would be left half done."""
    scene = something_else_runs()
    scene.settle()
    assert scene.holding("a") == ["one-operation"]
    assert scene.finding("one-operation", "a").reason == "failover of c is at step fence"
    monkeypatch.setattr(gates, "WITHDRAW", names(gates.WITHDRAW, gates.one_operation))
    decision = scene.look()
    assert decision.state.operation is not None
    assert decision.state.operation.node == "a"
    assert decision.state.ended[-1].ending is Ending.ROLLED_BACK


def test_every_gate_of_a_withdrawal_has_been_tried() -> None:
    assert {held.gate for held in WITHDRAW} | {gates.one_operation} == set(gates.WITHDRAW)


def out(policy_observers: tuple[Observer, ...] = (), cause: Cause = Cause.SERVICE) -> Scene:
    """a has been withdrawn and fenced, and is well again for long."""
    observers = policy_observers or (Observer("watch", "graz"),)
    scene = Scene.settled(policy_of(observers=observers))
    scene.down("a", "imaps", for_s=5)
    scene.run(2)
    assert scene.phase("a") is Phase.OUT
    record = scene.state.phase_of("a", MAIL)
    assert record is not None
    scene.put_phase("a", Phase.OUT, cause)
    return scene


def well(scene: Scene) -> Scene:
    scene.up("a", for_s=60)
    return scene


def out_and_observing() -> Scene:
    scene = out()
    scene.policy = replace(scene.policy, automation=Automation.OBSERVE)
    return well(scene)


def out_and_paused() -> Scene:
    scene = well(out())
    scene.paused()
    return scene


def out_without_helper() -> Scene:
    scene = well(out())
    scene.facts["a"] = None
    return scene


def out_unfenced() -> Scene:
    scene = Scene.settled()
    scene.answers["order-ports"] = Result.UNKNOWN
    scene.details["order-ports"] = "no hello"
    scene.down("a", "imaps", for_s=5)
    scene.run(40)
    return well(scene)


def out_and_just_well() -> Scene:
    scene = out()
    scene.up("a", for_s=3)
    return scene


def out_again() -> Scene:
    scene = well(out())
    scene.state = replace(scene.state, flaps=(Flap("a", Cause.SERVICE, 3, scene.now),))
    return scene


def out_and_not_claimed() -> Scene:
    scene = well(out())
    scene.restarted()
    scene.answers["claim-target"] = Result.FAILED
    return scene


READMIT = [
    Held(gates.acting, out_and_observing, "only observing", "mailward readmit a"),
    Held(gates.not_paused, out_and_paused, "paused by ann", "mailward resume"),
    Held(gates.helper_answers, out_without_helper, "mailward-node does not answer: ssh: no route"),
    Held(gates.behind_closed_ports, out_unfenced, "not known to be closed: no hello"),
    Held(gates.stable, out_and_just_well, "well for 3 s, 10 s needed"),
    Held(gates.hold_down, out_again, "out 3 times for service-failed; 0 s since, 60 s needed"),
    Held(gates.claimed, out_and_not_claimed, "not claimed in this epoch"),
]


@pytest.mark.parametrize("held", READMIT, ids=lambda h: h.gate.__name__)
def test_each_gate_of_a_readmission(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = held.scene()
    before = scene.state
    scene.settle()
    holding = [name for name in scene.holding("a") if name != "caught-up"]
    (name,) = holding
    assert held.reason in scene.finding(name, "a").reason
    assert scene.finding(name, "a").command == held.command
    assert scene.phase("a") is Phase.OUT
    scene.state = before
    monkeypatch.setattr(gates, "READMIT", names(gates.READMIT, held.gate))
    decision = scene.step()
    if decision.state.operation is None:
        decision = scene.step()
    assert decision.state.operation is not None
    assert (decision.state.operation.kind, decision.state.operation.node) == (Kind.READMIT, "a")


def test_the_gates_that_the_diagnosis_implies_are_shown_all_the_same() -> None:
    """I16: a node that is not well, or that nobody sees, is no wish of the table; people ask why not."""
    scene = out(THREE)
    shown = {f.gate: f for f in scene.why("a").findings}
    assert shown["well"].reason.startswith("failed: imaps DOWN")
    scene.voices = {"o1": Voice(silent=True), "o2": Voice(silent=True)}
    assert "1 fresh of 2 needed" in scene.finding("votes", "a").reason
    tried = {held.gate for held in READMIT} | {gates.votes, gates.well, gates.one_operation}
    assert tried == set(gates.READMIT)


def test_a_second_readmission_waits_for_the_first() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c")))
    for node in ("a", "b"):
        scene.down(node, "imaps", for_s=5)
    scene.run(5)
    assert [scene.phase(n) for n in "abc"] == [Phase.OUT, Phase.OUT, Phase.IN_SERVICE]
    scene.up("a", for_s=60)
    scene.up("b", for_s=60)
    scene.lag("c", "a", 100)
    scene.settle()
    assert [scene.phase(n) for n in "abc"] == [Phase.REJOINING, Phase.OUT, Phase.IN_SERVICE]
    assert scene.holding("b") == ["one-operation"]


BY_HAND = [
    (RequestKind.FAILOVER, Held(gates.deployment, another_deployment, "deployment: standard: nothing")),
    (RequestKind.FAILOVER, Held(gates.not_paused, paused, "paused by ann for 600 s more")),
    (
        RequestKind.FAILOVER,
        Held(gates.votes, one_voice_of_three, "votes: 1 fresh of 2", without=(gates.successor,)),
    ),
    (RequestKind.FAILOVER, Held(gates.successor, other_failed_too, "successor: b is failed")),
    (RequestKind.FAILOVER, Held(gates.last_address, other_without_address, "no address left on ns1")),
    (RequestKind.READMIT, Held(gates.not_paused, out_and_paused, "paused by ann")),
    (RequestKind.READMIT, Held(gates.helper_answers, out_without_helper, "mailward-node does not answer")),
    (RequestKind.READMIT, Held(gates.well, out, "well: failed: imaps DOWN")),
]


@pytest.mark.parametrize(("kind", "held"), BY_HAND, ids=lambda x: getattr(x, "value", ""))
def test_each_gate_of_a_request(kind: RequestKind, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = held.scene()
    monkeypatch.setattr(decide, "plan", lambda *_: None)  # only the request speaks here
    monkeypatch.setattr(requests, "UNKNOWN_PATIENCE_S", 0.0)
    checks = "READMIT_BY_HAND" if kind is RequestKind.READMIT else "WITHDRAW_BY_HAND"
    monkeypatch.setattr(gates, checks, names(getattr(gates, checks), *held.without))
    request = scene.ask(kind, "a")
    decision = scene.look()
    (answer,) = [a for a in decision.state.answers if a.request == request.id]
    assert not answer.accepted
    assert held.reason in answer.detail
    monkeypatch.setattr(gates, checks, names(getattr(gates, checks), held.gate))
    decision = scene.look()
    (answer,) = [a for a in decision.state.answers if a.request == request.id]
    assert answer.accepted
