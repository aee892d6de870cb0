"""A replicator as Dovecot 2.3.19 was seen to behave, in virtual time: enough of it to set its traps.

Users are popped into dsync slots with priority `none`; a black-holed peer hangs the slots for 30 s and
then fails them; a refusing one fails at once; failed users wait 300 s, and hold up the full resyncs
behind them. A killed replicator starts again at once with the memory of its last dump.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailward.model.clock import Moment
from mailward.replication.sources.doveadm import (
    KICK,
    OVERVIEW,
    PROCESS,
    SERVICES,
    SLOTS,
    USERS,
    DoveadmError,
    Problem,
    Question,
    Row,
    Take,
)
from mailward.replication.sources.dovecot23 import Dovecot23Source

HANG_S = 30.0
RETRY_S = 300.0


@dataclass(frozen=True)
class Entry:
    """A user in the replicator's memory."""

    priority: str = "none"
    fast_s: float | None = None
    success_s: float | None = None
    failed: bool = False


class Replicator:
    """One node's doveadm and the replicator behind it; also the clock of whoever measures it."""

    name = "a model of Dovecot"

    def __init__(self, users: int = 5, slots: int = 2, synced_s_ago: float | None = 60.0) -> None:
        self.now_s = 100_000.0
        success_s = None if synced_s_ago is None else self.now_s - synced_s_ago
        self.users = {f"u{n}": Entry(fast_s=success_s, success_s=success_s) for n in range(users)}
        self.slots: dict[str, float] = {}
        self.max_slots = slots
        self.peer = "up"
        self.answers = True
        self.list_answers = True
        self.list_takes_s = 0.0
        self.dies_after: Question | None = None
        self.slots_fail_after: Question | None = None
        self.dump: dict[str, Entry] = {}
        self.pid, self.started, self.requests, self.crash_s = 114, 1, 1, 0
        self.asked: list[str] = []

    # What happens to it.

    def change(self, *names: str) -> None:
        for name in names:
            self.users[name] = replace(self.users.get(name, Entry()), priority="high")
        self._fill()

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        for name, since_s in list(self.slots.items()):
            if self.peer == "up" or self.now_s - since_s >= HANG_S:
                self._end(name, ok=self.peer == "up")
        self._fill()

    def peer_told_us(self, name: str) -> None:
        """The peer's replicator synchronised the user and said so: only `fast sync` moves."""
        self.users[name] = replace(self.users[name], fast_s=self.now_s)

    def kill(self) -> None:
        """kill -9 of the replicator: the master starts another, with the users of the last dump."""
        known = list(self.users)
        self.users = {name: self.dump.get(name, Entry()) for name in known}
        self.slots = {}
        self.pid, self.started, self.crash_s = self.pid + 1, self.started + 1, 1795431015

    def reboot(self) -> None:
        """The whole node dies and comes back to the same pids, as a container does."""
        pid = self.pid
        self.kill()
        self.pid, self.started, self.requests, self.crash_s = pid, 1, 0, 0

    # The inside.

    def _end(self, name: str, ok: bool) -> None:
        del self.slots[name]
        entry = self.users[name]
        self.users[name] = replace(entry, failed=not ok, success_s=self.now_s if ok else entry.success_s)

    def _due(self) -> list[str]:
        ready = [
            name
            for name, entry in self.users.items()
            if name not in self.slots
            and (
                entry.priority != "none"
                or (entry.failed and self.now_s - (entry.fast_s or 0.0) >= RETRY_S)
                or (entry.fast_s is None and not any(other.failed for other in self.users.values()))
            )
        ]
        return sorted(ready, key=lambda name: (self.users[name].priority == "none", name))

    def _fill(self) -> None:
        for name in self._due():
            if len(self.slots) < self.max_slots:
                self.users[name] = replace(self.users[name], priority="none", fast_s=self.now_s)
                self.slots[name] = self.now_s
                if self.peer == "refuses":
                    self._end(name, ok=False)

    # What it says.

    async def ask(self, questions: Sequence[Question], take: Take, deadline_s: float) -> None:
        self.requests += 1
        for question in questions:
            self.asked.append(question.name)
            if not self.answers:
                raise DoveadmError(Problem.REFUSED, "connection refused")
            if question is USERS:
                self.now_s += self.list_takes_s
                if not self.list_answers:
                    raise DoveadmError(Problem.TIMEOUT, "no whole answer")
            for row in self._rows(question):
                take(question, row)
            if question is self.dies_after:
                self.kill()
            if question is self.slots_fail_after:
                for name in list(self.slots):
                    self._end(name, ok=False)

    def _rows(self, question: Question) -> list[Row]:
        if question is OVERVIEW:
            return self._overview()
        if question is USERS:
            return [self._user(name, entry) for name, entry in self.users.items()]
        if question is SLOTS:
            idle = {"username": "", "type": "-", "status": "Not connected"}
            hang = {"type": "full", "status": "Waiting for dsync to finish"}
            return [*({"username": name, **hang} for name in self.slots), idle]
        if question is PROCESS:
            return [{"name": "replicator", "pid": str(self.pid)}]
        if question is SERVICES:
            return [
                {
                    "name": "replicator",
                    "process_total": str(self.started),
                    "exit_failure_last": str(self.crash_s),
                },
                {"name": "doveadm", "process_total": str(self.requests), "exit_failure_last": "0"},
            ]
        assert question is KICK
        for name, entry in self.users.items():
            self.users[name] = replace(entry, priority="low" if entry.priority == "none" else entry.priority)
        self._fill()
        return [{"result": f"{len(self.users)} users updated"}]

    def _overview(self) -> list[Row]:
        entries = self.users.values()
        idle = [entry for entry in entries if entry.priority == "none"]
        counts = {
            "Queued 'sync' requests": 0,
            "Queued 'high' requests": sum(entry.priority == "high" for entry in entries),
            "Queued 'low' requests": sum(entry.priority == "low" for entry in entries),
            "Queued 'failed' requests": 0,
            "Queued 'full resync' requests": sum(e.fast_s is None and not e.failed for e in idle),
            "Waiting 'failed' requests": sum(entry.failed for entry in idle),
            "Total number of known users": len(self.users),
        }
        return [{"field": field, "value": str(count)} for field, count in counts.items()]

    def _user(self, name: str, entry: Entry) -> Row:
        return {
            "username": name,
            "priority": entry.priority,
            "fast sync": self._age(entry.fast_s),
            "full sync": "-",
            "success sync": self._age(entry.success_s),
            "failed": "y" if entry.failed else "-",
        }

    def _age(self, at_s: float | None) -> str:
        if at_s is None:
            return "-"
        minutes, seconds = divmod(int(self.now_s - at_s), 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"

    # The clock.

    def now(self) -> Moment:
        return Moment("boot", self.now_s, self.now_s)


def source(replicator: Replicator, max_users: int = 50_000) -> Dovecot23Source:
    return Dovecot23Source("mail-a", "mail-b", replicator, replicator, max_users=max_users)
