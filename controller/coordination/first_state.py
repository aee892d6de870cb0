"""The first state of a new store, whatever it is kept in: above every token that anything remembers."""

import re
import secrets
from collections.abc import Sequence

from mailward.model.errors import ForeignStore, StoreError
from mailward.model.state import State
from mailward.model.token import Token

_ID = re.compile(r"[0-9a-f]{8,32}")


def is_store_id(text: object) -> bool:
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def first_state(remembered: Sequence[Token] = (), adopt: str | None = None) -> State:
    """The state of a new store. Tokens of one other store are a clash unless `adopt` names it; the new store
    then takes its id. StoreError, ForeignStore."""
    foreign = sorted({token.store_id for token in remembered})
    if foreign and foreign != [adopt]:
        raise ForeignStore(
            f"these targets already obey store {', '.join(foreign)}. If that controller is gone for good: "
            f"mailward state init --adopt {foreign[0]}"
        )
    if adopt is not None and not is_store_id(adopt):
        raise StoreError(f"{adopt!r} is no store-id (8 to 32 hexadecimal digits)")
    epoch = max((token.epoch for token in remembered), default=0)
    return State(store_id=adopt or secrets.token_hex(6), epoch=epoch, made_epoch=epoch)
