"""Lag from Dovecot 2.3's replicator, of one node to its one peer.

Each `measure` asks for the cheap summary; the list of every user only where that leaves the lag open
(`judge.wants_listing`). No answer is STALE with the last figure, or UNKNOWN where there was none.
Measuring never kicks: whether to is the leader's to decide.

Dovecot 2.3 replicates to one peer (`mail_replica`); in a cluster of more nodes the figure is about
that peer, and the other directions have no source.
"""

from collections.abc import Sequence
from dataclasses import replace

from mailward.model.ports import Clock
from mailward.model.replication import Confidence, Lag
from mailward.replication.sources.doveadm import (
    KICK,
    OVERVIEW,
    PROCESS,
    SERVICES,
    SLOTS,
    USERS,
    Doveadm,
    DoveadmError,
    Malformed,
    Question,
    Row,
)
from mailward.replication.sources.judge import (
    Listing,
    Memory,
    Sample,
    figure,
    give_up,
    kicked,
    observe,
    study,
    wants_listing,
)
from mailward.replication.sources.replicator import (
    Process,
    User,
    read_overview,
    read_process,
    read_slot,
    read_user,
)

MAX_SUMMARY_ROWS = 1000


class Dovecot23Source:
    """A `LagSource`. `node` replicates to `peer`, both names of the configuration.

    Of more than `max_users` the first are judged, and the figure says so. A list takes the server
    longer than a summary: it has a deadline of its own.
    """

    def __init__(
        self,
        node: str,
        peer: str,
        doveadm: Doveadm,
        clock: Clock,
        *,
        timeout_s: float = 3.0,
        list_timeout_s: float = 20.0,
        list_every_s: float = 5.0,
        max_users: int = 50_000,
    ) -> None:
        self.node = node
        self.peer = peer
        self._doveadm = doveadm
        self._clock = clock
        self._timeout_s = timeout_s
        self._list_timeout_s = list_timeout_s
        self._list_every_s = list_every_s
        self._max_users = max_users
        self._memory: Memory | None = None
        self.answered = False
        """Whether doveadm has ever answered: what else is unknown, time will tell; this must be mended."""
        self._known: Lag | None = None
        self._known_at_s = 0.0

    async def measure(self) -> Sequence[Lag]:
        try:
            sample = await self._sample()
        except DoveadmError as error:
            return (self._unanswered(str(error)),)
        self.answered = True
        self._memory = observe(self._memory, sample)
        trouble = ""
        if wants_listing(self._memory, self._now_s(), self._list_every_s):
            asked_s = self._now_s()
            try:
                listing = await self._listing()  # what is kicked meanwhile stays kicked
                self._memory = study(self._memory, listing)
            except DoveadmError as error:
                self._memory = give_up(self._memory, asked_s, self._now_s() - asked_s)
                trouble = f"its users could not be listed: {error}"
        return (self._lag(self._memory, trouble),)

    async def kick(self) -> str:
        rows: list[Row] = []
        try:
            await self._doveadm.ask([KICK], lambda _, row: rows.append(row), self._timeout_s)
        except DoveadmError as error:
            return f"{self.node}: {error}"
        if self._memory is not None:
            self._memory = kicked(self._memory)
        return "" if rows and "result" in rows[0] else f"{self.node}: no word on the kick's result"

    def _now_s(self) -> float:
        return self._clock.now().boot_s

    async def _sample(self) -> Sample:
        asked_s = self._now_s()
        summary = _Summary()
        # Twice: who fails and leaves its slot between the two answers would be in neither.
        questions = [OVERVIEW, SLOTS, OVERVIEW, PROCESS, SERVICES]
        await self._doveadm.ask(questions, summary.take, self._timeout_s)
        overview = read_overview(summary.rows[OVERVIEW.name])
        return Sample(asked_s, self._now_s(), overview, summary.busy(), summary.process())

    async def _listing(self) -> Listing:
        asked_s = self._now_s()
        users = _Users(self._max_users)
        await self._doveadm.ask([USERS, SLOTS, PROCESS, SERVICES], users.take, self._list_timeout_s)
        took_s = self._now_s() - asked_s
        summary = users.summary
        return Listing(asked_s, took_s, users.users, summary.busy(), summary.process(), users.complete)

    def _lag(self, memory: Memory, trouble: str) -> Lag:
        now_s = self._now_s()
        found = figure(memory, now_s)
        details = "; ".join(part for part in (found.detail, trouble) if part)
        if found.seconds is None:
            self._known = None
            return self._word(Confidence.UNKNOWN, details)
        lag = replace(
            self._word(Confidence.KNOWN, details),
            seconds=found.seconds,
            mailboxes=found.mailboxes,
            failed_mailboxes=found.failed,
            age_s=max(0.0, now_s - memory.sample.asked_s),
        )
        self._known, self._known_at_s = lag, memory.sample.asked_s
        return lag

    def _unanswered(self, error: str) -> Lag:
        if self._known is None:
            return self._word(Confidence.UNKNOWN, error)
        age_s = max(0.0, self._now_s() - self._known_at_s)
        return replace(self._known, confidence=Confidence.STALE, age_s=age_s, detail=error)

    def _word(self, confidence: Confidence, detail: str) -> Lag:
        return Lag(self.node, self.peer, confidence, measured_by=self._doveadm.name, detail=detail)


class _Summary:
    """Gathers the few rows of a summary."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {q.name: [] for q in (OVERVIEW, SLOTS, PROCESS, SERVICES)}

    def take(self, question: Question, row: Row) -> None:
        rows = self.rows[question.name]
        if len(rows) == MAX_SUMMARY_ROWS:
            raise Malformed(f"more than {MAX_SUMMARY_ROWS} rows of {question.name}")
        rows.append(row)

    def busy(self) -> frozenset[str]:
        return frozenset(user for row in self.rows[SLOTS.name] if (user := read_slot(row)))

    def process(self) -> Process:
        return read_process(self.rows[PROCESS.name], self.rows[SERVICES.name])


class _Users:
    """Gathers users, three fields each, as their rows arrive."""

    def __init__(self, limit: int) -> None:
        self.users: dict[str, User] = {}
        self.complete = True
        self.summary = _Summary()
        self._limit = limit

    def take(self, question: Question, row: Row) -> None:
        if question is not USERS:
            self.summary.take(question, row)
        elif len(self.users) < self._limit:
            name, user = read_user(row)
            self.users[name] = user
        else:
            self.complete = False
