"""Hooks: a node of a cluster is demoted when it has been stopped, and promoted before it opens; what must be
stopped never waits for one."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import Scene, cluster_of, last_ended

from mailward.model.fencing import FenceOutcome, Hook, NodeFacts, PortKind, Scope, Terms
from mailward.model.orders import OrderPorts, Result
from mailward.model.policy import Rules
from mailward.model.state import Ending, Kind, Phase, RequestKind, Step


def hooks(scene: Scene) -> list[tuple[str, str]]:
    """Every order of ports: of whom, and with which hook ('' where nothing is open and none is wanted)."""
    orders = [action for action in scene.actions() if isinstance(action, OrderPorts)]
    for order in orders:
        opens = any(port.kind is PortKind.OPEN for port in order.ports.values())
        assert order.terms.hook is not Hook.DEMOTE or not opens
        assert order.terms.hook is not Hook.PROMOTE or opens
    return [(order.node, order.terms.hook.value if order.terms.hook else "") for order in orders]


def step(scene: Scene) -> Step | None:
    return scene.state.operation.step if scene.state.operation else None


def in_phases(scene: Scene) -> tuple[Phase, Phase]:
    return scene.phase("a"), scene.phase("b")


def test_a_failover_stops_demotes_and_promotes_in_this_order() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    assert hooks(scene) == [("a", ""), ("a", "demote"), ("b", "promote")]
    assert in_phases(scene) == (Phase.OUT, Phase.IN_SERVICE)
    assert (scene.state.helper("a").demoted, scene.state.helper("b").promoted) == (True, True)


def test_a_failover_goes_on_without_a_demotion_that_fails_and_the_node_stays_stopped() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.hooks["demote"] = Result.UNKNOWN
    scene.run(20)
    assert last_ended(scene) == (Kind.FAILOVER, Ending.DONE)
    assert hooks(scene) == [("a", ""), ("a", "demote"), ("b", "promote")]
    assert "a is not demoted: as told; it is when it comes back" in scene.state.ended[-1].detail
    ports = scene.state.ports_of("a")
    assert ports is not None
    assert (ports.fence, ports.scope) == (FenceOutcome.CONFIRMED, Scope.USERS)
    assert not scene.state.helper("a").demoted


@pytest.mark.parametrize(("demote_s", "waits"), [(20.0, True), (5.0, False)])
def test_a_failover_waits_a_while_for_a_demotion(demote_s: float, waits: bool) -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(demote_s=demote_s)))
    scene.down("a", for_s=31)
    scene.hooks["demote"] = None
    scene.run(10)
    assert (step(scene) is Step.DEMOTE) is waits
    ports = scene.state.ports_of("a")
    assert ports is not None
    assert ports.closed, "whatever comes of the hook, it stays closed"
    scene.run(60)
    assert last_ended(scene) == (Kind.FAILOVER, Ending.DONE)


def test_a_failover_does_not_wait_for_who_does_not_answer() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.hooks["demote"] = None
    scene.run(2)
    assert step(scene) is Step.DEMOTE
    scene.gone("a", for_s=33)
    scene.run(10)
    assert last_ended(scene) == (Kind.FAILOVER, Ending.DONE)


def test_who_was_switched_off_is_not_asked() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(10)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert ("a", "demote") not in hooks(scene)


def test_a_switchover_whose_demotion_fails_goes_back_and_the_source_is_promoted_again() -> None:
    scene = Scene.of_a_cluster()
    scene.hooks["demote:a"] = Result.UNKNOWN
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(30)
    assert last_ended(scene) == (Kind.SWITCHOVER, Ending.ROLLED_BACK)
    assert hooks(scene) == [("a", ""), ("a", "demote"), ("a", "promote")]
    assert in_phases(scene) == (Phase.IN_SERVICE, Phase.STANDBY)
    assert scene.state.helper("a").promoted


def test_a_switchover_waits_for_a_demotion_as_long_as_that_may_take() -> None:
    scene = Scene.of_a_cluster()
    scene.hooks["demote:a"] = None
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(2)
    scene.down("a", for_s=100)  # a hook may stop what it likes
    scene.run(100)
    assert step(scene) is Step.DEMOTE
    order = next(o for o in scene.state.orders if isinstance(o.action, OrderPorts))
    assert order.expires_s == scene.policy.rules.order_timeout_s + Terms(hook=Hook.DEMOTE).extra_s
    scene.up("a")
    scene.run(120)
    assert last_ended(scene) == (Kind.SWITCHOVER, Ending.ROLLED_BACK)
    assert in_phases(scene) == (Phase.IN_SERVICE, Phase.STANDBY)


def test_a_switchover_whose_source_falls_silent_while_it_is_demoted_goes_on_as_a_failover() -> None:
    scene = Scene.of_a_cluster()
    scene.hooks["demote:a"] = None
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(2)
    scene.gone("a")
    scene.run(20)
    assert step(scene) is Step.DEMOTE
    scene.run(30)
    assert in_phases(scene) == (Phase.OUT, Phase.IN_SERVICE)
    assert last_ended(scene) == (Kind.FAILOVER, Ending.DONE)


def test_who_is_not_verified_as_promoted_is_closed_again_and_the_source_promoted() -> None:
    scene = Scene.of_a_cluster()
    scene.hooks["promote:b"] = Result.FAILED
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(200)
    assert (Kind.SWITCHOVER, Ending.ROLLED_BACK) in [(e.operation.kind, e.ending) for e in scene.state.ended]
    assert scene.phase("a") is Phase.IN_SERVICE
    told = list(dict.fromkeys(hooks(scene)))
    assert told[:5] == [("a", ""), ("a", "demote"), ("b", "promote"), ("b", ""), ("a", "promote")]


def test_a_promotion_has_the_time_of_its_hook() -> None:
    scene = Scene.of_a_cluster()
    scene.hooks["promote:b"] = None
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(100)
    assert step(scene) is Step.PROMOTE
    scene.run(100)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_who_falls_silent_while_it_is_promoted_is_not_waited_for_that_long() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    scene.down("a", for_s=31)
    scene.hooks["promote:b"] = None
    scene.run(5)
    assert step(scene) is Step.PROMOTE
    scene.gone("b")
    scene.run(54)
    assert step(scene) is Step.PROMOTE
    scene.run(20)
    assert scene.phase("c") is Phase.IN_SERVICE


def back(scene: Scene) -> None:
    scene.back("a")
    scene.run(60)


def test_who_comes_back_is_demoted_first_where_that_is_not_known_to_be_done() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(5)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.run(20)
    scene.answers.clear()
    scene.sent.clear()
    back(scene)
    assert hooks(scene)[-1] == ("a", "demote")
    assert in_phases(scene) == (Phase.STANDBY, Phase.IN_SERVICE)


def test_who_was_demoted_since_it_served_last_is_not_once_more() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    scene.sent.clear()
    back(scene)
    assert in_phases(scene) == (Phase.STANDBY, Phase.IN_SERVICE)
    assert hooks(scene) == []


def test_who_cannot_be_demoted_stays_out() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.hooks["demote"] = Result.UNKNOWN
    scene.run(20)
    back(scene)
    assert scene.phase("a") is Phase.REJOINING
    scene.run(60)
    ended = [e for e in scene.state.ended if e.operation.kind is Kind.READMIT]
    assert ended[-1].ending is Ending.ROLLED_BACK
    assert "not demoted: order-ports:a: as told" in ended[-1].detail
    assert not any(flap.node == "a" and flap.count > 1 for flap in scene.state.flaps)
    scene.hooks.clear()
    scene.run(120)
    assert scene.phase("a") is Phase.STANDBY


def test_who_serves_and_has_booted_is_promoted_again_only_where_it_was_not() -> None:
    """Who was promoted and verified is so still; of one that has served since before this store nobody
    knows."""
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    scene.sent.clear()
    scene.facts["b"] = _held(scene, "b")
    scene.run(5)
    assert hooks(scene)[0] == ("b", "")
    fresh = Scene.of_a_cluster()
    fresh.facts["a"] = _held(fresh, "a")
    fresh.run(5)
    assert hooks(fresh)[0] == ("a", "promote")


def _held(scene: Scene, node: str) -> NodeFacts:
    facts = scene.facts[node]
    assert facts is not None
    return replace(facts, applied=False, token=scene.state.helper(node).claimed)


def test_where_all_serve_nobody_is_promoted_or_demoted() -> None:
    scene = Scene.settled()
    scene.down("a", for_s=5)
    scene.run(30)
    scene.up("a")
    scene.run(120)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert {hook for _, hook in hooks(scene)} == {""}
