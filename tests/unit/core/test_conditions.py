"""Evidence about a (node, endpoint) becomes one condition, with its cause."""

from dataclasses import replace

import pytest
from tests.unit.core.scene import GIB, MAIL, Scene, facts, imap_and_smtp, policy_of

from mailward.controller.core.conditions import Judgement, condition_of, restart_seen
from mailward.controller.core.sight import see
from mailward.model.decision import Condition
from mailward.model.fencing import Space, UnitState
from mailward.model.health import Certificate, FailureKind, ProbeResult
from mailward.model.snapshot import Snapshot
from mailward.model.state import Cause

MIB = 1024 * 1024


def judge(scene: Scene, node: str = "a", endpoint: str = MAIL) -> Judgement:
    return condition_of(
        node, scene.policy.endpoint_by_name[endpoint], see(scene.snapshot()), scene.policy.rules
    )


def test_a_node_whose_services_all_answer_is_healthy() -> None:
    judged = judge(Scene())
    assert (judged.condition, judged.cause) == (Condition.HEALTHY, Cause.NONE)


def test_one_service_down_fails_the_endpoints_that_promise_it_and_no_others() -> None:
    scene = Scene(policy_of(endpoints=imap_and_smtp()))
    scene.down("a", "submission")
    assert judge(scene, endpoint=MAIL).condition is Condition.FAILED
    assert judge(scene, endpoint="imap.example.test").condition is Condition.HEALTHY


def test_down_outweighs_unknown_and_unknown_outweighs_up() -> None:
    scene = Scene()
    scene.unknown("a", "smtp")
    assert judge(scene).condition is Condition.UNKNOWN
    scene.down("a", "imaps")
    assert judge(scene).condition is Condition.FAILED


def test_evidence_names_every_failed_service() -> None:
    scene = Scene()
    scene.down("a", "imaps")
    scene.down("a", "smtp", kind=FailureKind.TEMPFAIL, stage="banner")
    assert judge(scene).evidence == "smtp DOWN: tempfail at banner; imaps DOWN: refused at connect"


def test_nothing_answering_at_all_is_unreachable_and_a_refusal_is_failed() -> None:
    scene = Scene()
    scene.gone("a")
    judged = judge(scene)
    assert (judged.condition, judged.cause) == (Condition.UNREACHABLE, Cause.UNREACHABLE)
    scene.down("a")
    judged = judge(scene)
    assert (judged.condition, judged.cause) == (Condition.FAILED, Cause.SERVICE)


def test_a_node_whose_helper_still_answers_is_not_unreachable() -> None:
    scene = Scene()
    scene.gone("a", for_s=3.0)
    scene.facts["a"] = facts("a")
    assert judge(scene).condition is Condition.FAILED


def test_what_a_helper_said_before_everything_fell_silent_is_no_answer() -> None:
    """A router flapped four times; whoever decided soon after still had the helper's last word and called it
    a failed service. So half of the flaps counted under another cause, and the hold-down did not grow."""
    scene = Scene()
    scene.gone("a", for_s=3.0)
    scene.facts["a"], scene.facts_age_s = facts("a"), 3.5
    judged = judge(scene)
    assert (judged.condition, judged.cause) == (Condition.UNREACHABLE, Cause.UNREACHABLE)


def test_a_failure_lasts_until_the_newest_probe_that_failed_and_not_one_that_went_well() -> None:
    """A cut of 43 s with a grace of 45 s: when it was over, one service answered again, the other had not
    been probed yet, and the first one's good answer was taken for the newest sign of its failure."""
    scene = Scene()
    scene.down("a", "smtp", for_s=45.0)
    scene.seen["a", "smtp"] = replace(scene.seen["a", "smtp"], failure=None)
    scene.down("a", "imaps", for_s=5.0)
    judged = judge(scene)
    assert (judged.failing_s, judged.recovering) == (5.0, False)


def test_a_node_with_one_service_that_answers_is_not_unreachable() -> None:
    scene = Scene()
    scene.gone("a")
    scene.up("a", "smtp")
    assert judge(scene).condition is Condition.FAILED


@pytest.mark.parametrize(
    ("free_bytes", "free_inodes", "full"),
    [
        (64 * MIB, 1000, False),
        (64 * MIB - 1, 10**6, True),
        (10 * GIB, 999, True),
        (0, 0, True),
    ],
)
def test_a_disk_is_full_without_bytes_or_without_inodes(
    free_bytes: int, free_inodes: int, full: bool
) -> None:
    scene = Scene()
    scene.disk("a", free_bytes, free_inodes)
    judged = judge(scene)
    assert judged.condition is (Condition.FAILED if full else Condition.HEALTHY)
    if full:
        assert judged.cause is Cause.DISK
        assert judged.evidence.startswith("/var/mail has ")


def test_a_small_file_system_is_not_full_for_want_of_inodes_it_never_had() -> None:
    scene = Scene()
    space = Space(10 * GIB, 20 * GIB, 500, 2000)
    scene.facts["a"] = replace(facts("a"), paths={"/var/mail": space})
    assert judge(scene).condition is Condition.HEALTHY


def test_a_file_system_that_counts_no_inodes_is_not_full() -> None:
    """btrfs says 0 of 0."""
    scene = Scene()
    scene.facts["a"] = replace(facts("a"), paths={"/var/mail": Space(10 * GIB, 20 * GIB, 0, 0)})
    assert judge(scene).condition is Condition.HEALTHY


def test_room_that_could_not_be_read_is_not_a_full_disk() -> None:
    scene = Scene()
    scene.facts["a"] = replace(facts("a"), paths={"/var/mail": Space(None, None, None, None)})
    assert judge(scene).condition is Condition.HEALTHY


def test_a_full_disk_outweighs_services_nobody_knows_about() -> None:
    scene = Scene()
    scene.unknown("a")
    scene.disk("a", 0)
    assert judge(scene).condition is Condition.FAILED


@pytest.mark.parametrize(("days", "condition"), [(6.9, Condition.DEGRADED), (7.0, Condition.HEALTHY)])
def test_a_certificate_about_to_expire_is_a_warning(days: float, condition: Condition) -> None:
    scene = Scene()
    snapshot = with_certificate(scene.snapshot(), days)
    judged = condition_of("a", scene.policy.endpoints[0], see(snapshot), scene.policy.rules)
    assert judged.condition is condition
    if condition is Condition.DEGRADED:
        assert "certificate has 7 days left" in judged.evidence


def with_certificate(snapshot: Snapshot, days: float) -> Snapshot:
    (view,) = snapshot.observers
    assert view.report is not None
    result = ProbeResult(None, certificate=Certificate(("x",), days))
    nodes = tuple(
        replace(node, services=tuple(replace(s, last=result) for s in node.services))
        for node in view.report.nodes
    )
    return replace(snapshot, observers=(replace(view, report=replace(view.report, nodes=nodes)),))


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        (UnitState.ACTIVE, ""),
        (UnitState.FAILED, ""),
        (UnitState.INACTIVE, ""),
        (UnitState.UNKNOWN, ""),
        (UnitState.RESTARTING, "restart"),
        (UnitState.STARTING, "restart"),
        (UnitState.STOPPING, "restart"),
    ],
)
def test_a_unit_on_its_way_is_a_restart(state: UnitState, seen: str) -> None:
    assert restart_seen(replace(facts("a"), units={"dovecot": state})) == seen


def test_a_package_manager_at_work_is_an_upgrade() -> None:
    busy = replace(facts("a"), package_manager=True, units={"dovecot": UnitState.RESTARTING})
    assert restart_seen(busy) == "upgrade"
    assert restart_seen(None) == ""
