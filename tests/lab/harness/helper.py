"""The root helper `mailward-node` in the lab: built, configured, put into the nodes, made to forget.

Until the helper can be built (`mailward.fencing.node.build`) the nodes run without it, and say so by
`is_available()`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tests.lab.harness.node import MailNode

BUILDER = "mailward.fencing.node.build"


def is_available() -> bool:
    try:
        return importlib.util.find_spec(BUILDER) is not None
    except ModuleNotFoundError:
        return False


def install(node_folder: Path) -> None:
    """Put program and configuration where the node's entry looks for them."""


def forget(node: MailNode) -> None:
    """Open every port and remove the helper's memory of orders, as on a node never fenced."""
