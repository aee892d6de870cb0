"""The one error of the helper: something was asked and is not done.

The code is for programs and stands on the wire, the message is a sentence for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailward.fencing.node.work import Done

STALE = "stale"  # this token or a higher one has been obeyed
FOREIGN = "foreign"  # the token is of another store
LATE = "late"  # the request took longer than the window
BAD_REQUEST = "bad-request"
UNKNOWN_SERVICE = "unknown-service"
NOT_PERSISTED = "not-persisted"  # it would open something and cannot be remembered
DAMAGED = "damaged"  # it would open something and what was remembered cannot be read
FIREWALL = "firewall"  # the kernel does not show what was ordered
LAPSED = "lapsed"  # a renewal that came too late: the kernel refuses the ports already
NOT_LEASED = "not-leased"  # a renewal, and no port is open under a lease
UNORDERED = "unordered"  # a renewal with a token that was never obeyed here
HOOK_FAILED = "hook-failed"  # the promotion is not verified: the ports are left as they were
UNSUPPORTED = "unsupported"  # a lease, and this node's firewall knows none
BUSY = "busy"  # another order is being carried out
CONFIG = "config"  # node.json cannot be used
SERVICE_REFUSED = "service-refused"  # connect: nothing listens on loopback
SERVICE_TIMEOUT = "service-timeout"  # connect: no answer on loopback


class Refused(Exception):
    """Nothing was done, or with `FIREWALL` not all of it; `done` is what was, beside the ports."""

    def __init__(self, code: str, message: str, done: Done | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.done = done
