"""The whole loop on virtual time: what leaves, what comes back, and what nothing happens to."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from tests.simulation import virtual
from tests.simulation.world import ENDPOINT, World, policy_of

from mailward.model.fencing import CLOSED, FenceOutcome, UnitState
from mailward.model.policy import Automation, Endpoint, Rules
from mailward.model.state import Cause, Ending, Kind, Phase, Request, RequestKind
from mailward.model.token import Token

ALL = ("192.0.2.10", "192.0.2.11", "2001:db8::10", "2001:db8::11")
ONLY_B = ("192.0.2.11", "2001:db8::11")


def play(story: Callable[[World], Awaitable[None]], world: Callable[[], World] = World) -> None:
    async def main() -> None:
        stage = world()
        stage.start()
        try:
            await stage.until(lambda: stage.dns.addresses() == ALL or stage.state.seq > 0, 10)
            await story(stage)
        finally:
            await stage.close()

    virtual.run(main())


def phase(world: World, node: str = "mail-a") -> Phase:
    record = world.state.phase_of(node, ENDPOINT)
    assert record is not None
    return record.phase


async def settle(world: World, limit_s: float = 60) -> None:
    await world.until(world.settled, limit_s)


def test_a_crashed_service_is_withdrawn_fenced_and_readmitted() -> None:
    async def story(world: World) -> None:
        await settle(world)
        assert world.dns.addresses() == ALL
        world.nodes["mail-a"].up["imaps"] = False
        took = await world.until(lambda: world.dns.addresses() == ONLY_B, 5)
        assert 1.0 <= took <= 1.6
        await settle(world)
        assert phase(world) is Phase.OUT
        assert world.nodes["mail-a"].ports["imaps"] == CLOSED
        ended = world.state.ended[-1]
        assert (ended.operation.kind, ended.ending, ended.operation.row) == (Kind.FAILOVER, Ending.DONE, 110)
        world.nodes["mail-a"].up["imaps"] = True
        await world.until(lambda: world.dns.addresses() == ALL, 10)
        await settle(world)
        assert phase(world) is Phase.IN_SERVICE
        assert not any(source.kicked for source in world.lag_sources.values())

    play(story)


def test_with_no_grace_the_answer_changes_within_half_a_second() -> None:
    async def story(world: World) -> None:
        await settle(world)
        world.nodes["mail-a"].up["submission"] = False
        assert await world.until(lambda: world.dns.addresses() == ONLY_B, 5) <= 0.5

    play(story, lambda: World(policy_of(rules=Rules(restart_grace_s=0, stable_s=2))))


def test_a_restart_within_the_grace_moves_nothing() -> None:
    async def story(world: World) -> None:
        await settle(world)
        before = len(world.dns.changes)
        world.nodes["mail-a"].up["imaps"] = False
        await asyncio.sleep(0.8)
        world.nodes["mail-a"].up["imaps"] = True
        await asyncio.sleep(20)
        assert len(world.dns.changes) == before
        assert world.state.tallies == {"ended-as-blip": 1}

    play(story)


def test_a_restart_of_ten_seconds_that_the_node_reports_moves_nothing() -> None:
    async def story(world: World) -> None:
        await settle(world)
        before = len(world.dns.changes)
        world.nodes["mail-a"].units["dovecot"] = UnitState.RESTARTING
        world.nodes["mail-a"].up["imaps"] = False
        await asyncio.sleep(10)
        world.nodes["mail-a"].units["dovecot"] = UnitState.ACTIVE
        await asyncio.sleep(2)
        world.nodes["mail-a"].up["imaps"] = True
        await asyncio.sleep(20)
        assert len(world.dns.changes) == before
        assert world.state.tallies == {"ended-as-restart": 1}

    play(story)


def test_a_reported_restart_that_does_not_end_is_an_outage() -> None:
    async def story(world: World) -> None:
        await settle(world)
        world.nodes["mail-a"].units["dovecot"] = UnitState.RESTARTING
        world.nodes["mail-a"].up["imaps"] = False
        assert 15.0 <= await world.until(lambda: world.dns.addresses() == ONLY_B, 20) <= 15.6

    play(story)


def test_a_dead_node_is_withdrawn_though_it_cannot_be_fenced_and_fenced_when_it_returns() -> None:
    async def story(world: World) -> None:
        await settle(world)
        node = world.nodes["mail-a"]
        node.alive = False
        await world.until(lambda: world.dns.addresses() == ONLY_B, 5)
        await world.until(lambda: world.state.operation is None, 30)
        ports = world.state.ports_of("mail-a")
        assert ports is not None
        assert ports.fence is FenceOutcome.UNKNOWN
        await asyncio.sleep(60)
        node.alive = True
        await world.until(lambda: node.ports["imaps"] == CLOSED, 40)
        assert world.dns.addresses() == ONLY_B, (
            "it serves nobody before it has been tried behind closed ports"
        )
        await world.until(lambda: world.dns.addresses() == ALL, 60)
        await settle(world)

    play(story)


def test_a_full_disk_is_a_failure_although_every_dialogue_succeeds() -> None:
    async def story(world: World) -> None:
        await settle(world)
        world.nodes["mail-a"].free_bytes = 1000
        await world.until(lambda: world.dns.addresses() == ONLY_B, 5)
        await settle(world)
        record = world.state.phase_of("mail-a", ENDPOINT)
        assert record is not None
        assert record.cause is Cause.DISK
        world.nodes["mail-a"].free_bytes = 10**9
        await world.until(lambda: world.dns.addresses() == ALL, 30)

    play(story)


def test_nobody_is_withdrawn_when_both_are_down() -> None:
    async def story(world: World) -> None:
        await settle(world)
        for node in world.nodes.values():
            node.up["imaps"] = False
        await asyncio.sleep(60)
        assert world.dns.addresses() == ALL
        assert world.loop is not None
        assert world.loop.decision is not None
        held = [e for e in world.loop.decision.explanations if e.held]
        assert {e.node for e in held} == {"mail-a", "mail-b"}
        assert all(any(f.gate == "successor" and f.command for f in e.findings) for e in held)

    play(story)


def test_nobody_is_withdrawn_when_the_other_is_behind() -> None:
    async def story(world: World) -> None:
        await settle(world)
        world.lag_s = 4000.0
        world.nodes["mail-a"].up["imaps"] = False
        await asyncio.sleep(60)
        assert world.dns.addresses() == ALL

    play(story)


def test_the_last_resort_readmits_a_healthy_node_when_the_other_dies_too() -> None:
    async def story(world: World) -> None:
        await settle(world)
        world.nodes["mail-a"].up["imaps"] = False
        await world.until(lambda: world.dns.addresses() == ONLY_B, 5)
        await settle(world)
        world.lag_s = 500.0
        world.nodes["mail-b"].alive = False
        await asyncio.sleep(10)
        assert world.dns.addresses() == ONLY_B, "an endpoint never loses its last address"
        world.nodes["mail-a"].up["imaps"] = True
        await world.until(lambda: "192.0.2.10" in world.dns.addresses(), 30)

    play(story)


def test_a_flapping_node_stays_out_longer_each_time() -> None:
    async def story(world: World) -> None:
        await settle(world)
        waits = []
        for _ in range(4):
            world.nodes["mail-a"].up["imaps"] = False
            await world.until(lambda: world.dns.addresses() == ONLY_B, 10)
            await settle(world)
            world.nodes["mail-a"].up["imaps"] = True
            waits.append(await world.until(lambda: world.dns.addresses() == ALL, 200))
            await settle(world)
        assert waits[1] < waits[2] < waits[3]
        assert waits[3] >= 20

    play(story, lambda: World(policy_of(rules=Rules(stable_s=1, hold_down_s=6))))


def test_observing_says_what_it_would_have_done_and_does_nothing() -> None:
    def observing() -> World:
        return World(replace(policy_of(), automation=Automation.OBSERVE))

    async def story(world: World) -> None:
        await asyncio.sleep(5)
        world.nodes["mail-a"].up["imaps"] = False
        await asyncio.sleep(30)
        assert world.dns.log == []
        assert world.nodes["mail-a"].log == []
        assert world.state.tallies["would-have-failed-over"] == 1

    async def main() -> None:
        world = observing()
        world.start()
        try:
            await story(world)
        finally:
            await world.close()

    virtual.run(main())


def request(world: World, kind: RequestKind, node: str = "mail-a", force: bool = False) -> Request:
    return Request(f"r{world.state.seq}", kind, node, "root", "test", world.clock.now(), force)


def test_drain_waits_for_the_ttl_and_stays_out_until_readmitted_by_hand() -> None:
    async def story(world: World) -> None:
        await settle(world)
        world.store.post(request(world, RequestKind.DRAIN))
        await world.until(lambda: world.dns.addresses() == ONLY_B, 5)
        assert phase(world) is Phase.DRAINING
        took = await world.until(lambda: phase(world) is Phase.OUT, 20)
        assert 4.5 <= took <= 6.0
        await settle(world)
        assert world.nodes["mail-a"].ports["imaps"] == CLOSED
        await asyncio.sleep(120)
        assert phase(world) is Phase.OUT
        world.store.post(request(world, RequestKind.READMIT))
        await world.until(lambda: world.dns.addresses() == ALL, 10)

    play(story)


def test_a_failure_elsewhere_rolls_a_drain_back() -> None:
    async def story(world: World) -> None:
        await settle(world)
        world.store.post(request(world, RequestKind.DRAIN))
        await world.until(lambda: phase(world) is Phase.DRAINING, 5)
        world.nodes["mail-b"].up["imaps"] = False
        await world.until(lambda: world.dns.addresses() == ("192.0.2.10", "2001:db8::10"), 10)
        assert phase(world) is Phase.IN_SERVICE
        assert phase(world, "mail-b") is Phase.OUT

    play(story)


def test_a_foreign_token_stops_the_controller() -> None:
    async def main() -> None:
        world = World()
        world.dns.token = Token("ffffffffffff", 3, 1)
        world.start()
        await asyncio.sleep(5)
        error = world.controller_ended()
        await world.close()
        assert error is not None
        assert "belongs to another store" in str(error)

    virtual.run(main())


def test_a_lost_reply_is_found_out_and_nothing_is_done_twice() -> None:
    async def story(world: World) -> None:
        await settle(world)
        world.dns.swallow_replies = 1
        world.nodes["mail-a"].swallow_replies = 1
        world.nodes["mail-a"].up["imaps"] = False
        await world.until(lambda: world.dns.addresses() == ONLY_B, 5)
        await settle(world, 120)
        changed = [addresses for _, addresses in world.dns.changes]
        assert [a for i, a in enumerate(changed) if i == 0 or a != changed[i - 1]] == [ALL, ONLY_B]

    play(story)


@pytest.mark.parametrize("services", [("imaps",), ("submission",)])
def test_each_endpoint_is_judged_by_its_own_services(services: tuple[str, ...]) -> None:
    """A without IMAP and B without submission has an answer."""
    policy = replace(
        policy_of(),
        endpoints=(
            Endpoint("imap.example.test", ("imaps",), ("mail-a", "mail-b"), 5, ("primary",)),
            Endpoint("smtp.example.test", ("submission",), ("mail-a", "mail-b"), 5, ("primary",)),
        ),
    )

    async def main() -> None:
        world = World(policy)
        world.start()
        await world.until(lambda: world.settled() and len(world.dns.addresses()) == 8, 10)
        first, second = (services[0], "submission" if services[0] == "imaps" else "imaps")
        world.nodes["mail-a"].up[first] = False
        world.nodes["mail-b"].up[second] = False
        await world.until(lambda: len(world.dns.addresses()) == 4, 20)
        await world.until(world.settled, 30)
        name = {"imaps": "imap.example.test", "submission": "smtp.example.test"}
        assert world.state.phase_of("mail-a", name[first]).phase is Phase.OUT  # type: ignore[union-attr]
        assert world.state.phase_of("mail-b", name[second]).phase is Phase.OUT  # type: ignore[union-attr]
        assert world.nodes["mail-a"].ports[first] == CLOSED
        assert world.nodes["mail-a"].ports[second] != CLOSED
        await world.close()

    virtual.run(main())


def test_a_superseded_controller_is_held_and_does_not_climb() -> None:
    """Were it to end, a supervisor's restarts would raise its epoch until it won."""

    async def main() -> None:
        world = World()
        world.dns.token = Token("0123456789ab", 9, 1)
        world.start()
        await asyncio.sleep(120)
        ended, decision = world.controller_ended(), world.loop.decision if world.loop else None
        await world.close()
        assert ended is None
        assert world.dns.log == []
        assert world.state.epoch == 1
        assert decision is not None
        claimed = [f for e in decision.explanations for f in e.findings if f.gate == "claimed"]
        assert all("--adopt 0123456789ab" in finding.command for finding in claimed)

    virtual.run(main())
