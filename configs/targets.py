"""DNS targets: where endpoints are published. Each is one of `rfc2136` and `embedded`."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr

from mailward.configs.sections import SecretEnv, SecretFile, SecretSection, Section, secret_env, secret_file
from mailward.configs.values import (
    Address,
    File,
    HostName,
    Listen,
    ListenOn,
    Port,
    Server,
    Zone,
    shown,
    wrong,
)


class Tsig(SecretSection):
    """The key that signs updates (`tsig-keygen` makes one)."""

    secret_name: ClassVar[str] = "secret"

    name: Zone = Field(description="The key's name, as the name server knows it.")
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field(
        default="hmac-sha256", description="One of hmac-sha256, hmac-sha384, hmac-sha512."
    )
    secret_file: SecretFile = secret_file("the key's secret in base64")
    secret_env: SecretEnv = secret_env("the key's secret in base64")

    @property
    def secret(self) -> SecretStr:
        return self._held()


class Rfc2136(Section):
    """A name server that takes signed dynamic updates: BIND, Knot, PowerDNS."""

    server: Address = Field(description="The IP address of the zone's primary: an update must not need DNS.")
    port: Port = Field(default=53, description="Its port.")
    zone: Zone = Field(description="The zone, such as example.com.")
    tsig: Tsig = Field(description="The key that signs updates; without one anybody could send them.")
    secondaries: tuple[Server, ...] = Field(
        default=(),
        description="The zone's other name servers (192.0.2.54 or 192.0.2.54:5353): they are told of a"
        " change at"
        " once, and asked whether they answer it.",
    )
    verify: tuple[Server, ...] | None = Field(
        default=None,
        description="The servers asked after a change besides the primary. Default: all secondaries;"
        " without any, those the zone names. For a secondary that cannot be reached from here.",
    )

    @property
    def primary(self) -> Listen:
        return Listen(self.server, self.port)

    @property
    def verified(self) -> tuple[Listen, ...] | None:
        """The servers that are asked after a change, the primary first; None: it and those the zone names."""
        others = self.secondaries or None if self.verify is None else self.verify
        return None if others is None else tuple(dict.fromkeys((self.primary, *others)))


def _contact(value: Any) -> str:
    """The SOA's RNAME from a mail address: `hostmaster@example.com` is `hostmaster.example.com`."""
    text = value if isinstance(value, str) else ""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(@|\.)[A-Za-z0-9.-]{1,190}", text):
        raise wrong(f"{shown(value)} is not a contact: write one such as hostmaster@example.com")
    return text.lower().replace("@", ".").removesuffix(".")


class Embedded(Section):
    """The daemon itself answers for a small zone delegated to it (an NS record in the parent zone)."""

    zone: Zone = Field(description="The delegated zone, such as mail.example.com.")
    listen: tuple[ListenOn, ...] = Field(
        default=(Listen("0.0.0.0", 53),),
        description="Addresses and ports to answer on, UDP and TCP, such as 0.0.0.0:53 or [::]:53.",
    )
    ns: tuple[HostName, ...] = Field(
        description="The zone's name servers, as the parent zone delegates to them."
    )
    contact: Annotated[str, BeforeValidator(_contact)] | None = Field(
        default=None,
        description="The zone's contact for the SOA, such as hostmaster@example.com. Default: hostmaster of"
        " the zone.",
    )
    state_file: File | None = Field(
        default=None,
        description="Where the zone is kept over a restart. Default: in the coordination directory.",
    )


class Target(Section):
    """One place to publish in."""

    rfc2136: Rfc2136 | None = Field(default=None, description="A name server that takes dynamic updates.")
    embedded: Embedded | None = Field(default=None, description="The daemon itself.")

    @property
    def zone(self) -> str:
        """The zone's name, lower-case, without the final dot; '' when the target is of no kind."""
        kind = self.rfc2136 or self.embedded
        return kind.zone if kind else ""


def within(name: str, zone: str) -> bool:
    """Whether `name` is the zone or lies below it."""
    return bool(zone) and (name == zone or name.endswith("." + zone))
