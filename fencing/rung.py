"""A rung of the ladder that orders the helper: acknowledgement and refusal together.

CONFIRMED needs the helper's acknowledgement of just this token, with the map as ordered, and every
closed port refusing from outside. Each alone is not enough: a crashed service refuses as well, and
may be started again; a helper may say yes on a host whose packets take another way. When the answer was lost,
or the token had arrived already, the helper's own status may still acknowledge it: the token, the
map, the lease, and a firewall that shows it.

Where writers were to be stopped, too, CONFIRMED needs the helper's word that all of them are; its scope is
WRITES then, and else USERS at most. Whether a hook is verified is told apart: the ports are closed, or open,
whatever became of it. The status does not tell: when its answer is lost, it is not verified.

A port that is open to all who could look is left out, as long as another one refuses. Ports ordered open
are not looked at: whether a service answers is a probe's question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mailward.fencing.verification import Look, Seen, look
from mailward.model.fencing import (
    PLAIN,
    FenceOutcome,
    FenceResult,
    HelperAnswer,
    HelperReply,
    NodeFacts,
    PortKind,
    PortMap,
    Scope,
    Terms,
)
from mailward.model.ports import Helper
from mailward.model.token import Token


class HelperRung:
    """Fences one node by its helper. `services` are the node's client ports by name; `addresses` where
    they are looked at from outside. `timeout_s` bounds the whole of an order, verification included; its
    terms add `Terms.extra_s`. `way` are words for how the helper is asked, where that is worth telling."""

    def __init__(
        self,
        helper: Helper,
        services: Mapping[str, int],
        addresses: Sequence[str],
        *,
        timeout_s: float = 8.0,
        look_timeout_s: float = 2.0,
        look: Look = look,
        way: str = "",
    ) -> None:
        self._acknowledged_by = f"acknowledged {way}".rstrip()
        self._helper = helper
        self._services = dict(services)
        self._addresses = tuple(addresses)
        self._timeout_s = timeout_s
        self._look_timeout_s = look_timeout_s
        self._look = look

    async def claim(self, token: Token) -> HelperAnswer:
        """A claim whose token is the helper's highest already may have arrived before, unheard, or be a
        twin's, who runs on a copy of our store: the next token tells."""
        answer = await self._helper.claim(token)
        if answer.reply is HelperReply.STALE and answer.token == token:
            return replace(answer, reply=HelperReply.UNKNOWN, detail="it knows this token already")
        return answer

    async def order(self, token: Token, ports: PortMap, terms: Terms = PLAIN) -> FenceResult:
        timeout_s = self._timeout_s + terms.extra_s
        try:
            async with asyncio.timeout(timeout_s):
                said = await self._helper.order(token, ports, terms)
                answer = await self._acknowledged(said, token, ports, terms)
                if isinstance(answer, FenceResult):
                    return answer
                seen = await self._verified(answer, ports)
                return _with_hook(_with_writers(seen, answer) if terms.stop else seen, answer, terms)
        except TimeoutError:
            return self._result(FenceOutcome.UNKNOWN, f"not done within {timeout_s:g} s")

    async def _acknowledged(
        self, answer: HelperAnswer, token: Token, ports: PortMap, terms: Terms
    ) -> HelperAnswer | FenceResult:
        """An answer that acknowledges this token and this map, or what it amounts to."""
        if answer.reply is HelperReply.OBEYED and (answer.token, answer.ports) == (token, ports):
            return answer
        arrived_already = answer.reply is HelperReply.STALE and answer.token == token
        if arrived_already or answer.reply in (HelperReply.UNKNOWN, HelperReply.OBEYED):
            facts = await self._helper.status()
            if (
                isinstance(facts, NodeFacts)
                and facts.applied
                and (facts.token, facts.ports) == (token, ports)
                and _is_leased(facts, ports, terms)
            ):
                return replace(answer, stopped=facts.stopped, writers=facts.units)
            return self._result(
                FenceOutcome.UNKNOWN, answer.detail or "the helper acknowledges something else"
            )
        return self._result(FenceOutcome.FAILED, f"{answer.reply.value}: {answer.detail}")

    async def _verified(self, answer: HelperAnswer, ports: PortMap) -> FenceResult:
        kept = "" if answer.persisted else "; it could not be persisted, a reboot may open the ports"
        closed = sorted(name for name, state in ports.items() if state.kind is PortKind.CLOSED)
        if not closed:
            return self._result(FenceOutcome.CONFIRMED, f"{self._acknowledged_by}{kept}")
        unknown = [name for name in closed if name not in self._services]
        if unknown or not self._addresses:
            missing = (
                f"no port is known for {', '.join(unknown)}"
                if unknown
                else "the node has no address to look at"
            )
            return self._result(FenceOutcome.UNKNOWN, f"{self._acknowledged_by}, but {missing}{kept}")
        numbers = sorted({self._services[name] for name in closed})
        sights = await self._look(self._addresses, numbers, self._look_timeout_s)
        other = [str(sight) for sight in sights if sight.seen not in (Seen.REFUSED, Seen.EXCEPTED)]
        refused = [sight for sight in sights if sight.seen is Seen.REFUSED]
        if other or not refused:
            nobody = ["nobody can see it from outside"]
            why = "; ".join(other or nobody)
            return self._result(FenceOutcome.UNKNOWN, f"{self._acknowledged_by}, but {why}{kept}")
        seen = f"{self._acknowledged_by} and refused on {len(refused)} of {len(sights)} ports{kept}"
        return self._result(FenceOutcome.CONFIRMED, seen, Scope.USERS)

    def _result(self, outcome: FenceOutcome, detail: str, scope: Scope = Scope.NONE) -> FenceResult:
        return FenceResult(outcome, scope, detail)


def _with_writers(seen: FenceResult, answer: HelperAnswer) -> FenceResult:
    """A fence that was to stop the writers as well: whatever it lacks, it is no more than UNKNOWN."""
    if answer.stopped:
        scope = Scope.WRITES if seen.scope is Scope.USERS else seen.scope
        return replace(seen, scope=scope, detail=f"{seen.detail}; all writers have stopped")
    states = ", ".join(f"{name} {state}" for name, state in sorted(answer.writers.items()))
    detail = f"{seen.detail}; but not all writers have stopped: {states or 'none is listed on the node'}"
    return replace(seen, outcome=FenceOutcome.UNKNOWN, detail=detail)


def _with_hook(seen: FenceResult, answer: HelperAnswer, terms: Terms) -> FenceResult:
    if terms.hook is None:
        return seen
    hook = answer.hook
    if hook is None or hook.hook is not terms.hook or not hook.done:
        why = "was not answered" if hook is None else f"is not verified: {hook.detail}"
        return replace(seen, detail=f"{seen.detail}; but {terms.hook.value} {why}", hooked=False)
    said = "verified" if hook.configured else "not configured, nothing to do"
    return replace(seen, detail=f"{seen.detail}; {terms.hook.value} {said}")


def _is_leased(facts: NodeFacts, ports: PortMap, terms: Terms) -> bool:
    """Whether what is open is so under the lease that was ordered, and it has not lapsed."""
    if all(state.kind is not PortKind.OPEN for state in ports.values()):
        return True
    return facts.lease_s == terms.lease_s and (terms.lease_s is None or bool(facts.lease_left_s))
