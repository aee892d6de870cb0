"""Hooks of a simulated node: they take their time, one after the other, and go on whatever becomes of whoever
ordered them; a host that dies takes them with it.

What a demotion has done is not known before a promotion has been verified: from its first moment on the node
counts as demoted, also when it fails.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from mailward.model.fencing import HelperAnswer, HelperReply, Hook, HookAnswer, PortState
from mailward.model.token import Token
from mailward.simulator.network import Host

TAKES_S, HANGS_S = 0.5, 25.0
AGAIN_S = 0.5


class HookWork(Enum):
    """How a node's hooks do."""

    WELL = auto()
    FAILS = auto()
    HANGS = auto()  # until the helper kills it


@dataclass
class Run:
    """One hook that was ordered; `answer` is there when it has come to its end."""

    hook: Hook
    token: Token
    boots: int
    lease_s: float | None
    goes: bool = False
    answer: HelperAnswer | None = None


@dataclass
class Hooks:
    """Those of one node. `latest` is the highest token its helper has obeyed, `opens` what a verified
    promotion does."""

    host: Host
    latest: Callable[[], Token | None]
    opens: Callable[[dict[str, PortState], float | None], None]
    work: HookWork = HookWork.WELL
    demoted: bool = False
    _free_s: float = field(default=0.0, init=False)

    def begin(self, hook: Hook, token: Token, ports: dict[str, PortState], lease_s: float | None) -> Run:
        """What was ordered before comes first."""
        loop, run = asyncio.get_running_loop(), Run(hook, token, self.host.boots, lease_s)
        starts_s = max(loop.time(), self._free_s)
        self._free_s = starts_s + (HANGS_S if self.work is HookWork.HANGS else TAKES_S)
        loop.call_at(starts_s, self._start, run)
        loop.call_at(self._free_s, self._end, run, ports)
        return run

    def _start(self, run: Run) -> None:
        if not self._alive(run):
            return
        if self.latest() != run.token:
            run.answer = HelperAnswer(HelperReply.STALE, self.latest(), detail="it was overtaken")
            return
        run.goes = True
        self.demoted = self.demoted or run.hook is Hook.DEMOTE

    def _end(self, run: Run, ports: dict[str, PortState]) -> None:
        if self._alive(run) and self.host.frozen:
            asyncio.get_running_loop().call_later(AGAIN_S, self._end, run, ports)
            return
        if not run.goes or not self._alive(run):
            return
        verified = self.work is HookWork.WELL
        told = HookAnswer(run.hook, True, self.work is not HookWork.HANGS, verified, self.work.name)
        if run.hook is Hook.PROMOTE and not verified:
            run.answer = HelperAnswer(HelperReply.REFUSED, run.token, detail="hook-failed", hook=told)
        elif run.hook is Hook.PROMOTE and self.latest() != run.token:
            run.answer = HelperAnswer(HelperReply.STALE, self.latest(), detail="it was overtaken")
        else:
            if run.hook is Hook.PROMOTE:
                self.demoted = False
                self.opens(ports, run.lease_s)
            run.answer = HelperAnswer(HelperReply.OBEYED, run.token, ports, hook=told)

    def _alive(self, run: Run) -> bool:
        return self.host.up and self.host.boots == run.boots
