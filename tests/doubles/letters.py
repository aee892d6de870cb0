"""Letters in memory: a real fake of the port `Letters`, which can be cut off and can stand still."""

from __future__ import annotations

import asyncio

from mailward.model.errors import StoreError, Unanswered
from mailward.model.ports import Box, Letters

Place = tuple[Box, str, str]


class Shelf:
    """What is there, for all sessions."""

    def __init__(self) -> None:
        self.contents: dict[Place, bytes] = {}
        self.owners: dict[Place, Letters] = {}
        self.turned = asyncio.Condition()

    async def put(self, place: Place, content: bytes | None) -> None:
        async with self.turned:
            if content is None:
                self.contents.pop(place, None)
            else:
                self.contents[place] = content
            self.turned.notify_all()


class MemoryLetters:
    """One session's. Who is `cut` off can do nothing; who is `frozen` does it when that is over."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.cut = False
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def write(self, box: Box, node: str, id: str, content: bytes) -> None:
        await self._reach()
        place = (box, node, id)
        if self._shelf.owners.setdefault(place, self) is not self:
            raise StoreError(f"{box}/{node}/{id}: it is there already")
        await self._shelf.put(place, content)

    async def remove(self, box: Box, node: str, id: str) -> None:
        await self._reach()
        if self._shelf.owners.pop((box, node, id), None) is self:
            await self._shelf.put((box, node, id), None)

    async def changed(self, box: Box, node: str, id: str, known: bytes | None) -> bytes | None:
        await self._reach()
        async with self._shelf.turned:
            await self._shelf.turned.wait_for(lambda: self._shelf.contents.get((box, node, id)) != known)
            content = self._shelf.contents.get((box, node, id))
        await self._reach()
        return content

    async def names(self, box: Box, node: str, known: frozenset[str]) -> frozenset[str]:
        await self._reach()
        async with self._shelf.turned:
            await self._shelf.turned.wait_for(lambda: self._names(box, node) != known)
            names = self._names(box, node)
        await self._reach()
        return names

    def _names(self, box: Box, node: str) -> frozenset[str]:
        return frozenset(id for at, of, id in self._shelf.contents if (at, of) == (box, node))

    async def end(self) -> None:
        """The session is over."""
        for place in [place for place, owner in self._shelf.owners.items() if owner is self]:
            del self._shelf.owners[place]
            await self._shelf.put(place, None)

    async def _reach(self) -> None:
        await self.going_on.wait()
        if self.cut:
            raise Unanswered("there is no connection to the store")
