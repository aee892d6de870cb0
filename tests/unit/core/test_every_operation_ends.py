"""I10: done, rolled back, or handed to a human with the reason and the command; whatever goes wrong."""

import pytest
from tests.unit.core.scene import MAIL, Scene, kinds, policy_of

from mailward.controller.core.operations import STEPS, STEPS_IN_A_CLUSTER, next_step
from mailward.model.fencing import FenceOutcome
from mailward.model.orders import Result
from mailward.model.policy import Endpoint
from mailward.model.state import Ended, Ending, Kind, Phase, RequestKind, Step

NOT_DONE: list[Result | None] = [None, Result.FAILED, Result.UNKNOWN, Result.STALE]


def last(scene: Scene, kind: Kind) -> Ended:
    return [e for e in scene.state.ended if e.operation.kind is kind][-1]


def test_steps_follow_each_other_to_an_end() -> None:
    assert {*STEPS, Kind.SWITCHOVER} == set(Kind) == set(STEPS_IN_A_CLUSTER)
    for steps in (*STEPS.values(), *STEPS_IN_A_CLUSTER.values()):
        assert len(set(steps)) == len(steps)


@pytest.mark.parametrize("result", NOT_DONE)
def test_a_failover_that_cannot_publish_is_handed_over_within_a_minute(result: Result | None) -> None:
    scene = Scene.settled()
    scene.answers["publish"] = result
    scene.down("a", "imaps", for_s=5)
    scene.run(75)
    ended = last(scene, Kind.FAILOVER)
    assert ended.ending is Ending.HANDED_OVER
    assert "publish:ns1: " in ended.detail
    assert ended.detail.endswith("check the DNS target, then: mailward explain")
    assert any("failover of a handed over" in notice for notice in scene.notices)
    assert scene.phase("a") is Phase.OUT


def test_what_was_handed_over_is_repeated_and_made_good_by_itself() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(400, every_s=2)
    assert [e.operation.kind for e in scene.state.ended][-1] is Kind.RECONCILE
    assert len(scene.state.ended) <= 4, "the same again takes no more room"
    scene.answers.clear()
    scene.run(100, every_s=2)
    assert scene.state.operation is None
    assert last(scene, Kind.RECONCILE).ending is Ending.DONE
    record = scene.state.target("ns1")
    assert record.published is not None
    assert record.published[0].values == ("192.0.2.11",)


