"""What a person says while a failover waits: a node was stopped by hand, or mail may be missing. It is said
what to type, and the word counts once."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import ALL_WAYS, MAIL, Scene, cluster_of, facts, opened, phases

from mailward.model.orders import Result
from mailward.model.policy import Loss, Rules
from mailward.model.state import Cause, Phase, RequestKind, Step


def test_where_the_standby_waits_for_mail_of_who_has_failed_it_is_said_how_to_let_it_in() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    scene.lag("b", "a", 400.0)
    scene.back("a", for_s=3600)
    scene.run(20)
    assert scene.phase("a") is Phase.REJOINING
    scene.gone("b", for_s=31)
    refused = scene.ask(RequestKind.FAILOVER, "b")
    scene.run(2)
    (answer,) = [each for each in scene.state.answers if each.request == refused.id]
    assert not answer.accepted
    assert answer.detail.endswith(". Try: mailward readmit a --force")
    scene.ask(RequestKind.READMIT, "a", force=True)
    scene.run(2)
    assert scene.phase("a") is Phase.STANDBY


def test_who_is_to_stop_it_by_hand_is_told_so_also_while_each_way_is_tried_again() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=ALL_WAYS))
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off:a": Result.UNKNOWN})
    scene.run(5)
    assert "mailward vouch a --operation" in scene.look().waits_for
    scene.answers.update({"order-ports:a": None, "power-off:a": None})
    for _ in range(200):
        scene.step(0.5)
        assert "mailward vouch a --operation" in scene.look().waits_for
        assert len(scene.state.orders) <= 1, "one rung at a time"
    assert "being tried again" in scene.look().waits_for


def test_a_persons_word_lets_it_go_on_once() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    running = scene.state.operation
    assert running is not None
    scene.vouch("a", "another")
    scene.run(2)
    scene.vouch("a", running.id)
    scene.run(20)
    assert [answer.accepted for answer in scene.state.answers] == [False, True]
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    assert "ann: because vouches that a is stopped" in scene.state.ended[-1].operation.notes
    scene.vouch("a", running.id)
    scene.run(2)
    assert [answer.accepted for answer in scene.state.answers] == [False, True, False]


def test_a_failover_by_hand_keeps_the_old_one_out() -> None:
    scene = Scene.of_a_cluster()
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(60)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}
    record = scene.state.phase_of("a", MAIL)
    assert record is not None
    assert record.cause is Cause.OPERATOR


def test_a_word_said_under_another_leader_does_not_count() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.restarted()
    scene.run(2)
    assert [answer.detail for answer in scene.state.answers] == [
        "another daemon leads since it was said: look again, and say it again"
    ]
    assert opened(scene) == []


def test_a_word_counts_whatever_the_clock_of_the_host_says_on_which_it_was_typed() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    assert scene.state.operation is not None
    word = scene.vouch("a", scene.state.operation.id)
    scene.requests = [replace(word, at=replace(word.at, boot_id="another", wall_s=word.at.wall_s - 7200))]
    scene.run(20)
    assert phases(scene) == {"a": Phase.OUT, "b": Phase.IN_SERVICE}


@pytest.mark.parametrize("silent", [True, False])
def test_a_word_is_over_when_the_helper_answers_after_another_boot(silent: bool) -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(loss=Loss.LOSSLESS, rescue_s=0)))
    scene.lag("a", "b", 3.0)
    scene.down("a", for_s=31)
    scene.facts["a"] = None if silent else facts("a")
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(5)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.run(20)
    assert [each.step for each in [scene.state.operation] if each] == [Step.RESCUE]
    scene.facts["a"] = replace(facts("a"), boot_id="another")
    scene.answers.clear()
    scene.sent.clear()
    scene.run(1)
    assert ("order-ports", "a") in [(a.kind, getattr(a, "node", "")) for a in scene.actions()]


def test_a_failover_that_waits_for_mail_goes_on_when_a_person_insists() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(loss=Loss.LOSSLESS, rescue_s=0)))
    scene.lag("a", "b", 3.0)
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("b") is Phase.STANDBY
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_a_word_against_what_everybody_sees_is_refused() -> None:
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(5)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.run(2)
    assert scene.state.answers[-1].detail == "a answers its clients: it is not stopped"
