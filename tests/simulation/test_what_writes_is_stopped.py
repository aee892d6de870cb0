"""Where nodes share a store (`fence_scope: writes`), in the simulated world: before another is promoted what
writes mail is stopped as well."""

import asyncio
from dataclasses import replace

import pytest
from tests.simulation.clusters import ENDPOINT, one_serves_one_stands_by, without_a_switch
from tests.simulation.watched import play

from mailward.model.fencing import OPEN, HelperReply, Scope, Terms
from mailward.model.policy import Policy
from mailward.model.state import Phase, RequestKind
from mailward.model.token import Token
from mailward.simulator import faults, run
from mailward.simulator.nodes import Work
from mailward.simulator.world import STORE_ID, World

A, B = "mail-a", "mail-b"


def sharing(policy: Policy) -> Policy:
    return replace(policy, rules=replace(policy.rules, fence_scope=Scope.WRITES))


def serves(world: World, node: str) -> bool:
    record = world.state.phase_of(node, ENDPOINT)
    return record is not None and record.phase is Phase.IN_SERVICE


def stopped(world: World) -> list[bool | None]:
    return [world.nodes[name].facts().stopped for name in (A, B)]


def test_who_fails_writes_no_more_when_another_is_opened() -> None:
    async def story(world: World) -> None:
        assert stopped(world) == [None, True]
        faults.services_fail(world, A, Work.CRASHED)
        while not world.nodes[B].opens:
            assert world.now_s < 600
            await asyncio.sleep(0.1)
        ports = world.state.ports_of(A)
        assert ports is not None
        assert (stopped(world), ports.scope) == ([True, None], Scope.WRITES)

    play(story, policy=sharing(without_a_switch()))


def test_a_switchover_stops_it_on_one_and_starts_it_on_the_other() -> None:
    async def story(world: World) -> None:
        world.ask(RequestKind.SWITCHOVER, B)
        await asyncio.sleep(60)
        assert serves(world, B)
        assert stopped(world) == [True, None]

    play(story, policy=sharing(without_a_switch()))


def test_it_is_stopped_only_where_every_port_is_closed() -> None:
    async def story(world: World) -> None:
        helper, now_s = world.nodes[A].helper, world.now_s
        ports, token = dict.fromkeys(helper.ports, OPEN), Token(STORE_ID, 9, 9)
        answer = helper.obey(token, now_s, ports, now_s, Terms(stop=True))
        assert (answer.reply, helper.stopped) == (HelperReply.REFUSED, None)

    play(story, policy=sharing(without_a_switch()))


@pytest.mark.parametrize("seed", range(2))
def test_a_run_by_chance_breaks_no_rule(seed: int) -> None:
    outcome = run.play(sharing(one_serves_one_stands_by()), seed, 0.15)
    assert outcome.violations == ()
    assert outcome.operations
