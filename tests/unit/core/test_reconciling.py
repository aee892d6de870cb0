"""What could not be confirmed when it was due is repeated: by turns, with rests, and never in a spin."""

from dataclasses import replace

from tests.unit.core.scene import MAIL, STORE, Scene, facts, kinds, policy_of

from mailward.model.fencing import CLOSED, OPEN, FenceOutcome, Scope
from mailward.model.health import Certificate, ProbeResult, Verdict
from mailward.model.orders import OrderPorts, Result
from mailward.model.policy import Automation, Endpoint
from mailward.model.state import Cause, Ending, Kind, Phase, PortsRecord, RequestKind
from mailward.model.token import Token


def reconciliations(scene: Scene) -> int:
    """How often ports were ordered or records published."""
    return kinds(scene.actions()).count("publish")


def test_a_fresh_store_publishes_once_everybody_is_well() -> None:
    scene = Scene()
    scene.down("a", "imaps")
    scene.down("b", "imaps")
    scene.run(5)
    assert "publish" not in kinds(scene.actions())
    scene.up("a")
    scene.up("b")
    scene.run(2)
    assert kinds(scene.actions()).count("publish") == 1
    assert scene.state.ended[-1].operation.kind is Kind.RECONCILE


def test_a_certificate_that_expires_soon_does_not_keep_a_fresh_store_from_publishing() -> None:
    scene = Scene()
    snapshot_of = scene.snapshot

    def expiring() -> object:
        snapshot = snapshot_of()
        (view,) = snapshot.observers
        assert view.report is not None
        last = ProbeResult(None, certificate=Certificate(("x",), 2.0))
        nodes = tuple(
            replace(n, services=tuple(replace(s, last=last) for s in n.services)) for n in view.report.nodes
        )
        return replace(snapshot, observers=(replace(view, report=replace(view.report, nodes=nodes)),))

    scene.snapshot = expiring  # type: ignore[method-assign,assignment]
    scene.run(3)
    assert "publish" in kinds(scene.actions())


def test_while_only_observing_a_fresh_store_publishes_nothing() -> None:
    scene = Scene(policy_of(automation=Automation.OBSERVE))
    scene.run(60)
    assert not scene.sent


def test_nothing_is_repeated_while_all_is_as_recorded() -> None:
    scene = Scene.settled()
    scene.run(300, every_s=5)
    assert not scene.sent


def test_a_fence_that_was_not_confirmed_is_repeated_when_the_helper_answers() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = None
    scene.gone("a", for_s=5)
    scene.run(15)
    assert scene.phase("a") is Phase.OUT
    scene.sent.clear()
    scene.run(60)
    assert not scene.sent, "there is nobody to tell"
    scene.answers.clear()
    scene.facts["a"] = facts("a")
    scene.run(2)
    ports = scene.state.ports_of("a")
    assert ports is not None
    assert ports.fence is FenceOutcome.CONFIRMED
    assert set(ports.ports.values()) == {CLOSED}


