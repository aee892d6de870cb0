"""When a service is probed, and how soon a failure is a verdict. Virtual time."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

from tests.unit.health import virtual
from tests.unit.health.scripted import MemoryServer

from mailward.health.dialogues import SmtpSettings
from mailward.health.probe import Limits
from mailward.health.schedule import Watch
from mailward.health.streams import StreamFailed
from mailward.health.target import Pace, Target
from mailward.model.health import FailureKind, ServiceReport, Vantage, Verdict


class Scene:
    """A watched service with its two ways in, and what was said of it."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.behind = MemoryServer()
        self.vantage = Vantage.DIRECT
        self.clock = virtual.LoopClock()
        self.changes: list[tuple[float, Verdict]] = []
        target = Target("mail-a", "smtp", SmtpSettings(), self.server, behind=self.behind)
        self.watch = Watch(
            target,
            lambda: self.vantage,
            self.clock,
            asyncio.Semaphore(8),
            random.Random(1),
            lambda before, now: self.changes.append((self.now, now)),
        )

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def report(self) -> ServiceReport:
        return self.watch.report()

    async def next_connect(self) -> None:
        """Until a little after the next probe has begun."""
        count = len(self.server.connects)
        for _ in range(100):
            if len(self.server.connects) > count:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("no probe in five seconds")

    def verdict(self) -> Verdict:
        return self.report.verdict

    def became(self, verdict: Verdict) -> float:
        return next(when for when, what in self.changes if what is verdict)


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    async def body() -> None:
        scene = Scene()
        task = asyncio.create_task(scene.watch.run())
        await story(scene)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtual.run(body())


def test_the_first_probe_is_at_once_and_then_every_two_seconds_with_jitter() -> None:
    async def story(scene: Scene) -> None:
        began_s = scene.now
        await asyncio.sleep(100)
        assert scene.became(Verdict.UP) == began_s
        gaps = [b - a for a, b in itertools.pairwise(scene.server.connects)]
        assert min(gaps) >= 1.8
        assert max(gaps) <= 2.2
        assert len(set(gaps)) > 10

    play(story)


def test_a_crash_is_down_as_fast_as_it_can_be_confirmed() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10.1)
        scene.server.die()
        died_s = scene.now
        scene.watch.suspect()
        await asyncio.sleep(0.05)
        assert scene.became(Verdict.DOWN) == died_s
        assert scene.report.evidence == "refused at connect (2 in a row)"
        assert scene.report.symptom_age_s == scene.now - died_s

    play(story)


def test_a_crash_is_found_without_a_held_connection_too() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10.1)
        scene.server.die()
        died_s = scene.now
        await asyncio.sleep(5)
        assert scene.became(Verdict.DOWN) - died_s <= 2.2

    play(story)


def test_a_hang_costs_one_deadline_after_the_sign() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10.1)
        scene.server.hung = True
        hung_s = scene.now
        await asyncio.sleep(1.8)
        scene.watch.suspect()
        await asyncio.sleep(3)
        assert scene.became(Verdict.DOWN) - hung_s <= 3.3 + 1e-6
        assert scene.server.most_at_once <= 2

    play(story)


def test_a_lost_node_is_down_like_a_hung_one() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10.1)
        scene.server.reachable = False
        gone_s = scene.now
        await asyncio.sleep(1.8)
        scene.watch.suspect()
        await asyncio.sleep(3)
        assert scene.became(Verdict.DOWN) - gone_s <= 3.3 + 1e-6
        assert "timeout at connect" in scene.report.evidence

    play(story)


def test_a_sign_alone_moves_nothing() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10.1)
        for _ in range(20):
            scene.watch.suspect()
            await asyncio.sleep(0.5)
        assert scene.verdict() is Verdict.UP
        assert scene.report.symptom_age_s is None
        assert [verdict for _, verdict in scene.changes] == [Verdict.UP]

    play(story)


def test_recovery_takes_three_regular_probes() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        scene.server.die()
        await asyncio.sleep(10)
        assert scene.verdict() is Verdict.DOWN
        scene.server.alive = True
        back_s = scene.now
        scene.changes.clear()
        await asyncio.sleep(10)
        assert 3.6 <= scene.became(Verdict.UP) - back_s <= 6.6

    play(story)


