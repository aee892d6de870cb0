"""Who serves and is closed all the same, as since its boot, is opened again rather than taken over; so is the
old one where nobody else can serve."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import (
    STORE,
    Scene,
    facts,
    opened,
    phases,
    published,
)

from mailward.model.fencing import PortKind
from mailward.model.orders import OrderPorts, Result
from mailward.model.state import Ending, Kind, Phase, State
from mailward.model.token import Token


def test_who_serves_again_before_it_was_stopped_keeps_serving() -> None:
    scene = Scene.of_a_cluster()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(20)
    scene.answers.clear()
    scene.back("a")
    scene.sent.clear()
    scene.run(60)
    assert phases(scene) == {"a": Phase.IN_SERVICE, "b": Phase.STANDBY}
    orders = [action.node for action in scene.actions() if isinstance(action, OrderPorts)]
    assert orders == opened(scene) == ["a"]  # what was sent may yet close it: a higher token opens it again
    assert [e.ending for e in scene.state.ended if e.operation.kind is Kind.FAILOVER] == [Ending.ROLLED_BACK]


def test_where_nobody_else_can_be_the_old_one_is_opened_again() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.answers["order-ports:b"] = Result.FAILED
    scene.run(30)
    scene.back("a")
    scene.answers["order-ports:b"] = Result.DONE
    scene.down("b")
    scene.run(200)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_who_is_closed_when_it_is_said_to_serve_is_opened_and_not_taken_over() -> None:
    """As after `state init --active`: clients have found it closed for long, and nobody has tried it yet."""
    scene = Scene.of_a_cluster()
    scene.state = State(STORE, 0, phases=scene.state.phases)
    scene.state = replace(scene.state, phases=tuple(replace(r, since=scene.now) for r in scene.state.phases))
    scene.epoch += 1
    scene.down("a", for_s=300)
    scene.facts["a"] = replace(facts("a"), applied=False, token=Token(STORE, 1, 1))
    scene.run(20)
    assert scene.finding("takeover", "a").reason == "its client ports are closed by us, and are being opened"
    assert opened(scene)[:1] == ["a"]
    scene.run(60)
    assert scene.phase("b") is Phase.IN_SERVICE  # it does not serve all the same


@pytest.mark.parametrize("helper", ["obeys", "fails"])
def test_who_closed_by_itself_is_opened_before_it_is_taken_over(helper: str) -> None:
    """As after a reboot that took longer than a takeover waits, with nobody to act meanwhile."""
    scene = Scene.of_a_cluster()
    scene.run(300)
    if helper == "fails":
        scene.answers["order-ports:a"] = Result.FAILED
    scene.down("a", for_s=60)
    scene.facts["a"] = replace(facts("a"), applied=False, token=scene.state.helper("a").claimed)
    scene.step()
    assert scene.state.operation is not None
    assert scene.state.operation.kind is Kind.RECONCILE
    scene.step()
    if helper == "obeys":
        scene.back("a")
        scene.facts["a"] = replace(facts("a"), token=scene.state.helper("a").sent.newest)
    scene.run(60)
    assert (scene.phase("a") is Phase.IN_SERVICE) is (helper == "obeys")


def tried(scene: Scene, at_s: float) -> None:
    """Its services were last tried then, in vain."""
    for service in scene.policy.services:
        seen = scene.seen["a", service.name]
        scene.seen["a", service.name] = replace(seen, answered_s=at_s)


@pytest.mark.parametrize("then", ["it does not answer", "nobody tries it"])
def test_who_was_just_opened_again_is_tried_before_it_is_taken_over(then: str) -> None:
    """After a reboot: that clients found it closed for so long is of before."""
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    tried(scene, scene.now_s)
    scene.facts["a"] = replace(facts("a"), applied=False, token=scene.state.helper("a").claimed)
    scene.run(2)
    assert opened(scene) == ["a"]
    scene.facts["a"] = replace(facts("a"), token=scene.state.helper("a").claimed)
    scene.run(20)
    assert "nobody has tried them yet" in scene.finding("takeover", "a").reason
    assert (scene.phase("a"), scene.phase("b")) == (Phase.IN_SERVICE, Phase.STANDBY)
    if then == "it does not answer":
        tried(scene, scene.now_s)
        scene.run(2)
        assert scene.phase("a") is not Phase.IN_SERVICE
    scene.run(60)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_who_is_promoted_and_reboots_before_it_is_published_is_opened_again_first() -> None:
    scene = Scene.of_a_cluster()
    scene.answers["publish"] = Result.FAILED
    scene.down("a", for_s=31)
    scene.run(5)
    assert scene.phase("b") is Phase.IN_SERVICE
    scene.down("b")
    scene.facts["b"] = replace(facts("b"), applied=False)
    scene.answers.clear()
    scene.sent.clear()
    scene.step()
    assert published(scene) == []
    scene.settle()
    scene.facts["b"] = facts("b")
    scene.run(2)
    assert opened(scene) == ["b"]
    assert published(scene) == []
    scene.back("b", for_s=5)
    scene.run(5)
    assert published(scene) == [("192.0.2.11",)]


def test_who_is_said_to_serve_is_opened_when_the_others_are_closed() -> None:
    """Right after `state init --active`, with a store of its own and closed ports from before."""
    scene = Scene.of_a_cluster()
    scene.state = State(STORE, 0, phases=scene.state.phases)
    scene.epoch += 1
    scene.facts["a"] = replace(facts("a"), applied=False, token=Token(STORE, 1, 1))
    scene.run(20)
    orders = [
        (a.node, next(iter(a.ports.values())).kind) for a in scene.actions() if isinstance(a, OrderPorts)
    ]
    assert orders[:2] == [("b", PortKind.CLOSED), ("a", PortKind.OPEN)]


def test_the_active_that_reboots_is_opened_though_a_standby_is_catching_up_and_in_a_pause() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.run(20)
    scene.lag("a", "b", None)
    scene.back("a", for_s=60)
    scene.run(5)
    assert [each.kind for each in [scene.state.operation] if each] == [Kind.READMIT]
    scene.paused()
    scene.down("b")
    scene.facts["b"] = replace(facts("b"), applied=False, token=scene.state.helper("b").claimed)
    scene.sent.clear()
    scene.run(3)
    assert opened(scene)[:1] == ["b"]
