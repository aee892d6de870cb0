"""The engine under both dialogues: bytes in, events out; no socket, no clock.

A dialogue is a generator which reads like the protocol: it sends, then waits for a line, for TLS, or
(held connections) for the word to go on. The engine cuts lines, keeps the limits, and turns every way
a peer can misbehave into one `Failed` event. It never raises, whatever the bytes.

A driver calls `start`, then `receive` with whatever arrives, `secured` after the TLS handshake it was
asked for, `lost` when the connection ends, and does what the events say, in order.

Left out: IMAP literals in server responses (no answer to our commands has them), pipelining.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import NoReturn

from mailward.health.dialogues.lines import LineBuffer, TooMuch, printable
from mailward.model.health import Failure, FailureKind


class Security(StrEnum):
    """When TLS begins. OFFERED uses STARTTLS where the server has it, and sends no password without."""

    PLAIN = "plain"
    OFFERED = "offered"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True)
class Enter:
    """A stage begins: restart the stage's deadline."""

    stage: str


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the server; they may hold the password, so their repr does not show them."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartTls:
    """Do the TLS handshake now, then call `secured`."""


@dataclass(frozen=True, slots=True)
class Idle:
    """A held connection is at rest; `proceed` asks the server once more whether it answers."""


@dataclass(frozen=True, slots=True)
class Done:
    """The dialogue reached its end; close."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The dialogue is over; close."""

    failure: Failure


Event = Enter | Send | StartTls | Idle | Done | Failed


class Need(Enum):
    """What a script waits for."""

    LINE = "line"
    TLS = "tls"
    WORD = "word"


Script = Generator[Need, bytes, None]


class Broken(Exception):
    """Inside a script: the dialogue failed, in the present stage."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class Dialogue(ABC):
    """One conversation with one server. `answered_by` is the name it gave itself, if it did."""

    farewell: bytes = b""
    """What ends a held connection politely; nobody waits for the answer."""

    def __init__(self, secrets: Sequence[bytes] = ()) -> None:
        self.stage = "connect"
        self.answered_by: str | None = None
        self._leaving = False
        self._secrets = tuple(secret.lower() for secret in secrets)
        self._lines = LineBuffer()
        self._events: list[Event] = []
        self._generator = self._script()
        self._need: Need | None = None

    @abstractmethod
    def _script(self) -> Script: ...

    # What a driver calls.

    def start(self) -> list[Event]:
        self._resume(None)
        return self._run()

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes of the server (not empty; its end is `lost`)."""
        if self._need is not None:
            self._lines.feed(data)
        return self._run()

    def secured(self) -> list[Event]:
        """TLS is up: go on inside it."""
        if self._need is Need.TLS:
            self._resume(b"")
        return self._run()

    def proceed(self) -> list[Event]:
        """Ask a resting held connection for a sign of life."""
        if self._need is Need.WORD:
            self._lines.renew()
            self._resume(b"")
        return self._run()

    def lost(self, kind: FailureKind, detail: str = "") -> list[Event]:
        """The connection ended. After our goodbye that is what should happen."""
        if self._need is not None:
            if self._leaving:
                self._finish(Done())
            else:
                self._finish(Failed(Failure(kind, self.stage, detail)))
        return self._take()

    # What a script uses.

    def _enter(self, stage: str) -> None:
        self.stage = stage
        self._events.append(Enter(stage))

    def _send(self, data: bytes) -> None:
        self._events.append(Send(data))

    def _fail(self, kind: FailureKind, detail: str) -> NoReturn:
        raise Broken(kind, detail)

    def _quote(self, raw: bytes) -> str:
        """Server text for a detail. A server that repeats what we sent must not put it in a log."""
        folded = raw.lower()
        if any(secret in folded for secret in self._secrets):
            return "(text withheld: it repeats what was sent)"
        return printable(raw)

    # The engine.

    def _run(self) -> list[Event]:
        while self._need is Need.LINE:
            try:
                line = self._lines.next()
            except TooMuch as much:
                self._break(FailureKind.PROTOCOL, str(much))
                break
            if line is None:
                break
            self._resume(line)
        if self._need in (Need.TLS, Need.WORD) and not self._lines.empty:
            # Bytes before the handshake could be an attacker's, answered as if they came inside it.
            detail = "bytes before the TLS handshake" if self._need is Need.TLS else "it spoke unasked"
            self._events = [event for event in self._events if not isinstance(event, StartTls | Idle)]
            self._break(FailureKind.PROTOCOL, detail)
        return self._take()

    def _resume(self, line: bytes | None) -> None:
        try:
            self._need = next(self._generator) if line is None else self._generator.send(line)
        except StopIteration:
            self._finish(Done())
        except Broken as broken:
            self._break(broken.kind, broken.detail)
        else:
            if self._need is Need.TLS:
                self._events.append(StartTls())
            elif self._need is Need.WORD:
                self._events.append(Idle())

    def _break(self, kind: FailureKind, detail: str) -> None:
        self._finish(Failed(Failure(kind, self.stage, detail)))

    def _finish(self, event: Done | Failed) -> None:
        self._events.append(event)
        self._need = None
        self._lines.drop()
        self._generator.close()

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        return events
