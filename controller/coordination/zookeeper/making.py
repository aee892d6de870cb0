"""A new store in ZooKeeper, made whole or not at all; and who may do what in one that is there."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from mailward.controller.coordination.zookeeper import tree
from mailward.controller.coordination.zookeeper.client import Client
from mailward.controller.coordination.zookeeper.rights import ABOVE, OPEN, Rights
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.values import Acl, Create, Delete, Grant, Step, Write
from mailward.model.errors import NoStore, StoreError
from mailward.model.ports import Box
from mailward.model.state import Pause, State


async def make(
    client: Client, cluster: str, state: State, rights: Rights = OPEN, pause: Pause | None = None
) -> None:
    """Write the first `state` of a cluster. StoreError where a store is already, where somebody else has the
    place, or where ZooKeeper does not know us as one who may lead."""
    at = Tree(cluster)
    wanted = rights.of(at)
    there = (await client.read([ABOVE, *wanted])).znodes
    if at.store in there:
        raise StoreError(
            f"{at.root} in ZooKeeper already holds a store; if it is really over, remove it first: zkCli.sh"
            f" deleteall {at.root}"
        )
    content = {
        at.store: tree.of_store(state.store_id),
        at.epoch: tree.of_epoch(state.epoch),
        at.state: tree.of_state(state),
        at.pause: tree.of_pause(pause),
    }
    if ABOVE not in there:
        await _done(client, Create(ABOVE, b"", acl=rights.above()))
    await _must_know_us(client, rights)
    for path in there.keys() & wanted.keys():
        await client.set_acl(path, wanted[path])
    steps: list[Step] = []
    for path, acl in wanted.items():
        if path not in there:
            steps.append(Create(path, content.get(path, b""), acl=acl))
        elif path in content:
            steps.append(Write(path, content[path]))
    await _done(client, *steps)


@dataclass(frozen=True, slots=True)
class Granted:
    """The paths where rights have changed, and who had some and has none any more."""

    changed: tuple[str, ...]
    lost: tuple[str, ...]


async def grant(client: Client, cluster: str, rights: Rights) -> Granted:
    """Give everybody the rights that `rights` says, and take all others. What belongs to an observer that is
    no more is taken away. It may be done again at any time. StoreError where ZooKeeper does not know us as
    one who may lead: we would be the first who lose theirs."""
    at = Tree(cluster)
    differing = await _differing(client, at, rights)
    before = await client.acls([at.root])
    if differing:
        await _must_know_us(client, rights)
    for path, acl in differing.items():
        if acl is None:
            below = (await client.read([], [path])).names.get(path, ())
            await _done(client, *(Delete(f"{path}/{name}") for name in below), Delete(path))
        elif (await client.read([path])).znodes:
            await client.set_acl(path, acl)
        else:
            await _done(client, Create(path, b"", acl=acl))
    named = {each.who for each in rights.of(at)[at.root]}
    lost = sorted({each.who for each in before.get(at.root, ())} - named) if rights.scheme else []
    return Granted(tuple(differing), tuple(lost))


async def differing(client: Client, cluster: str, rights: Rights) -> Sequence[str]:
    """The paths where `grant` would change something."""
    return tuple(await _differing(client, Tree(cluster), rights))


async def _differing(client: Client, at: Tree, rights: Rights) -> dict[str, Acl | None]:
    """What is to be, by path; None where nothing is to be."""
    boxes = [at.letters(box) for box in Box]
    found = await client.read([at.store, at.leader], [at.requests, at.observers, *boxes])
    if at.store not in found.znodes:
        raise NoStore(f"there is no store at {at.root} in ZooKeeper; make one with: mailward state init")
    passing = [at.leader, *(f"{at.requests}/{id}" for id in found.names.get(at.requests, ()))]
    lasting = rights.of(at)
    have = await client.acls([*lasting, *passing])
    wanted: dict[str, Acl | None] = {path: acl for path, acl in lasting.items() if have.get(path) != acl}
    wanted |= {
        path: rights.of_passing() for path in passing if have.get(path) not in (None, rights.of_passing())
    }
    gone = [name for name in found.names.get(at.observers, ()) if name not in rights.observers]
    wanted |= {at.report(name): None for name in gone}
    letters = [f"{box}/{node}" for box in boxes for node in found.names.get(box, ())]
    return wanted | {path: None for path in letters if path not in lasting}


async def _must_know_us(client: Client, rights: Rights) -> None:
    """The server fills in an ACL of the scheme `auth` who it is that makes it."""
    if not rights.scheme:
        return
    path = f"{ABOVE}/.who-{secrets.token_hex(8)}"
    await _done(client, Create(path, b"", ephemeral=True, acl=(Grant("auth", "", "ar"),)))
    known = {(each.scheme, each.who) for each in (await client.acls([path])).get(path, ())}
    await _done(client, Delete(path))
    leaders = {(rights.scheme, rights.observers[name]) for name in rights.leaders}
    if known.isdisjoint(leaders):
        ours = " and ".join(f"{who!r} ({scheme})" for scheme, who in sorted(known)) or "nobody"
        raise StoreError(
            f"nothing was done: ZooKeeper knows us as {ours}, and no observer that may lead has that identity"
        )


async def _done(client: Client, *steps: Step) -> None:
    wrong = await client.commit(*steps)
    if wrong:
        raise StoreError(f"not done in ZooKeeper: {wrong}; try again")
