"""In a cluster only a failover that has stopped somebody counts for the limit of an hour (I8)."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import LADDER, Scene, cluster_of, facts

from mailward.model.orders import Result
from mailward.model.policy import Rules
from mailward.model.state import Ending, Kind, Phase, RequestKind, Step


def given_back(scene: Scene) -> None:
    """The source is lost, cannot be stopped, and serves again."""
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.run(10)
    scene.answers.clear()
    scene.back("a")
    scene.run(20)
    assert scene.phase("a") is Phase.IN_SERVICE


def test_what_was_given_back_before_anybody_was_stopped_does_not_count() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(failovers_per_hour=2)))
    for _ in range(3):
        given_back(scene)
    endings = [e.ending for e in scene.state.ended if e.operation.kind is Kind.FAILOVER]
    assert endings == [Ending.ROLLED_BACK] * 3
    assert scene.state.fenced_at == ()
    scene.down("a", for_s=31)
    scene.run(30)
    assert scene.phase("b") is Phase.IN_SERVICE


def test_one_that_stopped_the_source_counts_once_whatever_comes_of_it() -> None:
    scene = Scene.of_a_cluster()
    scene.down("a", for_s=31)
    scene.looked_at_behind = ("b",)
    scene.run(2)
    assert len(scene.state.fenced_at) == 1
    scene.run(200)
    assert len(scene.state.fenced_at) == 1


def test_one_that_stopped_the_source_counts_though_it_is_still_at_its_fence() -> None:
    """Another one is not known to be stopped any more."""
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c")))
    scene.answers["order-ports:b"] = Result.UNKNOWN
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = None
    scene.step()
    scene.facts["c"] = replace(facts("c"), applied=False)
    scene.answers["order-ports:c"] = Result.UNKNOWN
    scene.answers["order-ports:a"] = Result.DONE
    scene.state = replace(scene.state, orders=(), operation=replace(scene.state.operation, attempts=()))  # type: ignore[type-var]
    scene.outcomes.clear()
    scene.run(30)
    assert [each.step for each in [scene.state.operation] if each] == [Step.FENCE]
    assert scene.state.fenced_at == ()  # the one that serves is stopped last
    scene.answers.clear()
    scene.run(60)
    assert len(scene.state.fenced_at) == 1


@pytest.mark.parametrize("off", [Result.DONE, Result.UNKNOWN])
def test_who_was_switched_off_for_it_counts(off: Result) -> None:
    """A third was switched off, for certain or perhaps, before the source served again."""
    scene = Scene.of_a_cluster(cluster_of(("a", "b", "c"), rungs=LADDER))
    scene.facts["c"] = replace(facts("c"), applied=False)
    scene.answers.update({"order-ports:c": Result.UNKNOWN, "order-ports:a": None, "power-off:c": off})
    scene.answers["power-off:a"] = Result.FAILED
    scene.gone("a", for_s=31)
    scene.run(2)
    assert (scene.state.fenced_at != ()) is (off is Result.DONE)


def test_a_switchover_counts_when_it_goes_on_as_a_failover() -> None:
    scene = Scene.of_a_cluster()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    assert scene.state.fenced_at == ()
    scene.down("a", for_s=31)
    scene.run(30)
    assert len(scene.state.fenced_at) == 1


def test_the_limit_holds_the_next_one() -> None:
    scene = Scene.of_a_cluster(cluster_of(rules=Rules(failovers_per_hour=1)))
    scene.down("a", for_s=31)
    scene.run(20)
    scene.back("a", for_s=60)
    scene.run(60)
    assert scene.phase("a") is Phase.STANDBY
    scene.down("b", for_s=31)
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert scene.finding("rate", "b").reason == "1 failovers in the last hour, at most 1"
