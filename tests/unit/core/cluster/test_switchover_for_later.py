"""A switchover that is asked for later: it waits for its time and holds up nobody, is looked at anew then,
and is begun once, between its time and ten minutes after it, or never."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import Scene, cluster_of

from mailward.controller.core import later
from mailward.controller.core.decide import waiting, wrong_with
from mailward.model.clock import Moment
from mailward.model.orders import Result
from mailward.model.state import Answer, Ending, Kind, Phase, Request, RequestKind

THREE = ("a", "b", "c")


def planned(scene: Scene, node: str = "b", in_s: float = 3600.0, asked_on: str | None = None) -> Request:
    """Asked for on this host, or on another."""
    asked = scene.ask(RequestKind.SWITCHOVER, node)
    at = asked.at if asked_on is None else replace(asked.at, boot_id=asked_on)
    request = replace(asked, at=at, due_wall_s=scene.now.wall_s + in_s)
    scene.requests[-1] = request
    return request


def answer(scene: Scene, request: Request) -> Answer:
    return next(each for each in scene.state.answers if each.request == request.id)


def unanswered(scene: Scene, request: Request) -> bool:
    return all(each.request != request.id for each in scene.state.answers)


def test_it_waits_for_its_time_and_is_begun_then() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene)
    scene.run(3599, every_s=10)
    assert scene.state.operation is None
    assert unanswered(scene, request)
    assert waiting(scene.snapshot()) == {request.id: ""}
    scene.run(60)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert answer(scene, request).accepted
    assert scene.state.ended[-1].operation.request == request.id


def test_until_then_it_holds_up_no_other_request_and_no_failover() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    for _ in range(40):  # more than are looked at in one decision
        planned(scene)
    drained = scene.ask(RequestKind.DRAIN, "c")
    scene.run(5)
    assert answer(scene, drained).accepted
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_what_would_hold_it_now_is_told_and_nothing_is_answered() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene)
    scene.down("b")
    scene.run(120)
    assert waiting(scene.snapshot())[request.id].startswith("heir: b is failed")
    assert unanswered(scene, request)


def test_what_holds_it_at_its_time_refuses_it_with_the_reason() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene)
    scene.run(3590, every_s=10)
    scene.down("b")
    scene.run(15)
    assert not answer(scene, request).accepted
    assert answer(scene, request).detail.startswith("heir: b is failed")
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_pause_at_its_time_refuses_it() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=60)
    scene.paused()
    scene.run(61)
    assert answer(scene, request).detail.startswith("pause: paused by ann")


def test_a_failover_that_has_made_it_serve_leaves_nothing_to_do() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene)
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.run(3600, every_s=10)
    assert (answer(scene, request).accepted, answer(scene, request).operation) == (True, None)
    assert answer(scene, request).detail == "nothing to do: b is in service"


def test_a_failover_that_runs_at_its_time_is_waited_for_a_minute() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=20)
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(70)
    assert unanswered(scene, request)
    scene.run(15)
    assert scene.state.operation is not None
    said = f"failover {scene.state.operation.id} is under way: mailward status"
    assert answer(scene, request).detail == said


def test_nobody_is_made_to_serve_by_a_word_from_before() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=20)
    scene.put_phase("a", Phase.STANDBY)
    scene.run(25)
    assert answer(scene, request).detail == "nobody is in service: mailward switchover b"
    assert all(ended.operation.kind is Kind.RECONCILE for ended in scene.state.ended)


def test_where_nobody_led_at_its_time_it_is_begun_up_to_ten_minutes_late() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=60)
    scene.now_s += 60 + later.LATE_S - 1
    scene.restarted()
    scene.run(30)
    assert answer(scene, request).accepted
    assert scene.phase("b") is Phase.IN_SERVICE


def test_later_than_that_it_is_answered_as_missed() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=60)
    scene.now_s += 60 + later.LATE_S + 1
    scene.restarted()
    scene.run(30)
    assert answer(scene, request).detail == (
        "missed: its time was 601 s ago, and nobody could begin within 600 s of it: ask again"
    )
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_clock_that_jumps_years_ahead_begins_nothing_and_what_was_missed_is_not_begun_later() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, asked_on="another host")
    scene.ahead_s = 3e8
    scene.run(5)
    assert answer(scene, request).detail.startswith("missed: its time was 299996")
    scene.ahead_s = 0.0
    scene.run(3700, every_s=10)
    assert scene.phase("a") is Phase.IN_SERVICE


@pytest.mark.parametrize("ahead_s", [3600.0, -7200.0])
def test_a_clock_that_was_set_since_it_was_asked_for_leaves_its_time_in_doubt(ahead_s: float) -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene)
    scene.run(600, every_s=10)
    scene.ahead_s = ahead_s
    scene.run(5)
    if ahead_s < 0:  # its time by the boot clock is still to come
        assert unanswered(scene, request)
        scene.run(3000, every_s=10)
    said = answer(scene, request)
    assert not said.accepted
    assert f"the clock here has been set {'forward' if ahead_s > 0 else 'back'} by" in said.detail
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_clock_that_is_corrected_by_less_counts_as_it_is() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=700)
    scene.ahead_s = 300.0
    scene.run(390, every_s=10)
    assert unanswered(scene, request)
    scene.run(30)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_it_is_begun_once_though_the_clock_goes_back_over_its_time() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=10)
    scene.run(40)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.ask(RequestKind.SWITCHOVER, "a")
    scene.run(40)
    assert scene.phase("a") is Phase.IN_SERVICE
    scene.ahead_s = -120.0
    scene.run(300)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert [e.request for e in scene.state.answers].count(request.id) == 1


# withdrawn


def cancelled(scene: Scene, what: str) -> Request:
    asked = replace(scene.ask(RequestKind.CANCEL, "b"), cancels=what)
    scene.requests[-1] = asked
    return asked


def test_it_can_be_withdrawn_until_it_has_begun_also_at_its_very_time() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=60)
    scene.now_s += 60
    word = cancelled(scene, request.id)
    scene.run(30)
    assert answer(scene, request).detail == "withdrawn by ann: because"
    assert answer(scene, word).detail == f"the switchover {request.id} is withdrawn"
    assert scene.phase("a") is Phase.IN_SERVICE


def test_what_has_begun_or_never_was_is_not_withdrawn() -> None:
    scene = Scene.of_a_cluster()
    request = planned(scene, in_s=5)
    scene.run(7)
    word = cancelled(scene, request.id)
    another = cancelled(scene, word.id)
    scene.run(30)
    assert answer(scene, word).detail == f"no request {request.id} waits (any more)"
    assert not answer(scene, another).accepted
    assert scene.phase("b") is Phase.IN_SERVICE
    assert scene.state.ended[-1].ending is Ending.DONE


def test_many_words_at_once_push_no_answer_out_and_each_is_answered() -> None:
    scene = Scene.of_a_cluster()
    many = [planned(scene) for _ in range(30)]
    words = [cancelled(scene, request.id) for request in many]
    drained = scene.ask(RequestKind.DRAIN, "b")
    scene.step()
    assert answer(scene, drained).accepted
    assert answer(scene, words[0]).accepted
    scene.run(5)
    assert scene.requests == []


# what is wrong already


def wrong(scene: Scene, node: str, in_s: float = 3600.0) -> str:
    at = scene.now
    request = Request("r0", RequestKind.SWITCHOVER, node, "ann", "", at, due_wall_s=at.wall_s + in_s)
    return wrong_with(scene.snapshot(), request)


def test_what_does_not_mend_by_itself_is_refused_at_once() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    assert wrong(scene, "a") == "nothing to do: a is in service, and nothing is planned before that"
    assert wrong(scene, "b") == ""
    scene.down("b")
    assert wrong(scene, "b") == "", "it may be well by then"
    scene.ask(RequestKind.DRAIN, "c")
    scene.run(10)
    assert wrong(scene, "c") == "c was taken out by hand. Try: mailward readmit c"
    assert wrong(Scene.settled(), "b").startswith("in a hybrid all serve: mailward drain NODE")


def test_there_and_back_may_be_planned_together() -> None:
    scene = Scene.of_a_cluster()
    there = planned(scene, "b", 100)
    assert wrong(scene, "a", 200) == ""
    assert wrong(scene, "a", 50).startswith("nothing to do")
    back = planned(scene, "a", 200)
    scene.run(150)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.run(100)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert answer(scene, there).accepted
    assert answer(scene, back).accepted


def test_one_that_only_observes_refuses_it_at_once() -> None:
    from mailward.model.snapshot import Standing

    scene = Scene.of_a_cluster()
    request = planned(scene)
    scene.standing = Standing.OBSERVING_ONLY
    scene.run(2)
    assert not answer(scene, request).accepted


def test_what_names_no_time_is_due() -> None:
    now = Moment("boot", 5.0, 1e9)
    request = Request("r1", RequestKind.DRAIN, "a", "ann", "", now)
    assert not later.waits(request, now)
    assert later.missed(request, now) == ""
