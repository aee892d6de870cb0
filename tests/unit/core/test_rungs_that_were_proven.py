"""That a rung works is recorded by whoever leads: it outlives the daemon that tried it, and the leader."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import Scene, cluster_of

from mailward.controller.codec import STATE
from mailward.controller.core.decide import waiting
from mailward.model.clock import Moment
from mailward.model.orders import Result
from mailward.model.policy import Observer, RungKind
from mailward.model.snapshot import Standing
from mailward.model.state import Proven, Request, RequestKind

THEN = Moment("another host", 5.0, 1_699_000_000.0)
LATER = Moment("another host", 9.0, 1_699_000_004.0)


def a_cluster() -> Scene:
    observers = (Observer("watch", "graz"), Observer("witness", "linz"), Observer("third", "wels"))
    return Scene.of_a_cluster(cluster_of(rungs=(RungKind.HELPER, RungKind.AGENT), observers=observers))


def tried(scene: Scene, *rungs: str, node: str = "a", observer: str = "watch", at: Moment = THEN) -> Request:
    proven = tuple(Proven(node, rung, observer, at) for rung in rungs)
    name = f"p{len(scene.requests)}-{at.boot_s:g}-{observer}-{node}"
    request = Request(name, RequestKind.PROVEN, node, "ann", "tried", scene.now, proven=proven)
    scene.requests.append(request)
    return request


def said(scene: Scene, request: Request) -> tuple[bool, str]:
    return next((each.accepted, each.detail) for each in scene.state.answers if each.request == request.id)


def test_what_worked_is_recorded_by_node_rung_and_observer() -> None:
    scene = a_cluster()
    first, second = tried(scene, "agent", "helper"), tried(scene, "helper", node="b", observer="witness")
    scene.step()
    assert scene.state.proven == (
        Proven("a", "agent", "watch", THEN), Proven("a", "helper", "watch", THEN),
        Proven("b", "helper", "witness", THEN),
    )  # fmt: skip
    assert said(scene, first) == said(scene, second) == (True, "recorded")
    assert scene.state.operation is None


def test_the_newest_of_each_is_kept() -> None:
    scene = a_cluster()
    tried(scene, "helper", "agent")
    scene.step()
    tried(scene, "helper", at=LATER)
    scene.step()
    assert [(each.rung, each.at) for each in scene.state.proven] == [("agent", THEN), ("helper", LATER)]


@pytest.mark.parametrize(
    ("rung", "node", "observer"), [("helper", "c", "watch"), ("lease", "a", "watch"), ("helper", "a", "who")]
)
def test_what_is_not_configured_is_not_kept(rung: str, node: str, observer: str) -> None:
    """Or whoever may leave a request could fill up what is recorded."""
    scene = a_cluster()
    proven = (Proven(node, rung, observer, THEN), Proven("a", "helper", "third", THEN))
    scene.requests.append(Request("p", RequestKind.PROVEN, "a", "ann", "", scene.now, proven=proven))
    scene.step()
    assert scene.state.proven == proven[1:]


def test_what_was_proven_of_a_node_that_has_gone_is_forgotten_with_the_next() -> None:
    scene = a_cluster()
    scene.state = replace(scene.state, proven=(Proven("gone", "helper", "watch", THEN),))
    tried(scene, "helper")
    scene.step()
    assert [each.node for each in scene.state.proven] == ["a"]


def test_it_outlives_the_leader_and_is_kept_by_one_that_knows_no_such_rung() -> None:
    scene = a_cluster()
    tried(scene, "helper")
    scene.step()
    scene.state = replace(scene.state, epoch=scene.state.epoch + 1, epoch_since=None, seq=0)
    scene.step()
    kept = replace(scene.state, proven=(*scene.state.proven, Proven("a", "of-tomorrow", "watch", THEN)))
    assert STATE.load(STATE.dump(kept), "here").proven == kept.proven
    assert kept.proven[0] == Proven("a", "helper", "watch", THEN)


def test_it_waits_for_nothing_not_even_for_a_failover_that_runs() -> None:
    scene = a_cluster()
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.UNKNOWN})
    scene.run(5)
    assert scene.state.operation is not None
    request = tried(scene, "helper", node="b")
    assert waiting(scene.snapshot()) == {request.id: ""}
    scene.step()
    assert [each.node for each in scene.state.proven] == ["b"]


def test_who_only_observes_records_nothing() -> None:
    scene = a_cluster()
    scene.standing = Standing.OBSERVING_ONLY
    request = tried(scene, "helper")
    scene.step()
    assert scene.state.proven == ()
    assert not said(scene, request)[0]
