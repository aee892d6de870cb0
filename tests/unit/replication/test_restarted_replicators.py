"""A restarted replicator looks clean at once. It is UNKNOWN until every user is accounted for."""

from tests.unit.replication.dovecot import Replicator, source
from tests.unit.replication.test_lag_of_a_replicator import lag_of, watch

from mailward.model.replication import Confidence
from mailward.replication.sources.doveadm import USERS


def with_dump(**options: int) -> Replicator:
    """A replicator whose last dump is a while ago, as in all but the first 15 minutes of its life."""
    replicator = Replicator(**options)
    replicator.dump = dict(replicator.users)
    return replicator


async def test_a_replicator_killed_in_a_black_hole_is_unknown_and_not_clean() -> None:
    replicator = with_dump()
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "black hole"
    replicator.change("u1", "u2", "u3")
    await watch(replicator, measured, 20)
    replicator.kill()
    for _ in range(100):
        lag = await watch(replicator, measured, 1)
        assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.UNKNOWN, None, None)
    assert "restarted, first seen 99 s ago: 5 of 5 mailboxes not synchronised since" in lag.detail


async def test_a_kick_that_drains_proves_a_restarted_replicator() -> None:
    replicator = with_dump()
    measured = source(replicator)
    await lag_of(measured)
    replicator.kill()
    assert (await watch(replicator, measured, 10)).confidence is Confidence.UNKNOWN
    assert await measured.kick() == ""
    lag = await watch(replicator, measured, 10)
    assert (lag.confidence, lag.seconds) == (Confidence.KNOWN, 0.0)


async def test_users_synchronised_in_the_very_second_of_the_kick_are_not_missed() -> None:
    """Seen in the lab: ages come in whole seconds, so such a success may have been before the restart."""
    replicator = with_dump()
    measured = source(replicator)
    await lag_of(measured)
    replicator.kill()
    await lag_of(measured)
    await measured.kick()
    for _ in range(20):
        replicator.pass_s(0.1)
        lag = await lag_of(measured)
    assert (lag.confidence, lag.seconds) == (Confidence.KNOWN, 0.0)


async def test_a_kick_that_hit_the_process_before_proves_nothing_about_the_next() -> None:
    replicator = with_dump()
    measured = source(replicator)
    await lag_of(measured)
    replicator.kill()
    await lag_of(measured)
    await measured.kick()
    replicator.kill()
    assert (await watch(replicator, measured, 10)).confidence is Confidence.UNKNOWN


async def test_a_kick_by_somebody_else_proves_it_as_well() -> None:
    replicator = with_dump()
    measured, other = source(replicator), source(replicator)
    await lag_of(measured)
    replicator.kill()
    await lag_of(measured)
    await other.kick()
    assert (await watch(replicator, measured, 10)).confidence is Confidence.KNOWN


async def test_kicked_users_that_cannot_be_synchronised_are_lag_since_their_last_success() -> None:
    replicator = with_dump()
    measured = source(replicator)
    await lag_of(measured)
    replicator.kill()
    replicator.peer = "refuses"
    await measured.kick()
    lag = await watch(replicator, measured, 1)
    assert (lag.confidence, lag.mailboxes, lag.failed_mailboxes) == (Confidence.KNOWN, 5, 5)
    assert lag.seconds == 62.0


async def test_who_did_not_wait_by_an_unproven_replicators_word_may_have_waited_all_the_time() -> None:
    replicator = with_dump()
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "black hole"
    replicator.change("u1")
    await watch(replicator, measured, 20)
    replicator.kill()
    replicator.peer = "refuses"
    await watch(replicator, measured, 20)
    await measured.kick()
    lag = await watch(replicator, measured, 10)
    assert (lag.confidence, lag.mailboxes, lag.seconds) == (Confidence.KNOWN, 5, 111.0)


async def test_a_replicator_without_a_dump_that_synchronises_everybody_proves_itself() -> None:
    replicator = Replicator()
    measured = source(replicator)
    await lag_of(measured)
    replicator.kill()
    assert (await lag_of(measured)).confidence is Confidence.UNKNOWN
    assert (await watch(replicator, measured, 15)).confidence is Confidence.KNOWN


async def test_full_resyncs_held_up_behind_failed_users_prove_nothing() -> None:
    """Seen in the lab: restarted in a black hole without a dump, 10 users fail, nothing is in a slot,
    and the other 41 are tried only when those 10 are due again, 300 s later."""
    replicator = Replicator(users=6, slots=2)
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "black hole"
    replicator.kill()
    lag = await watch(replicator, measured, 60)
    assert not replicator.slots
    assert lag.confidence is Confidence.UNKNOWN


async def test_a_node_that_comes_back_with_the_same_pids_is_seen_to_have_restarted() -> None:
    replicator = with_dump()
    measured = source(replicator)
    await watch(replicator, measured, 5)
    replicator.reboot()
    assert (await watch(replicator, measured, 3)).confidence is Confidence.UNKNOWN


async def test_no_answer_from_an_unproven_replicator_is_unknown_and_not_stale() -> None:
    replicator = with_dump()
    measured = source(replicator)
    await lag_of(measured)
    replicator.kill()
    await lag_of(measured)
    replicator.answers = False
    assert (await lag_of(measured)).confidence is Confidence.UNKNOWN


async def test_a_replicator_first_met_after_a_crash_must_prove_itself() -> None:
    replicator = with_dump()
    replicator.kill()
    measured = source(replicator)
    assert (await watch(replicator, measured, 10)).confidence is Confidence.UNKNOWN
    await measured.kick()
    assert (await watch(replicator, measured, 10)).confidence is Confidence.KNOWN


async def test_a_replicator_first_met_with_an_empty_memory_must_prove_itself() -> None:
    replicator = Replicator(users=6, slots=2, synced_s_ago=None)
    lag = await lag_of(source(replicator))
    assert lag.confidence is Confidence.UNKNOWN


async def test_what_died_while_it_was_asked_does_not_vouch_for_the_next() -> None:
    """The list comes from the old process, the identity after it from the new: worth nothing."""
    replicator = with_dump()
    measured = source(replicator)
    await lag_of(measured)
    replicator.kill()
    await lag_of(measured)
    await source(replicator).kick()
    replicator.pass_s(6.0)
    replicator.pass_s(6.0)
    replicator.dies_after = USERS
    assert (await lag_of(measured)).confidence is Confidence.UNKNOWN
    replicator.dies_after = None
    assert (await watch(replicator, measured, 10)).confidence is Confidence.UNKNOWN
