"""The zone the daemon serves itself: compare-and-set in memory, on disk before anyone sees it.

Updates are one after another. A save that takes longer than `timeout_s` is answered UNKNOWN and runs on:
the zone changes when, and only if, it is on disk. A disk that is full refuses, and nothing changes.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from mailward.dns.diff import Key
from mailward.dns.embedded.file import load, save
from mailward.dns.embedded.zone import Zone, ZoneSettings
from mailward.dns.records import absolute
from mailward.dns.tokens import read_token, stale_before_sending, token_name, token_rrset
from mailward.model.dns import Applied, ApplyResult, Change, RRset, Unread, ZoneView
from mailward.model.token import Token


class EmbeddedTarget:
    """`DnsTarget` on a zone in this process; `zone` is what `EmbeddedServer` answers from."""

    refuses_stale = True

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        store_id: str,
        settings: ZoneSettings,
        path: Path,
        token_ttl_s: int = 5,
        timeout_s: float = 2.0,
    ) -> None:
        """StoreError when the file at `path` is not usable, ValueError for settings that are no zone."""
        self.name = name
        self._store_id = store_id
        self._token_name = token_name(cluster, settings.origin)
        self._token_ttl_s = token_ttl_s
        self._path = path
        self._timeout_s = timeout_s
        self._one_at_a_time = asyncio.Lock()
        self._zone = load(path, settings)

    @property
    def zone(self) -> Zone:
        return self._zone

    async def close(self) -> None:
        """Let a save under way finish, for a while."""
        try:
            async with asyncio.timeout(self._timeout_s), self._one_at_a_time:
                pass
        except TimeoutError:
            pass

    async def read(self, keys: Sequence[Key]) -> ZoneView | Unread:
        zone = self._zone
        token = read_token(self._token_name, zone.rrset(self._token_name, "TXT"), self._store_id)
        if isinstance(token, Unread):
            return token
        found = [zone.rrset(absolute(name), kind) for name, kind in keys]
        return ZoneView(token, tuple(rrset for rrset in found if rrset))

    async def claim(self, expected: Token | None, new: Token) -> Applied:
        return await self.apply(expected, new, ())

    async def apply(self, expected: Token | None, new: Token, changes: Sequence[Change]) -> Applied:
        if stale := stale_before_sending(expected, new):
            return Applied(ApplyResult.STALE, stale)
        if any(absolute(change.name) == self._token_name for change in changes):
            return Applied(ApplyResult.REFUSED, f"{self._token_name} holds the token and is nobody else's")
        late = Applied(ApplyResult.UNKNOWN, f"{self._path} was not written within {self._timeout_s:g} s")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._one_at_a_time.acquire()
        except TimeoutError:
            return Applied(ApplyResult.UNKNOWN, f"{late.detail}; this update was not begun")
        commit = asyncio.create_task(self._commit(expected, new, changes), name=f"save zone of {self.name}")
        done, _ = await asyncio.wait({commit}, timeout=self._timeout_s)
        return commit.result() if done else late

    async def _commit(self, expected: Token | None, new: Token, changes: Sequence[Change]) -> Applied:
        """Holds the lock until the disk has answered, however long nobody waits for that any more."""
        try:
            there = self._zone.rrset(self._token_name, "TXT")
            if (there.values if there else None) != (self._written(expected).values if expected else None):
                found = there.values[0] if there else "absent"
                return Applied(ApplyResult.STALE, f"the token there is {found}, not the one expected")
            replaced = [((absolute(change.name), change.type), change.rrset) for change in changes]
            replaced.append(((self._token_name, "TXT"), self._written(new)))
            zone = self._zone.replaced(replaced)
            await asyncio.to_thread(save, self._path, zone)
        except ValueError as error:
            return Applied(ApplyResult.REFUSED, str(error))
        except OSError as error:
            return Applied(ApplyResult.REFUSED, f"{self._path} cannot be written: {error.strerror}")
        else:
            self._zone = zone
            return Applied(ApplyResult.APPLIED)
        finally:
            self._one_at_a_time.release()

    def _written(self, token: Token) -> RRset:
        return token_rrset(self._token_name, token, self._token_ttl_s)
