"""A node's power switch: a fence-agents program, what it is told, and where its secrets stand.

What options a program has only it can say: that is checked where it runs, by `config check --live` and by a
daemon that starts and may lead.
"""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SecretStr

from mailward.configs.sections import SecretEnv, SecretFile, SecretSection, Section, secret_env, secret_file
from mailward.configs.values import Seconds, shown, wrong

_SECRET = re.compile(r"passw|secret|token|apikey|api_key|community|hexadecimal_kg|key_value")
_NO_SECRET = ("_script", "_file")  # where one stands, or what tells it
_HOW = re.compile(
    r"(.*_)?(timeout|wait)|delay|retry_on|verbose|quiet|debug(_file)?|lanplus|cipher|privlvl|ssl.*"
)
_OLDER = {"ipaddr": "ip", "port": "plug", "login": "username"}
_SWITCH = {"yes": "1", "on": "1", "true": "1", "no": "0", "off": "0", "false": "0"}


def is_secret(option: str) -> bool:
    """Whether an option of this name holds a secret, with any agent that has it."""
    return bool(_SECRET.search(option.lower().replace("-", "_"))) and not option.endswith(_NO_SECRET)


def _program(value: Any) -> str:
    if isinstance(value, str):
        if re.fullmatch(r"fence_[A-Za-z0-9_]{1,50}", value):
            return value
        if value.startswith("/") and value.isprintable() and len(value) <= 1024 and Path(value).name:
            return value
    found = f"{shown(value)} is no program of fence-agents" if isinstance(value, str) else "empty"
    raise wrong(f"{found}: write a name such as fence_ipmilan, or an absolute path")


def _option(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", value):
        raise wrong(f"{shown(value)} is not the name of an option: write one such as ip")
    return value


def _value(value: Any) -> str:
    """One line of text. It is not shown: it may be a secret in the wrong place."""
    if not isinstance(value, str):
        raise wrong("a single value is wanted here: write a text, a number, true or false")
    if not value or len(value) > 255 or not value.isprintable():
        raise wrong("not a text of 1 to 255 printable characters")
    return value


Option = Annotated[str, BeforeValidator(_option)]


class AgentSecret(SecretSection):
    """A secret the program is told, such as the password of the account."""

    secret_name: ClassVar[str] = "secret"

    secret_file: SecretFile = secret_file("the secret")
    secret_env: SecretEnv = secret_env("the secret")

    @property
    def secret(self) -> SecretStr:
        return self._held()


class Agent(Section):
    """A program of fence-agents that switches the node off and on."""

    program: Annotated[str, BeforeValidator(_program)] = Field(
        description="A program of fence-agents, such as fence_ipmilan, or an absolute path."
    )
    options: dict[Option, Annotated[str, BeforeValidator(_value)]] = Field(
        default_factory=dict,
        description="What the program is told, by the names of its own: `PROGRAM -o metadata` lists them.",
    )
    secrets: dict[Option, AgentSecret] = Field(
        default_factory=dict,
        description="Options that are secrets, each with the file or variable that holds it.",
    )
    timeout_s: Annotated[
        float,
        Seconds(5, 300, "a management controller takes seconds, and a failover waits as long as that"),
    ] = Field(
        default=40,
        description="Seconds for switching it and reading it back. What is not done by then is UNKNOWN, and"
        " the program is ended.",
    )

    @property
    def acts_on(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """Equal where two agents act on the same thing. Options that only say how do not tell, nor do
        secrets, unless nothing else is said. Programs of one name are the same wherever they lie."""
        told = {_usual(name): _plain(value) for name, value in self.options.items()}
        what = {(name, value) for name, value in told.items() if not _HOW.fullmatch(name)}
        secrets = {(name, str(one.secret_file or one.secret_env)) for name, one in self.secrets.items()}
        return Path(self.program).name, frozenset(what or secrets)


def _usual(option: str) -> str:
    name = option.lower().replace("-", "_")
    return _OLDER.get(name, name)


def _plain(value: str) -> str:
    """A switch, an address or a name as it is written most simply."""
    text = value.strip().lower()
    try:
        return str(ip_address(text))
    except ValueError:
        return _SWITCH.get(text, text)
