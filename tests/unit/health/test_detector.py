"""From results to verdicts: a table of stories, and the rules one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailward.health.detector import Detection, Judgement
from mailward.model.health import Failure, FailureKind, ProbeResult, StageTime, Verdict

OK = ProbeResult(None, (StageTime("connect", 0.001), StageTime("banner", 0.004)))
SLOW = ProbeResult(None, (StageTime("connect", 0.1), StageTime("login", 2.3)))
BAD = ProbeResult(Failure(FailureKind.REFUSED, "connect"))
OWN = ProbeResult(Failure(FailureKind.LOCAL, "connect", "Too many open files"))


def story(text: str) -> Detection:
    """A second a letter: . passed, x failed, l own fault, s a sign of the held connection, - nothing."""
    detection = Detection(0.0)
    for at_s, letter in enumerate(text, start=1):
        if letter == "s":
            detection = detection.suspected(float(at_s))
        elif letter != "-":
            detection = detection.fed({".": OK, "x": BAD, "l": OWN}[letter], float(at_s))
    return detection


def after(text: str) -> Judgement:
    return story(text).judged(float(len(text)))


@pytest.mark.parametrize(
    ("text", "verdict", "since_s", "symptom_s"),
    [
        ("", "UNKNOWN", 0, None),
        (".", "UP", 1, None),
        ("x", "UNKNOWN", 0, 1),
        ("xx", "DOWN", 2, 1),
        ("x.", "UP", 2, None),
        ("...x", "UP", 1, 4),
        ("...xx", "DOWN", 5, 4),
        ("...x.", "UP", 1, None),
        ("...x.x.x", "UP", 1, 8),
        ("..xx.", "DOWN", 4, 3),
        ("..xx..", "DOWN", 4, 3),
        ("..xx...", "UP", 7, None),
        ("..xx..x...", "UP", 10, None),
        ("..xx..x..", "DOWN", 4, 3),
        (".s", "UP", 1, None),
        (".s.", "UP", 1, None),
        (".s.x", "UP", 1, 4),
        (".sx", "UP", 1, 2),
        (".sxx", "DOWN", 4, 2),
        (".ssxx", "DOWN", 5, 2),
        ("llllll", "UNKNOWN", 0, None),
        (".llxlx", "DOWN", 6, 4),
        ("lll.", "UP", 4, None),
        ("xlllx", "DOWN", 5, 1),
    ],
)
def test_stories(text: str, verdict: str, since_s: float, symptom_s: float | None) -> None:
    seen = after(text)
    assert (seen.verdict.value, seen.since_s, seen.symptom_s) == (verdict, since_s, symptom_s)


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not FailureKind.LOCAL])
def test_every_class_of_failure_but_our_own_counts(kind: FailureKind) -> None:
    bad = ProbeResult(Failure(kind, "login"))
    assert Detection(0.0).fed(bad, 1.0).fed(bad, 2.0).judged(2.0).verdict is Verdict.DOWN


@pytest.mark.parametrize("text", [".", "xx"])
def test_a_verdict_without_fresh_probes_is_unknown(text: str) -> None:
    ended_s = float(len(text))
    assert story(text).judged(ended_s + 12.0).verdict is not Verdict.UNKNOWN
    stale = story(text).judged(ended_s + 20.0)
    assert (stale.verdict, stale.since_s, stale.probed_s) == (Verdict.UNKNOWN, ended_s + 12.0, ended_s)
    assert stale.evidence == "no probe has finished for 20 s"


def test_own_faults_alone_make_unknown_and_say_why() -> None:
    seen = after("." + "l" * 20)
    assert seen.verdict is Verdict.UNKNOWN
    assert seen.evidence == "no probe has finished for 20 s: local at connect: Too many open files"


def test_after_a_gap_an_up_service_is_up_with_one_success_and_a_down_one_with_three() -> None:
    gap = "-" * 20
    assert after("." + gap + ".").verdict is Verdict.UP
    assert after("xx" + gap + ".").verdict is Verdict.UNKNOWN
    assert after("xx" + gap + "..").verdict is Verdict.UNKNOWN
    assert after("xx" + gap + "...").verdict is Verdict.UP
    assert after("..x" + gap + "x").verdict is Verdict.UNKNOWN


def test_in_doubt_until_there_is_a_verdict() -> None:
    doubts = {text: story(text).in_doubt for text in ("", ".", ".s", ".x", ".s.", ".xx", "x", "xx.", "l")}
    assert doubts == {
        "": False,
        ".": False,
        ".s": True,
        ".x": True,
        ".s.": False,
        ".xx": False,
        "x": True,
        "xx.": False,
        "l": False,
    }


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("", "not probed yet"),
        ("l", "not probed yet; then local at connect: Too many open files"),
        (".", "passed in 5 ms"),
        (".l", "passed in 5 ms; then local at connect: Too many open files"),
        (".l.", "passed in 5 ms"),
        (".x", "refused at connect"),
        (".xxx", "refused at connect (3 in a row)"),
        (".xx..", "passed again, 2 of 3 in a row"),
    ],
)
def test_evidence_is_a_few_words(text: str, evidence: str) -> None:
    assert after(text).evidence == evidence


def test_slow_is_up_and_says_what_was_slow() -> None:
    seen = Detection(0.0).fed(SLOW, 1.0).judged(1.0)
    assert seen.verdict is Verdict.UP
    assert seen.evidence == "slow: passed in 2.4 s (login 2.3 s)"


@given(st.text(alphabet=".xls-", max_size=60))
def test_up_and_down_always_have_their_proof(text: str) -> None:
    """DOWN needs two counted failures with no success after; UP a success with no two failures after."""
    seen = after(text)
    counted = text.replace("l", "").replace("s", "").replace("-", "")
    if seen.verdict is Verdict.DOWN:
        assert "xx" in counted
        assert not counted.endswith("...")
    if seen.verdict is Verdict.UP:
        assert "." in counted
        assert not counted.endswith("xx")
    assert (seen.symptom_s is None) or "x" in counted
