"""A DNS target in memory, with a network that can be told to fail: for tests and the simulator.

`MemoryZone` is the name server, `MemoryTarget` one controller's view of it. Each update meets the next
of `zone.faults`, if any. A held update waits in `zone.held` until `deliver` lets it arrive, late.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from mailward.dns.records import canonical
from mailward.dns.tokens import read_token, stale_before_sending, token_name, token_rrset
from mailward.model.dns import Applied, ApplyResult, Change, ReadFailure, RRset, Unread, ZoneView
from mailward.model.token import Token

TOKEN_TTL_S = 5


class Fault(Enum):
    """What happens to one update."""

    LOSE_REQUEST = auto()  # it never arrives
    LOSE_REPLY = auto()  # it is done, and nobody hears of it
    HOLD = auto()  # it arrives when `deliver` says so; until then nobody hears of it
    REFUSE = auto()  # the server does not want it


@dataclass(frozen=True, slots=True)
class Update:
    expected: Token | None
    new: Token
    changes: tuple[Change, ...]


@dataclass
class MemoryZone:
    """A name server with one zone that refuses updates whose token is not there."""

    zone: str = "example.test."
    cluster: str = "c1"
    serial: int = 1
    rrsets: dict[tuple[str, str], RRset] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    held: list[Update] = field(default_factory=list)
    unreadable: Unread | None = None

    @property
    def token_key(self) -> tuple[str, str]:
        return (token_name(self.cluster, self.zone), "TXT")

    def plant(self, *values: str) -> None:
        """Somebody else writes the token TXT, in presentation form; nothing removes it."""
        self.rrsets.pop(self.token_key, None)
        if values:
            self.rrsets[self.token_key] = RRset(*self.token_key, TOKEN_TTL_S, tuple(sorted(values)))

    def answer(self, update: Update) -> Applied:
        """The server itself: compare and set, all or nothing."""
        there = self.rrsets.get(self.token_key)
        expected = token_rrset(self.token_key[0], update.expected, TOKEN_TTL_S) if update.expected else None
        if (there.values if there else None) != (expected.values if expected else None):
            return Applied(ApplyResult.STALE, f"the token there is {there}, not the one expected")
        for change in update.changes:
            if (change.name, change.type) == self.token_key or not change.name.endswith("." + self.zone):
                return Applied(ApplyResult.REFUSED, f"{change.name} {change.type} is not to be changed")
        for change in update.changes:
            self.rrsets.pop((change.name, change.type), None)
            if change.rrset is not None and change.rrset.values:
                self.rrsets[change.name, change.type] = canonical(change.rrset)
        self.rrsets[self.token_key] = token_rrset(self.token_key[0], update.new, TOKEN_TTL_S)
        self.serial += 1
        return Applied(ApplyResult.APPLIED)

    def deliver(self) -> list[Applied]:
        """The held updates arrive, in the order in which they were sent."""
        held, self.held = self.held, []
        return [self.answer(update) for update in held]

    def receive(self, update: Update) -> Applied:
        """The network, then the server."""
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.REFUSE:
            return Applied(ApplyResult.REFUSED, "the server refuses: let the key change these names")
        if fault is None:
            return self.answer(update)
        if fault is Fault.LOSE_REPLY:
            self.answer(update)
        elif fault is Fault.HOLD:
            self.held.append(update)
        return Applied(ApplyResult.UNKNOWN, "no answer within 2 s")


class MemoryTarget:
    """`DnsTarget` on a `MemoryZone`."""

    refuses_stale = True

    def __init__(self, name: str, zone: MemoryZone, store_id: str) -> None:
        self.name = name
        self.zone = zone
        self._store_id = store_id

    async def read(self, keys: Sequence[tuple[str, str]]) -> ZoneView | Unread:
        zone = self.zone
        if zone.unreadable is not None:
            return zone.unreadable
        token = read_token(zone.token_key[0], zone.rrsets.get(zone.token_key), self._store_id)
        if isinstance(token, Unread):
            return token
        return ZoneView(token, tuple(zone.rrsets[key] for key in keys if key in zone.rrsets))

    async def claim(self, expected: Token | None, new: Token) -> Applied:
        return await self.apply(expected, new, ())

    async def apply(self, expected: Token | None, new: Token, changes: Sequence[Change]) -> Applied:
        if stale := stale_before_sending(expected, new):
            return Applied(ApplyResult.STALE, stale)
        return self.zone.receive(Update(expected, new, tuple(changes)))


UNREACHABLE = Unread(ReadFailure.UNREACHABLE, "192.0.2.53 did not answer within 2 s")
