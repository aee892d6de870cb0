"""The token TXT record of a zone: its name, how it is written, and what may be found there instead.

One record with one string: `_mailward-CLUSTER.ZONE TXT "store-id.epoch.seq"`. Anything else at that
name is somebody else's, and nothing is written over it (I14).
"""

from mailward.dns.records import absolute
from mailward.model.dns import ReadFailure, RRset, Unread
from mailward.model.token import Token


def token_name(cluster: str, zone: str) -> str:
    return absolute(f"_mailward-{cluster}.{zone}")


def token_rrset(name: str, token: Token, ttl_s: int) -> RRset:
    return RRset(name, "TXT", ttl_s, (f'"{token}"',))


def read_token(name: str, held: RRset | None, store_id: str) -> Token | Unread | None:
    """The token in `held`, the TXT RRset found at `name`; None when there is none."""
    if held is None or not held.values:
        return None
    try:
        token = Token.parse(held.values[0].removeprefix('"').removesuffix('"'))
        if len(held.values) > 1:
            raise ValueError("several records instead of one")
    except ValueError as error:
        found = " ".join(held.values)[:200]
        return Unread(
            ReadFailure.BROKEN,
            f"{name} TXT holds no token: {found} ({error}). If nothing else uses that name, delete the "
            "record (a wildcard TXT of the zone answers there too)",
        )
    if token.store_id != store_id:
        return Unread(
            ReadFailure.FOREIGN,
            f"{name} TXT is {token}: it belongs to store {token.store_id}, ours is {store_id}. If no "
            "controller with that store runs any more, delete the record",
            token,
        )
    return token


def stale_before_sending(expected: Token | None, new: Token) -> str:
    """Why a write of `new` over `expected` is stale without asking anyone; '' if it is not."""
    if expected is None:
        return ""
    if expected.store_id != new.store_id:
        return f"the token there, {expected}, is another store's; ours is {new}"
    return "" if expected < new else f"the token there, {expected}, is not below ours, {new}"
