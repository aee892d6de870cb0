"""Where in ZooKeeper a cluster's things are, and what is in them."""

import json
import re
from dataclasses import dataclass
from typing import Any

from mailward.controller.codec import PAUSE, REPORT, REQUEST, STATE, to_bytes
from mailward.controller.coordination.first_state import is_store_id
from mailward.controller.coordination.zookeeper.values import Znode
from mailward.model.errors import StoreError
from mailward.model.ports import Box
from mailward.model.report import Report
from mailward.model.snapshot import Leader
from mailward.model.state import Pause, Request, State

LIMIT = 1_000_000
"""Bytes of one znode. A server takes 1,048,575 for a whole request, and hangs up on who sends more."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tree:
    """The paths of one cluster."""

    cluster: str

    @property
    def root(self) -> str:
        return f"/mailward/{self.cluster}"

    @property
    def store(self) -> str:
        return f"{self.root}/store"

    @property
    def epoch(self) -> str:
        return f"{self.root}/epoch"

    @property
    def leader(self) -> str:
        return f"{self.root}/leader"

    @property
    def state(self) -> str:
        return f"{self.root}/state"

    @property
    def pause(self) -> str:
        return f"{self.root}/pause"

    @property
    def requests(self) -> str:
        return f"{self.root}/requests"

    @property
    def observers(self) -> str:
        return f"{self.root}/observers"

    def letters(self, box: Box, node: str = "") -> str:
        """Where the letters of a box are, those of all nodes or of one."""
        return f"{self.root}/{box}" + (f"/{node}" if node else "")

    def letter(self, box: Box, node: str, id: str) -> str:
        return f"{self.letters(box, node)}/{id}"

    def request(self, id: str) -> str:
        if not is_request_id(id):
            raise StoreError(f"a request's id is letters, digits and dashes, not {id!r}")
        return f"{self.requests}/{id}"

    def report(self, observer: str) -> str:
        return f"{self.observers}/{observer}"

    def beat(self, observer: str) -> str:
        return f"{self.observers}/{observer}/beat"


def is_request_id(name: str) -> bool:
    return _REQUEST_ID.fullmatch(name) is not None


def of_store(store_id: str) -> bytes:
    return to_bytes({"store_id": store_id})


def store_id(znode: Znode, path: str) -> str:
    found = _object(znode, path).get("store_id")
    if not isinstance(found, str) or not is_store_id(found):
        raise StoreError(f"{path} in ZooKeeper holds no store-id")
    return found


def of_epoch(epoch: int) -> bytes:
    return b"%d" % epoch


def epoch(znode: Znode, path: str) -> int:
    if not re.fullmatch(rb"[0-9]{1,18}", znode.content):
        raise StoreError(f"{path} in ZooKeeper holds no epoch")
    return int(znode.content)


def of_leader(leader: Leader) -> bytes:
    return to_bytes({"name": leader.name, "epoch": leader.epoch, "nonce": leader.nonce})


def leader(znode: Znode, path: str) -> Leader:
    found = _object(znode, path)
    name, epoch, nonce = found.get("name"), found.get("epoch"), found.get("nonce")
    if not (isinstance(name, str) and isinstance(epoch, int) and isinstance(nonce, str)):
        raise StoreError(f"{path} in ZooKeeper does not say who leads")
    return Leader(name, epoch, nonce)


def of_state(state: State) -> bytes:
    """StoreError where it is too large to be written: then it certainly was not."""
    return _within(STATE.dump(state), "the state")


def state(znode: Znode, path: str) -> State:
    return STATE.load(znode.content, f"{path} in ZooKeeper")


def of_pause(pause: Pause | None) -> bytes:
    return _within(PAUSE.dump(pause), "the pause") if pause is not None else b"null"


def pause(znode: Znode, path: str) -> Pause | None:
    return None if znode.content == b"null" else PAUSE.load(znode.content, f"{path} in ZooKeeper")


def of_request(request: Request) -> bytes:
    return _within(REQUEST.dump(request), "the request")


def request(znode: Znode, path: str) -> Request:
    found = REQUEST.load(znode.content, f"{path} in ZooKeeper")
    if not path.endswith(f"/{found.id}"):
        raise StoreError(f"{path} in ZooKeeper holds the request {found.id!r}")
    return found


def of_report(report: Report) -> bytes:
    return _within(REPORT.dump(report), "the report")


def report(znode: Znode, path: str) -> Report:
    found = REPORT.load(znode.content, f"{path} in ZooKeeper")
    if not path.endswith(f"/{found.observer}"):
        raise StoreError(f"{path} in ZooKeeper holds a report of {found.observer!r}")
    return found


def _object(znode: Znode, path: str) -> dict[str, Any]:
    try:
        content = json.loads(znode.content)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} in ZooKeeper is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} in ZooKeeper is not a JSON object")
    return content


def _within(content: bytes, what: str) -> bytes:
    if len(content) > LIMIT:
        raise StoreError(f"{what} would be {len(content)} bytes in ZooKeeper, more than the {LIMIT} allowed")
    return content
