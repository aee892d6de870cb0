"""Which lines may be cut between two sites, a witness and the store: what it looks like, and what is done.

A table. Each pattern is played in a world that was well; what must be seen is asked of who leads, and what
may be done of the zone. Then the lines are whole again, and everything must be as before.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import pytest
from tests.simulation.clusters import ENDPOINT
from tests.simulation.watched import leader, play

from mailward.controller.core.reachability import reachability
from mailward.model.clock import Moment
from mailward.model.decision import Condition
from mailward.model.health import Verdict
from mailward.model.report import NodeReport
from mailward.simulator import faults
from mailward.simulator.nodes import Work
from mailward.simulator.observer import SimObserver
from mailward.simulator.world import ENSEMBLE, World

LASTS_S, HEALS_S = 60.0, 240.0
A, B, W, TARGET = "mail-a", "mail-b", "witness", "primary"


@dataclass(frozen=True)
class Pattern:
    """`made` cuts, and returns what mends. `out` leaves the zone, `conditions` (None: any but healthy) and
    `cuts` are what the leader sees then; `leads` is who may lead."""

    made: Callable[[World], Callable[[], None]]
    cuts: tuple[str, ...] = ()
    out: tuple[str, ...] = ()
    conditions: dict[str, Condition | None] = field(default_factory=dict)
    leads: tuple[str, ...] = (A, B, W)


def lines(one: str, *others: str, both: bool = True) -> Callable[[World], Callable[[], None]]:
    return lambda world: faults.cut(world, one, others, both=both)


def all_of(*made: Callable[[World], Callable[[], None]]) -> Callable[[World], Callable[[], None]]:
    return lambda world: faults.together([each(world) for each in made])


def crash_of_a(world: World) -> Callable[[], None]:
    return faults.services_fail(world, A, Work.CRASHED)


def liar(name: str) -> Callable[[World], Callable[[], None]]:
    """From now on this observer reports that everything answers."""

    def made(_world: World) -> Callable[[], None]:
        honest = SimObserver._node_report

        def report(observer: SimObserver, node: str, now: Moment) -> NodeReport:
            said = honest(observer, node, now)
            up = tuple(replace(each, verdict=Verdict.UP, symptom_age_s=None) for each in said.services)
            return replace(said, services=up) if observer.name == name else said

        patched = patch.object(SimObserver, "_node_report", report)
        patched.start()
        return patched.stop

    return made


NAMESERVERS = (f"{TARGET}-ns1", f"{TARGET}-ns2")
EVERYBODY = (A, B, W, ENSEMBLE, "clients", *NAMESERVERS)
APART = "site-a and site-b do not reach each other; others reach both"
ONLY_WITHIN = "mail-a is reached from within site-a only: site-a is cut off, but not from the store"


def gone(node: str) -> str:
    return f"nobody reaches {node}, and {node} beside it is silent: the host is down, or its site cut off"


def silent(name: str) -> str:
    return f"{name} is silent, and {name} beside it is reached: it ended, hangs, or is cut off from the store"


def unreached(name: str, node: str) -> str:
    return f"{name} does not reach {node}; others do"


BLIND = (unreached(W, A), unreached(W, B))

PATTERNS: dict[str, Pattern] = {
    "A and B, both reach the witness": Pattern(lines(A, B), (APART,)),
    "from A to B one way": Pattern(lines(A, B, both=False), (APART,)),
    "from B to A one way": Pattern(lines(B, A, both=False), (APART,)),
    "A and the store": Pattern(lines(A, ENSEMBLE), (silent(A),), leads=(B, W)),
    "from A to the store one way": Pattern(lines(A, ENSEMBLE, both=False), (silent(A),), leads=(B, W)),
    "from the store to A one way": Pattern(
        lines(ENSEMBLE, A, both=False), leads=(B, W)
    ),
    "A and the witness": Pattern(lines(A, W), (unreached(W, A),)),
    "B and the witness": Pattern(lines(B, W), (unreached(W, B),)),
    "the witness and both: it is blind": Pattern(
        lines(W, A, B), BLIND, leads=(A, B)
    ),
    "the witness and the store": Pattern(lines(W, ENSEMBLE), leads=(A, B)),
    "the witness and everything": Pattern(lines(W, *(n for n in EVERYBODY if n != W)), leads=(A, B)),
    "the whole site of A": Pattern(
        lines(A, *(n for n in EVERYBODY if n != A)), (gone(A),), (A,), {A: Condition.UNREACHABLE}, (B, W)
    ),
    "the whole site of B": Pattern(
        lines(B, *(n for n in EVERYBODY if n != B)),
        (gone(B),),
        (B,), {B: Condition.UNREACHABLE}, (A, W),
    ),
    "nothing leaves A": Pattern(
        lines(A, *(n for n in EVERYBODY if n != A), both=False),
        (gone(A),), (A,), {A: Condition.UNREACHABLE}, (B, W),
    ),
    "A and everybody but the store": Pattern(
        lines(A, B, W, "clients"), (ONLY_WITHIN,), (A,), {A: None}
    ),
    "A and B, and both from the store": Pattern(
        all_of(lines(A, B, ENSEMBLE), lines(B, ENSEMBLE)), (silent(A), silent(B)), (),
        {A: Condition.UNKNOWN, B: Condition.UNKNOWN}, (W,),
    ),
    "all and the store": Pattern(lines(ENSEMBLE, A, B, W), leads=()),
    "all and the name servers": Pattern(all_of(*(lines(name, A, B, W) for name in NAMESERVERS))),
    "A crashes while the witness is blind": Pattern(
        all_of(crash_of_a, lines(W, A, B)),
        BLIND,
        (A,), {A: Condition.FAILED}, (A, B),
    ),
    "A crashes and the witness lies": Pattern(
        all_of(crash_of_a, liar(W)), (), (A,), {A: Condition.FAILED}
    ),
    "the witness lies that all is well, and B is cut off": Pattern(
        all_of(lines(B, *(n for n in EVERYBODY if n != B)), liar(W)),
        (unreached(A, B), silent(B)), (), {B: Condition.UNKNOWN}, (A, W),
    ),
    "A crashes while the store is out of everybody's reach": Pattern(
        all_of(crash_of_a, lines(ENSEMBLE, A, B, W)), leads=()
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("seed", range(2))
def test_a_cut_is_recognized_and_nothing_but_what_is_right_is_done(name: str, seed: int) -> None:
    pattern = PATTERNS[name]

    async def story(world: World) -> None:
        before = world.ensemble.epoch
        mend = pattern.made(world)
        try:
            await asyncio.sleep(LASTS_S)
            assert set(world.published(TARGET, ENDPOINT)) == {A, B} - set(pattern.out)
            assert_seen(pattern, world)
            assert world.ensemble.epoch <= before + 1, "the lead goes to and fro"
        finally:
            mend()
        await asyncio.sleep(HEALS_S)
        assert set(world.published(TARGET, ENDPOINT)) == {A, B}
        assert world.settled() == ""

    play(story, seed=seed)


def test_a_leader_that_reaches_no_node_leaves_the_lead_to_one_that_does() -> None:
    async def story(world: World) -> None:
        while leader(world).name != W:
            mend = lines(leader(world).name, ENSEMBLE)(world)
            await asyncio.sleep(LASTS_S)
            mend()
        before = world.ensemble.epoch
        mend = lines(W, A, B)(world)
        await asyncio.sleep(LASTS_S)
        assert leader(world).name in (A, B)
        assert world.ensemble.epoch == before + 1
        mend()
        await asyncio.sleep(LASTS_S)
        assert world.ensemble.epoch == before + 1, "whoever leads, leads on"

    play(story, seed=0)


def assert_seen(pattern: Pattern, world: World) -> None:
    """By who leads."""
    assert (world.ensemble.leader is None) == (not pattern.leads)
    if not pattern.leads:
        return
    assert leader(world).name in pattern.leads
    loop = world.controllers[leader(world).name].loop
    assert loop is not None
    assert loop.snapshot is not None
    assert loop.decision is not None
    assert reachability(loop.snapshot).cuts == pattern.cuts
    for each in loop.decision.explanations:
        expected = pattern.conditions.get(each.node, Condition.HEALTHY)
        assert each.condition is expected or (expected is None and each.condition is not Condition.HEALTHY)
