"""The metrics: named as Prometheus asks, bounded labels, and never a 0 for what is not known."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.app import scenes
from tests.unit.app.fakes import FakeDaemon, daemon

from mailward.app import metrics
from mailward.model.fencing import FenceOutcome
from mailward.model.health import ProbeResult, ServiceReport, StageTime, Verdict
from mailward.model.state import PowerRecord

STATES = {
    "mailward_automation_state": "state",
    "mailward_phase": "phase",
    "mailward_condition": "condition",
    "mailward_verdict": "verdict",
    "mailward_fence_outcome": "outcome",
}
LABELS = {
    "node", "endpoint", "service", "target", "source", "stage", "kind", "event", "result", "version", "file",
    *STATES.values(),
}  # fmt: skip


def families(fake: FakeDaemon) -> dict[str, Metric]:
    text = metrics.text(metrics.registry(fake)).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(found: dict[str, Metric], name: str, **labels: str) -> float | None:
    for sample in found[name].samples:
        if sample.labels == labels and not sample.name.endswith("_created"):
            return sample.value
    return None


@pytest.fixture(params=[*scenes.SCENES, "starting"])
def found(request: pytest.FixtureRequest) -> dict[str, Metric]:
    return families(daemon(request.param))


def test_names_units_and_help_follow_the_conventions(found: dict[str, Metric]) -> None:
    for name, family in found.items():
        assert re.fullmatch(r"mailward_[a-z][a-z0-9_]*", name), name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|days|count|gauge|counter|percent)(_|$)", name)
        assert not name.endswith(("_sum", "_bucket", "_total"))
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert set(sample.labels) <= LABELS


def test_times_are_in_seconds(found: dict[str, Metric]) -> None:
    for name in found:
        if re.search(r"(age|remaining|lag|running|stage|round|time)(_|$)", name):
            assert name.endswith(("_seconds", "_known", "_rounds", "_mailboxes")), name


def test_of_the_values_of_a_state_exactly_one_is_1(found: dict[str, Metric]) -> None:
    for name, label in STATES.items():
        totals: dict[tuple[tuple[str, str], ...], float] = {}
        for sample in found[name].samples if name in found else ():
            rest = tuple(sorted((k, v) for k, v in sample.labels.items() if k != label))
            totals[rest] = totals.get(rest, 0.0) + sample.value
        assert set(totals.values()) <= {1.0}, name


def test_a_daemon_that_is_starting_says_so() -> None:
    found = families(daemon("starting"))
    assert value(found, "mailward_ready") == 0
    assert value(found, "mailward_automation_state", state="held") == 1


def test_a_withdrawn_node_is_seen_in_the_metrics() -> None:
    found = families(daemon("withdrawn"))
    where = {"node": "mail-a", "endpoint": scenes.ENDPOINT}
    assert value(found, "mailward_phase", **where, phase="out") == 1
    assert value(found, "mailward_phase", **where, phase="in-service") == 0
    assert value(found, "mailward_verdict", node="mail-a", service="imaps", verdict="down") == 1
    assert value(found, "mailward_fence_outcome", node="mail-a", outcome="confirmed") == 1
    assert value(found, "mailward_helper_up", node="mail-a") == 1
    assert value(found, "mailward_commits", result="committed") == 17
    assert value(found, "mailward_healthy") == 0


@pytest.mark.parametrize(
    ("off", "figure"), [(FenceOutcome.CONFIRMED, 1), (FenceOutcome.FAILED, 0), (FenceOutcome.UNKNOWN, None)]
)
def test_who_is_switched_off_is_1_and_who_may_be_has_no_figure(off: FenceOutcome, figure: int | None) -> None:
    view = scenes.withdrawn().view()
    assert view.snapshot is not None
    power = (PowerRecord("mail-a", scenes.token(9), off, scenes.NOW, 40.0, "as told"),)
    state = replace(view.snapshot.state, power=power)
    found = families(FakeDaemon(replace(view, snapshot=replace(view.snapshot, state=state))))
    assert value(found, "mailward_switched_off", node="mail-a") == figure
    assert value(found, "mailward_switched_off", node="mail-b") is None


def test_unknown_lag_has_no_figure() -> None:
    found = families(daemon("withdrawn"))
    unknown = {"source": "mail-a", "target": "mail-b"}
    assert value(found, "mailward_replication_lag_known", **unknown) == 0
    assert value(found, "mailward_replication_lag_seconds", **unknown) is None
    known = {"source": "mail-b", "target": "mail-a"}
    assert value(found, "mailward_replication_lag_seconds", **known) == 183
    assert value(found, "mailward_replication_waiting_mailboxes", **known) == 12


def test_a_running_operation_has_its_time() -> None:
    found = families(daemon("rejoining"))
    assert value(found, "mailward_operation_running_seconds", kind="readmit", node="mail-a") == 26


def test_the_number_of_series_is_bounded_by_the_cluster_whatever_servers_send() -> None:
    def hostile() -> Iterator[ServiceReport]:
        for name in scenes.SERVICES:
            stages = tuple(StageTime(f'st"age\n{number}' + "x" * 500, 0.1) for number in range(5000))
            yield replace(scenes.up(name, 0.1), last=ProbeResult(None, stages), verdict=Verdict.UP)

    fake = FakeDaemon(
        replace(
            scenes.healthy(),
            mail_a=tuple(hostile()),
            tallies={f"event-{number}": 1 for number in range(5000)},
        ).view()
    )
    found = families(fake)
    assert len(found["mailward_probe_stage_seconds"].samples) <= 6 * metrics.MOST_STAGES
    assert len(found["mailward_recorded_events"].samples) <= 2 * metrics.MOST_TALLIES


def test_nothing_of_the_process_or_platform_is_mixed_in(found: dict[str, Metric]) -> None:
    assert all(name.startswith("mailward_") for name in found)
