"""The daemon itself: its store, the observers, its API. Nothing here changes what the cluster is."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr

from mailward.configs.sections import SecretEnv, SecretFile, SecretSection, Section, secret_env, secret_file
from mailward.configs.values import Count, File, ListenOn, Name


class Local(Section):
    """The embedded store: a directory with a lock, for one controller."""

    directory: File = Field(
        default=Path("/var/lib/mailward"),
        description="A directory on a local disk, writable by mailward only. It holds the recorded state:"
        " losing"
        " it loses the store's id, which every name server and helper remembers.",
    )


class Coordination(Section):
    """Where the recorded state lives and who may lead."""

    local: Local = Field(default_factory=Local, description="The embedded store, the only one so far.")


class ObserverEntry(Section):
    """One running daemon."""

    name: Name = Field(description="The observer's name.")
    site: Name | None = Field(default=None, description="The site it stands in; best one without mail nodes.")
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
