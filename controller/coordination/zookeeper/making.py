"""A new store in ZooKeeper: made whole or not at all."""

from mailward.controller.coordination.zookeeper import tree
from mailward.controller.coordination.zookeeper.client import Client, Create, Step
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.model.errors import StoreError
from mailward.model.state import State


async def make(client: Client, cluster: str, state: State) -> None:
    """Write the first `state` of a cluster. StoreError where a store is already."""
    at = Tree(cluster)
    above = [path for path in ("/mailward", at.root) if not (await client.read([path])).znodes]
    if (await client.read([at.store])).znodes:
        raise StoreError(
            f"{at.root} in ZooKeeper already holds a store; remove it first if it is really over"
        )
    steps: list[Step] = [Create(path, b"") for path in above]
    steps += [
        Create(at.store, tree.of_store(state.store_id)),
        Create(at.epoch, tree.of_epoch(state.epoch)),
        Create(at.state, tree.of_state(state)),
        Create(at.pause, tree.of_pause(None)),
        Create(at.requests, b""),
        Create(at.observers, b""),
    ]
    wrong = await client.commit(*steps)
    if wrong:
        raise StoreError(f"the store could not be made in ZooKeeper: {wrong}")
