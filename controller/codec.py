"""Model values to and from JSON, strictly: a wrong type or a missing field names its place.

Infinity is written as Python's json does. Text that came from outside and is no Unicode loses what is not.
"""

import json
from dataclasses import fields, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from mailward.model.errors import CorruptStore, StoreError
from mailward.model.report import Report
from mailward.model.snapshot import Snapshot
from mailward.model.state import MIN_WRITER, SCHEMA, Pause, Request, State

T = TypeVar("T")


class Codec(Generic[T]):
    """One model type's JSON form."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._name = kind.__name__

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self._kind)

    def dump(self, value: T) -> bytes:
        return to_bytes(self.plain(value))

    def plain(self, value: T) -> Any:
        return self._adapter.dump_python(value, mode="json")

    def load(self, raw: bytes, where: str) -> T:
        """Read JSON from `where`; CorruptStore says what is wrong at which place in it."""
        try:
            return self._adapter.validate_json(raw, strict=True)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the document"
            raise CorruptStore(f"{where} holds no valid {self._name}: {place}: {first['msg']}") from error


class StateCodec(Codec[State]):
    """The state document: one that needs a newer writer is refused before it is understood, and what a newer
    one has added is carried along."""

    def __init__(self) -> None:
        super().__init__(State)

    def plain(self, value: State) -> Any:
        document = super().plain(value)
        carried = document.pop("carried")
        return document | json.loads(carried) if carried else document

    def load(self, raw: bytes, where: str) -> State:
        document = _document(raw)
        needs = document.get("min_writer")
        if isinstance(needs, int) and needs > SCHEMA:
            raise StoreError(
                f"{where} was written by a newer mailward (it needs schema {needs}, this one "
                f"writes {SCHEMA}): upgrade this daemon"
            )
        state = super().load(raw, where)
        if state.schema < MIN_WRITER:
            raise StoreError(f"{where} has schema {state.schema}, older than any this version can read")
        unknown = {key: value for key, value in document.items() if key not in _KNOWN}
        return replace(state, carried=json.dumps(unknown, sort_keys=True) if unknown else "")


_KNOWN = frozenset(each.name for each in fields(State)) - {"carried"}


def _document(raw: bytes) -> dict[str, Any]:
    """{} where it is no JSON object."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def to_bytes(plain: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


STATE = StateCodec()
PAUSE: Codec[Pause] = Codec(Pause)
REQUEST: Codec[Request] = Codec(Request)
REPORT: Codec[Report] = Codec(Report)
SNAPSHOT: Codec[Snapshot] = Codec(Snapshot)
