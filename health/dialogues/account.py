"""The canary account a probe logs in with.

Use an account made for this, whose mailbox was created once and replicated: on Dovecot a first login
or SELECT *creates* INBOX, and the same INBOX created on both nodes never replicates again.
"""

import base64
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Account:
    """A login and its password; the password never appears in a repr, a detail or a log."""

    login: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("login", self.login), ("password", self.password)):
            if not value:
                raise ValueError(f"canary account: the {name} is empty")
            if "\0" in value:
                raise ValueError(f"canary account: the {name} contains a NUL character")
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError(f"canary account: the {name} is not valid Unicode") from None

    @property
    def sasl_plain(self) -> bytes:
        """The initial response of SASL PLAIN (RFC 4616), base64."""
        return base64.b64encode(f"\0{self.login}\0{self.password}".encode())

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Every form in which the password goes over the wire."""
        raw = self.password.encode()
        quoted = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return (raw, quoted, base64.b64encode(raw), self.sasl_plain)
