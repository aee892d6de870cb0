"""`mailward fence`: what would stop a node, and whether that works; nothing is stopped by it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.app.fakes import FakeDaemon
from tests.unit.app.set_up import configured
from tests.unit.app.test_command_line import Running, mailward
from tests.unit.app.test_http_api import TOKEN, Doors, call, opened
from tests.unit.core.scene import Scene, cluster_of, facts
from tests.unit.fencing.agents import Scripted, scripted

from mailward.app import ladder_text, ladders, render, rungs, summary
from mailward.app.commands import fencing
from mailward.app.daemon import Daemon
from mailward.app.exits import Exit
from mailward.app.live import View
from mailward.app.status import FenceStatus, RungTried, Worked
from mailward.configs.loading import load
from mailward.controller.coordination import local
from mailward.controller.coordination.first_state import first_state
from mailward.controller.core.admission import serving
from mailward.model.clock import Moment
from mailward.model.errors import StoreError
from mailward.model.fencing import OPEN, NodeFacts, Power, PowerReading, Scope
from mailward.model.policy import Deployment, Observer, Policy, Rules, RungKind
from mailward.model.report import LeaseReport
from mailward.model.snapshot import Snapshot, Standing
from mailward.model.state import Answer, Phase, Proven, Request, RequestKind

Golden = Callable[[str, str], None]
EVERY = (RungKind.ASK, RungKind.HELPER, RungKind.LEASE, RungKind.AGENT)
DAY_S = 86400.0


@dataclass
class Helper:
    """A helper that says this of its node, and counts how often it was asked."""

    facts: NodeFacts | str
    hangs: bool = False
    asked: int = 0

    async def status(self) -> NodeFacts | str:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        return self.facts


@dataclass
class Switch:
    """A power switch that reads this; whoever tries to switch it fails."""

    reading: PowerReading
    program: str = "fence_test"

    async def read(self) -> PowerReading:
        return self.reading

    async def off(self) -> None:
        raise AssertionError("a test switches nothing")

    on = off


def scene_of(policy: Policy | None = None) -> Scene:
    return Scene.of_a_cluster(policy or cluster_of(rungs=EVERY, rules=Rules(lease_s=15)))


def view_of(scene: Scene, observer: str = "watch") -> View:
    return View(observer, scene.now, scene.now, scene.snapshot(), scene.look())


def ready(node: str = "a", **changed: Any) -> NodeFacts:
    return replace(facts(node), ports=dict.fromkeys(("smtp", "submission", "imaps"), OPEN), **changed)


ON = PowerReading(Power.ON)


def tried(
    scene: Scene, node: str = "a", helper: Any = None, asked: Any = None, switch: Any = None
) -> dict[str, RungTried]:
    means = rungs.Means(scene.snapshot(), node, helper, asked, switch)
    return {each.rung: each for each in asyncio.run(rungs.try_all(means))}


# trying


def test_every_kind_of_rung_can_be_told_and_tried() -> None:
    assert set(rungs.TRIALS) == set(ladders.RUNGS) == set(RungKind)


@pytest.mark.parametrize(
    ("said", "worked", "detail"),
    [
        (ready(), Worked.WORKS, "a.test answers, and its firewall shows what was ordered"),
        (ready(applied=None), Worked.FAILS, "it answers, but its firewall cannot be asked"),
        (ready(applied=False), Worked.FAILS, "its firewall shows something else than was ordered"),
        (replace(ready(), ports={"smtp": OPEN}), Worked.FAILS, "does not list submission, imaps: it would"),
        ("ssh: no route to host", Worked.FAILS, "ssh: no route to host"),
    ],
)
def test_a_helper_works_when_its_firewall_does(said: Any, worked: Worked, detail: str) -> None:
    over_ssh, through_store = tried(scene_of(), helper=Helper(said)), tried(scene_of(), asked=Helper(said))
    for way, found in (("helper", over_ssh), ("ask", through_store)):
        assert (found[way].worked, detail in found[way].detail) == (worked, True), found[way].detail
    assert over_ssh["ask"].worked is through_store["helper"].worked is Worked.FAILS, "each by its own way"


@pytest.mark.parametrize(
    ("reading", "worked", "detail"),
    [
        (ON, Worked.WORKS, "fence_test reads on; its options are right"),
        (PowerReading(Power.OFF), Worked.FAILS, "reads off: if the node runs, it is the switch of another"),
        (PowerReading(Power.UNKNOWN, "status: exit code 1"), Worked.FAILS, "status: exit code 1"),
    ],
)
def test_a_power_switch_works_when_it_reads_on(reading: PowerReading, worked: Worked, detail: str) -> None:
    found = tried(scene_of(), switch=Switch(reading))["agent"]
    assert (found.worked, detail in found.detail) == (worked, True), found.detail


@pytest.mark.parametrize(
    ("node", "lease", "worked", "detail"),
    [
        ("a", LeaseReport("a", True), Worked.WORKS, "armed: watch renews it"),
        ("a", LeaseReport("a", False, 61.0), Worked.FAILS, "not armed: watch has renewed nothing for 1 min"),
        (
            "b",
            LeaseReport("b", False, 61.0),
            Worked.UNTRIED,
            "not armed: watch has renewed nothing for 1 min",
        ),
        ("a", LeaseReport("b", True), Worked.FAILS, "not armed: no daemon beside it tells of a lease"),
        ("a", None, Worked.FAILS, "not armed: no daemon beside it tells of a lease"),
    ],
)
def test_a_lease_works_while_it_is_renewed(
    node: str, lease: LeaseReport | None, worked: Worked, detail: str
) -> None:
    """A standby's is not: its ports are closed, and nothing is to be renewed."""
    scene = scene_of()
    snapshot = scene.snapshot()
    (seen,) = snapshot.observers
    assert seen.report is not None
    heard = replace(seen, report=replace(seen.report, lease=lease))
    means = rungs.Means(replace(snapshot, observers=(heard,)), node)
    found = {each.rung: each for each in asyncio.run(rungs.try_all(means))}["lease"]
    assert (found.worked, detail in found.detail) == (worked, True), found.detail


