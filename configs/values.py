"""Single values: names, addresses, numbers with a unit, and the sentence for each way to get one wrong.

Every scalar comes from the file as text (`source`), so the field alone decides what it means: a site
called `no`, a port `022` or a time `1:30` are never something else by YAML's own rules. Every sentence
says what was found and what would be right. Values of secrets never come here.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

SHOWN = 60

_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_WITH_UNIT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([a-z]+)")
_SECONDS = {
    "ms": 0.001,
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
_BYTES = {"k": 10, "kb": 10, "kib": 10, "m": 20, "mb": 20, "mib": 20, "g": 30, "gb": 30, "gib": 30}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
_ENV = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_MAILBOX = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[A-Za-z0-9.-]{1,253}")


def wrong(sentence: str) -> PydanticCustomError:
    """The error of a validator, its text exactly as people will read it."""
    return PydanticCustomError("wrong", "{sentence}", {"sentence": sentence})


def shown(value: object) -> str:
    """A value in quotes, printable and short."""
    text = str(value)
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def plain(number: float) -> str:
    """5 for 5.0, 0.5 for 0.5."""
    return f"{number:.9f}".rstrip("0").rstrip(".")


def _text(value: object, wanted: str) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise wrong(f"empty: write {wanted}, or leave the line out")
    raise wrong(f"a single value is wanted here: write {wanted}")


def _seconds(match: re.Match[str]) -> str:
    return plain(float(match[1]) * _SECONDS[match[2]])


@dataclass(frozen=True)
class Seconds:
    """A duration in seconds between two bounds. `why` completes "… and LOW to HIGH is allowed: "."""

    low: float
    high: float
    why: str

    def check(self, value: object) -> float:
        text = _text(value, "seconds as a number, such as 5")
        if not _NUMBER.fullmatch(text):
            unit = _WITH_UNIT.fullmatch(text.strip().lower())
            if unit and unit[2] in _SECONDS:
                raise wrong(f"{shown(text)}: write seconds as a number: {_seconds(unit)}")
            raise wrong(f"{shown(text)} is not a number: write seconds as a number, such as 5")
        number = float(text) or 0.0  # and -0 is 0
        if self.low <= number <= self.high:
            return number
        sentence = (
            f"{plain(number)} is not between {plain(self.low)} and {plain(self.high)} seconds ({self.why})"
        )
        if self.low <= number / 1000 <= self.high:
            sentence += f"; {plain(number)} milliseconds would be {plain(number / 1000)}"
        raise wrong(sentence)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))


@dataclass(frozen=True)
class Count:
    """A whole number between two bounds; `unit` is its plural: `bytes`, `probes`."""

    low: int
    high: int
    unit: str
    why: str

    def check(self, value: object) -> int:
        text = _text(value, f"a whole number of {self.unit}")
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            unit = _WITH_UNIT.fullmatch(text.strip().lower())
            if self.unit == "bytes" and unit and unit[2] in _BYTES:
                whole = int(float(unit[1]) * (1 << _BYTES[unit[2]]))
                raise wrong(f"{shown(text)}: write bytes as a whole number: {whole}")
            if self.unit == "seconds" and unit and unit[2] in _SECONDS:
                raise wrong(f"{shown(text)}: write seconds as a number: {_seconds(unit)}")
            raise wrong(f"{shown(text)} is not a whole number of {self.unit}")
        if not self.low <= int(text) <= self.high:
            raise wrong(f"{int(text)} is not between {self.low} and {self.high} {self.unit} ({self.why})")
        return int(text)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))


def _port(value: object) -> int:
    text = _text(value, "a TCP port such as 993")
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise wrong(f"{shown(text)} is not a TCP port: write a number from 1 to 65535")
    return int(text)


def _switch(value: object) -> bool:
    text = _text(value, "true or false").lower()
    if text in ("true", "yes", "on"):
        return True
    if text in ("false", "no", "off"):
        return False
    raise wrong(f"{shown(text)} is neither true nor false")


def _name(value: object) -> str:
    text = _text(value, "a name")
    if _NAME.fullmatch(text):
        return text
    mended = re.sub(r"[^a-z0-9-]+", "-", text.lower())[:63].strip("-")
    hint = f": write {mended}" if mended else ""
    raise wrong(f"{shown(text)} is not a name here (a-z, 0-9 and -, at most 63 characters){hint}")


def _domain(value: object, example: str) -> str:
    text = _text(value, f"a name such as {example}").lower().removesuffix(".")
    if not text.isascii():
        raise wrong(f"{shown(text)} has letters outside ASCII: write its ASCII form (xn--…)")
    if len(text) <= 253 and text and all(_LABEL.fullmatch(label) for label in text.split(".")):
        return text
    raise wrong(f"{shown(text)} is not a DNS name: write one such as {example}")


def _host_name(value: object) -> str:
    name = _domain(value, "mail.example.com")
    if _is_address(name):
        raise wrong(f"{shown(name)} is an address: write a name such as mail.example.com")
    if "." not in name or "_" in name:
        raise wrong(f"{shown(name)} is not a full host name: write one such as mail.example.com")
    return name


def _zone(value: object) -> str:
    return _domain(value, "example.com")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _address(value: object) -> str:
    text = _text(value, "an IP address")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        bare = re.sub(r"(/[0-9]+|:[0-9]+)$", "", text).strip("[]")
        hint = f"write {bare}" if _is_address(bare) else "write one such as 192.0.2.10 or 2001:db8::10"
        raise wrong(f"{shown(text)} is not an IP address: {hint}") from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            raise wrong(f"{shown(text)} is an IPv4 address in IPv6 form: write {address.ipv4_mapped}")
        if address.is_link_local or address.scope_id:
            raise wrong(f"{shown(text)} is valid on one link only: write an address that others can reach")
    return str(address)


def _host_address(value: object) -> str:
    text = _address(value)
    address = ipaddress.ip_address(text)
    if address.is_unspecified or address.is_multicast or text == "255.255.255.255":
        raise wrong(f"{shown(text)} is not the address of one host")
    return text


class Listen(NamedTuple):
    """An address and a TCP or UDP port."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def _listen(value: object) -> Listen:
    """`0.0.0.0:53` or `[::]:53`."""
    text = _text(value, "an address and a port, such as 127.0.0.1:8080")
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([^:]*)", text)
    if match is None:
        raise wrong(f"{shown(text)} is not an address and a port: write 127.0.0.1:8080 or [::1]:8080")
    return Listen(_address(match[1] or match[2]), _port(match[3]))


