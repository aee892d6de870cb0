"""Episodes: what a failure turned out to be, and what acting would have done."""

from dataclasses import replace

from tests.unit.core.scene import MAIL, Scene, cluster_of, facts, policy_of

from mailward.controller.core import bounds
from mailward.model.fencing import UnitState
from mailward.model.policy import Automation
from mailward.model.snapshot import Standing
from mailward.model.state import Phase, RequestKind


def observing() -> Scene:
    return Scene.settled(policy_of(automation=Automation.OBSERVE))


def test_an_observer_sends_nothing_and_says_once_what_it_would_have_done() -> None:
    scene = observing()
    scene.down("a", "imaps")
    scene.run(30)
    assert scene.sent == []
    (said,) = set(scene.notices)
    assert said == (
        "observing only; would have started a failover of a for mail.example.test (row 110): "
        "imaps DOWN: refused at connect"
    )
    assert scene.state.tallies == {"would-have-failed-over": 1}
    (episode,) = scene.state.episodes
    assert episode.would == "failover of a for mail.example.test (row 110)"
    scene.up("a")
    scene.run(1)
    assert scene.state.tallies == {"ended-as-outage": 1, "would-have-failed-over": 1}
    assert scene.state.episodes[0].lasted_s == 30


def test_a_cluster_that_only_observes_says_so_though_it_has_claimed_nobody() -> None:
    scene = Scene(cluster_of(automation=Automation.OBSERVE))
    scene.state = replace(Scene.of_a_cluster().state, ports=(), targets=(), helpers=(), ended=())
    scene.down("a", for_s=31)
    scene.run(2)
    assert scene.actions() == []
    assert scene.state.tallies == {"would-have-failed-over": 1}
    scene.facts["a"] = None
    assert scene.holding("a") == ["automation", "obeyed", "claimed"]


def test_beside_a_mail_node_without_a_quorum_it_observes_and_refuses_whatever_is_configured() -> None:
    scene = Scene(policy_of())
    scene.standing, scene.may_act_until_s = Standing.OBSERVING_ONLY, float("-inf")
    scene.run(2)
    assert [scene.phase(n) for n in "ab"] == [Phase.IN_SERVICE] * 2
    scene.down("a", "imaps")
    scene.run(30)
    assert scene.sent == []
    assert scene.state.tallies == {"would-have-failed-over": 1}
    assert scene.finding("automation", "a").reason.startswith("this controller only observes")


def test_a_failure_within_the_grace_was_a_blip() -> None:
    scene = observing()
    scene.down("a", "imaps")
    scene.run(0.8, every_s=0.1)
    scene.up("a")
    scene.run(1)
    assert scene.state.tallies == {"ended-as-blip": 1}


def test_a_restart_and_an_upgrade_are_told_apart() -> None:
    scene = observing()
    scene.restarting("a", UnitState.STOPPING)
    scene.down("a", "imaps")
    scene.run(5)
    scene.back("a")
    scene.run(1)
    upgrading = facts("b")
    scene.restarting("b")
    scene.down("b", "imaps")
    scene.run(1)
    object.__setattr__(upgrading, "package_manager", True)
    scene.facts["b"] = upgrading
    scene.run(1)
    scene.restarting("b")
    scene.run(1)
    scene.back("b")
    scene.run(1)
    assert scene.state.tallies == {"ended-as-restart": 1, "ended-as-upgrade": 1}


def test_not_knowing_ends_no_episode() -> None:
    scene = observing()
    scene.down("a", "imaps")
    scene.run(3)
    scene.unknown("a", "imaps")
    scene.run(3)
    assert [e.ended for e in scene.state.episodes] == [""]


def test_gates_that_hold_are_respected_while_only_observing() -> None:
    scene = observing()
    for node in ("a", "b"):
        scene.down(node, "imaps")
    scene.run(10)
    assert scene.state.tallies == {}
    scene.up("a")
    scene.up("b")
    scene.run(1)
    assert scene.state.tallies == {"ended-as-blip": 2}
    scene.paused()
    scene.down("a", "imaps")
    scene.run(10)
    scene.up("a")
    scene.run(1)
    assert scene.state.tallies == {"ended-as-blip": 3}


def test_a_withdrawal_ends_its_episode() -> None:
    scene = Scene.settled()
    scene.down("a", "imaps")
    scene.run(5)
    assert scene.state.tallies == {"ended-as-withdrawn": 1}
    assert scene.state.episodes[0].would == ""


def test_a_request_is_carried_out_while_only_observing() -> None:
    scene = observing()
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(3)
    assert [order.action.kind for order in scene.sent][-3:] == ["publish", "order-ports", "verify"]
    scene.up("a", for_s=100)
    scene.run(60)
    assert scene.phase("a", MAIL) == "out"


def test_episodes_are_bounded() -> None:
    scene = observing()
    for _ in range(bounds.EPISODES + 5):
        scene.down("a", "imaps")
        scene.settle()
        scene.up("a")
        scene.settle()
        scene.now_s += 1
    assert len(scene.state.episodes) == bounds.EPISODES
    assert scene.state.tallies == {"ended-as-blip": bounds.EPISODES + 5}
