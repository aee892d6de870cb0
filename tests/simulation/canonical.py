"""The recorded state in a form in which histories merge: what no decision looks at is left out.

Times are kept as ages of three kinds: just now, `SHORT_S` ago and `LONG_S` ago. The rules of `policy()`
are chosen so that each threshold of the core lies between two of them. Tokens are renumbered: what is out
counts from one, and of what was claimed only the epoch matters, this one or an earlier.
"""

from dataclasses import replace
from typing import Any

from mailward.model.clock import Moment
from mailward.model.fencing import Scope
from mailward.model.orders import Action, ClaimTarget, Order, OrderPorts, Result
from mailward.model.policy import Automation, Deployment, Endpoint, Node, Observer, Policy, Rules, Service
from mailward.model.state import Attempt, Cause, Ended, Flap, Kind, Operation, PortsRecord, State, Step
from mailward.model.token import NOTHING_SENT, Token

STORE = "0123456789ab"
ENDPOINT = "mail.example.test"
SERVICE = "imaps"
TARGET = "ns1"
NODES = ("a", "b")
NOW = Moment("boot", 10_000.0, 10_000.0)
SHORT_S, LONG_S = 3.0, 100.0


def policy() -> Policy:
    """Grace, stability, TTL, retries and an order's expiry pass in `SHORT_S`; all patience, hold-down and
    the memory of flaps in `LONG_S`."""
    return Policy(
        cluster="search",
        deployment=Deployment.HYBRID,
        automation=Automation.ACT,
        services=(Service(SERVICE, 993, "imaps"),),
        nodes=tuple(Node(name, f"site-{name}", (f"192.0.2.{i}",)) for i, name in enumerate(NODES, 10)),
        endpoints=(Endpoint(ENDPOINT, (SERVICE,), NODES, 2, (TARGET,)),),
        observers=(Observer("watch", "site-w"),),
        targets=(TARGET,),
        rules=Rules(
            restart_grace_s=1.0, stable_s=2.0, hold_down_s=20.0, hold_down_max_s=20.0, flap_memory_s=50.0,
            retry_s=1.0, retry_max_s=2.0, order_timeout_s=0.5, step_patience_s=20.0, catch_up_wait_s=50.0,
            failovers_per_hour=1000,
        ),
        digest="search",
    )  # fmt: skip


class Frozen(dict[Any, Any]):
    """A mapping that can be looked up: nobody writes to it."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items(), key=str)))


def ago(seconds: float) -> Moment:
    return Moment(NOW.boot_id, NOW.boot_s - seconds, NOW.wall_s - seconds)


def canonical(state: State, passed_s: float = 0.0) -> State:
    """`state` as it looks when `passed_s` more have passed."""
    now = ago(-passed_s)
    operation = state.operation
    return State(
        store_id=state.store_id,
        epoch=1,
        seq=len(state.orders),
        epoch_since=NOW,
        as_of=NOW,
        phases=tuple(replace(record, since=NOW, detail="") for record in state.phases),
        operation=_operation(operation, now) if operation else None,
        orders=tuple(_order(order, seq, now) for seq, order in enumerate(state.orders, 1)),
        targets=tuple(
            replace(
                t, claim=_attempt(t.claim, now), claimed=_claimed(t.claimed, state.epoch),
                token=_token(0) if t.token else None, detail="", at=None, sent=NOTHING_SENT,
            )
            for t in state.targets
        ),
        helpers=tuple(
            replace(
                h, claim=_attempt(h.claim, now), claimed=_claimed(h.claimed, state.epoch), sent=NOTHING_SENT
            )
            for h in state.helpers
        ),
        ports=_ports(state),
        ended=_ended(state.ended, now),
        flaps=tuple(f for flap in state.flaps for f in _flap(flap, now)),
        tallies=Frozen(),
    )  # fmt: skip


def of_action(action: Action) -> Action:
    """An action that can be looked up. That no token is above what was sent is checked where it is
    decided."""
    if isinstance(action, ClaimTarget):
        return replace(action, sent=NOTHING_SENT)
    return replace(action, ports=Frozen(action.ports)) if isinstance(action, OrderPorts) else action


def _token(epoch: int, seq: int = 0) -> Token:
    return Token(STORE, epoch, seq)


def _claimed(token: Token | None, epoch: int) -> Token | None:
    return token and _token(int(token.epoch == epoch))


def _since(moment: Moment, now: Moment, *kinds: float) -> Moment:
    """`moment` as old as the greatest of `kinds` it has reached."""
    age = moment.age_s(now)
    return ago(max((kind for kind in kinds if age >= kind), default=0.0))


def _operation(operation: Operation, now: Moment) -> Operation:
    kinds = (SHORT_S, LONG_S) if operation.step is Step.WAIT_TTL else (LONG_S,)
    return replace(
        operation, id="op", started=NOW, step_since=_since(operation.step_since, now, *kinds), reason="",
        row=0, marks=(), request="asked" if operation.request else None, notes=operation.notes and ("noted",),
        attempts=tuple(a for attempt in operation.attempts if (a := _attempt(attempt, now))),
    )  # fmt: skip


def _attempt(attempt: Attempt | None, now: Moment) -> Attempt | None:
    """Its age matters while it may be tried again."""
    if attempt is None:
        return None
    kinds: tuple[float, ...] = (SHORT_S,)
    if attempt.result is Result.DONE:
        kinds = (LONG_S,) if attempt.key.startswith("kick-replication:") else ()
    elif attempt.result is None:
        kinds = ()
    return replace(attempt, tries=min(attempt.tries, 2), last=_since(attempt.last, now, *kinds), detail="")


def _order(order: Order, seq: int, now: Moment) -> Order:
    return replace(
        order, token=_token(1, seq), issued=_since(order.issued, now, SHORT_S),
        operation=order.operation and "op", action=of_action(order.action),
    )  # fmt: skip


def _ports(state: State) -> tuple[PortsRecord, ...]:
    """Of their times only the order matters: which node's were touched longest ago; of their tokens, which of
    the orders that are out they are."""
    records = state.ports
    out = {order.token: _token(1, seq) for seq, order in enumerate(state.orders, 1)}
    newest = max((record.at.boot_s for record in records), default=0.0)
    return tuple(
        replace(
            record, token=out.get(record.token, _token(0)), ports=Frozen(record.ports), scope=Scope.NONE,
            detail="", at=ago(SHORT_S if record.at.boot_s == newest else LONG_S),
        )
        for record in records
    )  # fmt: skip


def _ended(ended: tuple[Ended, ...], now: Moment) -> tuple[Ended, ...]:
    """Only a reconciliation that has just ended holds the next one up."""
    last = ended[-1] if ended else None
    if last is None or last.operation.kind is not Kind.RECONCILE:
        return ()
    over = replace(
        last.operation, id="over", started=NOW, step_since=NOW, endpoints=(), cause=Cause.NONE, reason="",
        row=0, marks=(), attempts=(), notes=last.operation.notes and ("noted",),
    )  # fmt: skip
    return (Ended(over, last.ending, _since(last.at, now, SHORT_S)),)


def _flap(flap: Flap, now: Moment) -> tuple[Flap, ...]:
    """One older than the memory counts no more."""
    if flap.last.age_s(now) >= LONG_S:
        return ()
    return (replace(flap, count=min(flap.count, 2), last=_since(flap.last, now)),)
