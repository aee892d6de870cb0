"""One node's power switch: the port `PowerSwitch`, by an agent.

Only what is read back counts. Exit code 2 says `off`, and to other programs that they were called wrongly;
so it counts together with the words `Status: OFF`, which every agent of the package says. An agent that says
done is asked again; one that says it failed as well, since many give up before the machine is off.

FAILED is said only where nothing was done for certain: what is told to the agent is wrong, or there is none.
Left out: a second `off`, and any memory of orders. What a device believes it was told last, nobody can ask.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

from mailward.fencing.agent import options
from mailward.fencing.agent.metadata import Metadata, Unreadable, parse
from mailward.fencing.agent.program import Agent, NotStarted, Ran, call, stdin_of
from mailward.model.fencing import FenceOutcome, FenceResult, Power, PowerReading, Scope

PACKAGE = "fence-agents"
VALIDATE = "validate-all"  # connects to nothing
_ACTING_SHARE = 0.75  # of the time, for the action itself; the rest is for reading it back
_ASKING_S = 10.0  # for what an agent says of itself, without its device
_LEAST_S = 0.05  # less is no time for a call
_STATUS = re.compile(rb"^Status: *(ON|OFF)\s*$", re.MULTILINE | re.IGNORECASE)
_BY_CODE: dict[int | None, Power] = {0: Power.ON, 2: Power.OFF}


@dataclass(frozen=True, slots=True)
class _Checked:
    """Where the program is, and what it is told besides the action."""

    path: str
    told: dict[str, str] = field(repr=False)


class _Wrong(Exception):
    """What keeps the agent from being called; `texts` are all of it."""

    def __init__(self, *texts: str) -> None:
        super().__init__("; ".join(texts))
        self.texts = texts


class Device:
    """The power of `node`. `timeout_s` bounds each call; `poll_s` lies between two looks at the device."""

    def __init__(self, node: str, agent: Agent, *, timeout_s: float = 40.0, poll_s: float = 1.0) -> None:
        self.node = node
        self.program = agent.program
        self._agent = agent
        self._timeout_s = timeout_s
        self._poll_s = poll_s
        self._checked: _Checked | None = None

    async def mistakes(self) -> list[str]:
        """What is wrong with the configuration, each with its place; the device itself is not asked."""
        try:
            await self._check(self._deadline())
        except _Wrong as wrong:
            return list(wrong.texts)
        return []

    async def read(self) -> PowerReading:
        deadline = self._deadline()
        try:
            return await self._read(await self._check(deadline), deadline)
        except _Wrong as wrong:
            return PowerReading(Power.UNKNOWN, str(wrong))

    async def off(self) -> FenceResult:
        return await self._switch(Power.OFF, Scope.POWER)

    async def on(self) -> FenceResult:
        return await self._switch(Power.ON, Scope.NONE)

    async def _switch(self, wanted: Power, scope: Scope) -> FenceResult:
        deadline = self._deadline()
        try:
            checked = await self._check(deadline)
            ran = await _run(checked, wanted.value, _left(deadline) * _ACTING_SHARE)
        except _Wrong as wrong:
            return FenceResult(FenceOutcome.FAILED, detail=str(wrong))
        done = ran.code == 0
        said = f"{self.program} says that it is {wanted}" if done else f"{wanted}: {self._told(ran)}"
        last = Power.UNKNOWN
        while True:
            reading = await self._read(checked, deadline)
            if reading.power is wanted:
                return FenceResult(FenceOutcome.CONFIRMED, scope, f"{said}; it reads {wanted}")
            if reading.power is not Power.UNKNOWN:
                last = reading.power
            elif not done and last is Power.UNKNOWN:
                break  # nothing is known to have been done that could be waited for
            if _left(deadline) <= self._poll_s:
                break
            await asyncio.sleep(self._poll_s)
        told = f"it last read {last}, within {self._timeout_s:.3g} s"
        unread = last is Power.UNKNOWN
        return FenceResult(FenceOutcome.UNKNOWN, detail=f"{said}; {reading.detail if unread else told}")

    async def _read(self, checked: _Checked, deadline: float) -> PowerReading:
        if _left(deadline) < _LEAST_S:
            return PowerReading(Power.UNKNOWN, "no time is left to read it")
        try:
            ran = await _run(checked, "status", _left(deadline))
        except _Wrong as wrong:
            return PowerReading(Power.UNKNOWN, str(wrong))
        power = _BY_CODE.get(ran.code)
        words = {found.decode().lower() for found in _STATUS.findall(ran.out)}
        if power is not None and words == {power.value}:
            return PowerReading(power)
        return PowerReading(Power.UNKNOWN, f"status: {self._told(ran)}")

    async def _check(self, deadline: float) -> _Checked:
        """Once everything has been found right this is remembered. Raises _Wrong."""
        if self._checked is None:
            self._checked = await self._checked_anew(deadline)
        return self._checked

    async def _checked_anew(self, deadline: float) -> _Checked:
        agent, place = self._agent, f"nodes.{self.node}.agent"
        path = agent.path
        if path is None:
            raise _Wrong(f"{place}.program: {self.program} is not there: install the package {PACKAGE}")
        found = await self._metadata(path, f"{place}.program", deadline)
        wrong = options.mistakes(self.program, found, agent.options, agent.secrets)
        if wrong:
            raise _Wrong(*(f"{place}.{text}" for text in wrong))
        checked = _Checked(path, options.told(found, {**agent.options, **agent.secrets}))
        try:
            stdin_of("status", checked.told)
        except NotStarted as error:
            raise _Wrong(f"{place}: {error}") from error
        if VALIDATE in found.actions:
            ran = await _run(checked, VALIDATE, _asking_s(deadline))
            if ran.code != 0:
                raise _Wrong(f"{place}.options: {self.program} refuses them: {self._told(ran)}")
        return checked

    async def _metadata(self, path: str, place: str, deadline: float) -> Metadata:
        try:
            ran = await call(path, ("-o", "metadata"), b"", _asking_s(deadline))
            if ran.code != 0:
                raise _Wrong(f"{place}: {self.program} does not say what it can do: {self._told(ran)}")
            return parse(ran.out)
        except (NotStarted, Unreadable) as error:
            raise _Wrong(f"{place}: {self.program} does not say what it can do: {error}") from error

    def _told(self, ran: Ran) -> str:
        """How it ended and what it said, for people."""
        how = ran.trouble or f"exit code {ran.code}"
        said = self._agent.hidden((ran.err.strip() or ran.out).decode(errors="replace"))
        return f"{how}: {said}" if said else how

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout_s


async def _run(checked: _Checked, action: str, timeout_s: float) -> Ran:
    """Raises _Wrong where nothing was started."""
    try:
        return await call(checked.path, (), stdin_of(action, checked.told), timeout_s)
    except NotStarted as error:
        raise _Wrong(str(error)) from error


def _left(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()


def _asking_s(deadline: float) -> float:
    return min(_ASKING_S, _left(deadline))
