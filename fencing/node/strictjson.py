"""JSON where a key said twice is an error: of two answers to one question neither can be trusted."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str) -> Any:
    """Parse one document; every failure is a ValueError."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def dumps(value: object) -> str:
    """One line, keys in order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice[:80]!r} appears twice")
    return table
