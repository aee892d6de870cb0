"""The lease under which client ports of the node beside this daemon are open: renewed while that is right.

One round after the other, never two at once. In each our report, which says that we may renew, is
acknowledged by the store, and the recorded state is read after that: whoever recorded before that the node is
to be closed is obeyed. If its ports are to be open, the lease is renewed; else nothing is, from the next
report on, until one that says so again has been acknowledged.

While the store acknowledges nothing, a renewal takes the promise of every daemon that could lead
(`promises`), and that the node was open when the state was last read. Without them the lease runs out, and
the node's kernel refuses its clients. A lease that has run out cannot be renewed: so however late a renewal
is carried out, it begins before the end of the one before (`Rules.lease_over_s`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mailward.controller.core.phases import port_map
from mailward.model.errors import StoreError
from mailward.model.fencing import HelperAnswer, HelperReply, PortKind
from mailward.model.policy import Policy
from mailward.model.ports import Clock, Renewer
from mailward.model.report import LeaseReport
from mailward.model.state import State
from mailward.model.token import Token

log = logging.getLogger(__name__)

ROUNDS = 5
"""In a lease. The store has the time of one round to answer, and a renewal that of one and a half."""
RETRY_S = 1.0
"""After a round without a renewal that is wanted."""
VOID_AFTER_S = 3.0
"""A renewal that was not answered is void by then: the helper takes nothing that is two seconds old."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How the lease of `node` stands, for people. `renewed_s` is how long ago it was last renewed, None where
    it never was; `trouble` why it just now is not, '' where it is, or is not to be; `by_promise`: without the
    store."""

    node: str
    wanted: bool
    renewed_s: float | None
    trouble: str
    by_promise: bool


class LeaseKeeper:
    """Beside `node`. `publish` leaves our report in the store as it is now, `read` reads the recorded state:
    StoreError where the store has not acknowledged, or answered. `promised` asks everybody that could lead,
    and says '' or who has not promised."""

    def __init__(
        self, *, node: str, policy: Policy, helper: Renewer, clock: Clock,
        publish: Callable[[], Awaitable[None]], read: Callable[[], Awaitable[State]],
        promised: Callable[[], Awaitable[str]],
    ) -> None:  # fmt: skip
        lease_s = policy.rules.lease_s
        assert lease_s is not None
        self._lease_s = lease_s
        self._node = node
        self._policy = policy
        self._helper = helper
        self._clock = clock
        self._publish = publish
        self._read = read
        self._promised = promised
        self._state: State | None = None
        self._told: Token | None = None
        self._wanted = self._acknowledged = self._by_promise = False
        self._ended_s = self._now_s()
        self._renewed_s: float | None = None
        self._trouble = self._said = ""
        self._ran_out = False

    async def run(self) -> None:
        """Round after round, until cancelled."""
        every_s = self._lease_s / ROUNDS
        while True:
            began_s = self._now_s()
            try:
                wait_s = await self._round()
            except Exception as error:
                log.exception("a round of renewing the lease failed; it goes on with the next")
                wait_s = self._fails(f"renewing it failed: {type(error).__name__}")
            if wait_s is None:
                wait_s = max(every_s / 5, every_s - (self._now_s() - began_s))
            await asyncio.sleep(wait_s)

    def report(self) -> LeaseReport:
        """What our report says of it now."""
        now_s = self._now_s()
        if self._wanted or now_s < self._ended_s:
            return LeaseReport(self._node, renewing=True)
        return LeaseReport(self._node, renewing=False, idle_s=now_s - self._ended_s)

    def kept(self) -> Kept:
        renewed_s = None if self._renewed_s is None else self._now_s() - self._renewed_s
        return Kept(self._node, self._wanted, renewed_s, self._trouble, self._by_promise)

    async def _round(self) -> float | None:
        """How long to wait then: None until the next is due."""
        try:
            async with asyncio.timeout(self._lease_s / ROUNDS):
                await self._publish()
                self._acknowledged = self._wanted
                self._state = await self._read()
        except TimeoutError:
            return await self._without_the_store(f"no answer within {self._lease_s / ROUNDS:g} s")
        except StoreError as error:
            return await self._without_the_store(str(error))
        self._by_promise = False
        if not self._opens(self._state):
            self._wanted = self._acknowledged = False
            self._renewed_s = None
            self._goes_well()
            return None
        if not self._wanted:
            self._wanted = True
            return 0.0
        return await self._renew(self._state)

    async def _without_the_store(self, trouble: str) -> float | None:
        state = self._state
        if state is None or not self._opens(state):
            return RETRY_S
        if not self._acknowledged:
            return self._fails(f"the store is out of reach, and has not heard that we renew: {trouble}")
        if missing := await self._promised():
            return self._fails(f"the store is out of reach ({trouble}), and without it: {missing}")
        self._by_promise = True
        return await self._renew(state)

    def _opens(self, state: State) -> bool:
        return any(port.kind is PortKind.OPEN for port in port_map(self._policy, state, self._node).values())

    # renewing

    async def _renew(self, state: State) -> float | None:
        token = self._token(state)
        if token is None:
            return self._fails("its helper has obeyed nothing yet")
        answer = await self._send(token)
        if answer.token is not None and answer.token != token and self._explained(state, answer.token):
            self._told = answer.token
            answer = await self._send(answer.token)
        if answer.reply is HelperReply.OBEYED:
            self._renewed_s = self._ended_s
            self._goes_well()
            return None
        self._ran_out = self._ran_out or answer.reply is HelperReply.LAPSED
        return self._fails(answer.detail or f"its helper says {answer.reply}")

    def _token(self, state: State) -> Token | None:
        """The highest that the helper is known to have obeyed: by the record, or by its own word."""
        record, ports = state.helper(self._node), state.ports_of(self._node)
        told = self._told if self._told is not None and self._explained(state, self._told) else None
        known = [record.claimed, record.sent.last, told]
        found = [token for token in known if token is not None]
        if not found and ports is not None:
            found = [ports.token]
        return max(found, default=None)

    def _explained(self, state: State, token: Token) -> bool:
        """Whether the helper may have it from us: its answer may not have been recorded yet. By promise, any
        of our store may be: what was read last may be older than it is, and nobody leads since."""
        sent = state.helper(self._node).sent
        ours = token.store_id == state.store_id
        return ours and (self._by_promise or sent.explains(token, state.epoch))

    async def _send(self, token: Token) -> HelperAnswer:
        """From here on it may be obeyed, and after an answer that is none for a while yet."""
        self._ended_s = float("inf")
        deadline_s = 1.5 * self._lease_s / ROUNDS
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._helper.renew(token)
        except TimeoutError:
            silence = f"its helper did not answer within {deadline_s:g} s"
            answer = HelperAnswer(HelperReply.UNKNOWN, detail=silence)
        finally:
            self._ended_s = self._now_s() + VOID_AFTER_S
        if answer.reply is not HelperReply.UNKNOWN:
            self._ended_s = self._now_s()
        return answer

    # telling

    def _fails(self, trouble: str) -> float:
        self._trouble = trouble
        if not self._said:
            log.warning("the lease of %s is not renewed: %s", self._node, trouble)
            self._said = trouble
        since_s = self._renewed_s
        if since_s is not None and self._now_s() - since_s > self._lease_s:
            self._ran_out = True
        if self._ran_out and self._said != _RAN_OUT:
            log.error("the lease of %s has run out, its kernel refuses clients: %s", self._node, trouble)
            self._said = _RAN_OUT
        return RETRY_S

    def _goes_well(self) -> None:
        if self._said:
            how = "renewed again" if self._wanted else "wanted no more"
            log.warning("the lease of %s is %s", self._node, how)
        self._trouble = self._said = ""
        self._ran_out = False

    def _now_s(self) -> float:
        return self._clock.now().boot_s


_RAN_OUT = "it has run out"
