"""I10: one operation at a time; a failover goes before planned work, which rolls back."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, Scene, imap_and_smtp, kinds, policy_of

from mailward.model.fencing import CLOSED, OPEN
from mailward.model.orders import OrderPorts, Publish, Result
from mailward.model.policy import Endpoint
from mailward.model.state import Ended, Ending, Kind, Phase, RequestKind, Step

THREE = ("a", "b", "c")


def running(scene: Scene) -> tuple[Kind, str, Step] | None:
    operation = scene.state.operation
    return (operation.kind, operation.node, operation.step) if operation else None


def ended(scene: Scene) -> list[tuple[Kind, str, Ending]]:
    return [(e.operation.kind, e.operation.node, e.ending) for e in scene.state.ended]


def test_a_drain_with_nobody_left_is_rolled_back_and_published_again_at_once() -> None:
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(5)
    scene.down("b", "imaps")
    scene.settle()
    assert scene.phase("a") is Phase.IN_SERVICE
    last = [a for a in scene.actions() if isinstance(a, Publish)][-1]
    assert last.rrsets[0].values == ("192.0.2.10", "192.0.2.11")
    assert ended(scene)[-2:] == [
        (Kind.DRAIN, "a", Ending.ROLLED_BACK),
        (Kind.READMIT, "a", Ending.DONE),
    ]
    scene.run(5)
    assert [scene.phase(n) for n in "ab"] == [Phase.IN_SERVICE, Phase.OUT]


def test_a_drain_whose_node_is_closed_already_is_not_rolled_back() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = None
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(31)
    assert running(scene) == (Kind.DRAIN, "a", Step.FENCE)
    scene.down("b", "imaps")
    scene.run(3)
    assert running(scene) == (Kind.DRAIN, "a", Step.FENCE)
    assert scene.holding("b") == ["successor", "last-address", "one-operation"]


def test_of_three_a_failure_goes_before_the_drain_of_another() -> None:
    """One publication does both: b is gone from it and a is back."""
    scene = Scene.settled(policy_of(THREE))
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(5)
    scene.down("b", "imaps", for_s=5)
    scene.sent.clear()
    scene.settle()
    assert [scene.phase(n) for n in THREE] == [Phase.IN_SERVICE, Phase.OUT, Phase.IN_SERVICE]
    first = scene.actions()[0]
    assert isinstance(first, Publish)
    assert first.rrsets[0].values == ("192.0.2.10", "192.0.2.12")


def test_a_failure_goes_before_a_readmission_that_still_catches_up() -> None:
    scene = Scene.settled(policy_of(THREE))
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.lag("b", "a", 100)
    scene.up("a", for_s=60)
    scene.run(3)
    assert running(scene) == (Kind.READMIT, "a", Step.CATCH_UP)
    scene.down("b", "imaps", for_s=5)
    scene.settle()
    assert ended(scene)[-3:] == [
        (Kind.READMIT, "a", Ending.ROLLED_BACK),
        (Kind.FAILOVER, "b", Ending.DONE),
        (Kind.READMIT, "a", Ending.DONE),
    ]
    assert [scene.phase(n) for n in THREE] == [Phase.IN_SERVICE, Phase.OUT, Phase.IN_SERVICE]


def test_a_readmission_past_catching_up_is_finished_first_for_it_may_be_the_successor() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.answers["publish"] = None
    scene.up("a", for_s=60)
    scene.run(3)
    assert running(scene) == (Kind.READMIT, "a", Step.PUBLISH)
    scene.down("b", "imaps", for_s=5)
    scene.settle()
    assert running(scene) == (Kind.READMIT, "a", Step.PUBLISH)
    assert scene.holding("b") == ["one-operation"]
    scene.answers.clear()
    scene.run(15)
    assert [scene.phase(n) for n in "ab"] == [Phase.IN_SERVICE, Phase.OUT]


@pytest.mark.parametrize("kind", [Kind.READMIT, Kind.FAILOVER, Kind.RECONCILE])
def test_nobody_waits_for_a_secondary_that_lags(kind: Kind) -> None:
    """One dead secondary, and every operation verifies for a minute: that must not be added to an outage."""
    scene = Scene.settled(policy_of(THREE))
    scene.answers["verify"] = Result.FAILED
    if kind is Kind.RECONCILE:
        scene.answers["publish"] = Result.FAILED
        scene.ask(RequestKind.FAILOVER, "c")
        scene.run(61)
        scene.answers["publish"] = Result.DONE
        scene.run(31)
    else:
        scene.down("c", "imaps", for_s=5)
        scene.settle()
        if kind is Kind.READMIT:
            scene.run(61)
            scene.up("c", for_s=60)
            scene.settle()
    assert scene.state.operation is not None
    assert (scene.state.operation.kind, scene.state.operation.step) == (kind, Step.VERIFY)
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert scene.phase("a") is Phase.OUT
    before = [e for e in scene.state.ended if e.operation.kind is kind][-1]
    assert (before.ending, before.detail) == (Ending.DONE, "not published or verified everywhere: a failed")
    in_service = kind is Kind.READMIT
    assert scene.phase("c") is (Phase.IN_SERVICE if in_service else Phase.OUT)


def test_a_reconciliation_of_the_successor_does_not_make_it_unfit() -> None:
    """b's ports are being ordered again, over and over, while DNS is slow: b serves all the same."""
    scene = Scene.settled()
    scene.down("b", "imaps", for_s=5)
    scene.run(3)
    scene.up("b", for_s=60)
    scene.run(3)
    assert scene.phase("b") is Phase.IN_SERVICE
    ports = scene.state.ports_of("b")
    assert ports is not None
    object.__setattr__(ports, "ports", {**ports.ports, "imaps": CLOSED})
    scene.answers["publish"] = None
    scene.settle()
    assert running(scene) is not None
    assert running(scene)[:2] == (Kind.RECONCILE, "b")  # type: ignore[index]
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert running(scene) == (Kind.FAILOVER, "a", Step.PUBLISH)


