"""`mailward probe URL`: one dialogue against any server, stage by stage.

For the question "is it me or the server": the same code as the daemon's probes. The password comes
from a file or the environment, never from the command line, where every user could read it. It exits
with 0 only if every stage passed, 1 on a failure, 2 on a question that cannot be asked.
"""

import asyncio
import ipaddress
import json
import os
import re
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer

from mailward.health.dialogues import Account, ImapSettings, Security, SmtpSettings
from mailward.health.probe import Limits, run_probe
from mailward.health.streams import TcpConnector
from mailward.health.tls import TlsClient, client_context
from mailward.model.errors import ConfigError
from mailward.model.health import ProbeResult

PASSWORD_VARIABLE = "MAILWARD_PASSWORD"
MOST_BYTES = 64 * 1024
SCHEMES = {
    "smtp": (25, False),
    "smtps": (465, True),
    "submission": (587, False),
    "imap": (143, False),
    "imaps": (993, True),
}
"""Scheme to its usual port, and whether TLS begins at once."""

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252}[A-Za-z0-9.])?")


class UsageError(Exception):
    """The question cannot be asked; the text says what would be right."""


@dataclass(frozen=True, slots=True)
class Url:
    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Url":
        """scheme://host[:port]; `UsageError` says what is wrong with it."""
        known = ", ".join(SCHEMES)
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"{text}: {error}; write it like imaps://mail.example.com") from None
        if parts.scheme not in SCHEMES or not text.lower().startswith(f"{parts.scheme}://"):
            raise UsageError(f"{text}: it must begin with one of {known} and ://")
        if parts.username is not None or parts.password is not None:
            raise UsageError(f"user and password do not belong in the URL; use --login, and {_where()}")
        if not host or parts.path.strip("/") or parts.query or parts.fragment or not _is_host(host):
            raise UsageError(f"{text}: write it like {parts.scheme}://mail.example.com or …:PORT")
        if port == 0:
            raise UsageError(f"{text}: port 0 cannot be connected to")
        return cls(parts.scheme, host, port or SCHEMES[parts.scheme][0])

    @property
    def security(self) -> Security:
        return Security.IMPLICIT if SCHEMES[self.scheme][1] else Security.OFFERED

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def probe(
    url: Annotated[
        str, typer.Argument(help="smtp, smtps, submission, imap or imaps://HOST[:PORT]", show_default=False)
    ],
    login: Annotated[
        str | None,
        typer.Option("--login", metavar="USER", help=f"Log in too; password in ${PASSWORD_VARIABLE}."),
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="The file whose first line is the password.")
    ] = None,
    rcpt: Annotated[
        str | None,
        typer.Option("--rcpt", metavar="ADDRESS", help="Ask for this recipient too; nothing is sent."),
    ] = None,
    mailbox: Annotated[
        str, typer.Option("--mailbox", help="The mailbox to open read-only after an IMAP login; '' for none.")
    ] = "INBOX",
    ca: Annotated[
        Path | None, typer.Option("--ca", help="Trust the CAs in this PEM file instead of the system's.")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="No STARTTLS, even if offered: a password goes in clear.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=300, help="Seconds each stage may take.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask one server whether it serves, and show each stage with its time."""
    try:
        target = Url.parse(url)
        security = Security.PLAIN if plain and target.security is Security.OFFERED else target.security
        settings = _settings(target, security, _account(login, password_file), rcpt, mailbox)
        tls = None if security is Security.PLAIN else TlsClient(client_context(ca), target.host)
    except (UsageError, ConfigError, ValueError) as error:
        _refuse(str(error))
    limits = Limits(timeout, timeout, timeout, 10 * timeout)
    result = asyncio.run(run_probe(settings, TcpConnector(target.host, target.port), tls, limits))
    typer.echo(json.dumps(_as_object(target, result)) if as_json else _as_text(target, result))
    raise typer.Exit(0 if result.ok else 1)


def _refuse(problem: str) -> NoReturn:
    typer.echo(f"mailward probe: {problem}", err=True)
    raise typer.Exit(2)


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def _where() -> str:
    return f"give the password in ${PASSWORD_VARIABLE} or with --password-file"


def _account(login: str | None, password_file: Path | None) -> Account | None:
    if login is None:
        if password_file is not None:
            raise UsageError("--password-file is of use only with --login USER")
        return None
    if password_file is None:
        password = os.environ.get(PASSWORD_VARIABLE, "")
        if not password:
            raise UsageError(f"--login {login}: no password; {_where()}")
        return Account(login, password)
    try:
        lines = _small_file(password_file).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"--password-file {password_file}: {why}") from None
    if not lines or not lines[0]:
        raise UsageError(f"--password-file {password_file}: its first line is empty")
    return Account(login, lines[0])


def _small_file(file: Path) -> bytes:
    """A named pipe or a device must not keep us waiting, or be read for ever."""
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UsageError(f"--password-file {file}: it is not a regular file")
        content = os.read(handle, MOST_BYTES + 1)
    finally:
        os.close(handle)
    if len(content) > MOST_BYTES:
        raise UsageError(f"--password-file {file}: it is larger than {MOST_BYTES >> 10} KiB")
    return content


def _settings(
    url: Url, security: Security, account: Account | None, rcpt: str | None, mailbox: str
) -> SmtpSettings | ImapSettings:
    if url.scheme.startswith("imap"):
        if rcpt is not None:
            raise UsageError(f"--rcpt is for SMTP, and {url.scheme} is not")
        return ImapSettings(security, account, mailbox or None)
    return SmtpSettings(security, account, rcpt)


def _as_object(url: Url, result: ProbeResult) -> dict[str, Any]:
    return {
        "url": str(url),
        "ok": result.ok,
        "seconds": round(result.seconds, 6),
        "failure": asdict(result.failure) if result.failure else None,
        "stages": [{"stage": s.stage, "seconds": round(s.seconds, 6)} for s in result.stages],
        "answered_by": result.answered_by,
        "certificate": asdict(result.certificate) if result.certificate else None,
    }


def _as_text(url: Url, result: ProbeResult) -> str:
    rows = [str(url)]
    rows += [f"  {stage.stage:<12}{stage.seconds * 1000:9.1f} ms" for stage in result.stages]
    if result.failure is not None:
        rows.append(f"  {result.failure.stage:<12}{'FAILED':>9}")
    if result.answered_by is not None:
        rows.append(f"answered by  {result.answered_by}")
    if result.certificate is not None:
        shown = result.certificate
        rows.append(f"certificate  {', '.join(shown.names)}")
        rows.append(
            f"             {int(shown.days_left)} days left, issued by {shown.issuer or 'nobody named'}"
        )
    elif result.ok and url.security is Security.OFFERED:
        rows.append("certificate  none: the whole conversation was in clear")
    rows.append(f"FAILED: {result.failure}" if result.failure else f"OK in {result.seconds * 1000:.0f} ms")
    return "\n".join(rows)
