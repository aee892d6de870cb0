"""`mailward zookeeper setup` and `grant`: what a server of the ensemble needs, and who may do what there."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mailward.app import terminal
from mailward.app.exits import Exit
from mailward.app.wording import listed
from mailward.configs.loading import load

if TYPE_CHECKING:
    from mailward.controller.coordination.zookeeper.making import Granted
    from mailward.controller.coordination.zookeeper.rights import Rights
    from mailward.controller.coordination.zookeeper.values import Servers

NEXT = """\
Server {number} of {count}: {server}. On Debian or Ubuntu, on that host:
  apt-get install zookeeper zookeeperd
  cp {files} {folder}/"""
TLS = """\
  and beside them ca.pem, and tls.pem: its own key and certificate in one file, made out to {host}
  (the daemons' certificates are of the same authority)"""
PASSWORDS = """\
  and write into jaas.conf there each user's password, in quotes; without them it does not start
  chown zookeeper: {folder}/jaas.conf; chmod 600 {folder}/jaas.conf"""
SIZE = """\
  systemctl restart zookeeper
It takes {memory} MiB of memory and {disk} MiB of disk at most; a disk that is slow to flush makes all wait.
The other servers reach it at {host}, ports {peer} and {election}, the daemons at port {port}."""
PLACES = """\
More than half of the {count} must live and reach each other: three, at three sites, beside the daemons, suit
best. With two sites, the one with more of them decides alone; its loss stops automation, mail goes on."""


def setup(file: Path, *, number: int, out: Path) -> Exit:
    """Write the files of server `number` into `out`; what is there already is left alone."""
    from mailward.app.zookeeper import rights_of
    from mailward.controller.coordination.zookeeper.ensemble import (
        DISK_MIB,
        ELECTION_PORT,
        MEMORY_MIB,
        PEER_PORT,
        Ensemble,
    )

    config = load(file)
    zookeeper = config.coordination.zookeeper
    if zookeeper is None:
        terminal.complain(f"{file}: coordination.zookeeper names no servers; write where they are to be")
        return Exit.FAILED
    if number > len(zookeeper.servers):
        terminal.complain(f"there are {len(zookeeper.servers)} servers in {file}, and no number {number}")
        return Exit.FAILED
    hosts = [server.rpartition(":")[0] for server in zookeeper.servers]
    if len(set(hosts)) < len(hosts):
        terminal.complain("two servers stand on one host: both would be gone with it, and use the same ports")
        return Exit.FAILED
    if any(int(server.rpartition(":")[2]) in (PEER_PORT, ELECTION_PORT) for server in zookeeper.servers):
        terminal.complain(f"ports {PEER_PORT} and {ELECTION_PORT} are for the servers among themselves")
        return Exit.FAILED
    rights = rights_of(config)
    users = sorted({*rights.observers.values(), *rights.admins}) if zookeeper.login is not None else []
    made = Ensemble(zookeeper.servers, zookeeper.session_s, zookeeper.tls is not None, users=users)
    out.mkdir(parents=True, exist_ok=True)
    files = made.files(number)
    there = [name for name in files if (out / name).exists()]
    if there:
        terminal.complain(f"{listed(there)} in {out} would be written over; nothing was done")
        return Exit.FAILED
    for name, content in files.items():
        (out / name).touch(0o600 if name == "jaas.conf" else 0o666)
        (out / name).write_text(content, encoding="utf-8")
    server = zookeeper.servers[number - 1]
    host, port = hosts[number - 1].strip("[]"), server.rpartition(":")[2]
    names = " ".join(str(out / name) for name in files)
    told = [NEXT, *([TLS] if zookeeper.tls is not None else []), *([PASSWORDS] if users else [])]
    told += [SIZE, PLACES]
    typer.echo(
        "\n".join(told).format(
            number=number, count=len(zookeeper.servers), server=server, files=names, folder=made.folder,
            host=host, port=port, memory=MEMORY_MIB, disk=DISK_MIB, peer=PEER_PORT, election=ELECTION_PORT,
        )
    )  # fmt: skip
    return Exit.DONE


def grant(file: Path) -> Exit:
    """Write into ZooKeeper who may do what, as the configuration says."""
    from mailward.app.peering import observer_of
    from mailward.app.zookeeper import rights_of, servers_of

    config = load(file)
    if config.coordination.zookeeper is None:
        terminal.complain(f"{file}: coordination.zookeeper names no servers: there is nothing to grant")
        return Exit.FAILED
    rights, ours = rights_of(config), observer_of(config)
    if rights.scheme and ours not in rights.leaders:  # half-way through it would have no right to go on
        where = " or ".join(sorted(rights.leaders))
        terminal.complain(f"{ours} may not lead, and nothing was done: type it on the host of {where}")
        return Exit.FAILED
    done = asyncio.run(_granted(servers_of(config.coordination.zookeeper), config.cluster, rights))
    for path in done.changed:
        typer.echo(f"changed: {path}")
    if not rights.scheme:
        typer.echo("Whoever reaches the servers may do anything: write coordination.zookeeper.tls")
    for name, who in rights.observers.items():
        does = "may lead" if name in rights.leaders else "reports, asks and pauses"
        typer.echo(f"{name} is {who}: {does}")
    for admin in rights.admins:
        typer.echo(f"{admin}: pauses")
    for who in done.lost:
        typer.echo(f"{who} has no rights any more")
    typer.echo(f"{len(done.changed)} changed." if done.changed else "It was so already.")
    return Exit.DONE


async def _granted(servers: "Servers", cluster: str, rights: "Rights") -> "Granted":
    from mailward.controller.coordination.zookeeper.connecting import connected
    from mailward.controller.coordination.zookeeper.making import grant

    async with connected(servers) as client:
        return await grant(client, cluster, rights)
