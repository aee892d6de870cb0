"""Grace: one second for a blip, fifteen while the node itself reports a restart or an upgrade."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, Scene, facts, policy_of

from mailward.model.fencing import UnitState
from mailward.model.health import Failure, FailureKind
from mailward.model.policy import Rules
from mailward.model.snapshot import Standing
from mailward.model.state import Phase


def until_out(scene: Scene, limit_s: float, every_s: float = 0.25) -> float | None:
    """Seconds until a is out, None when it is not within `limit_s`."""
    begin = scene.now_s
    while scene.now_s - begin <= limit_s + 1e-6:
        scene.settle()
        if scene.phase("a") is Phase.OUT:
            return scene.now_s - begin
        scene.now_s += every_s
    return None


def test_a_crash_is_withdrawn_after_one_second() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps")
    assert until_out(scene, 5) == pytest.approx(1.0, abs=0.01)


def test_with_no_grace_it_is_withdrawn_at_once() -> None:
    scene = Scene.settled(policy_of(rules=Rules(restart_grace_s=0)))
    scene.down("a", "imaps")
    assert until_out(scene, 5) == 0.0


@pytest.mark.parametrize("state", [UnitState.RESTARTING, UnitState.STARTING, UnitState.STOPPING])
def test_a_restart_the_node_reports_has_fifteen_seconds(state: UnitState) -> None:
    scene = Scene.settled()
    scene.down("a", "imaps")
    scene.restarting("a", state)
    assert until_out(scene, 30) == pytest.approx(15.0, abs=0.26)


def test_the_longer_grace_lasts_though_the_node_stops_reporting_the_restart() -> None:
    """Between `stopping` and `starting` systemd may say `inactive` for a moment."""
    scene = Scene.settled()
    scene.down("a", "imaps")
    scene.restarting("a")
    scene.settle()
    scene.facts["a"] = facts("a")
    assert "the node reports a restart" in scene.finding("grace", "a").reason
    assert until_out(scene, 30) == pytest.approx(15.0, abs=0.26)


def test_a_restart_reported_after_the_crash_was_seen_still_counts() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps")
    assert until_out(scene, 0.8) is None
    scene.restarting("a")
    assert until_out(scene, 30) == pytest.approx(14.2, abs=0.26)


def test_an_upgrade_has_the_same_grace_and_is_called_so() -> None:
    scene = Scene.settled()
    scene.facts["a"] = replace(facts("a"), package_manager=True)
    scene.down("a", "imaps")
    scene.settle()
    assert "the node reports a upgrade" in scene.finding("grace", "a").reason
    assert until_out(scene, 30) == pytest.approx(15.0, abs=0.26)


def test_a_full_disk_needs_no_grace() -> None:
    scene = Scene.settled()
    scene.disk("a", 0)
    assert until_out(scene, 1) == 0.0


def test_a_service_that_answers_again_is_waited_for() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=0.9)
    scene.recovering("a", "imaps")
    assert until_out(scene, 5) is None
    assert scene.finding("grace", "a").reason == "it answers again; waiting for the verdict to turn"


def test_one_of_two_services_answering_again_is_not_enough() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=0.9)
    scene.down("a", "smtp", for_s=0.9)
    scene.recovering("a", "imaps")
    assert until_out(scene, 5) is not None


def test_the_next_failure_has_the_short_grace_again() -> None:
    scene = Scene.settled()
    scene.restarting("a")
    scene.down("a", "imaps")
    scene.run(5)
    scene.back("a")
    scene.run(1)
    assert [e.ended for e in scene.state.episodes] == ["restart"]
    scene.down("a", "imaps")
    assert until_out(scene, 30) == pytest.approx(1.0, abs=0.26)


def test_silence_moves_a_node_only_after_the_other_has_answered() -> None:
    """I7. Our own link is cut: a falls silent first, b's verdict has not turned yet."""
    scene = Scene.settled()
    scene.gone("a", for_s=3)
    last_answer = scene.now_s - 3.5
    for service in ("smtp", "submission", "imaps"):
        scene.up("b", service)
        scene.seen["b", service] = replace(scene.seen["b", service], answered_s=last_answer)
    assert until_out(scene, 5) is None
    assert scene.finding("successor", "a").reason == "b has not answered since a failed"
    for service in ("smtp", "submission", "imaps"):
        scene.seen["b", service] = replace(scene.seen["b", service], answered_s=scene.now_s)
    assert until_out(scene, 5) == 0.0


def test_a_login_that_fails_everywhere_moves_nobody() -> None:
    """The canary's password has expired: a is DOWN two seconds before b."""
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=2, kind=FailureKind.LOGIN, stage="login")
    scene.up("b", "imaps")
    failed_too = Failure(FailureKind.LOGIN, "login")
    scene.seen["b", "imaps"] = replace(scene.seen["b", "imaps"], failure=failed_too)
    assert until_out(scene, 2) is None
    scene.down("b", "imaps", kind=FailureKind.LOGIN, stage="login")
    assert until_out(scene, 60) is None


def test_a_refusal_needs_no_such_proof() -> None:
    """Something came back from a: the link carries."""
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=3, kind=FailureKind.REFUSED)
    scene.up("b", "imaps")
    scene.seen["b", "imaps"] = replace(scene.seen["b", "imaps"], answered_s=scene.now_s - 5)
    assert until_out(scene, 5) == 0.0


def test_a_failure_elsewhere_on_the_node_is_judged_by_endpoint() -> None:
    """25 is promised by no endpoint here: its loss moves nobody."""
    scene = Scene(policy_of())
    only_imap = replace(scene.policy.endpoints[0], services=("imaps",))
    scene = Scene.settled(policy_of(endpoints=[only_imap]))
    scene.down("a", "smtp", for_s=60)
    assert until_out(scene, 5) is None
    assert scene.why("a", MAIL).row_name == "in service and well"


def test_who_does_not_lead_explains_a_reported_restart_all_the_same() -> None:
    """Episodes are kept by the leader; what the node says is seen by everybody."""
    scene = Scene.settled()
    scene.standing = Standing.FOLLOWING
    scene.down("a", "imaps", for_s=5)
    scene.restarting("a")
    assert "the node reports a restart" in scene.finding("grace", "a").reason
