"""Publishing to one DNS target: read, diff, guard, apply, and read again where the answer is unknown.

What is wanted is always whole, so a call may be repeated. The token is written even when nothing is to
change: messages still on their way with older tokens are void from then on. DONE means that the
target holds this very token with what was wanted; STALE that a higher token of ours was seen there; AHEAD
that there was one which our store never sent.
A lower one than ours where another was expected is UNKNOWN: the core decides anew, with a higher token.
A target whose token went backwards (restored from a backup) needs nothing special: it is lower, so the
next write lifts it again.

Nothing is retried here, and drift by others is overwritten only by what the core wants published.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol

from mailward.dns.diff import Key, complete, diff
from mailward.dns.guard import violations
from mailward.dns.records import absolute, canonical
from mailward.model.dns import Applied, ApplyResult, Change, ReadFailure, RRset, ServerCheck, Unread, ZoneView
from mailward.model.orders import Result
from mailward.model.ports import DnsTarget, Published
from mailward.model.token import Sent, Token


class Verifier(Protocol):
    async def check(self, rrsets: Sequence[RRset]) -> tuple[ServerCheck, ...]:
        """What each authoritative server answers, against what is wanted."""
        ...


class TargetPublisher:
    """`Publisher` for one target. `keys` are the (name, type) pairs that may be touched (I3), `endpoints`
    the names that never lose their last address (I2); claim and publish end within `deadline_s`."""

    def __init__(
        self,
        target: DnsTarget,
        *,
        keys: Iterable[Key],
        endpoints: Iterable[str],
        verification: Verifier,
        deadline_s: float = 6.0,
    ) -> None:
        self._target = target
        self._keys = tuple(sorted({(absolute(name), kind.upper()) for name, kind in keys}))
        self._endpoints = frozenset(absolute(name) for name in endpoints)
        self._verification = verification
        self._deadline_s = deadline_s

    async def claim(self, token: Token, sent: Sent) -> Published:
        return await self._bounded(self._claim(token, sent))

    async def publish(self, token: Token, rrsets: Sequence[RRset]) -> Published:
        return await self._bounded(self._publish(token, rrsets))

    async def verify(self, rrsets: Sequence[RRset]) -> tuple[ServerCheck, ...]:
        try:
            wanted = self._wanted(rrsets)
        except ValueError as error:
            return (ServerCheck(self._target.name, False, str(error)),)
        return await self._verification.check(wanted)

    async def _bounded(self, work: Awaitable[Published]) -> Published:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await work
        except TimeoutError:
            return Published(Result.UNKNOWN, f"{self._target.name}: not done within {self._deadline_s:g} s")

    def _wanted(self, rrsets: Sequence[RRset]) -> tuple[RRset, ...]:
        """ValueError names what is no RRset."""
        wanted = [canonical(rrset) for rrset in rrsets]
        if len({rrset.key for rrset in wanted}) < len(wanted):
            raise ValueError(f"a RRset is listed twice: {'; '.join(str(rrset) for rrset in wanted)}")
        return complete(wanted, self._keys)

    async def _claim(self, token: Token, sent: Sent) -> Published:
        view = await self._target.read(())
        if isinstance(view, Unread):
            return _unread(view)
        if view.token is not None and not sent.explains(view.token, token.epoch):
            return Published(Result.AHEAD, f"it remembers {view.token}, which this store never sent")
        if refused := _overtaken(view.token, token):
            return refused
        applied = await self._target.claim(view.token, token)
        if applied.result is ApplyResult.APPLIED:
            return Published(Result.DONE, f"token {token}")
        return await self._settle(applied, token, ())

    async def _publish(self, token: Token, rrsets: Sequence[RRset]) -> Published:
        try:
            wanted = self._wanted(rrsets)
        except ValueError as error:
            return Published(Result.FAILED, str(error))
        view = await self._target.read(self._keys)
        if isinstance(view, Unread):
            return _unread(view)
        changes = diff(wanted, view.rrsets)
        if view.token == token and not changes:
            return Published(Result.DONE, "it was there already")
        if refused := _overtaken(view.token, token):
            return refused
        forbidden = violations(changes, view.rrsets, keys=self._keys, endpoints=self._endpoints)
        if forbidden:
            return Published(Result.FAILED, "; ".join(forbidden))
        applied = await self._target.apply(view.token, token, changes)
        if applied.result is ApplyResult.APPLIED:
            return Published(Result.DONE, _summary(changes))
        return await self._settle(applied, token, wanted)

    async def _settle(self, applied: Applied, token: Token, wanted: tuple[RRset, ...]) -> Published:
        """What an answer other than APPLIED comes to, judged by what the target holds now."""
        if applied.result is ApplyResult.REFUSED:
            return Published(Result.FAILED, applied.detail)
        view = await self._target.read(self._keys if wanted else ())
        if isinstance(view, Unread):
            if view.failure is ReadFailure.FOREIGN:
                return Published(Result.FOREIGN, view.detail)
            return Published(Result.UNKNOWN, f"{applied.detail}; read again: {view.detail}")
        if view.token == token and not diff(wanted, view.rrsets):
            return Published(Result.DONE, f"seen by reading again ({applied.detail})")
        if view.token is not None and view.token > token:
            return _stale(view)
        return Published(Result.UNKNOWN, f"{applied.detail}; the token there is {view.token or 'absent'}")


def _unread(unread: Unread) -> Published:
    """Nothing was sent."""
    result = Result.FOREIGN if unread.failure is ReadFailure.FOREIGN else Result.FAILED
    return Published(result, unread.detail, sent=False)


def _overtaken(there: Token | None, ours: Token) -> Published | None:
    if there is None or there < ours:
        return None
    return Published(Result.STALE, f"the token there is {there}, not below ours, {ours}")


def _stale(view: ZoneView) -> Published:
    return Published(Result.STALE, f"a higher token is there: {view.token}")


def _summary(changes: Sequence[Change]) -> str:
    texts = [
        str(change.rrset) if change.rrset else f"{change.name} {change.type} removed" for change in changes
    ]
    return "; ".join(texts) or "nothing to change"
