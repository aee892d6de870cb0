"""A new store in ZooKeeper, made whole or not at all; and who may do what in one that is there."""

from collections.abc import Sequence

from mailward.controller.coordination.zookeeper import tree
from mailward.controller.coordination.zookeeper.client import Client, Create, Delete, Step
from mailward.controller.coordination.zookeeper.rights import ABOVE, OPEN, Rights
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.model.errors import NoStore, StoreError
from mailward.model.state import Pause, State


async def make(
    client: Client, cluster: str, state: State, rights: Rights = OPEN, pause: Pause | None = None
) -> None:
    """Write the first `state` of a cluster. StoreError where a store is already."""
    at = Tree(cluster)
    there = (await client.read([ABOVE, at.root, at.store])).znodes
    if at.store in there:
        raise StoreError(
            f"{at.root} in ZooKeeper already holds a store; remove it first if it is really over"
        )
    content = {
        at.store: tree.of_store(state.store_id),
        at.epoch: tree.of_epoch(state.epoch),
        at.state: tree.of_state(state),
        at.pause: tree.of_pause(pause),
    }
    steps = [] if ABOVE in there else [Create(ABOVE, b"", acl=rights.above())]
    steps += [
        Create(path, content.get(path, b""), acl=acl)
        for path, acl in rights.of(at).items()
        if path not in there
    ]
    wrong = await client.commit(*steps)
    if wrong:
        raise StoreError(f"the store could not be made in ZooKeeper: {wrong}")


async def grant(client: Client, cluster: str, rights: Rights) -> Sequence[str]:
    """Give everybody the rights that `rights` says, and take all others; the paths where that changed
    something. What belongs to an observer that is no more is taken away. It may be done again at any time."""
    at = Tree(cluster)
    found = await client.read([at.store, at.leader], [at.requests, at.observers])
    if at.store not in found.znodes:
        raise NoStore(f"there is no store at {at.root} in ZooKeeper; make one with: mailward state init")
    passing = [at.leader, *(f"{at.requests}/{id}" for id in found.names.get(at.requests, ()))]
    wanted = {**rights.of(at), **dict.fromkeys(passing, rights.of_passing())}
    have = await client.acls(list(wanted))
    changed = []
    for path, acl in wanted.items():
        if path not in have and path not in passing:
            await client.commit(Create(path, b"", acl=acl))
        elif have.get(path, acl) != acl:
            await client.set_acl(path, acl)
        else:
            continue
        changed.append(path)
    for name in found.names.get(at.observers, ()):
        if name not in rights.observers:
            changed.append(await _forget(client, at, name))
    return changed


async def differing(client: Client, cluster: str, rights: Rights) -> Sequence[str]:
    """The paths where the rights are not those that `rights` says."""
    at = Tree(cluster)
    wanted = rights.of(at)
    have = await client.acls(list(wanted))
    return [path for path, acl in wanted.items() if have.get(path) != acl]


async def _forget(client: Client, at: Tree, name: str) -> str:
    path, beat = at.report(name), at.beat(name)
    steps: list[Step] = [Delete(beat)] if (await client.read([beat])).znodes else []
    await client.commit(*steps, Delete(path))
    return path
