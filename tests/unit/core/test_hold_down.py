"""I13: who flaps stays out longer each time, from the end of the operation; another cause is not bound."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, Scene, policy_of

from mailward.model.decision import Answered
from mailward.model.policy import Rules
from mailward.model.state import Cause, Ending, Flap, Kind, Phase, RequestKind

RULES = Rules(stable_s=1.0, hold_down_s=30.0, hold_down_max_s=200.0)


def out_after(scene: Scene) -> None:
    scene.down("a", "imaps", for_s=5)
    scene.run(2)
    assert scene.phase("a") is Phase.OUT


def back_after(scene: Scene, limit_s: float = 300) -> float:
    """Seconds from the node's recovery to its readmission."""
    scene.up("a")
    begin = scene.now_s
    while scene.phase("a") is not Phase.IN_SERVICE:
        assert scene.now_s - begin < limit_s
        scene.run(2, every_s=2)
    return scene.now_s - begin


def test_each_flap_doubles_the_wait_up_to_its_limit() -> None:
    scene = Scene.settled(policy_of(rules=replace(RULES, failovers_per_hour=100)))
    waits = []
    for _ in range(5):
        out_after(scene)
        waits.append(back_after(scene))
    assert waits == pytest.approx([1, 28, 58, 118, 198], abs=3)


def test_it_is_counted_from_the_operations_completion() -> None:
    scene = Scene.settled(policy_of(rules=RULES))
    scene.answers["verify"] = None
    scene.down("a", "imaps", for_s=5)
    scene.run(20)
    assert not scene.state.flaps
    scene.answers.clear()
    scene.run(30)
    assert [(f.cause, f.count) for f in scene.state.flaps] == [(Cause.SERVICE, 1)]
    assert scene.state.flaps[0].last == scene.state.ended[-1].at


def test_another_cause_is_not_bound() -> None:
    scene = Scene.settled(policy_of(rules=RULES))
    for _ in range(3):
        out_after(scene)
        back_after(scene)
    scene.disk("a", 0)
    scene.run(2)
    assert scene.phase("a") is Phase.OUT
    scene.back("a")
    assert back_after(scene) <= 3


def test_an_operators_word_is_no_flap() -> None:
    scene = Scene.settled(policy_of(rules=RULES))
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(3)
    assert scene.phase("a") is Phase.OUT
    assert not scene.state.flaps


def test_what_is_long_ago_is_forgotten() -> None:
    scene = Scene.settled(policy_of(rules=replace(RULES, flap_memory_s=600)))
    for _ in range(3):
        out_after(scene)
        back_after(scene)
    scene.run(601, every_s=100)
    out_after(scene)
    assert [f.count for f in scene.state.flaps] == [1]


def test_a_readmission_put_out_again_is_a_flap() -> None:
    """A firewall we do not know of closes the port from outside: not every half minute, for ever."""
    scene = Scene.settled(policy_of(rules=RULES))
    out_after(scene)
    scene.looked_at_behind = ("a",)
    for expected in (2, 3, 4):
        scene.back("a", for_s=60)
        while scene.phase("a") is not Phase.PROMOTING:
            scene.run(1, every_s=1)
        scene.down("a", "imaps")
        scene.run(8)
        assert scene.phase("a") is Phase.OUT
        readmission = [e for e in scene.state.ended if e.operation.kind is Kind.READMIT][-1]
        assert readmission.ending is Ending.ROLLED_BACK
        assert [f.count for f in scene.state.flaps] == [expected]


def test_nobody_waits_for_hold_down_when_nobody_else_serves() -> None:
    """I12, last resort."""
    scene = Scene.settled(policy_of(rules=RULES))
    out_after(scene)
    scene.state = replace(scene.state, flaps=(Flap("a", Cause.SERVICE, 20, scene.now),))
    scene.up("a", for_s=10)
    assert scene.finding("hold-down", "a").answer is Answered.NO
    scene.gone("b", for_s=5)
    assert scene.finding("hold-down", "a").reason.startswith("LAST RESORT")
    scene.run(15)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_a_count_without_end_is_still_a_number() -> None:
    """2 to the power of a thousand is no float."""
    scene = Scene.settled(policy_of(rules=RULES))
    out_after(scene)
    scene.state = replace(scene.state, flaps=(Flap("a", Cause.SERVICE, 5000, scene.now),))
    assert "200 s needed" in scene.finding("hold-down", "a", MAIL).reason


def test_another_host_s_wall_clock_forgets_neither_failovers_nor_flaps() -> None:
    """Found by simulation: a leader whose clock was an hour ahead took three for one an hour."""
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(5)
    scene.restarted()
    scene.boot_id, scene.now_s = "another host", scene.now_s - 50_000.0
    scene.ahead_s = 7200.0
    scene.run(1)
    (fenced,) = scene.state.fenced_at
    (flap,) = scene.state.flaps
    assert fenced.age_s(scene.now) < 10
    assert flap.last.age_s(scene.now) < 10


def test_what_the_next_leader_has_seen_pass_counts() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps", for_s=5)
    scene.run(5)
    scene.restarted()
    scene.boot_id = "another host"
    scene.unchanged_s = 500.0
    scene.step()
    (flap,) = scene.state.flaps
    assert 500 <= flap.last.age_s(scene.now) < 510
