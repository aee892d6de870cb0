"""The requests that wait in ZooKeeper. Many may leave some there, and not all of them mean well: what is no
request is passed over and taken away apart, so that it never stands in the way of a state or of a request."""

import logging
from collections.abc import Sequence

from mailward.controller.coordination.zookeeper import tree
from mailward.controller.coordination.zookeeper.client import Client
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.values import Delete
from mailward.model.errors import StoreError
from mailward.model.state import Request

log = logging.getLogger(__name__)

MOST = 100
"""Requests that are looked at; no more are left while so many wait."""
SWEPT_AT_ONCE, SWEPT_AGAIN_S = 3, 60.0
SHOWN = 64


class Requests:
    """`there` are the ids of those last read."""

    def __init__(self, client: Client, at: Tree) -> None:
        self.there: tuple[str, ...] = ()
        self._client = client
        self._at = at
        self._void: dict[str, float] = {}

    async def read(self, names: Sequence[str]) -> tuple[Request, ...]:
        """Those among `names` that are requests."""
        self._void = {name: self._void.get(name, 0.0) for name in names if self._is_void(name)}
        paths = [self._path(name) for name in names if name not in self._void][:MOST]
        found = []
        znodes = await self._client.read_each(paths) if paths else {}
        for path in paths:
            if (znode := znodes.get(path)) is None:
                self._pass_over(path, "ZooKeeper gives us no right to it, or it is gone")
            elif znode.children:
                self._pass_over(path, "there is something below it")
            else:
                try:
                    found.append(tree.request(znode, path))
                except StoreError as error:
                    self._pass_over(path, str(error))
        self.there = tuple(request.id for request in found)
        return tuple(found)

    async def sweep(self, now_s: float) -> None:
        """Take away what is no request; a few at a time, and seldom what cannot be taken away."""
        due = [name for name, again_s in self._void.items() if again_s <= now_s][:SWEPT_AT_ONCE]
        for name in due:
            self._void[name] = now_s + SWEPT_AGAIN_S
            path = self._path(name)
            try:
                if await self._client.commit(Delete(path)):
                    below = (await self._client.read([], [path])).names.get(path, ())[:MOST]
                    await self._client.commit(*(Delete(f"{path}/{each}") for each in below), Delete(path))
            except StoreError as error:
                log.warning("what is no request cannot be taken away: %s", error)

    def _is_void(self, name: str) -> bool:
        return name in self._void or not tree.is_request_id(name)

    def _pass_over(self, path: str, why: str) -> None:
        name = path.rpartition("/")[2]
        log.warning("the request %s is passed over: %s", name[:SHOWN], why)
        self._void[name] = 0.0

    def _path(self, name: str) -> str:
        return f"{self._at.requests}/{name}"