def test_what_this_daemon_has_no_way_to_fails() -> None:
    found = tried(scene_of())
    assert found["helper"].detail == found["ask"].detail == "this daemon has no way to it"
    assert found["agent"].detail == "this daemon has no power switch for it"


def test_one_that_keeps_no_deadline_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rungs, "MARGIN_S", -7.9)
    found = tried(scene_of(), helper=Helper(ready(), hangs=True), switch=Switch(ON))
    assert (found["helper"].worked, found["helper"].detail) == (Worked.FAILS, "no answer within 0.1 s")
    assert found["agent"].worked is Worked.WORKS
    took_s = found["helper"].took_s
    assert took_s is not None
    assert 0.1 <= took_s < 2


# telling


def shown_of(scene: Scene, *came: RungTried, observer: str = "watch") -> FenceStatus:
    return ladders.fence_of(view_of(scene, observer), "a", came)


CAME = (
    RungTried("ask", Worked.FAILS, "no hello within 2.5 s: the daemon beside a has not taken it up", 2.5),
    RungTried("helper", Worked.WORKS, "a.test answers, and its firewall shows what was ordered", 0.4),
    RungTried("lease", Worked.WORKS, "armed: a renews it", 0.0),
    RungTried("agent", Worked.FAILS, "status: exit code 1: Unable to connect to the fencing device", 2.13),
)


def ago(scene: Scene, seconds: float) -> Moment:
    return Moment("elsewhere", 0.0, scene.now.wall_s - seconds)


def test_the_ladder_is_told_as_kept(golden: Golden) -> None:
    scene = scene_of()
    scene.state = replace(scene.state, proven=(Proven("a", "helper", "watch", ago(scene, 3 * DAY_S)),))
    shown = shown_of(scene, *CAME)
    golden("fence_dry_run.txt", ladder_text.dry_run(shown))
    golden("fence_test.txt", ladder_text.table(shown))


@pytest.mark.parametrize(
    ("demanded", "scopes", "enough"),
    [
        (Scope.USERS, ["users", "users", "users", "power"], [True, True, True, True]),
        (Scope.WRITES, ["writes", "writes", "users", "power"], [True, True, False, True]),
        (Scope.POWER, ["writes", "writes", "users", "power"], [False, False, False, True]),
    ],
)
def test_each_rung_says_how_much_it_stops_and_whether_that_is_enough(
    demanded: Scope, scopes: list[str], enough: list[bool]
) -> None:
    scene = scene_of(cluster_of(rungs=EVERY, rules=Rules(lease_s=15, fence_scope=demanded)))
    told = shown_of(scene).rungs[:4]
    assert [each.scope.value for each in told] == scopes
    assert [not each.lacks for each in told] == enough
    assert {each.lacks for each in told} <= {"", f"not enough by itself: fence_scope demands {demanded}"}


