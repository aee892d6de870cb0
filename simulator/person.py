"""The person on call of a cluster, as a run by chance needs one: an honest one.

Where a failover waits for long until a node is known to be stopped, somebody goes there, pulls its plug and
then says so, for that operation. What was switched off is switched on again some time later."""

from mailward.model.fencing import FenceOutcome
from mailward.model.policy import Deployment
from mailward.model.state import RequestKind, Step
from mailward.simulator.world import World

COMES_AFTER_S = 120.0
SWITCHES_ON_AFTER_S = 240.0


class Person:
    """Of one world; `look` now and then."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._said: set[tuple[str, str]] = set()
        self._since: dict[str, float] = {}

    def look(self) -> None:
        world = self._world
        if world.policy.deployment is not Deployment.CLUSTER:
            return
        for name, since_s in list(world.switched_off.items()):
            if world.now_s - since_s >= SWITCHES_ON_AFTER_S:
                world.switch_on(name)
        operation = world.state.operation
        if operation is None or operation.step is not Step.FENCE or not operation.to:
            return
        if operation.id not in self._since:
            self._since = {operation.id: world.now_s}
        if world.now_s - self._since[operation.id] < COMES_AFTER_S:
            return
        for name in world.nodes:
            ports = world.state.ports_of(name)
            closed = ports is not None and ports.fence is FenceOutcome.CONFIRMED
            if name == operation.to or closed or (operation.id, name) in self._said:
                continue
            self._said.add((operation.id, name))
            if world.nodes[name].host.up:
                world.switch_off(name)
            world.switched_off[name] = world.now_s
            world.ask(RequestKind.VOUCH, name, operation=operation.id)