def test_further_endpoints_of_the_same_node_join_the_running_failover() -> None:
    imap, mail = imap_and_smtp()
    elsewhere = Endpoint(imap.name, imap.services, imap.nodes, imap.ttl_s, ("ns2",))
    scene = Scene.settled(policy_of(endpoints=(elsewhere, mail)))
    scene.answers["order-ports"] = None
    scene.down("a", "submission", for_s=5)
    scene.settle()
    assert running(scene) == (Kind.FAILOVER, "a", Step.FENCE)
    scene.down("a", "imaps", for_s=5)
    scene.answers.clear()
    scene.sent.clear()
    scene.settle()
    assert [(o.action.kind, getattr(o.action, "target", "")) for o in scene.sent[:2]] == [
        ("publish", "ns1"),
        ("publish", "ns2"),
    ]
    last: Ended = scene.state.ended[-1]
    assert last.operation.endpoints == (imap.name, MAIL)
    assert last.ending is Ending.DONE
    assert len(scene.state.fenced_at) == 1, "one failover, not two"
    ports = scene.state.ports_of("a")
    assert ports is not None
    assert set(ports.ports.values()) == {CLOSED}


def test_an_outcome_of_the_step_before_a_merger_informs_nobody() -> None:
    scene = Scene.settled(policy_of(endpoints=imap_and_smtp()))
    scene.down("a", "submission", for_s=5)
    scene.step()
    late = scene.outcomes
    scene.outcomes = []
    scene.down("a", "imaps", for_s=5)
    scene.step()
    operation = scene.state.operation
    assert operation is not None
    assert operation.endpoints == ("imap.example.test", MAIL)
    keep = scene.outcomes
    scene.outcomes = late
    scene.step()
    operation = scene.state.operation
    assert operation is not None
    assert operation.step is Step.PUBLISH
    scene.outcomes = keep
    scene.settle()
    assert scene.state.ended[-1].ending is Ending.DONE


def test_a_service_shared_with_an_endpoint_in_service_stays_open_through_failover_and_return() -> None:
    """imaps serves imap.example.test all along; only submission is closed and tried behind it."""
    scene = Scene.settled(policy_of(endpoints=imap_and_smtp()))
    scene.down("a", "submission", for_s=5)
    scene.run(3)
    ports = scene.state.ports_of("a")
    assert ports is not None
    assert (ports.ports["imaps"], ports.ports["submission"]) == (OPEN, CLOSED)
    scene.up("a", "submission", for_s=60)
    scene.run(5)
    assert scene.phase("a", MAIL) is Phase.IN_SERVICE
    assert all(
        set(order.action.ports) == {"smtp", "submission", "imaps"} and order.action.ports["imaps"] == OPEN
        for order in scene.sent
        if order.action.kind == "order-ports"
    )


def test_two_failures_at_once_are_handled_one_after_the_other() -> None:
    scene = Scene.settled(policy_of(THREE))
    scene.down("a", "imaps", for_s=5)
    scene.down("b", "imaps", for_s=5)
    scene.settle()
    assert [scene.phase(n) for n in THREE] == [Phase.OUT, Phase.OUT, Phase.IN_SERVICE]
    assert ended(scene)[-2:] == [
        (Kind.FAILOVER, "a", Ending.DONE),
        (Kind.FAILOVER, "b", Ending.DONE),
    ]
    assert kinds(scene.actions()) == ["publish", "order-ports", "publish", "order-ports", "verify"]