def test_in_a_hybrid_nothing_is_switched_off_and_nobody_vouches() -> None:
    policy = replace(cluster_of(rungs=(RungKind.HELPER, RungKind.AGENT)), deployment=Deployment.HYBRID)
    scene = Scene.settled(policy)
    shown = shown_of(scene)
    assert [each.rung for each in shown.rungs] == ["helper", "agent"]
    assert [each.lacks for each in shown.rungs] == ["", "not used: a hybrid switches nothing off"]
    assert "fencing" not in render.status(summary.status_of(view_of(scene)))
    assert not [each for each in summary.status_of(view_of(scene)).notices if "fence test" in each]


def several(*proven: tuple[str, str, float]) -> Scene:
    observers = (Observer("watch", "graz"), Observer("witness", "linz"), Observer("eye", "wels", leads=False))
    scene = scene_of(cluster_of(rungs=(RungKind.HELPER, RungKind.AGENT), observers=observers))
    kept = tuple(
        Proven(node, rung, name, ago(scene, days * DAY_S))
        for node in ("a", "b")
        for rung, name, days in proven
    )
    scene.state = replace(scene.state, proven=kept)
    return scene


def test_what_nobody_has_tried_for_a_month_is_noticed_with_who_should() -> None:
    """Whoever leads has to be able to: that another one can says nothing. Who never leads need not."""
    scene = several(("helper", "watch", 29.9), ("helper", "witness", 30.1), ("agent", "watch", 3.0))
    (notice,) = [each for each in summary.status_of(view_of(scene)).notices if "fence test" in each]
    assert notice == (
        "not tried for 30 days, or never: helper of a, agent of a, helper of b and agent of b from witness. "
        "Type there: mailward fence test NODE"
    )
    everybody = [(rung, name, 29.9) for rung in ("helper", "agent") for name in ("watch", "witness")]
    assert not summary.status_of(view_of(several(*everybody))).notices


def test_status_and_explain_say_when_each_rung_was_proven() -> None:
    scene = several(("helper", "watch", 3.0), ("helper", "witness", 3.0), ("agent", "watch", 3.0))
    line = (
        "helper: last proven 3 d ago from watch and witness; agent: last proven 3 d ago from watch, never "
        "proven from witness"
    )
    for text in (
        render.status(summary.status_of(view_of(scene)), width=200),
        render.explanations(summary.explanations_of(view_of(scene), "a"), width=200),
    ):
        assert line in text


# over HTTP


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with AsyncExitStack() as stack:
        yield await opened(stack, daemon_of(scene_of()), tmp_path, TOKEN)


def daemon_of(scene: Scene, observer: str = "watch") -> FakeDaemon:
    shown = view_of(scene, observer)
    return FakeDaemon(shown, helper=Helper(ready()), asked=Helper(ready()), device=Switch(ON))


async def test_a_test_leaves_what_works_to_be_recorded(doors: Doors) -> None:
    status, answer = await call(doors.unix, "POST", "/v1/fence", {"node": "a", "test": True})
    assert status == 200
    assert [(each["rung"], each["worked"]) for each in answer["tried"]] == [
        ("ask", "works"), ("helper", "works"), ("lease", "fails"), ("agent", "works"),
        ("human", "not tried"),
    ]  # fmt: skip
    (left,) = doors.fake.posted
    assert isinstance(left, Request)
    assert (left.id, left.kind, left.node) == (answer["request"], RequestKind.PROVEN, "a")
    now = doors.fake.shown.now
    assert left.proven == tuple(Proven("a", rung, "watch", now) for rung in ("ask", "helper", "agent"))
    assert (await call(doors.unix, "GET", f"/v1/requests/{left.id}"))[1]["progress"] == "waiting"


async def test_a_dry_run_tries_the_same_and_leaves_nothing(doors: Doors) -> None:
    status, answer = await call(doors.unix, "POST", "/v1/fence", {"node": "a"})
    assert (status, answer["request"], doors.fake.posted) == (200, "", [])
    assert [each["worked"] for each in answer["tried"][:2]] == ["works", "works"]
    assert (doors.fake.asked.asked, doors.fake.helper.asked) == (1, 1)


async def test_nothing_that_fails_is_recorded(doors: Doors) -> None:
    doors.fake.helper.facts, doors.fake.device.reading = "no route", PowerReading(Power.OFF)
    doors.fake.asked.facts = "nobody answers"
    _, answer = await call(doors.unix, "POST", "/v1/fence", {"node": "a", "test": True})
    assert (answer["request"], answer["unrecorded"], doors.fake.posted) == ("", "", [])


async def test_what_was_tried_is_told_though_it_cannot_be_recorded(doors: Doors) -> None:
    doors.fake.broken = "the store did not answer"
    status, answer = await call(doors.unix, "POST", "/v1/fence", {"node": "a", "test": True})
    assert (status, answer["unrecorded"]) == (200, "the store did not answer")
    assert answer["tried"][0]["worked"] == "works"


