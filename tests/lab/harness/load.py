"""Real clients: senders that submit numbered messages, a reader that logs in and looks.

A sender behaves as a mail program does: it resolves the name, tries the addresses in the answer's order,
and keeps a message until some server said 250. Where there is an `mx`, every other message is tried there, as
by another mail server. Every attempt is recorded; `accepted` is what the audit then looks for on both nodes.
An attempt that ended without an answer after the message was sent is `unknown`: the message may exist twice
through the retry, which the audit does not count as a duplicate.
"""

from __future__ import annotations

import contextlib
import imaplib
import itertools
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import DOMAIN, IMAPS, SMTP, SUBMISSION, USERS, password
from tests.lab.harness.nameserver import ask

TIMEOUT_S = 4.0
LOADS: list[Load] = []
"""All there were, for what is asked of every one (`conftest`)."""


class Outcome(Enum):
    ACCEPTED = "accepted"
    TEMPFAIL = "tempfail"
    PERMFAIL = "permfail"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Attempt:
    """One message tried at one address."""

    number: int
    recipient: str
    address: str
    at: float
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class Read:
    """One login and SELECT."""

    user: str
    address: str
    at: float
    took_s: float
    error: str | None


@dataclass
class Load:
    """Senders and a reader; a context manager, or `start` and `stop`. With `mx` every other message comes to
    port 25 of that name, from outside."""

    cluster: Cluster
    run: str
    rate_per_s: float = 10.0
    senders: int = 2
    users: tuple[str, ...] = USERS
    submit_to: str = f"smtp.{DOMAIN}"
    read_from: str = f"imap.{DOMAIN}"
    mx: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers: Iterator[int] = itertools.count()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._tls = self.cluster.tls_context()
        LOADS.append(self)

    def __enter__(self) -> Load:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Load:
        jobs = [self._send_all] * self.senders + [self._read_all]
        self._threads = [
            threading.Thread(target=job, name=f"load-{i}", daemon=True) for i, job in enumerate(jobs)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Stop after the attempts under way; a message still unaccepted is given up, as never promised."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=8 * TIMEOUT_S)
            assert not thread.is_alive(), "a client hangs beyond its own deadlines"

    # What came of it

    @property
    def accepted(self) -> dict[int, str]:
        """Number to recipient of every message a server took responsibility for."""
        return {a.number: a.recipient for a in list(self.attempts) if a.outcome is Outcome.ACCEPTED}

    def of(self, outcome: Outcome) -> list[Attempt]:
        return [attempt for attempt in list(self.attempts) if attempt.outcome is outcome]

    def accepted_at(self, address: str) -> int:
        return sum(1 for attempt in self.of(Outcome.ACCEPTED) if attempt.address == address)

    def outage_s(self) -> float:
        """The longest time in which no message was accepted."""
        at = sorted(attempt.at for attempt in self.of(Outcome.ACCEPTED))
        return max((later - earlier for earlier, later in itertools.pairwise(at)), default=0.0)

    # Sending

    def _send_all(self) -> None:
        pause_s = self.senders / self.rate_per_s
        while not self._stopping.is_set():
            number = next(self._numbers)
            started = time.monotonic()
            while not self._stopping.is_set() and not self.send(number):
                self._stopping.wait(0.3)
            self._stopping.wait(max(0.0, pause_s - (time.monotonic() - started)))

    def send(self, number: int, address: str | None = None) -> bool:
        """Try one message once at each address (or at `address` only); True when one accepted it."""
        recipient = self.users[number % len(self.users)]
        port = SMTP if self.mx and number % 2 else SUBMISSION
        name = self.mx if port == SMTP else self.submit_to
        for target in [address] if address else self._resolve(name):
            at = time.time()
            outcome, detail = submit(target, recipient, self.run, number, self._tls, port)
            self.attempts.append(Attempt(number, recipient, target, at, outcome, detail))
            if outcome is Outcome.ACCEPTED:
                return True
        return False

    def _resolve(self, name: str) -> list[str]:
        """The resolver's answer; which comes first alternates, as a rotating resolver makes it."""
        answer = sorted(ask(self.cluster.addresses.resolver, name) or ())
        turn = len(self.attempts) % len(answer) if answer else 0
        return answer[turn:] + answer[:turn]

    # Reading

    def _read_all(self) -> None:
        for user in itertools.cycle(self.users):
            if self._stopping.wait(0.3):
                return
            for address in self._resolve(self.read_from):
                read = read_inbox(address, user, self._tls)
                self.reads.append(read)
                if read.error is None:
                    break


def message_id(run: str, number: int) -> str:
    return f"<{run}.{number}@lab.test>"


def submit(
    address: str, user: str, run: str, number: int, tls: ssl.SSLContext, port: int = SUBMISSION
) -> tuple[Outcome, str]:
    """One submission (STARTTLS, AUTH) from a user to himself, or, on port 25, what comes from outside; the
    outcome and the server's words."""
    sent = False
    client = None
    try:
        client = smtplib.SMTP(address, port, local_hostname="client.lab.test", timeout=TIMEOUT_S)
        client.starttls(context=tls)
        if port == SUBMISSION:
            client.login(user, password(user))
        client.ehlo_or_helo_if_needed()
        client.mail(user)
        code, words = client.rcpt(user)
        if code == 250:
            sent = True
            code, words = client.data(_text(user, run, number))
        outcome, detail = _classed(code), f"{code} {words.decode(errors='replace')}"
    except smtplib.SMTPResponseException as error:
        outcome, detail = _classed(error.smtp_code), str(error)
    except (OSError, smtplib.SMTPException) as error:
        outcome = Outcome.UNKNOWN if sent else Outcome.UNREACHABLE
        detail = f"{type(error).__name__}: {error}"
    if client is not None:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            client.quit()
        client.close()
    return outcome, detail


def _text(user: str, run: str, number: int) -> str:
    headers = {
        "From": user,
        "To": user,
        "Subject": f"{run} {number}",
        "Message-ID": message_id(run, number),
    }
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\nmail\r\n"


def _classed(code: int) -> Outcome:
    if code == 250:
        return Outcome.ACCEPTED
    if 400 <= code < 500:
        return Outcome.TEMPFAIL
    return Outcome.PERMFAIL if code >= 500 else Outcome.UNREACHABLE


def read_inbox(address: str, user: str, tls: ssl.SSLContext) -> Read:
    """Log in over IMAPS and select INBOX."""
    at, error = time.time(), None
    try:
        with imaplib.IMAP4_SSL(address, IMAPS, ssl_context=tls, timeout=TIMEOUT_S) as client:
            client.login(user, password(user))
            status, _ = client.select("INBOX", readonly=True)
            if status != "OK":
                error = f"SELECT: {status}"
    except (OSError, imaplib.IMAP4.error) as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Read(user, address, at, time.time() - at, error)
