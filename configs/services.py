"""Services and how they are probed: ports, protocols, the canary account, certificates."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr

from mailward.configs.sections import SecretEnv, SecretFile, SecretSection, Section, secret_env, secret_file
from mailward.configs.values import Count, File, HostName, Line, MailAddress, Mailbox, Port, Seconds, Switch


class Protocol(StrEnum):
    """What a probe speaks. `smtps` and `imaps` begin with TLS."""

    SMTP = "smtp"
    SMTPS = "smtps"
    SUBMISSION = "submission"
    IMAP = "imap"
    IMAPS = "imaps"

    @property
    def for_users(self) -> bool:
        """Whether people log in here; port 25 is for other servers."""
        return self is not Protocol.SMTP

    @property
    def speaks_imap(self) -> bool:
        return self in (Protocol.IMAP, Protocol.IMAPS)

    @property
    def begins_with_tls(self) -> bool:
        return self in (Protocol.SMTPS, Protocol.IMAPS)


STANDARD_PORTS = {
    Protocol.SMTP: 25,
    Protocol.SMTPS: 465,
    Protocol.SUBMISSION: 587,
    Protocol.IMAP: 143,
    Protocol.IMAPS: 993,
}


class Probe(Section):
    """One dialogue, as a client would hold it, again and again."""

    interval_s: Annotated[float, Seconds(0.2, 60, "slower finds a failure too late, faster is a load")] = (
        Field(
            default=3.0,
            description="Seconds between probes. Between them the held connection (`sentinel`) sees a crash"
            " at once and a hang within 2 s; without it a hang waits for the next probe.",
        )
    )
    timeout_s: Annotated[float, Seconds(0.1, 30, "a server that needs longer serves nobody")] = Field(
        default=1.2,
        description="Seconds the server may take for what it answers out of hand: connect, greeting, the"
        " first"
        " byte of TLS. Not longer than `interval_s`: probes would pile up.",
    )
    work_timeout_s: Annotated[float, Seconds(0.1, 60, "a server that needs longer serves nobody")] = Field(
        default=3.0,
        description="Seconds for what makes it work: login, opening the mailbox, a recipient.",
    )
    down_after: Annotated[int, Count(1, 20, "probes", "more would hide a failure")] = Field(
        default=2,
        description="Failed probes in a row that make a service DOWN; after the first the next follows at"
        " once.",
    )
    up_after: Annotated[int, Count(1, 20, "probes", "more would keep a healed node out")] = Field(
        default=3,
        description="Good probes in a row that make it UP again: slower up than down, so that it does not"
        " flap.",
    )
    login: Literal["canary", "none"] | None = Field(
        default=None,
        description="`canary` or `none`: whether the probe logs in. Default: `canary` where people log in"
        " and a"
        " `canary` section exists; a greeting alone says little about a server.",
    )
    mailbox: Mailbox = Field(
        default="INBOX",
        description="The mailbox an IMAP probe opens, to read only (EXAMINE); never one that opening would"
        " create on both nodes.",
    )
    rcpt: MailAddress | None = Field(
        default=None,
        description="A recipient an SMTP probe offers (and then resets: nothing is sent). It shows a queue"
        " without room, where Postfix refuses the sender; not a full mail disk.",
    )
    tls_name: HostName | None = Field(
        default=None,
        description="The name the certificate must hold. Default: the endpoint clients use for this"
        " service, else"
        " the node's `hostname`.",
    )
    starttls: Switch | None = Field(
        default=None,
        description="`true` or `false`: whether the probe demands STARTTLS, and a valid certificate with it."
        " Default: true for submission and imap; false for smtp, where no sending server looks.",
    )


class Service(Section):
    """A client-facing service of every node."""

    port: Port | None = Field(default=None, description="A TCP port. Default: the protocol's standard port.")
    protocol: Protocol | None = Field(
        default=None,
        description="One of smtp, smtps, submission, imap, imaps. Default: the service's name.",
    )
    probe: Probe = Field(default_factory=Probe, description="How it is probed.")
    sentinel: Switch = Field(
        default=True,
        description="`true` or `false`: hold one cheap connection whose end triggers a probe at once."
        " False where"
        " the server counts connections strictly.",
    )


DEFAULT_SERVICES = ("smtp", "submission", "imaps")


def default_services() -> dict[str, Service]:
    return {name: Service() for name in DEFAULT_SERVICES}


class Canary(SecretSection):
    """The account probes log in with: an ordinary mailbox that nobody uses, existing on every node."""

    secret_name: ClassVar[str] = "password"

    user: Line = Field(description="The canary's login name, such as canary@example.com.")
    password_file: SecretFile = secret_file("the canary's password")
    password_env: SecretEnv = secret_env("the canary's password")

    @property
    def password(self) -> SecretStr:
        return self._held()


class Tls(Section):
    """Which certificates are believed."""

    ca_file: File | None = Field(
        default=None,
        description="A PEM file of CA certificates to believe instead of the system's: for a private CA.",
    )
