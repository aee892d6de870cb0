"""A leader is deposed early only when enough trusted observers saw exactly its process end; who runs with
another configuration than most does not lead."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import Scene, Seen, Voice, policy_of

from mailward.controller.core.leadership import may_depose, may_lead
from mailward.model.decision import Answered, Finding
from mailward.model.health import Verdict
from mailward.model.policy import Observer
from mailward.model.snapshot import Leader, ObserverView, Snapshot, Standing

ONE = Leader("one", 7, "one-1")
OBSERVERS = [Observer("one", "x"), Observer("two", "y"), Observer("three", "z")]


def seen_by(
    *names: str, gone: tuple[str, ...] = ("one-1",), observers: list[Observer] = OBSERVERS
) -> Snapshot:
    """What a follower sees when these observers say that processes are gone."""
    snapshot = Scene(policy_of(observers=observers)).snapshot()
    views = tuple(with_gone(view, gone if view.name in names else ()) for view in snapshot.observers)
    return replace(snapshot, observers=views, standing=Standing.FOLLOWING, leader=ONE)


def with_gone(view: ObserverView, gone: tuple[str, ...]) -> ObserverView:
    assert view.report is not None
    return replace(view, report=replace(view.report, gone=gone))


def changed(snapshot: Snapshot, name: str, **values: object) -> Snapshot:
    """The same with another report, or another age of it, of one observer."""
    views = []
    for view in snapshot.observers:
        if view.name == name and "age_s" in values:
            view = replace(view, age_s=values["age_s"])  # type: ignore[arg-type]
        elif view.name == name and view.report is not None:
            view = replace(view, report=replace(view.report, **values))  # type: ignore[arg-type]
        views.append(view)
    return replace(snapshot, observers=tuple(views))


def test_enough_votes_of_those_who_saw_its_process_end_depose_a_leader() -> None:
    assert may_depose(seen_by("two", "three")) == Finding(
        "depose", Answered.YES, "two, three saw the process of one, which leads with epoch 7, end"
    )


def test_one_observer_alone_deposes_nobody() -> None:
    finding = may_depose(seen_by("two"))
    assert finding.answer is Answered.UNKNOWN
    assert finding.reason == (
        "only two saw the process of one, which leads with epoch 7, end: 1 of 2 votes needed"
    )


def test_whom_nobody_saw_end_stays() -> None:
    finding = may_depose(seen_by())
    assert finding.answer is Answered.NO
    assert finding.reason == "nobody has seen the process of one, which leads with epoch 7, end"


def test_a_leader_s_own_vote_is_none_against_it() -> None:
    """The daemon started again says that the one before has ended; of itself nobody is a witness."""
    assert may_depose(seen_by("one", "two")).answer is Answered.UNKNOWN
    assert may_depose(seen_by("one", "two", "three")).answer is Answered.YES


def test_the_end_of_another_process_of_the_same_name_deposes_nobody() -> None:
    """It was started again and leads: the word of its first process is still about."""
    before = seen_by("two", "three", gone=("one-0", "three-1"))
    assert may_depose(before).answer is Answered.NO
    assert may_depose(seen_by("two", "three", gone=("one-0", "one-1"))).answer is Answered.YES


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"age_s": 10.5}, "three: last reported 10 s ago"),
        ({"tilted": True}, "three: does not trust itself"),
        ({"config_digest": "other"}, "three: runs with another configuration"),
    ],
)
def test_a_report_that_does_not_count_deposes_nobody(values: dict[str, object], why: str) -> None:
    finding = may_depose(changed(seen_by("two", "three"), "three", **values))
    assert finding.answer is Answered.UNKNOWN
    assert why in finding.reason


def test_an_observer_not_heard_yet_is_told_of() -> None:
    snapshot = seen_by()
    views = tuple(replace(v, report=None) if v.name == "two" else v for v in snapshot.observers)
    assert "two: has not reported yet" in may_depose(replace(snapshot, observers=views)).reason


def test_only_configured_observers_have_a_vote() -> None:
    snapshot = seen_by("two")
    stranger = replace(snapshot.observers[1], name="stranger")
    assert may_depose(replace(snapshot, observers=(*snapshot.observers, stranger))).answer is Answered.UNKNOWN


def test_votes_are_as_configured_and_not_as_reported() -> None:
    heavy = [Observer("one", "x"), Observer("two", "y", 3), Observer("three", "z")]
    assert may_depose(seen_by("two", observers=heavy)).answer is Answered.YES
    snapshot = seen_by("two")
    claiming = tuple(replace(view, votes=9) for view in snapshot.observers)
    assert may_depose(replace(snapshot, observers=claiming)).answer is Answered.UNKNOWN


def test_of_two_neither_can_depose_the_other() -> None:
    assert may_depose(seen_by("one", "two", observers=OBSERVERS[:2])).answer is Answered.UNKNOWN


@pytest.mark.parametrize("standing", [Standing.LEADING, Standing.OBSERVING_ONLY])
def test_who_leads_or_may_only_observe_deposes_nobody(standing: Standing) -> None:
    assert may_depose(replace(seen_by("two", "three"), standing=standing)).answer is Answered.NO


def test_where_nobody_is_known_to_lead_there_is_nobody_to_depose() -> None:
    assert may_depose(replace(seen_by("two", "three"), leader=None)).answer is Answered.NO


def configured(digests: dict[str, str], observers: list[Observer] = OBSERVERS) -> Snapshot:
    """What is read by who runs with configuration d1, when the observers run with these."""
    snapshot = seen_by(observers=observers)
    for name, digest in digests.items():
        snapshot = changed(snapshot, name, config_digest=digest)
    return snapshot


def test_who_runs_with_another_configuration_than_most_does_not_lead() -> None:
    finding = may_lead(configured({"two": "new", "three": "new"}), "one")
    assert finding.answer is Answered.NO
    assert finding.reason == (
        "runs with another configuration than two, three, who are enough to decide without it"
    )


@pytest.mark.parametrize(
    "digests",
    [{}, {"two": "new"}, {"two": "new", "three": "newer"}],
    ids=["all have ours", "one has another", "each has its own"],
)
def test_while_no_majority_agrees_on_another_configuration_anybody_leads(digests: dict[str, str]) -> None:
    assert may_lead(configured(digests), "one").answer is Answered.YES


@pytest.mark.parametrize("values", [{"age_s": 10.5}, {"tilted": True}])
def test_whom_nobody_hears_takes_the_lead_from_nobody(values: dict[str, object]) -> None:
    assert (
        may_lead(changed(configured({"two": "new", "three": "new"}), "three", **values), "one").answer
        is Answered.YES
    )


def test_of_two_neither_takes_the_lead_from_the_other() -> None:
    assert may_lead(configured({"two": "new"}, OBSERVERS[:2]), "one").answer is Answered.YES


def test_configurations_agree_by_votes() -> None:
    heavy = [Observer("one", "x"), Observer("two", "y", 3), Observer("three", "z")]
    assert may_lead(configured({"two": "new"}, heavy), "one").answer is Answered.NO
    light = [Observer("one", "x", 3), Observer("two", "y"), Observer("three", "z")]
    assert may_lead(configured({"two": "new", "three": "new"}, light), "one").answer is Answered.YES


def reaching(
    lost: dict[str, tuple[str, ...]], observers: list[Observer] = OBSERVERS, **voices: Voice
) -> Snapshot:
    """What is seen while each of these observers does not reach these of the nodes a and b."""
    scene = Scene(policy_of(observers=observers))
    scene.voices = {name: Voice(lost=nodes) for name, nodes in lost.items()} | voices
    return scene.snapshot()


ALL = ("a", "b")


def test_who_reaches_no_node_leaves_the_lead_to_those_who_do() -> None:
    finding = may_lead(reaching({"one": ALL}), "one")
    assert finding.answer is Answered.NO
    assert finding.reason == "reaches no mail server; two, three, who do, are enough to decide without it"
    assert may_lead(reaching({"one": ALL}), "two").answer is Answered.YES


@pytest.mark.parametrize(
    "snapshot",
    [
        reaching({"one": ("a",)}),
        reaching({"one": ALL, "two": ALL, "three": ALL}),
        reaching({"one": ALL, "two": ALL}),
        reaching({"one": ALL}, three=Voice(silent=True)),
        reaching({"one": ALL}, three=Voice(age_s=10.5)),
        reaching({"one": ALL}, OBSERVERS[:2]),
        reaching({"one": ALL}, [OBSERVERS[0], *(replace(each, leads=False) for each in OBSERVERS[1:])]),
    ],
    ids=["reaches one", "all blind", "one alone sees", "silent", "heard long ago", "of two", "no leader"],
)
def test_nobody_leaves_the_lead_to_who_could_not_do_it_better(snapshot: Snapshot) -> None:
    assert may_lead(snapshot, "one").answer is Answered.YES


def test_one_of_those_who_reach_a_node_must_be_one_that_leads() -> None:
    observers = [OBSERVERS[0], replace(OBSERVERS[1], leads=False), OBSERVERS[2]]
    assert may_lead(reaching({"one": ALL}, observers), "one").answer is Answered.NO


def test_who_begins_and_has_looked_at_nothing_yet_may_lead() -> None:
    scene = Scene(policy_of(observers=OBSERVERS))
    sees = {(node, service.name): Seen(Verdict.UNKNOWN) for node in ALL for service in scene.policy.services}
    scene.voices = {"one": Voice(sees=sees)}
    scene.facts = dict.fromkeys(ALL)
    assert may_lead(scene.snapshot(), "one").answer is Answered.YES
