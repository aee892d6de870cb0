"""What the status says of several observers: who leads, who counts, and what is seen without a store."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC

import pytest
from tests.unit.app import scenes

from mailward.app import render, summary
from mailward.app.live import View
from mailward.app.status import Mode
from mailward.controller.core.decide import decide
from mailward.controller.core.reachability import Reach
from mailward.model.health import FailureKind
from mailward.model.policy import Observer
from mailward.model.report import Report
from mailward.model.snapshot import Leader, ObserverView, Snapshot, Standing

THREE = (Observer("watch", "graz"), Observer("w2", "linz"), Observer("w3", "wien"))
Change = Callable[[Report], Report]


def of_three(leader: str | None = "w2", age_s: float = 1.0, **changed: Change) -> View:
    """All three see the same, but for what is `changed` in a report; this daemon is `watch`."""
    view = scenes.healthy().view()
    assert view.snapshot is not None
    (own,) = view.snapshot.observers
    assert own.report is not None
    views = []
    for each in THREE:
        report = replace(own.report, observer=each.name)
        if each.name in changed:
            report = changed[each.name](report)
        views.append(ObserverView(each.name, 1, report, 0.0 if each.name == "watch" else age_s))
    return seen(
        view,
        replace(
            view.snapshot,
            standing=Standing.LEADING if leader == "watch" else Standing.FOLLOWING,
            policy=replace(view.snapshot.policy, observers=THREE),
            observers=tuple(views),
            leader=Leader(leader, 7, "nonce") if leader else None,
        ),
    )


def seen(view: View, snapshot: Snapshot) -> View:
    return replace(view, snapshot=snapshot, decision=decide(snapshot), read_at=snapshot.now)


def tilted(report: Report) -> Report:
    return replace(report, tilted=True)


def of_another_configuration(report: Report) -> Report:
    return replace(report, config_digest="another")


def test_a_daemon_alone_that_does_not_trust_its_clock_says_so_and_names_no_other_leader() -> None:
    """Stopped and gone on, the only one there was said that another one led."""
    view = scenes.healthy().view()
    assert view.snapshot is not None
    (own,) = view.snapshot.observers
    assert own.report is not None
    views = (replace(own, report=tilted(own.report)),)
    shown = summary.status_of(
        seen(view, replace(view.snapshot, standing=Standing.FOLLOWING, observers=views))
    )
    assert shown.automation.mode is Mode.HELD
    assert shown.automation.reason == (
        "this daemon does not trust its own clock just now (it was held up, or a clock jumped), and looks "
        "again in a few seconds"
    )
    assert shown.headline.endswith("Nobody knows whether any node serves.")


@pytest.mark.parametrize(
    ("leader", "mode", "reason"),
    [
        (None, Mode.HELD, "this daemon does not trust its own clock"),
        ("watch", Mode.HELD, "this daemon does not trust its own clock"),
        ("w2", Mode.ACTING, "w2 leads; this daemon does not trust its own clock"),
    ],
)
def test_of_several_another_may_lead_meanwhile(leader: str | None, mode: Mode, reason: str) -> None:
    view = of_three(leader, watch=tilted)
    assert view.snapshot is not None
    now = summary.status_of(seen(view, replace(view.snapshot, standing=Standing.FOLLOWING))).automation
    assert now.mode is mode
    assert now.reason.startswith(reason)


@pytest.mark.parametrize(
    ("leader", "mode", "reason"),
    [
        (None, Mode.HELD, "nobody leads just now"),
        ("w2", Mode.ACTING, "w2 leads"),
    ],
)
def test_who_follows_says_who_leads(leader: str | None, mode: Mode, reason: str) -> None:
    now = summary.status_of(of_three(leader)).automation
    assert (now.mode, now.reason) == (mode, reason)


def test_its_own_earlier_process_may_still_have_the_lead() -> None:
    view = of_three("watch")
    assert view.snapshot is not None
    now = summary.status_of(seen(view, replace(view.snapshot, standing=Standing.FOLLOWING))).automation
    why = "an earlier process of this daemon still has the lead; its session runs out"
    assert (now.mode, now.reason) == (Mode.HELD, why)


def test_who_runs_with_another_configuration_is_named_and_automation_goes_on() -> None:
    shown = summary.status_of(of_three("watch", w3=of_another_configuration))
    assert shown.automation.mode is Mode.ACTING
    assert shown.notices == ("w3 does not count: runs with another configuration",)
    assert [each.void for each in shown.observers] == ["", "", "runs with another configuration"]


def test_who_alone_runs_with_another_configuration_says_so_itself() -> None:
    reason = "runs with another configuration than w2, w3, who are enough to decide without it"
    view = of_three("w2", w2=of_another_configuration, w3=of_another_configuration)
    shown = summary.status_of(view)
    assert (shown.automation.mode, shown.automation.reason) == (Mode.HELD, f"this daemon {reason}")
    assert shown.notices == (f"this daemon does not lead: it {reason}",)


@pytest.mark.parametrize("leader", ["watch", "w2"])
def test_with_too_few_observers_nothing_is_called_acting(leader: str) -> None:
    shown = summary.status_of(of_three(leader, age_s=30.0))
    assert shown.automation.mode is Mode.HELD
    assert shown.automation.reason == (
        "only 1 of 2 votes that are needed count; w2: last reported 30 s ago; w3: last reported 30 s ago"
    )


def test_while_the_store_is_out_of_reach_nobody_is_said_to_lead_and_the_age_of_the_record_is_told() -> None:
    view = of_three("w2")
    later = replace(view.now, boot_s=view.now.boot_s + 95, wall_s=view.now.wall_s + 95)
    shown = summary.status_of(replace(view, now=later, not_ready="ZooKeeper does not answer"))
    assert shown.recorded_age_s == 95
    assert not any(each.leads for each in shown.observers)
    assert shown.notices == ("what is recorded was read 1 min 35 s ago; what is seen of the nodes is of now",)


def test_a_lead_that_would_not_count_any_more_is_not_shown_as_one() -> None:
    view = of_three("watch")
    assert summary.status_of(view).standing is Standing.LEADING
    assert summary.status_of(replace(view, may_act=False)).standing is Standing.FOLLOWING


def test_another_process_under_the_same_name_is_told_of() -> None:
    (notice,) = summary.status_of(replace(of_three(), rival=True)).notices
    assert notice.startswith("another process reports as watch")


def test_the_observers_as_a_person_reads_them() -> None:
    view = replace(
        of_three("w2", w3=of_another_configuration),
        apart={"w2": "", "w3": "its certificate is made out to mail-b"},
    )
    text = render.status(summary.status_of(view), UTC)
    block = text[text.index("Observers") :].split("\n\n")[0]
    assert block == (
        "Observers  watch (graz): reported 0 s ago\n"
        "           w2 (linz): leads; reported 1 s ago\n"
        "           w3 (wien): does not count: runs with another configuration; not\n"
        "           connected to directly: its certificate is made out to mail-b"
    )


def test_who_hears_of_nobody_does_not_blame_the_others() -> None:
    shown = summary.status_of(of_three("w2", age_s=float("inf"), watch=deaf))
    (cut,) = shown.cuts
    assert cut == "watch alone is heard of, and does not reach mail-a: it may itself be cut off"
    assert shown.observers[1].void == "has not reported since this daemon started"


def test_while_the_store_is_out_of_reach_explain_says_that_nothing_is_done_and_status_what_to_look_at() -> (
    None
):
    view = replace(of_three("w2"), not_ready="there is no connection to ZooKeeper: zk-a does not answer")
    (first, *_) = summary.explanations_of(view, "mail-a").explanations
    assert first.so == "Nothing is done: there is no connection to ZooKeeper: zk-a does not answer."
    assert summary.status_of(view).next[0].command == "systemctl status zookeeper"


def deaf(report: Report) -> Report:
    """mail-a does not answer this observer at all."""
    lost = tuple(scenes.down(each.service, FailureKind.TIMEOUT, 60.0) for each in report.nodes[0].services)
    silent = replace(report.nodes[0], services=lost, facts=None, helper_error="no answer")
    return replace(report, nodes=(silent, *report.nodes[1:]))


def test_a_line_that_seems_to_be_cut_is_named() -> None:
    view = of_three("w2", w3=deaf)
    shown = summary.status_of(view)
    assert shown.automation.mode is Mode.ACTING
    assert shown.cuts == ("w3 does not reach mail-a; others do",)
    assert shown.observers[2].reaches == {"mail-a": Reach.NO, "mail-b": Reach.YES}
    assert "Cut        w3 does not reach mail-a; others do\n" in render.status(shown, UTC)
