"""In a cluster, who was opened and does not serve is closed again, also while nobody can take over; the
source that is still as it was is left alone; and nobody is promoted whom nobody has asked for."""

from dataclasses import replace

from tests.unit.core.scene import MAIL, SERVICES, Scene, cluster_of, facts, until_promoting

from mailward.model.fencing import OPEN, PortKind
from mailward.model.orders import OrderPorts, PowerOff, Result
from mailward.model.policy import RungKind
from mailward.model.state import Ending, Kind, Phase, RequestKind, Step

THREE = ("a", "b", "c")


def ports_of(scene: Scene) -> list[tuple[str, PortKind]]:
    """What was ordered of client ports, in order."""
    return [(a.node, next(iter(a.ports.values())).kind) for a in scene.actions() if isinstance(a, OrderPorts)]


def given_up(scene: Scene) -> None:
    """`a` was stopped, and `b` promoted, which does not answer from outside; nobody else is there."""
    scene.down("a", for_s=31)
    scene.looked_at_behind = ("b",)
    scene.run(2)
    assert scene.phase("b") is Phase.PROMOTING
    scene.down("b")
    scene.looked_at_behind = ()
    scene.sent.clear()


def test_who_was_opened_in_vain_is_closed_though_nobody_can_take_over() -> None:
    scene = Scene.of_a_cluster()
    given_up(scene)
    scene.run(20)
    operation = scene.state.operation
    assert operation is not None
    assert (operation.to, operation.failed) == ("", ("b",))
    assert ports_of(scene)[-1] == ("b", PortKind.CLOSED)


def test_it_is_tried_again_until_it_is_known_to_be_closed_and_said() -> None:
    scene = Scene.of_a_cluster()
    given_up(scene)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(30)
    assert ports_of(scene).count(("b", PortKind.CLOSED)) > 1
    assert "b is to be closed (helper: as told)" in scene.look().waits_for
    scene.answers.clear()
    scene.run(40)
    ports = scene.state.ports_of("b")
    assert ports is not None
    assert ports.fence.value == "CONFIRMED"


def test_nobody_is_switched_off_while_nobody_can_take_over() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=(RungKind.HELPER, RungKind.AGENT)))
    given_up(scene)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(50)
    assert not any(isinstance(action, PowerOff) for action in scene.actions())


def switched_off(scene: Scene) -> list[str]:
    return [action.node for action in scene.actions() if isinstance(action, PowerOff)]


def opened_out_of_reach() -> Scene:
    """A switchover has ordered `b` open and nobody knows what came of it; it is to go back."""
    scene = Scene.of_a_cluster(cluster_of(rungs=(RungKind.HELPER, RungKind.AGENT)))
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.answers["order-ports:b"] = Result.UNKNOWN
    until_promoting(scene, "b")
    return scene


def test_a_target_that_was_lost_when_it_was_opened_is_switched_off_and_the_source_serves_again() -> None:
    scene = opened_out_of_reach()
    scene.gone("b")
    scene.run(200)
    assert switched_off(scene) == ["b"]
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.state.ended[-1].ending is Ending.ROLLED_BACK


def test_so_is_one_that_was_looked_at_behind_closed_ports_when_it_fell_silent() -> None:
    scene = opened_out_of_reach()
    scene.gone("b")
    scene.unknown("b")
    scene.run(200)
    assert switched_off(scene) == ["b"]
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_target_whose_helper_alone_is_lost_is_not_switched_off() -> None:
    scene = opened_out_of_reach()
    scene.facts["b"] = None
    scene.run(200)
    assert [each.to for each in [scene.state.operation] if each] == ["a"]
    assert switched_off(scene) == []


def test_a_third_node_that_is_lost_and_not_known_to_be_stopped_is_not_switched_off() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE, rungs=(RungKind.HELPER, RungKind.AGENT)))
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(3)
    scene.answers["order-ports:c"] = Result.UNKNOWN
    scene.facts["c"] = replace(facts("c"), ports={service.name: OPEN for service in SERVICES})
    scene.run(1)
    scene.gone("c")
    scene.sent.clear()
    scene.run(200)
    assert ("c", PortKind.CLOSED) in ports_of(scene)
    assert "c is not known to be stopped (helper: as told)" in scene.look().waits_for
    assert switched_off(scene) == []


