"""What one daemon knows of the others' processes: the connections it holds to them. Deterministic.

The kernel of a host closes the connections of a process that ends, so its end is seen as long as both hosts
are up and the link between them passes. A host that dies, freezes or is cut off says nothing, nor does a
process that stands still: that is silence, and the connection counts as lost. Then only another process that
answers under the same name shows that the one before has ended.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mailward.controller.promises import Object, Promises
from mailward.model.report import MOST_GONE
from mailward.simulator.network import Network
from mailward.simulator.virtual import Process

T = TypeVar("T")


@dataclass(frozen=True)
class Running:
    """A daemon's process, perhaps ended by now: where it runs, and what it says when asked who it is."""

    host: str
    nonce: str
    process: Process
    promises: Callable[[], Promises | None] = lambda: None


@dataclass
class Peers:
    """The daemon `name` on `host` looks at the others of `daemons`, the newest process of each."""

    name: str
    host: str
    network: Network
    daemons: Mapping[str, Running]
    gone: tuple[str, ...] = ()
    _held: dict[str, Running] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)

    def look(self) -> bool:
        """Whether a process was seen to have ended since the last look."""
        before = self.gone
        for name in sorted(self.daemons):
            if name == self.name:
                continue
            if not self.network.passes(self.host, self.daemons[name].host):
                self._held.pop(name, None)
                continue
            held = self._held.get(name)
            if held is not None and not held.process.alive:
                self._saw_end(held.nonce)
                del self._held[name]
            if name not in self._held:
                self._connect(name)
        return self.gone != before

    def _connect(self, name: str) -> None:
        there = self.daemons[name]
        if not there.process.alive or there.process.stopped:
            return
        known = self._known.get(name, there.nonce)
        if known != there.nonce:
            self._saw_end(known)
        self._held[name], self._known[name] = there, there.nonce

    async def ask(self, question: Object, within_s: float) -> Mapping[str, Object]:
        """What the others answer, of those that do in time."""
        found: dict[str, Object] = {}

        async def one(name: str, there: Running) -> None:
            def asked() -> Object | None:
                promises = there.promises()
                runs = there.process.alive and not there.process.stopped
                return _at_once(promises.give(question)) if runs and promises is not None else None

            try:
                answer = await self.network.call(self.host, there.host, asked, within_s)
            except TimeoutError:
                return
            if answer is not None:
                found[name] = answer

        others = [(name, there) for name, there in sorted(self.daemons.items()) if name != self.name]
        await asyncio.gather(*(one(name, there) for name, there in others))
        return found

    def _saw_end(self, nonce: str) -> None:
        if nonce not in self.gone:
            self.gone = (*self.gone, nonce)[-MOST_GONE:]


def _at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The answer of what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise RuntimeError("an answer to another daemon waits for something")
