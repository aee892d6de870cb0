"""IMAP as a client speaks it: greeting, CAPABILITY, STARTTLS, LOGIN, EXAMINE, NOOP, LOGOUT.

The mailbox is opened with EXAMINE, never SELECT: a probe reads. Opening INBOX can still be what makes
it (Dovecot), and made on both nodes it never replicates again, so the account must be one whose
mailbox was created once and replicated; `mailbox=None` stops after LOGIN, which is weaker evidence.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass

from mailward.health.dialogues.account import Account
from mailward.health.dialogues.dialogue import Dialogue, Need, Script, Security
from mailward.model.health import FailureKind

_QUOTABLE = re.compile(rb"[ -~]*")
_CODE = re.compile(rb"\[([A-Za-z0-9-]+)[^\]]*\]")
_HOST = re.compile(r"(?=.{4,255}$)[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_TRANSIENT = frozenset({b"UNAVAILABLE", b"SERVERBUG", b"INUSE", b"LIMIT"})


@dataclass(frozen=True, slots=True)
class ImapSettings:
    """How far to go. `mailbox` is opened read-only after the login; None leaves it alone."""

    security: Security = Security.PLAIN
    account: Account | None = None
    mailbox: str | None = "INBOX"

    def __post_init__(self) -> None:
        if self.mailbox is not None and not (
            self.mailbox.isascii() and self.mailbox.isprintable() and self.mailbox
        ):
            raise ValueError(f"mailbox: only printable ASCII names can be probed, not {self.mailbox[:80]!r}")


Waiting = Generator[Need, bytes, None]


class _Imap(Dialogue):
    """What the probe and the held connection share."""

    farewell = b"bye LOGOUT\r\n"

    def __init__(self, settings: ImapSettings) -> None:
        self._settings = settings
        self._tags = 0
        self._capabilities: frozenset[bytes] = frozenset()
        super().__init__(settings.account.secrets if settings.account else ())

    def _greeting(self) -> Waiting:
        self._enter("greeting")
        line = yield Need.LINE
        words = line.split(maxsplit=2)
        kind = words[1].upper() if len(words) > 1 and words[0] == b"*" else b""
        if kind == b"BYE":
            self._fail(FailureKind.TEMPFAIL, self._quote(line))
        if kind == b"PREAUTH":
            self._fail(FailureKind.PROTOCOL, "PREAUTH: this port is no place to log in")
        if kind != b"OK":
            self._fail(FailureKind.PROTOCOL, f"not an IMAP greeting: {self._quote(line)}")
        self.answered_by = _host_in(words[2] if len(words) > 2 else b"")

    def _command(self, stage: str, *parts: bytes) -> Waiting:
        """One stage: send a command, wait for its tagged OK. Each part but the last ends with a
        literal's length, and waits for the server to ask for the rest."""
        self._enter(stage)
        self._tags += 1
        tag = b"m%d" % self._tags
        self._send(tag + b" " + parts[0] + b"\r\n")
        for part in parts[1:]:
            yield from self._answer(tag, continuing=True)
            self._send(part + b"\r\n")
        yield from self._answer(tag)

    def _answer(self, tag: bytes, continuing: bool = False) -> Waiting:
        """Read to the tagged OK, or to the '+' that asks for a literal."""
        while True:
            line = yield Need.LINE
            first, _, rest = line.partition(b" ")
            if first == b"*":
                self._untagged(rest, line)
            elif first == b"+" and continuing:
                return
            elif first == tag:
                if self._tagged(rest, line) and not continuing:
                    return
                self._fail(FailureKind.PROTOCOL, f"unexpected answer: {self._quote(line)}")
            else:
                self._fail(FailureKind.PROTOCOL, f"not an IMAP answer: {self._quote(line)}")

    def _untagged(self, rest: bytes, line: bytes) -> None:
        words = rest.upper().split()
        if words[:1] == [b"BYE"] and not self._leaving:
            self._fail(FailureKind.TEMPFAIL, self._quote(line))
        if words[:1] == [b"CAPABILITY"]:
            self._capabilities = frozenset(words[1:])

    def _tagged(self, rest: bytes, line: bytes) -> bool:
        """True for OK; fails for NO and BAD; False for anything else."""
        status, _, text = rest.partition(b" ")
        status = status.upper()
        if status in (b"NO", b"BAD"):
            code = _CODE.match(text)
            said = self._quote(line.partition(b" ")[2])
            if code and code[1].upper() in _TRANSIENT:
                self._fail(FailureKind.TEMPFAIL, said)
            refused_login = self.stage == "login" and status == b"NO"
            self._fail(FailureKind.LOGIN if refused_login else FailureKind.REJECTED, said)
        return status == b"OK"


class ImapDialogue(_Imap):
    """A probe's dialogue, from the greeting to the answer to LOGOUT."""

    def _script(self) -> Script:
        settings = self._settings
        yield from self._greeting()
        yield from self._command("capability", b"CAPABILITY")
        if settings.security in (Security.STARTTLS, Security.OFFERED):
            yield from self._secure()
        if settings.account is not None:
            yield from self._login(settings.account)
            if settings.mailbox is not None:
                yield from self._command("examine", *_joined(b"EXAMINE", settings.mailbox))
        yield from self._command("noop", b"NOOP")
        self._leaving = True
        yield from self._command("logout", b"LOGOUT")

    def _secure(self) -> Waiting:
        """STARTTLS, and the capabilities anew: those from before may have been an attacker's."""
        if b"STARTTLS" not in self._capabilities:
            if self._settings.security is Security.OFFERED and self._settings.account is None:
                return
            self._enter("starttls")
            self._fail(FailureKind.TLS, "the server does not offer STARTTLS")
        yield from self._command("starttls", b"STARTTLS")
        yield Need.TLS
        self._capabilities = frozenset()
        yield from self._command("capability", b"CAPABILITY")

    def _login(self, account: Account) -> Waiting:
        if b"LOGINDISABLED" in self._capabilities:
            self._enter("login")
            self._fail(FailureKind.LOGIN, "the server takes no LOGIN here (LOGINDISABLED): use TLS")
        yield from self._command("login", *_joined(b"LOGIN", account.login, account.password))


class ImapHold(_Imap):
    """A held connection: greeting, then a NOOP each time it is told to proceed. It never logs in."""

    def _script(self) -> Script:
        yield from self._greeting()
        while True:
            yield Need.WORD
            yield from self._command("noop", b"NOOP")


def _joined(verb: bytes, *arguments: str) -> tuple[bytes, ...]:
    """A command in parts: arguments quoted where that is possible, else as literals (RFC 3501, 4.3)."""
    parts = [verb]
    for argument in arguments:
        raw = argument.encode()
        if _QUOTABLE.fullmatch(raw):
            parts[-1] += b' "' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        else:
            parts[-1] += b" {%d}" % len(raw)
            parts.append(raw)
    return tuple(parts)


def _host_in(text: bytes) -> str | None:
    """The first word that looks like a host name, behind the response code if there is one."""
    code = _CODE.match(text)
    words = text[code.end() if code else 0 :].decode("ascii", "replace").split()
    return next((word for word in (w.strip(".,;()<>") for w in words) if _HOST.fullmatch(word)), None)
