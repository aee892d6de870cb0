"""The zone as it truly is: a primary that refuses stale updates, secondaries that lag, caching resolvers."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mailward.model.dns import (
    Applied,
    ApplyResult,
    Change,
    ReadFailure,
    RRset,
    ServerCheck,
    Unread,
    ZoneView,
)
from mailward.model.token import Token
from mailward.simulator.network import Network
from mailward.simulator.nodes import Obeyed

RRsets = dict[tuple[str, str], RRset]


@dataclass
class NameServer:
    """One authoritative server and what it answers. A secondary is `behind` from a change of the primary on
    until it has it."""

    name: str
    rrsets: RRsets = field(default_factory=dict)
    behind: asyncio.Event = field(default_factory=asyncio.Event)

    def addresses(self, endpoint: str) -> tuple[str, ...]:
        name = f"{endpoint}."
        four, six = self.rrsets.get((name, "A")), self.rrsets.get((name, "AAAA"))
        return (four.values if four else ()) + (six.values if six else ())


@dataclass
class Zone:
    """The primary with its token, and the secondaries that follow it. One that is not `guarded` takes every
    update, however old."""

    network: Network
    primary: NameServer
    secondaries: tuple[NameServer, ...]
    token: Token | None = None
    writable: bool = True
    guarded: bool = True
    log: list[Obeyed] = field(default_factory=list)
    on_obeyed: Callable[[Obeyed], None] = lambda _entry: None

    @property
    def servers(self) -> tuple[NameServer, ...]:
        return (self.primary, *self.secondaries)

    def compare_and_set(self, expected: Token | None, new: Token, changes: Sequence[Change]) -> Applied:
        """One signed update: its prerequisite is the very token that was read."""
        if not self.writable:
            return Applied(ApplyResult.REFUSED, "the zone is frozen")
        if self.guarded and self.token != expected:
            return Applied(ApplyResult.STALE, f"the token there is {self.token}, not the one expected")
        self.token = new
        rrsets = dict(self.primary.rrsets)
        for change in changes:
            rrsets.pop((change.name, change.type), None)
            if change.rrset is not None:
                rrsets[change.rrset.key] = change.rrset
        self.primary.rrsets = rrsets
        for secondary in self.secondaries:
            secondary.behind.set()
        self.log.append(Obeyed(asyncio.get_running_loop().time(), new, "publish" if changes else "claim"))
        self.on_obeyed(self.log[-1])
        return Applied(ApplyResult.APPLIED)

    async def follow(self, secondary: NameServer, rng: random.Random) -> None:
        """A secondary: notified soon, or refreshed a while later. It looks again and again; those looks at
        which it is not behind are only drawn, and not waited for."""
        loop = asyncio.get_running_loop()
        look_s = loop.time()
        while True:
            await secondary.behind.wait()
            while look_s <= loop.time():
                look_s += rng.uniform(0.1, 1.0)
            await asyncio.sleep(look_s - loop.time())
            if self.network.passes(secondary.name, self.primary.name):
                secondary.rrsets = dict(self.primary.rrsets)
                secondary.behind.clear()


class ZoneClient:
    """The port `DnsTarget`, and the verification, from one host."""

    def __init__(
        self, network: Network, source: str, zone: Zone, name: str, store_id: str, timeout_s: float = 2.0
    ) -> None:
        self.name = name
        self.refuses_stale = zone.guarded
        self._network = network
        self._source = source
        self._zone = zone
        self._store_id = store_id
        self._timeout_s = timeout_s

    async def read(self, keys: Sequence[tuple[str, str]]) -> ZoneView | Unread:
        def there() -> ZoneView:
            found = (self._zone.primary.rrsets.get(key) for key in keys)
            return ZoneView(self._zone.token, tuple(rrset for rrset in found if rrset))

        try:
            view = await self._network.call(self._source, self._zone.primary.name, there, self._timeout_s)
        except TimeoutError:
            return Unread(ReadFailure.UNREACHABLE, f"{self.name}: no answer in {self._timeout_s:g} s")
        if view.token is not None and view.token.store_id != self._store_id:
            return Unread(ReadFailure.FOREIGN, f"the token is of store {view.token.store_id}", view.token)
        return view

    async def claim(self, expected: Token | None, new: Token) -> Applied:
        return await self.apply(expected, new, ())

    async def apply(self, expected: Token | None, new: Token, changes: Sequence[Change]) -> Applied:
        if expected is not None and not expected < new:
            return Applied(ApplyResult.STALE, f"{expected} is not below {new}")

        def there() -> Applied:
            return self._zone.compare_and_set(expected, new, changes)

        try:
            return await self._network.call(self._source, self._zone.primary.name, there, self._timeout_s)
        except TimeoutError:
            return Applied(ApplyResult.UNKNOWN, f"{self.name}: no answer in {self._timeout_s:g} s")

    async def check(self, rrsets: Sequence[RRset]) -> tuple[ServerCheck, ...]:
        """`dns.publication.Verifier`: every server is asked at once."""
        return tuple(await asyncio.gather(*(self._check(server, rrsets) for server in self._zone.servers)))

    async def _check(self, server: NameServer, rrsets: Sequence[RRset]) -> ServerCheck:
        def there() -> bool:
            return all((server.rrsets.get(r.key) or replace(r, values=())) == r for r in rrsets)

        try:
            agrees = await self._network.call(self._source, server.name, there, self._timeout_s)
        except TimeoutError:
            return ServerCheck(server.name, False, f"no answer within {self._timeout_s:g} s")
        return ServerCheck(server.name, agrees, "" if agrees else "it has an older answer")


@dataclass
class Resolver:
    """A caching resolver at one site: an answer is kept for its TTL."""

    network: Network
    host: str
    zone: Zone
    rng: random.Random
    _kept: dict[str, tuple[float, tuple[str, ...]]] = field(default_factory=dict)

    def resolve(self, endpoint: str) -> tuple[str, ...]:
        """The addresses in a random order; none when no server can be asked."""
        now_s = asyncio.get_running_loop().time()
        kept = self._kept.get(endpoint)
        if kept is None or kept[0] <= now_s:
            servers = [s for s in self.zone.servers if self.network.passes(self.host, s.name)]
            if not servers:
                return ()
            server = self.rng.choice(servers)
            rrset = server.rrsets.get((f"{endpoint}.", "A"))
            kept = (now_s + (rrset.ttl_s if rrset else 5), server.addresses(endpoint))
            self._kept[endpoint] = kept
        found = list(kept[1])
        self.rng.shuffle(found)
        return tuple(found)
