"""A controller that starts claims everything first; what an earlier one had out is void and sent anew."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, Scene, facts, kinds, policy_of

from mailward.controller.core.invariants import violations
from mailward.model.fencing import OPEN, FenceOutcome
from mailward.model.orders import ClaimHelper, ClaimTarget, Order, OrderPorts, Outcome, Publish, Result
from mailward.model.policy import Automation, Endpoint
from mailward.model.state import Ending, Kind, Phase, RequestKind, Step
from mailward.model.token import Token


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


def test_a_target_that_cannot_refuse_is_not_written_to_before_all_that_was_begun_has_expired() -> None:
    scene = Scene.settled(replace(policy_of(), unguarded=("ns1",)))
    scene.restarted()
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.run(scene.policy.rules.order_timeout_s)
    assert set(kinds(scene.actions())) == {"claim-helper"}
    assert "cannot refuse" in scene.finding("claimed", "a").reason
    scene.run(3)
    assert kinds(scene.actions()).count("claim-target") == 1
    assert scene.phase("a") is Phase.OUT


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


def test_a_foreign_target_stops_the_controller_with_a_way_out() -> None:
    """I14."""
    scene = Scene()
    scene.answers["claim-target"] = Result.FOREIGN
    scene.details["claim-target"] = "it holds ffffffffffff.3.1"
    scene.step()
    decision = scene.look()
    assert "DNS target ns1 belongs to another store (it holds ffffffffffff.3.1)" in decision.fatal
    assert "mailward state init --adopt" in decision.fatal
    assert decision.send == ()


def test_a_target_that_turns_foreign_under_a_publication_stops_it_too() -> None:
    scene = Scene.settled()
    scene.answers["publish"] = Result.FOREIGN
    scene.down("a", "imaps", for_s=5)
    scene.step()
    assert "belongs to another store" in scene.look().fatal


def test_one_stale_claim_may_be_a_late_order_three_are_somebody_else() -> None:
    scene = Scene()
    scene.answers["claim-target"] = Result.STALE
    scene.details["claim-target"] = "the token there is 0123456789ab.9.1"
    scene.run(0.5)
    assert not scene.notices
    scene.run(5)
    assert any("another controller leads this cluster" in notice for notice in scene.notices)
    finding = scene.finding("claimed", "a")
    assert "the token there is 0123456789ab.9.1" in finding.reason
    assert set(kinds(scene.actions())) == {"claim-target", "claim-helper"}


def test_a_stale_publication_has_its_target_claimed_anew() -> None:
    """A higher token appeared in mid-epoch: publishing again and again would tell nobody why."""
    scene = Scene.settled()
    scene.answers["publish"] = Result.STALE
    scene.answers["claim-target"] = Result.STALE
    scene.down("a", "imaps", for_s=5)
    scene.run(20)
    assert any("another controller leads this cluster" in notice for notice in scene.notices)
    assert kinds(scene.actions()).count("publish") == 1
    assert scene.look().superseded


def test_who_has_been_superseded_claims_no_more_and_does_nothing_not_even_when_started_anew() -> None:
    """Each claim has a higher token: repeated for ever, or after each restart, one would overtake whoever
    has every right."""
    scene = Scene.settled()
    scene.restarted()
    scene.answers["claim-target"] = Result.STALE
    scene.run(30)
    assert scene.look().superseded
    scene.answers.clear()
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.ask(RequestKind.DRAIN, "b")
    scene.run(120)
    assert scene.sent == []
    (given,) = scene.state.answers
    assert (given.accepted, given.detail) == (
        False,
        "another controller leads this cluster, or this store is an old copy",
    )
    scene.restarted()
    scene.run(5)
    assert scene.sent == []
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.look().superseded


def test_a_store_restored_from_a_backup_is_found_out_by_what_a_target_remembers() -> None:
    """Its state may be anything that was once true: what was drained since would be let in."""
    scene = Scene.settled()
    backup = scene.state
    scene.ask(RequestKind.DRAIN, "b")
    scene.run(120)
    remembered = scene.state.target("ns1").token
    assert remembered is not None
    assert not backup.target("ns1").sent.explains(remembered, remembered.epoch)
    scene.state = backup
    scene.restarted()
    scene.answers["claim-target"] = Result.AHEAD
    scene.details["claim-target"] = f"it remembers {remembered}, which this store never sent"
    scene.sent.clear()
    scene.run(5)
    assert f"remembers {remembered}, which this store never sent" in scene.look().superseded
    claim = next(action for action in scene.actions() if isinstance(action, ClaimTarget))
    assert claim.sent == backup.target("ns1").sent
    scene.answers.clear()
    scene.restarted()
    scene.down("a", "imaps", for_s=5)
    scene.run(60)
    assert "publish" not in kinds(scene.actions())


def test_a_store_restored_from_a_backup_is_found_out_by_what_a_helper_remembers() -> None:
    scene = Scene.settled()
    sent = scene.state.helper("b").sent
    assert sent.last is not None
    scene.facts["b"] = replace(facts("b"), token=sent.last)
    assert not scene.look().superseded
    scene.facts["b"] = replace(facts("b"), token=replace(sent.last, seq=sent.last.seq + 1))
    scene.restarted()
    scene.sent.clear()
    scene.run(5)
    assert scene.sent == []
    assert "mailward-node on b remembers" in scene.look().superseded


def test_nobody_remembers_an_epoch_that_is_still_to_come_not_even_who_was_never_written_to() -> None:
    """Found by simulation: restored from a backup older than what it had sent to a helper, a store waited for
    its own epochs to come to what that one remembered."""
    scene = Scene()
    scene.step()
    now = Token(scene.state.store_id, scene.state.epoch, 1)
    scene.facts["b"] = replace(facts("b"), token=now)
    assert not scene.look().superseded
    scene.facts["b"] = replace(facts("b"), token=replace(now, epoch=now.epoch + 1))
    assert "mailward-node on b remembers" in scene.look().superseded


def test_a_claim_that_was_certainly_not_sent_explains_nothing() -> None:
    """Epochs may come again with an old store: a target long out of reach remembered a token of the same
    epoch, and of a seq that had meanwhile been spent on claims which never left."""
    scene = Scene.settled()
    before = scene.state.target("ns1").sent
    scene.restarted()
    scene.answers["claim-target"] = Result.FAILED
    scene.run(30)
    assert scene.state.target("ns1").sent == before
    scene.answers["claim-target"] = Result.UNKNOWN
    scene.run(60)
    assert scene.state.target("ns1").sent != before


def test_a_helper_is_not_claimed_before_it_is_known_what_it_remembers() -> None:
    scene = Scene.settled()
    scene.restarted()
    scene.sent.clear()
    scene.facts["a"] = None
    scene.run(2)
    assert [a.node for a in scene.actions() if isinstance(a, ClaimHelper)] == ["b"]


def test_what_an_earlier_leader_sent_without_an_answer_is_no_sign_of_another() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = None
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    ordered = scene.state.ports_of("a")
    assert ordered is not None
    scene.restarted()
    scene.facts["a"] = replace(facts("a"), token=ordered.token)
    scene.answers.clear()
    scene.run(30)
    assert not scene.look().superseded
    assert scene.state.operation is None


def test_who_has_been_superseded_fences_nobody_any_more() -> None:
    scene = Scene.settled()
    scene.answers = {"publish": Result.STALE, "claim-target": Result.STALE}
    scene.down("a", "imaps", for_s=5)
    scene.run(10)
    assert scene.look().superseded
    scene.run(150)
    assert "order-ports" not in kinds(scene.actions())


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
    ended = scene.state.ended[-1]
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


def deposed_with_an_order_out(expires_s: float) -> Scene:
    scene = Scene.settled(replace(policy_of(), unguarded=("ns1",)))
    scene.run(15)
    scene.answers["publish"] = None
    scene.down("a", "imaps", for_s=5)
    scene.run(2)
    assert "publish" in [order.action.kind for order in scene.state.orders]
    orders = tuple(replace(order, expires_s=expires_s) for order in scene.state.orders)
    scene.state = replace(scene.state, orders=orders)
    scene.restarted()
    return scene


def test_what_was_recorded_to_expire_later_than_our_own_orders_is_waited_for() -> None:
    """The leader before had another configuration, and a target that cannot refuse still has its order."""
    scene = deposed_with_an_order_out(expires_s=30.0)
    scene.answers.clear()
    scene.sent.clear()
    scene.run(31)
    assert set(kinds(scene.actions())) == {"claim-helper"}
    assert scene.state.earlier_expire_s == 30.0
    scene.run(2)
    assert "claim-target" in kinds(scene.actions())
    assert scene.state.earlier_expire_s == 0.0


def test_leaders_that_follow_soon_upon_one_another_forget_no_expiry() -> None:
    scene = deposed_with_an_order_out(expires_s=30.0)
    scene.step()
    assert not [order for order in scene.state.orders if order.expires_s == 30.0]
    scene.restarted()
    scene.step()
    assert scene.state.earlier_expire_s == 30.0
