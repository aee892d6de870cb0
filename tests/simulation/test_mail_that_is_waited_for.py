"""What the source of a failover still has is waited for no longer than it takes to arrive: replication is
measured at once then, and every second."""

import pytest
from tests.simulation.clusters import one_serves_one_stands_by

from mailward.model.state import Phase, Step
from mailward.simulator import faults, virtual
from mailward.simulator.nodes import Work
from mailward.simulator.world import World


@pytest.mark.parametrize("seed", range(5))
def test_services_that_crash_are_taken_over_as_soon_as_their_mail_has_arrived(seed: int) -> None:
    async def story() -> tuple[float, bool]:
        world = World(one_serves_one_stands_by(), seed)
        await world.open()
        await virtual.sleep(60.0)
        for service in world.nodes["mail-a"].services:
            faults.service_fails(world, "mail-a", service, Work.CRASHED)
        in_rescue_s = 0.0
        for _ in range(1200):
            await virtual.sleep(0.1)
            operation = world.state.operation
            in_rescue_s += 0.1 if operation is not None and operation.step is Step.RESCUE else 0.0
        serves = all(r.phase is Phase.IN_SERVICE for r in world.state.phases_of("mail-b"))
        await world.close()
        return in_rescue_s, serves

    in_rescue_s, serves = virtual.run(story())
    assert serves
    assert in_rescue_s < 3.0
