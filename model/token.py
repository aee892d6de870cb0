"""Tokens: `store-id.epoch.seq`, carried by every outside write (I1).

A receiver persists the highest it has obeyed and obeys only a strictly higher one of the same store.
The text form has one case and no leading zeros, because name servers differ in how they compare TXT.
"""

import re
from dataclasses import dataclass
from functools import total_ordering

_PATTERN = re.compile(r"([0-9a-f]{8,32})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})")


@total_ordering
@dataclass(frozen=True, slots=True)
class Token:
    """One place in the order of all writes of one store."""

    store_id: str
    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.store_id}.{self.epoch}.{self.seq}"

    def __lt__(self, other: "Token") -> bool:
        if self.store_id != other.store_id:
            raise ValueError(f"tokens of different stores have no order: {self} and {other}")
        return (self.epoch, self.seq) < (other.epoch, other.seq)

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Read the text form; ValueError names what was found instead."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"not a token (store-id.epoch.seq): {text[:80]!r}")
        return cls(match[1], int(match[2]), int(match[3]))


@dataclass(frozen=True, slots=True)
class Sent:
    """What a store has on record as sent to one receiver: `last` is known to have arrived; which of those
    from `since` to `newest` have, nobody knows. What a receiver remembers beyond that, this store never sent:
    then it is a copy, or was restored from a backup."""

    last: Token | None = None
    since: Token | None = None
    newest: Token | None = None

    def sending(self, token: Token) -> "Sent":
        return Sent(self.last, self.since or token, token)

    def arrived(self, token: Token) -> "Sent":
        if self.last is not None and token <= self.last:
            return self
        if self.newest is None or token >= self.newest:
            return Sent(token)
        return Sent(token, token, self.newest)

    def explains(self, token: Token, epoch: int) -> bool:
        """Whether a receiver may remember `token`: sent by us, whose epoch is `epoch`, or by an earlier store
        of the same id. A new one begins with the newest epoch that any receiver remembers, so nothing of a
        later one than ours can be explained."""
        if token.epoch > epoch:
            return False
        if self.since is not None and self.newest is not None and token >= self.since:
            return token <= self.newest
        return self.last is None or token <= self.last


NOTHING_SENT = Sent()
