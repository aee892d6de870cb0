"""The daemon itself: its store, the observers, its API. Nothing here changes what the cluster is."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr

from mailward.configs.sections import SecretEnv, SecretFile, SecretSection, Section, secret_env, secret_file
from mailward.configs.values import Count, File, Line, ListenOn, Name, Seconds, StoreServer, Switch


class Local(Section):
    """The embedded store: a directory with a lock, for one controller."""

    directory: File = Field(
        default=Path("/var/lib/mailward"),
        description="A directory on a local disk, writable by mailward only. It holds the recorded state:"
        " losing"
        " it loses the store's id, which every name server and helper remembers.",
    )


class StoreTls(Section):
    """How a daemon and the ZooKeeper servers know each other."""

    ca_file: File = Field(description="The CA of the servers' certificates, PEM.")
    cert_file: File = Field(
        description="This daemon's certificate, PEM. Its subject is who it is to ZooKeeper: each daemon has"
        " one of its own."
    )
    key_file: File = Field(description="The key of that certificate, PEM, without a passphrase.")


class Login(SecretSection):
    """By which the ZooKeeper servers know a daemon where they ask for a password (SASL, DIGEST-MD5)."""

    secret_name: ClassVar[str] = "password"

    user: Line = Field(description="Its user: that of an observer, or of an admin.")
    password_file: SecretFile = secret_file("that user's password")
    password_env: SecretEnv = secret_env("that user's password")

    @property
    def password(self) -> SecretStr:
        return self._held()


class ZooKeeper(Section):
    """An ensemble that several daemons agree in, so that any of them may die."""

    servers: tuple[StoreServer, ...] = Field(
        description="All its servers with their ports, such as zk1.example.com:2281. Three, at three sites:"
        " two of them must live."
    )
    session_s: Annotated[
        float, Seconds(4, 60, "a shorter one ends with every hiccup, a longer one leads dead")
    ] = Field(
        default=10,
        description="A leader that ZooKeeper has not heard of for so long is replaced. What the servers do"
        " not grant is cut: 2 to 20 of their ticks.",
    )
    tls: StoreTls | None = Field(
        default=None,
        description="Left out: in the clear, and whoever reaches the servers may rewrite everything.",
    )
    login: Login | None = Field(
        default=None,
        description="Where the servers ask for a password. Left out: a daemon is whom its certificate names.",
    )
    admins: tuple[Line, ...] = Field(
        default=(),
        description="Others who may pause and resume, and change nothing else: `CN=anna`, the subject of a"
        " certificate, or with `login` a user.",
    )


class Coordination(Section):
    """Where the recorded state lives and who may lead."""

    local: Local = Field(default_factory=Local, description="The embedded store, for one daemon.")
    zookeeper: ZooKeeper | None = Field(
        default=None, description="The store of several daemons, instead of the embedded one."
    )


class ObserverEntry(Section):
    """One running daemon."""

    name: Name = Field(description="The observer's name.")
    site: Name | None = Field(default=None, description="The site it stands in; best one without mail nodes.")
    address: StoreServer | None = Field(
        default=None,
        description="Where the other daemons reach it, with a port, such as mail-a.example.com:7443: they see"
        " there that its process has ended, and need not wait for its session. With ZooKeeper only.",
    )
    node: Name | None = Field(
        default=None,
        description="The node this daemon runs beside. With the local store it then only observes: cut off"
        " from the world it would withdraw the others. In a cluster with ZooKeeper an order that closes the"
        " node's ports goes through it first, and over SSH if that fails; with `lease_s` there is one beside"
        " each node, which renews the lease of its client ports.",
    )
    leader: Literal["may", "never"] = Field(
        default="may", description="`may` (the default), or `never`: it watches and votes, and others lead."
    )
    identity: Line | None = Field(
        default=None,
        description="Who it is to ZooKeeper: its certificate's subject as in `CN=mail-a,O=Example`, or with"
        " `login` its user. Default: `CN=` and its name, or its name.",
    )
    votes: Annotated[int, Count(1, 10, "votes", "more says the same")] = Field(
        default=1, description="Its votes on whether something failed."
    )


class Api(SecretSection):
    """Status, metrics and requests over HTTP."""

    secret_name: ClassVar[str] = "token"

    socket: File = Field(
        default=Path("/run/mailward/mailward.sock"),
        description="A Unix socket; who may write to it may change things.",
    )
    listen: ListenOn | None = Field(
        default=None, description="An address and a TCP port to answer on as well, such as 127.0.0.1:8080."
    )
    token_file: SecretFile = secret_file("the token that changing calls over TCP must show")
    token_env: SecretEnv = secret_env("the token that changing calls over TCP must show")

    @property
    def token(self) -> SecretStr | None:
        """None: over TCP nothing can be changed."""
        return self._held() if self.names_secret else None


class Watchdog(Section):
    """The kernel's watchdog, petted by this daemon while it works."""

    device: File = Field(default=Path("/dev/watchdog"), description="The device, with a driver behind it.")
    timeout_s: Annotated[
        float, Seconds(10, 3600, "a shorter one resets a host that is only busy, a longer one helps nobody")
    ] = Field(
        default=60,
        description="The host is reset when it was not petted for that long. A daemon that is stuck stops"
        " petting after 30 s.",
    )
    required: Switch = Field(
        default=False,
        description="Whether the daemon refuses to start where there is none; else it says so and goes on.",
    )
