"""I11 where leases are armed: mail goes on without the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.model.state import Phase
from mailward.simulator.checkers.truth import News, Truth
from mailward.simulator.world import World


@dataclass
class GoesOn:
    """I11: the lease of who serves does not run out while nothing has been wrong for as long as it lasts, but
    that the store is gone for all: every daemon runs, as configured, and reaches all the others. A store that
    comes and goes is something else."""

    truth: Truth
    rule: str = "I11"
    _open: dict[str, bool] = field(default_factory=dict)

    def look(self, world: World, _news: News) -> Sequence[str]:
        lease_s = world.policy.rules.lease_s
        if lease_s is None:
            return []
        found, calm_s = [], self.truth.calm.for_s(world.now_s)
        for name, node in world.nodes.items():
            lease = node.helper.lease
            runs = lease is not None and node.helper.lets_in
            ran_out = self._open.get(name, False) and lease is not None and not runs
            self._open[name] = runs
            if ran_out and calm_s > lease_s and _serves(world, name):
                found.append(f"the lease of {name} has run out, and nothing was wrong for {calm_s:.0f} s")
        return found


def _serves(world: World, name: str) -> bool:
    records = [record for record in world.state.phases if record.node == name]
    return bool(records) and all(record.phase is Phase.IN_SERVICE for record in records)