def test_a_node_that_never_settles_does_not_keep_another_from_its_turn() -> None:
    """a refuses every order; b comes back from the dead meanwhile and has to be closed."""
    scene = Scene.settled(policy_of(("a", "b", "c")))
    scene.answers["order-ports"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.down("b", "imaps", for_s=5)
    scene.run(3)
    scene.answers = {"order-ports:a": Result.FAILED}
    scene.run(70)
    ports = scene.state.ports_of("b")
    assert ports is not None
    assert ports.fence is FenceOutcome.CONFIRMED


def test_a_node_that_must_stay_open_does_not_keep_another_from_its_turn() -> None:
    """Neither a nor c had said what it holds when the store was made anew. ns2 takes nothing, so a stays open
    for imap.test; c does not wait for that."""
    mail = Endpoint(MAIL, ("imaps", "submission"), ("a", "b", "c"), 30, ("ns1",))
    imap = Endpoint("imap.test", ("imaps",), ("a", "b"), 30, ("ns2",))
    scene = Scene(policy_of(("a", "b", "c"), (mail, imap)))
    scene.answers["claim-target:ns2"] = Result.FAILED
    scene.state = replace(scene.state, epoch=7, made_epoch=7)
    scene.epoch = 8
    scene.facts["a"] = scene.facts["c"] = None
    scene.run(scene.policy.rules.step_patience_s + 1)
    assert [scene.phase(node) for node in "abc"] == [Phase.OUT, Phase.IN_SERVICE, Phase.OUT]
    scene.facts["a"], scene.facts["c"] = facts("a"), facts("c")
    scene.run(120)
    assert [record.node for record in scene.state.ports] == ["c"]


def test_a_firewall_that_loses_its_rules_at_once_is_set_again_only_now_and_then() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    claimed = scene.state.helper("a").claimed
    scene.sent.clear()
    for _ in range(120):
        scene.facts["a"] = replace(facts("a"), applied=False, token=scene.state.helper("a").claimed)
        scene.run(1)
    assert claimed is not None
    assert 3 <= reconciliations(scene) <= 5


def test_facts_from_before_the_newest_order_say_nothing_about_it() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.sent.clear()
    scene.facts["a"] = replace(facts("a"), applied=False, token=None)
    scene.run(60)
    assert not scene.sent


def test_ports_that_root_opened_by_hand_are_left_alone() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    scene.sent.clear()
    scene.facts["a"] = replace(facts("a"), forced=True)
    scene.run(120, every_s=5)
    assert not scene.sent


def test_it_gives_way_to_a_failover_at_once() -> None:
    scene = Scene.settled(policy_of(("a", "b", "c")))
    scene.answers["order-ports"] = None
    scene.down("a", "imaps", for_s=5)
    scene.run(12)
    scene.run(1)
    operation = scene.state.operation
    assert operation is not None
    assert operation.kind is Kind.RECONCILE
    scene.down("b", "imaps", for_s=5)
    scene.settle()
    operation = scene.state.operation
    assert operation is not None
    assert (operation.kind, operation.node) == (Kind.FAILOVER, "b")
    assert scene.state.ended[-1].ending is Ending.ROLLED_BACK


def test_a_first_try_that_fails_is_repeated_after_half_a_minute() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = Result.FAILED
    scene.down("a", "imaps", for_s=5)
    scene.run(2)
    before = kinds(scene.actions()).count("order-ports")
    scene.run(65)
    assert kinds(scene.actions()).count("order-ports") - before == 2
    assert scene.seen["a", "imaps"].verdict is Verdict.DOWN


def test_nothing_is_repeated_while_nobody_is_known_to_serve_instead() -> None:
    scene = Scene.settled()
    scene.answers["order-ports"] = Result.UNKNOWN
    scene.down("a", "imaps", for_s=5)
    scene.run(5)
    assert scene.state.operation is None
    scene.unknown("a")
    scene.unknown("b")
    before = len(scene.state.ended)
    scene.run(120)
    assert scene.state.operation is None
    assert len(scene.state.ended) == before


def test_ports_are_repeated_before_names_are() -> None:
    """Published first, clients would be sent to ports that are still closed."""
    scene = Scene.settled()
    scene.facts["a"] = None
    scene.answers = {"publish": Result.FAILED, "order-ports": Result.FAILED}
    scene.down("a", "imaps", for_s=5)
    scene.run(100)
    scene.answers.clear()
    scene.sent.clear()
    scene.facts["a"] = facts("a")
    scene.run(60)
    first = next(order for order in scene.sent if order.operation is not None)
    assert first.action.kind == "order-ports"
    assert "publish" in kinds(scene.actions())


def test_a_full_disk_is_not_taken_out_of_a_zone_again_while_nobody_is_known_to_serve_instead() -> None:
    """Found by simulation: whoever led next knew nothing of the others, and went on with a repetition that
    took the last one out which users could read their mail on."""
    scene = Scene.settled()
    scene.answers = {"publish": Result.FAILED}
    scene.disk("a", free_bytes=0)
    scene.run(100)
    operation = scene.state.operation
    assert scene.phase("a") is Phase.OUT
    scene.restarted()
    scene.unknown("b")
    scene.answers.clear()
    scene.sent.clear()
    scene.run(60)
    assert "publish" not in kinds(scene.actions()), operation
    scene.back("b")
    scene.run(60)
    assert "publish" in kinds(scene.actions())


def test_a_clock_that_was_ahead_keeps_nobody_from_repeating() -> None:
    """The host that led before had a clock hours ahead: by it the last repetition lay in the future."""
    scene = Scene.settled()
    scene.answers = {"publish": Result.FAILED}
    scene.ahead_s = 7200.0
    scene.down("a", "imaps", for_s=5)
    scene.run(200)
    while scene.state.operation is not None:
        scene.run(1)
    assert scene.state.ended[-1].operation.kind is Kind.RECONCILE
    scene.boot_id, scene.ahead_s = "boot-2", 0.0
    scene.restarted()
    scene.answers.clear()
    scene.sent.clear()
    scene.run(60)
    assert "publish" in kinds(scene.actions())


def test_nobody_is_taken_out_of_a_zone_again_while_both_fail() -> None:
    """Found by simulation: the one that was out was only cut off from us, and served; the other one hung."""
    scene = Scene.settled()
    scene.answers = {"publish": Result.FAILED}
    scene.ask(RequestKind.FAILOVER, "b")
    scene.step()
    scene.down("a", "imaps", for_s=5)
    scene.run(70)
    assert scene.phase("b") is Phase.OUT
    scene.answers.clear()
    scene.gone("b", for_s=5)
    scene.sent.clear()
    scene.run(60)
    assert "publish" not in kinds(scene.actions())
    scene.up("a", for_s=60)
    scene.run(60)
    assert "publish" in kinds(scene.actions())


def test_a_full_disk_is_not_closed_again_while_nobody_is_known_to_serve_instead() -> None:
    """Users could still read their mail there; of the other one nobody knew anything."""
    scene = Scene.settled()
    scene.answers = {"publish": Result.FAILED, "order-ports": Result.FAILED}
    scene.disk("a", free_bytes=0)
    scene.run(100)
    assert scene.phase("a") is Phase.OUT
    scene.restarted()
    scene.unknown("b")
    scene.answers.clear()
    scene.sent.clear()
    scene.run(60)
    assert not {"publish", "order-ports"} & set(kinds(scene.actions()))
    scene.back("b")
    scene.run(60)
    assert {"publish", "order-ports"} <= set(kinds(scene.actions()))


def away_and_well_beside_one_closed_by_an_order_of_before() -> Scene:
    """a is out by a person's word and answers; b serves, and its helper still has the order of an earlier
    leader that closed it, when the store knew otherwise."""
    scene = Scene.settled()
    scene.put_phase("a", Phase.OUT, Cause.OPERATOR)
    ports = dict.fromkeys(("imaps", "submission"), CLOSED)
    scene.facts["b"] = replace(facts("b"), ports=ports, token=scene.state.helper("b").claimed)
    scene.down("b", "imaps", "submission")
    return scene


def test_who_serves_is_opened_though_another_that_is_out_is_the_only_one_that_answers() -> None:
    """Found by simulation: nobody was known to serve instead, so nothing was repeated, and DNS named a closed
    node for as long as the other was well. To open takes nothing away."""
    scene = away_and_well_beside_one_closed_by_an_order_of_before()
    scene.sent.clear()
    scene.run(10)
    orders = [action for action in scene.actions() if isinstance(action, OrderPorts)]
    assert [order.node for order in orders][:1] == ["b"]
    assert set(orders[0].ports.values()) == {OPEN}
    assert scene.phase("a") is Phase.OUT


def test_who_is_to_be_opened_comes_before_who_is_to_be_closed() -> None:
    """a fails, and has its turn: closed first, both would be closed for a moment (I8)."""
    scene = away_and_well_beside_one_closed_by_an_order_of_before()
    earlier = replace(scene.now, boot_s=scene.now.boot_s - 100)
    scene.state = replace(
        scene.state,
        ports=tuple(
            PortsRecord(
                node, Token(STORE, 1, 1), dict.fromkeys(("imaps", "submission"), port), FenceOutcome.UNKNOWN,
                Scope.NONE, at,
            )
            for node, port, at in (("a", CLOSED, earlier), ("b", OPEN, scene.now))
        ),
    )  # fmt: skip
    scene.down("a", "imaps", "submission")
    scene.sent.clear()
    scene.run(10)
    assert [action.node for action in scene.actions() if isinstance(action, OrderPorts)][:2] == ["b", "a"]


def test_who_is_not_named_by_the_dns_of_a_store_made_anew_is_closed_when_another_is_known_to_serve() -> None:
    """Found by simulation: a has no order of this store, and b was still shut by one of the earlier store."""
    scene = away_and_well_beside_one_closed_by_an_order_of_before()
    scene.down("a", "imaps", "submission")
    scene.sent.clear()
    scene.run(10)
    assert [action.node for action in scene.actions() if isinstance(action, OrderPorts)] == ["b"]
    scene.back("b")
    scene.run(10)
    assert [action.node for action in scene.actions() if isinstance(action, OrderPorts)] == ["b", "a"]
