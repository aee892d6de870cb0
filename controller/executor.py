"""The executor: carries out recorded orders and reports what became of each.

One order at a time per receiver, in token order; each has until its expiry, counted from when it was issued,
however late the answer to recording it came: whoever leads next knows when all is over. One that would start
after that, or after the right to act has ended, is not sent; nor one that opens and would not end by then.
Every order ends in exactly one outcome. It decides nothing and repeats nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from mailward.controller.core.invariants import of_order
from mailward.model.fencing import FenceOutcome, HelperAnswer, HelperReply, opens
from mailward.model.orders import (
    ClaimHelper,
    ClaimTarget,
    KickReplication,
    Order,
    OrderPorts,
    Outcome,
    PowerOff,
    Publish,
    Result,
    Verify,
)
from mailward.model.policy import Policy, RungKind
from mailward.model.ports import Clock, Fence, LagSource, PowerSwitch, Publisher

log = logging.getLogger(__name__)

_BY_REPLY = {
    HelperReply.OBEYED: Result.DONE,
    HelperReply.STALE: Result.STALE,
    HelperReply.FOREIGN: Result.FOREIGN,
    HelperReply.REFUSED: Result.FAILED,
    HelperReply.UNKNOWN: Result.UNKNOWN,
}
_BY_FENCE = {
    FenceOutcome.CONFIRMED: Result.DONE,
    FenceOutcome.FAILED: Result.FAILED,
    FenceOutcome.UNKNOWN: Result.UNKNOWN,
}


class Executor:
    """`asked` are the fences that go by way of the daemon beside a node. `report` is called once for each
    order, from a task of its own."""

    def __init__(
        self,
        *,
        publishers: Mapping[str, Publisher],
        fences: Mapping[str, Fence],
        lag_sources: Mapping[str, LagSource],
        switches: Mapping[str, PowerSwitch] | None = None,
        asked: Mapping[str, Fence] | None = None,
        clock: Clock,
        may_act_until_s: Callable[[], float],
        policy: Policy,
        report: Callable[[Outcome], None],
    ) -> None:
        self._publishers = publishers
        self._fences = fences
        self._lag_sources = lag_sources
        self._switches = switches or {}
        self._asked = asked or {}
        self._clock = clock
        self._may_act_until_s = may_act_until_s
        self._policy = policy
        self._report = report
        self._turns: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def send(self, order: Order) -> None:
        """Begin carrying out a recorded order."""
        task = asyncio.create_task(self._carry_out(order), name=f"order {order.token} {order.action.kind}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop what is under way; its outcome is for the next controller to find out."""
        self._closing = True
        tasks = sorted(self._tasks, key=lambda task: task.get_name())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry_out(self, order: Order) -> None:
        try:
            async with asyncio.timeout(max(0.0, self._left_s(order))), self._turn(order):
                outcome = await self._in_time(order)
        except TimeoutError:
            outcome = self._outcome(order, Result.UNKNOWN, f"no answer within {order.expires_s:g} s")
        except asyncio.CancelledError:
            if self._closing:
                raise
            outcome = self._outcome(order, Result.UNKNOWN, "cancelled by the driver itself")
        except Exception as error:
            log.exception("order %s failed in a way nobody foresaw", order.token)
            outcome = self._outcome(order, Result.UNKNOWN, f"{type(error).__name__}: {error}")
        self._report(outcome)

    def _turn(self, order: Order) -> asyncio.Lock:
        action = order.action
        receiver = action.target if isinstance(action, ClaimTarget | Publish | Verify) else action.node
        if isinstance(action, PowerOff):
            return self._turns.setdefault(f"power {receiver}", asyncio.Lock())
        kind = "read" if isinstance(action, Verify | KickReplication) else "write"
        return self._turns.setdefault(f"{kind} {receiver}", asyncio.Lock())

    def _left_s(self, order: Order) -> float:
        return order.expires_s - order.issued.age_s(self._clock.now())

    async def _in_time(self, order: Order) -> Outcome:
        if self._left_s(order) <= _takes_s(order) or self._clock.now().boot_s >= self._may_act_until_s():
            return self._outcome(order, Result.FAILED, "not sent: its time had passed", sent=False)
        if broken := of_order(self._policy, order):
            return self._outcome(order, Result.FAILED, f"not sent: {'; '.join(broken)}", sent=False)
        return await self._dispatch(order)

    def _dispatch(self, order: Order) -> Coroutine[Any, Any, Outcome]:
        match order.action:
            case ClaimTarget():
                return self._claim_target(order, order.action)
            case Publish():
                return self._publish(order, order.action)
            case Verify():
                return self._verify(order, order.action)
            case ClaimHelper():
                return self._claim_helper(order, order.action)
            case OrderPorts():
                return self._order_ports(order, order.action)
            case PowerOff():
                return self._power_off(order, order.action)
            case KickReplication():
                return self._kick(order, order.action)

    async def _claim_target(self, order: Order, action: ClaimTarget) -> Outcome:
        done = await self._publishers[action.target].claim(order.token, action.sent)
        return self._outcome(order, done.result, done.detail, sent=done.sent)

    async def _publish(self, order: Order, action: Publish) -> Outcome:
        done = await self._publishers[action.target].publish(order.token, action.rrsets)
        return self._outcome(order, done.result, done.detail)

    async def _verify(self, order: Order, action: Verify) -> Outcome:
        checks = await self._publishers[action.target].verify(action.rrsets)
        wrong = [f"{check.server}: {check.detail}" for check in checks if not check.agrees]
        if not checks:
            wrong = ["no authoritative server is known"]
        return self._outcome(order, Result.FAILED if wrong else Result.DONE, "; ".join(wrong))

    async def _claim_helper(self, order: Order, action: ClaimHelper) -> Outcome:
        answer: HelperAnswer = await self._fences[action.node].claim(order.token)
        return self._outcome(order, _BY_REPLY[answer.reply], answer.detail)

    async def _order_ports(self, order: Order, action: OrderPorts) -> Outcome:
        done = await self._way(action).order(order.token, action.ports, action.terms)
        result = _BY_FENCE[done.outcome]
        if result is Result.DONE and not done.hooked:
            result = Result.UNKNOWN  # the ports are as ordered; of the hook a half may have happened
        return Outcome(order.token, result, self._clock.now(), done.detail, done.outcome, done.scope)

    def _way(self, action: OrderPorts) -> Fence:
        match action.by:
            case RungKind.ASK:
                return self._asked[action.node]
            case RungKind.HELPER:
                return self._fences[action.node]
            case RungKind.LEASE | RungKind.AGENT:
                raise AssertionError(f"ports are not ordered by {action.by}")

    async def _power_off(self, order: Order, action: PowerOff) -> Outcome:
        done = await self._switches[action.node].off()
        return Outcome(
            order.token, _BY_FENCE[done.outcome], self._clock.now(), done.detail, done.outcome, done.scope
        )

    async def _kick(self, order: Order, action: KickReplication) -> Outcome:
        source = self._lag_sources.get(action.node)
        if source is None:
            return self._outcome(order, Result.DONE, "nothing to ask: no replication source")
        problem = await source.kick()
        return self._outcome(order, Result.FAILED if problem else Result.DONE, problem)

    def _outcome(self, order: Order, result: Result, detail: str, *, sent: bool = True) -> Outcome:
        return Outcome(order.token, result, self._clock.now(), detail, sent=sent)


def _takes_s(order: Order) -> float:
    """For how long an order has to have time when it starts. What opens may be worked at for long before it
    does, and nobody takes it back: after its expiry nothing is left of that time."""
    action = order.action
    return action.terms.extra_s if isinstance(action, OrderPorts) and opens(action.ports) else 0.0
