"""What `mailward state show` printed of an earlier store, for a new one that is made in its place.

Only what DNS does not contradict is believed: why a node is out that is out, the pause, what was counted,
and the story. What is published and which ports are open is asked anew, and who serves; of a cluster
`who_serves` tells.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mailward.controller.codec import PAUSE, STATE
from mailward.model.errors import StoreError
from mailward.model.state import Cause, Pause, Phase, PhaseRecord, State
from mailward.model.token import Token

MOST_BYTES = 16 * 1024 * 1024
MOST_EPOCHS = 10**12
"""Far more than there ever were; each election needs another one."""
_SERVES = (Phase.IN_SERVICE, Phase.STANDBY)


@dataclass(frozen=True, slots=True)
class Exported:
    """`epoch` is at least that of the state: a leader may have been elected and have recorded nothing."""

    state: State
    epoch: int
    pause: Pause | None

    @property
    def token(self) -> Token:
        """The last one it can have sent."""
        return Token(self.state.store_id, self.epoch, self.state.seq)

    def carried_into(self, made: State, answered: Collection[str], remembered: Sequence[Token]) -> State:
        """`made` with what the earlier store knew. Who is `made` out has its reason from there; for endpoints
        that DNS has not `answered` for, its word counts for who is out. If more was sent since than it knows
        of, as is `remembered`, somebody may have been drained, and comes back by an operator's word alone."""
        away = {(each.node, each.endpoint): each for each in self.state.phases if each.phase not in _SERVES}
        out = {(each.node, each.endpoint): each for each in made.phases}
        last = self.of_all(remembered)
        known = {
            key: stays_out(record, last)
            for key, record in away.items()
            if key in out or key[1] not in answered
        }
        old = self.state
        return replace(
            made, phases=tuple((out | known).values()), ended=old.ended, flaps=old.flaps,
            fenced_at=old.fenced_at, answers=old.answers, episodes=old.episodes, tallies=old.tallies,
            proven=old.proven,
        )  # fmt: skip

    def of_all(self, remembered: Sequence[Token]) -> bool:
        """Whether nothing was sent since of which it does not know."""
        return not any(self.token < token for token in remembered)

    def back_in_service(self, made: State) -> Sequence[PhaseRecord]:
        """Who was out in the earlier store, and is not in `made`."""
        out = {(each.node, each.endpoint) for each in made.phases}
        away = [each for each in self.state.phases if each.phase not in _SERVES]
        return [each for each in away if (each.node, each.endpoint) not in out]


def stays_out(record: PhaseRecord, known_all: bool) -> PhaseRecord:
    """Who was away is out; for the reason of then, if the earlier store has `known_all` that was sent."""
    if known_all or record.cause is Cause.OPERATOR:
        return replace(record, phase=Phase.OUT)
    detail = f"{record.detail or record.cause}; since then it may have been drained"
    return replace(record, phase=Phase.OUT, cause=Cause.OPERATOR, detail=detail)


def read(file: Path) -> Exported:
    """StoreError, OSError where that cannot be read or understood."""
    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    try:
        document = json.loads(content)
        store, state, epoch, pause = (document[key] for key in ("store", "state", "epoch", "pause"))
        found = STATE.load(_bytes(_inside(state, "state")), f"the state in {file}")
        paused = _inside(pause, "pause")
        highest = max(found.epoch, int(_inside(epoch, "epoch")))
        if not 0 <= highest <= MOST_EPOCHS:
            raise ValueError(f"no epoch is {highest}")
        return Exported(
            replace(found, store_id=str(store["store_id"])),
            highest,
            PAUSE.load(_bytes(paused), f"the pause in {file}") if paused is not None else None,
        )
    except (ValueError, OverflowError, RecursionError, KeyError, TypeError) as error:
        raise StoreError(f"{file} is not what `mailward state show` prints: {error!r}") from error


def _inside(document: Any, key: str) -> Any:
    """A directory holds each with its version, ZooKeeper without."""
    return document[key] if isinstance(document, dict) and key in document else document


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()
