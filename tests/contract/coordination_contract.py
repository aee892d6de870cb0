"""What every `Coordination` must do, whatever it is made of; what one for a single controller does besides
(`AloneContract`), and what one does that several daemons agree in (`QuorumContract`)."""

from dataclasses import replace
from typing import Protocol

import pytest
from tests.unit.core.scene import Scene

from mailward.model.clock import Moment
from mailward.model.errors import StoreBusy
from mailward.model.ports import Commit, Coordination, Recorded
from mailward.model.snapshot import Leader, Standing, Versions
from mailward.model.state import Answer, Pause, Request, RequestKind, State

NOW = Moment("boot", 10.0, 1_700_000_000.0)
STORE = "0123456789ab"
STRANGER = Leader("somebody", 2, "somebody-1")


class Setup(Protocol):
    """One store, made with the state `State(STORE, epoch=3)`."""

    async def start(self, *, observe_only: bool = False) -> Coordination:
        """A controller starts, and is as ready to lead as it can be: the first one, or another one."""
        ...

    async def kill(self, controller: Coordination) -> None:
        """Its process is gone without a word, for long enough that another one may lead."""
        ...

    async def post(self, entry: Request | Pause | None) -> None:
        """As the command line does, from another process."""
        ...


def request(id: str = "r1") -> Request:
    return Request(id, RequestKind.DRAIN, "a", "ann", "maintenance", NOW)


def answered(state: State, *ids: str) -> State:
    return replace(state, answers=tuple(Answer(id, False, "no", NOW) for id in ids))


def pause() -> Pause:
    return Pause("ann", "maintenance", NOW, NOW.wall_s + 600)


class CoordinationContract:
    async def test_each_start_raises_the_epoch(self, setup: Setup) -> None:
        first = await setup.start()
        assert await first.lead() is Standing.LEADING
        epoch = (await first.read()).versions.epoch
        assert epoch > 3
        await setup.kill(first)
        second = await setup.start()
        await second.lead()
        assert (await second.read()).versions.epoch > epoch

    async def test_leading_again_while_leading_changes_nothing(self, setup: Setup) -> None:
        controller = await setup.start()
        await controller.lead()
        before = (await controller.read()).versions
        assert await controller.lead() is Standing.LEADING
        assert (await controller.read()).versions == before

    async def test_who_is_not_willing_follows_until_it_is(self, setup: Setup) -> None:
        controller = await setup.start()
        await controller.lead()
        assert await controller.lead(willing=False) is Standing.FOLLOWING
        assert controller.may_act_until_s() == float("-inf")
        await controller.read()
        assert controller.may_act_until_s() == float("-inf")
        assert await controller.lead() is Standing.LEADING

    async def test_standing_over_somebody_who_does_not_lead_changes_nothing(self, setup: Setup) -> None:
        controller, before = await leading(setup)
        assert await controller.lead(over=STRANGER) is Standing.LEADING
        assert await controller.read() == before

    async def test_standing_over_a_stranger_where_nobody_leads_is_standing(self, setup: Setup) -> None:
        controller = await setup.start()
        before = (await controller.read()).versions
        assert await controller.lead(over=STRANGER) is Standing.LEADING
        after = (await controller.read()).versions
        assert after.epoch > before.epoch
        assert (after.state, after.pause) == (before.state, before.pause)

    async def test_what_is_recorded_is_read(self, setup: Setup) -> None:
        controller, before = await leading(setup)
        scene = Scene()
        scene.down("a", "imaps", for_s=5)
        scene.run(30)
        wanted = replace(scene.state, store_id=STORE)
        assert wanted.phase_of("a", "nowhere") is None, "what has been looked up once is stored all the same"
        assert await controller.record(wanted, before.versions) is Commit.COMMITTED
        after = await controller.read()
        assert after.state == wanted
        assert after.versions == replace(before.versions, state=before.versions.state + 1)

    async def test_nothing_is_recorded_without_leading(self, setup: Setup) -> None:
        controller = await setup.start()
        before = await controller.read()
        assert await controller.record(State(STORE, 3, seq=1), before.versions) is Commit.LOST
        assert await controller.read() == before

    @pytest.mark.parametrize("what", ["epoch", "state", "pause"])
    async def test_a_commit_on_other_versions_than_were_seen_is_lost(self, setup: Setup, what: str) -> None:
        controller, before = await leading(setup)
        old: Versions = replace(before.versions, **{what: getattr(before.versions, what) - 1})
        assert await controller.record(State(STORE, 4, seq=9), old) is Commit.LOST
        assert await controller.read() == before

    async def test_a_pause_set_meanwhile_makes_a_commit_lose(self, setup: Setup) -> None:
        controller, before = await leading(setup)
        await setup.post(pause())
        assert await controller.record(State(STORE, 4, seq=9), before.versions) is Commit.LOST
        after = await controller.read()
        assert after.pause == pause()
        assert await controller.record(State(STORE, 4, seq=9), after.versions) is Commit.COMMITTED

    async def test_a_pause_is_lifted_with_nothing_in_its_place(self, setup: Setup) -> None:
        controller, before = await leading(setup)
        await controller.post(pause())
        assert (await controller.read()).pause == pause()
        await controller.post(None)
        after = await controller.read()
        assert after.pause is None
        assert after.versions.pause == before.versions.pause + 2

    async def test_a_request_waits_until_it_is_answered(self, setup: Setup) -> None:
        controller, _ = await leading(setup)
        await setup.post(request("r2"))
        await controller.post(request("r1"))
        seen = await controller.read()
        assert [r.id for r in seen.requests] == ["r1", "r2"]
        assert seen.requests[0] == request("r1")
        assert await controller.record(answered(seen.state, "r1"), seen.versions) is Commit.COMMITTED
        assert [r.id for r in (await controller.read()).requests] == ["r2"]

    async def test_a_request_does_not_move_the_versions(self, setup: Setup) -> None:
        controller, before = await leading(setup)
        await setup.post(request())
        assert (await controller.read()).versions == before.versions

    async def test_an_answered_request_stays_away_when_its_answer_is_forgotten(self, setup: Setup) -> None:
        controller, _ = await leading(setup)
        await setup.post(request())
        seen = await controller.read()
        await controller.record(answered(seen.state, "r1"), seen.versions)
        seen = await controller.read()
        await controller.record(answered(seen.state), seen.versions)
        assert (await controller.read()).requests == ()

    async def test_requests_and_pause_outlive_the_controller(self, setup: Setup) -> None:
        first, _ = await leading(setup)
        await setup.post(request())
        await setup.post(pause())
        await setup.kill(first)
        second, recorded = await leading(setup)
        assert second is not first
        assert (recorded.requests, recorded.pause) == ((request(),), pause())


