"""The list of every user is dear: it is asked for seldom, read as it arrives, and capped."""

import json
import tracemalloc

from tests.unit.replication.dovecot import Replicator, source
from tests.unit.replication.test_lag_of_a_replicator import lag_of, watch

from mailward.model.replication import Confidence
from mailward.replication.sources.doveadm import USERS
from mailward.replication.sources.dovecot23 import _Users
from mailward.replication.sources.rows import HttpRows


async def test_the_list_costs_at_most_a_twentieth_of_the_servers_time() -> None:
    replicator = Replicator()
    replicator.list_takes_s = 1.0
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "black hole"
    replicator.change("u1")
    await watch(replicator, measured, 100)
    assert replicator.asked.count("users") == 5  # after 5 s, then 20 s after each


async def test_a_kick_does_not_wait_for_the_lists_turn() -> None:
    replicator = Replicator()
    replicator.list_takes_s = 3.0
    measured = source(replicator)
    await lag_of(measured)
    replicator.dump = dict(replicator.users)
    replicator.kill()
    await watch(replicator, measured, 2)
    replicator.peer = "refuses"
    await measured.kick()
    lag = await watch(replicator, measured, 1)
    assert (lag.confidence, lag.failed_mailboxes) == (Confidence.KNOWN, 5)


async def test_a_list_that_is_never_answered_does_not_hold_up_the_summary() -> None:
    replicator = Replicator()
    replicator.list_takes_s, replicator.list_answers = 20.0, False
    measured = source(replicator)
    await lag_of(measured)
    replicator.peer = "refuses"
    replicator.change("u1")
    lag = await watch(replicator, measured, 100)
    assert replicator.asked.count("users") == 2
    assert (lag.confidence, lag.mailboxes) == (Confidence.KNOWN, 1)
    assert lag.seconds == 140.0


async def test_beyond_the_cap_the_figure_says_whom_it_was_judged_by() -> None:
    replicator = Replicator(users=30)
    measured = source(replicator, max_users=10)
    await lag_of(measured)
    replicator.peer = "refuses"
    replicator.change("u1", "u20")
    lag = await watch(replicator, measured, 10)
    assert (lag.confidence, lag.seconds, lag.mailboxes) == (Confidence.KNOWN, 10.0, 2)
    assert lag.detail == "by the first 10 of 30 mailboxes"


async def test_a_mailbox_beyond_the_cap_that_waits_alone_keeps_its_age() -> None:
    replicator = Replicator(users=30)
    measured = source(replicator, max_users=10)
    await lag_of(measured)
    replicator.peer = "refuses"
    replicator.change("u20")
    lag = await watch(replicator, measured, 60)
    assert (lag.confidence, lag.seconds) == (Confidence.KNOWN, 60.0)


async def test_a_summary_without_end_is_no_summary() -> None:
    replicator = Replicator()
    replicator.slots = dict.fromkeys((f"u{number}" for number in range(2000)), 0.0)
    lag = await lag_of(source(replicator))
    assert (lag.confidence, lag.detail) == (Confidence.UNKNOWN, "protocol: more than 1000 rows of slots")


def test_ten_thousand_users_are_read_in_a_few_megabytes() -> None:
    row = '{"username":"u%05d@example.test","priority":"none","fast sync":"00:00:39",'
    row += '"full sync":"00:00:53","success sync":"00:00:53","failed":"-"}'
    body = '[["doveadmResponse",[' + ",".join(row % n for n in range(10_000)) + '],"users"]]'
    assert len(json.loads(body)[0][1]) == 10_000
    data = body.encode()
    users, rows = _Users(50_000), HttpRows([USERS])
    tracemalloc.start()
    for start in range(0, len(data), 65_536):
        for question, read in rows.feed(data[start : start + 65_536]):
            users.take(question, read)
    rows.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(users.users) == 10_000
    assert peak < 6_000_000
