"""A target that cannot refuse an old order is written to when nothing older can arrive any more (I1)."""

from dataclasses import replace

from tests.unit.core.scene import MAIL, Scene, kinds, policy_of

from mailward.model.orders import OrderPorts, Publish, Result
from mailward.model.policy import Endpoint
from mailward.model.state import Phase, RequestKind


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


def test_what_was_not_answered_may_still_arrive_and_nothing_is_sent_before_that() -> None:
    """Found by simulation: an update that was given up came after the one that was sent instead."""
    scene = Scene.settled(replace(policy_of(), unguarded=("ns1",)))
    scene.run(15)
    scene.answers["publish"] = Result.UNKNOWN
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(1)
    scene.answers.clear()
    scene.sent.clear()
    scene.down("b", "imaps", for_s=60)
    scene.run(scene.policy.rules.order_timeout_s)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert not [kind for kind in kinds(scene.actions()) if kind != "verify"]
    scene.run(3)
    assert "publish" in kinds(scene.actions())


def test_what_was_answered_holds_up_nothing() -> None:
    scene = Scene.settled(replace(policy_of(), unguarded=("ns1",)))
    scene.run(15)
    for _ in range(2):
        scene.ask(RequestKind.DRAIN, "a")
        scene.run(1)
        assert scene.state.target("ns1").begun is None
        scene.down("b", "imaps", for_s=60)
        scene.run(1)
        assert scene.phase("a") is Phase.IN_SERVICE
        scene.back("b", for_s=60)
        scene.run(3)


def test_nobody_is_closed_before_a_claim_that_is_waited_for_has_been_tried_again() -> None:
    both = (Endpoint(MAIL, ("imaps",), ("a", "b"), 30, ("ns1", "ns2")),)
    scene = Scene.settled(policy_of(endpoints=both))
    scene.policy = replace(scene.policy, unguarded=("ns1",))
    scene.restarted()
    scene.answers["claim-target:ns1"] = Result.UNKNOWN
    scene.run(scene.policy.rules.order_timeout_s + 3)
    assert scene.state.target("ns1").begun is not None
    scene.answers.clear()
    scene.sent.clear()
    scene.down("a", "imaps", for_s=5)
    scene.run(15)
    ordered = [a.kind for a in scene.actions() if isinstance(a, Publish | OrderPorts)]
    assert ordered == ["publish", "publish", "order-ports"]