@pytest.mark.parametrize("test", [True, False])
async def test_over_tcp_it_needs_the_token(doors: Doors, test: bool) -> None:
    """It makes this daemon connect to management controllers."""
    body = {"node": "a", "test": test}
    assert (await call(doors.tcp, "POST", "/v1/fence", body))[0] == 401
    assert (doors.fake.posted, doors.fake.helper.asked) == ([], 0)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert (await call(doors.tcp, "POST", "/v1/fence", body, headers=headers))[0] == 200


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"node": "z"}, 404, "there is no node 'z'; known: a, b"),
        ({"node": "a", "test": "yes"}, 400, "test: Input should be a valid boolean"),
        ({"test": True}, 400, "node: Field required"),
    ],
)
async def test_what_cannot_be_tried_is_said(doors: Doors, body: Any, code: int, message: str) -> None:
    status, answer = await call(doors.unix, "POST", "/v1/fence", body)
    assert (status, message in answer["message"]) == (code, True), answer


async def test_nobody_asks_for_it_to_be_recorded_unseen(doors: Doors) -> None:
    status, answer = await call(doors.unix, "POST", "/v1/requests", {"kind": "proven", "node": "a"})
    assert (status, "POST /v1/fence" in answer["message"]) == (400, True)


@pytest.mark.parametrize(
    ("observer", "standing", "why"),
    [
        (
            "eye",
            Standing.FOLLOWING,
            "this daemon never leads, so it stops nobody: test from watch and witness",
        ),
        ("watch", Standing.OBSERVING_ONLY, "this daemon only observes, it stops nobody"),
    ],
)
async def test_from_a_daemon_that_stops_nobody_a_test_proves_nothing(
    tmp_path: Path, observer: str, standing: Standing, why: str
) -> None:
    scene = several()
    scene.standing = standing
    async with AsyncExitStack() as stack:
        doors = await opened(stack, daemon_of(scene, observer), tmp_path, TOKEN)
        status, answer = await call(doors.unix, "POST", "/v1/fence", {"node": "a", "test": True})
        assert (status, why in answer["message"]) == (409, True), answer
        assert doors.fake.helper.asked == 0
        assert (await call(doors.unix, "POST", "/v1/fence", {"node": "a"}))[0] == 200


# typed


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(fencing, "RECORDED_WITHIN_S", 0.2)
    monkeypatch.setattr(fencing, "POLL_S", 0.01)
    up = Running(
        daemon_of(scene_of(cluster_of(rungs=(RungKind.HELPER, RungKind.AGENT)))), tmp_path / "m.sock"
    )
    yield up
    up.close()


def test_fencing_for_itself_is_refused_with_what_to_type() -> None:
    done = mailward("fence", "a")
    assert done.exit_code == Exit.FAILED
    said = " ".join(done.stderr.split())
    for words in ("mailward failover a.", "mailward drain a,", "mailward switchover OTHER.", "a --dry-run"):
        assert words in said


@pytest.mark.parametrize(
    "words", [(), ("try", "a"), ("a", "test"), ("test", "a", "b"), ("test", "a", "--dry-run")]
)
def test_what_cannot_be_understood_is_usage(words: tuple[str, ...]) -> None:
    assert mailward("fence", *words).exit_code == Exit.USAGE


def test_a_dry_run_shows_the_ladder(running: Running) -> None:
    done = mailward("fence", "a", "--dry-run", socket=running.path)
    assert done.exit_code == Exit.DONE
    assert "now: works" in done.output
    assert "last proven" not in done.output
    assert "vouch a --operation ID" in done.output
    assert running.fake.posted == []
    as_json = mailward("fence", "a", "--dry-run", "--json", socket=running.path)
    assert [each["rung"] for each in json.loads(as_json.output)["rungs"]] == ["helper", "agent", "human"]


def test_a_dry_run_is_held_where_nothing_would_stop_it_now(running: Running) -> None:
    running.fake.helper.facts, running.fake.device.reading = "no route", PowerReading(Power.UNKNOWN, "dead")
    assert mailward("fence", "a", "--dry-run", socket=running.path).exit_code == Exit.HELD
    policy = cluster_of(rungs=(RungKind.HELPER,), rules=Rules(fence_scope=Scope.POWER))
    running.fake.shown, running.fake.helper.facts = view_of(scene_of(policy)), ready()
    done = mailward("fence", "a", "--dry-run", socket=running.path)
    assert (done.exit_code, "now: works" in done.output) == (Exit.HELD, True), "not as much as is demanded"


