"""I1, I11 and I14: what is recorded, and what is obeyed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.simulator.checkers.truth import LATE_S, Truth
from mailward.simulator.nodes import WINDOW_S, Obeyed
from mailward.simulator.world import World


@dataclass
class TokensRise:
    """I1: every receiver obeys only rising tokens, of one store, and nothing that was not recorded first; a
    helper nothing that came long after its hello. A receiver that cannot refuse is excused, and counted:
    there an order whose time was over is the work of a daemon that stood still between its last look at the
    clock and sending."""

    truth: Truth
    rule: str = "I1"
    excused: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    def look(self, world: World) -> Sequence[str]:
        found = []
        for name, receiver in world.obeying.items():
            begin = self._seen.get(name, 0)
            for at in range(begin, len(receiver.log)):
                entry = receiver.log[at]
                if name in world.policy.unguarded and self._too_late(world, entry):
                    self.excused += 1
                    world.outside(f"{name} cannot refuse an old order, and one came late")
                    continue
                wrong = [*self._order(world, entry), *_rising(receiver.log[at - 1 : at], entry)]
                found += [f"{name} {sentence}" for sentence in wrong]
            self._seen[name] = len(receiver.log)
        return found

    def _order(self, world: World, entry: Obeyed) -> Sequence[str]:
        recorded = world.recorded.get(entry.token)
        if recorded is None:
            return [f"obeyed {entry.token}, which nobody had recorded"]
        if entry.after_s > WINDOW_S:
            return [f"obeyed {entry.token} {entry.after_s:.0f} s after its hello"]
        return []

    def _too_late(self, world: World, entry: Obeyed) -> bool:
        recorded = world.recorded.get(entry.token)
        return recorded is not None and entry.at_s - recorded.at_s > recorded.order.expires_s + LATE_S


def _rising(before: Sequence[Obeyed], entry: Obeyed) -> Sequence[str]:
    for last in before:
        if last.token.store_id != entry.token.store_id or not last.token < entry.token:
            return [f"obeyed {entry.token} after {last.token}"]
    return []


@dataclass
class Commits:
    """I1 in the store: what is recorded is of the epoch of who leads, and goes on from what was there."""

    truth: Truth
    rule: str = "I1"
    _seen: int = 0

    def look(self, world: World) -> Sequence[str]:
        found = []
        for commit in world.commits[self._seen :]:
            leader = commit.leader
            if leader is None or commit.session != leader.session:
                found.append(f"session {commit.session} recorded a state while {leader} led")
            elif commit.after.epoch != leader.epoch:
                found.append(f"epoch {commit.after.epoch} was recorded under {leader}")
            if commit.seen != commit.found:
                found.append(f"session {commit.session} overwrote {commit.found}, having read {commit.seen}")
        self._seen = len(world.commits)
        return found


@dataclass
class StaysAsItIs:
    """I11: nothing is obeyed any more when the store has been without a quorum for longer than any right to
    act lasts, and any order."""

    truth: Truth
    rule: str = "I11"
    _lost_s: float | None = None
    _seen: dict[str, int] = field(default_factory=dict)

    def look(self, world: World) -> Sequence[str]:
        if world.ensemble.has_quorum:
            self._lost_s = None
        elif self._lost_s is None:
            self._lost_s = world.now_s
        found = []
        longest_s = world.ensemble.session_timeout_s + world.policy.rules.order_timeout_s + LATE_S
        for name, receiver in world.obeying.items():
            for entry in receiver.log[self._seen.get(name, 0) :]:
                if world.now_s < world.late_until_s:
                    continue  # it may have been sent in time, and be late in the network
                if self._lost_s is not None and entry.at_s > self._lost_s + longest_s:
                    since_s = entry.at_s - self._lost_s
                    found.append(f"{name} obeyed {entry.token} {since_s:.0f} s after the store was lost")
            self._seen[name] = len(receiver.log)
        return found


@dataclass
class LeftAlone:
    """I14: what obeys another store is not written to; nor is a name server that remembers more than our
    store, restored from a backup, has sent to it. (A helper says what it remembers in its status only.)"""

    truth: Truth
    rule: str = "I14"
    _seen: dict[str, int] = field(default_factory=dict)

    def look(self, world: World) -> Sequence[str]:
        found = []
        for name, receiver in world.obeying.items():
            for entry in receiver.log[self._seen.get(name, 0) :]:
                if name in world.foreign and name not in world.policy.unguarded:
                    found.append(f"{name} obeyed {entry.token}, and belongs to another store")
                since_s = world.outdated.get(name) if name in world.zones else None
                recorded = world.recorded.get(entry.token)
                if since_s is not None and recorded is not None and recorded.at_s > since_s:
                    found.append(f"{name} obeyed {entry.token}, of a store restored from a backup")
            self._seen[name] = len(receiver.log)
        return found
