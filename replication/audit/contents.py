"""What a node holds of one mailbox, folded from doveadm's rows as they arrive. Pure.

Of a folder a digest is kept, and its messages' GUIDs while it is read; messages only for folders that are
named. `\\Recent` says which session has seen a message, on each node for itself: it is left out, and Dovecot
looks up keywords whatever their case.

A message's row names the folder in which the message lies, and the GUID of the folder in which it was found:
in a virtual folder these are two, and the message is read where it lies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mailward.replication.sources.doveadm import Malformed, Question, Row, text_of

FOLDERS, MESSAGES = "folders", "messages"
MOST_FOLDERS = 20_000
_RECENT = "\\recent"
_DIGITS = 10
"""Of a UID or UIDVALIDITY, which have 32 bits."""


def questions(mailbox: str) -> tuple[Question, Question]:
    """What is asked of a node. The mailbox's name is a value of its own in both, never part of a command."""
    return (
        Question(
            FOLDERS,
            "mailboxStatus",
            {"user": mailbox, "field": ["guid", "uidvalidity"], "mailboxMask": ["*"]},
            ("mailbox", "status", "-u", mailbox, "guid uidvalidity", "*"),
        ),
        Question(
            MESSAGES,
            "fetch",
            {"user": mailbox, "field": ["mailbox", "mailbox-guid", "guid", "uid", "flags"], "query": ["ALL"]},
            ("fetch", "-u", mailbox, "mailbox mailbox-guid guid uid flags", "ALL"),
        ),
    )


@dataclass(frozen=True, slots=True)
class Message:
    """`flags` are in lower case and sorted, keywords among them."""

    guid: str
    uid: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """`doubled` counts messages whose GUID another one of the folder has; `messages` is empty where they were
    not asked for. `uid_validity` is 0 in a namespace whose folders doveadm does not list by `*`."""

    guid: str
    uid_validity: int
    count: int
    doubled: int
    digest: bytes
    messages: tuple[Message, ...] = ()


Contents = Mapping[str, Folder]
"""By the folder's name."""


@dataclass
class _Open:
    guid: str
    uid_validity: int = 0
    count: int = 0
    seen: set[str] = field(default_factory=set)
    digest: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    messages: list[Message] = field(default_factory=list)


class Reading:
    """Takes the rows of `questions`, in their order; `keep` names the folders whose messages are wanted."""

    def __init__(self, keep: Collection[str] = ()) -> None:
        self._keep = keep
        self._folders: dict[str, _Open] = {}

    def take(self, question: Question, row: Row) -> None:
        """Malformed where a row is not what doveadm says."""
        if question.name == FOLDERS:
            self._folder(row, "guid").uid_validity = _number(row, "uidvalidity")
        else:
            self._message(row)

    def contents(self) -> Contents:
        return {
            name: Folder(
                each.guid, each.uid_validity, each.count, each.count - len(each.seen),
                each.digest.digest(), tuple(each.messages),
            )
            for name, each in self._folders.items()
        }  # fmt: skip

    def _message(self, row: Row) -> None:
        folder = self._folder(row, "mailbox-guid")
        flags = sorted(flag for flag in text_of(row, "flags").lower().split(" ") if flag and flag != _RECENT)
        message = Message(text_of(row, "guid"), _number(row, "uid"), tuple(flags))
        if folder.guid != row["mailbox-guid"]:
            return
        folder.count += 1
        folder.seen.add(message.guid)
        digested = "\0".join((str(message.uid), message.guid, *flags, "\n"))
        folder.digest.update(digested.encode("utf-8", "surrogatepass"))
        if row["mailbox"] in self._keep:
            folder.messages.append(message)

    def _folder(self, row: Row, guid: str) -> _Open:
        name, found_in = text_of(row, "mailbox"), text_of(row, guid)
        folder = self._folders.get(name)
        if folder is None:
            if len(self._folders) == MOST_FOLDERS:
                raise Malformed(f"a mailbox of more than {MOST_FOLDERS} folders")
            folder = self._folders[name] = _Open(found_in)
        return folder


def _number(row: Row, name: str) -> int:
    text = text_of(row, name)
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise Malformed(f"{name} is no number")
    return int(text)
