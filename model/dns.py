"""RRsets, what is to change, and what a DNS target said."""

from dataclasses import dataclass, replace
from enum import StrEnum

from mailward.model.token import Token


@dataclass(frozen=True, slots=True, order=True)
class RRset:
    """All records of one name and type. Names are absolute, lower-case, with the final dot;
    values are presentation form, sorted; TTL in seconds."""

    name: str
    type: str
    ttl_s: int
    values: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        return (self.name, self.type)

    def __str__(self) -> str:
        return f"{self.name} {self.ttl_s} {self.type} {' '.join(self.values) or '(none)'}"


def in_common(one: tuple[RRset, ...], other: tuple[RRset, ...]) -> tuple[RRset, ...]:
    """The records that are in both."""
    held = {rrset.key: set(rrset.values) for rrset in other}
    found = []
    for rrset in one:
        there = held.get(rrset.key, set())
        values = tuple(value for value in rrset.values if value in there)
        if values:
            found.append(replace(rrset, values=values))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Change:
    """Make the RRset `name` `type` exactly `rrset`; None deletes it."""

    name: str
    type: str
    rrset: RRset | None


@dataclass(frozen=True, slots=True)
class ZoneView:
    """What a target holds now. `token` is None when the token TXT does not exist."""

    token: Token | None
    rrsets: tuple[RRset, ...]


class ApplyResult(StrEnum):
    """The name server's word on one update. UNKNOWN must be read again, never guessed."""

    APPLIED = "APPLIED"
    STALE = "STALE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Applied:
    """An update's result; `detail` says what to change where, for REFUSED."""

    result: ApplyResult
    detail: str = ""


class ReadFailure(StrEnum):
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    BROKEN = "broken"  # an answer that cannot be understood
    FOREIGN = "foreign"  # the token is another store's (I14)


@dataclass(frozen=True, slots=True)
class Unread:
    """A target that could not be read. `token` is the one found there, for FOREIGN."""

    failure: ReadFailure
    detail: str
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """One authoritative server's answer against what is wanted."""

    server: str
    agrees: bool
    detail: str = ""
