"""A cluster at three sites whose active node crashes, hangs, is lost or cut off, ten times each, under load,
and as many switchovers: how long it takes, part by part, and what mail the new one did not have then.

Nothing is judged but what a figure is worthless without: that both never served at once, nor the old one
again, and that no accepted message was lost in the end."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.figures import Figure, figure
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.moving import FAULTS, PARTS, Moved, fail_over, switch_over
from tests.lab.harness.sites import Sites

RUNS = 10


def cluster_failovers() -> Sequence[Figure]:
    figures: list[Figure] = []
    with Cluster("bench-cluster") as cluster, Sites(cluster) as sites:
        for fault in FAULTS:
            moves = _times(cluster, partial(fail_over, sites, fault))
            figures += _figures(f"cluster-{fault.name}", moves)
    return figures


def cluster_switchovers() -> Sequence[Figure]:
    with Cluster("bench-switchovers") as cluster, Sites(cluster) as sites:
        return _figures("cluster-switchover", _times(cluster, partial(switch_over, sites)))


def _times(cluster: Cluster, move: Callable[[str], Moved]) -> list[Moved]:
    moves = []
    for run in range(RUNS):
        moved = move(f"run-{secrets.token_hex(3)}-{run}")
        print(f"  {moved}", flush=True)
        again = moved.last_s > moved.first_s
        if moved.at_once or again or not moved.report.is_clean:
            cluster.collect_logs()
            wrong = f"{moved.at_once} {f'{moved.old} greeted again' if again else ''} {moved.report}"
            raise RuntimeError(f"what was measured is not what was meant: {wrong}; logs: {cluster.folder}")
        moves.append(moved)
    return moves


def _figures(name: str, moves: Sequence[Moved]) -> list[Figure]:
    """`old-to-new` is the margin between the last greeting of one and the first of the other."""
    of: tuple[tuple[str, str, Callable[[Moved], float], str], ...] = (
        ("to-first-greeting", "s", lambda each: each.first_s, "from the fault, or the asking"),
        ("to-answer", "s", lambda each: each.named_s, "to the answer of every name server"),
        ("nobody-greets", "s", lambda each: each.silent_s, "the longest time without a greeting"),
        ("nothing-accepted", "s", lambda each: each.outage_s, "the longest time without an accepted message"),
        ("old-to-new", "s", lambda each: each.first_s - each.last_s, "old one's last to new one's first"),
        ("missing-then", "messages", lambda each: len(each.missing), "accepted, and not yet at the new one"),
        ("moves", "count", lambda each: len(each.ended), "operations that moved service, for one fault"),
    )
    found = [figure(f"{name}-{what}", unit, list(map(value, moves)), note) for what, unit, value, note in of]
    for part in PARTS:
        took = [marks[part] for marks in (each.marks() for each in moves) if part in marks]
        found += [figure(f"{name}-part-{part}", "s", took, "by the operation's marks")] if took else []
    return found
