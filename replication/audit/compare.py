"""What differs between two nodes' copies of a mailbox, and how. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from mailward.replication.audit.contents import Contents, Folder, Message


class Kind(StrEnum):
    """In which way."""

    NO_FOLDER = "no-folder"  # a folder is on one node only
    FOLDER_GUID = "folder-guid"  # made on both: dsync of an INBOX with two GUIDs fails for ever
    UID_VALIDITY = "uid-validity"  # clients will load the folder anew
    MISSING = "missing"  # a message is on one node only: lost, on its way, or deleted on the other
    DUPLICATED = "duplicated"  # one GUID several times in a folder
    RENUMBERED = "renumbered"  # the same message has another UID
    FLAGS = "flags"


@dataclass(frozen=True, slots=True)
class Finding:
    """`node` is where it is found to be so, '' where it is so on both or between them; `what` is the GUID of
    the message. Two findings are the same whatever `detail` says."""

    folder: str
    kind: Kind
    node: str = ""
    what: str = ""
    detail: str = field(default="", compare=False)

    @property
    def is_difference(self) -> bool:
        """What both nodes have twice is no difference between them."""
        return self.kind is not Kind.DUPLICATED or bool(self.node)


@dataclass(frozen=True, slots=True)
class Copy:
    """A node's."""

    node: str
    contents: Contents


def suspects(one: Contents, other: Contents) -> frozenset[str]:
    """Folders whose messages have to be looked at."""
    return frozenset(one.keys() ^ other.keys()) | frozenset(
        name
        for name in one.keys() & other.keys()
        if one[name].digest != other[name].digest or one[name].doubled or other[name].doubled
    )


def agree(one: Contents, other: Contents) -> bool:
    """Whether nothing at all is to be reported."""
    return one == other and not any(folder.doubled for folder in one.values())


def compare(one: Copy, other: Copy) -> Iterator[Finding]:
    """Every difference; messages of `suspects` must have been kept."""
    for name in sorted(one.contents.keys() | other.contents.keys()):
        here, there = one.contents.get(name), other.contents.get(name)
        if here is None or there is None:
            lacks, has = (one, other) if here is None else (other, one)
            detail = f"{has.contents[name].count} messages at {has.node}"
            yield Finding(name, Kind.NO_FOLDER, lacks.node, detail=detail)
        elif here.guid != there.guid:
            detail = f"{here.guid} at {one.node}, {there.guid} at {other.node}"
            yield Finding(name, Kind.FOLDER_GUID, detail=detail)
        if here and there and here.uid_validity != there.uid_validity:
            detail = f"{here.uid_validity} at {one.node}, {there.uid_validity} at {other.node}"
            yield Finding(name, Kind.UID_VALIDITY, detail=detail)
        mine, theirs = _by_guid(here), _by_guid(there)
        for guid in sorted(mine.keys() | theirs.keys()):
            yield from _message(name, guid, (one.node, mine[guid]), (other.node, theirs[guid]))


_Copies = tuple[str, list[Message]]
"""Of one message in one folder: the node, and its copies there by UID."""


def _message(folder: str, guid: str, one: _Copies, other: _Copies) -> Iterator[Finding]:
    (node, mine), (elsewhere, theirs) = one, other
    if len(mine) != len(theirs):
        more, fewer = (one, other) if len(mine) > len(theirs) else (other, one)
        kind, where = (Kind.DUPLICATED, more[0]) if fewer[1] else (Kind.MISSING, fewer[0])
        yield Finding(folder, kind, where, guid, f"{_uids(more[1])} at {more[0]}")
        return
    if len(mine) > 1:
        yield Finding(folder, Kind.DUPLICATED, "", guid, _uids(mine))
    if [each.uid for each in mine] != [each.uid for each in theirs]:
        detail = f"{_uids(mine)} at {node}, {_uids(theirs)} at {elsewhere}"
        yield Finding(folder, Kind.RENUMBERED, "", guid, detail)
    if [each.flags for each in mine] != [each.flags for each in theirs]:
        detail = f"{_flags(mine)} at {node}, {_flags(theirs)} at {elsewhere}"
        yield Finding(folder, Kind.FLAGS, "", guid, detail)


def _by_guid(folder: Folder | None) -> defaultdict[str, list[Message]]:
    found: defaultdict[str, list[Message]] = defaultdict(list)
    for message in folder.messages if folder else ():
        found[message.guid].append(message)
    return found


def _uids(copies: list[Message]) -> str:
    return f"UID {', '.join(str(each.uid) for each in copies)}"


def _flags(copies: list[Message]) -> str:
    return ", ".join(" ".join(each.flags) or "no flags" for each in copies)
