"""A connection for a single command: soon, or with the reason of each server why not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mailward.controller.coordination.zookeeper import trouble
from mailward.controller.coordination.zookeeper.client import Client
from mailward.controller.coordination.zookeeper.values import Servers
from mailward.model.errors import StoreError

PATIENCE_S = 6.0


@asynccontextmanager
async def connected(servers: Servers, patience_s: float = PATIENCE_S) -> AsyncIterator[Client]:
    """A connection for one command. StoreError says of each server why it could not be had."""
    news = asyncio.Event()
    client = Client(servers, news.set)
    client.start()
    try:
        connected = await _session(client, news, min(trouble.TRY_S, patience_s))
        if not connected and not client.refusal and await trouble.somebody_listens(servers):
            connected = await _session(client, news, max(0.0, patience_s - trouble.TRY_S))
        if not connected:
            raise StoreError(f"ZooKeeper cannot be used: {client.refusal or await trouble.of(servers)}")
        await client.greet()
        yield client
    finally:
        await client.stop()


async def _session(client: Client, news: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            while client.session is None:
                await news.wait()
                news.clear()
    except TimeoutError:
        return False
    return True
