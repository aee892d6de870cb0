"""The ways from a host to a node: to its helper, to its client ports, to its replicator."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from mailward.fencing.verification import Seen, Sight
from mailward.model.fencing import (
    PLAIN,
    HelperAnswer,
    HelperReply,
    Hook,
    NodeFacts,
    PortMap,
    Terms,
)
from mailward.model.replication import Confidence, Lag
from mailward.model.token import Token
from mailward.simulator import virtual
from mailward.simulator.hooks import Run
from mailward.simulator.network import Network
from mailward.simulator.nodes import MailNode, Replication, Work
from mailward.simulator.virtual import running_loop

T = TypeVar("T")

POLL_S = 0.25


class HelperClient:
    """The port `Helper` from one host to a node: hello, then the order within the helper's window."""

    def __init__(self, network: Network, source: str, node: MailNode, timeout_s: float = 3.0) -> None:
        self.name = f"helper of {node.name}"
        self._network = network
        self._source = source
        self._node = node
        self._timeout_s = timeout_s

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> HelperAnswer:
        if terms.hook is None:
            return await self._told(token, ports, terms)
        hook, runs = terms.hook, list[Run]()

        def begin() -> None:
            runs.append(self._node.hooks.begin(hook, token, dict(ports), terms.lease_s))

        answer = await self._told(token, None if hook is Hook.PROMOTE else ports, terms, begin)
        if not runs:
            return answer
        return replace(await self._ended(runs[0], terms.extra_s), stopped=answer.stopped)

    async def claim(self, token: Token) -> HelperAnswer:
        return await self._told(token, None)

    async def renew(self, token: Token) -> HelperAnswer:
        """By the daemon beside it; the program that carries it out may be late, and outlive that."""
        loop, helper = running_loop(), self._node.helper
        hello_s, stood_s = loop.time(), helper.stood_s

        def renew() -> HelperAnswer | None:
            return helper.renew(token, loop.time(), hello_s, stood_s) if helper.works else None

        try:
            answer = await self._network.call_beside(self._node.name, renew, self._timeout_s)
        except TimeoutError:
            return HelperAnswer(HelperReply.UNKNOWN, detail=f"no answer in {self._timeout_s:g} s")
        return answer or HelperAnswer(HelperReply.UNKNOWN, detail="the helper does not run")

    async def status(self) -> NodeFacts | str:
        def there() -> NodeFacts | str:
            return self._node.facts() if self._node.helper.works else "the helper does not run"

        try:
            return await self._call(there, self._timeout_s)
        except TimeoutError:
            return f"no answer in {self._timeout_s:g} s"

    async def _call(self, there: Callable[[], T], timeout_s: float) -> T:
        return await self._network.call(self._source, self._node.name, there, timeout_s)

    async def _ended(self, run: Run, within_s: float) -> HelperAnswer:
        """The answer of a hook, as long as the connection to whoever runs it lasts."""
        until_s = asyncio.get_running_loop().time() + within_s
        try:
            while asyncio.get_running_loop().time() < until_s:
                answer = await self._call(lambda: run.answer, self._timeout_s)
                if answer is not None:
                    return answer
                await virtual.sleep(POLL_S)
        except TimeoutError:
            pass
        return HelperAnswer(HelperReply.UNKNOWN, detail=f"no answer of {run.hook}")

    async def _told(
        self,
        token: Token,
        ports: PortMap | None,
        terms: Terms = PLAIN,
        then: Callable[[], None] = lambda: None,
    ) -> HelperAnswer:
        loop, node = asyncio.get_running_loop(), self._node
        until_s = loop.time() + self._timeout_s

        def hello() -> float | None:
            return loop.time() if node.helper.works else None

        try:
            greeted_s = await self._call(hello, self._timeout_s)
            if greeted_s is None:
                return HelperAnswer(HelperReply.UNKNOWN, detail="the helper does not run")

            def obey() -> HelperAnswer:
                answer = node.helper.obey(token, loop.time(), ports, greeted_s, terms)
                if answer.reply is HelperReply.OBEYED:
                    then()
                return answer

            return await self._call(obey, until_s - loop.time())
        except TimeoutError:
            return HelperAnswer(HelperReply.UNKNOWN, detail=f"no answer in {self._timeout_s:g} s")


