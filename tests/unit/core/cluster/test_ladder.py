"""The ladder: which rung is tried next, and by what a node is known to be stopped, or is not any more."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import ALL_WAYS, LADDER, Scene, cluster_of, facts, last_ended, opened, phases

from mailward.controller.core import decide as core
from mailward.controller.core.cluster import ladder
from mailward.model.decision import Answered
from mailward.model.fencing import FenceOutcome, Scope
from mailward.model.orders import OrderPorts, Outcome, PowerOff, Result
from mailward.model.policy import Rules, RungKind
from mailward.model.state import Ending, Kind, Phase, RequestKind


def test_the_next_rung_is_tried_when_the_one_before_has_not_confirmed() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    assert [a.kind for a in scene.actions() if getattr(a, "node", "") == "a"][:2] == [
        "order-ports",
        "power-off",
    ]
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}


def ways(scene: Scene, node: str) -> list[tuple[str, str]]:
    """By which way a node was ordered what, and under which token, in order."""
    return [
        (o.action.by.value if isinstance(o.action, OrderPorts) else "power", str(o.token.seq))
        for o in scene.sent
        if isinstance(o.action, OrderPorts | PowerOff) and o.action.node == node
    ]


def test_the_daemon_beside_a_node_is_asked_before_its_helper_is_ordered_and_power_comes_last() -> None:
    """Each way has a token of its own, and they close the same ports on the same terms."""
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS, rules=Rules(fence_scope=Scope.WRITES)))
    scene.scope = Scope.WRITES
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    tried = ways(scene, "a")[:3]
    assert [way for way, _ in tried] == ["ask", "helper", "power"]
    assert len({token for _, token in tried}) == 3
    first, second = [a for a in scene.actions() if isinstance(a, OrderPorts) and a.node == "a"][:2]
    assert (first.ports, first.terms) == (second.ports, second.terms)
    assert (first.terms.stop, opened(scene)) == (True, ["b"])


def test_who_was_stopped_by_the_daemon_beside_it_is_ordered_nothing_else() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.down("a", for_s=31)
    scene.run(20)
    stopping = [
        a for a in scene.actions() if isinstance(a, OrderPorts) and a.node == "a" and not a.terms.hook
    ]
    assert [action.by for action in stopping] == [RungKind.ASK]
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}


def test_while_the_daemon_beside_a_node_has_not_answered_nothing_else_is_tried() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = None
    scene.run(5)
    assert [way for way, _ in ways(scene, "a")] == ["ask"]
    scene.run(20)
    assert [way for way, _ in ways(scene, "a")][:2] == ["ask", "helper"]


def test_what_is_said_of_one_way_does_not_count_for_what_went_another_way_since() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = None
    scene.run(2)
    (asked,) = scene.state.orders
    newer = replace(asked.token, seq=asked.token.seq + 1)
    records = tuple(replace(r, token=newer) if r.node == "a" else r for r in scene.state.ports)
    scene.state = replace(scene.state, seq=newer.seq, ports=records)
    scene.outcomes = [Outcome(asked.token, Result.DONE, scene.now, "", FenceOutcome.CONFIRMED, Scope.USERS)]
    scene.step()
    newest = scene.actions()[-1]
    assert isinstance(newest, OrderPorts)
    assert (newest.node, newest.by, newest.terms.hook) == ("a", RungKind.HELPER, None), (
        "it is still to be stopped"
    )
    record = scene.state.ports_of("a")
    assert record is not None
    assert not record.closed


def test_what_the_daemon_beside_a_node_says_too_late_counts_no_more() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = None
    while [way for way, _ in ways(scene, "a")] != ["ask", "helper"]:
        scene.run(1)
    asked = next(order for order in scene.sent if isinstance(order.action, OrderPorts))
    scene.outcomes = [Outcome(asked.token, Result.DONE, scene.now, "", FenceOutcome.CONFIRMED, Scope.USERS)]
    scene.run(1)
    assert (opened(scene), scene.phase("b")) == ([], Phase.STANDBY)
    assert "a is not known to be stopped (ask: no answer in time; helper: no answer yet)" in (
        scene.look().waits_for
    )


def test_power_that_is_not_read_back_off_confirms_nothing() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.UNKNOWN})
    scene.run(200)
    assert opened(scene) == []


def test_who_was_switched_off_is_noted_and_the_gate_that_holds_it_says_so() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    assert last_ended(scene) == (Kind.FAILOVER, Ending.DONE)
    noted = "a was switched off, read back off"
    assert (scene.state.ended[-1].operation.notes, scene.state.ended[-1].detail) == ((noted,), noted)
    found = scene.finding("fence", "a")
    assert found.answer is Answered.NO
    assert found.reason.startswith("mailward switched it off, read back off")
    scene.facts["a"] = facts("a")
    scene.run(1)
    assert "switched it off" not in scene.finding("fence", "a").reason


def test_who_is_not_read_back_off_is_not_noted_as_switched_off() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.FAILED})
    scene.run(20)
    assert scene.state.operation is not None
    assert scene.state.operation.notes == ()
    assert "switched it off" not in scene.finding("takeover", "a").reason


def test_who_is_read_back_off_when_no_operation_runs_is_off_all_the_same() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": None})
    scene.run(5)
    (order,) = scene.state.orders
    scene.state = replace(scene.state, operation=None)
    scene.outcomes = [Outcome(order.token, Result.DONE, scene.now, "", FenceOutcome.CONFIRMED, Scope.POWER)]
    scene.step()
    power = scene.state.power_of("a")
    assert power is not None
    assert power.off is FenceOutcome.CONFIRMED


def test_who_was_switched_off_and_answers_again_is_not_off() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "order-ports:b": None})
    scene.run(5)
    assert phases(scene)["b"] is Phase.PROMOTING
    scene.facts["a"] = facts("a")  # its services do not, yet
    scene.run(1)
    assert scene.state.operation is not None
    assert "a may serve again" in scene.state.operation.notes


def test_who_may_yet_be_switched_off_is_not_given_back_nor_promoted() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.UNKNOWN})
    scene.run(5)
    scene.back("a")
    scene.sent.clear()
    scene.run(20)
    assert scene.phase("a") is Phase.DEMOTING
    scene.run(40)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert not any(isinstance(action, PowerOff) for action in scene.actions())


def test_who_is_not_known_to_be_stopped_is_not_opened_again_by_a_failover() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(5)
    scene.down("b")
    scene.up("a")
    scene.looked_at_behind = ("a",)
    scene.sent.clear()
    scene.run(30)
    assert opened(scene) == []


@pytest.mark.parametrize("how", ["off", "closed"])
def test_who_was_stopped_and_is_cut_off_after_it_was_opened_does_not_count_as_stopped(how: str) -> None:
    """What was seen to be over is recorded: who leads next has not seen it."""
    scene = Scene.of_a_cluster(cluster_of(rungs=LADDER))
    if how == "off":
        scene.gone("a", for_s=31)
        scene.answers["order-ports:a"] = Result.UNKNOWN
    else:
        scene.down("a", for_s=31)
    scene.run(20)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    scene.back("a")
    scene.facts["a"] = replace(facts("a"), forced=True)
    scene.run(2)
    scene.gone("a")
    scene.restarted()
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.UNKNOWN})
    scene.ask(RequestKind.FAILOVER, "b", force=True)
    scene.run(20)
    situation = replace(core._situation(scene.snapshot()), state=scene.state)
    assert ladder.stopped(situation, "a") == ""


def test_the_one_that_serves_is_stopped_last() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    record = scene.state.ports_of("c")
    assert record is not None
    others = tuple(each for each in scene.state.ports if each.node != "c")
    scene.state = replace(scene.state, ports=(*others, replace(record, fence=FenceOutcome.UNKNOWN)))
    scene.facts["c"] = None
    scene.answers["order-ports:c"] = Result.UNKNOWN
    scene.down("a", "smtp", for_s=31)
    scene.run(60)
    assert {a.node for a in scene.actions() if isinstance(a, OrderPorts)} == {"c"}