def _server(value: object) -> Listen:
    """A name server: `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:53`; the port defaults to 53."""
    text = _text(value, "a name server's address")
    if re.fullmatch(r"\[[^\]]*\]:[^:]*|[^:]*:[^:]*", text):
        server = _listen(text)
        return Listen(_host_address(server.address), server.port)
    return Listen(_host_address(text), 53)


def _store_server(value: object) -> str:
    """A ZooKeeper server: `zk1.example.com:2281`, `192.0.2.7:2181` or `[2001:db8::7]:2181`."""
    text = _text(value, "a ZooKeeper server and its port")
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([^:]*)", text)
    if match is None:
        raise wrong(f"{shown(text)} is not a server and a port: write one such as zk1.example.com:2281")
    host, port = match[1] or match[2], _port(match[3])
    numeric = match[1] is not None or re.fullmatch(r"[0-9.]+", host)
    host = _host_address(host) if numeric else _domain(host, "zk1.example.com")
    return str(Listen(host, port))


def _env(value: object) -> str:
    text = _text(value, "the name of an environment variable")
    if not _ENV.fullmatch(text):
        # The value is not shown: it may be the secret itself, written in the wrong place.
        raise wrong("not the name of an environment variable: write a name such as MAILWARD_SECRET")
    return text


def _mail_address(value: object) -> str:
    text = _text(value, "an address such as canary@example.com")
    if not _MAILBOX.fullmatch(text):
        raise wrong(f"{shown(text)} is not a mail address: write one such as canary@example.com")
    return text


def _line(value: object) -> str:
    text = _text(value, "a text")
    if not text or len(text) > 255 or not text.isprintable():
        raise wrong(f"{shown(text)} is not a text of 1 to 255 printable characters")
    return text


def _mailbox(value: object) -> str:
    text = _line(value)
    if not text.isascii():
        raise wrong(f"{shown(text)} has letters outside ASCII: write a mailbox with a plain name")
    return text


def _rebased(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return path if base is None else Path(base) / path


def _path(value: object) -> str:
    text = _text(value, "a path")
    if not text.isprintable() or not text or len(text) > 1024:
        raise wrong(f"{shown(text)} is not a path")
    return text


Name = Annotated[str, BeforeValidator(_name)]
HostName = Annotated[str, BeforeValidator(_host_name)]
Zone = Annotated[str, BeforeValidator(_zone)]
Address = Annotated[str, BeforeValidator(_host_address)]
ListenOn = Annotated[Listen, BeforeValidator(_listen)]
Server = Annotated[Listen, BeforeValidator(_server)]
StoreServer = Annotated[str, BeforeValidator(_store_server)]
Port = Annotated[int, BeforeValidator(_port)]
Switch = Annotated[bool, BeforeValidator(_switch)]
EnvName = Annotated[str, BeforeValidator(_env)]
MailAddress = Annotated[str, BeforeValidator(_mail_address)]
Mailbox = Annotated[str, BeforeValidator(_mailbox)]
Line = Annotated[str, BeforeValidator(_line)]
File = Annotated[Path, BeforeValidator(_path), AfterValidator(_rebased)]
"""A path; a relative one starts at the folder of the configuration file."""
