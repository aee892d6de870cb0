"""The draft of a decision: the next state in the making, and the orders that go with it.

Local to one call of `decide`, which stays a function. Every order takes the next seq of the epoch, and
what it is about to change is marked as not known until its outcome is folded in. What there may be one of
for each node is kept by key while it changes and put into the state when that is looked at: changing
all of them costs no more per node than changing one.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mailward.controller.core import bounds, marks
from mailward.controller.core.cases import Situation
from mailward.controller.core.phases import may_follow
from mailward.model.clock import Moment
from mailward.model.dns import in_common
from mailward.model.fencing import FenceOutcome, Hook, Scope, opens
from mailward.model.orders import (
    Action,
    ClaimHelper,
    ClaimTarget,
    Order,
    OrderPorts,
    PowerOff,
    Publish,
    Result,
    key_of,
)
from mailward.model.policy import Deployment, RungKind
from mailward.model.state import (
    Answer,
    Attempt,
    Cause,
    Ended,
    Ending,
    Flap,
    HelperRecord,
    Kind,
    Operation,
    Phase,
    PhaseRecord,
    PortsRecord,
    PowerRecord,
    Request,
    State,
    Step,
    TargetRecord,
)
from mailward.model.token import Token

_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "phases": lambda record: (record.node, record.endpoint),
    "targets": lambda record: record.target,
    "helpers": lambda record: record.node,
    "ports": lambda record: record.node,
    "power": lambda record: record.node,
    "orders": lambda order: key_of(order.action),
    "attempts": lambda attempt: attempt.key,
}
_SORTED = ("phases", "targets", "helpers", "ports", "power")
"""The others are in the order in which they were last put."""


class Draft:
    """Begins with the situation as it is `seen`. `state` is the state so far; `send` the orders so far, in
    the order they were decided."""

    _state: State
    _seq: int
    _open: dict[str, dict[Any, Any]]

    def __init__(self, seen: Situation) -> None:
        self.snapshot, self.sight, self.judgements = seen.snapshot, seen.sight, seen.judgements
        self.policy = self.snapshot.policy
        self.now = self.snapshot.now
        self.state, self._situation = seen.state, seen
        self.send: list[Order] = []
        self.notices: list[str] = []
        self.fatal = ""
        self.waits_for = ""
        self.ended_one = False

    @property
    def state(self) -> State:
        """What has been opened and is changed is put back first: do not look after each of many changes."""
        if self._open:
            closed: dict[str, Any] = {}
            for name, table in self._open.items():
                records = sorted(table.values(), key=_KEYS[name]) if name in _SORTED else table.values()
                if tuple(records) != getattr(self._owner(name), name):
                    closed[name] = tuple(records)
            if self._state.operation is not None and "attempts" in closed:
                closed["operation"] = replace(self._state.operation, attempts=closed.pop("attempts"))
            self._state, self._open = replace(self._state, **closed) if closed else self._state, {}
        if self._seq != self._state.seq:
            self._state = replace(self._state, seq=self._seq)
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state, self._seq, self._open = state, state.seq, {}

    @property
    def situation(self) -> Situation:
        """What is seen, with the state so far."""
        state = self.state
        if self._situation.state is not state:
            self._situation = replace(self._situation, state=state)
        return self._situation

    def _table(self, name: str) -> dict[Any, Any]:
        """The state's records `name` by key, to be changed."""
        if name not in self._open:
            records = getattr(self._owner(name), name)
            self._open[name] = {_KEYS[name](record): record for record in records}
        return self._open[name]

    def _owner(self, name: str) -> State | Operation | None:
        return self._state.operation if name == "attempts" else self._state

    def _put_last(self, name: str, record: Any) -> None:
        table, key = self._table(name), _KEYS[name](record)
        table.pop(key, None)
        table[key] = record

    # phases

    def set_phase(
        self, node: str, endpoint: str, phase: Phase, cause: Cause = Cause.NONE, detail: str = ""
    ) -> None:
        phases = self._table("phases")
        before: PhaseRecord | None = phases.get((node, endpoint))
        if not may_follow(before.phase if before else None, phase):
            raise AssertionError(f"{node} {endpoint}: {before and before.phase} to {phase} is no transition")
        since = before.since if before and before.phase is phase else self.now
        phases[node, endpoint] = PhaseRecord(node, endpoint, phase, since, cause, detail[: bounds.DETAIL])

    def forget_phase(self, record: PhaseRecord) -> None:
        del self._table("phases")[record.node, record.endpoint]

    # orders

    def next_token(self) -> Token:
        self._seq += 1
        return Token(self._state.store_id, self._state.epoch, self._seq)

    def order(self, action: Action) -> None:
        """Record an order and queue it; it replaces one of the same key still out."""
        token = self.next_token()
        operation = self._state.operation
        claim = isinstance(action, ClaimTarget | ClaimHelper)
        order = Order(
            token=token,
            action=action,
            issued=self.now,
            expires_s=self._expires_s(action),
            operation=operation.id if operation and not claim else None,
            step=operation.step if operation and not claim else None,
        )
        self._put_last("orders", order)
        self._attempted(action, token)
        self.send.append(order)

    def _expires_s(self, action: Action) -> float:
        if isinstance(action, OrderPorts):
            return self.policy.rules.order_timeout_s + action.terms.extra_s
        if not isinstance(action, PowerOff):
            return self.policy.rules.order_timeout_s
        node = self.policy.node_by_name[action.node]
        return next(rung.timeout_s for rung in node.ladder if rung.kind is RungKind.AGENT)

    def _attempted(self, action: Action, token: Token) -> None:
        key = key_of(action)
        if isinstance(action, ClaimTarget):
            record = self.target(action.target)
            claim = self._again(record.claim, key)
            sent, begun = record.sent.sending(token), self._begun(action.target)
            self.put_target(replace(record, claim=claim, sent=sent, begun=begun))
            return
        if isinstance(action, ClaimHelper):
            helper = self.helper(action.node)
            claim = self._again(helper.claim, key)
            self.put_helper(replace(helper, claim=claim, sent=helper.sent.sending(token)))
            return
        if isinstance(action, Publish):
            record = self.target(action.target)
            kept, sent = in_common(record.surely, action.rrsets), record.sent.sending(token)
            begun = self._begun(action.target)
            self.put_target(replace(record, published=None, kept=kept, token=token, sent=sent, begun=begun))
        if isinstance(action, OrderPorts):
            helper, hook = self.helper(action.node), action.terms.hook
            helper = replace(helper, hook=hook, verified=False) if hook is not None else helper
            self.put_helper(replace(helper, sent=helper.sent.sending(token)))
            before = self.ports_of(action.node)
            if before is not None and stays_closed(before, action):
                self.put_ports(replace(before, token=token))
            else:
                late_s = self._expires_s(action) + bounds.OPENING_MARGIN_S
                self.put_ports(_ordered(before, action, token, self.now, late_s))
            if opens(action.ports):
                self.forget_power(action.node)  # who is to be opened is not off
        if isinstance(action, PowerOff):
            expires_s, unknown = self._expires_s(action), FenceOutcome.UNKNOWN
            self.put_power(PowerRecord(action.node, token, unknown, self.now, expires_s))
        if self._state.operation is not None:
            self.put_attempt(self._again(self.attempt(key), key))

    def void_what_is_unheard(self) -> None:
        """Claim anew what was written to without an answer, in whichever step: what comes late is void. For
        an operation that is given up when nothing else is written."""
        for record in self.state.targets:
            if record.published is None and record.token is not None:
                self.put_target(replace(record, claim=None, claimed=None))

    def _begun(self, target: str) -> Moment | None:
        return self.now if target in self.policy.unguarded else None

    def _again(self, before: Attempt | None, key: str) -> Attempt:
        return Attempt(key, (before.tries if before else 0) + 1, self.now)

    def attempt(self, key: str) -> Attempt | None:
        """Of the running operation's step."""
        found: Attempt | None = self._table("attempts").get(key) if self._state.operation else None
        return found

    def ask_anew(self) -> None:
        """What was not done before a doubt is asked again after it, and answered, before anything else
        follows: who could not be written to then can be by now."""
        for attempt in self.running().attempts:
            if attempt.result is not Result.DONE:
                tries = 0 if attempt.result is not None else 1
                self._table("attempts")[attempt.key] = replace(attempt, tries=tries)

    def put_attempt(self, attempt: Attempt) -> None:
        self._put_last("attempts", attempt)

    def target(self, name: str) -> TargetRecord:
        record: TargetRecord | None = self._table("targets").get(name)
        return record or self._state.target(name)

    def put_target(self, record: TargetRecord) -> None:
        self._table("targets")[record.target] = record

    def helper(self, node: str) -> HelperRecord:
        record: HelperRecord | None = self._table("helpers").get(node)
        return record or self._state.helper(node)

    def put_helper(self, record: HelperRecord) -> None:
        self._table("helpers")[record.node] = record

    def ports_of(self, node: str) -> PortsRecord | None:
        record: PortsRecord | None = self._table("ports").get(node)
        return record

    def put_ports(self, record: PortsRecord) -> None:
        self._table("ports")[record.node] = record

    def power_of(self, node: str) -> PowerRecord | None:
        record: PowerRecord | None = self._table("power").get(node)
        return record

    def put_power(self, record: PowerRecord) -> None:
        self._table("power")[record.node] = record

    def forget_power(self, node: str) -> None:
        self._table("power").pop(node, None)

    def answered(self, order: Order) -> None:
        """An order that is out no longer."""
        self._table("orders").pop(key_of(order.action), None)

    # operations

    def start(self, operation: Operation) -> None:
        """Begin an operation; the caller has seen to it that none runs (I10)."""
        if self.state.operation is not None:
            raise AssertionError("an operation is already running")
        marked = replace(operation, marks=marks.begun(operation, self.sight))
        self.state = replace(self.state, operation=marked)
        if operation.kind is Kind.FAILOVER and self.policy.deployment is not Deployment.CLUSTER:
            self.count_failover()

    def count_failover(self) -> None:
        """For the limit of an hour (I8)."""
        fenced = (*self.state.fenced_at, self.now)[-bounds.FENCED_AT :]
        self.state = replace(self.state, fenced_at=fenced)

    def operation_id(self) -> str:
        """Unique within the store: an operation takes a token of its own for its name."""
        token = self.next_token()
        return f"{token.epoch}-{token.seq}"

    def enter(self, step: Step) -> None:
        """Go to a step of the running operation; what the step before had out is forgotten."""
        operation = self.running()
        self._forget_orders(operation.id)
        marked = marks.entered(operation, step, self.now)
        operation = replace(operation, step=step, step_since=self.now, attempts=(), marks=marked)
        self.state = replace(self.state, operation=operation)

    def note(self, text: str) -> None:
        operation = self.running()
        notes = (*operation.notes, text[: bounds.DETAIL])[-bounds.NOTES :]
        self.state = replace(self.state, operation=replace(operation, notes=notes))

    def end(self, ending: Ending, detail: str = "") -> None:
        """The running operation is over."""
        operation = self.running()
        self._forget_orders(operation.id)
        entry = Ended(operation, ending, self.now, detail[: bounds.DETAIL])
        before = self.state.ended
        if before and _same_again(before[-1], entry):
            before = before[:-1]
        self.state = replace(self.state, operation=None, ended=(*before, entry)[-bounds.ENDED :])
        self.ended_one = True
        if operation.cause is not Cause.OPERATOR and _went_out(operation, ending):
            self._count_flap(operation)

    def running(self) -> Operation:
        if self.state.operation is None:
            raise AssertionError("no operation is running")
        return self.state.operation

    def _forget_orders(self, operation: str) -> None:
        left = tuple(o for o in self.state.orders if o.operation != operation)
        if left != self.state.orders:
            self.state = replace(self.state, orders=left)

    def _count_flap(self, operation: Operation) -> None:
        """I13: counted when the operation is complete; old ones are forgotten."""
        memory = self.policy.rules.flap_memory_s
        kept = [f for f in self.state.flaps if f.last.age_s(self.now) <= memory]
        mine = [f for f in kept if (f.node, f.cause) == (operation.node, operation.cause)]
        flap = Flap(operation.node, operation.cause, 1 + sum(f.count for f in mine), self.now)
        flaps = (*[f for f in kept if f not in mine], flap)[-bounds.FLAPS :]
        self.state = replace(self.state, flaps=flaps)

    # people

    def answer(self, request: Request, accepted: bool, detail: str, operation: str | None = None) -> None:
        answer = Answer(request.id, accepted, detail[: bounds.DETAIL * 2], self.now, operation)
        self.state = replace(self.state, answers=(*self.state.answers, answer)[-bounds.ANSWERS :])

    def tally(self, name: str) -> None:
        tallies: Mapping[str, int] = {**self.state.tallies, name: self.state.tallies.get(name, 0) + 1}
        self.state = replace(self.state, tallies=dict(sorted(tallies.items())))


