"""Hosts, the links between them, and clocks: where messages are delayed, lost, and cut off.

A call is a message to another host, work done there, and a reply. Either way may be lost: then the caller
hears nothing until its own deadline, and what was done stays done. Work at the receiver is not the
caller's: it goes on when the caller is killed, as a packet that has left does.
"""

import asyncio
import random
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Generic, TypeVar

from mailward.model.clock import Moment
from mailward.simulator.virtual import running_loop

T = TypeVar("T")

EPOCH_WALL_S = 1_700_000_000.0


@dataclass
class Host:
    """A machine. `boots` counts its starts; what is asked of one with a slow disk takes up to `slow_s`
    longer."""

    name: str
    site: str
    up: bool = True
    boots: int = 1
    wall_offset_s: float = 0.0
    slow_s: float = 0.0
    _frozen: bool = False
    _waiting: list[Callable[[], object]] = field(default_factory=list)

    @property
    def frozen(self) -> bool:
        """It keeps its connections and answers nothing; what comes waits in the sockets' buffers."""
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._frozen = frozen
        if not frozen:
            waiting, self._waiting = self._waiting, []
            for message in waiting:
                message()

    @property
    def answers(self) -> bool:
        return self.up and not self._frozen

    def keep(self, message: Callable[[], object]) -> None:
        """Until it is frozen no more."""
        self._waiting.append(message)


@dataclass(frozen=True)
class HostClock:
    """The clocks of one host; boot time is its own, and is never compared with another's."""

    host: Host
    loop: asyncio.AbstractEventLoop

    @cached_property
    def _ahead_s(self) -> float:
        return 1000.0 * (1 + sum(map(ord, self.host.name)) % 97)

    def boot_s(self) -> float:
        """Seconds of boot time alone."""
        return self.loop.time() + self._ahead_s

    def now(self) -> Moment:
        host, now_s = self.host, self.loop.time()
        return Moment(
            f"{host.name}-{host.boots}", now_s + self._ahead_s, EPOCH_WALL_S + now_s + host.wall_offset_s
        )


@dataclass
class Link:
    """One direction between two hosts. Delays are seconds; `loss` is the share of messages lost, `late` of
    those that come up to `late_s` after they were sent, `twice` of those that come a second time as late."""

    least_s: float = 0.002
    most_s: float = 0.02
    loss: float = 0.0
    cut: bool = False
    late: float = 0.0
    late_s: float = 0.0
    twice: float = 0.0


@dataclass
class Network:
    """All hosts see all others, by links that are made when first used."""

    rng: random.Random
    hosts: dict[str, Host] = field(default_factory=dict)
    _links: dict[tuple[str, str], Link] = field(default_factory=dict)

    def add(self, name: str, site: str) -> Host:
        self.hosts[name] = Host(name, site)
        return self.hosts[name]

    def link(self, source: str, target: str) -> Link:
        link = self._links.get((source, target))
        if link is None:
            link = self._links[source, target] = Link()
        return link

    def cut(self, source: str, target: str, *, both: bool = True) -> None:
        self.link(source, target).cut = True
        if both:
            self.link(target, source).cut = True

    def mend(self) -> None:
        """Every link is whole again."""
        for key in self._links:
            self._links[key] = Link()

    def passes(self, source: str, target: str) -> bool:
        """Whether a packet from `source` would arrive and be answered, loss apart."""
        if not (self.hosts[source].answers and self.hosts[target].answers):
            return False
        return source == target or not (self.link(source, target).cut or self.link(target, source).cut)

    def troubled(self, name: str) -> bool:
        """Whether anything is wrong with any link from or to this host."""
        for (source, target), link in self._links.items():
            if (link.cut or link.loss or link.late) and name in (source, target):
                return True
        return False

    async def call(self, source: str, target: str, work: Callable[[], T], within_s: float) -> T:
        """Have `work` done at `target`, in one step; its answer or what it raises comes back. TimeoutError
        when nothing did within `within_s`: it may have been done, or be done yet."""
        return await _Exchange(self, source, target, work, within_s).begin()

    async def call_beside(self, name: str, work: Callable[[], T], within_s: float) -> T:
        """Have it done by another process of the same host, which lives on when the caller does not; as late
        as its disk is slow. TimeoutError as for `call`."""
        return await _Exchange(self, name, name, work, within_s).begin_beside()


