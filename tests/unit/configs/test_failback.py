"""Failback: what does not go together is said when the file is loaded, and a time of each day is one."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from tests.unit.configs.good import Edit, Loaded, Problems

from mailward.configs.policy import policy_of
from mailward.configs.windows import window_of
from mailward.model.policy import Failback, Window

PREFERRED: Edit = ("    site: north\n", "    site: north\n    priority: 10\n")


def cluster(said: str, *edits: Edit) -> tuple[Edit, ...]:
    return (
        ("deployment: hybrid", "deployment: cluster"),
        ("canary: {", f"policy: {{{said}}}\ncanary: {{"),
        (", nodes: [mail-a, mail-b]", ""),
        *edits,
    )


def test_what_the_file_says_reaches_the_core(loaded: Loaded) -> None:
    said = 'failback: window, failback_window: "22:00-04:00", failback_after_s: 600'
    rules = policy_of(loaded(*cluster(said, PREFERRED))).rules
    assert (rules.failback, rules.failback_after_s) == (Failback.WINDOW, 600.0)
    assert rules.failback_window == Window("22:00-04:00", 22 * 3600.0, 4 * 3600.0, ((0.0, 0.0),))
    assert policy_of(loaded(*cluster("failback: auto", PREFERRED))).rules.failback_window is None


@pytest.mark.parametrize(
    ("said", "edits", "problem"),
    [
        ("failback: window", (PREFERRED,),
         "policy.failback: window: say when: add failback_window, such as 02:00-04:00 Europe/Berlin"),
        ("failback: auto, failback_window: '02:00-04:00'", (PREFERRED,),
         "policy.failback_window: it counts with failback: window, and that is auto: write one or the other"),
        ("failback_window: '02:00-04:00'", (),
         "policy.failback_window: it counts with failback: window, and that is manual: write one"),
        ("failback: auto", (),
         "policy.failback: auto: nobody is preferred: give one node a higher priority"),
        ("failback: sometimes", (), "policy.failback: "),
        ("failback_after_s: 5", (),
         "policy.failback_after_s: 5 is not between 60 and 604800 seconds (what has just failed fails"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(
    problems: Problems, said: str, edits: tuple[Edit, ...], problem: str
) -> None:
    (found,) = problems(*cluster(said, *edits))
    assert problem in found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("at night", "'at night' is no time of each day: write it as 02:00-04:00 Europe/Berlin"),
        ("02:00", "'02:00' is no time of each day"),
        ("02:00-25:00", "'02:00-25:00': a day has the times from 00:00 to 23:59, and ends at 24:00"),
        ("02:60-03:00", "a day has the times from 00:00 to 23:59"),
        ("02:00-02:00", "'02:00-02:00' ends when it begins: for all day write failback: auto"),
        ("00:00-24:00", "'00:00-24:00' ends when it begins"),
        ("02:00-04:00 Europe/Berlinn", "no time zone is named 'Europe/Berlinn' here"),
        ("02:00-04:00 ../etc/passwd", "is no time of each day"),
        ("02:00-04:00 CEST", "no time zone is named 'CEST' here"),
        ("[1, 2]", "a time of each day is wanted here"),
    ],
)
def test_what_is_no_time_of_a_day_is_said(problems: Problems, text: str, says: str) -> None:
    value = text if text.startswith("[") else f"'{text}'"
    (found,) = problems(*cluster(f"failback: window, failback_window: {value}", PREFERRED))
    assert found.partition(": ")[2].startswith(says) or says in found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_the_clocks_of_the_zone_count_also_when_they_are_set(zone: str) -> None:
    window = window_of(f"02:00-04:00 {zone}")
    for year in (2026, 2041):
        for hours in range(0, 366 * 24, 5):
            at_s = datetime(year, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp() + hours * 3600 + 1800
            clock = datetime.fromtimestamp(at_s, ZoneInfo(zone))
            assert window.holds(at_s) == (2 <= clock.hour < 4), clock


def test_a_clock_is_set_at_that_very_second() -> None:
    window = window_of("00:00-03:00 Europe/Berlin")
    set_at_s = datetime(2026, 3, 29, 1, 0, tzinfo=ZoneInfo("UTC")).timestamp()
    assert window.holds(set_at_s - 1)
    assert not window.holds(set_at_s)
