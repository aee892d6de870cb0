"""Leases where one serves and another stands by, with nobody to switch a node off: who is cut off closes by
itself before another is opened, and mail goes on while only the store is gone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from tests.simulation.clusters import leased

from mailward.model.fencing import OPEN, HelperReply, Hook, Terms
from mailward.model.policy import Policy
from mailward.model.state import Phase
from mailward.model.token import Token
from mailward.simulator import faults, virtual
from mailward.simulator.audit import Audit
from mailward.simulator.hooks import HookWork
from mailward.simulator.run import play
from mailward.simulator.ways import HelperClient
from mailward.simulator.world import STORE_ID, World

A, B = "mail-a", "mail-b"
LEASE_S, OVER_S = 15.0, 35.5
SETTLES_S = 120.0


@dataclass
class Watched:
    """A world, what its checkers object to, and when each node was seen to open and to close."""

    world: World
    audit: Audit
    turned: list[tuple[float, str, bool]] = field(default_factory=list)

    async def for_s(self, seconds: float) -> None:
        until_s = self.world.now_s + seconds
        while self.world.now_s < until_s:
            await virtual.sleep(0.1)
            self.audit.look()
            for name, node in self.world.nodes.items():
                was = next((is_open for _, who, is_open in reversed(self.turned) if who == name), None)
                if was is not node.opens:
                    self.turned.append((self.world.now_s, name, node.opens))

    def turns_since(self, at_s: float) -> list[tuple[str, bool]]:
        return [(name, is_open) for when_s, name, is_open in self.turned if when_s > at_s]

    def when(self, name: str, is_open: bool) -> float:
        return next(s for s, who, opens in reversed(self.turned) if (who, opens) == (name, is_open))


def watch(story: Callable[[Watched], Awaitable[None]], policy: Policy | None = None, seed: int = 1) -> None:
    async def main() -> None:
        world = World(policy or leased(), seed)
        watched = Watched(world, Audit(world))
        await world.open()
        try:
            await watched.for_s(SETTLES_S)
            assert world.nodes[A].helper.lease is not None
            await story(watched)
        finally:
            await world.close()
        assert (watched.audit.violations, watched.audit.outside) == ([], ())

    virtual.run(main())


@pytest.mark.parametrize("seed", range(3))
def test_who_is_cut_off_from_everything_is_closed_before_another_is_opened(seed: int) -> None:
    async def story(there: Watched) -> None:
        began_s = there.world.now_s
        faults.isolated(there.world, [A])
        await there.for_s(OVER_S + 20.0)
        assert there.turns_since(began_s) == [(A, False), (B, True)]
        assert there.when(A, False) - began_s <= LEASE_S
        assert OVER_S - LEASE_S < there.when(B, True) - began_s <= OVER_S + 10.0
        assert there.world.state.phases_of(B)[0].phase is Phase.IN_SERVICE

    watch(story, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_while_only_the_store_is_gone_mail_goes_on_and_nothing_is_closed(seed: int) -> None:
    async def story(there: Watched) -> None:
        began_s, phases = there.world.now_s, there.world.state.phases
        back = faults.quorum_is_lost(there.world)
        await there.for_s(300.0)
        back()
        await there.for_s(120.0)
        assert there.turns_since(began_s) == []
        assert there.world.state.phases == phases

    watch(story, seed=seed)


def test_a_failover_waits_for_the_promises_that_were_given_without_the_store() -> None:
    """The store is lost, and comes back for all but the node that goes on by promises."""

    async def story(there: Watched) -> None:
        back = faults.quorum_is_lost(there.world)
        await there.for_s(60.0)
        assert there.world.nodes[A].opens
        began_s = there.world.now_s
        faults.isolated(there.world, [A])
        back()
        await there.for_s(OVER_S + 30.0)
        assert there.turns_since(began_s) == [(A, False), (B, True)]
        assert there.when(B, True) - began_s > OVER_S - 5.0

    watch(story, replace(leased(), rules=replace(leased().rules, takeover_after_s=1.0)))


def test_where_one_daemon_is_gone_as_well_nobody_knows_and_the_ports_close() -> None:
    async def story(there: Watched) -> None:
        began_s = there.world.now_s
        faults.daemon_dies(there.world, "witness")
        back = faults.quorum_is_lost(there.world)
        await there.for_s(60.0)
        assert there.turns_since(began_s) == [(A, False)]
        back()
        await there.for_s(120.0)
        assert there.turns_since(began_s) == [(A, False), (A, True)]

    watch(story)


def test_the_end_of_a_store_that_is_told_to_close_a_node_while_nothing_is_wrong_is_found() -> None:
    """The checker, tried on a node whose renewals reach no kernel."""

    async def main() -> None:
        world = World(leased(), 1)
        there = Watched(world, Audit(world))
        await world.open()
        await there.for_s(SETTLES_S)
        lease = world.nodes[A].helper.lease
        assert lease is not None
        lease.until_s = world.now_s
        await there.for_s(1.0)
        await world.close()
        assert any("I11: the lease of mail-a has run out" in said for said in there.audit.violations)

    virtual.run(main())


@pytest.mark.parametrize("hangs", [False, True])
def test_a_lease_that_was_ordered_with_a_promotion_begins_when_that_is_verified(hangs: bool) -> None:
    async def main() -> None:
        world = World(leased(), 1)
        node = world.nodes[B]
        if hangs:
            faults.hooks_fail(world, B, HookWork.HANGS)
        client = HelperClient(world.network, "witness", node)
        began_s, token = world.now_s, Token(STORE_ID, 1, 1)
        ports = dict.fromkeys(node.services, OPEN)
        answer = await client.order(token, ports, Terms(lease_s=LEASE_S, hook=Hook.PROMOTE))
        lease = node.helper.lease
        assert (answer.reply is HelperReply.OBEYED, lease is not None) == (not hangs, not hangs)
        if lease is not None:
            assert began_s + LEASE_S + 0.5 <= lease.until_s <= began_s + LEASE_S + 0.6
            assert node.opens

    virtual.run(main())


def test_a_lease_that_has_lapsed_is_not_renewed() -> None:
    async def main() -> None:
        world = World(leased(), 1)
        helper = world.nodes[A].helper
        token = Token(STORE_ID, 1, 1)
        helper.obey(
            token, world.now_s, dict.fromkeys(helper.ports, OPEN), world.now_s, Terms(lease_s=LEASE_S)
        )
        await virtual.sleep(LEASE_S + 0.1)
        assert helper.renew(token, world.now_s, world.now_s, 0.0).reply is HelperReply.LAPSED
        assert not world.nodes[A].opens

    virtual.run(main())


def test_a_renewal_is_void_after_its_window_and_a_machine_that_stood_still_does_not_know() -> None:
    async def main() -> None:
        world = World(leased(), 1)
        helper = world.nodes[A].helper
        token = Token(STORE_ID, 1, 1)
        helper.obey(
            token, world.now_s, dict.fromkeys(helper.ports, OPEN), world.now_s, Terms(lease_s=LEASE_S)
        )
        hello_s = world.now_s
        await virtual.sleep(2.5)
        assert helper.renew(token, world.now_s, hello_s, helper.stood_s).detail == "late"
        thaws, hello_s, stood_s = faults.host_freezes(world, A), world.now_s, helper.stood_s
        await virtual.sleep(60.0)
        thaws()
        assert helper.renew(token, world.now_s, hello_s, stood_s).reply is HelperReply.OBEYED
        assert helper.overdue

    virtual.run(main())


@pytest.mark.parametrize(
    "kinds",
    [
        ("quorum-lost",),
        ("daemon-stop", "isolated"),
        ("quorum-lost", "cut", "daemon-kill"),
        ("disk-slow", "isolated"),
    ],
)
def test_never_are_two_open_and_no_run_without_a_frozen_machine_leaves_the_fault_model(
    kinds: tuple[str, ...],
) -> None:
    policy = replace(leased(), rules=replace(leased().rules, takeover_after_s=5.0))
    for seed in range(3):
        outcome = play(policy, seed, 0.25, kinds=kinds, pace_s=20.0, vary=False)
        assert (outcome.violations, outcome.outside) == ((), ()), (kinds, seed)
