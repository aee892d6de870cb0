"""A controller restarted with another configuration: nodes come and go, and nothing is stuck for it."""

from dataclasses import replace

from tests.unit.core.scene import MAIL, Scene, facts, kinds, policy_of

from mailward.model.fencing import CLOSED, OPEN
from mailward.model.orders import OrderPorts, Publish
from mailward.model.policy import Automation, Endpoint, Policy
from mailward.model.replication import Confidence, Lag
from mailward.model.state import Cause, Ending, Phase, RequestKind

THREE = ("a", "b", "c")


def reconfigured(scene: Scene, policy: Policy) -> None:
    scene.restarted()
    scene.policy = policy
    for node in policy.nodes:
        scene.facts.setdefault(node.name, facts(node.name))
        for other in policy.nodes:
            key = (node.name, other.name)
            scene.lags.setdefault(key, Lag(*key, Confidence.KNOWN, 0.0, 0, 0))


def published(scene: Scene) -> tuple[str, ...]:
    last = [a for a in scene.actions() if isinstance(a, Publish)][-1]
    return last.rrsets[0].values


def test_the_nodes_of_a_first_start_are_in_service_as_dns_has_them() -> None:
    scene = Scene(policy_of(THREE))
    scene.step()
    assert [scene.phase(n) for n in THREE] == [Phase.IN_SERVICE] * 3


def test_a_node_that_joins_others_comes_in_by_readmission() -> None:
    """I12: it may be empty. Published at once, a third of all logins would meet no mail."""
    scene = Scene.settled()
    scene.lags["a", "c"] = Lag("a", "c", Confidence.KNOWN, 900.0, 40, 0)
    reconfigured(scene, policy_of(THREE))
    scene.run(2)
    record = scene.state.phase_of("c", MAIL)
    assert record is not None
    assert (record.phase, record.detail) == (Phase.REJOINING, "new in the configuration")
    assert all(
        "192.0.2.12" not in r.values for a in scene.actions() if isinstance(a, Publish) for r in a.rrsets
    )
    ports = scene.state.ports_of("c")
    assert ports is not None
    assert scene.holding("c") == ["one-operation", "caught-up"]
    scene.lag("a", "c", 0.0)
    scene.run(2)
    assert scene.phase("c") is Phase.IN_SERVICE
    assert published(scene) == ("192.0.2.10", "192.0.2.11", "192.0.2.12")


def test_while_only_observing_a_new_node_is_taken_for_what_dns_has() -> None:
    scene = Scene.settled(policy_of(automation=Automation.OBSERVE))
    reconfigured(scene, policy_of(THREE, automation=Automation.OBSERVE))
    scene.run(2)
    assert scene.phase("c") is Phase.IN_SERVICE
    assert not scene.sent


def test_a_new_endpoint_starts_in_service_everywhere() -> None:
    scene = Scene.settled()
    more = Endpoint("new.example.test", ("imaps",), ("a", "b"), 30, ("ns1",))
    reconfigured(scene, policy_of(endpoints=(scene.policy.endpoints[0], more)))
    scene.run(2)
    assert [scene.phase(n, more.name) for n in "ab"] == [Phase.IN_SERVICE] * 2


def test_a_new_endpoint_does_not_let_in_a_node_that_an_operator_took_out() -> None:
    scene = Scene.settled()
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(5)
    more = Endpoint("new.example.test", ("imaps",), ("a", "b"), 30, ("ns1",))
    reconfigured(scene, policy_of(endpoints=(scene.policy.endpoints[0], more)))
    scene.run(30)
    record = scene.state.phase_of("a", more.name)
    assert record is not None
    assert (record.phase, record.cause) == (Phase.OUT, Cause.OPERATOR)
    assert scene.phase("b", more.name) is Phase.IN_SERVICE
    ports = scene.state.ports_of("a")
    assert ports is not None
    assert set(ports.ports.values()) == {CLOSED}


