"""What the daemon's log says of a recorded decision: phases, operations, steps, outcomes. Pure.

Told when the state is recorded, not when it is decided: the log never names what did not happen.
"""

from collections.abc import Iterator

from mailward.model.fencing import FenceOutcome
from mailward.model.orders import Result
from mailward.model.state import Operation, State


def told(before: State, after: State) -> tuple[str, ...]:
    """One sentence for each thing that changed from `before` to `after`."""
    return (
        *_epoch(before, after),
        *_phases(before, after),
        *_operation(before, after),
        *_ports(before, after),
        *_power(before, after),
        *_requests(before, after),
    )


def _epoch(before: State, after: State) -> Iterator[str]:
    if before.epoch != after.epoch:
        yield f"leading with epoch {after.epoch} of store {after.store_id}"
    for target in after.targets:
        if target.claimed != before.target(target.target).claimed:
            if target.claimed is None:
                yield f"lost the claim on DNS target {target.target}"
            else:
                yield f"claimed DNS target {target.target} with {target.claimed}"
    for helper in after.helpers:
        if helper.claimed != before.helper(helper.node).claimed:
            yield f"claimed the helper of {helper.node} with {helper.claimed}"


def _phases(before: State, after: State) -> Iterator[str]:
    for record in after.phases:
        old = before.phase_of(record.node, record.endpoint)
        if old is None or old.phase is not record.phase:
            why = f": {record.cause} ({record.detail})" if record.detail else ""
            yield f"{record.node} is {record.phase} for {record.endpoint}{why}"


def _operation(before: State, after: State) -> Iterator[str]:
    known = [ended.operation.id for ended in before.ended]
    for ended in after.ended:
        if ended.operation.id not in known:
            told = f": {ended.detail}" if ended.detail else ""
            yield f"{_name(ended.operation)} {ended.ending} at step {ended.operation.step}{told}"
    now, old = after.operation, before.operation
    if now is None:
        return
    if old is None or old.id != now.id:
        row = f" (row {now.row})" if now.row else ""
        yield f"{_name(now)} started{row}: {now.reason}"
    if old is None or (old.id, old.step) != (now.id, now.step):
        yield f"{_name(now)}: step {now.step}"
    for attempt in now.attempts:
        earlier = old.attempt(attempt.key) if old and (old.id, old.step) == (now.id, now.step) else None
        if attempt.result is not None and attempt != earlier and attempt.result is not Result.DONE:
            yield f"{_name(now)}: {attempt.key} {attempt.result}: {attempt.detail}"


def _name(operation: Operation) -> str:
    return f"{operation.kind} {operation.id} of {operation.node or 'DNS'}"


def _ports(before: State, after: State) -> Iterator[str]:
    for record in after.ports:
        old = before.ports_of(record.node)
        if record.fence is FenceOutcome.UNKNOWN and not record.detail:
            continue  # ordered, not answered yet
        if old is None or (old.token, old.fence, old.detail) != (record.token, record.fence, record.detail):
            ports = ", ".join(f"{name} {state}" for name, state in sorted(record.ports.items()))
            yield f"client ports of {record.node} {record.fence}: {ports} ({record.detail})"


def _power(before: State, after: State) -> Iterator[str]:
    for record in after.power:
        if record.off is FenceOutcome.UNKNOWN and not record.detail:
            continue  # ordered, not answered yet
        old = before.power_of(record.node)
        if old is None or (old.token, old.off, old.detail) != (record.token, record.off, record.detail):
            off = record.off is FenceOutcome.CONFIRMED
            said = "was switched off, read back off" if off else f"is not known to be off, {record.off}"
            yield f"{record.node} {said} ({record.detail})"
    for old in before.power:
        if old.off is FenceOutcome.CONFIRMED and after.power_of(old.node) is None:
            yield f"{old.node} does not count as switched off any more"


def _requests(before: State, after: State) -> Iterator[str]:
    known = [answer.request for answer in before.answers]
    for answer in after.answers:
        if answer.request not in known:
            yield f"request {answer.request} {'accepted' if answer.accepted else 'refused'}: {answer.detail}"
