"""What can go wrong in the world, each with its end: struck by chance (`swarm`) or by a scenario.

A fault is a function of the world and of names; it strikes at once and returns what ends it. Ending one
never undoes another's work on something else; two on the same thing end together.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mailward.model.policy import Policy
from mailward.model.token import Token
from mailward.simulator.controller import Controller
from mailward.simulator.hooks import HookWork
from mailward.simulator.network import Link
from mailward.simulator.nodes import Work
from mailward.simulator.world import STORE_ID, World

End = Callable[[], None]

SENT_WITHIN_S = 4.0
"""After a process goes on, until what it had begun has been obeyed or not."""


def _nothing() -> None:
    """Nothing is to be ended."""


def together(ends: Sequence[End]) -> End:
    """One end for several faults."""

    def end() -> None:
        for each in ends:
            each()

    return end


# services and nodes


def service_fails(world: World, node: str, service: str, work: Work) -> End:
    """One service crashes or hangs."""
    return world.nodes[node].fail((service,), work)


def services_fail(world: World, node: str, work: Work) -> End:
    """Every service of a node crashes or hangs, its host lives on."""
    there = world.nodes[node]
    return there.fail(there.services, work)


def restart(world: World, node: str) -> End:
    """An administrator restarts its services: the node's helper tells."""
    there = world.nodes[node]
    there.restarting = True
    well = services_fail(world, node, Work.CRASHED)

    def end() -> None:
        there.restarting = False
        well()

    return end


def host_crashes(world: World, name: str) -> End:
    """The machine and whatever runs on it; it boots again with its disk as it was, unless somebody has pulled
    its plug meanwhile."""
    host, node, controller = world.network.hosts[name], world.nodes.get(name), world.controllers.get(name)
    if not host.up:
        return _nothing
    if controller is not None:
        controller.kill()
    if node is not None:
        node.crash()
    host.up = host.frozen = False

    def end() -> None:
        if name in world.switched_off:
            return
        if node is not None:
            node.boot()
        elif not host.up:
            host.up, host.boots = True, host.boots + 1
        if controller is not None and not controller.runs:
            controller.start()

    return end


def host_freezes(world: World, name: str) -> End:
    """A paused virtual machine: everything on it stands still, its daemon as well, and wakes unaware."""
    host, controller, node = world.network.hosts[name], world.controllers.get(name), world.nodes.get(name)
    process = controller.process if controller is not None else None
    host.frozen = True
    if node is not None:
        node.helper.stands_still(world.now_s)
    if process is not None:
        process.stop()

    def end() -> None:
        _sends_what_was_begun(world)
        if node is not None:
            node.helper.goes_on(world.now_s)
        host.frozen = False
        if process is not None:
            process.proceed()

    return end


def disk_fills(world: World, node: str) -> End:
    world.nodes[node].disk_full = True

    def end() -> None:
        world.nodes[node].disk_full = False

    return end


def disk_slows(world: World, name: str, most_s: float) -> End:
    """Whatever is asked of this host takes up to `most_s` longer."""
    host = world.network.hosts.get(name)
    if host is None:
        return _nothing
    host.slow_s = most_s

    def end() -> None:
        host.slow_s = 0.0

    return end


def replication_stops(world: World, node: str) -> End:
    """What this node has is no longer sent to the others."""
    world.nodes[node].replicates = False

    def end() -> None:
        world.nodes[node].replicates = True

    return end


def helper_stops(world: World, node: str) -> End:
    helper = world.nodes[node].helper
    helper.works = False

    def end() -> None:
        helper.works = True

    return end


def hooks_fail(world: World, node: str, work: HookWork) -> End:
    """Its hooks fail, or hang until they are killed: half of what they do may be done."""
    hooks = world.nodes[node].hooks
    hooks.work = work

    def end() -> None:
        hooks.work = HookWork.WELL

    return end


def board_stops(world: World, node: str) -> End:
    """A management board that answers nobody."""
    board = world.boards.get(node)
    if board is None:
        return _nothing
    board.works = False

    def end() -> None:
        board.works = True

    return end


# daemons and their clocks


def daemon_dies(world: World, name: str) -> End:
    controller = world.controllers[name]
    controller.kill()

    def end() -> None:
        if not controller.runs and controller.host.up:
            controller.start()

    return end


def daemon_stops(world: World, name: str) -> End:
    """SIGSTOP between any two of its steps, SIGCONT later."""
    process = world.controllers[name].process
    if process is None:
        return _nothing
    process.stop()

    def end() -> None:
        _sends_what_was_begun(world)
        process.proceed()

    return end


