"""SMTP as a client speaks it: banner, EHLO, STARTTLS, AUTH, MAIL FROM and RCPT TO, QUIT.

A banner proves a process, AUTH proves the login behind it, RCPT proves the tables; none proves
delivery (with Dovecot dead or the disk full, port 25 still says 250 and queues). DATA is never sent:
RSET ends the envelope. A server that greets late on purpose (postscreen) must list the observers.
"""

import base64
import re
from collections.abc import Generator
from dataclasses import dataclass

from mailward.health.dialogues.account import Account
from mailward.health.dialogues.dialogue import Dialogue, Need, Script, Security
from mailward.model.health import FailureKind

_REPLY = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_ADDRESS = re.compile(r"[!-;=?-~]{1,320}")  # printable ASCII without < and >


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """How far to go. `sender` '' is the null sender; `recipient` None stops before the envelope."""

    security: Security = Security.PLAIN
    account: Account | None = None
    recipient: str | None = None
    sender: str = ""
    ehlo_name: str = "probe.mailward.invalid"

    def __post_init__(self) -> None:
        for name, value in (("recipient", self.recipient), ("sender", self.sender or None)):
            if value is not None and not _ADDRESS.fullmatch(value):
                raise ValueError(f"{name}: not a mail address: {value[:80]!r}")
        if not _NAME.fullmatch(self.ehlo_name):
            raise ValueError(f"ehlo_name: not a host name: {self.ehlo_name[:80]!r}")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply: its code, and the text of each line."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def features(self) -> dict[str, tuple[str, ...]]:
        """An EHLO reply's keywords with their parameters, upper-case."""
        words = [line.decode("ascii", "replace").upper().split() for line in self.lines[1:]]
        return {line[0]: tuple(line[1:]) for line in words if line}


Replying = Generator[Need, bytes, Reply]


class _Smtp(Dialogue):
    """What the probe and the held connection share."""

    farewell = b"QUIT\r\n"

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        super().__init__(settings.account.secrets if settings.account else ())

    def _reply(self) -> Replying:
        lines: list[bytes] = []
        first: bytes | None = None
        while True:
            line = yield Need.LINE
            match = _REPLY.fullmatch(line)
            if match is None or first not in (None, match[1]):
                self._fail(FailureKind.PROTOCOL, f"not an SMTP reply: {self._quote(line)}")
            first = match[1]
            lines.append(match[3] or b"")
            if match[2] != b"-":
                return Reply(int(first), tuple(lines))

    def _exchange(self, stage: str, command: bytes | None, *wanted: int) -> Replying:
        """One stage: send, and get one of the wanted codes or fail."""
        self._enter(stage)
        if command is not None:
            self._send(command + b"\r\n")
        return (yield from self._expect(*wanted))

    def _expect(self, *wanted: int) -> Replying:
        reply = yield from self._reply()
        if reply.code in wanted:
            return reply
        said = self._quote(b"%d %s" % (reply.code, reply.lines[-1]))
        if reply.code >= 500:
            self._fail(FailureKind.LOGIN if self.stage == "auth" else FailureKind.REJECTED, said)
        if reply.code >= 400:
            self._fail(FailureKind.TEMPFAIL, said)
        self._fail(FailureKind.PROTOCOL, f"unexpected answer: {said}")

    def _open(self) -> Replying:
        """Banner and EHLO."""
        banner = yield from self._exchange("banner", None, 220)
        word = banner.lines[0].split(maxsplit=1)[:1]
        name = word[0].decode("ascii", "replace") if word else ""
        self.answered_by = name if _NAME.fullmatch(name) else None
        return (yield from self._ehlo())

    def _ehlo(self) -> Replying:
        return (yield from self._exchange("ehlo", b"EHLO " + self._settings.ehlo_name.encode(), 250))


class SmtpDialogue(_Smtp):
    """A probe's dialogue, from the banner to the answer to QUIT."""

    def _script(self) -> Script:
        settings = self._settings
        hello = yield from self._open()
        if settings.security in (Security.STARTTLS, Security.OFFERED):
            hello = yield from self._secure(hello)
        if settings.account is not None:
            yield from self._authenticate(hello, settings.account)
        if settings.recipient is not None:
            yield from self._exchange("mail", f"MAIL FROM:<{settings.sender}>".encode(), 250)
            yield from self._exchange("rcpt", f"RCPT TO:<{settings.recipient}>".encode(), 250, 251, 252)
            yield from self._exchange("rset", b"RSET", 250)
        self._leaving = True
        yield from self._exchange("quit", b"QUIT", 221)

    def _secure(self, hello: Reply) -> Replying:
        """STARTTLS, and EHLO again inside it."""
        if "STARTTLS" not in hello.features:
            if self._settings.security is Security.OFFERED and self._settings.account is None:
                return hello
            self._enter("starttls")
            self._fail(FailureKind.TLS, "the server does not offer STARTTLS")
        yield from self._exchange("starttls", b"STARTTLS", 220)
        yield Need.TLS
        return (yield from self._ehlo())

    def _authenticate(self, hello: Reply, account: Account) -> Replying:
        offered = hello.features.get("AUTH", ())
        if "PLAIN" in offered:
            return (yield from self._exchange("auth", b"AUTH PLAIN " + account.sasl_plain, 235))
        if "LOGIN" in offered:
            yield from self._exchange("auth", b"AUTH LOGIN", 334)
            for answer, wanted in ((account.login, 334), (account.password, 235)):
                self._send(base64.b64encode(answer.encode()) + b"\r\n")
                reply = yield from self._expect(wanted)
            return reply
        self._enter("auth")
        found = self._quote(" ".join(offered).encode()) or "none"
        self._fail(FailureKind.LOGIN, f"the server offers no AUTH PLAIN or LOGIN here, but {found}")


class SmtpHold(_Smtp):
    """A held connection: banner, EHLO, then a NOOP each time it is told to proceed."""

    def _script(self) -> Script:
        yield from self._open()
        while True:
            yield Need.WORD
            yield from self._exchange("noop", b"NOOP", 250)