def test_a_new_endpoint_of_nodes_that_are_all_out_is_served_all_the_same() -> None:
    scene = Scene.settled(policy_of(THREE))
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(5)
    more = Endpoint("new.example.test", ("imaps",), ("a",), 30, ("ns1",))
    reconfigured(scene, policy_of(THREE, endpoints=(scene.policy.endpoints[0], more)))
    scene.run(5)
    assert scene.phase("a", more.name) is Phase.IN_SERVICE


def test_a_renamed_node_is_not_closed_while_the_other_is_dead() -> None:
    """It is new, hence out; but nothing may be taken away while nobody else serves."""
    scene = Scene.settled()
    scene.gone("b", for_s=60)
    reconfigured(scene, policy_of(("x", "b")))
    scene.unknown("x")
    scene.run(3)
    scene.up("x")
    scene.run(30)
    assert scene.phase("x") is Phase.IN_SERVICE
    for action in scene.actions():
        if isinstance(action, Publish):
            assert "192.0.2.10" in action.rrsets[0].values
        if isinstance(action, OrderPorts) and action.node == "x":
            assert set(action.ports.values()) == {OPEN}


def test_a_removed_node_is_forgotten_and_unpublished() -> None:
    scene = Scene.settled(policy_of(THREE))
    reconfigured(scene, policy_of())
    scene.run(2)
    assert scene.state.phase_of("c", MAIL) is None
    assert published(scene) == ("192.0.2.10", "192.0.2.11")


def test_an_operation_on_a_removed_node_ends() -> None:
    scene = Scene.settled(policy_of(THREE))
    scene.answers["publish"] = None
    scene.down("c", "imaps", for_s=5)
    scene.settle()
    reconfigured(scene, policy_of())
    scene.answers.clear()
    scene.run(3)
    failover = scene.state.ended[-2 if scene.state.ended[-1].operation.node != "c" else -1]
    assert (failover.operation.node, failover.ending) == ("c", Ending.ROLLED_BACK)
    assert "the configuration no longer has" in failover.detail
    assert scene.state.operation is None


def test_an_operation_on_a_removed_target_goes_on_without_it() -> None:
    both = Endpoint(MAIL, ("imaps",), ("a", "b"), 30, ("ns1", "ns2"))
    scene = Scene.settled(policy_of(endpoints=[both]))
    scene.answers["publish:ns2"] = None
    scene.down("a", "imaps", for_s=5)
    scene.settle()
    reconfigured(scene, policy_of(endpoints=[replace(both, targets=("ns1",))]))
    scene.run(2)
    assert scene.state.ended[-1].ending is Ending.DONE


def test_a_changed_ttl_is_published() -> None:
    scene = Scene.settled()
    reconfigured(scene, policy_of(endpoints=[replace(scene.policy.endpoints[0], ttl_s=60)]))
    scene.run(2)
    assert [a.rrsets[0].ttl_s for a in scene.actions() if isinstance(a, Publish)] == [60]


def test_nobody_left_in_service_does_not_hold_up_the_remedy() -> None:
    """a was drained for maintenance; b died for good and was taken out of the configuration."""
    scene = Scene.settled()
    scene.ask(RequestKind.DRAIN, "a")
    scene.run(35)
    reconfigured(scene, policy_of(("a",)))
    scene.run(5)
    assert scene.phase("a") is Phase.OUT
    assert all(any(r.values for r in a.rrsets) for a in scene.actions() if isinstance(a, Publish))
    request = scene.ask(RequestKind.READMIT, "a")
    scene.run(15)
    assert [a.accepted for a in scene.state.answers if a.request == request.id] == [True]
    assert scene.phase("a") is Phase.IN_SERVICE


def test_services_may_come_and_go() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(3)
    reconfigured(scene, policy_of(endpoints=[replace(scene.policy.endpoints[0], services=("submission",))]))
    scene.run(1)
    assert "order-ports" in kinds(scene.actions())
    scene.run(15)
    assert scene.phase("a") is Phase.IN_SERVICE