class AloneContract(CoordinationContract):
    """Of a store for one controller: another is refused, and the right to act lasts while it runs."""

    async def test_a_second_controller_is_refused_while_the_first_one_runs(self, setup: Setup) -> None:
        first = await setup.start()
        await first.lead()
        second = await setup.start()
        before = await first.read()
        for over in (None, STRANGER):
            with pytest.raises(StoreBusy, match="there can be only one"):
                await second.lead(over=over)
        assert second.may_act_until_s() == float("-inf")
        assert await second.record(replace(before.state, seq=9), before.versions) is Commit.LOST
        assert await first.read() == before
        await setup.kill(first)
        assert await second.lead() is Standing.LEADING

    async def test_the_right_to_act_comes_with_leading_and_not_before(self, setup: Setup) -> None:
        controller = await setup.start()
        assert controller.may_act_until_s() == float("-inf")
        await controller.lead()
        assert controller.may_act_until_s() == float("inf")

    async def test_one_that_only_observes_may_never_act(self, setup: Setup) -> None:
        controller = await setup.start(observe_only=True)
        assert await controller.lead() is Standing.OBSERVING_ONLY
        assert controller.may_act_until_s() == float("-inf")


class QuorumContract(CoordinationContract):
    """Of a store that several daemons agree in: who does not lead follows, and the right to act ends."""

    async def test_a_second_one_follows_and_leads_when_the_first_is_gone(self, setup: Setup) -> None:
        first, before = await leading(setup)
        second = await setup.start()
        assert await second.lead() is Standing.FOLLOWING
        assert second.may_act_until_s() == float("-inf")
        assert await second.lead(over=STRANGER) is Standing.FOLLOWING
        assert await second.record(replace(before.state, seq=9), before.versions) is Commit.LOST
        assert await second.read() == await first.read() == before
        await setup.kill(first)
        assert await second.lead() is Standing.LEADING
        assert (await second.read()).versions.epoch > before.versions.epoch

    async def test_everybody_reads_who_leads_and_what_he_recorded(self, setup: Setup) -> None:
        first, before = await leading(setup)
        second = await setup.start()
        assert await first.record(replace(before.state, seq=9), before.versions) is Commit.COMMITTED
        assert await second.read() == await first.read()
        leader = (await second.read()).leader
        assert leader is not None
        assert leader.epoch == before.versions.epoch

    async def test_the_right_to_act_comes_with_leading_and_has_an_end(self, setup: Setup) -> None:
        controller = await setup.start()
        assert controller.may_act_until_s() == float("-inf")
        await controller.lead()
        assert 0 < controller.may_act_until_s() < float("inf")
        await controller.lead(willing=False)
        assert controller.may_act_until_s() == float("-inf")

    async def test_who_steps_down_records_nothing_and_leaves_the_lead_to_another(self, setup: Setup) -> None:
        first, before = await leading(setup)
        second = await setup.start()
        assert await first.lead(willing=False) is Standing.FOLLOWING
        assert await first.record(replace(before.state, seq=9), before.versions) is Commit.LOST
        assert await first.read() == replace(before, leader=None)
        assert await second.lead() is Standing.LEADING
        assert await first.lead() is Standing.FOLLOWING

    async def test_exactly_the_leader_that_is_gone_is_replaced_at_once(self, setup: Setup) -> None:
        first, before = await leading(setup)
        second = await setup.start()
        gone = (await second.read()).leader
        assert gone is not None
        others = (
            STRANGER, replace(gone, epoch=gone.epoch + 1), replace(gone, nonce="x"), replace(gone, name="x"),
        )  # fmt: skip
        for other in others:
            assert await second.lead(over=other) is Standing.FOLLOWING
        assert await second.lead(willing=False, over=gone) is Standing.FOLLOWING
        assert (await first.read()).leader == gone
        assert await second.lead(over=gone) is Standing.LEADING
        assert (await second.read()).versions.epoch > before.versions.epoch

    async def test_a_deposed_leader_records_nothing_and_learns_it_by_reading(self, setup: Setup) -> None:
        first, before = await leading(setup)
        second = await setup.start()
        assert await second.lead(over=(await second.read()).leader) is Standing.LEADING
        elected = await second.read()
        assert await first.record(replace(before.state, seq=9), before.versions) is Commit.LOST
        assert await first.read() == elected
        assert elected.state == before.state
        assert first.may_act_until_s() == float("-inf")
        assert await first.lead() is Standing.FOLLOWING


async def leading(setup: Setup) -> tuple[Coordination, Recorded]:
    controller = await setup.start()
    await controller.lead()
    return controller, await controller.read()
