"""Marks: when each part of an operation began, so that what an outage cost can be told by its parts.

What preceded a failover is there as well: `DETECT` from the first failed probe to the verdict that enough
observers agree on, `AGREE` from that to the first step. Nothing is decided by them.
"""

from mailward.controller.core import bounds
from mailward.controller.core.sight import Sight
from mailward.model.clock import Moment
from mailward.model.health import Verdict
from mailward.model.state import Cause, Kind, Mark, Operation, Step

DETECT, AGREE = "detect", "agree"


def begun(operation: Operation, sight: Sight) -> tuple[Mark, ...]:
    """Of an operation that starts now."""
    first = Mark(operation.step.value, 0.0)
    if operation.kind is not Kind.FAILOVER or operation.cause is Cause.OPERATOR:
        return (first,)
    ages = [_ages_s(sight, operation.node, service) for service in _down(sight, operation.node)]
    if not ages:
        return (first,)
    failed_s, agreed_s = max(failed for failed, _ in ages), max(agreed for _, agreed in ages)
    before = (Mark(DETECT, -round(max(failed_s, agreed_s), 3)), Mark(AGREE, -round(agreed_s, 3)))
    return (*before, first)


def entered(operation: Operation, step: Step, now: Moment) -> tuple[Mark, ...]:
    """Of one that goes to `step`. When it has gone back and forth for long, the newest takes the place of the
    one before."""
    mark = Mark(step.value, round(operation.started.age_s(now), 3))
    return (*operation.marks[: bounds.MARKS - 1], mark)


def _down(sight: Sight, node: str) -> list[str]:
    view = sight.nodes.get(node)
    services = view.services.values() if view is not None else ()
    return [service.service for service in services if service.verdict is Verdict.DOWN]


def _ages_s(sight: Sight, node: str, service: str) -> tuple[float, float]:
    """How long ago a service first failed a probe, and how long ago enough observers said that it is down."""
    said = [
        (view.age_s + each.verdict_age_s, view.age_s + (each.symptom_age_s or 0.0), view.votes)
        for view in sight.voters
        for report in (view.report.nodes if view.report else ())
        for each in report.services
        if report.node == node and each.service == service and each.verdict is Verdict.DOWN
    ]
    votes, agreed_s = 0, 0.0
    for verdict_age_s, _, weight in sorted(said, reverse=True):
        votes, agreed_s = votes + weight, verdict_age_s
        if votes >= sight.needed:
            break
    return max((failed_s for _, failed_s, _ in said), default=0.0), agreed_s