def test_a_source_that_planned_work_cannot_stop_is_not_switched_off() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=(RungKind.HELPER, RungKind.AGENT)))
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(200)
    assert switched_off(scene) == []


def test_a_source_that_is_as_it_was_is_left_alone_while_nobody_can_take_over() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(5)
    scene.down("b")
    scene.run(1)
    scene.sent.clear()
    scene.run(30)
    assert scene.phase("a") is Phase.DEMOTING
    assert ports_of(scene) == []


def test_a_source_that_was_opened_again_in_vain_is_closed_again() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.looked_at_behind = ("b",)
    scene.run(2)
    scene.back("a")
    scene.down("b")
    scene.looked_at_behind = ("a",)
    scene.run(7)
    assert scene.phase("a") is Phase.PROMOTING
    scene.down("a")
    scene.looked_at_behind = ()
    scene.sent.clear()
    scene.run(20)
    assert ports_of(scene)[:1] == [("a", PortKind.CLOSED)]


def test_who_was_opened_in_vain_is_out_when_the_failover_is_handed_over() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.ask(RequestKind.DRAIN, "c")
    scene.run(5)
    given_up(scene)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    record = scene.state.phase_of("c", MAIL)
    assert record is not None
    others = tuple(each for each in scene.state.phases if each.node != "c")
    scene.state = replace(scene.state, phases=(*others, replace(record, cause=record.cause.SERVICE)))
    scene.run(62)
    assert scene.phase("b") is Phase.DEMOTING
    scene.run(62)
    assert Ending.HANDED_OVER in [e.ending for e in scene.state.ended if e.operation.kind is Kind.FAILOVER]
    assert scene.phase("b") is Phase.OUT
    scene.answers.clear()
    scene.run(60)
    assert ("b", PortKind.CLOSED) in ports_of(scene)
    assert scene.phase("c") is Phase.IN_SERVICE


# what a person asked for, and nobody else


def test_a_switchover_whose_target_does_not_serve_goes_back_to_the_source_and_to_nobody_else() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(200)
    assert {n: scene.phase(n) for n in THREE} == {
        "a": Phase.IN_SERVICE, "b": Phase.STANDBY, "c": Phase.STANDBY,
    }  # fmt: skip
    assert ("c", PortKind.OPEN) not in ports_of(scene)


def test_a_switchover_that_was_turned_back_does_not_promote_its_target_after_a_while() -> None:
    """The source is stopped and cannot be opened for long: nobody knows how it is."""
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(3)
    scene.down("b")
    scene.unknown("a")
    scene.run(3)
    assert [each.failed for each in [scene.state.operation] if each] == [("b",)]
    scene.up("b")
    scene.lag("a", "b", 0.0)
    scene.sent.clear()
    scene.run(300)
    assert ("b", PortKind.OPEN) not in ports_of(scene)
    assert "a cannot be promoted: a is unknown" in scene.look().waits_for
    assert [len(each.notes) for each in [scene.state.operation] if each] == [1]  # turned back once
    scene.up("a")
    scene.run(30)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_source_that_did_not_answer_when_it_was_opened_again_is_tried_again_after_a_while() -> None:
    scene = Scene.of_a_cluster()
    scene.looked_at_behind = ("a", "b")
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(200)
    assert scene.phase("a") is not Phase.IN_SERVICE
    scene.looked_at_behind = ()
    scene.run(100)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_where_nobody_serves_the_one_that_is_asked_for_is_promoted_or_nobody() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.policy = cluster_of(("b", "c"))
    scene.run(20)
    scene.unknown("c")
    scene.ask(RequestKind.SWITCHOVER, "c")
    scene.sent.clear()
    scene.run(200)
    assert [action for action in ports_of(scene) if action[1] is PortKind.OPEN] == []
    ended = scene.state.ended[-1]
    assert (ended.operation.kind, ended.ending) == (Kind.FAILOVER, Ending.HANDED_OVER)
    assert ended.detail.startswith("nobody can take over: c is unknown")
    assert "b " not in ended.detail
    assert ended.detail.endswith("mailward switchover NODE")


