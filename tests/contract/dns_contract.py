"""What every DNS target does, whatever stands behind it. Subclass with a `world` fixture."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import pytest

from mailward.model.dns import ApplyResult, Change, ReadFailure, RRset, Unread, ZoneView
from mailward.model.ports import DnsTarget
from mailward.model.token import Token

STORE = "0123456789abcdef"
OTHER_STORE = "fedcba9876543210"
ZONE = "example.test."
CLUSTER = "lab"
TOKEN_NAME = "_mailward-lab.example.test."
MAIL_A = ("mail.example.test.", "A")
MAIL_AAAA = ("mail.example.test.", "AAAA")
IMAP_A = ("imap.example.test.", "A")
KEYS = (MAIL_A, MAIL_AAAA, IMAP_A)


class World(Protocol):
    """An empty zone ZONE on some name server, and what its other users can do to it."""

    def target(self, store_id: str = STORE) -> DnsTarget: ...

    async def plant(self, *values: str) -> None:
        """Write the token TXT as somebody else would; no values remove it."""
        ...


def token(epoch: int, seq: int, store_id: str = STORE) -> Token:
    return Token(store_id, epoch, seq)


def addresses(key: tuple[str, str], *values: str, ttl_s: int = 5) -> Change:
    return Change(*key, RRset(*key, ttl_s, values))


async def view(target: DnsTarget, keys: Sequence[tuple[str, str]] = KEYS) -> ZoneView:
    found = await target.read(keys)
    assert isinstance(found, ZoneView), found
    return found


async def values(target: DnsTarget, key: tuple[str, str]) -> tuple[str, ...] | None:
    found = (await view(target, [key])).rrsets
    return found[0].values if found else None


class DnsTargetContract:
    """The suite."""

    async def test_an_unclaimed_zone_has_no_token(self, world: World) -> None:
        found = await view(world.target())
        assert (found.token, found.rrsets) == (None, ())

    async def test_a_claim_writes_the_token_and_changes_nothing_else(self, world: World) -> None:
        target = world.target()
        await target.apply(None, token(1, 0), [addresses(MAIL_A, "192.0.2.1")])
        before = await view(target)
        assert (await target.claim(token(1, 0), token(2, 0))).result is ApplyResult.APPLIED
        after = await view(target)
        assert after.token == token(2, 0)
        assert after.rrsets == before.rrsets

    async def test_a_claim_of_an_unclaimed_zone_that_is_claimed_by_now_is_stale(self, world: World) -> None:
        target = world.target()
        assert (await target.claim(None, token(1, 0))).result is ApplyResult.APPLIED
        assert (await target.claim(None, token(2, 0))).result is ApplyResult.STALE
        assert (await view(target)).token == token(1, 0)

    async def test_token_and_all_rrsets_change_together(self, world: World) -> None:
        target = world.target()
        changes = [
            addresses(MAIL_A, "192.0.2.2", "192.0.2.1"),
            addresses(MAIL_AAAA, "2001:db8::1"),
            addresses(IMAP_A, "192.0.2.3", ttl_s=7),
        ]
        assert (await target.apply(None, token(1, 1), changes)).result is ApplyResult.APPLIED
        found = await view(target)
        assert found.token == token(1, 1)
        assert set(found.rrsets) == {
            RRset(*MAIL_A, 5, ("192.0.2.1", "192.0.2.2")),
            RRset(*MAIL_AAAA, 5, ("2001:db8::1",)),
            RRset(*IMAP_A, 7, ("192.0.2.3",)),
        }

    async def test_an_rrset_is_replaced_whole(self, world: World) -> None:
        target = world.target()
        await target.apply(None, token(1, 0), [addresses(MAIL_A, "192.0.2.1", "192.0.2.2", "192.0.2.3")])
        await target.apply(token(1, 0), token(1, 1), [addresses(MAIL_A, "192.0.2.3", "192.0.2.4")])
        assert await values(target, MAIL_A) == ("192.0.2.3", "192.0.2.4")

    async def test_a_ttl_alone_can_be_changed(self, world: World) -> None:
        target = world.target()
        await target.apply(None, token(1, 0), [addresses(MAIL_A, "192.0.2.1", ttl_s=5)])
        await target.apply(token(1, 0), token(1, 1), [addresses(MAIL_A, "192.0.2.1", ttl_s=9)])
        assert (await view(target)).rrsets == (RRset(*MAIL_A, 9, ("192.0.2.1",)),)

    async def test_an_rrset_is_deleted_and_its_neighbour_stays(self, world: World) -> None:
        target = world.target()
        both = [addresses(MAIL_A, "192.0.2.1"), addresses(MAIL_AAAA, "2001:db8::1")]
        await target.apply(None, token(1, 0), both)
        applied = await target.apply(token(1, 0), token(1, 1), [Change(*MAIL_A, None)])
        assert applied.result is ApplyResult.APPLIED
        assert (await view(target)).rrsets == (RRset(*MAIL_AAAA, 5, ("2001:db8::1",)),)

    async def test_deleting_what_is_not_there_is_no_failure(self, world: World) -> None:
        target = world.target()
        applied = await target.apply(None, token(1, 0), [Change(*MAIL_A, None)])
        assert applied.result is ApplyResult.APPLIED
        assert (await view(target)).token == token(1, 0)

    @pytest.mark.parametrize("late", [token(1, 9), token(2, 1)], ids=["old epoch", "old seq"])
    async def test_a_write_that_comes_late_is_void(self, world: World, late: Token) -> None:
        """It was sent when (1, 0) was there, and (2, 5) overtook it."""
        target = world.target()
        await target.apply(None, token(1, 0), [addresses(MAIL_A, "192.0.2.1")])
        await target.apply(token(1, 0), token(2, 5), [addresses(MAIL_A, "192.0.2.2")])
        applied = await target.apply(token(1, 0), late, [addresses(MAIL_A, "192.0.2.9")])
        assert applied.result is ApplyResult.STALE
        found = await view(target)
        assert found.token == token(2, 5)
        assert found.rrsets == (RRset(*MAIL_A, 5, ("192.0.2.2",)),)

    async def test_a_write_is_not_obeyed_twice(self, world: World) -> None:
        target = world.target()
        await target.claim(None, token(1, 0))
        change = [addresses(MAIL_A, "192.0.2.1")]
        assert (await target.apply(token(1, 0), token(1, 1), change)).result is ApplyResult.APPLIED
        assert (await target.apply(token(1, 0), token(1, 1), change)).result is ApplyResult.STALE

    @pytest.mark.parametrize(
        "expected",
        [token(2, 0), token(2, 1), token(3, 0), token(1, 0, OTHER_STORE)],
        ids=["equal", "higher seq", "higher epoch", "other store"],
    )
    async def test_what_cannot_be_next_is_stale_even_where_it_is_expected(
        self, world: World, expected: Token
    ) -> None:
        await world.plant(f'"{expected}"')
        target = world.target(expected.store_id)
        applied = await target.apply(expected, token(2, 0), [addresses(MAIL_A, "192.0.2.1")])
        assert applied.result is ApplyResult.STALE
        found = await view(target)
        assert (found.token, found.rrsets) == (expected, ())

    async def test_of_sixteen_racing_writers_one_wins_with_all_it_wrote(self, world: World) -> None:
        target = world.target()
        await target.claim(None, token(1, 0))
        for round_ in range(1, 4):
            expected = (await view(target)).token
            writers = [
                target.apply(expected, token(round_ + 1, n), [addresses(MAIL_A, f"192.0.2.{n}")])
                for n in range(1, 17)
            ]
            results = [applied.result for applied in await asyncio.gather(*writers)]
            assert results.count(ApplyResult.APPLIED) == 1
            assert results.count(ApplyResult.STALE) == 15
            winner = results.index(ApplyResult.APPLIED) + 1
            found = await view(target)
            assert found.token == token(round_ + 1, winner)
            assert found.rrsets == (RRset(*MAIL_A, 5, (f"192.0.2.{winner}",)),)

    async def test_another_stores_token_is_foreign_and_is_not_overwritten(self, world: World) -> None:
        theirs = token(4, 2, OTHER_STORE)
        await world.plant(f'"{theirs}"')
        found = await world.target().read(KEYS)
        assert isinstance(found, Unread)
        assert found.failure is ReadFailure.FOREIGN
        assert STORE in found.detail
        assert OTHER_STORE in found.detail
        assert (await world.target().claim(None, token(9, 9))).result is ApplyResult.STALE
        assert (await view(world.target(OTHER_STORE))).token == theirs

    @pytest.mark.parametrize(
        "planted",
        [
            ('"hello"',),
            ('"0123456789ABCDEF.1.2"',),
            ('"0123456789abcdef.01.2"',),
            ('"0123456789abcdef.1"',),
            ('"0123456789abcdef.1.2" ""',),
            ('"0123456789abcdef.1.2"', '"0123456789abcdef.1.3"'),
            ('""',),
        ],
        ids=["words", "upper case", "leading zero", "no seq", "two strings", "two records", "empty"],
    )
    async def test_a_txt_that_is_no_token_is_broken_and_is_not_overwritten(
        self, world: World, planted: tuple[str, ...]
    ) -> None:
        await world.plant(*planted)
        found = await world.target().read(KEYS)
        assert isinstance(found, Unread)
        assert found.failure is ReadFailure.BROKEN
        assert TOKEN_NAME in found.detail
        assert planted[0] in found.detail
        assert (await world.target().claim(None, token(9, 9))).result is ApplyResult.STALE

    async def test_a_token_removed_by_hand_makes_the_next_write_stale(self, world: World) -> None:
        target = world.target()
        await target.claim(None, token(1, 0))
        await world.plant()
        assert (await target.claim(token(1, 0), token(1, 1))).result is ApplyResult.STALE
        assert (await view(target)).token is None

    @pytest.mark.parametrize(
        "change",
        [
            addresses(("mail.elsewhere.test.", "A"), "192.0.2.1"),
            Change(TOKEN_NAME, "TXT", RRset(TOKEN_NAME, "TXT", 5, ('"x"',))),
            Change(TOKEN_NAME, "TXT", None),
        ],
        ids=["outside the zone", "the token's own name", "deleting the token"],
    )
    async def test_what_is_not_its_to_change_is_refused_and_nothing_changes(
        self, world: World, change: Change
    ) -> None:
        target = world.target()
        await target.claim(None, token(1, 0))
        applied = await target.apply(token(1, 0), token(1, 1), [addresses(MAIL_A, "192.0.2.1"), change])
        assert applied.result is ApplyResult.REFUSED
        assert change.name in applied.detail
        found = await view(target)
        assert (found.token, found.rrsets) == (token(1, 0), ())

    async def test_only_what_was_asked_for_is_read(self, world: World) -> None:
        target = world.target()
        await target.apply(
            None, token(1, 0), [addresses(MAIL_A, "192.0.2.1"), addresses(IMAP_A, "192.0.2.1")]
        )
        assert (await view(target, ())).rrsets == ()
        assert [rrset.key for rrset in (await view(target, [IMAP_A])).rrsets] == [IMAP_A]

    async def test_a_zone_is_found_again_by_another_controller_of_the_store(self, world: World) -> None:
        await world.target().apply(None, token(3, 7), [addresses(MAIL_A, "192.0.2.1")])
        found = await view(world.target())
        assert (found.token, found.rrsets) == (token(3, 7), (RRset(*MAIL_A, 5, ("192.0.2.1",)),))
