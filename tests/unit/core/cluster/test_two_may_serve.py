"""What is not known to be closed in a cluster: a firewall that cannot be read, and ports that root has opened
by hand. Nobody else is opened meanwhile; and it is said."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.unit.core.scene import MAIL, Scene, cluster_of, facts, until_promoting

from mailward.controller.core import decide as core
from mailward.controller.core.cases import Case
from mailward.controller.core.cluster import ladder, takeover
from mailward.model.decision import Answered
from mailward.model.fencing import FenceOutcome, PortKind
from mailward.model.orders import OrderPorts, Result
from mailward.model.policy import Automation
from mailward.model.state import Phase, RequestKind, Step

THREE = ("a", "b", "c")


def ports_of(scene: Scene) -> list[tuple[str, PortKind]]:
    orders = [action for action in scene.actions() if isinstance(action, OrderPorts)]
    return [(order.node, next(iter(order.ports.values())).kind) for order in orders]


def unread(scene: Scene, node: str) -> None:
    scene.facts[node] = replace(facts(node), applied=None)


def forced(scene: Scene, node: str) -> None:
    scene.facts[node] = replace(facts(node), forced=True, ports={})


# a firewall that cannot be read


def test_before_anybody_is_opened_who_cannot_be_read_is_closed_once_more() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.now_s += 100
    unread(scene, "c")
    scene.answers["order-ports:c"] = Result.UNKNOWN
    scene.down("a", for_s=31)
    scene.run(30)
    assert ports_of(scene)[:1] == [("c", PortKind.CLOSED)]
    assert ("b", PortKind.OPEN) not in ports_of(scene)
    assert "c is not known to be stopped" in scene.look().waits_for
    scene.answers.clear()
    scene.run(40)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_a_reading_that_fails_takes_nothing_back() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.answers["order-ports:b"] = None
    scene.ask(RequestKind.DRAIN, "b")  # nothing is repeated while that runs
    scene.now_s += 100
    unread(scene, "c")
    scene.run(1)
    situation = core._situation(scene.snapshot())
    assert "c" in ladder.to_be_stopped(situation, None, "a")
    assert "c" not in ladder.not_stopped(situation, None, "a")
    scene.facts["c"] = facts("c")
    assert "c" not in ladder.to_be_stopped(core._situation(scene.snapshot()), None, "a")
    unread(scene, "c")
    scene.run(1)
    scene.facts["c"] = None
    assert "c" not in ladder.to_be_stopped(core._situation(scene.snapshot()), None, "a")


def promoting_while_c_was_closed_long_ago(*, sent: bool) -> Scene:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.answers["order-ports:b"] = None
    scene.down("a", for_s=31)
    until_promoting(scene, "b")
    operation, record = scene.state.operation, scene.state.ports_of("c")
    assert operation is not None
    assert record is not None
    assert operation.step is Step.PROMOTE
    old = replace(record, at=replace(record.at, boot_s=scene.now_s - 100))
    others = tuple(each for each in scene.state.ports if each.node != "c")
    scene.state = replace(scene.state, ports=(*others, old))
    if not sent:
        scene.state = replace(scene.state, orders=(), operation=replace(operation, attempts=()))
    scene.sent.clear()
    return scene


def test_who_is_about_to_be_opened_waits_for_one_that_cannot_be_read_any_more() -> None:
    """The third is closed once more first, and nobody is blamed for what was never ordered."""
    scene = promoting_while_c_was_closed_long_ago(sent=False)
    unread(scene, "c")
    scene.answers.clear()
    scene.run(5)
    assert ports_of(scene)[:2] == [("c", PortKind.CLOSED), ("b", PortKind.OPEN)]
    assert scene.phase("b") is Phase.IN_SERVICE


def test_who_may_be_open_by_now_is_not_put_back_for_one_that_cannot_be_read() -> None:
    scene = promoting_while_c_was_closed_long_ago(sent=True)
    unread(scene, "c")
    scene.run(5)
    assert [each.step for each in [scene.state.operation] if each] == [Step.PROMOTE]
    assert ports_of(scene) == []


def test_who_is_open_already_is_not_closed_for_it() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.looked_at_behind = ("b",)
    scene.down("a", for_s=31)
    scene.run(2)
    assert scene.phase("b") is Phase.PROMOTING
    scene.now_s += 50
    scene.state = replace(scene.state, operation=replace(scene.state.operation, step_since=scene.now))  # type: ignore[type-var]
    for node in ("a", "c"):
        record = scene.state.ports_of(node)
        assert record is not None
        old = replace(record, at=replace(record.at, boot_s=scene.now_s - 100))
        others = tuple(each for each in scene.state.ports if each.node != node)
        scene.state = replace(scene.state, ports=(*others, old))
        unread(scene, node)
    scene.sent.clear()
    scene.run(5)
    assert [each.step for each in [scene.state.operation] if each] == [Step.CHECK]
    assert ports_of(scene) == []


def test_mail_that_was_waited_for_long_is_enough_after_one_more_closing() -> None:
    """It does not begin to wait anew again and again while the firewall cannot be read."""
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    unread(scene, "a")
    scene.run(100)
    assert [each.step for each in [scene.state.operation] if each] == [Step.CATCH_UP]
    scene.sent.clear()
    scene.lag("a", "b", 0.0)
    scene.run(5)
    closed_and_then_demoted = [("a", PortKind.CLOSED)] * 2
    assert ports_of(scene) == [*closed_and_then_demoted, ("b", PortKind.OPEN)]
    assert scene.phase("b") is Phase.IN_SERVICE


def test_a_standby_that_cannot_be_read_is_closed_once_more_before_the_one_that_serves_is_opened() -> None:
    scene = Scene.of_a_cluster()
    scene.now_s += 100
    unread(scene, "b")
    scene.facts["a"] = replace(facts("a"), applied=False, token=scene.state.helper("a").claimed)
    scene.down("a")
    scene.run(4)
    assert ports_of(scene)[:2] == [("b", PortKind.CLOSED), ("a", PortKind.OPEN)]


def test_a_switchover_waits_for_a_third_that_cannot_be_read() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    scene.now_s += 100
    unread(scene, "c")
    scene.answers["order-ports:c"] = Result.UNKNOWN
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(20)
    assert not scene.state.answers[-1].accepted
    assert "c is not known to be stopped" in scene.state.answers[-1].detail


# what root has opened by hand


def test_what_root_has_opened_is_left_so_and_said_with_what_to_type() -> None:
    scene = Scene.of_a_cluster()
    forced(scene, "b")
    scene.run(120)
    assert ports_of(scene) == []
    said = scene.finding("by-hand", "b")
    assert said.answer is Answered.NO
    assert said.reason == (
        "root has opened b by hand: two nodes may serve. On b, as root: mailward-node close"
    )
    assert said.command == "mailward-node close"


def test_nobody_else_is_promoted_while_root_has_opened_a_standby() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    forced(scene, "c")
    scene.run(1)
    scene.down("b")
    scene.down("a", for_s=31)
    scene.down("c")
    scene.run(120)
    assert ports_of(scene) == []
    scene.up("b")
    scene.run(60)
    assert ports_of(scene) == []
    assert "b waits until c is closed, which root has opened by hand" in scene.finding("heir", "a").reason


def test_the_one_that_root_has_opened_may_be_promoted() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    forced(scene, "c")
    scene.run(1)
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("c") is Phase.IN_SERVICE
    assert ("b", PortKind.OPEN) not in ports_of(scene)


def test_a_switchover_to_another_is_refused_while_root_has_opened_a_third() -> None:
    scene = Scene.of_a_cluster(cluster_of(THREE))
    forced(scene, "c")
    scene.run(1)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(2)
    assert not scene.state.answers[-1].accepted
    assert "b waits until c is closed" in scene.state.answers[-1].detail
    assert ports_of(scene) == []


def test_when_roots_word_is_over_it_is_closed_again_and_seen_to_refuse() -> None:
    scene = Scene.of_a_cluster()
    forced(scene, "b")
    scene.run(20)
    scene.facts["b"] = facts("b")
    scene.run(40)
    assert ports_of(scene) == [("b", PortKind.CLOSED)]
    assert scene.finding("by-hand", "b").answer is Answered.YES


def test_one_that_is_out_and_opened_by_hand_is_said_as_well() -> None:
    scene = Scene.of_a_cluster()
    scene.ask(RequestKind.DRAIN, "b")
    scene.run(5)
    scene.sent.clear()
    forced(scene, "b")
    scene.run(60)
    assert ports_of(scene) == []
    assert scene.finding("by-hand", "b").answer is Answered.NO


def test_who_serves_may_have_been_opened_by_hand() -> None:
    scene = Scene.of_a_cluster()
    forced(scene, "a")
    scene.run(5)
    scene.down("a", for_s=31)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE


# in a pause


@pytest.mark.parametrize("paused", [True, False])
def test_a_standby_whose_firewall_shows_something_else_is_closed_also_in_a_pause(paused: bool) -> None:
    """Found on the lab: root flushed it, and two served until the pause was over."""
    scene = Scene.of_a_cluster()
    if paused:
        scene.paused()
    scene.run(2)
    scene.sent.clear()
    scene.facts["b"] = replace(facts("b"), applied=False)
    scene.run(10)
    assert ports_of(scene) == [("b", PortKind.CLOSED)]


def test_who_was_vouched_for_by_mistake_is_closed_also_in_a_pause() -> None:
    scene = Scene.of_a_cluster(cluster_of(rungs=()))
    scene.facts["a"] = None
    scene.down("a", for_s=31)
    scene.run(70)
    assert scene.state.operation is not None
    scene.paused()
    scene.vouch("a", scene.state.operation.id)
    scene.run(30)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.sent.clear()
    scene.back("a")
    scene.run(10)
    assert ports_of(scene)[:1] == [("a", PortKind.CLOSED)]


def test_in_a_pause_nobody_is_opened_but_who_serves() -> None:
    scene = Scene.of_a_cluster()
    scene.paused()
    scene.run(2)
    scene.sent.clear()
    scene.facts["a"] = replace(facts("a"), forced=True)
    scene.run(10)
    assert ports_of(scene) == []


def standby_that_answers(scene: Scene) -> None:
    """Since its closing is not confirmed, it is looked at as clients would."""
    record = scene.state.ports_of("b")
    assert record is not None
    others = tuple(each for each in scene.state.ports if each.node != "b")
    ports = (*others, replace(record, fence=FenceOutcome.UNKNOWN))
    scene.state = replace(scene.state, ports=ports)
    scene.looked_at_behind = ()


def closed_but_for_its_peers(scene: Scene) -> None:
    standby_that_answers(scene)
    scene.down("b", "imaps")


def only_observed(scene: Scene) -> None:
    standby_that_answers(scene)
    scene.policy = replace(scene.policy, automation=Automation.OBSERVE)


def beside_nobody(scene: Scene) -> None:
    standby_that_answers(scene)
    phases = tuple(replace(each, phase=Phase.STANDBY) for each in scene.state.phases)
    scene.state = replace(scene.state, phases=phases)


@pytest.mark.parametrize(
    ("change", "answers"),
    [
        (lambda _scene: None, False), (standby_that_answers, True), (closed_but_for_its_peers, False),
        (only_observed, False), (beside_nobody, False),
    ],
    ids=["closed", "open", "port 25 for its peers", "only observed", "nobody serves"],
)  # fmt: skip
def test_who_answers_clients_beside_who_serves_is_told(
    change: Callable[[Scene], None], answers: bool
) -> None:
    scene = Scene.of_a_cluster()
    scene.looked_at_behind = ("b",)
    change(scene)
    situation = core._situation(scene.snapshot())
    found = takeover.refuses_clients(Case(situation, "b", scene.policy.endpoint_by_name[MAIL]))
    assert (found.answer is Answered.NO) is answers
