"""Nodes: where they are, how their helper is reached, how their replication is measured, and what switches
their power (`power`).

`helper` and `replication` exist twice: under a node, and at the top as defaults of all nodes. A node's own
key wins; `effective` merges.
"""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr

from mailward.configs.power import Agent
from mailward.configs.sections import SecretEnv, SecretFile, SecretSection, Section, secret_env, secret_file
from mailward.configs.values import Address, Count, File, HostName, Line, Name, Port, shown, wrong


def _none_or_section(value: Any) -> Any:
    """`none` says that there is none; an empty section says nothing, so that defaults apply."""
    if value is None:
        return {}
    if value == "none":
        return None
    if isinstance(value, str):
        raise wrong(f"{shown(value)}: write `none`, or a section")
    return value


def _section(value: Any) -> Any:
    """An empty section is one with defaults, not none."""
    return {} if value is None else value


def _url(value: Any) -> str:
    """An HTTP URL without path or credentials. One with credentials is not shown."""
    example = "http://192.0.2.10:8080"
    if not isinstance(value, str):
        raise wrong(f"a URL is wanted here: write one such as {example}")
    if "@" in value:
        raise wrong("a URL without a user or a password is wanted: the key goes into api_key_file")
    match = re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]{1,255}/?", value)
    try:
        parts = urlsplit(value)
        good = bool(match and parts.hostname and parts.port != 0)
    except ValueError:
        good = False
    if not good:
        raise wrong(f"{shown(value)} is not the URL of a server: write one such as {example}")
    return value.rstrip("/")


class Ssh(Section):
    """The unprivileged account on the node whose only command is `mailward-node`."""

    user: Line = Field(default="mailward", description="The account's name.")
    port: Port = Field(default=22, description="sshd's TCP port.")
    key_file: File = Field(
        default=Path("/etc/mailward/ssh_key"),
        description="The private key, without a passphrase.",
    )
    known_hosts_file: File = Field(
        default=Path("/etc/mailward/known_hosts"),
        description="The nodes' host keys, as ssh-keyscan writes them: an unknown host is never trusted.",
    )
    address: Address | None = Field(
        default=None,
        description="The IP address sshd is reached at. Default: the node's `probe_address`, else its first"
        " address.",
    )

    def reached_at(self, address: str) -> Self:
        """This account with `address` where it says none."""
        return self.model_copy(update={"address": self.address or address})


class Helper(Section):
    """How the node's helper, which closes and opens its client ports, is reached."""

    ssh: Ssh = Field(default_factory=Ssh, description="Over SSH.")


class Doveadm(SecretSection):
    """Dovecot's doveadm HTTP API (`service doveadm { inet_listener http { … } }`)."""

    secret_name: ClassVar[str] = "api_key"

    url: Annotated[str, BeforeValidator(_url)] | None = Field(
        default=None,
        description="Its address, such as http://192.0.2.10:8080. Default: port 8080 of the node's"
        " `probe_address`, else of its first address.",
    )
    api_key_file: SecretFile = secret_file("doveadm_api_key")
    api_key_env: SecretEnv = secret_env("doveadm_api_key")

    @property
    def api_key(self) -> SecretStr:
        return self._held()


class LagSsh(Ssh):
    """The unprivileged account on the node whose only command is `mailward-doveadm`."""

    user: Line = Field(default="mailward-lag", description="The account's name.")
    key_file: File = Field(
        default=Path("/etc/mailward/lag_key"),
        description="The private key, without a passphrase; not the helper's, which runs another command.",
    )


class Replication(Section):
    """How it is measured how far the node's mailboxes are behind: one of the two."""

    doveadm: Annotated[Doveadm | None, BeforeValidator(_section)] = Field(
        default=None, description="By Dovecot's HTTP API."
    )
    ssh: Annotated[LagSsh | None, BeforeValidator(_section)] = Field(
        default=None, description="By doveadm on the node, over SSH."
    )


MaybeHelper = Annotated[Helper | None, BeforeValidator(_none_or_section)]
MaybeReplication = Annotated[Replication | None, BeforeValidator(_none_or_section)]


class ServiceHere(Section):
    """What differs on one node."""

    port: Port = Field(description="The TCP port on this node.")


class Node(Section):
    """A mail server."""

    site: Name = Field(description="The site it stands in: nodes of one site may fail together.")
    addresses: tuple[Address, ...] = Field(
        description="Its IP addresses, IPv4 and IPv6, as clients are given them."
    )
    hostname: HostName | None = Field(
        default=None,
        description="The full name the server gives itself in its greetings. With it a probe knows that this"
        " node answered, and not another behind the same address.",
    )
    probe_address: Address | None = Field(
        default=None,
        description="The IP address to probe, if not the first of `addresses`. An address, because probes"
        " must not depend on DNS.",
    )
    services: dict[Name, ServiceHere] = Field(
        default_factory=dict, description="Services whose port differs on this node."
    )
    priority: Annotated[int, Count(0, 1000, "steps", "the order is what counts")] = Field(
        default=0,
        description="In a cluster: of several standbys the one with the highest is promoted.",
    )
    helper: MaybeHelper = Field(
        default_factory=Helper,
        description="How its helper is reached, where that differs; `none` where no helper runs: then its"
        " client ports are never closed.",
    )
    replication: MaybeReplication = Field(
        default_factory=Replication,
        description="How its lag is measured, where that differs; `none` where its mail is not replicated.",
    )
    agent: Annotated[Agent | None, BeforeValidator(_section)] = Field(
        default=None, description="What switches its power, if anything does."
    )
