"""Who reaches whom, and what it looks like: a line that is cut, a site, or a node that is gone. Pure.

Verdicts come by votes (`sight`). It names for people what lies behind them; and who reaches nothing does not
lead (`leadership`). A line that carries packets one way only looks like one that carries none: dialogues need
both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mailward.controller.core.conditions import cut_off
from mailward.controller.core.sight import NodeView, ServiceView, seen_by, trusted
from mailward.model.health import Vantage, Verdict
from mailward.model.policy import Node
from mailward.model.snapshot import Snapshot


class Reach(StrEnum):
    """Of an observer to a node."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


Matrix = Mapping[str, Mapping[str, Reach]]


@dataclass(frozen=True, slots=True)
class Reachability:
    """`matrix` by observer and node, of those observers that count; `cuts` are sentences."""

    matrix: Matrix
    cuts: tuple[str, ...]


def reachability(snapshot: Snapshot) -> Reachability:
    policy = snapshot.policy
    voters, _ = trusted(snapshot)
    counted = {view.name for view in voters}
    matrix = {name: reached_by(snapshot, name) for name in _names(snapshot) if name in counted}
    too_few = sum(view.votes for view in voters) < policy.votes_needed
    if too_few and (lost := _lost_to_somebody(snapshot, matrix)):
        who = " and ".join(matrix)
        told = f"{who} alone is heard of, and does not reach {' and '.join(lost)}: it may itself be cut off"
        return Reachability(matrix, (told,))
    found = [_of_node(snapshot, node, matrix) for node in policy.nodes]
    found += [_of_observer(snapshot, name, matrix) for name in _silent(snapshot)]
    return Reachability(matrix, tuple(dict.fromkeys(filter(None, found))))


def reached_by(snapshot: Snapshot, observer: str) -> Mapping[str, Reach]:
    """What one observer reaches, by node, by its word alone."""
    return {view.node: _reach(view) for view in seen_by(snapshot, observer)}


def reaches_none(snapshot: Snapshot, observer: str) -> bool:
    """Whether it reaches no node, by its word alone; nothing more is looked at than it takes."""
    return bool(snapshot.policy.nodes) and all(
        _reach(view) is Reach.NO for view in seen_by(snapshot, observer)
    )


def _names(snapshot: Snapshot) -> list[str]:
    return [observer.name for observer in snapshot.policy.observers]


def _lost_to_somebody(snapshot: Snapshot, matrix: Matrix) -> list[str]:
    names = [node.name for node in snapshot.policy.nodes]
    return [name for name in names if any(row[name] is Reach.NO for row in matrix.values())]


def _reach(view: NodeView) -> Reach:
    """Behind closed ports only the helper is asked."""
    services = view.services.values()
    if view.facts is not None or any(map(_heard, services)):
        return Reach.YES
    behind = all(service.vantage is Vantage.HELPER for service in services)
    return Reach.NO if behind or cut_off(view) else Reach.UNKNOWN


def _heard(service: ServiceView) -> bool:
    return service.verdict is Verdict.UP or (service.verdict is Verdict.DOWN and not service.cut_off)


def _of_node(snapshot: Snapshot, node: Node, matrix: Matrix) -> str:
    """Who does not reach it, while others do; '' where there is nothing to tell."""
    sites = {observer.name: observer.site for observer in snapshot.policy.observers}
    reaches = [name for name, row in matrix.items() if row[node.name] is Reach.YES]
    lost = [name for name, row in matrix.items() if row[node.name] is Reach.NO]
    if not lost:
        return ""
    if not reaches:
        silent = [name for name in _silent(snapshot) if sites[name] == node.site]
        beside = f", and {' and '.join(silent)} beside it is silent" if silent else ""
        why = ": the host is down, or its site cut off" if silent else ""
        return f"nobody reaches {node.name}{beside}{why}"
    if _only_within(node, matrix, sites):
        within = f"{node.name} is reached from within {node.site} only"
        return f"{within}: {node.site} is cut off, but not from the store"
    apart = {each.site for each in snapshot.policy.nodes if _only_within(each, matrix, sites)}
    return "; ".join(_between(snapshot, name, node, matrix) for name in lost if sites[name] not in apart)


def _only_within(node: Node, matrix: Matrix, sites: Mapping[str, str]) -> bool:
    """Whether those of its own site reach it and nobody else does, of at least one who could."""
    reaches = [name for name, row in matrix.items() if row[node.name] is Reach.YES]
    lost = [name for name, row in matrix.items() if row[node.name] is Reach.NO]
    return bool(reaches and lost) and all(sites[name] == node.site for name in reaches)


def _between(snapshot: Snapshot, name: str, node: Node, matrix: Matrix) -> str:
    """One who does not reach a node that others reach."""
    site = next(o.site for o in snapshot.policy.observers if o.name == name)
    there = [o.name for o in snapshot.policy.observers if o.site == node.site and o.name in matrix]
    here = [each.name for each in snapshot.policy.nodes if each.site == site]
    back = [matrix[observer][each] for observer in there for each in here]
    if back and all(each is Reach.NO for each in back):
        return f"{' and '.join(sorted((site, node.site)))} do not reach each other; others reach both"
    return f"{name} does not reach {node.name}; others do"


def _silent(snapshot: Snapshot) -> list[str]:
    voters, _ = trusted(snapshot)
    views = {view.name: view for view in snapshot.observers}
    heard = {view.name for view in voters}
    fresh_s = snapshot.policy.rules.report_fresh_s
    return [
        observer.name
        for observer in snapshot.policy.observers
        if observer.name not in heard
        and (views.get(observer.name) is None or views[observer.name].age_s > fresh_s)
    ]


def _of_observer(snapshot: Snapshot, name: str, matrix: Matrix) -> str:
    """A silent one, whose host answers the others."""
    site = next(o.site for o in snapshot.policy.observers if o.name == name)
    beside = [n.name for n in snapshot.policy.nodes if n.site == site]
    if beside and any(row[node] is Reach.YES for row in matrix.values() for node in beside):
        where = f"{' and '.join(beside)} beside it is reached"
        return f"{name} is silent, and {where}: it ended, hangs, or is cut off from the store"
    return ""
