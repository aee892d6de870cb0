"""Failback: service goes back by itself to the node that is preferred, when nothing forbids it: it was moved
by a failover of mailward's own, that node is fit for long and lacks nothing, nobody has failed lately, and it
was not tried within a day."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import Scene, cluster_of

from mailward.controller.core.decide import who_may_go_back
from mailward.model.clock import Moment
from mailward.model.decision import Answered
from mailward.model.orders import Result
from mailward.model.policy import Automation, Failback, Policy, Rules, Window
from mailward.model.replication import Confidence, Lag
from mailward.model.snapshot import Standing
from mailward.model.state import Cause, Ending, Flap, Homing, Kind, Phase, RequestKind, Step

AFTER_S = 600.0


def preferring(
    mode: Failback = Failback.AUTO, names: tuple[str, ...] = ("a", "b"), window: Window | None = None,
    automation: Automation = Automation.ACT, **more: float,
) -> Policy:  # fmt: skip
    """The first is preferred."""
    rules = Rules(failback=mode, failback_window=window, failback_after_s=AFTER_S, **more)  # type: ignore[arg-type]
    policy = cluster_of(names, rules=rules, automation=automation)
    first, *others = policy.nodes
    return replace(policy, nodes=(replace(first, priority=10), *others))


def failed_over(policy: Policy | None = None) -> Scene:
    """`a` has failed, `b` was promoted, and `a` is about to stand by again."""
    scene = Scene.of_a_cluster(policy or preferring())
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.back("a")
    scene.run(60)
    assert scene.phase("a") is Phase.STANDBY
    return scene


def goes_back(scene: Scene, within_s: float = 4 * AFTER_S) -> bool:
    scene.run(within_s, every_s=5)
    return scene.phase("a") is Phase.IN_SERVICE


def why_not(scene: Scene) -> str:
    found = scene.finding("failback", "a")
    assert found.answer is Answered.NO
    return found.reason


def test_it_goes_back_when_the_preferred_node_was_fit_for_long() -> None:
    scene = failed_over()
    since = scene.state.homing.since
    assert since is not None
    scene.run(AFTER_S - since.age_s(scene.now) - 5)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert why_not(scene) == "a is fit for 595 s, 600 s needed"
    assert goes_back(scene, 60)
    ended = scene.state.ended[-1]
    assert (ended.operation.kind, ended.ending) == (Kind.SWITCHOVER, Ending.DONE)
    assert (ended.operation.cause, ended.operation.request) == (Cause.NONE, None)
    assert ended.operation.reason == "failback: a is preferred, and fit to serve again"
    assert scene.phase("b") is Phase.STANDBY


@pytest.mark.parametrize("mode", [Failback.NEVER, Failback.MANUAL])
def test_by_default_nothing_moves_back_by_itself(mode: Failback) -> None:
    scene = failed_over(preferring(mode))
    assert not goes_back(scene)
    assert all(f.gate != "failback" for f in scene.why("a").findings)
    assert who_may_go_back(scene.snapshot()) == (("a", "") if mode is Failback.MANUAL else ("", ""))
    assert Rules().failback is Failback.MANUAL


def test_where_all_have_one_priority_nobody_is_preferred() -> None:
    scene = failed_over(cluster_of(rules=Rules(failback=Failback.AUTO, failback_after_s=AFTER_S)))
    assert not goes_back(scene)
    assert who_may_go_back(scene.snapshot()) == ("", "")


def test_what_a_person_has_moved_stays_where_it_was_put() -> None:
    scene = Scene.of_a_cluster(preferring())
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(30)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert not goes_back(scene)
    assert why_not(scene) == "b does not serve by a failover of mailward's own: it stays until you move it"


@pytest.mark.parametrize("to", ["b", "c"])
def test_it_stays_also_where_the_old_node_has_failed_meanwhile(to: str) -> None:
    """Where it went elsewhere than a person asked for, it was a failover's own choice."""
    scene = Scene.of_a_cluster(preferring(names=("a", "b", "c")))
    for node in ("b", "c"):
        scene.lag("a", node, 3.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(4)
    assert scene.state.operation is not None
    scene.down("a", for_s=31)
    scene.run(3)
    if to == "c":
        scene.down("b")
    scene.lag("a", to, 0.0)
    scene.run(30)
    kinds = [each.operation.kind for each in scene.state.ended][-2:]
    assert (kinds, scene.phase(to)) == ([Kind.SWITCHOVER, Kind.FAILOVER], Phase.IN_SERVICE)
    scene.back("a")
    scene.up("b")
    assert goes_back(scene) is (to == "c")


@pytest.mark.parametrize("to", ["b", "c"])
def test_it_stays_also_where_that_failover_is_handed_over_first(to: str) -> None:
    """Nobody can take over when the source fails, and somebody comes back: that comes first."""
    scene = Scene.of_a_cluster(preferring(names=("a", "b", "c")))
    out = tuple(
        replace(r, phase=Phase.OUT, cause=Cause.SERVICE) if r.node == "c" else r for r in scene.state.phases
    )
    scene.state = replace(scene.state, phases=out)
    scene.down("c")
    scene.lag("a", "b", 3.0)
    scene.lag("a", "c", None)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(4)
    for node in ("a", "b"):
        scene.down(node, for_s=31)
    scene.run(3)
    scene.up("c")
    scene.run(120)
    endings = [(each.operation.kind, each.ending) for each in scene.state.ended]
    assert (Kind.FAILOVER, Ending.HANDED_OVER) in endings
    scene.up(to)
    scene.lag("a", to, 0.0)
    scene.run(60)
    assert scene.phase(to) is Phase.IN_SERVICE
    assert scene.state.homing.moved_to == ("" if to == "b" else to)
    scene.back("a")
    scene.run(60)
    assert scene.phase("a") is Phase.STANDBY  # it has failed, and nobody has taken it out


def test_a_person_who_moves_it_on_after_a_failover_has_the_last_word() -> None:
    scene = failed_over(preferring(names=("a", "b", "c")))
    scene.ask(RequestKind.SWITCHOVER, "c")
    scene.run(30)
    assert scene.phase("c") is Phase.IN_SERVICE
    assert not goes_back(scene)


def test_who_was_taken_out_by_hand_does_not_come_back() -> None:
    scene = failed_over()
    scene.ask(RequestKind.DRAIN, "a")
    assert not goes_back(scene)


def test_one_that_ails_again_begins_to_count_anew() -> None:
    scene = failed_over()
    scene.run(AFTER_S - 120, every_s=5)
    scene.unknown("a")
    scene.run(5)
    assert scene.state.homing.fit == ""
    scene.up("a")
    scene.run(AFTER_S - 20, every_s=5)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert why_not(scene).startswith("a is fit for 5")
    assert goes_back(scene, 60)


def test_replication_that_stops_for_a_while_counts_as_well_as_a_failure() -> None:
    scene = failed_over()
    scene.run(AFTER_S - 120, every_s=5)
    scene.lag("b", "a", None)
    scene.run(5)
    assert why_not(scene) == "a may lack mail of b, and nobody knows how much"
    scene.lags["b", "a"] = Lag("b", "a", Confidence.STALE, 0.0, 0, 0)
    assert why_not(scene) == "nobody knows how far a is behind b by now"
    scene.lag("b", "a", 60.0)
    assert why_not(scene) == "a is behind b by 60 s"
    scene.run(5)
    scene.lag("b", "a", 0.0)
    scene.run(AFTER_S - 60, every_s=5)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_it_begins_when_nothing_is_lacking() -> None:
    scene = failed_over()
    scene.lag("b", "a", 2.0)
    assert not goes_back(scene, 2 * AFTER_S)
    assert why_not(scene) == "a is behind b by 2 s just now, and has to have all"
    scene.lag("b", "a", 0.0)
    assert goes_back(scene, 60)


def test_who_flaps_is_not_trusted_before_that_is_forgotten() -> None:
    scene = failed_over(preferring(flap_memory_s=7200))
    flap = replace(scene.state.flaps[-1], count=2)
    assert flap.node == "a"
    scene.state = replace(scene.state, flaps=(flap, Flap("b", Cause.DISK, 9, flap.last)))
    assert not goes_back(scene, 2 * AFTER_S)
    assert why_not(scene) == "a has left service 2 times lately"
    assert goes_back(scene, 7200)


def test_any_failover_lately_is_waited_for() -> None:
    """Also one that has ended where it began."""
    scene = failed_over()
    scene.run(AFTER_S - 120, every_s=5)
    scene.down("b", for_s=31)
    scene.hooks["promote:a"] = Result.FAILED
    scene.run(40)
    scene.up("b")
    scene.run(100)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.hooks.clear()
    scene.state = replace(scene.state, flaps=())
    scene.run(AFTER_S / 2, every_s=5)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert goes_back(scene, AFTER_S)


def test_while_a_failover_runs_nobody_is_fit_whoever_stands_by() -> None:
    """As one that went back to the node it came from, and cannot be published for long."""
    scene = failed_over()
    scene.lag("b", "a", 2.0)
    scene.answers["publish"] = Result.FAILED
    scene.down("b", for_s=31)
    scene.run(1)
    assert scene.phase("b") is Phase.DEMOTING
    scene.lag("b", "a", 0.0)
    scene.up("b")
    for _ in range(100):
        scene.run(0.5)
        if scene.phase("b") is Phase.IN_SERVICE:
            break
    scene.run(5)
    running = scene.state.operation
    assert running is not None
    assert (running.kind, running.step, scene.phase("a")) == (Kind.FAILOVER, Step.PUBLISH, Phase.STANDBY)
    assert scene.state.homing.fit == ""
    scene.answers.clear()
    scene.run(30)
    assert (scene.state.operation, scene.state.homing.fit) == (None, "a")


@pytest.mark.parametrize("then", ["failed", "failed-over"])
def test_once_it_has_failed_or_was_undone_it_is_not_tried_for_a_day(then: str) -> None:
    scene = failed_over()
    if then == "failed":
        scene.hooks["promote:a"] = Result.FAILED
        scene.run(AFTER_S + 200, every_s=5)
        tries = [e.ending for e in scene.state.ended if e.operation.kind is Kind.SWITCHOVER]
        assert tries == [Ending.ROLLED_BACK]
        assert scene.state.homing.moved_to == "b", "it may go back another day"
        scene.hooks.clear()
    else:
        assert goes_back(scene)
        scene.down("a", for_s=31)
        scene.run(20)
        scene.back("a")
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.run(60, every_s=5)
    tried = scene.state.homing.tried
    assert tried is not None
    scene.state = replace(scene.state, flaps=())
    scene.run(20 * 3600, every_s=300)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert why_not(scene).startswith("tried 2")
    assert goes_back(scene, 5 * 3600)


def test_it_is_rolled_back_as_any_switchover_and_never_serves_at_two() -> None:
    scene = failed_over()
    scene.run(AFTER_S - 90, every_s=5)
    scene.hooks["demote"] = Result.FAILED
    scene.run(200)
    ended = scene.state.ended[-1]
    assert (ended.operation.kind, ended.ending) == (Kind.SWITCHOVER, Ending.ROLLED_BACK)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_a_failover_pre_empts_it() -> None:
    scene = failed_over()
    scene.run(AFTER_S - 90, every_s=5)
    scene.answers["order-ports:b"] = None
    while scene.state.operation is None:
        scene.run(1)
    assert scene.state.operation.kind is Kind.SWITCHOVER
    scene.answers.clear()
    scene.down("b", for_s=31)
    scene.run(60)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_never_while_paused_or_only_observing_or_against_what_runs() -> None:
    scene = failed_over()
    scene.paused(10**6)
    assert not goes_back(scene)
    assert why_not(scene).startswith("pause: paused by ann")
    scene.pause = None
    scene.policy = replace(scene.policy, automation=Automation.OBSERVE)
    scene.run(600, every_s=5)
    assert why_not(scene).startswith("automation: only observing")
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.policy = replace(scene.policy, automation=Automation.ACT)
    scene.standing = Standing.FOLLOWING
    assert not goes_back(scene, 600)


def test_who_leads_from_another_host_counts_anew() -> None:
    scene = failed_over()
    scene.run(AFTER_S - 90, every_s=5)
    scene.boot_id = "boot-2"
    scene.ahead_s = 7200.0
    scene.restarted()
    scene.run(AFTER_S - 60, every_s=5)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert goes_back(scene, 120)


def test_a_switchover_by_hand_goes_back_at_once() -> None:
    scene = failed_over(preferring(Failback.MANUAL))
    scene.ask(RequestKind.SWITCHOVER, "a")
    scene.run(30)
    assert scene.phase("a") is Phase.IN_SERVICE
    assert scene.state.homing == Homing()


# in a window


def daily(from_h: float, until_h: float, *offsets: tuple[float, float]) -> Window:
    return Window("by night", from_h * 3600, until_h * 3600, offsets or ((0.0, 0.0),))


def test_in_its_window_and_no_earlier() -> None:
    scene = Scene.of_a_cluster(preferring(Failback.WINDOW))
    hour = scene.now.wall_s % 86400 / 3600 + 2
    scene = failed_over(preferring(Failback.WINDOW, window=daily(hour, hour + 1)))
    scene.run(1.9 * 3600, every_s=20)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert why_not(scene) == "it waits for by night"
    assert goes_back(scene, 600)
    assert daily(hour, hour + 1).holds(scene.now.wall_s)


def test_without_a_window_it_waits_for_ever() -> None:
    scene = failed_over(preferring(Failback.WINDOW))
    assert not goes_back(scene)
    assert why_not(scene) == "it waits for a window, and none is configured"


@pytest.mark.parametrize(
    ("window", "hour", "holds"),
    [
        (daily(2, 4), 2.0, True),
        (daily(2, 4), 3.99, True),
        (daily(2, 4), 4.0, False),
        (daily(2, 4), 1.99, False),
        (daily(22, 2), 23.0, True),
        (daily(22, 2), 1.0, True),
        (daily(22, 2), 2.0, False),
        (daily(22, 0), 23.5, True),
        (daily(22, 0), 0.0, False),
        (daily(2, 4, (0.0, 3600.0)), 1.0, True),
        (daily(2, 4, (0.0, 3600.0), (86400.0 * 10, 7200.0)), 1.0, True),
        (daily(2, 4, (0.0, 3600.0), (86400.0 * 5, 7200.0)), 0.5, True),
        (daily(2, 4, (86400.0 * 9, 7200.0), (86400.0 * 10, 3600.0)), 0.5, True),
    ],
)
def test_windows_of_a_day(window: Window, hour: float, holds: bool) -> None:
    assert window.holds(86400.0 * 7 + hour * 3600) is holds


def test_the_best_of_those_preferred_is_gone_back_to() -> None:
    policy = preferring(names=("a", "b", "c"))
    nodes = (*policy.nodes[:2], replace(policy.nodes[2], priority=10))
    scene = Scene.of_a_cluster(replace(policy, nodes=nodes))
    scene.down("c")
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.back("c")
    scene.run(2 * AFTER_S, every_s=5)
    assert scene.phase("c") is Phase.IN_SERVICE


def test_what_is_recorded_is_put_aside_when_nobody_may_go_back() -> None:
    scene = failed_over()
    scene.run(5)
    assert scene.state.homing.fit == "a"
    scene.policy = preferring(Failback.MANUAL)
    scene.run(5)
    assert (scene.state.homing.fit, scene.state.homing.since) == ("", None)
    assert scene.state.homing.moved_to == "b"
    assert isinstance(scene.now, Moment)
