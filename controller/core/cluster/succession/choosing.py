"""Who is to be promoted, as things are now, or why nobody is."""

from dataclasses import replace

from mailward.controller.core.cluster import candidates, ladder
from mailward.controller.core.cluster.succession import course
from mailward.controller.core.draft import Draft
from mailward.model.state import Kind


def choose(draft: Draft, *, at_last: bool = False) -> str:
    """Settle who is to be promoted, as things are now; why nobody is, '' if somebody is. After
    `step_patience_s` without anybody it is forgotten who has failed, and they may be tried again."""
    operation = draft.running()
    field = field_now(draft, at_last=at_last)
    fit, asked = fit_of(draft, field), course.asked(operation)
    chosen = operation.to if asked and operation.to in fit else fit[0] if fit and not asked else ""
    if chosen != operation.to and not (asked and not chosen):
        draft.state = replace(draft.state, operation=replace(operation, to=chosen))
    if chosen:
        return ""
    if operation.failed and operation.node and course.impatient(draft):
        # a person who named one wants nobody else
        failed = course.all_but(draft, operation.node) if operation.kind is Kind.SWITCHOVER else ()
        again = replace(draft.running(), failed=failed, step_since=draft.now)
        draft.state = replace(draft.state, operation=again)
    return _nobody(draft, field)


def _nobody(draft: Draft, field: candidates.Field) -> str:
    """Why nobody can take over, and what a person may accept."""
    operation = draft.running()
    why = {name: why for name, (why, _) in field.unfit.items()}
    if operation.kind is Kind.SWITCHOVER:
        name = operation.to if course.asked(operation) else operation.node
        return f"{name} cannot be promoted: {name} {why.get(name, 'is not known to be stopped')}"
    names = [name for name in why if name != operation.node]
    if not operation.node:
        names = [name for name in names if name not in operation.failed] or names
    held = f"nobody can take over: {'; '.join(f'{n} {why[n]}' for n in names) or 'there is no other node'}"
    if not (field.loses and operation.node):
        return held
    if accepts := operation.accepts:
        held += f". Accepted was {accepts.node} without {candidates.amount(accepts.seconds)}"
    most = next(iter(field.loses))
    return f"{held}. To promote {most} all the same: mailward failover {operation.node} --force"


def field_now(draft: Draft, *, at_last: bool = False) -> candidates.Field:
    operation = draft.running()
    return candidates.field(draft.situation, operation.node, operation, at_last=at_last)


def fit_of(draft: Draft, field: candidates.Field) -> list[str]:
    return [name for name in field.fit if name != draft.running().node or _may_reopen(draft)]


def may_pass(draft: Draft) -> bool:
    """Whether the one asked for is held by what is merely not known, and not for long."""
    _, known = field_now(draft).unfit.get(draft.running().to, ("", True))
    return not known and not course.impatient(draft)


def _may_reopen(draft: Draft) -> bool:
    """The source is opened again only where it was stopped for certain."""
    return bool(ladder.stopped(draft.situation, draft.running().node))
