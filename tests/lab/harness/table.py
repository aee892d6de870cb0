"""The table of what each rung came to: a line for each case, printed where `pytest -s` shows it."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from mailward.model.fencing import FenceResult, PowerReading


async def case(what: str, call: Awaitable[FenceResult | PowerReading], within_s: float) -> tuple[object, ...]:
    """Do it and print a line; (outcome, scope) or (power,), and then what was told."""
    began = time.monotonic()
    result = await call
    took_s = time.monotonic() - began
    told = (result.power,) if isinstance(result, PowerReading) else (result.outcome, result.scope)
    line(what, " ".join(told), took_s, result.detail)
    assert took_s < within_s, result
    return (*told, result.detail)


def line(what: str, outcome: str, took_s: float, detail: str) -> None:
    """`outcome` with its scope; `took_s` seconds from the order to the answer, or what `what` says."""
    print(f"\n| {what:44} | {outcome:15} | {took_s:5.2f} s | {detail[:150]}", end="")
