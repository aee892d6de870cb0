"""A cluster as people see it and set it up: who serves is said once, what a person has to do stands first."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from tests.unit.app.set_up import configured, mailward
from tests.unit.core.cluster.test_failback import failed_over, preferring
from tests.unit.core.scene import Scene, cluster_of, facts

from mailward.app import render, summary
from mailward.app.exits import Exit
from mailward.app.live import View
from mailward.app.status import Mode, Progress, RequestStatus, Status
from mailward.model.fencing import FenceOutcome
from mailward.model.orders import Result
from mailward.model.policy import Automation, Failback, RungKind
from mailward.model.snapshot import Standing
from mailward.model.state import Ending, RequestKind

Golden = Callable[[str, str], None]


def healthy() -> Scene:
    return Scene.of_a_cluster(cluster_of(rungs=(RungKind.HELPER, RungKind.AGENT)))


def held() -> Scene:
    scene = healthy()
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": Result.UNKNOWN})
    scene.details.update(
        {"order-ports": "ssh: no route to host", "power-off": "the controller does not answer"}
    )
    scene.run(40)
    return scene


def switched_off() -> Scene:
    """Who served could not be closed, and its power switch says off."""
    scene = healthy()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.details["order-ports"] = "ssh: no route to host"
    scene.run(40)
    return scene


def moving() -> Scene:
    scene = healthy()
    scene.lag("a", "b", 2.0)
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(5)
    return scene


def opened_by_hand() -> Scene:
    scene = healthy()
    scene.facts["b"] = replace(facts("b"), forced=True)
    scene.run(60)
    return scene


def too_much_lost() -> Scene:
    """What a person accepted was less."""
    scene = healthy()
    scene.lag("a", "b", 400.0)
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "power-off": None})
    scene.ask(RequestKind.FAILOVER, "a", force=True)
    scene.run(5)
    scene.lag("a", "b", 2000.0)
    scene.run(5)
    return scene


def to_go_back() -> Scene:
    """By itself, later."""
    scene = failed_over()
    scene.run(120, every_s=5)
    return scene


def to_be_moved_back() -> Scene:
    """By a person."""
    return failed_over(preferring(Failback.MANUAL))


def two_serve() -> Scene:
    """A person has vouched for who was only cut off, and nobody can close it."""
    scene = Scene.of_a_cluster(cluster_of(rungs=()))
    scene.gone("a", for_s=31)
    scene.run(70)
    assert scene.state.operation is not None
    scene.vouch("a", scene.state.operation.id)
    scene.run(30)
    scene.up("a")
    scene.run(3)
    return scene


def dns_is_silent() -> Scene:
    """The new one serves, and a name server does not take it."""
    scene = healthy()
    scene.answers["publish"] = Result.UNKNOWN
    scene.details["publish"] = "no answer in 4 s"
    scene.ask(RequestKind.SWITCHOVER, "b")
    scene.run(25)
    return scene


SCENES = {
    "cluster_two_serve": two_serve,
    "cluster_dns_is_silent": dns_is_silent,
    "cluster_to_be_moved_back": to_be_moved_back,
    "cluster_to_go_back": to_go_back,
    "cluster_healthy": healthy,
    "cluster_held": held,
    "cluster_moving": moving,
    "cluster_opened_by_hand": opened_by_hand,
    "cluster_switched_off": switched_off,
    "cluster_too_much_lost": too_much_lost,
}


@pytest.mark.parametrize("name", SCENES)
def test_each_situation_of_a_cluster_is_told_as_kept(name: str, golden: Golden) -> None:
    scene = SCENES[name]()
    view = View("watch", scene.now, scene.now, scene.snapshot(), scene.look())
    golden(f"status_{name}.txt", render.status(summary.status_of(view), UTC))
    golden(f"explain_{name}.txt", render.explanations(summary.explanations_of(view, None), UTC))


def notices(scene: Scene) -> tuple[str, ...]:
    view = View("watch", scene.now, scene.now, scene.snapshot(), scene.look())
    return summary.status_of(view).notices


def seen(scene: Scene) -> Status:
    return summary.status_of(View("watch", scene.now, scene.now, scene.snapshot(), scene.look()))


def test_who_is_switched_off_comes_back_by_itself_only_where_no_person_took_it_out() -> None:
    scene = healthy()
    scene.gone("a", for_s=31)
    scene.answers["order-ports:a"] = Result.UNKNOWN
    scene.ask(RequestKind.FAILOVER, "a")
    scene.run(40)
    on, readmit = seen(scene).next
    assert (on.command, readmit.command) == ("switch a on", "mailward readmit a")
    assert "by itself" not in on.why
    power = seen(scene).nodes[0].power
    assert power is not None
    assert (power.off, power.for_s) == (FenceOutcome.CONFIRMED, 40.0)
    scene.facts["a"] = facts("a")
    scene.run(1)
    assert seen(scene).nodes[0].power is None
    assert "switch a on" not in [each.command for each in seen(scene).next]


def test_who_may_be_off_is_not_told_as_switched_off() -> None:
    scene = held()
    power = seen(scene).nodes[0].power
    assert power is not None
    assert (power.off, power.detail) == (FenceOutcome.UNKNOWN, "the controller does not answer")
    assert "switched" not in render.status(seen(scene), UTC)
    scene = switched_off()
    unknown = tuple(replace(each, off=FenceOutcome.UNKNOWN) for each in scene.state.power)
    scene.state = replace(scene.state, power=unknown)
    assert "a is out of service for 40 s:" in seen(scene).headline
    assert "switch a on" not in [each.command for each in seen(scene).next]


def test_who_is_switched_off_while_the_failover_runs_is_told_and_not_to_be_switched_on_yet() -> None:
    scene = healthy()
    scene.gone("a", for_s=31)
    scene.answers.update({"order-ports:a": Result.UNKNOWN, "order-ports:b": None})
    scene.run(5)
    assert "a was switched off, read back off" in render.status(seen(scene), UTC)
    assert "mailward switched the node off 5 s ago" in render.status(seen(scene), UTC)
    assert "switch a on" not in [each.command for each in seen(scene).next]


@pytest.mark.parametrize("ending", [Ending.DONE, Ending.HANDED_OVER])
def test_the_answer_to_a_request_tells_who_was_switched_off_once(ending: Ending) -> None:
    """However its operation ended."""
    noted = "a was switched off, read back off"
    operation = seen(switched_off()).ended[0]
    assert operation.notes == (noted,)
    detail = noted if ending is Ending.DONE else "ns1 refuses"
    over = replace(operation, ending=ending, detail=detail)
    answer = RequestStatus("r1", Progress(ending.value), detail, over)
    assert noted in render.request(answer, 200)
    assert render.request(answer, 200).count(noted) == 1
    running = replace(answer, progress=Progress.RUNNING, operation=replace(operation, ending=None), detail="")
    assert render.request(running, 200).count(noted) == 1


def test_a_node_that_opens_by_itself_when_it_boots_is_told() -> None:
    scene = healthy()
    assert not [each for each in notices(scene) if "boot" in each]
    for name, boot in (("a", "as-ordered"), ("b", None)):
        known = scene.facts[name]
        assert known is not None
        scene.facts[name] = replace(known, boot=boot)
    opens, untold = (each for each in notices(scene) if "boot" in each)
    assert opens.startswith("a: it opens by itself when it boots, and then two serve")
    assert untold.startswith("b: its mailward-node does not say whether the node boots closed")


def test_where_all_serve_a_node_may_boot_as_it_was_ordered() -> None:
    scene = Scene.settled()
    known = scene.facts["a"]
    assert known is not None
    scene.facts["a"] = replace(known, boot="as-ordered")
    assert not [each for each in notices(scene) if "boot" in each]


def test_two_that_serve_are_not_healthy_and_only_where_one_is_to() -> None:
    scene = two_serve()
    assert not seen(scene).healthy
    assert "a answers clients, and must not" in seen(scene).headline
    scene.policy = replace(scene.policy, automation=Automation.OBSERVE)
    assert "must not" not in seen(scene).headline


def test_ports_that_root_has_opened_are_told_by_whoever_follows_too() -> None:
    scene = opened_by_hand()
    scene.standing = Standing.FOLLOWING
    view = View("watch", scene.now, scene.now, scene.snapshot(), scene.look())
    now = summary.status_of(view).automation
    assert (now.mode, now.node) == (Mode.HELD, "b")
    scene.facts["b"] = facts("b")
    view = View("watch", scene.now, scene.now, scene.snapshot(), scene.look())
    assert "by hand" not in summary.status_of(view).automation.reason


@pytest.fixture
def of_a_cluster(tmp_path: Path) -> Path:
    config = configured(tmp_path)
    ssh = "{ssh: {key_file: key, known_hosts_file: known_hosts}}"
    for name in ("key", "known_hosts"):
        (tmp_path / name).write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        (tmp_path / name).chmod(0o600)
    text = config.read_text().replace("deployment: hybrid", "deployment: cluster")
    config.write_text(text.replace("helper: none", f"helper: {ssh}"))
    return config


def test_state_init_of_a_cluster_is_told_who_serves(of_a_cluster: Path) -> None:
    unsaid = mailward("state", "init", "--config", str(of_a_cluster))
    assert unsaid.exit_code == Exit.FAILED
    assert (
        "say which node serves now: mailward state init --active NODE, one of mail-a, mail-b" in unsaid.stderr
    )
    unknown = mailward("state", "init", "--active", "mail-c", "--config", str(of_a_cluster))
    assert "no node is named 'mail-c'; there are: mail-a, mail-b" in unknown.stderr
    made = mailward("state", "init", "--active", "mail-b", "--without-asking", "--config", str(of_a_cluster))
    assert made.exit_code == Exit.DONE, made.stderr
    assert "mail-b serves; the others stand by, and their client ports will be closed." in made.output
    shown = mailward("state", "show", "--config", str(of_a_cluster)).output
    assert shown.count('"phase": "in-service"') == 1
    assert shown.count('"phase": "standby"') == 1


def test_where_all_serve_nobody_is_said_to(tmp_path: Path) -> None:
    config = configured(tmp_path)
    wrong = mailward("state", "init", "--active", "mail-a", "--config", str(config))
    assert wrong.exit_code == Exit.FAILED
    assert "--active is for a cluster; in a hybrid all serve" in wrong.stderr
