"""What the lab is made of: names, users, ports, addresses. Everything else reads it here.

One Docker network per lab, `10.231.N.0/24` with the first N that is free, fixed addresses in it, the test
host at its gateway. The addresses of containers are used as they are, never published ports: client, prober
and name server must see real ports and real sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / "lab"
IMAGES = ("mailnode", "bind", "resolver", "power", "zookeeper38", "zookeeper39")

DOMAIN = "example.test"
ENDPOINTS = ("mail", "imap", "smtp")
TOKEN_NAME = f"_mailward-lab.{DOMAIN}"
NODE_NAMES = ("mail-a", "mail-b")
UNITS = ("dovecot", "postfix")
TTL_S = 5

USERS = tuple(f"u{number:02d}@{DOMAIN}" for number in range(50))
CANARY = f"canary@{DOMAIN}"
DOVEADM_API_KEY = "lab-api-key"

SMTP, SUBMISSION, IMAP, IMAPS, SSH, DOVEADM_HTTP, DSYNC = 25, 587, 143, 993, 22, 8080, 12345
CLIENT_PORTS = (SMTP, SUBMISSION, IMAP, IMAPS)


def password(user: str) -> str:
    """The password of any user of the lab, as the image's `provision` sets it."""
    return "secret-" + user.partition("@")[0]


def peer_of(node: str) -> str:
    """The other node."""
    return next(name for name in NODE_NAMES if name != node)


@dataclass(frozen=True)
class Addresses:
    """The addresses in network number `network`."""

    network: int

    def _host(self, host: int) -> str:
        return f"10.231.{self.network}.{host}"

    @property
    def subnet(self) -> str:
        return self._host(0) + "/24"

    @property
    def gateway(self) -> str:
        """The test host: where controller, clients and tests run."""
        return self._host(1)

    @property
    def ns1(self) -> str:
        return self._host(2)

    @property
    def ns2(self) -> str:
        return self._host(3)

    @property
    def resolver(self) -> str:
        return self._host(4)

    @property
    def witness(self) -> str:
        """Where a daemon beside no mail node has a network of its own."""
        return self._host(15)

    @property
    def bmc(self) -> str:
        """A simulated management controller."""
        return self._host(16)

    def zookeeper(self, number: int) -> str:
        """Server `number`, from 1."""
        return self._host(20 + number)

    def node(self, name: str) -> str:
        return self._host(11 + NODE_NAMES.index(name))

    def of_bind(self, role: str) -> dict[str, str]:
        """What a name server's image wants to know of them."""
        return {
            "ROLE": role,
            "NS1": self.ns1,
            "NS2": self.ns2,
            "MAIL_A": self.node("mail-a"),
            "MAIL_B": self.node("mail-b"),
            "WITNESS": self.witness,
            "CONTROLLER": self.gateway,
        }
