"""Outcomes folded into the state: what came of the orders that were out.

An outcome without its order (answered late, or of a step that is over) informs nobody and changes
nothing. An order without an outcome is UNKNOWN after its expiry, or at once under a new epoch.
"""

from dataclasses import replace

from mailward.controller.core import bounds
from mailward.controller.core.draft import Draft, stays_closed
from mailward.controller.core.expiry import earlier_orders_expired
from mailward.model.clock import Moment
from mailward.model.fencing import FenceOutcome, opens
from mailward.model.orders import (
    ClaimHelper,
    ClaimTarget,
    Order,
    OrderPorts,
    Outcome,
    PowerOff,
    Publish,
    Result,
    key_of,
)
from mailward.model.policy import Deployment
from mailward.model.state import Attempt, HelperRecord, Operation, PortsRecord, TargetRecord
from mailward.model.token import Sent

STALE_CLAIMS_BELIEVED = 3
"""A claim may lose against a late order of our own; three in a row are somebody else's word."""


def believed_stale(claim: Attempt | None) -> bool:
    """Whether somebody else leads. Then no claim follows: each would have a higher token, and the last of
    them would overtake whoever has every right."""
    return claim is not None and claim.result is Result.STALE and claim.tries >= STALE_CLAIMS_BELIEVED


def note_superseded(draft: Draft) -> None:
    """Once seen it is recorded: whoever leads next on this store is no better."""
    state = draft.state
    if state.superseded:
        return
    for record in state.targets:
        claim = record.claim
        if claim is None or not (believed_stale(claim) or claim.result is Result.AHEAD):
            continue
        stale = f"DNS target {record.target} obeys a higher token than ours ({claim.detail})"
        _note(draft, f"DNS target {record.target}: {claim.detail}" if claim.result is Result.AHEAD else stale)
        return
    for node in draft.policy.nodes:
        facts = draft.sight.nodes[node.name].facts
        token = facts.token if facts is not None else None
        if token is None or token.store_id != state.store_id:
            continue
        if not state.helper(node.name).sent.explains(token, state.epoch):
            _note(draft, f"mailward-node on {node.name} remembers {token}, which this store never sent")
            return


def _note(draft: Draft, why: str) -> None:
    draft.state = replace(
        draft.state,
        superseded=f"{why[: bounds.DETAIL]}: another controller leads this cluster, or this store was "
        "restored from a backup. Nothing is done any more. If no other controller runs, stop mailward, move "
        f"the store away and make it anew: mailward state init --adopt {draft.state.store_id}",
    )


def take_up_epoch(draft: Draft) -> None:
    """A new epoch starts its seqs anew and has nothing out: what the last one had sent is unknown, and void
    once our claims arrive, or once it has expired as recorded. Nobody's patience ran while nobody led: the
    step begins anew, and what the last one could not do is tried again. What limits how often we act is as
    old as it was for the one before, by his clock: hosts' clocks are not compared."""
    epoch = draft.snapshot.versions.epoch
    if draft.state.epoch == epoch:
        if draft.state.earlier_expire_s and earlier_orders_expired(
            draft.state, draft.now, draft.policy.rules
        ):
            draft.state = replace(draft.state, earlier_expire_s=0.0)
        return
    operation = draft.state.operation
    if operation is not None:
        attempts = tuple(a for a in operation.attempts if a.result is Result.DONE)
        started = _carried_over(draft, operation.started)
        operation = replace(operation, attempts=attempts, step_since=draft.now, started=started)
    draft.state = replace(
        draft.state,
        epoch=epoch,
        epoch_since=draft.now,
        earlier_expire_s=max([draft.state.earlier_expire_s, *(o.expires_s for o in draft.state.orders)]),
        seq=0,
        orders=(),
        operation=operation,
        fenced_at=tuple(_carried_over(draft, at) for at in draft.state.fenced_at),
        ended=tuple(replace(entry, at=_carried_over(draft, entry.at)) for entry in draft.state.ended),
        flaps=tuple(replace(flap, last=_carried_over(draft, flap.last)) for flap in draft.state.flaps),
        targets=tuple(replace(target, claim=None, begun=None) for target in draft.state.targets),
        helpers=tuple(replace(helper, claim=None) for helper in draft.state.helpers),
    )
    if draft.policy.deployment is Deployment.CLUSTER:
        _carry_over_what_is_stopped(draft, operation)


def _carry_over_what_is_stopped(draft: Draft, operation: Operation | None) -> None:
    """Since when a node counts as stopped is compared with what its helper has said since."""
    state = draft.state
    if operation is not None:
        words = tuple(replace(word, at=_carried_over(draft, word.at)) for word in operation.vouched)
        accepts = operation.accepts
        if accepts is not None:
            accepts = replace(accepts, at=_carried_over(draft, accepts.at))
        operation = replace(operation, vouched=words, accepts=accepts)
    draft.state = replace(
        state,
        operation=operation,
        ports=tuple(_ports_carried_over(draft, record) for record in state.ports),
        power=tuple(replace(record, at=_carried_over(draft, record.at)) for record in state.power),
    )


def _ports_carried_over(draft: Draft, record: PortsRecord) -> PortsRecord:
    opened, lapsed = (at and _carried_over(draft, at) for at in (record.opened, record.lapsed))
    return replace(record, at=_carried_over(draft, record.at), opened=opened, lapsed=lapsed)


def _carried_over(draft: Draft, at: Moment) -> Moment:
    """A moment of another boot by our own clock: what we have not seen pass ourselves does not count."""
    now, as_of = draft.now, draft.state.as_of
    if at.boot_id == now.boot_id or as_of is None:
        return at
    age_s = at.age_s(as_of) + draft.snapshot.unchanged_s
    return Moment(now.boot_id, now.boot_s - age_s, now.wall_s - age_s)