def test_a_test_is_told_in_a_table_and_says_what_became_of_it(running: Running) -> None:
    waits = mailward("fence", "test", "a", socket=running.path)
    assert waits.exit_code == Exit.UNFINISHED
    assert "Not recorded yet: whoever leads will do it." in waits.output
    assert waits.output.startswith("RUNG     OUTCOME    TIME\nhelper   works")
    (left,) = running.fake.posted
    assert isinstance(left, Request)


@pytest.mark.parametrize(
    ("accepted", "code", "told"),
    [
        (True, Exit.DONE, "Recorded: what works was proven from watch."),
        (False, Exit.FAILED, "NOT RECORDED: no"),
    ],
)
def test_a_test_is_followed_until_it_is_recorded(
    running: Running, monkeypatch: pytest.MonkeyPatch, accepted: bool, code: Exit, told: str
) -> None:
    fake = running.fake

    async def post(entry: Any) -> None:
        assert isinstance(entry, Request)
        assert fake.shown.snapshot is not None
        state = replace(
            fake.shown.snapshot.state, answers=(Answer(entry.id, accepted, "no", fake.shown.now),)
        )
        fake.shown = replace(fake.shown, snapshot=replace(fake.shown.snapshot, state=state))

    monkeypatch.setattr(fake, "post", post)
    done = mailward("fence", "test", "a", socket=running.path)
    assert (done.exit_code, told in done.output) == (code, True), done.output


def test_a_rung_that_fails_fails_the_test(running: Running) -> None:
    running.fake.helper.facts = "ssh: no route to host"
    done = mailward("fence", "test", "a", "--json", socket=running.path)
    assert done.exit_code == Exit.FAILED
    assert json.loads(done.output)["tried"][0]["detail"] == "ssh: no route to host"


# by a daemon


@pytest.fixture
def agent(tmp_path: Path) -> Scripted:
    (tmp_path / "agent").mkdir()
    return scripted(tmp_path / "agent")


async def until(look: Callable[[], Snapshot | None], enough: Callable[[Snapshot], bool]) -> Snapshot:
    for _ in range(200):
        seen = look()
        if seen is not None and enough(seen):
            return seen
        await asyncio.sleep(0.05)
    raise AssertionError("not within 10 s")


async def test_a_daemon_tries_a_ladder_records_what_works_and_switches_nothing(
    tmp_path: Path, agent: Scripted
) -> None:
    file = configured(tmp_path)
    for name in ("key", "known_hosts", "bmc"):
        (tmp_path / name).write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        (tmp_path / name).chmod(0o600)
    section = (
        f"agent: {{program: {agent.program}, options: {{ip: 192.0.2.9}}, "
        "secrets: {password: {secret_env: BMC}}}"
    )
    text = file.read_text().replace("hybrid", "cluster").replace("[127.0.0.31]", f"[127.0.0.31], {section}")
    file.write_text(
        text.replace("helper: none", "helper: {ssh: {key_file: key, known_hosts_file: known_hosts}}")
    )
    config = load(file, {"BMC": "secret"})
    daemon = Daemon(config)
    with pytest.raises(StoreError, match="try again in a second"):
        await daemon.try_rungs("mail-a")
    policy = cluster_of(("mail-a", "mail-b"))
    phases = serving(replace(policy, endpoints=(replace(policy.endpoints[0], name="mail.test.example"),)),
                     "mail-a", scene_of().now)  # fmt: skip
    local.make(tmp_path / "store", replace(first_state(), phases=phases))
    task = asyncio.create_task(daemon.run())
    try:
        async with AsyncExitStack() as stack:
            await until(lambda: daemon.view().snapshot, lambda seen: bool(seen.state.phases))
            doors = await opened(stack, cast(Any, daemon), tmp_path / "other", TOKEN)
            _, answer = await call(doors.unix, "POST", "/v1/fence", {"node": "mail-a", "test": True})
            worked = {each["rung"]: each["worked"] for each in answer["tried"]}
            assert worked == {"helper": "fails", "agent": "works", "human": "not tried"}
            seen = await until(lambda: daemon.view().snapshot, lambda seen: bool(seen.state.proven))
            assert [(e.node, e.rung, e.observer) for e in seen.state.proven] == [
                ("mail-a", "agent", "controller")
            ]
            assert {line for told in agent.calls for line in told.splitlines() if "action" in line} == {
                "action=status"
            }
            assert seen.state.phase_of("mail-a", "mail.test.example") is not None
            assert seen.state.phases[0].phase is Phase.IN_SERVICE
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
