"""The simulated store behaves as ZooKeeper does where it hurts: sessions, ephemerals, unknown commits."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from mailward.model.errors import StoreError
from mailward.model.policy import Observer
from mailward.model.ports import Commit
from mailward.model.report import Report
from mailward.model.snapshot import Leader, Standing
from mailward.model.state import State
from mailward.simulator import virtual
from mailward.simulator.network import HostClock, Network
from mailward.simulator.store import TICK_S, Ensemble, Ephemeral, Session

OBSERVERS = (Observer("one", "x"), Observer("two", "y"))
STORE = "0123456789ab"


class Scene:
    """An ensemble and two clients with their heartbeats."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.network = Network(random.Random(1))
        for name in ("one", "two", "ensemble"):
            self.network.add(name, name)
        self.ensemble = Ensemble(State(STORE, 0), loop.time)
        self.sessions = {
            name: Session(
                name, self.ensemble, self.network, name, "ensemble",
                HostClock(self.network.hosts[name], loop), OBSERVERS, f"{name}-1",
            )
            for name in ("one", "two")
        }  # fmt: skip
        self.processes = {name: virtual.Process(name) for name in self.sessions}
        for name, session in self.sessions.items():
            self.processes[name].run(session.run(), "heartbeat")

    async def expiry(self) -> None:
        while True:
            self.ensemble.expire()
            await asyncio.sleep(TICK_S)

    def now_s(self, name: str) -> float:
        return HostClock(self.network.hosts[name], asyncio.get_running_loop()).now().boot_s


async def elected(scene: Scene, name: str) -> None:
    for _ in range(100):
        if await scene.sessions[name].lead() is Standing.LEADING:
            return
        await asyncio.sleep(0.5)
    raise AssertionError(f"{name} does not lead")


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    async def body() -> None:
        scene = Scene()
        expiry = asyncio.create_task(scene.expiry())
        await asyncio.sleep(5)
        await story(scene)
        expiry.cancel()
        for process in scene.processes.values():
            process.bury()
        await asyncio.sleep(0)

    virtual.run(body())


async def led(scene: Scene, name: str = "one") -> Session:
    session = scene.sessions[name]
    assert await session.lead() is Standing.LEADING
    return session


def test_one_leads_and_the_other_follows_until_its_session_has_ended() -> None:
    async def story(scene: Scene) -> None:
        await led(scene)
        assert await scene.sessions["two"].lead() is Standing.FOLLOWING
        scene.processes["one"].kill()
        await asyncio.sleep(scene.ensemble.session_timeout_s - 3)
        assert await scene.sessions["two"].lead() is Standing.FOLLOWING
        await asyncio.sleep(6)
        assert await scene.sessions["two"].lead() is Standing.LEADING
        assert (await scene.sessions["two"].read()).versions.epoch == 2

    play(story)


def test_the_right_to_act_has_ended_before_another_can_lead() -> None:
    async def story(scene: Scene) -> None:
        one = await led(scene)
        scene.network.cut("one", "ensemble")
        begin_s = asyncio.get_running_loop().time()
        ended_s = None
        while await scene.sessions["two"].lead() is Standing.FOLLOWING:
            if ended_s is None and one.may_act_until_s() <= scene.now_s("one"):
                ended_s = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - begin_s < 30
            await asyncio.sleep(0.1)
        assert ended_s is not None
        assert await one.lead() is Standing.FOLLOWING

    play(story)


def test_a_commit_of_a_deposed_leader_is_lost_even_when_it_has_not_heard_of_it() -> None:
    async def story(scene: Scene) -> None:
        one = await led(scene)
        seen = await one.read()
        scene.processes["one"].stop()
        await asyncio.sleep(15)
        two = await led(scene, "two")
        theirs = await two.read()
        assert await two.record(replace(theirs.state, seq=5), theirs.versions) is Commit.COMMITTED
        wanted = replace(seen.state, seq=99)
        assert await one.record(wanted, seen.versions) is not Commit.COMMITTED
        assert scene.ensemble.state.seq == 5

    play(story)


def test_a_reply_that_is_lost_leaves_a_commit_unknown_and_applied() -> None:
    async def story(scene: Scene) -> None:
        one = await led(scene)
        seen = await one.read()
        scene.network.link("ensemble", "one").cut = True
        assert await one.record(replace(seen.state, seq=7), seen.versions) is Commit.UNKNOWN
        assert scene.ensemble.state.seq == 7

    play(story)


def test_without_a_quorum_nothing_is_answered_and_sessions_outlive_it() -> None:
    async def story(scene: Scene) -> None:
        one = await led(scene)
        scene.ensemble.has_quorum = False
        await asyncio.sleep(60)
        with pytest.raises(StoreError, match="no quorum"):
            await one.read()
        assert await one.lead() is Standing.FOLLOWING
        scene.ensemble.has_quorum = True
        await asyncio.sleep(5)
        assert await one.lead() is Standing.LEADING
        assert (await one.read()).versions.epoch == 1

    play(story)


def test_a_clean_goodbye_hands_over_at_once() -> None:
    async def story(scene: Scene) -> None:
        one = await led(scene)
        await one.leave()
        scene.processes["one"].kill()
        assert await scene.sessions["two"].lead() is Standing.LEADING

    play(story)


def test_who_steps_down_leaves_the_lead_to_another_at_once_and_may_not_act() -> None:
    async def story(scene: Scene) -> None:
        await elected(scene, "one")
        assert await scene.sessions["one"].lead(willing=False) is Standing.FOLLOWING
        assert scene.sessions["one"].may_act_until_s() == float("-inf")
        assert await scene.sessions["two"].lead() is Standing.LEADING

    play(story)