def fold(draft: Draft) -> None:
    """Apply the snapshot's outcomes and expire what never got one."""
    by_token = {order.token: order for order in draft.state.orders}
    for outcome in draft.snapshot.outcomes:
        order = by_token.pop(outcome.token, None)
        if order is not None:
            _apply(draft, order, outcome)
    for order in by_token.values():
        if order.issued.age_s(draft.now) > order.expires_s + bounds.EXPIRY_MARGIN_S:
            _apply(draft, order, Outcome(order.token, Result.UNKNOWN, draft.now, "no answer in time"))


def _apply(draft: Draft, order: Order, outcome: Outcome) -> None:
    draft.answered(order)
    action = order.action
    if isinstance(action, ClaimTarget):
        _claimed_target(draft, draft.target(action.target), action.sent, outcome)
    elif isinstance(action, ClaimHelper):
        _claimed_helper(draft, draft.helper(action.node), outcome)
    else:
        _attempt_result(draft, order, outcome)
    if isinstance(action, Publish):
        record = draft.target(action.target)
        done = outcome.result is Result.DONE
        draft.put_target(
            replace(
                record,
                published=action.rrsets if done else record.published,
                sent=record.sent.arrived(order.token) if done else record.sent,
                at=outcome.at if done else record.at,
                detail="" if done else outcome.detail[: bounds.DETAIL],
                kept=() if done else record.kept,
                begun=record.begun if outcome.result is Result.UNKNOWN else None,
            )
        )
        _watch_for_foreign(draft, action.target, outcome)
        if outcome.result is Result.STALE:  # somebody else wrote: claim anew, or find out who leads
            draft.put_target(replace(draft.target(action.target), claim=None, claimed=None, kept=()))
    elif isinstance(action, PowerOff):
        power = draft.power_of(action.node)
        if power is not None:
            off = outcome.fence or FenceOutcome.UNKNOWN
            at = outcome.at if off is FenceOutcome.CONFIRMED else power.at
            draft.put_power(replace(power, off=off, at=at, detail=outcome.detail[: bounds.DETAIL]))
        if outcome.fence is FenceOutcome.CONFIRMED and draft.state.operation is not None:
            draft.note(f"{action.node} was switched off, read back off")
    elif isinstance(action, OrderPorts):
        if outcome.result is Result.DONE:
            helper = draft.helper(action.node)
            sent, verified = helper.sent.arrived(order.token), helper.verified or bool(action.terms.hook)
            draft.put_helper(replace(helper, claim=None, claimed=order.token, sent=sent, verified=verified))
        ports = draft.ports_of(action.node)
        if ports is not None and _ordered_last(ports, order) and not stays_closed(ports, action):
            if outcome.result is Result.DONE and opens(action.ports):
                ports = replace(ports, lease_s=action.terms.lease_s, opened=outcome.at, late_s=0.0)
            draft.put_ports(
                replace(
                    ports,
                    fence=outcome.fence or FenceOutcome.UNKNOWN,
                    scope=outcome.scope,
                    at=outcome.at,
                    detail=outcome.detail[: bounds.DETAIL],
                )
            )


def _ordered_last(ports: PortsRecord, order: Order) -> bool:
    """Whether nothing has been ordered there by another way since."""
    return ports.token == order.token


def _attempt_result(draft: Draft, order: Order, outcome: Outcome) -> None:
    """Orders of a step that is over are forgotten with it: what is still out serves the running one."""
    attempt = draft.attempt(key_of(order.action))
    if attempt is not None:
        draft.put_attempt(replace(attempt, result=outcome.result, detail=outcome.detail[: bounds.DETAIL]))


def _claimed_target(draft: Draft, record: TargetRecord, sent: Sent, outcome: Outcome) -> None:
    if outcome.result is Result.DONE:
        record = replace(record, claimed=outcome.token, sent=record.sent.arrived(outcome.token))
    elif not outcome.sent and record.sent.newest == outcome.token:
        record = replace(record, sent=sent)  # nothing may be explained by it
    begun = record.begun if outcome.result is Result.UNKNOWN else None
    draft.put_target(replace(record, claim=_result(record.claim, outcome), begun=begun))
    _watch_for_foreign(draft, record.target, outcome)


def _claimed_helper(draft: Draft, record: HelperRecord, outcome: Outcome) -> None:
    if outcome.result is Result.DONE:
        record = replace(record, claimed=outcome.token, sent=record.sent.arrived(outcome.token))
    if outcome.result in (Result.STALE, Result.FOREIGN):
        draft.notices.append(f"mailward-node on {record.node} obeys another controller: {outcome.detail}")
    draft.put_helper(replace(record, claim=_result(record.claim, outcome)))


def _result(attempt: Attempt | None, outcome: Outcome) -> Attempt | None:
    if attempt is None:
        return None
    return replace(attempt, result=outcome.result, detail=outcome.detail[: bounds.DETAIL])


def _watch_for_foreign(draft: Draft, target: str, outcome: Outcome) -> None:
    """I14: a foreign store-id means no action, and a human. (A higher token of our own store only holds
    us, with this process alive: each restart would raise the epoch until it won.)"""
    if outcome.result is Result.FOREIGN:
        draft.fatal = (
            f"DNS target {target} belongs to another store ({outcome.detail}); ours is "
            f"{draft.state.store_id}. Nothing is done. Two controllers on one zone need two cluster names; "
            "if the other is gone for good: mailward state init --adopt STORE-ID"
        )
