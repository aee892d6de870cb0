"""The publisher's pipeline against a name server in memory and a network that loses things."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.contract.dns_memory import UNREACHABLE, Fault, MemoryTarget, MemoryZone

from mailward.dns.publication import TargetPublisher
from mailward.dns.servers import Server
from mailward.dns.verification import Verification
from mailward.model.dns import Applied, ApplyResult, Change, RRset, Unread, ZoneView
from mailward.model.orders import Result
from mailward.model.ports import Published, Publisher
from mailward.model.token import NOTHING_SENT, Sent, Span, Token

STORE = "0123456789abcdef"
OTHER = "fedcba9876543210"
MAIL = "mail.example.test."
A = RRset(MAIL, "A", 5, ("192.0.2.1", "192.0.2.2"))
A_LEFT = RRset(MAIL, "A", 5, ("192.0.2.2",))
AAAA = RRset(MAIL, "AAAA", 5, ("2001:db8::1",))
WWW = RRset("www.example.test.", "A", 5, ("192.0.2.9",))


def token(epoch: int, seq: int, store: str = STORE) -> Token:
    return Token(store, epoch, seq)


def publisher(target: MemoryTarget, deadline_s: float = 1.0) -> Publisher:
    return TargetPublisher(
        target,
        keys=[("Mail.example.test", "a"), (MAIL, "AAAA")],
        endpoints=["MAIL.example.test"],
        verification=Verification("example.test.", Server("127.0.0.1", 1), servers=()),
        deadline_s=deadline_s,
    )


@pytest.fixture
def zone() -> MemoryZone:
    return MemoryZone(rrsets={rrset.key: rrset for rrset in (A, AAAA, WWW)})


@pytest.fixture
def ours(zone: MemoryZone) -> Publisher:
    return publisher(MemoryTarget("memory", zone, STORE))


def there(zone: MemoryZone) -> str:
    rrset = zone.rrsets.get(zone.token_key)
    return rrset.values[0].strip('"') if rrset else "absent"


async def test_a_claim_writes_the_token(zone: MemoryZone, ours: Publisher) -> None:
    assert (await ours.claim(token(1, 1), NOTHING_SENT)).result is Result.DONE
    assert there(zone) == str(token(1, 1))
    assert zone.rrsets[A.key] == A


@pytest.mark.parametrize("held", [token(2, 1), token(2, 2)], ids=["equal", "higher"])
async def test_a_claim_under_a_token_not_below_is_stale(
    zone: MemoryZone, ours: Publisher, held: Token
) -> None:
    zone.plant(f'"{held}"')
    assert (await ours.claim(token(2, 1), NOTHING_SENT)).result is Result.STALE
    assert there(zone) == str(held)


async def test_another_stores_target_is_foreign_for_claim_and_publish(
    zone: MemoryZone, ours: Publisher
) -> None:
    zone.plant(f'"{token(1, 1, OTHER)}"')
    for done in (await ours.claim(token(9, 9), NOTHING_SENT), await ours.publish(token(9, 9), [A])):
        assert done.result is Result.FOREIGN
        assert OTHER in done.detail
    assert there(zone) == str(token(1, 1, OTHER))


async def test_a_claim_is_not_sent_where_a_token_is_remembered_that_the_store_never_sent(
    zone: MemoryZone, ours: Publisher
) -> None:
    """The store was restored from a backup: what it has on record ends before what the target knows."""
    zone.plant(f'"{token(7, 93)}"')
    done = await ours.claim(token(8, 1), Sent(token(7, 41)))
    assert done.result is Result.AHEAD
    assert str(token(7, 93)) in done.detail
    assert there(zone) == str(token(7, 93))
    assert (
        await ours.claim(token(8, 1), Sent(token(7, 41), (Span(token(7, 90), token(7, 93)),)))
    ).result is Result.DONE


async def test_nor_where_an_epoch_is_remembered_that_is_still_to_come(
    zone: MemoryZone, ours: Publisher
) -> None:
    zone.plant(f'"{token(9, 1)}"')
    done = await ours.claim(token(8, 1), NOTHING_SENT)
    assert done.result is Result.AHEAD
    assert (await ours.claim(token(9, 2), NOTHING_SENT)).result is Result.DONE


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (token(3, 9), Result.DONE),
        (token(7, 1), Result.DONE),
        (token(7, 3), Result.DONE),
        (token(7, 4), Result.AHEAD),
    ],
    ids=["of an earlier store", "the first that was sent", "the last that was sent", "never sent"],
)
async def test_what_was_sent_and_never_heard_of_explains_that_much(
    zone: MemoryZone, ours: Publisher, held: Token, expected: Result
) -> None:
    """Found by simulation: restored to where its first claim was under way, a store took all for its own."""
    zone.plant(f'"{held}"')
    sent = Sent(None, (Span(token(7, 1), token(7, 3)),))
    assert (await ours.claim(token(8, 1), sent)).result is expected


async def test_publishing_replaces_what_differs_and_writes_the_token(
    zone: MemoryZone, ours: Publisher
) -> None:
    done = await ours.publish(token(1, 1), [A_LEFT, AAAA])
    assert done == Published(Result.DONE, "mail.example.test. 5 A 192.0.2.2")
    assert (zone.rrsets[A.key], zone.rrsets[AAAA.key], there(zone)) == (A_LEFT, AAAA, str(token(1, 1)))


async def test_publishing_what_is_there_still_writes_the_token(zone: MemoryZone, ours: Publisher) -> None:
    assert await ours.publish(token(1, 1), [A, AAAA]) == Published(Result.DONE, "nothing to change")
    assert there(zone) == str(token(1, 1))


async def test_a_family_without_values_or_not_listed_is_removed(zone: MemoryZone, ours: Publisher) -> None:
    done = await ours.publish(token(1, 1), [A])
    assert done == Published(Result.DONE, "mail.example.test. AAAA removed")
    zone.rrsets[AAAA.key] = AAAA
    await ours.publish(token(1, 2), [A, RRset(MAIL, "AAAA", 5, ())])
    assert AAAA.key not in zone.rrsets


async def test_values_are_compared_in_canonical_form(zone: MemoryZone, ours: Publisher) -> None:
    wanted = [
        RRset("MAIL.example.test", "a", 5, ("192.0.2.2", "192.0.2.1", "192.0.2.2")),
        RRset(MAIL, "AAAA", 5, ("2001:DB8:0::1",)),
    ]
    assert (await ours.publish(token(1, 1), wanted)).detail == "nothing to change"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ([RRset(MAIL, "A", 5, ()), RRset(MAIL, "AAAA", 5, ())], "without any address (I2)"),
        ([A, WWW], "never touched (I3)"),
        ([RRset(MAIL, "A", 5, ("mail-a",))], "mail-a"),
        ([A, A_LEFT], "twice"),
    ],
    ids=["last address", "unlisted name", "no address", "two of one"],
)
async def test_what_must_not_be_published_fails_and_nothing_is_sent(
    zone: MemoryZone, ours: Publisher, wanted: list[RRset], reason: str
) -> None:
    before = dict(zone.rrsets)
    del zone.rrsets[WWW.key]
    done = await ours.publish(token(1, 1), wanted)
    assert done.result is Result.FAILED
    assert reason in done.detail
    assert zone.rrsets == {key: rrset for key, rrset in before.items() if key != WWW.key}


async def test_an_order_published_again_is_done_and_not_sent_again(zone: MemoryZone, ours: Publisher) -> None:
    await ours.publish(token(1, 1), [A_LEFT])
    serial = zone.serial
    assert (await ours.publish(token(1, 1), [A_LEFT])).result is Result.DONE
    assert zone.serial == serial


async def test_a_token_used_for_something_else_is_stale(zone: MemoryZone, ours: Publisher) -> None:
    await ours.publish(token(1, 1), [A_LEFT])
    assert (await ours.publish(token(1, 1), [A])).result is Result.STALE
    assert zone.rrsets[A.key] == A_LEFT


async def test_a_lost_reply_is_settled_by_reading_again(zone: MemoryZone, ours: Publisher) -> None:
    zone.faults.append(Fault.LOSE_REPLY)
    assert (await ours.claim(token(1, 0), NOTHING_SENT)).result is Result.DONE
    zone.faults.append(Fault.LOSE_REPLY)
    done = await ours.publish(token(1, 1), [A_LEFT])
    assert done.result is Result.DONE
    assert "no answer within 2 s" in done.detail


async def test_a_lost_request_is_unknown_and_the_next_token_settles_it(
    zone: MemoryZone, ours: Publisher
) -> None:
    await ours.claim(token(1, 0), NOTHING_SENT)
    zone.faults.append(Fault.LOSE_REQUEST)
    done = await ours.publish(token(1, 1), [A_LEFT])
    assert done.result is Result.UNKNOWN
    assert str(token(1, 0)) in done.detail
    assert (await ours.publish(token(1, 2), [A_LEFT])).result is Result.DONE


async def test_an_update_delivered_after_the_next_one_is_void(zone: MemoryZone, ours: Publisher) -> None:
    await ours.claim(token(1, 0), NOTHING_SENT)
    zone.faults.append(Fault.HOLD)
    assert (await ours.publish(token(1, 1), [A_LEFT])).result is Result.UNKNOWN
    assert (await ours.publish(token(1, 2), [A])).result is Result.DONE
    assert [applied.result for applied in zone.deliver()] == [ApplyResult.STALE]
    assert (zone.rrsets[A.key], there(zone)) == (A, str(token(1, 2)))


async def test_publishing_no_difference_voids_an_update_still_on_its_way(
    zone: MemoryZone, ours: Publisher
) -> None:
    """The case the token is written for although nothing changes."""
    await ours.claim(token(1, 0), NOTHING_SENT)
    zone.faults.append(Fault.HOLD)
    await ours.publish(token(1, 1), [A_LEFT, AAAA])
    assert (await ours.publish(token(1, 2), [A, AAAA])).detail == "nothing to change"
    zone.deliver()
    assert zone.rrsets[A.key] == A


async def test_a_server_that_refuses_fails_with_its_words(zone: MemoryZone, ours: Publisher) -> None:
    zone.faults.append(Fault.REFUSE)
    done = await ours.publish(token(1, 1), [A_LEFT])
    assert done == Published(Result.FAILED, "the server refuses: let the key change these names")


async def test_a_target_that_cannot_be_read_fails_and_nothing_is_sent(
    zone: MemoryZone, ours: Publisher
) -> None:
    zone.unreadable = UNREACHABLE
    done = await ours.publish(token(1, 1), [A_LEFT])
    assert done == Published(Result.FAILED, UNREACHABLE.detail, sent=False)
    assert there(zone) == "absent"


async def test_a_token_that_went_backwards_is_lifted_again(zone: MemoryZone, ours: Publisher) -> None:
    await ours.publish(token(5, 1), [A_LEFT])
    zone.plant(f'"{token(2, 7)}"')
    assert (await ours.publish(token(5, 2), [A_LEFT])).result is Result.DONE
    assert there(zone) == str(token(5, 2))


class Raced(MemoryTarget):
    """Between our read and our write, somebody else writes `rival`; afterwards reads give `then`."""

    rival: Token | None = None
    then: Unread | None = None

    async def apply(self, expected: Token | None, new: Token, changes: Sequence[Change]) -> Applied:
        self.zone.plant(*([f'"{self.rival}"'] if self.rival else []))
        applied = await super().apply(expected, new, changes)
        self.zone.unreadable = self.then
        return applied


@pytest.mark.parametrize(
    ("rival", "result"),
    [
        (token(3, 0), Result.STALE),
        (token(2, 2), Result.STALE),
        (token(1, 5), Result.UNKNOWN),
        (token(1, 1, OTHER), Result.FOREIGN),
        (None, Result.UNKNOWN),
    ],
    ids=["higher epoch", "higher seq", "lower", "foreign", "removed"],
)
async def test_a_write_that_lost_a_race_is_judged_by_who_won_it(
    zone: MemoryZone, rival: Token | None, result: Result
) -> None:
    target = Raced("memory", zone, STORE)
    zone.plant(f'"{token(1, 0)}"')
    target.rival = rival
    done = await publisher(target).publish(token(2, 1), [A_LEFT])
    assert done.result is result
    assert zone.rrsets[A.key] == A


async def test_stale_is_not_believed_before_a_higher_token_was_seen(zone: MemoryZone) -> None:
    target = Raced("memory", zone, STORE)
    zone.plant(f'"{token(1, 0)}"')
    target.rival, target.then = token(3, 0), UNREACHABLE
    done = await publisher(target).publish(token(2, 1), [A_LEFT])
    assert done.result is Result.UNKNOWN
    assert UNREACHABLE.detail in done.detail


async def test_a_target_that_hangs_ends_at_the_deadline(zone: MemoryZone) -> None:
    class Hanging(MemoryTarget):
        async def read(self, keys: Sequence[tuple[str, str]]) -> ZoneView | Unread:
            return await asyncio.Event().wait() and UNREACHABLE

    done = await publisher(Hanging("slow", zone, STORE), deadline_s=0.02).publish(token(1, 1), [A])
    assert done == Published(Result.UNKNOWN, "slow: not done within 0.02 s")
