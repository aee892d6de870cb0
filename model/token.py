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
class Span:
    """Tokens from `first` to `last`, of one epoch, which were sent; nobody knows which have arrived."""

    first: Token
    last: Token


SPANS = 16
"""As many are kept apart; before, the two oldest become one, and what lies between them is explained as
well."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a store has on record as sent to one receiver: `last` is known to have arrived, of `unheard`
    nobody knows. `made` is the epoch the store was made with, None where that is not known: what an
    earlier store of the same id has sent is of that epoch or an older one, for a new one begins with the
    newest that any receiver remembers. What a receiver remembers beyond all this was never sent by this
    store: then it is a copy, or was restored from a backup."""

    last: Token | None = None
    unheard: tuple[Span, ...] = ()
    made: int | None = None

    @property
    def newest(self) -> Token | None:
        """The newest of which nobody knows."""
        return self.unheard[-1].last if self.unheard else None

    def sending(self, token: Token) -> "Sent":
        spans = self.unheard
        if spans and spans[-1].last.epoch == token.epoch:
            spans = (*spans[:-1], Span(spans[-1].first, token))
        else:
            spans = (*spans, Span(token, token))
        if len(spans) > SPANS:
            spans = (Span(spans[0].first, spans[1].last), *spans[2:])
        return Sent(self.last, spans, self.made)

    def arrived(self, token: Token) -> "Sent":
        """What was sent before it does not matter any more, whatever came of it."""
        if self.last is not None and token <= self.last:
            return self
        left = tuple(Span(max(span.first, token), span.last) for span in self.unheard if span.last > token)
        return Sent(token, left, self.made)

    def explains(self, token: Token, epoch: int) -> bool:
        """Whether a receiver may remember `token`, sent by us, whose epoch is `epoch`, or by an earlier
        store."""
        if token.epoch > epoch:
            return False
        if any(span.first <= token <= span.last for span in self.unheard):
            return True
        if self.last is not None:
            return token <= self.last
        if self.made is not None:
            return token.epoch <= self.made
        return self.newest is None or token < self.newest


NOTHING_SENT = Sent()
