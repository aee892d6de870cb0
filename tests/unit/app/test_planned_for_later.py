"""A switchover for later as people ask for it, see it and withdraw it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from tests.unit.core.cluster.test_switchover_for_later import planned
from tests.unit.core.scene import Scene

from mailward.app import render, summary
from mailward.app.commands import later
from mailward.app.live import View
from mailward.app.status import Progress
from mailward.model.state import Request, RequestKind

Golden = Callable[[str, str], None]

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 27, 20, 0, tzinfo=BERLIN)
InZone = Callable[[str], None]


@pytest.fixture
def in_zone() -> Iterator[InZone]:
    """Sets this process's zone."""
    with pytest.MonkeyPatch.context() as patch:

        def put(name: str) -> None:
            patch.setenv("TZ", name)
            time.tzset()

        yield put
    time.tzset()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("02:30", datetime(2026, 3, 28, 2, 30, tzinfo=BERLIN)),
        ("20:30", datetime(2026, 3, 27, 20, 30, tzinfo=BERLIN)),
        ("20:00", datetime(2026, 3, 28, 20, 0, tzinfo=BERLIN)),
        ("02:30Z", datetime(2026, 3, 28, 2, 30, tzinfo=UTC)),
        ("2026-04-01 02:30", datetime(2026, 4, 1, 2, 30, tzinfo=BERLIN)),
        ("2026-04-01T02:30:15+05:30", datetime(2026, 4, 1, 2, 30, 15,
                                               tzinfo=timezone(timedelta(hours=5, minutes=30)))),
        ("2026-10-25 02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("in 2h", NOW + timedelta(hours=2)),
    ],
)  # fmt: skip
def test_times_as_they_are_typed(text: str, wanted: datetime) -> None:
    assert later.moment(text, NOW.timestamp(), BERLIN) == wanted.timestamp()


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        (datetime(2026, 3, 29, 9, 0), datetime(2026, 3, 30, 2, 30)),  # clocks went forward over it
        (datetime(2026, 3, 29, 3, 0), datetime(2026, 3, 30, 2, 30)),
        (datetime(2026, 3, 29, 1, 30), None),
        (datetime(2026, 3, 28, 9, 0), None),
        (datetime(2026, 10, 25, 2, 15), datetime(2026, 10, 25, 2, 30)),
        (datetime(2026, 10, 25, 2, 15, fold=1), datetime(2026, 10, 26, 2, 30)),  # not what has been
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_the_next_one_where_clocks_are_changed(
    now: datetime, wanted: datetime | None, named: bool, in_zone: InZone
) -> None:
    if not named:
        in_zone("Europe/Berlin")
    zone, now_s = (BERLIN if named else None), now.replace(tzinfo=BERLIN).timestamp()
    if wanted is None:
        with pytest.raises(ValueError, match="no clock shows 02:30 on 2026-03-29: they go forward over it"):
            later.moment("02:30", now_s, zone)
    else:
        assert later.moment("02:30", now_s, zone) == wanted.replace(tzinfo=BERLIN).timestamp()


def test_the_zone_of_who_types_it_counts(in_zone: InZone) -> None:
    in_zone("Asia/Kolkata")
    at = later.moment("2026-04-01 02:30", NOW.timestamp())
    assert at == datetime(2026, 3, 31, 21, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("half past two", "'half past two' is no time; write 02:30 (the next one), 2026-03-29 02:30"),
        ("25:00", "'25:00' is no time that there is"),
        ("2026-02-30 02:30", "is no time that there is"),
        ("2026-03-29 02:30", "no clock shows 02:30 on 2026-03-29: they go forward over it"),
        ("in two hours", "'two hours' is no duration; write a number with a unit"),
        ("", "'' is no time"),
    ],
)
def test_what_is_no_time_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="no ") as error:
        later.moment(text, NOW.timestamp(), BERLIN)
    assert says in str(error.value)


def scheduled() -> tuple[Scene, Request]:
    scene = Scene.of_a_cluster()
    return scene, planned(scene, in_s=19_320.0)


def view_of(scene: Scene) -> View:
    return View("watch", scene.now, scene.now, scene.snapshot(), scene.look())


def test_status_and_explain_say_what_is_planned_by_whom_and_when(golden: Golden) -> None:
    scene, _ = scheduled()
    scene.down("b")
    golden("status_cluster_scheduled.txt", render.status(summary.status_of(view_of(scene)), UTC))
    explained = summary.explanations_of(view_of(scene), None)
    golden("explain_cluster_scheduled.txt", render.explanations(explained, UTC))
    assert summary.explanations_of(view_of(scene), "a").requests == ()


def test_a_dry_run_says_when_and_what_would_hold_it_now() -> None:
    scene, request = scheduled()
    scene.requests.clear()
    scene.down("b")
    decision = replace(scene.look())
    shown = summary.dry_run_of(view_of(scene), request, decision)
    assert shown.progress is Progress.SCHEDULED
    text = render.request(shown, 200, UTC, scene.now.wall_s)
    assert text.startswith("Dry run: it would be scheduled for ")
    assert "as things are it would be refused then: heir: b is failed" in text


def test_metrics_tell_what_is_planned_from_what_waits() -> None:
    from mailward.app import metrics

    scene, _ = scheduled()
    scene.ask(RequestKind.DRAIN, "b")
    lines = {}
    for family in metrics._operations(summary.status_of(view_of(scene))):
        lines.update({sample.name: sample.value for sample in family.samples})
    assert lines["mailward_requests_waiting"] == 1
    assert lines["mailward_requests_scheduled"] == 1