def _sends_what_was_begun(world: World) -> None:
    """Who stood still between its last look at the clock and sending does not look again."""
    world.late_until_s = max(world.late_until_s, world.now_s + SENT_WITHIN_S)


def clock_jumps(world: World, name: str, by_s: float) -> End:
    """The wall clock of one host, and back."""
    host = world.network.hosts[name]
    host.wall_offset_s += by_s

    def end() -> None:
        host.wall_offset_s -= by_s

    return end


# the network


def cut(world: World, one: str, others: Sequence[str], *, both: bool = True) -> End:
    """Nothing from `one` arrives at any of `others`, nor the other way if `both`."""
    for other in others:
        world.network.cut(one, other, both=both)
    return _mending(world, one, others)


def isolated(world: World, names: Sequence[str]) -> End:
    """These hosts from all others: a site, or a single host. Among themselves they are well connected."""
    outside = [name for name in sorted(world.network.hosts) if name not in names]
    return together([cut(world, name, outside) for name in names])


def lossy(world: World, one: str, share: float = 0.3, most_s: float = 1.0) -> End:
    """So large a share of the messages from and to a host is lost, the others are late."""
    others = [name for name in sorted(world.network.hosts) if name != one]
    for link in _links(world, one, others):
        link.loss, link.most_s = share, most_s
    return _mending(world, one, others)


def late(world: World, one: str, share: float = 0.3, most_s: float = 120.0) -> End:
    """So large a share of what a controller sends to mail nodes and name servers arrives up to `most_s`
    late, and as much arrives twice. Receivers that cannot refuse are spared: for them it is assumed that
    a message arrives before its order expires, or never."""
    unguarded = [world.zones[target].primary.name for target in world.policy.unguarded]
    others = [name for name in sorted(world.receivers) if name != one and name not in unguarded]
    links = [world.network.link(one, other) for other in others]
    for link in links:
        link.late, link.late_s, link.twice = share, most_s, share
    world.late_until_s = float("inf")

    def end() -> None:
        for link in links:
            link.late = link.twice = 0.0
        world.late_until_s = world.now_s + 2.0 * most_s

    return end


def _mending(world: World, one: str, others: Sequence[str]) -> End:
    def end() -> None:
        for link in _links(world, one, others):
            whole = Link()
            link.cut, link.loss, link.most_s = whole.cut, whole.loss, whole.most_s

    return end


def _links(world: World, one: str, others: Sequence[str]) -> list[Link]:
    return [world.network.link(*pair) for other in others for pair in ((one, other), (other, one))]


# the store and the zone


def quorum_is_lost(world: World) -> End:
    world.ensemble.has_quorum = False

    def end() -> None:
        world.ensemble.has_quorum = True

    return end


def zone_freezes(world: World, target: str) -> End:
    """The primary refuses every update."""
    zone = world.zones[target]
    zone.writable = False

    def end() -> None:
        zone.writable = True

    return end


def store_is_restored(world: World, which: int) -> End:
    """From the backup `which`, counted from the newest; in the end a person makes the store anew."""
    world.restore(world.backups[-1 - which % len(world.backups)])
    return lambda: world.make_store_anew() if world.state.superseded or world.outdated else None


def target_turns_foreign(world: World, target: str) -> End:
    """Somebody else's token stands in the zone; a person puts ours back and starts the daemons again."""
    zone, before = world.zones[target], world.zones[target].token
    if target in world.foreign:
        return _nothing
    zone.token = Token("feedfacefeed", 3, 1)
    world.foreign.add(target)

    def end() -> None:
        world.foreign.discard(target)
        if zone.token is not None and zone.token.store_id != STORE_ID:
            zone.token = before
        for controller in world.controllers.values():
            if controller.ended is not None and controller.host.up and not controller.runs:
                controller.start()

    return end


def configuration_differs(world: World, name: str) -> End:
    """A new configuration has reached one daemon and not yet the others; then it is taken back."""
    controller, before = world.controllers[name], world.policy
    rules = replace(before.rules, stable_s=before.rules.stable_s / 2, hold_down_s=1.0)
    _restarted(controller, replace(before, digest=f"{before.digest}, changed", rules=rules))
    return lambda: _restarted(controller, before)


def _restarted(controller: Controller, policy: Policy) -> None:
    controller.policy = policy
    if controller.runs:
        controller.kill()
        controller.start()
