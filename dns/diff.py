"""What must change so that a target holds what is wanted. Pure.

A RRset without values is wanted absent. A name that is wanted at all is wanted whole: `complete`
adds its missing types as absent, so that a dead node's AAAA does not outlive its A because nobody
listed it. A name that is not mentioned is left as it is. TTLs count: clients live by them.
"""

from collections.abc import Iterable, Sequence

from mailward.model.dns import Change, RRset

Key = tuple[str, str]


def complete(wanted: Sequence[RRset], keys: Iterable[Key]) -> tuple[RRset, ...]:
    """`wanted`, and an empty RRset for each of `keys` whose name it mentions without that type."""
    listed = {rrset.key for rrset in wanted}
    names = {rrset.name for rrset in wanted}
    missing = (
        RRset(name, kind, 0, ()) for name, kind in keys if name in names and (name, kind) not in listed
    )
    return tuple(sorted((*wanted, *missing)))


def diff(wanted: Sequence[RRset], held: Sequence[RRset]) -> tuple[Change, ...]:
    """The changes that turn `held` into `wanted`, in the order of names. Both are canonical."""
    holds = {rrset.key: rrset for rrset in held}
    changes = []
    for rrset in sorted(wanted):
        now = holds.get(rrset.key)
        if rrset.values and rrset != now:
            changes.append(Change(rrset.name, rrset.type, rrset))
        elif not rrset.values and now is not None and now.values:
            changes.append(Change(rrset.name, rrset.type, None))
    return tuple(changes)
