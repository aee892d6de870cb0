"""I1, I11 and I14: what is recorded, and what is obeyed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.model.token import Token
from mailward.simulator.checkers.excuses import CAME_LATE, Excuse
from mailward.simulator.checkers.truth import LATE_S, News, Truth
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
    _last: dict[str, Obeyed] = field(default_factory=dict)

    def look(self, world: World, news: News) -> Sequence[str | Excuse]:
        found: list[str | Excuse] = []
        for name, entries in news.obeyed.items():
            for entry in entries:
                before, self._last[name] = self._last.get(name), entry
                if name in world.policy.unguarded and self._too_late(world, entry):
                    found.append(CAME_LATE)
                    world.outside(f"{name} cannot refuse an old order, and one came late")
                    continue
                wrong = [*self._order(world, entry), *_rising(before, entry)]
                found += [f"{name} {sentence}" for sentence in wrong]
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


def _rising(before: Obeyed | None, entry: Obeyed) -> Sequence[str]:
    if before is None or (before.token.store_id == entry.token.store_id and before.token < entry.token):
        return []
    return [f"obeyed {entry.token} after {before.token}"]


@dataclass
class Commits:
    """I1 in the store: what is recorded is of the epoch of who leads, and goes on from what was there."""

    truth: Truth
    rule: str = "I1"

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            leader = commit.leader
            if leader is None or commit.session != leader.session:
                found.append(f"session {commit.session} recorded a state while {leader} led")
            elif commit.after.epoch != leader.epoch:
                found.append(f"epoch {commit.after.epoch} was recorded under {leader}")
            if commit.seen != commit.found:
                found.append(f"session {commit.session} overwrote {commit.found}, having read {commit.seen}")
        return found


@dataclass
class StaysAsItIs:
    """I11: nothing is obeyed any more when the store has been without a quorum for longer than any right to
    act lasts, and any order."""

    truth: Truth
    rule: str = "I11"
    _lost_s: float | None = None

    def look(self, world: World, news: News) -> Sequence[str]:
        if world.ensemble.has_quorum:
            self._lost_s = None
        elif self._lost_s is None:
            self._lost_s = world.now_s
        found = []
        longest_s = world.ensemble.session_timeout_s + world.policy.rules.order_timeout_s + LATE_S
        for name, entries in news.obeyed.items():
            for entry in entries:
                if world.now_s < world.late_until_s:
                    continue  # it may have been begun in time
                if self._lost_s is not None and entry.at_s > self._lost_s + longest_s:
                    since_s = entry.at_s - self._lost_s
                    found.append(f"{name} obeyed {entry.token} {since_s:.0f} s after the store was lost")
        return found


@dataclass
class LeftAlone:
    """I14: what obeys another store is not written to; nor is a name server that remembers more than our
    store, restored from a backup, has sent to it; unless its epoch has come again and gone since, with lower
    and higher numbers sent there, or our store was made with it or a later one, and nobody can tell. (A
    helper says what it remembers in its status only.)"""

    truth: Truth
    rule: str = "I14"
    _remembered: dict[str, Token] = field(default_factory=dict)
    _sent_since: dict[tuple[str, float], list[Token]] = field(default_factory=dict)

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for order in (order for commit in news.commits for order in commit.after.orders):
            name = getattr(order.action, "target", "")
            if name in world.outdated:
                self._sent_since.setdefault((name, world.outdated[name]), []).append(order.token)
        for name, entries in news.obeyed.items():
            for entry in entries:
                if name in world.foreign and name not in world.policy.unguarded:
                    found.append(f"{name} obeyed {entry.token}, and belongs to another store")
                if name in world.zones and self._outdated(world, name, entry.token):
                    found.append(f"{name} obeyed {entry.token}, of a store restored from a backup")
                self._remembered[name] = entry.token
        return found

    def _outdated(self, world: World, name: str, token: Token) -> bool:
        """Whether the order is of the restored store, and the one before it was not."""
        since_s, before = world.outdated.get(name), self._remembered.get(name)
        if since_s is None or not _recorded_after(world, token, since_s):
            return False
        if before is None:
            return True
        made = world.state.made_epoch
        if _recorded_after(world, before, since_s) or (made is not None and before.epoch <= made):
            return False
        sent = self._sent_since.get((name, since_s), ())
        again = [one for one in sent if one.epoch == before.epoch < token.epoch]
        return not again or not min(again) <= before <= max(again)


def _recorded_after(world: World, token: Token, moment_s: float) -> bool:
    recorded = world.recorded.get(token)
    return recorded is not None and recorded.at_s > moment_s
