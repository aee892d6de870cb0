"""What the outside remembers: every token that a DNS target or helper of the configuration holds.

A new store must start above all of them, or nothing would ever be obeyed again; and a target that
obeys another store must be adopted or left alone, never overwritten.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from mailward.app.compose import Parts, build
from mailward.configs.schema import Config
from mailward.model.dns import ReadFailure, RRset, Unread, ZoneView
from mailward.model.fencing import NodeFacts
from mailward.model.ports import Clock
from mailward.model.token import Token

NOBODY = "0" * 8
"""A store-id nothing belongs to, so that every token found is told as foreign."""

LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Remembered:
    """Where it was asked: a target or a node; its token, or why it could not be asked; and of a target what
    it answers for the endpoints."""

    where: str
    token: Token | None
    problem: str = ""
    rrsets: tuple[RRset, ...] = ()


async def remembered(config: Config, clock: Clock, adopt: str | None = None) -> tuple[Remembered, ...]:
    """Ask everybody at once, within a limit. A target of another store than `adopt` tells its token only."""
    parts = build(config, adopt or NOBODY, clock)
    try:
        return tuple(await asyncio.gather(*_questions(parts)))
    finally:
        await parts.close()


def _questions(parts: Parts) -> Sequence[Awaitable[Remembered]]:
    keys = [(f"{endpoint.name}.", kind) for endpoint in parts.policy.endpoints for kind in ("A", "AAAA")]
    targets = [_ask_target(name, part.driver.read(keys)) for name, part in sorted(parts.dns.items())]
    return [*targets, *(_ask_helper(name, each.status()) for name, each in sorted(parts.helpers.items()))]


async def _ask_target(name: str, reading: Awaitable[ZoneView | Unread]) -> Remembered:
    where = f"DNS target {name}"
    try:
        async with asyncio.timeout(LIMIT_S):
            found = await reading
    except TimeoutError:
        return Remembered(where, None, f"no answer within {LIMIT_S:g} s")
    if isinstance(found, Unread) and found.failure is not ReadFailure.FOREIGN:
        return Remembered(where, None, found.detail)
    return Remembered(where, found.token, rrsets=() if isinstance(found, Unread) else found.rrsets)


async def _ask_helper(node: str, asking: Awaitable[NodeFacts | str]) -> Remembered:
    where = f"the helper of {node}"
    try:
        async with asyncio.timeout(LIMIT_S):
            facts = await asking
    except TimeoutError:
        return Remembered(where, None, f"no answer within {LIMIT_S:g} s")
    return Remembered(where, None, facts) if isinstance(facts, str) else Remembered(where, facts.token)