def stays_closed(record: PortsRecord, action: OrderPorts) -> bool:
    """Whether a node that is known to be closed stays so whatever comes of an order: a demotion opens
    nothing."""
    return record.closed and action.terms.hook is Hook.DEMOTE


def _ordered(
    before: PortsRecord | None, action: OrderPorts, token: Token, now: Moment, late_s: float
) -> PortsRecord:
    """What is known of a node's ports when an order to it leaves: of its lease what was known before, or that
    there is none; who was closed, and is opened under a lease, is closed or open under that, which may begin
    up to `late_s` from now."""
    record = PortsRecord(action.node, token, action.ports, FenceOutcome.UNKNOWN, Scope.NONE, now)
    if not opens(action.ports):
        if before is None:
            return record
        return replace(
            record, lease_s=before.lease_s, opened=before.opened, late_s=before.late_s, lapsed=before.lapsed
        )
    lease_s = action.terms.lease_s
    if lease_s is None or before is None:
        return record
    if before.lapsed is None and not before.closed:
        if before.lease_s is None:
            return record
        lease_s = max(lease_s, before.lease_s)
    return replace(record, lease_s=lease_s, opened=now, late_s=late_s)


def _went_out(operation: Operation, ending: Ending) -> bool:
    """Whether a node has just left service: withdrawn, or let in and put out again."""
    if operation.kind is Kind.READMIT:
        return ending is Ending.ROLLED_BACK and operation.step not in (Step.DEMOTE, Step.CATCH_UP)
    opened_again = bool(operation.to) and operation.to == operation.node
    return operation.kind is Kind.FAILOVER and (ending is not Ending.ROLLED_BACK or opened_again)


def _same_again(before: Ended, now: Ended) -> bool:
    """What is tried again and again, and ends as the last time, must not push out the rest."""
    kind, ending = now.operation.kind, now.ending
    repeats = kind is Kind.RECONCILE or (kind is Kind.READMIT and ending is not Ending.DONE)
    last = (before.operation.kind, before.operation.node, before.ending)
    return repeats and last == (kind, now.operation.node, ending)