@pytest.mark.parametrize("kind", [Kind.FAILOVER, Kind.RECONCILE])
def test_a_withdrawal_nobody_took_up_is_given_up_when_only_the_withdrawn_node_serves(kind: Kind) -> None:
    """The zone was frozen and the helper dead for a minute; then b died, a was well again, and the first
    thing done when the zone thawed was to take a, the last one serving, out of it."""
    scene = Scene.settled()
    scene.answers = {"publish": Result.FAILED, "order-ports": Result.UNKNOWN}
    scene.down("a", "imaps", for_s=5)
    for _ in range(200):
        scene.run(1)
        if scene.state.operation is not None and scene.state.operation.kind is kind:
            break
    scene.back("a", for_s=0)
    scene.gone("b", for_s=5)
    scene.settle()
    ended = scene.state.ended[-1]
    assert ended.operation.kind is kind
    assert "a is well, and nobody else serves mail.example.test any more" in ended.detail
    if kind is Kind.FAILOVER:
        assert ended.ending is Ending.HANDED_OVER, "nothing of it is undone"
    scene.sent.clear()
    scene.answers.clear()
    scene.run(30)
    assert scene.phase("a") is Phase.IN_SERVICE
    for action in scene.actions():
        if isinstance(action, Publish):
            assert "192.0.2.10" in action.rrsets[0].values
        if isinstance(action, OrderPorts) and action.node == "a":
            assert set(action.ports.values()) == {OPEN}


def test_what_follows_the_end_of_an_operation_is_decided_on_what_was_then_recorded() -> None:
    """A drain of a node without helper ends the moment its TTL is over; the readmission asked for in that
    very moment must find it `out`, not skip from `draining` to `rejoining`."""
    policy = policy_of()
    a, b = policy.nodes
    scene = Scene.settled(replace(policy, nodes=(replace(a, fenced=False), b)))
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(29)
    scene.now_s += 5
    request = scene.ask(RequestKind.READMIT, "a")
    scene.settle()
    assert [answer.accepted for answer in scene.state.answers if answer.request == request.id] == [True]
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_node_let_in_and_only_not_verified_yet_is_a_successor() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.answers["verify"] = Result.FAILED
    scene.up("a", for_s=60)
    scene.run(3)
    assert running(scene) == (Kind.READMIT, "a", Step.VERIFY)
    scene.down("b", "imaps", for_s=5)
    scene.settle()
    assert [scene.phase(n) for n in "ab"] == [Phase.IN_SERVICE, Phase.OUT]


def test_a_drain_taken_over_is_not_gone_on_with_before_somebody_else_is_known_to_serve() -> None:
    """Found by simulation: its leader was gone, the other node hung meanwhile, and the new leader, whose
    observers did not yet trust themselves, took the last one that served out of the zone."""
    scene = Scene.settled()
    scene.answers["publish"] = None
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(1)
    scene.restarted()
    scene.answers.clear()
    scene.sent.clear()
    for node in "ab":
        scene.unknown(node)
    scene.run(10)
    assert set(kinds(scene.actions())) == {"claim-target", "claim-helper"}
    scene.back("a")
    scene.down("b", "imaps", for_s=5)
    scene.settle()
    assert scene.phase("a") is Phase.IN_SERVICE


def catching_up_by_hand() -> Scene:
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(40)
    scene.lag("a", "b", 100)
    scene.ask(RequestKind.READMIT, "a")
    scene.run(2)
    return scene


def test_a_readmission_asked_for_again_does_not_begin_anew() -> None:
    scene = catching_up_by_hand()
    before = scene.state.operation
    assert before is not None
    scene.ask(RequestKind.READMIT, "a")
    scene.ask(RequestKind.READMIT, "a")
    scene.run(5)
    assert scene.state.operation is not None
    assert scene.state.operation.id == before.id


def test_one_who_insists_takes_over_and_every_operation_ends_in_words() -> None:
    """Found by simulation: two took over in one step, and the first one's ending was lost."""
    scene = Scene.settled()
    scene.lag("a", "b", 100)
    scene.down("a", "imaps", for_s=5)
    scene.run(10)
    scene.up("a", for_s=60)
    scene.run(2)
    automatic = scene.state.operation
    assert automatic is not None
    assert automatic.kind is Kind.READMIT
    scene.ask(RequestKind.READMIT, "a")
    scene.ask(RequestKind.READMIT, "a", force=True)
    scene.step()
    by_hand = scene.state.operation
    assert by_hand is not None
    assert [e.operation.id for e in scene.state.ended][-1:] == [automatic.id]
    scene.step()
    assert [e.operation.id for e in scene.state.ended][-1:] == [by_hand.id]
