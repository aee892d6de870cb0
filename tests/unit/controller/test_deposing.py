"""The loop stands against a leader who is gone: against exactly the one it has read, and nobody else."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.doubles.coordination import MemoryClient, MemoryStore
from tests.unit.controller.test_loop import Stage, play

from mailward.model.decision import Answered
from mailward.model.errors import StoreError
from mailward.model.ports import Recorded
from mailward.model.snapshot import Leader, ObserverView, Standing

GONE = Leader("elsewhere", 4, "elsewhere-1")


class Led(MemoryClient):
    """Of a store in which another leads; `replaced` by a third when it is stood over."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        store.versions = replace(store.versions, epoch=GONE.epoch)
        self.leader: Leader | None = GONE
        self.stood_over: list[Leader] = []
        self.replaced = False
        self.refuses = False
        self.fails = False

    async def lead(self, *, willing: bool = True, over: Leader | None = None) -> Standing:
        if over is not None:
            self.stood_over.append(over)
            if self.fails:
                raise StoreError("the store did not answer")
            if self.refuses:
                return Standing.FOLLOWING
            if self.replaced:
                self.leader = Leader("another", 5, "another-1")
        if self.leader in (None, over) or self.leads:
            self.leader = None
            return await super().lead(willing=willing)
        return Standing.FOLLOWING

    async def read(self) -> Recorded:
        return replace(await super().read(), leader=self.leader)


def saying(stage: Stage, *gone: str) -> None:
    """All that is reported from now on tells of these ends."""

    def views() -> Sequence[ObserverView]:
        return [
            replace(view, report=replace(view.report, gone=gone) if view.report else None)
            for view in stage.scene.snapshot().observers
        ]

    stage.views = views
    stage.loop.wake()


def led(stage: Stage) -> Led:
    assert isinstance(stage.client, Led)
    return stage.client


def test_a_leader_whose_process_was_seen_to_end_is_replaced_and_work_goes_on_at_once() -> None:
    async def story(stage: Stage) -> None:
        await asyncio.sleep(1.5)
        assert led(stage).stood_over == []
        assert stage.loop.deposing is not None
        assert stage.loop.deposing.answer is Answered.NO
        saying(stage, GONE.nonce)
        await asyncio.sleep(0.05)
        assert led(stage).stood_over == [GONE]
        assert stage.loop.snapshot is not None
        assert stage.loop.snapshot.standing is Standing.LEADING
        assert stage.kinds()[0] == "claim-target"

    play(story, Led)


def test_the_end_of_another_process_makes_nobody_stand() -> None:
    async def story(stage: Stage) -> None:
        saying(stage, "elsewhere-0", "another-1")
        await asyncio.sleep(30)
        assert led(stage).stood_over == []

    play(story, Led)


def test_when_another_has_been_elected_meanwhile_it_stays_and_is_followed() -> None:
    async def story(stage: Stage) -> None:
        led(stage).replaced = True
        saying(stage, GONE.nonce)
        await asyncio.sleep(30)
        assert led(stage).stood_over == [GONE]
        assert stage.loop.snapshot is not None
        assert stage.loop.snapshot.standing is Standing.FOLLOWING
        assert stage.kinds() == []

    play(story, Led)


def test_a_store_that_leaves_things_as_they_are_is_asked_again_as_often_as_a_follower_looks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story(stage: Stage) -> None:
        led(stage).refuses = True
        saying(stage, GONE.nonce)
        await asyncio.sleep(9)
        assert 5 <= len(led(stage).stood_over) <= 6
        assert stage.loop.problem == ""

    play(story, Led)
    assert "leading before" not in caplog.text


def test_who_does_not_trust_its_own_sense_of_time_stands_against_nobody() -> None:
    async def story(stage: Stage) -> None:
        stage.tilted = True
        saying(stage, GONE.nonce)
        await asyncio.sleep(10)
        assert led(stage).stood_over == []
        stage.tilted = False
        await asyncio.sleep(3)
        assert led(stage).stood_over == [GONE]

    play(story, Led)


def test_a_store_that_does_not_answer_is_asked_again_without_haste(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        led(stage).fails = True
        saying(stage, GONE.nonce)
        await asyncio.sleep(5.5)
        assert stage.loop.problem == "the store did not answer"
        assert 4 <= len(led(stage).stood_over) <= 7
        led(stage).fails = False
        await asyncio.sleep(2)
        assert stage.loop.snapshot is not None
        assert stage.loop.snapshot.standing is Standing.LEADING

    play(story, Led)
    assert (
        "leading before the last leader's session has ended: watch saw the process of elsewhere"
        in caplog.text
    )
