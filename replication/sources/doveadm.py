"""The few things asked of doveadm, and the one way of asking, whatever carries it.

A closed list, and the two of `audit.contents` about a mailbox: nothing a caller passes in ever becomes part
of a command, the mailbox's name is a value of its own. `*` is the only user mask, because Dovecot's masks
know only `*` and `?` and match nobody, silently, on anything else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Question:
    """One doveadm command, as the HTTP API's method and as words after `doveadm`."""

    name: str
    method: str
    parameters: Mapping[str, object]
    words: tuple[str, ...]

    @property
    def of_mailbox(self) -> bool:
        """Whether it is about one mailbox: what fails then is no fault of the replicator's."""
        return "user" in self.parameters


OVERVIEW = Question("overview", "replicatorStatus", {}, ("replicator", "status"))
USERS = Question("users", "replicatorStatus", {"userMask": "*"}, ("replicator", "status", "*"))
SLOTS = Question("slots", "replicatorDsyncStatus", {}, ("replicator", "dsync-status"))
PROCESS = Question(
    "process", "processStatus", {"service": ["replicator"]}, ("process", "status", "replicator")
)
SERVICES = Question(
    "services",
    "serviceStatus",
    {"service": ["replicator", "doveadm"]},
    ("service", "status", "replicator", "doveadm"),
)
KICK = Question("kick", "replicatorReplicate", {"userMask": "*"}, ("replicator", "replicate", "*"))
QUESTIONS = (OVERVIEW, USERS, SLOTS, PROCESS, SERVICES, KICK)


STATUSES = {67: "it has no such user", 68: "no such folder", 75: "a failure for now", 124: "it took too long"}
"""What exit statuses mean of a question about one mailbox."""


def status_text(question: Question, status: int) -> str:
    meaning = STATUSES.get(status, "") if question.of_mailbox else ""
    return f"exit status {status}{f' ({meaning})' if meaning else ''}"


class Problem(StrEnum):
    """Why a question has no answer."""

    REFUSED = "refused"  # nobody listens
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CLOSED = "closed"  # no answer, or half of one
    TLS = "tls"
    DENIED = "denied"  # the key, or the SSH forced command, says no
    COMMAND = "command"  # doveadm answered with an error
    PROTOCOL = "protocol"  # an answer that is not doveadm's


class DoveadmError(Exception):
    """Expected: `measure` and `kick` turn it into a value. Its text holds no secret."""

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(f"{problem}: {detail}")
        self.problem = problem


class Malformed(DoveadmError):
    """The answer is not what Dovecot 2.3 says."""

    def __init__(self, detail: str) -> None:
        super().__init__(Problem.PROTOCOL, detail)


def text_of(row: Row, field: str) -> str:
    """Malformed where the row lacks it."""
    try:
        return row[field]
    except KeyError:
        raise Malformed(f"a row without {field!r}") from None


Take = Callable[[Question, Row], None]


class Doveadm(Protocol):
    """A way to a node's doveadm. `name` says which, for people."""

    name: str

    async def ask(self, questions: Sequence[Question], take: Take, deadline_s: float) -> None:
        """Ask in this order; hand over each row as it arrives. DoveadmError when any has no answer:
        what was handed over by then is worth nothing."""
        ...
