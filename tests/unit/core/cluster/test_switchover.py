"""A switchover: no new mail at the old one, all of its mail at the new one, and back where that cannot be."""

from dataclasses import replace

from tests.unit.core.scene import (
    ALL_WAYS,
    LADDER,
    Scene,
    cluster_of,
    facts,
    last_ended,
    opened,
    phases,
    published,
)

from mailward.model.fencing import Hook, PortKind
from mailward.model.orders import OrderPorts, PowerOff, Result
from mailward.model.policy import Rules
from mailward.model.state import Ending, Kind, Phase, RequestKind, Step


def test_who_serves_is_stopped_by_the_daemon_beside_it_for_a_switchover_too() -> None:
    """Its hook, and whatever opens, goes straight to the helper."""
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(60)
    assert phases(scene) == {"a": Phase.STANDBY, "b": Phase.IN_SERVICE}
    ordered = [(a.node, a.by.value, a.terms.hook) for a in scene.actions() if isinstance(a, OrderPorts)]
    assert ordered == [
        ("a", "ask", None), ("a", "helper", Hook.DEMOTE), ("b", "helper", Hook.PROMOTE),
    ]  # fmt: skip


def test_a_switchover_waits_for_all_mail_and_leaves_a_standby() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(20)
    assert [each.step for each in [scene.state.operation] if each] == [Step.CATCH_UP]
    assert opened(scene) == []
    scene.lag("a", "b", 0.0)
    scene.run(20)
    assert phases(scene) == {"a": Phase.STANDBY, "b": Phase.IN_SERVICE}
    assert last_ended(scene) == (Kind.SWITCHOVER, Ending.DONE)
    assert published(scene) == [("192.0.2.11",)]


def test_a_switchover_that_cannot_catch_up_goes_back() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(catch_up_wait_s=20)))
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(60)
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.STANDBY}
    assert last_ended(scene) == (Kind.SWITCHOVER, Ending.ROLLED_BACK)
    assert opened(scene) == ["a"]


def test_a_switchover_whose_target_does_not_serve_stops_it_before_the_source_is_opened() -> None:
    scene = Scene.of_a_cluster()
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(200)
    assert scene.phase("a") is Phase.IN_SERVICE
    orders = [
        (a.node, next(iter(a.ports.values())).kind) for a in scene.actions() if isinstance(a, OrderPorts)
    ]
    assert list(dict.fromkeys(orders)) == [
        ("a", PortKind.CLOSED), ("b", PortKind.OPEN), ("b", PortKind.CLOSED), ("a", PortKind.OPEN),
    ]  # fmt: skip


def test_a_switchover_becomes_a_failover_when_its_source_fails() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.down("a", for_s=31)
    scene.run(60)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    assert [e.operation.kind for e in scene.state.ended][-2:] == [Kind.SWITCHOVER, Kind.FAILOVER]


def test_a_switchover_to_one_that_is_not_fit_is_refused_with_the_reason() -> None:
    scene = Scene.of_a_cluster()
    scene.down("b")
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(12)
    assert not scene.state.answers[-1].accepted
    assert "b is failed" in scene.state.answers[-1].detail
    assert scene.actions() == []


def test_a_source_that_is_opened_by_hand_while_its_mail_is_waited_for_is_stopped_again() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.sent.clear()
    scene.facts["a"] = replace(facts("a"), forced=True)
    scene.run(0.5)
    assert [(a.kind, getattr(a, "node", "")) for a in scene.actions()][:1] == [("order-ports", "a")]
    assert opened(scene) == []


def test_a_switchover_does_not_give_back_while_its_target_may_be_open() -> None:
    scene = Scene.of_a_cluster()
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(3)
    assert scene.phase("b") is Phase.PROMOTING
    scene.answers.update({"order-ports:b": Result.UNKNOWN, "order-ports:a": Result.UNKNOWN})
    scene.facts["a"] = replace(facts("a"), applied=False)
    scene.sent.clear()
    scene.run(200)
    assert opened(scene) == []
    assert scene.phase("a") is not Phase.IN_SERVICE


def test_planned_work_switches_nobody_off() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(3)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(120)
    assert not any(isinstance(action, PowerOff) for action in scene.actions())


def test_a_switchover_whose_source_falls_silent_becomes_a_failover() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.unknown("a")
    scene.facts["a"] = None
    scene.run(60)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_where_nobody_is_in_service_a_person_says_who_is_to_be() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    scene.policy = cluster_of(("b", "c"))
    scene.run(20)
    assert {scene.phase("b"), scene.phase("c")} == {Phase.STANDBY}
    scene.ask(RequestKind.SWITCHOVER, "c")
    scene.run(20)
    assert (scene.phase("b"), scene.phase("c")) == (Phase.STANDBY, Phase.IN_SERVICE)