_NOBODYS = Context()
"""A message belongs to no process once it is out."""


class _Exchange(Generic[T]):
    """A call under way. Its caller's patience is a timer only from the moment when an answer may not come in
    time, in the place it would have had: most answers do."""

    __slots__ = ("answer", "context", "loop", "network", "patience", "place", "source", "target",
                 "until_s", "work")  # fmt: skip

    def __init__(
        self, network: Network, source: str, target: str, work: Callable[[], T], within_s: float
    ) -> None:
        loop = self.loop = running_loop()
        self.network, self.source, self.target, self.work = network, source, target, work
        self.answer: asyncio.Future[T] = asyncio.Future(loop=loop)
        self.until_s, self.place, self.context = loop.time() + within_s, loop.place(), copy_context()
        self.patience: asyncio.TimerHandle | None = None

    def begin(self) -> "asyncio.Future[T]":
        self._send(self.source, self.target, self._work)
        return self.answer

    def begin_beside(self) -> "asyncio.Future[T]":
        host = self.network.hosts[self.target]
        late_s = self.network.rng.uniform(0.0, host.slow_s) if host.slow_s else 0.0
        self._doubt()
        self.loop.call_later(late_s, self._done, host, self._work, context=_NOBODYS)
        return self.answer

    def _work(self) -> None:
        try:
            reply = partial(_answer, self.answer, self.work())
        except Exception as error:
            reply = partial(_fail, self.answer, error)
        self._send(self.target, self.source, reply)

    def _doubt(self) -> None:
        """It may be late, or never come."""
        if self.patience is None and not self.answer.done():
            self.patience = self.loop.call_in_place(
                self.place, self.until_s, _fail, self.answer, TimeoutError(), context=self.context
            )

    def _send(self, source: str, target: str, arrival: Callable[[], None]) -> None:
        loop, network = self.loop, self.network
        host = network.hosts[target]
        if source == target:
            if host.answers:
                loop.call_soon(arrival, context=_NOBODYS)
            else:
                self._doubt()
            return
        link, rng = network.link(source, target), network.rng
        if link.cut or not network.hosts[source].up or (link.loss and rng.random() < link.loss):
            self._doubt()
            return
        delay_s = link.least_s + (link.most_s - link.least_s) * rng.random()
        if link.late and rng.random() < link.late:
            delay_s += rng.uniform(0.0, link.late_s)
        if loop.time() + delay_s >= self.until_s:
            self._doubt()
        loop.call_later(delay_s, self._arrive, link, host, arrival, context=_NOBODYS)
        if link.twice and rng.random() < link.twice:
            again_s = delay_s + rng.uniform(0.0, link.late_s)
            loop.call_later(again_s, self._arrive, link, host, arrival, context=_NOBODYS)

    def _arrive(self, link: Link, host: Host, arrival: Callable[[], None]) -> None:
        if not (link.cut or host.slow_s) and host.answers:
            arrival()
            return
        self._doubt()
        if link.cut or not host.up:
            return
        if host.slow_s:
            slow_s = self.network.rng.uniform(0.0, host.slow_s)
            self.loop.call_later(slow_s, self._done, host, arrival, context=_NOBODYS)
            return
        self._done(host, arrival)

    def _done(self, host: Host, arrival: Callable[[], None]) -> None:
        if host.frozen and host.up:
            host.keep(partial(self.loop.call_soon, self._done, host, arrival, context=_NOBODYS))
        elif host.up:
            arrival()


def _answer(future: "asyncio.Future[T]", answer: T) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: "asyncio.Future[T]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
