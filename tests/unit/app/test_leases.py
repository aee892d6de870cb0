"""What people and monitors see of leases: renewed when, run out, by promise, and who does not lead yet."""

from dataclasses import replace

import pytest
from tests.unit.app import scenes
from tests.unit.app.fakes import FakeDaemon
from tests.unit.app.test_metrics import families, value
from tests.unit.core.cluster.test_leases import LEASE_S, armed, closed, opened, said, says, unarmed
from tests.unit.core.scene import Scene, Voice

from mailward.app import render, summary
from mailward.app.live import View
from mailward.controller.lease import Kept
from mailward.model.state import Phase, RequestKind


def view_with(lease_s: float | None = 15.0, left_s: float | None = 14.0) -> View:
    facts = scenes.facts(lease_s=lease_s, lease_left_s=left_s)
    return replace(scenes.healthy(), facts_a=facts, facts_age_a_s=0.5).view()


def shown(view: View) -> str:
    return " ".join(render.status(summary.status_of(view), width=200).split())


def test_the_line_of_a_node_shows_when_its_lease_was_renewed() -> None:
    assert "leased, renewed 2 s ago" in shown(view_with())


def test_a_lease_that_has_run_out_is_told_loudly() -> None:
    assert "their lease HAS RUN OUT, clients are refused" in shown(view_with(left_s=0.0))


def test_of_a_lease_that_cannot_be_read_nobody_knows_since_when() -> None:
    assert "leased, nobody knows since when" in shown(view_with(left_s=None))


def test_without_a_lease_nothing_is_said_of_it() -> None:
    assert "lease" not in shown(view_with(None, None))


def test_the_metrics_say_how_old_the_lease_is() -> None:
    for left_s, age_s, ran_out in ((14.0, 2.0, 0.0), (0.0, None, 1.0)):
        found = families(FakeDaemon(view_with(left_s=left_s)))
        assert value(found, "mailward_lease_age_seconds", node="mail-a") == age_s
        assert value(found, "mailward_lease_ran_out", node="mail-a") == ran_out
        assert value(found, "mailward_lease_ran_out", node="mail-b") is None


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (Kept("mail-a", True, 9.0, "mail-b does not answer", False),
         "the lease of mail-a is not renewed: mail-b does not answer"),
        (Kept("mail-a", True, 1.0, "", True),
         "mail-a goes on serving without the store: all daemons have promised not to lead. Do not restart "
         "the daemon beside mail-a now: it could renew nothing, and the client ports would close; where they "
         "have: mailward-node open --force on mail-a"),
    ],
)  # fmt: skip
def test_who_is_beside_the_node_says_why_it_is_not_renewed_or_by_what_it_is(kept: Kept, said: str) -> None:
    assert said in shown(replace(view_with(), lease=kept))


def test_a_lease_that_is_renewed_needs_no_word() -> None:
    well = Kept("mail-a", True, 1.0, "", False)
    assert summary.status_of(replace(view_with(), lease=well)).notices == ()


def in_a_cluster(scene: Scene) -> str:
    scene.run(5)
    view = View("w", scene.now, scene.now, scene.snapshot(), scene.look())
    return " ".join(summary.status_of(view).notices)


def test_who_was_opened_by_hand_is_under_no_lease_and_what_hands_it_back_is_said() -> None:
    scene = armed()
    says(scene, "a", replace(said("a", lease_s=None, left_s=None), forced=True))
    shown = in_a_cluster(scene)
    assert "root has opened a by hand: it is under no lease until it is ordered again" in shown
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    says(scene, "a", closed("a"))
    scene.run(20)
    assert scene.phase("b") is Phase.IN_SERVICE
    assert opened(scene) == [("b", LEASE_S)]


def test_a_lease_that_no_daemon_renews_is_told_before_it_runs_out() -> None:
    scene = armed()
    says(scene, "a", said("a"))
    assert "lease" not in in_a_cluster(scene)
    del scene.kept["a"]
    assert "a is open under a lease, and no daemon renews it" in in_a_cluster(scene)


def test_who_is_open_without_a_lease_waits_for_the_daemon_beside_it() -> None:
    scene = unarmed()
    scene.facts["a"] = said("a", lease_s=None, left_s=None)
    scene.voices["a"] = Voice(digest="d0")
    assert "a is open without a lease: nobody would renew it" in in_a_cluster(scene)


def test_who_has_promised_not_to_lead_says_so() -> None:
    assert "this daemon does not lead yet: not before 12 s" in shown(
        replace(view_with(), bound="not before 12 s have passed: it has promised so")
    )