def test_who_reads_that_another_leads_does_not_believe_to_lead_any_more() -> None:
    """It had stepped down; the word of it came late, after it had taken up the lead again."""

    async def story(scene: Scene) -> None:
        await elected(scene, "one")
        scene.ensemble.leader = None
        await elected(scene, "two")
        await scene.sessions["one"].read()
        assert scene.sessions["one"].may_act_until_s() == float("-inf")

    play(story)


# standing over a leader whose process is gone


def test_a_leader_who_is_gone_is_replaced_at_once_and_the_epoch_is_raised() -> None:
    async def story(scene: Scene) -> None:
        await led(scene)
        two, (seen, began_s) = scene.sessions["two"], (await scene.sessions["two"].read(), scene.now_s("two"))
        assert seen.leader == Leader("one", 1, "one-1")
        scene.processes["one"].kill()
        assert await two.lead(over=seen.leader) is Standing.LEADING
        assert (await two.read()).leader == Leader("two", 2, "two-1")
        assert scene.now_s("two") - began_s < 0.2

    play(story)


@pytest.mark.parametrize(
    "over", [Leader("one", 2, "one-1"), Leader("one", 1, "one-2"), Leader("two", 1, "one-1")]
)
def test_another_leader_than_the_one_seen_stays(over: Leader) -> None:
    async def story(scene: Scene) -> None:
        await led(scene)
        assert await scene.sessions["two"].lead(over=over) is Standing.FOLLOWING
        assert scene.ensemble.leader is not None
        assert scene.ensemble.leader.told == Leader("one", 1, "one-1")
        assert scene.ensemble.epoch == 1

    play(story)


def test_of_two_who_stand_over_the_same_leader_one_leads() -> None:
    async def story(scene: Scene) -> None:
        gone = Leader("third", 1, "third-1")
        scene.ensemble.epoch, scene.ensemble.leader = (
            1,
            Ephemeral("third", 1, "third-1", scene.ensemble.open()),
        )
        both = await asyncio.gather(*(scene.sessions[name].lead(over=gone) for name in ("one", "two")))
        assert sorted(both) == [Standing.FOLLOWING, Standing.LEADING]
        assert scene.ensemble.epoch == 2

    play(story)


def test_a_deposed_leader_records_nothing_though_its_session_lives_and_it_knows_of_nothing() -> None:
    async def story(scene: Scene) -> None:
        one, two = await led(scene), scene.sessions["two"]
        seen = await one.read()
        assert await two.lead(over=seen.leader) is Standing.LEADING
        assert one.may_act_until_s() > scene.now_s("one")
        assert await one.record(replace(seen.state, seq=9), seen.versions) is Commit.LOST
        await one.read()
        assert one.may_act_until_s() == float("-inf")
        assert await one.lead() is Standing.FOLLOWING

    play(story)


def test_the_end_of_a_deposed_leader_s_session_does_not_end_its_successor_s_lead() -> None:
    async def story(scene: Scene) -> None:
        seen = await (await led(scene)).read()
        scene.processes["one"].kill()
        assert await scene.sessions["two"].lead(over=seen.leader) is Standing.LEADING
        await asyncio.sleep(3 * scene.ensemble.session_timeout_s)
        assert (await scene.sessions["two"].read()).leader == Leader("two", 2, "two-1")

    play(story)


def test_who_has_stepped_down_records_nothing_though_nobody_has_raised_the_epoch_yet() -> None:
    async def story(scene: Scene) -> None:
        one = await led(scene)
        seen = await one.read()
        await one.lead(willing=False)
        assert await one.record(replace(seen.state, seq=9), seen.versions) is Commit.LOST

    play(story)


def test_who_may_not_lead_does_not_depose_either() -> None:
    async def story(scene: Scene) -> None:
        seen = await (await led(scene)).read()
        two = scene.sessions["two"]
        assert await two.lead(willing=False, over=seen.leader) is Standing.FOLLOWING
        scene.network.cut("two", "ensemble")
        await asyncio.sleep(scene.ensemble.session_timeout_s)
        assert await two.lead(over=seen.leader) is Standing.FOLLOWING
        assert (await scene.sessions["one"].read()).leader == seen.leader

    play(story)


def test_what_was_decided_on_an_old_reading_is_not_recorded() -> None:
    """Also by who leads: a pause may have been set meanwhile."""

    async def story(scene: Scene) -> None:
        one = await led(scene)
        seen = await one.read()
        scene.ensemble.post(None)
        assert await one.record(replace(seen.state, seq=9), seen.versions) is Commit.LOST
        again = await one.read()
        assert await one.record(replace(again.state, seq=9), again.versions) is Commit.COMMITTED
        assert await one.record(replace(again.state, seq=10), again.versions) is Commit.LOST

    play(story)


def test_a_report_is_as_old_as_it_may_be_and_not_as_when_it_was_first_read() -> None:
    """Found by simulation: a daemon cut off for minutes took the reports of two others, as old as that, for
    fresh, and withdrew a node because a third one had been well."""

    async def story(scene: Scene) -> None:
        one, two = scene.sessions["one"], scene.sessions["two"]

        def age_s() -> float:
            return next(view.age_s for view in two.views() if view.name == "one")

        await one.publish(report("one", 1))
        await asyncio.sleep(100)
        await two.read()
        assert age_s() == float("inf")
        await one.publish(report("one", 2))
        await two.read()
        assert age_s() < 1
        await one.publish(report("one", 3))
        await asyncio.sleep(50)
        await two.read()
        assert 50 <= age_s() < 51

    play(story)


def report(name: str, seq: int) -> Report:
    return Report(name, seq, "digest", ())
