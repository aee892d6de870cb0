"""A zone's primary that takes dynamic updates (RFC 2136) signed with TSIG: BIND, Knot, PowerDNS.

The name server itself is the guard (I1): each update demands the exact token that was read and puts
the next one in its place, together with all RRsets, in one message which applies whole or not at all.
So a message that comes late, ours or a deposed leader's, finds another token and changes nothing.

`read` asks the primary itself, over TCP and signed, the token first: whatever changes after that makes
the update fail. After APPLIED the configured secondaries are told by NOTIFY, best effort: a primary's own
may come seconds later (BIND's `notify-delay` is 5 s). No retries here: the publisher reads again instead.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.update

from mailward.dns.diff import Key
from mailward.dns.drivers.replies import (
    KEY_ERRORS,
    Reply,
    judge_update,
    key_hint,
    key_text,
    parse_reply,
)
from mailward.dns.records import absolute, from_rdataset, parse_name, parse_type, to_rdataset
from mailward.dns.servers import Server, TcpStream, tcp
from mailward.dns.tokens import read_token, stale_before_sending, token_name, token_rrset
from mailward.model.dns import Applied, ApplyResult, Change, ReadFailure, RRset, Unread, ZoneView
from mailward.model.token import Token

log = logging.getLogger(__name__)

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1")
_NOTIFY_TRIES = 3
_NOTIFY_WAIT_S = 0.5
_NOTIFIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Rfc2136Settings:
    """How to reach and sign for one primary. `key_secret` is base64, as in BIND's key statement."""

    name: str
    cluster: str
    zone: str
    server: Server
    key_name: str
    key_secret: str = field(repr=False)
    key_algorithm: str = "hmac-sha256"
    secondaries: tuple[Server, ...] = ()
    token_ttl_s: int = 5
    timeout_s: float = 2.0

    def key(self) -> dns.tsig.Key:
        """ValueError says what is wrong with the key, and never shows the secret."""
        if self.key_algorithm not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            raise ValueError(f"DNS target {self.name}: no algorithm {self.key_algorithm!r}; known: {known}")
        try:
            return dns.tsig.Key(parse_name(self.key_name), self.key_secret.strip(), self.key_algorithm)
        except (ValueError, dns.exception.DNSException):
            pass
        raise ValueError(f"DNS target {self.name}: the secret of key {self.key_name} is not base64")


class _Unreadable(Exception):
    """An answer that ends a read."""

    def __init__(self, failure: ReadFailure, detail: str) -> None:
        super().__init__(detail)
        self.unread = Unread(failure, detail)


