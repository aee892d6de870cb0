"""The root helper `mailward-node` in the lab: built, configured, put into a node, made to forget.

Client ports are what users speak to; dsync and doveadm's HTTP API stay open. There is no systemd here:
`svc` has the configured commands.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh
from tests.lab.harness.layout import DOVEADM_HTTP, DSYNC, IMAP, IMAPS, SMTP, SUBMISSION, UNITS
from tests.lab.harness.material import SshMaterial
from tests.lab.harness.node import QUEUE, STORE, MailNode

from mailward.fencing.node.build import build

if TYPE_CHECKING:
    from tests.lab.harness.cluster import Cluster

STATE_FOLDERS = ("/var/lib/mailward-node", "/run/mailward-node")


def install(node_folder: Path, peer: str) -> None:
    """Put program and configuration where the node's entry looks for them."""
    build(node_folder / "mailward-node.pyz")
    config = {
        "services": {"smtp": SMTP, "submission": SUBMISSION, "imap": IMAP, "imaps": IMAPS},
        "replication_ports": [DSYNC, DOVEADM_HTTP],
        "peers": [peer],
        "units": {
            unit: {verb: ["/usr/local/sbin/svc", verb, unit] for verb in ("status", "start", "stop")}
            for unit in UNITS
        },
        "writers": list(UNITS),
        "paths": {"mail": STORE, "queue": QUEUE},
    }
    (node_folder / "node.json").write_text(json.dumps(config, indent=2) + "\n")


def beside(node: MailNode, folder: Path) -> dict[str, str]:
    """The environment of a daemon that runs beside a node, and has only its network: its `sudo` becomes root
    on that node."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    sudo = programs / "sudo"
    sudo.write_text(_SUDO.format(path=os.environ["PATH"], container=node.container.name))
    sudo.chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}"}


_SUDO = """#!/bin/sh
PATH={path}
case "$*" in
  *mailward-node*) exec docker exec -i -u mailward {container} sudo "$@" ;;
  *) exec sudo "$@" ;;
esac
"""


def ask(node: MailNode, ssh: SshMaterial, **request: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """One request over SSH as the controller makes it; the helper's hello and its answer."""
    return asyncio.run(_ask(node, ssh, request))


async def _ask(
    node: MailNode, ssh: SshMaterial, request: dict[str, object]
) -> tuple[dict[str, Any], dict[str, Any]]:
    async with (
        asyncio.timeout(10),
        asyncssh.connect(
            node.address,
            username="mailward",
            client_keys=[str(ssh.key_file)],
            known_hosts=str(ssh.known_hosts),
            config=None,
            agent_path=None,
        ) as connection,
        connection.create_process() as process,
    ):
        hello = json.loads(await process.stdout.readline())
        process.stdin.write(json.dumps({"nonce": hello["nonce"], **request}) + "\n")
        return hello, json.loads(await process.stdout.readline())


def forget(node: MailNode) -> None:
    """Open every port and remove the helper's memory of orders, as on a node never fenced."""
    node.run("mailward-node", "remove")
    node.run("rm", "-rf", *STATE_FOLDERS)


def boot(cluster: Cluster, how: str) -> None:
    """What every node does with its ports when it boots: `closed`, or `as-ordered`."""
    for name, node in cluster.nodes.items():
        file = cluster.folder / name / "node.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "boot": how}, indent=2) + "\n")
        node.run("install", "-D", "-m", "0644", "/lab/node.json", "/etc/mailward/node.json")
