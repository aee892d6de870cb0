"""What is said between us and ZooKeeper, as values; and how kazoo writes the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kazoo.protocol.states import ZnodeStat
from kazoo.security import ACL, Id, Permissions

from mailward.controller.coordination.tls import Tls


@dataclass(frozen=True, slots=True)
class Login:
    """Who a client is by SASL (DIGEST-MD5): nothing of the password but a digest is sent."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the ensemble is, as `host:port`, and how long a session outlives its daemon."""

    addresses: tuple[str, ...]
    session_s: float = 10.0
    call_s: float = 2.0
    tls: Tls | None = None
    login: Login | None = None


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """What somebody may do with a znode: `may` has letters, in their order, of `PERMISSIONS`. `who` is a
    certificate's subject where `scheme` is `x509`, a user where it is `sasl`."""

    scheme: str
    who: str
    may: str


Acl = tuple[Grant, ...]
"""Sorted; empty: anybody may do anything."""

PERMISSIONS = {
    "a": Permissions.ADMIN,  # change this
    "c": Permissions.CREATE,  # below it
    "d": Permissions.DELETE,  # below it
    "r": Permissions.READ,
    "w": Permissions.WRITE,
}


@dataclass(frozen=True, slots=True)
class Znode:
    """`moved` rises with every write, also when it is made anew; `owner` is the session it ends with."""

    content: bytes
    version: int
    moved: int
    owner: int = 0
    children: int = 0


@dataclass(frozen=True, slots=True)
class Create:
    path: str
    content: bytes
    ephemeral: bool = False
    acl: Acl = ()


@dataclass(frozen=True, slots=True)
class Write:
    """`version` None: whatever is there."""

    path: str
    content: bytes
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    path: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Check:
    path: str
    version: int


Step = Create | Write | Delete | Check


@dataclass(frozen=True, slots=True)
class Found:
    """What a reading found, by path."""

    znodes: dict[str, Znode]
    names: dict[str, tuple[str, ...]]


def znode(content: bytes, stat: ZnodeStat) -> Znode:
    moved, owner = stat.last_modified_transaction_id, stat.ephemeralOwner
    return Znode(content, stat.version, moved, owner, stat.numChildren)


def sent(acl: Acl) -> list[ACL]:
    if not acl:
        return [ACL(Permissions.ALL, Id("world", "anyone"))]
    return [ACL(sum(PERMISSIONS[one] for one in each.may), Id(each.scheme, each.who)) for each in acl]


def understood(acl: Sequence[ACL]) -> Acl:
    if acl == [ACL(Permissions.ALL, Id("world", "anyone"))]:
        return ()
    found = [(each.id, [one for one, bit in PERMISSIONS.items() if each.perms & bit]) for each in acl]
    return tuple(sorted(Grant(id.scheme, id.id, "".join(may)) for id, may in found))
