"""Until when a session is sure to live, and how old a report may be: as acknowledged, and as read."""

import pytest

from mailward.controller.coordination.contact import Contact, Heard
from mailward.model.policy import Observer
from mailward.model.report import Report

NEVER = float("-inf")


def beats(*sent_s: float, spacing_s: float = 1.0) -> Contact:
    contact = Contact(spacing_s, margin_s=0.5)
    for at_s in sent_s:
        contact.acknowledged(at_s)
    return contact


@pytest.mark.parametrize(
    ("sent_s", "deadline_s"),
    [
        ((), NEVER),
        ((100.0,), NEVER),
        ((100.0, 102.0), 109.5),  # the newest may not have counted yet
        ((100.0, 102.0, 104.0), 111.5),
        ((100.0, 100.2), NEVER),  # too close to the newest to have counted for certain
        ((100.0, 100.2, 101.1), 109.5),
        ((100.0, 100.2, 101.3), 109.7),
        ((100.0, 100.9, 101.8, 102.7), 110.4),
    ],
)
def test_the_heartbeat_that_counts_was_sent_well_before_the_newest(
    sent_s: tuple[float, ...], deadline_s: float
) -> None:
    assert beats(*sent_s).deadline_s(session_s=10.0) == pytest.approx(deadline_s)


def report(seq: int) -> Report:
    return Report("w1", seq, "d1", ())


def ages(heard: Heard[int], now_s: float) -> list[float]:
    return [view.age_s for view in heard.views([Observer("w1", "", 1)], now_s)]


def test_a_report_is_as_old_as_the_reading_that_did_not_find_it_yet() -> None:
    heard: Heard[int] = Heard()
    heard.read(100.0, {}, 100.0)
    heard.read(101.0, {"w1": (1, report(1))}, 101.0)
    assert ages(heard, 101.0) == [1.0]
    heard.read(102.0, {"w1": (1, report(1))}, 102.0)
    assert ages(heard, 102.0) == [2.0], "it has not moved"
    heard.read(110.0, {"w1": (2, report(2))}, 110.0)
    assert ages(heard, 110.0) == [8.0], "it may have moved at any time of a gap in our reading"


def test_nobody_knows_how_old_a_report_is_that_was_there_when_we_came() -> None:
    heard: Heard[int] = Heard()
    heard.read(100.0, {"w1": (7, report(7))}, 100.0)
    assert ages(heard, 100.0) == [float("inf")]


def test_an_observer_that_was_never_heard_has_no_report() -> None:
    heard: Heard[int] = Heard()
    heard.read(100.0, {}, 100.0)
    (view,) = heard.views([Observer("w2", "", 1)], 100.0)
    assert view.report is None
