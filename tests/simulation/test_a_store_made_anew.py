"""The simulated person makes a store anew as `mailward state init --adopt` does."""

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.clusters import one_serves_one_stands_by, three_nodes_two_zones, two_sites_and_a_witness

from mailward.model.policy import Policy
from mailward.model.state import Cause, Phase
from mailward.simulator import virtual
from mailward.simulator.world import World


def of_a_world(policy: Policy, look: Callable[[World], None]) -> None:
    async def looked() -> None:
        look(World(policy, 1))

    virtual.run(looked())


def take_out(world: World, node: str, *targets: str) -> None:
    """Of these zones."""
    gone = world.policy.node_by_name[node].addresses
    for target in targets:
        for server in world.zones[target].servers:
            server.rrsets = {
                key: replace(rrset, values=tuple(v for v in rrset.values if v not in gone))
                for key, rrset in server.rrsets.items()
            }


def out_of(world: World) -> list[tuple[str, str]]:
    world.make_store_anew()
    phases = world.state.phases
    assert all((r.phase, r.cause) == (Phase.OUT, Cause.OPERATOR) for r in phases)
    return [(record.node, record.endpoint) for record in phases]


def test_whom_dns_names_no_more_is_out_until_a_person_readmits_it() -> None:
    def look(world: World) -> None:
        assert out_of(world) == []
        take_out(world, "mail-b", "primary")
        assert out_of(world) == [("mail-b", "mail.example.test")]

    of_a_world(two_sites_and_a_witness(), look)


def test_whom_another_target_still_names_is_not_out_and_who_is_named_by_another_s_does_not_count() -> None:
    def look(world: World) -> None:
        take_out(world, "mail-b", "primary")
        assert out_of(world) == []
        world.foreign = {"second"}
        assert out_of(world) == [("mail-b", "mail.example.test")]

    of_a_world(three_nodes_two_zones(), look)


def test_of_a_cluster_the_person_says_who_serves() -> None:
    def look(world: World) -> None:
        world.make_store_anew()
        assert [(r.node, r.phase) for r in world.state.phases] == [
            ("mail-a", Phase.IN_SERVICE),
            ("mail-b", Phase.STANDBY),
        ]

    of_a_world(one_serves_one_stands_by(), look)
