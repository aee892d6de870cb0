"""I11 where leases are armed: mail goes on without the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.model.state import Phase
from mailward.simulator.checkers.truth import News, Truth
from mailward.simulator.controller import Controller
from mailward.simulator.nodes import MailNode
from mailward.simulator.world import ENSEMBLE, World


@dataclass
class GoesOn:
    """I11: the lease of who serves does not run out while nothing has been wrong for as long as it lasts, but
    that the store is gone for all: every daemon runs, as configured, and reaches all the others. A store that
    comes and goes is something else."""

    truth: Truth
    rule: str = "I11"
    _wrong_s: float = 0.0
    _quorum: bool = True
    _memory_s: float = float("-inf")
    _open: dict[str, bool] = field(default_factory=dict)

    def look(self, world: World, _news: News) -> Sequence[str]:
        lease_s = world.policy.rules.lease_s
        if lease_s is None:
            return []
        if self._is_wrong(world):
            self._wrong_s = world.now_s
        found = []
        for name, node in world.nodes.items():
            lease = node.helper.lease
            runs = lease is not None and node.helper.lets_in
            ran_out = self._open.get(name, False) and lease is not None and not runs
            self._open[name] = runs
            well_s = world.now_s - self._wrong_s
            if ran_out and well_s > lease_s and _serves(world, name):
                found.append(f"the lease of {name} has run out, and nothing was wrong for {well_s:.0f} s")
        return found

    def _is_wrong(self, world: World) -> bool:
        """Whether anything is just now, or the store has come back or was restored since the last look."""
        came_back = world.ensemble.has_quorum and not self._quorum
        restored = world.memory_from_s != self._memory_s
        self._quorum, self._memory_s = world.ensemble.has_quorum, world.memory_from_s
        daemons = world.controllers.values()
        hosts = [*world.nodes, *(daemon.host.name for daemon in daemons), ENSEMBLE]
        return (
            came_back
            or restored
            or not all(_runs(world, daemon) for daemon in daemons)
            or not all(node.helper.works for node in world.nodes.values())
            or not all(_is_known(world, node) for node in world.nodes.values())
            or not all(_is_well(world, name) for name in dict.fromkeys(hosts))
        )


def _is_known(world: World, node: MailNode) -> bool:
    """A store that was made anew knows of nothing that its helper has obeyed, and so renews nothing, until
    somebody leads and has claimed it; nobody does before the promises of before are over. Nor does one that
    was restored from a backup, and does not explain what has been obeyed since that was made."""
    if node.name in world.outdated:
        return False
    record = world.state.helper(node.name)
    return node.helper.token is None or record.claimed is not None or record.sent.last is not None


def _serves(world: World, name: str) -> bool:
    records = [record for record in world.state.phases if record.node == name]
    return bool(records) and all(record.phase is Phase.IN_SERVICE for record in records)


def _runs(world: World, daemon: Controller) -> bool:
    """As it was configured, and not standing still."""
    process = daemon.process
    return process is not None and daemon.runs and not process.stopped and daemon.policy is world.policy


def _is_well(world: World, name: str) -> bool:
    host = world.network.hosts.get(name)
    return host is None or (host.answers and not host.slow_s and not world.network.troubled(name))
