"""A decision costs the same per node however many nodes there are.

Counted in instructions of the interpreter, not in time: the count is the same on every machine. Four
times the nodes are at most four times the instructions, and a little for what is not the same for all.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from tests.unit.core.crowd import crowd, settled

from mailward.controller.core.decide import decide
from mailward.model.decision import Decision
from mailward.model.orders import Outcome, Result
from mailward.model.snapshot import Snapshot, Standing
from mailward.model.state import Cause, Phase, RequestKind

FEW, MANY = 50, 200
LIMIT = 1.05 * MANY / FEW


def empty(size: int) -> Snapshot:
    """The first decision ever: every (node, endpoint) is new, every helper to be claimed."""
    return crowd(size).snapshot()


def claimed(size: int) -> Snapshot:
    """Every claim has its outcome."""
    scene = crowd(size)
    scene.answers["claim-target"] = scene.answers["claim-helper"] = None
    sent = scene.step().send
    assert len(sent) == size + 1
    return replace(scene.snapshot(), outcomes=tuple(Outcome(o.token, Result.DONE, scene.now) for o in sent))


def steady(size: int) -> Snapshot:
    return settled(size).snapshot()


def failed(size: int) -> Snapshot:
    scene = settled(size)
    for node in scene.policy.nodes[:10]:
        scene.down(node.name, for_s=5)
    return scene.snapshot()


def everything_down(size: int) -> Snapshot:
    scene = settled(size)
    for node in scene.policy.nodes:
        scene.gone(node.name, for_s=5)
    return scene.snapshot()


def nothing_known(size: int) -> Snapshot:
    scene = settled(size)
    for node in scene.policy.nodes:
        scene.unknown(node.name)
    return scene.snapshot()


def observing(size: int) -> Snapshot:
    """Ten have failed, and this controller only watches."""
    return replace(failed(size), standing=Standing.OBSERVING_ONLY)


def out(size: int) -> Snapshot:
    scene = settled(size)
    for node, endpoint in list(scene.policy.pairs)[:20]:
        scene.put_phase(node, Phase.OUT, Cause.SERVICE, endpoint)
    return scene.snapshot()


def catching_up(size: int) -> Snapshot:
    """One comes back, and every node has been told to replicate anew, and has done so."""
    scene = settled(size)
    known = dict(scene.lags)
    for source, target in known:
        scene.lag(source, target, 0, failed=1)
    for kind in (RequestKind.FAILOVER, RequestKind.READMIT):
        scene.ask(kind, scene.policy.nodes[0].name)
        scene.answers["kick-replication"] = None
        scene.settle()
    out = tuple(Outcome(o.token, Result.DONE, scene.now) for o in scene.state.orders)
    assert len(out) == size
    scene.lags.update(known)
    return replace(scene.snapshot(), outcomes=out)


def instructions(work: Callable[[Snapshot], object], snapshot: Snapshot) -> int:
    """How many instructions the interpreter carries out for a snapshot whose state was newly read."""
    count = 0

    def carried_out(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return carried_out

    read = replace(snapshot, state=replace(snapshot.state))
    before = sys.gettrace()
    sys.settrace(carried_out)
    try:
        work(read)
    finally:
        sys.settrace(before)
    return count


def explained(snapshot: Snapshot) -> Decision:
    decision = decide(snapshot)
    assert len(list(decision.explanations)) == 2 * len(snapshot.policy.nodes)
    return decision


SNAPSHOTS = (
    empty, claimed, steady, failed, everything_down, nothing_known, observing, out, catching_up,
)  # fmt: skip


@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda f: str(f.__name__))
def test_four_times_the_nodes_are_four_times_the_work(snapshot: Callable[[int], Snapshot]) -> None:
    few, many = snapshot(FEW), snapshot(MANY)
    for work in (decide, explained):
        assert work(few).broken == work(many).broken == ()
        assert instructions(work, many) <= LIMIT * instructions(work, few)


def test_what_is_decided_stays_readable_when_nobody_can_take_over() -> None:
    finding = next(
        f for f in explained(everything_down(FEW)).explanations[0].findings if f.gate == "successor"
    )
    assert finding.reason.count("is unreachable") == 10
    assert finding.reason.endswith("; and 39 more")
