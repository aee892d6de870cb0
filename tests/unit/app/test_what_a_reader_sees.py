"""`status` and `explain` at 80 columns in every situation, kept as golden files to be read by people."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.unit.app import scenes
from tests.unit.app.scenes import Scene

from mailward.app import advice, render, summary
from mailward.app.status import Explanations, Mode, Status
from mailward.model.decision import Answered, Condition, Explanation, Finding, Goal
from mailward.model.fencing import Space
from mailward.model.health import Verdict
from mailward.model.policy import Endpoint
from mailward.model.replication import Confidence
from mailward.model.snapshot import Standing
from mailward.model.state import Kind, Phase, PhaseRecord, Step

Golden = Callable[[str, str], None]


@pytest.mark.parametrize("name", scenes.SCENES)
def test_status_of_each_situation_is_as_kept(name: str, golden: Golden) -> None:
    golden(f"status_{name}.txt", render.status(summary.status_of(scenes.SCENES[name]().view()), UTC))


@pytest.mark.parametrize("name", scenes.SCENES)
def test_explain_in_each_situation_is_as_kept(name: str, golden: Golden) -> None:
    view = scenes.SCENES[name]().view()
    golden(f"explain_{name}.txt", render.explanations(summary.explanations_of(view, "mail-a"), UTC))


def test_status_before_the_first_round_says_that_it_is_starting(golden: Golden) -> None:
    golden("status_starting.txt", render.status(summary.status_of(scenes.starting()), UTC))


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("name", scenes.SCENES)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    view = scenes.SCENES[name]().view()
    texts = (
        render.status(summary.status_of(view), UTC, width),
        render.explanations(summary.explanations_of(view, None), UTC, width),
    )
    for line in "".join(texts).splitlines():
        assert len(line) <= width, line
        assert line.isascii()


def test_a_controller_that_another_one_has_superseded_is_held_and_says_so_first() -> None:
    view = scenes.healthy().view()
    assert view.decision is not None
    why = "DNS target primary obeys a higher token than ours"
    text = render.status(
        summary.status_of(replace(view, decision=replace(view.decision, superseded=why))), UTC
    )
    assert text.splitlines()[0].startswith(f"Automation: HELD: {why}")


def test_who_is_superseded_is_told_what_to_type_and_that_nothing_comes_back_by_itself() -> None:
    """Found in the lab: the sentence was cut off before its command, and what followed was not true."""
    scene = scenes.withdrawn()
    view = scene.view()
    assert view.decision is not None
    why = f"mailward-node on mail-b remembers {scenes.token(9)}, {'x' * 250}: do this: mailward state init"
    view = replace(view, decision=replace(view.decision, superseded=why, notices=(why,)))
    assert summary.status_of(view).automation.reason == why
    for text in (
        render.status(summary.status_of(view), UTC, 200),
        render.explanations(summary.explanations_of(view, None), UTC, 200),
    ):
        assert "do this: mailward state init" in " ".join(text.split())
        assert f"mailward state init --adopt {scenes.token(1).store_id}" in text
        assert "by itself" not in text


def test_a_node_kept_out_by_hand_is_named_at_once_as_the_remedy() -> None:
    view = replace(scenes.drained(), mail_b=scenes.held().mail_a).view()
    shown = summary.status_of(view)
    assert shown.automation.mode is Mode.HELD
    assert shown.automation.reason == (
        "cannot withdraw mail-b: mail-a is out, taken out by hand; type: mailward readmit mail-a"
    )
    assert shown.next[0].command == "mailward readmit mail-a"
    text = render.explanations(summary.explanations_of(view, "mail-b"), UTC)
    assert "\n           type: mailward readmit mail-a\n" in text


def test_nobody_is_called_out_of_service_by_an_old_copy_of_the_store() -> None:
    """Found with a restored store: no node served well, it said, and one served everybody."""
    for scene in (scenes.old_copy(), replace(scenes.old_copy(), standing=Standing.FOLLOWING)):
        view = scene.view()
        shown = summary.status_of(view)
        assert shown.automation.mode is Mode.HELD
        assert shown.headline == (
            "What is recorded is not believed: the probes alone count. mail-b fails: imaps DOWN: refused at "
            "connect. mail-a serves."
        )
        for text in (
            render.status(shown, UTC),
            render.explanations(summary.explanations_of(view, None), UTC),
        ):
            assert "out of service" not in text
            assert "is still published" not in text
    lost = scenes.both_down().mail_a
    nobody = summary.status_of(replace(scenes.old_copy(), mail_a=lost, mail_b=lost).view()).headline
    assert nobody.endswith("No node is seen to serve.")


def test_what_an_old_copy_was_in_the_middle_of_does_not_run() -> None:
    going = scenes.operation(Kind.READMIT, "mail-a", Step.PUBLISH, 40, "x")
    assert summary.status_of(replace(scenes.old_copy(), operation=going).view()).operation is None


def test_what_is_waited_for_before_anything_is_recorded_is_named() -> None:
    view, waited = scenes.just_made().view(), "waiting up to 60 s for what mailward-node on mail-b remembers"
    for text in (
        render.status(summary.status_of(view), UTC),
        render.explanations(summary.explanations_of(view, "mail-a"), UTC),
    ):
        assert waited in " ".join(text.split())
        assert "mail-a and mail-b serve." in text


def test_what_runs_is_said_of_a_node_though_every_service_of_it_is_well() -> None:
    """Found in the lab: all were in service and healthy, it said, and the last step of a readmission waited
    for a name server that did not answer."""
    scene = replace(
        scenes.healthy(), operation=scenes.operation(Kind.READMIT, "mail-a", Step.PUBLISH, 40, "x")
    )
    text = render.status(summary.status_of(scene.view()), UTC)
    assert "mail-a is in the middle of a readmit (step publish)." in " ".join(text.split())


def test_a_healthy_pair_fits_on_a_screen_of_24_lines() -> None:
    text = render.status(summary.status_of(scenes.healthy().view()), UTC)
    assert len(text.splitlines()) <= 23


@pytest.mark.parametrize("name", scenes.SCENES)
def test_the_text_is_the_same_after_a_trip_through_json(name: str) -> None:
    shown = summary.status_of(scenes.SCENES[name]().view())
    adapter = TypeAdapter(Status)
    again = adapter.validate_json(adapter.dump_json(shown))
    assert render.status(again, UTC) == render.status(shown, UTC)


@pytest.mark.parametrize("name", scenes.SCENES)
def test_an_explanation_is_the_same_after_a_trip_through_json(name: str) -> None:
    shown = summary.explanations_of(scenes.SCENES[name]().view(), None)
    adapter = TypeAdapter(Explanations)
    assert adapter.validate_json(adapter.dump_json(shown)) == shown


def test_the_json_of_status_keeps_its_shape(golden: Golden) -> None:
    shown = TypeAdapter(Status).dump_python(summary.status_of(scenes.rejoining().view()), mode="json")
    shown["version"] = "VERSION"
    golden("status_rejoining.json", json.dumps(shown, indent=1) + "\n")


def test_a_stale_report_is_unknown_with_the_reason() -> None:
    shown = summary.status_of(replace(scenes.healthy(), report_age_s=41.0).view())
    services = [service for node in shown.nodes for service in node.services]
    assert {service.verdict for service in services} == {Verdict.UNKNOWN}
    assert services[0].evidence == "no fresh report (watch: last reported 41 s ago)"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"tilted": True}, "does not trust itself"), ({"config_digest": "other"}, "another configuration")],
)
def test_a_report_that_does_not_count_is_unknown_with_the_reason(change: dict[str, Any], reason: str) -> None:
    view = scenes.healthy().view()
    assert view.snapshot is not None
    (seen,) = view.snapshot.observers
    assert seen.report is not None
    observers = (replace(seen, report=replace(seen.report, **change)),)
    shown = summary.status_of(replace(view, snapshot=replace(view.snapshot, observers=observers)))
    assert shown.nodes[0].services[0].verdict is Verdict.UNKNOWN
    assert reason in shown.nodes[0].services[0].evidence


def test_a_node_at_whose_address_another_answers_is_unknown() -> None:
    """As the core counts it, although the dialogue itself went well."""
    known = scenes.policy()
    node_a, node_b = known.nodes
    nodes = (replace(node_a, hostname="mail-a.example.org"), replace(node_b, hostname="mail-b.example.org"))
    scene = replace(scenes.healthy(), policy=replace(known, nodes=nodes))
    mail_a, mail_b = summary.status_of(scene.view()).nodes
    assert {service.verdict for service in mail_a.services} == {Verdict.UP}
    assert {service.verdict for service in mail_b.services} == {Verdict.UNKNOWN}
    assert mail_b.services[0].evidence == "mail-a answered at this node's address"
    assert mail_b.services[0].verdicts == {"watch": Verdict.UNKNOWN}
    assert mail_b.services[0].for_s is None


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (Space(10 * 2**20, 2**30, 900, 1000), ("/var/vmail has 10 MiB free, less than 64",)),
        (Space(2**30, 2**32, 700, 1000), ()),
        (Space(2**30, 2**32, 900, 10**6), ("/var/vmail has 900 inodes free",)),
    ],
    ids=["full", "a small disk has few inodes", "no inodes"],
)
def test_a_path_is_short_of_room_where_it_is_for_the_core(space: Space, told: tuple[str, ...]) -> None:
    scene = replace(scenes.healthy(), facts_a=scenes.facts(paths={"/var/vmail": space}))
    shown = summary.status_of(scene.view()).nodes[0]
    assert shown.helper.low_space == told
    assert shown.endpoints[0].condition is (Condition.FAILED if told else Condition.HEALTHY)


def test_a_helper_claimed_in_an_earlier_epoch_is_not_claimed_now() -> None:
    view = scenes.healthy().view()
    assert view.snapshot is not None
    assert all(node.helper.claimed for node in summary.status_of(view).nodes)
    later = replace(view.snapshot, state=replace(view.snapshot.state, epoch=8))
    assert not any(node.helper.claimed for node in summary.status_of(replace(view, snapshot=later)).nodes)


def test_an_old_lag_figure_is_stale() -> None:
    old = replace(scenes.lag("mail-a", "mail-b", 3), age_s=61.0)
    shown = summary.status_of(replace(scenes.healthy(), lags=(old,)).view())
    assert [lag.confidence for lag in shown.lags] == [Confidence.STALE, Confidence.UNKNOWN]
    assert "mail-a to mail-b: 3 s (STALE, 1 min 2 s old)" in render.status(shown, UTC)


def test_a_running_grace_is_waited_for_and_not_called_held() -> None:
    waiting = Explanation(
        "mail-a",
        scenes.ENDPOINT,
        Condition.FAILED,
        "imaps DOWN: refused at connect",
        110,
        "failed in service",
        Goal.WITHDRAW,
        (Finding("grace", Answered.NO, "failing for 0.4 s, grace is 1 s"),),
    )
    assert summary.status_of(Scene(said=(waiting,)).view()).automation.mode is Mode.ACTING


def test_an_expired_pause_is_no_pause() -> None:
    scene = scenes.paused()
    assert scene.pause is not None
    over = replace(scene, pause=replace(scene.pause, until_wall_s=scenes.NOW_WALL - 1))
    assert summary.status_of(over.view()).automation.mode is not Mode.PAUSED


def test_a_controller_that_must_stop_is_held_with_its_reason() -> None:
    shown = summary.status_of(replace(scenes.healthy(), fatal="ns1 belongs to store 11112222").view())
    assert shown.automation.mode is Mode.HELD
    assert not shown.ready
    assert "ns1 belongs to store 11112222" in shown.automation.reason


def test_why_it_is_not_ready_is_not_cut_off_before_what_to_type() -> None:
    why = f"/var/lib/{'x' * 200}/state.json is not JSON: then: mailward state init --adopt {scenes.STORE}"
    shown = summary.status_of(replace(scenes.healthy(), not_ready=why).view())
    assert (shown.not_ready, shown.automation.reason) == (why, why)


def test_a_loop_that_stands_still_is_not_ready() -> None:
    view = replace(scenes.healthy().view(), now=scenes.at(-31))
    assert advice.not_ready(view) == "the loop has not gone round for 31 s"
    assert advice.not_ready(replace(view, now=scenes.at(-29))) == ""


def test_endpoints_of_a_node_that_differ_have_a_line_each() -> None:
    scene = scenes.withdrawn()
    second = Endpoint("smtp.example.org", ("smtp",), ("mail-a", "mail-b"), 30, ("ns1",))
    view = replace(scene, policy=replace(scene.policy, endpoints=(*scene.policy.endpoints, second))).view()
    assert view.snapshot is not None
    phases = (
        *view.snapshot.state.phases,
        PhaseRecord("mail-a", second.name, Phase.IN_SERVICE, scenes.at(9000)),
    )
    snapshot = replace(view.snapshot, state=replace(view.snapshot.state, phases=phases))
    text = render.status(summary.status_of(replace(view, snapshot=snapshot)), UTC)
    assert "\nmail-a (berlin)\n  mail.example.org  OUT for 3 min 4 s" in text
    assert "\n  smtp.example.org  IN-SERVICE for 2 h 30 min; now healthy\n" in text


def test_escape_sequences_of_others_never_reach_the_terminal() -> None:
    evil = "x\x1b[2J\x1b]0;owned\x07\r\ny\u202ez" + "A" * 10_000
    scene = replace(
        scenes.withdrawn(),
        error_a=evil,
        phase_a=replace(scenes.OUT_A, detail=evil),
        mail_b=(replace(scenes.up("smtp", 0.01), verdict=Verdict.DOWN, evidence=evil),),
        said=(Explanation("mail-a", scenes.ENDPOINT, Condition.FAILED, evil, 330, evil, Goal.READMIT,
                          (Finding("well", Answered.NO, evil, evil),)),),
        notices=(evil,),
        fatal=evil,
    )  # fmt: skip
    for shown in (
        render.status(summary.status_of(scene.view()), UTC),
        render.explanations(summary.explanations_of(scene.view(), None), UTC),
    ):
        assert all(char == "\n" or char.isprintable() for char in shown)
        assert len(shown) < 20_000


def test_there_is_always_something_to_type_next() -> None:
    for scene in scenes.SCENES.values():
        shown = summary.status_of(scene().view())
        commands = [each.command for each in shown.next]
        assert commands
        assert len(set(commands)) == len(commands) <= advice.MOST_SUGGESTIONS
        assert summary.explanations_of(scene().view(), "mail-a").next
