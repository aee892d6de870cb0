"""How long one decision takes, by the number of nodes and by what there is to decide.

Processor time, which for a decision is all there is: it waits for nothing. Nobody asks for the
explanations of most decisions; what making all of them takes is measured apart.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.bench.figures import Figure, figure
from tests.unit.core.crowd import crowd, settled
from tests.unit.core.scene import Scene

from mailward.controller.core.decide import decide
from mailward.model.snapshot import Snapshot

SIZES = (2, 10, 100, 1000)
ROUNDS = 30
FAILED = 10


def decide_speed() -> Sequence[Figure]:
    figures = []
    for name, scene_of, work in (
        ("decide-empty", crowd, decide),
        ("decide-steady", settled, decide),
        ("decide-failed", _failed, decide),
        ("decide-explained", settled, _explained),
    ):
        by_size = {size: _times(scene_of(size).snapshot(), work) for size in SIZES}
        figures += [figure(f"{name}-{size}-nodes", "ms", times) for size, times in by_size.items()]
        figures.append(figure(f"{name}-per-node-1000-to-100", "ratio", _ratios(by_size[100], by_size[1000])))
    return figures


def _failed(size: int) -> Scene:
    """Up to ten nodes have just failed, never all of them."""
    scene = settled(size)
    for node in scene.policy.nodes[: min(FAILED, size // 2)]:
        scene.down(node.name, for_s=5)
    return scene


def _explained(snapshot: Snapshot) -> int:
    return len(tuple(decide(snapshot).explanations))


def _times(snapshot: Snapshot, work: Callable[[Snapshot], object]) -> list[float]:
    """Milliseconds, each with a state as newly read: its indexes are to be made as well."""
    times = []
    for _ in range(ROUNDS):
        read = replace(snapshot, state=replace(snapshot.state))
        began = time.process_time()
        work(read)
        times.append(1000 * (time.process_time() - began))
    return times


def _ratios(hundred: list[float], thousand: list[float]) -> list[float]:
    """Time per node with 1000 against that with 100: about 1 if a decision is linear."""
    return [many / few / 10 for few, many in zip(sorted(hundred), sorted(thousand), strict=True)]
