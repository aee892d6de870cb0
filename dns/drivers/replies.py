"""What a name server's reply to a signed message means.

A reply is parsed twice: without the key for its code, because a server that refuses a key cannot sign
its refusal, and with the key to know whether to believe it. Only a believed NXRRSET or YXRRSET is
STALE, only a believed NOERROR is APPLIED. What a server says of our key itself (BADKEY and the like)
is REFUSED, signed or not. Everything else that is not believed is UNKNOWN. The codes as BIND, Knot and
PowerDNS send them were measured; they differ, hence the double hints.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.rcode
import dns.tsig

from mailward.dns.diff import Key
from mailward.model.dns import Applied, ApplyResult

KEY_ERRORS = {
    int(dns.rcode.BADSIG): "BADSIG",
    int(dns.rcode.BADKEY): "BADKEY",
    int(dns.rcode.BADTIME): "BADTIME",
    int(dns.rcode.BADTRUNC): "BADTRUNC",
}
_STALE = (dns.rcode.NXRRSET, dns.rcode.YXRRSET)
_NOTHING_DONE = (dns.rcode.REFUSED, dns.rcode.NOTAUTH, dns.rcode.NOTZONE, dns.rcode.FORMERR, dns.rcode.NOTIMP)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to our message: its code, what it says of our key (NOERROR if nothing), and whether
    it carries a good signature by it."""

    rcode: dns.rcode.Rcode
    key_error: int
    authentic: bool
    message: dns.message.Message

    def __str__(self) -> str:
        text = dns.rcode.to_text(self.rcode)
        return f"{text}, {KEY_ERRORS.get(self.key_error, self.key_error)}" if self.key_error else text


def parse_reply(request: dns.message.Message, wire: bytes, key: dns.tsig.Key) -> Reply | None:
    """None when `wire` is not a reply to `request` at all."""
    try:
        message = dns.message.from_wire(wire, keyring=False)
        if not request.is_response(message):
            return None
    except (dns.exception.DNSException, ValueError):
        return None
    return Reply(
        rcode=message.rcode(),
        key_error=message.tsig_error or dns.rcode.NOERROR,
        authentic=_is_signed(request, wire, key),
        message=message,
    )


def _is_signed(request: dns.message.Message, wire: bytes, key: dns.tsig.Key) -> bool:
    try:
        dns.message.from_wire(wire, keyring=key, request_mac=request.mac)
    except (dns.exception.DNSException, ValueError):
        return False
    return True


def judge_update(reply: Reply, key: dns.tsig.Key, zone: str, touched: Sequence[Key]) -> Applied:
    """What became of an update of `touched` RRsets, the token's included."""
    said = f"the server answered {reply}"
    if reply.key_error in KEY_ERRORS:
        hint = key_hint(reply.key_error, key)
        if reply.key_error == dns.rcode.BADKEY:
            hint += "; Knot says so too when an ACL does not let the key change these names"
        return Applied(ApplyResult.REFUSED, f"{said}: {hint}")
    if not reply.authentic:
        return Applied(ApplyResult.UNKNOWN, f"{said}, not signed with {key_text(key)}: is it the right one?")
    if reply.rcode == dns.rcode.NOERROR:
        return Applied(ApplyResult.APPLIED)
    if reply.rcode in _STALE:
        return Applied(ApplyResult.STALE, f"{said}: the token there is no longer the one expected")
    if reply.rcode in _NOTHING_DONE:
        return Applied(ApplyResult.REFUSED, f"{said}: {_update_hint(reply.rcode, key, zone, touched)}")
    return Applied(ApplyResult.UNKNOWN, said)


def key_text(key: dns.tsig.Key) -> str:
    return f"key {key.name} ({key.algorithm.to_text(omit_final_dot=True)})"


def key_hint(error: int, key: dns.tsig.Key) -> str:
    """What to change when a server does not take our key."""
    if error == dns.rcode.BADTIME:
        return "the clocks of this host and the name server are more than 5 minutes apart: set them by NTP"
    if error == dns.rcode.BADKEY:
        return f"it has no {key_text(key)}: add a key with that name and algorithm to its configuration"
    return f"its secret of {key_text(key)} is another one: make both the same"


def _update_hint(rcode: int, key: dns.tsig.Key, zone: str, touched: Sequence[Key]) -> str:
    if rcode == dns.rcode.REFUSED:
        return (
            f"let the key change these names, in BIND's zone {zone}: "
            f"update-policy {{ {grants(key, touched)} }}; (a frozen zone and a secondary refuse as well)"
        )
    if rcode in (dns.rcode.NOTAUTH, dns.rcode.NOTZONE):
        return f"it is not the primary of zone {zone}: check the target's server and zone"
    return "it does not take dynamic updates (RFC 2136)"


def grants(key: dns.tsig.Key, touched: Sequence[Key]) -> str:
    """The lines of BIND's update-policy that allow what was tried, and no more."""
    names = sorted({name for name, _ in touched})
    kinds = {name: " ".join(sorted(kind for other, kind in touched if other == name)) for name in names}
    return " ".join(f"grant {key.name} name {name} {kinds[name]};" for name in names)
