"""A configuration that needs nothing but this machine, and commands on it."""

import asyncio
import json
import socket
from pathlib import Path

from typer.testing import CliRunner, Result

from mailward.app.cli import app
from mailward.app.compose import build
from mailward.configs.loading import load
from mailward.controller.clock import SystemClock
from mailward.model.dns import Change, RRset
from mailward.model.token import Token

CONFIG = """\
cluster: test
deployment: hybrid
nodes:
  mail-a: {{site: north, addresses: [127.0.0.31]}}
  mail-b: {{site: south, addresses: [127.0.0.32]}}
helper: none
replication: none
services: {{smtp: {{port: {port}, probe: {{interval_s: 1, timeout_s: 1}}}}}}
endpoints: {{mail.test.example: {{services: [smtp]}}}}
dns: {{here: {{embedded: {{zone: test.example, listen: ["127.0.0.1:{port}"], ns: [ns.example.net]}}}}}}
coordination: {{local: {{directory: store}}}}
api: {{socket: m.sock}}
"""


def configured(tmp_path: Path) -> Path:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "m.yaml"
    config.write_text(CONFIG.format(port=port))
    return config


def mailward(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"COLUMNS": "80"})


def remember(config: Path, token: Token, *addresses: str) -> None:
    """Let the embedded DNS target hold a token, as a controller of before left it, and name these."""

    async def claim() -> None:
        parts = build(load(config), token.store_id, SystemClock())
        name = ("mail.test.example.", "A")
        change = Change(*name, RRset(*name, 60, addresses)) if addresses else None
        await parts.dns["here"].driver.apply(None, token, [change] if change else [])
        await parts.close()

    (config.parent / "store").mkdir(exist_ok=True)
    asyncio.run(claim())


def epoch(config: Path) -> tuple[str, int]:
    store = config.parent / "store"
    return (
        json.loads((store / "store.json").read_text())["store_id"],
        json.loads((store / "epoch.json").read_text())["epoch"],
    )
