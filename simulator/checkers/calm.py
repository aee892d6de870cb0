"""Calm: for how long nothing but the store and the mail services can have been in the way of anybody."""

from dataclasses import dataclass

from mailward.simulator.controller import Controller
from mailward.simulator.nodes import MailNode
from mailward.simulator.world import ENSEMBLE, World


@dataclass
class Calm:
    """Since when every daemon runs, as configured, every helper works, and all reach each other. A store that
    comes back or is restored is no calm; one that is gone for all is."""

    _wrong_s: float = 0.0
    _quorum: bool = True
    _memory_s: float = float("-inf")

    def look(self, world: World) -> None:
        if self._is_wrong(world):
            self._wrong_s = world.now_s

    def for_s(self, now_s: float) -> float:
        """0 while anything is wrong."""
        return now_s - self._wrong_s

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
    """A store that was made anew, or is older than it was, does not know what a helper has obeyed, and so
    renews nothing, until somebody leads and has claimed it; nobody does before the promises of before are
    over."""
    token, record = node.helper.token, world.state.helper(node.name)
    if token in (None, record.claimed):
        return True
    nothing = record.claimed is None and record.sent.last is None
    return not nothing and record.sent.explains(token, world.state.epoch)


def _runs(world: World, daemon: Controller) -> bool:
    """As it was configured, and not standing still."""
    process = daemon.process
    return process is not None and daemon.runs and not process.stopped and daemon.policy is world.policy


def _is_well(world: World, name: str) -> bool:
    host = world.network.hosts.get(name)
    return host is None or (host.answers and not host.slow_s and not world.network.troubled(name))
