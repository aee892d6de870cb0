"""Reads both nodes' copies of each mailbox, and again where they differ: what differs in every reading does
not come to rest by itself.

A few mailboxes at once, so that a node which serves is not slowed. What cannot be read is said of the
mailbox; after several in a row it is the node that does not answer, and the audit ends with what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mailward.model.errors import MailwardError
from mailward.replication.audit import contents
from mailward.replication.audit.compare import Copy, Finding, Kind, agree, compare, suspects
from mailward.replication.audit.contents import Reading
from mailward.replication.sources.doveadm import USERS, Doveadm, DoveadmError, Question, Row
from mailward.replication.sources.replicator import read_user

READINGS, BETWEEN_S = 3, 5.0
AT_ONCE = 4
UNREAD_IN_A_ROW = 3
MAILBOX_S, LIST_S = 60.0, 30.0
"""How long a node may take to answer for one mailbox; for their list."""

Pause = Callable[[float], Awaitable[None]]


class AuditError(MailwardError):
    """The audit cannot begin; the text says which node does not answer, and how."""


class _Unread(Exception):
    """A mailbox could not be read; the text says on which node, and why."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One mailbox. `messages` are those of each node, in their order; `unread` says why it could not be
    read, '' if it was."""

    mailbox: str
    messages: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()
    unread: str = ""

    @property
    def agrees(self) -> bool:
        return not self.findings and not self.unread


@dataclass(frozen=True, slots=True)
class Report:
    """What was audited, in the order asked for; `stopped` says why it ended early, '' if it did not."""

    nodes: tuple[str, ...]
    audited: tuple[Audited, ...]
    stopped: str = ""

    @property
    def agrees(self) -> bool:
        return not self.stopped and all(each.agrees for each in self.audited)


class Auditor:
    """Of two nodes, by name. `told` is called after each mailbox; `pause` waits between two readings."""

    def __init__(
        self, nodes: Mapping[str, Doveadm], *,
        told: Callable[[Audited], None] = lambda audited: None,
        pause: Pause = asyncio.sleep, between_s: float = BETWEEN_S,
    ) -> None:  # fmt: skip
        if len(nodes) != 2:
            raise ValueError("an audit compares two nodes")
        self._nodes = dict(nodes)
        self._told = told
        self._pause = pause
        self._between_s = between_s
        self._unread = 0
        self._stopped = ""

    async def mailboxes(self) -> dict[str, frozenset[str]]:
        """By name, the nodes that replicate it; AuditError where a node does not list them."""
        lists = await asyncio.gather(*(self._list(node) for node in self._nodes))
        known = {node: frozenset(names) for node, names in zip(self._nodes, lists, strict=True)}
        everybody = sorted(frozenset().union(*known.values()))
        return {name: frozenset(node for node in known if name in known[node]) for name in everybody}

    async def audit(self, mailboxes: Mapping[str, frozenset[str]]) -> Report:
        """Audit these; as `mailboxes` has them."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> Audited | None:
            async with slots:
                if self._stopped:
                    return None
                audited = await self._mailbox(name, mailboxes[name])
                self._count(audited)
                self._told(audited)
                return audited

        found = await asyncio.gather(*map(one, mailboxes))
        audited = tuple(each for each in found if each is not None)
        return Report(tuple(self._nodes), audited, self._stopped)

    def _count(self, audited: Audited) -> None:
        self._unread = self._unread + 1 if audited.unread else 0
        if self._unread >= UNREAD_IN_A_ROW and not self._stopped:
            self._stopped = f"{self._unread} mailboxes in a row could not be read; the last: {audited.unread}"

    async def _mailbox(self, name: str, known: frozenset[str]) -> Audited:
        lacking = [node for node in self._nodes if node not in known]
        if lacking:
            return Audited(
                name, findings=tuple(Finding(name, "", Kind.UNKNOWN_MAILBOX, at) for at in lacking)
            )
        try:
            return await self._compared(name)
        except _Unread as error:
            return Audited(name, unread=str(error))

    async def _compared(self, name: str) -> Audited:
        """Only what is found in each reading, as it was in the last."""
        lasting: dict[Finding, Finding] = {}
        for reading in range(READINGS):
            if reading:
                await self._pause(self._between_s)
            one, other = await self._read(name)
            messages = tuple(sum(each.count for each in copy.contents.values()) for copy in (one, other))
            if agree(one.contents, other.contents):
                return Audited(name, messages)
            one, other = await self._read(name, suspects(one.contents, other.contents))
            found = {finding: finding for finding in compare(name, one, other)}
            lasting = {each: found[each] for each in found if not reading or each in lasting}
            if not lasting:
                break
        return Audited(name, messages, tuple(lasting.values()))

    async def _read(self, name: str, keep: frozenset[str] = frozenset()) -> tuple[Copy, Copy]:
        asked = (self._copy(node, name, keep) for node in self._nodes)
        one, other = await asyncio.gather(*asked, return_exceptions=True)
        troubles = [each for each in (one, other) if isinstance(each, BaseException)]
        for trouble in troubles:
            if not isinstance(trouble, _Unread):
                raise trouble
        if isinstance(one, BaseException) or isinstance(other, BaseException):
            raise _Unread("; ".join(map(str, troubles)))
        return one, other

    async def _copy(self, node: str, name: str, keep: frozenset[str]) -> Copy:
        reading = Reading(keep)
        try:
            # Each by itself: having become the mailbox's owner, Dovecot may look up nobody for a second one.
            for question in contents.questions(name):
                await self._nodes[node].ask([question], reading.take, MAILBOX_S)
        except DoveadmError as error:
            raise _Unread(f"{node}: {error}") from error
        return Copy(node, reading.contents())

    async def _list(self, node: str) -> list[str]:
        names: list[str] = []

        def take(_question: Question, row: Row) -> None:
            names.append(read_user(row)[0])

        try:
            await self._nodes[node].ask([USERS], take, LIST_S)
        except DoveadmError as error:
            raise AuditError(f"{node} does not list its mailboxes: {error}") from error
        return names
