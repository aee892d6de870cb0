"""All of it together: two nodes, helpers, lag, and the reports that come of them. Virtual time."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from tests.unit.health import virtual
from tests.unit.health.scripted import MemoryServer

from mailward.health.dialogues import SmtpSettings
from mailward.health.observer import Observer, WatchedNode
from mailward.health.target import Rhythm, Target
from mailward.health.tasks import guarded
from mailward.model.fencing import PLAIN, HelperAnswer, HelperReply, NodeFacts, PortMap, Space, Terms
from mailward.model.health import ServiceReport, Vantage, Verdict
from mailward.model.replication import Confidence, Lag
from mailward.model.report import Report
from mailward.model.token import Token

RHYTHM = Rhythm()
FACTS = NodeFacts("mail-a", "boot", None, {}, True, {}, False, {})


@dataclass
class FakeHelper:
    """Answers `status` as told, and remembers when it was asked."""

    answer: NodeFacts | str | Exception = FACTS
    takes_s: float = 0.05
    asked: list[float] = field(default_factory=list)

    async def status(self) -> NodeFacts | str:
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
        return HelperAnswer(HelperReply.REFUSED)

    async def claim(self, token: Token) -> HelperAnswer:
        return HelperAnswer(HelperReply.REFUSED)

    async def renew(self, token: Token) -> HelperAnswer:
        return HelperAnswer(HelperReply.REFUSED)


@dataclass
class FakeLag:
    fails: bool = False
    takes_s: float = 0.1
    measured: int = 0

    async def measure(self) -> Sequence[Lag]:
        self.measured += 1
        await asyncio.sleep(self.takes_s)
        if self.fails:
            await asyncio.Event().wait()
        return [Lag("mail-a", "mail-b", Confidence.KNOWN, seconds=0.5, mailboxes=1)]

    async def kick(self) -> str:
        return ""


class Scene:
    def __init__(self, rhythm: Rhythm) -> None:
        self.servers = {"mail-a": MemoryServer(), "mail-b": MemoryServer()}
        self.helpers = {"mail-a": FakeHelper(), "mail-b": FakeHelper()}
        self.lag = FakeLag()
        self.vantages: dict[tuple[str, str], Vantage] = {}
        self.clock = virtual.LoopClock()
        self.reports: list[tuple[float, Report]] = []
        self.publish_hangs = False
        self.observer = Observer(
            "witness",
            "digest",
            [
                WatchedNode(name, (Target(name, "smtp", SmtpSettings(), server),), self.helpers[name])
                for name, server in self.servers.items()
            ],
            [self.lag],
            lambda node, service: self.vantages.get((node, service), Vantage.DIRECT),
            self.clock,
            self._publish,
            rhythm,
            random.Random(1),
        )

    async def _publish(self, report: Report) -> None:
        self.reports.append((self.now, report))
        if self.publish_hangs:
            await asyncio.Event().wait()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def service(self, node: str, report: Report | None = None) -> ServiceReport:
        report = report or self.reports[-1][1]
        return next(n for n in report.nodes if n.node == node).services[0]

    def first(self, node: str, verdict: Verdict, after_s: float = 0.0) -> float:
        return next(
            when
            for when, report in self.reports
            if when >= after_s and self.service(node, report).verdict is verdict
        )


def play(story: Callable[[Scene], Awaitable[None]], rhythm: Rhythm = RHYTHM) -> None:
    async def body() -> None:
        scene = Scene(rhythm)
        task = asyncio.create_task(scene.observer.run())
        await story(scene)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual.run(body())


def test_a_healthy_cluster_is_reported_up_with_facts_and_lag() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        report = scene.reports[-1][1]
        assert [scene.service(name).verdict for name in scene.servers] == [Verdict.UP, Verdict.UP]
        assert scene.service("mail-a").last is not None
        assert report.nodes[0].facts == FACTS
        assert report.nodes[0].helper_error == ""
        assert report.nodes[0].facts_age_s <= 4.1
        assert report.lags[0].confidence is Confidence.KNOWN
        assert report.lags[0].age_s <= 5.2
        assert (report.observer, report.config_digest, report.tilted) == ("witness", "digest", False)
        assert scene.observer.latest == report

    play(story)


def test_the_sequence_rises_and_the_heart_beats() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(60)
        assert [report.seq for _, report in scene.reports] == list(range(1, len(scene.reports) + 1))
        times = [when for when, _ in scene.reports]
        assert max(b - a for a, b in itertools.pairwise(times)) <= 2.0 + 1e-6
        assert len(times) <= 36

    play(story)


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_a_crash_is_reported_down_at_once_and_the_node_is_asked_for_facts(reset: bool) -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(30.5)
        scene.servers["mail-a"].die(reset)
        died_s = scene.now
        await asyncio.sleep(0.1)
        assert scene.first("mail-a", Verdict.DOWN, died_s) - died_s < 0.01
        assert scene.service("mail-b").verdict is Verdict.UP
        assert any(died_s <= when < died_s + 0.06 for when in scene.helpers["mail-a"].asked)

    play(story)


def test_a_sign_is_enough_to_ask_the_node_for_facts() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(30.5)
        scene.servers["mail-a"].hung = True
        await asyncio.sleep(1.31)
        assert scene.helpers["mail-a"].asked == pytest.approx([1000.0, 1031.8])
        assert scene.service("mail-a").symptom_age_s is None

    play(story, Rhythm(facts_s=1000.0))


@pytest.mark.parametrize("offset_s", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6, 1.9])
@pytest.mark.parametrize("fault", ["hung", "gone"])
def test_a_hang_or_a_lost_node_is_reported_within_three_and_a_half_seconds(
    offset_s: float, fault: str
) -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(30.5 + offset_s)
        server = scene.servers["mail-a"]
        server.hung = True
        server.reachable = fault != "gone"
        began_s = scene.now
        await asyncio.sleep(6)
        assert scene.first("mail-a", Verdict.DOWN, began_s) - began_s <= 3.5

    play(story)


def test_a_service_that_is_back_is_reported_up_and_held_again() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        server = scene.servers["mail-a"]
        server.die()
        await asyncio.sleep(60)
        server.alive = True
        back_s = scene.now
        await asyncio.sleep(10)
        assert 3 < scene.first("mail-a", Verdict.UP, back_s) - back_s < 7
        assert len(server.streams) == 1

    play(story)


def test_a_helper_that_fails_is_named_beside_its_last_facts() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.helpers["mail-a"].answer = "connection refused"
        scene.helpers["mail-b"].answer = RuntimeError("a bug")
        await asyncio.sleep(5)
        first, second = scene.reports[-1][1].nodes
        assert (first.facts, first.helper_error) == (FACTS, "connection refused")
        assert first.facts_age_s >= 4
        assert second.helper_error == "RuntimeError in our own code"
        scene.helpers["mail-a"].answer = FACTS
        scene.helpers["mail-a"].takes_s = 100.0
        await asyncio.sleep(10)
        assert scene.reports[-1][1].nodes[0].helper_error == "no answer in 4 s"

    play(story)


def test_free_space_is_no_news_but_a_package_manager_is() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        count = len(scene.reports)
        scene.helpers["mail-a"].answer = NodeFacts(
            "mail-a", "boot", None, {}, True, {}, False, {"/": Space(1, 2, 3, 4)}
        )
        await asyncio.sleep(4)
        quiet = len(scene.reports) - count
        scene.helpers["mail-a"].answer = NodeFacts("mail-a", "boot", None, {}, True, {}, True, {})
        await asyncio.sleep(4)
        assert len(scene.reports) - count - quiet == quiet + 1
        node = scene.reports[-1][1].nodes[0]
        assert node.facts is not None
        assert node.facts.package_manager

    play(story)


def test_lag_that_cannot_be_measured_any_more_is_stale_and_ages() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.lag.fails = True
        await asyncio.sleep(45)
        lag = scene.reports[-1][1].lags[0]
        assert (lag.confidence, lag.detail) == (Confidence.STALE, "no answer in 30 s")
        assert lag.seconds == 0.5
        assert lag.age_s > 25

    play(story)


def test_behind_closed_ports_without_a_way_in_nothing_is_known() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.vantages["mail-a", "smtp"] = Vantage.HELPER
        scene.observer.recheck()
        await asyncio.sleep(3)
        seen = scene.service("mail-a")
        assert (seen.verdict, seen.vantage) == (Verdict.UNKNOWN, Vantage.HELPER)
        assert seen.evidence == "not probed yet; then local at connect: no way behind the closed port"
        assert scene.service("mail-b").verdict is Verdict.UP

    play(story)


@pytest.mark.parametrize("jump", ["suspend", "wall"])
def test_a_jump_of_the_clocks_tilts_and_begins_the_verdicts_anew(jump: str) -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        jumped_s = scene.now
        scene.clock.wall_off_s += 100.0
        if jump == "suspend":
            scene.clock.boot_off_s += 100.0
            scene.clock.wall_off_s -= 100.0
        await asyncio.sleep(1)
        tilted = next(report for when, report in scene.reports if when >= jumped_s and report.tilted)
        assert scene.service("mail-a", tilted).verdict_age_s < 1.0
        await asyncio.sleep(8)
        assert not scene.reports[-1][1].tilted
        assert scene.service("mail-a").verdict is Verdict.UP

    play(story)


def test_a_reader_that_hangs_does_not_stop_the_reports() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.publish_hangs = True
        await asyncio.sleep(20)
        scene.publish_hangs = False
        count = len(scene.reports)
        await asyncio.sleep(10)
        assert len(scene.reports) > count + 3

    play(story)


def test_a_task_that_fails_is_logged_and_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    began: list[float] = []

    async def body() -> None:
        began.append(asyncio.get_running_loop().time())
        if len(began) < 4:
            raise ValueError("a bug")
        await asyncio.Event().wait()

    async def story() -> None:
        task = asyncio.create_task(guarded("watch mail-a smtp", body))
        await asyncio.sleep(10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual.run(story())
    assert [at - began[0] for at in began] == [0.0, 1.0, 2.0, 3.0]
    assert "watch mail-a smtp failed" in caplog.text


def ages_of_lag(scene: Scene, from_s: float) -> list[float]:
    """How old the figure was in each report since."""
    return [report.lags[0].age_s for when, report in scene.reports if when >= from_s]


def test_lag_that_is_waited_for_is_measured_at_once_and_every_second_and_each_figure_is_told() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(6.0)
        calm_s = scene.now
        await asyncio.sleep(6.0)
        assert max(ages_of_lag(scene, calm_s)) > 3
        scene.observer.hurry_lags(True)
        began_s = scene.now
        await asyncio.sleep(0.2)
        assert scene.reports[-1][0] > began_s
        assert ages_of_lag(scene, began_s)[-1] <= 0.2
        await asyncio.sleep(4)
        assert max(ages_of_lag(scene, began_s + 1)) <= 1.2
        assert len(ages_of_lag(scene, began_s)) >= 4
        scene.observer.hurry_lags(False)
        await asyncio.sleep(20)
        assert max(ages_of_lag(scene, began_s + 5)) > 3

    play(story)


def test_who_hurries_already_is_not_woken_again() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        for _ in range(200):
            scene.observer.hurry_lags(True)
            await asyncio.sleep(0.02)
        assert 3 <= scene.lag.measured <= 9

    play(story)
