"""Reads both nodes' copies of each mailbox, and again where they differ: what differs in every reading does
not come to rest by itself.

Few mailboxes are read at once, so that a node which serves is not slowed. What cannot be read is tried again,
then said of the mailbox; a node that several times in a row does not answer ends the audit, which tells what
it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mailward.model.errors import MailwardError
from mailward.replication.audit import contents
from mailward.replication.audit.compare import Copy, Finding, agree, compare, suspects
from mailward.replication.audit.contents import Reading
from mailward.replication.sources.doveadm import USERS, Doveadm, DoveadmError, Problem, Question, Row
from mailward.replication.sources.replicator import read_user

READINGS, BETWEEN_S = 3, 5.0
CONFIRMED = 2
"""So many readings must have succeeded, and a difference have been found in each of them."""
AT_ONCE, UNDER_WAY = 4, 64
"""Mailboxes that are read, and those among which are waiting to be read again."""
UNANSWERED_IN_A_ROW = 3
MOST_KEPT = 100
"""Findings of a mailbox; all are counted."""
MAILBOX_S, LIST_S = 60.0, 30.0
"""How long a node may take for an answer about one mailbox; for their list."""

_OF_THE_NODE = frozenset({Problem.REFUSED, Problem.UNREACHABLE, Problem.TIMEOUT, Problem.TLS, Problem.CLOSED})

Pause = Callable[[float], Awaitable[None]]


class AuditError(MailwardError):
    """The audit cannot begin; the text says which node does not answer, and how."""


class _Unread(Exception):
    """A mailbox could not be read; the text says on which node, and why."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One mailbox. `messages` are those of each node, in their order; of `findings` at most MOST_KEPT are
    kept, `counts` has them all by kind. `unread` says why it could not be compared to the end, '' if it was;
    `waits_at` names the nodes on which its replication waits."""

    mailbox: str
    messages: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    differs: bool = False
    unread: str = ""
    waits_at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What was audited of the `asked` mailboxes, in their order; `stopped` says why not all of them, '' if
    they were."""

    nodes: tuple[str, ...]
    asked: int
    audited: tuple[Audited, ...]
    stopped: str = ""
    interrupted: bool = False

    @property
    def differing(self) -> tuple[Audited, ...]:
        return tuple(each for each in self.audited if each.differs)

    @property
    def unread(self) -> tuple[Audited, ...]:
        return tuple(each for each in self.audited if each.unread)

    @property
    def agrees(self) -> bool:
        return len(self.audited) == self.asked and not (self.differing or self.unread)


class Auditor:
    """Of two nodes, by name. `told` is called after each mailbox; `pause` waits between two readings;
    `at_once` mailboxes are read side by side."""

    def __init__(
        self, nodes: Mapping[str, Doveadm], *,
        told: Callable[[Audited], None] = lambda audited: None,
        pause: Pause = asyncio.sleep, between_s: float = BETWEEN_S, at_once: int = AT_ONCE,
    ) -> None:  # fmt: skip
        if len(nodes) != 2:
            raise ValueError("an audit compares two nodes")
        self._nodes = dict(nodes)
        self._told = told
        self._pause = pause
        self._between_s = between_s
        self._reads = asyncio.Semaphore(at_once)
        self._silent: Counter[str] = Counter()
        self._stopped = ""

    async def mailboxes(self) -> list[str]:
        """All that either node's replicator lists; AuditError where one lists none, as just after its
        start."""
        lists = await asyncio.gather(*map(self._list, self._nodes))
        for node, names in zip(self._nodes, lists, strict=True):
            if not names:
                raise AuditError(f"the replicator of {node} lists no mailbox: has it just started?")
        return sorted(frozenset().union(*lists))

    async def audit(self, mailboxes: Iterable[str]) -> Report:
        """Audit these. Cancelled, it reports what it has."""
        names = list(mailboxes)
        found: dict[str, Audited] = {}
        interrupted = False
        under_way = asyncio.Semaphore(UNDER_WAY)

        async def one(name: str) -> None:
            async with under_way:
                audited = await self._mailbox(name)
            if audited is not None:
                found[name] = audited
                self._told(audited)

        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(one(name))
        except asyncio.CancelledError:
            interrupted = True
        audited = [found[name] for name in names if name in found]
        if not interrupted:
            audited = await self._with_waits(audited)
        stopped = "interrupted" if interrupted else self._stopped
        return Report(tuple(self._nodes), len(names), tuple(audited), stopped, interrupted)

    async def _mailbox(self, name: str) -> Audited | None:
        """None where the audit was stopped before enough was read."""
        audited, lasting, readings = Audited(name), dict[Finding, Finding](), 0
        for again in range(READINGS):
            if again:
                await self._pause(self._between_s)
            if self._stopped:
                return audited if audited.unread else None
            try:
                messages, found = await self._differences(name)
            except _Unread as error:
                audited = replace(audited, unread=str(error))
                continue
            lasting = {each: found[each] for each in found if not readings or each in lasting}
            audited, readings = Audited(name, messages), readings + 1
            if not lasting:
                return audited
        if readings < CONFIRMED:
            return replace(audited, unread=audited.unread or "it could be read only once")
        counts = Counter(str(each.kind) for each in lasting)
        differs = any(each.is_difference for each in lasting)
        kept = tuple(lasting.values())[:MOST_KEPT]
        found_in_all = dict(sorted(counts.items()))
        return replace(audited, findings=kept, counts=found_in_all, differs=differs, unread="")

    async def _differences(self, name: str) -> tuple[tuple[int, ...], dict[Finding, Finding]]:
        """How many messages each node has, and what differs now."""
        async with self._reads:
            one, other = await self._read(name)
            messages = tuple(sum(each.count for each in copy.contents.values()) for copy in (one, other))
            if agree(one.contents, other.contents):
                return messages, {}
            one, other = await self._read(name, suspects(one.contents, other.contents))
        return messages, {finding: finding for finding in compare(one, other)}

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
            self._note(node, error)
            raise _Unread(f"{node}: {error}") from error
        self._silent[node] = 0
        return Copy(node, reading.contents())

    def _note(self, node: str, error: DoveadmError) -> None:
        self._silent[node] = self._silent[node] + 1 if error.problem in _OF_THE_NODE else 0
        if self._silent[node] >= UNANSWERED_IN_A_ROW and not self._stopped:
            self._stopped = f"{node} did not answer {UNANSWERED_IN_A_ROW} times in a row: {error}"

    async def _with_waits(self, audited: Sequence[Audited]) -> list[Audited]:
        """What replication itself says of those that differ, if it says anything."""
        if not any(each.differs for each in audited):
            return list(audited)
        lists = await asyncio.gather(*map(self._list, self._nodes), return_exceptions=True)
        waiting = {
            node: frozenset(name for name, waits in listed.items() if waits)
            for node, listed in zip(self._nodes, lists, strict=True)
            if isinstance(listed, dict)
        }
        return [
            replace(each, waits_at=tuple(node for node in waiting if each.mailbox in waiting[node]))
            if each.differs
            else each
            for each in audited
        ]

    async def _list(self, node: str) -> dict[str, bool]:
        """Its mailboxes, and whether their replication waits."""
        found: dict[str, bool] = {}

        def take(_question: Question, row: Row) -> None:
            name, user = read_user(row)
            found[name] = user.waiting

        try:
            await self._nodes[node].ask([USERS], take, LIST_S)
        except DoveadmError as error:
            raise AuditError(f"{node} does not list its mailboxes: {error}") from error
        return found
