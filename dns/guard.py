"""The last look at changes before they leave: I2 and I3, judged on what this target holds. Pure.

It trusts nobody, the core least: a mistake there must not empty a zone.
"""

from collections.abc import Collection, Sequence

from mailward.dns.diff import Key
from mailward.model.dns import Change, RRset

ADDRESS_TYPES = ("A", "AAAA")


def violations(
    changes: Sequence[Change], held: Sequence[RRset], *, keys: Collection[Key], endpoints: Collection[str]
) -> tuple[str, ...]:
    """Why `changes` must not be made, one sentence each; empty when they may.

    `keys` are the (name, type) pairs that may be touched, `endpoints` the names that must keep an
    address."""
    found = [_foreign(change) for change in changes if (change.name, change.type) not in keys]
    found += [_mislabelled(change) for change in changes if change.rrset and change.rrset.key != _key(change)]
    return tuple(found + _left_without_address(changes, held, endpoints))


def _key(change: Change) -> Key:
    return (change.name, change.type)


def _foreign(change: Change) -> str:
    return f"{change.name} {change.type} is not listed in the configuration: it is never touched (I3)"


def _mislabelled(change: Change) -> str:
    return f"{change.name} {change.type} would be replaced by another RRset: {change.rrset} (I3)"


def _left_without_address(
    changes: Sequence[Change], held: Sequence[RRset], endpoints: Collection[str]
) -> list[str]:
    """One family may become empty while the other serves; not both (I2)."""
    after = {rrset.key: rrset.values for rrset in held}
    after |= {_key(change): change.rrset.values if change.rrset else () for change in changes}
    touched = {change.name for change in changes if change.type in ADDRESS_TYPES}
    return [
        f"{name} would be left without any address (I2)"
        for name in sorted(touched.intersection(endpoints))
        if not any(after.get((name, kind)) for kind in ADDRESS_TYPES)
    ]