def test_a_node_is_closed_although_dns_takes_nothing() -> None:
    """DNS is first on the way out, but a name server that is down for hours must not keep a withdrawn
    node open: refused, its clients try the other address by themselves."""
    scene = Scene.settled()
    scene.answers["publish"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    assert "order-ports" in kinds(scene.actions())
    assert scene.state.operation is not None, "what is not published is tried again"
    assert scene.state.operation.step is Step.VERIFY
    scene.answers.clear()
    scene.run(40)
    assert last(scene, Kind.FAILOVER).ending is Ending.DONE
    assert scene.state.target("ns1").published[0].values == ("192.0.2.11",)  # type: ignore[index]


@pytest.mark.parametrize("result", NOT_DONE)
def test_a_fence_is_tried_once_and_repeated_later(result: Result | None) -> None:
    """In a hybrid nothing waits for it."""
    scene = Scene.settled()
    scene.answers["order-ports"] = result
    scene.down("a", "imaps", for_s=5)
    scene.run(15)
    ended = last(scene, Kind.FAILOVER)
    assert ended.ending is Ending.DONE
    assert "fence not confirmed" in ended.detail
    scene.run(60)
    assert last(scene, Kind.RECONCILE).operation.node == "a"
    scene.answers.clear()
    scene.run(60)
    ports = scene.state.ports_of("a")
    assert ports is not None
    assert ports.fence is FenceOutcome.CONFIRMED


def test_a_server_that_lags_is_named_and_does_not_keep_it_open() -> None:
    scene = Scene.settled()
    scene.answers["verify"] = Result.FAILED
    scene.details["verify"] = "ns2: old answer"
    scene.down("a", "imaps", for_s=5)
    scene.run(62)
    ended = last(scene, Kind.FAILOVER)
    assert ended.ending is Ending.DONE
    assert ended.detail == "not verified everywhere: verify:ns1: ns2: old answer"


def test_a_drain_that_cannot_publish_is_rolled_back() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = Result.FAILED
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(61)
    assert last(scene, Kind.DRAIN).ending is Ending.ROLLED_BACK
    assert scene.phase("a") is Phase.IN_SERVICE
    scene.run(61)
    assert last(scene, Kind.READMIT).ending is Ending.HANDED_OVER
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_drain_closes_nobody_while_the_successor_is_unknown() -> None:
    """I8."""
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(20)
    scene.unknown("b")
    scene.run(60)
    assert scene.phase("a") is Phase.DRAINING
    assert "order-ports" not in kinds(scene.actions())
    scene.up("b")
    scene.run(1)
    assert scene.phase("a") is Phase.OUT


def test_a_drain_whose_successor_stays_unknown_is_rolled_back() -> None:
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(20)
    scene.unknown("b")
    scene.run(80)
    ended = last(scene, Kind.DRAIN)
    assert ended.ending is Ending.ROLLED_BACK
    assert "b is unknown" in ended.detail
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_node_that_dies_while_draining_is_closed_without_waiting_for_the_ttl() -> None:
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(5)
    scene.down("a", "imaps")
    scene.run(1)
    assert scene.phase("a") is Phase.OUT
    assert "failed while draining" in last(scene, Kind.DRAIN).detail


def test_a_readmission_that_cannot_publish_is_handed_over_with_the_node_open() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.answers["publish"] = Result.FAILED
    scene.up("a", for_s=20)
    scene.run(61)
    assert last(scene, Kind.READMIT).ending is Ending.HANDED_OVER
    assert scene.phase("a") is Phase.IN_SERVICE
    scene.answers.clear()
    scene.run(61)
    assert scene.state.target("ns1").published[0].values == ("192.0.2.10", "192.0.2.11")  # type: ignore[index]


def test_a_readmission_nobody_can_look_at_is_rolled_back_within_a_minute() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.up("a", for_s=20)
    while "order-ports" not in kinds(a for a in scene.actions()[3:]):
        scene.step()
    scene.unknown("a")
    scene.run(61)
    assert last(scene, Kind.READMIT).ending is Ending.ROLLED_BACK
    assert scene.phase("a") is Phase.OUT


@pytest.mark.parametrize("kind", RequestKind)
def test_a_pause_lets_a_running_operation_go_on(kind: RequestKind) -> None:
    """I9."""
    scene = Scene.settled()
    if kind is RequestKind.READMIT:
        scene.ask(RequestKind.FAILOVER, "a")
        scene.run(3)
    scene.ask(kind, "a")
    scene.step()
    scene.paused(10**6)
    scene.run(40)
    assert scene.state.operation is None
    assert scene.state.ended[-1].ending is Ending.DONE


def test_a_pause_starts_nothing_new_not_even_repeating() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = Result.UNKNOWN
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.paused(100)
    scene.sent.clear()
    scene.run(99)
    assert not scene.sent
    scene.run(3)
    assert scene.sent, "an expired pause is none"


def test_the_drain_rolled_back_under_a_pause_is_published_again_all_the_same() -> None:
    """I9: a running operation goes on to its next serving state."""
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(5)
    scene.paused()
    scene.down("b", "imaps")
    scene.run(3)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.state.target("ns1").published[0].values == ("192.0.2.10", "192.0.2.11")  # type: ignore[index]


def test_an_operation_on_several_targets_needs_all_of_them() -> None:
    two = Endpoint(MAIL, ("imaps",), ("a", "b"), 30, ("ns1", "ns2"))
    scene = Scene.settled(policy_of(endpoints=[two]))
    scene.answers["publish:ns2"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(65)
    ended = last(scene, Kind.FAILOVER)
    assert ended.ending is Ending.HANDED_OVER
    assert ended.detail.startswith("not published: publish:ns2: as told")


def test_the_last_step_has_no_next() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.step()
    operation = scene.state.operation
    assert operation is not None
    seen = [operation.step]
    while (step := next_step(scene.policy, operation)) is not None:
        seen.append(step)
        object.__setattr__(operation, "step", step)
    assert tuple(seen) == STEPS[Kind.FAILOVER]
