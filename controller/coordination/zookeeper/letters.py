"""Letters in ZooKeeper: between who may lead and the daemons beside nodes.

A letter is a znode of its writer's session, and goes with it. What becomes of it is watched; a watch that is
lost is made up for by looking again now and then."""

import asyncio
from collections.abc import Callable

from mailward.controller.coordination.zookeeper.client import Client
from mailward.controller.coordination.zookeeper.rights import Rights
from mailward.controller.coordination.zookeeper.tree import LIMIT, Tree
from mailward.controller.coordination.zookeeper.values import Create, Delete, Write
from mailward.model.errors import StoreError
from mailward.model.ports import Box

AGAIN_S = 1.0
_MOST_LEFT = 100


class ZooKeeperLetters:
    """The port `Letters`."""

    def __init__(self, client: Client, at: Tree, rights: Rights) -> None:
        self._client = client
        self._at = at
        self._rights = rights
        self._made: set[str] = set()
        self._left: set[str] = set()

    async def write(self, box: Box, node: str, id: str, content: bytes) -> None:
        if len(content) > LIMIT:
            raise StoreError(f"a letter would be {len(content)} bytes, more than the {LIMIT} allowed")
        path = self._at.letter(box, node, id)
        if path in self._made:
            wrong = await self._client.commit(Write(path, content))
        else:
            await self._take_away_what_is_left()
            self._made.add(path)
            acl = self._rights.of_letter(box, node)
            wrong = await self._client.commit(Create(path, content, ephemeral=True, acl=acl))
        if wrong:
            raise StoreError(
                f"ZooKeeper did not take a letter: {wrong}{await self._whats_missing(box, node)}"
            )

    async def remove(self, box: Box, node: str, id: str) -> None:
        """What could not be removed is tried again with the next letter."""
        path = self._at.letter(box, node, id)
        if path not in self._made:
            return
        self._made.discard(path)
        try:
            await self._client.commit(Delete(path))
        except StoreError:
            if len(self._left) < _MOST_LEFT:
                self._left.add(path)
            raise

    async def changed(self, box: Box, node: str, id: str, known: bytes | None) -> bytes | None:
        path, folder = self._at.letter(box, node, id), self._at.letters(box, node)
        turned = asyncio.Event()
        while True:
            lists = [folder] if known is None else []  # what is not there cannot be watched itself
            found = await self._client.read([path], lists, on_change=turned.set)
            content = found.znodes[path].content if path in found.znodes else None
            if content != known:
                return content
            await _wait(turned)

    async def names(self, box: Box, node: str, known: frozenset[str]) -> frozenset[str]:
        folder = self._at.letters(box, node)
        turned = asyncio.Event()
        while True:
            found = (await self._client.read([], [folder], on_change=turned.set)).names
            if folder not in found:
                raise StoreError(_MISSING.format(folder))
            names = frozenset(found[folder])
            if names != known:
                return names
            await _wait(turned)

    async def _take_away_what_is_left(self) -> None:
        for path in sorted(self._left):
            await self._client.commit(Delete(path))
            self._left.discard(path)

    async def _whats_missing(self, box: Box, node: str) -> str:
        folder = self._at.letters(box, node)
        there = (await self._client.read([], [folder])).names
        return "" if folder in there else f"; {_MISSING.format(folder)}"


_MISSING = "{} is missing in ZooKeeper: type on a daemon's host that may lead: mailward zookeeper grant"


async def _wait(turned: asyncio.Event) -> None:
    """Until something has changed, or for `AGAIN_S`."""
    again: Callable[[], None] = turned.set
    handle = asyncio.get_running_loop().call_later(AGAIN_S, again)
    try:
        await turned.wait()
    finally:
        handle.cancel()
        turned.clear()
