"""A switchover is struck at each of its steps: its target breaks or is lost, replication stops, whoever leads
is killed. Somebody serves again, who has all the mail: the old one, except where the new one had everything
already. Never both.

The leader is held when the step is recorded and nothing of it has been sent; what is done to the others then
is what the step finds.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from tests.lab.harness import trapped
from tests.lab.harness.audit import audit
from tests.lab.harness.both import Both
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import DOMAIN, DSYNC
from tests.lab.harness.load import Load
from tests.lab.harness.moving import RATE
from tests.lab.harness.node import MailNode
from tests.lab.harness.sites import WITNESS, Sites
from tests.lab.harness.standing import roles
from tests.lab.harness.waiting import wait_clear, wait_until

from mailward.controller.core.operations import STEPS_IN_A_CLUSTER
from mailward.model.state import Kind, Step

STEPS = STEPS_IN_A_CLUSTER[Kind.SWITCHOVER]
PATIENCE = {"policy": {"step_patience_s": 20}}
AT_STEP_WITHIN_S, ENDED_WITHIN_S = 70, 120
UNREPLICATED = f"""table inet lab_unreplicated {{
chain incoming {{
type filter hook input priority -300; policy accept;
tcp dport {DSYNC} reject with tcp reset
}}
}}
"""


@dataclass(frozen=True)
class Trouble:
    """`strike` is told who served and who is to serve; `ends` with the old one or the new one serving, or
    either; `days` are the steps of every day."""

    name: str
    strike: Callable[[Sites, str, str], object]
    ends: Callable[[Step], str]
    days: tuple[Step, ...]
    number: signal.Signals = signal.SIGSTOP


def stop_replication(sites: Sites) -> None:
    for node in sites.cluster.nodes.values():
        node.run("nft", UNREPLICATED)


def let_it_replicate(node: MailNode) -> None:
    node.shell("nft delete table inet lab_unreplicated 2>/dev/null", check=False)


def with_what_is_replicated(step: Step) -> str:
    """Mail that came in before the ports closed is missing on the new one."""
    return "old" if step is Step.FENCE else "either" if step is Step.CATCH_UP else "new"


TROUBLES = (
    Trouble("target breaks", lambda sites, _, new: sites.at[new].crash(), lambda _: "old", (Step.CHECK,)),
    Trouble("target is lost", lambda sites, _, new: sites.at[new].lose(), lambda _: "old", (Step.PROMOTE,)),
    Trouble(
        "replication stops", lambda sites, *_: stop_replication(sites), with_what_is_replicated, (Step.FENCE,)
    ),
    Trouble("leader is killed", lambda *_: None, lambda _: "either", (Step.PROMOTE,), signal.SIGKILL),
)


def cases() -> Iterator[object]:
    for trouble in TROUBLES:
        for step in STEPS:
            marks = [] if step in trouble.days else [pytest.mark.long]
            yield pytest.param(trouble, step, id=f"{trouble.name.replace(' ', '-')}-{step}", marks=marks)


CASES = list(cases())


@dataclass(frozen=True)
class Scene:
    sites: Sites
    trap: trapped.Trap


@pytest.fixture(scope="module")
def running_scene(running_cluster: Cluster) -> Iterator[Scene]:
    running_cluster.heal()
    trap = trapped.Trap(running_cluster.folder / "trap.json")
    with Sites(
        running_cluster, PATIENCE, program=trapped.PROGRAM, env={trapped.TRAP: str(trap.file)}
    ) as sites:
        yield Scene(sites, trap)


@pytest.fixture
def scene(running_scene: Scene, told_of_failures: None) -> Scene:
    return running_scene


@pytest.mark.parametrize(("trouble", "step"), CASES)
def test_it_ends_with_one_that_serves_and_has_all_the_mail(
    scene: Scene, trouble: Trouble, step: Step
) -> None:
    sites, cluster = scene.sites, scene.sites.cluster
    sites.mend()
    for node in cluster.nodes.values():
        let_it_replicate(node)
    old, new = sites.make_whole()
    if sites.daemons.leader() == new:  # it is struck at its step, and others go on
        sites.daemons.make_lead(WITNESS)
        sites.settle(old)
    known = set(sites.ids())
    with Both(cluster) as both:
        with Load(cluster, f"{trouble.name}-{step}".replace(" ", "-"), RATE, mx=f"mail.{DOMAIN}") as load:
            time.sleep(2)
            scene.trap.set(Kind.SWITCHOVER, step, trouble.number)
            struck = sites.daemons.leader()
            sites.daemons.asked().do("switchover", new)
            wait_until(lambda: scene.trap.is_sprung, f"the leader is at step {step}", AT_STEP_WITHIN_S)
            trouble.strike(sites, old, new)
            if step is Step.FENCE:
                taken = load.send(10_000, cluster.nodes[old].address)
                followed = trouble.number is signal.SIGKILL  # by one who may have closed it by now
                assert taken or followed
            if trouble.number is signal.SIGSTOP:
                os.kill(sites.daemons.each[struck].pid, signal.SIGCONT)
            wanted = {"old": old, "new": new, "either": ""}[trouble.ends(step)]
            took_s = wait_clear(partial(not_ended, sites, known, wanted), "it has ended", ENDED_WITHIN_S)
            served_then = sites.active()
            sites.mend()
            for node in cluster.nodes.values():
                let_it_replicate(node)
            sites.settle(served_then)
        report = audit(cluster, load)
    ended = [each for each in sites.ended() if each["id"] not in known and each["kind"] == "switchover"]
    print(
        f"{trouble.name} at {step}: {ended[0]['ending']} after {took_s:.1f} s, {served_then} "
        f"({'old' if served_then == old else 'new'}) serves; nobody greeted for {both.silence_s():.1f} s; "
        f"{ended[0]['detail'] or 'no notes'}; {report}"
    )
    assert both.at_once() == []
    assert len(ended) == 1, ended
    assert report.is_clean, report


def not_ended(sites: Sites, known: set[str], wanted: str) -> str:
    """What is lacking until the switchover is over, and what came of it as well, and a node serves (''
    `wanted`: any); '' once nothing is."""
    code, status = sites.leader.get("/v1/status")
    if code != 200:
        return f"its status is {code}"
    if (running := status["operation"]) is not None:
        return f"a {running['kind']} is at {running['step']}: {running['waits_for']}"
    if not {each["id"] for each in status["ended"] if each["kind"] == Kind.SWITCHOVER} - known:
        return "no switchover is among what has ended"
    serving = [name for name, phase in roles(status).items() if phase == "in-service"]
    return "" if serving and wanted in ("", *serving) else f"{serving} serve, not {wanted or 'anybody'}"