class AskedClient(HelperClient):
    """The same by way of the ensemble and the daemon beside the node. A letter lies there as long as its
    writer waits: for a quorum, and for that daemon, which may not run, or stand still."""

    def __init__(
        self, network: Network, source: str, node: MailNode, ensemble: str, *,
        has_quorum: Callable[[], bool], beside: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(network, source, node)
        self._ensemble = ensemble
        self._has_quorum = has_quorum
        self._beside = beside

    async def _call(self, there: Callable[[], T], timeout_s: float) -> T:
        node, until_s = self._node.name, running_loop().time() + timeout_s

        def passed_on() -> tuple[T] | None:
            return (there(),) if self._beside() and self._has_quorum() else None

        await self._written_or_read(until_s)
        while (answer := await self._network.call(self._ensemble, node, passed_on, _left(until_s))) is None:
            await virtual.sleep(POLL_S)
        await self._written_or_read(until_s)
        return answer[0]

    async def _written_or_read(self, until_s: float) -> None:
        """By who asks."""
        way = self._source, self._ensemble, self._has_quorum
        while not await self._network.call(*way, _left(until_s)):
            await virtual.sleep(POLL_S)


def _left(until_s: float) -> float:
    left_s = until_s - running_loop().time()
    if left_s <= 0:
        raise TimeoutError
    return left_s


class Ports:
    """What the client ports look like from one host: the refusal that confirms a fence."""

    def __init__(self, network: Network, source: str, node: MailNode, numbers: Mapping[str, int]) -> None:
        self._network = network
        self._source = source
        self._node = node
        self._numbers = dict(numbers)

    async def look(
        self, addresses: Sequence[str], ports: Sequence[int], timeout_s: float
    ) -> tuple[Sight, ...]:
        """`fencing.verification.Look`."""

        def there() -> bool:
            return True

        try:
            await self._network.call(self._source, self._node.name, there, timeout_s)
        except TimeoutError:
            return tuple(Sight(a, p, Seen.UNKNOWN, "no answer") for a in addresses for p in ports)
        return tuple(Sight(a, p, self._seen(p)) for a in addresses for p in ports)

    def _seen(self, port: int) -> Seen:
        service = next(name for name, number in self._numbers.items() if number == port)
        closed = not self._node.helper.opens(service)
        return Seen.REFUSED if closed or self._node.work_of(service) is Work.CRASHED else Seen.ACCEPTED


class LagClient:
    """The port `LagSource` from one host: what a node's replicator says of every other node."""

    def __init__(
        self, network: Network, source: str, node: MailNode, replication: Replication, timeout_s: float = 3.0
    ) -> None:
        self._network = network
        self._source = source
        self._node = node
        self._replication = replication
        self._timeout_s = timeout_s

    async def measure(self) -> Sequence[Lag]:
        others = [other for name, other in self._replication.nodes.items() if name != self._node.name]

        def there() -> list[tuple[float, int]]:
            return [self._replication.lag(self._node, other) for other in others]

        try:
            found = await self._network.call(self._source, self._node.name, there, self._timeout_s)
        except TimeoutError:
            return tuple(
                Lag(self._node.name, other.name, Confidence.UNKNOWN, detail="no answer") for other in others
            )
        return tuple(
            Lag(self._node.name, other.name, Confidence.KNOWN, seconds, mailboxes, 0)
            for other, (seconds, mailboxes) in zip(others, found, strict=True)
        )

    async def kick(self) -> str:
        def there() -> bool:
            return True

        try:
            await self._network.call(self._source, self._node.name, there, self._timeout_s)
        except TimeoutError:
            return f"{self._node.name} does not answer"
        return ""
