"""Reports add up to verdicts by votes of configured observers; what cannot be trusted says nothing (I6)."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import Scene, Seen, Voice, facts, policy_of

from mailward.controller.core.sight import Sight, see
from mailward.model.health import Failure, FailureKind, Verdict
from mailward.model.policy import Observer
from mailward.model.replication import Confidence, Lag

REFUSED = Failure(FailureKind.REFUSED, "connect")
SILENT = Failure(FailureKind.TIMEOUT, "connect")
DOWN = Seen(Verdict.DOWN, 99_990.0, 99_990.0, REFUSED)
UNKNOWN = Seen(Verdict.UNKNOWN)


def scene_of(votes: tuple[int, ...] = (1, 1, 1)) -> Scene:
    observers = [Observer(f"o{i}", f"site-{i}", n) for i, n in enumerate(votes)]
    return Scene(policy_of(observers=observers))


def saying(*verdicts: Seen, votes: tuple[int, ...] = ()) -> Sight:
    scene = scene_of(votes or (1,) * len(verdicts))
    for i, seen in enumerate(verdicts):
        scene.voices[f"o{i}"] = Voice(sees={("a", "imaps"): seen})
    return see(scene.snapshot())


def verdict(sight: Sight, service: str = "imaps") -> Verdict:
    return sight.nodes["a"].services[service].verdict


UP = Seen()


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ((DOWN,), Verdict.DOWN),
        ((DOWN, UP), Verdict.UNKNOWN),
        ((DOWN, DOWN), Verdict.DOWN),
        ((DOWN, DOWN, UP), Verdict.DOWN),
        ((DOWN, UP, UP), Verdict.UP),
        ((DOWN, UP, UNKNOWN), Verdict.UNKNOWN),
        ((DOWN, DOWN, UP, UP), Verdict.UNKNOWN),
        ((DOWN, DOWN, DOWN, UP), Verdict.DOWN),
        ((DOWN, DOWN, UP, UP, UNKNOWN), Verdict.UNKNOWN),
        ((DOWN, DOWN, DOWN, UP, UP), Verdict.DOWN),
    ],
)
def test_a_verdict_takes_a_majority_of_the_configured_votes(
    seen: tuple[Seen, ...], expected: Verdict
) -> None:
    assert verdict(saying(*seen)) is expected


def test_votes_are_weighed() -> None:
    assert verdict(saying(DOWN, UP, UP, votes=(3, 1, 1))) is Verdict.DOWN
    assert verdict(saying(DOWN, UP, UP, votes=(2, 1, 1))) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("voice", "reason"),
    [
        (Voice(silent=True), "has not reported yet"),
        (Voice(age_s=10.5), "last reported"),
        (Voice(tilted=True), "does not trust itself"),
        (Voice(digest="other"), "another configuration"),
    ],
)
def test_a_report_that_cannot_be_trusted_is_unknown_and_never_down(voice: Voice, reason: str) -> None:
    scene = scene_of()
    sees = {("a", "imaps"): DOWN}
    scene.voices = {"o0": Voice(sees=sees), "o1": replace(voice, sees=sees)}
    sight = see(scene.snapshot())
    assert verdict(sight) is Verdict.UNKNOWN
    assert (sight.votes, sight.needed) == (2, 2)
    assert [text for text in sight.blind if text.startswith("o1: ") and reason in text]


@pytest.mark.parametrize(
    "voice", [Voice(silent=True), Voice(age_s=10.5), Voice(tilted=True), Voice(digest="other")]
)
def test_a_single_observer_that_cannot_be_trusted_leaves_nothing_known(voice: Voice) -> None:
    scene = scene_of((1,))
    scene.voices["o0"] = voice
    sight = see(scene.snapshot())
    assert {s.verdict for s in sight.nodes["a"].services.values()} == {Verdict.UNKNOWN}
    assert sight.nodes["a"].facts is None
    assert sight.lags == {}


def test_a_report_just_fresh_enough_counts() -> None:
    scene = scene_of((1,))
    scene.voices["o0"] = Voice(age_s=10.0)
    assert verdict(see(scene.snapshot())) is Verdict.UP


def test_the_vote_of_an_observer_that_is_not_configured_is_not_counted() -> None:
    """I6: configured observers, with the votes the configuration gives them."""
    scene = scene_of()
    snapshot = scene.snapshot()
    strangers = tuple(replace(view, name=f"stranger-{view.name}", votes=9) for view in snapshot.observers)
    sight = see(replace(snapshot, observers=strangers))
    assert (sight.votes, verdict(sight)) == (0, Verdict.UNKNOWN)


def test_an_observer_cannot_give_itself_more_votes() -> None:
    scene = scene_of()
    scene.voices["o0"] = Voice(sees={("a", "imaps"): DOWN})
    snapshot = scene.snapshot()
    louder = tuple(replace(view, votes=9) for view in snapshot.observers)
    assert see(replace(snapshot, observers=louder)).votes == 3


def test_a_service_that_answers_with_another_nodes_name_is_unknown() -> None:
    """A wrong address, a detour, a cloned host: nothing is known of this node then."""
    scene = scene_of()
    for name in ("o0", "o1", "o2"):
        scene.voices[name] = Voice(sees={("a", "imaps"): Seen(answered_by="b.test")})
    view = see(scene.snapshot()).nodes["a"].services["imaps"]
    assert view.verdict is Verdict.UNKNOWN
    assert view.evidence == "b answered at this node's address"


def test_a_name_nobody_configured_says_nothing_about_the_node() -> None:
    assert verdict(saying(Seen(answered_by="mail.example.test"))) is Verdict.UP


def test_ages_are_those_of_the_youngest_agreeing_report() -> None:
    old = replace(DOWN, since_s=99_000.0, symptom_s=99_000.0)
    view = saying(old, DOWN, DOWN).nodes["a"].services["imaps"]
    assert view.symptom_age_s == pytest.approx(10.0)
    assert view.verdict_age_s == pytest.approx(10.0)


def test_a_report_ages_on_its_way() -> None:
    scene = scene_of((1,))
    scene.voices["o0"] = Voice(age_s=4.0, sees={("a", "imaps"): DOWN})
    assert see(scene.snapshot()).nodes["a"].services["imaps"].symptom_age_s == pytest.approx(14.0)


def test_a_report_that_is_late_makes_no_verdict_older() -> None:
    scene = scene_of((1,))
    said = scene.snapshot().observers[0]
    late = replace(scene.snapshot(), observers=(replace(said, age_s=4.0),))
    ages = [see(s).nodes["a"].services["imaps"].verdict_age_s for s in (scene.snapshot(), late)]
    assert ages[1] == ages[0]


def test_a_success_after_failures_is_recovering_until_the_verdict_turns() -> None:
    scene = scene_of((1,))
    scene.down("a", "imaps")
    assert not see(scene.snapshot()).nodes["a"].services["imaps"].recovering
    scene.recovering("a", "imaps")
    assert see(scene.snapshot()).nodes["a"].services["imaps"].recovering


@pytest.mark.parametrize(
    ("failure", "doubtful", "cut_off"),
    [
        (SILENT, True, True),
        (Failure(FailureKind.UNREACHABLE, "connect"), True, True),
        (Failure(FailureKind.TIMEOUT, "banner"), True, False),
        (Failure(FailureKind.LOGIN, "login"), True, False),
        (Failure(FailureKind.TLS, "tls"), True, False),
        (Failure(FailureKind.TEMPFAIL, "login"), True, False),
        (REFUSED, False, False),
        (Failure(FailureKind.RESET, "login"), False, False),
        (Failure(FailureKind.CLOSED, "banner"), False, False),
    ],
)
def test_what_only_the_node_can_have_done_is_told_from_what_has_other_causes(
    failure: Failure, doubtful: bool, cut_off: bool
) -> None:
    view = saying(replace(DOWN, failure=failure)).nodes["a"].services["imaps"]
    assert (view.doubtful, view.cut_off) == (doubtful, cut_off)


def test_facts_are_the_freshest_and_none_when_old() -> None:
    scene = scene_of()
    scene.facts_age_s = 9.0
    assert see(scene.snapshot()).nodes["a"].facts == facts("a")
    scene.voices = {name: Voice(age_s=1.5) for name in ("o0", "o1", "o2")}
    view = see(scene.snapshot()).nodes["a"]
    assert view.facts is None
    assert "last answered 1" in view.helper_error


def test_a_helper_that_never_answered_is_said_with_its_error() -> None:
    scene = scene_of((1,))
    scene.facts["a"] = None
    assert see(scene.snapshot()).nodes["a"].helper_error == "ssh: no route"


def test_an_old_lag_figure_is_stale_and_a_known_one_is_believed_first() -> None:
    scene = scene_of()
    scene.lags["a", "b"] = Lag("a", "b", Confidence.KNOWN, 3.0, 1, 0, age_s=59.5)
    assert see(scene.snapshot()).lags["a", "b"].confidence is Confidence.KNOWN
    scene.voices = {name: Voice(age_s=1.0) for name in ("o0", "o1", "o2")}
    assert see(scene.snapshot()).lags["a", "b"].confidence is Confidence.STALE
    scene.voices["o2"] = Voice(age_s=0.0)
    assert see(scene.snapshot()).lags["a", "b"].confidence is Confidence.KNOWN


def test_a_direction_nobody_measured_is_absent() -> None:
    scene = scene_of((1,))
    del scene.lags["a", "b"]
    assert ("a", "b") not in see(scene.snapshot()).lags


def test_a_service_has_answered_when_every_agreeing_observer_has_seen_it_answer() -> None:
    recent, older = Seen(answered_s=99_999.0), Seen(answered_s=99_995.0)
    assert saying(recent, older, recent).nodes["a"].services["imaps"].answered_age_s == pytest.approx(5.0)
    failing = Seen(failure=SILENT)
    assert saying(recent, failing).nodes["a"].services["imaps"].answered_age_s == float("inf")