class Rfc2136Target:
    """`DnsTarget` on one primary, for one store and zone."""

    refuses_stale = True

    def __init__(self, settings: Rfc2136Settings, store_id: str) -> None:
        self.name = settings.name
        self._settings = settings
        self._store_id = store_id
        self._zone = absolute(settings.zone)
        self._token_name = token_name(settings.cluster, self._zone)
        self._key = settings.key()
        self._notifying: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up the NOTIFYs under way."""
        for task in self._notifying:
            task.cancel()
        await asyncio.gather(*self._notifying, return_exceptions=True)

    async def read(self, keys: Sequence[Key]) -> ZoneView | Unread:
        server, limit_s = self._settings.server, self._settings.timeout_s
        try:
            async with asyncio.timeout(limit_s), tcp(server) as stream:
                return await self._read(stream, keys)
        except _Unreadable as found:
            return found.unread
        except TimeoutError:
            return Unread(ReadFailure.UNREACHABLE, f"{server} did not answer within {limit_s:g} s")
        except (OSError, EOFError) as error:
            return Unread(ReadFailure.UNREACHABLE, f"{server}: {_reason(error)}")

    async def _read(self, stream: TcpStream, keys: Sequence[Key]) -> ZoneView | Unread:
        (held,) = await self._ask(stream, [(self._token_name, "TXT")])
        token = read_token(self._token_name, held, self._store_id)
        if isinstance(token, Unread):
            return token
        soa, *found = await self._ask(stream, [(self._zone, "SOA"), *keys])
        if soa is None:
            detail = f"{self._settings.server} serves {self._zone} as part of another zone: name that one"
            return Unread(ReadFailure.REFUSED, detail)
        return ZoneView(token, tuple(rrset for rrset in found if rrset))

    async def _ask(self, stream: TcpStream, keys: Sequence[Key]) -> list[RRset | None]:
        """All questions at once; the answers may come in any order."""
        asked = {number: self._query(number, key) for number, key in enumerate(keys, start=1)}
        await stream.send(*(query.to_wire() for query in asked.values()))
        answers: dict[int, RRset | None] = {}
        while len(answers) < len(asked):
            wire = await stream.receive()
            number = int.from_bytes(wire[:2], "big")
            reply = parse_reply(asked[number], wire, self._key) if number in asked else None
            if reply is None:
                raise _Unreadable(ReadFailure.BROKEN, f"{self._settings.server} sent what is no DNS answer")
            answers[number] = self._answer(reply, keys[number - 1])
        return [answers[number] for number in asked]

    def _query(self, number: int, key: Key) -> dns.message.Message:
        query = dns.message.make_query(parse_name(key[0]), parse_type(key[1]), id=number, flags=0)
        query.use_tsig(self._key)
        return query

    def _answer(self, reply: Reply, key: Key) -> RRset | None:
        name, kind = key
        said = f"{self._settings.server} answered {reply} for {name} {kind}"
        if reply.key_error in KEY_ERRORS:
            raise _Unreadable(ReadFailure.REFUSED, f"{said}: {key_hint(reply.key_error, self._key)}")
        if reply.rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise _Unreadable(ReadFailure.REFUSED, f"{said}: does it serve {self._zone} and allow-query us?")
        if not reply.authentic:
            raise _Unreadable(ReadFailure.BROKEN, f"{said}, not signed with {key_text(self._key)}")
        if not reply.message.flags & dns.flags.AA:
            raise _Unreadable(ReadFailure.BROKEN, f"{said}, without authority: no primary of {self._zone}")
        for rrset in reply.message.answer:
            if rrset.rdtype == dns.rdatatype.CNAME:
                raise _Unreadable(ReadFailure.BROKEN, f"{name} is a CNAME: updates of it are ignored")
            if rrset.rdtype == parse_type(kind) and rrset.name == parse_name(name):
                return from_rdataset(name, rrset)
        return None

    async def claim(self, expected: Token | None, new: Token) -> Applied:
        return await self.apply(expected, new, ())

    async def apply(self, expected: Token | None, new: Token, changes: Sequence[Change]) -> Applied:
        if stale := stale_before_sending(expected, new):
            return Applied(ApplyResult.STALE, stale)
        touched = [(self._token_name, "TXT"), *((change.name, change.type) for change in changes)]
        try:
            update = self._update(expected, new, changes)
            wire = update.to_wire()
        except (ValueError, dns.exception.DNSException) as error:
            return Applied(ApplyResult.REFUSED, f"not sent: {error}")
        answer = await self._send(wire)
        if isinstance(answer, Applied):
            return answer
        reply = parse_reply(update, answer, self._key)
        if reply is None:
            return Applied(
                ApplyResult.UNKNOWN, f"{self._settings.server} sent what is no answer to the update"
            )
        applied = judge_update(reply, self._key, self._zone, touched)
        if applied.result is ApplyResult.APPLIED:
            self._notify()
        return applied

    def _update(
        self, expected: Token | None, new: Token, changes: Sequence[Change]
    ) -> dns.update.UpdateMessage:
        ttl_s = self._settings.token_ttl_s
        update = dns.update.UpdateMessage(parse_name(self._zone), keyring=self._key)
        if expected is None:
            update.absent(self._token_name, "TXT")
        else:
            update.present(self._token_name, to_rdataset(token_rrset(self._token_name, expected, 0)))
        update.replace(self._token_name, to_rdataset(token_rrset(self._token_name, new, ttl_s)))
        for change in changes:
            name = self._changeable(change.name)
            if change.rrset is None or not change.rrset.values:
                update.delete(name, change.type)
            else:
                update.replace(name, to_rdataset(change.rrset))
        return update

    def _changeable(self, name: str) -> str:
        if absolute(name) == self._token_name:
            raise ValueError(f"{name} holds the token and is nobody else's")
        if not parse_name(name).is_subdomain(parse_name(self._zone)):
            raise ValueError(f"{name} is not in the zone {self._zone}")
        return name

    async def _send(self, wire: bytes) -> bytes | Applied:
        server, limit_s = self._settings.server, self._settings.timeout_s
        try:
            async with asyncio.timeout(limit_s), tcp(server) as stream:
                await stream.send(wire)
                return await stream.receive()
        except TimeoutError:
            return Applied(ApplyResult.UNKNOWN, f"{server} did not answer the update within {limit_s:g} s")
        except (OSError, EOFError) as error:
            return Applied(ApplyResult.UNKNOWN, f"{server}: {_reason(error)}")

    def _notify(self) -> None:
        """Tell the secondaries in the background; nobody waits for it."""
        for secondary in self._settings.secondaries:
            if len(self._notifying) >= _NOTIFIES_AT_ONCE:
                return
            task = asyncio.create_task(_notify(secondary, self._zone), name=f"notify {secondary}")
            self._notifying.add(task)
            task.add_done_callback(self._notifying.discard)


async def _notify(secondary: Server, zone: str) -> None:
    message = dns.message.make_query(parse_name(zone), dns.rdatatype.SOA, flags=dns.flags.AA)
    message.set_opcode(dns.opcode.NOTIFY)
    trouble: object = "no answer"
    for _ in range(_NOTIFY_TRIES):
        try:
            reply = await dns.asyncquery.udp(
                message, secondary.host, _NOTIFY_WAIT_S, secondary.port, ignore_unexpected=True
            )
        except (OSError, dns.exception.DNSException) as error:
            trouble = error
            continue
        if reply.rcode() == dns.rcode.NOERROR:
            return
        trouble = f"{dns.rcode.to_text(reply.rcode())} (BIND: allow-notify)"
        break
    log.warning("secondary %s of %s does not take NOTIFY: %s", str(secondary), zone, trouble)


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, EOFError):
        return "it closed the connection without an answer"
    code = getattr(error, "errno", None)
    return os.strerror(code) if code else str(error) or type(error).__name__