def test_a_service_just_gone_down_is_probed_often_enough_to_tell_a_crash_from_a_restart() -> None:
    """Withdrawing needs a failed probe later than the grace, which is one second."""

    async def story(scene: Scene) -> None:
        await asyncio.sleep(1)
        scene.server.die()
        down_s = scene.now
        await asyncio.sleep(2)
        assert [at for at in scene.server.connects if down_s + 1.0 <= at <= down_s + 1.4]

    play(story)


def test_a_service_long_down_is_probed_no_more_often_than_a_good_one() -> None:
    async def story(scene: Scene) -> None:
        scene.server.alive = False
        await asyncio.sleep(25)
        before = len(scene.server.connects)
        await asyncio.sleep(100)
        assert len(scene.server.connects) - before <= 58

    play(story)


def test_our_own_faults_make_no_storm_and_no_verdict() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.server.own_fault = StreamFailed(FailureKind.LOCAL, "Too many open files")
        before = len(scene.server.connects)
        scene.watch.suspect()
        await asyncio.sleep(10)
        assert scene.verdict() is Verdict.UP
        await asyncio.sleep(20)
        assert scene.verdict() is Verdict.UNKNOWN
        assert len(scene.server.connects) - before <= 18

    play(story)


def test_another_way_in_begins_as_unknown_and_is_looked_through_at_once() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.vantage = Vantage.HELPER
        assert scene.verdict() is Verdict.UNKNOWN
        assert scene.report.vantage is Vantage.HELPER
        await asyncio.sleep(0.01)
        assert scene.verdict() is Verdict.UP
        assert len(scene.behind.connects) == 1
        await asyncio.sleep(30)
        assert 6 <= len(scene.behind.connects) <= 8

    play(story)


def test_a_result_that_went_another_way_is_dropped() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.server.hung = True
        scene.watch.suspect()
        await asyncio.sleep(0.5)
        scene.vantage = Vantage.HELPER
        scene.watch.recheck()
        await asyncio.sleep(5)
        assert scene.verdict() is Verdict.UP
        assert Verdict.DOWN not in [verdict for _, verdict in scene.changes]

    play(story)


def test_a_result_is_dropped_even_if_nobody_told_that_the_way_changed() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.server.hung = True
        await scene.next_connect()
        scene.vantage = Vantage.HELPER
        scene.changes.clear()
        await asyncio.sleep(1.3)
        assert [verdict for _, verdict in scene.changes] == [Verdict.UNKNOWN, Verdict.UP]

    play(story)


def test_a_new_beginning_gives_up_what_is_under_way() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.server.hung = True
        scene.watch.suspect()
        await asyncio.sleep(0.5)
        assert len(scene.server.streams) == 2
        scene.server.hung = False
        scene.watch.restart()
        await asyncio.sleep(0.01)
        assert not scene.server.streams
        scene.changes.clear()
        await asyncio.sleep(5)
        assert scene.verdict() is Verdict.UP
        assert scene.changes == []

    play(story)


def test_a_late_sign_from_the_closed_way_causes_nothing() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.sleep(10)
        scene.vantage = Vantage.HELPER
        scene.watch.recheck()
        await asyncio.sleep(0.01)
        scene.watch.suspect()
        await asyncio.sleep(0.5)
        assert len(scene.behind.connects) == 1

    play(story)


def test_a_slow_server_is_up() -> None:
    async def story(scene: Scene) -> None:
        scene.server.delay_s = 1.1
        await asyncio.sleep(20)
        assert scene.verdict() is Verdict.UP
        assert scene.report.evidence == "slow: passed in 1.1 s (connect 1.1 s)"

    play(story)


def test_probes_wait_their_turn_when_there_are_too_many() -> None:
    async def body() -> None:
        server, clock, slots = MemoryServer(), virtual.LoopClock(), asyncio.Semaphore(3)
        server.hung = True
        pace = Pace(limits=Limits(answer_s=1.0))
        watches = [
            Watch(
                Target("n", str(i), SmtpSettings(), server, pace=pace),
                lambda: Vantage.DIRECT,
                clock,
                slots,
                random.Random(i),
                lambda before, now: None,
            )
            for i in range(10)
        ]
        tasks = [asyncio.create_task(watch.run()) for watch in watches]
        await asyncio.sleep(20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert server.most_at_once == 3
        assert all(watch.report().verdict is Verdict.DOWN for watch in watches)

    virtual.run(body())
