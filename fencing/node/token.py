"""Tokens `store-id.epoch.seq`: the text form of `mailward.model.token`, which cannot be imported here."""

from __future__ import annotations

import re
from typing import NamedTuple

STORE_ID = re.compile(r"[0-9a-f]{8,32}")
_TOKEN = re.compile(r"([0-9a-f]{8,32})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})")


class Token(NamedTuple):
    store: str
    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.store}.{self.epoch}.{self.seq}"

    def is_above(self, other: Token) -> bool:
        """Strictly higher, within one store."""
        return self.store == other.store and (self.epoch, self.seq) > (other.epoch, other.seq)


def parse_token(text: object) -> Token:
    """Read the text form; ValueError names what was found instead."""
    match = _TOKEN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"not a token (store-id.epoch.seq): {str(text)[:80]!r}")
    return Token(match[1], int(match[2]), int(match[3]))
