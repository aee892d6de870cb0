"""Each operation tells when its parts began, from the first failed probe on."""

import pytest
from tests.unit.core.scene import Scene, Seen, Voice, policy_of

from mailward.app import operations
from mailward.controller.core import bounds
from mailward.model.health import Failure, FailureKind, Verdict
from mailward.model.orders import Result
from mailward.model.policy import Observer
from mailward.model.state import Kind, Operation, RequestKind

REFUSED = Failure(FailureKind.REFUSED, "connect")


def marks(operation: Operation) -> list[tuple[str, float]]:
    return [(mark.name, mark.after_s) for mark in operation.marks]


def parts(scene: Scene) -> dict[str, float]:
    told = operations.newest_first(scene.state.ended, scene.now)[0]
    return {mark.part: mark.lasted_s for mark in told.marks}


def test_a_failover_is_told_from_the_first_failed_probe_to_the_last_step() -> None:
    scene = Scene.of_a_cluster()
    for service in ("smtp", "submission", "imaps"):
        scene.seen["a", service] = Seen(Verdict.DOWN, scene.now_s - 30, scene.now_s - 32, REFUSED)
    scene.answers["order-ports:a"] = None
    scene.run(4)
    scene.answers.clear()
    scene.run(30)
    ended = scene.state.ended[-1].operation
    assert ended.kind is Kind.FAILOVER
    steps = [name for name, _ in marks(ended)]
    moving = ["fence", "rescue", "demote", "promote", "check", "publish", "verify"]
    assert steps == ["detect", "agree", *moving]
    assert marks(ended)[:3] == [("detect", -32.0), ("agree", -30.0), ("fence", 0.0)]
    assert marks(ended)[3][1] > 8.0, "the answer of the fence was lost, and it was ordered again"
    lasted = parts(scene)
    assert (lasted["detect"], lasted["agree"]) == (2.0, 30.0)
    assert list(lasted) == ["detect", "agree", "fence", "catch-up", "demote", "promote", "publish", "verify"]
    whole_s = scene.state.ended[-1].at.boot_s - ended.started.boot_s
    assert sum(lasted.values()) == pytest.approx(32 + whole_s)


def test_the_verdict_is_there_when_enough_observers_say_so() -> None:
    names = [Observer(name, name) for name in ("one", "two", "three")]
    scene = Scene.settled(policy_of(observers=names))
    said = {"one": (20.0, 21.0), "two": (17.0, 19.0), "three": (5.0, 18.0)}
    for observer, (verdict_s, symptom_s) in said.items():
        seen = Seen(Verdict.DOWN, scene.now_s - verdict_s, scene.now_s - symptom_s, REFUSED)
        scene.voices[observer] = Voice(age_s=0.25, sees={("a", "imaps"): seen})
    scene.step()
    operation = scene.state.operation
    assert operation is not None
    assert marks(operation)[:2] == [("detect", -21.25), ("agree", -17.25)]


def test_what_was_asked_for_begins_with_its_first_step() -> None:
    scene = Scene.of_a_cluster()
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(30)
    assert list(parts(scene)) == ["fence", "catch-up", "demote", "promote", "publish", "verify"]
    scene.down("b")
    scene.ask(RequestKind.FAILOVER, "b")
    scene.step()
    assert scene.state.operation is not None
    assert marks(scene.state.operation) == [("fence", 0.0)]


def test_what_is_done_again_is_added_up() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(70)
    scene.answers.clear()
    scene.run(200)
    ended = scene.state.ended[-1].operation
    assert [name for name, _ in marks(ended)].count("fence") == 2
    assert list(parts(scene)).count("fence") == 1
    assert parts(scene)["promote"] >= 60


def test_marks_go_on_under_the_clock_of_the_next_leader() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(4)
    scene.restarted()
    scene.boot_id, scene.now_s = "boot-2", 500.0
    scene.facts_age_s, scene.unchanged_s = 0.1, 6.0
    scene.down("a", for_s=41)
    scene.answers.clear()
    scene.run(20)
    ended = scene.state.ended[-1].operation
    fenced_s = next(after_s for name, after_s in marks(ended) if name == "rescue")
    assert fenced_s == pytest.approx(10.0, abs=2.0)
    assert [after for _, after in marks(ended)] == sorted(after for _, after in marks(ended))


def test_one_that_goes_back_and_forth_keeps_what_came_first() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.run(1500)
    operation = scene.state.operation or scene.state.ended[-1].operation
    assert len(operation.marks) <= bounds.MARKS
    assert [name for name, _ in marks(operation)][:3] == ["detect", "agree", "fence"]
