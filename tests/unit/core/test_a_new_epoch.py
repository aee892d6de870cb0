"""A controller that starts claims everything first; what an earlier one had out is void and sent anew."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, Scene, kinds, policy_of

from mailward.controller.core.invariants import violations
from mailward.model.fencing import OPEN, FenceOutcome
from mailward.model.orders import Order, OrderPorts, Outcome, Publish, Result
from mailward.model.policy import Automation, Endpoint
from mailward.model.state import Ending, Kind, Phase, RequestKind, Step


def tokens(orders: list[Order]) -> list[tuple[int, int]]:
    return [(order.token.epoch, order.token.seq) for order in orders]


def test_the_first_orders_of_an_epoch_are_claims_of_every_target_and_helper() -> None:
    scene = Scene()
    scene.step()
    assert kinds(scene.actions()) == ["claim-target", "claim-helper", "claim-helper"]
    assert tokens(scene.sent) == [(1, 1), (1, 2), (1, 3)]


def test_nothing_is_published_before_its_target_is_claimed() -> None:
    scene = Scene()
    scene.answers["claim-target"] = None
    scene.run(5)
    scene.ask(RequestKind.FAILOVER, "a")
    scene.down("b", "imaps", for_s=5)
    scene.run(5)
    assert set(kinds(scene.actions())) == {"claim-target", "claim-helper"}


def test_a_target_out_of_reach_does_not_hold_up_another() -> None:
    here = Endpoint("here.test", ("imaps",), ("a", "b"), 30, ("ns1",))
    there = Endpoint("there.test", ("imaps",), ("a", "b"), 30, ("ns2",))
    scene = Scene.settled(policy_of(endpoints=(here, there)))
    scene.restarted()
    scene.answers["claim-target:ns2"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(2)
    assert scene.phase("a", "here.test") is Phase.OUT
    assert scene.phase("a", "there.test") is Phase.IN_SERVICE
    assert scene.holding("a", "there.test") == ["claimed"]


TWO_TARGETS = (Endpoint(MAIL, ("imaps",), ("a", "b"), 30, ("ns1", "ns2")),)


def test_a_target_that_stays_away_holds_up_nobody_once_earlier_orders_have_expired() -> None:
    """A name server dead for days, and every restart of the controller would have ended all failover."""
    scene = Scene.settled(policy_of(endpoints=TWO_TARGETS))
    scene.restarted()
    scene.answers["claim-target:ns2"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(8)
    assert scene.holding("a") == ["claimed"]
    scene.run(3)
    assert scene.phase("a") is Phase.OUT
    assert scene.state.target("ns1").published[0].values == ("192.0.2.11",)  # type: ignore[index]
    ports = scene.state.ports_of("a")
    assert ports is not None
    assert ports.fence is FenceOutcome.CONFIRMED
    scene.answers.clear()
    scene.run(120)
    assert scene.state.target("ns2").published == scene.state.target("ns1").published
    assert scene.state.operation is None


@pytest.mark.parametrize("said", [Result.STALE, None])
def test_a_target_that_obeys_another_or_was_not_asked_still_holds(said: Result | None) -> None:
    scene = Scene.settled(policy_of(endpoints=TWO_TARGETS))
    scene.restarted()
    scene.answers["claim-target:ns2"] = said
    scene.down("a", "imaps", for_s=5)
    scene.run(11)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_when_no_target_can_be_had_nothing_is_begun() -> None:
    scene = Scene.settled(policy_of(endpoints=TWO_TARGETS))
    scene.restarted()
    scene.answers["claim-target"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(120)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.holding("a") == ["claimed"]


def test_the_time_without_a_controller_is_no_step_s_patience() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = None
    scene.ask(RequestKind.DRAIN, "a")
    scene.settle()
    scene.restarted()
    scene.now_s += 300
    scene.answers.clear()
    scene.run(45)
    assert scene.state.ended[-1].ending is Ending.DONE
    assert scene.phase("a") is Phase.OUT


def test_a_helper_that_does_not_answer_holds_nobody_up() -> None:
    scene = Scene()
    scene.answers["claim-helper"] = None
    scene.run(2)
    scene.gone("a", for_s=5)
    scene.run(1)
    assert scene.phase("a") is Phase.OUT


def test_claims_are_repeated_more_and_more_slowly_and_without_end() -> None:
    """Half a day into the loss of a node the wait must still be a number."""
    scene = Scene.settled()
    scene.restarted()
    scene.answers["claim-helper:a"] = Result.FAILED
    scene.paused(10**7)
    scene.run(100)
    begin = len(scene.sent)
    scene.run(300)
    assert 9 <= len(scene.sent) - begin <= 11
    helper = scene.state.helper("a")
    assert helper.claim is not None
    scene.state = replace(scene.state, helpers=(replace(helper, claim=replace(helper.claim, tries=5000)),))
    scene.run(100)
    assert scene.state.helper("a").claim.tries > 5000  # type: ignore[union-attr]


def test_while_only_observing_nothing_is_claimed_until_a_human_asks() -> None:
    scene = Scene(policy_of(automation=Automation.OBSERVE))
    scene.run(5)
    assert not scene.sent
    scene.ask(RequestKind.FAILOVER, "a")
    scene.step()
    assert kinds(scene.actions())[0] == "claim-target"


def test_while_only_observing_what_a_human_asked_for_is_made_void_where_it_was_given_up() -> None:
    """Found by simulation: the update came late, and the name of the one that served was gone."""
    scene = Scene(policy_of(automation=Automation.OBSERVE))
    scene.run(5)
    scene.answers["publish"] = None
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(2)
    assert kinds(scene.actions())[-1] == "publish"
    scene.down("b", "imaps", for_s=5)
    scene.run(2)
    assert scene.state.operation is None
    assert kinds(scene.actions())[-1] == "claim-target"
    scene.sent.clear()
    scene.run(300)
    scene.restarted()
    scene.run(300)
    assert not scene.sent


def test_outcomes_of_an_old_epoch_mean_nothing() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.step()
    old = scene.outcomes
    assert old
    scene.restarted()
    scene.outcomes = old
    scene.step()
    operation = scene.state.operation
    assert operation is not None
    assert operation.step is Step.PUBLISH
    assert all(order.token.epoch == 2 for order in scene.state.orders)


@pytest.mark.parametrize("step", [Step.PUBLISH, Step.FENCE, Step.VERIFY])
def test_a_failover_goes_on_from_its_recorded_step(step: Step) -> None:
    scene = Scene.settled()
    kind = {Step.PUBLISH: "publish", Step.FENCE: "order-ports", Step.VERIFY: "verify"}[step]
    scene.answers[kind] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    before = scene.state.operation
    assert before is not None
    assert before.step is step
    scene.restarted()
    scene.answers.clear()
    scene.sent.clear()
    scene.settle()
    again = [order for order in scene.sent if order.action.kind == kind]
    assert len(again) == 1
    assert again[0].token.epoch == 2
    ended = scene.state.ended[-1]
    assert (ended.operation.id, ended.ending) == (before.id, Ending.DONE)
    targets = [o.token for o in scene.sent if getattr(o.action, "target", "") == "ns1"]
    assert targets[0] == min(targets)
    assert scene.sent[0].action.kind == "claim-target"


def test_what_was_answered_already_is_not_done_again() -> None:
    two = Endpoint(MAIL, ("imaps",), ("a", "b"), 30, ("ns1", "ns2"))
    scene = Scene.settled(policy_of(endpoints=[two]))
    scene.answers["publish:ns2"] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    scene.restarted()
    scene.answers.clear()
    scene.sent.clear()
    scene.settle()
    published = [getattr(o.action, "target", "") for o in scene.sent if o.action.kind == "publish"]
    assert published == ["ns2"]


def test_tokens_rise_from_one_in_each_epoch_whatever_the_last_one_had() -> None:
    scene = Scene.settled()
    scene.run(3)
    scene.restarted()
    before = scene.state
    decision = scene.step()
    assert [token for _, token in tokens(list(decision.send))] == [1, 2, 3]
    assert violations(scene.policy, before, decision.state, decision.send) == ()


def test_a_claim_never_overtakes_an_order_on_its_way_to_the_same_helper() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    scene.restarted()
    scene.answers["claim-helper"] = Result.FAILED
    scene.sent.clear()
    scene.settle()
    for_a = [o for o in scene.sent if getattr(o.action, "node", "") == "a"]
    assert [o.token.seq for o in for_a] == sorted(o.token.seq for o in for_a)
    assert for_a[-1].action.kind == "order-ports"
    at = len(scene.sent)
    scene.run(5)
    assert not [o for o in scene.sent[at:] if o.action.kind == "claim-helper" and o.action.node == "a"]


def test_a_failover_is_not_gone_on_with_before_somebody_else_is_known_to_serve() -> None:
    """The controller died with the node; when both were back the other one was dead: gone on with blindly,
    the old failover took away the last one that served."""
    scene = Scene.settled()
    scene.answers = {"publish": None, "order-ports": None}
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    scene.restarted()
    scene.answers.clear()
    scene.sent.clear()
    for node in "ab":
        scene.unknown(node)
    scene.run(5)
    assert set(kinds(scene.actions())) == {"claim-target", "claim-helper"}
    scene.back("a")
    scene.gone("b", for_s=5)
    scene.run(30)
    assert scene.phase("a") is Phase.IN_SERVICE
    for action in scene.actions():
        if isinstance(action, Publish):
            assert "192.0.2.10" in action.rrsets[0].values
        if isinstance(action, OrderPorts) and action.node == "a":
            assert set(action.ports.values()) == {OPEN}


def test_a_failover_with_nobody_to_leave_it_to_is_handed_over() -> None:
    scene = Scene.settled()
    scene.answers = {"publish": Result.FAILED, "order-ports": Result.FAILED}
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.unknown("b")
    scene.run(65)
    ended = next(each for each in scene.state.ended if each.operation.kind is Kind.FAILOVER)
    assert ended.ending is Ending.HANDED_OVER
    assert ended.detail == (
        "nobody is known to serve mail.example.test instead: b is unknown; mailward explain"
    )  # fmt: skip


def test_an_order_without_an_answer_is_unknown_after_its_expiry_and_is_sent_again() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    first = scene.sent[-1]
    scene.run(9.5)
    assert scene.sent[-1] == first
    scene.run(2)
    assert scene.sent[-1].action == first.action
    assert scene.sent[-1].token > first.token


def test_a_late_outcome_of_an_order_given_up_changes_nothing() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    late = scene.sent[-1].token
    scene.run(12)
    scene.outcomes = [Outcome(late, Result.DONE, scene.now)]
    scene.step()
    assert scene.state.operation is not None
    assert scene.state.operation.kind is Kind.FAILOVER
    assert scene.state.target("ns1").published is None


def test_a_helper_that_obeys_an_order_is_claimed_by_it() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    scene.restarted()
    scene.answers = {"claim-helper": Result.FAILED}
    scene.settle()
    order = [o for o in scene.sent if o.action.kind == "order-ports"][-1]
    assert scene.state.helper("a").claimed == order.token
    scene.sent.clear()
    scene.run(60)
    assert {o.action.node for o in scene.sent if o.action.kind == "claim-helper"} == {"b"}


def ports_and_publications(scene: Scene) -> list[str]:
    kept = [action for action in scene.actions() if isinstance(action, Publish | OrderPorts)]
    return [f"{a.kind} {a.target if isinstance(a, Publish) else a.node}" for a in kept]


def test_what_the_last_leader_could_not_publish_is_tried_again_before_anybody_is_closed() -> None:
    """Found by simulation: its name server had come back, and named a node that was closed."""
    scene = Scene.settled(policy_of(endpoints=TWO_TARGETS))
    scene.answers = {"publish:ns1": None, "publish:ns2": Result.UNKNOWN}
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    assert scene.state.operation is not None
    assert scene.state.operation.step is Step.PUBLISH
    scene.restarted()
    scene.answers.clear()
    scene.sent.clear()
    scene.run(3)
    assert ports_and_publications(scene) == ["publish ns1", "publish ns2", "order-ports a"]


def test_a_target_that_was_away_is_tried_before_anybody_is_closed_who_is_named_there() -> None:
    """Found by simulation: it was back, and would be tried half a minute later."""
    scene = Scene.settled(policy_of(endpoints=TWO_TARGETS))
    scene.restarted()
    scene.answers["claim-target:ns2"] = Result.FAILED
    scene.run(100)
    claim = scene.state.target("ns2").claim
    assert claim is not None
    assert claim.tries > 5
    while claim.last.age_s(scene.now) > 2.0:
        scene.run(1)
        claim = scene.state.target("ns2").claim
        assert claim is not None
    scene.now_s += 1
    scene.answers.clear()
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    assert ports_and_publications(scene) == ["publish ns1", "publish ns2", "order-ports a"]


def test_one_that_is_still_away_is_tried_once_and_holds_nobody_up() -> None:
    scene = Scene.settled(policy_of(endpoints=TWO_TARGETS))
    scene.restarted()
    scene.answers["claim-target:ns2"] = Result.FAILED
    scene.run(100)
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    assert ports_and_publications(scene) == ["publish ns1", "order-ports a"]
    assert kinds(scene.actions()).count("claim-target") == 1


def test_while_it_may_name_only_who_is_to_be_closed_it_is_tried_again_and_again() -> None:
    """Found by simulation: it was back, and to be tried half a minute later; the node was closed first."""
    scene = Scene.settled(policy_of(endpoints=TWO_TARGETS))
    scene.restarted()
    scene.answers["claim-target:ns2"] = Result.FAILED
    scene.run(100)
    lost = [replace(t, published=None, kept=()) if t.target == "ns2" else t for t in scene.state.targets]
    scene.state = replace(scene.state, targets=tuple(lost))
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.run(6)
    assert ports_and_publications(scene) == ["publish ns1"]
    scene.run(0.5)
    assert scene.look().waits_for == "publish:ns2: not claimed yet (as told)"
    scene.answers.clear()
    scene.run(2.5)
    assert ports_and_publications(scene) == ["publish ns1", "publish ns2", "order-ports a"]
