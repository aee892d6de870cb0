"""Promises not to lead, by which a node goes on serving while the store is out of reach.

A daemon that cannot reach the store cannot know whether somebody else leads, and closes its node. If however
every daemon that could lead says that it does not, and will not for a while, nobody does. Who promises is
bound by its own clock from when it was asked, whatever it hears from the store meanwhile. A process does not
know what the one before it has promised: it is bound from its start as well.

Only daemons of the same configuration promise each other: who has another one may count another leader.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mailward.model.policy import Policy
from mailward.model.ports import Clock

log = logging.getLogger(__name__)

ANSWER_S = 1.0
"""All have promised within that, or nobody has."""

Object = Mapping[str, Any]
Ask = Callable[[Object, float], Awaitable[Mapping[str, Object]]]


def acts(*, leads: bool, in_touch: bool) -> str:
    """Why a daemon promises nothing: it leads, or the store, which may let it lead at any moment, is in touch
    with it. '' where neither is so."""
    if leads:
        return "it leads"
    return "the store is in touch with it" if in_touch else ""


class Promises:
    """Of the daemon `name`: those it gives, and those it asks for. `may_act` says why it may act (`acts`), ''
    where it may not; `ask` asks all other daemons, and has the answers of those that do in time."""

    def __init__(
        self, *, name: str, policy: Policy, clock: Clock, may_act: Callable[[], str], ask: Ask
    ) -> None:  # fmt: skip
        self._name = name
        self._policy = policy
        self._clock = clock
        self._may_act = may_act
        self._ask = ask
        self._leaders = tuple(observer.name for observer in policy.observers if observer.leads)
        self._for_s = policy.rules.lease_over_s
        self._why = "what it promised before it was started is not known to it"
        self._until_s = float("-inf") if self._for_s is None else self._now_s() + self._for_s

    def binds(self) -> str:
        """Why this daemon may not lead now; '' where nothing binds it."""
        left_s = self._until_s - self._now_s()
        return f"not before {left_s:.0f} s have passed: {self._why}" if left_s >= 0 else ""

    async def give(self, question: Object) -> Object:
        """What another daemon is answered that asks for one."""
        refusal = self._refuses(question)
        return {"promised": not refusal, "why": refusal}

    async def all_given(self) -> str:
        """'' when everybody that could lead has promised, we as well; else who has not, and why."""
        question = {"promise": {"config": self._policy.digest}}
        if self._name in self._leaders and (refusal := self._refuses(question)):
            return f"{self._name} does not promise: {refusal}"
        others = [name for name in self._leaders if name != self._name]
        if not others:
            return ""
        answers = await self._ask(question, ANSWER_S)
        missing = [name for name in others if not _promises(answers.get(name))]
        return "; ".join(f"{name} {_why_not(answers.get(name))}" for name in missing)

    def _refuses(self, question: Object) -> str:
        """'' when the promise is given: from this moment on it binds."""
        asked = question.get("promise")
        if self._for_s is None:
            return "there are no leases in its configuration"
        if not isinstance(asked, dict) or asked.get("config") != self._policy.digest:
            return "it has another configuration"
        if why := self._may_act():
            return why
        self._until_s = self._now_s() + self._for_s
        self._why = "it has promised so to a node that cannot reach the store"
        return ""

    def _now_s(self) -> float:
        return self._clock.now().boot_s


def is_asked_for(question: Object) -> bool:
    """Whether a question of another daemon is for a promise."""
    return "promise" in question


def _promises(answer: Object | None) -> bool:
    return answer is not None and answer.get("promised") is True


def _why_not(answer: Object | None) -> str:
    if answer is None:
        return "does not answer"
    why = answer.get("why")
    return f"does not promise: {why[:200] if isinstance(why, str) and why else 'it does not know how'}"
