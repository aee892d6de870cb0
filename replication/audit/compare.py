"""What differs between two nodes' copies of a mailbox, and how. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from mailward.replication.audit.contents import Contents, Folder, Message

INBOX = "INBOX"


class Kind(StrEnum):
    """In which way."""

    UNKNOWN_MAILBOX = "unknown-mailbox"  # one node has never heard of it
    NO_FOLDER = "no-folder"  # a folder is on one node only
    FOLDER_GUID = "folder-guid"  # made on both: dsync of an INBOX with two GUIDs fails for ever
    UID_VALIDITY = "uid-validity"  # clients will load the folder anew
    MISSING = "missing"  # a message is on one node only
    DUPLICATED = "duplicated"  # one GUID twice in a folder
    RENUMBERED = "renumbered"  # the same message has another UID
    FLAGS = "flags"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `node` is where it is found to be so, '' where neither node is the one; `what` is the
    message's GUID. Two findings are the same whatever `detail` says."""

    mailbox: str
    folder: str
    kind: Kind
    node: str = ""
    what: str = ""
    detail: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Copy:
    """A node's."""

    node: str
    contents: Contents


def suspects(one: Contents, other: Contents) -> frozenset[str]:
    """Folders whose messages have to be looked at."""
    return frozenset(
        name
        for name in one.keys() & other.keys()
        if one[name].digest != other[name].digest or one[name].doubled or other[name].doubled
    )


def agree(one: Contents, other: Contents) -> bool:
    """Whether nothing at all is to be reported."""
    return one == other and not any(folder.doubled for folder in one.values())


def compare(mailbox: str, one: Copy, other: Copy) -> Iterator[Finding]:
    """Every difference; messages of `suspects` must have been kept."""
    for name in sorted(one.contents.keys() | other.contents.keys()):
        there = [copy for copy in (one, other) if name in copy.contents]
        if len(there) == 1:
            (lacks,) = [copy.node for copy in (one, other) if copy is not there[0]]
            count = there[0].contents[name].count
            yield Finding(mailbox, name, Kind.NO_FOLDER, lacks, detail=f"{count} messages at {there[0].node}")
        else:
            yield from _folders(mailbox, name, one, other)


def _folders(mailbox: str, name: str, one: Copy, other: Copy) -> Iterator[Finding]:
    here, there = one.contents[name], other.contents[name]
    if here.guid != there.guid:
        yield Finding(mailbox, name, Kind.FOLDER_GUID, detail=_apart(one, here.guid, other, there.guid))
    if here.uid_validity != there.uid_validity:
        detail = _apart(one, str(here.uid_validity), other, str(there.uid_validity))
        yield Finding(mailbox, name, Kind.UID_VALIDITY, detail=detail)
    mine, theirs = _by_guid(here), _by_guid(there)
    for guid in sorted(mine.keys() | theirs.keys()):
        for node, copies in ((one.node, mine[guid]), (other.node, theirs[guid])):
            if len(copies) > 1:
                uids = ", ".join(str(each.uid) for each in copies)
                yield Finding(mailbox, name, Kind.DUPLICATED, node, guid, f"UIDs {uids}")
        yield from _messages(mailbox, name, guid, (one.node, mine[guid]), (other.node, theirs[guid]))


def _messages(
    mailbox: str, folder: str, guid: str, one: tuple[str, list[Message]], other: tuple[str, list[Message]]
) -> Iterator[Finding]:
    """One message's copies on the two nodes."""
    for (node, copies), (elsewhere, others) in ((one, other), (other, one)):
        if not copies:
            detail = f"UID {others[0].uid} at {elsewhere}"
            yield Finding(mailbox, folder, Kind.MISSING, node, guid, detail)
            return
    (node, mine), (elsewhere, theirs) = one, other
    if {each.uid for each in mine} != {each.uid for each in theirs}:
        detail = f"UID {mine[0].uid} at {node}, {theirs[0].uid} at {elsewhere}"
        yield Finding(mailbox, folder, Kind.RENUMBERED, "", guid, detail)
    if {each.flags for each in mine} != {each.flags for each in theirs}:
        detail = f"{_flags(mine[0])} at {node}, {_flags(theirs[0])} at {elsewhere}"
        yield Finding(mailbox, folder, Kind.FLAGS, "", guid, detail)


def _by_guid(folder: Folder) -> defaultdict[str, list[Message]]:
    found: defaultdict[str, list[Message]] = defaultdict(list)
    for message in folder.messages:
        found[message.guid].append(message)
    return found


def _flags(message: Message) -> str:
    return " ".join(message.flags) or "no flags"


def _apart(one: Copy, here: str, other: Copy, there: str) -> str:
    return f"{here} at {one.node}, {there} at {other.node}"
