"""What lag a replicator is said to have: exact seconds, virtual time."""

from collections.abc import Sequence

import pytest
from tests.unit.replication.dovecot import Replicator, source

from mailward.model.replication import Confidence, Lag
from mailward.replication.sources.doveadm import OVERVIEW, USERS, Question, Take
from mailward.replication.sources.dovecot23 import Dovecot23Source


async def lag_of(measured: Dovecot23Source) -> Lag:
    (lag,) = await measured.measure()
    return lag


async def watch(replicator: Replicator, measured: Dovecot23Source, seconds: int) -> Lag:
    """Measure once a second, as the loop would."""
    for _ in range(seconds):
        replicator.pass_s(1.0)
        lag = await lag_of(measured)
    return lag


async def test_a_healthy_replicator_has_no_lag_and_its_list_is_never_asked_for() -> None:
    replicator = Replicator()
    lag = await watch(replicator, source(replicator), 60)
    assert (lag.source, lag.target, lag.confidence) == ("mail-a", "mail-b", Confidence.KNOWN)
    assert (lag.seconds, lag.mailboxes, lag.failed_mailboxes, lag.detail) == (0.0, 0, 0, "")
    assert "users" not in replicator.asked


async def test_a_user_idle_for_a_day_is_not_a_day_behind_when_a_message_comes() -> None:
    replicator = Replicator(synced_s_ago=86_400.0)
    measured = source(replicator)
    await watch(replicator, measured, 3)
    replicator.peer = "black hole"
    replicator.change("u1")
    lag = await watch(replicator, measured, 10)
    assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.KNOWN, 10.0, 1)


async def test_users_hanging_in_slots_of_a_black_holed_peer_count_although_the_queue_is_empty() -> None:
    replicator = Replicator(slots=2)
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "black hole"
    replicator.change("u1", "u2")
    for second in range(1, 20):
        lag = await watch(replicator, measured, 1)
        assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.KNOWN, second, 2)
        assert lag.failed_mailboxes == 0


async def test_a_user_that_leaves_its_slot_while_we_ask_is_not_lost_sight_of() -> None:
    replicator = Replicator()
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "black hole"
    replicator.change("u1")
    await watch(replicator, measured, 5)
    replicator.slots_fail_after = OVERVIEW
    lag = await watch(replicator, measured, 1)
    assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.KNOWN, 6.0, 1)


async def test_lag_behind_a_black_hole_grows_with_the_clock_through_hangs_and_failures() -> None:
    replicator = Replicator(users=8, slots=2)
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "black hole"
    replicator.change(*replicator.users)
    for second in range(1, 200):
        lag = await watch(replicator, measured, 1)
        assert lag.confidence is Confidence.KNOWN
        assert lag.seconds == second
    assert lag.failed_mailboxes == 8


async def test_refused_users_wait_as_failed_until_a_kick_drains_them() -> None:
    replicator = Replicator()
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "refuses"
    replicator.change("u1", "u2", "u3")
    lag = await watch(replicator, measured, 100)
    assert (lag.seconds, lag.mailboxes, lag.failed_mailboxes) == (100.0, 3, 3)
    replicator.peer = "up"
    lag = await watch(replicator, measured, 20)
    assert (lag.seconds, lag.failed_mailboxes) == (120.0, 3)
    assert await measured.kick() == ""
    lag = await watch(replicator, measured, 5)
    assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.KNOWN, 0.0, 0)


async def test_under_steady_load_the_oldest_user_is_found_by_the_list() -> None:
    replicator = Replicator(users=40, slots=4)
    measured = source(replicator)
    for second in range(60):
        replicator.change(*(f"u{(second * 4 + n) % 40}" for n in range(4)))
        await lag_of(measured)
        replicator.pass_s(1.0)
    lag = await lag_of(measured)
    assert lag.seconds is not None
    assert lag.seconds < 10.0


async def test_a_success_older_than_the_last_fast_sync_is_normal() -> None:
    """The peer's replicator tells ours about users it synchronised; only `fast sync` moves then."""
    replicator = Replicator(users=3, slots=1)
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "black hole"
    replicator.change("u0")
    replicator.pass_s(1.0)
    replicator.peer_told_us("u1")
    lag = await watch(replicator, measured, 10)
    assert lag.mailboxes == 1


async def test_a_first_look_into_a_black_hole_counts_from_the_last_success() -> None:
    replicator = Replicator(synced_s_ago=50.0)
    replicator.peer = "black hole"
    replicator.change("u1")
    replicator.pass_s(10.0)
    lag = await lag_of(source(replicator))
    assert (lag.confidence, lag.seconds) == (Confidence.KNOWN, 61.0)  # ages come in whole seconds


async def test_a_waiting_user_that_was_never_synchronised_makes_the_lag_unknown_on_a_first_look() -> None:
    replicator = Replicator()
    replicator.peer = "black hole"
    replicator.change("new")
    lag = await lag_of(source(replicator))
    assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.UNKNOWN, None, None)
    assert "1 mailboxes wait" in lag.detail


async def test_a_replicator_that_knows_nobody_is_unknown_and_not_in_sync() -> None:
    lag = await lag_of(source(Replicator(users=0)))
    assert lag.confidence is Confidence.UNKNOWN
    assert "userdb" in lag.detail


@pytest.mark.parametrize("answered_before", [True, False])
async def test_no_answer_is_stale_with_the_last_figure_or_unknown_without_one(answered_before: bool) -> None:
    replicator = Replicator()
    measured = source(replicator)
    if answered_before:
        replicator.peer = "refuses"
        await lag_of(measured)
        replicator.change("u1")
        await watch(replicator, measured, 4)
    replicator.answers = False
    replicator.pass_s(7.0)
    lag = await lag_of(measured)
    assert "refused" in lag.detail
    if answered_before:
        assert (lag.confidence, lag.seconds, lag.mailboxes, lag.age_s) == (Confidence.STALE, 4.0, 1, 7.0)
    else:
        assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.UNKNOWN, None, None)


async def test_a_silence_of_the_controllers_own_network_does_not_make_the_replicator_suspect() -> None:
    replicator = Replicator()
    measured = source(replicator)
    await lag_of(measured)
    replicator.answers = False
    await watch(replicator, measured, 30)
    replicator.answers = True
    assert (await lag_of(measured)).confidence is Confidence.KNOWN


async def test_a_kick_while_the_list_is_being_read_still_proves_a_restarted_replicator() -> None:
    class Kicked(Replicator):
        async def ask(self, questions: Sequence[Question], take: Take, deadline_s: float) -> None:
            if USERS in questions and "kick" not in self.asked:
                assert await measured.kick() == ""
            await super().ask(questions, take, deadline_s)

    replicator = Kicked()
    measured = source(replicator)
    await lag_of(measured)
    replicator.kill()
    assert (await lag_of(measured)).confidence is Confidence.UNKNOWN
    assert (await watch(replicator, measured, 4)).confidence is Confidence.KNOWN


async def test_a_kick_that_is_not_answered_says_why() -> None:
    replicator = Replicator()
    replicator.answers = False
    assert await source(replicator).kick() == "mail-a: refused: connection refused"