def test_where_nobody_serves_and_the_one_asked_for_does_not_either_it_is_closed_and_handed_over() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.policy = cluster_of(("b", "c"))
    scene.run(20)
    scene.looked_at_behind = ("c",)
    scene.ask(RequestKind.SWITCHOVER, "c")
    scene.sent.clear()
    scene.run(200)
    assert [n for n, kind in ports_of(scene) if kind is PortKind.OPEN] == ["c"]
    assert ports_of(scene)[-1] == ("c", PortKind.CLOSED)
    assert scene.state.ended[-1].ending is not Ending.DONE or scene.state.operation is None
    scene.looked_at_behind = ()
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(30)
    assert scene.phase("b") is Phase.IN_SERVICE


def pre_empted(scene: Scene, opened: str, before: Result | None) -> None:
    """A person orders the failover of `a` while a switchover from it opens `opened`."""
    scene.answers[f"order-ports:{opened}"] = before
    until_promoting(scene, opened, 0.5)
    scene.answers.clear()
    scene.sent.clear()
    request = scene.ask(RequestKind.FAILOVER, "a")
    scene.step()
    assert [(each.kind, each.request) for each in [scene.state.operation] if each] == [
        (Kind.FAILOVER, request.id)
    ]
    assert scene.state.operation is not None
    assert scene.state.operation.reason == "ann: because"
    assert scene.state.ended[-1].detail == "ann: because has ordered the failover of a, which goes on"


def test_a_source_on_its_way_back_is_closed_when_a_person_orders_its_failover() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.looked_at_behind = ("b",)
    scene.ask(RequestKind.SWITCHOVER, "b")
    until_promoting(scene, "b", 0.5)
    pre_empted(scene, "a", None)
    scene.run(100)
    assert ports_of(scene)[0] == ("a", PortKind.CLOSED)
    assert ("a", PortKind.OPEN) not in ports_of(scene)
    assert scene.phase("c") is Phase.IN_SERVICE


def test_a_target_that_is_being_opened_is_closed_when_another_is_promoted_by_a_failover() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.ask(RequestKind.SWITCHOVER, "b")
    pre_empted(scene, "b", Result.UNKNOWN)
    scene.down("b")
    scene.run(100)
    assert ports_of(scene)[0] == ("b", PortKind.CLOSED)
    assert scene.phase("c") is Phase.IN_SERVICE


# what is not known for a moment


def test_a_switchover_waits_while_its_target_is_not_known_for_a_moment() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.unknown("b")
    scene.run(10)
    assert [each.step for each in [scene.state.operation] if each] == [Step.CATCH_UP]
    assert "b cannot be promoted: b is unknown" in scene.look().waits_for
    scene.up("b")
    scene.lag("a", "b", 0.0)
    scene.run(10)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_a_switchover_turns_back_when_its_target_is_not_known_for_long() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.unknown("b")
    scene.run(90)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_switchover_turns_back_at_once_when_its_target_is_known_to_fail() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    scene.down("b")
    scene.run(3)
    assert scene.phase("a") in (Phase.PROMOTING, Phase.IN_SERVICE)


def test_the_source_is_not_stopped_while_the_target_of_a_switchover_is_not_known() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.answers["order-ports:a"] = None
    scene.step()
    assert [each.to for each in [scene.state.operation] if each] == ["b"]
    scene.state = replace(scene.state, orders=(), operation=replace(scene.state.operation, attempts=()))  # type: ignore[type-var]
    scene.facts["b"] = None
    scene.sent.clear()
    scene.run(20)
    assert ports_of(scene) == []
    assert "b cannot be promoted: b has a mailward-node that does not answer" in scene.look().waits_for
    scene.facts["b"] = facts("b")
    scene.answers.clear()
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE
